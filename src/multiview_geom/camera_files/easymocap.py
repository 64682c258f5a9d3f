"""EasyMocap's pair of files, `intri.yml` and `extri.yml`: X_camera = R X_world + T."""

from pathlib import Path

import torch
from torch import Tensor

from multiview_geom.camera_files.format import CameraFormat, CameraSource, read_text
from multiview_geom.camera_files.opencv_nodes import (
    Tree,
    lens_coefficients,
    matrix,
    matrix_node,
    parse_yaml,
    write_yaml,
)
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.values import image_size, number, rotation_vector, table
from multiview_geom.cameras import Cameras
from multiview_geom.lenses.lens import Lens
from multiview_geom.rotations import rotation_to_vector

INTRINSICS, EXTRINSICS = "intri.yml", "extri.yml"
MOST_SHOWN = 8
"""So many names are shown in a sentence."""
SAME_ROTATION = 0.01
"""Entries of one rotation, written twice and rounded, differ by less."""


def read(source: CameraSource) -> list[CameraRecord]:
    """Read the cameras of a folder with both files."""
    folder = source.path if source.is_folder else source.path.parent
    lenses, poses = folder / INTRINSICS, folder / EXTRINSICS
    intrinsics = parse_yaml(lenses, read_text(lenses))
    extrinsics = parse_yaml(poses, read_text(poses))
    names = table(FilePlace(lenses), intrinsics, "names")["names"]
    if not isinstance(names, list):
        raise FilePlace(lenses, "names").expected("a list of names", names)
    posed = extrinsics.get("names", names)
    if isinstance(posed, list) and (lost := [name for name in posed if name not in names]):
        known = " ".join(map(str, names[:MOST_SHOWN]))
        raise FilePlace(poses, "names").expected(f"names of {INTRINSICS} ({known})", str(lost[0]))
    return [
        _record(FilePlace(lenses), FilePlace(poses), intrinsics, extrinsics, name) for name in names
    ]


def write(folder: Path, cameras: Cameras, _subject: str) -> None:
    """Write both files into a folder, which is created if it does not exist."""
    if Lens.FISHEYE in cameras.lenses:
        raise ValueError("`cameras` must have no fisheye lenses for EasyMocap's files")
    intrinsics: Tree = {"names": [*cameras.names]}
    extrinsics: Tree = {"names": [*cameras.names]}
    k = torch.zeros(cameras.views, 5) if cameras.distortion is None else cameras.distortion
    for view, name in enumerate(cameras.names):
        intrinsics[f"K_{name}"] = matrix_node(cameras.intrinsics[view])
        intrinsics[f"dist_{name}"] = matrix_node(k[view : view + 1])
        if cameras.image_size is not None:
            width, height = cameras.image_size[view].tolist()
            intrinsics |= {f"H_{name}": height, f"W_{name}": width}
        pose = cameras.camera_from_world[view]
        extrinsics[f"R_{name}"] = matrix_node(rotation_to_vector(pose[:3, :3])[:, None])
        extrinsics[f"Rot_{name}"] = matrix_node(pose[:3, :3])
        extrinsics[f"T_{name}"] = matrix_node(pose[:3, 3:])
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml(folder / INTRINSICS, intrinsics)
    write_yaml(folder / EXTRINSICS, extrinsics)


def _record(
    lenses: FilePlace, poses: FilePlace, intrinsics: Tree, extrinsics: Tree, name: str
) -> CameraRecord:
    K, R, T = f"K_{name}", f"R_{name}", f"T_{name}"
    width, height = f"W_{name}", f"H_{name}"
    table(lenses, intrinsics, K)
    table(poses, extrinsics, R, T)
    k = next((key for key in (f"dist_{name}", f"D_{name}") if key in intrinsics), None)
    rotation = rotation_vector(poses.at(R), matrix(poses.at(R), extrinsics[R], 3))
    _require_same_rotation(poses.at(f"Rot_{name}"), extrinsics.get(f"Rot_{name}"), rotation)
    sized = width in intrinsics and height in intrinsics
    sides = [number(lenses.at(key), intrinsics[key]) for key in (width, height) if sized]
    return CameraRecord(
        name=name,
        intrinsics=matrix(lenses.at(K), intrinsics[K], 3, 3),
        rotation=rotation,
        translation=matrix(poses.at(T), extrinsics[T], 3),
        distortion=() if k is None else lens_coefficients(lenses.at(k), intrinsics[k]),
        image_size=image_size(lenses.at(width), *sides) if sized else None,
    )


def _require_same_rotation(place: FilePlace, node: object, rotation: Tensor) -> None:
    """Refuse a rotation matrix that contradicts the rotation vector beside it."""
    if node is None:
        return
    apart = (matrix(place, node, 3, 3) - rotation).abs().max().item()
    if not apart < SAME_ROTATION:
        raise place.expected("the rotation of the vector R_ beside it", f"one {apart:.2g} from it")


FORMAT = CameraFormat(
    name="easymocap",
    title="EasyMocap intri.yml and extri.yml",
    unit=None,
    recognizes=lambda source: source.folder_with(INTRINSICS, EXTRINSICS) is not None,
    read=read,
    write=write,
    files=f"{INTRINSICS} and {EXTRINSICS}",
)
