"""One small calibration of each tool that stores its cameras in a convention of its own.

Written by hand in the layout of the tool's documentation or code. The numbers are made up.
"""

import struct
from io import BytesIO

import numpy as np
from scipy.io import savemat

PANOPTIC = """\
{
"calibDataSource": "160906_pizza1_calib",
"cameras": [
{"name": "00_03", "type": "hd", "resolution": [1920, 1080], "panel": 0, "node": 3,
 "K": [[1395.5, 0, 950.25], [0, 1392.75, 561.5], [0, 0, 1]],
 "distCoef": [-0.28, 0.17, 0.0004, -0.0006, 0.04],
 "R": [[0.8, 0.0, -0.6], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]],
 "t": [[20.5], [145.25], [289.75]]},
{"name": "01_01", "type": "vga", "resolution": [640, 480], "panel": 1, "node": 1,
 "K": [[745.5, 0, 375.25], [0, 745.75, 226.5], [0, 0, 1]],
 "distCoef": [-0.31, -0.03, -0.0003, 0.001, 0.5],
 "R": [[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [-0.8, 0.0, 0.6]],
 "t": [[-51.5], [143.25], [301.75]]}
]
}
"""

VOXELPOSE = """\
{"0": {"R": [[0.8, 0.6, 0.0], [0.0, 0.0, -1.0], [-0.6, 0.8, 0.0]],
       "T": [[2500.5], [-3300.25], [1480.75]],
       "fx": 1063.5, "fy": 1071.75, "cx": 511.75, "cy": 350.25,
       "k": [[-0.1], [0.02], [0.003]], "p": [[0.001], [-0.002]]},
 "1": {"R": [[0.6, 0.8, 0.0], [0.0, 0.0, -1.0], [-0.8, 0.6, 0.0]],
       "T": [[3400.5], [-2600.25], [1500.75]],
       "fx": 1097.5, "fy": 1086.75, "cx": 521.75, "cy": 376.25,
       "k": [[0.0], [0.0], [0.0]], "p": [[0.0], [0.0]]}}
"""

NERFSTUDIO = """\
{
  "camera_model": "OPENCV",
  "fl_x": 1072.5, "fl_y": 1068.25, "cx": 960.5, "cy": 540.75, "w": 1920, "h": 1080,
  "k1": 0.03, "k2": -0.02, "p1": 0.001, "p2": -0.002,
  "frames": [
    {"file_path": "images/frame_00001.jpg",
     "transform_matrix": [[1.0, 0.0, 0.0, 0.5], [0.0, 0.8, -0.6, -2.5], [0.0, 0.6, 0.8, 3.5],
                          [0.0, 0.0, 0.0, 1.0]]},
    {"file_path": "images/frame_00002.jpg",
     "camera_model": "OPENCV_FISHEYE", "fl_x": 500.5, "k1": 0.02, "k2": 0.01, "k3": -0.003,
     "k4": 0.001, "p1": 0.0, "p2": 0.0,
     "transform_matrix": [[0.8, 0.0, 0.6, 2.5], [0.0, 1.0, 0.0, 0.25], [-0.6, 0.0, 0.8, 4.0],
                          [0.0, 0.0, 0.0, 1.0]]}
  ],
  "applied_transform": [[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0]]
}
"""

# Cameras: number, number of the model, width, height, parameters. Views: number, quaternion,
# translation, camera, name, 2D points of x, y and the number of a 3D point.
COLMAP_CAMERAS = (
    struct.pack("<Q", 2)
    + struct.pack("<iiQQ3d", 2, 0, 1920, 1080, 1000.5, 960.0, 540.0)
    + struct.pack(
        *("<iiQQ8d", 7, 4, 1280, 720),
        *(900.5, 901.5, 640.25, 360.75, -0.125, 0.0625, 0.001, -0.002),
    )
)
COLMAP_IMAGES = (
    struct.pack("<Q", 2)
    + struct.pack("<i7di", 9, 1.0, 0.0, 0.0, 0.0, -0.5, 0.25, 4.0, 7)
    + b"left view.png\0"
    + struct.pack("<Q2dQ2dQ", 2, 409.5, 549.25, 2**64 - 1, 27.5, 753.25, 12)
    + struct.pack("<i7di", 3, 0.8, 0.0, 0.6, 0.0, 0.5, 0.25, 5.0, 2)
    + b"right.png\0"
    + struct.pack("<Q", 0)
)

