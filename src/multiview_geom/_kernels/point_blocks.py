"""Many points, solved a block at a time."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 65_536
"""Points in a block, so that what a solver needs for them stays in the cache."""

Solver = Callable[[Tensor], tuple[Tensor, ...]]
"""Takes points, and returns what it finds with the same axes up to that of the points."""


def solve_points(
    solve: Solver, points: Float[Tensor, "*batch views points d"], *, shared_lenses: bool
) -> tuple[Tensor, ...]:
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


def equal_share(whole: int, most: int) -> int:
    """Tell how many make a block, where all blocks are equal and none has more than the most."""
    blocks = -(-whole // most)
    return -(-whole // blocks)


def in_graph() -> bool:
    """Tell whether what is done now is traced, by a compiler or for a derivative."""
    return torch.compiler.is_compiling() or torch.is_grad_enabled()


def looked_at(values: Tensor) -> bool:
    """Tell whether a look at the values costs nothing: no accelerator waits, no graph is traced."""
    return values.device.type == "cpu" and not in_graph()
