"""The sightings of a point that agree, found on a GPU: one fused kernel, by Triton.

All in double precision; the candidates, their score and the rounds are those of `cpu_robust`.
"""

from typing import TypeAlias

import triton.language as tl

from multiview_geom._kernels.algebra import Vector, add_scaled, choose
from multiview_geom._kernels.triangulation.algebra_reweighted import (
    agreement,
    homogeneous,
    inverse_times,
    midpoint,
    partner_of,
    ray_through,
    squared_sine,
)
from multiview_geom._kernels.triangulation.cuda_blocks import (
    Inputs,
    Sizes,
    lanes_of,
    sighting,
)
from multiview_geom._kernels.triangulation.cuda_metric_rig import (
    CENTER,
    Metric,
    fixed_by,
    metric_by,
    unit_of,
    vector_of,
)
from multiview_geom._kernels.triangulation.cuda_reweighted import equations_at
from multiview_geom._kernels.triton_primitives import Lanes, Pointer

RobustSettings: TypeAlias = tuple[tuple[float, float], int, float]
"""The threshold as a sum of two numbers in single precision, how many pairs to try for each view,
and the round-off of the arguments as they were given."""
Widenings: TypeAlias = tuple[float, ...]
"""Of the threshold, in each round; constants."""


def select_inliers(
    given: Inputs,
    inliers: Pointer,
    sizes: Sizes,
    settings: RobustSettings,
    widenings: Widenings,
    shared: tl.constexpr,
) -> None:
    """Tell which sightings agree; see `cpu_robust.select_inliers`."""
    item, inside, frame, place = lanes_of(sizes)
    metric = metric_by(given, sizes, item, frame, shared)
    zero = inside.to(tl.float64) * 0
    parts, per_view, round_off = settings
    threshold, unit = zero + parts[0] + parts[1], unit_of(metric, zero, round_off)
    point = best_candidate(metric, unit, threshold * threshold, per_view)
    for widening in tl.static_range(len(widenings)):
        limit = threshold * widenings[widening]
        # `unit >= 0`: divided by depths everywhere.
        hessian, gradient = equations_at(metric, unit, point, unit >= 0, limit * limit)
        point = add_scaled(point, inverse_times(hessian, gradient)[0], -1)
    limit = threshold * threshold
    fixed = fixed_by(metric, unit, point, limit, round_off)
    for view in range(sizes[1]):
        u, v, w, _, rows, _ = sighting(metric[0], view, unit)
        near = agreement(u, v, rows, homogeneous(point), limit)[1]
        here = (frame * sizes[1] + view) * sizes[2] + place
        kept = tl.where(fixed & near & (w > 0), 1.0, 0.0)
        tl.store(inliers + here, kept, mask=inside)


def best_candidate(metric: Metric, unit: Lanes, limit: Lanes, per_view: int) -> Vector:
    """Find the midpoint of two rays with the least truncated score; NaN where there is none."""
    seen, zero = metric[0], limit * 0
    views = seen[1]
    nan, best = zero + float("nan"), zero + float("inf")
    point = nan, nan, nan
    for view in range(views):
        own, center, weight = ray_of(metric, view, unit)
        chosen = zero.to(tl.int64)  # a bit for each step taken; a step is a number per lane
        for slot in range(per_view):
            step = chosen * 0 + slot
            if per_view < views // 2:
                step = widest(metric, view, unit, chosen)
                chosen = chosen | ((chosen * 0 + 1) << step)
            other, its_center, its_weight = ray_of(metric, partner_of(view, step, views), unit)
            candidate = midpoint(center, own, its_center, other)
            both = (weight > 0) & (its_weight > 0)
            score = tl.where(both, 0 * candidate[0], float("nan"))
            for each in range(views):
                u, v, w, _, rows, _ = sighting(seen, each, unit)
                score += w * agreement(u, v, rows, homogeneous(candidate), limit)[0]
            point = choose(score < best, candidate, point)
            best = tl.where(score < best, score, best)
    return point


def ray_of(metric: Metric, view: Lanes, unit: Lanes) -> tuple[Vector, Vector, Lanes]:
    """Return the ray of a sighting of each lane, where it starts, and the weight."""
    seen, frames = metric
    u, v, w, _, _, _ = sighting(seen, view, unit)
    columns = vector_of(frames, view, 0), vector_of(frames, view, 3), vector_of(frames, view, 6)
    return ray_through(u, v, columns), vector_of(frames, view, CENTER), w


def widest(metric: Metric, view: int, unit: Lanes, chosen: Lanes) -> Lanes:
    """Return the step to the view whose ray is closest to perpendicular, but for those chosen."""
    own = ray_of(metric, view, unit)
    best, found, views = own[2] * 0 - 3, chosen * 0, metric[0][1]
    for step in range(views // 2):
        other = ray_of(metric, partner_of(view, chosen * 0 + step, views), unit)
        both = (own[2] > 0) & (other[2] > 0)
        sine = tl.where(both, squared_sine(own[0], other[0]), -1)
        sine = tl.where(((chosen >> step) & 1) == 1, -2, sine)
        found = tl.where(sine > best, step, found)
        best = tl.where(sine > best, sine, best)
    return found
