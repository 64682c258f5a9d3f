"""Cameras see what the convention of their tool says, computed by OpenCV from the numbers."""

import re
import shutil
from contextlib import suppress
from pathlib import Path
from struct import pack

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from multiview_geom import CameraFileError, Lens, load_cameras, read_camera_file
from tests.multiview_geom.camera_files import texts_of_tools as texts
from tests.multiview_geom.camera_files.calibration_texts import file_of, said_by, written
from tests.multiview_geom.tolerances import assert_close

Array = NDArray[np.float64]
POINTS = np.array([[0.3, 0.1, 0.2], [-0.2, 0.25, -0.1], [0.05, -0.15, 0.3]])
FLIP = np.diag([1.0, -1.0, -1.0])


def pinhole(fx: float, fy: float, cx: float, cy: float) -> Array:
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def seen(R: Array, t: Array, K: Array, k: list[float], unit: float = 1.0) -> Array:
    """Pixels of the points, X_camera = R X + t, by OpenCV."""
    turn, shift = cv2.Rodrigues(R)[0], np.array(t, dtype=float)
    return cv2.projectPoints(unit * POINTS, turn, shift, K, np.array(k))[0][:, 0]


def seen_by_fisheye(R: Array, t: Array, K: Array, k: list[float]) -> Array:
    turn, shift = cv2.Rodrigues(R)[0], np.array(t, dtype=float)
    return cv2.fisheye.projectPoints(POINTS[:, None], turn, shift, K, np.array(k))[0][:, 0]


def by_panoptic() -> list[Array]:
    R = np.array([[0.8, 0.0, -0.6], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]])
    K, k = pinhole(1395.5, 1392.75, 950.25, 561.5), [-0.28, 0.17, 0.0004, -0.0006, 0.04]
    other, k2 = pinhole(745.5, 745.75, 375.25, 226.5), [-0.31, -0.03, -0.0003, 0.001, 0.5]
    turned = np.array([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [-0.8, 0.0, 0.6]])
    return [
        seen(R, [20.5, 145.25, 289.75], K, k, unit=100),
        seen(turned, [-51.5, 143.25, 301.75], other, k2, unit=100),
    ]


def by_voxelpose() -> list[Array]:
    R = np.array([[0.8, 0.6, 0.0], [0.0, 0.0, -1.0], [-0.6, 0.8, 0.0]])
    S = np.array([[0.6, 0.8, 0.0], [0.0, 0.0, -1.0], [-0.8, 0.6, 0.0]])
    centers = np.array([[2500.5, -3300.25, 1480.75], [3400.5, -2600.25, 1500.75]])
    k = [-0.1, 0.02, 0.001, -0.002, 0.003]
    return [
        seen(R, -R @ centers[0], pinhole(1063.5, 1071.75, 511.75, 350.25), k, unit=1000),
        seen(S, -S @ centers[1], pinhole(1097.5, 1086.75, 521.75, 376.25), [0.0] * 5, unit=1000),
    ]


def by_nerfstudio() -> list[Array]:
    """Columns are the camera's axes x right, y up, z backward; then its center."""
    first = np.array([[1.0, 0.0, 0.0], [0.0, 0.8, -0.6], [0.0, 0.6, 0.8]])
    second = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    R, S = FLIP @ first.T, FLIP @ second.T
    K, fisheye = pinhole(1072.5, 1068.25, 960.0, 540.25), pinhole(500.5, 1068.25, 960.0, 540.25)
    return [
        seen(R, -R @ [0.5, -2.5, 3.5], K, [0.03, -0.02, 0.001, -0.002]),
        seen_by_fisheye(S, -S @ [2.5, 0.25, 4.0], fisheye, [0.02, 0.01, -0.003, 0.001]),
    ]


def by_colmap() -> list[Array]:
    R = np.array([[0.28, 0.0, 0.96], [0.0, 1.0, 0.0], [-0.96, 0.0, 0.28]])
    K, k = pinhole(900.5, 901.5, 639.75, 360.25), [-0.125, 0.0625, 0.001, -0.002]
    return [
        seen(np.eye(3), [-0.5, 0.25, 4.0], K, k),
        seen(R, [0.5, 0.25, 5.0], pinhole(1000.5, 1000.5, 959.5, 539.5), [0.0] * 4),
    ]


