"""Laws of calibration files: unit of length, image sizes, cameras that cannot be right."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from multiview_geom import Cameras, ring_of_cameras, save_cameras
from multiview_geom.camera_files import format_of_suffix
from selfsup_lifting import calibration
from selfsup_lifting.calibration import Rig, load_rig
from selfsup_lifting.files import ReadError, read_recordings
from selfsup_lifting.read_settings import METERS_PER_UNIT, ReadSettings, meters_per_unit
from tests.multiview_geom.camera_files.calibration_texts import QUALISYS
from tests.selfsup_lifting.files import layouts
from tests.selfsup_lifting.files.layouts import save_calibration
from tests.selfsup_lifting.strategies import Scene


def ring(width: float) -> Cameras:
    """Place two cameras opposite each other, the given distance apart."""
    return ring_of_cameras(2, width / 2, 0.1 * width, dtype=torch.float64)


def width(rig: Rig) -> float:
    """Return the distance between the two cameras [m]."""
    first, second = rig.cameras.centers
    return float((first - second).norm())


def test_the_unit_that_a_format_fixes_is_used(tmp_path: Path) -> None:
    """MPI-INF-3DHP's format is in millimeters, however small the rig."""
    save_cameras(tmp_path / "camera.calibration", ring(80.0))
    rig = load_rig(tmp_path / "camera.calibration")
    assert width(rig) == pytest.approx(0.08)
    assert not [note for note in rig.notes if "unit" in note]


def test_a_stadium_in_a_format_of_meters_stays_as_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "calib.toml"
    save_cameras(path, ring(160.0))
    file = calibration.read_camera_file(path)
    in_meters = replace(file, format=replace(file.format, unit="m"))
    monkeypatch.setattr(calibration, "read_camera_file", lambda *_, **__: in_meters)
    assert width(load_rig(path)) == pytest.approx(160.0)


@pytest.mark.parametrize(("apart", "meters", "unit"), [(8000.0, 8.0, "mm"), (8.0, 8.0, "m")])
def test_a_guessed_unit_is_said(tmp_path: Path, apart: float, meters: float, unit: str) -> None:
    path = tmp_path / "calib.toml"
    save_cameras(path, ring(apart))
    rig = load_rig(path)
    assert width(rig) == pytest.approx(meters)
    assert (
        f"does not say its unit of length; taken as {unit}: the cameras are up to 8 m"
        in rig.notes[0]
    )


@pytest.mark.parametrize(
    ("apart", "doubt"),
    [
        (693.0, "up to 0.693 m apart; cm (6.93 m) and inch (17.6 m) would also be possible"),
        (77.9, "up to 77.9 m apart, which is unusual; cm (0.779 m) and mm (0.0779 m) and inch"),
        (8.0, "up to 8 m apart; --unit overrules this"),
    ],
)
def test_a_doubtful_guess_names_the_other_units(tmp_path: Path, apart: float, doubt: str) -> None:
    save_cameras(tmp_path / "calib.toml", ring(apart))
    assert doubt in load_rig(tmp_path / "calib.toml").notes[0]


@pytest.mark.rejects
@pytest.mark.parametrize("unit", ["ft", "0", "-1", "nan", "inf", ""])
def test_a_unit_is_a_name_or_a_length(unit: str) -> None:
    with pytest.raises(ValueError, match="`unit` must be m, cm, mm, inch or a number of meters"):
        ReadSettings(unit=unit)


@given(st.sampled_from([*METERS_PER_UNIT, "0.054"]), st.sampled_from([0.5, 80.0, 160.0, 5000.0]))
def test_a_unit_in_the_settings_overrules_every_guess(
    tmp_path_factory: pytest.TempPathFactory, unit: str, apart: float
) -> None:
    path = tmp_path_factory.mktemp("rig") / "calib.toml"
    save_cameras(path, ring(apart))
    rig = load_rig(path, unit=unit)
    assert width(rig) == pytest.approx(meters_per_unit(unit) * apart)
    assert not rig.notes


def test_a_unit_in_the_settings_overrules_the_format(tmp_path: Path) -> None:
    path = tmp_path / "camera.calibration"
    save_cameras(path, ring(3.0))
    assert width(load_rig(path, unit="m")) == pytest.approx(3.0)


def test_a_session_is_read_in_the_unit_of_the_settings(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=2, skeleton="coco17").recording()
    inches = replace(recording, cameras=recording.cameras.scaled(1 / 0.0254))
    save_calibration(tmp_path / "calibration.toml", inches, ["cam1", "cam2"])
    for view in range(2):
        layouts.mmpose(tmp_path, recording, view)
    (read,) = read_recordings([str(tmp_path)], ReadSettings(unit="inch"))
    assert_close(read.cameras.centers, recording.cameras.centers, rtol=0, atol=1e-6)


def test_a_calibration_without_image_sizes_gets_them(tmp_path: Path) -> None:
    save_cameras(tmp_path / "calib.toml", replace(ring(8.0), image_size=None))
    rig = load_rig(tmp_path / "calib.toml")
    assert rig.cameras.image_size is not None
    assert rig.cameras.image_size.tolist() == [[1000, 1000], [1000, 1000]]
    assert "has no image sizes" in rig.notes[0]


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("row", "wrong", "sentence"),
    [
        (0, [0.0, 0.0, 500.0], ", camera cam_2: expected focal lengths above 0 px, got 0 and 1145"),
        (1, [0.0, -1.0, 500.0], ", camera cam_2: expected focal lengths above 0 px, got 1145 and "),
        (2, [0.0, 0.0, 0.0], ": `cam_2`: expected 0, 0, 1 in the last row of the intrinsic matri"),
    ],
)
def test_a_camera_that_could_not_take_a_picture_is_refused(
    tmp_path: Path, row: int, wrong: list[float], sentence: str
) -> None:
    cameras = replace(ring(8.0), names=("cam_1", "cam_2"))
    cameras.intrinsics[1, row] = torch.tensor(wrong, dtype=torch.float64)
    written = format_of_suffix(tmp_path / "calib.toml")
    assert written is not None
    assert written.write is not None
    written.write(tmp_path / "calib.toml", cameras, "S1")  # save_cameras refuses some of them
    with pytest.raises(ReadError, match=rf"calib\.toml{sentence}"):
        load_rig(tmp_path / "calib.toml")


def test_the_notes_of_a_file_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "rig.qca.txt"
    path.write_text(QUALISYS.replace('active="1"', 'active="0"'))
    (note,) = load_rig(path).notes
    assert 'camera 26578 is marked active="0"' in note


def test_a_file_without_subjects_has_the_cameras_of_every_subject(tmp_path: Path) -> None:
    save_cameras(tmp_path / "rig.toml", ring_of_cameras(2, radius=4.0, height=1.0))
    assert load_rig(tmp_path / "rig.toml", subject="S9").cameras.views == 2
