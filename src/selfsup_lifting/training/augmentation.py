"""Batches seen another way: mirrored, and with keypoints hidden."""

from dataclasses import fields

import torch
from jaxtyping import Bool
from torch import Tensor

from selfsup_lifting.config import AugmentationSettings
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.training.dataset import Frames


def augmented(batch: Frames, skeleton: Skeleton, settings: AugmentationSettings) -> Frames:
    """Mirror half of the frames, where the settings say so; uses the global random numbers."""
    if not settings.mirror:
        return batch
    chosen = torch.rand(len(batch), device=batch.image.device) < 0.5  # noqa: PLR2004 - half
    return _mixed(chosen, mirrored(batch, skeleton), batch)


def shown(batch: Frames, settings: AugmentationSettings) -> Bool[Tensor, "frames views joints"]:
    """Choose what the network is shown of what was seen; uses the global random numbers."""
    if settings.hidden_share == 0:
        return batch.seen
    chances = torch.rand(batch.seen.shape, device=batch.seen.device)
    return batch.seen & (chances >= settings.hidden_share)


def mirrored(batch: Frames, skeleton: Skeleton) -> Frames:
    """Mirror bodies, cameras and images, so that left becomes right.

    The world is mirrored in x, and so is every image about its principal point. With M the
    mirror, a camera's transform T becomes M T M, again a rigid one, and the mirrored body
    projects to the mirrored image.

    Args:
        batch: Frames.
        skeleton: What their joints are.

    Returns:
        The frames as a mirror shows them, each joint under its own name.
    """
    order = list(range(len(skeleton.joints)))
    for left, right in skeleton.mirrored:
        order[left], order[right] = right, left
    flip = batch.image.new_tensor([-1.0, 1.0, 1.0, 1.0])
    return Frames(
        image=batch.image[:, :, order] * flip[:2],
        seen=batch.seen[:, :, order],
        confidence=batch.confidence[:, :, order],
        labels=batch.labels[:, order] * flip[:3],
        labelled=batch.labelled[:, order],
        camera_from_root=flip[:, None] * batch.camera_from_root * flip,
    )


def _mixed(chosen: Bool[Tensor, "frames"], one: Frames, other: Frames) -> Frames:
    return Frames(
        *(
            torch.where(
                chosen.reshape(-1, *[1] * (getattr(one, field.name).dim() - 1)),
                getattr(one, field.name),
                getattr(other, field.name),
            )
            for field in fields(Frames)
        )
    )
