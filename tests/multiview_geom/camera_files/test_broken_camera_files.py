"""Laws of calibration files that are broken, or made to do harm."""

import json
import os
import re
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multiview_geom import (
    CameraFileError,
    load_cameras,
    ring_of_cameras,
    save_cameras,
)
from tests.multiview_geom.camera_files import calibration_texts as texts
from tests.multiview_geom.camera_files import texts_of_tools as tools
from tests.multiview_geom.camera_files.calibration_texts import (
    FILES,
    file_of,
    said_by,
    subject_of,
    written,
)

pytestmark = pytest.mark.rejects


SPOILT_TOML = {
    "nan": ("960.25", "nan", "`cam_0.matrix`: expected 3 x 3 finite numbers"),
    "text": ("960.25", '"x"', "`cam_0.matrix`: expected 3 x 3 finite numbers"),
    "true": ("960.25", "true", "`cam_0.matrix`: expected 3 x 3 finite numbers"),
    "not 3x3": (", [ 0.0, 0.0, 1.0,],]", "]", "`cam_0.matrix`: expected 3 x 3 finite numbers"),
    "short rotation": ("0.1, 0.2, 0.3,", "0.1,", "`cam_0.rotation`: expected 3 finite numbers"),
    "no translation": ("translation", "move", "`cam_0`: expected the key `translation`"),
    "two names": ('"right"', '"left"', "expected names that differ, got left, left"),
    "number as name": ('"right"', "2", "`cam_1.name`: expected text, got 2"),
    "six coefficients": ("0.01,]", "0.01, 0.0,]", "`cam_0.distortions`: expected 0 or 4 or 5"),
    "five of a fisheye lens": (
        "size =",
        "fisheye = true\nsize =",
        "`cam_0.distortions`: expected 4 coefficients of a fisheye lens, got 5 of them",
    ),
    "misspelled lens": (
        "distortions",
        "distortion",
        "`cam_0`: expected the key `distortions`, or none, got `distortion`",
    ),
    "misspelled fisheye": (
        "size =",
        "is_fisheye = true\nsize =",
        "`cam_0`: expected the key `fisheye`, or none, got `is_fisheye`",
    ),
    "degrees": (
        "0.1, 0.2, 0.3,",
        "40.0, 20.0, 3.0,",
        "`cam_0.rotation`: expected a rotation vector",
    ),
    "blank name": ('"right"', '" "', "expected a name for every camera, got a blank one, ' '"),
    "half a pixel": ("1080,]", "1080.5,]", "`cam_0.size`: expected a width and a height in whole"),
    "negative size": ("1920", "-1920", "`cam_0.size`: expected a width and a height in whole"),
    "one size": ("size = [ 1920, 1080,]\n", "", "an image size for every camera or for none"),
    "one coefficient": (
        "[ -0.125, 0.0625, 0.001, -0.002, 0.01,]",
        "0.1",
        "`cam_0.distortions`: expected a list",
    ),
    "fisheye in words": (" 0.01,]", ' 0.01,]\nfisheye = "no"', "`cam_0.fisheye`: expected true or"),
    "enormous": ("960.25", "1" + 400 * "0", "`cam_0.matrix`: expected numbers that float64 can"),
    "endless": ("960.25", 10_000 * "1", "expected a calibration in TOML"),
    "nested": ("960.25", 100_000 * "[", "expected a calibration in TOML"),
    "table twice": ("[cam_1]", "[cam_0]", "expected a calibration in TOML"),
}
BROKEN = {
    "toml truncated": (texts.ANIPOSELIB[:200], "expected a calibration in TOML"),
    "toml of a merge": (
        texts.ANIPOSELIB.replace("[cam_1]", "<<<<<<< HEAD\n[cam_1]"),
        "got marks of a merge of git: Invalid statement (at line ",
    ),
    "toml of Windows": (
        texts.ANIPOSELIB + 'home = "C:\\Users"\n',
        ": \\ begins an escape; write / or \\\\",
    ),
    "git lfs": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "expected a calibration, got a pointer of Git LFS: `git lfs pull` fetches the file itself",
    ),
    "toml key of 33 parts": ("a." * 32 + "a = 1", "got a key has more than 32 parts"),
    "toml of a number": ("cam_0 = 1", "`cam_0`: expected a table, got 1"),
    "empty": ("", "expected at least one camera, got none"),
    "no subjects": (
        '{"intrinsics": {}, "extrinsics": {}}',
        "`extrinsics`: expected cameras of a subject, got none",
    ),
    "no subject": (texts.HUMAN36M_JSON.replace("S1", "S5"), "to be one of S5, S51, got `subject`"),
    "yaml alias": ("%YAML:1.0\n---\nK: &a [1]\nD: *a\n", "`line 3`: expected a plain value"),
    "yaml tag": ("%YAML:1.0\nK: !!python/object/apply:os.system [ls]\n", "expected a plain value"),
    "yaml merge": ("%YAML:1.0\n<<: 1\nK: <<\n", "`line 2`: expected a plain value"),
    "yaml open list": ("%YAML:1.0\nK: [ 1, 2\n", "`line 3`: expected a calibration in YAML"),
    "yaml key twice": (
        "%YAML:1.0\nK: 1\nK: 2\n",
        "`line 3`: expected each key once, got `K` again",
    ),
    "yaml indentation": ("%YAML:1.0\nK: 1\n  D: 2\n", "`line 3`: expected a calibration in YAML"),
    "yaml alias bomb": (
        "%YAML:1.0\na: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(9)),
        "`line 2`: expected a plain value, got an alias or the tag",
    ),
    "yaml alias of itself": ("%YAML:1.0\na: &a [*a]\n", "`line 2`: expected a plain value"),
    "yaml list as key": ("%YAML:1.0\n? [1, 2]\n: 3\n", "`line 2`: expected text as key"),
    "yaml two documents": (
        "%YAML:1.0\n---\na: 1\n---\nb: 1\n",
        "expected one document, got a second",
    ),
    "yaml lists in lists": ("%YAML:1.0\na: " + 10 * "[" + 10 * "]", "no deeper than 8"),
    "yaml endless lists": ("%YAML:1.0\na: " + 100_000 * "[", "no deeper than 8"),
    "yaml depth": (
        "%YAML:1.0\n" + "".join(f"{' ' * depth}k{depth}:\n" for depth in range(1000)),
        "expected maps no deeper than 8",
    ),
    "yaml no key": ("%YAML:1.0\n---\njust words\n", "expected a table, got just words"),
    "yaml a billion cameras": (
        texts.OPENCV_RIG_YAML.replace(
            "Ks: !!opencv-matrix\n   rows: 2", "Ks:\n   rows: 1000000000"
        ),
        "expected numbers for sizes 1e+09 x 3, got 18 of them",
    ),
    "toml decimal commas": (
        texts.ANIPOSELIB.replace("[ -0.125, 0.0625, 0.001, -0.002, 0.01,]", "[ -0,25, 0,12 ]"),
        "coefficients with decimals",
    ),
    "yaml negative sizes": (
        texts.OPENCV_RIG_YAML.replace(
            "Ks: !!opencv-matrix\n   rows: 2\n   cols: 3", "Ks:\n   rows: -2\n   cols: -3"
        ),
        "`Ks`: expected sizes of a matrix, got -2 x -3",
    ),
    "yaml transposed": (
        texts.OPENCV_RIG_YAML.replace(
            "rvecs: !!opencv-matrix\n   rows: 2\n   cols: 3", "rvecs:\n   rows: 3\n   cols: 2"
        ),
        "`rvecs`: expected a matrix of 2 x 3, got one of 3 x 2: is it transposed?",
    ),
    "yaml sizes in words": (
        texts.OPENCV_RIG_YAML.replace("sizes: [ 2 ]", "sizes: [ two ]"),
        "sizes`: expected a finite number, got two",
    ),
    "yaml one size": (
        texts.OPENCV_RIG_YAML.replace("sizes: [ 2 ]", "sizes: 2"),
        "sizes`: expected a list of sizes, got 2",
    ),
    "yaml one number": (
        texts.OPENCV_RIG_YAML.replace("data: [ 0, 0 ]", "data: 0"),
        "data`: expected a list of numbers, got 0",
    ),
    "yaml nan": (texts.OPENCV_RIG_YAML.replace("1.0005e+03", ".Nan"), "`Ks`: expected a finite"),
    "yaml other names": (
        texts.OPENCV_RIG_YAML.replace("01,02", "01,02,03"),
        "`cam_ids`: expected 2 names, got 3 of them",
    ),
    "yaml misspelled lens": (
        texts.OPENCV_SINGLE_YAML.replace("distortion_coefficients", "distortion"),
        "expected the key `distortion_coefficients`, or none, got `distortion`",
    ),
    "yaml fisheye": (
        texts.OPENCV_SINGLE_YAML.replace("fisheye_model: 0", "fisheye_model: 1"),
        "`distortion_coefficients`: expected 4 coefficients of a fisheye lens, got 5 of them",
    ),
    "yaml two lenses": (
        texts.OPENCV_SINGLE_YAML + "D: 1\n",
        "expected one of distortion_coefficients, distCoeffs, dist_coeffs, D, got distortion_coe",
    ),
    "yaml rotation alone": (
        texts.OPENCV_SINGLE_YAML + "R: 1\n",
        "expected a rotation and a translation, or none of both, got `R` alone",
    ),
    "yaml width alone": (
        texts.OPENCV_SINGLE_YAML.replace("image_height", "height"),
        "expected the key `image_height`, got only",
    ),
    "yaml something else": ("%YAML:1.0\nnames: 1\n", "expected a calibration with `Ks`"),
    "json lens in words": (
        texts.OPENCV_PAIR_JSON.replace("-0.2, 0.1", '"a", 0.1'),
        "`D2`: expected a finite number, got a",
    ),
    "json something else": ('{"a": 1}', "expected a calibration with `Ks`"),
    "json truncated": (texts.HUMAN36M_JSON[:300], "expected a calibration in JSON"),
    "json of a word processor": (
        texts.HUMAN36M_JSON.replace('"extrinsics"', "\u201cextrinsics\u201d"),
        "'\u201c' (U+201C), as word processors write",
    ),
    "json nested": ('{"a": ' + 100_000 * "[", "expected a calibration in JSON"),
    "json nan": (
        texts.HUMAN36M_JSON.replace("515.5", "NaN"),
        "`intrinsics.54138969.calibration_matrix`: expected 3 x 3 finite numbers",
    ),
    "json wrong type": (
        texts.HUMAN36M_JSON.replace('"extrinsics": {', '"extrinsics": 3, "x": {'),
        "`extrinsics`: expected a table, got 3",
    ),
    "json pose without camera": (
        texts.HUMAN36M_JSON.replace('"55011271": {"R"', '"5": {}, "55011271": {"R"'),
        "`intrinsics`: expected the key `5`, got only 54138969, 55011271",
    ),
    "json key twice": (
        texts.OPENCV_PAIR_JSON.replace('"D2"', '"D1"'),
        "expected a calibration in JSON, got the key 'D1' appears twice",
    ),
    "json camera without pose": (
        texts.HUMAN36M_JSON.replace('"55011271": {"R"', '"5": {"R"'),
        "`extrinsics.S1`: expected the key `55011271`",
    ),
    "json half a letter": (
        texts.HUMAN36M_JSON.replace("54138969", r"\ud83d"),
        r"expected names of cameras in Unicode, got '\ud83d'",
    ),
    "xml entities": (
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><calibration>&b;</calibration>',
        "expected XML without a document type",
    ),
    "xml file entity": (
        '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><w0>&f;</w0>',
        "expected XML without a document type",
    ),
    "xml truncated": (texts.QUALISYS[:500], "expected XML, got"),
    "xml no camera": ("<calibration/>", "expected at least one camera"),
    "xml no transform": (
        texts.QUALISYS.replace("transform", "transformed"),
        "`camera 26578`: expected an element <transform>",
    ),
    "xml never calibrated": (
        re.sub(r'(r\d\d|\b[xyz])="[^"]*"', r'\1="0.0"', texts.QUALISYS),
        "`26578`: expected a rotation, got zeros alone: this camera is not calibrated",
    ),
    "cal never calibrated": (
        "1145 1143 512 515 0 0 0 0 0 0 " + "0 " * 12,
        "expected a rotation, got zeros alone: this camera is not calibrated",
    ),
    "xml no focal length": (
        texts.QUALISYS.replace("focalLengthU", "focalLength"),
        "`camera 26578`: expected the attribute `focalLengthU`",
    ),
    "xml of OpenCV": (
        '<?xml version="1.0"?>\n<opencv_storage>\n<calibration_time>"Sat"</calibration_time>',
        "expected a calibration, got OpenCV's XML: write the same names to a .yml or .json file",
    ),
    "xml short w0": ("<conf><w0>[1 2 3]</w0></conf>", "`w0`: expected 300 numbers, got 3 of them"),
    "xml w0 twice": (
        "<conf><w0>1</w0><w0>2</w0></conf>",
        "`w0`: expected one element <w0>, got 2 of them",
    ),
    "xml sensor of no width": (
        texts.QUALISYS.replace("122816", "0"),
        "`camera 26578.sensorMaxU`: expected a width above zero, got 0",
    ),
    "xml sensor in another unit": (
        texts.QUALISYS.replace("122816", "1919"),
        "`camera 26578.sensorMaxU`: expected the width of the sensor, in the unit of centerPoint",
    ),
    "xml no focal length in it": (
        texts.QUALISYS.replace("107648.", "1e-320"),
        "`26578.intrinsics`: expected focal lengths above 1e-15 px, got ",
    ),
    "quaternion of no length": (
        tools.VICON.replace("0.9486832980505138", "1e308"),
        "ORIENTATION`: expected a quaternion of a finite length",
    ),
    "yaml too long": (
        f"%YAML:1.0\n---\nnames: []\n{'#' * 2_000_000}\n",
        "expected at most 2000000 characters of YAML, got 20000",
    ),
    "cal short": ("1 2 3", "expected 22 numbers, got 3 of them"),
    "K alone": (
        "1145.0 0 499.5\n0 1145.0 499.5\n0 0 1\n",
        "expected a calibration, got a single 3 x 3 matrix, such as K: the poses of the cameras",
    ),
    "K alone, commas": ("1.145e+03,0,4.9e+02\n0,1145,499.5\n0,0,1\n", "got a single 3 x 3 matrix"),
    "cal words": ("1 " * 21 + "x", "expected a finite number, got x"),
    "caliscope no matrix": (
        texts.CALISCOPE.replace("matrix", "mat", 1),
        "`cameras.0`: expected the key `matrix`",
    ),
    "caliscope no pose": (
        texts.CALISCOPE.replace("rotation =", "turn ="),
        "expected a camera with `rotation` and `translation`, got none",
    ),
    "caliscope two numbers": (
        texts.CALISCOPE.replace("cam_id = 2", "cam_id = 3"),
        "`cameras.2`: expected the number 2, as the name of the table says, got 3",
    ),
    "caliscope short rotation": (
        texts.CALISCOPE.replace("[0.1, 0.2, 0.3]", "[0.1, 0.2]"),
        "`cameras.2.rotation`: expected 3 finite numbers",
    ),
    "kalibr no pose": (
        texts.KALIBR.replace("T_cn_cnm1", "T_cam_imu", 1),
        "`cam1`: expected the key `T_cn_cnm1`",
    ),
    "kalibr other camera": (
        texts.KALIBR.replace("pinhole", "omni", 1),
        "`cam0.camera_model`: expected pinhole, got omni",
    ),
    "kalibr other lens": (
        texts.KALIBR.replace("radtan", "fov"),
        "`cam0.distortion_model`: expected one of none, plumb_bob, radtan, rational_polynomial, eq",
    ),
    "kalibr lens without model": (
        texts.KALIBR.replace("  distortion_model: radtan\n", ""),
        "`cam0`: expected the key `distortion_model`, got only cam_overlaps",
    ),
    "kalibr misspelled lens": (
        texts.KALIBR.replace("distortion_coeffs: []\n  distortion_model: none", "distortion: []"),
        "`cam2`: expected the key `distortion_model`, or none, got `distortion`",
    ),
    "kalibr short lens": (
        texts.KALIBR.replace("[-0.28, 0.07, 0.0002, 0.00002]", "[-0.28, 0.07]"),
        "`cam0.distortion_coeffs`: expected 4 numbers, got 2 of them",
    ),
    "ros other lens": (
        texts.ROS_CAMERA_INFO.replace("plumb_bob", "thin_prism"),
        "`distortion_model`: expected one of none, plumb_bob",
    ),
    "ros list of lenses": (
        texts.ROS_CAMERA_INFO.replace("plumb_bob", "[]"),
        "`distortion_model`: expected one of none, plumb_bob",
    ),
    "ros no size": (
        texts.ROS_CAMERA_INFO.replace("image_width", "width"),
        "expected the key `image_width`",
    ),
    "ros words": (
        texts.ROS_CAMERA_INFO.replace("319.5", "wide"),
        "`camera_matrix`: expected a finite number, got wide",
    ),
    "ros one number": (
        texts.ROS_CAMERA_INFO.replace("data: [500.0", "data: 500.0 # [", 1),
        "`camera_matrix`: expected a list of numbers in `data`, got 500",
    ),
    "ros binning": (
        texts.ROS_CAMERA_INFO + "binning_x: 2\n",
        "`binning_x`: expected pictures of the calibrated size, got binning 2",
    ),
    "ros region": (
        texts.ROS_CAMERA_INFO + "roi:\n  x_offset: 100\n  width: 0\n",
        "`roi.x_offset`: expected whole pictures, got 100",
    ),
    "ros singular projection": (
        texts.ROS_CAMERA_INFO + texts.ROS_RECTIFIED.replace("400.0", "0.0"),
        "`projection_matrix`: expected a matrix that can be inverted",
    ),
    "skeletool truncated": (texts.MPI_INF_3DHP[:150], "expected"),
    "skeletool headless": (
        texts.MPI_INF_3DHP.replace("name          0\n", ""),
        "`line 2`: expected `name`",
    ),
    "skeletool camera without name": (
        texts.MPI_INF_3DHP.replace("name          10\n", ""),
        ": expected `name` before the next camera, got `sensor` again",
    ),
    "skeletool lens": (
        texts.MPI_INF_3DHP.replace("radial      0", "radial      0.1", 1),
        "`line 2.radial`: expected 0, a lens without distortion",
    ),
}


