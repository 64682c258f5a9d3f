"""Pixels in many views to world points, though some of the pixels are plain wrong."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multiview_geom._validation import for_computation
from multiview_geom.projection import (
    camera_centers,
    ray_directions,
    reprojection_error,
)
from multiview_geom.triangulation._sightings import (
    FEWEST_VIEWS,
    Sightings,
    image_columns,
    require_sightings,
    usable_sightings,
)
from multiview_geom.triangulation.iterative import solve_reweighted, triangulate_iterative

SHARED = 3
"""How many axes the projections have when one rig saw everything."""
BLOCK = 2**20
"""How many residuals of hypotheses to hold at once: a few megabytes, that stay in cache."""
WIDENINGS = (2.0, 1.4, 1.0, 1.0)
"""By how much to widen the threshold in each round of solving with all who agree.

A proposal from two views is noisier than a point from all, so that at first good views stand
farther off, and would be lost for good.
"""


class RobustPoints(NamedTuple):
    """Points, the sightings each was made from, and how far every sighting lies from it.

    Example:
        >>> from multiview_geom import project_points, ring_of_cameras
        >>> rig = ring_of_cameras(5, radius=4.0, height=1.0)
        >>> pixels = project_points(rig.projections, torch.tensor([[0.1, 0.2, 0.3]]))
        >>> pixels[3] += 100.0  # an outlier
        >>> points, inliers, residuals = triangulate_robust(rig.projections, pixels, threshold=5.0)
        >>> inliers[:, 0]
        tensor([ True,  True,  True, False,  True])
    """

    points: Float[Tensor, "*batch points 3"]
    inliers: Bool[Tensor, "*batch views points"]
    residuals: Float[Tensor, "*batch views points"]


def triangulate_robust(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
    *,
    threshold: float,
    weights: Float[Tensor, "*#batch views points"] | None = None,
    max_pairs: int = 128,
) -> RobustPoints:
    """Find the world points that most views agree on, and which views those are.

    Every pair of views proposes the midpoint of its two rays. The proposal with the least sum
    over all views of `weight * min(residual, threshold)²` is then solved again from all the
    views that agree with it, until these are the same views, and last by
    `triangulate_iterative`. As every view counts in the sum, few views that happen to agree
    closely are never preferred to many that agree within the noise.

    Args:
        projections: Each view's world-to-pixel matrix, of any scale or sign.
        pixels: Where each view saw each point [px].
        threshold: Largest residual of a sighting that is believed [px]; three to four
            standard deviations of the detector's noise.
        weights: Trust in each sighting, >= 0: it multiplies the squared residual,
            and zero removes the sighting. Equal by default.
        max_pairs: How many pairs to try for each point. Where there are more, every view
            proposes with its partners of widest angle, `max_pairs // views` but at least one:
            time and memory grow with the number tried, not with the square of the views.

    Returns:
        The points [unit of the projections' translations], the sightings they were made
        from, and the distance of every sighting from its point's projection [px].

    Raises:
        ValueError: If a shape or dtype disagrees, or the threshold is not positive.

    Note:
        The choice of sightings has no gradient; it is constant between its switches. The
        gradient is that of the last solution, from the sightings chosen.
        A pixel that is not finite counts as weight zero. A point on which no two views agree
        in front of both is NaN, has no inliers, and passes no gradient.

    Reference:
        Torr and Zisserman, MLESAC, CVIU 2000, sec. 3 (the truncated score, MSAC); pairs are
        taken all, or by angle, and not at random.

    Example:
        >>> rig = torch.eye(3, 4).repeat(4, 1, 1)
        >>> rig[:, 0, 3] = torch.tensor([0.0, -1.0, 1.0, 2.0])
        >>> pixels = torch.tensor([[[0.0, 0.0]], [[-0.5, 0.0]], [[0.5, 0.0]], [[0.1, 0.7]]])
        >>> points, inliers, _ = triangulate_robust(rig, pixels, threshold=0.01)
        >>> points.round(decimals=4).abs(), inliers[:, 0].tolist()
        (tensor([[0., 0., 2.]]), [True, True, True, False])
    """
    require_sightings(projections, pixels, weights)
    if not threshold > 0:
        raise ValueError(f"`threshold` must be positive, got {threshold}")
    seen = usable_sightings(projections, pixels, weights)
    still = Sightings(*(tensor.detach() for tensor in seen))
    inliers = _agreeing(still, _best_proposals(still, threshold, max_pairs), threshold)
    share = torch.where(inliers, seen.trust, 0.0)
    points = triangulate_iterative(seen.projections, seen.pixels, weights=share)
    residuals = reprojection_error(seen.projections, points, for_computation(pixels))
    inliers = inliers & points.isfinite().all(dim=-1)[..., None, :]
    return RobustPoints(points.to(pixels.dtype), inliers, residuals.to(pixels.dtype))


def _agreeing(
    seen: Sightings,
    points: Float[Tensor, "*#batch points 3"],
    threshold: float,
) -> Bool[Tensor, "*#batch views points"]:
    """Solve with all views that agree, and ask again which do."""
    for widening in WIDENINGS:
        agree = (
            _squared_residuals(seen.projections, seen.pixels, points) < (widening * threshold) ** 2
        )
        share = torch.where(agree, seen.trust, 0.0)
        solved, known = solve_reweighted(seen.projections, seen.pixels, share, points)
        points = torch.where(known[..., None], solved, points)
    agree = _squared_residuals(seen.projections, seen.pixels, points) < threshold**2
    return agree & (seen.trust > 0)


def _best_proposals(
    seen: Sightings,
    threshold: float,
    max_pairs: int,
) -> Float[Tensor, "*#batch points 3"]:
    """Find each point's best proposal; with one rig for all frames, frames are but more points."""
    shape = torch.broadcast_shapes(seen.pixels.shape[:-1], seen.trust.shape)
    if seen.projections.shape[-3] < FEWEST_VIEWS:
        return seen.pixels.new_full((*shape[:-2], shape[-1], 3), torch.nan)
    image, trust = seen.pixels.expand(*shape, 2), seen.trust.expand(shape)
    if seen.projections.ndim > SHARED:
        whole = Sightings(seen.projections, image, trust)
        return _best_in_blocks(whole, threshold, max_pairs)
    image, trust = image.movedim(-3, 0).flatten(1, -2), trust.movedim(-2, 0).flatten(1)
    best = _best_in_blocks(Sightings(seen.projections, image, trust), threshold, max_pairs)
    return best.reshape(*shape[:-2], shape[-1], 3)


def _best_in_blocks(
    seen: Sightings,
    threshold: float,
    max_pairs: int,
) -> Float[Tensor, "*#batch points 3"]:
    """Find the best proposals a block of points at a time."""
    views = seen.projections.shape[-3]
    per_view = min(max(max_pairs // views, 1), views // 2)
    batch = seen.trust.shape[:-2].numel()
    size = max(BLOCK // (per_view * views**2 * batch), 1)
    blocks = zip(seen.pixels.split(size, dim=-2), seen.trust.split(size, dim=-1), strict=True)
    best = [
        _best_of_block(Sightings(seen.projections, *block), threshold, per_view) for block in blocks
    ]
    return torch.cat(best, dim=-2)


def _best_of_block(
    seen: Sightings,
    threshold: float,
    per_view: int,
) -> Float[Tensor, "*#batch points 3"]:
    proposals = _proposals(seen, per_view)
    # Every proposal is scored as if it were one more scene of the batch.
    squared = _squared_residuals(
        seen.projections[..., None, :, :, :], seen.pixels[..., None, :, :, :], proposals
    )
    truncated = squared.clamp(max=threshold**2)
    score = (seen.trust[..., None, :, :] * truncated).sum(dim=-2)
    best = score.argmin(dim=-2, keepdim=True)
    return _pick(proposals, best, dim=-3).squeeze(-3)


def _proposals(seen: Sightings, per_view: int) -> Float[Tensor, "*#batch pairs points 3"]:
    """Propose, for every view, the midpoints with its partners of widest angle.

    Every pair of views is some number of views apart, at most half the way round: it belongs
    to the view that starts this way.
    """
    centers = camera_centers(seen.projections)[..., None, :]
    rays = ray_directions(seen.projections, seen.pixels)
    midpoints, widths = [], []
    for step in range(1, centers.shape[-3] // 2 + 1):
        partner, its_center = rays.roll(step, dims=-3), centers.roll(step, dims=-3)
        points, squared_sine = _midpoint(centers, rays, its_center, partner)
        both = (seen.trust > 0) & (seen.trust.roll(step, dims=-2) > 0)
        midpoints.append(torch.where(both[..., None], points, torch.nan))
        widths.append(torch.where(both, squared_sine, -1.0))
    widest = torch.stack(widths, dim=-3).topk(per_view, dim=-3).indices
    return _pick(torch.stack(midpoints, dim=-4), widest, dim=-4).flatten(-4, -3)


def _midpoint(
    center: Tensor, ray: Tensor, other_center: Tensor, other_ray: Tensor
) -> tuple[Float[Tensor, "*#batch points 3"], Float[Tensor, "*#batch points"]]:
    """Find the point halfway between two rays, and the squared sine of their angle."""
    between = other_center - center
    cosine = (ray * other_ray).sum(dim=-1)
    along, back = (between * ray).sum(dim=-1), (between * other_ray).sum(dim=-1)
    squared_sine = 1 - cosine.square()
    reach = (along - cosine * back) / squared_sine
    other_reach = (cosine * along - back) / squared_sine
    ends = center + reach[..., None] * ray + other_center + other_reach[..., None] * other_ray
    return ends / 2, squared_sine


def _squared_residuals(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
    points: Float[Tensor, "*#batch points 3"],
) -> Float[Tensor, "*#batch views points"]:
    """Square each view's distance from its pixel; infinite behind it, or where nothing is."""
    x, y, depth = image_columns(projections, points.mT).unbind(dim=-2)
    squared = (x / depth - pixels[..., 0]).square() + (y / depth - pixels[..., 1]).square()
    return torch.where((depth > 0) & (squared < torch.inf), squared, torch.inf)


def _pick(
    points: Float[Tensor, "*batch 3"], index: Int[Tensor, "*chosen"], dim: int
) -> Float[Tensor, "*chosen 3"]:
    return points.gather(dim, index[..., None].expand(*index.shape, 3))
