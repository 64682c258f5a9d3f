"""Hostile files and folders: one sentence, soon, and in little memory."""

import csv
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from selfsup_lifting.cli.view_commands import _inspected
from selfsup_lifting.files import read_recordings, read_results
from selfsup_lifting.parse.folders import entries
from selfsup_lifting.parse.hdf5_heaps import require_sound_heaps
from selfsup_lifting.parse.matlab import matlab_variable
from selfsup_lifting.parse.npz import load_npy
from selfsup_lifting.read_errors import ReadError
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.skeleton.skeleton_file import find_skeleton
from selfsup_lifting.skeleton.skeletons import SKELETONS
from tests.selfsup_lifting.files.layouts import WRITERS, write_session
from tests.selfsup_lifting.strategies import Scene


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """End a test that hangs."""

    def late(*_: object) -> None:
        raise TimeoutError("the test takes too long")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def session(folder: Path, layout: str) -> Path:
    recording = Scene(views=2, frames=3, skeleton="coco17").recording()
    return write_session(folder / "session", recording, WRITERS[layout])


def refused(path: Path, sentence: str) -> None:
    with pytest.raises(ReadError, match=sentence):
        read_recordings([str(path)], ReadSettings())


@pytest.mark.parametrize("place", [0.35, 0.6])
def test_a_zeroed_block_of_texts_does_not_hang(tmp_path: Path, place: float) -> None:
    folder = session(tmp_path, "sleap")
    file = next(folder.glob("cam2*.h5"))
    content = bytearray(file.read_bytes())
    heap = content.index(b"GCOL")
    start = heap + int(place * 2000)
    content[start : heap + 4096] = bytes(heap + 4096 - start)
    file.write_bytes(content)
    refused(folder, r"cam2\.analysis\.h5 is in no known format")
    with pytest.raises(ReadError, match="the texts of this HDF5 file are damaged"):
        require_sound_heaps(file)


