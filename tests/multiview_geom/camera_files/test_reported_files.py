"""Calibration files that users reported: each holds a value that was once read wrongly."""

import re
from pathlib import Path

import pytest
import torch
from scipy.io import savemat

from multiview_geom import CameraFileError, Lens, load_cameras, read_camera_file
from tests.multiview_geom.camera_files import calibration_texts as texts
from tests.multiview_geom.camera_files.calibration_texts import file_of
from tests.multiview_geom.camera_files.texts_of_tools import VICON
from tests.multiview_geom.tolerances import ROUND_OFF, assert_close


@pytest.mark.parametrize("removed", [0, 1])
def test_a_removed_camera_renames_no_other_one(removed: int, tmp_path: Path) -> None:
    tables = texts.ANIPOSELIB.split("\n\n")
    rig = load_cameras(file_of(tmp_path, "\n\n".join(tables[:removed] + tables[removed + 1 :])))
    assert rig.names == (("left", "right")[1 - removed],)


def test_the_name_inside_counts_whatever_the_tables_are_called(tmp_path: Path) -> None:
    text = texts.ANIPOSELIB.replace("cam_0", "first").replace("cam_1", "second")
    assert load_cameras(file_of(tmp_path, text)).names == ("left", "right")


@pytest.mark.parametrize("text", [texts.CALISCOPE, texts.CALISCOPE_PROJECT])
def test_both_layouts_of_caliscope_hold_the_cameras_with_a_pose(text: str, tmp_path: Path) -> None:
    found = read_camera_file(file_of(tmp_path, text))
    assert (found.format.name, found.unit) == ("caliscope", "m")
    assert found.cameras.names == ("cam_0", "cam_2")
    R = torch.tensor([[0.8, 0.6, 0.0], [0.0, 0.0, -1.0], [-0.6, 0.8, 0.0]]).double()
    assert_close(found.cameras.camera_from_world[0, :3, :3], R, atol=1e-7)
    assert found.cameras.camera_from_world[1, :3, 3].tolist() == [0.5, 0.25, 1.5]


def test_tables_of_cameras_without_a_number_have_their_names(tmp_path: Path) -> None:
    inside = texts.ANIPOSELIB.replace("[cam_", "[cameras.cam_")
    assert load_cameras(file_of(tmp_path, inside)).names == ("left", "right")
    without = re.sub("name = .*\n", "", inside)
    assert load_cameras(file_of(tmp_path, without)).names == ("cam_0", "cam_1")
    assert load_cameras(file_of(tmp_path, without.replace("s.cam_", "s."))).names == (
        "cam_0", "cam_1",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["intrinsics.yml", "extrinsics.yml", ""])
def test_a_pair_in_two_files_is_found_from_either(name: str, tmp_path: Path) -> None:
    (tmp_path / "intrinsics.yml").write_text(texts.STEREO_INTRINSICS)
    (tmp_path / "extrinsics.yml").write_text(texts.STEREO_EXTRINSICS)
    rig = load_cameras(tmp_path / name)
    assert_close(
        (rig.centers[1] - rig.centers[0]).norm(), torch.tensor(32.0).sqrt().double(), atol=1e-6
    )
    assert rig.intrinsics[:, 0, 0].tolist() == [1100.0, 1100.0]


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (texts.STEREO_INTRINSICS, "expected `R` and `T` of the pair, in this file or in extrins"),
        (texts.STEREO_EXTRINSICS, "expected the lenses `M1`, `D1`, `M2`, `D2` beside it in intri"),
    ],
)
def test_half_of_a_pair_asks_for_the_other_file(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(CameraFileError, match=expected):
        load_cameras(file_of(tmp_path, text))


def test_qualisys_may_count_whole_pixels(tmp_path: Path) -> None:
    rig = load_cameras(file_of(tmp_path, texts.QUALISYS_IN_PIXELS))
    assert rig.intrinsics[0, 0].tolist() == [2100.0, 0.0, 960.0]


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        ('active="1" calibrated="true"', ""),
        ('active="0"', 'active="0"'),
        ('active="0" calibrated="false"', 'calibrated="false" active="0"'),
    ],
)
def test_a_camera_that_qualisys_did_not_calibrate_is_noted(
    marks: str, said: str, tmp_path: Path
) -> None:
    path = file_of(tmp_path, texts.QUALISYS.replace('active="1"', marks))
    found = read_camera_file(path)
    note = f"{path}: camera 26578 is marked {said}: its numbers may be older ones"
    assert found.notes == ((note,) if said else ())
    assert found.cameras.names == ("26578",)


def test_the_key_frames_of_vicon_that_are_not_read_are_noted(tmp_path: Path) -> None:
    once = read_camera_file(file_of(tmp_path, VICON))
    assert once.notes == ()
    path = file_of(
        tmp_path, re.sub(r"(<KeyFrame )(.*?/>)", r'\1\2\1FRAME="400"/>', VICON, flags=re.S)
    )
    found = read_camera_file(path)
    assert found.notes == (
        f"{path}: camera 2107343, 2118670 has key frames 0, 400: only the first is read",
    )
    assert torch.equal(found.cameras.camera_from_world, once.cameras.camera_from_world)


