"""Which axis of the world points up, and rotations that make it another one."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.skeleton.skeletons import Skeleton

SHOULDERS, HIPS = ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")
# An animal on four legs has shoulders and hips too, but no wrists by this name.
WRISTS = ("left_wrist", "right_wrist")
# The mean of directions of length one is longer if they are alike.
LEAST_ALIKE = 0.7
# Number of frames that are looked at: bounds the memory for long recordings.
MOST_FRAMES = 10_000
# What the axes X, Y, Z of a world with y up are, by the axis that points up: a rotation each.
UPRIGHT: Mapping[str, tuple[str, str, str]] = {
    "x": ("z", "x", "y"), "y": ("x", "y", "z"), "z": ("y", "z", "x"),
    "-x": ("y", "-x", "z"), "-y": ("x", "-y", "-z"), "-z": ("x", "-z", "y"),
}  # fmt: skip


def y_up(points: Float[Tensor, "*batch 3"], up: str) -> Float[Tensor, "*batch 3"]:
    """Rotate points of a world so that y points up.

    Args:
        points: Points of the world.
        up: The axis that points up there: a key of `UPRIGHT`.

    Raises:
        ValueError: If there is no such axis.
    """
    if up not in UPRIGHT:
        raise ValueError(f"`up` must be one of {', '.join(UPRIGHT)}, got {up!r}")
    axes = UPRIGHT[up]
    signs = points.new_tensor([-1.0 if axis.startswith("-") else 1.0 for axis in axes])
    return signs * points[..., ["xyz".index(axis[-1]) for axis in axes]]


def from_y_up(points: Float[Tensor, "*batch 3"], up: str) -> Float[Tensor, "*batch 3"]:
    """Undo `y_up`.

    Example:
        >>> import torch
        >>> from_y_up(y_up(torch.tensor([1.0, 2.0, 3.0]), "-z"), "-z")
        tensor([1., 2., 3.])
    """
    identity = points.new_tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return points @ y_up(identity, up).mT


def z_up(points: Float[Tensor, "*batch 3"], up: str) -> Float[Tensor, "*batch 3"]:
    """Rotate points of a world so that z points up; see `y_up`."""
    return y_up(points, up).roll(1, dims=-1)


def world_up(
    cameras: Cameras | None,
    skeleton: Skeleton | None = None,
    points: Float[Tensor, "frames joints 3"] | None = None,
) -> str:
    """Return the axis of the world that points up, from the trunk of a person or the cameras.

    Args:
        cameras: The cameras, most of them upright; None if unknown.
        skeleton: The joints; None if there is nobody.
        points: The joints in the world; NaN where unknown.

    Returns:
        "x", "y" or "z", or one of them with a minus; "z" if neither person nor cameras are known.

    Example:
        >>> import torch
        >>> from multiview_geom import ring_of_cameras
        >>> from selfsup_lifting import SKELETONS
        >>> unknown = torch.full((1, 17, 3), torch.nan)
        >>> world_up(ring_of_cameras(3, 4.0, 1.0), SKELETONS["coco17"], unknown)
        'z'
    """
    known = None if skeleton is None or points is None else trunks(skeleton, points)
    if known is not None:
        return _axis(known.median(dim=0).values)
    return "z" if cameras is None else _axis(_top_of(cameras))


def top_of_pictures(cameras: Cameras) -> str | None:
    """Return the axis of the world that the tops of the pictures point to; None if they differ."""
    top = _top_of(cameras)
    return _axis(top) if float(top.norm()) > LEAST_ALIKE else None


def _top_of(cameras: Cameras) -> Float[Tensor, "3"]:
    return -cameras.camera_from_world[:, 1, :3].mean(dim=0)


def _axis(up: Float[Tensor, "3"]) -> str:
    axis = int(up.abs().argmax())
    return ("-" if up[axis] < 0 else "") + "xyz"[axis]


def trunks(
    skeleton: Skeleton, points: Float[Tensor, "frames joints axes"]
) -> Float[Tensor, "known axes"] | None:
    """Return the vectors from the hips to the shoulders of a person, where known.

    Args:
        skeleton: The joints.
        points: The joints in the world or in the picture; NaN where unknown.

    Returns:
        A vector for each of at most `MOST_FRAMES` frames; None for an animal, or if none is known.
    """
    joints = skeleton.joints
    if not {*SHOULDERS, *HIPS, *WRISTS} <= {*joints}:
        return None
    some = points[:: max(1, len(points) // MOST_FRAMES)]
    upper, lower = (
        some[:, [joints.index(name) for name in names]].mean(dim=1) for names in (SHOULDERS, HIPS)
    )
    vectors = upper - lower
    known = vectors[vectors.isfinite().all(dim=-1)]
    return known if len(known) else None
