"""Many points, solved a block at a time."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

BLOCK = 32_768
"""Points in a block, so that what a solver needs for them stays in the cache."""

Solved = tuple[Tensor, Tensor]
"""Coordinates, and which of them are valid."""


def solve_points(
    solve: Callable[[Tensor], Solved],
    points: Float[Tensor, "*batch views points d"],
    *,
    shared_lenses: bool,
) -> tuple[Float[Tensor, "*batch views points e"], Bool[Tensor, "*batch views points"]]:
    """Solve for every point, where one does not depend on another.

    Args:
        solve: What to do with a block of points.
        points: The points.
        shared_lenses: Whether all frames are seen through the same lenses: then each view's
            points of all frames make one long row.

    Returns:
        What `solve` returns for all points at once.
    """
    # A compiler fuses the steps by itself, and would unroll the loop over blocks.
    if points.numel() <= BLOCK * points.shape[-1] or torch.compiler.is_compiling():
        return solve(points)
    if not shared_lenses or points.ndim == 3:  # noqa: PLR2004 - views, points, coordinate
        return _in_blocks(solve, points)
    frames_points = points.shape[:-3] + points.shape[-2:-1]
    coordinates, valid = _in_blocks(solve, points.movedim(-3, 0).flatten(1, -2))
    return (
        coordinates.unflatten(1, frames_points).movedim(0, -3),
        valid.unflatten(1, frames_points).movedim(0, -2),
    )


def _in_blocks(solve: Callable[[Tensor], Solved], points: Tensor) -> Solved:
    rows = points.numel() // (points.shape[-1] * points.shape[-2])
    blocks = [solve(block) for block in points.split(max(1, BLOCK // rows), dim=-2)]
    coordinates, valid = zip(*blocks, strict=True)
    return torch.cat(coordinates, dim=-2), torch.cat(valid, dim=-1)
