"""The vector that a nearly singular symmetric 4x4 matrix stretches least, from its cofactors."""

import torch
from jaxtyping import Float
from torch import Tensor

Upper = list[list[Tensor]]
"""The upper triangle of symmetric 4x4 matrices, row by row, one row of memory per entry."""


def least_stretched(upper: Upper) -> Float[Tensor, "4 n"]:
    """Find the unit vector: a column of the square of the cofactors, which has few digits less."""
    columns = cofactors(upper)
    w, x, y, z = largest_column(columns)
    rows = [
        torch.addcmul(torch.addcmul(torch.addcmul(a * w, b, x), c, y), d, z)
        for a, b, c, d in columns
    ]
    return unit(torch.stack(rows))


def cofactors(upper: Upper) -> list[list[Tensor]]:
    """Return the cofactors of symmetric 4x4 matrices, in full."""
    (a, b, c, d), (e, f, g), (h, i), (j,) = upper
    # The 2x2 minors of the last two rows, and of the first two.
    l01, l02, l03 = c * g - f * d, c * i - h * d, c * j - i * d
    l12, l13, l23 = f * i - h * g, f * j - i * g, h * j - i * i
    u01, u02, u03 = a * e - b * b, a * f - c * b, a * g - d * b
    u12, u13 = b * f - c * e, b * g - d * e
    c01 = f * l03 - b * l23 - g * l02
    c02 = b * l13 - e * l03 + g * l01
    c03 = e * l02 - b * l12 - f * l01
    c12 = b * l03 - a * l13 - d * l01
    c13 = a * l12 - b * l02 + c * l01
    c23 = g * u02 - d * u12 - i * u01
    c00 = e * l23 - f * l13 + g * l12
    c11 = a * l23 - c * l03 + d * l02
    c22 = d * u13 - g * u03 + j * u01
    c33 = c * u12 - f * u02 + h * u01
    return [[c00, c01, c02, c03], [c01, c11, c12, c13], [c02, c12, c22, c23], [c03, c13, c23, c33]]


def largest_column(columns: list[list[Tensor]]) -> Float[Tensor, "k n"]:
    """Take the column with the largest diagonal entry, at unit length."""
    chosen, largest = columns[0], columns[0][0]
    for index, column in enumerate(columns):
        better = column[index] > largest
        chosen = [torch.where(better, new, old) for new, old in zip(column, chosen, strict=True)]
        largest = torch.maximum(column[index], largest)
    return unit(torch.stack(chosen))


def unit(vector: Float[Tensor, "k n"]) -> Float[Tensor, "k n"]:
    """Scale vectors to unit length; leave zero at zero."""
    length = vector.square().sum(dim=0).sqrt()
    return vector / torch.where(length > 0, length, 1.0)


def wide(matrices: Tensor) -> torch.dtype:
    """Choose the dtype to compute in; one kind of accelerator has no double precision."""
    return torch.float32 if matrices.device.type == "mps" else torch.float64
