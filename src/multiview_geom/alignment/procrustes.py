"""Alignment of one point set to another."""

from math import prod

from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.rotation.autograd import align
from multiview_geom._kernels.rotation.autograd import nearest_rotation as _nearest_rotation
from multiview_geom._validation import (
    broadcast_axes,
    for_computation,
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
            zero or less is ignored. 1 by default.

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
        >>> import torch
        >>> source = torch.tensor([0.0, 1.0, 2.0, 3.0]).diag()[:, 1:]  # the origin and three axes
        >>> moved = align_rigid(source, source + torch.tensor([1.0, 2.0, 3.0]))
        >>> moved.translation.round(decimals=4)
        tensor([1., 2., 3.])
    """
    return _alignment(source, target, weights, scaled=False)


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
            zero or less is ignored. 1 by default.

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
        >>> import torch
        >>> source = torch.tensor([0.0, 1.0, 2.0, 3.0]).diag()[:, 1:]  # the origin and three axes
        >>> similarity = align_similarity(source, 2 * source + 1)
        >>> similarity.scale.round(decimals=4), similarity.translation.round(decimals=4)
        (tensor(2.), tensor([1., 1., 1.]))
    """
    return _alignment(source, target, weights, scaled=True)


def nearest_rotation(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Find the rotation nearest to a matrix in the Frobenius norm.

    Args:
        matrix: Any 3x3 matrices.

    Returns:
        The rotation R that maximizes tr(Rᵀ matrix).

    Note:
        If several rotations are equally near (a zero matrix, a matrix of rank one, or a negative
        determinant with two equal smallest singular values), one of them is returned, and only
        the gradient with respect to what is determined is not zero. The gradient is inversely
        proportional to the scale of the matrix. float32 is computed in float64, because a
        rounding error of the matrix is amplified by 1 / (s₂ ± s₃), which has no bound.

    Reference:
        Markley, Attitude determination using vector observations: a fast optimal matrix
        algorithm, J. Astronautical Sciences 41, 1993; Horn, Closed-form solution of absolute
        orientation using unit quaternions, JOSA 1987.

    Raises:
        ValueError: If a matrix is not 3x3.

    Example:
        >>> import torch
        >>> nearest_rotation(2 * torch.eye(3)) + 0.0
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]])
    """
    require_trailing_shape("matrix", matrix, 3, 3)
    require_floating(matrix=matrix)
    flat = for_computation(matrix).reshape(prod(matrix.shape[:-2]), 3, 3)
    return _nearest_rotation(flat).reshape(matrix.shape).to(matrix.dtype)


def _alignment(
    source: Tensor, target: Tensor, weights: Tensor | None, *, scaled: bool
) -> Similarity:
    require_trailing_shape("source", source, "points", "d")
    require_trailing_shape("target", target, "points", source.shape[-1])
    require_same_size("points", source=source.shape[-2], target=target.shape[-2])
    require_floating(source=source, target=target)
    leading = {"source": source.shape[:-2], "target": target.shape[:-2]}
    if weights is not None:
        require_trailing_shape("weights", weights, source.shape[-2])
        require_floating(source=source, weights=weights)
        leading["weights"] = weights.shape[:-1]
    batch = broadcast_axes(**leading)
    rotation, translation, scale = align(
        _as_items(source, batch, 2),
        _as_items(target, batch, 2),
        None if weights is None else _as_items(weights, batch, 1),
        scaled=scaled,
    )
    dtype, d = source.dtype, source.shape[-1]
    return Similarity(
        rotation.reshape(*batch, d, d).to(dtype),
        translation.reshape(*batch, d).to(dtype),
        scale.reshape(batch).to(dtype),
    )


def _as_items(tensor: Tensor, batch: tuple[int, ...], trailing: int) -> Float[Tensor, "n ..."]:
    """Broadcast the leading axes and make them one."""
    own = tensor.shape[-trailing:]
    return for_computation(tensor).expand(*batch, *own).reshape(prod(batch), *own)
