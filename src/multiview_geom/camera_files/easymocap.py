"""EasyMocap's pair of files, `intri.yml` and `extri.yml`: X_camera = R X_world + T."""

from pathlib import Path

import torch
from torch import Tensor

from multiview_geom.camera_files.filestorage import matrix, matrix_values, parse_yaml
from multiview_geom.camera_files.records import (
    CameraRecord,
    Place,
    coefficients,
    image_size,
    number,
    read_text,
    table,
)
from multiview_geom.cameras import Cameras
from multiview_geom.lenses.lens import Lens
from multiview_geom.rotations import rotation_from_vector, rotation_to_vector

INTRINSICS, EXTRINSICS = "intri.yml", "extri.yml"

Tree = dict[str, object]


def read(folder: Path) -> list[CameraRecord]:
    """Read the cameras of a folder that holds both files."""
    lenses, poses = folder / INTRINSICS, folder / EXTRINSICS
    intrinsics = parse_yaml(lenses, read_text(lenses))
    extrinsics = parse_yaml(poses, read_text(poses))
    names = table(Place(lenses), intrinsics, "names")["names"]
    if not isinstance(names, list):
        raise Place(lenses, "names").expected("a list of names", names)
    return [_record(Place(lenses), Place(poses), intrinsics, extrinsics, name) for name in names]


def write(folder: Path, cameras: Cameras) -> None:
    """Write both files into a folder, which is made if need be."""
    if cameras.lens is not Lens.OPENCV:
        raise ValueError("`cameras` must have no fisheye lenses for EasyMocap's files")
    folder.mkdir(parents=True, exist_ok=True)
    _write(
        folder / INTRINSICS,
        cameras.names,
        [_lens_lines(cameras, view) for view in range(cameras.views)],
    )
    _write(
        folder / EXTRINSICS,
        cameras.names,
        [_pose_lines(cameras, view) for view in range(cameras.views)],
    )


def _record(
    lenses: Place, poses: Place, intrinsics: Tree, extrinsics: Tree, name: str
) -> CameraRecord:
    K, R, T = f"K_{name}", f"R_{name}", f"T_{name}"
    width, height = f"W_{name}", f"H_{name}"
    table(lenses, intrinsics, K)
    table(poses, extrinsics, R, T)
    sized = width in intrinsics and height in intrinsics
    sides = [number(lenses.at(key), intrinsics[key]) for key in (width, height) if sized]
    return CameraRecord(
        name=name,
        intrinsics=matrix(lenses.at(K), intrinsics[K], 3, 3),
        rotation=rotation_from_vector(matrix(poses.at(R), extrinsics[R], 3)),
        translation=matrix(poses.at(T), extrinsics[T], 3),
        distortion=_coefficients(lenses, intrinsics, name),
        image_size=image_size(lenses.at(width), *sides) if sized else None,
    )


def _coefficients(place: Place, intrinsics: Tree, name: str) -> tuple[float, ...]:
    key = next((key for key in (f"dist_{name}", f"D_{name}") if key in intrinsics), None)
    if key is None:
        return ()
    count = len(matrix_values(place.at(key), intrinsics[key]))
    row = matrix(place.at(key), intrinsics[key], count).tolist()
    return coefficients(place.at(key), row, Lens.OPENCV)


def _write(path: Path, names: tuple[str, ...], cameras: list[list[tuple[str, Tensor]]]) -> None:
    lines = ["%YAML:1.0", "---", "names:", *(f'  - "{name}"' for name in names)]
    for name, camera in zip(names, cameras, strict=True):
        for key, value in camera:
            lines += _node(f"{key}_{name}", value)
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _lens_lines(cameras: Cameras, view: int) -> list[tuple[str, Tensor]]:
    k = torch.zeros(1, 5) if cameras.distortion is None else cameras.distortion[view][None]
    lines = [("K", cameras.intrinsics[view]), ("dist", k)]
    if cameras.image_size is not None:
        width, height = cameras.image_size[view]
        lines += [("H", height), ("W", width)]
    return lines


def _pose_lines(cameras: Cameras, view: int) -> list[tuple[str, Tensor]]:
    rotation = cameras.camera_from_world[view, :3, :3]
    turn = rotation_to_vector(rotation)[:, None]
    return [("R", turn), ("Rot", rotation), ("T", cameras.camera_from_world[view, :3, 3:])]


def _node(key: str, value: Tensor) -> list[str]:
    if value.ndim == 0:
        return [f"{key}: {value.item()}"]
    rows, columns = value.shape
    data = ", ".join(repr(number) for number in value.flatten().tolist())
    sizes = [f"  rows: {rows}", f"  cols: {columns}", "  dt: d"]
    return [f"{key}: !!opencv-matrix", *sizes, f"  data: [{data}]"]
