"""Symmetric 3x3 matrices by their six entries, one matrix per point, points last in memory.

Every entry is a row of memory of its own: a compiler fuses what is done to rows of one length
into one loop. Choices are made by factors of zero and one: `torch.where` takes twenty times as
long as a product on a processor.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.point_blocks import in_graph

Rows = Float[Tensor, "_ *#points"] | Sequence[Float[Tensor, "*#points"]]
"""The coordinates of vectors, in one piece or not."""


Entries = list[Float[Tensor, "n"]]
"""3x3 matrices by their nine entries, row by row, one row of memory per entry."""


class Symmetric(NamedTuple):
    """Symmetric 3x3 matrices, entry by entry."""

    xx: Float[Tensor, "*points"]
    yy: Float[Tensor, "*points"]
    zz: Float[Tensor, "*points"]
    yz: Float[Tensor, "*points"]
    zx: Float[Tensor, "*points"]
    xy: Float[Tensor, "*points"]

    def minus(self, shift: Float[Tensor, "*points"]) -> "Symmetric":
        """Take a multiple of the identity away."""
        return Symmetric(self.xx - shift, self.yy - shift, self.zz - shift, *self[3:])

    def times(self, vector: Rows) -> list[Float[Tensor, "*points"]]:
        """Multiply a vector."""
        return [inner(row, vector) for row in self.full()]

    def adjugate(self) -> tuple["Symmetric", Float[Tensor, "*points"]]:
        """Return the matrix of cofactors, and the determinant."""
        xx, yy, zz, yz, zx, xy = self
        cofactors = Symmetric(
            plus_product(yy * zz, yz, yz, -1.0),
            plus_product(zz * xx, zx, zx, -1.0),
            plus_product(xx * yy, xy, xy, -1.0),
            plus_product(zx * xy, xx, yz, -1.0),
            plus_product(xy * yz, yy, zx, -1.0),
            plus_product(yz * zx, zz, xy, -1.0),
        )
        return cofactors, inner((xx, xy, zx), (cofactors.xx, cofactors.xy, cofactors.zx))

    def full(self) -> list[list[Float[Tensor, "*points"]]]:
        """Return the nine entries, row by row."""
        xx, yy, zz, yz, zx, xy = self
        return [[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]]

    def trace(self) -> Float[Tensor, "*points"]:
        """Sum the eigenvalues."""
        return self.xx + self.yy + self.zz


def in_rows(
    table: Float[Tensor, "*points k"], dtype: torch.dtype | None = None
) -> list[Float[Tensor, "*points"]]:
    """Gather what lies side by side into rows, of another precision if asked."""
    if torch.compiler.is_compiling():
        # One table of rows is what a compiler keeps; it would gather single rows again and again.
        return list(torch.stack(table.unbind(-1)).to(dtype or table.dtype))
    return [column.to(dtype or table.dtype).contiguous() for column in table.unbind(-1)]


def scaled(vector: Rows, factor: Float[Tensor, "*points"]) -> list[Float[Tensor, "*points"]]:
    """Multiply a vector with a number, point by point."""
    return [row * factor for row in vector]


def added(vector: Rows, other: Rows, factor: Tensor | None = None) -> list[Tensor]:
    """Add another vector, or a multiple of it."""
    if factor is None:
        return [row + more for row, more in zip(vector, other, strict=True)]
    return [torch.addcmul(row, more, factor) for row, more in zip(vector, other, strict=True)]


def less(vector: Rows, other: Rows, factor: Tensor) -> list[Float[Tensor, "*points"]]:
    """Take a multiple of another vector away."""
    pairs = zip(vector, other, strict=True)
    return [torch.addcmul(row, more, factor, value=-1) for row, more in pairs]


def inner(left: Rows, right: Rows) -> Float[Tensor, "*points"]:
    """Multiply two vectors of three coordinates point by point."""
    product = plus_product(left[0] * right[0], left[1], right[1])
    return plus_product(product, left[2], right[2])


def plus_product(
    total: Float[Tensor, "*points"],
    left: Float[Tensor, "*points"],
    right: Float[Tensor, "*points"],
    value: float = 1.0,
) -> Float[Tensor, "*points"]:
    """Add a multiple of a product to numbers that nobody else needs.

    In place, unless derivatives are recorded: torch maps no such step over many gradients.
    """
    if in_graph():
        return torch.addcmul(total, left, right, value=value)
    return total.addcmul_(left, right, value=value)


def crossed(left: Sequence[Tensor], right: Sequence[Tensor]) -> list[Float[Tensor, "n"]]:
    (a, b, c), (x, y, z) = left, right
    quadruples = ((b, z, c, y), (c, x, a, z), (a, y, b, x))
    return [plus_product(one * two, three, four, -1.0) for one, two, three, four in quadruples]


def square_of(columns: Sequence[Entries]) -> Symmetric:
    """Multiply the transpose of a matrix with the matrix, which is given by its columns."""
    x, y, z = columns
    return Symmetric(*(inner(*pair) for pair in ((x, x), (y, y), (z, z), (y, z), (z, x), (x, y))))
