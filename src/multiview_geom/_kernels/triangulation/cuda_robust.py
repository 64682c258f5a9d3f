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

Settings: TypeAlias = tuple[tuple[float, float], int, float]
"""The threshold as a sum of two numbers in single precision, how many pairs to try for each view,
and the round-off of the arguments as they were given."""
Widenings: TypeAlias = tuple[float, ...]
"""Of the threshold, in each round; constants."""


def select_inliers(
    given: Inputs,
    inliers: Pointer,
    sizes: Sizes,
    settings: Settings,
    widenings: Widenings,
    shared: tl.constexpr,
) -> None:
    """Tell which sightings agree; see `cpu_robust.select_inliers`."""
    item, inside, frame, place = lanes_of(sizes)
    seen = metric_by(given, sizes, item, frame, shared)
    zero = inside.to(tl.float64) * 0
    threshold, unit = zero + settings[0][0] + settings[0][1], unit_of(seen, zero, settings[2])
    point = best_candidate(seen, unit, threshold * threshold, settings[1])
    for widening in tl.static_range(len(widenings)):
        limit = threshold * widenings[widening]
        hessian, gradient = equations_at(seen, unit, point, unit >= 0, limit * limit)
        point = add_scaled(point, inverse_times(hessian, gradient)[0], -1)
    limit = threshold * threshold
    fixed = fixed_by(seen, unit, point, limit, settings[2])
    for view in range(sizes[1]):
        u, v, w, _, rows, _ = sighting(seen[0], view, unit)
        near = agreement(u, v, rows, homogeneous(point), limit)[1]
        here = (frame * sizes[1] + view) * sizes[2] + place
        kept = tl.where(fixed & near & (w > 0), 1.0, 0.0)
        tl.store(inliers + here, kept, mask=inside)


def best_candidate(seen: Metric, unit: Lanes, limit: Lanes, per_view: int) -> Vector:
    """Find the midpoint of two rays with the least truncated score; NaN where there is none."""
    zero, views = limit * 0, seen[0][1]
    nan, best = zero + float("nan"), zero + float("inf")
    point = nan, nan, nan
    for view in range(views):
        own, center, weight = ray_of(seen, view, unit)
        chosen = zero.to(tl.int64)
        for slot in range(per_view):
            step = chosen * 0 + slot
            if per_view < views // 2:
                step = widest(seen, view, unit, chosen)
                chosen = chosen | ((chosen * 0 + 1) << step)
            other, its_center, its_weight = ray_of(seen, partner_of(view, step, views), unit)
            candidate = midpoint(center, own, its_center, other)
            both = (weight > 0) & (its_weight > 0)
            score = tl.where(both, 0 * candidate[0], float("nan"))
            for each in range(views):
                u, v, w, _, rows, _ = sighting(seen[0], each, unit)
                score += w * agreement(u, v, rows, homogeneous(candidate), limit)[0]
            point = choose(score < best, candidate, point)
            best = tl.where(score < best, score, best)
    return point


def partner_of(view: Lanes, step: Lanes, views: int) -> Lanes:
    """Return the view that is so many steps before, and one, in a circle."""
    return (view + views - step - 1) % views


def ray_of(seen: Metric, view: Lanes, unit: Lanes) -> tuple[Vector, Vector, Lanes]:
    """Return the ray of a sighting of each lane, where it starts, and the weight."""
    u, v, w, _, _, _ = sighting(seen[0], view, unit)
    columns = vector_of(seen[1], view, 0), vector_of(seen[1], view, 3), vector_of(seen[1], view, 6)
    return ray_through(u, v, columns), vector_of(seen[1], view, CENTER), w


def widest(seen: Metric, view: int, unit: Lanes, chosen: Lanes) -> Lanes:
    """Return the step to the view whose ray is closest to perpendicular, but for those chosen."""
    own = ray_of(seen, view, unit)
    best, found, views = own[2] * 0 - 3, chosen * 0, seen[0][1]
    for step in range(views // 2):
        other = ray_of(seen, partner_of(view, chosen * 0 + step, views), unit)
        both = (own[2] > 0) & (other[2] > 0)
        sine = tl.where(both, squared_sine(own[0], other[0]), -1)
        sine = tl.where(((chosen >> step) & 1) == 1, -2, sine)
        found = tl.where(sine > best, step, found)
        best = tl.where(sine > best, sine, best)
    return found
