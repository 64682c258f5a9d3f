"""Laws of layouts: the same recording, however its files lie on disk."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from torch.testing import assert_close

from multiview_geom import save_cameras
from selfsup_lifting.files import ReadError, read_recordings, read_results
from selfsup_lifting.read_settings import ReadSettings
from tests.selfsup_lifting.files import layouts
from tests.selfsup_lifting.files.layouts import write_session
from tests.selfsup_lifting.strategies import Scene

TAKE = Scene(views=3, frames=4, skeleton="coco17").recording()


def moved(folder: Path, change: Callable[[Path], Path]) -> Path:
    """Write MMPose's files of a session, and move each to another place."""
    write_session(folder, TAKE, layouts.mmpose)
    for file in sorted(folder.glob("cam?.json")):
        place = change(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.rename(place)
    return folder


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "beside each other": lambda file: file,
    "a folder of predictions": lambda file: file.parent / "predictions" / file.name,
    "a folder per camera": lambda file: file.parent / file.stem / "walk.json",
    "a folder per camera, named again": lambda file: (
        file.parent / file.stem / f"walk_{file.stem}.json"
    ),
    "predictions per camera": lambda file: file.parent / file.stem / "predictions" / "walk.json",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_session_is_read_whatever_its_layout(tmp_path: Path, layout: str) -> None:
    folder = moved(tmp_path / "session", LAYOUTS[layout])
    (read,) = read_recordings([str(folder)], ReadSettings())
    assert read.name == "session"
    assert read.cameras.names == ("cam_1", "cam_2", "cam_3")
    assert_close(read.keypoints, TAKE.keypoints, rtol=0, atol=0, equal_nan=True)


def test_folders_per_camera_may_hold_several_recordings(tmp_path: Path) -> None:
    folder = moved(tmp_path / "session", LAYOUTS["a folder per camera"])
    for file in sorted(folder.glob("cam?/walk.json")):
        shutil.copy(file, file.with_name("run.json"))
    names = [one.name for one in read_recordings([str(folder)], ReadSettings())]
    assert names == ["session run", "session walk"]


def test_a_session_of_several_sessions_with_folders_per_camera(tmp_path: Path) -> None:
    for name in ("one", "two"):
        moved(tmp_path / "study" / name, LAYOUTS["a folder per camera"])
    names = [one.name for one in read_recordings([str(tmp_path / "study")], ReadSettings())]
    assert names == ["one", "two"]


def test_the_intrinsics_of_easymocap_beside_the_data_are_found(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "session", TAKE, layouts.mmpose)
    (folder / "calibration.toml").unlink()
    save_cameras(folder, TAKE.cameras, format="easymocap")
    (read,) = read_recordings([str(folder)], ReadSettings())
    assert_close(read.cameras.projections, TAKE.cameras.projections, rtol=0, atol=1e-6)


def test_hdf5_is_preferred_to_text_and_the_choice_is_named(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "session", TAKE, layouts.dlc_csv)
    for view in range(3):
        layouts.dlc_h5(folder, TAKE, view)
    (result,) = read_results(str(folder), ReadSettings())
    assert result.recording.source.format == "DeepLabCut"
    assert any(
        "uses cam1DLC_resnet50.h5, not cam1DLC_resnet50.csv, and likewise of 2 other" in note
        for note in result.notes
    )


@pytest.mark.rejects
def test_tracks_of_two_networks_are_named_and_refused(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "session", TAKE, layouts.dlc_csv)
    path = folder / "cam1DLC_resnet50.csv"
    shutil.copy(path, folder / "cam1DLC_mobilenet.csv")
    sentence = r"with several detections: cam_1 \(cam1DLC_mobilenet.csv, cam1DLC_resnet50.csv\)"
    with pytest.raises(ReadError, match=sentence):
        read_recordings([str(folder)], ReadSettings())


def test_a_camera_without_rows_in_the_table_of_all_is_left_out(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "session", TAKE, layouts.plain_csv)
    rows = []
    for view in (0, 2):
        path = folder / f"cam{view + 1}.csv"
        _, header, *body = path.read_text().splitlines()
        rows += [f"cam{view + 1},{row}" for row in body]
    for path in folder.glob("cam?.csv"):
        path.unlink()
    (folder / "tracks.csv").write_text("\n".join([f"camera,{header}", *rows]))
    (result,) = read_results(str(folder), ReadSettings())
    assert result.recording.cameras.names == ("cam_1", "cam_3")
    assert any("has no rows of cam_2, which are left out" in note for note in result.notes)
