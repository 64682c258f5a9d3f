"""Linear triangulation on a processor: fused loops over blocks of points, by Numba.

A block's pixels and intermediate numbers lie in rows of LANES entries of one scratch array each,
so that every loop over the points of a block becomes vector instructions. Points that the fast
loops cannot vouch for are solved once more in double precision, and those that are still in
doubt one by one from the triangular factor of their equations.
"""

from math import inf, isfinite, nan, sqrt
from typing import Any, TypeAlias

import numpy as np

from multiview_geom._kernels.algebra import (
    Row,
    Symmetric,
    Vector,
    View,
    add_scaled,
    adjugate,
    apply_transpose,
    characteristic_polynomial,
    determinant,
    dot,
    dot4,
    givens,
    image_center,
    jacobi,
    least_squares_point,
    multiply,
    quotient_after,
    residual_pair,
    scale,
    shifted_move,
    smallest_root,
    squares,
    subtract_from_diagonal,
    subtract_scaled4,
    trace,
    uncertainty,
)

Array: TypeAlias = Any
"""A NumPy array."""
Sightings: TypeAlias = tuple[Array, tuple[int, ...], Array, tuple[int, ...], bool, int]
"""Pixels as one flat array, their strides by frame, view, point and coordinate; weights and their
strides by frame, view and point; whether there are weights; and how many points a frame has."""

LANES = 128

# Rows of the scratch array: Hessian (6), linear term (3), start (3), gradient (3), squared residual,
# quotient and the one before, how many views saw the point, whether it is in doubt, and the largest
# of its weights, by which all are divided.
LINEAR, START, GRADIENT, SQUARED = 6, 9, 12, 15
QUOTIENT, LAST, SEEN, DOUBT, UNIT = 16, 17, 18, 19, 20
# The backward pass has, beside the Hessian and the squared residual: the upstream gradient (3),
# the point (3) and the test vector (4, in the rows of gradient and squared residual).
UPSTREAM, TEST = 6, 12
ROWS = 21
# Rows of the image array, per view: across, down, weight.
IMAGE_ROWS = 3

# Newton steps, and how far the iteration and the squared equations may be off, in single and
# double precision, and for the second try of single precision in double.
SINGLE, DOUBLE, SECOND_TRY = (2, 1e-4, 16.0), (3, 1e-8, 16.0), (2, 1e-8, 1e5)
Accuracy: TypeAlias = tuple[int, float, float]
# The condition of B - q up to which single precision is enough for a gradient, and up to which
# double precision is; beyond, the point is not determined and passes no gradient.
SINGLE_GRADIENT, DOUBLE_GRADIENT = 1e4, 1e14

JACOBI_SWEEPS = 20
# The squared cosine of two columns that count as orthogonal.
ORTHOGONAL = 1e-30
# How far the origin is drawn towards the world's, relative to the trace: parallel axes are near
# to each other everywhere.
ORIGIN_PULL = 1e-5
FEWEST_VIEWS = 2


