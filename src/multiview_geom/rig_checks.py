"""Check a rig for errors of calibration, and summarize its cameras."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import combinations

import torch
from torch import Tensor

from multiview_geom._validation import LAST_ROW_TOLERANCE, require_cameras, row_text
from multiview_geom.cameras import Cameras
from multiview_geom.lenses.lens import Lens

ROTATION_TOLERANCE = 1e-3
"""Largest entry of R R^T - I; a file with four decimals stays below."""
SAME_POSITION = 1e-3
"""Distance between cameras, as a share of the size of the rig, below which they coincide."""
ROUND_OFF = 1e-9
"""Distance between cameras, as a share of that from the origin, which round-off may make."""
UNIT_RATIO = 100.0
"""Ratio of translations above which units differ; meters to millimeters is 1000."""
MOST_STRETCHED = 5.0
"""Largest ratio of the focal lengths of one camera, and of the skew and a focal length."""
SHORTEST_FOCAL = 0.1
"""Least focal length, as a share of the width of the image; a fisheye of 180 degrees has 0.32."""
FOLD_SAMPLES = 65
"""Samples per side of the image at which a lens is checked."""
CORNER_PX = 1.0
"""A principal point so near to the first pixel is counted from another point [px]."""
MOST_TANGENTIAL = 0.03
"""Largest usual p1 or p2: those of cheap webcams reach 0.013."""


class CameraIssueKind(Enum):
    """A kind of error in a calibration.

    Example:
        >>> CameraIssueKind.LENS_FOLDS.value
        'a lens that folds back inside the image'
    """

    NOT_FINITE = "a value that is not finite"
    NOT_RIGID = "a pose whose last row is not 0, 0, 0, 1"
    NOT_A_ROTATION = "not a rotation"
    FOCAL_LENGTH = "a focal length that is not positive"
    PRINCIPAL_POINT = "principal point outside the image"
    SAME_POSITION = "cameras at the same position"
    UNIT_MISMATCH = "a translation in another unit of length"
    LENS_FOLDS = "a lens that folds back inside the image"
    TANGENTIAL = "large tangential coefficients of a lens"


@dataclass(frozen=True)
class CameraIssue:
    """An error in the calibration of one or several cameras.

    Attributes:
        kind: The kind of error.
        cameras: The names of the cameras.
        message: One sentence for people.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0)
        >>> moved = ring.cropped(900, 0, (100, 1000))
        >>> check_cameras(moved)[0].kind
        <CameraIssueKind.PRINCIPAL_POINT: 'principal point outside the image'>
    """

    kind: CameraIssueKind
    cameras: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class CameraSummary:
    """The most important numbers of one camera.

    Attributes:
        name: Name of the camera.
        image_size: Width and height [px], where known.
        focal_length: Horizontal and vertical [px].
        field_of_view: Horizontal and vertical angle between the edges of the image [rad], with
            the lens; NaN if the lens folds back before an edge; None without image size.
        position: Camera center in the world [unit of the translations].

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> first = summarize_cameras(ring_of_cameras(2, radius=4.0, height=1.0))[0]
        >>> first.name, first.image_size, first.focal_length
        ('cam_1', (1000, 1000), (1145.0, 1145.0))
    """

    name: str
    image_size: tuple[int, int] | None
    focal_length: tuple[float, float]
    field_of_view: tuple[float, float] | None
    position: tuple[float, float, float]


def summarize_cameras(cameras: Cameras) -> tuple[CameraSummary, ...]:
    """Summarize each camera: image size, focal length, field of view and position.

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
    require_cameras("cameras", cameras)
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
    """Check a rig for errors of calibration.

    Args:
        cameras: A rig without batch axes.

    Returns:
        The issues, camera by camera; none for a plausible rig.

    Raises:
        ValueError: If the rig has batch axes.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> check_cameras(ring_of_cameras(4, radius=4.0, height=1.0))
        ()
    """
    require_cameras("cameras", cameras)
    rig = _single_rig(cameras)
    if rig.views == 0:
        return ()
    round_off = max(ROUND_OFF, 8 * torch.finfo(cameras.camera_from_world.dtype).eps)
    broken = (*_not_finite(rig), *last_rows(rig))
    if broken:
        return broken
    checks = (_rotations, _focal_lengths, _principal_points, _lenses, _tangential)
    issues = [issue for check in checks for issue in check(rig)]
    return (*issues, *_positions(rig, round_off), *_units(rig))