# K and R are transposed.
JARVIS = """\
%YAML:1.0
---
intrinsicMatrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 1100.5, 0., 0., 0., 1101.5, 0., 639.25, 511.75, 1. ]
distortionCoefficients: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ -0.12, 0.06, 0.001, -0.002, 0.01 ]
R: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 0.8, 0., -0.6, 0., 1., 0., 0.6, 0., 0.8 ]
T: !!opencv-matrix
   rows: 3
   cols: 1
   dt: d
   data: [ 0.5, -0.25, 4. ]
"""

# Cameras K [R | t] with 11 coefficients each, the twelfth being 1.
DLT = """\
1.5200000000e+02,2.0000000000e+02
0.0000000000e+00,0.0000000000e+00
2.1400000000e+02,6.4000000000e+01
3.2000000000e+02,3.4000000000e+02
-3.6000000000e+01,0.0000000000e+00
2.5000000000e+02,2.0000000000e+02
4.8000000000e+01,4.8000000000e+01
2.4000000000e+02,2.0000000000e+02
-1.5000000000e-01,0.0000000000e+00
0.0000000000e+00,0.0000000000e+00
2.0000000000e-01,2.0000000000e-01
"""


def dannce_camera(**changed: object) -> dict[str, object]:
    """A camera as MATLAB has it: K and r transposed, the first pixel is (1, 1)."""
    return {
        "K": np.array([[1100.5, 0.0, 0.0], [0.0, 1101.5, 0.0], [640.25, 512.75, 1.0]]),
        "RDistort": np.array([[-0.12, 0.06]]),
        "TDistort": np.array([[0.001, -0.002]]),
        "r": np.array([[0.8, 0.0, -0.6], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]]),
        "t": np.array([[500.5, -250.25, 4000.0]]),
        "name": "a text, which is passed over",
        **changed,
    }


def matlab_file(content: dict[str, object], *, compressed: bool = True) -> bytes:
    file = BytesIO()
    savemat(file, content, do_compression=compressed)
    return file.getvalue()


def dannce_file(*, compressed: bool = True, **changed: object) -> bytes:
    return matlab_file(dannce_camera(**changed), compressed=compressed)


def dannce_file_of_all(*names: str, compressed: bool = True, **changed: object) -> bytes:
    """The cells of the file that Label3D writes: a column of structures, and a row of names."""
    params = np.empty((2, 1), dtype=object)
    params[:, 0] = [dannce_camera(), dannce_camera(t=np.array([[0.0, 0.0, 3000.0]]))]
    camnames = np.array([list(names)], dtype=object)
    content = {"params": params, "camnames": camnames, "labelData": np.zeros((9, 9))}
    return matlab_file(content | changed, compressed=compressed)


OPTITRACK = """\
<?xml version="1.0" encoding="UTF-16LE"?>
<calibrationProfile version="1">
 <MotiveBuildInfo AppVersion="3.2.0.1"/>
 <Calibration><Cameras Count="2">
  <Camera Serial="M21614">
   <Properties CameraID="1" ImagerIndex="00" Enabled="1"/>
   <Attributes Revision="50" ImagerPixelWidth="1280" ImagerPixelHeight="1024"/>
   <Intrinsic LensCenterX="1" LensCenterY="1" HorizontalFocalLength="1" VerticalFocalLength="1"/>
   <IntrinsicStandardCameraModel LensCenterX="639.25" LensCenterY="511.75"
    HorizontalFocalLength="1100.5" VerticalFocalLength="1101.5" k1="-0.12" k2="0.06" k3="0.01"
    TangentialX="0.001" TangentialY="-0.002"/>
   <Extrinsic X="2.5" Y="1.75" Z="3.0" OrientMatrix0="0.8" OrientMatrix1="0.0" OrientMatrix2="0.6"
    OrientMatrix3="0.0" OrientMatrix4="1.0" OrientMatrix5="0.0" OrientMatrix6="-0.6"
    OrientMatrix7="0.0" OrientMatrix8="0.8"/>
  </Camera>
  <Camera Serial="C11764">
   <Attributes Revision="50" ImagerPixelWidth="1920" ImagerPixelHeight="1080"/>
   <IntrinsicStandardCameraModel LensCenterX="960.5" LensCenterY="538.5"
    HorizontalFocalLength="1247.75" VerticalFocalLength="1247.5" k1="0.0" k2="0.0" k3="0.0"
    TangentialX="0.0" TangentialY="0.0"/>
   <Extrinsic X="0.0" Y="0.5" Z="4.0" OrientMatrix0="1" OrientMatrix1="0" OrientMatrix2="0"
    OrientMatrix3="0" OrientMatrix4="1" OrientMatrix5="0" OrientMatrix6="0" OrientMatrix7="0"
    OrientMatrix8="1"/>
  </Camera>
 </Cameras></Calibration>
</calibrationProfile>
"""


