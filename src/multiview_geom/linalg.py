"""The small batched decompositions: closed-form, finite gradients."""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._validation import (
    for_computation,
    require_floating,
    require_trailing_shape,
)


def smallest_eigenvector(symmetric: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch d"]:
    """Find the unit vector that a symmetric matrix stretches least.

    Args:
        symmetric: Symmetric matrices, 3x3 or 4x4.

    Returns:
        The eigenvector of the smallest eigenvalue, its largest component positive.

    Raises:
        ValueError: If a matrix is neither 3x3 nor 4x4.

    Example:
        >>> smallest_eigenvector(torch.tensor([3.0, 1.0, 2.0]).diag())
        tensor([0., 1., 0.])
    """
    size = symmetric.shape[-1] if symmetric.ndim else 0
    require_trailing_shape("symmetric", symmetric, *((4, 4) if size == 4 else (3, 3)))  # noqa: PLR2004
    require_floating(symmetric=symmetric)
    matrix = for_computation(symmetric)
    values, vectors = torch.linalg.eigh(matrix.detach())
    lowest = vectors[..., 0]
    sign = lowest.gather(-1, lowest.abs().argmax(dim=-1, keepdim=True)).sign()
    lowest = lowest * sign
    gaps = values[..., :1] - values[..., 1:]
    others = vectors[..., 1:]
    change = (others.mT @ matrix @ lowest[..., None])[..., 0]
    inverse_gaps = torch.where(gaps < 0, 1 / torch.where(gaps < 0, gaps, 1.0), 0.0)
    step = (others @ (inverse_gaps * (change - change.detach()))[..., None])[..., 0]
    eigenvector: Tensor = lowest + step
    return eigenvector.to(symmetric.dtype)
