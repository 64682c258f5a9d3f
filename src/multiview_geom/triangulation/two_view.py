"""Optimal triangulation from two views, without iteration."""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._validation import product, require_trailing_shape
from multiview_geom.cameras import Cameras
from multiview_geom.epipolar import pair_rays
from multiview_geom.triangulation._frames import by_cameras
from multiview_geom.triangulation._sightings import require_sightings, usable_sightings
from multiview_geom.triangulation.iterative import solve_iteratively


def triangulate_two_view(
    projections: Float[Tensor, "*#batch 2 3 4"] | Cameras,
    pixels: Float[Tensor, "*#batch 2 points 2"],
    *,
    weights: Float[Tensor, "*#batch 2 points"] | None = None,
) -> Float[Tensor, "*#batch points 3"]:
    """Triangulate points from two views with the least reprojection error.

    Moves the two pixels so that their rays intersect, with the least sum of
    `weight * distance²`, and returns the intersection.

    Args:
        projections: World-to-pixel matrix of each view, of any scale or sign; or cameras,
            whose lenses are removed from the pixels first.
        pixels: Detected pixel of each point in each view [px].
        weights: Weight of each detection, >= 0: it multiplies the squared distance. A point
            with a detection of weight zero or less is NaN. 1 by default.

    Returns:
        The points [unit of the projections' translations].

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        A pixel that is not finite counts as weight zero. A point is NaN, with zero gradient, if
        fewer than two views detected it, if both cameras have the same center, or if it is
        behind both cameras.

    Reference:
        Lindstrom, Triangulation made easy, CVPR 2010, listing 3 (niter2).

    Example:
        >>> left, right = torch.eye(3, 4), torch.eye(3, 4)
        >>> right[0, 3] = -1.0
        >>> pixels = torch.tensor([[[0.0, 0.1]], [[-0.5, -0.1]]])
        >>> triangulate_two_view(torch.stack([left, right]), pixels).round(decimals=4).abs()
        tensor([[0., 0., 2.]])
    """
    if isinstance(projections, Cameras):
        return by_cameras(triangulate_two_view, projections, pixels, weights)
    require_trailing_shape("projections", projections, 2, 3, 4)
    require_sightings(projections, pixels, weights)
    seen = usable_sightings(projections, pixels, weights)
    rig, image, trust, _ = seen
    both = (trust > 0).all(dim=-2, keepdim=True)
    middle = _principal_points(rig)[..., None, :]
    trust = torch.where(both, trust, 1.0)
    move = _correction(_fundamental(_centred(rig, middle)), image - middle, trust)
    intersecting = seen._replace(pixels=image - move, trust=both.to(trust).expand_as(trust))
    return solve_iteratively(intersecting, steps=0).to(pixels.dtype)


def _correction(
    fundamental: Float[Tensor, "*#batch 3 3"],
    pixels: Float[Tensor, "*#batch 2 points 2"],
    trust: Float[Tensor, "*#batch 2 points"],
) -> Float[Tensor, "*#batch 2 points 2"]:
    """Find the least move of both pixels off the pair of epipolar lines that do not match.

    The names are those of the reference: n and n' are the normals of the epipolar lines.
    """
    x, y = torch.nn.functional.pad(pixels, (0, 1), value=1.0).unbind(dim=-3)
    inner = fundamental[..., :2, :2]
    lines = torch.stack([product(y, fundamental.mT), product(x, fundamental)], dim=-3)
    n = lines[..., :2]
    step = n / trust[..., None]
    a = (product(step[..., 0, :, :], inner) * step[..., 1, :, :]).sum(dim=-1)
    b = (n * step).sum(dim=(-3, -1)) / 2
    c = (x * lines[..., 0, :, :]).sum(dim=-1)
    squared = b.square() - a * c
    # Double `where`: pixels in both epipoles, or views from one place, have no lines to move to.
    some = squared > 0
    d = torch.where(some, squared, 1.0).sqrt()
    first = torch.where(some, c / (b + d), 0.0)
    move = first[..., None, :, None] * step
    n = n - torch.stack(
        [product(move[..., 1, :, :], inner.mT), product(move[..., 0, :, :], inner)], dim=-3
    )
    step = n / trust[..., None]
    length = (n * step).sum(dim=(-3, -1))
    second = torch.where(some, first * 2 * d / torch.where(some, length, 1.0), 0.0)
    return second[..., None, :, None] * step


def _fundamental(projections: Float[Tensor, "*#batch 2 3 4"]) -> Float[Tensor, "*#batch 3 3"]:
    """Build F of `x' F y = 0`, x in the first view and y in the second, of greatest entry one."""
    first, second = projections.unbind(dim=-3)
    lines = pair_rays(second, first)
    size = lines.detach().abs().amax(dim=(-2, -1), keepdim=True)
    return lines / torch.where(size > 0, size, 1.0)


def _centred(
    projections: Float[Tensor, "*#batch views 3 4"], middle: Float[Tensor, "*#batch views 1 2"]
) -> Float[Tensor, "*#batch views 3 4"]:
    """Move the pixels' origin to each image's middle, where products of pixels are small."""
    upper = projections[..., :2, :] - middle.mT * projections[..., 2:, :]
    return torch.cat([upper, projections[..., 2:, :]], dim=-2)


def _principal_points(
    projections: Float[Tensor, "*batch views 3 4"],
) -> Float[Tensor, "*batch views 2"]:
    left = projections.detach()[..., :3]
    axis = left[..., 2:, :]
    return (left[..., :2, :] * axis).sum(dim=-1) / axis.square().sum(dim=-1)