def _issue(kind: CameraIssueKind, name: str, problem: str) -> CameraIssue:
    return CameraIssue(kind, (name,), f"{name}: {problem}")


def _not_finite(rig: Cameras) -> Iterator[CameraIssue]:
    fields = {"intrinsics": rig.intrinsics, "pose": rig.camera_from_world}
    if rig.distortion is not None:
        fields["distortion"] = rig.distortion
    for field, values in fields.items():
        for name, finite in zip(rig.names, values.isfinite().flatten(1).all(dim=1), strict=True):
            if not finite:
                problem = f"the {field} has a value that is not finite"
                yield _issue(CameraIssueKind.NOT_FINITE, name, problem)


def last_rows(rig: Cameras) -> Iterator[CameraIssue]:
    """Find poses whose last row is not 0, 0, 0, 1; the translation of a transposed one is there."""
    rows = rig.camera_from_world[:, 3]
    differences = (rows - rows.new_tensor([0.0, 0.0, 0.0, 1.0])).abs().amax(dim=-1)
    for name, row, difference in zip(rig.names, rows, differences.tolist(), strict=True):
        if difference > LAST_ROW_TOLERANCE:
            where = f"the last row of camera_from_world is {row_text(row)}"
            problem = f"{where}, expected 0, 0, 0, 1: is it transposed?"
            yield _issue(CameraIssueKind.NOT_RIGID, name, problem)


def _rotations(rig: Cameras) -> Iterator[CameraIssue]:
    R = rig.camera_from_world[:, :3, :3]
    deviations = (R @ R.mT - torch.eye(3).double()).abs().amax(dim=(1, 2)).tolist()
    for name, rotation, deviation in zip(rig.names, R, deviations, strict=True):
        if deviation > ROTATION_TOLERANCE:
            problem = f"R is not a rotation, R R^T differs from the identity by {deviation:.2g}"
            yield _issue(CameraIssueKind.NOT_A_ROTATION, name, problem)
        elif torch.linalg.det(rotation) < 0:
            problem = "R is a reflection, not a rotation: its determinant is -1"
            yield _issue(CameraIssueKind.NOT_A_ROTATION, name, problem)


def _focal_lengths(rig: Cameras) -> Iterator[CameraIssue]:
    widths = [0] * rig.views if rig.image_size is None else rig.image_size[:, 0].tolist()
    for name, K, width in zip(rig.names, rig.intrinsics, widths, strict=True):
        if (K[2] - K.new_tensor([0.0, 0.0, 1.0])).abs().max() > 1e-6 * K.abs().max():
            problem = f"the last row of K is {K[2].tolist()}, expected 0, 0, 1: is it transposed?"
            yield _issue(CameraIssueKind.FOCAL_LENGTH, name, problem)
        elif K[1, 0].abs() > 1e-6 * K.abs().max():
            problem = f"K has {K[1, 0]:g} below its first diagonal element, expected 0"
            yield _issue(CameraIssueKind.FOCAL_LENGTH, name, problem)
        elif min(K[0, 0], K[1, 1]) <= 0:
            mirrored = ": mirrored pictures?" if K[0, 0] * K[1, 1] < 0 else ""
            problem = f"focal lengths {K[0, 0]:g} and {K[1, 1]:g} px are not positive{mirrored}"
            yield _issue(CameraIssueKind.FOCAL_LENGTH, name, problem)
        elif not MOST_STRETCHED * K[:2, :2].diag().min() > K[:2, :2].abs().max():
            problem = (
                f"focal lengths {K[0, 0]:g} and {K[1, 1]:g} px and skew {K[0, 1]:g} px do not fit "
                "together"
            )
            yield _issue(CameraIssueKind.FOCAL_LENGTH, name, problem)
        elif K[0, 0] < SHORTEST_FOCAL * width:
            problem = f"a focal length of {K[0, 0]:g} px in an image {width} px wide: millimeters?"
            yield _issue(CameraIssueKind.FOCAL_LENGTH, name, problem)