def test_a_ros_camera_stands_at_the_origin(tmp_path: Path) -> None:
    rig = load_cameras(file_of(tmp_path, texts.ROS_CAMERA_INFO))
    assert (rig.names, rig.lens) == (("left",), Lens.OPENCV)
    assert rig.image_size.tolist() == [[640, 480]]
    assert rig.intrinsics[0, 0].tolist() == [500.0, 0.0, 319.5]
    assert_close(rig.camera_from_world[0], torch.eye(4).double(), atol=0)


def test_a_rectified_ros_camera_sees_the_world_as_its_projection_matrix_says(
    tmp_path: Path,
) -> None:
    rig = load_cameras(file_of(tmp_path, texts.ROS_CAMERA_INFO + texts.ROS_RECTIFIED))
    point = torch.tensor([0.5, -0.25, 4.0]).double()
    rectified = point - torch.tensor([0.12, 0.0, 0.0]).double()
    R = torch.tensor([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]]).double()
    seen = rig.camera_from_world[0, :3, :3] @ point + rig.camera_from_world[0, :3, 3]
    assert_close(seen, R.mT @ rectified, atol=1e-6)


def test_the_poses_of_kalibr_follow_from_each_other(tmp_path: Path) -> None:
    rig = load_cameras(file_of(tmp_path, texts.KALIBR))
    assert rig.names == ("cam0", "cam1", "cam2")
    assert rig.lens == (Lens.OPENCV, Lens.FISHEYE, Lens.OPENCV)
    assert_close(rig.camera_from_world[0], torch.eye(4).double(), atol=0)
    assert_close(
        rig.camera_from_world[2, :3, 3], torch.tensor([-1.125, 0.25, 0.5]).double(), atol=ROUND_OFF
    )


@pytest.mark.rejects
@pytest.mark.parametrize(
    "text",
    [
        texts.ANIPOSELIB.replace(
            "[ 1000.5, 0.0, 960.25,], [ 0.0, 1001.5, 540.75,], [ 0.0, 0.0, 1.0,]",
            "[ 1000.5, 0.0, 0.0,], [ 0.0, 1001.5, 0.0,], [ 960.25, 540.75, 1.0,]",
        ),
        texts.OPENCV_PAIR_JSON.replace(
            "900.0, 0.0, 639.5, 0.0, 900.0, 359.5, 0.0, 0.0, 1.0",
            "900.0, 0.0, 0.0, 0.0, 900.0, 0.0, 639.5, 359.5, 1.0",
        ),
        texts.HUMAN36M_JSON.replace(
            "[[1145.0, 0.0, 512.5], [0.0, 1143.5, 515.5], [0.0, 0.0, 1.0]]",
            "[[1145.0, 0.0, 0.0], [0.0, 1143.5, 0.0], [512.5, 515.5, 1.0]]",
        ),
    ],
    ids=["toml", "opencv", "human36m"],
)
def test_a_transposed_intrinsic_matrix_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(CameraFileError, match="the matrix is transposed, as MATLAB and JARVIS"):
        load_cameras(file_of(tmp_path, text), subject="S1" if "extrinsics" in text else None)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x00\x00\x00\x20ftypisom" + bytes(300), r"a video \(MP4 or MOV\)"),
        (b"\x89PNG\r\n\x1a\n" + bytes(300), "a PNG image"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PK\x03\x04" + bytes(300), "a zip archive"),
        (b"PK\x03\x04 tracks.npy" + bytes(300), r"a NumPy archive \(.npz\)"),
        (b"\x80\x04\x95", "a Python pickle"),
        (b"MATLAB 5.0 MAT-file", "a MATLAB file"),
        (b"MATLAB 7.3 MAT-file, Platform", "a MATLAB file of version 7.3: `save` it with '-v7'"),
        ("frame,x,y\n0,1,2".encode("utf-16"), "a table with commas that begins with frame,x,y"),
        (b"frame,nose_x,nose_y\n0,1,2", "a table with commas that begins with frame,nose_x"),
        (b"frame;nose_x\n0;1", "a table with semicolons that begins with frame;nose_x"),
        (b"just words", "text that begins with just words"),
        (b"../all/rig.toml", r"a link that git wrote as text: it names \.\./all/rig\.toml"),
        (b'"{\\"Ks\\": []}"', "JSON inside a text, as `json.dumps` .* writes it: encode it once"),
        (b"[[1, 2]]", "JSON that begins with"),
        (b"<!DOCTYPE html>\n<p>", "a page in HTML that begins with <!DOCTYPE html>"),
        (b"\n<svg>\n</svg>", "XML that begins with <svg>"),
    ],
)
def test_the_sentence_says_what_a_file_looks_like(
    content: bytes, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(CameraFileError, match=f"expected a calibration, got {kind}"):
        load_cameras(path)


@pytest.mark.rejects
def test_the_variables_of_a_matlab_file_without_a_rig_are_named(tmp_path: Path) -> None:
    savemat(tmp_path / "Calib_Results.mat", {"fc": torch.ones(2).numpy(), "n_ima": 1.0})
    with pytest.raises(CameraFileError, match="got a MATLAB file with fc, n_ima"):
        load_cameras(tmp_path / "Calib_Results.mat")
