"""Triangulation with outliers among the pixels."""

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multiview_geom._kernels import engines
from multiview_geom._kernels.differentiable import (
    Given,
    Inputs,
    Kernel,
    Outputs,
    differentiable,
)
from multiview_geom._kernels.triangulation import cpu_launch
from multiview_geom._kernels.triangulation.algebra import FEWEST_VIEWS
from multiview_geom._kernels.triangulation.cpu_robust import WIDENINGS
from multiview_geom._kernels.triangulation.cuda_launch import (
    MOST_VIEWS,
    select_inliers_on_cuda,
)
from multiview_geom._validation import require_at_least, require_positive
from multiview_geom.cameras import Cameras
from multiview_geom.projection import (
    camera_centers,
    ray_directions,
    reprojection_error,
)
from multiview_geom.triangulation._frames import by_cameras, in_frames
from multiview_geom.triangulation._sightings import (
    Sightings,
    given_round_off,
    image_columns,
    usable_rig,
    usable_sightings,
    widened,
)
from multiview_geom.triangulation.iterative import solve_reweighted, triangulate_iterative

LOOPS = "multiview_geom._kernels.triangulation.cpu_robust"
STEPS = 2
"""Number of reweighted solves with the final inliers."""
BLOCK = 2**20
"""Number of candidates' residuals in memory at once: a few megabytes, which stay in the cache."""


