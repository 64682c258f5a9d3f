"""The sightings of a point that agree, found on a processor: fused loops over blocks, by Numba.

All in double precision. Every pair of views gives a candidate, the midpoint of its two rays. The
candidate of the least truncated score starts a few reweighted solves with the views that agree.
"""

from math import inf, nan
from typing import TypeAlias

import numpy as np

from multiview_geom._kernels.algebra import choose, where
from multiview_geom._kernels.numba_primitives import (
    LANES,
    Array,
    copy_rows,
    put_row,
    put_vector,
    vector_at,
)
from multiview_geom._kernels.triangulation.algebra_reweighted import (
    agreement,
    midpoint,
    partner_of,
    ray_through,
    squared_sine,
)
from multiview_geom._kernels.triangulation.cpu_blocks import (
    IMAGE_ROWS,
    START,
    Sightings,
    load_sightings,
    point_at,
    view_of,
)
from multiview_geom._kernels.triangulation.cpu_metric_rig import (
    MetricRig,
    metric_workspace,
    prepare_metric_rig,
    vector3,
)
from multiview_geom._kernels.triangulation.cpu_reweighted import (
    keep_fixed,
    reweighted_step,
    start_at_origin,
)

RobustSettings: TypeAlias = tuple[float, int, float]
"""The threshold, how many pairs to try for each view, and the round-off of the arguments as they
were given."""

# Factor on the threshold in each round of solving with the inliers. A candidate from two views is
# noisier than a point from all: with the final threshold, the first rounds would remove correct
# detections.
WIDENINGS = (2.0, 1.4, 1.0, 1.0)

# Rows of each view in the array of rays: direction and weight.
RAY_ROWS = 4
# Rows of the array of pairs: ray, weight and center of the partner, candidate, its score.
CENTER, CANDIDATE, SCORE, PAIR_ROWS = 4, 7, 10, 11
# Rows of the best candidate so far: its coordinates and its score.
BEST_SCORE, BEST_ROWS = 3, 4


