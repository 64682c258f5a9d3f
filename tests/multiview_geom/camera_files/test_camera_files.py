"""Laws of calibration files."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from multiview_geom import (
    CameraFileError,
    CameraFormat,
    CameraRecord,
    Cameras,
    CameraSource,
    Lens,
    load_cameras,
    read_camera_file,
    ring_of_cameras,
    rotation_from_vector,
    save_cameras,
)
from multiview_geom.camera_files import CAMERA_FORMATS, METERS_PER_UNIT
from multiview_geom.camera_files.folder_files import MOST_CAMERAS
from multiview_geom.camera_files.opencv_nodes import LONGEST
from tests.multiview_geom.camera_files import calibration_texts as texts
from tests.multiview_geom.camera_files import texts_of_tools as tools
from tests.multiview_geom.camera_files.calibration_texts import FILES, file_of, subject_of, written
from tests.multiview_geom.tolerances import ROUND_OFF, assert_close

WRITABLE = {
    "toml": "rig.toml",
    "opencv-yaml": "rig.yml",
    "opencv-json": "rig.json",
    "human36m-json": "parameters.json",
    "human36m-h5": "cameras.h5",
    "humaneva": "Calibration_Data",
    "mpi-inf-3dhp": "camera.calibration",
    "colmap": "sparse",
    "easymocap": "calib",
}
# K, R and t.
IDENTITY = (torch.eye(3), torch.eye(3), torch.zeros(3))
every_text = pytest.mark.parametrize("form", FILES)
every_writable = pytest.mark.parametrize("form", WRITABLE)


def twelve_cameras(form: str) -> Cameras:
    """A rig with numbers that need all their digits, as far as the format can hold them."""
    rig = ring_of_cameras(12, radius=4.0, height=1.0, dtype=torch.float64)
    rows = 0.1 * torch.arange(60, dtype=torch.float64).sin().reshape(12, 5)
    if form == "mpi-inf-3dhp":
        return rig
    return replace(rig, distortion=rows, names=tuple(f"cam{view + 1}" for view in range(12)))


def assert_same(actual: Cameras, expected: Cameras) -> None:
    assert actual.names == expected.names
    assert actual.lens == expected.lens
    assert_close(actual.intrinsics, expected.intrinsics, atol=ROUND_OFF)
    assert_close(actual.camera_from_world, expected.camera_from_world, atol=ROUND_OFF)
    assert_close(coefficients(actual, 14), coefficients(expected, 14), atol=ROUND_OFF)


def coefficients(cameras: Cameras, count: int) -> Tensor:
    if cameras.distortion is None:
        return torch.zeros(cameras.views, count, dtype=torch.float64)
    return torch.nn.functional.pad(cameras.distortion, (0, count - cameras.distortion.shape[-1]))


@every_writable
def test_what_is_written_is_read(form: str, tmp_path: Path) -> None:
    rig, path = twelve_cameras(form), tmp_path / WRITABLE[form]
    save_cameras(path, rig, format=form)
    found = read_camera_file(path)
    assert found.format.name == form
    assert_same(found.cameras, rig)


@pytest.mark.parametrize(
    "form",
    [
        "toml",
        "opencv-yaml",
        "opencv-json",
        "colmap",
        "easymocap",
        "mpi-inf-3dhp",
    ],
)
def test_the_image_size_is_kept(form: str, tmp_path: Path) -> None:
    rig = twelve_cameras(form)
    save_cameras(tmp_path / WRITABLE[form], rig, format=form)
    size = load_cameras(tmp_path / WRITABLE[form]).image_size
    assert size is not None
    assert torch.equal(size, rig.image_size)


@pytest.mark.parametrize("form", ["toml", "opencv-yaml", "opencv-json", "easymocap"])
def test_a_rig_without_image_sizes_is_kept(form: str, tmp_path: Path) -> None:
    rig = replace(twelve_cameras(form), image_size=None)
    save_cameras(tmp_path / WRITABLE[form], rig, format=form)
    found = load_cameras(tmp_path / WRITABLE[form])
    assert found.image_size is None
    assert_same(found, rig)


@every_text
def test_what_is_read_is_written_and_read_again(form: str, tmp_path: Path) -> None:
    rig = load_cameras(written(tmp_path, form), subject=subject_of(form))
    path = tmp_path / "again.json"
    save_cameras(path, rig)
    assert_same(load_cameras(path), rig)


@pytest.mark.parametrize("count", [4, 5, 8, 12, 14])
def test_every_number_of_coefficients_is_kept(count: int, tmp_path: Path) -> None:
    rig = twelve_cameras("toml")
    rig = replace(rig, distortion=torch.linspace(-0.1, 0.1, 12 * count).double().reshape(12, -1))
    save_cameras(tmp_path / "rig.toml", rig)
    assert_same(load_cameras(tmp_path / "rig.toml"), rig)


@pytest.mark.parametrize(
    "form",
    ["toml", "opencv-yaml", "colmap"],
)
def test_a_fisheye_stays_a_fisheye(form: str, tmp_path: Path) -> None:
    rig = ring_of_cameras(3, radius=4.0, height=1.0, dtype=torch.float64)
    k = torch.tensor([0.1, -0.01, 0.001, 0.0]).double().expand(3, 4)
    fisheye = replace(rig, distortion=k, lens=Lens.FISHEYE)
    save_cameras(tmp_path / WRITABLE[form], fisheye, format=form)
    assert_same(load_cameras(tmp_path / WRITABLE[form]), fisheye)


@pytest.mark.parametrize("form", ["toml", "opencv-yaml", "opencv-json", "colmap"])
def test_every_camera_keeps_its_own_lens(form: str, tmp_path: Path) -> None:
    rig = ring_of_cameras(3, radius=4.0, height=1.0, dtype=torch.float64)
    k = torch.tensor([[-0.2, 0.1, 0.0, 0.0, 0.02], [0.1, -0.01, 0.001, 0.0, 0.0], [0.0] * 5])
    mixed = replace(rig, distortion=k.double(), lens=(Lens.OPENCV, Lens.FISHEYE, Lens.OPENCV))
    save_cameras(tmp_path / WRITABLE[form], mixed, format=form)
    read = load_cameras(tmp_path / WRITABLE[form])
    assert read.lens == mixed.lens
    assert_close(coefficients(read, 14), coefficients(mixed, 14), atol=ROUND_OFF)


@given(name=st.text(min_size=1, max_size=8).filter(str.strip))
def test_any_name_survives_toml(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("names") / "rig.toml"
    rig = ring_of_cameras(2, radius=4.0, height=1.0)
    save_cameras(path, replace(rig, names=(name, f"{name} too")))
    assert load_cameras(path).names == (name, f"{name} too")


@every_text
def test_a_format_is_recognized_by_its_content(form: str, tmp_path: Path) -> None:
    assert read_camera_file(written(tmp_path, form), subject=subject_of(form)).format.name == form


def test_aniposelibs_cameras_have_their_names(tmp_path: Path) -> None:
    rig = load_cameras(file_of(tmp_path, texts.ANIPOSELIB))
    assert rig.names == ("left", "right")
    assert_close(rig.intrinsics[0, :2, 2], torch.tensor([960.25, 540.75]).double(), atol=0)
    assert_close(rig.camera_from_world[1, :3, 3], torch.tensor([0.5, 0.25, 5.0]).double(), atol=0)


def test_pose2sims_cameras_are_named_by_their_tables(tmp_path: Path) -> None:
    rig = load_cameras(file_of(tmp_path, texts.POSE2SIM))
    assert rig.names == ("cam_01", "cam_02")
    assert rig.image_size is not None
    assert rig.image_size.tolist() == [[1088, 1920]] * 2


def test_aniposelibs_fisheye_is_one(tmp_path: Path) -> None:
    assert load_cameras(file_of(tmp_path, texts.ANIPOSELIB_FISHEYE)).lens is Lens.FISHEYE


def test_rows_of_different_length_are_filled_with_zeros(tmp_path: Path) -> None:
    shorter = texts.ANIPOSELIB.replace("-0.1, 0.05, 0.0, 0.0, 0.0,", "-0.1, 0.05, 0.0, 0.0,")
    distortion = load_cameras(file_of(tmp_path, shorter)).distortion
    assert distortion is not None
    assert distortion[1].tolist() == [-0.1, 0.05, 0.0, 0.0, 0.0]


def test_opencvs_rig_is_read(tmp_path: Path) -> None:
    rig = load_cameras(file_of(tmp_path, texts.OPENCV_RIG_YAML))
    assert rig.names == ("01", "02")
    assert rig.intrinsics[1, 0].tolist() == [1010.5, 0.0, 961.25]
    turn, _ = cv2.Rodrigues(np.array([0.1, 0.2, 0.3]))
    assert_close(rig.camera_from_world[1, :3, :3], torch.from_numpy(turn), atol=ROUND_OFF)


def test_opencvs_single_camera_stands_at_the_origin(tmp_path: Path) -> None:
    rig = load_cameras(file_of(tmp_path, texts.OPENCV_SINGLE_YAML))
    assert rig.image_size is not None
    assert rig.image_size.tolist() == [[1280, 720]]
    assert_close(rig.camera_from_world[0], torch.eye(4).double(), atol=0)


def test_opencvs_single_camera_may_have_no_image_size(tmp_path: Path) -> None:
    text = re.sub("image_.*\n", "", texts.OPENCV_SINGLE_YAML)
    assert load_cameras(file_of(tmp_path, text)).image_size is None


@pytest.mark.parametrize("K", ["camera_matrix", "cameraMatrix", "K"])
@pytest.mark.parametrize("lens", ["fisheye_model: 1", "distortion_model: equidistant"])
def test_opencvs_single_camera_may_be_a_fisheye(lens: str, K: str, tmp_path: Path) -> None:
    text = texts.OPENCV_SINGLE_YAML.replace("fisheye_model: 0", lens).replace("camera_matrix", K)
    text = text.replace("rows: 5", "rows: 4").replace(", 0., 0., 0. ]", ", 0., 0. ]")
    assert load_cameras(file_of(tmp_path, text)).lenses == (Lens.FISHEYE,)


@pytest.mark.parametrize("name", ["distCoeffs", "dist_coeffs", "D"])
def test_opencvs_single_camera_has_its_lens_under_any_usual_name(name: str, tmp_path: Path) -> None:
    text = texts.OPENCV_SINGLE_YAML.replace("distortion_coefficients", name)
    assert load_cameras(file_of(tmp_path, text)).distortion is not None


@pytest.mark.parametrize("key", ["R", "rvec"])
def test_opencvs_single_camera_may_have_a_pose(key: str, tmp_path: Path) -> None:
    row = "!!opencv-matrix\n   rows: 3\n   cols: 1\n   dt: d\n   data: "
    pose = f"{key}: {row}[ 0.1, 0.2, 0.3 ]\ntvec: {row}[ -0.5, 0.25, 4. ]\n"
    rig = load_cameras(file_of(tmp_path, texts.OPENCV_SINGLE_YAML + pose))
    turn, _ = cv2.Rodrigues(np.array([0.1, 0.2, 0.3]))
    assert_close(rig.camera_from_world[0, :3, :3], torch.from_numpy(turn), atol=ROUND_OFF)
    assert rig.camera_from_world[0, :3, 3].tolist() == [-0.5, 0.25, 4.0]


def test_opencvs_pair_has_its_first_camera_at_the_origin(tmp_path: Path) -> None:
    rig = load_cameras(file_of(tmp_path, texts.OPENCV_PAIR_JSON))
    assert_close(rig.centers[0], torch.zeros(3).double(), atol=0)
    assert rig.camera_from_world[1, :3, 3].tolist() == [-1.0, 0.0, 0.5]


@pytest.mark.parametrize("suffix", ["yml", "yaml", "json"])
def test_opencv_reads_what_is_written(suffix: str, tmp_path: Path) -> None:
    rig, path = twelve_cameras("opencv-yaml"), tmp_path / f"rig.{suffix}"
    save_cameras(path, rig)
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    assert_close(torch.from_numpy(storage.getNode("Ks").mat()), rig.intrinsics, atol=0)
    assert_close(torch.from_numpy(storage.getNode("distortions").mat()), rig.distortion, atol=0)
    assert storage.getNode("cam_ids").string() == ",".join(rig.names)


@pytest.mark.parametrize("suffix", ["yml", "json"])
def test_what_opencv_writes_is_read(suffix: str, tmp_path: Path) -> None:
    rig, path = twelve_cameras("opencv-yaml"), tmp_path / f"rig.{suffix}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    turns = [cv2.Rodrigues(pose[:3, :3].numpy())[0] for pose in rig.camera_from_world]
    storage.write("rvecs", np.array(turns))
    storage.write("distortions", coefficients(rig, 5).numpy()[:, None])
    storage.write("Ks", rig.intrinsics.numpy())
    storage.write("Ts", rig.camera_from_world[:, :3, 3:].numpy())
    storage.write("cam_ids", ",".join(rig.names))
    storage.release()
    assert_same(load_cameras(path), rig)


def test_human36m_gives_every_subject_its_own_poses(tmp_path: Path) -> None:
    path = file_of(tmp_path, texts.HUMAN36M_JSON)
    rig = load_cameras(path, subject="S11")
    assert rig.names == ("54138969", "55011271")
    assert rig.camera_from_world[1, :3, 3].tolist() == [0.0, 400.0, 5800.0]


def test_human36m_h5_holds_centers_and_transposed_rotations(tmp_path: Path) -> None:
    path, R = tmp_path / "cameras.h5", np.array([[0.8, 0.6, 0], [0, 0, -1], [-0.6, 0.8, 0]])
    with h5py.File(path, "w") as file:
        for number in (1, 2, 10):
            group = file.create_group(f"subject1/camera{number}")
            group["R"], group["T"] = R.T, np.array([[100.0], [200.0], [300.0 + number]])
            group["f"], group["c"] = np.array([[1145.0], [1143.0]]), np.array([[512.0], [515.0]])
            group["k"], group["p"] = (
                np.array([[-0.2], [0.24], [-0.003]]),
                np.array([[1e-3], [2e-3]]),
            )
            group["Name"] = np.array([[ord(letter)] for letter in f"{54138969 + number}"], "u2")
    rig = load_cameras(path)
    assert rig.names == ("54138970", "54138971", "54138979")
    assert_close(rig.centers[2], torch.tensor([100.0, 200.0, 310.0]).double(), atol=1e-9)
    assert_close(rig.camera_from_world[0, :3, :3], torch.from_numpy(R), atol=0)
    assert rig.distortion is not None
    assert rig.distortion[0].tolist() == [-0.2, 0.24, 1e-3, 2e-3, -0.003]


def test_human36m_xml_counts_poses_by_camera_andsubject_of(tmp_path: Path) -> None:
    row = np.zeros(300)
    pose = (2 * 11 + 8) * 6
    row[pose : pose + 6] = 0.1, 0.2, 0.3, 1000.0, 2000.0, 3000.0
    row[264:].reshape(4, 9)[:, :2] = 1145.0
    row[264 + 18 : 264 + 27] = 1145.0, 1143.0, 512.0, 515.0, -0.2, 0.24, -0.003, 1e-3, 2e-3
    numbers = " ".join(map(str, row.tolist()))
    path = file_of(tmp_path, f"<conf><w0>[{numbers}]</w0></conf>")
    rig = load_cameras(path, subject="S9")
    turn_x, turn_y, turn_z = (cv2.Rodrigues(axis)[0] for axis in np.diag([0.1, 0.2, 0.3]))
    expected = torch.from_numpy(turn_x @ turn_y @ turn_z)
    assert rig.names == ("54138969", "55011271", "58860488", "60457274")
    assert_close(rig.camera_from_world[2, :3, :3], expected, atol=ROUND_OFF)
    assert_close(rig.centers[2], torch.tensor([1000.0, 2000.0, 3000.0]).double(), atol=1e-9)
    assert rig.distortion is not None
    assert rig.distortion[2].tolist() == [-0.2, 0.24, 1e-3, 2e-3, -0.003]


def test_humanevas_skew_is_in_the_intrinsics(tmp_path: Path) -> None:
    rig = load_cameras(written(tmp_path, "humaneva"))
    assert rig.names == ("C1",)
    expected = torch.tensor([765.5, 0.7655, 312.5], dtype=torch.float64)
    assert_close(rig.intrinsics[0, 0], expected, atol=ROUND_OFF)


def test_a_folder_of_humanevas_cameras_is_a_rig_in_the_order_of_numbers(tmp_path: Path) -> None:
    for name in ("C10", "C2", "C1"):
        (tmp_path / f"{name}.cal").write_text(texts.HUMANEVA)
    assert load_cameras(tmp_path).names == ("C1", "C2", "C10")


def test_mpi_inf_3dhps_cameras_are_read(tmp_path: Path) -> None:
    text = texts.MPI_INF_3DHP.replace("name          10", "\n\nname          10")
    rig = load_cameras(file_of(tmp_path, text))
    assert rig.names == ("0", "10")
    assert rig.camera_from_world[0, :3, 3].tolist() == [-560.5, 1398.25, 3852.5]
    assert rig.distortion is None


def test_colmaps_views_stand_in_the_order_of_images(tmp_path: Path) -> None:
    written(tmp_path, "colmap")
    rig = load_cameras(tmp_path)
    assert rig.names == ("left view.png", "right.png", "above.png")
    assert rig.intrinsics[0, :2, 2].tolist() == [959.5, 539.5]
    assert coefficients(rig, 4)[2].tolist() == [-0.1, 0.0, 0.0, 0.0]


@pytest.mark.rejects
def test_a_folder_may_hold_one_rig_in_two_formats_but_not_two(tmp_path: Path) -> None:
    save_cameras(tmp_path, ring_of_cameras(3, radius=4.0, height=1.0), format="colmap")
    rig = load_cameras(tmp_path)
    save_cameras(tmp_path, rig, format="easymocap")
    assert_same(load_cameras(tmp_path), rig)
    shift = torch.tensor([[1e-3]] * 3 + [[0.0]]).double()
    moved = replace(rig, camera_from_world=rig.camera_from_world + shift)
    curved = replace(rig, distortion=torch.full((3, 5), 1e-2).double())
    for other in (moved, curved, replace(rig, names=("a", "b", "c"))):
        save_cameras(tmp_path, other, format="easymocap")
        with pytest.raises(CameraFileError, match=r"got COLMAP text and EasyMocap .* that differ"):
            load_cameras(tmp_path)
    assert_same(load_cameras(tmp_path / "images.txt"), rig)


def test_a_message_of_ros_may_end_with_its_mark(tmp_path: Path) -> None:
    found = load_cameras(file_of(tmp_path, texts.ROS_CAMERA_INFO + "---\n"))
    assert_same(found, load_cameras(file_of(tmp_path, texts.ROS_CAMERA_INFO)))


@pytest.mark.parametrize("name", ["rig.toml", "rig.json", "rig.yml"])
def test_coefficients_that_are_whole_are_read_again(tmp_path: Path, name: str) -> None:
    rig = load_cameras(file_of(tmp_path, texts.KALIBR))
    whole = replace(rig, distortion=torch.tensor([[1.0, 0, 0, 0]] * rig.views).double())
    save_cameras(tmp_path / name, whole)
    assert_same(load_cameras(tmp_path / name), whole)


def test_the_vectors_of_one_camera_may_be_columns(tmp_path: Path) -> None:
    save_cameras(tmp_path / "rig.yml", load_cameras(file_of(tmp_path, texts.KALIBR)).select([0]))
    rig, text = load_cameras(tmp_path / "rig.yml"), (tmp_path / "rig.yml").read_text()
    sizes = re.compile(r"(rvecs.*?rows:) 1(.*?cols:) 3", re.DOTALL)
    assert sizes.search(text)
    (tmp_path / "rig.yml").write_text(sizes.sub(r"\1 3\2 1", text))
    assert_same(load_cameras(tmp_path / "rig.yml"), rig)


def test_the_cameras_of_kalibr_may_stand_in_any_order(tmp_path: Path) -> None:
    first, second = texts.KALIBR.split("cam1:")
    found = load_cameras(file_of(tmp_path, f"cam1:{second}\n{first}"))
    assert_same(found, load_cameras(file_of(tmp_path, texts.KALIBR)))


def test_a_blank_line_between_colmaps_images_is_passed_over(tmp_path: Path) -> None:
    written(tmp_path, "colmap")
    rig, path = load_cameras(tmp_path), tmp_path / "images.txt"
    lenses = tmp_path / "cameras.txt"
    lenses.write_text("\n" + lenses.read_text().replace("\n", "\n\n"))
    path.write_text(path.read_text().replace("3 0.8 0", "\n3 0.8 0").replace("9 0 1", "\n\n9 0 1"))
    assert_same(load_cameras(tmp_path), rig)


def test_easymocaps_files_are_found_from_either(tmp_path: Path) -> None:
    written(tmp_path, "easymocap")
    rigs = [load_cameras(tmp_path / name) for name in ("", "intri.yml", "extri.yml")]
    assert all(rig.names == ("01", "02") for rig in rigs)
    assert all(rig.intrinsics[0, 0, 0] == 1000.5 for rig in rigs)


def test_qualisys_looks_along_minus_z_and_counts_in_64ths(tmp_path: Path) -> None:
    found = read_camera_file(file_of(tmp_path, texts.QUALISYS))
    rig = found.cameras
    assert (found.unit, found.meters_per_unit) == ("mm", 0.001)
    assert_close(rig.centers[0], torch.tensor([1500.0, -2000.0, 1800.0]).double(), atol=1e-9)
    assert rig.camera_from_world[0, 2, :3].tolist() == [-0.6, 0.8, 0.0]
    assert rig.intrinsics[0, 0].tolist() == [1682.0, 0.0, 959.5]
    assert rig.image_size is not None
    assert rig.image_size.tolist() == [[1920, 1088]]


def test_qualisys_counts_pixels_from_the_corner_of_the_sensor(tmp_path: Path) -> None:
    part = texts.QUALISYS.replace('left="0"', 'left="64"').replace('top="0"', 'top="32"')
    rig = load_cameras(file_of(tmp_path, part))
    assert rig.intrinsics[0, :2, 2].tolist() == [959.5 - 64, 543.5 - 32]
    assert rig.image_size is not None
    assert rig.image_size.tolist() == [[1856, 1056]]


@pytest.mark.parametrize("form", ["toml", "colmap"])
def test_a_unit_that_the_format_leaves_open_is_not_made_up(form: str, tmp_path: Path) -> None:
    found = read_camera_file(written(tmp_path, form))
    assert found.unit is None
    assert found.meters_per_unit is None


def test_a_format_of_ones_own_reads_and_writes(tmp_path: Path) -> None:
    def read(source: CameraSource) -> list[CameraRecord]:
        K = torch.tensor([float(source.text), float(source.text), 1.0]).diag().double()
        return [CameraRecord("only", K, torch.eye(3).double(), torch.zeros(3).double())]

    def write(path: Path, cameras: Cameras, _subject: str) -> None:
        path.write_text(str(cameras.intrinsics[0, 0, 0].item()))

    mine = CameraFormat("mine", "a focal length", "m", lambda _: False, read, write)
    save_cameras(tmp_path / "rig", ring_of_cameras(1, 4.0, 1.0, focal_length=700.0), format=mine)
    found = read_camera_file(tmp_path / "rig", format=mine)
    assert (found.unit, found.meters_per_unit) == ("m", 1.0)
    assert found.cameras.intrinsics[0, 1, 1] == 700.0


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (None, "NoneType alone"), (CameraRecord("a", *IDENTITY), "CameraRecord alone"),
        (iter([]), "list_iterator alone"), (["a", 3], "int and str"), ({"a": 1}, "dict alone"),
    ],
)  # fmt: skip
def test_a_format_of_ones_own_returns_a_list_of_cameras(
    tmp_path: Path, returned: Any, got: str
) -> None:
    mine = CameraFormat("mine", "mine", "m", lambda _: False, lambda _: returned)
    words = rf"`read` of CameraFormat\('mine'\) must return a list of CameraRecord, got {got}"
    with pytest.raises(ValueError, match=words):
        read_camera_file(file_of(tmp_path, "a"), format=mine)
    with pytest.raises(ValueError, match="`unit` must be one of mm, cm, m, or None, got 'pouce'"):
        CameraFormat("mine", "mine", "pouce", lambda _: False, lambda _: returned)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", 3, "`name` must be a text, got 3"),
        ("intrinsics", np.eye(3), "`intrinsics` must be a tensor, got numpy.ndarray"),
        ("intrinsics", torch.eye(4), r"`intrinsics` must have shape \(3, 3\), got \(4, 4\)"),
        ("rotation", torch.zeros(3), r"`rotation` must have shape \(3, 3\), got \(3,\)"),
        ("translation", torch.zeros(3, 1), r"`translation` must have shape \(3,\), got \(3, 1\)"),
    ],
)
def test_a_record_of_another_kind_is_refused(field: str, value: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(CameraRecord("a", *IDENTITY), **{field: value})


def test_every_format_has_its_own_name_and_title_and_a_known_unit() -> None:
    assert len({form.name for form in CAMERA_FORMATS}) == len(CAMERA_FORMATS)
    assert len({form.title.strip() for form in CAMERA_FORMATS}) == len(CAMERA_FORMATS)
    assert {form.unit for form in CAMERA_FORMATS} <= {None, *METERS_PER_UNIT}


def test_as_many_cameras_as_are_read_fit_into_yaml(tmp_path: Path) -> None:
    drawn = torch.Generator().manual_seed(0)
    views = 20
    rotations, centers = torch.randn(2, views, 3, generator=drawn, dtype=torch.float64)
    intrinsics = torch.tensor([1145.0, 1143.0, 1.0]).double().diag() / 3
    intrinsics[2, 2] = 1.0
    rig = Cameras.from_krt(
        intrinsics.expand(views, 3, 3), rotation_from_vector(rotations), centers,
        distortion=torch.randn(views, 5, generator=drawn, dtype=torch.float64) / 100,
        image_size=torch.full((views, 2), 1000),
    )  # fmt: skip
    save_cameras(tmp_path / "easymocap", rig, format="easymocap")
    save_cameras(tmp_path / "rig.yml", rig, format="opencv-yaml")
    longest = max(len(file.read_text()) for file in tmp_path.rglob("*.yml"))
    assert longest * MOST_CAMERAS / views < LONGEST


@pytest.mark.rejects
def test_a_format_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`format` must be one of colmap, .* got 'x'"):
        read_camera_file(written(tmp_path, "toml"), format="x")


@pytest.mark.rejects
@pytest.mark.parametrize("form", [form.name for form in CAMERA_FORMATS])
def test_a_named_format_refuses_the_files_of_others(form: str, tmp_path: Path) -> None:
    for text in ("", "{}", '{"frames": 3}', "%YAML:1.0\na: 1\n", "a = 1\n", "<a/>"):
        path = file_of(tmp_path, text)
        with pytest.raises((CameraFileError, FileNotFoundError), match=str(tmp_path)):
            read_camera_file(path, format=form)
    path.write_bytes(tools.matlab_file({"x": np.ones((2, 2))}))
    with pytest.raises((CameraFileError, FileNotFoundError), match=str(tmp_path)):
        read_camera_file(path, format=form)


@pytest.mark.rejects
def test_a_file_without_keys_is_said_to_have_none(tmp_path: Path) -> None:
    with pytest.raises(CameraFileError, match="expected the key `cameras`, got no keys"):
        read_camera_file(file_of(tmp_path, "<a/>"), format="panoptic")


def test_nerfstudios_frames_are_a_list(tmp_path: Path) -> None:
    with pytest.raises(CameraFileError, match="`frames`: expected a list of frames, got 3"):
        read_camera_file(file_of(tmp_path, '{"frames": 3}'), format="nerfstudio")


def test_the_real_captures_calibrations_agree(capture_folder: Path) -> None:
    toml = load_cameras(capture_folder / "calibration" / "Calib_qualisys.toml")
    source = load_cameras(capture_folder / "calibration" / "Calib.qca.txt")
    assert toml.names == source.names == ("cam_01", "cam_02", "cam_03", "cam_04")
    assert_close(toml.intrinsics, source.intrinsics, atol=1e-9)
    assert_close(1000 * toml.centers, source.centers, atol=1e-6)
    # The TOML's distortions are Qualisys' divided by 64, as the capture's README says.
    assert_close(64 * coefficients(toml, 5), coefficients(source, 5), atol=1e-6)


def test_the_real_captures_other_calibration_is_read(capture_folder: Path) -> None:
    rig = load_cameras(capture_folder / "calibration-scene" / "Calib_scene.toml")
    assert rig.names == ("cam_01", "cam_02", "cam_03", "cam_04")
    assert rig.image_size is not None
    assert rig.image_size.tolist() == [[1088, 1920]] * 4


@pytest.mark.rejects
def test_an_unknown_suffix_needs_a_format(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`format` must be one of colmap, easymocap"):
        save_cameras(tmp_path / "rig.txt", ring_of_cameras(2, radius=4.0, height=1.0))


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("name", "subject", "said"),
    [
        ("rig.toml", "S9", "`subject` must be None, as TOML of .* has none, got 'S9'"),
        ("h36m.json", 9, "`subject` must be a text, such as 'S1', got 9"),
    ],
)
def test_a_subject_is_a_text_for_a_format_with_subjects(
    tmp_path: Path, name: str, subject: str, said: str
) -> None:
    rig = ring_of_cameras(2, radius=4.0, height=1.0)
    form = "human36m-json" if name == "h36m.json" else None
    with pytest.raises(ValueError, match=said):
        save_cameras(tmp_path / name, rig, format=form, subject=subject)
    assert not (tmp_path / name).exists()
    save_cameras(tmp_path / name, rig, format=form)
    with pytest.raises(ValueError, match=said if subject == 9 else "a file with subjects"):
        load_cameras(tmp_path / name, subject=subject)


@pytest.mark.rejects
def test_a_batch_of_rigs_is_not_written(tmp_path: Path) -> None:
    rig = ring_of_cameras(2, radius=4.0, height=1.0)
    batch = Cameras(rig.intrinsics[None], rig.camera_from_world[None])
    with pytest.raises(ValueError, match="`cameras` must have no batch axes"):
        save_cameras(tmp_path / "rig.toml", batch)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("form", "change", "said"),
    [
        ("mpi-inf-3dhp", {"distortion": torch.ones(2, 4)}, "must be pinholes"),
        ("mpi-inf-3dhp", {"image_size": None}, "must have an image size"),
        ("colmap", {"image_size": None}, "must have an image size"),
        ("colmap", {"distortion": torch.ones(2, 12)}, "at most 8 lens coefficients"),
        ("humaneva", {"distortion": torch.ones(2, 8)}, "k1, k2, p1, p2, k3 alone"),
        ("humaneva", {"names": ("../a", "b")}, "must have names that can be file names"),
        ("opencv-json", {"names": ("a,b", "c")}, "names without commas"),
        (
            "easymocap",
            {"distortion": torch.ones(2, 4), "lens": Lens.FISHEYE},
            "must have no fisheye lenses",
        ),
    ],
)
def test_a_rig_that_a_format_cannot_hold_is_not_written(
    form: str, change: dict[str, object], said: str, tmp_path: Path
) -> None:
    rig = replace(ring_of_cameras(2, radius=4.0, height=1.0), **change)  # type: ignore[arg-type] # any field
    with pytest.raises(ValueError, match=said):
        save_cameras(tmp_path / "rig", rig, format=form)


@pytest.mark.rejects
@pytest.mark.parametrize("spoil", ["nan", "a name that YAML cannot hold", "no name", "line end"])
def test_a_sound_file_is_not_replaced_by_one_that_cannot_be_read(
    tmp_path: Path, spoil: str
) -> None:
    ring = ring_of_cameras(2, radius=4.0, height=1.0)
    path, format = (tmp_path / "rig.toml", "toml")
    if spoil == "nan":
        wrong = replace(ring, intrinsics=ring.intrinsics * torch.nan)
    elif spoil == "no name":
        wrong = replace(ring, names=("", "b"))
    elif spoil == "line end":
        wrong, path, format = replace(ring, names=("a\n", "b")), tmp_path / "model", "colmap"
    else:
        wrong, path, format = replace(ring, names=('q"q', "b")), tmp_path / "pair", "easymocap"
    save_cameras(path, ring, format=format)
    with pytest.raises(ValueError, match="`cameras` cannot be read again when they are written"):
        save_cameras(path, wrong, format=format)
    assert load_cameras(path).names == ring.names


@pytest.mark.rejects
@pytest.mark.parametrize("path", [None, 3, ["rig.toml"], b"rig.toml"], ids=repr)
def test_a_path_is_a_text_or_a_path(path: Any) -> None:
    with pytest.raises(ValueError, match="`path` must be a text or a Path, got"):
        load_cameras(path)
    with pytest.raises(ValueError, match="`path` must be a text or a Path, got"):
        save_cameras(path, ring_of_cameras(2, radius=4.0, height=1.0))