def nested(depth: int) -> object:
    """Return cells in cells."""
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = nested(depth - 1) if depth else 1.0
    return cell


def by_jarvis() -> list[Array]:
    R = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    K, k = pinhole(1100.5, 1101.5, 639.25, 511.75), [-0.12, 0.06, 0.001, -0.002, 0.01]
    return [seen(R, [0.5, -0.25, 4.0], K, k)]


def by_dannce() -> list[Array]:
    R = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    K, k = pinhole(1100.5, 1101.5, 639.25, 511.75), [-0.12, 0.06, 0.001, -0.002]
    return [seen(R, [500.5, -250.25, 4000.0], K, k, unit=1000)]


def by_matlab() -> list[Array]:
    R = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    K = pinhole(1100.5, 1101.5, 639.25, 511.75)
    first, second = [-0.12, 0.06, 0.001, -0.002], [-0.1, 0.02, 0.001, -0.002, 0.003]
    return [
        seen(np.eye(3), [0.0, 0.0, 0.0], K, first, unit=1000),
        seen(R, [500.5, -250.25, 4000.0], K, second, unit=1000),
    ]


def by_vicon() -> list[Array]:
    """The distorted pixel d of the ideal pixel i: d + (d - c) (k1 r^2 + k2 r^4 + k3 r^6) = i."""
    R = np.array([[0.8, 0.0, -0.6], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]])
    K, none = pinhole(1100.5, 1100.5, 639.25, 511.75), [0.0] * 5
    ideal = seen(R, -R @ [120.5, -340.25, -3900.75], K, none, unit=1000)
    center, pixels = np.array([639.25, 511.75]), ideal
    for _ in range(50):
        square = ((pixels - center) ** 2).sum(axis=1, keepdims=True)
        stretch = 1 + 3.5e-08 * square + 5.8e-15 * square**2 - 1.7e-21 * square**3
        pixels = center + (ideal - center) / stretch
    video = pinhole(2639.5, 2639.5, 959.5, 539.5)
    return [pixels, seen(np.eye(3), [0.0, 0.0, 4000.0], video, none, unit=1000)]


def by_optitrack() -> list[Array]:
    """A camera looks along -z of its axes; the columns of its rotation are these axes."""
    to_world = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    R = np.diag([1.0, -1.0, -1.0]) @ to_world.T
    first = pinhole(1100.5, 1101.5, 639.25, 511.75)
    second = pinhole(1247.75, 1247.5, 960.5, 538.5)
    down = np.diag([1.0, -1.0, -1.0])
    return [
        seen(R, -R @ [2.5, 1.75, 3.0], first, [-0.12, 0.06, 0.001, -0.002, 0.01]),
        seen(down, -down @ [0.0, 0.5, 4.0], second, [0.0] * 5),
    ]


def by_dlt() -> list[Array]:
    coefficients = np.array([line.split(",") for line in texts.DLT.split()], dtype=float)
    return [divided(row) for row in coefficients.T]


def divided(row: Array) -> Array:
    depths = POINTS @ row[8:] + 1
    return (
        np.stack([POINTS @ row[:3] + row[3], POINTS @ row[4:7] + row[7]], axis=1) / depths[:, None]
    )


EXPECTED = {
    "jarvis": (by_jarvis, ("Camera_B",), None),
    "dannce": (by_dannce, ("hires_cam1",), 0.001),
    "matlab-stereo": (by_matlab, ("cam_1", "cam_2"), 0.001),
    "vicon": (by_vicon, ("2107343", "2118670"), 0.001),
    "optitrack": (by_optitrack, ("M21614", "C11764"), 1.0),
    "dlt": (by_dlt, ("cam_1", "cam_2"), None),
    "panoptic": (by_panoptic, ("00_03", "01_01"), 0.01),
    "voxelpose": (by_voxelpose, ("0", "1"), 0.001),
    "nerfstudio": (by_nerfstudio, ("frame_00001.jpg", "frame_00002.jpg"), None),
    "colmap-binary": (by_colmap, ("left view.png", "right.png"), None),
}