class RobustPoints(NamedTuple):
    """Points, the inliers among their detections, and the residual of every detection [px].

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
    projections: Float[Tensor, "*#batch views 3 4"] | Cameras,
    pixels: Float[Tensor, "*#batch views points 2"],
    *,
    threshold: float | Float[Tensor, ""],
    weights: Float[Tensor, "*#batch views points"] | None = None,
    max_pairs: int = 128,
) -> RobustPoints:
    """Triangulate points with outliers among the detections, and return the inliers.

    Every pair of views gives a candidate point, the midpoint of its two rays. The candidate
    with the least sum over all views of `weight * min(residual, threshold)²` is selected. It
    is solved again several times from the views within the threshold, and finally by
    `triangulate_iterative`. Every view contributes to the sum, so that many views that agree
    within the noise are preferred to a few views that agree closely by chance.

    Args:
        projections: World-to-pixel matrix of each view, of any scale or sign; or cameras,
            whose lenses are removed from the pixels first.
        pixels: Detected pixel of each point in each view [px].
        threshold: Largest residual of an inlier [px]. Use three to four standard deviations of
            the detector's noise.
        weights: Weight of each detection, >= 0: it multiplies the squared residual. A
            detection of weight zero or less is ignored. 1 by default.
        max_pairs: Number of pairs of views to try for each point. If there are more pairs, each
            view uses only the `max_pairs // views` pairs (at least one) whose rays are closest
            to perpendicular. Time and memory grow with the number of pairs that are tried, not
            with the square of the number of views.

    Returns:
        The points [unit of the projections' translations], whether each detection is an inlier,
        and the distance of each detection from the projection of its point [px].

    Raises:
        ValueError: If a shape or dtype disagrees, the threshold is not positive,
            or `max_pairs` is below one.

    Note:
        Inlier selection is piecewise constant and not differentiated; gradients flow through
        the final solve with the chosen inliers.
        A pixel that is not finite counts as weight zero. If no two views agree on a point in
        front of both cameras, the point is NaN, with zero gradient and no inliers.

    Reference:
        Torr and Zisserman, MLESAC, CVIU 2000, sec. 3 (the truncated score, MSAC). Pairs
        are not sampled at random: all are used, or those with the best angles.

    Example:
        >>> rig = torch.eye(3, 4).repeat(4, 1, 1)
        >>> rig[:, 0, 3] = torch.tensor([0.0, -1.0, 1.0, 2.0])
        >>> pixels = torch.tensor([[[0.0, 0.0]], [[-0.5, 0.0]], [[0.5, 0.0]], [[0.1, 0.7]]])
        >>> points, inliers, _ = triangulate_robust(rig, pixels, threshold=0.01)
        >>> points.round(decimals=4).abs(), inliers[:, 0].tolist()
        (tensor([[0., 0., 2.]]), [True, True, True, False])
    """
    if isinstance(projections, Cameras):
        select_views = partial(triangulate_robust, threshold=threshold, max_pairs=max_pairs)
        return by_cameras(select_views, projections, pixels, weights)
    require_positive("threshold", threshold)
    largest = float(threshold)  # a loop takes no tensor of one number
    require_at_least("max_pairs", max_pairs, 1)

    def select(*sightings: Tensor | None) -> Tensor:
        still = (None if each is None else each.detach() for each in sightings)
        return _inlier_kernel(*still, largest, max_pairs)[0]

    inliers = in_frames(select, projections, pixels, weights)
    share = inliers if weights is None else torch.where(inliers > 0, weights, 0.0)
    points = triangulate_iterative(projections, pixels, weights=share, steps=STEPS)
    rig, _ = usable_rig(projections)
    residuals = reprojection_error(rig, widened(points), widened(pixels))
    known = points.isfinite().all(dim=-1)[..., None, :]
    return RobustPoints(points, known & (inliers > 0), residuals.to(pixels.dtype))


def _agreeing(
    seen: Sightings,
    points: Float[Tensor, "*#batch points 3"],
    threshold: float,
) -> Bool[Tensor, "*#batch views points"]:
    """Solve with the inliers of each point, and select the inliers again."""
    for widening in WIDENINGS:
        agree = (
            _squared_residuals(seen.projections, seen.pixels, points) < (widening * threshold) ** 2
        )
        share = torch.where(agree, seen.trust, 0.0)
        solved, known = solve_reweighted(seen.projections, seen.pixels, share, points)
        points = torch.where(known[..., None], solved, points)
    agree = _squared_residuals(seen.projections, seen.pixels, points) < threshold**2
    return agree & (seen.trust > 0)


def _best_candidates(
    seen: Sightings,
    threshold: float,
    max_pairs: int,
) -> Float[Tensor, "*#batch points 3"]:
    """Find the best candidate of each point."""
    shape = torch.broadcast_shapes(seen.pixels.shape[:-1], seen.trust.shape)
    if seen.projections.shape[-3] < FEWEST_VIEWS:
        return seen.pixels.new_full((*shape[:-2], shape[-1], 3), torch.nan)
    whole = seen._replace(pixels=seen.pixels.expand(*shape, 2), trust=seen.trust.expand(shape))
    return _best_in_blocks(whole, threshold, max_pairs)


def _best_in_blocks(
    seen: Sightings,
    threshold: float,
    max_pairs: int,
) -> Float[Tensor, "*#batch points 3"]:
    """Find the best candidates, one block of points at a time."""
    views = seen.projections.shape[-3]
    per_view = _pairs_per_view(views, max_pairs)
    batch = seen.trust.shape[:-2].numel()
    size = max(BLOCK // max(per_view * views**2 * batch, 1), 1)
    blocks = zip(seen.pixels.split(size, dim=-2), seen.trust.split(size, dim=-1), strict=True)
    best = [
        _best_of_block(seen._replace(pixels=pixels, trust=trust), threshold, per_view)
        for pixels, trust in blocks
    ]
    return torch.cat(best, dim=-2)


def _best_of_block(
    seen: Sightings,
    threshold: float,
    per_view: int,
) -> Float[Tensor, "*#batch points 3"]:
    candidates = _candidates(seen, per_view)
    # The candidates are an additional batch axis.
    squared = _squared_residuals(
        seen.projections[..., None, :, :, :], seen.pixels[..., None, :, :, :], candidates
    )
    truncated = squared.clamp(max=threshold**2)
    score = (seen.trust[..., None, :, :] * truncated).sum(dim=-2)
    best = score.argmin(dim=-2, keepdim=True)
    return _pick(candidates, best, dim=-3).squeeze(-3)


def _candidates(seen: Sightings, per_view: int) -> Float[Tensor, "*#batch pairs points 3"]:
    """Return the midpoints of the pairs of views whose rays are closest to perpendicular.

    Counted in a circle, the views of a pair are at most `views // 2` apart. The pair belongs to
    the view from which this distance is counted.
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
    # 1 - cosine² would lose the squared sine of a narrow baseline.
    normal = ray.cross(other_ray, dim=-1)
    squared_sine = normal.square().sum(dim=-1)
    reach = (between.expand_as(ray).cross(other_ray, dim=-1) * normal).sum(dim=-1) / squared_sine
    other_reach = (between.expand_as(ray).cross(ray, dim=-1) * normal).sum(dim=-1) / squared_sine
    ends = center + reach[..., None] * ray + other_center + other_reach[..., None] * other_ray
    return ends / 2, squared_sine


def _squared_residuals(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
    points: Float[Tensor, "*#batch points 3"],
) -> Float[Tensor, "*#batch views points"]:
    """Return squared reprojection errors; infinite behind the camera or for a missing point."""
    x, y, depth = image_columns(projections, points.mT).unbind(dim=-2)
    squared = (x / depth - pixels[..., 0]).square() + (y / depth - pixels[..., 1]).square()
    return torch.where((depth > 0) & (squared < torch.inf), squared, torch.inf)


def _pick(
    points: Float[Tensor, "*batch 3"], index: Int[Tensor, "*chosen"], dim: int
) -> Float[Tensor, "*chosen 3"]:
    return points.gather(dim, index[..., None].expand(*index.shape, 3))


def _reference(
    projections: Tensor, pixels: Tensor, weights: Tensor | None, threshold: float, max_pairs: int
) -> Outputs:
    seen = usable_sightings(projections, pixels, weights)
    agree = _agreeing(seen, _best_candidates(seen, threshold, max_pairs), threshold)
    return (agree.to(pixels.dtype),)


def _in_loops(*inputs: Given) -> Outputs:
    *sightings, threshold, max_pairs = inputs
    pixels, views = inputs[1], inputs[1].shape[1]
    found = pixels.new_empty(pixels.shape[:-1])
    settings = (threshold, _pairs_per_view(views, max_pairs), given_round_off(pixels))
    cpu_launch.run(LOOPS, "select_inliers", sightings, settings, *engines.flat_arrays(found))
    return (found,)


def _on_cuda(*inputs: Given) -> Outputs:
    projections, pixels, weights, threshold, max_pairs = inputs
    views = pixels.shape[1]
    if views > MOST_VIEWS:
        return _reference(*inputs)
    settings = threshold, _pairs_per_view(views, max_pairs), given_round_off(pixels)
    return select_inliers_on_cuda(projections, pixels, weights, settings)


def _without_gradient(inputs: Inputs, *_: object) -> Inputs:
    return (None,) * len(inputs)


def _pairs_per_view(views: int, max_pairs: int) -> int:
    return min(max(max_pairs // max(views, 1), 1), views // 2)


_inlier_kernel = differentiable(
    Kernel(
        name="select_inliers",
        inputs=("Tensor", "Tensor", "Tensor?", "float", "int"),
        outputs=1,
        reference=_reference,
        shapes=lambda _, pixels, *__: (pixels.shape[:-1],),
        numba=(_in_loops, _without_gradient),
        triton=(_on_cuda, _without_gradient),
        shared=(0,),
    )
)