@pytest.mark.parametrize("shape", ["(3, " + 3000 * "-" + "1,)", "(3, " + 5000 * "9" + ", 33, 3)"])
def test_a_header_of_many_signs_is_a_short_sentence(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(ReadError, match=r"x\.npy is not a NumPy array, or is damaged") as refusal:
        load_npy(tmp_path / "x.npy")
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("layout", ["mmpose", "plain_csv"])
def test_a_file_with_holes_is_not_read_into_memory(tmp_path: Path, layout: str) -> None:
    folder = session(tmp_path, layout)
    file = next(folder.glob("cam2*"))
    os.truncate(file, 2**36)
    refused(folder, r"cam2\.\w+: expected 68719 MB of content, but after \d+ bytes nothing was")


def test_half_of_a_surrogate_pair_is_no_name_of_a_joint() -> None:
    body = SKELETONS["coco17"]
    with pytest.raises(ValueError, match=r"needs joint names in Unicode, got 'nose\\ud83d'"):
        replace(body, joints=("nose\ud83d", *body.joints[1:]))


@pytest.mark.parametrize("length", [0, 3, 100, 125, 130, 200, 300])
def test_a_matlab_file_that_is_cut_off_is_one_sentence(tmp_path: Path, length: int) -> None:
    savemat(tmp_path / "annot.mat", {"annot2": np.arange(99.0)}, do_compression=True)
    content = (tmp_path / "annot.mat").read_bytes()
    assert length < len(content)
    (tmp_path / "annot.mat").write_bytes(content[:length])
    with pytest.raises(ReadError, match=r"annot\.mat is not a MATLAB file|annot\.mat: expected"):
        matlab_variable(tmp_path / "annot.mat", "annot2")


@pytest.mark.parametrize("damage", [b"\0", b"(((((((", b"{'a'"])
@pytest.mark.parametrize("compression", [ZIP_DEFLATED, ZIP_STORED])
def test_a_damaged_header_of_an_array_is_one_sentence(
    tmp_path: Path, damage: bytes, compression: int
) -> None:
    save_recording(tmp_path / "x.npz", Scene(frames=3).recording())
    with ZipFile(tmp_path / "x.npz") as archive:
        members = {one.filename: archive.read(one) for one in archive.infolist()}
    header = members["keypoints.npy"]
    members["keypoints.npy"] = header[:10] + damage + header[10 + len(damage) :]
    with ZipFile(tmp_path / "x.npz", "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refused(tmp_path / "x.npz", r"x\.npz is not an npz file, or is damaged")


@pytest.mark.parametrize(
    "name", ["x.npz", "x.json", "x.h5", "x.csv", "calibration.json", "pose-2d"]
)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices_in_a_folder_are_not_opened(tmp_path: Path, name: str, kind: str) -> None:
    folder = session(tmp_path, "sleap")
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/zero")
    (recording,) = read_recordings([str(folder)], ReadSettings())
    assert recording.frame_count == 3


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npz")
    refused(tmp_path / "x.npz", "is a pipe or a device; expected a file or a folder")


def test_links_are_not_followed_in_circles(tmp_path: Path) -> None:
    folder = session(tmp_path, "sleap")
    plain = entries(folder)
    for number in range(12):
        (folder / f"link{number}").symlink_to(folder)
        (folder / f"root{number}").symlink_to("/")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "other").symlink_to(elsewhere)
    assert entries(folder) == sorted([*plain, folder / "other"])
    (recording,) = read_recordings([str(folder)], ReadSettings())
    assert recording.frame_count == 3


def test_a_cell_is_no_longer_than_that_of_a_table(tmp_path: Path) -> None:
    folder = session(tmp_path, "plain_csv")
    file = next(folder.glob("*.csv"))
    lines = file.read_text().splitlines()
    lines[2] = '"' + "9" * (csv.field_size_limit() + 1) + '",' + lines[2]
    file.write_text("\n".join(lines))
    refused(folder, r"\.csv, row 3: a cell of more than 131,072 characters")


def test_a_crowd_is_refused(tmp_path: Path) -> None:
    folder = session(tmp_path, "openpose")
    file = min(folder.rglob("*_json/*.json"))
    content = json.loads(file.read_text())
    content["people"] *= 300
    file.write_text(json.dumps(content))
    refused(folder, "expected at most 256 people in a frame, got 300")


def test_frame_numbers_far_apart_are_refused(tmp_path: Path) -> None:
    folder = session(tmp_path, "plain_csv")
    file = next(folder.glob("*.csv"))
    heading, names, *rows = file.read_text().splitlines()
    cells = rows[0].partition(",")[2]
    far = [f"{90_000 * number},{cells}" for number in range(100)]
    file.write_text("\n".join([heading, names, *far]))
    refused(folder, r"has 100 of the frames 0 to 8910000; the frame numbers are damaged")


def test_more_joints_than_any_body_has_are_refused(tmp_path: Path) -> None:
    folder = session(tmp_path, "dlc_csv")
    file, count = next(folder.glob("*.csv")), 3_000
    parts = [f"p{at}" for at in range(count) for _ in range(3)]
    rows = [
        ["scorer", *["s"] * 3 * count],
        ["bodyparts", *parts],
        ["coords", *["x", "y", "likelihood"] * count],
        ["0", *["1"] * 3 * count],
    ]
    file.write_text("\n".join(",".join(row) for row in rows))
    refused(folder, "expected at most 2000 joints, got 3000")


def test_a_key_of_many_parts_is_refused(tmp_path: Path) -> None:
    folder = session(tmp_path, "sleap")
    (folder / "calibration.toml").write_text(".".join(["a"] * 5_000) + " = 1\n")
    refused(folder, "a key has more than 32 parts")


@pytest.mark.slow
def test_more_cameras_than_any_rig_has_are_refused(tmp_path: Path) -> None:
    folder = session(tmp_path, "sleap")
    camera = (
        "matrix = [[9.0, 0.0, 5.0], [0.0, 9.0, 5.0], [0.0, 0.0, 1.0]]\n"
        "rotation = [0.0, 0.0, 0.0]\ntranslation = [0.0, 0.0, 0.0]\n"
    )
    cameras = [f"[cam_{at}]\n{camera}" for at in range(2_001)]
    (folder / "calibration.toml").write_text("".join(cameras))
    refused(folder, "expected at most 2000 cameras, got 2001")


@pytest.mark.rejects
@pytest.mark.parametrize("name", ["keypoints", "intrinsics", "image_size"])
def test_complex_numbers_are_refused(tmp_path: Path, name: str) -> None:
    save_recording(tmp_path / "x.npz", Scene(frames=3).recording())
    arrays = dict(np.load(tmp_path / "x.npz"))
    np.savez(tmp_path / "x.npz", **{**arrays, name: arrays[name].astype(complex)})
    refused(tmp_path / "x.npz", rf"`{name}` must .*, got torch\.complex128")


@pytest.mark.parametrize("seconds", ["1e-320", "1e12", "-1", "nan"])
def test_a_frame_rate_that_no_camera_has_is_unknown(tmp_path: Path, seconds: str) -> None:
    folder = session(tmp_path, "plain_csv")
    for file in folder.glob("cam*.csv"):
        mark, head, *rows = file.read_text().splitlines()
        cells = [row.split(",") for row in rows]
        timed = [[n, str(float(seconds) * int(n)), *others] for n, _, *others in cells]
        file.write_text("\n".join([mark, head, *map(",".join, timed)]))
    (recording,) = read_recordings([str(folder)], ReadSettings())
    assert recording.fps == 60.0


@pytest.mark.parametrize("rate", [1e-300, 1e300])
def test_a_frame_rate_that_no_camera_has_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"`fps` must be 1e-06 to 1e\+06 frames per second"):
        replace(Scene(views=2, frames=3).recording(), fps=rate)
    with pytest.raises(ValueError, match=r"setting `fps` must be at (least|most) 1"):
        ReadSettings(fps=rate)


