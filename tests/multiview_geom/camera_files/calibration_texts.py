"""One small calibration of every format, written by hand; where a tool can be had, as it writes.

The numbers are made up.
"""

from pathlib import Path

import pytest

from multiview_geom import CameraFileError, load_cameras
from tests.multiview_geom.camera_files import texts_of_tools

ANIPOSELIB = """\
[cam_0]
name = "left"
size = [ 1920, 1080,]
matrix = [ [ 1000.5, 0.0, 960.25,], [ 0.0, 1001.5, 540.75,], [ 0.0, 0.0, 1.0,],]
distortions = [ -0.125, 0.0625, 0.001, -0.002, 0.01,]
rotation = [ 0.1, 0.2, 0.3,]
translation = [ -0.5, 0.25, 4.0,]

[cam_1]
name = "right"
size = [ 1920, 1080,]
matrix = [ [ 1010.5, 0.0, 961.25,], [ 0.0, 1011.5, 541.75,], [ 0.0, 0.0, 1.0,],]
distortions = [ -0.1, 0.05, 0.0, 0.0, 0.0,]
rotation = [ -0.1, 0.9, 0.2,]
translation = [ 0.5, 0.25, 5.0,]

[metadata]
adjusted = false
error = 0.5
"""

POSE2SIM = """\
[cam_01]
name = "int_cam1_img"
size = [ 1088.0, 1920.0]
matrix = [ [ 1680.5, 0.0, 543.5], [ 0.0, 1681.5, 959.5], [ 0.0, 0.0, 1.0]]
distortions = [ -0.04, 0.12, 0.003, -0.002]
rotation = [ 1.7, 1.0, -0.4]
translation = [ 0.3, 0.9, 2.9]
fisheye = false

[cam_02]
name = "int_cam2_img"
size = [ 1088.0, 1920.0]
matrix = [ [ 1682.5, 0.0, 543.5], [ 0.0, 1682.5, 959.5], [ 0.0, 0.0, 1.0]]
distortions = [ -0.05, 0.15, 0.003, -0.002]
rotation = [ 1.4, 1.6, -1.2]
translation = [ -0.1, 0.75, 3.2]
fisheye = false

[metadata]
adjusted = false
error = 0.0
"""

ANIPOSELIB_FISHEYE = """\
[cam_0]
name = "a"
size = [ 640, 480,]
matrix = [ [ 300.0, 0.0, 320.0,], [ 0.0, 300.0, 240.0,], [ 0.0, 0.0, 1.0,],]
distortions = [ 0.1, 0.01, -0.01, 0.001,]
rotation = [ 0.0, 0.0, 0.0,]
translation = [ 1.0, 1.0, 1.0,]
fisheye = true

[metadata]
"""

# What OpenCV 5's sample `multiview_calibration` writes for two cameras, as YAML.
OPENCV_RIG_YAML = """\
%YAML 1.2
---
rvecs: !!opencv-matrix
   rows: 2
   cols: 3
   dt: d
   data: [ 0., 0., 0., 1.0000000000000001e-01, 2.0000000000000001e-01,
       2.9999999999999999e-01 ]
distortions: !!opencv-matrix
   rows: 2
   cols: 5
   dt: d
   data: [ -1.25e-01, 6.25e-02, 1.0000000000000000e-03,
       -2.0000000000000000e-03, 0., -1.0000000000000001e-01, 0., 0., 0., 0. ]
Ks: !!opencv-matrix
   rows: 2
   cols: 3
   dt: "3d"
   data: [ 1.0005e+03, 0., 9.6025e+02, 0., 1.0015e+03, 5.4075e+02, 0., 0.,
       1., 1.0105e+03, 0., 9.6125e+02, 0., 1.0115e+03, 5.4175e+02, 0., 0.,
       1. ]
Ts: !!opencv-matrix
   rows: 2
   cols: 3
   dt: d
   data: [ 0., 0., 0., -5.0000000000000000e-01, 2.5000000000000000e-01, 4. ]
is_fisheye: !!opencv-nd-matrix
   sizes: [ 2 ]
   dt: i
   data: [ 0, 0 ]
image_sizes: !!opencv-matrix
   rows: 2
   cols: 2
   dt: i
   data: [ 1920, 1080, 1920, 1080 ]
image_names:
   - "a/0001.png"
   - b
cam_ids: "01,02"
"""

