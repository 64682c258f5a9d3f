"""OpenCV's calibrations in YAML and JSON: one camera, a stereo pair, or a rig.

OpenCV's sample `calibration` writes one camera: `camera_matrix`, `distortion_coefficients`,
`image_width` and `image_height`. A pair is `M1`, `D1`, `M2`, `D2`, `R`, `T`. The sample
`multiview_calibration` writes a rig, which is also what we write: `Ks`, `distortions`, `rvecs`,
`Ts`, `image_sizes`, `is_fisheye` and `cam_ids`. X_camera = R X_world + t.
"""

import torch
from torch import Tensor

from multiview_geom._view_names import default_names
from multiview_geom.camera_files.opencv_nodes import (
    Tree,
    lens_coefficients,
    matrix,
    matrix_node,
    matrix_values,
)
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.values import (
    coefficients,
    image_size,
    lens_of_model,
    number,
    rotation_vector,
    table,
    text,
)
from multiview_geom.cameras import Cameras
from multiview_geom.lenses.lens import FISHEYE_COEFFICIENTS, Lens
from multiview_geom.rotations import rotation_from_vector, rotation_to_vector

MATRICES = ("camera_matrix", "cameraMatrix", "K")
COEFFICIENTS = ("distortion_coefficients", "distCoeffs", "dist_coeffs", "D")
"""Keys of K and of the coefficients in files of one camera."""
ROTATIONS, TRANSLATIONS = ("R", "rvec"), ("T", "tvec", "t")
WIDTH, HEIGHT = "image_width", "image_height"
MODEL, FISHEYE = "distortion_model", "fisheye_model"
OPTIONAL = (*COEFFICIENTS, WIDTH, HEIGHT, MODEL, FISHEYE)
PAIRS = (("M1", "D1", "M2", "D2"), ("K1", "D1", "K2", "D2"))


def records(place: FilePlace, tree: Tree, at_pose: FilePlace | None = None) -> list[CameraRecord]:
    """Read a rig, a pair or one camera, as the keys say; a pair's pose may be of another file."""
    if "Ks" in tree:
        return _rig(place, tree)
    for keys in PAIRS:
        if all(key in tree for key in keys):
            return _pair(place, at_pose or place, tree, keys)
    if K := next((key for key in MATRICES if key in tree), None):
        return [_single(place, tree, K)]
    if {"R", "T"} <= tree.keys():
        raise place.expected(
            "the lenses `M1`, `D1`, `M2`, `D2` beside it in intrinsics.yml", "none"
        )
    known = "`Ks`, `M1`, `camera_matrix` or `K`"
    raise place.expected(f"a calibration with {known}", f"only {', '.join(tree) or 'none'}")


def is_half_of_a_pair(tree: Tree) -> bool:
    """Return whether a file has the lenses of a pair without its pose, or the pose alone."""
    lenses = any(all(key in tree for key in keys) for keys in PAIRS)
    return lenses != ({"R", "T"} <= tree.keys()) and "Ks" not in tree


def rig_tree(cameras: Cameras) -> Tree:
    """Return a rig as OpenCV's sample `multiview_calibration` writes it."""
    rotations = cameras.camera_from_world[:, :3, :3]
    if any("," in name for name in cameras.names):
        raise ValueError(
            f"`cameras` must have names without commas for this format, got {cameras.names}"
        )
    fisheye = torch.tensor([[int(lens is Lens.FISHEYE)] for lens in cameras.lenses])
    k = torch.zeros(cameras.views, 5) if cameras.distortion is None else cameras.distortion
    tree: Tree = {
        "cam_ids": ",".join(cameras.names),
        "is_fisheye": matrix_node(fisheye),
        "Ks": matrix_node(cameras.intrinsics),
        "distortions": matrix_node(k.double()),
        "rvecs": matrix_node(rotation_to_vector(rotations)),
        "Ts": matrix_node(cameras.camera_from_world[:, :3, 3]),
    }
    if cameras.image_size is not None:
        tree["image_sizes"] = matrix_node(cameras.image_size)
    return tree


