"""Linear triangulation on a processor: fused loops over blocks of points, by Numba.

`triangulate` solves all points, and tells which are in doubt. `solve_again` solves these once more
in double precision, and those that are still in doubt one by one from the triangular factor of
their equations. Numba compiles `solve_again` when a point is in doubt for the first time.
"""

from math import nan, sqrt
from typing import TypeAlias

import numpy as np

from multiview_geom._kernels.algebra import (
    Vector,
    add_scaled,
    add_symmetric,
    dot,
    scale,
    unit_axes,
    where,
)
from multiview_geom._kernels.numba_primitives import (
    LANES,
    Array,
    clear,
    put_symmetric,
    put_vector,
    symmetric_at,
    vector_at,
)
from multiview_geom._kernels.triangulation.algebra import (
    FEWEST_VIEWS,
    about_origin,
    append_row,
    apply_transpose,
    characteristic_polynomial,
    columns_of,
    equations,
    least_squares_point,
    minimum,
    next_quotient,
    normal_terms,
    orthogonalize,
    point_of_smallest,
    residuals_and_depth,
    smallest_root,
)
from multiview_geom._kernels.triangulation.cpu_blocks import (
    DOUBT,
    GRADIENT,
    HESSIAN,
    IMAGE_ROWS,
    LAST,
    LINEAR,
    QUOTIENT,
    SEEN,
    SQUARED,
    START,
    Sightings,
    end_of_chunk,
    load_listed,
    load_sightings,
    prepare_rig,
    rounded,
    store_doubts,
    view_of,
    workspace,
)

Accuracy: TypeAlias = tuple[int, float, float]
"""How many new quotients Newton's iteration takes, and the limits of `minimum`."""
SINGLE: Accuracy = (1, 1e-4, 16.0)
DOUBLE: Accuracy = (2, 1e-8, 16.0)
# It may lose five of its sixteen digits, and leaves what loses more to the triangular factor.
SECOND_TRY: Accuracy = (2, 1e-8, 1e5)

JACOBI_SWEEPS = 20
# The squared cosine of two columns that count as orthogonal.
ORTHOGONAL = 1e-30


