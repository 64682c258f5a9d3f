"""Reweighted linear triangulation on a processor: fused loops over blocks of points, by Numba.

All in double precision. The last homogeneous coordinate is one, so the point that solves
B x = -b is the minimum of the squared residuals; each step divides the equations by the squared
depths of the point before. Its gradient g turns into that of every input as for the homogeneous
solution, with the vector Z = (-B^-1 g, 0).
"""

from math import nan
from typing import TypeAlias

import numpy as np

from multiview_geom._kernels.algebra import (
    Number,
    add_scaled,
    dot,
    dot4,
    scale,
    where,
)
from multiview_geom._kernels.numba_primitives import (
    LANES,
    Array,
    clear,
    copy_rows,
    put_row,
    put_vector,
    symmetric_at,
    vector_at,
)
from multiview_geom._kernels.triangulation.algebra_reweighted import (
    depth_gradient,
    inverse_square,
    inverse_times,
    is_fixed,
)
from multiview_geom._kernels.triangulation.cpu import residuals
from multiview_geom._kernels.triangulation.cpu_blocks import (
    DOUBT,
    GRADIENT,
    HESSIAN,
    IMAGE_ROWS,
    LAST,
    SEEN,
    START,
    UNIT,
    Sightings,
    load_sightings,
    point_at,
    view_of,
)
from multiview_geom._kernels.triangulation.cpu_gradient import (
    UPSTREAM,
    Gradients,
    Upstream,
    Z,
    equations_at_points,
    leave_out_unknown,
    load_upstream,
    pull_back,
    pull_back_to_rig,
    store_gradients,
)
from multiview_geom._kernels.triangulation.cpu_metric_rig import (
    MetricRig,
    metric_workspace,
    prepare_metric_rig,
    vector3,
)

MetricSettings: TypeAlias = tuple[int, float]
"""How many steps to reweight, and the round-off of the arguments as they were given."""

# Rows that tell whether a point is in front of a camera that saw it, and whether it is unique.
FACED, KNOWN = LAST, DOUBT
# Sums over the cameras that saw a point, in rows that B takes later: places, their squares, squares
# of the centers, and how many cameras these are.
PLACES, PLACES_SQUARED, CENTERS_SQUARED, COUNT = HESSIAN, HESSIAN + 3, HESSIAN + 4, HESSIAN + 5


