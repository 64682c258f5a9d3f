"""Linear triangulation as a differentiable step."""

import numpy as np
import torch

from multiview_geom._kernels import engines
from multiview_geom._kernels.differentiable import (
    Given,
    Inputs,
    Kernel,
    Outputs,
    Wanted,
    differentiable,
)
from multiview_geom._kernels.triangulation import cpu, cpu_gradient, cpu_launch, reference
from multiview_geom._kernels.triangulation.cuda_launch import (
    pull_back_on_cuda,
    triangulate_on_cuda,
)
from multiview_geom._kernels.triangulation.reference import Pixels, Points, Projections, Weights


def linear_triangulation(
    projections: Projections, pixels: Pixels, weights: Weights | None
) -> Points:
    """Triangulate; a rig is given once, or once per frame."""
    return _linear_kernel(projections, pixels, weights)[0]


def _triangulate(*inputs: Given) -> Outputs:
    pixels = inputs[1]
    found = pixels.new_empty(pixels.shape[0], pixels.shape[2], 3)
    accuracy = cpu.DOUBLE if found.dtype == torch.float64 else cpu.SINGLE
    (points,), doubts = engines.flat_arrays(found), np.empty(found[..., 0].numel(), np.bool_)
    cpu_launch.run(cpu.__name__, "triangulate", inputs, accuracy, (points, doubts))
    cpu_launch.run_again(cpu.__name__, "solve_again", inputs, doubts, points)
    return (found,)


def _pull_back(inputs: Inputs, outputs: Outputs, gradients: Outputs, wanted: Wanted) -> Inputs:
    double = outputs[0].dtype == torch.float64
    limit = cpu_gradient.DOUBLE_GRADIENT if double else cpu_gradient.SINGLE_GRADIENT
    of_points = (*engines.flat_arrays(*outputs), *engines.flat(*gradients))
    filled, arrays = cpu_launch.gradients_to_fill(inputs, wanted)
    doubts = np.empty(outputs[0][..., 0].numel(), np.bool_)
    name = cpu_gradient.__name__
    cpu_launch.run(name, "differentiate", inputs, limit, of_points, arrays, doubts)
    cpu_launch.run_again(name, "differentiate_again", inputs, doubts, of_points, arrays)
    return cpu_launch.in_order_of_inputs(inputs, filled)


_linear_kernel = differentiable(
    Kernel(
        name="triangulate_linear",
        inputs=("Tensor", "Tensor", "Tensor?"),
        outputs=1,
        reference=lambda *inputs: (reference.triangulate(*inputs),),
        shapes=lambda _, pixels, *__: ((pixels.shape[0], pixels.shape[2], 3),),
        numba=(_triangulate, _pull_back),
        triton=(triangulate_on_cuda, pull_back_on_cuda),
        shared=(0,),
        restart=lambda inputs, found: (reference.restart(inputs, *found).to(found[0].dtype),),
    )
)
