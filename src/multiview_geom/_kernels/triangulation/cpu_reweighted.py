"""Reweighted linear triangulation on a processor: fused loops over blocks of points, by Numba.

All in double precision. The last homogeneous coordinate is one, so the point that solves
B x = -b is the minimum of the squared residuals; each step divides the equations by the squared
depths of the point before. Its gradient g turns into that of every input as for the homogeneous
solution, with the test vector Z = (-B^-1 g, 0).
"""

from math import nan, sqrt
from typing import TypeAlias

import numpy as np

from multiview_geom._kernels.algebra import (
    Number,
    Vector,
    adjugate,
    cross,
    determinant,
    dot,
    dot4,
    multiply,
    scale,
    trace,
    where,
)
from multiview_geom._kernels.triangulation.cpu import residuals
from multiview_geom._kernels.triangulation.cpu_blocks import (
    DOUBT,
    FEWEST_VIEWS,
    GRADIENT,
    IMAGE_ROWS,
    LANES,
    LAST,
    SEEN,
    START,
    UNIT,
    Array,
    Sightings,
    hessian_at,
    largest_entry,
    load,
    vector_at,
    view_of,
    workspace,
)
from multiview_geom._kernels.triangulation.cpu_gradient import (
    TEST,
    UPSTREAM,
    Upstream,
    equations_at_points,
    load_upstream,
    pull_back,
    pull_back_to_rig,
    store,
)

MetricRig: TypeAlias = tuple[Array, Array, Array, Array, Array]
"""Zeros for a view that can be used and NaN else; rows of the views, whose depths are positive in
front; the inverse of their left 3x3 parts, column by column; camera centers from the origin; and
the origin."""
Settings: TypeAlias = tuple[int, float]
"""How many steps to reweight, and the round-off of the arguments as they were given."""

# Squared baselines below this many round-offs of the squared length count as zero, or below this
# many squared round-offs, as the arguments were given, of the coordinates of the camera centers.
SAME_PLACE, SAME_CENTER = 16.0, 4096.0
# Determinants below this many round-offs count as zero, if the mean of the diagonal is one.
PARALLEL = 16.0
ROUND_OFF = 2.0**-52
# Rows that tell whether a point is in front of a camera that saw it, and whether it is unique.
FACED, KNOWN = LAST, DOUBT