# What OpenCV's sample `calibration` writes for one camera.
OPENCV_SINGLE_YAML = """\
%YAML:1.0
---
calibration_time: "Mon Nov 23 12:00:00 2026"
nframes: 20
image_width: 1280
image_height: 720
# flags: +fix_aspectRatio
flags: 2
fisheye_model: 0
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 9.0e+02, 0., 6.395e+02, 0., 9.0e+02, 3.595e+02, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -2.5e-01, 1.0e-01, 0., 0., 0. ]
avg_reprojection_error: 2.5e-01
"""

OPENCV_PAIR_JSON = """\
{
    "M1": {"type_id": "opencv-matrix", "rows": 3, "cols": 3, "dt": "d",
           "data": [ 900.0, 0.0, 639.5, 0.0, 900.0, 359.5, 0.0, 0.0, 1.0 ]},
    "D1": {"type_id": "opencv-matrix", "rows": 1, "cols": 5, "dt": "d",
           "data": [ -0.25, 0.1, 0.0, 0.0, 0.0 ]},
    "M2": {"type_id": "opencv-matrix", "rows": 3, "cols": 3, "dt": "d",
           "data": [ 910.0, 0.0, 640.5, 0.0, 910.0, 360.5, 0.0, 0.0, 1.0 ]},
    "D2": {"type_id": "opencv-matrix", "rows": 1, "cols": 5, "dt": "d",
           "data": [ -0.2, 0.1, 0.0, 0.0, 0.0 ]},
    "R": {"type_id": "opencv-matrix", "rows": 3, "cols": 3, "dt": "d",
          "data": [ 0.8, 0.0, 0.6, 0.0, 1.0, 0.0, -0.6, 0.0, 0.8 ]},
    "T": {"type_id": "opencv-matrix", "rows": 3, "cols": 1, "dt": "d",
          "data": [ -1.0, 0.0, 0.5 ]}
}
"""

HUMAN36M_JSON = """\
{
  "intrinsics": {
    "54138969": {
      "calibration_matrix": [[1145.0, 0.0, 512.5], [0.0, 1143.5, 515.5], [0.0, 0.0, 1.0]],
      "distortion": [-0.2, 0.24, -0.0009, -0.001, -0.003]
    },
    "55011271": {
      "calibration_matrix": [[1149.0, 0.0, 508.5], [0.0, 1147.5, 508.0], [0.0, 0.0, 1.0]],
      "distortion": [-0.19, 0.24, -0.0015, 0.0009, -0.002]
    }
  },
  "extrinsics": {
    "S1": {
      "54138969": {"R": [[-0.8, 0.6, 0.0], [0.0, 0.0, -1.0], [-0.6, -0.8, 0.0]],
                   "t": [[-300.0], [500.0], [5500.0]]},
      "55011271": {"R": [[0.8, 0.6, 0.0], [0.0, 0.0, -1.0], [-0.6, 0.8, 0.0]],
                   "t": [[300.0], [400.0], [5800.0]]}
    },
    "S11": {
      "54138969": {"R": [[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]],
                   "t": [[0.0], [500.0], [5500.0]]},
      "55011271": {"R": [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]],
                   "t": [[0.0], [400.0], [5800.0]]}
    }
  }
}
"""

HUMANEVA = """\
765.5 764.25
312.5 241.75
0.001
-0.28 0.2 -0.0005 0.001 0.0
-0.8 0.6 0.0
0.0 0.0 -1.0
-0.6 -0.8 0.0
-300.0 900.0 4500.0
"""

MPI_INF_3DHP = """\
Skeletool Camera Calibration File V1.0
name          0
  sensor      10 10
  size        2048 2048
  animated    0
  intrinsic   1497.5 0 1024.75 0 0 1497.25 1051.5 0 0 0 1 0 0 0 0 1 
  extrinsic   0.8 0 0.6 -560.5 0 1 0 1398.25 -0.6 0 0.8 3852.5 0 0 0 1 
  radial      0
name          10
  sensor      10 10
  size        2048 2048
  animated    0
  intrinsic   1495.5 0 983.75 0 0 1497.25 987.5 0 0 0 1 0 0 0 0 1 
  extrinsic   0.6 0 0.8 -429.5 0 1 0 875.25 -0.8 0 0.6 2206.5 0 0 0 1 
  radial      0
"""  # noqa: W291 - the files have blanks at these ends