@pytest.mark.parametrize(("old", "new", "said"), SPOILT_TOML.values(), ids=SPOILT_TOML.keys())
def test_a_spoilt_toml_is_reported_in_one_sentence(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    assert said in said_by(file_of(tmp_path, texts.ANIPOSELIB.replace(old, new, 1)))


@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_reported_in_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = file_of(tmp_path, text)
    subject = "S1" if '"extrinsics"' in text or text.startswith("<conf") else None
    assert said in said_by(path, subject=subject)


def test_a_file_of_several_subjects_wants_one(tmp_path: Path) -> None:
    assert said_by(file_of(tmp_path, texts.HUMAN36M_JSON)) == (
        ": `extrinsics`: expected the cameras of one subject: give `load_cameras` a `subject`, "
        "got those of S1, S11"
    )


def test_a_subject_of_a_file_without_subjects_is_refused(tmp_path: Path) -> None:
    said = said_by(file_of(tmp_path, texts.ANIPOSELIB), subject="S9")
    assert "expected a file with subjects, for `subject` S9, got TOML of aniposelib" in said


def test_a_rig_of_torch_save_is_named(tmp_path: Path) -> None:
    torch.save(torch.eye(3), tmp_path / "rig.pt")
    assert "a file of torch.save: write the rig with `save_cameras`" in said_by(tmp_path / "rig.pt")


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("cameras.txt", "OPENCV", "THIN_PRISM", "/cameras.txt: `line 5`: expected one of the mod"),
        ("cameras.txt", "-0.125 ", "", "/cameras.txt: `line 5`: expected 10 numbers, got 9"),
        ("cameras.txt", "3 SIMPLE", "2 SIMPLE", "`line 6`: expected each camera once, got"),
        ("images.txt", "4 2 left", "4 5 left", "/images.txt: `line 5`: expected a camera of cam"),
        ("images.txt", "7 1 0 0 0", "7 0 0 0 0", "`line 5`: expected a quaternion that is not"),
        (
            "images.txt",
            "7 1 0 0 0",
            "7 1e-300 0 0 0",
            "`left view.png.rotation`: expected numbers below 1e+15, got nan",
        ),
        ("images.txt", " left view.png", "", "`line 5`: expected an image: id, quaternion"),
        ("images.txt", "409.5 549.25 -1 27.5 753.25 12\n", "", "`line 6`: expected the 2D points"),
    ],
)
def test_a_broken_colmap_model_is_reported_in_one_sentence(
    name: str, old: str, new: str, said: str, tmp_path: Path
) -> None:
    written(tmp_path, "colmap")
    (tmp_path / name).write_text((tmp_path / name).read_text().replace(old, new, 1))
    assert said in said_by(tmp_path)