def prepare_rig(projections: Array, centers: Array, views: Array) -> Row:
    """Fill in image centers and rows of one rig; return its origin, and the scale of the rows.

    The minimum depends neither on a common scale, nor on where pixels are counted from, nor on
    where the equations' origin lies: they are chosen for accuracy, the origin nearest to all
    optical axes. A view with a number that is not finite gets rows of zero and a center of NaN.
    """
    count = len(projections)
    size = 0.0
    centers[:] = 0.0
    views[:] = 0.0
    for v in range(count):
        largest = 0.0
        for row in range(3):
            for k in range(4):
                largest = max(largest, abs(projections[v, row, k]))
                centers[v, 0] = nan if not isfinite(projections[v, row, k]) else centers[v, 0]
        if isfinite(centers[v, 0]):
            size = max(size, largest)
    size = size if size > 0 else 1.0
    hessian = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    linear = (0.0, 0.0, 0.0)
    for v in range(count):
        if not isfinite(centers[v, 0]):
            continue
        for row in range(3):
            for k in range(4):
                views[v, (row + 1) % 3, k] = projections[v, row, k] / size
        depth, across, down = view_of(views, v)
        centers[v, 0] = image_center(depth, across)
        centers[v, 1] = image_center(depth, down)
        for k in range(4):
            views[v, 1, k] -= centers[v, 0] * depth[k]
            views[v, 2, k] -= centers[v, 1] * depth[k]
        depth, across, down = view_of(views, v)
        a = squares(across, down)
        hessian = (
            hessian[0] + a[0],
            hessian[1] + a[1],
            hessian[2] + a[2],
            hessian[3] + a[3],
            hessian[4] + a[4],
            hessian[5] + a[5],
        )
        linear = add_scaled(linear, (a[6], a[7], a[8]), 1.0)
    total = trace(hessian)
    if total == 0.0:
        return 0.0, 0.0, 0.0, 1.0 / size
    pulled = subtract_from_diagonal(hessian, -ORIGIN_PULL * total)
    origin = least_squares_point(pulled, linear, 1.0)
    factor = sqrt(count / total)
    for v in range(count):
        for row in range(3):
            views[v, row, 3] += dot((views[v, row, 0], views[v, row, 1], views[v, row, 2]), origin)
            for k in range(4):
                views[v, row, k] *= factor
    return origin[0], origin[1], origin[2], factor / size


def view_of(views: Array, v: int) -> View:
    """Return the rows of a view as tuples."""
    a = views[v]
    return (
        (a[0, 0], a[0, 1], a[0, 2], a[0, 3]),
        (a[1, 0], a[1, 1], a[1, 2], a[1, 3]),
        (a[2, 0], a[2, 1], a[2, 2], a[2, 3]),
    )


def load(
    image: Array, rows: Array, sightings: Sightings, centers: Array, first: int, n: int
) -> None:
    """Load the sightings of n points in a row: pixels about the centers, and weights.

    A sighting that is missing gets weight zero at the center; weights are divided by the largest
    of their point.
    """
    pixels, (by_frame, by_view, by_point, by_axis), weights, steps, weighted, points = sightings
    one = image.dtype.type(1)
    for v in range(len(centers)):
        u0, v0 = centers[v, 0], centers[v, 1]
        at = IMAGE_ROWS * v * LANES
        done = 0
        while done < n:
            # Slices, since an index of unknown sign would keep the loops from becoming vectors.
            frame, point = divmod(first + done, points)
            run = min(points - point, n - done)
            line = pixels[frame * by_frame + v * by_view + point * by_point :]
            across, down = image[at + done :], image[at + LANES + done :]
            weight = image[at + 2 * LANES + done :]
            if by_point == 2 and by_axis == 1:
                for i in range(run):
                    across[i] = line[2 * i] - u0
                    down[i] = line[2 * i + 1] - v0
            else:
                for i in range(run):
                    across[i] = line[by_point * i] - u0
                    down[i] = line[by_point * i + by_axis] - v0
            if weighted:
                trust = weights[frame * steps[0] + v * steps[1] + point * steps[2] :]
                for i in range(run):
                    weight[i] = trust[steps[2] * i]
            else:
                for i in range(run):
                    weight[i] = one
            done += run
    leave_out_missing(image, rows, len(centers), weighted, n)


def leave_out_missing(image: Array, rows: Array, views: int, weighted: bool, n: int) -> None:
    """Give weight zero to what is missing, count the views, divide by the largest weight."""
    one, zero = image.dtype.type(1), image.dtype.type(0)
    for i in range(n):
        rows[SEEN * LANES + i] = zero
        rows[UNIT * LANES + i] = one
    for v in range(views):
        at = IMAGE_ROWS * v * LANES
        for i in range(n):
            a, b, w = image[at + i], image[at + LANES + i], image[at + 2 * LANES + i]
            known = ((a - b) * zero == zero) & (w * zero == zero) & (w > zero)
            image[at + i] = where(known, a, zero)
            image[at + LANES + i] = where(known, b, zero)
            image[at + 2 * LANES + i] = where(known, w, zero)
            rows[SEEN * LANES + i] += where(known, one, zero)
    if weighted:
        divide_by_largest(image, rows, views, n)


