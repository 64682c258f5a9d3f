"""Blocks of points on a processor: the rig prepared, sightings loaded."""

from math import isfinite, nan, sqrt
from typing import NamedTuple, TypeAlias

import numpy as np

from multiview_geom._kernels.algebra import (
    Row,
    Symmetric,
    Vector,
    add_scaled,
    add_symmetric,
    subtract_from_diagonal,
    trace,
    where,
)
from multiview_geom._kernels.numba_primitives import LANES, Array, clear, prefetch, vector_at
from multiview_geom._kernels.triangulation.algebra import (
    FEWEST_VIEWS,
    View,
    about_origin,
    least_squares_point,
    normal_terms,
    principal_point,
)


class Sightings(NamedTuple):
    """What the views saw, as flat arrays that are not copied.

    Attributes:
        pixels: All pixels.
        steps: Their strides by frame, view, point and coordinate.
        weights: All weights; empty if there are none.
        weight_steps: Their strides by frame, view and point.
        per_frame: How many points a frame has.
    """

    pixels: Array
    steps: tuple[int, ...]
    weights: Array
    weight_steps: tuple[int, ...]
    per_frame: int


Rig: TypeAlias = tuple[Array, Array, Row]
"""Image centers, rows of the views, and the origin with the scale of the rows."""

# Rows of a block: Hessian (6), linear term (3), start or point (3), gradient (3), squared residual,
# quotient and the one before, how many views saw the point, whether it is in doubt, and the largest
# of its weights, by which all are divided. Some have more names, for other times:
#   HESSIAN   RAW while loading; PLACES to COUNT before B is summed (reweighted)
#   LINEAR    UPSTREAM (gradients)
#   GRADIENT  RAW_UPSTREAM while loading, then Z, with SQUARED as its fourth row (gradients)
#   LAST      FACED (reweighted)
#   DOUBT     KNOWN (reweighted)
HESSIAN, LINEAR, START, GRADIENT, SQUARED = 0, 6, 9, 12, 15
QUOTIENT, LAST, SEEN, DOUBT, UNIT = 16, 17, 18, 19, 20
ROWS = 21
# While sightings are loaded: across, down and weight of one view, known or not.
RAW = HESSIAN
# Rows of the image array, per view: across, down, weight.
IMAGE_ROWS = 3

# How far the origin is drawn towards the world's, relative to the trace: without it, parallel axes
# leave it undetermined along them.
ORIGIN_PULL = 1e-5
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
    hessian, linear = center_views(projections, size, centers, views)
    total = trace(hessian)
    if total == 0.0:
        return centers, views, (0.0, 0.0, 0.0, 1.0 / size)
    pulled = subtract_from_diagonal(hessian, -ORIGIN_PULL * total)
    origin, factor = least_squares_point(pulled, linear, 1.0), sqrt(len(projections) / total)
    count_from(origin, factor, views)
    return centers, views, (origin[0], origin[1], origin[2], factor / size)


def center_views(
    projections: Array, size: float, centers: Array, views: Array
) -> tuple[Symmetric, Vector]:
    """Count the pixels of all views from their image centers.

    Returns:
        B and b of the sum of the squared distances from all optical axes: an axis has the equations
        of the pixel (0, 0).
    """
    hessian, linear = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    for v in range(len(projections)):
        if largest_entry(projections[v]) < 0:
            views[v], centers[v] = 0.0, nan
            continue
        center_view(projections[v], size, centers[v], views[v])
        _, across, down = view_of(views, v)
        squares, products = normal_terms(across, down)
        hessian, linear = add_symmetric(hessian, squares, 1.0), add_scaled(linear, products, 1.0)
    return hessian, linear


def count_from(origin: Vector, factor: float, views: Array) -> None:
    """Make the rows of all views those for points counted from an origin, times a factor."""
    for v in range(len(views)):
        for k in range(3):
            put_row4(views[v, k], about_origin(row4(views[v, k]), origin, factor))


def largest_entry(projection: Array) -> float:
    """Return the largest absolute entry of a projection; -1 if one is not finite."""
    largest = 0.0
    for row in range(3):
        for k in range(4):
            if not isfinite(projection[row, k]):
                return -1.0
            largest = max(largest, abs(projection[row, k]))
    return largest


def center_view(projection: Array, size: float, center: Array, view: Array) -> None:
    """Write a projection's rows, depth first, with pixels counted from the optical axis."""
    for row in range(3):
        for k in range(4):
            # Across, down, depth becomes depth, across, down.
            view[(row + 1) % 3, k] = projection[row, k] / size
    depth = row4(view[0])
    for axis in range(2):
        row = view[axis + 1]
        center[axis] = principal_point(depth, row4(row))
        for k in range(4):
            row[k] -= center[axis] * depth[k]


def row4(a: Array) -> Row:
    """Return the four entries of an array."""
    return a[0], a[1], a[2], a[3]


def put_row4(a: Array, row: Row) -> None:
    """Set the four entries of an array."""
    a[0], a[1], a[2], a[3] = row


def view_of(views: Array, v: int) -> View:
    """Return the rows of a view as tuples."""
    return row4(views[v, 0]), row4(views[v, 1]), row4(views[v, 2])


def workspace(views: int, like: Array) -> tuple[Array, Array, Array, Array]:
    """Allocate a rig, and the image array and the rows of a block."""
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


