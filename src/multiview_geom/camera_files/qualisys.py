"""The calibration that Qualisys Track Manager exports (`.qca.txt`), XML in millimeters.

The transform of a camera is its center and a rotation to axes x right, y up, z backward. Lengths
in the image are in 64ths of a pixel and measured from the corner of the sensor; here pixels are
measured from the corner of the video frame (`fov_video`). `viewrotation` turns the display of the
program, not the calibration, and is ignored. Some exports count whole pixels instead of 64ths: the
width of the sensor (`sensorMaxU`) says which.
"""

import re
from xml.etree.ElementTree import Element

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord, focal_matrix
from multiview_geom.camera_files.values import image_size, number
from multiview_geom.camera_files.xml_elements import (
    attribute_numbers,
    attributes,
    camera_elements,
)

ROOT = re.compile(r"<calibration[\s/>]")
STEPS_PER_PIXEL = 64
AXES = (1.0, -1.0, -1.0)
"""Signs from axes x right, y up, z backward to x right, y down, z forward."""
USED = ("calibrated", "active")
LENS = (
    "radialDistortion1",
    "radialDistortion2",
    "tangentalDistortion1",
    "tangentalDistortion2",
    "radialDistortion3",
)


def read(source: CameraSource) -> list[CameraRecord]:
    """Read every <camera>, named by its serial number."""
    cameras = camera_elements(source.path, source.text, "camera", "serial")
    return [_record(*camera) for camera in cameras]


def _record(name: str, place: FilePlace, camera: Element) -> CameraRecord:
    pose = attributes(place, camera, "transform")
    lens = attributes(place, camera, "intrinsic")
    video = attributes(place, camera, "fov_video")
    left, top, right, bottom = attribute_numbers(
        place, video, "left", "top", "right", "bottom"
    ).tolist()
    to_camera = attribute_numbers(
        place, pose, *(f"r{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3))
    ).reshape(3, 3)
    width = right - left + 1
    steps_per_pixel = _steps_per_pixel(place, lens, width)
    focal, center = ("focalLengthU", "focalLengthV"), ("centerPointU", "centerPointV")
    steps = attribute_numbers(place, lens, *focal, *center, "skew")
    fx, fy, cx, cy, skew = (steps / steps_per_pixel).tolist()
    if steps_per_pixel == 1 and not left - width < cx < right + width:
        raise place.at("sensorMaxU").expected(
            "the width of the sensor, in the unit of centerPointU",
            f"{lens['sensorMaxU']}, with which the principal point is at {cx:g} px",
        )
    rotation = to_camera * to_camera.new_tensor(AXES)[:, None]
    return CameraRecord(
        name=name,
        intrinsics=focal_matrix(fx, fy, cx - left, cy - top, skew),
        rotation=rotation,
        translation=-rotation @ attribute_numbers(place, pose, "x", "y", "z"),
        distortion=tuple(number(place.at(key), lens.get(key, 0.0)) for key in LENS),
        image_size=image_size(place.at("fov_video"), width, bottom - top + 1),
        note=_note(camera),
    )


def _note(camera: Element) -> str:
    """Say that a camera is marked as left out of the calibration; its numbers are then older."""
    marks = [f'{key}="{camera.get(key)}"' for key in USED if camera.get(key) in {"0", "false"}]
    return f"is marked {' '.join(marks)}: its numbers may be older ones" if marks else ""


def _steps_per_pixel(place: FilePlace, lens: dict[str, str], video_width: float) -> int:
    """Return 64, or 1 if the sensor is about as wide as the video counted in pixels.

    The video may be a part of the sensor, but never as little as an eighth of its width.
    """
    if "sensorMaxU" not in lens:
        return STEPS_PER_PIXEL
    width = number(place.at("sensorMaxU"), lens["sensorMaxU"])
    if width <= 0:
        raise place.at("sensorMaxU").expected("a width above zero", width)
    return STEPS_PER_PIXEL if width > video_width * STEPS_PER_PIXEL / 8 else 1


FORMAT = CameraFormat(
    name="qualisys",
    title="Qualisys .qca.txt",
    unit="mm",
    recognizes=lambda source: source.text.startswith("<") and ROOT.search(source.text) is not None,
    read=read,
)