def divide_by_largest(image: Array, rows: Array, views: int, n: int) -> None:
    """Divide the weights by the largest of their point."""
    one, zero = image.dtype.type(1), image.dtype.type(0)
    for i in range(n):
        rows[UNIT * LANES + i] = zero
    for v in range(views):
        at = (IMAGE_ROWS * v + 2) * LANES
        for i in range(n):
            w, largest = image[at + i], rows[UNIT * LANES + i]
            rows[UNIT * LANES + i] = where(w > largest, w, largest)
    for i in range(n):
        largest = rows[UNIT * LANES + i]
        rows[UNIT * LANES + i] = where(largest > zero, largest, one)
    for v in range(views):
        at = (IMAGE_ROWS * v + 2) * LANES
        for i in range(n):
            image[at + i] /= rows[UNIT * LANES + i]


def normal_equations(image: Array, rows: Array, views: Array, n: int) -> None:
    """Sum the squares of the equations: B and b."""
    for k in range(9):
        for i in range(n):
            rows[k * LANES + i] = 0
    for v in range(len(views)):
        depth, across, down = view_of(views, v)
        at = IMAGE_ROWS * v * LANES
        for i in range(n):
            p = subtract_scaled4(across, depth, image[at + i])
            q = subtract_scaled4(down, depth, image[at + LANES + i])
            a = squares(p, q)
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


def vector_at(rows: Array, row: int, i: int) -> Vector:
    """Return three rows of the scratch array at one lane."""
    return rows[row * LANES + i], rows[(row + 1) * LANES + i], rows[(row + 2) * LANES + i]


def hessian_at(rows: Array, i: int) -> Symmetric:
    """Return the Hessian of one lane."""
    return (
        rows[i],
        rows[LANES + i],
        rows[2 * LANES + i],
        rows[3 * LANES + i],
        rows[4 * LANES + i],
        rows[5 * LANES + i],
    )


def start_points(rows: Array, n: int) -> None:
    """Solve B x = -b."""
    one = rows.dtype.type(1)
    for i in range(n):
        x, y, z = least_squares_point(hessian_at(rows, i), vector_at(rows, LINEAR, i), one)
        rows[START * LANES + i], rows[(START + 1) * LANES + i] = x, y
        rows[(START + 2) * LANES + i] = z


def residuals(image: Array, rows: Array, views: Array, origin: Vector, n: int) -> None:
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
            r, s, _ = residual_pair(a, b, view, (x, y, z, one))
            w = image[at + 2 * LANES + i]
            g = apply_transpose(a, b, view, (w * r, w * s))
            rows[GRADIENT * LANES + i] += g[0]
            rows[(GRADIENT + 1) * LANES + i] += g[1]
            rows[(GRADIENT + 2) * LANES + i] += g[2]
            rows[SQUARED * LANES + i] += w * (r * r + s * s)
    for i in range(n):
        start = add_scaled(vector_at(rows, START, i), origin, one)
        rows[START * LANES + i], rows[(START + 1) * LANES + i] = start[0], start[1]
        rows[(START + 2) * LANES + i] = start[2]
        rows[QUOTIENT * LANES + i] = rows[SQUARED * LANES + i] / (one + dot(start, start))


def newton_step(rows: Array, n: int) -> None:
    """Find the quotient after the move that the last one asks for."""
    one = rows.dtype.type(1)
    for i in range(n):
        hessian, quotient = hessian_at(rows, i), rows[QUOTIENT * LANES + i]
        start, gradient = vector_at(rows, START, i), vector_at(rows, GRADIENT, i)
        move = shifted_move(hessian, quotient, start, gradient, one)
        squared = rows[SQUARED * LANES + i]
        rows[LAST * LANES + i] = quotient
        rows[QUOTIENT * LANES + i] = quotient_after(hessian, start, gradient, squared, move, one)


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


