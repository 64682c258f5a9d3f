"""The calibration that Qualisys Track Manager exports (`.qca.txt`), XML in millimetres.

A camera's transform holds its centre and a rotation to axes x right, y up, z backward. Lengths in
the image are counted in 64ths of a pixel, from the corner of the sensor; pixels are counted from
the corner of the video (`fov_video`), as the video's frames are. `viewrotation` turns what the
program displays, not what is calibrated, and is left aside.
"""

from pathlib import Path
from xml.etree.ElementTree import Element

import torch

from multiview_geom.camera_files.records import (
    CameraRecord,
    Place,
    focal_matrix,
    image_size,
    number,
    parsed_numbers,
)
from multiview_geom.camera_files.safe_xml import attributes, parse_xml

STEPS_PER_PIXEL = 64
FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
LENS = (
    "radialDistortion1",
    "radialDistortion2",
    "tangentalDistortion1",
    "tangentalDistortion2",
    "radialDistortion3",
)


def parse(path: Path, written: str) -> list[CameraRecord]:
    """Read every <camera>, named by its serial."""
    cameras = parse_xml(path, written).iter("camera")
    return [_record(path, count, camera) for count, camera in enumerate(cameras, start=1)]


def _record(path: Path, count: int, camera: Element) -> CameraRecord:
    name = camera.get("serial") or f"cam_{count}"
    place = Place(path, f"camera {name}")
    pose = attributes(place, camera, "transform")
    lens = attributes(place, camera, "intrinsic")
    video = attributes(place, camera, "fov_video")
    left, top, right, bottom = _row(place, video, "left", "top", "right", "bottom").tolist()
    turn = _row(place, pose, *(f"r{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3))).reshape(3, 3)
    focal, center = ("focalLengthU", "focalLengthV"), ("centerPointU", "centerPointV")
    steps = _row(place, lens, *focal, *center, "skew")
    fx, fy, cx, cy, skew = (steps / STEPS_PER_PIXEL).tolist()
    rotation = FLIP @ turn
    return CameraRecord(
        name=name,
        intrinsics=focal_matrix(fx, fy, cx - left, cy - top, skew),
        rotation=rotation,
        translation=-rotation @ _row(place, pose, "x", "y", "z"),
        distortion=tuple(number(place.at(key), lens.get(key, 0.0)) for key in LENS),
        image_size=image_size(place.at("fov_video"), right - left + 1, bottom - top + 1),
    )


def _row(place: Place, found: dict[str, str], *keys: str) -> torch.Tensor:
    for key in keys:
        if key not in found:
            raise place.expected(f"the attribute `{key}`", f"only {', '.join(found)}")
    return parsed_numbers(place, [found[key] for key in keys], len(keys))
