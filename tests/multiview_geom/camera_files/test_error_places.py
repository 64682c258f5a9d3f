"""Laws of errors about calibration files: each names its file, and a place that is in the file."""

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from multiview_geom import CameraFileError, load_cameras, ring_of_cameras, save_cameras
from tests.multiview_geom.camera_files import calibration_texts as texts
from tests.multiview_geom.camera_files import texts_of_tools as tools
from tests.multiview_geom.camera_files.calibration_texts import said_by, subject_of, written

pytestmark = pytest.mark.rejects

POSE = tools.JARVIS[tools.JARVIS.index("R: ") :]
EXAMPLES: dict[str, dict[str, str | bytes]] = {
    **texts.FILES,
    "optitrack": {"any.mcal": tools.OPTITRACK},
    "toml of Pose2Sim": {"any": texts.POSE2SIM},
    "caliscope, older": {"any": texts.CALISCOPE_PROJECT},
    "ros, rectified": {"any": texts.ROS_CAMERA_INFO + texts.ROS_RECTIFIED},
    "opencv, one camera": {"any": texts.OPENCV_SINGLE_YAML + POSE},
    "opencv, two files": {
        "intrinsics.yml": texts.STEREO_INTRINSICS,
        "extrinsics.yml": texts.STEREO_EXTRINSICS,
    },
}
TEXTS = {
    form: {name: text.replace("\r", "") for name, text in files.items() if isinstance(text, str)}
    for form, files in EXAMPLES.items()
}
NUMBER = re.compile(r"(?<![\w.+-])[+-]?\d+\.?\d*(?:e[+-]?\d+)?(?![\w.])")
KEY = re.compile(r'\b[A-Za-z_]\w*(?="?[ \t]*[:=])|(?<=\n  )[a-z]+(?= )|(?<=\nn)ame')
COUNTED = re.compile(r"(cam_)?\d*")
WORD = "wrong"
SENTENCE = re.compile(r"(?P<file>[^:]*):(?: `(?P<place>[^`]*)`:)? expected .+, got (?P<got>.*)")


@pytest.mark.parametrize("form", [form for form, files in TEXTS.items() if files])
def test_an_error_names_its_file_and_a_place_in_it(form: str, tmp_path: Path) -> None:
    refusals = 0
    for path, by_word, said in _refusals(tmp_path, form):
        sentence = SENTENCE.fullmatch(said)
        assert sentence, said
        file, place, got = sentence.groups(default="")
        assert Path(file) in tmp_path.iterdir(), said
        assert not _strange_words(place, Path(file)), said
        if by_word and re.search(rf"\b{WORD}\b", got) and "a calibration" not in said:
            assert Path(file) == path, said
            assert place or form == "humaneva", said
        refusals += 1
    assert refusals > 5


def _refusals(folder: Path, form: str) -> Iterator[tuple[Path, bool, str]]:
    """Yield each damaged file, whether it is damaged by a word, and what is said about it."""
    files = {folder / name: text for name, text in TEXTS[form].items()}
    for path, text in files.items():
        path.write_text(text)
    for path, text in files.items():
        for damaged, by_word in _damaged(text):
            path.write_text(damaged)
            try:
                load_cameras(next(iter(files)), subject=subject_of(form))
            except CameraFileError as error:
                yield path, by_word, str(error)
        path.write_text(text)


def _damaged(text: str) -> Iterator[tuple[str, bool]]:
    """Yield a text with a word or a negative number for a number, cut off, and with another key."""
    for number in NUMBER.finditer(text):
        before = text[: number.start()]
        quoted = WORD if before.count('"') % 2 else f'"{WORD}"'
        yield before + quoted + text[number.end() :], True
        yield before, False
        yield f"{before}-0.5{text[number.end() :]}", False
    for key in KEY.finditer(text):
        yield f"{text[: key.end()]}_{text[key.end() :]}", False


def _strange_words(place: str, file: Path) -> list[str]:
    """Return words of a place that are not in the file or its name, and no line or index in it."""
    content = f"{file.read_text()}\n{file.stem}"
    line = re.match(r"line (\d+)", place)
    if line:
        assert 1 <= int(line[1]) <= content.count("\n")
        place = place[line.end() :]
    words = [word for word in re.split(r"[\s.]+", place) if not COUNTED.fullmatch(word)]
    return [word for word in words if not re.search(rf"\b{word}\b", content)]


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin"])
def test_a_binary_model_says_which_entry_is_cut_off(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, "colmap-binary").with_name(name)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        entry = "" if size < 8 else f" `{name[:-5]} {1 + (size >= SECOND[name])}`:"
        assert said_by(tmp_path).startswith(f"/{name}:{entry} expected "), size


SECOND = {"cameras.bin": 8 + 48, "images.bin": 8 + 64 + 14 + 8 + 48}
"""The byte where the second camera and the second image begin."""


@pytest.mark.parametrize("key", ["R", "T", "f", "c", "k", "p", "Name"])
def test_an_array_of_an_h5_file_is_named(key: str, tmp_path: Path) -> None:
    path = tmp_path / "cameras.h5"
    save_cameras(path, ring_of_cameras(2, radius=4.0, height=1.0))
    with h5py.File(path, "r+") as file:
        group = file["subject1/camera2"]
        size = group[key].size
        del group[key]
        group[key] = np.full(size, np.nan)
    assert said_by(path).startswith(f": `subject1.camera2.{key}`: expected a finite number")


def _with_and_without(
    table: dict[str, object], key: str, place: str
) -> Iterator[tuple[dict[str, object], str]]:
    """Yield a table with NaN at a key and without the key, and what is said about each."""
    at = f"`{place}`: " if place else ""
    yield (
        {**table, key: np.full(np.shape(table[key]), np.nan)},
        f"`{f'{place}.{key}'.strip('.')}`: expected",
    )
    others = {name: value for name, value in table.items() if name != key}
    yield others, f": {at}expected the key `{key}`"


def _matlab_files() -> Iterator[tuple[str, bytes, str]]:
    """Yield a name, a damaged file and what is said about it."""
    for key in ("K", "r", "t", "RDistort", "TDistort"):
        for camera, said in _with_and_without(tools.dannce_camera(), key, ""):
            yield "cam_params.mat", tools.matlab_file(camera), said
        for camera, said in _with_and_without(tools.dannce_camera(), key, "params.1"):
            params = np.empty((2, 1), dtype=object)
            params[:, 0] = [tools.dannce_camera(), camera]
            yield "dannce.mat", tools.dannce_file_of_all("a", "b", params=params), said
    for key in ("IntrinsicMatrix", "RadialDistortion", "TangentialDistortion"):
        place = "stereoParams.CameraParameters2"
        for camera, said in _with_and_without(tools.stereo_camera(), key, place):
            yield "any.mat", tools.stereo_file(CameraParameters2=camera), said
    for key in ("RotationOfCamera2", "TranslationOfCamera2"):
        for pair, said in _with_and_without(tools.stereo_pair(), key, "stereoParams"):
            yield "any.mat", tools.matlab_file({"stereoParams": pair}), said


@pytest.mark.parametrize(("name", "content", "said"), [*_matlab_files()])
def test_a_variable_of_a_matlab_file_is_named(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in said_by(tmp_path / name)
