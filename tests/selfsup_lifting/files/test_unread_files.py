"""Laws of files that other programs write a little differently, and of those nobody can read."""

from collections.abc import Callable
from pathlib import Path

import pytest
from torch.testing import assert_close

from multiview_geom import save_cameras
from selfsup_lifting.calibration import load_rig
from selfsup_lifting.cli import main
from selfsup_lifting.config_toml import load_settings
from selfsup_lifting.files import ReadError, read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.skeleton.skeleton_file import load_skeleton
from tests.selfsup_lifting.files import layouts
from tests.selfsup_lifting.files.layouts import write_session
from tests.selfsup_lifting.simulation.test_motion_capture import actor
from tests.selfsup_lifting.strategies import Scene

TAKE = Scene(views=2, frames=4, skeleton="coco17").recording()
MARK = b"\xef\xbb\xbf"
SKELETON = 'joints = ["a", "b"]\nroot = ["a"]\nbones = [["a", "b"]]\n'


def spoil(path: Path, change: Callable[[str], str], encoding: str = "utf-8") -> None:
    path.write_bytes(change(path.read_text()).encode(encoding))


def mark(path: Path) -> None:
    """Begin a file with the byte-order mark that Excel and Notepad write."""
    path.write_bytes(MARK + path.read_bytes())


def session(folder: Path, layout: str = "plain_csv") -> Path:
    return write_session(folder / "session", TAKE, layouts.WRITERS[layout])


@pytest.mark.parametrize("layout", ["plain_csv", "dlc_csv", "mmpose", "alphapose", "openpose"])
def test_a_byte_order_mark_changes_nothing(tmp_path: Path, layout: str) -> None:
    folder = session(tmp_path, layout)
    (expected,) = read_recordings([str(folder)], ReadSettings())
    for file in (path for path in folder.rglob("*") if path.is_file()):
        mark(file)
    (folder / "Config.toml").write_bytes(MARK + b"[project]\nframe_rate = 120\n")
    (read,) = read_recordings([str(folder)], ReadSettings())
    assert_close(read.keypoints, expected.keypoints, rtol=0, atol=0, equal_nan=True)
    assert read.fps == 120.0


def test_a_csv_that_begins_with_its_header_may_have_a_mark(tmp_path: Path) -> None:
    folder = session(tmp_path)
    for file in folder.glob("*.csv"):
        spoil(file, lambda text: text.removeprefix("# tracks of my own\n"), "utf-8-sig")
    (read,) = read_recordings([str(folder)], ReadSettings())
    assert_close(read.keypoints, TAKE.keypoints, rtol=0, atol=1e-3, equal_nan=True)


def test_motion_skeletons_and_settings_may_have_a_mark(tmp_path: Path) -> None:
    (tmp_path / "clip.bvh").write_text(actor())
    (tmp_path / "body.toml").write_text(SKELETON)
    (tmp_path / "settings.toml").write_text("source_fps = 25.0\n")
    for file in tmp_path.iterdir():
        mark(file)
    (recording,) = read_recordings([str(tmp_path / "clip.bvh")], ReadSettings())
    assert recording.frame_count == 3
    assert load_skeleton(tmp_path / "body.toml").joints == ("a", "b")
    assert load_settings(tmp_path / "settings.toml", ReadSettings()).source_fps == 25.0
    (tmp_path / "settings.toml").write_text("source_fps = 50.0\n", "utf-16")  # as PowerShell does
    assert load_settings(tmp_path / "settings.toml", ReadSettings()).source_fps == 50.0


def test_a_calibration_of_colmap_may_have_a_mark(tmp_path: Path) -> None:
    save_cameras(tmp_path, TAKE.cameras, format="colmap")
    for file in tmp_path.iterdir():
        file.write_text("# written by COLMAP\n" + file.read_text())
        mark(file)
    assert load_rig(tmp_path).cameras.views == 2


SPREADSHEETS: dict[str, Callable[[Path], None]] = {
    "semicolons": lambda path: spoil(path, lambda text: text.replace(",", ";")),
    "decimal commas": lambda path: spoil(
        path, lambda text: text.replace(",", ";").replace(".", ",")
    ),
    "tabs": lambda path: spoil(path, lambda text: text.replace(",", "\t")),
    "utf-16": lambda path: spoil(path, str, "utf-16"),
    "tabs in utf-16": lambda path: spoil(path, lambda text: text.replace(",", "\t"), "utf-16"),
    "line ends of Windows": lambda path: spoil(path, lambda text: text.replace("\n", "\r\n")),
}


@pytest.mark.parametrize("layout", ["plain_csv", "dlc_csv", "dlc_csv_of_several"])
@pytest.mark.parametrize("kind", SPREADSHEETS)
def test_a_table_is_read_as_a_spreadsheet_saves_it(tmp_path: Path, kind: str, layout: str) -> None:
    folder = session(tmp_path, layout)
    (before,) = read_recordings([str(folder)], ReadSettings())
    for file in folder.glob("cam*.csv"):
        SPREADSHEETS[kind](file)
    (after,) = read_recordings([str(folder)], ReadSettings())
    assert_close(after.keypoints, before.keypoints, rtol=0, atol=0, equal_nan=True)
    assert_close(after.confidence, before.confidence, rtol=0, atol=0)


