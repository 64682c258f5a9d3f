"""The small batched decompositions: finite gradients at any gap between eigenvalues."""

from math import prod

from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.rotation.autograd import smallest_eigenvector as _smallest_eigenvector
from multiview_geom._validation import (
    for_computation,
    require_floating,
    require_tensor,
    require_trailing_shape,
)


def smallest_eigenvector(symmetric: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch d"]:
    """Compute the unit eigenvector of the smallest eigenvalue.

    Args:
        symmetric: Symmetric matrices, 3x3 or 4x4; the symmetric part is taken.

    Returns:
        The eigenvector of the smallest (most negative) eigenvalue, its largest component
        positive.

    Raises:
        ValueError: If a matrix is neither 3x3 nor 4x4.

    Note:
        If the smallest eigenvalue is a double one, a unit vector of its eigenspace is returned,
        and only the gradient in directions that turn the eigenspace is passed. Gaps between the
        other eigenvalues do not matter. float32 is computed in float64.

    Reference:
        Golub and Van Loan, Matrix Computations (4th ed.), sec. 8.5: Jacobi methods.

    Example:
        >>> import torch
        >>> smallest_eigenvector(torch.tensor([3.0, 1.0, 2.0]).diag()).round(decimals=4) + 0.0
        tensor([0., 1., 0.])
    """
    require_tensor("symmetric", symmetric)
    size = symmetric.shape[-1] if symmetric.ndim else 0
    require_trailing_shape("symmetric", symmetric, *(2 * (min(max(size, 3), 4),)))
    require_floating(symmetric=symmetric)
    matrices = for_computation(symmetric).reshape(prod(symmetric.shape[:-2]), size, size)
    return _smallest_eigenvector(matrices).reshape(symmetric.shape[:-1]).to(symmetric.dtype)
