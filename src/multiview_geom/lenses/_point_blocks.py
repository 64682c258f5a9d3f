"""Many points, solved a block at a time: the working memory of a block stays in the cache."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 65_536
"""Largest number of points in a block."""

Solver = Callable[[Tensor], tuple[Tensor, ...]]
"""Takes points; returns results with the same axes up to that of the points."""


def solve_points(
    solve: Solver, points: Float[Tensor, "*batch views points d"], *, shared_lenses: bool
) -> tuple[Tensor, ...]:
    """Apply a function of points, each independent of the others, block by block.

    Args:
        solve: The function of a block of points.
        points: The points.
        shared_lenses: Whether all frames have the same lenses. Then the points of all frames of
            a view are one long row.

    Returns:
        The results for all points.
    """
    # A compiler fuses the steps itself, and would unroll the loop over blocks. It is asked first:
    # a comparison of sizes would fix the number of frames of an exported program.
    if torch.compiler.is_compiling() or points.numel() <= BLOCK * points.shape[-1]:
        return solve(points)
    frames = points.shape[:-3]
    if not shared_lenses or not frames:
        return _in_blocks(solve, points)
    rows = points.movedim(-3, 0).flatten(1, -2)
    return tuple(
        found.unflatten(1, (*frames, points.shape[-2])).movedim(0, len(frames))
        for found in _in_blocks(solve, rows)
    )


def _in_blocks(solve: Solver, points: Tensor) -> tuple[Tensor, ...]:
    along = points.ndim - 2
    rows = points.shape[:along].numel()
    blocks = [solve(block) for block in points.split(max(1, BLOCK // rows), dim=along)]
    return tuple(torch.cat(parts, dim=along) for parts in zip(*blocks, strict=True))