def minimize(
    image: Array, rows: Array, views: Array, origin: Vector, accuracy: Accuracy, n: int
) -> None:
    """Find the points of n lanes whose sightings are loaded."""
    steps, most_left, most_spread = accuracy
    normal_equations(image, rows, views, n)
    start_points(rows, n)
    residuals(image, rows, views, origin, n)
    for _ in range(steps - 1):
        newton_step(rows, n)
    move_points(rows, most_left, most_spread, n)


def load_listed(
    image: Array, rows: Array, sightings: Sightings, centers: Array, listed: Array, n: int
) -> None:
    """Load the sightings of n points that stand in a list."""
    pixels, (by_frame, by_view, by_point, by_axis), weights, steps, weighted, points = sightings
    for i in range(n):
        frame, point = divmod(listed[i], points)
        for v in range(len(centers)):
            at, base = IMAGE_ROWS * v * LANES + i, frame * by_frame + v * by_view + point * by_point
            image[at] = pixels[base] - centers[v, 0]
            image[at + LANES] = pixels[base + by_axis] - centers[v, 1]
            image[at + 2 * LANES] = 1.0
            if weighted:
                image[at + 2 * LANES] = weights[frame * steps[0] + v * steps[1] + point * steps[2]]
    leave_out_missing(image, rows, len(centers), weighted, n)


def from_triangle(image: Array, views: Array, origin: Vector, i: int) -> Vector:
    """Find one point from the triangular factor of its equations, by one-sided Jacobi rotations.

    The equations are not squared, so this is as accurate as their singular value decomposition.
    """
    factor = np.zeros((4, 4))
    row = np.empty(4)
    for v in range(len(views)):
        depth, across, down = view_of(views, v)
        at = IMAGE_ROWS * v * LANES + i
        root = sqrt(image[at + 2 * LANES])
        for axis, minus in ((0, across), (1, down)):
            equation = subtract_scaled4(minus, depth, image[at + axis * LANES])
            shift = dot((equation[0], equation[1], equation[2]), origin)
            row[0], row[1], row[2] = root * equation[0], root * equation[1], root * equation[2]
            row[3] = root * (equation[3] - shift)
            for k in range(4):
                c, s = givens(factor[k, k], row[k])
                for j in range(k, 4):
                    old = factor[k, j]
                    factor[k, j] = c * old + s * row[j]
                    row[j] = c * row[j] - s * old
    # Rows: the columns of the factor, and beside each the right singular vector it becomes.
    columns = np.zeros((4, 8))
    for k in range(4):
        columns[k, 4 + k] = 1.0
        for j in range(4):
            columns[k, j] = factor[j, k]
    for _ in range(JACOBI_SWEEPS):
        turned = 0.0
        for a in range(3):
            for b in range(a + 1, 4):
                alpha = beta = gamma = 0.0
                for k in range(4):
                    alpha += columns[a, k] * columns[a, k]
                    beta += columns[b, k] * columns[b, k]
                    gamma += columns[a, k] * columns[b, k]
                turned = max(turned, gamma * gamma - ORTHOGONAL * alpha * beta)
                c, s = jacobi(alpha, beta, gamma)
                for k in range(8):
                    old = columns[a, k]
                    columns[a, k] = c * old - s * columns[b, k]
                    columns[b, k] = s * old + c * columns[b, k]
        if turned <= 0.0:
            break
    best, least = 0, inf
    for k in range(4):
        squared = 0.0
        for j in range(4):
            squared += columns[k, j] * columns[k, j]
        best, least = (k, squared) if squared < least else (best, least)
    last = columns[best, 7]
    return columns[best, 4] / last, columns[best, 5] / last, columns[best, 6] / last


