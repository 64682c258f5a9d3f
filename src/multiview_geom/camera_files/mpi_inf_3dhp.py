"""MPI-INF-3DHP's `camera.calibration`, in millimeters: X_camera = R X_world + t, no lens."""

from pathlib import Path

import torch

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.values import image_size, number, parsed_numbers, table, transform
from multiview_geom.cameras import Cameras

HEADER = "Skeletool Camera Calibration File"
SENSOR_MM = 10
"""Width and height of the sensor that are written; the cameras do not depend on them."""


def read(source: CameraSource) -> list[CameraRecord]:
    """Read a header, then for each camera its name and a line per property."""
    cameras: list[tuple[FilePlace, dict[str, object]]] = []
    for count, line in enumerate(source.text.splitlines()[1:], start=2):
        key, *words = line.split() or [""]
        place = source.place.at(f"line {count}")
        if key == "name":
            cameras.append((place, {"name": " ".join(words)}))
        elif key and not cameras:
            raise place.expected("`name`", line)
        elif key in cameras[-1][1]:
            raise place.expected("`name` before the next camera", f"`{key}` again")
        elif key:
            cameras[-1][1][key] = words
    return [_record(place, camera) for place, camera in cameras]


def write(path: Path, cameras: Cameras, _subject: str) -> None:
    """Write pinholes; the format does not say what its lens coefficient means."""
    if cameras.distortion is not None and cameras.distortion.any():
        raise ValueError("`cameras` must be pinholes for MPI-INF-3DHP's format; undistort first")
    if cameras.image_size is None:
        raise ValueError("`cameras` must have an image size for MPI-INF-3DHP's format")
    lines = [f"{HEADER} V1.0"]
    for view, name in enumerate(cameras.names):
        width, height = cameras.image_size[view].tolist()
        K = torch.eye(4, dtype=torch.float64)
        K[:3, :3] = cameras.intrinsics[view]
        lines += [
            f"name          {name}",
            f"  sensor      {SENSOR_MM} {SENSOR_MM}",
            f"  size        {width} {height}",
            "  animated    0",
            f"  intrinsic   {_row(K)}",
            f"  extrinsic   {_row(cameras.camera_from_world[view])}",
            "  radial      0",
        ]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _record(place: FilePlace, camera: dict[str, object]) -> CameraRecord:
    table(place, camera, "size", "intrinsic", "extrinsic")
    rows = {key: words for key, words in camera.items() if isinstance(words, list)}
    width, height = parsed_numbers(place.at("size"), rows["size"], 2).tolist()
    at = place.at("extrinsic")
    pose = transform(at, parsed_numbers(at, rows["extrinsic"], 4, 4))
    if any(number(place.at("radial"), word) for word in rows.get("radial", [])):
        raise place.at("radial").expected("0, a lens without distortion", rows["radial"])
    return CameraRecord(
        name=str(camera["name"]),
        intrinsics=parsed_numbers(place.at("intrinsic"), rows["intrinsic"], 4, 4)[:3, :3],
        rotation=pose[:3, :3],
        translation=pose[:3, 3],
        image_size=image_size(place.at("size"), width, height),
    )


def _row(matrix: torch.Tensor) -> str:
    return " ".join(repr(value) for value in matrix.flatten().tolist())


FORMAT = CameraFormat(
    name="mpi-inf-3dhp",
    title="MPI-INF-3DHP camera.calibration",
    unit="mm",
    recognizes=lambda source: source.text.startswith(HEADER),
    read=read,
    write=write,
    suffixes=(".calibration",),
)