def triangulate(
    rigs: Array,
    sightings: Sightings,
    span: tuple[int, int, int],
    settings: Settings,
    points: Array,
) -> None:
    """Triangulate a range of points, counted over all frames, into a flat array.

    Args:
        rigs: The projections, once for all frames or once per frame.
        sightings: As for linear triangulation.
        span: The first point, the end of the range, and how many points in a row share a rig.
        settings: The settings.
        points: What to fill.
    """
    position, last, chunk = span
    steps, given = settings
    rig, image, trust, rows = metric_workspace(rigs.shape[1])
    while position < last:
        prepare_metric_rig(rigs, position // sightings[5], rig)
        end = min(last, (position // chunk + 1) * chunk)
        while position < end:
            n = min(LANES, end - position)
            load(image, rows, sightings, rig[0], position, n)
            start_at_origin(image, trust, rows, rig, given, n)
            for step in range(steps + 1):
                reweighted_step(image, trust, rows, rig[1], step > 0, n)
            test_depths(trust, rows, rig[1], n)
            store_world_points(rows, rig[4], points[3 * position :], n)
            position += n


def metric_workspace(views: int) -> tuple[MetricRig, Array, Array, Array]:
    """Allocate a rig, the image array of a block, its weights, and its scratch array."""
    unusable, rows_of_views, image, rows = workspace(views, np.zeros(1))
    rig = (unusable, rows_of_views, np.zeros((views, 3, 3)), np.zeros((views, 3)), np.zeros(3))
    return rig, image, np.empty(views * LANES), rows


def prepare_metric_rig(rigs: Array, frame: int, rig: MetricRig) -> None:
    """Fill in the rig of a frame, or of the one for all; its origin is the mean of the centers."""
    unusable, views, inverses, places, origin = rig
    projections = rigs[min(frame, len(rigs) - 1)]
    usable = 0
    origin[:] = 0.0
    for v in range(len(projections)):
        known = invert_view(projections[v], views[v], inverses[v], places[v])
        unusable[v] = 0.0 if known else nan
        usable += known
        origin += places[v]
    origin /= max(usable, 1)
    for v in range(len(projections)):
        for row in views[v]:
            row[3] += row[0] * origin[0] + row[1] * origin[1] + row[2] * origin[2]
        places[v] -= origin


def invert_view(projection: Array, view: Array, inverse: Array, place: Array) -> bool:
    """Fill in a view; zeros, and False, if it is singular or a number is not finite."""
    view[:], inverse[:], place[:] = 0.0, 0.0, 0.0
    across, down, axis = vector3(projection[0]), vector3(projection[1]), vector3(projection[2])
    volume = dot(across, cross(down, axis))
    if largest_entry(projection) < 0 or volume == 0.0:
        return False
    factor = (1.0 if volume > 0 else -1.0) / sqrt(dot(axis, axis))
    columns = (cross(down, axis), cross(axis, across), cross(across, down))
    for row in range(3):
        for k in range(4):
            view[(row + 1) % 3, k] = projection[row, k] * factor
        column = scale(columns[row], 1.0 / (volume * factor))
        inverse[row, 0], inverse[row, 1], inverse[row, 2] = column[0], column[1], column[2]
        place -= inverse[row] * view[(row + 1) % 3, 3]
    return True


def vector3(a: Array) -> Vector:
    """Return the first three entries of an array, in double precision."""
    return float(a[0]), float(a[1]), float(a[2])


def start_at_origin(
    image: Array, trust: Array, rows: Array, rig: MetricRig, given: float, n: int
) -> None:
    """Copy the weights of points that at least two camera centers saw; start at the origin."""
    for v in range(len(rig[0])):
        for i in range(n):
            trust[v * LANES + i] = image[(IMAGE_ROWS * v + 2) * LANES + i]
    keep_fixed(trust, rows, rig, given, n)
    rows[START * LANES : (START + 3) * LANES] = 0.0


def keep_fixed(trust: Array, rows: Array, rig: MetricRig, given: float, n: int) -> None:
    """Give weight zero to the sightings of points that less than two camera centers saw."""
    places, origin = rig[3], rig[4]
    rows[: 6 * LANES] = 0.0
    for v in range(len(places)):
        x, y, z = vector3(places[v])
        a, b, c = x + origin[0], y + origin[1], z + origin[2]
        squared, whole = dot((x, y, z), (x, y, z)), dot((a, b, c), (a, b, c))
        for i in range(n):
            seen = where(trust[v * LANES + i] > 0.0, 1.0, 0.0)
            rows[i] += seen * x
            rows[LANES + i] += seen * y
            rows[2 * LANES + i] += seen * z
            rows[3 * LANES + i] += seen * squared
            rows[4 * LANES + i] += seen * whole
            rows[5 * LANES + i] += seen
    for i in range(n):
        count = rows[5 * LANES + i]
        share = 1.0 / where(count > 0.0, count, 1.0)
        mean = scale(vector_at(rows, 0, i), share)
        squared, whole = rows[3 * LANES + i] * share, rows[4 * LANES + i] * share
        nothing = SAME_PLACE * ROUND_OFF * squared + SAME_CENTER * given * given * whole
        fixed = (count >= FEWEST_VIEWS) & (squared - dot(mean, mean) > nothing)
        rows[SEEN * LANES + i] = where(fixed, count, 0.0)
    for v in range(len(places)):
        for i in range(n):
            trust[v * LANES + i] *= where(rows[SEEN * LANES + i] > 0.0, 1.0, 0.0)


def reweighted_step(
    image: Array,
    trust: Array,
    rows: Array,
    views: Array,
    by_depth: Number,
    n: int,
) -> None:
    """Solve the equations, divided by the depths of the points so far if wanted."""
    divide_weights(image, trust, rows, views, by_depth, n)
    equations_at_points(image, rows, views, n)
    residuals(image, rows, views, n)
    solve(rows, GRADIENT, GRADIENT, n)
    for k in range(3):
        for i in range(n):
            rows[(START + k) * LANES + i] -= rows[(GRADIENT + k) * LANES + i]


def divide_weights(
    image: Array,
    trust: Array,
    rows: Array,
    views: Array,
    by_depth: Number,
    n: int,
) -> None:
    """Divide the weights by the squared depths of the points; copy them unless `by_depth`."""
    for v in range(len(views)):
        depth_row, at = view_of(views, v)[0], (IMAGE_ROWS * v + 2) * LANES
        for i in range(n):
            x, y, z = vector_at(rows, START, i)
            depth = dot4(depth_row, (x, y, z, 1.0))
            image[at + i] = trust[v * LANES + i] * inverse_square(depth, by_depth)


def inverse_square(depth: Number, by_depth: Number) -> Number:
    """Return 1 / depth^2, and zero in the plane of a camera center; one unless `by_depth`."""
    squared = where(by_depth, depth * depth, 1.0)
    return where(squared > 0.0, 1.0, 0.0) / where(squared > 0.0, squared, 1.0)


def solve(rows: Array, right: int, solution: int, n: int) -> None:
    """Multiply the vectors in three rows with the inverse of B; zero where it is not positive."""
    for i in range(n):
        hessian = hessian_at(rows, i)
        mean = trace(hessian) / 3.0
        cofactors = adjugate(hessian)
        volume = determinant(hessian, cofactors)
        positive = (hessian[0] > 0.0) & (cofactors[5] > 0.0)
        positive &= volume > PARALLEL * ROUND_OFF * mean * mean * mean
        inverse = where(positive, 1.0, 0.0) / where(positive, volume, 1.0)
        x, y, z = scale(multiply(cofactors, vector_at(rows, right, i)), inverse)
        rows[solution * LANES + i] = x
        rows[(solution + 1) * LANES + i] = y
        rows[(solution + 2) * LANES + i] = z
        rows[KNOWN * LANES + i] = where(positive, 1.0, 0.0)


def test_depths(trust: Array, rows: Array, views: Array, n: int) -> None:
    """Tell which points are in front of some camera that saw them."""
    rows[FACED * LANES : (FACED + 1) * LANES] = 0.0
    for v in range(len(views)):
        depth_row = view_of(views, v)[0]
        for i in range(n):
            x, y, z = vector_at(rows, START, i)
            faced = (dot4(depth_row, (x, y, z, 1.0)) > 0.0) & (trust[v * LANES + i] > 0.0)
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
    settings: Settings,
    of_points: Upstream,
    gradients: tuple[Array, Array, Array],
) -> None:
    """Turn the gradient in a range of points into that in pixels, weights and projections.

    The first four arguments are those of `triangulate`; the others those of the gradient of linear
    triangulation.
    """
    position, last, chunk = span
    (steps, given), count, per_frame = settings, rigs.shape[1], sightings[5]
    rig, image, trust, rows = metric_workspace(count)
    history, whole, back = np.empty((steps + 2, 3 * LANES)), image.copy(), image.copy()
    found, sums = rows[START * LANES : (START + 3) * LANES], np.zeros((count, 3, 4))
    if len(gradients[2]) == 0:
        sums = sums[:0]
    while position < last:
        prepare_metric_rig(rigs, position // per_frame, rig)
        sums[:] = 0.0
        end = min(last, (position // chunk + 1) * chunk)
        while position < end:
            n = min(LANES, end - position)
            load(image, rows, sightings, rig[0], position, n)
            whole[:], back[:] = image, 0.0
            start_at_origin(image, trust, rows, rig, given, n)
            for step in range(steps + 1):
                history[step] = found
                reweighted_step(image, trust, rows, rig[1], step > 0, n)
            history[steps + 1] = found
            load_upstream(rows, of_points, per_frame, position, 0, n)
            leave_out_not_found(rows, n)
            for step in range(steps, -1, -1):
                found[:] = history[step]
                divide_weights(image, trust, rows, rig[1], step > 0, n)
                found[:] = history[step + 1]
                step_back(image, rows, rig, sums, n)
                found[:] = history[step]
                add_gradients(image, trust, rows, rig, step > 0, (back, sums), n)
                image[:] = whole
            store(back, gradients[0], gradients[1], (position, per_frame, count), 0, n)
            position += n
        if len(sums) > 0:
            undo_scale(rigs[min((end - 1) // per_frame, len(rigs) - 1)], sums)
            gradients[2][(end - 1) // chunk] += sums


def leave_out_not_found(rows: Array, n: int) -> None:
    """Make the upstream gradient zero where the point is NaN."""
    for k in range(3):
        for i in range(n):
            known = rows[START * LANES + i] == rows[START * LANES + i]
            back = rows[(UPSTREAM + k) * LANES + i]
            rows[(UPSTREAM + k) * LANES + i] = where(known, back, 0.0)


def step_back(image: Array, rows: Array, rig: MetricRig, sums: Array, n: int) -> None:
    """Replace the image by the gradient of one step, whose weights and points are loaded.

    Where the step did not move the point, the upstream gradient passes on as it is.
    """
    unusable, views, _, _, origin = rig
    equations_at_points(image, rows, views, n)
    solve(rows, UPSTREAM, TEST, n)
    for k in range(3):
        for i in range(n):
            rows[(TEST + k) * LANES + i] *= -1.0
            rows[(UPSTREAM + k) * LANES + i] *= 1.0 - rows[KNOWN * LANES + i]
    rows[(TEST + 3) * LANES : (TEST + 4) * LANES] = 0.0
    if len(sums) > 0:
        pull_back_to_rig(image, rows, unusable, views, vector3(origin), sums, n)
    pull_back(image, rows, views, n)


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
    _, views, _, _, origin = rig
    back, sums = gradients
    for v in range(len(views)):
        depth_row, at = view_of(views, v)[0], IMAGE_ROWS * v * LANES
        for i in range(n):
            x, y, z = vector_at(rows, START, i)
            depth = dot4(depth_row, (x, y, z, 1.0))
            inverse = inverse_square(depth, by_depth)
            of_share = image[at + 2 * LANES + i]
            back[at + i] += image[at + i]
            back[at + LANES + i] += image[at + LANES + i]
            back[at + 2 * LANES + i] += of_share * inverse
            of_share *= rows[UNIT * LANES + i] * trust[v * LANES + i]
            of_depth = where(by_depth, -2.0 * of_share * inverse * inverse * depth, 0.0)
            rows[UPSTREAM * LANES + i] += of_depth * depth_row[0]
            rows[(UPSTREAM + 1) * LANES + i] += of_depth * depth_row[1]
            rows[(UPSTREAM + 2) * LANES + i] += of_depth * depth_row[2]
            if len(sums) > 0:
                sums[v, 2, 0] += of_depth * (x + origin[0])
                sums[v, 2, 1] += of_depth * (y + origin[1])
                sums[v, 2, 2] += of_depth * (z + origin[2])
                sums[v, 2, 3] += of_depth


def undo_scale(projections: Array, sums: Array) -> None:
    """Turn the gradient in matrices whose third row measures depth into that in the given."""
    for v in range(len(sums)):
        across, down, axis = (
            vector3(projections[v, 0]),
            vector3(projections[v, 1]),
            vector3(projections[v, 2]),
        )
        squared, volume = dot(axis, axis), dot(across, cross(down, axis))
        if largest_entry(projections[v]) < 0 or volume == 0.0:
            continue
        sums[v] *= (1.0 if volume > 0 else -1.0) / sqrt(squared)
        along = (sums[v] * projections[v]).sum() / squared
        for k in range(3):
            sums[v, 2, k] -= along * axis[k]