def test_a_vector_may_be_a_matrix_of_one_row(tmp_path: Path) -> None:
    columns = load_cameras(file_of(tmp_path, texts.VOXELPOSE))
    rows = texts.VOXELPOSE.replace("[[-0.1], [0.02], [0.003]]", "[[-0.1, 0.02, 0.003]]")
    rows = rows.replace("[[2500.5], [-3300.25], [1480.75]]", "[[2500.5, -3300.25, 1480.75]]")
    assert load_cameras(file_of(tmp_path, rows)) == columns


@pytest.mark.parametrize("form", EXPECTED)
def test_cameras_see_what_their_convention_says(form: str, tmp_path: Path) -> None:
    by_convention, names, meters = EXPECTED[form]
    file = read_camera_file(written(tmp_path, form))
    points = torch.from_numpy(POINTS) / (meters or 1.0)
    assert file.cameras.names == names
    assert file.meters_per_unit == meters
    pixels = file.cameras.project(points).pixels
    # Vicon's lens is fitted on the sensor, and one of the points lies outside of it.
    within = 0.01 if form == "vicon" else 1e-6
    assert_close(pixels, torch.from_numpy(np.stack(by_convention())), atol=within)


def test_frames_of_the_same_name_are_named_by_their_paths(tmp_path: Path) -> None:
    text = texts.NERFSTUDIO.replace("images/frame_00002", "left/frame_00001")
    names = load_cameras(file_of(tmp_path, text)).names
    assert names == ("images/frame_00001.jpg", "left/frame_00001.jpg")


@pytest.mark.parametrize("form", ["jarvis", "dannce"])
def test_a_folder_of_one_file_per_camera_is_a_rig(form: str, tmp_path: Path) -> None:
    file = written(tmp_path, form)
    for name in ("10", "2"):
        shutil.copy(file, tmp_path / file.name.replace("_", f"_{name}_", 1))
    rig = read_camera_file(tmp_path)
    assert rig.format.name == form
    middle = {"jarvis": ("Camera_2_B", "Camera_10_B", "Camera_B"), "dannce": DANNCE_NAMES}[form]
    assert rig.cameras.names == middle


DANNCE_NAMES = ("hires_2_cam1", "hires_10_cam1", "hires_cam1")


@pytest.mark.parametrize("compressed", [True, False])
def test_three_radial_coefficients_and_small_whole_numbers_are_read(
    *, compressed: bool, tmp_path: Path
) -> None:
    whole = np.array([[900, 0, 0], [0, 901, 0], [641, 513, 1]], dtype=np.uint16)
    radial = np.array([[-0.1, 0.02, 0.003]])
    path = tmp_path / "cam_params.mat"
    path.write_bytes(texts.dannce_file(compressed=compressed, K=whole, RDistort=radial))
    rig = load_cameras(path)
    assert rig.intrinsics[0].tolist() == [[900, 0, 640], [0, 901, 512], [0, 0, 1]]
    assert rig.distortion is not None
    assert rig.distortion[0].tolist() == [-0.1, 0.02, 0.001, -0.002, 0.003]


@pytest.mark.rejects
def test_a_matlab_file_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cam_params.mat"
    bombs = {f"x{count}": np.zeros((700, 700)) for count in range(20)}
    path.write_bytes(texts.matlab_file(bombs))
    with pytest.raises(CameraFileError, match="its variables take more than 67108864 bytes"):
        load_cameras(path)
    with path.open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(CameraFileError, match="expected at most 67108864 bytes, got 10000000000"):
        load_cameras(path)


