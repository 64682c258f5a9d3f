"""Linear triangulation as a differentiable step."""

from typing import Any

import torch
from torch import Tensor

from multiview_geom._kernels import engines
from multiview_geom._kernels.differentiable import Inputs, Kernel, Outputs, Wanted, differentiable
from multiview_geom._kernels.triangulation import reference
from multiview_geom._kernels.triangulation.reference import Pixels, Points, Projections, Weights

LOOPS = "multiview_geom._kernels.triangulation.cpu"
GRADIENT_LOOPS = "multiview_geom._kernels.triangulation.cpu_gradient"

# Ranges of points that threads share end at multiples of this, so that the sums of the gradient
# in the projections do not depend on the number of threads.
CHUNK = 4_096


def linear_triangulation(
    projections: Projections, pixels: Pixels, weights: Weights | None
) -> Points:
    """Triangulate; a rig is given once, or once per frame."""
    return _linear_kernel(projections, pixels, weights)[0]


def _triangulate(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> Outputs:
    frames, _, points, _ = pixels.shape
    found, step = pixels.new_empty(frames, points, 3), _chunk(projections, points)
    loop = engines.numba_functions(LOOPS)["triangulate"]
    arguments, flat = _arguments(projections, pixels, weights), found.view(-1).numpy()
    engines.split(
        lambda first, last: loop(*arguments, first, last, step, flat),
        frames * points,
        step=step,
    )
    return (found,)


def _pull_back(inputs: Inputs, outputs: Outputs, gradients: Outputs, wanted: Wanted) -> Inputs:
    projections, pixels, _ = inputs
    frames, views, points, _ = pixels.shape
    step = _chunk(projections, points)
    chunks = -(-frames * points // step) if wanted[0] and step else 0
    of_pixels = pixels.new_empty(pixels.shape)
    of_weights = pixels.new_empty((frames, views, points) if wanted[2] else (0,))
    sums = torch.zeros(chunks, views, 3, 4, dtype=torch.float64)
    found = (of_pixels.view(-1).numpy(), of_weights.view(-1).numpy(), sums.numpy())
    of_points = tuple(each.detach().reshape(-1).numpy() for each in (*outputs, *gradients))
    loop = engines.numba_functions(GRADIENT_LOOPS)["differentiate"]
    arguments = _arguments(*inputs)
    engines.split(
        lambda first, last: loop(*arguments, first, last, step, of_points, found),
        frames * points,
        step=step,
    )
    of_rig = sums.sum(dim=0, keepdim=True) if len(projections) == 1 else sums
    return of_rig.to(pixels.dtype), of_pixels, of_weights


def _chunk(projections: Tensor, points: int) -> int:
    """Return how many points in a row share a rig and a sum."""
    return CHUNK if len(projections) == 1 else points


def _arguments(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> tuple[Any, Any]:
    """Return what the loops read: the rig, and the sightings as flat arrays with their strides."""
    image, steps = engines.flat(pixels)
    trust, trust_steps = (image[:0], (0, 0, 0)) if weights is None else engines.flat(weights)
    rig = projections.detach().contiguous().numpy()
    return rig, (image, steps, trust, trust_steps, weights is not None, pixels.shape[2])


_linear_kernel = differentiable(
    Kernel(
        name="triangulate_linear",
        inputs=("Tensor", "Tensor", "Tensor?"),
        outputs=1,
        reference=lambda *inputs: (reference.triangulate(*inputs),),
        shapes=lambda _, pixels, *__: ((pixels.shape[0], pixels.shape[2], 3),),
        compiled={"numba": (_triangulate, _pull_back)},
        shared=(0,),
        restart=lambda inputs, found: (reference.restart(inputs, *found).to(found[0].dtype),),
    )
)
