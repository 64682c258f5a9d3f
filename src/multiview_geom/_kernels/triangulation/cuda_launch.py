"""Triangulation of CUDA tensors: what its kernels read and fill."""

from typing import Any

import torch
from torch import Tensor

from multiview_geom._kernels.differentiable import Inputs, Outputs, Wanted
from multiview_geom._kernels.engines import (
    launch,
    launch_on_grid,
    triton_constant,
    triton_functions,
)
from multiview_geom._kernels.triangulation.cpu_launch import undo_scale
from multiview_geom._kernels.triangulation.cpu_robust import WIDENINGS

FORWARD = "multiview_geom._kernels.triangulation.cuda"
BACKWARD = "multiview_geom._kernels.triangulation.cuda_gradient"
REWEIGHTED = "multiview_geom._kernels.triangulation.cuda_reweighted"
ROBUST = "multiview_geom._kernels.triangulation.cuda_robust"
CONTIGUOUS = torch.contiguous_format

# How many points make one partial sum of the gradient in a rig that all frames share.
CHUNK = 1_024
# Registers of a thread in single precision: what goes beyond is needed in double precision only,
# and would keep half of a GPU's threads from running at the same time.
REGISTERS = 80
# Up to so many views, kernels are compiled for their number, without loops.
VIEWS_WITHOUT_LOOP = 8
# The kernel that selects inliers remembers the partners of a view in the bits of one number.
MOST_VIEWS = 126
# Up to so many points, which a GPU computes all at once, each program prepares the one rig itself.
POINTS_WITHOUT_PREPARATION = 16_384