def test_control_characters_of_a_file_do_not_reach_the_terminal(tmp_path: Path) -> None:
    path = written(tmp_path, "humaneva")
    path.write_text(path.read_text().replace("1", "\x1b[31m\0", 1))
    assert said_by(path).isprintable()


@settings(max_examples=40)
@pytest.mark.parametrize("form", FILES)
@given(data=st.data())
def test_a_truncated_file_is_refused_or_read_in_part(
    data: st.DataObject, form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.mktemp("truncated"), form)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with suppress(CameraFileError):
        assert load_cameras(path, subject=subject_of(form)).views > 0


@given(content=st.binary(max_size=200))
def test_noise_is_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("noise") / "calibration"
    path.write_bytes(content)
    with pytest.raises(CameraFileError):
        load_cameras(path)


@pytest.mark.skipif(sys.platform == "win32", reason="has no pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rig.toml")
    told = said_by(tmp_path / "rig.toml")
    assert told == ": expected a file or a folder, got a pipe or a device"


def test_a_binary_file_is_told_from_text(tmp_path: Path) -> None:
    (tmp_path / "rig.cal").write_bytes(b"1\x82\x00\x10")
    assert said_by(tmp_path / "rig.cal").endswith("got a byte 0x82 at 1, as binary files have")


def test_a_file_far_larger_than_a_calibration_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    with path.open("wb") as file:
        file.write(b"#")
        file.truncate(10**10)
    assert "expected at most 4194304 bytes, got 10000000000 bytes" in said_by(path)


