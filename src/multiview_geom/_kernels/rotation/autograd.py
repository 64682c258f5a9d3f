"""The nearest rotation as one differentiable step: blocks of matrices, implicit derivatives.

Turning R by ω changes the skew part of S = Rᵀ M by (tr(S) I - S) ω. That is self-adjoint, so one
function is both the forward and the reverse derivative, and nothing but tensor operations of M
and R enters: the second derivative is right.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.point_blocks import equal_share, in_graph
from multiview_geom._kernels.rotation.reference import in_threes, inverse_at_best, nearest_entries
from multiview_geom._kernels.symmetric import Entries, Symmetric, in_rows, plus_product

MATRICES_IN_BLOCK, MATRICES_IN_ACCELERATOR_BLOCK = 131_072, 1_048_576

ENTRIES, ENTRIES_OF_INVERSE = 9, 6


def rotation_nearest(matrices: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3 3"]:
    """Find the nearest rotations."""
    differentiated = torch.is_grad_enabled() and matrices.requires_grad
    if not torch.compiler.is_compiling():
        return NearestRotation.apply(matrices, differentiated)[0]  # type: ignore[no-any-return, no-untyped-call]
    if differentiated:
        return NearestRotationInGraph.apply(matrices)  # type: ignore[no-any-return, no-untyped-call]
    return NearestRotationInGraph.forward(matrices)


class NearestRotationInGraph(torch.autograd.Function):
    """Value and reverse derivative: what a compiler can trace."""

    @staticmethod
    def forward(matrices: Tensor) -> Tensor:
        """Find the nearest rotations."""
        return _joined(nearest_entries, matrices)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ANN401 - autograd's own types
        """Keep the matrices and their rotations."""
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - autograd's own types
        """Return the implicit gradient."""
        return _joined(_turned, *ctx.saved_tensors, gradient)


class NearestRotation(torch.autograd.Function):
    """The same with the forward derivative and a rule for `vmap`, which no compiler traces.

    The inverse that turns a gradient is found on the way to the rotation, and kept if asked.
    """

    @staticmethod
    def forward(matrices: Tensor, differentiated: bool) -> tuple[Tensor, Tensor]:  # noqa: FBT001 - autograd passes positions
        """Find the nearest rotations, block by block."""
        inverses = matrices.new_empty(ENTRIES_OF_INVERSE * differentiated, len(matrices)).T
        solve = partial(nearest_entries, with_inverse=differentiated)
        return _joined(solve, matrices, beside=inverses), inverses

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, bool], output: tuple[Tensor, Tensor]) -> None:  # noqa: ANN401 - autograd's own types
        """Keep the matrices, their rotations, and what turns a gradient."""
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(inputs[0], *output)
        ctx.save_for_forward(inputs[0], output[0])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - autograd's own types
        """Return the implicit gradient, of which only a recorded one needs the matrices."""
        matrices, rotations, inverses = ctx.saved_tensors
        if in_graph() or inverses.numel() == 0:
            return _joined(_turned, matrices, rotations, gradient), None
        return _joined(_turned_by, inverses, rotations, gradient), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> tuple[Tensor, None]:  # noqa: ANN401 - autograd's own types
        """Return how the rotations turn when the matrices move."""
        return _joined(_turned, *ctx.saved_tensors, tangent), None

    @staticmethod
    def vmap(
        info: Any,  # noqa: ANN401 - autograd's own types
        in_dims: tuple[int, None],
        matrices: Tensor,
        differentiated: bool,  # noqa: FBT001 - autograd passes positions
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        """Make the mapped axis more matrices."""
        maps = matrices.movedim(in_dims[0], 0)
        found = NearestRotation.apply(maps.flatten(0, 1), differentiated)  # type: ignore[no-untyped-call]
        rotations, inverses = (each.unflatten(0, maps.shape[:2]) for each in found)
        return (rotations, inverses), (0, 0)


def _joined(
    solve: Callable[..., list[Tensor]],
    *tables: Float[Tensor, "n ..."],
    beside: Float[Tensor, "n k"] | None = None,
) -> Float[Tensor, "n 3 3"]:
    """Solve block by block, and put the nine rows that come side by side; more rows go beside."""
    last = tables[-1]
    if len(last) == 0 or in_graph():
        rows = solve(*tables)
        return torch.stack([row.to(last.dtype) for row in rows], dim=-1).reshape(last.shape)
    cpu = last.device.type == "cpu"
    size = equal_share(len(last), MATRICES_IN_BLOCK if cpu else MATRICES_IN_ACCELERATOR_BLOCK)
    entries = last.new_empty(len(last), ENTRIES)
    results = (entries,) if beside is None else (entries, beside)
    targets, blocks = (
        zip(*(table.split(size) for table in those), strict=True) for those in (results, tables)
    )
    for target, block in zip(targets, blocks, strict=True):
        columns = [column for part in target for column in part.unbind(-1)]
        for column, row in zip(columns, solve(*block), strict=True):
            column.copy_(row)
    return entries.reshape(last.shape)


def _turned(
    matrices: Float[Tensor, "n 3 3"],
    rotations: Float[Tensor, "n 3 3"],
    change: Float[Tensor, "n 3 3"],
) -> list[Float[Tensor, "n"]]:
    """Turn the rotations as a change of the matrices does; the adjoint is the same map."""
    entries, rotation, moved = (
        in_rows(tensor.flatten(1)) for tensor in (matrices, rotations, change)
    )
    return _turn(inverse_at_best(entries, rotation), rotation, moved)


def _turned_by(
    inverses: Float[Tensor, "n 6"],
    rotations: Float[Tensor, "n 3 3"],
    change: Float[Tensor, "n 3 3"],
) -> list[Float[Tensor, "n"]]:
    """The same where the inverse is known."""
    rotation, moved = (in_rows(tensor.flatten(1)) for tensor in (rotations, change))
    return _turn(Symmetric(*inverses.unbind(-1)), rotation, moved)


def _turn(inverse: Symmetric, rotation: Entries, change: Entries) -> list[Float[Tensor, "n"]]:
    x, y, z = inverse.times(_skew_of_product(rotation, change))
    return [
        plus_product(first * b, second, a, -1.0)
        for line in in_threes(rotation)
        for first, b, second, a in (
            (line[1], z, line[2], y),
            (line[2], x, line[0], z),
            (line[0], y, line[1], x),
        )
    ]


def _skew_of_product(left: Entries, right: Entries) -> list[Float[Tensor, "n"]]:
    """Return the skew part of leftᵀ right, without the rest."""
    skew = []
    for a, b in ((1, 2), (2, 0), (0, 1)):
        total = right[a] * left[b]
        total = plus_product(total, right[b], left[a], -1.0)
        for first, second in ((a + 3, b + 3), (a + 6, b + 6)):
            total = plus_product(total, right[first], left[second])
            total = plus_product(total, right[second], left[first], -1.0)
        skew.append(total)
    return skew