def test_complex_tracks_are_refused(tmp_path: Path) -> None:
    folder = session(tmp_path, "sleap")
    for name in folder.glob("cam*.h5"):
        with h5py.File(name, "r+") as file:
            tracks = file["tracks"][()]
            del file["tracks"]
            file["tracks"] = tracks.astype(complex)
    refused(folder, r"tracks: expected real numbers, got complex ones")


def test_a_calibration_beside_unknown_files_is_not_all_there_is(tmp_path: Path) -> None:
    folder = session(tmp_path, "sleap")
    for name in folder.glob("cam*.h5"):
        with h5py.File(name, "r+") as file:
            del file["node_names"]
    found, _, _ = _inspected(str(folder), ReadSettings())
    assert found.warnings[-1].startswith("not read: cam1")


def test_a_recording_without_frames_is_refused(tmp_path: Path) -> None:
    recording = Scene(frames=3).recording()
    empty = replace(recording.frames(slice(0, 0)), name="empty")
    save_recording(tmp_path / "x.npz", empty)
    refused(tmp_path / "x.npz", "the recording 'empty' has no frames")


def refused_layout(tmp_path: Path, layout: str, change: Callable[[str], str], match: str) -> None:
    """Change the text of the first camera's file, and expect a sentence."""
    folder = session(tmp_path, layout)
    file = next(path for path in sorted(folder.iterdir()) if path.suffix != ".toml")
    file.write_text(change(file.read_text()))
    refused(folder, match)


def test_a_truth_is_no_coordinate(tmp_path: Path) -> None:
    def with_truth(text: str) -> str:
        frames = json.loads(text)
        frames[1]["instances"][0]["keypoints"][2][0] = True
        return json.dumps(frames)

    refused_layout(tmp_path, "mmpose", with_truth, "joint 2: expected a number, got True")


def noted(folder: Path) -> list[str]:
    return [note for result in read_results(str(folder), ReadSettings()) for note in result.notes]


def test_points_with_a_negative_confidence_are_said_to_be_missing(tmp_path: Path) -> None:
    folder = session(tmp_path, "mmpose")
    file = next(folder.glob("*.json"))
    frames = json.loads(file.read_text())
    frames[1]["instances"][0]["keypoint_scores"][2] = -0.9
    file.write_text(json.dumps(frames))
    assert any("1 points have a negative confidence: missing" in note for note in noted(folder))


