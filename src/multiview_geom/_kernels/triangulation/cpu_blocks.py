"""Blocks of points on a processor: the rig prepared, sightings loaded.

A block's pixels and intermediate numbers lie in rows of LANES entries of one scratch array each,
so that every loop over the points of a block becomes vector instructions.
"""

from math import isfinite, nan, sqrt
from typing import Any, TypeAlias

import numpy as np

from multiview_geom._kernels.algebra import (
    Row,
    Symmetric,
    Vector,
    View,
    add_scaled,
    dot,
    least_squares_point,
    normal_terms,
    principal_point,
    subtract_from_diagonal,
    trace,
    where,
)

Array: TypeAlias = Any
"""A NumPy array."""
Sightings: TypeAlias = tuple[Array, tuple[int, ...], Array, tuple[int, ...], bool, int]
"""Pixels as one flat array, their strides by frame, view, point and coordinate; weights and their
strides by frame, view and point; whether there are weights; and how many points a frame has."""
Rig: TypeAlias = tuple[Array, Array, Row]
"""Image centers, rows of the views, and the origin with the scale of the rows."""

LANES = 128

# Rows of the scratch array: Hessian (6), linear term (3), start or point (3), gradient (3), squared
# residual, quotient and the one before, how many views saw the point, whether it is in doubt, and
# the largest of its weights, by which all are divided.
LINEAR, START, GRADIENT, SQUARED = 6, 9, 12, 15
QUOTIENT, LAST, SEEN, DOUBT, UNIT = 16, 17, 18, 19, 20
ROWS = 21
# Rows of the image array, per view: across, down, weight.
IMAGE_ROWS = 3

# How far the origin is drawn towards the world's, relative to the trace: parallel axes are near
# to each other everywhere.
ORIGIN_PULL = 1e-5
FEWEST_VIEWS = 2
# Strides of pixels that lie side by side.
SIDE_BY_SIDE = (2, 1)


def prepare_rig(rigs: Array, frame: int, centers: Array, views: Array) -> Rig:
    """Fill in image centers and rows of the rig of a frame, or of the one for all frames.

    The minimum depends neither on a common scale, nor on where pixels are counted from, nor on
    where the equations' origin lies: they are chosen for accuracy, the origin nearest to all
    optical axes. A view with a number that is not finite gets rows of zero and a center of NaN.
    """
    projections = rigs[min(frame, len(rigs) - 1)]
    size = 0.0
    for v in range(len(projections)):
        size = max(size, largest_entry(projections[v]))
    size = size if size > 0 else 1.0
    hessian = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    linear = (0.0, 0.0, 0.0)
    for v in range(len(projections)):
        if largest_entry(projections[v]) < 0:
            views[v], centers[v] = 0.0, nan
            continue
        center_view(projections[v], size, centers[v], views[v])
        _, across, down = view_of(views, v)
        a = normal_terms(across, down)
        first = add_scaled((hessian[0], hessian[1], hessian[2]), (a[0], a[1], a[2]), 1.0)
        second = add_scaled((hessian[3], hessian[4], hessian[5]), (a[3], a[4], a[5]), 1.0)
        hessian = (first[0], first[1], first[2], second[0], second[1], second[2])
        linear = add_scaled(linear, (a[6], a[7], a[8]), 1.0)
    total = trace(hessian)
    if total == 0.0:
        return centers, views, (0.0, 0.0, 0.0, 1.0 / size)
    pulled = subtract_from_diagonal(hessian, -ORIGIN_PULL * total)
    origin = least_squares_point(pulled, linear, 1.0)
    factor = sqrt(len(projections) / total)
    for v in range(len(projections)):
        for row in views[v]:
            row[3] += dot((row[0], row[1], row[2]), origin)
            row *= factor  # noqa: PLW2901 - a row of the array
    return centers, views, (origin[0], origin[1], origin[2], factor / size)