def load_sightings(
    image: Array, rows: Array, sightings: Sightings, centers: Array, first: int, n: int
) -> None:
    """Load the sightings of n points in a row: pixels about the centers, and weights.

    A sighting that is missing gets weight zero at the center; weights are divided by the largest
    of their point.
    """
    clear(rows, SEEN, SEEN + 1)
    for v in range(len(centers)):
        copy_view(rows, sightings, centers, v, first, n)
        keep_known(image[IMAGE_ROWS * v * LANES :], rows, n)
    divide_by_largest(image, rows, len(centers), len(sightings.weights) > 0, n)


def load_listed(
    image: Array, rows: Array, sightings: Sightings, centers: Array, listed: Array, n: int
) -> None:
    """Load the sightings of n points that stand in a list."""
    by_frame, by_view, by_point, by_axis = sightings.steps
    frame_step, view_step, point_step = sightings.weight_steps
    clear(rows, SEEN, SEEN + 1)
    for v in range(len(centers)):
        for i in range(n):
            frame, point = divmod(listed[i], sightings.per_frame)
            base = frame * by_frame + v * by_view + point * by_point
            rows[RAW * LANES + i] = sightings.pixels[base] - centers[v, 0]
            rows[(RAW + 1) * LANES + i] = sightings.pixels[base + by_axis] - centers[v, 1]
            rows[(RAW + 2) * LANES + i] = 1.0
            if len(sightings.weights) > 0:
                base = frame * frame_step + v * view_step + point * point_step
                rows[(RAW + 2) * LANES + i] = sightings.weights[base]
        keep_known(image[IMAGE_ROWS * v * LANES :], rows, n)
    divide_by_largest(image, rows, len(centers), len(sightings.weights) > 0, n)


def copy_view(
    rows: Array, sightings: Sightings, centers: Array, v: int, first: int, n: int
) -> None:
    """Copy what a view saw of n points in a row, known or not; pixels about the image center."""
    one, points, done = rows.dtype.type(1), sightings.per_frame, 0
    by_frame, by_view, by_point, by_axis = sightings.steps
    frame_step, view_step, point_step = sightings.weight_steps
    while done < n:
        # A run of points for each frame. Slices, since an index of unknown sign would keep the
        # loops from becoming vectors.
        frame, point = divmod(first + done, points)
        run = min(points - point, n - done)
        line = sightings.pixels[frame * by_frame + v * by_view + point * by_point :]
        own = rows[RAW * LANES + done :]
        copy_pixels(line, by_point, by_axis, (centers[v, 0], centers[v, 1]), own, run)
        if len(sightings.weights) > 0:
            trust = sightings.weights[frame * frame_step + v * view_step + point * point_step :]
            for i in range(run):
                own[2 * LANES + i] = trust[point_step * i]
        else:
            for i in range(run):
                own[2 * LANES + i] = one
        done += run


def copy_pixels(
    line: Array, by_point: int, by_axis: int, center: tuple[float, float], own: Array, n: int
) -> None:
    """Copy n pixels, counted from the image center."""
    u0, v0 = center
    if (by_point, by_axis) == SIDE_BY_SIDE:
        for k in range(0, 2 * n, 8):  # at least once in 64 bytes, a line of the cache
            prefetch(line, 2 * LANES + k)
        for i in range(n):
            own[i] = line[2 * i] - u0
            own[LANES + i] = line[2 * i + 1] - v0
    else:
        for i in range(n):
            own[i] = line[by_point * i] - u0
            own[LANES + i] = line[by_point * i + by_axis] - v0


def keep_known(own: Array, rows: Array, n: int) -> None:
    """Take over what a view saw, with weight zero where it is missing, and count it."""
    zero, one = rows.dtype.type(0), rows.dtype.type(1)
    for i in range(n):
        # From rows to the image, not in place: that would be stores under a mask, which are slow.
        a, b, w = vector_at(rows, RAW, i)
        # Zero times a number is zero only if it is finite.
        known = ((a - b) * zero == zero) & (w * zero == zero) & (w > zero)
        own[i] = where(known, a, zero)
        own[LANES + i] = where(known, b, zero)
        own[2 * LANES + i] = where(known, w, zero)
        rows[SEEN * LANES + i] += where(known, one, zero)


def divide_by_largest(image: Array, rows: Array, views: int, weighted: bool, n: int) -> None:
    """Divide the weights by the largest of their point, if there are weights."""
    zero, one = rows.dtype.type(0), rows.dtype.type(1)
    rows[UNIT * LANES : (UNIT + 1) * LANES] = one
    if not weighted:
        return
    clear(rows, RAW, RAW + 1)
    for v in range(views):
        at = (IMAGE_ROWS * v + 2) * LANES
        for i in range(n):
            w, largest = image[at + i], rows[RAW * LANES + i]
            # None is negative; without `abs`, this would be a store under a mask.
            rows[RAW * LANES + i] = abs(where(w > largest, w, largest))
    for i in range(n):
        largest = rows[RAW * LANES + i]
        rows[UNIT * LANES + i] = where(largest > zero, largest, one)
    for v in range(views):
        at = (IMAGE_ROWS * v + 2) * LANES
        for i in range(n):
            image[at + i] /= rows[UNIT * LANES + i]


def point_at(rows: Array, i: int, one: float) -> Row:
    """Return the point of a lane as a homogeneous vector."""
    at = START * LANES + i
    return rows[at], rows[at + LANES], rows[at + 2 * LANES], one


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
