"""The TOML of aniposelib, Pose2Sim and caliscope."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

from multiview_geom._camera_formats.records import (
    COEFFICIENT_COUNTS,
    CameraRecord,
    Place,
    numbers,
    rig_of,
    rotation_matrix,
    rotation_vector,
)
from multiview_geom.cameras import Cameras

NO_CAMERA = ("metadata",)
MOST_PIXELS = 1_000_000
"""Pixels an image may be wide or tall."""


def parse(path: Path, text: str) -> Cameras:
    """Read one camera from every table but `[metadata]`."""
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as reason:
        raise Place(path).expected("TOML", reason) from None
    cameras = {key: table for key, table in tables.items() if key not in NO_CAMERA}
    records = [_record(Place(path, key), key, table) for key, table in cameras.items()]
    ordinals = [f"cam_{number}" for number in range(len(cameras))]
    if list(cameras) == ordinals and all("name" in table for table in cameras.values()):
        return rig_of(path, [_named(path, record, cameras) for record in records])
    return rig_of(path, records)


def written(cameras: Cameras) -> str:
    """Write a rig as aniposelib does: tables `cam_0`, `cam_1`, ..., each with its name."""
    return "\n".join(_table(cameras, view) for view in range(cameras.views)) + "\n[metadata]\n"


def _record(place: Place, name: str, table: object) -> CameraRecord:
    if not isinstance(table, dict):
        raise place.expected("a table with one camera", table)
    for key in ("matrix", "rotation", "translation"):
        if key not in table:
            raise place.expected(f"the key `{key}`", sorted(table))
    return CameraRecord(
        name=name,
        intrinsics=numbers(place.at("matrix"), table["matrix"], 3, 3),
        rotation=rotation_matrix(numbers(place.at("rotation"), table["rotation"], 3)),
        translation=numbers(place.at("translation"), table["translation"], 3),
        distortion=_coefficients(place.at("distortions"), table.get("distortions", [])),
        image_size=_size(place.at("size"), table["size"]) if "size" in table else None,
        fisheye=table.get("fisheye") is True,
    )


def _named(path: Path, record: CameraRecord, tables: dict[str, dict[str, object]]) -> CameraRecord:
    name = tables[record.name]["name"]
    if not isinstance(name, str):
        raise Place(path, record.name).at("name").expected("text", name)
    return replace(record, name=name)


def _coefficients(place: Place, values: object) -> tuple[float, ...]:
    row = tuple(numbers(place, values, -1).tolist())
    if len(row) not in (0, *COEFFICIENT_COUNTS):
        raise place.expected("4, 5, 8, 12 or 14 coefficients", len(row))
    return row


def _size(place: Place, values: object) -> tuple[int, int]:
    width, height = numbers(place, values, 2).tolist()
    if not all(0 < side <= MOST_PIXELS and side == int(side) for side in (width, height)):
        raise place.expected("a width and a height in whole pixels", values)
    return int(width), int(height)


def _table(cameras: Cameras, view: int) -> str:
    name = cameras.names[view] if cameras.names else f"cam_{view}"
    pose = cameras.camera_from_world[view].double()
    lines = [f"[cam_{view}]", f"name = {json.dumps(name, ensure_ascii=False)}"]
    if cameras.image_size is not None:
        lines.append(f"size = {cameras.image_size[view].tolist()}")
    lines.append(f"matrix = {cameras.intrinsics[view].double().tolist()}")
    if cameras.distortion is not None:
        lines.append(f"distortions = {cameras.distortion[view].double().tolist()}")
    lines.append(f"rotation = {rotation_vector(pose[:3, :3])}")
    lines.append(f"translation = {pose[:3, 3].tolist()}")
    return "\n".join(lines) + "\n"
