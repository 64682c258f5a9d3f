"""Laws of OpenCap's calibration, written as its code writes it: a pickled dict per camera."""

import pickle
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings

from multiview_geom import Cameras
from selfsup_lifting.calibration import load_rig
from selfsup_lifting.cli import main
from selfsup_lifting.opencap_file import FILE, LARGEST_FILE
from selfsup_lifting.read_errors import ReadError
from tests.selfsup_lifting.cli.test_cli import printed
from tests.selfsup_lifting.files.damage import DAMAGES, BytesDamage

ROTATION = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
POINTS = np.array([[0.1, -0.2, 0.3], [-0.4, 0.5, 0.1]])


def camera(**changed: object) -> dict[str, object]:
    """The dict of a phone held upright: 720 x 1280 pixels."""
    return {
        "distortion": np.array([[0.1, -0.2, 0.001, -0.002, 0.05]]),
        "intrinsicMat": np.array([[960.5, 0.0, 355.25], [0.0, 961.5, 641.75], [0.0, 0.0, 1.0]]),
        "imageSize": np.array([[1280.0], [720.0]]),
        "rotation": ROTATION,
        "translation": np.array([[120.5], [-340.25], [3900.75]]),
        "rotation_EulerAngles": cv2.Rodrigues(ROTATION)[0],
    } | changed


def written(folder: Path, content: object, name: str = "Cam0", protocol: int = 4) -> Path:
    file = folder / "Videos" / name / FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(pickle.dumps(content, protocol))
    return file


def rig_of(path: Path) -> Cameras:
    return load_rig(path).cameras


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_camera_sees_what_opencv_projects(tmp_path: Path, protocol: int) -> None:
    rig = rig_of(written(tmp_path, camera(), protocol=protocol))
    values = camera()
    expected, _ = cv2.projectPoints(
        1000 * POINTS, values["rotation_EulerAngles"], values["translation"],
        values["intrinsicMat"], values["distortion"],
    )  # fmt: skip
    found = rig.project(rig.intrinsics.new_tensor(POINTS)).pixels[0]
    assert np.allclose(found.numpy(), expected[:, 0], atol=1e-6)
    assert rig.image_size.tolist() == [[720, 1280]]


def test_a_session_is_a_rig_named_by_its_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Cam1", "Cam0"):
        written(tmp_path, camera(), name)
    assert rig_of(tmp_path).names == ("Cam0", "Cam1")
    main(["inspect", str(tmp_path), "--json"])
    assert printed(capsys)["format"] == f"OpenCap {FILE}"


def test_a_size_of_width_and_height_is_told_by_the_principal_point(tmp_path: Path) -> None:
    vicon = camera(imageSize=np.array([[720.0], [1280.0]]))
    assert rig_of(written(tmp_path, vicon)).image_size.tolist() == [[720, 1280]]


BROKEN = {
    "a list": ([1], "expected a dict, as OpenCap writes it, got [1]"),
    "text": (camera(rotation="x"), "rotation: expected an array of numbers, got 'x'"),
    "short": (camera(translation=np.ones(2)), "translation: expected 3 finite numbers"),
    "nan": (camera(rotation=np.full((3, 3), np.nan)), "rotation: expected 9 finite numbers"),
    "six": (camera(distortion=np.ones(6)), "distortion: expected 4 or 5 or 8 or 12 or 14 finite"),
    "half": (camera(imageSize=np.array([0.5, 3.0])), "height and width in whole pixels"),
    "code": (camera(rotation=print), "could run code and is refused"),
}


@pytest.mark.rejects
@pytest.mark.parametrize(("content", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_calibration_is_reported(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(ReadError) as refusal:
        rig_of(written(tmp_path, content))
    assert said in str(refusal.value)


@pytest.mark.rejects
@settings(max_examples=40)
@given(damage=DAMAGES[".npz"])
def test_a_damaged_calibration_is_refused_or_read(
    damage: BytesDamage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = written(tmp_path_factory.mktemp("damaged"), camera())
    damage.inflict(file)
    with suppress(ReadError):
        assert rig_of(file).views == 1


@pytest.mark.rejects
def test_a_file_too_large_for_a_camera_is_not_read(tmp_path: Path) -> None:
    file = written(tmp_path, camera())
    with file.open("ab") as opened:
        opened.truncate(LARGEST_FILE + 1)
    with pytest.raises(ReadError, match=f"expected at most {LARGEST_FILE} bytes, got"):
        rig_of(file)
