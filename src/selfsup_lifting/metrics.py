"""MPJPE, P-MPJPE, N-MPJPE, PCK, AUC, in millimetres."""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import align_similarity
from selfsup_lifting.skeleton.skeletons import root_position

MILLIMETRES = 1000.0

# What counts as a correct joint, and the thresholds whose shares the area averages [mm]: strictly
# below, so that no joint is correct at zero and the area of a perfect prediction is 30 of 31.
PCK_THRESHOLD = 150.0
AUC_THRESHOLDS = tuple(float(threshold) for threshold in range(0, 151, 5))


def joint_errors(
    predicted: Float[Tensor, "*batch joints 3"], truth: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch joints"]:
    """Measure how far each joint lies from the truth.

    Args:
        predicted: Poses [m].
        truth: The same poses as they are [m], NaN where unknown.

    Returns:
        Distances [mm], NaN where the truth is unknown.
    """
    return (MILLIMETRES * (predicted - truth)).square().sum(dim=-1).sqrt()


def mpjpe(
    predicted: Float[Tensor, "*batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    root: tuple[int, ...],
) -> Float[Tensor, "*batch"]:
    """Mean per joint position error of each pose, both centred on their root (protocol 1).

    Args:
        predicted: Poses, in the same axes as the truth [m].
        truth: The same poses as they are [m], NaN where unknown.
        root: The joints whose mean is the root.

    Returns:
        The mean over the joints that are known [mm].

    Reference:
        Ionescu et al., Human3.6M, TPAMI 2014.
    """
    return joint_errors(centred(predicted, root), centred(truth, root)).nanmean(dim=-1)


def n_mpjpe(
    predicted: Float[Tensor, "*batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    root: tuple[int, ...],
) -> Float[Tensor, "*batch"]:
    """Mean per joint position error after the best scale of each pose, both centred on their root.

    Args:
        predicted: Poses, in the same axes as the truth [m].
        truth: The same poses as they are [m], NaN where unknown.
        root: The joints whose mean is the root.

    Returns:
        The mean over the joints that are known [mm].

    Reference:
        Rhodin et al., Unsupervised Geometry-Aware Representation for 3D Human Pose Estimation,
        ECCV 2018.
    """
    pose, target = centred(predicted, root), centred(truth, root)
    known = target.isfinite().all(dim=-1, keepdim=True)
    fitted = torch.where(known, pose, 0.0)
    overlap = (fitted * torch.where(known, target, 0.0)).sum(dim=(-2, -1), keepdim=True)
    size = fitted.square().sum(dim=(-2, -1), keepdim=True)
    return joint_errors(pose * (overlap / size), target).nanmean(dim=-1)


def velocity_errors(
    predicted: Float[Tensor, "frames *batch joints 3"],
    truth: Float[Tensor, "frames *batch joints 3"],
    root: tuple[int, ...],
) -> Float[Tensor, "steps *batch"]:
    """Mean per joint error of the step from each frame to the next, both centred on their root.

    Args:
        predicted: Poses of consecutive frames, in the same axes as the truth [m].
        truth: The same poses as they are [m], NaN where unknown.
        root: The joints whose mean is the root.

    Returns:
        The mean over the joints known in both frames [mm per frame]: it depends on the frames
        per second.

    Reference:
        Pavllo et al., 3D human pose estimation in video, CVPR 2019 (MPJVE).
    """
    steps = centred(predicted, root).diff(dim=0), centred(truth, root).diff(dim=0)
    return joint_errors(*steps).nanmean(dim=-1)


def pck(
    errors: Float[Tensor, "*batch joints"], threshold: float = PCK_THRESHOLD
) -> Float[Tensor, "*batch"]:
    """Share of the joints that lie strictly closer to the truth than a threshold (PCK).

    Args:
        errors: Distances of the joints that count [mm], NaN where unknown.
        threshold: The distance that is too far [mm].

    Returns:
        The share of each pose, from 0 to 1; NaN where no joint is known.

    Reference:
        Mehta et al., Monocular 3D Human Pose Estimation In The Wild, 3DV 2017.
    """
    known = errors.isfinite()
    return ((errors < threshold) & known).sum(dim=-1) / known.sum(dim=-1)


def auc(errors: Float[Tensor, "*batch joints"]) -> Float[Tensor, "*batch"]:
    """Mean share of correct joints over the thresholds 0, 5, ... 150 mm (AUC).

    Args:
        errors: Distances of the joints that count [mm], NaN where unknown.

    Returns:
        The mean share of each pose, from 0 to 30/31; NaN where no joint is known.

    Reference:
        Mehta et al., Monocular 3D Human Pose Estimation In The Wild, 3DV 2017.
    """
    return torch.stack([pck(errors, threshold) for threshold in AUC_THRESHOLDS]).mean(dim=0)


def centred(
    poses: Float[Tensor, "*batch joints 3"], root: tuple[int, ...]
) -> Float[Tensor, "*batch joints 3"]:
    """Move the root of every pose to the origin."""
    return poses - root_position(poses, root)


def p_mpjpe(
    predicted: Float[Tensor, "*batch joints 3"], truth: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch"]:
    """Mean per joint position error after the best similarity transform of each pose (protocol 2).

    Args:
        predicted: Poses [m].
        truth: The same poses as they are [m], NaN where unknown; unknown joints take no part.

    Returns:
        The mean over the joints that are known [mm].

    Reference:
        Martinez et al., A simple yet effective baseline for 3d human pose estimation, ICCV 2017.
    """
    return joint_errors(procrustes_aligned(predicted, truth), truth).nanmean(dim=-1)


def procrustes_aligned(
    predicted: Float[Tensor, "*batch joints 3"], truth: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch joints 3"]:
    """Lay every pose on its truth by a rotation, a translation and a scale.

    Args:
        predicted: Poses [m].
        truth: The same poses as they are [m], NaN where unknown.

    Returns:
        The poses, moved [m].
    """
    known = truth.isfinite().all(dim=-1)
    weights = known.to(predicted.dtype)
    target = torch.where(known[..., None], truth, 0.0)
    return align_similarity(predicted, target, weights=weights).apply(predicted)