def load_upstream(
    rows: Array, origin: Vector, of_points: tuple[Array, Array], first: int, at: int, n: int
) -> None:
    """Load points about the origin and the gradient that comes back for them, from lane `at`.

    A point that is NaN becomes zero, and so does its gradient.
    """
    zero = rows.dtype.type(0)
    seen = rows[SEEN * LANES + at :]
    for axis in range(3):
        found, back = of_points[0][3 * first + axis :], of_points[1][3 * first + axis :]
        start, upstream = rows[(START + axis) * LANES + at :], rows[(UPSTREAM + axis) * LANES + at :]
        shift = origin[axis]
        for i in range(n):
            x = found[3 * i]
            known = (x * zero == zero) & (seen[i] >= FEWEST_VIEWS)
            start[i] = where(known, x, shift) - shift
            upstream[i] = where(known, back[3 * i], zero)


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
            p = subtract_scaled4(across, depth, image[at + i])
            q = subtract_scaled4(down, depth, image[at + LANES + i])
            a = squares(p, q)
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
    """Find the vectors Z that the gradient of every input is made of; see autograd.py."""
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
            r, s, depth = residual_pair(u, w, view, (x, y, z, one))
            t, q, test_depth = residual_pair(u, w, view, (a, b, c, last))
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
            r, s, _ = residual_pair(u, w, view, (y[0], y[1], y[2], one))
            p, q, _ = residual_pair(u, w, view, (t[0], t[1], t[2], last))
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


def differentiate_block(
    image: Array, rows: Array, rig: tuple[Array, Array, Row], limit: float, sums: Array, n: int
) -> None:
    """Turn the loaded sightings of n lanes into their gradients."""
    centers, views, (x, y, z, _) = rig
    equations_at_points(image, rows, views, n)
    test_vectors(rows, (x, y, z), limit, n)
    if len(sums) > 0:
        pull_back_to_rig(image, rows, centers, views, (x, y, z), sums, n)
    pull_back(image, rows, views, n)


def scratch(views: int, like: Array) -> tuple[Array, Array]:
    """Allocate the image array and the scratch array of one block."""
    image = np.empty(IMAGE_ROWS * views * LANES, like.dtype)
    return image, np.empty(ROWS * LANES, like.dtype)


def rounded(rig: tuple[Array, Array, Row], like: Array) -> tuple[Array, Array, Row]:
    """Return a rig in the dtype of an array."""
    centers, views, (x, y, z, factor) = rig
    kind = like.dtype.type
    own = (kind(x), kind(y), kind(z), kind(factor))
    return centers.astype(like.dtype), views.astype(like.dtype), own


def doubtful(rows: Array, first: int, n: int, listed: Array, waiting: int) -> int:
    """List the points in doubt that enough views saw; return how many wait now."""
    for i in range(n):
        if rows[DOUBT * LANES + i] != 0 and rows[SEEN * LANES + i] >= FEWEST_VIEWS:
            listed[waiting] = first + i
            waiting += 1
    return waiting


def triangulate(
    projections: Array, sightings: Sightings, first: int, last: int, points: Array
) -> None:
    """Triangulate a range of points, counted over all frames, into a flat array.

    A rig stands once for all frames, or once per frame.
    """
    kind, per_frame, shared = points.dtype.type, sightings[5], len(projections) == 1
    count = projections.shape[1]
    image, rows = scratch(count, points)
    centers, views = np.zeros((count, 2)), np.zeros((count, 3, 4))
    wide_image, wide_rows = scratch(count, centers)
    listed = np.empty(2 * LANES, np.int64)
    steps, left, spread = DOUBLE if points.itemsize == centers.itemsize else SINGLE
    accuracy = (steps, kind(left), kind(spread))
    position = first
    while position < last:
        frame = 0 if shared else position // per_frame
        end = last if shared else min(last, (frame + 1) * per_frame)
        origin = prepare_rig(projections[frame], centers, views)
        rig = (centers, views, origin)
        own_centers, own_views, (x, y, z, _) = rounded(rig, points)
        waiting = 0
        while position < end:
            n = min(LANES, end - position)
            load(image, rows, sightings, own_centers, position, n)
            minimize(image, rows, own_views, (x, y, z), accuracy, n)
            for axis in range(3):
                line, found = points[3 * position + axis :], rows[(START + axis) * LANES :]
                for i in range(n):
                    enough = rows[SEEN * LANES + i] >= FEWEST_VIEWS
                    line[3 * i] = where(enough, found[i], kind(nan))
            waiting = doubtful(rows, position, n, listed, waiting)
            position += n
            while waiting >= LANES or (waiting > 0 and position == end):
                n = min(LANES, waiting)
                waiting -= n
                solve_listed(wide_image, wide_rows, sightings, rig, listed[waiting:], points, n)


