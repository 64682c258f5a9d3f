"""Triangulation by the point nearest to all viewing rays."""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom.cameras import Cameras
from multiview_geom.projection import camera_centers, in_front, ray_directions
from multiview_geom.triangulation._frames import by_cameras
from multiview_geom.triangulation._sightings import (
    COLUMNS,
    ROWS,
    require_sightings,
    solve_symmetric,
    usable_sightings,
)


def triangulate_midpoint(
    projections: Float[Tensor, "*#batch views 3 4"] | Cameras,
    pixels: Float[Tensor, "*#batch views points 2"],
    *,
    weights: Float[Tensor, "*#batch views points"] | None = None,
) -> Float[Tensor, "*#batch points 3"]:
    """Triangulate points by the least squared distance from their viewing rays.

    Minimizes the sum over the views of `weight * distance²`, the distance between the point and
    the ray in the world. This is more accurate than `triangulate_dlt` if the baseline is a few
    degrees and the noise is large, and less accurate than `triangulate_iterative` if the cameras
    are at different distances.

    Args:
        projections: World-to-pixel matrix of each view, of any scale or sign; or cameras,
            whose lenses are removed from the pixels first.
        pixels: Detected pixel of each point in each view [px].
        weights: Weight of each detection, >= 0: it multiplies the squared distance. A
            detection of weight zero or less is ignored. 1 by default.

    Returns:
        The points [unit of the projections' translations].

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        A pixel that is not finite counts as weight zero. A point is NaN, with zero gradient,
        if it was not detected from two different camera centers, if its rays are parallel,
        or if it is behind all cameras that detected it. Centers are equal up to the round-off
        of the arguments; rays are parallel up to the round-off of float64, in which float32
        arguments are computed too (float32 on devices without float64).

    Reference:
        Hartley and Sturm, Triangulation, CVIU 1997, sec. 5.3, for any number of rays.

    Example:
        >>> left, right = torch.eye(3, 4), torch.eye(3, 4)
        >>> right[0, 3] = -1.0
        >>> pixels = torch.tensor([[[0.0, 0.0]], [[-0.5, 0.0]]])
        >>> triangulate_midpoint(torch.stack([left, right]), pixels).round(decimals=4).abs()
        tensor([[0., 0., 2.]])
    """
    if isinstance(projections, Cameras):
        return by_cameras(triangulate_midpoint, projections, pixels, weights)
    require_sightings(projections, pixels, weights)
    rig, image, trust, _ = usable_sightings(projections, pixels, weights)
    centers = camera_centers(rig)
    origin = centers.mean(dim=-2, keepdim=True)
    rays, apart = ray_directions(rig, image).mT, (centers - origin)[..., None]
    identity = torch.eye(3, dtype=rays.dtype, device=rays.device)[ROWS, COLUMNS, None]
    share = trust[..., None, :]
    pull = (share * (apart - rays * (rays * apart).sum(dim=-2, keepdim=True))).sum(dim=-3)
    across = (share * (identity - rays[..., ROWS, :] * rays[..., COLUMNS, :])).sum(dim=-3)
    move, known = solve_symmetric(across, pull)
    points = origin + move.mT
    faced = (in_front(rig, points) & (trust > 0)).any(dim=-2)
    return torch.where((known & faced)[..., None], points, torch.nan).to(pixels.dtype)