@pytest.mark.parametrize(
    ("cameras", "place"),
    [
        (dict.fromkeys(map(str, range(2_001)), json.loads(tools.VOXELPOSE)["0"]), ""),
        ({"frames": 2_001 * [{"transform_matrix": []}]}, " `frames`:"),
    ],
    ids=["voxelpose", "nerfstudio"],
)
def test_more_cameras_than_any_rig_has_are_refused(
    cameras: dict[str, object], place: str, tmp_path: Path
) -> None:
    path = file_of(tmp_path, json.dumps(cameras))
    assert said_by(path) == f":{place} expected at most 2000 cameras, got 2001"


def test_a_folder_of_more_files_than_any_rig_has_is_refused(tmp_path: Path) -> None:
    for number in range(2_001):
        (tmp_path / f"C{number}.cal").touch()
    assert said_by(tmp_path) == ": expected at most 2000 files, got more"


def test_long_lines_of_2d_points_are_passed_over(tmp_path: Path) -> None:
    written(tmp_path, "colmap")
    path = tmp_path / "images.txt"
    points = "100.5 100.25 -1 " * 100_000
    path.write_text(path.read_text().replace("409.5 549.25 -1 27.5 753.25 12", points))
    assert load_cameras(tmp_path).views == 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda group: group.__setitem__("R", h5py.ExternalLink("/etc/hostname", "R")),
        lambda group: group.__setitem__("R", h5py.SoftLink("/subject1/camera1/T")),
        lambda group: group.create_dataset("R", shape=(10**9, 10**6), dtype="f8", chunks=(64, 64)),
        lambda group: group.create_dataset("R", data=np.full((3, 3), np.nan)),
        lambda group: group.create_dataset("R", data=np.array([b"code"] * 9)),
        lambda group: group.create_group("R"),
        lambda group: None,
    ],
    ids=["external", "soft", "a billion", "nan", "bytes", "group", "missing"],
)
def test_a_hostile_h5_is_reported_in_one_sentence(
    spoil: Callable[[h5py.Group], None], tmp_path: Path
) -> None:
    path = tmp_path / "cameras.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("subject1/camera1")
        group["T"], group["f"], group["c"] = np.ones((3, 1)), np.ones((2, 1)), np.ones((2, 1))
        group["k"], group["p"] = np.zeros((3, 1)), np.zeros((2, 1))
        spoil(group)
    assert "`subject1.camera1.R`: expected" in said_by(path)