def largest_entry(projection: Array) -> float:
    """Return the largest absolute entry of a projection; -1 if one is not finite."""
    largest = 0.0
    for entry in projection.flat:
        if not isfinite(entry):
            return -1.0
        largest = max(largest, abs(entry))
    return largest


def center_view(projection: Array, size: float, center: Array, view: Array) -> None:
    """Write a projection's rows, depth first, with pixels counted from the optical axis."""
    for row in range(3):
        for k in range(4):
            view[(row + 1) % 3, k] = projection[row, k] / size
    depth = (view[0, 0], view[0, 1], view[0, 2], view[0, 3])
    for axis in range(2):
        row = view[axis + 1]
        center[axis] = principal_point(depth, (row[0], row[1], row[2], row[3]))
        for k in range(4):
            row[k] -= center[axis] * depth[k]


def view_of(views: Array, v: int) -> View:
    """Return the rows of a view as tuples."""
    a = views[v]
    return (
        (a[0, 0], a[0, 1], a[0, 2], a[0, 3]),
        (a[1, 0], a[1, 1], a[1, 2], a[1, 3]),
        (a[2, 0], a[2, 1], a[2, 2], a[2, 3]),
    )


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


def workspace(views: int, like: Array) -> tuple[Array, Array, Array, Array]:
    """Allocate a rig, and the image array and the scratch array of a block."""
    return (
        np.zeros((views, 2)),
        np.zeros((views, 3, 4)),
        np.empty(IMAGE_ROWS * views * LANES, like.dtype),
        np.empty(ROWS * LANES, like.dtype),
    )


def rounded(rig: Rig, like: Array) -> Rig:
    """Return a rig in the dtype of an array."""
    centers, views, (x, y, z, factor) = rig
    kind = like.dtype.type
    own = (kind(x), kind(y), kind(z), kind(factor))
    return centers.astype(like.dtype), views.astype(like.dtype), own


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
        at = IMAGE_ROWS * v * LANES
        done = 0
        while done < n:
            # Slices, since an index of unknown sign would keep the loops from becoming vectors.
            frame, point = divmod(first + done, points)
            run = min(points - point, n - done)
            line = pixels[frame * by_frame + v * by_view + point * by_point :]
            across, down = image[at + done :], image[at + LANES + done :]
            weight = image[at + 2 * LANES + done :]
            copy_pixels(line, by_point, by_axis, (centers[v, 0], centers[v, 1]), across[:run], down)
            if weighted:
                trust = weights[frame * steps[0] + v * steps[1] + point * steps[2] :]
                for i in range(run):
                    weight[i] = trust[steps[2] * i]
            else:
                for i in range(run):
                    weight[i] = one
            done += run
    leave_out_missing(image, rows, len(centers), weighted, n)


def copy_pixels(
    line: Array,
    by_point: int,
    by_axis: int,
    center: tuple[float, float],
    across: Array,
    down: Array,
) -> None:
    """Copy as many pixels as `across` has entries, counted from the image center."""
    u0, v0 = center
    if (by_point, by_axis) == SIDE_BY_SIDE:
        for i in range(len(across)):
            across[i] = line[2 * i] - u0
            down[i] = line[2 * i + 1] - v0
    else:
        for i in range(len(across)):
            across[i] = line[by_point * i] - u0
            down[i] = line[by_point * i + by_axis] - v0


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
            # Zero times a number is zero only if it is finite.
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


def store_doubts(rows: Array, doubts: Array, n: int) -> None:
    """Tell which points that enough views saw are in doubt."""
    for i in range(n):
        doubts[i] = (rows[DOUBT * LANES + i] != 0) & (rows[SEEN * LANES + i] >= FEWEST_VIEWS)


def end_of_chunk(listed: Array, position: int, last: int, chunk: int) -> int:
    """Return the end of the listed points that share a chunk with the one at a position."""
    end = position
    while end < last and listed[end] // chunk == listed[position] // chunk:
        end += 1
    return end