COLMAP_CAMERAS = """\
# Camera list with one line of data per camera:
#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]
# Number of cameras: 3
1 SIMPLE_PINHOLE 1920 1080 1000.5 960 540
2 OPENCV 1920 1080 1000.5 1001.5 960 540 -0.125 0.0625 0.001 -0.002
3 SIMPLE_RADIAL 1920 1080 1000.5 960 540 -0.1
"""

COLMAP_IMAGES = """\
# Image list with two lines of data per image:
#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME
#   POINTS2D[] as (X, Y, POINT3D_ID)
# Number of images: 3, mean observations per image: 1
7 1 0 0 0 -0.5 0.25 4 2 left view.png
409.5 549.25 -1 27.5 753.25 12
3 0.8 0 0.6 0 0.5 0.25 5 1 right.png

9 0 1 0 0 0.5 0.25 6 3 above.png
100.5 100.25 -1
"""

EASYMOCAP_INTRINSICS = """\
%YAML:1.0\r
---\r
names:\r
  - "01"\r
  - "02"\r
K_01: !!opencv-matrix\r
  rows: 3\r
  cols: 3\r
  dt: d\r
  data: [1000.500000, 0.000000, 960.250000, 0.000000, 1001.500000, 540.750000, 0.0, 0.0, 1.0]\r
dist_01: !!opencv-matrix\r
  rows: 1\r
  cols: 5\r
  dt: d\r
  data: [-0.125000, 0.062500, 0.001000, -0.002000, 0.000000]\r
H_01: 1080\r
W_01: 1920\r
K_02: !!opencv-matrix\r
  rows: 3\r
  cols: 3\r
  dt: d\r
  data: [1010.500000, 0.000000, 961.250000, 0.000000, 1011.500000, 541.750000, 0.0, 0.0, 1.0]\r
dist_02: !!opencv-matrix\r
  rows: 1\r
  cols: 5\r
  dt: d\r
  data: [-0.100000, 0.050000, 0.000000, 0.000000, 0.000000]\r
H_02: 1080\r
W_02: 1920\r
"""

EASYMOCAP_EXTRINSICS = """\
%YAML:1.0\r
---\r
names:\r
  - "01"\r
  - "02"\r
R_01: !!opencv-matrix\r
  rows: 3\r
  cols: 1\r
  dt: d\r
  data: [0.100000, 0.200000, 0.300000]\r
T_01: !!opencv-matrix\r
  rows: 3\r
  cols: 1\r
  dt: d\r
  data: [-0.500000, 0.250000, 4.000000]\r
R_02: !!opencv-matrix\r
  rows: 3\r
  cols: 1\r
  dt: d\r
  data: [-0.100000, 0.900000, 0.200000]\r
T_02: !!opencv-matrix\r
  rows: 3\r
  cols: 1\r
  dt: d\r
  data: [0.500000, 0.250000, 5.000000]\r
"""

QUALISYS = """\
<?xml version='1.0' encoding='ASCII'?>
<calibration created="2026-11-23" qtm-version="none" type="regular" wandLength="600.0">
  <results min-max-diff="0." std-dev="0.5"/>
  <cameras>
    <camera active="1" avg-residual="0.4" serial="26578" viewrotation="0">
      <fov_video bottom="1087" left="0" right="1919" top="0"/>
      <transform r11="0.8" r12="0.6" r13="0." r21="0." r22="0." r23="1." r31="0.6" r32="-0.8"
        r33="0." x="1500." y="-2000." z="1800."/>
      <intrinsic centerPointU="61408." centerPointV="34784." focalLengthU="107648."
        focalLengthV="107584." focallength="9.3" radialDistortion1="-0.046"
        radialDistortion2="0.14" radialDistortion3="0." sensorMaxU="122816" sensorMaxV="69568"
        sensorMinU="0" sensorMinV="0" skew="0." tangentalDistortion1="0.0006"
        tangentalDistortion2="0.0007"/>
    </camera>
  </cameras>
</calibration>
"""

