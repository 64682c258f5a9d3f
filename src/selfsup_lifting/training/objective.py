"""What a training minimizes: the weighted losses of a batch."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from selfsup_lifting.config import AugmentationSettings, LossSettings
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.training.augmentation import hide_keypoints, mirror_half
from selfsup_lifting.training.dataset import Frames, centered_image, pair_mask, usable_views
from selfsup_lifting.training.distributed import mean_over_processes
from selfsup_lifting.training.losses import (
    consistency_loss,
    input_triangulation_loss,
    output_triangulation_loss,
    poses_in_views,
    projection_loss,
    rotated_to_views,
)
from selfsup_lifting.training.virtual_cameras import VirtualCameras, mix_in_virtual

# `Lifter.with_whitening`, or its compiled form.
Network = Callable[..., tuple[Tensor, Tensor | None]]
Terms = Mapping[str, Float[Tensor, ""]]


def augmented(
    frames: Frames,
    settings: AugmentationSettings,
    skeleton: Skeleton,
    cameras: VirtualCameras | None = None,
) -> tuple[Frames, Bool[Tensor, "frames views joints"]]:
    """Change a batch at random, as the settings ask for.

    Returns:
        The frames, and which of their keypoints are shown to the network.
    """
    if cameras is not None:
        frames = mix_in_virtual(frames, cameras, settings, skeleton)
    if settings.mirror:
        frames = mirror_half(frames, skeleton)
    return frames, hide_keypoints(frames, settings.hidden_share)


def lift_views(
    network: Network,
    frames: Frames,
    shown: Bool[Tensor, "frames views joints"],
    *,
    per_view_batchnorm: bool,
) -> tuple[Float[Tensor, "frames views joints 3"], Float[Tensor, "frames views joints 3 3"] | None]:
    """Lift every view of a batch, from the shown keypoints, as `Lifter.with_whitening`.

    With `per_view_batchnorm`, batch normalization in training uses the statistics of each view
    separately instead of those of all views together.
    """
    inputs = (frames.image, shown, frames.confidence)
    if not per_view_batchnorm:
        return network(*inputs)
    views = zip(*(tensor.unbind(dim=1) for tensor in inputs), strict=True)
    poses, whitening = zip(*(network(*view) for view in views), strict=True)
    known = [one for one in whitening if one is not None]
    return torch.stack(poses, dim=1), torch.stack(known, dim=1) if known else None


def loss_terms(
    poses: Float[Tensor, "frames views joints 3"],
    frames: Frames,
    root: tuple[int, ...],
    settings: LossSettings,
) -> dict[str, Float[Tensor, ""]]:
    """Evaluate each loss that has a weight, before weighting."""
    usable, cameras = usable_views(frames, root), frames.camera_from_root
    norm, detach = settings.input_norm, settings.detach_targets
    counted = counted_joints(frames, root, partial_views=settings.partial_views)
    labels = rotated_to_views(frames.labels, cameras)
    in_views = poses_in_views(poses, cameras)
    compared = (labels, frames.labelled) if settings.consistency_with_labels else (None, None)
    losses = {
        "L_in": lambda: input_triangulation_loss(poses, labels, counted, norm),
        "L_proj": lambda: projection_loss(
            in_views, centered_image(frames, root), cameras, pair_mask(frames, root), root=root
        ),
        "L_con": lambda: consistency_loss(
            poses,
            in_views,
            usable,
            targets=compared[0],
            labelled=compared[1],
            detach_targets=detach,
        ),
        "L_out": lambda: output_triangulation_loss(
            poses, cameras, usable, root=root, norm=norm, detach_targets=detach
        ),
    }
    if settings.output_of_detections:
        losses["L_out"] = losses["L_in"]
    return {name: losses[name]() for name in settings.weights}


def counted_joints(
    frames: Frames, root: tuple[int, ...], *, partial_views: bool
) -> Bool[Tensor, "frames views joints"]:
    """Return which joints of which views are compared with a label."""
    viewed = frames.seen.any(dim=-1) if partial_views else usable_views(frames, root)
    return viewed[..., None] & frames.labelled[:, None]


def weighted_sum(terms: Terms, weights: Mapping[str, float]) -> Float[Tensor, ""]:
    """Add up the weighted losses (Bouazizi et al., FG 2021, eq. 1)."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def gradient_shares(
    poses: Float[Tensor, "frames views joints 3"], terms: Terms, weights: Mapping[str, float]
) -> Float[Tensor, "terms"]:
    """Compute the share of each weighted loss in the gradient at the network's output."""
    norms = torch.stack(
        [
            weights[name] * torch.autograd.grad(term, poses, retain_graph=True)[0].norm()
            for name, term in terms.items()
        ]
    )
    norms = mean_over_processes(norms.square()).sqrt()
    total = norms.sum()
    return norms / torch.where(total > 0, total, 1.0)
