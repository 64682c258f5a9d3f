"""The TOML of aniposelib, Pose2Sim and caliscope: X_camera = R X_world + t."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

from multiview_geom.camera_files.records import (
    CameraRecord,
    Place,
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
"""Tables that Pose2Sim and caliscope keep beside the cameras."""


def parse(path: Path, written: str) -> list[CameraRecord]:
    """Read one camera from every table but those known to hold none."""
    try:
        tables = tomllib.loads(written)
    except (ValueError, RecursionError) as reason:
        raise Place(path).expected("a calibration in TOML", str(reason)) from None
    cameras = {key: value for key, value in tables.items() if key not in NO_CAMERA}
    records = [_record(Place(path, key), key, value) for key, value in cameras.items()]
    # aniposelib numbers its tables and keeps the camera's name inside.
    if [*cameras] == [f"cam_{number}" for number in range(len(cameras))]:
        return [_named(path, record, cameras[record.name]) for record in records]
    return records


def write(path: Path, cameras: Cameras) -> None:
    """Write a rig as aniposelib does: tables `cam_0`, `cam_1`, ..., each with its name."""
    tables = [_table(cameras, view) for view in range(cameras.views)]
    path.write_text("\n".join([*tables, "[metadata]\n"]), encoding="utf-8")


def _record(place: Place, name: str, value: object) -> CameraRecord:
    camera = table(place, value, "matrix", "rotation", "translation")
    lens = _lens(place.at("fisheye"), camera.get("fisheye", False))
    row = camera.get("distortions", [])
    size = camera.get("size")
    return CameraRecord(
        name=name,
        intrinsics=numbers(place.at("matrix"), camera["matrix"], 3, 3),
        rotation=rotation_from_vector(numbers(place.at("rotation"), camera["rotation"], 3)),
        translation=numbers(place.at("translation"), camera["translation"], 3),
        distortion=_coefficients(place.at("distortions"), row, lens),
        image_size=None if size is None else _size(place.at("size"), size),
        lens=lens,
    )


def _named(path: Path, record: CameraRecord, camera: dict[str, object]) -> CameraRecord:
    if "name" not in camera:
        return record
    return replace(record, name=text(Place(path, record.name).at("name"), camera["name"]))


def _lens(place: Place, fisheye: object) -> Lens:
    if not isinstance(fisheye, bool):
        raise place.expected("true or false", fisheye)
    return Lens.FISHEYE if fisheye else Lens.OPENCV


def _coefficients(place: Place, row: object, lens: Lens) -> tuple[float, ...]:
    if not isinstance(row, list):
        raise place.expected("a list of coefficients", row)
    coefficients(place, row, lens)
    return tuple(parsed_numbers(place, row, len(row)).tolist())


def _size(place: Place, values: object) -> tuple[int, int]:
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
    """Write text as TOML does: as JSON, but for DEL, which TOML wants escaped."""
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
