"""The TOML of aniposelib, Pose2Sim and caliscope: X_camera = R X_world + t."""

import json
import tomllib
from pathlib import Path

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.values import (
    coefficients,
    image_size,
    numbers,
    parsed_numbers,
    table,
    text,
)
from multiview_geom.cameras import Cameras
from multiview_geom.lenses.lens import Lens
from multiview_geom.rotations import rotation_from_vector, rotation_to_vector

NO_CAMERA = ("metadata", "capture_volume", "charuco", "checkerboard")
"""Tables of Pose2Sim and caliscope that are no cameras."""


def read(source: CameraSource) -> list[CameraRecord]:
    """Read one camera from every table but those known to be none."""
    try:
        tables = tomllib.loads(source.text)
    except (ValueError, RecursionError) as reason:
        raise source.place.expected("a calibration in TOML", str(reason)) from None
    cameras = {key: value for key, value in tables.items() if key not in NO_CAMERA}
    # aniposelib numbers its tables from zero, and the camera's name is inside.
    numbered = [*cameras] == [f"cam_{number}" for number in range(len(cameras))]
    return [
        _record(source.place.at(key), key, value, named_inside=numbered)
        for key, value in cameras.items()
    ]


def write(path: Path, cameras: Cameras, _subject: str) -> None:
    """Write a rig as aniposelib does: tables `cam_0`, `cam_1`, ..., each with its name."""
    tables = [_table(cameras, view) for view in range(cameras.views)]
    path.write_text("\n".join([*tables, "[metadata]\n"]), encoding="utf-8")


def _record(place: FilePlace, key: str, value: object, *, named_inside: bool) -> CameraRecord:
    camera = table(place, value, "matrix", "rotation", "translation")
    lens = _lens(place.at("fisheye"), camera.get("fisheye", False))
    return CameraRecord(
        name=text(place.at("name"), camera.get("name", key)) if named_inside else key,
        intrinsics=numbers(place.at("matrix"), camera["matrix"], 3, 3),
        rotation=rotation_from_vector(numbers(place.at("rotation"), camera["rotation"], 3)),
        translation=numbers(place.at("translation"), camera["translation"], 3),
        distortion=_coefficients(place.at("distortions"), camera.get("distortions", []), lens),
        image_size=_size(place.at("size"), camera["size"]) if "size" in camera else None,
        lens=lens,
    )


def _lens(place: FilePlace, fisheye: object) -> Lens:
    if not isinstance(fisheye, bool):
        raise place.expected("true or false", fisheye)
    return Lens.FISHEYE if fisheye else Lens.OPENCV


def _coefficients(place: FilePlace, row: object, lens: Lens) -> tuple[float, ...]:
    if not isinstance(row, list):
        raise place.expected("a list of coefficients", row)
    coefficients(place, row, lens)
    return tuple(parsed_numbers(place, row, len(row)).tolist())


def _size(place: FilePlace, values: object) -> tuple[int, int]:
    width, height = numbers(place, values, 2).tolist()
    return image_size(place, width, height)


def _table(cameras: Cameras, view: int) -> str:
    pose = cameras.camera_from_world[view]
    lines = [f"[cam_{view}]", f"name = {_quoted(cameras.names[view])}"]
    if cameras.image_size is not None:
        lines.append(f"size = {cameras.image_size[view].tolist()}")
    lines.append(f"matrix = {cameras.intrinsics[view].tolist()}")
    row = [0.0] * 5 if cameras.distortion is None else cameras.distortion[view].tolist()
    lines.append(f"distortions = {row}")
    lines.append(f"rotation = {rotation_to_vector(pose[:3, :3]).tolist()}")
    lines.append(f"translation = {pose[:3, 3].tolist()}")
    if cameras.lens is Lens.FISHEYE:
        lines.append("fisheye = true")
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    """Quote text as in JSON, and escape DEL, as TOML requires."""
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


FORMAT = CameraFormat(
    name="toml",
    title="TOML of aniposelib, Pose2Sim or caliscope",
    unit=None,
    recognizes=lambda source: not (source.is_folder or source.is_hdf5),
    read=read,
    write=write,
    suffixes=(".toml",),
)