@pytest.mark.parametrize(
    ("seconds", "note"),
    [
        ([33.0, 33.0], "v, usually 1 to 10000; likely cause: times in another unit than seconds"),
        ([33.0, 33.0], "the frame rate is 0.0303 per s by the times in cam1.csv, usually 1 to"),
        ([1 / 30, 1 / 25], "different frame rates are stated, 25 per s by the times in "),
    ],
)
def test_times_in_another_unit_and_different_rates_are_noted(
    tmp_path: Path, seconds: list[float], note: str
) -> None:
    folder = session(tmp_path, "plain_csv")
    for file, step in zip(sorted(folder.glob("*.csv")), seconds, strict=True):
        with file.open() as stream:
            header, *rows = [row for row in csv.reader(stream) if not row[0].startswith("#")]
        if "time" in header:
            at = header.index("time")
            header, *rows = [row[:at] + row[at + 1 :] for row in (header, *rows)]
        rows = [[*row, str(step * number)] for number, row in enumerate(rows)]
        with file.open("w", newline="") as stream:
            csv.writer(stream).writerows([[*header, "time"], *rows])
    assert any(note in one for one in noted(folder))


def test_an_odd_frame_rate_of_a_configuration_is_no_fault_of_times(tmp_path: Path) -> None:
    folder = session(tmp_path, "mmpose")
    (folder / "Config.toml").write_text("[project]\nframe_rate = 20000\n")
    (note,) = [one for one in noted(folder) if "frame rate" in one]
    assert note.endswith(
        "the frame rate is 2e+04 per s by the project's configuration, usually 1 to 10000"
    )


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("frame,camera,a_x,a_y\n0,,1,2\n", "row 2: expected the name of a camera"),
        ("frame,_x,_y\n0,1,2\n", "expected a name for every joint, got a blank one"),
        (
            "frame,left_a_x,left_a_y,LEFT_A_x,LEFT_A_y,right_a_x,right_a_y\n0,1,2,3,4,5,6\n",
            r"\.csv: its joints are no skeleton: .* left_a, right_a twice",
        ),
        (
            "scorer,n,n,n\nbodyparts,a,a,a\ncoords,x,y,likelihood\n",
            "expected rows below the header",
        ),
        (
            "sync_index,port,point_id,img_loc_x,img_loc_y\n0,1,2,3,4\n0,1,2,300,400\n",
            "frame 0, camera cam_1: the file contains point 2 twice",
        ),
    ],
)
def test_what_a_table_cannot_mean_is_refused(tmp_path: Path, table: str, sentence: str) -> None:
    (tmp_path / "tracks.csv").write_text(table)
    refused(tmp_path / "tracks.csv", sentence)


def test_an_analysis_of_sleap_may_have_any_byte_order_but_not_no_joint(tmp_path: Path) -> None:
    file = tmp_path / "cam_1.h5"

    def write(nodes: int, dtype: str) -> None:
        with h5py.File(file, "w") as stream:
            stream["tracks"] = np.full((1, 2, nodes, 3), 300, dtype)
            stream["node_names"] = np.array([f"node {at}" for at in range(nodes)], "S9")

    write(4, ">f4")
    (recording,) = read_recordings([str(file)], ReadSettings())
    assert (recording.keypoints == 300).all()
    write(0, "<f4")
    refused(file, "expected at least one joint, got none")


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"num_joints": 16}, "`num_joints` is 16, but the poses have 17 joints"),
        (
            {"video_metadata": {"v": {"w": 0, "h": -5}}},
            "expected numbers for `w` and `h`, got {'w': 0",
        ),
    ],
)
def test_metadata_that_contradict_the_poses_are_refused(
    tmp_path: Path, metadata: dict[str, object], sentence: str
) -> None:
    positions = np.array({"v": {"custom": [np.full((3, 17, 2), 300.0)]}}, dtype=object)
    file = tmp_path / "data_2d_custom_me.npz"
    np.savez(file, positions_2d=positions, metadata=np.array(metadata, dtype=object))
    refused(file, sentence)


def test_a_word_among_the_numbers_of_a_label_is_shown(tmp_path: Path) -> None:
    folder = session(tmp_path, "ultralytics")
    file = sorted(folder.rglob("*.txt"))[0]
    line = file.read_text().replace(".", ",", 1)
    file.write_text(line)
    refused(folder, "line 1: expected numbers, got '0 ")