def _rig(place: FilePlace, tree: Tree) -> list[CameraRecord]:
    table(place, tree, "Ks", "distortions", "rvecs", "Ts")
    views = len(matrix_values(place.at("Ks"), tree["Ks"])) // 9
    each = len(matrix_values(place.at("distortions"), tree["distortions"])) // max(1, views)

    def stacked(key: str, *shape: int) -> list[Tensor]:
        return [*matrix(place.at(key), tree[key], views, *shape)]

    flags = stacked("is_fisheye") if "is_fisheye" in tree else [False] * views
    sizes = stacked("image_sizes", 2) if "image_sizes" in tree else [None] * views
    columns = zip(
        _names(place.at("cam_ids"), tree.get("cam_ids", ""), views),
        stacked("Ks", 3, 3),
        stacked("rvecs", 3),
        stacked("Ts", 3),
        stacked("distortions", each),
        sizes,
        [Lens.FISHEYE if flag else Lens.OPENCV for flag in flags],
        strict=True,
    )
    return [
        CameraRecord(
            name=name,
            intrinsics=K,
            rotation=rotation_vector(place, rvec),
            translation=t,
            distortion=_row(place.at("distortions"), k.tolist(), lens),
            image_size=_size(place, size),
            lens=lens,
        )
        for name, K, rvec, t, k, size, lens in columns
    ]


def _row(place: FilePlace, row: list[float], lens: Lens) -> tuple[float, ...]:
    """Return the coefficients of a view; a fisheye among other lenses is filled up with zeros."""
    if lens is Lens.FISHEYE and not any(row[FISHEYE_COEFFICIENTS:]):
        row = row[:FISHEYE_COEFFICIENTS]
    return coefficients(place, row, lens)


def _size(place: FilePlace, size: Tensor | None) -> tuple[int, int] | None:
    if size is None:
        return None
    width, height = size.tolist()
    return image_size(place.at("image_sizes"), width, height)


def _names(place: FilePlace, joined: object, views: int) -> list[str]:
    names = text(place, joined).split(",") if joined else [*default_names(views)]
    if len(names) != views:
        raise place.expected(f"{views} names", f"{len(names)} of them")
    return names


def _pair(
    place: FilePlace, at_pose: FilePlace, tree: Tree, keys: tuple[str, ...]
) -> list[CameraRecord]:
    if not {"R", "T"} <= tree.keys():
        raise place.expected("`R` and `T` of the pair, in this file or in extrinsics.yml", "none")
    identity = torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    relative = _rotation(at_pose.at("R"), tree["R"]), matrix(at_pose.at("T"), tree["T"], 3)
    poses = zip(default_names(2), (keys[:2], keys[2:]), (identity, relative), strict=True)
    return [
        CameraRecord(
            name=name,
            intrinsics=matrix(place.at(K), tree[K], 3, 3),
            rotation=rotation,
            translation=translation,
            distortion=lens_coefficients(place.at(D), tree[D]),
        )
        for name, (K, D), (rotation, translation) in poses
    ]


def _single(place: FilePlace, tree: Tree, K: str) -> CameraRecord:
    """Read one camera; without a pose, the world frame is that of the camera."""
    D, R, t = (_one(place, tree, keys) for keys in (COEFFICIENTS, ROTATIONS, TRANSLATIONS))
    if (R is None) != (t is None):
        raise place.expected("a rotation and a translation, or none of both", f"`{R or t}` alone")
    if D is None:
        table(place, tree, optional=OPTIONAL)
    zero = torch.zeros(3, dtype=torch.float64)
    if sized := WIDTH in tree or HEIGHT in tree:
        table(place, tree, WIDTH, HEIGHT)
    sides = [number(place.at(key), tree[key]) for key in (WIDTH, HEIGHT) if sized]
    lens = _lens(place, tree)
    return CameraRecord(
        name=place.path.stem,
        intrinsics=matrix(place.at(K), tree[K], 3, 3),
        rotation=rotation_from_vector(zero) if R is None else _rotation(place.at(R), tree[R]),
        translation=zero if t is None else matrix(place.at(t), tree[t], 3),
        distortion=() if D is None else lens_coefficients(place.at(D), tree[D], lens),
        image_size=image_size(place.at(WIDTH), *sides) if sized else None,
        lens=lens,
    )


def _one(place: FilePlace, tree: Tree, keys: tuple[str, ...]) -> str | None:
    """Return the key that a file has of those with one meaning; refuse two."""
    found = [key for key in keys if key in tree]
    if len(found) > 1:
        raise place.expected(f"one of {', '.join(keys)}", f"{' and '.join(found)}")
    return found[0] if found else None


def _lens(place: FilePlace, tree: Tree) -> Lens:
    """Return the lens that a file names, as ROS does, or marks as a fisheye, as OpenCV does."""
    if MODEL in tree:
        return lens_of_model(place.at(MODEL), tree[MODEL])
    return Lens.FISHEYE if number(place.at(FISHEYE), tree.get(FISHEYE, 0)) else Lens.OPENCV


def _rotation(place: FilePlace, node: object) -> Tensor:
    """Read a rotation: a matrix or a rotation vector."""
    if len(matrix_values(place, node)) == 3:  # noqa: PLR2004
        return rotation_vector(place, matrix(place, node, 3))
    return matrix(place, node, 3, 3)