UNREADABLE: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: spoil(path, lambda _: ""),
    "no frame": lambda path: spoil(path, lambda text: text.replace("frame", "row")),
    "in space": lambda path: spoil(path, lambda text: text.replace("_confidence", "_z")),
}


@pytest.mark.rejects
@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_camera_file_that_nobody_can_read_is_named(tmp_path: Path, kind: str) -> None:
    folder = session(tmp_path)
    UNREADABLE[kind](folder / "cam2.csv")
    sentence = r"without detections: cam_2; .*; cam2\.csv is in no known format( \(.*\))?$"
    with pytest.raises(ReadError, match=sentence):
        read_recordings([str(folder)], ReadSettings())


@pytest.mark.rejects
def test_an_empty_list_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    folder = session(tmp_path, "mmpose")
    (folder / "cam2.json").write_text("[]")
    (folder / "cam2_json").mkdir()
    with pytest.raises(ReadError, match=r"cam2\.json is in no known format; cam2_json is in no"):
        read_recordings([str(folder)], ReadSettings())


@pytest.mark.rejects
def test_a_folder_in_which_nothing_can_be_read_names_what_lies_there(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"cam{number}.csv").write_text("x")
    with pytest.raises(ReadError, match=r"; cam0\.csv, .*cam3\.csv and 2 more: in no known format"):
        read_recordings([str(tmp_path)], ReadSettings())


def test_points_in_space_are_no_tracks(tmp_path: Path) -> None:
    """What `triangulate --out points.csv` writes may lie beside the tracks."""
    folder = session(tmp_path)
    (folder / "points.csv").write_text("# {}\nframe,nose_x,nose_y,nose_z\n0,0.1,0.2,1.5\n")
    (read,) = read_recordings([str(folder)], ReadSettings())
    assert_close(read.keypoints, TAKE.keypoints, rtol=0, atol=1e-3, equal_nan=True)


@pytest.mark.parametrize("layout", ["openpose", "mmpose"])
def test_a_folder_called_like_a_file_is_passed_over(tmp_path: Path, layout: str) -> None:
    folder = session(tmp_path, layout)
    for place in [folder, *(path for path in folder.iterdir() if path.is_dir())]:
        (place / "x.json").mkdir()
    (read,) = read_recordings([str(folder)], ReadSettings())
    assert_close(read.keypoints, TAKE.keypoints, rtol=0, atol=1e-3, equal_nan=True)


@pytest.mark.rejects
def test_a_joint_that_a_header_names_twice_is_reported(tmp_path: Path) -> None:
    path = layouts.plain_csv(tmp_path, TAKE, 0)
    spoil(path, lambda text: text.replace("left_eye_x", "nose_x"))
    with pytest.raises(ReadError, match=r"nose_x appears twice$"):
        read_recordings([str(path)], ReadSettings())


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[[", "[[1.5, ", r"keypoints\[0\], joint 0: expected 2 numbers, got \[1\.5, "),
        ("[[", '[["x", ', r"keypoints\[0\]\[0\], joint 0: expected a number, got 'x'"),
        ('keypoint_scores": [', 'keypoint_scores": ["x", ', r"scores\[0\], joint 0: .* got 'x'"),
    ],
)
def test_a_bad_number_is_reported_with_its_joint(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    path = layouts.mmpose(tmp_path, TAKE, 0)
    spoil(path, lambda text: text.replace(old, new, 1))
    with pytest.raises(ReadError, match=sentence):
        read_recordings([str(path)], ReadSettings())


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--cameras", "there is no calibration file nosuch.toml"),
        ("--detected-skeleton", "there is no skeleton file nosuch.toml"),
    ],
)
def test_a_file_that_is_not_there_is_reported_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, sentence: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["inspect", str(session(tmp_path)), option, "nosuch.toml"])
    assert " ".join(capsys.readouterr().err.split()) == f"selfsup-lifting: {sentence}"


@pytest.mark.rejects
@pytest.mark.parametrize("command", ["inspect", "triangulate"])
@pytest.mark.parametrize("name", ["x.json", "x.csv", "x.toml", "x.h5", "x.npz", "x.bvh", "x.cal"])
def test_a_folder_called_like_a_file_ends_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, command: str
) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(SystemExit, match="2"):
        main([command, str(tmp_path / name)])
    message = capsys.readouterr().err
    assert name in "".join(message.split())
    assert "Errno" not in message