@pytest.mark.parametrize("compressed", [True, False])
def test_one_file_of_dannce_holds_all_cameras(*, compressed: bool, tmp_path: Path) -> None:
    path = tmp_path / "label3d_dannce.mat"
    path.write_bytes(texts.dannce_file_of_all("Camera1", "Camera2", compressed=compressed))
    rig = load_cameras(path)
    (alone,) = by_dannce()
    assert rig.names == ("Camera1", "Camera2")
    pixels = rig.project(1000 * torch.from_numpy(POINTS)).pixels
    assert_close(pixels[0], torch.from_numpy(alone), atol=1e-6)
    assert rig.camera_from_world[1, :3, 3].tolist() == [0.0, 0.0, 3000.0]


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (texts.dannce_file_of_all("Camera1"), "`camnames`: expected 2 names, got ['Camera1']"),
        (
            texts.dannce_file_of_all("a", "b", params=np.array([[1.0, 2.0]], dtype=object)),
            "`params.0`: expected a table, got [[",
        ),
        (
            texts.dannce_file_of_all("a", "b", params=nested(9)),
            "got a damaged one: cells and structures are deeper than 4",
        ),
    ],
    ids=["names", "numbers", "deep"],
)
def test_a_broken_file_of_all_cameras_is_reported(
    content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "label3d_dannce.mat"
    path.write_bytes(content)
    assert said in said_by(path)


BROKEN_MATLAB = {
    "r as text": (texts.dannce_file(r="text"), "`r`: expected a matrix of numbers, got text"),
    "short t": (texts.dannce_file(t=np.ones((1, 2))), "`t`: expected 3 finite numbers"),
    "nan": (texts.dannce_file(r=np.full((3, 3), np.nan)), "`r`: expected 3 x 3 finite numbers"),
    "one radial": (texts.dannce_file(RDistort=np.ones((1, 1))), "`RDistort`: expected 2 finite"),
    "five radial": (texts.dannce_file(RDistort=np.ones((1, 5))), "`RDistort`: expected 0 or 4 or"),
    "version 7.3": (b"MATLAB 7.3 MAT-file, Platform", "of version 5, as `save -v7` writes it, got"),
    "cut off": (texts.dannce_file()[:-9], "got a damaged one: it is cut off"),
    "unknown kind": (
        texts.dannce_file(compressed=False).replace(pack("<II", 9, 72), pack("<II", 99, 72), 1),
        "got a damaged one: numbers have the unknown type 99",
    ),
    "other sizes": (
        texts.dannce_file(compressed=False).replace(pack("<ii", 3, 3), pack("<ii", 3, 4), 1),
        "got a damaged one: a matrix of (3, 4) has 9 numbers",
    ),
    "negative sizes": (
        texts.dannce_file(compressed=False).replace(pack("<ii", 3, 3), pack("<ii", 3, -3), 1),
        "got a damaged one: `K` has the sizes (3, -3)",
    ),
    "a bomb": (texts.dannce_file(r=np.zeros((1000, 1000))), "expected the key `r`, got only K,"),
    "complete nonsense": (texts.dannce_file()[:128] + bytes(range(200)), "a damaged one"),
}


@pytest.mark.rejects
@pytest.mark.parametrize(("content", "said"), BROKEN_MATLAB.values(), ids=BROKEN_MATLAB.keys())
def test_a_broken_matlab_file_is_reported(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "cam_params.mat"
    path.write_bytes(content)
    assert said in said_by(path)


@settings(max_examples=40)
@given(data=st.data(), new=st.binary(min_size=1, max_size=8))
@pytest.mark.parametrize(
    "form", ["dannce", "dannce-of-all", "colmap-binary", "matlab-stereo", "optitrack", "vicon"]
)
def test_bytes_changed_in_a_file_are_refused_or_read(
    form: str, data: st.DataObject, new: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    plain = {
        "dannce-of-all": (
            "label3d_dannce.mat",
            texts.dannce_file_of_all("a", "b", compressed=False),
        ),
        "matlab-stereo": ("stereo.mat", texts.stereo_file(compressed=False)),
    }
    if form in plain:
        path = folder / plain[form][0]
        path.write_bytes(plain[form][1])
    else:
        path = written(folder, form)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content)))
    content[at : at + len(new)] = new
    path.write_bytes(content)
    with suppress(CameraFileError):
        assert load_cameras(path).views > 0


