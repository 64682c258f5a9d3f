"""Linear triangulation as a differentiable step."""

import torch

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
    cpu_launch.fill(cpu.__name__, "triangulate", inputs, accuracy, found)
    return (found,)


def _pull_back(inputs: Inputs, outputs: Outputs, gradients: Outputs, wanted: Wanted) -> Inputs:
    double = outputs[0].dtype == torch.float64
    limit = cpu_gradient.DOUBLE_GRADIENT if double else cpu_gradient.SINGLE_GRADIENT
    of_points = (*outputs, *gradients)
    return cpu_launch.pull_back(cpu_gradient.__name__, inputs, (limit,), of_points, wanted)


_linear_kernel = differentiable(
    Kernel(
        name="triangulate_linear",
        inputs=("Tensor", "Tensor", "Tensor?"),
        outputs=1,
        reference=lambda *inputs: (reference.triangulate(*inputs),),
        shapes=lambda _, pixels, *__: ((pixels.shape[0], pixels.shape[2], 3),),
        compiled={
            "numba": (_triangulate, _pull_back),
            "triton": (triangulate_on_cuda, pull_back_on_cuda),
        },
        shared=(0,),
        restart=lambda inputs, found: (reference.restart(inputs, *found).to(found[0].dtype),),
    )
)
