"""How tensors go through the loops that triangulate on a processor."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from multiview_geom._kernels import engines
from multiview_geom._kernels.differentiable import Given, Wanted

# Ranges of points that threads share end at multiples of this, so that the sums of the gradient
# in the projections do not depend on the number of threads.
CHUNK = 4_096


def fill(
    module: str, loop: str, inputs: Sequence[Given], settings: tuple[float, ...], found: Tensor
) -> None:
    """Fill a contiguous tensor by a loop over the points of all frames.

    Args:
        module: Where the loop is.
        loop: Its name.
        inputs: Projections, pixels, and weights or None.
        settings: Numbers for the loop.
        found: What to fill.
    """
    run, flat = engines.numba_functions(module)[loop], found.view(-1).numpy()
    arguments, (points, chunk) = _arguments(*inputs)
    engines.split(
        lambda first, last: run(*arguments, (first, last, chunk), settings, flat),
        points,
        step=chunk,
    )


def pull_back(
    module: str,
    inputs: Sequence[Given],
    settings: tuple[float, ...],
    of_points: Sequence[Tensor],
    wanted: Wanted,
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn the gradient in points into that in projections, pixels and weights, by a loop.

    Args:
        module: Where the loop `differentiate` is.
        inputs: Projections, pixels, and weights or None.
        settings: Numbers for the loop.
        of_points: The points, and the gradient in them.
        wanted: Of which inputs a gradient is wanted.
    """
    projections, pixels, _ = inputs
    run, (arguments, (points, chunk)) = (
        engines.numba_functions(module)["differentiate"],
        _arguments(*inputs),
    )
    chunks = -(-points // chunk) if wanted[0] and chunk else 0
    of_pixels = pixels.new_empty(pixels.shape)
    of_weights = pixels.new_empty(pixels.shape[:-1] if wanted[2] else (0,))
    sums = torch.zeros(chunks, *projections.shape[1:], dtype=torch.float64)
    found = (of_pixels.view(-1).numpy(), of_weights.view(-1).numpy(), sums.numpy())
    given = tuple(each.detach().reshape(-1).numpy() for each in of_points)
    engines.split(
        lambda first, last: run(*arguments, (first, last, chunk), settings, given, found),
        points,
        step=chunk,
    )
    of_rig = sums.sum(dim=0, keepdim=True) if len(projections) == 1 else sums
    return of_rig.to(pixels.dtype), of_pixels, of_weights


def _arguments(projections: Tensor, pixels: Tensor, weights: Given) -> tuple[Any, tuple[int, int]]:
    """Return the rig and the sightings for a loop; the number of points, and of those in a chunk.

    The sightings are flat arrays with their strides.
    """
    image, steps = engines.flat(pixels)
    trust, trust_steps = (image[:0], (0, 0, 0)) if weights is None else engines.flat(weights)
    rig, (frames, _, points, _) = projections.detach().contiguous().numpy(), pixels.shape
    sightings = (image, steps, trust, trust_steps, weights is not None, points)
    return (rig, sightings), (frames * points, CHUNK if len(projections) == 1 else points)
