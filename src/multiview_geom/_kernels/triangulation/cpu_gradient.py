"""The gradient of linear triangulation on a processor: fused loops, by Numba.

For an upstream gradient g, let h = (B - q)^-1 g and Z = (h.x / |X|^2) X - (h, 0). The gradient in
every input is that of Z^T A^T A X with Z and X held fixed: see docs/kernels.md. Points whose
Hessian is ill conditioned are in doubt; `differentiate_again` does them in double precision.
"""

from math import isfinite
from typing import TypeAlias

import numpy as np

from multiview_geom._kernels.algebra import (
    Vector,
    add_scaled,
    adjugate,
    determinant,
    dlt_equation,
    dot,
    dot4,
    multiply,
    normal_terms,
    residuals_and_depth,
    scale,
    subtract_from_diagonal,
    trace,
    where,
)
from multiview_geom._kernels.triangulation.cpu_blocks import (
    DOUBT,
    FEWEST_VIEWS,
    IMAGE_ROWS,
    LANES,
    SEEN,
    SQUARED,
    START,
    UNIT,
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

Upstream: TypeAlias = tuple[Array, Array, tuple[int, int, int]]
"""Points as a flat array; the gradient that comes back for them, as a flat array with its steps
from frame to frame, from point to point and from axis to axis."""

# Rows of the scratch array that the backward pass uses otherwise: the upstream gradient (3), and
# the test vector (4).
UPSTREAM, TEST = 6, 12

# The condition of B - q up to which single precision is enough for a gradient, and up to which
# double precision is; beyond, the point is not determined and passes no gradient.
SINGLE_GRADIENT, DOUBLE_GRADIENT = 2e3, 1e14


def differentiate(
    rigs: Array,
    sightings: Sightings,
    span: tuple[int, int, int],
    limit: tuple[float],
    of_points: Upstream,
    gradients: tuple[Array, Array, Array, Array],
) -> None:
    """Turn the gradient in a range of points into that in pixels, weights and projections.

    Args:
        rigs: As for `triangulate`.
        sightings: As for `triangulate`.
        span: As for `triangulate`; a chunk makes one sum of the gradient in a rig.
        limit: The condition up to which the loops are accurate enough.
        of_points: The points, and the gradient that comes back for them.
        gradients: What to fill: flat arrays for pixels and weights, sums for each chunk in double
            precision (these two may be empty), and which points are in doubt.
    """
    position, last, chunk = span
    of_pixels, of_weights, of_rig, doubts = gradients
    kind, per_frame, count = of_pixels.dtype.type, sightings[5], rigs.shape[1]
    centers, views, image, rows = workspace(count, of_pixels)
    sums = np.zeros((count if len(of_rig) > 0 else 0, 3, 4))
    while position < last:
        end = min(last, (position // chunk + 1) * chunk)
        rig = prepare_rig(rigs, position // per_frame, centers, views)
        own = rounded(rig, of_pixels)
        sums[:] = 0
        while position < end:
            n = min(LANES, end - position)
            load(image, rows, sightings, own[0], position, n)
            load_upstream(rows, of_points, per_frame, position, 0, n)
            differentiate_block(image, rows, own, kind(limit[0]), sums, n)
            store(image, of_pixels, of_weights, (position, per_frame, count), 0, n)
            store_doubts(rows, doubts[position:], n)
            position += n
        if len(of_rig) > 0:
            of_rig[(end - 1) // chunk] += sums * rig[2][3]


def differentiate_again(
    rigs: Array,
    sightings: Sightings,
    span: tuple[int, int, int],
    listed: Array,
    of_points: Upstream,
    gradients: tuple[Array, Array, Array, Array],
) -> None:
    """Do what `differentiate` does in double precision, for listed points.

    Args:
        rigs: As for `triangulate`.
        sightings: As for `triangulate`.
        span: As for `solve_again`.
        listed: As for `solve_again`.
        of_points: As for `differentiate`.
        gradients: As for `differentiate`.
    """
    position, last, chunk = span
    of_pixels, of_weights, of_rig, _ = gradients
    per_frame, count = sightings[5], rigs.shape[1]
    centers, views, image, rows = workspace(count, np.zeros(1))
    sums = np.zeros((count if len(of_rig) > 0 else 0, 3, 4))
    while position < last:
        end = end_of_chunk(listed, position, last, chunk)
        group = listed[position] // chunk
        rig = prepare_rig(rigs, listed[position] // per_frame, centers, views)
        sums[:] = 0
        while position < end:
            n = min(LANES, end - position)
            load_listed(image, rows, sightings, centers, listed[position:], n)
            for k in range(n):
                load_upstream(rows, of_points, per_frame, listed[position + k], k, 1)
            differentiate_block(image, rows, rig, DOUBLE_GRADIENT, sums, n)
            for k in range(n):
                to = (listed[position + k], per_frame, count)
                store(image, of_pixels, of_weights, to, k, 1)
            position += n
        if len(of_rig) > 0:
            of_rig[group] += sums * rig[2][3]


def differentiate_block(
    image: Array, rows: Array, rig: Rig, limit: float, sums: Array, n: int
) -> None:
    """Turn the loaded sightings of n lanes into their gradients."""
    centers, views, (x, y, z, _) = rig
    leave_out_unknown(rows, (x, y, z), n)
    equations_at_points(image, rows, views, n)
    test_vectors(rows, (x, y, z), limit, n)
    if len(sums) > 0:
        pull_back_to_rig(image, rows, centers, views, (x, y, z), sums, n)
    pull_back(image, rows, views, n)


def load_upstream(
    rows: Array, of_points: Upstream, points: int, first: int, at: int, n: int
) -> None:
    """Load n points in a row and the gradient that comes back for them, from lane `at`.

    `points` is the number of points per frame.
    """
    found, back, (by_frame, by_point, by_axis) = of_points
    for axis in range(3):
        line, start = found[3 * first + axis :], rows[(START + axis) * LANES + at :]
        for i in range(n):
            start[i] = line[3 * i]
        upstream, done = rows[(UPSTREAM + axis) * LANES + at :], 0
        while done < n:
            frame, point = divmod(first + done, points)
            run = min(points - point, n - done)
            line = back[frame * by_frame + point * by_point + axis * by_axis :]
            to = upstream[done:]
            for i in range(run):
                to[i] = line[by_point * i]
            done += run


def leave_out_unknown(rows: Array, origin: Vector, n: int) -> None:
    """Count points from the origin; make those that are NaN zero, and their upstream gradient."""
    zero = rows.dtype.type(0)
    for i in range(n):
        x, y, z = vector_at(rows, START, i)
        a, b, c = vector_at(rows, UPSTREAM, i)
        known = ((x + y + z) * zero == zero) & (rows[SEEN * LANES + i] >= FEWEST_VIEWS)
        rows[START * LANES + i] = where(known, x - origin[0], zero)
        rows[(START + 1) * LANES + i] = where(known, y - origin[1], zero)
        rows[(START + 2) * LANES + i] = where(known, z - origin[2], zero)
        rows[UPSTREAM * LANES + i] = where(known, a, zero)
        rows[(UPSTREAM + 1) * LANES + i] = where(known, b, zero)
        rows[(UPSTREAM + 2) * LANES + i] = where(known, c, zero)


def equations_at_points(image: Array, rows: Array, views: Array, n: int) -> None:
    """Sum B, and the squared residual at the points."""
    one, zero = rows.dtype.type(1), rows.dtype.type(0)
    for k in range(6):
        for i in range(n):
            rows[k * LANES + i] = zero
    for i in range(n):
        rows[SQUARED * LANES + i] = zero
    for v in range(len(views)):
        depth, across, down = view_of(views, v)
        at = IMAGE_ROWS * v * LANES
        for i in range(n):
            x, y, z = vector_at(rows, START, i)
            p = dlt_equation(across, depth, image[at + i])
            q = dlt_equation(down, depth, image[at + LANES + i])
            a = normal_terms(p, q)
            r, s = dot4(p, (x, y, z, one)), dot4(q, (x, y, z, one))
            w = image[at + 2 * LANES + i]
            rows[i] += w * a[0]
            rows[LANES + i] += w * a[1]
            rows[2 * LANES + i] += w * a[2]
            rows[3 * LANES + i] += w * a[3]
            rows[4 * LANES + i] += w * a[4]
            rows[5 * LANES + i] += w * a[5]
            rows[SQUARED * LANES + i] += w * (r * r + s * s)


def test_vectors(rows: Array, origin: Vector, limit: float, n: int) -> None:
    """Find the vectors Z that the gradient of every input is made of."""
    one, zero = rows.dtype.type(1), rows.dtype.type(0)
    for i in range(n):
        point = add_scaled(vector_at(rows, START, i), origin, one)
        length = one + dot(point, point)
        shifted = subtract_from_diagonal(hessian_at(rows, i), rows[SQUARED * LANES + i] / length)
        cofactors = adjugate(shifted)
        det = determinant(shifted, cofactors)
        sure = (det > zero) & (trace(shifted) * trace(cofactors) < limit * det)
        inverse = where(sure, one, zero) / where(sure, det, one)
        pull = scale(multiply(cofactors, vector_at(rows, UPSTREAM, i)), inverse)
        last = dot(pull, point) / length
        x, y, z = vector_at(rows, START, i)
        rows[TEST * LANES + i] = last * x - pull[0]
        rows[(TEST + 1) * LANES + i] = last * y - pull[1]
        rows[(TEST + 2) * LANES + i] = last * z - pull[2]
        rows[(TEST + 3) * LANES + i] = last
        rows[DOUBT * LANES + i] = where(sure, zero, one)


def pull_back(image: Array, rows: Array, views: Array, n: int) -> None:
    """Put the gradient in the pixels and in the weights where these were loaded."""
    one, zero = rows.dtype.type(1), rows.dtype.type(0)
    for v in range(len(views)):
        view = view_of(views, v)
        at = IMAGE_ROWS * v * LANES
        for i in range(n):
            x, y, z = vector_at(rows, START, i)
            a, b, c = vector_at(rows, TEST, i)
            last = rows[(TEST + 3) * LANES + i]
            u, w, weight = image[at + i], image[at + LANES + i], image[at + 2 * LANES + i]
            r, s, depth = residuals_and_depth(u, w, view, (x, y, z, one))
            t, q, test_depth = residuals_and_depth(u, w, view, (a, b, c, last))
            image[at + i] = weight * (r * test_depth + t * depth)
            image[at + LANES + i] = weight * (s * test_depth + q * depth)
            image[at + 2 * LANES + i] = (
                where(weight > zero, r * t + s * q, zero) / rows[UNIT * LANES + i]
            )


def pull_back_to_rig(
    image: Array, rows: Array, centers: Array, views: Array, origin: Vector, sums: Array, n: int
) -> None:
    """Add the gradient in the projections, but for the scale of the rows."""
    one = rows.dtype.type(1)
    for v in range(len(views)):
        if not isfinite(centers[v, 0]):
            continue
        view = view_of(views, v)
        at = IMAGE_ROWS * v * LANES
        for i in range(n):
            y, t = vector_at(rows, START, i), vector_at(rows, TEST, i)
            last = rows[(TEST + 3) * LANES + i]
            x, z = add_scaled(y, origin, one), add_scaled(t, origin, last)
            u, w, weight = image[at + i], image[at + LANES + i], image[at + 2 * LANES + i]
            r, s, _ = residuals_and_depth(u, w, view, (y[0], y[1], y[2], one))
            p, q, _ = residuals_and_depth(u, w, view, (t[0], t[1], t[2], last))
            u, w = u + centers[v, 0], w + centers[v, 1]
            point, test = (x[0], x[1], x[2], one), (z[0], z[1], z[2], last)
            for k in range(4):
                across = weight * (p * point[k] + r * test[k])
                down = weight * (q * point[k] + s * test[k])
                sums[v, 0, k] -= across
                sums[v, 1, k] -= down
                sums[v, 2, k] += u * across + w * down


def store(
    image: Array,
    of_pixels: Array,
    of_weights: Array,
    where_to: tuple[int, int, int],
    at: int,
    n: int,
) -> None:
    """Write the gradient of n points in a row, from lane `at`, to contiguous flat arrays.

    `where_to` is the first point, counted over all frames, the points per frame, and the views.
    """
    first, points, views = where_to
    for v in range(views):
        lane = IMAGE_ROWS * v * LANES + at
        done = 0
        while done < n:
            frame, point = divmod(first + done, points)
            run = min(points - point, n - done)
            start = (frame * views + v) * points + point
            line = of_pixels[2 * start :]
            across, down = image[lane + done :], image[lane + LANES + done :]
            for i in range(run):
                line[2 * i] = across[i]
                line[2 * i + 1] = down[i]
            if len(of_weights) > 0:
                line, weight = of_weights[start:], image[lane + 2 * LANES + done :]
                for i in range(run):
                    line[i] = weight[i]
            done += run
