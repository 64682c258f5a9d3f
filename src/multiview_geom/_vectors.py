"""Lengths and directions with safe gradients, and inverses of 3x3 matrices without division."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._validation import product


class Finite(NamedTuple):
    """Elements (points, matrices) with finite values only, and which of them were finite.

    The first half of the double-`where` trick: an element that is not finite is replaced, so that
    NaN does not reach the gradient of what all elements share. The second half is
    `torch.where(known, result, torch.nan)`.
    """

    values: Float[Tensor, "*shape"]
    known: Bool[Tensor, "*one_per_element"]
    """With the axes of an element kept, of size one."""


def replace_missing(
    elements: Float[Tensor, "*shape"], axes: int, by: Float[Tensor, "*element"] | None = None
) -> Finite:
    """Replace elements, each the last so many axes, that have a number that is not finite.

    They become zero by default.
    """
    flat = elements.detach().flatten(-axes)
    # A sum is finite if all its terms are; as a product it is several times faster than `all`.
    known = product(flat, flat.new_ones(flat.shape[-1], 1)).isfinite()
    known = known.unflatten(-1, (1,) * axes)
    return Finite(torch.where(known, elements, 0.0 if by is None else by), known)


def length(vector: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
    """Return the Euclidean norm; its gradient at zero is zero."""
    squared = vector.square().sum(dim=-1)
    # Double `where`: sqrt has an infinite slope at zero.
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), squared)


def unit(vector: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    """Return the direction of a vector; NaN, without a gradient, for zero and infinite vectors."""
    # Double `where`: a vector without a direction would turn its gradient into NaN.
    known = vector.isfinite().all(dim=-1, keepdim=True)
    finite = torch.where(known, vector, 0.0)
    norm = length(finite)[..., None]
    safe = torch.where(norm > 0, norm, 1.0)
    return torch.where(norm > 0, finite / safe, torch.nan)


def adjugate(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the inverse times the determinant, which exists for singular matrices too."""
    first, second, third = matrix.unbind(dim=-2)
    columns = (
        second.cross(third, dim=-1),
        third.cross(first, dim=-1),
        first.cross(second, dim=-1),
    )
    return torch.stack(columns, dim=-1)


def determinant(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Return the determinant as a triple product of the rows."""
    first, second, third = matrix.unbind(dim=-2)
    return (first * second.cross(third, dim=-1)).sum(dim=-1)