VICON = """\
<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<Cameras>
 <Camera DEVICEID="2107343" NAME="" TYPE="VantageV5" USERID="1" ISDV="0" SENSOR_SIZE="1280 1024"
  PIXEL_ASPECT_RATIO="1" SKEW="0">
  <ThresholdGrid BITS_PER_WORD="32"/>
  <KeyFrames>
   <KeyFrame FOCAL_LENGTH="1100.5" FRAME="0" IMAGE_ERROR="0.1" WORLD_ERROR="0.2"
    ORIENTATION="0 -0.31622776601683794 0 0.9486832980505138" POSITION="120.5 -340.25 -3900.75"
    PRINCIPAL_POINT="639.25 511.75" VICON_RADIAL="0 0"
    VICON_RADIAL2="Vicon3Parameter 639.25 511.75 3.5e-08 5.8e-15 -1.7e-21"/>
  </KeyFrames>
 </Camera>
 <Camera DEVICEID="2118670" NAME="Vue" TYPE="VueVIDEO" USERID="2" ISDV="2" SENSOR_SIZE="1920 1080"
  PIXEL_ASPECT_RATIO="1" SKEW="0">
  <KeyFrames>
   <KeyFrame FOCAL_LENGTH="2639.5" FRAME="0" ORIENTATION="0 0 0 1" POSITION="0 0 -4000"
    PRINCIPAL_POINT="959.5 539.5" VICON_RADIAL2="Vicon3Parameter 959.5 539.5 0 0 0"/>
  </KeyFrames>
 </Camera>
 <Camera DEVICEID="2118671" NAME="not calibrated" SENSOR_SIZE="1920 1080"><KeyFrames/></Camera>
</Cameras>
"""


def stereo_camera(**changed: object) -> dict[str, object]:
    """A camera of `toStruct(stereoParams)`: K transposed, rows before columns."""
    return {
        "RadialDistortion": np.array([[-0.12, 0.06]]),
        "TangentialDistortion": np.array([[0.001, -0.002]]),
        "WorldPoints": np.zeros((4, 2)),
        "WorldUnits": "mm",
        "ImageSize": np.array([[1024, 1280]]),
        "IntrinsicMatrix": np.array([[1100.5, 0, 0], [0, 1101.5, 0], [640.25, 512.75, 1.0]]),
        **changed,
    }


def stereo_pair(**changed: object) -> dict[str, object]:
    return {
        "CameraParameters1": stereo_camera(),
        "CameraParameters2": stereo_camera(RadialDistortion=np.array([[-0.1, 0.02, 0.003]])),
        "RotationOfCamera2": np.array([[0.8, 0.0, -0.6], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]]),
        "TranslationOfCamera2": np.array([[500.5, -250.25, 4000.0]]),
        "Version": {"Name": "Computer Vision Toolbox", "Release": "(R2021a)"},
        **changed,
    }


def stereo_file(*, compressed: bool = True, **changed: object) -> bytes:
    return matlab_file({"stereoParams": stereo_pair(**changed)}, compressed=compressed)


def opaque_file(kind: bytes = b"stereoParameters") -> bytes:
    """An object as MATLAB saves it: flags of class 17, name, "MCOS", class, and a matrix."""

    def element(code: int, content: bytes) -> bytes:
        return struct.pack("<II", code, len(content)) + content + bytes(-len(content) % 8)

    parts = element(6, struct.pack("<II", 17, 0)) + element(1, b"stereoParams")
    parts += element(1, b"MCOS") + element(1, kind)
    return matlab_file({})[:128] + element(14, parts + element(14, b""))


FILES: dict[str, dict[str, str | bytes]] = {
    "matlab-stereo": {"any.mat": stereo_file()},
    "vicon": {"any.xcp": VICON},
    "optitrack": {"any.mcal": OPTITRACK.encode("utf-16")},
    "panoptic": {"any.json": PANOPTIC},
    "voxelpose": {"any.json": VOXELPOSE},
    "nerfstudio": {"any.json": NERFSTUDIO},
    "jarvis": {"Camera_B.yaml": JARVIS},
    "dannce": {"hires_cam1_params.mat": dannce_file()},
    "dlt": {"any-dlt-coefficients.csv": DLT},
    "colmap-binary": {"cameras.bin": COLMAP_CAMERAS, "images.bin": COLMAP_IMAGES},
}
