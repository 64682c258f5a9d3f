"""Error metrics of 3D poses in millimeters: MPJPE, P-MPJPE, N-MPJPE, velocity, PCK, AUC.

Poses are in meters; predicted poses are in the axes of the true ones. The root is the mean of the
joints in `root`. Joints whose ground truth is NaN are ignored: they affect neither the result nor
any gradient. A joint whose prediction is NaN or infinite is ignored as well, so check the
predictions first.
Predicted and true poses have one shape: axes are not broadcast.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import align_similarity
from selfsup_lifting.recording import require_kind, require_positive
from selfsup_lifting.skeleton.skeletons import root_position
from selfsup_lifting.training.ellipsoids import CHI_SQUARED, squared_distances

MILLIMETERS = 1000.0

# A joint is correct if its error is strictly below the threshold, so that no joint is correct at
# zero and the AUC of a perfect prediction is 30/31 [mm].
PCK_THRESHOLD = 150.0
# The AUC averages over this number of equal steps from zero to the threshold, and over zero.
AUC_STEPS = 30


def joint_errors(
    predicted: Float[Tensor, "*batch joints 3"], truth: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch joints"]:
    """Compute the distance of each joint from the truth [mm], NaN where either is not finite."""
    _require_poses(predicted=predicted, truth=truth)
    known = (predicted.isfinite() & truth.isfinite()).all(dim=-1)
    difference = torch.where(known[..., None], predicted - truth, 0.0)
    distances = torch.linalg.vector_norm(MILLIMETERS * difference, dim=-1)
    return torch.where(known, distances, torch.nan)


def _require_poses(**poses: Tensor) -> None:
    """Refuse what are no poses, one for each other: broadcast, frames would meet other frames."""
    for name, one in poses.items():
        is_tensor = isinstance(one, Tensor)
        poses_like = is_tensor and one.dim() > 1 and one.shape[-1] == 3  # noqa: PLR2004
        if not (poses_like and one.is_floating_point()):
            known = f"{one.dtype} of shape {tuple(one.shape)}" if is_tensor else ""
            got = known or type(one).__name__
            raise ValueError(f"`{name}` must be floating and of shape (..., joints, 3), got {got}")
    shapes = {name: tuple(one.shape) for name, one in poses.items()}
    if len({*shapes.values()}) > 1:
        got = ", ".join(f"`{name}` {shape}" for name, shape in shapes.items())
        raise ValueError(f"the poses must have one shape, got {got}: is an axis of views left?")


def mpjpe(
    predicted: Float[Tensor, "*batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    root: tuple[int, ...] = (0,),
) -> Float[Tensor, "*batch"]:
    """Mean per joint position error of each pose, both centered on their root (protocol 1).

    Args:
        predicted: Poses, in the same axes as the truth [m]. Joints that are not finite are ignored.
        truth: The true poses [m], NaN where unknown.
        root: The numbers of the joints whose mean is the root, counted from 0.

    Returns:
        The mean over the known joints [mm]; NaN if the root is unknown.

    Raises:
        ValueError: If the poses differ in shape, or `root` names no joint or one that is not there.

    Reference:
        Ionescu et al., Human3.6M, TPAMI 2014.

    Example:
        >>> truth = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [torch.nan] * 3])
        >>> predicted = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0.3], [9, 9, 9]])
        >>> round(mpjpe(predicted, truth).item(), 3)
        100.0
    """
    return _known_mean(joint_errors(centered(predicted, root), centered(truth, root)))


def p_mpjpe(
    predicted: Float[Tensor, "*batch joints 3"], truth: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch"]:
    """Mean per joint position error after the best similarity transform of each pose (protocol 2).

    Args:
        predicted: Poses [m]. Joints that are not finite are ignored.
        truth: The true poses [m], NaN where unknown; unknown joints are ignored.

    Returns:
        The mean over the known joints [mm].

    Reference:
        Martinez et al., A simple yet effective baseline for 3d human pose estimation, ICCV 2017.

    Example:
        Moved, rotated and scaled, the predicted pose equals the true one in its known joints:

        >>> truth = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 1], [torch.nan] * 3])
        >>> predicted = torch.tensor([[5.0, 0, 0], [5, 2, 0], [1, 0, 0], [5, 0, 2], [9, 9, 9]])
        >>> round(p_mpjpe(predicted, truth).item(), 3)
        0.0
    """
    return _known_mean(joint_errors(procrustes_aligned(predicted, truth), truth))


def n_mpjpe(
    predicted: Float[Tensor, "*batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    root: tuple[int, ...],
) -> Float[Tensor, "*batch"]:
    """Mean per joint position error after the best scale of each pose, both root-centered [mm].

    Reference:
        Rhodin et al., Unsupervised Geometry-Aware Representation for 3D Human Pose Estimation,
        ECCV 2018.
    """
    _require_poses(predicted=predicted, truth=truth)
    pose, target = centered(predicted, root), centered(truth, root)
    known = target.isfinite().all(dim=-1, keepdim=True)
    fitted = torch.where(known, pose, 0.0)
    overlap = (fitted * torch.where(known, target, 0.0)).sum(dim=(-2, -1), keepdim=True)
    size = fitted.square().sum(dim=(-2, -1), keepdim=True)
    return _known_mean(joint_errors(pose * (overlap / size), target))


def velocity_errors(
    predicted: Float[Tensor, "frames *batch joints 3"],
    truth: Float[Tensor, "frames *batch joints 3"],
    root: tuple[int, ...],
) -> Float[Tensor, "steps *batch"]:
    """Mean per joint error of the step to the next frame, both root-centered [mm per frame].

    It depends on the frame rate.

    Raises:
        ValueError: If the poses differ in shape, have no axis of frames, or `root` names no joint.

    Reference:
        Pavllo et al., 3D human pose estimation in video, CVPR 2019 (MPJVE).
    """
    _require_poses(predicted=predicted, truth=truth)
    if predicted.dim() < 3:  # noqa: PLR2004 - frames, joints and coordinates
        shape = tuple(predicted.shape)
        raise ValueError(f"`predicted` must be of shape (frames, ..., joints, 3), got {shape}")
    steps = centered(predicted, root).diff(dim=0), centered(truth, root).diff(dim=0)
    return _known_mean(joint_errors(*steps))


def pck(
    errors: Float[Tensor, "*batch joints"], threshold: float = PCK_THRESHOLD
) -> Float[Tensor, "*batch"]:
    """Share of the joints with an error strictly below a threshold (PCK).

    Args:
        errors: Errors of the counted joints [mm], NaN where unknown.
        threshold: The threshold [mm].

    Returns:
        The share of each pose, from 0 to 1; NaN where no joint is known.

    Raises:
        ValueError: If the threshold is no positive number.

    Reference:
        Mehta et al., Monocular 3D Human Pose Estimation In The Wild, 3DV 2017.
    """
    require_positive("threshold", threshold)
    return _share_below(errors, threshold)


def auc(
    errors: Float[Tensor, "*batch joints"], largest: float = PCK_THRESHOLD
) -> Float[Tensor, "*batch"]:
    """Mean of the PCK over 31 thresholds from 0 to the largest (AUC): for 150 mm 0, 5, ... 150 mm.

    Args:
        errors: Errors of the counted joints [mm], NaN where unknown.
        largest: The largest threshold [mm].

    Returns:
        The mean of each pose, from 0 to 30/31; NaN where no joint is known.

    Raises:
        ValueError: If the threshold is no positive number.

    Reference:
        Mehta et al., Monocular 3D Human Pose Estimation In The Wild, 3DV 2017.
    """
    require_positive("largest", largest)
    thresholds = [largest * step / AUC_STEPS for step in range(AUC_STEPS + 1)]
    return torch.stack([_share_below(errors, threshold) for threshold in thresholds]).mean(dim=0)


def _share_below(
    errors: Float[Tensor, "*batch joints"], threshold: float
) -> Float[Tensor, "*batch"]:
    require_kind("errors", errors, Tensor)
    known = errors.isfinite()
    return ((errors < threshold) & known).sum(dim=-1) / known.sum(dim=-1)


def ellipsoid_coverage(
    errors: Float[Tensor, "*batch joints 3"], covariance: Float[Tensor, "*batch joints 3 3"]
) -> Float[Tensor, "*batch"]:
    """Share of the joints inside their predicted ellipsoids for 90 %.

    Args:
        errors: The errors of the root-centered joints [m]; NaN where unknown.
        covariance: Their predicted covariances [m^2]; a joint with covariance zero, which has no
            error by definition, does not count.

    Returns:
        The share of each pose, from 0 to 1; NaN where no joint counts.

    Example:
        Two of three joints are within 2.5 standard deviations, the radius for 90 % in space:

        >>> errors = torch.tensor([[0.0, 0, 0.04], [0.3, 0, 0], [0, 0.01, 0]])
        >>> covariance = torch.tensor([0.02, 0.1, 0.1]).square()[:, None, None] * torch.eye(3)
        >>> round(ellipsoid_coverage(errors, covariance).item(), 3)
        0.667
    """
    shape = (*errors.shape, errors.shape[-1])
    if covariance.shape != shape:
        got = tuple(covariance.shape)
        raise ValueError(f"`covariance` must have shape {shape}, as `errors`, got {got}")
    squared = squared_distances(errors, covariance)
    known = squared.isfinite()
    return ((squared <= CHI_SQUARED) & known).sum(dim=-1) / known.sum(dim=-1)


def centered(
    poses: Float[Tensor, "*batch joints 3"], root: tuple[int, ...]
) -> Float[Tensor, "*batch joints 3"]:
    """Translate every pose so that its root is at the origin."""
    _require_poses(poses=poses)
    return poses - root_position(poses, root)


def procrustes_aligned(
    predicted: Float[Tensor, "*batch joints 3"], truth: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch joints 3"]:
    """Align every pose to its ground truth by a rotation, a translation and a scale."""
    _require_poses(predicted=predicted, truth=truth)
    known = truth.isfinite().all(dim=-1)
    target = torch.where(known[..., None], truth, 0.0)
    weights = known.to(predicted.dtype)
    return align_similarity(predicted, target, weights=weights).apply(predicted)


def _known_mean(errors: Float[Tensor, "*batch joints"]) -> Float[Tensor, "*batch"]:
    """Average over the joints that are not NaN; where all are NaN, the mean is NaN."""
    known = errors.isfinite()
    return torch.where(known, errors, 0.0).sum(dim=-1) / known.sum(dim=-1)
