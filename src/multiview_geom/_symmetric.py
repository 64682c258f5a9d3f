"""Symmetric 3x3 matrices by their six entries, one matrix per point, points last in memory."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Symmetric(NamedTuple):
    """Symmetric 3x3 matrices; rows go round, so the next index and the one after are slices.

    Attributes:
        diagonal: The entries (0, 0), (1, 1), (2, 2) and again from the start.
        opposite: The entries (1, 2), (2, 0), (0, 1) and again: each faces the diagonal's
            entry of the same index.
    """

    diagonal: Float[Tensor, "rows *points"]
    opposite: Float[Tensor, "more_rows *points"]

    def minus(self, shift: Float[Tensor, "*points"]) -> "Symmetric":
        """Take a multiple of the identity away."""
        return Symmetric(self.diagonal - shift, self.opposite)

    def times(self, vector: Float[Tensor, "3 *points"]) -> Float[Tensor, "3 *points"]:
        """Multiply a vector."""
        x, y, z = vector
        xx, yy, zz = self.diagonal[:3]
        yz, zx, xy = self.opposite[:3]
        first = torch.addcmul(torch.addcmul(xx * x, xy, y), zx, z)
        second = torch.addcmul(torch.addcmul(yy * y, yz, z), xy, x)
        third = torch.addcmul(torch.addcmul(zz * z, zx, x), yz, y)
        return torch.stack([first, second, third])

    def adjugate(self) -> tuple["Symmetric", Float[Tensor, "*points"]]:
        """Return the matrix of cofactors, and the determinant; five diagonal rows are needed."""
        diagonal, opposite = self
        facing = torch.addcmul(diagonal[1:4] * diagonal[2:5], opposite[:3], opposite[:3], value=-1)
        beside = torch.addcmul(opposite[1:4] * opposite[2:5], diagonal[:3], opposite[:3], value=-1)
        determinant = diagonal[0] * facing[0]
        determinant = torch.addcmul(determinant, opposite[1], beside[1])
        determinant = torch.addcmul(determinant, opposite[2], beside[2])
        return Symmetric(facing, beside), determinant

    def full(self) -> list[list[Float[Tensor, "*points"]]]:
        """Return the nine entries, row by row."""
        xx, yy, zz = self.diagonal[:3]
        yz, zx, xy = self.opposite[:3]
        return [[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]]

    def trace(self) -> Float[Tensor, "*points"]:
        """Sum the eigenvalues."""
        return self.diagonal[0] + self.diagonal[1] + self.diagonal[2]


def inner(left: Float[Tensor, "3 *points"], right: Float[Tensor, "3 *points"]) -> Tensor:
    """Multiply two vectors point by point."""
    product = torch.addcmul(left[0] * right[0], left[1], right[1])
    return torch.addcmul(product, left[2], right[2])
