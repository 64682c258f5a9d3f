"""HumanEva's `.cal`, a camera in 22 numbers, in millimetres: X_camera = R X_world + T."""

import re
from pathlib import Path

from multiview_geom.camera_files.human36m import five_coefficients
from multiview_geom.camera_files.records import (
    CameraRecord,
    Place,
    focal_matrix,
    parsed_numbers,
    read_text,
)
from multiview_geom.cameras import Cameras

NUMBERS = 22
SUFFIX = ".cal"


def read(path: Path) -> list[CameraRecord]:
    """Read one camera, or all of a folder: C2 before C10."""
    files = [path] if path.is_file() else sorted(path.glob(f"*{SUFFIX}"), key=_numbered)
    return [parse(file, read_text(file)) for file in files]


def parse(path: Path, written: str) -> CameraRecord:
    """Read one camera, named after its file."""
    row = parsed_numbers(Place(path), written.split(), NUMBERS)
    fx, fy, cx, cy, alpha = row[:5].tolist()
    return CameraRecord(
        name=path.stem,
        intrinsics=focal_matrix(fx, fy, cx, cy, alpha * fx),
        rotation=row[10:19].reshape(3, 3),
        translation=row[19:],
        distortion=tuple(row[5:10].tolist()),
    )


def write(folder: Path, cameras: Cameras) -> None:
    """Write one file per camera into a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    k = five_coefficients(cameras)
    for view, name in enumerate(cameras.names):
        if Path(name).name != name:
            raise ValueError(f"`cameras` must have names fit for files, got {name!r}")
        K, pose = cameras.intrinsics[view], cameras.camera_from_world[view]
        lens = [K[0, 0], K[1, 1], K[0, 2], K[1, 2], K[0, 1] / K[0, 0], *k[view]]
        row = [*lens, *pose[:3, :3].flatten(), *pose[:3, 3]]
        lines = [repr(float(number)) for number in row]
        (folder / f"{name}{SUFFIX}").write_text("\n".join([*lines, ""]), encoding="utf-8")


def _numbered(path: Path) -> list[tuple[int, str]]:
    """Sort names as people do: by the numbers in them."""
    parts = re.findall(r"\d{1,9}|\D+", path.stem)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