def solve_listed(
    image: Array,
    rows: Array,
    sightings: Sightings,
    rig: tuple[Array, Array, Row],
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
    residuals(image, rows, views, (x, y, z), n)
    climb_to_quotient(rows, n)
    for _ in range(steps):
        newton_step(rows, n)
    move_points(rows, most_left, most_spread, n)
    for i in range(n):
        point = vector_at(rows, START, i)
        if rows[DOUBT * LANES + i] != 0:
            point = from_triangle(image, views, (x, y, z), i)
        at = 3 * listed[i]
        points[at], points[at + 1], points[at + 2] = point[0], point[1], point[2]


def differentiate(
    projections: Array,
    sightings: Sightings,
    first: int,
    last: int,
    chunk: int,
    of_points: tuple[Array, Array],
    gradients: tuple[Array, Array, Array],
) -> None:
    """Turn the gradient in a range of points into that in pixels, weights and projections.

    Args:
        projections: As for `triangulate`.
        sightings: As for `triangulate`.
        first: The first point of the range.
        last: The end of the range.
        chunk: How many points make one sum of the gradient in a rig: of one rig for all frames
            some thousands, of a rig per frame those of a frame.
        of_points: The points, and the gradient that comes back for them; flat.
        gradients: What to fill: flat arrays for pixels and weights, and sums for each chunk in
            double precision; the last two may be empty.
    """
    kind, per_frame, shared = gradients[0].dtype.type, sightings[5], len(projections) == 1
    count = projections.shape[1]
    image, rows = scratch(count, gradients[0])
    centers, views = np.zeros((count, 2)), np.zeros((count, 3, 4))
    wide_image, wide_rows = scratch(count, centers)
    listed = np.empty(2 * LANES, np.int64)
    of_pixels, of_weights, of_rig = gradients
    limit = DOUBLE_GRADIENT if gradients[0].itemsize == centers.itemsize else SINGLE_GRADIENT
    sums = np.zeros((count if len(of_rig) > 0 else 0, 3, 4))
    position = first
    while position < last:
        end = min(last, (position // chunk + 1) * chunk)
        frame = 0 if shared else position // per_frame
        rig = (centers, views, prepare_rig(projections[frame], centers, views))
        own = rounded(rig, of_pixels)
        waiting = 0
        sums[:] = 0
        while position < end:
            n = min(LANES, end - position)
            load(image, rows, sightings, own[0], position, n)
            load_upstream(rows, own[2][:3], of_points, position, 0, n)
            differentiate_block(image, rows, own, kind(limit), sums, n)
            store(image, of_pixels, of_weights, (position, per_frame, count), 0, n)
            waiting = doubtful(rows, position, n, listed, waiting)
            position += n
            while waiting >= LANES or (waiting > 0 and position == end):
                n = min(LANES, waiting)
                waiting -= n
                here = listed[waiting:]
                load_listed(wide_image, wide_rows, sightings, centers, here, n)
                for k in range(n):
                    load_upstream(wide_rows, rig[2][:3], of_points, here[k], k, 1)
                differentiate_block(wide_image, wide_rows, rig, DOUBLE_GRADIENT, sums, n)
                for k in range(n):
                    to = (here[k], per_frame, count)
                    store(wide_image, of_pixels, of_weights, to, k, 1)
        if len(of_rig) > 0:
            of_rig[(end - 1) // chunk] += sums * rig[2][3]