def select_inliers(
    rigs: Array,
    sightings: Sightings,
    span: tuple[int, int, int],
    settings: RobustSettings,
    inliers: Array,
) -> None:
    """Tell which sightings of a range of points agree, in a flat array, view by view in a frame."""
    begin, last, chunk = span
    (threshold, per_view, round_off), views, points = settings, rigs.shape[1], sightings.per_frame
    rig, image, trust, rows = metric_workspace(views)
    rays, pairs = np.empty(RAY_ROWS * views * LANES), np.empty(PAIR_ROWS * LANES)
    kept = np.empty(views * LANES)
    best, better = np.empty(BEST_ROWS * LANES), np.empty(BEST_ROWS * LANES)
    widths, partners = np.empty((views // 2, LANES)), np.empty((per_view, LANES), np.int64)
    for start in range(begin, last, chunk):
        prepare_metric_rig(rigs, start // points, rig)
        end = min(start + chunk, last)
        for first in range(start, end, LANES):
            n = min(LANES, end - first)
            load_sightings(image, rows, sightings, rig.centers, first, n)
            start_at_origin(image, trust, rows, rig, round_off, n)
            find_rays(image, trust, rays, rig, n)
            best[: BEST_SCORE * LANES], best[BEST_SCORE * LANES :] = nan, inf
            for v in range(views):
                choose_partners(rays, v, widths, partners, n)
                for slot in range(per_view):
                    load_partner(rays, rig, partners[slot], pairs, n)
                    find_candidates(rays, rig, v, pairs, n)
                    score_candidates(image, trust, rig.views, pairs, threshold * threshold, n)
                    choose_better(pairs, best, better, n)
                    best, better = better, best  # as `better` is overwritten
            copy_rows(best, 0, BEST_SCORE, rows, START)
            for widening in WIDENINGS:
                agree(image, trust, kept, rows, rig.views, widening * threshold, n)
                reweighted_step(image, kept, rows, rig.views, True, n)  # noqa: FBT003
            agree(image, trust, kept, rows, rig.views, threshold, n)
            keep_fixed(kept, rows, rig, round_off, n)
            store_inliers(kept, inliers, (first, points, views), n)


def find_rays(image: Array, trust: Array, rays: Array, rig: MetricRig, n: int) -> None:
    """Find the unit direction of the ray of every sighting, and copy its weight."""
    for v in range(len(rig.views)):
        columns = rig.inverses[v]
        a, b, c = vector3(columns[0]), vector3(columns[1]), vector3(columns[2])
        at = IMAGE_ROWS * v * LANES
        for i in range(n):
            x, y, z = ray_through(image[at + i], image[at + LANES + i], (a, b, c))
            put_row(rays, RAY_ROWS * v, i, (x, y, z, trust[v * LANES + i]))


def choose_partners(rays: Array, v: int, widths: Array, partners: Array, n: int) -> None:
    """Choose the partners of a view whose rays are closest to perpendicular to its own.

    Counted in a circle, a partner is at most half the views away.
    """
    views = len(rays) // (RAY_ROWS * LANES)
    if len(partners) == len(widths):
        for slot in range(len(partners)):
            partners[slot] = partner_of(v, slot, views)
        return
    for step in range(len(widths)):
        find_widths(rays, v, partner_of(v, step, views), widths[step], n)
    for slot in range(len(partners)):
        for i in range(n):
            best = 0
            for step in range(1, len(widths)):
                if widths[step, i] > widths[best, i]:
                    best = step
            widths[best, i] = -2.0  # less than where a ray is missing
            partners[slot, i] = partner_of(v, best, views)


def find_widths(rays: Array, v: int, partner: int, widths: Array, n: int) -> None:
    """Find the squared sines of the angles between two rays; -1 where one is missing."""
    own, other = rays[RAY_ROWS * v * LANES :], rays[RAY_ROWS * partner * LANES :]
    for i in range(n):
        sine = squared_sine(vector_at(own, 0, i), vector_at(other, 0, i))
        both = (own[3 * LANES + i] > 0.0) & (other[3 * LANES + i] > 0.0)
        widths[i] = where(both, sine, -1.0)


def load_partner(rays: Array, rig: MetricRig, partners: Array, pairs: Array, n: int) -> None:
    """Load the ray, weight and center of each point's partner."""
    for i in range(n):
        at = RAY_ROWS * partners[i] * LANES + i
        for k in range(RAY_ROWS):
            pairs[k * LANES + i] = rays[at + k * LANES]
        for k in range(3):
            pairs[(CENTER + k) * LANES + i] = rig.places[partners[i], k]


def find_candidates(rays: Array, rig: MetricRig, v: int, pairs: Array, n: int) -> None:
    """Find the points halfway between two rays, with a score of NaN where there is none."""
    center, own = vector3(rig.places[v]), rays[RAY_ROWS * v * LANES :]
    for i in range(n):
        ray, other = vector_at(own, 0, i), vector_at(pairs, 0, i)
        its_center = vector_at(pairs, CENTER, i)
        both = (own[3 * LANES + i] > 0.0) & (pairs[3 * LANES + i] > 0.0)
        candidate = midpoint(center, ray, its_center, other)
        put_vector(pairs, CANDIDATE, i, candidate)
        pairs[SCORE * LANES + i] = where(both, 0.0 * candidate[0], nan)


def score_candidates(
    image: Array, trust: Array, views: Array, pairs: Array, limit: float, n: int
) -> None:
    """Add the truncated squared residuals of candidates to their score."""
    for v in range(len(views)):
        view, at = view_of(views, v), IMAGE_ROWS * v * LANES
        for i in range(n):
            x, y, z = vector_at(pairs, CANDIDATE, i)
            u, w = image[at + i], image[at + LANES + i]
            truncated, _ = agreement(u, w, view, (x, y, z, 1.0), limit)
            pairs[SCORE * LANES + i] += trust[v * LANES + i] * truncated


def choose_better(pairs: Array, best: Array, better: Array, n: int) -> None:
    """Copy the best candidates so far, or the new ones whose score is below theirs."""
    for i in range(n):
        score, lowest = pairs[SCORE * LANES + i], best[BEST_SCORE * LANES + i]
        lower = score < lowest
        candidate = vector_at(pairs, CANDIDATE, i)
        put_vector(better, 0, i, choose(lower, candidate, vector_at(best, 0, i)))
        better[BEST_SCORE * LANES + i] = where(lower, score, lowest)


def agree(
    image: Array, trust: Array, kept: Array, rows: Array, views: Array, threshold: float, n: int
) -> None:
    """Keep the weights of the sightings whose reprojection error is below a threshold."""
    limit = threshold * threshold
    for v in range(len(views)):
        view, at = view_of(views, v), IMAGE_ROWS * v * LANES
        for i in range(n):
            u, w = image[at + i], image[at + LANES + i]
            _, near = agreement(u, w, view, point_at(rows, i, 1.0), limit)
            kept[v * LANES + i] = where(near, trust[v * LANES + i], 0.0)


def store_inliers(kept: Array, inliers: Array, where_to: tuple[int, int, int], n: int) -> None:
    """Write which sightings of n points in a row are kept; see `store_gradients`."""
    first, points, views = where_to
    for v in range(views):
        done = 0
        while done < n:
            frame, point = divmod(first + done, points)
            run = min(points - point, n - done)
            line = inliers[(frame * views + v) * points + point :]
            for i in range(run):
                line[i] = kept[v * LANES + done + i] > 0.0
            done += run
