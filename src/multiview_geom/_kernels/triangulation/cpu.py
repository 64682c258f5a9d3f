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
    about_origin,
    add_scaled,
    append_row,
    apply_transpose,
    characteristic_polynomial,
    columns_of,
    dlt_equation,
    dot,
    least_squares_point,
    normal_terms,
    orthogonalize,
    quotient_after,
    residuals_and_depth,
    scale,
    shifted_move,
    shortest_column,
    smallest_root,
    subtract_from_diagonal,
    uncertainty,
    unit_axes,
    where,
)
from multiview_geom._kernels.triangulation.cpu_blocks import (
    DOUBT,
    FEWEST_VIEWS,
    GRADIENT,
    IMAGE_ROWS,
    LANES,
    LAST,
    LINEAR,
    QUOTIENT,
    SEEN,
    SQUARED,
    START,
    Array,
    Rig,
    Sightings,
    end_of_chunk,
    hessian_at,
    load,
    load_listed,
    prepare_rig,
    rounded,
    store_doubts,
    vector_at,
    view_of,
    workspace,
)

# Newton steps, and how far the iteration and the squared equations may be off, in single and
# double precision, and for the second try in double: it may lose five of its sixteen digits, and
# leaves what loses more to the triangular factor.
SINGLE, DOUBLE, SECOND_TRY = (1, 1e-4, 16.0), (2, 1e-8, 16.0), (2, 1e-8, 1e5)
Accuracy: TypeAlias = tuple[int, float, float]

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
        span: The first point, the end of the range, and how many points in a row share a rig.
        accuracy: How sure the loops must be of a point.
        found: What to fill: the points as a flat array, and which of them are in doubt.
    """
    position, last, chunk = span
    points, doubts = found
    kind, count = points.dtype.type, rigs.shape[1]
    centers, views, image, rows = workspace(count, points)
    steps, left, spread = accuracy
    accuracy = (steps, kind(left), kind(spread))
    while position < last:
        end = min(last, (position // chunk + 1) * chunk)
        rig = prepare_rig(rigs, position // sightings[5], centers, views)
        own_centers, own_views, (x, y, z, _) = rounded(rig, points)
        while position < end:
            n = min(LANES, end - position)
            load(image, rows, sightings, own_centers, position, n)
            minimize(image, rows, own_views, (x, y, z), accuracy, n)
            store_points(rows, points[3 * position :], n)
            store_doubts(rows, doubts[position:], n)
            position += n


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
        span: The first entry of the list, the end of the range, and how many points share a rig.
        listed: Numbers of points, ascending.
        points: What to fill: a flat array.
    """
    position, last, chunk = span
    count = rigs.shape[1]
    centers, views, image, rows = workspace(count, np.zeros(1))
    while position < last:
        end = end_of_chunk(listed, position, last, chunk)
        rig = prepare_rig(rigs, listed[position] // sightings[5], centers, views)
        while position < end:
            n = min(LANES, end - position)
            solve_listed(image, rows, sightings, rig, listed[position:], points, n)
            position += n


def store_points(rows: Array, points: Array, n: int) -> None:
    """Write n points to a flat array, NaN for those that too few views saw."""
    missing = points.dtype.type(nan)
    for axis in range(3):
        line, found = points[axis:], rows[(START + axis) * LANES :]
        for i in range(n):
            line[3 * i] = where(rows[SEEN * LANES + i] >= FEWEST_VIEWS, found[i], missing)


def minimize(
    image: Array, rows: Array, views: Array, origin: Vector, accuracy: Accuracy, n: int
) -> None:
    """Find the points of n lanes whose sightings are loaded."""
    steps, most_left, most_spread = accuracy
    normal_equations(image, rows, views, n)
    start_points(rows, n)
    residuals(image, rows, views, n)
    count_from_world(rows, origin, n)
    for _ in range(steps):
        newton_step(rows, n)
    move_points(rows, most_left, most_spread, n)


def solve_listed(
    image: Array,
    rows: Array,
    sightings: Sightings,
    rig: Rig,
    listed: Array,
    points: Array,
    n: int,
) -> None:
    """Solve n listed points in double precision; where that is not enough, from the triangle."""
    centers, views, (x, y, z, _) = rig
    steps, most_left, most_spread = SECOND_TRY
    load_listed(image, rows, sightings, centers, listed, n)
    normal_equations(image, rows, views, n)
    start_points(rows, n)
    residuals(image, rows, views, n)
    count_from_world(rows, (x, y, z), n)
    climb_to_quotient(rows, n)
    for _ in range(steps):
        newton_step(rows, n)
    move_points(rows, most_left, most_spread, n)
    for i in range(n):
        point = vector_at(rows, START, i)
        if rows[DOUBT * LANES + i] != 0:
            point = solve_from_factor(image, views, (x, y, z), i)
        at = 3 * listed[i]
        points[at], points[at + 1], points[at + 2] = point[0], point[1], point[2]


def normal_equations(image: Array, rows: Array, views: Array, n: int) -> None:
    """Sum the normal_terms of the equations: B and b."""
    for k in range(9):
        for i in range(n):
            rows[k * LANES + i] = 0
    for v in range(len(views)):
        depth, across, down = view_of(views, v)
        at = IMAGE_ROWS * v * LANES
        for i in range(n):
            p = dlt_equation(across, depth, image[at + i])
            q = dlt_equation(down, depth, image[at + LANES + i])
            a = normal_terms(p, q)
            w = image[at + 2 * LANES + i]
            rows[i] += w * a[0]
            rows[LANES + i] += w * a[1]
            rows[2 * LANES + i] += w * a[2]
            rows[3 * LANES + i] += w * a[3]
            rows[4 * LANES + i] += w * a[4]
            rows[5 * LANES + i] += w * a[5]
            rows[6 * LANES + i] += w * a[6]
            rows[7 * LANES + i] += w * a[7]
            rows[8 * LANES + i] += w * a[8]


def start_points(rows: Array, n: int) -> None:
    """Solve B x = -b."""
    one = rows.dtype.type(1)
    for i in range(n):
        x, y, z = least_squares_point(hessian_at(rows, i), vector_at(rows, LINEAR, i), one)
        rows[START * LANES + i], rows[(START + 1) * LANES + i] = x, y
        rows[(START + 2) * LANES + i] = z


def residuals(image: Array, rows: Array, views: Array, n: int) -> None:
    """Find the gradient B x + b and the squared residual at the start, from the residuals."""
    one = rows.dtype.type(1)
    for k in range(GRADIENT, SQUARED + 1):
        for i in range(n):
            rows[k * LANES + i] = 0
    for v in range(len(views)):
        view = view_of(views, v)
        at = IMAGE_ROWS * v * LANES
        for i in range(n):
            x, y, z = vector_at(rows, START, i)
            a, b = image[at + i], image[at + LANES + i]
            r, s, _ = residuals_and_depth(a, b, view, (x, y, z, one))
            w = image[at + 2 * LANES + i]
            g = apply_transpose(a, b, view, (w * r, w * s))
            rows[GRADIENT * LANES + i] += g[0]
            rows[(GRADIENT + 1) * LANES + i] += g[1]
            rows[(GRADIENT + 2) * LANES + i] += g[2]
            rows[SQUARED * LANES + i] += w * (r * r + s * s)


def count_from_world(rows: Array, origin: Vector, n: int) -> None:
    """Count the start from the world's origin instead of the rig's, and find its quotient."""
    one = rows.dtype.type(1)
    for i in range(n):
        start = add_scaled(vector_at(rows, START, i), origin, one)
        rows[START * LANES + i], rows[(START + 1) * LANES + i] = start[0], start[1]
        rows[(START + 2) * LANES + i] = start[2]
        rows[QUOTIENT * LANES + i] = rows[SQUARED * LANES + i] / (one + dot(start, start))


def newton_step(rows: Array, n: int) -> None:
    """Find the quotient at the point to which the quotient so far moves the start."""
    one = rows.dtype.type(1)
    for i in range(n):
        hessian, quotient = hessian_at(rows, i), rows[QUOTIENT * LANES + i]
        start, gradient = vector_at(rows, START, i), vector_at(rows, GRADIENT, i)
        move = shifted_move(hessian, quotient, start, gradient, one)
        squared = rows[SQUARED * LANES + i]
        rows[LAST * LANES + i] = quotient
        rows[QUOTIENT * LANES + i] = quotient_after(hessian, start, gradient, squared, move, one)


def move_points(rows: Array, most_left: float, most_spread: float, n: int) -> None:
    """Move the starts to the minimum, and tell which points are in doubt."""
    one, zero = rows.dtype.type(1), rows.dtype.type(0)
    for i in range(n):
        hessian, quotient = hessian_at(rows, i), rows[QUOTIENT * LANES + i]
        start, gradient = vector_at(rows, START, i), vector_at(rows, GRADIENT, i)
        move = shifted_move(hessian, quotient, start, gradient, one)
        point = add_scaled(start, move, one)
        shifted = subtract_from_diagonal(hessian, quotient)
        change = rows[LAST * LANES + i] - quotient
        left, spread = uncertainty(shifted, change, move, point, one)
        sure = (left >= zero) & (left < most_left) & (spread < most_spread)
        rows[START * LANES + i], rows[(START + 1) * LANES + i] = point[0], point[1]
        rows[(START + 2) * LANES + i] = point[2]
        rows[DOUBT * LANES + i] = zero if sure else one


def climb_to_quotient(rows: Array, n: int) -> None:
    """Start from the smallest root of the characteristic polynomial, by Laguerre's iteration.

    Newton's iteration may leave the smallest eigenvalue where the sightings disagree wildly; this
    does not. For double precision.
    """
    for i in range(n):
        d, c, b, a = characteristic_polynomial(
            hessian_at(rows, i), vector_at(rows, START, i), rows[SQUARED * LANES + i]
        )
        root = smallest_root(d, c, b, a, 0.0)
        root = smallest_root(d, c, b, a, root)
        root = smallest_root(d, c, b, a, root)
        root = smallest_root(d, c, b, a, root)
        root = smallest_root(d, c, b, a, root)
        rows[QUOTIENT * LANES + i] = root


def solve_from_factor(image: Array, views: Array, origin: Vector, i: int) -> Vector:
    """Find one point from the triangular factor of its equations, by one-sided Jacobi rotations.

    The equations are not squared, so this is as accurate as their singular value decomposition.
    """
    nothing = (0.0, 0.0, 0.0, 0.0)
    factor, shift = (nothing, nothing, nothing, nothing), scale(origin, -1.0)
    for v in range(len(views)):
        depth, across, down = view_of(views, v)
        at = IMAGE_ROWS * v * LANES + i
        root = sqrt(image[at + 2 * LANES])
        p = dlt_equation(across, depth, image[at])
        q = dlt_equation(down, depth, image[at + LANES])
        factor = append_row(
            append_row(factor, about_origin(p, shift, root)), about_origin(q, shift, root)
        )
    columns, axes = columns_of(factor), unit_axes(0.0)
    for _ in range(JACOBI_SWEEPS):
        columns, axes, largest = orthogonalize(columns, axes)
        if largest <= ORTHOGONAL:
            break
    x, y, z, w = shortest_column(columns, axes)
    return x / w, y / w, z / w
