"""OptiTrack's calibration (`.mcal`), which Motive 3.2 and later write: XML in UTF-16, in meters.

`Extrinsic` is the position of a camera and its rotation to the world, row by row, with the axes
x right, y up, z backward. `IntrinsicStandardCameraModel` is OpenCV's lens: k1, k2, k3 and the
tangential coefficients p1, p2; `Intrinsic` is Motive's own model and is not read.
"""

from xml.etree.ElementTree import Element

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord, focal_matrix
from multiview_geom.camera_files.values import image_size
from multiview_geom.camera_files.xml_elements import (
    attribute_numbers,
    attributes,
    camera_elements,
)

MARK = "<calibrationProfile"
AXES = (1.0, -1.0, -1.0)
"""Signs from axes x right, y up, z backward to x right, y down, z forward."""
FOCAL, CENTER = ("HorizontalFocalLength", "VerticalFocalLength"), ("LensCenterX", "LensCenterY")
LENS = ("k1", "k2", "TangentialX", "TangentialY", "k3")
POSITION, ORIENTATION = ("X", "Y", "Z"), tuple(f"OrientMatrix{at}" for at in range(9))


def read(source: CameraSource) -> list[CameraRecord]:
    """Read every <Camera>, named by its serial number."""
    cameras = camera_elements(source.path, source.text, "Camera", "Serial")
    return [_record(*camera) for camera in cameras]


def _record(name: str, place: FilePlace, camera: Element) -> CameraRecord:
    lens = attributes(place, camera, "IntrinsicStandardCameraModel")
    pose = attributes(place, camera, "Extrinsic")
    sensor = attributes(place, camera, "Attributes")
    to_world = attribute_numbers(place, pose, *ORIENTATION).reshape(3, 3)
    rotation = to_world.mT * to_world.new_tensor(AXES)[:, None]
    width, height = attribute_numbers(
        place, sensor, "ImagerPixelWidth", "ImagerPixelHeight"
    ).tolist()
    return CameraRecord(
        name=name,
        intrinsics=focal_matrix(*attribute_numbers(place, lens, *FOCAL, *CENTER).tolist()),
        rotation=rotation,
        translation=-rotation @ attribute_numbers(place, pose, *POSITION),
        distortion=tuple(attribute_numbers(place, lens, *LENS).tolist()),
        image_size=image_size(place.at("Attributes"), width, height),
    )


FORMAT = CameraFormat(
    name="optitrack",
    title="OptiTrack .mcal",
    unit="m",
    recognizes=lambda source: source.text.startswith("<") and MARK in source.text[:1000],
    read=read,
)