QUALISYS_IN_PIXELS = """\
<calibration><cameras><camera active="1" serial="1" viewrotation="0">
  <fov_video left="0" top="0" right="1919" bottom="1079"/>
  <transform x="1000" y="0" z="3000" r11="1" r12="0" r13="0" r21="0" r22="1" r23="0" r31="0" r32="0"
    r33="1"/>
  <intrinsic focallength="10" sensorMinU="0" sensorMaxU="1920" sensorMinV="0" sensorMaxV="1080"
    focalLengthU="2100" focalLengthV="2100" centerPointU="960" centerPointV="540" skew="0"
    radialDistortion1="0" radialDistortion2="0" radialDistortion3="0" tangentalDistortion1="0"
    tangentalDistortion2="0"/>
</camera></cameras></calibration>
"""

# What OpenCV's sample `stereo_calib` writes: the lenses of a pair, and its pose in a second file.
STEREO_INTRINSICS = """\
%YAML:1.0
---
M1: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 1100.0, 0.0, 959.5, 0.0, 1100.0, 539.5, 0.0, 0.0, 1.0 ]
D1: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ 0.0, 0.0, 0.0, 0.0, 0.0 ]
M2: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 1100.0, 0.0, 959.5, 0.0, 1100.0, 539.5, 0.0, 0.0, 1.0 ]
D2: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ 0.0, 0.0, 0.0, 0.0, 0.0 ]
"""
STEREO_EXTRINSICS = """\
%YAML:1.0
---
R: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, -1.0, 0.0, 0.0 ]
T: !!opencv-matrix
   rows: 3
   cols: 1
   dt: d
   data: [ -4.0, 0.0, 4.0 ]
R1: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0 ]
"""

CALISCOPE = """\
[cameras.0]
cam_id = 0
rotation_count = 0
error = 0.3
ignore = false
size = [1280, 720]
matrix = [[900.5, 0.0, 620.25], [0.0, 901.5, 360.75], [0.0, 0.0, 1.0]]
distortions = [-0.3, 0.1, 0.001, 0.003, -0.004]
translation = [-0.5, 0.25, 1.5]
rotation = [[0.8, 0.6, 0.0], [0.0, 0.0, -1.0], [-0.6, 0.8, 0.0]]

[cameras.2]
cam_id = 2
rotation_count = 1
size = [1280, 720]
matrix = [[910.5, 0.0, 621.25], [0.0, 911.5, 361.75], [0.0, 0.0, 1.0]]
distortions = [-0.2, 0.1, 0.0, 0.0, 0.0]
translation = [0.5, 0.25, 1.5]
rotation = [0.1, 0.2, 0.3]
fisheye = false

[cameras.3]
cam_id = 3
size = [1280, 720]
matrix = [[910.5, 0.0, 621.25], [0.0, 911.5, 361.75], [0.0, 0.0, 1.0]]
distortions = [-0.2, 0.1, 0.0, 0.0, 0.0]
"""

# The older layout: a table per camera among the settings of the project.
CALISCOPE_PROJECT = """\
CreationDate = 2023-05-06T11:12:27.631355
fps_recording = 24

[cam_0]
port = 0
size = [ 1280, 720,]
matrix = [ [ 900.5, 0.0, 620.25,], [ 0.0, 901.5, 360.75,], [ 0.0, 0.0, 1.0,],]
distortions = [ -0.3, 0.1, 0.001, 0.003, -0.004,]
translation = [ -0.5, 0.25, 1.5,]
rotation = [ [ 0.8, 0.6, 0.0,], [ 0.0, 0.0, -1.0,], [ -0.6, 0.8, 0.0,],]
ignore = false

[cam_2]
port = 2
size = [ 1280, 720,]
matrix = [ [ 910.5, 0.0, 621.25,], [ 0.0, 911.5, 361.75,], [ 0.0, 0.0, 1.0,],]
distortions = [ -0.2, 0.1, 0.0, 0.0, 0.0,]
translation = [ 0.5, 0.25, 1.5,]
rotation = [ 0.1, 0.2, 0.3,]
ignore = false

[cam_4]
port = 4
size = [ 1280, 720,]
matrix = [ [ 910.5, 0.0, 621.25,], [ 0.0, 911.5, 361.75,], [ 0.0, 0.0, 1.0,],]
distortions = [ -0.2, 0.1, 0.0, 0.0, 0.0,]
translation = [ 0.5, 0.25, 1.5,]
rotation = [ 0.1, 0.2, 0.3,]
ignore = true

[charuco]
columns = 4
"""