OTHER_KINDS = {
    "a.csv": ("frame,nose_x,nose_y,nose_z\n0,1,2,3\n", "3D points"),
    "b.csv": (",sync_index,point_id,x_coord,y_coord,z_coord\n0,0,0,1,2,3\n", "3D points"),
    "c.csv": ("scorer,me,me,me\nbodyparts,a,a,a\ncoords,x,y,z\n0,1,2,3\n", "3D points"),
    "d.csv": ("track,frame_idx,instance.score,nose.x\n,0,1,2\n", "a table of SLEAP"),
    "e.csv": ("frame,joint,x,y\n0,nose,1,2\n", "a row per joint; expected `frame`"),
    "f.csv": ("frame,x_nose,y_nose\n0,1,2\n", "expected `frame`.*, got frame, x_nose"),
    "g.json": ('{"images": [{"file_name": "a"}], "annotations": []}', "annotations of COCO"),
    "j.json": ('[{"bodyparts": [[[1, 2, 0.9]]]}]', "poses of DeepLabCut's SuperAnimal as JSON"),
    "k.txt": ("landmark {\n  x: 0.5\n", "landmarks of MediaPipe as Python prints them"),
    "l.json": (
        '{"labels": [0], "scores": [0.9], "bboxes": [[1, 2, 3, 4]]}',
        "boxes of MMDetection",
    ),
    "h.slp": ("x", "a project of SLEAP"),
    "m.nwb": ("x", "tracks in NWB"),
    "r.nc": ("x", "netCDF, as the package movement saves poses: its `save_poses.to_sleap"),
    "n.jsonl": ('{"keypoints": []}\n{"keypoints": []}\n', "lines of a stream: `predict RUN"),
    "o.json": ("[[0.5, 0.25, 0.0, 0.9]]", "lists of numbers without names"),
    "p.csv": ("# frame,nose_x,nose_y\n0,1,2\n", "a header after #"),
    "q.csv": (""","('net', 'nose', 'x')","('net', 'nose', 'y')"\n0,1,2\n""", "a table of pandas"),
    "s.csv": ("bodyparts,a,a,a\ncoords,x,y,likelihood\n0,1,2,1\n", "a table of DeepLabCut without"),
    "t.json": ("", "an empty file; likely cause: a full disk"),
    "u.csv": ("\0" * 300, "zeros .NUL.: it was not written to its end"),
    "v.csv": ("../all/cam_2.csv", "a link that git wrote as text: it names ../all/cam_2.csv"),
    "x": ("../all/cam_2_json", "a link that git wrote as text: it names ../all/cam_2_json"),
    "i.trc": ("PathFileType", "3D points.*; `view` shows them"),
}


@pytest.mark.rejects
@pytest.mark.parametrize("name", OTHER_KINDS)
def test_what_a_file_of_another_kind_is_is_said(tmp_path: Path, name: str) -> None:
    text, kind = OTHER_KINDS[name]
    (tmp_path / name).write_text(text)
    for source in (str(tmp_path / name), str(tmp_path)):
        with pytest.raises(ReadError, match=rf"in no known format \({kind}"):
            read_recordings([source], ReadSettings())
        if name.endswith(".trc"):  # results may lie beside detections
            return


@pytest.mark.rejects
def test_what_lies_in_folders_below_is_named_once_for_each_suffix(tmp_path: Path) -> None:
    for name in ("cam1/preds/0.json", "cam1/preds/1.json", "cam2/preds/0.json", "cam1/x/a.pkl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(OTHER_KINDS["l.json"][0])
    save_cameras(tmp_path / "calibration.json", TAKE.cameras, format="opencv-json")
    save_cameras(tmp_path / "cam1" / "calibration.json", TAKE.cameras, format="opencv-json")
    with pytest.raises(ReadError) as caught:
        read_recordings([str(tmp_path)], ReadSettings())
    assert "cam1/preds/0.json: in no known format (boxes" in str(caught.value)
    assert "cam1/x/a.pkl: in no known format (a Python pickle" in str(caught.value)
    assert "1.json" not in str(caught.value)


@pytest.mark.rejects
def test_a_folder_with_a_calibration_alone_is_told_so(tmp_path: Path) -> None:
    save_cameras(tmp_path / "calibration.json", TAKE.cameras, format="opencv-json")
    with pytest.raises(ReadError, match=r"it holds a calibration, calibration\.json, and no det"):
        read_recordings([str(tmp_path)], ReadSettings())


@pytest.mark.rejects
def test_labels_without_joints_and_the_folder_of_a_training_are_named(tmp_path: Path) -> None:
    labels = tmp_path / "cam_1" / "labels"
    labels.mkdir(parents=True)
    (labels / "cam_1_1.txt").write_text("0 0.5 0.5 0.2 0.5\n")
    with pytest.raises(ReadError, match="labels of Ultralytics without 17 keypoints"):
        read_recordings([str(tmp_path)], ReadSettings())
    (tmp_path / "checkpoint.json").write_text("{}")
    with pytest.raises(ReadError, match="the folder of a training, not data"):
        read_recordings([str(tmp_path)], ReadSettings())


@pytest.mark.rejects
@pytest.mark.parametrize("layout", ["plain_csv", "dlc_csv", "sleap", "openpose"])
def test_a_pointer_of_git_lfs_is_named(tmp_path: Path, layout: str) -> None:
    folder = session(tmp_path, layout)
    file = max((path for path in folder.rglob("*") if path.suffix != ".toml"), key=str)
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(ReadError, match="a pointer of Git LFS: `git lfs pull` fetches"):
        read_recordings([str(folder)], ReadSettings())
