"""What a person wants to know of a rig, and what about it cannot be right."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import combinations

import torch
from torch import Tensor

from multiview_geom.cameras import Cameras

ROTATION_TOLERANCE = 1e-3
"""Files with four decimals are this near to a rotation."""
SAME_PLACE = 1e-3
"""Cameras this near to each other, as a share of the size of the rig, stand at one place."""
UNIT_RATIO = 100.0
"""Lengths this many times the others' are in another unit; millimetres are 1000 times metres."""
FOLD_SAMPLES = 65
"""Pixels across and down the image that a lens is tried on."""


class CameraIssueKind(Enum):
    """A kind of thing that cannot be right about a rig."""

    NOT_FINITE = "a number that is not finite"
    NOT_A_ROTATION = "not a rotation"
    FOCAL_LENGTH = "a focal length that is not positive"
    PRINCIPAL_POINT = "principal point outside the image"
    SAME_POSITION = "cameras at one place"
    UNIT_MISMATCH = "a unit of length unlike the others'"
    LENS_FOLDS = "a lens that folds inside the image"


@dataclass(frozen=True)
class CameraIssue:
    """Something that cannot be right, about one camera or several.

    Attributes:
        kind: What kind of thing it is.
        cameras: The names of the cameras concerned.
        message: What is wrong, for a person.
    """

    kind: CameraIssueKind
    cameras: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class CameraSummary:
    """One camera in numbers a person checks first.

    Attributes:
        name: Name of the camera.
        image_size: Width and height [px], where known.
        focal_length: Horizontal and vertical [px].
        field_of_view: Horizontal and vertical angle between the image's edges [rad], through
            the lens; NaN where the lens does not reach an edge; None without image size.
        position: Where it stands [unit of the translations].
    """

    name: str
    image_size: tuple[int, int] | None
    focal_length: tuple[float, float]
    field_of_view: tuple[float, float] | None
    position: tuple[float, float, float]


def summarize_cameras(cameras: Cameras) -> tuple[CameraSummary, ...]:
    """Tell each camera's size, focal length, field of view and position.

    Args:
        cameras: A rig without batch axes.

    Returns:
        One summary per camera, in the order of the views.

    Raises:
        ValueError: If the rig has batch axes.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0, focal_length=500.0)
        >>> [round(angle, 4) for angle in summarize_cameras(ring)[0].field_of_view]
        [1.5708, 1.5708]
    """
    rig = _single_rig(cameras)
    views = _fields_of_view(rig)
    return tuple(
        CameraSummary(
            name=name,
            image_size=_pair(None if rig.image_size is None else rig.image_size[view]),
            focal_length=(float(K[0, 0]), float(K[1, 1])),
            field_of_view=None if views is None else (float(views[view, 0]), float(views[view, 1])),
            position=(float(center[0]), float(center[1]), float(center[2])),
        )
        for view, (name, K, center) in enumerate(
            zip(rig.names, rig.intrinsics, rig.centers, strict=True)
        )
    )


def check_cameras(cameras: Cameras) -> tuple[CameraIssue, ...]:
    """Look for what cannot be right about a rig.

    Args:
        cameras: A rig without batch axes.

    Returns:
        What was found, camera by camera; nothing for a rig that may be right.

    Raises:
        ValueError: If the rig has batch axes.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> check_cameras(ring_of_cameras(4, radius=4.0, height=1.0))
        ()
    """
    rig = _single_rig(cameras)
    broken = tuple(_not_numbers(rig))
    if broken:
        return broken
    checks = (_rotations, _focal_lengths, _principal_points, _lenses, _places, _units)
    return tuple(issue for check in checks for issue in check(rig))


def _not_numbers(rig: Cameras) -> Iterator[CameraIssue]:
    fields = {"intrinsics": rig.intrinsics, "pose": rig.camera_from_world}
    if rig.distortion is not None:
        fields["distortion"] = rig.distortion
    for field, values in fields.items():
        for name, finite in zip(rig.names, values.isfinite().flatten(1).all(dim=1), strict=True):
            if not finite:
                message = f"{name}: the {field} holds a number that is not finite"
                yield CameraIssue(CameraIssueKind.NOT_FINITE, (name,), message)


