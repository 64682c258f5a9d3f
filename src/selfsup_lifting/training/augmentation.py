"""Random changes to a batch: mirrored frames and hidden keypoints."""

from dataclasses import fields
from functools import cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.training.dataset import Frames


def mirror_half(batch: Frames, skeleton: Skeleton) -> Frames:
    """Mirror a random half of the frames; uses the global random number generator."""
    chosen = torch.rand(len(batch), dtype=torch.float32, device=batch.image.device) < 0.5  # noqa: PLR2004 - half
    return mixed(chosen, mirrored(batch, skeleton), batch)


def mixed(chosen: Bool[Tensor, "frames"], new: Frames, old: Frames) -> Frames:
    """Return the new frames where chosen, else the old ones."""
    pairs = [(getattr(new, one.name), getattr(old, one.name)) for one in fields(Frames)]
    return Frames(*(torch.where(chosen.view(-1, *[1] * (a.dim() - 1)), a, b) for a, b in pairs))


def hide_keypoints(batch: Frames, share: float) -> Bool[Tensor, "frames views joints"]:
    """Return which keypoints to show: a random share of the detected ones is hidden.

    Uses the global random number generator.
    """
    if share == 0:
        return batch.seen
    return batch.seen & (
        torch.rand(batch.seen.shape, dtype=torch.float32, device=batch.seen.device) >= share
    )


def mirrored(batch: Frames, skeleton: Skeleton) -> Frames:
    """Mirror bodies, cameras and images, so that left becomes right.

    The world is mirrored in x, and every image about its principal point. With M the mirror, a
    camera's transform T becomes M T M, which is rigid again, and the mirrored body projects to
    the mirrored image. Each joint keeps its own name.
    """
    order, flip = _mirror(skeleton, batch.image.device)
    return Frames(
        image=batch.image.index_select(2, order) * flip[:2],
        seen=batch.seen.index_select(2, order),
        confidence=batch.confidence.index_select(2, order),
        labels=batch.labels.index_select(1, order) * flip[:3],
        labelled=batch.labelled.index_select(1, order),
        camera_from_root=flip[:, None] * batch.camera_from_root * flip,
        origin=batch.origin,
    )


@cache
def _mirror(
    skeleton: Skeleton, device: torch.device
) -> tuple[Int[Tensor, "joints"], Float[Tensor, "4"]]:
    """Return the order of the joints in a mirror, and the signs of x, y, z and 1.

    They are copied to a GPU once: every copy would make Python wait.
    """
    order = torch.tensor(skeleton.mirror_order, device=device)
    return order, torch.tensor([-1.0, 1, 1, 1], dtype=torch.float32, device=device)
