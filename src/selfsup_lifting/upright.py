"""Which axis of the world points up."""

from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.skeleton.skeletons import Skeleton

SHOULDERS, HIPS = ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")
# An animal on four legs has shoulders and hips too, but no wrists by this name.
WRISTS = ("left_wrist", "right_wrist")


def world_up(cameras: Cameras, skeleton: Skeleton, points: Float[Tensor, "frames joints 3"]) -> str:
    """Return the axis of the world that points up, from the trunk of a person or the cameras.

    Args:
        cameras: The cameras, most of them upright.
        skeleton: The joints.
        points: The joints in the world; NaN where unknown.

    Returns:
        "x", "y" or "z", or one of them with a minus.

    Example:
        >>> import torch
        >>> from multiview_geom import ring_of_cameras
        >>> from selfsup_lifting import SKELETONS
        >>> unknown = torch.full((1, 17, 3), torch.nan)
        >>> world_up(ring_of_cameras(3, 4.0, 1.0), SKELETONS["coco17"], unknown)
        'z'
    """
    up = _trunk(skeleton, points)
    if up is None:
        up = -cameras.camera_from_world[:, 1, :3].mean(dim=0)
    axis = int(up.abs().argmax())
    return ("-" if up[axis] < 0 else "") + "xyz"[axis]


def _trunk(
    skeleton: Skeleton, points: Float[Tensor, "frames joints 3"]
) -> Float[Tensor, "3"] | None:
    """Return the direction from the hips to the shoulders of a person; None if unknown."""
    joints = skeleton.joints
    if not {*SHOULDERS, *HIPS, *WRISTS} <= {*joints}:
        return None
    upper, lower = (
        points[:, [joints.index(name) for name in names]].mean(dim=1) for names in (SHOULDERS, HIPS)
    )
    trunks = upper - lower
    known = trunks[trunks.isfinite().all(dim=-1)]
    return known.median(dim=0).values if len(known) else None