BROKEN_STEREO = {
    "object": (
        texts.opaque_file(),
        "p = toStruct(stereoParams); save('stereo.mat', 'p', '-v7'), got a stereoParameters",
    ),
    "unit": (
        texts.stereo_file(CameraParameters1=texts.stereo_camera(WorldUnits="squares")),
        "`stereoParams.CameraParameters1.WorldUnits`: expected one of mm, millimeters, cm, m,",
    ),
    "no K": (
        texts.stereo_file(CameraParameters2={"RadialDistortion": 0.0, "TangentialDistortion": 0}),
        "`stereoParams.CameraParameters2`: expected the key `IntrinsicMatrix`",
    ),
    "no translation": (
        texts.matlab_file(
            {"stereoParams": {k: v for k, v in texts.stereo_pair().items() if k[0] != "T"}}
        ),
        "`stereoParams`: expected the key `TranslationOfCamera2`",
    ),
    "two pairs": (
        texts.matlab_file({"first": texts.stereo_pair(), "second": texts.stereo_pair()}),
        "expected one pair of cameras, got several: first, second",
    ),
    "no rotation": (texts.stereo_file(RotationOfCamera2="x"), "`stereoParams.RotationOfCamera2`"),
    "lens in words": (
        texts.stereo_file(CameraParameters1=texts.stereo_camera(RadialDistortion="x")),
        "`stereoParams.CameraParameters1.RadialDistortion`: expected numbers, got x",
    ),
    "cut off": (texts.stereo_file(compressed=False)[:-9], "got a damaged one: it is cut off"),
    "another object": (texts.opaque_file(b"cameraParameters"), "expected a calibration"),
}


