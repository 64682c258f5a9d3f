"""The vectors that symmetric 4x4 and 3x3 matrices stretch least, from their cofactors."""

from collections.abc import Sequence
from math import tau

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.symmetric import Symmetric, inner, plus_product, scaled

# How far the eigenvalue is set left of the root, relative to the matrix less its mean eigenvalue:
# cofactors at a tie stay above their round-off.
LIFT = 1e-6

Upper = list[list[Tensor]]
"""The upper triangle of symmetric 4x4 matrices, row by row, one row of memory per entry."""


def least_stretched(upper: Upper) -> list[Float[Tensor, "n"]]:
    """Find the unit vector: a column of the square of the cofactors, which has few digits less."""
    columns = cofactors(upper)
    w, x, y, z = largest_column(columns)
    return unit([(a * w).addcmul_(b, x).addcmul_(c, y).addcmul_(d, z) for a, b, c, d in columns])


def least_axis(symmetric: Symmetric) -> list[Float[Tensor, "n"]]:
    """Find the unit vector of the smallest eigenvalue, of symmetric 3x3 matrices of any spectrum.

    From the closed form, which at a double root is off by a root of round-off, and a step of
    Rayleigh quotient iteration, both of what is left without the mean eigenvalue.

    Reference:
        Smith, Eigenvalues of a symmetric 3x3 matrix, 1961.
    """
    even = symmetric.minus(symmetric.trace() / 3)
    squared = (inner(even[:3], even[:3]) + 2 * inner(even[3:], even[3:])) / 6
    shrink = squared.clamp(min=torch.finfo(squared.dtype).tiny).rsqrt()
    even = Symmetric(*scaled(even, shrink))
    half = even.adjugate()[1] / 2
    smallest = 2 * (half.clamp(-1, 1).acos() / 3 + tau / 3).cos()
    axis = largest_column(even.minus(smallest - LIFT).adjugate()[0].full())
    quotient = inner(axis, even.times(axis))
    better = even.minus(quotient).adjugate()[0].times(axis)
    # At a tie nothing is left of it: then the first will do.
    blurred = (torch.finfo(squared.dtype).eps - inner(better, better)).sign().clamp(min=0)
    return unit([new + blurred * old for new, old in zip(better, axis, strict=True)])


def cofactors(upper: Upper) -> list[list[Tensor]]:
    """Return the cofactors of symmetric 4x4 matrices, in full."""
    (a, b, c, d), (e, f, g), (h, i), (j,) = upper
    # The 2x2 minors of the last two rows, and of the first two.
    l01, l02, l03 = _crossed(c, g, f, d), _crossed(c, i, h, d), _crossed(c, j, i, d)
    l12, l13, l23 = _crossed(f, i, h, g), _crossed(f, j, i, g), _crossed(h, j, i, i)
    u01, u02, u03 = _crossed(a, e, b, b), _crossed(a, f, c, b), _crossed(a, g, d, b)
    u12, u13 = _crossed(b, f, c, e), _crossed(b, g, d, e)
    c01 = plus_product(_crossed(f, l03, b, l23), g, l02, -1.0)
    c02 = plus_product(_crossed(b, l13, e, l03), g, l01)
    c03 = plus_product(_crossed(e, l02, b, l12), f, l01, -1.0)
    c12 = plus_product(_crossed(b, l03, a, l13), d, l01, -1.0)
    c13 = plus_product(_crossed(a, l12, b, l02), c, l01)
    c23 = plus_product(_crossed(g, u02, d, u12), i, u01, -1.0)
    c00 = plus_product(_crossed(e, l23, f, l13), g, l12)
    c11 = plus_product(_crossed(a, l23, c, l03), d, l02)
    c22 = plus_product(_crossed(d, u13, g, u03), j, u01)
    c33 = plus_product(_crossed(c, u12, f, u02), h, u01)
    return [[c00, c01, c02, c03], [c01, c11, c12, c13], [c02, c12, c22, c23], [c03, c13, c23, c33]]


def _crossed(first: Tensor, second: Tensor, third: Tensor, fourth: Tensor) -> Tensor:
    return plus_product(first * second, third, fourth, -1.0)


def largest_column(columns: list[list[Tensor]]) -> list[Float[Tensor, "n"]]:
    """Take the column with the largest diagonal entry, the first of those, at unit length."""
    diagonal = [column[index] for index, column in enumerate(columns)]
    largest = diagonal[0]
    for entry in diagonal[1:]:
        largest = torch.maximum(largest, entry)
    # Factors of zero and one: choosing by torch.where takes twenty times as long.
    left = torch.ones_like(largest)
    rows = [torch.zeros_like(largest)] * len(columns)
    for entry, column in zip(diagonal, columns, strict=True):
        here = (entry - largest).sign_().add_(1).mul_(left)
        left = left - here
        rows = [torch.addcmul(row, here, new) for row, new in zip(rows, column, strict=True)]
    return unit(rows)


def unit(vector: Sequence[Float[Tensor, "n"]]) -> list[Float[Tensor, "n"]]:
    """Scale vectors to unit length; leave zero at zero."""
    squared = vector[0] * vector[0]
    for row in vector[1:]:
        squared = torch.addcmul(squared, row, row)
    return scaled(vector, squared.clamp(min=torch.finfo(squared.dtype).tiny).rsqrt())


def wide(matrices: Tensor) -> torch.dtype:
    """Choose the dtype to compute in; one kind of accelerator has no double precision."""
    return torch.float32 if matrices.device.type == "mps" else torch.float64
