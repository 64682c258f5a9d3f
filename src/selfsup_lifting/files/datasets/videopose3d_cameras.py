"""The cameras in VideoPose3D's Python files, read without running them."""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multiview_geom import Cameras, invert_transform, rigid_transform, rotation_from_quaternion
from selfsup_lifting.parse.text import read_text
from selfsup_lifting.read_errors import Place

INTRINSICS, EXTRINSICS = "cameras_intrinsic_params", "cameras_extrinsic_params"


def read_python_cameras(path: Path, subject: str) -> Cameras:
    """Read the cameras of a subject from `h36m_dataset.py`.

    Args:
        path: The Python file. Its literal tables are parsed; no code is run.
        subject: The subject, such as "S1".

    Returns:
        The cameras in float64 and millimeters.

    Raises:
        ReadError: If the file lacks the tables, or they are not literals.

    Note:
        The quaternion (w, x, y, z) rotates from the camera to the world, the translation is the
        position of the camera, and OpenCV's second tangential coefficient comes first.
    """
    tables = _literals(path)
    try:
        poses = [camera for camera in tables[EXTRINSICS][subject] if camera]
        return _cameras(tables[INTRINSICS], poses)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        reason = f"there is no {error}" if isinstance(error, KeyError) else error
        sentence = f"expected complete camera tables of {subject}, but {reason}"
        raise Place(path).error(sentence) from None


def _literals(path: Path) -> dict[str, Any]:
    """Return the two tables by the ends of their names; only literals are evaluated."""
    text = read_text(path)
    try:
        tree = ast.parse(text)
        return {
            end: ast.literal_eval(statement.value)
            for statement in tree.body
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
            for end in (INTRINSICS, EXTRINSICS)
            if statement.targets[0].id.endswith(end)
        }
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Place(path).damaged("a Python file with literal camera tables", error) from None


def _cameras(lenses: Sequence[dict[str, Any]], poses: Sequence[dict[str, Any]]) -> Cameras:
    if len(lenses) != len(poses):
        raise ValueError(f"it has {len(lenses)} intrinsics and {len(poses)} extrinsics")
    quaternions = torch.tensor([pose["orientation"] for pose in poses], dtype=torch.float64)
    rotations = rotation_from_quaternion(quaternions)
    if not rotations.isfinite().all():
        raise ValueError("a quaternion is zero or not finite")
    centers = torch.tensor([pose["translation"] for pose in poses], dtype=torch.float64)
    return Cameras(
        intrinsics=torch.stack([*map(_matrix, lenses)]),
        camera_from_world=invert_transform(rigid_transform(rotations, centers)),
        distortion=torch.tensor([*map(_coefficients, lenses)], dtype=torch.float64),
        image_size=torch.tensor([[lens["res_w"], lens["res_h"]] for lens in lenses]),
        names=tuple(str(lens["id"]) for lens in lenses),
    )


def _matrix(lens: dict[str, Any]) -> Tensor:
    (fx, fy), (cx, cy) = lens["focal_length"], lens["center"]
    return torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)


def _coefficients(lens: dict[str, Any]) -> list[float]:
    k1, k2, k3 = lens["radial_distortion"]
    p2, p1 = lens["tangential_distortion"]
    return [k1, k2, p1, p2, k3]
