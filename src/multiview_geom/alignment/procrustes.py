"""Alignment of one point set to another."""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.rotation.any_size import (
    rotation_nearest_in_plane,
    rotation_nearest_in_space,
)
from multiview_geom._kernels.rotation.autograd import rotation_nearest
from multiview_geom._validation import (
    broadcast_axes,
    for_computation,
    full_precision,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom.transforms import Similarity


def align_rigid(
    source: Float[Tensor, "*#batch points d"],
    target: Float[Tensor, "*#batch points d"],
    *,
    weights: Float[Tensor, "*#batch points"] | None = None,
) -> Similarity:
    """Find the rotation and translation that best align one point set to another.

    Minimizes the sum of `weight * ‖rotation @ source + translation - target‖²`.

    Args:
        source: Points to move.
        target: The corresponding points to align to.
        weights: Weight of each pair, >= 0: it multiplies the squared distance. A pair of weight
            zero is ignored. 1 by default.

    Returns:
        The transform from source to target, of scale one.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        A pair with a coordinate that is not finite counts as weight zero. If the points do not
        determine the transform (no point, one point, or all on a line), the result is one of
        several equally good transforms. Without any information, the rotation is the identity,
        the translation is zero and the scale is one. Undetermined parameters have zero
        gradient.

    Reference:
        Umeyama, Least-squares estimation of transformation parameters, PAMI 1991.

    Example:
        >>> source = torch.tensor([0.0, 1.0, 2.0, 3.0]).diag()[:, 1:]  # the origin and three axes
        >>> moved = align_rigid(source, source + torch.tensor([1.0, 2.0, 3.0]))
        >>> moved.translation.round(decimals=4)
        tensor([1., 2., 3.])
    """
    with full_precision(source):
        rigid, _ = _alignment(source, target, weights)
    return rigid


def align_similarity(
    source: Float[Tensor, "*#batch points d"],
    target: Float[Tensor, "*#batch points d"],
    *,
    weights: Float[Tensor, "*#batch points"] | None = None,
) -> Similarity:
    """Find the rotation, translation and scale that best align one point set to another.

    Minimizes the sum of `weight * ‖scale * rotation @ source + translation - target‖²`.

    Args:
        source: Points to move.
        target: The corresponding points to align to.
        weights: Weight of each pair, >= 0: it multiplies the squared distance. A pair of weight
            zero is ignored. 1 by default.

    Returns:
        The transform from source to target.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        A pair with a coordinate that is not finite counts as weight zero. If the points do not
        determine the transform (no point, one point, or all on a line), the result is one of
        several equally good transforms. Without any information, the rotation is the identity,
        the translation is zero and the scale is one. Undetermined parameters have zero
        gradient.

    Reference:
        Umeyama, Least-squares estimation of transformation parameters, PAMI 1991.

    Example:
        >>> source = torch.tensor([0.0, 1.0, 2.0, 3.0]).diag()[:, 1:]  # the origin and three axes
        >>> similarity = align_similarity(source, 2 * source + 1)
        >>> similarity.scale.round(decimals=4), similarity.translation.round(decimals=4)
        (tensor(2.), tensor([1., 1., 1.]))
    """
    with full_precision(source):
        _, similar = _alignment(source, target, weights)
    return similar


def nearest_rotation(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Find the rotation nearest to a matrix in the Frobenius norm.

    Args:
        matrix: Any 3x3 matrices.

    Returns:
        The rotation R that maximizes tr(Rᵀ matrix).

    Note:
        If several rotations are equally near (a zero matrix, a matrix of rank one, or a negative
        determinant with two equal smallest singular values), one of them is returned, with zero
        gradient. The gradient is inversely proportional to the scale of the matrix. float32 is
        computed in float64, because a rounding error of the matrix is amplified by
        1 / (s₂ ± s₃), which has no bound.

    Reference:
        Horn, Closed-form solution of absolute orientation using unit quaternions, JOSA 1987;
        Theobald, Rapid calculation of RMSDs using a quaternion-based characteristic
        polynomial, Acta Cryst. A 2005.

    Raises:
        ValueError: If a matrix is not 3x3.

    Example:
        >>> nearest_rotation(2 * torch.eye(3))
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]])
    """
    require_trailing_shape("matrix", matrix, 3, 3)
    require_floating(matrix=matrix)
    return _nearest(for_computation(matrix)).to(matrix.dtype)


def _nearest(matrix: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch d d"]:
    size = matrix.shape[-1]
    solve = {2: rotation_nearest_in_plane, 3: rotation_nearest}.get(size, rotation_nearest_in_space)
    return solve(matrix.reshape(-1, size, size)).reshape(matrix.shape)


def _squared_round_off(
    share: Float[Tensor, "*batch points 1"], points: Float[Tensor, "*batch points d"]
) -> Float[Tensor, "*batch"]:
    """Return how much points that are all one may seem to differ, squared."""
    size = (share * points.square()).sum(dim=(-2, -1))
    return size * torch.finfo(points.dtype).eps ** 2


def _alignment(
    source: Tensor, target: Tensor, weights: Tensor | None
) -> tuple[Similarity, Similarity]:
    require_trailing_shape("source", source, "points", "d")
    require_trailing_shape("target", target, "points", source.shape[-1])
    require_same_size("points", source=source.shape[-2], target=target.shape[-2])
    require_floating(source=source, target=target)
    leading = {"source": source.shape[:-2], "target": target.shape[:-2]}
    if weights is not None:
        require_trailing_shape("weights", weights, source.shape[-2])
        require_floating(source=source, weights=weights)
        leading["weights"] = weights.shape[:-1]
    broadcast_axes(**leading)
    dtype = source.dtype
    known = (source.isfinite() & target.isfinite()).all(dim=-1)
    trust = known.to(dtype) if weights is None else torch.where(known, weights, 0.0)
    trust = for_computation(trust)[..., None]
    source = for_computation(torch.where(known[..., None], source, 0.0))
    target = for_computation(torch.where(known[..., None], target, 0.0))
    total = trust.sum(dim=-2, keepdim=True)
    share = trust / torch.where(total > 0, total, 1.0)
    source_mean = (share * source).sum(dim=-2, keepdim=True)
    target_mean = (share * target).sum(dim=-2, keepdim=True)
    centred, goal = source - source_mean, target - target_mean
    covariance = (share * goal).mT @ centred
    rotation = _nearest(covariance)
    variance = (share * centred.square()).sum(dim=(-2, -1))
    overlap = (rotation * covariance).sum(dim=(-2, -1))
    # Double `where`: one point has no scale, and 0 / 0 no gradient.
    spread = variance > _squared_round_off(share, source)
    scale = torch.where(spread, overlap / torch.where(spread, variance, 1.0), 1.0)
    turned = (rotation @ source_mean.mT)[..., 0]
    rigid_shift = target_mean[..., 0, :] - turned
    shift = target_mean[..., 0, :] - scale[..., None] * turned
    rotation = rotation.to(dtype)
    return (
        Similarity(rotation, rigid_shift.to(dtype), torch.ones_like(scale).to(dtype)),
        Similarity(rotation, shift.to(dtype), scale.to(dtype)),
    )
