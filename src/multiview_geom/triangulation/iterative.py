"""Pixels in many views to world points: linear equations, reweighted until they mean pixels."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._validation import product
from multiview_geom.projection import camera_centers, in_front
from multiview_geom.triangulation._sightings import (
    fixes_a_point,
    image_columns,
    require_sightings,
    solve_symmetric,
    symmetric_curvature,
    usable_sightings,
)


def triangulate_iterative(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
    *,
    weights: Float[Tensor, "*#batch views points"] | None = None,
    steps: int = 2,
) -> Float[Tensor, "*#batch points 3"]:
    """Find the world points whose projections lie nearest to what the views saw.

    The linear equations of a view measure pixels times depth. Solving them once more with
    each divided by its depth makes them measure pixels, so that two steps reach the
    maximum-likelihood point to within its own uncertainty.

    Args:
        projections: Each view's world-to-pixel matrix, of any scale or sign.
        pixels: Where each view saw each point [px].
        weights: Trust in each sighting, >= 0: it multiplies the squared residual,
            and zero removes the sighting. Equal by default.
        steps: How often to reweight; zero gives the linear solution.

    Returns:
        The points [unit of the projections' translations].

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        Solved with the point's last homogeneous coordinate held at one, so the answer
        does not depend on the world's origin, as `triangulate_dlt`'s does, slightly.
        A pixel that is not finite counts as weight zero. A point seen from fewer than two
        places, along rays that are parallel to round-off, or behind every view that saw it
        is NaN and passes no gradient.

    Reference:
        Hartley and Sturm, Triangulation, CVIU 1997, sec. 4.2 (Iterative-LS).

    Example:
        >>> left, right = torch.eye(3, 4), torch.eye(3, 4)
        >>> right[0, 3] = -1.0
        >>> pixels = torch.tensor([[[0.0, 0.0]], [[-0.5, 0.0]]])
        >>> triangulate_iterative(torch.stack([left, right]), pixels).round(decimals=4).abs()
        tensor([[0., 0., 2.]])
    """
    require_sightings(projections, pixels, weights)
    rig, image, trust = usable_sightings(projections, pixels, weights)
    trust = torch.where(fixes_a_point(rig, trust)[..., None, :], trust, 0.0)
    start = camera_centers(rig).mean(dim=-2, keepdim=True)
    points, known = solve_linearly(rig, image, trust, start)
    for _ in range(steps):
        points, known = solve_reweighted(rig, image, trust, points)
    faced = (in_front(rig, points) & (trust > 0)).any(dim=-2)
    return torch.where((known & faced)[..., None], points, torch.nan).to(pixels.dtype)


def solve_reweighted(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
    trust: Float[Tensor, "*#batch views points"],
    points: Float[Tensor, "*#batch points 3"],
) -> tuple[Float[Tensor, "*#batch points 3"], Bool[Tensor, "*#batch points"]]:
    """Solve the linear equations divided by the depths of the points so far."""
    depths = image_columns(projections, points.mT)[..., 2, :]
    # Doubled where: a point in the plane of a camera's centre would have infinite weight.
    some = depths != 0
    share = torch.where(some, trust / torch.where(some, depths, 1.0).square(), 0.0)
    return solve_linearly(projections, pixels, share, points)


def solve_linearly(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
    trust: Float[Tensor, "*#batch views points"],
    origin: Float[Tensor, "*#batch #points 3"],
) -> tuple[Float[Tensor, "*#batch points 3"], Bool[Tensor, "*#batch points"]]:
    """Solve the linear equations about an origin; tell where they have one solution.

    The move from the origin minimises the sum over the views of `trust` times the squares of
    `(u p3 - p1) X` and `(v p3 - p2) X`. The origin decides nothing but the round-off.
    """
    left, image = projections[..., :3], pixels.mT
    seen = image_columns(projections, origin.mT)
    off = image * seen[..., 2:, :] - seen[..., :2, :]
    pull = torch.cat([-off, (image * off).sum(dim=-2, keepdim=True)], dim=-2)
    slope = product(left.flatten(-3, -2).mT, (trust[..., None, :] * pull).flatten(-3, -2))
    move, known = solve_symmetric(symmetric_curvature(left, image, trust), slope)
    return origin - move.mT, known
