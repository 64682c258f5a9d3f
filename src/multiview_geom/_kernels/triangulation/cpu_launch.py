"""How tensors go through the loops that triangulate on a processor."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from multiview_geom._kernels import engines
from multiview_geom._kernels.differentiable import Given, Wanted
from multiview_geom._kernels.triangulation.cpu_blocks import Sightings
from multiview_geom._vectors import determinant

# Ranges of points that threads share end at multiples of this, so that the sums of the gradient
# in the projections do not depend on the number of threads.
CHUNK = 4_096


def run(module: str, loop: str, inputs: Sequence[Given], *rest: object) -> None:
    """Run a loop over the points of all frames, in as many threads as torch has.

    Args:
        module: Where the loop is.
        loop: Its name.
        inputs: Projections, pixels, and weights or None.
        rest: The arguments that follow the range of points.
    """
    start, given = engines.numba_functions(module)[loop], _arguments(*inputs)
    points, chunk = _sizes(*inputs)
    engines.split(
        lambda first, last: start(*given, (first, last, chunk), *rest), points, step=chunk
    )


def run_again(
    module: str, loop: str, inputs: Sequence[Given], doubts: np.ndarray, *rest: object
) -> None:
    """Run a loop over the points in doubt, if there are any; see `run`."""
    # Loops get spans of this list, not of points.
    listed = np.flatnonzero(doubts)
    if not len(listed):
        return
    start, given = engines.numba_functions(module)[loop], _arguments(*inputs)
    points, chunk = _sizes(*inputs)

    # Ranges of points, as in `run`: so no two threads add to the gradient's sum of one chunk.
    def work(first: int, last: int) -> None:
        low, high = np.searchsorted(listed, (first, last))
        start(*given, (low, high, chunk), listed, *rest)

    engines.split(work, points, step=chunk)


def gradients_to_fill(
    inputs: Sequence[Given], wanted: Wanted
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[np.ndarray, ...]]:
    """Return tensors for the gradients in pixels, weights and projections, and as flat arrays.

    The last is a sum for each chunk. Those of weights and projections are empty unless wanted.
    """
    projections, pixels, _ = inputs
    points, chunk = _sizes(*inputs)
    chunks = -(-points // chunk) if len(projections) == 1 else len(projections)
    of_pixels = pixels.new_empty(pixels.shape)
    of_weights = pixels.new_empty(pixels.shape[:-1] if wanted[2] else (0,))
    sums = torch.zeros(chunks if wanted[0] else 0, *projections.shape[1:], dtype=torch.float64)
    arrays = (of_pixels.view(-1).numpy(), of_weights.view(-1).numpy(), sums.numpy())
    return (of_pixels, of_weights, sums), arrays


def in_order_of_inputs(
    inputs: Sequence[Given], filled: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients in projections, pixels and weights."""
    of_pixels, of_weights, sums = filled
    of_rig = sums.sum(dim=0, keepdim=True) if len(inputs[0]) == 1 else sums
    return of_rig.to(of_pixels.dtype), of_pixels, of_weights


def undo_scale(projections: Tensor, gradient: Tensor) -> Tensor:
    """Turn the gradient in matrices whose third row measures depth into that in the given."""
    projections = projections.to(gradient.dtype)
    volume = determinant(projections[..., :3])
    axis = projections[..., 2, :3]
    length = axis.norm(dim=-1)
    usable = (volume != 0) & projections.isfinite().flatten(-2).all(dim=-1)
    gradient = gradient * torch.where(usable, volume.sign() / length, 0.0)[..., None, None]
    # The scale fixes the length of the third row: a change along it only changes the scale.
    along = (gradient * projections).sum(dim=(-2, -1)) / length.square()
    gradient[..., 2, :3] -= torch.where(usable[..., None], along[..., None] * axis, 0.0)
    return gradient


def _sizes(projections: Tensor, pixels: Tensor, _: Given) -> tuple[int, int]:
    """Return how many points all frames have, and how many of them make a chunk."""
    frames, _, points, _ = pixels.shape
    return frames * points, CHUNK if len(projections) == 1 else points


def _arguments(projections: Tensor, pixels: Tensor, weights: Given) -> tuple[np.ndarray, Sightings]:
    """Return the rigs and the sightings for a loop."""
    image, steps = engines.flat(pixels)
    trust, trust_steps = (image[:0], (0, 0, 0)) if weights is None else engines.flat(weights)
    sightings = Sightings(image, steps, trust, trust_steps, pixels.shape[2])
    return projections.detach().contiguous().numpy(), sightings
