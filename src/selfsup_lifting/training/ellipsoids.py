"""Ellipsoids around predicted joints: whitening matrices, covariances and their likelihood.

A matrix W whitens an error e if W e has unit variance in every direction. The network predicts W,
lower triangular with a positive diagonal; the covariance of the error is then (W^T W)^-1.
"""

import torch
from jaxtyping import Float
from torch import Tensor

# The share of the errors that an ellipsoid holds, and the quantile of the chi-squared distribution
# with three degrees of freedom at that share: the square of the ellipsoid's half-axes, in standard
# deviations.
SHARE = 0.9
CHI_SQUARED = 6.251388631170325
# A whitening matrix has so many numbers that are not zero: three on its diagonal.
NUMBERS, DIAGONAL = 6, 3
# Errors are in units of so much of the root-mean-square distance of the joints from the root: 0.1 m
# for a person, whose joints are 0.5 m away. In these units, standard deviations are between e^-3
# and e^3, elements below the diagonal, relative to it, are at most 2, and the covariance of each
# direction is at least the square of 0.03. Single precision can then invert every covariance.
UNIT_SHARE = 0.2
LARGEST_LOGARITHM, LARGEST_BELOW, LEAST_DEVIATION = 3.0, 2.0, 0.03
# Degrees of freedom of the t-distribution: large errors count less than in a normal distribution.
DEGREES = 4.0


def whitening_matrices(numbers: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Build lower triangular matrices from the outputs of the network.

    Args:
        numbers: The logarithms of the three diagonal elements, and the elements below them,
            relative to that of their row.
    """
    diagonal = _bounded(numbers[..., :DIAGONAL], LARGEST_LOGARITHM).exp()
    yx, zx, zy = _bounded(numbers[..., DIAGONAL:], LARGEST_BELOW).unbind(dim=-1)
    one, none = torch.ones_like(yx), torch.zeros_like(yx)
    rows = torch.stack([one, none, none, yx, one, none, zx, zy, one], dim=-1)
    return diagonal[..., None] * rows.unflatten(-1, (3, 3))  # type: ignore[no-any-return]


def covariances(whitening: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the covariance of the errors that a matrix whitens, and at least a small one."""
    inverse = torch.linalg.inv(whitening)
    least = LEAST_DEVIATION**2 * torch.eye(3).to(inverse)
    return inverse @ inverse.mT + least  # type: ignore[no-any-return]


def negative_log_likelihood(
    errors: Float[Tensor, "*batch 3"], whitening: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch"]:
    """Return the negative logarithm of a t-distribution's density, without its constant.

    Args:
        errors: The errors.
        whitening: A matrix with a positive determinant for each. At the minimum over many errors,
            it whitens them up to a factor.
    """
    squared = (whitening @ errors[..., None])[..., 0].square().sum(dim=-1)
    a, b, c = whitening.unbind(dim=-2)
    determinant = (torch.linalg.cross(a, b) * c).sum(dim=-1)
    dimensions = errors.shape[-1]
    spread = (squared / DEGREES).log1p()
    return (DEGREES + dimensions) / 2 * spread - determinant.log()  # type: ignore[no-any-return]


def squared_distances(
    errors: Float[Tensor, "*batch 3"], covariance: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch"]:
    """Return the squared Mahalanobis distance of each error, in standard deviations.

    Args:
        errors: The errors [m]; NaN where unknown.
        covariance: Their covariances [m^2]; zero for a joint that has no error by definition.

    Returns:
        The squared distances; NaN where the error is unknown or the covariance is zero.
    """
    known = (covariance.diagonal(dim1=-2, dim2=-1) > 0).all(dim=-1)
    usable = torch.where(known[..., None, None], covariance, torch.eye(3).to(covariance))
    errors = errors.double()
    solved = torch.linalg.solve(usable.double(), errors[..., None])[..., 0]
    squared = (errors * solved).sum(dim=-1).to(covariance.dtype)
    return torch.where(known, squared, torch.nan)


def _bounded(numbers: Float[Tensor, "..."], largest: float) -> Float[Tensor, "..."]:
    """Return the numbers where they are small, and smoothly less than a bound elsewhere."""
    return largest * (numbers / largest).tanh()
