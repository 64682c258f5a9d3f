"""Cameras as VideoPose3D writes them into its Python files, read without running those."""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multiview_geom import Cameras, invert_transform, rigid_transform
from selfsup_lifting.recording import ReadError

INTRINSICS, EXTRINSICS = "cameras_intrinsic_params", "cameras_extrinsic_params"


def read_python_cameras(path: Path, subject: str) -> Cameras:
    """Read the cameras of a subject from `h36m_dataset.py`.

    Args:
        path: The Python file; its literal tables are parsed, nothing is run.
        subject: Whose cameras, such as "S1".

    Returns:
        The rig in float64 and millimetres.

    Raises:
        ReadError: If the tables are not there, or are no literals.

    Note:
        The quaternion (w, x, y, z) turns from the camera to the world, the translation is the
        camera's place, and of the tangential terms OpenCV's second comes first.
    """
    tables = _literals(path)
    try:
        places = [camera for camera in tables[EXTRINSICS][subject] if camera]
        lenses = tables[INTRINSICS]
        return _rig(lenses, places)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ReadError(f"{path}: no whole camera tables for {subject} ({error!r})") from None


def _literals(path: Path) -> dict[str, Any]:
    """Return the two tables by the ends of their names; only literals are evaluated."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8-sig"))
        return {
            end: ast.literal_eval(statement.value)
            for statement in tree.body
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
            for end in (INTRINSICS, EXTRINSICS)
            if statement.targets[0].id.endswith(end)
        }
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ReadError(f"{path}: no Python file with literal camera tables ({error})") from None


def _rig(lenses: Sequence[dict[str, Any]], places: Sequence[dict[str, Any]]) -> Cameras:
    if len(lenses) != len(places):
        raise ValueError(f"{len(lenses)} lenses, {len(places)} places")
    rotations = torch.stack([rotation_of(place["orientation"]) for place in places])
    centers = torch.tensor([place["translation"] for place in places], dtype=torch.float64)
    return Cameras(
        intrinsics=torch.stack([_matrix(lens) for lens in lenses]),
        camera_from_world=invert_transform(rigid_transform(rotations, centers)),
        distortion=torch.tensor([_coefficients(lens) for lens in lenses], dtype=torch.float64),
        image_size=torch.tensor([[lens["res_w"], lens["res_h"]] for lens in lenses]),
        names=tuple(str(lens["id"]) for lens in lenses),
    )


def rotation_of(quaternion: Sequence[float]) -> Tensor:
    """Turn a quaternion (w, x, y, z) into a rotation matrix."""
    from scipy.spatial.transform import Rotation

    w, x, y, z = quaternion
    return torch.from_numpy(Rotation.from_quat([x, y, z, w]).as_matrix())


def _matrix(lens: dict[str, Any]) -> Tensor:
    (fx, fy), (cx, cy) = lens["focal_length"], lens["center"]
    return torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)


def _coefficients(lens: dict[str, Any]) -> list[float]:
    k1, k2, k3 = lens["radial_distortion"]
    p2, p1 = lens["tangential_distortion"]
    return [k1, k2, p1, p2, k3]
