"""The TOML of aniposelib and Pose2Sim: X_camera = R X_world + t."""

import json
import re
from pathlib import Path

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.toml_fields import OPTIONAL, coefficients_at, lens_at, size_at
from multiview_geom.camera_files.toml_text import parse_toml
from multiview_geom.camera_files.values import numbers, rotation_vector, table, text
from multiview_geom.cameras import Cameras
from multiview_geom.lenses.lens import FISHEYE_COEFFICIENTS, Lens
from multiview_geom.rotations import rotation_to_vector

NO_CAMERA = ("metadata", "capture_volume", "charuco", "checkerboard")
"""Tables that are no cameras."""
TOML_BEGINS = re.compile(r"(#[^\n]*\n|\s)*(\[+[\w .\"'-]+\]|[\w.\"'-]+\s*=|\Z)")
KEYS = ("matrix", "rotation", "translation")
ANIPOSELIB_TABLE = r"cam_(0|[1-9]\d*)"
POSE2SIM_FOLDER = r"int_.*_img"


def read(source: CameraSource) -> list[CameraRecord]:
    """Read one camera from every table but those known to be none."""
    try:
        tables = source.toml or parse_toml(source.text)
    except ValueError as reason:
        raise source.place.expected("a calibration in TOML", str(reason)) from None
    cameras = {
        key: table(source.place.at(key), value, *KEYS, optional=OPTIONAL)
        for key, value in tables.items()
        if key not in NO_CAMERA
    }
    named_inside = _is_named_inside(cameras)
    return [
        _record(source.place.at(key), key, camera, named_inside=named_inside)
        for key, camera in cameras.items()
    ]


def write(path: Path, cameras: Cameras, _subject: str) -> None:
    """Write a rig as aniposelib does: tables `cam_0`, `cam_1`, ..., each with its name."""
    tables = [_table(cameras, view) for view in range(cameras.views)]
    path.write_text("\n".join([*tables, "[metadata]\n"]), encoding="utf-8")


def _is_named_inside(cameras: dict[str, dict[str, object]]) -> bool:
    """Return whether the cameras have the names inside their tables, not those of the tables.

    aniposelib numbers its tables, and they keep or lose their numbers if one is removed. Pose2Sim
    pads its numbers with zeros, and writes the folder of the pictures as the name inside.
    """
    names = [camera.get("name") for camera in cameras.values()]
    if None in names:
        return False
    if all(re.fullmatch(ANIPOSELIB_TABLE, key) for key in cameras):
        return True
    are_folders = all(re.fullmatch(POSE2SIM_FOLDER, str(name)) for name in names)
    return len(set(map(str, names))) == len(names) and not are_folders


def _record(
    place: FilePlace, key: str, camera: dict[str, object], *, named_inside: bool
) -> CameraRecord:
    lens = lens_at(place, camera)
    return CameraRecord(
        name=text(place.at("name"), camera["name"]) if named_inside else key,
        intrinsics=numbers(place.at("matrix"), camera["matrix"], 3, 3),
        rotation=rotation_vector(
            place.at("rotation"), numbers(place.at("rotation"), camera["rotation"], 3)
        ),
        translation=numbers(place.at("translation"), camera["translation"], 3),
        distortion=coefficients_at(place, camera, lens),
        image_size=size_at(place, camera),
        lens=lens,
    )


def _table(cameras: Cameras, view: int) -> str:
    pose = cameras.camera_from_world[view]
    lines = [f"[cam_{view}]", f"name = {_quoted(cameras.names[view])}"]
    if cameras.image_size is not None:
        lines.append(f"size = {cameras.image_size[view].tolist()}")
    lines.append(f"matrix = {cameras.intrinsics[view].tolist()}")
    row = [0.0] * 5 if cameras.distortion is None else cameras.distortion[view].tolist()
    is_fisheye = cameras.lenses[view] is Lens.FISHEYE
    row = row[:FISHEYE_COEFFICIENTS] if is_fisheye else row
    lines.append(f"distortions = {row}")
    lines.append(f"rotation = {rotation_to_vector(pose[:3, :3]).tolist()}")
    lines.append(f"translation = {pose[:3, 3].tolist()}")
    if is_fisheye:
        lines.append("fisheye = true")
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    """Quote text as in JSON, and escape DEL, as TOML requires."""
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


def _recognizes(source: CameraSource) -> bool:
    """Recognize a table or a key at the beginning; an empty file is one without cameras."""
    if source.is_folder or source.is_hdf5:
        return False
    return source.path.suffix == ".toml" or TOML_BEGINS.match(source.text) is not None


FORMAT = CameraFormat(
    name="toml",
    title="TOML of aniposelib or Pose2Sim",
    unit=None,
    recognizes=_recognizes,
    read=read,
    write=write,
    suffixes=(".toml",),
)