def triangulate(
    rigs: Array,
    sightings: Sightings,
    span: tuple[int, int, int],
    accuracy: Accuracy,
    found: tuple[Array, Array],
) -> None:
    """Triangulate a range of points, counted over all frames.

    Args:
        rigs: The projections, once for all frames or once per frame.
        sightings: What the views saw.
        span: The first point, the end of the range, and the size of a chunk: points in a row that
            share a rig. The range begins with a chunk.
        accuracy: How sure the loops must be of a point.
        found: What to fill: the points as a flat array, and which of them are in doubt.
    """
    begin, last, chunk = span
    points, doubts = found
    kind, (steps, most_left, most_lost) = points.dtype.type, accuracy
    own_accuracy = steps, kind(most_left), kind(most_lost)
    centers, views, image, rows = workspace(rigs.shape[1], points)
    for start in range(begin, last, chunk):
        rig = prepare_rig(rigs, start // sightings.per_frame, centers, views)
        own_centers, own_views, (x, y, z, _) = rounded(rig, points)
        end = min(start + chunk, last)
        for first in range(start, end, LANES):
            n = min(LANES, end - first)
            load_sightings(image, rows, sightings, own_centers, first, n)
            find_start(image, rows, own_views, (x, y, z), n)
            iterate(rows, own_accuracy, n)
            store_points(rows, points[3 * first :], n)
            store_doubts(rows, doubts[first:], n)


def solve_again(
    rigs: Array,
    sightings: Sightings,
    span: tuple[int, int, int],
    listed: Array,
    points: Array,
) -> None:
    """Solve listed points in double precision; where that is not enough, from the triangle.

    Args:
        rigs: As for `triangulate`.
        sightings: As for `triangulate`.
        span: The first entry of the list, the end of the range, and the size of a chunk.
        listed: Numbers of points, ascending.
        points: What to fill: a flat array.
    """
    position, last, chunk = span
    centers, views, image, rows = workspace(rigs.shape[1], np.zeros(1))
    while position < last:
        end = end_of_chunk(listed, position, last, chunk)
        rig = prepare_rig(rigs, listed[position] // sightings.per_frame, centers, views)
        x, y, z, _ = rig[2]
        for first in range(position, end, LANES):
            n, block = min(LANES, end - first), listed[first:]
            load_listed(image, rows, sightings, centers, block, n)
            find_start(image, rows, views, (x, y, z), n)
            climb_to_quotient(rows, n)
            iterate(rows, SECOND_TRY, n)
            for i in range(n):
                point = vector_at(rows, START, i)
                if rows[DOUBT * LANES + i] != 0:
                    point = solve_from_factor(image, views, (x, y, z), i)
                points[3 * block[i]], points[3 * block[i] + 1] = point[0], point[1]
                points[3 * block[i] + 2] = point[2]
        position = end


def find_start(image: Array, rows: Array, views: Array, origin: Vector, n: int) -> None:
    """Find the least-squares points of n lanes, and all that the iteration needs around them."""
    normal_equations(image, rows, views, n)
    start_points(rows, n)
    residuals(image, rows, views, n)
    count_from_world(rows, origin, n)


def iterate(rows: Array, accuracy: Accuracy, n: int) -> None:
    """Move the start to the minimum by Newton's iteration, and tell which points are in doubt.

    Until the last move only the quotients change: all else is about the start.
    """
    steps, most_left, most_lost = accuracy
    for _ in range(steps):
        newton_step(rows, n)
    move_points(rows, (most_left, most_lost), n)


def normal_equations(image: Array, rows: Array, views: Array, n: int) -> None:
    """Sum the normal_terms of the equations: B and b."""
    clear(rows, HESSIAN, LINEAR + 3)
    for v in range(len(views)):
        view, at = view_of(views, v), IMAGE_ROWS * v * LANES
        for i in range(n):
            p, q = equations(image[at + i], image[at + LANES + i], view)
            squares, products = normal_terms(p, q)
            w = image[at + 2 * LANES + i]
            hessian = add_symmetric(symmetric_at(rows, HESSIAN, i), squares, w)
            linear = add_scaled(vector_at(rows, LINEAR, i), products, w)
            put_symmetric(rows, HESSIAN, i, hessian)
            put_vector(rows, LINEAR, i, linear)


def start_points(rows: Array, n: int) -> None:
    """Solve B x = -b."""
    one = rows.dtype.type(1)
    for i in range(n):
        hessian, linear = symmetric_at(rows, HESSIAN, i), vector_at(rows, LINEAR, i)
        put_vector(rows, START, i, least_squares_point(hessian, linear, one))


def residuals(image: Array, rows: Array, views: Array, n: int) -> None:
    """Find the gradient B x + b and the squared residual at the start.

    From the residuals of each sighting: B and b have lost half of the digits.
    """
    one = rows.dtype.type(1)
    clear(rows, GRADIENT, SQUARED + 1)
    for v in range(len(views)):
        view, at = view_of(views, v), IMAGE_ROWS * v * LANES
        for i in range(n):
            x, y, z = vector_at(rows, START, i)
            a, b, w = image[at + i], image[at + LANES + i], image[at + 2 * LANES + i]
            r, s, _ = residuals_and_depth(a, b, view, (x, y, z, one))
            change = apply_transpose(a, b, view, (w * r, w * s))
            put_vector(rows, GRADIENT, i, add_scaled(vector_at(rows, GRADIENT, i), change, one))
            rows[SQUARED * LANES + i] += w * (r * r + s * s)


def count_from_world(rows: Array, origin: Vector, n: int) -> None:
    """Count the start from the world's origin, and find its quotient.

    The views are about the rig's origin, but |X| is about the world's: from here on the start too.
    """
    one = rows.dtype.type(1)
    for i in range(n):
        start = add_scaled(vector_at(rows, START, i), origin, one)
        put_vector(rows, START, i, start)
        rows[QUOTIENT * LANES + i] = rows[SQUARED * LANES + i] / (one + dot(start, start))


def newton_step(rows: Array, n: int) -> None:
    """Find the quotient at the point to which the quotient so far moves the start."""
    one = rows.dtype.type(1)
    for i in range(n):
        sums = symmetric_at(rows, HESSIAN, i), rows[SQUARED * LANES + i]
        quotient = rows[QUOTIENT * LANES + i]
        start, gradient = vector_at(rows, START, i), vector_at(rows, GRADIENT, i)
        rows[LAST * LANES + i] = quotient
        rows[QUOTIENT * LANES + i] = next_quotient(sums, quotient, start, gradient, one)


def move_points(rows: Array, limits: tuple[float, float], n: int) -> None:
    """Move the starts as the last quotient asks, and tell which points are in doubt."""
    one, zero = rows.dtype.type(1), rows.dtype.type(0)
    for i in range(n):
        hessian, quotient = symmetric_at(rows, HESSIAN, i), rows[QUOTIENT * LANES + i]
        start, gradient = vector_at(rows, START, i), vector_at(rows, GRADIENT, i)
        quotients = quotient, rows[LAST * LANES + i]
        point, sure = minimum(hessian, quotients, start, gradient, limits, one)
        put_vector(rows, START, i, point)
        rows[DOUBT * LANES + i] = zero if sure else one


def climb_to_quotient(rows: Array, n: int) -> None:
    """Start from the smallest root of the characteristic polynomial; for double precision."""
    for i in range(n):
        hessian, start = symmetric_at(rows, HESSIAN, i), vector_at(rows, START, i)
        polynomial = characteristic_polynomial(hessian, start, rows[SQUARED * LANES + i])
        rows[QUOTIENT * LANES + i] = smallest_root(polynomial)


def store_points(rows: Array, points: Array, n: int) -> None:
    """Write n points to a flat array, NaN for those that too few views saw."""
    missing = points.dtype.type(nan)
    for axis in range(3):
        line, found = points[axis:], rows[(START + axis) * LANES :]
        for i in range(n):
            line[3 * i] = where(rows[SEEN * LANES + i] >= FEWEST_VIEWS, found[i], missing)


def solve_from_factor(image: Array, views: Array, origin: Vector, i: int) -> Vector:
    """Find one point from the triangular factor of its equations, by one-sided Jacobi rotations.

    The equations are not squared, so this is as accurate as their singular value decomposition.
    """
    nothing = (0.0, 0.0, 0.0, 0.0)
    factor, shift = (nothing, nothing, nothing, nothing), scale(origin, -1.0)
    for v in range(len(views)):
        at = IMAGE_ROWS * v * LANES + i
        p, q = equations(image[at], image[at + LANES], view_of(views, v))
        root = sqrt(image[at + 2 * LANES])
        factor = append_row(factor, about_origin(p, shift, root))
        factor = append_row(factor, about_origin(q, shift, root))
    columns, axes = columns_of(factor), unit_axes(0.0)
    for _ in range(JACOBI_SWEEPS):
        columns, axes, largest = orthogonalize(columns, axes)
        if largest <= ORTHOGONAL:
            break
    return point_of_smallest(columns, axes)