def _rotations(rig: Cameras) -> Iterator[CameraIssue]:
    R = rig.camera_from_world[:, :3, :3]
    deviations = (R @ R.mT - torch.eye(3).double()).abs().amax(dim=(1, 2)).tolist()
    for name, turn, deviation in zip(rig.names, R, deviations, strict=True):
        if deviation > ROTATION_TOLERANCE:
            message = f"{name}: R is not a rotation, R R^T misses the identity by {deviation:.2g}"
            yield CameraIssue(CameraIssueKind.NOT_A_ROTATION, (name,), message)
        elif torch.linalg.det(turn) < 0:
            message = f"{name}: R is not a rotation but a mirror, its determinant is -1"
            yield CameraIssue(CameraIssueKind.NOT_A_ROTATION, (name,), message)


def _focal_lengths(rig: Cameras) -> Iterator[CameraIssue]:
    for name, K in zip(rig.names, rig.intrinsics, strict=True):
        if min(K[0, 0], K[1, 1]) <= 0:
            message = f"{name}: focal lengths {K[0, 0]:g} and {K[1, 1]:g} px are not positive"
            yield CameraIssue(CameraIssueKind.FOCAL_LENGTH, (name,), message)


def _principal_points(rig: Cameras) -> Iterator[CameraIssue]:
    if rig.image_size is None:
        return
    for name, K, size in zip(rig.names, rig.intrinsics, rig.image_size, strict=True):
        x, y = K[0, 2].item(), K[1, 2].item()
        width, height = size.tolist()
        if not (0 <= x < width and 0 <= y < height):
            place = f"({x:g}, {y:g}) lies outside its image of {width} x {height} px"
            yield CameraIssue(
                CameraIssueKind.PRINCIPAL_POINT, (name,), f"{name}: principal point {place}"
            )


def _lenses(rig: Cameras) -> Iterator[CameraIssue]:
    if rig.image_size is None or rig.distortion is None:
        return
    steps = torch.linspace(0, 1, FOLD_SAMPLES, dtype=torch.float64)
    pixels = torch.cartesian_prod(steps, steps) * (rig.image_size[:, None] - 1)
    lost = 1 - rig.rays(pixels).valid.double().mean(dim=-1)
    for name, share in zip(rig.names, lost.tolist(), strict=True):
        if share > 0:
            message = f"{name}: the lens folds inside the image, {share:.1%} of it shows nothing"
            yield CameraIssue(CameraIssueKind.LENS_FOLDS, (name,), message)


def _places(rig: Cameras) -> Iterator[CameraIssue]:
    distances = torch.cdist(rig.centers, rig.centers)
    size = max(distances.max().item(), rig.centers.norm(dim=-1).median().item())
    for (i, first), (j, second) in combinations(enumerate(rig.names), 2):
        if distances[i, j] <= SAME_PLACE * size:
            message = f"{first} and {second} stand at one place: nothing can be triangulated"
            yield CameraIssue(CameraIssueKind.SAME_POSITION, (first, second), message)


def _units(rig: Cameras) -> Iterator[CameraIssue]:
    lengths = rig.camera_from_world[:, :3, 3].norm(dim=-1)
    usual = lengths.median().item()
    for name, length in zip(rig.names, lengths.tolist(), strict=True):
        longer, shorter = max(length, usual), min(length, usual)
        if shorter > 0 and longer >= UNIT_RATIO * shorter:
            message = f"{name}: translation of {length:g} beside {usual:g}: mm beside m?"
            yield CameraIssue(CameraIssueKind.UNIT_MISMATCH, (name,), message)


def _fields_of_view(rig: Cameras) -> Tensor | None:
    """Measure the angles between the middles of opposite edges, by way of the axis."""
    if rig.image_size is None:
        return None
    center, size = rig.intrinsics[:, :2, 2], rig.image_size.double()
    x, y = center.unbind(dim=-1)
    right, bottom = (size - 0.5).unbind(dim=-1)
    left = torch.full_like(x, -0.5)
    edges = torch.stack([left, y, right, y, x, left, x, bottom], dim=-1).unflatten(-1, (4, 2))
    directions = rig.rays(edges).directions
    along = (directions * rig.camera_from_world[:, None, 2, :3]).sum(dim=-1)
    angles = along.clamp(-1, 1).acos().reshape(rig.views, 2, 2)
    return angles.sum(dim=-1)


def _single_rig(cameras: Cameras) -> Cameras:
    if cameras.intrinsics.ndim != 3:  # noqa: PLR2004 - views and K
        shape = tuple(cameras.intrinsics.shape)
        raise ValueError(f"`cameras` must have no batch axes, got K of shape {shape}")
    return cameras.to(torch.float64).to("cpu")


def _pair(size: Tensor | None) -> tuple[int, int] | None:
    return None if size is None else (int(size[0]), int(size[1]))
