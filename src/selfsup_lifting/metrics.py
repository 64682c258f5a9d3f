"""MPJPE, P-MPJPE, N-MPJPE, PCK, AUC, in millimetres."""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import align_similarity
from selfsup_lifting.skeletons import root_position

MILLIMETRES = 1000.0


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
    return MILLIMETRES * (predicted - truth).square().sum(dim=-1).sqrt()


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
    centred = predicted - root_position(predicted, root), truth - root_position(truth, root)
    return joint_errors(*centred).nanmean(dim=-1)


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
