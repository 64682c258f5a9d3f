"""COLMAP's text model, `cameras.txt` and `images.txt`: X_camera = R X_world + t.

COLMAP counts pixels from the corner of the first one, so that its centre is (0.5, 0.5); here the
centre of the first pixel is (0, 0), and the principal point is moved by half a pixel. Every image
is a view. `images.txt` may be huge: only the lines of poses are looked at.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from multiview_geom.camera_files.records import (
    CameraRecord,
    Place,
    image_size,
    parsed_numbers,
)
from multiview_geom.cameras import Cameras
from multiview_geom.conventions import (
    COLMAP_PARAMETERS,
    ColmapCameras,
    from_colmap,
    to_colmap,
)
from multiview_geom.lenses.lens import Lens
from multiview_geom.rotations import rotation_from_quaternion

CAMERAS, IMAGES = "cameras.txt", "images.txt"
LONGEST_LINE = 4096
"""Characters of a line that are looked at; lines of 2D points are longer, and passed over."""
MOST_IMAGES = 10_000
POSE, IMAGE = 7, 10
"""Numbers of a pose, and words of an image's first line."""

Lenses = dict[str, tuple[Tensor, tuple[float, ...], tuple[int, int], Lens]]


def read(folder: Path) -> list[CameraRecord]:
    """Read the views of a folder that holds both files, in the order of `images.txt`."""
    lenses: Lenses = {}
    for place, line in _lines(folder / CAMERAS):
        identity, *words = line.split()
        lenses[identity] = _lens(place, words)
    return [_record(place, line, lenses) for place, line in _pose_lines(folder / IMAGES)]


def write(folder: Path, cameras: Cameras) -> None:
    """Write both files into a folder, which is made if need be."""
    if cameras.image_size is None:
        raise ValueError("`cameras` must have an image size for COLMAP's format")
    colmap = to_colmap(cameras)
    folder.mkdir(parents=True, exist_ok=True)
    lenses = ["# CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]"]
    images = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME", "# POINTS2D[] as X Y POINT3D_ID"]
    for view, name in enumerate(cameras.names):
        width, height = cameras.image_size[view].tolist()
        parameters = _written(colmap.parameters[view])
        pose = f"{_written(colmap.quaternions[view])} {_written(colmap.translations[view])}"
        lenses.append(f"{view + 1} {colmap.model} {width} {height} {parameters}")
        images += [f"{view + 1} {pose} {view + 1} {name}", ""]
    (folder / CAMERAS).write_text("\n".join([*lenses, ""]), encoding="utf-8")
    (folder / IMAGES).write_text("\n".join([*images, ""]), encoding="utf-8")


def _lines(path: Path) -> Iterator[tuple[Place, str]]:
    """Yield lines that are not comments, of each no more than its beginning."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        count, begins = 0, True
        while line := file.readline(LONGEST_LINE):
            count += begins
            if begins and not line.startswith("#"):
                yield Place(path, f"line {count}"), line.strip()
            begins = line.endswith("\n")


def _pose_lines(path: Path) -> Iterator[tuple[Place, str]]:
    """Yield the first line of each image; the second, of 2D points, may be empty."""
    awaited = True
    images = 0
    for place, line in _lines(path):
        if awaited and not line:
            continue
        if awaited:
            images += 1
            yield place, line
        if images > MOST_IMAGES:
            raise place.expected(f"at most {MOST_IMAGES} images", "more")
        awaited = not awaited


def _lens(
    place: Place, words: list[str]
) -> tuple[Tensor, tuple[float, ...], tuple[int, int], Lens]:
    model, *row = words or [""]
    names = COLMAP_PARAMETERS.get(model)
    if names is None:
        raise place.expected(f"one of the models {', '.join(COLMAP_PARAMETERS)}", model)
    width, height, *values = parsed_numbers(place, row, 2 + len(names)).tolist()
    parameters = torch.tensor([values], dtype=torch.float64)
    unturned, unmoved = parameters.new_tensor([[1.0, 0.0, 0.0, 0.0]]), parameters.new_zeros(1, 3)
    camera = from_colmap(ColmapCameras(model, parameters, unturned, unmoved))
    k = () if camera.distortion is None else tuple(camera.distortion[0].tolist())
    return camera.intrinsics[0], k, image_size(place, width, height), camera.lens


def _record(place: Place, line: str, lenses: Lenses) -> CameraRecord:
    words = line.split(maxsplit=IMAGE - 1)
    if len(words) != IMAGE:
        raise place.expected("an image: id, quaternion, translation, camera, name", line)
    _, *row, camera, name = words
    if camera not in lenses:
        raise place.expected(f"a camera of {CAMERAS}", camera)
    K, k, size, lens = lenses[camera]
    pose = parsed_numbers(place, row, POSE)
    if not pose[:4].any():
        raise place.expected("a quaternion that is not zero", row)
    return CameraRecord(name, K, rotation_from_quaternion(pose[:4]), pose[4:], k, size, lens)


def _written(row: Tensor) -> str:
    return " ".join(repr(value) for value in row.tolist())