@pytest.mark.rejects
@pytest.mark.parametrize(("content", "said"), BROKEN_STEREO.values(), ids=BROKEN_STEREO.keys())
def test_a_stereo_pair_that_cannot_be_read_is_reported(
    content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "stereo.mat"
    path.write_bytes(content)
    assert said in said_by(path)


def test_one_radial_coefficient_of_matlab_is_k1(tmp_path: Path) -> None:
    path, camera = tmp_path / "stereo.mat", texts.stereo_camera(RadialDistortion=np.array([[0.5]]))
    path.write_bytes(texts.stereo_file(CameraParameters1=camera))
    k = load_cameras(path).distortion
    assert k is not None
    assert k[0].tolist() == [0.5, 0.0, 0.001, -0.002, 0.0]


def test_a_fisheye_of_instant_ngp_is_one(tmp_path: Path) -> None:
    text = texts.NERFSTUDIO.replace('"camera_model": "OPENCV",', '"is_fisheye": true,')
    text = text.replace('"p1": 0.001, "p2": -0.002,', "")
    (tmp_path / "transforms.json").write_text(text)
    assert load_cameras(tmp_path / "transforms.json").lenses == (Lens.FISHEYE, Lens.FISHEYE)


def test_matlabs_units_and_its_newer_name_of_k_are_read(tmp_path: Path) -> None:
    path, K = tmp_path / "stereo.mat", np.array([[900.0, 0, 641], [0, 901, 513], [0, 0, 1]])
    camera = texts.stereo_camera(WorldUnits="m", K=K, ImageSize=np.zeros((0, 0)))
    path.write_bytes(texts.stereo_file(CameraParameters1=camera, CameraParameters2=camera))
    rig = load_cameras(path)
    assert rig.intrinsics[1].tolist() == [[900, 0, 640], [0, 901, 512], [0, 0, 1]]
    assert rig.camera_from_world[1, :3, 3].tolist() == [500500.0, -250250.0, 4000000.0]
    assert rig.image_size is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_optitracks_xml_is_read_in_every_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "rig.mcal"
    path.write_bytes(texts.OPTITRACK.encode(encoding))
    assert load_cameras(path).names == ("M21614", "C11764")


MIRRORED = [line.split(",") for line in texts.DLT.split()]
MIRRORED[4:8] = [
    [str(480 * float(w) - float(v)) for v, w in zip(vs, ws, strict=True)]
    for vs, ws in zip(MIRRORED[4:8], [*MIRRORED[8:], ["1", "1"]], strict=True)
]
BROKEN = {
    "vicon far center": (
        texts.VICON.replace("Vicon3Parameter 639.25", "Vicon3Parameter 239.25"),
        "`Camera 2107343.VICON_RADIAL2`: expected a lens that OpenCV's coefficients describe",
    ),
    "vicon huge lens": (
        texts.VICON.replace("639.25 511.75 3.5e-08", "639.25 511.75 1e300"),
        "`Camera 2107343.VICON_RADIAL2`: expected coefficients of a lens, got numbers whose powers",
    ),
    "vicon other lens": (
        texts.VICON.replace("Vicon3Parameter", "Vicon9Parameter", 1),
        "`Camera 2107343.VICON_RADIAL2`: expected Vicon3Parameter, a center and three coefficients",
    ),
    "vicon aspect": (
        texts.VICON.replace('RATIO="1"', 'RATIO="1.2"', 1),
        "`Camera 2107343.PIXEL_ASPECT_RATIO`: expected square pixels, 1, got 1.2",
    ),
    "vicon skew": (
        texts.VICON.replace('SKEW="0"', 'SKEW="-0.01"', 1),
        "`Camera 2107343.SKEW`: expected axes of the sensor at right angles, 0, got -0.01",
    ),
    "vicon no rotation": (
        re.sub(r'ORIENTATION="[^"]*"', 'ORIENTATION="0 0 0 0"', texts.VICON),
        "`Camera 2107343.ORIENTATION`: expected a quaternion that is not zero",
    ),
    "vicon no focal length": (
        texts.VICON.replace("FOCAL_LENGTH", "FOCAL", 1),
        "`Camera 2107343`: expected the attribute `FOCAL_LENGTH`",
    ),
    "optitrack no pose": (
        texts.OPTITRACK.replace("Extrinsic", "Pose"),
        "`Camera M21614`: expected an element <Extrinsic>, got none",
    ),
    "optitrack no tangential lens": (
        texts.OPTITRACK.replace("TangentialX", "Tangential", 1),
        "`Camera M21614`: expected the attribute `TangentialX`",
    ),
    "dlt from the bottom": (
        "\n".join(map(",".join, MIRRORED)),
        "`cam_1`: expected the origin of the world in front of the camera, got a mirrored camera",
    ),
    "dlt ten rows": (texts.DLT.replace("\n", "", 1), "expected 11 rows of coefficients, got 10"),
    "dlt short row": (
        texts.DLT.replace(",6.4000000000e+01", "", 1),
        "`line 3`: expected 2 numbers, got 1 of them",
    ),
    "dlt word": (texts.DLT.replace("3.2000000000e+02", "x", 1), "`line 4`: expected a finite"),
    "dlt singular": ("0,0\n" * 11, "`cam_1`: expected coefficients of a finite camera"),
    "jarvis no T": (texts.JARVIS.replace("T: !!", "S: !!"), "expected the key `T`"),
    "jarvis K": (
        texts.JARVIS.replace("639.25, 511.75, 1.", "0., 0., 1.").replace(
            "0., 0., 0., 1101.5", "0., 639.25, 0., 1101.5"
        ),
        "expected 0, 0, 1 in the last row of the intrinsic matrix",
    ),
    "jarvis short": (texts.JARVIS.replace("0.5, -0.25, 4.", "0.5, 4."), "`T`: expected numbers"),
    "panoptic list": (
        texts.PANOPTIC.replace("[\n{", "3, [{"),
        "expected a calibration in JSON",
    ),
    "panoptic no list": ('{"cameras": 3}', "`cameras`: expected a list of cameras, got 3"),
    "panoptic no R": (texts.PANOPTIC.replace('"R"', '"S"', 1), "`cameras.0`: expected the key `R`"),
    "panoptic short t": (texts.PANOPTIC.replace("[289.75]", "[]"), "`cameras.0.t`: expected 3 fin"),
    "panoptic lens": (texts.PANOPTIC.replace(", 0.04]", "]"), "`cameras.0.distCoef`: expected 5"),
    "voxelpose no cx": (texts.VOXELPOSE.replace("cx", "ux", 1), "`0`: expected the key `cx`"),
    "voxelpose short k": (
        texts.VOXELPOSE.replace(", [0.003]]", "]"),
        "`0.k`: expected 3 finite numbers",
    ),
    "nerfstudio no lens": (
        texts.NERFSTUDIO.replace("fl_y", "camera_angle_y"),
        "`frames.0`: expected the key `fl_y`",
    ),
    "nerfstudio size": (
        texts.NERFSTUDIO.replace('"w": 1920', '"w": -1920'),
        "`frames.0.w`: expected",
    ),
    "nerfstudio model": (
        texts.NERFSTUDIO.replace("OPENCV_FISHEYE", "EQUIRECTANGULAR"),
        "`frames.1.camera_model`: expected one of SIMPLE_PINHOLE, PINHOLE",
    ),
    "nerfstudio k4": (
        texts.NERFSTUDIO.replace('"k2": -0.02', '"k4": -0.02'),
        "`frames.0.k4`: expected 0 for the model OPENCV",
    ),
    "nerfstudio pose": (
        texts.NERFSTUDIO.replace("[0.0, 0.0, 0.0, 1.0]]", "[0.0, 0.0, 0.0]]", 1),
        "`frames.0.transform_matrix`: expected 4 x 4 finite numbers",
    ),
    "nerfstudio frames": (
        texts.NERFSTUDIO.replace('"file_path"', '"path"', 1),
        "`frames.0`: expected the key `file_path`",
    ),
}


@pytest.mark.rejects
@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_reported_in_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    assert said in said_by(file_of(tmp_path, text))


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("name", "at", "new", "said"),
    [
        ("cameras.bin", 12, b"\x09\0\0\0", "`camera 1`: expected one of the models"),
        ("cameras.bin", 12, b"\xff\0\0\0", "got model number 255"),
        ("cameras.bin", 0, b"\xff" * 8, "expected at most 10000 images"),
        ("cameras.bin", 32, b"\xff" * 8, "`camera 1`: expected a finite number, got nan"),
        ("images.bin", 0, b"\xff" * 8, "expected at most 10000 images"),
        ("images.bin", 68, b"\x05\0\0\0", "`image 1`: expected a camera of cameras.bin, got 5"),
        ("images.bin", 86, b"\xff" * 8, "`image 1`: expected 442721857769029238760 bytes of 2D p"),
        ("images.bin", 12, b"\0" * 8, "`image 1`: expected a quaternion that is not zero"),
    ],
)
def test_a_broken_binary_model_is_reported_in_one_sentence(
    name: str, at: int, new: bytes, said: str, tmp_path: Path
) -> None:
    content = bytearray(written(tmp_path, "colmap-binary").with_name(name).read_bytes())
    content[at : at + len(new)] = new
    (tmp_path / name).write_bytes(content)
    assert said in said_by(tmp_path)


@pytest.mark.parametrize(
    ("separator", "point", "minus"),
    [
        (";", ".", "-"),
        (";", ",", "-"),
        ("\t", ".", "-"),
        ("\t", ",", "-"),
        ("  ", ".", "-"),
        (",", ".", "\u2212"),
    ],
)
def test_a_table_of_dlt_coefficients_may_be_saved_by_a_spreadsheet(
    tmp_path: Path, separator: str, point: str, minus: str
) -> None:
    plain, saved = tmp_path / "plain.csv", tmp_path / "saved.csv"
    plain.write_text(texts.DLT)
    changed = texts.DLT.replace(",", separator).replace(".", point).replace("-", minus)
    saved.write_text(changed, encoding="utf-8")
    assert load_cameras(saved) == load_cameras(plain)


def test_a_broken_humaneva_file_is_not_taken_for_dlt_coefficients(tmp_path: Path) -> None:
    path = tmp_path / "C1.cal"
    path.write_text("1,5\n2,5\n")
    with pytest.raises(CameraFileError, match="expected 22 numbers, got 2 of them"):
        load_cameras(path)
