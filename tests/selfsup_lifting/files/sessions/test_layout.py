"""Laws of layouts: the same recording, however its files lie on disk."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from torch.testing import assert_close

from multiview_geom import save_cameras
from selfsup_lifting.files import ReadError, read_recordings, read_results
from selfsup_lifting.files.detectors import find_format
from selfsup_lifting.read_settings import ReadSettings
from tests.selfsup_lifting.files import layouts
from tests.selfsup_lifting.files.layouts import write_session
from tests.selfsup_lifting.simulation.test_motion_capture import actor
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


def test_detections_in_a_second_folder_of_a_camera_are_named(tmp_path: Path) -> None:
    folder = moved(tmp_path / "session", LAYOUTS["predictions per camera"])
    for file in sorted(folder.glob("cam?/predictions/walk.json")):
        shutil.copy(file, file.parent.parent / "raw.json")
    (result,) = read_results(str(folder), ReadSettings())
    told = (
        f"{folder}: uses the detections in cam1/predictions, not those in cam1, and likewise of 2 "
        "other cameras"
    )
    assert told in result.notes


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
def test_detections_one_folder_deeper_than_others_are_named(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "session", TAKE, layouts.mmpose)
    for view in (1, 2, 3):
        home = folder / f"cam_{view}" / ("final" if view == 3 else "")
        home.mkdir(parents=True)
        (folder / f"cam{view}.json").rename(home / f"cam{view}.json")
    with pytest.raises(ReadError, match=r"cam_3/final/cam3\.json is one folder deeper"):
        read_recordings([str(folder)], ReadSettings())


def test_detections_beside_a_clip_are_not_passed_over_in_silence(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "session", TAKE, layouts.mmpose)
    (folder / "clip.bvh").write_text(actor())
    (result,) = read_results(str(folder), ReadSettings())
    assert any("motion capture is read, not its detections" in one for one in result.notes)


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


def table_of_all(folder: Path, names: Sequence[str]) -> Path:
    """Write the tracks of all cameras into one table."""
    write_session(folder, TAKE, layouts.plain_csv)
    rows = []
    for view, name in enumerate(names, start=1):
        _, header, *body = (folder / f"cam{view}.csv").read_text().splitlines()
        rows += [f"{name},{row}" for row in body]
    for path in folder.glob("cam?.csv"):
        path.unlink()
    (folder / "tracks.csv").write_text("\n".join([f"camera,{header}", *rows]))
    return folder


@pytest.mark.rejects
def test_an_unknown_camera_of_a_table_is_named_with_a_guess(tmp_path: Path) -> None:
    folder = table_of_all(tmp_path / "session", ["cam1", "cam2", "Kamera"])
    with pytest.raises(ReadError) as refusal:
        read_recordings([str(folder)], ReadSettings())
    assert str(refusal.value).endswith(
        f"calibration.toml and {folder} have different cameras: without detections: cam_3; without "
        "calibration: Kamera; if these pairs are right, add --map cam_3=Kamera"
    )
    assert refusal.value.details.splitlines() == [
        "  camera  file (a guess by its name)",
        "  cam_3   Kamera",
    ]
    (read,) = read_recordings([str(folder)], ReadSettings(map=("cam_3=Kamera",)))
    assert_close(read.keypoints, TAKE.keypoints, rtol=0, atol=1e-3, equal_nan=True)


@pytest.mark.rejects
def test_a_table_of_all_cameras_may_not_be_called_like_one(tmp_path: Path) -> None:
    folder = table_of_all(tmp_path / "session", ["cam1", "cam2", "cam3"])
    (folder / "tracks.csv").rename(folder / "cam1.csv")
    for view in (1, 2):
        layouts.plain_csv(folder, TAKE, view)
    with pytest.raises(ReadError, match=r"cam1\.csv: expected one camera, got 3: "):
        read_recordings([str(folder)], ReadSettings())


@pytest.mark.rejects
def test_a_folder_of_no_camera_is_named(tmp_path: Path) -> None:
    folder = moved(tmp_path / "session", LAYOUTS["a folder per camera"])
    (folder / "notes").mkdir()
    shutil.copy(folder / "cam1" / "walk.json", folder / "notes" / "walk.json")
    with pytest.raises(ReadError, match=r"detections: none; without calibration: notes$"):
        read_recordings([str(folder)], ReadSettings())


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (
            "calibration.toml",
            r"calibration \S+calibration\.toml: expected a calibration in TOML, got ",
        ),
        ("Config.toml", r"Config\.toml is not a TOML file, or is damaged: "),
        ("calib/a.cal", r"calibration \S+calib"),
        (None, r"expected a calibration \(calibration/\*\.toml or calib\*\.toml\), got none; "),
    ],
)
def test_a_damaged_calibration_of_folders_per_camera_is_named(
    tmp_path: Path, file: str | None, sentence: str
) -> None:
    folder = moved(tmp_path / "session", LAYOUTS["a folder per camera"])
    (folder / "calibration.toml").unlink()
    if file is not None:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text("[[[")
    with pytest.raises(ReadError, match=sentence):
        read_recordings([str(folder)], ReadSettings())


@pytest.mark.rejects
def test_a_configuration_that_is_no_text_is_named(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "session", TAKE, layouts.mmpose)
    (folder / "Config.toml").write_bytes(b"frame_rate = \xff")
    with pytest.raises(ReadError, match=r"Config\.toml: not a text file in UTF-8: .* at byte 13$"):
        read_recordings([str(folder)], ReadSettings())


@pytest.mark.rejects
def test_one_folder_of_frames_is_no_session(tmp_path: Path) -> None:
    home = layouts.openpose(tmp_path, TAKE, 0)
    with pytest.raises(ReadError, match="expected a folder with detections, one file or folder"):
        read_recordings([f"capture:{home}"], ReadSettings())


def test_a_pipe_is_in_no_format(tmp_path: Path) -> None:
    for name in ("a.json", "a.csv", "a.h5", "a.npz", "a.txt", "2dData_numCams_a.npy"):
        os.mkfifo(tmp_path / name)
        assert find_format(tmp_path / name) is None


def test_tracks_that_were_proofread_are_preferred(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "session", TAKE, layouts.plain_csv)
    for view in range(3):
        inside = folder / f"cam_{view + 1}"
        inside.mkdir()
        (folder / f"cam{view + 1}.csv").rename(inside / "analysis.csv")
        shutil.copy(inside / "analysis.csv", inside / "proofread.analysis.csv")
    (result,) = read_results(str(folder), ReadSettings())
    assert any("uses proofread.analysis.csv, not analysis.csv" in one for one in result.notes)


def test_a_take_that_is_in_a_folder_of_less_refined_tracks_alone_is_named(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "session", TAKE, layouts.plain_csv)
    refined, raw = folder / "pose-2d-filtered", folder / "pose-2d"
    for place in (refined, raw):
        place.mkdir()
    for view in range(3):
        name = f"cam{view + 1}.csv"
        for copy in (refined / f"walk-{name}", raw / f"walk-{name}", raw / f"run-{name}"):
            shutil.copy(folder / name, copy)
        (folder / name).unlink()
    (result,) = read_results(str(folder), ReadSettings())
    assert any("pose-2d-filtered has no run-cam1.csv, run-cam2.csv" in one for one in result.notes)


@pytest.mark.rejects
def test_a_table_whose_camera_is_not_that_of_its_name_is_refused(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "session", TAKE, layouts.plain_csv)
    remark, header, *rows = (folder / "cam1.csv").read_text().splitlines()
    of_another = [remark, f"camera,{header}", *(f"cam_2,{row}" for row in rows)]
    (folder / "cam1.csv").write_text("\n".join(of_another))
    with pytest.raises(ReadError, match=r"cam1\.csv: expected the camera cam_1, .* got cam_2"):
        read_recordings([str(folder)], ReadSettings())


@pytest.mark.rejects
def test_a_file_of_more_tracks_than_cameras_is_refused(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "session", TAKE, layouts.plain_csv)
    for view in range(3):
        (folder / f"cam{view + 1}.csv").unlink()
    rows = [f"{camera},0,1,2" for camera in ("A 1", "A 2", "A 3", "B 1")]
    (folder / "all.csv").write_text("\n".join(["camera,frame,nose_x,nose_y", *rows]))
    with pytest.raises(ReadError, match=r"one track for each of the 3 cameras .*, got 4: A 1, A 2"):
        read_recordings([str(folder)], ReadSettings())
