"""Triangulation by linear equations, reweighted to the reprojection error."""

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels import engines
from multiview_geom._kernels.differentiable import (
    Given,
    Inputs,
    Kernel,
    Outputs,
    Wanted,
    differentiable,
)
from multiview_geom._kernels.triangulation import cpu_launch
from multiview_geom._kernels.triangulation.cuda_launch import (
    pull_back_reweighted_on_cuda,
    triangulate_reweighted_on_cuda,
)
from multiview_geom._validation import product, require_at_least
from multiview_geom.cameras import Cameras
from multiview_geom.projection import camera_centers, in_front
from multiview_geom.triangulation._frames import by_cameras, in_frames
from multiview_geom.triangulation._sightings import (
    Sightings,
    given_round_off,
    image_columns,
    solve_symmetric,
    symmetric_curvature,
    usable_sightings,
)

LOOPS = "multiview_geom._kernels.triangulation.cpu_reweighted"


def triangulate_iterative(
    projections: Float[Tensor, "*#batch views 3 4"] | Cameras,
    pixels: Float[Tensor, "*#batch views points 2"],
    *,
    weights: Float[Tensor, "*#batch views points"] | None = None,
    steps: int = 2,
) -> Float[Tensor, "*#batch points 3"]:
    """Triangulate points with a nearly minimal reprojection error, by reweighted linear equations.

    The residual of the linear equations is the reprojection error times the depth. Each step
    divides the equations by the depths of the previous solution and solves them again, so that
    their residual becomes the reprojection error. After two steps, the distance from the
    maximum-likelihood point is smaller than the uncertainty of that point.

    Args:
        projections: World-to-pixel matrix of each view, of any scale or sign; or cameras,
            whose lenses are removed from the pixels first.
        pixels: Detected pixel of each point in each view [px].
        weights: Weight of each detection, >= 0: it multiplies the squared residual. A
            detection of weight zero or less is ignored. 1 by default.
        steps: Number of reweighted solves; zero gives the linear solution.

    Returns:
        The points [unit of the projections' translations].

    Raises:
        ValueError: If a shape or dtype disagrees, or `steps` is negative.

    Note:
        The last homogeneous coordinate is fixed to 1, so the result does not depend on the
        origin of the world. The result of `triangulate_dlt` depends on the origin slightly.
        A pixel that is not finite counts as weight zero. A point is NaN, with zero gradient,
        if it was not detected from two different camera centers, if its rays are parallel,
        or if it is behind all cameras that detected it. Centers are equal up to the round-off
        of the arguments; rays are parallel up to the round-off of float64, in which float32
        arguments are computed too (float32 on devices without float64).

    Reference:
        Hartley and Sturm, Triangulation, CVIU 1997, sec. 4.2 (Iterative-LS).

    Example:
        >>> left, right = torch.eye(3, 4), torch.eye(3, 4)
        >>> right[0, 3] = -1.0
        >>> pixels = torch.tensor([[[0.0, 0.0]], [[-0.5, 0.0]]])
        >>> triangulate_iterative(torch.stack([left, right]), pixels).round(decimals=4).abs()
        tensor([[0., 0., 2.]])
    """
    if isinstance(projections, Cameras):
        return by_cameras(partial(triangulate_iterative, steps=steps), projections, pixels, weights)
    require_at_least("steps", steps, 0)
    return in_frames(
        lambda *sightings: _iterative_kernel(*sightings, steps)[0], projections, pixels, weights
    )


def solve_iteratively(seen: Sightings, steps: int) -> Float[Tensor, "*#batch points 3"]:
    """Solve the linear equations, and reweight them so many times; NaN where not unique."""
    rig, image, trust, _ = seen
    start = camera_centers(rig).mean(dim=-2, keepdim=True)
    points, known = solve_linearly(rig, image, trust, start)
    for _ in range(steps):
        points, known = solve_reweighted(rig, image, trust, points)
    faced = (in_front(rig, points) & (trust > 0)).any(dim=-2)
    return torch.where((known & faced)[..., None], points, torch.nan)


def solve_reweighted(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
    trust: Float[Tensor, "*#batch views points"],
    points: Float[Tensor, "*#batch points 3"],
) -> tuple[Float[Tensor, "*#batch points 3"], Bool[Tensor, "*#batch points"]]:
    """Solve the linear equations divided by the depths of the points so far."""
    depths = image_columns(projections, points.mT)[..., 2, :]
    # Double `where`: a point in the plane of a camera center would have infinite weight.
    some = depths != 0
    share = torch.where(some, trust / torch.where(some, depths, 1.0).square(), 0.0)
    return solve_linearly(projections, pixels, share, points)


def solve_linearly(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
    trust: Float[Tensor, "*#batch views points"],
    origin: Float[Tensor, "*#batch #points 3"],
) -> tuple[Float[Tensor, "*#batch points 3"], Bool[Tensor, "*#batch points"]]:
    """Solve the linear equations relative to an origin; False where the solution is not unique.

    The move from the origin minimizes the sum over the views of `trust` times the squares of
    `(u p3 - p1) X` and `(v p3 - p2) X`. The origin affects only the round-off.
    """
    left, image = projections[..., :3], pixels.mT
    seen = image_columns(projections, origin.mT)
    off = image * seen[..., 2:, :] - seen[..., :2, :]
    pull = torch.cat([-off, (image * off).sum(dim=-2, keepdim=True)], dim=-2)
    slope = product(left.flatten(-3, -2).mT, (trust[..., None, :] * pull).flatten(-3, -2))
    move, known = solve_symmetric(symmetric_curvature(left, image, trust), slope)
    return origin - move.mT, known


def _reference(projections: Tensor, pixels: Tensor, weights: Tensor | None, steps: int) -> Outputs:
    points = solve_iteratively(usable_sightings(projections, pixels, weights), steps)
    return (points.to(pixels.dtype),)


def _in_loops(*inputs: Given) -> Outputs:
    *sightings, steps = inputs
    pixels = inputs[1]
    found = pixels.new_empty(pixels.shape[0], pixels.shape[2], 3)
    settings = (steps, given_round_off(pixels))
    cpu_launch.run(LOOPS, "triangulate", sightings, settings, *engines.flat_arrays(found))
    return (found,)


def _back_in_loops(inputs: Inputs, outputs: Outputs, gradients: Outputs, wanted: Wanted) -> Inputs:
    *sightings, steps = inputs
    settings = (steps, given_round_off(outputs[0]))
    of_points = (*engines.flat_arrays(*outputs), *engines.flat(*gradients))
    filled, arrays = cpu_launch.gradients_to_fill(sightings, wanted)
    cpu_launch.run(LOOPS, "differentiate", sightings, settings, of_points, arrays)
    of_pixels, of_weights, sums = filled
    if wanted[0]:
        sums = cpu_launch.undo_scale(inputs[0], sums)
    filled = of_pixels, of_weights, sums
    return (*cpu_launch.in_order_of_inputs(sightings, filled), None)


_iterative_kernel = differentiable(
    Kernel(
        name="triangulate_iterative",
        inputs=("Tensor", "Tensor", "Tensor?", "int"),
        outputs=1,
        reference=_reference,
        shapes=lambda _, pixels, *__: ((pixels.shape[0], pixels.shape[2], 3),),
        numba=(_in_loops, _back_in_loops),
        triton=(triangulate_reweighted_on_cuda, pull_back_reweighted_on_cuda),
        shared=(0,),
    )
)