def triangulate(
    rigs: Array,
    sightings: Sightings,
    span: tuple[int, int, int],
    settings: MetricSettings,
    points: Array,
) -> None:
    """Triangulate a range of points, counted over all frames, into a flat array.

    Args:
        rigs: The projections, once for all frames or once per frame.
        sightings: As for linear triangulation.
        span: As for linear triangulation.
        settings: The settings.
        points: What to fill.
    """
    begin, last, chunk = span
    steps, round_off = settings
    rig, image, trust, rows = metric_workspace(rigs.shape[1])
    for start in range(begin, last, chunk):
        prepare_metric_rig(rigs, start // sightings.per_frame, rig)
        end = min(start + chunk, last)
        for first in range(start, end, LANES):
            n = min(LANES, end - first)
            load_sightings(image, rows, sightings, rig.centers, first, n)
            start_at_origin(image, trust, rows, rig, round_off, n)
            for step in range(steps + 1):
                reweighted_step(image, trust, rows, rig.views, step > 0, n)
            test_depths(trust, rows, rig.views, n)
            store_world_points(rows, rig.origin, points[3 * first :], n)


def start_at_origin(
    image: Array, trust: Array, rows: Array, rig: MetricRig, round_off: float, n: int
) -> None:
    """Copy the weights of points that at least two camera centers saw; start at the origin."""
    for v in range(len(rig.views)):
        weight = IMAGE_ROWS * v + 2
        copy_rows(image, weight, weight + 1, trust, v)
    keep_fixed(trust, rows, rig, round_off, n)
    clear(rows, START, START + 3)


def keep_fixed(trust: Array, rows: Array, rig: MetricRig, round_off: float, n: int) -> None:
    """Give weight zero to the sightings of points that less than two camera centers saw."""
    origin = vector3(rig.origin)
    clear(rows, PLACES, COUNT + 1)
    for v in range(len(rig.places)):
        place = vector3(rig.places[v])
        center = add_scaled(place, origin, 1.0)
        squared, center_squared = dot(place, place), dot(center, center)
        for i in range(n):
            seen = where(trust[v * LANES + i] > 0.0, 1.0, 0.0)
            put_vector(rows, PLACES, i, add_scaled(vector_at(rows, PLACES, i), place, seen))
            rows[PLACES_SQUARED * LANES + i] += seen * squared
            rows[CENTERS_SQUARED * LANES + i] += seen * center_squared
            rows[COUNT * LANES + i] += seen
    for i in range(n):
        count, places = rows[COUNT * LANES + i], vector_at(rows, PLACES, i)
        squares = rows[PLACES_SQUARED * LANES + i], rows[CENTERS_SQUARED * LANES + i]
        fixed = is_fixed(count, places, squares, round_off)
        rows[SEEN * LANES + i] = where(fixed, count, 0.0)
    for v in range(len(rig.places)):
        for i in range(n):
            trust[v * LANES + i] *= where(rows[SEEN * LANES + i] > 0.0, 1.0, 0.0)


def reweighted_step(
    image: Array, trust: Array, rows: Array, views: Array, by_depth: Number, n: int
) -> None:
    """Solve the equations, divided by the depths of the points so far if wanted."""
    divide_weights(image, trust, rows, views, by_depth, n)
    equations_at_points(image, rows, views, n)
    residuals(image, rows, views, n)
    solve(rows, GRADIENT, GRADIENT, n)
    for i in range(n):
        point, move = vector_at(rows, START, i), vector_at(rows, GRADIENT, i)
        put_vector(rows, START, i, add_scaled(point, move, -1.0))


def divide_weights(
    image: Array, trust: Array, rows: Array, views: Array, by_depth: Number, n: int
) -> None:
    """Divide the weights by the squared depths of the points; copy them unless `by_depth`."""
    for v in range(len(views)):
        depth_row, at = view_of(views, v)[0], (IMAGE_ROWS * v + 2) * LANES
        for i in range(n):
            depth = dot4(depth_row, point_at(rows, i, 1.0))
            image[at + i] = trust[v * LANES + i] * inverse_square(depth, by_depth)


def solve(rows: Array, right: int, solution: int, n: int) -> None:
    """Multiply the vectors in three rows with the inverse of B; zero where it is not positive."""
    for i in range(n):
        hessian, right_side = symmetric_at(rows, HESSIAN, i), vector_at(rows, right, i)
        solved, positive = inverse_times(hessian, right_side)
        put_vector(rows, solution, i, solved)
        rows[KNOWN * LANES + i] = where(positive, 1.0, 0.0)


def test_depths(trust: Array, rows: Array, views: Array, n: int) -> None:
    """Tell which points are in front of some camera that saw them."""
    clear(rows, FACED, FACED + 1)
    for v in range(len(views)):
        depth_row = view_of(views, v)[0]
        for i in range(n):
            depth = dot4(depth_row, point_at(rows, i, 1.0))
            faced = (depth > 0.0) & (trust[v * LANES + i] > 0.0)
            rows[FACED * LANES + i] += where(faced, 1.0, 0.0)


def store_world_points(rows: Array, origin: Array, points: Array, n: int) -> None:
    """Write n points to a flat array, NaN for those that are not unique or behind all cameras."""
    for axis in range(3):
        line, found, shift = points[axis:], rows[(START + axis) * LANES :], origin[axis]
        for i in range(n):
            sure = rows[KNOWN * LANES + i] * rows[FACED * LANES + i] > 0.0
            line[3 * i] = where(sure, found[i] + shift, nan)


def differentiate(
    rigs: Array,
    sightings: Sightings,
    span: tuple[int, int, int],
    settings: MetricSettings,
    of_points: Upstream,
    gradients: Gradients,
) -> None:
    """Turn the gradient in a range of points into that in pixels, weights and projections.

    The first four arguments are those of `triangulate`; the others those of the gradient of linear
    triangulation.
    """
    begin, last, chunk = span
    of_pixels, of_weights, of_rig = gradients
    (steps, round_off), count, per_frame = settings, rigs.shape[1], sightings.per_frame
    rig, image, trust, rows = metric_workspace(count)
    sums = np.zeros((count if len(of_rig) > 0 else 0, 3, 4))
    # The points before each step and after the last; the sightings as loaded; their gradient.
    history, loaded, back = np.empty((steps + 2, 3 * LANES)), image.copy(), image.copy()
    for start in range(begin, last, chunk):
        prepare_metric_rig(rigs, start // per_frame, rig)
        sums[:] = 0.0
        end = min(start + chunk, last)
        for first in range(start, end, LANES):
            n = min(LANES, end - first)
            load_sightings(image, rows, sightings, rig.centers, first, n)
            loaded[:], back[:] = image, 0.0
            start_at_origin(image, trust, rows, rig, round_off, n)
            record_steps(image, trust, rows, rig.views, history, n)
            load_upstream(rows, of_points, per_frame, first, 0, n)
            leave_out_unknown(rows, (0.0, 0.0, 0.0), n)
            for step in range(steps, -1, -1):
                step_back(image, trust, rows, rig, step, history, (back, sums), n)
                image[:] = loaded
            store_gradients(back, of_pixels, of_weights, (first, per_frame, count), 0, n)
        if len(of_rig) > 0:
            of_rig[start // chunk] += sums


def record_steps(
    image: Array, trust: Array, rows: Array, views: Array, history: Array, n: int
) -> None:
    """Take all steps; write down the points before each and after the last."""
    points = rows[START * LANES : (START + 3) * LANES]
    for step in range(len(history) - 1):
        history[step] = points
        reweighted_step(image, trust, rows, views, step > 0, n)
    history[len(history) - 1] = points


def step_back(
    image: Array,
    trust: Array,
    rows: Array,
    rig: MetricRig,
    step: int,
    history: Array,
    gradients: tuple[Array, Array],
    n: int,
) -> None:
    """Add the gradient of one step, and make the upstream gradient that of the points before it.

    The image holds sightings as loaded, then with their weights divided, then their gradient.
    """
    points = rows[START * LANES : (START + 3) * LANES]
    points[:] = history[step]
    divide_weights(image, trust, rows, rig.views, step > 0, n)
    points[:] = history[step + 1]
    differentiate_step(image, rows, rig, gradients[1], n)
    points[:] = history[step]
    add_gradients(image, trust, rows, rig, step > 0, gradients, n)


def differentiate_step(image: Array, rows: Array, rig: MetricRig, sums: Array, n: int) -> None:
    """Replace the image by the gradient of one step, whose weights and points are loaded.

    Where the step did not move the point, the upstream gradient passes on as it is.
    """
    equations_at_points(image, rows, rig.views, n)
    solve(rows, UPSTREAM, Z, n)
    for i in range(n):
        (a, b, c), passed = vector_at(rows, Z, i), 1.0 - rows[KNOWN * LANES + i]
        put_row(rows, Z, i, (-a, -b, -c, 0.0))
        put_vector(rows, UPSTREAM, i, scale(vector_at(rows, UPSTREAM, i), passed))
    pull_back_to_rig(image, rows, rig.centers, rig.views, vector3(rig.origin), sums, n)
    pull_back(image, rows, rig.views, n)


def add_gradients(
    image: Array,
    trust: Array,
    rows: Array,
    rig: MetricRig,
    by_depth: Number,
    gradients: tuple[Array, Array],
    n: int,
) -> None:
    """Add the gradient of one step, and that in the depths of the point before to its upstream."""
    back, sums = gradients
    for v in range(len(rig.views)):
        depth_row, at = view_of(rig.views, v)[0], IMAGE_ROWS * v * LANES
        axis = depth_row[0], depth_row[1], depth_row[2]
        for i in range(n):
            depth = dot4(depth_row, point_at(rows, i, 1.0))
            inverse = inverse_square(depth, by_depth)
            of_share = image[at + 2 * LANES + i]
            back[at + i] += image[at + i]
            back[at + LANES + i] += image[at + LANES + i]
            back[at + 2 * LANES + i] += of_share * inverse
            # `pull_back` divided `of_share` by UNIT.
            weight = rows[UNIT * LANES + i] * trust[v * LANES + i]
            of_depth = depth_gradient(of_share, weight, depth, inverse, by_depth)
            upstream = add_scaled(vector_at(rows, UPSTREAM, i), axis, of_depth)
            put_vector(rows, UPSTREAM, i, upstream)
            if len(sums) > 0:
                point = add_scaled(vector_at(rows, START, i), vector3(rig.origin), 1.0)
                for k in range(3):
                    sums[v, 2, k] += of_depth * point[k]
                sums[v, 2, 3] += of_depth