def triangulate_on_cuda(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> Outputs:
    """Triangulate; a rig is given once, or once per frame."""
    frames, views, points, _ = pixels.shape
    found, shared = pixels.new_empty(frames, points, 3), len(projections) == 1
    if found.numel():
        rigs, width = projections.contiguous(), 0
        if shared and frames * points <= POINTS_WITHOUT_PREPARATION:
            width = _width(views)
            given, sizes = _given(-(-frames * points // _lanes()), pixels, weights)
        else:
            given, sizes = _given(len(rigs), pixels, weights)
            _prepare((FORWARD, "prepare_rigs"), rigs, given[0])
        arguments = given, found, rigs, sizes, shared, width
        launch(FORWARD, "triangulate", sizes[0], *arguments, registers=_registers(pixels))
    return (found,)


def pull_back_on_cuda(
    inputs: Inputs, outputs: Outputs, gradients: Outputs, wanted: Wanted
) -> Inputs:
    """Return the gradients in projections, pixels and weights; None for what is not wanted."""
    projections, pixels, weights = inputs
    of_pixels, shared = pixels.new_empty(pixels.shape), len(projections) == 1
    of_rig = torch.zeros_like(projections) if wanted[0] else None
    of_weights = pixels.new_empty(pixels.shape[:-1]) if wanted[2] else None
    points, gradient = outputs[0].contiguous(), gradients[0].contiguous()
    z = points.new_empty(*points.shape[:-1], 4, dtype=torch.float64) if wanted[0] else None
    if points.numel():
        given, sizes = _given(len(projections), pixels, weights)
        _prepare((FORWARD, "prepare_rigs"), projections, given[0])
        filled, limit = (of_pixels, of_weights, z), _registers(pixels)
        arguments = given, (points, gradient), filled, sizes, shared
        launch(BACKWARD, "differentiate", sizes[0], *arguments, registers=limit)
        if z is not None:
            kernel = BACKWARD, "differentiate_rigs"
            sums = _sum_over_points(kernel, given, (points, z), sizes, shared=shared)
            of_rig = sums.to(projections.dtype)
    return of_rig, of_pixels, of_weights


def triangulate_reweighted_on_cuda(
    projections: Tensor, pixels: Tensor, weights: Tensor | None, steps: int
) -> Outputs:
    """Triangulate with so many reweighted solves; a rig is given once, or once per frame."""
    frames, _, points, _ = pixels.shape
    found, shared = pixels.new_empty(frames, points, 3), len(projections) == 1
    if found.numel():
        given, sizes = _metric(projections, pixels, weights)
        arguments = given, found, sizes, (steps, torch.finfo(pixels.dtype).eps), shared
        launch(REWEIGHTED, "triangulate_reweighted", sizes[0], *arguments)
    return (found,)


def pull_back_reweighted_on_cuda(
    inputs: Inputs, outputs: Outputs, gradients: Outputs, wanted: Wanted
) -> Inputs:
    """Return the gradients in projections, pixels and weights; None for what is not wanted."""
    projections, pixels, weights, steps = inputs
    of_pixels, shared = torch.zeros_like(pixels, memory_format=CONTIGUOUS), len(projections) == 1
    of_weights = pixels.new_zeros(pixels.shape[:-1]) if wanted[2] else None
    of_rig = torch.zeros_like(projections) if wanted[0] else None
    points, gradient = outputs[0].contiguous(), gradients[0].contiguous()
    if points.numel():
        given, sizes = _metric(projections, pixels, weights)
        settings, states = (steps, torch.finfo(pixels.dtype).eps), None
        if wanted[0]:
            state = triton_functions(REWEIGHTED)["STATE"].value
            states = points.new_empty(steps + 1, sizes[0], state, dtype=torch.float64)
        arguments = given, (points, gradient), (of_pixels, of_weights, states), sizes, settings
        launch(REWEIGHTED, "differentiate_reweighted", sizes[0], *arguments, shared)
        if states is not None:
            kernel = REWEIGHTED, "differentiate_metric_rigs"
            sums = _sum_over_points(kernel, given, states, sizes, shared=shared, steps=steps)
            of_rig = undo_scale(projections, sums).to(projections.dtype)
    return of_rig, of_pixels, of_weights, None


def select_inliers_on_cuda(
    projections: Tensor, pixels: Tensor, weights: Tensor | None, settings: tuple[float, int, float]
) -> Outputs:
    """Tell which sightings agree; a rig is given once, or once per frame.

    The settings are the threshold, how many pairs of views to try for each view, and the round-off
    of the arguments as they were given.
    """
    found, shared = pixels.new_empty(pixels.shape[:-1]), len(projections) == 1
    if found.numel():
        given, sizes = _metric(projections, pixels, weights)
        threshold, *others = settings
        # Triton takes numbers in single precision.
        high = float(torch.tensor(threshold, dtype=torch.float32))
        widenings = tuple(map(triton_constant, WIDENINGS))
        arguments = given, found, sizes, ((high, threshold - high), *others), widenings, shared
        launch(ROBUST, "select_inliers", sizes[0], *arguments)
    return (found,)


def _metric(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> tuple[Any, Any]:
    """Return what the kernels for rigs with true depths read, with the rigs prepared; the sizes."""
    ((_, rigs), images, strides), sizes = _given(len(projections), pixels, weights)
    numbers = triton_functions(REWEIGHTED)["FRAME"].value
    tables = rigs, rigs.new_empty(*projections.shape[:2], numbers)
    _prepare((REWEIGHTED, "prepare_metric_rigs"), projections, tables)
    return (tables, images, strides), sizes


def _sum_over_points(
    kernel: tuple[str, str],
    given: Any,  # noqa: ANN401 - nested tuples of tensors and numbers
    found: Any,  # noqa: ANN401 - one tensor or more
    sizes: Any,  # noqa: ANN401 - numbers, of which one may be a constant of Triton
    *,
    shared: bool,
    steps: int = 0,
) -> Tensor:
    """Return the gradient in the rigs; the sums do not depend on the order of the programs."""
    chunk, views = CHUNK if shared else sizes[2], given[1][0].shape[1]
    sums: Tensor = given[0][1].new_empty(-(-sizes[0] // chunk), views, 3, 4)
    grid = tuple(sums.shape[:2])
    launch_on_grid(*kernel, grid, given, found, sums, sizes, (steps, chunk), shared)
    return sums.sum(dim=0, keepdim=True) if shared else sums


def _given(tables: int, pixels: Tensor, weights: Tensor | None) -> tuple[Any, Any]:
    """Return what all kernels read, with so many tables for rigs to be prepared; and the sizes."""
    frames, views, points, _ = pixels.shape
    constants = triton_functions(FORWARD)
    size = constants["VIEW"].value * views + constants["ORIGIN"].value
    wide = pixels.new_empty(tables, size, dtype=torch.float64)
    own = wide if pixels.dtype == wide.dtype else pixels.new_empty(wide.shape)
    strides = (*pixels.stride(), *((0, 0, 0) if weights is None else weights.stride()))
    count = triton_constant(views) if views <= VIEWS_WITHOUT_LOOP else views
    return ((own, wide), (pixels, weights), strides), (frames * points, count, points)


def _prepare(kernel: tuple[str, str], rigs: Tensor, tables: tuple[Tensor, Tensor]) -> None:
    count, views = rigs.shape[:2]
    launch_on_grid(*kernel, (count,), rigs.contiguous(), tables, views, _width(views))


def _lanes() -> int:
    return int(triton_functions(FORWARD)["LANES"].value)


def _width(views: int) -> int:
    """Return the power of two that is not less."""
    return 1 << max(views - 1, 0).bit_length()


def _registers(tensor: Tensor) -> int | None:
    return REGISTERS if tensor.dtype == torch.float32 else None