PACKED = "expected chunks that are packed once, and unpack to their size, got "


@pytest.mark.parametrize(
    ("filters", "stored", "sentence"),
    [
        ([1], zlib.compress(bytes(2**27)), f"{PACKED}one that unpacks to more than 67 MB"),
        ([1, 1], zlib.compress(zlib.compress(bytes(2**27))), f"{PACKED}some that are packed again"),
        ([1], zlib.compress(bytes(72)), "expected a rotation, got zeros alone"),
        ([1, 3], zlib.compress(bytes(72)) + bytes(4), "expected an HDF5 file"),
        ([1], np.random.default_rng(0).bytes(2**17), "expected an HDF5 file"),
    ],
    ids=["large", "packed twice", "sound", "with a wrong checksum", "no stream"],
)
def test_a_chunk_of_an_h5_that_unpacks_to_more_than_its_size_is_named(
    filters: list[int], stored: bytes, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "cameras.h5"
    save_cameras(path, ring_of_cameras(2, radius=4.0, height=1.0))
    with h5py.File(path, "r+") as file:
        del file["subject1/camera1/R"]
        packing = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        packing.set_chunk((3, 3))
        for number in filters:
            packing.set_filter(number, 0, (9,) if number == 1 else ())
        space = h5py.h5s.create_simple((3, 3))
        array = h5py.h5d.create(
            file.id, b"subject1/camera1/R", h5py.h5t.NATIVE_DOUBLE, space, packing
        )
        array.write_direct_chunk((0, 0), stored)
    assert sentence in said_by(path)


def test_a_chunk_of_an_h5_that_is_larger_than_its_array_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cameras.h5"
    save_cameras(path, ring_of_cameras(2, radius=4.0, height=1.0))
    with h5py.File(path, "r+") as file:
        del file["subject1/camera1/T"]
        file["subject1/camera1"].create_dataset("T", (3,), "f4", maxshape=(None,), chunks=(2**27,))
    assert "`subject1.camera1.T`: expected a chunk of at most 67 MB, got one of 537 MB" in said_by(
        path
    )


@pytest.mark.parametrize("link", [h5py.ExternalLink("/etc/hostname", "/"), h5py.SoftLink("/")])
def test_a_group_of_an_h5_file_is_no_link(link: object, tmp_path: Path) -> None:
    path = tmp_path / "cameras.h5"
    with h5py.File(path, "w") as file:
        file.create_group("subject1")["camera1"] = link
    assert "`subject1.camera1`: expected a group of this file, got something else" in said_by(path)


def test_a_truncated_h5_is_reported_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "cameras.h5"
    save_cameras(path, ring_of_cameras(12, radius=4.0, height=1.0))
    path.write_bytes(path.read_bytes()[:1000])
    assert "expected an HDF5 file" in said_by(path)


def test_a_folder_without_cameras_is_reported(tmp_path: Path) -> None:
    assert "expected a folder with cameras.txt and images.txt" in said_by(tmp_path)


def test_no_file_is_no_calibration(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_cameras(tmp_path / "none.toml")


def test_the_last_row_of_a_transform_is_0_0_0_1(tmp_path: Path) -> None:
    pose = np.diag([1, 1, 1, 7]).tolist()
    frames = [{"file_path": "a.png", "transform_matrix": pose}]
    lens = {"fl_x": 9, "fl_y": 9, "cx": 4, "cy": 4, "w": 9, "h": 9}
    (tmp_path / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))
    sentence = r"`frames\.0\.transform_matrix`: expected the last row 0, 0, 0, 1, got \[0"
    with pytest.raises(CameraFileError, match=sentence):
        load_cameras(tmp_path / "transforms.json")


def test_a_chain_without_one_of_its_cameras_is_refused(tmp_path: Path) -> None:
    camera = (
        "\n  camera_model: pinhole\n  intrinsics: [9, 9, 4, 4]\n  resolution: [9, 9]\n"
        "  T_cn_cnm1: [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]\n"
    )
    (tmp_path / "camchain.yaml").write_text(f"cam0:{camera}cam2:{camera}")
    with pytest.raises(CameraFileError, match="expected the camera cam1, got cam0, cam2"):
        load_cameras(tmp_path / "camchain.yaml")


def test_a_rotation_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    save_cameras(tmp_path, ring_of_cameras(2, radius=4.0, height=1.0), format="easymocap")
    text = (tmp_path / "extri.yml").read_text()
    (tmp_path / "extri.yml").write_text(
        text.replace("Rot_cam_2", "Rot_x").replace("Rot_cam_1", "Rot_cam_2")
    )
    assert "`Rot_cam_2`: expected the rotation of the vector R_ beside it" in said_by(tmp_path)


def test_a_camera_in_one_of_two_files_is_refused(tmp_path: Path) -> None:
    save_cameras(tmp_path, ring_of_cameras(2, radius=4.0, height=1.0), format="easymocap")
    text = (tmp_path / "intri.yml").read_text()
    (tmp_path / "intri.yml").write_text(text.replace('   - "cam_2"\n', ""))
    told = "extri.yml: `names`: expected names of intri.yml (cam_1), got cam_2"
    assert told in said_by(tmp_path)


def test_one_of_two_files_says_which_is_absent(tmp_path: Path) -> None:
    path = tmp_path / "cameras.txt"
    path.write_text("# Camera list\n1 PINHOLE 1000 1000 1000 1000 500 500\n")
    assert "expected images.txt beside it" in said_by(path)


def test_an_hdf5_file_without_subjects_is_no_calibration(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.slp", "w") as file:
        file["frames"] = np.zeros(3)
    assert "expected a calibration" in said_by(tmp_path / "a.slp")


def test_cameras_that_are_all_ignored_are_said_to_be(tmp_path: Path) -> None:
    text = (
        "[cameras.0]\nmatrix = []\nrotation = [0, 0, 0]\ntranslation = [0, 0, 0]\nignore = true\n"
    )
    (tmp_path / "camera_array.toml").write_text(text)
    assert "`ignore` is true of 1 cameras" in said_by(tmp_path / "camera_array.toml")