def test_the_camera_of_one_track_is_not_named_for_a_folder_or_wrongly(tmp_path: Path) -> None:
    folder = session(tmp_path, "mmpose")
    settings = ReadSettings(filmed_by="nosuch")
    with pytest.raises(ReadError, match="`filmed_by` names the camera of a single 2D track"):
        read_recordings([str(folder)], settings)
    with pytest.raises(ReadError, match="`filmed_by` must be one of cam_1, cam_2, got 'nosuch'"):
        read_recordings([str(next(folder.glob("*.json")))], settings)


def test_a_copy_of_a_file_is_named_as_another_recording(tmp_path: Path) -> None:
    folder = session(tmp_path, "mmpose")
    file = sorted(folder.glob("*.json"))[0]
    (folder / f"{file.stem} (7).json").write_text(file.read_text())
    refused(folder, r"by its name, .* \(7\)\.json is of another recording, '.*7'")


def test_two_names_of_one_camera_in_a_table_are_shown(tmp_path: Path) -> None:
    folder = session(tmp_path, "plain_csv")
    for file in folder.glob("*.csv"):
        file.unlink()
    rows = [f"{frame},{name},1,2" for name in ("cam_1", "CAM_1") for frame in range(2)]
    (folder / "all.csv").write_text("\n".join(["frame,camera,a_x,a_y", *rows]))
    refused(folder, "cam_1 and CAM_1 are both cam_1")


def test_a_camera_without_a_letter_is_found_by_its_whole_name(tmp_path: Path) -> None:
    folder = session(tmp_path, "mmpose")
    file = sorted(folder.glob("*.json"))[0]
    file.rename(folder / "\N{MOVIE CAMERA}.json")
    calibration = folder / "calibration.toml"
    text = calibration.read_text(encoding="utf-8").replace('"cam_1"', '"\N{MOVIE CAMERA}"')
    calibration.write_text(text, encoding="utf-8")
    (recording,) = read_recordings([str(folder)], ReadSettings())
    assert recording.cameras.names[0] == "\N{MOVIE CAMERA}"


def test_a_blank_path_is_not_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(session(tmp_path, "mmpose"))
    with pytest.raises(ReadError, match="there is no file or folder ''"):
        read_recordings([""], ReadSettings())


def test_a_damaged_calibration_is_not_taken_for_unknown_detections(tmp_path: Path) -> None:
    file = tmp_path / "calibration.toml"
    file.write_text('[cam_0]\nmatrix = "x"\nrotation = [0.0]\ntranslation = [0.0]\n')
    with pytest.raises(ReadError) as error:
        _inspected(str(file), ReadSettings())
    assert str(error.value).startswith(f"{file}: `cam_0.matrix`: expected 3 x 3 finite numbers")
    (tmp_path / "cameras.txt").write_text("1 PINHOLE 9 9 9 9 4 4\n")
    (tmp_path / "images.txt").write_text("1 0 0 0 0 0 0 0 1 a.png\n\n")
    file.unlink()
    with pytest.raises(ReadError, match=r"images\.txt: `line 1`: expected a quaternion"):
        _inspected(str(tmp_path), ReadSettings())
    (tmp_path / "table.csv").write_text("frame;nose\n1;2\n")
    with pytest.raises(ReadError, match=r"in no known format .*got frame, nose"):
        _inspected(str(tmp_path / "table.csv"), ReadSettings())


def test_a_skeleton_file_has_no_blank_joint(tmp_path: Path) -> None:
    file = tmp_path / "paw.toml"
    file.write_text('joints = ["a", " "]\nbones = []\nroot = ["a"]\n')
    with pytest.raises(ValueError, match=r"paw\.toml: `joints` must name every joint, got a blank"):
        find_skeleton(str(file))


def test_a_name_of_a_page_leaves_the_place_and_the_cause_in_the_sentence() -> None:
    said = str(ReadError(f"a.json: expected a number in the name {'a' * 9_000!r}, got no digit"))
    assert len(said) < 2_100
    assert said.startswith("a.json: expected a number in the name 'aaa")
    assert said.endswith("aaa', got no digit")