ROS_CAMERA_INFO = """\
image_width: 640
image_height: 480
camera_name: left
camera_matrix:
  rows: 3
  cols: 3
  data: [500.0, 0.0, 319.5, 0.0, 500.0, 239.5, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.1, 0.02, 0.0, 0.0, 0.0]
"""
ROS_RECTIFIED = """\
rectification_matrix:
  rows: 3
  cols: 3
  data: [0.8, 0.0, 0.6, 0.0, 1.0, 0.0, -0.6, 0.0, 0.8]
projection_matrix:
  rows: 3
  cols: 4
  data: [400.0, 0.0, 320.0, -48.0, 0.0, 400.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
"""

KALIBR = """\
cam0:
  cam_overlaps: [1]
  camera_model: pinhole
  distortion_coeffs: [-0.28, 0.07, 0.0002, 0.00002]
  distortion_model: radtan
  intrinsics: [458.5, 457.25, 367.25, 248.5]
  resolution: [752, 480]
  rostopic: /cam0/image_raw
cam1:
  T_cn_cnm1:
  - [0.8, 0.0, 0.6, -0.125]
  - [0.0, 1.0, 0.0, 0.25]
  - [-0.6, 0.0, 0.8, 0.5]
  - [0.0, 0.0, 0.0, 1.0]
  cam_overlaps: [0, 2]
  camera_model: pinhole
  distortion_coeffs: [0.01, 0.02, -0.003, 0.004]
  distortion_model: equidistant
  intrinsics: [457.5, 456.25, 379.5, 255.25]
  resolution: [752, 480]
  rostopic: /cam1/image_raw
cam2:
  T_cn_cnm1:
  - [1.0, 0.0, 0.0, -1.0]
  - [0.0, 1.0, 0.0, 0.0]
  - [0.0, 0.0, 1.0, 0.0]
  - [0.0, 0.0, 0.0, 1.0]
  camera_model: pinhole
  distortion_coeffs: []
  distortion_model: none
  intrinsics: [457.5, 456.25, 379.5, 255.25]
  resolution: [752, 480]
"""

FILES: dict[str, dict[str, str | bytes]] = {
    **texts_of_tools.FILES,
    "caliscope": {"any.toml": CALISCOPE},
    "kalibr": {"any": KALIBR},
    "ros-camera-info": {"any.txt": ROS_CAMERA_INFO},
    "toml": {"any.toml": ANIPOSELIB},
    "opencv-yaml": {"any.txt": OPENCV_RIG_YAML},
    "opencv-json": {"any": OPENCV_PAIR_JSON},
    "human36m-json": {"any.json": HUMAN36M_JSON},
    "humaneva": {"C1.cal": HUMANEVA},
    "mpi-inf-3dhp": {"any.txt": MPI_INF_3DHP},
    "colmap": {
        "cameras.txt": COLMAP_CAMERAS,
        "images.txt": COLMAP_IMAGES,
    },
    "easymocap": {
        "intri.yml": EASYMOCAP_INTRINSICS,
        "extri.yml": EASYMOCAP_EXTRINSICS,
    },
    "qualisys": {"Calib.qca.txt": QUALISYS},
}


def written(folder: Path, form: str) -> Path:
    """Write a format's example; return the file, or the first of two."""
    for name, content in FILES[form].items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / next(iter(FILES[form]))


def file_of(folder: Path, text: str) -> Path:
    """Write text to a file whose name tells nothing."""
    path = folder / "calibration"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def subject_of(form: str) -> str | None:
    """Name a subject where the format wants one."""
    return "S1" if form == "human36m-json" else None


def said_by(path: Path, subject: str | None = None) -> str:
    """Return the sentence with which a file is refused."""
    with pytest.raises(CameraFileError) as refusal:
        load_cameras(path, subject=subject)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400 + len(str(path))
    return str(refusal.value).removeprefix(str(path))