def _principal_points(rig: Cameras) -> Iterator[CameraIssue]:
    if rig.image_size is None:
        return
    for name, K, size in zip(rig.names, rig.intrinsics, rig.image_size, strict=True):
        x, y = K[0, 2].item(), K[1, 2].item()
        width, height = size.tolist()
        if not (0 <= x < width and 0 <= y < height):
            where = f"({x:g}, {y:g}) is outside the image of {width} x {height} px"
            yield _issue(CameraIssueKind.PRINCIPAL_POINT, name, f"principal point {where}")
        elif max(x, y) <= CORNER_PX:
            where = f"({x:g}, {y:g}) is at the corner of the image: counted from its middle?"
            yield _issue(CameraIssueKind.PRINCIPAL_POINT, name, f"principal point {where}")


def _lenses(rig: Cameras) -> Iterator[CameraIssue]:
    if rig.image_size is None or rig.distortion is None:
        return
    steps = torch.linspace(0, 1, FOLD_SAMPLES, dtype=torch.float64)
    pixels = torch.cartesian_prod(steps, steps) * (rig.image_size[:, None] - 1)
    lost = 1 - rig.rays(pixels).valid.double().mean(dim=-1)
    for name, share in zip(rig.names, lost.tolist(), strict=True):
        if share > 0:
            problem = f"the lens folds back inside the image, {share:.1%} of it is not visible"
            yield _issue(CameraIssueKind.LENS_FOLDS, name, problem)


def _tangential(rig: Cameras) -> Iterator[CameraIssue]:
    if rig.distortion is None:
        return
    for name, lens, row in zip(rig.names, rig.lenses, rig.distortion, strict=True):
        p1, p2 = row[2:4].tolist()
        if lens is Lens.OPENCV and max(abs(p1), abs(p2)) > MOST_TANGENTIAL:
            problem = f"p1 = {p1:g} and p2 = {p2:g} are large: is the order k1, k2, p1, p2, k3?"
            yield _issue(CameraIssueKind.TANGENTIAL, name, problem)


def _positions(rig: Cameras, round_off: float) -> Iterator[CameraIssue]:
    """Compare distances with the width of the rig: the origin of a world may be far away."""
    distances = (rig.centers[:, None] - rig.centers).norm(dim=-1)
    least = round_off * rig.centers.norm(dim=-1).median().item()
    least = max(SAME_POSITION * distances.max().item(), least)
    for (i, first), (j, second) in combinations(enumerate(rig.names), 2):
        if distances[i, j] <= least:
            message = f"{first} and {second} have the same position: they cannot triangulate"
            yield CameraIssue(CameraIssueKind.SAME_POSITION, (first, second), message)


def _units(rig: Cameras) -> Iterator[CameraIssue]:
    lengths = rig.camera_from_world[:, :3, 3].norm(dim=-1)
    usual = lengths.median().item()
    for name, length in zip(rig.names, lengths.tolist(), strict=True):
        longer, shorter = max(length, usual), min(length, usual)
        if shorter > 0 and longer >= UNIT_RATIO * shorter:
            problem = f"translation of {length:g}, median {usual:g}: millimeters among meters?"
            yield _issue(CameraIssueKind.UNIT_MISMATCH, name, problem)


def _fields_of_view(rig: Cameras) -> Tensor | None:
    """Return the angles between the centers of opposite edges, through the optical axis."""
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
