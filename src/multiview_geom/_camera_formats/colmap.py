"""COLMAP's text model, `cameras.txt` and `images.txt`: X_camera = R X_world + t.

COLMAP counts pixels from the corner of the first one, so that its centre is (0.5, 0.5); here the
centre of the first pixel is (0, 0), and the principal point is moved by half a pixel. Every image
is a view. `images.txt` may be huge: only the lines of poses are looked at.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from multiview_geom._camera_formats.records import (
    CameraRecord,
    Place,
    focal_matrix,
    image_size,
    parsed_numbers,
)
from multiview_geom.cameras import Cameras, Lens

CAMERAS, IMAGES = "cameras.txt", "images.txt"
HALF_PIXEL = 0.5
LONGEST_LINE = 4096
"""Characters of a line that are looked at; lines of 2D points are longer, and passed over."""
MOST_IMAGES = 10_000
PARAMETERS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
}
COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
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
    if cameras.intrinsics[:, 0, 1].any():
        raise ValueError("`cameras` must have no skew for COLMAP's format")
    names = cameras.names or tuple(str(view + 1) for view in range(cameras.views))
    folder.mkdir(parents=True, exist_ok=True)
    model, k = _model(cameras)
    lenses = ["# CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]"]
    images = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME", "# POINTS2D[] as X Y POINT3D_ID"]
    for view, name in enumerate(names):
        width, height = cameras.image_size[view].tolist()
        K = cameras.intrinsics[view]
        row = [K[0, 0], K[1, 1], K[0, 2] + HALF_PIXEL, K[1, 2] + HALF_PIXEL, *k[view]]
        lenses.append(f"{view + 1} {model} {width} {height} {_written(row)}")
        images += [f"{view + 1} {_written(_pose(cameras, view))} {view + 1} {name}", ""]
    (folder / CAMERAS).write_text("\n".join([*lenses, ""]), encoding="utf-8")
    (folder / IMAGES).write_text("\n".join([*images, ""]), encoding="utf-8")


def _lines(path: Path) -> Iterator[tuple[Place, str]]:
    """Yield lines that are not comments, of each no more than its beginning."""
    with path.open(encoding="utf-8", errors="replace") as file:
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
    names = PARAMETERS.get(model)
    if names is None:
        raise place.expected(f"one of the models {', '.join(PARAMETERS)}", model)
    width, height, *values = parsed_numbers(place, row, 2 + len(names)).tolist()
    told = dict(zip(names, values, strict=True))
    fx, fy = told.get("fx", told.get("f", 0.0)), told.get("fy", told.get("f", 0.0))
    K = focal_matrix(fx, fy, told["cx"] - HALF_PIXEL, told["cy"] - HALF_PIXEL)
    size = image_size(place, width, height)
    if model == "OPENCV_FISHEYE":
        return K, tuple(values[4:]), size, Lens.FISHEYE
    count = 0 if "k1" not in told else 8 if "k3" in told else 4
    return K, tuple(told.get(name, 0.0) for name in COEFFICIENTS[:count]), size, Lens.OPENCV


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
    return CameraRecord(name, K, _rotation(pose[:4]), pose[4:], k, size, lens)


def _rotation(quaternion: Tensor) -> Tensor:
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_quat(quaternion.numpy(), scalar_first=True)
    return torch.from_numpy(turn.as_matrix())


def _pose(cameras: Cameras, view: int) -> list[float]:
    from scipy.spatial.transform import Rotation

    pose = cameras.camera_from_world[view]
    turn = Rotation.from_matrix(pose[:3, :3].numpy())
    return [*turn.as_quat(canonical=True, scalar_first=True), *pose[:3, 3]]


def _model(cameras: Cameras) -> tuple[str, Tensor]:
    k = cameras.distortion
    if k is None:
        return "PINHOLE", torch.zeros(cameras.views, 0)
    if cameras.lens is Lens.FISHEYE:
        return "OPENCV_FISHEYE", k
    if k.shape[-1] == len(COEFFICIENTS) // 2:
        return "OPENCV", k
    if k[:, len(COEFFICIENTS) :].any():
        raise ValueError("`cameras` must have at most 8 lens coefficients for COLMAP's format")
    k = torch.nn.functional.pad(k, (0, len(COEFFICIENTS)))
    return "FULL_OPENCV", k[:, : len(COEFFICIENTS)]


def _written(row: list[float]) -> str:
    return " ".join(repr(float(value)) for value in row)
