"""The nearest rotation as one differentiable step: blocks of matrices, implicit derivatives.

Turning R by ω changes the skew part of S = Rᵀ M by (tr(S) I - S) ω. That is self-adjoint, so one
function is both the forward and the reverse derivative, and nothing but tensor operations of M
and R enters: the second derivative is right.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._point_blocks import equal_share, in_graph
from multiview_geom._rotation import (
    Entries,
    crossed,
    in_threes,
    nearest_entries,
    reciprocal_of_clear,
)
from multiview_geom._symmetric import in_rows, inner, plus_product, scaled

MATRICES_IN_BLOCK, MATRICES_IN_ACCELERATOR_BLOCK = 36_864, 1_048_576


def rotation_nearest(matrices: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3 3"]:
    """Find the nearest rotations."""
    if not torch.compiler.is_compiling():
        return NearestRotation.apply(matrices)  # type: ignore[no-any-return, no-untyped-call]
    if torch.is_grad_enabled() and matrices.requires_grad:
        return NearestRotationInGraph.apply(matrices)  # type: ignore[no-any-return, no-untyped-call]
    return NearestRotationInGraph.forward(matrices)


class NearestRotationInGraph(torch.autograd.Function):
    """Value and reverse derivative: what a compiler can trace."""

    @staticmethod
    def forward(matrices: Tensor) -> Tensor:
        """Find the nearest rotations, block by block."""
        return _joined(nearest_entries, matrices)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ANN401 - autograd's own types
        """Keep the matrices and their rotations."""
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - autograd's own types
        """Return the implicit gradient."""
        return _joined(_turned, *ctx.saved_tensors, gradient)


class NearestRotation(NearestRotationInGraph):
    """The same with the forward derivative and a rule for `vmap`, which no compiler traces."""

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:  # noqa: ANN401 - autograd's own types
        """Return how the rotations turn when the matrices move."""
        return _joined(_turned, *ctx.saved_tensors, tangent)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], matrices: Tensor) -> tuple[Tensor, int]:  # noqa: ANN401 - autograd's own types
        """Make the mapped axis more matrices."""
        rows = matrices.movedim(in_dims[0], 0)
        return rotation_nearest(rows.flatten(0, 1)).reshape(rows.shape), 0


def _joined(
    solve: Callable[..., list[Tensor]], *matrices: Float[Tensor, "n 3 3"]
) -> Float[Tensor, "n 3 3"]:
    """Solve block by block, and put the nine rows that come side by side."""
    first = matrices[0]
    if len(first) == 0 or in_graph():
        rows = solve(*matrices)
        return torch.stack([row.to(first.dtype) for row in rows], dim=-1).reshape(first.shape)
    cpu = first.device.type == "cpu"
    size = equal_share(len(first), MATRICES_IN_BLOCK if cpu else MATRICES_IN_ACCELERATOR_BLOCK)
    table = matrices[-1].new_empty(len(first), 9)
    blocks = (table, *matrices)
    for target, *block in zip(*(each.split(size) for each in blocks), strict=True):
        for column, row in zip(target.unbind(-1), solve(*block), strict=True):
            column.copy_(row)
    return table.reshape(first.shape)


def _turned(
    matrices: Float[Tensor, "n 3 3"],
    rotations: Float[Tensor, "n 3 3"],
    change: Float[Tensor, "n 3 3"],
) -> list[Float[Tensor, "n"]]:
    """Turn the rotations as a change of the matrices does; the adjoint is the same map."""
    entries, rotation, moved = (
        in_rows(tensor.flatten(1)) for tensor in (matrices, rotations, change)
    )
    x, y, z = _turn_at_best(entries, rotation, _skew_of_product(rotation, moved))
    return [
        plus_product(first * b, second, a, -1.0)
        for line in in_threes(rotation)
        for first, b, second, a in (
            (line[1], z, line[2], y),
            (line[2], x, line[0], z),
            (line[0], y, line[1], x),
        )
    ]


def _turn_at_best(entries: Entries, rotation: Entries, vector: list[Tensor]) -> list[Tensor]:
    """Solve (tr(S) I - S) ω = vector at the nearest rotation, where S = Rᵀ M = √(Mᵀ M).

    With λ = tr(S), the inverse is (Mᵀ M + κ) / ζ, where κ = (λ² - ‖M‖²)/2 and ζ = κ λ - det(M):
    found for M in a size whose cubes neither over- nor underflow.
    """
    size = _sum_of_products(entries, rotation)
    shrink = size.detach().abs().clamp(min=torch.finfo(size.dtype).tiny).reciprocal()
    entries, size = scaled(entries, shrink), size * shrink
    rows, columns = in_threes(entries), [entries[column::3] for column in range(3)]
    first, second, third = rows
    mean = (size * size - _sum_of_products(entries, entries)) / 2
    determinant = inner(first, crossed(second, third))
    gaps = mean * size - determinant
    image = [inner(row, vector) for row in rows]
    back = [inner(column, image) for column in columns]
    solved = [torch.addcmul(row, mean, old) for row, old in zip(back, vector, strict=True)]
    return scaled(solved, reciprocal_of_clear(gaps, 2 * size) * shrink)


def _sum_of_products(left: Entries, right: Entries) -> Float[Tensor, "n"]:
    """Multiply matrices entry by entry, and add up."""
    first, *others = (inner(a, b) for a, b in zip(in_threes(left), in_threes(right), strict=True))
    return first + others[0] + others[1]


def _skew_of_product(left: Entries, right: Entries) -> list[Float[Tensor, "n"]]:
    """Return the skew part of leftᵀ right, without the rest."""
    rows = list(zip(in_threes(left), in_threes(right), strict=True))
    parts = [crossed(yours, mine) for mine, yours in rows]
    return [x + y + z for x, y, z in zip(*parts, strict=True)]
