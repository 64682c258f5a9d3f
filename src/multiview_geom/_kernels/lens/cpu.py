"""Undistortion on a processor: a fused loop over blocks of points, by Numba."""

from math import inf, nan, sqrt
from typing import Any, TypeAlias

import numpy as np

from multiview_geom._kernels.algebra import Pair, where
from multiview_geom._kernels.lens.algebra import (
    MAX_RADIUS,
    Camera,
    Homography,
    Lens,
    Limits,
    factor_inside,
    image_point,
    is_inverse,
    linearized,
    moved,
    newton_step,
    pixel_of,
    pull_back,
    squared_distance_to_fold,
    transfer,
)
from multiview_geom._kernels.lens.table import (
    BEYOND,
    FOLD,
    IDEAL_FOLD,
    NEWTON_STEPS,
    RADIAL,
    RATIOS,
    SAMPLES,
    SMOOTH,
    camera_at,
    lens_at,
    untilt_at,
)
from multiview_geom._kernels.numba_primitives import LANES, Array

Strided: TypeAlias = tuple[Array, tuple[Any, ...]]
"""Points as a flat array, and their strides by frame, view, point and coordinate."""
Place: TypeAlias = tuple[int, int, int]
"""A frame, a view, and a point."""

# Rows of a block: the distorted point, the ideal one, whether it is valid, and a gradient.
U, X, SURE, GRADIENT, ROWS = 0, 2, 4, 5, 7


def undistort(
    pixels: Strided,
    sizes: tuple[int, int],
    table: Array,
    limits: tuple[Limits, float, int],
    span: tuple[int, int],
    found: Array,
) -> None:
    """Undistort a range of points, counted over all frames of a lens, then over the lenses.

    Args:
        pixels: The pixels.
        sizes: How many views a frame has, and how many points a view.
        table: A row for each view, or for each view of each frame; see `table.py`.
        limits: Those of a step, how near to the fold a guess may be, and how many more steps a
            rational lens takes.
        span: The first point, and the end of the range.
        found: What to fill: a flat array.
    """
    rows = np.empty(ROWS * LANES, table.dtype)
    start, last = span
    while start < last:
        lens, place, n = block_from(start, last, sizes, len(table), found)
        load_pairs(rows, U, pixels, place, sizes, n)
        solve(rows, table[lens], limits, n)
        store_pairs(rows, X, place, sizes, n, found)
        start += n


def differentiate(
    given: tuple[Strided, Strided, Strided],
    sizes: tuple[int, int],
    table: Array,
    span: tuple[int, int],
    found: Array,
) -> None:
    """Find the gradients in a range of pixels.

    Args:
        given: The pixels, the ideal pixels, and the gradients in these.
        sizes: As for `undistort`.
        table: As for `undistort`.
        span: As for `undistort`.
        found: What to fill: a flat array.
    """
    rows = np.empty(ROWS * LANES, table.dtype)
    start, last = span
    while start < last:
        lens, place, n = block_from(start, last, sizes, len(table), found)
        load_pairs(rows, U, given[0], place, sizes, n)
        load_pairs(rows, X, given[1], place, sizes, n)
        load_pairs(rows, GRADIENT, given[2], place, sizes, n)
        line = table[lens]
        pull_back_lanes(rows, camera_at(line), untilt_at(line), lens_at(line, RADIAL), n)
        store_pairs(rows, GRADIENT, place, sizes, n, found)
        start += n


def block_from(
    start: int, last: int, sizes: tuple[int, int], lenses: int, found: Array
) -> tuple[int, Place, int]:
    """Return the lens of a point; its frame, view and place there; and how many points follow."""
    views, points = sizes
    per_lens = found.size // (2 * lenses)
    lens, at = start // per_lens, start % per_lens
    # A row for each view: `at // points` is the frame, `lens // views` zero; a row for each view of
    # each frame: the other way round.
    place = lens // views + at // points, lens % views, at % points
    return lens, place, min(LANES, last - start, per_lens - at)


def load_pairs(
    rows: Array, row: int, source: Strided, place: Place, sizes: tuple[int, int], n: int
) -> None:
    """Load the coordinates of n points."""
    entries, (by_frame, by_view, by_point, by_coordinate) = source
    frame, view, point = place
    for i in range(n):
        at = frame * by_frame + view * by_view + point * by_point
        rows[row * LANES + i] = entries[at]
        rows[(row + 1) * LANES + i] = entries[at + by_coordinate]
        point += 1
        if point == sizes[1]:
            frame, point = frame + 1, 0


def store_pairs(
    rows: Array, row: int, place: Place, sizes: tuple[int, int], n: int, found: Array
) -> None:
    """Store the coordinates of n points."""
    frame, view, point = place
    views, points = sizes
    for i in range(n):
        at = 2 * ((frame * views + view) * points + point)
        found[at], found[at + 1] = rows[row * LANES + i], rows[(row + 1) * LANES + i]
        point += 1
        if point == points:
            frame, point = frame + 1, 0


def solve(rows: Array, line: Array, limits: tuple[Limits, float, int], n: int) -> None:
    """Undistort n pixels of a lens: from a guess by Newton's method."""
    of_step, nearest, extra_steps = limits
    lens, smooth = lens_at(line, RADIAL), lens_at(line, SMOOTH)
    to_image_plane(rows, camera_at(line), untilt_at(line), n)
    guess(rows, line, nearest, n)
    for _ in range(NEWTON_STEPS):
        step(rows, smooth, of_step, n)
        if extra_steps > 0:  # the lens is rational
            pull_inside(rows, line[IDEAL_FOLD], n)
    for _ in range(extra_steps + 1):
        step(rows, lens, of_step, n)
    last_step(rows, lens, of_step, n)
    to_pixels(rows, camera_at(line), line[BEYOND], n)


def to_image_plane(rows: Array, camera: Camera, untilt: Homography, n: int) -> None:
    """Find the points of the untilted image plane; zero for what no lens can have seen."""
    zero, one = rows.dtype.type(0), rows.dtype.type(1)
    farthest = rows.dtype.type(MAX_RADIUS)
    for i in range(n):
        u, v = pair_at(rows, U, i)
        x, y = image_point(camera, u, v)
        x, y = transfer(untilt, x, y)
        near = (abs(x) <= farthest) & (abs(y) <= farthest)
        put_pair(rows, U, i, (where(near, x, zero), where(near, y, zero)))
        rows[SURE * LANES + i] = where(near, one, zero)


def guess(rows: Array, line: Array, nearest: float, n: int) -> None:
    """Start from the sampled inverse of the radial terms."""
    one, last, fold = rows.dtype.type(1), rows.dtype.type(SAMPLES - 1), line[FOLD]
    for i in range(n):
        u, v = pair_at(rows, U, i)
        squared = squared_distance_to_fold(u * u + v * v, fold, one)
        distance = sqrt(where(squared > nearest * nearest, squared, nearest * nearest))
        position = distance * last
        left = min(int(position), SAMPLES - 2)
        lower, upper = line[RATIOS + left], line[RATIOS + left + 1]
        ratio = lower + (position - rows.dtype.type(left)) * (upper - lower)
        put_pair(rows, X, i, (u * ratio, v * ratio))


def step(rows: Array, lens: Lens, limits: Limits, n: int) -> None:
    """Take a Newton step."""
    one = rows.dtype.type(1)
    for i in range(n):
        (x, y), target = pair_at(rows, X, i), pair_at(rows, U, i)
        put_pair(rows, X, i, newton_step(lens, x, y, target, limits, one))


def pull_inside(rows: Array, fold: float, n: int) -> None:
    """Bring points back to the fold, from where they find back: across a pole they would not."""
    one = rows.dtype.type(1)
    for i in range(n):
        x, y = pair_at(rows, X, i)
        factor = factor_inside(x, y, fold, one)
        put_pair(rows, X, i, (x * factor, y * factor))


def last_step(rows: Array, lens: Lens, limits: Limits, n: int) -> None:
    """Take a Newton step, and tell which points were accurate before it."""
    zero, one = rows.dtype.type(0), rows.dtype.type(1)
    for i in range(n):
        (x, y), target = pair_at(rows, X, i), pair_at(rows, U, i)
        linear = linearized(lens, x, y, target, one)
        put_pair(rows, X, i, moved(x, y, linear, limits, one))
        sure = is_inverse(linear, target, limits, one)
        rows[SURE * LANES + i] = where(sure, rows[SURE * LANES + i], zero)


def to_pixels(rows: Array, camera: Camera, beyond: float, n: int) -> None:
    """Find the ideal pixels, NaN for what is not valid."""
    missing, zero = rows.dtype.type(nan), rows.dtype.type(0)
    for i in range(n):
        x, y = pair_at(rows, X, i)
        valid = (rows[SURE * LANES + i] > zero) & (x * x + y * y < beyond * beyond)
        u, v = pixel_of(camera, x, y)
        put_pair(rows, X, i, (where(valid, u, missing), where(valid, v, missing)))


def pull_back_lanes(rows: Array, camera: Camera, untilt: Homography, lens: Lens, n: int) -> None:
    """Find the gradients in n pixels; zero where the ideal pixel is not valid."""
    zero, one, infinite = rows.dtype.type(0), rows.dtype.type(1), rows.dtype.type(inf)
    for i in range(n):
        at, gradient = (pair_at(rows, U, i), pair_at(rows, X, i)), pair_at(rows, GRADIENT, i)
        u, v = pull_back(camera, untilt, lens, at, gradient, one)
        valid = abs(at[1][0]) < infinite
        put_pair(rows, GRADIENT, i, (where(valid, u, zero), where(valid, v, zero)))


def pair_at(rows: Array, row: int, i: int) -> Pair:
    """Return two rows at one lane."""
    return rows[row * LANES + i], rows[(row + 1) * LANES + i]


def put_pair(rows: Array, row: int, i: int, a: Pair) -> None:
    """Set two rows at one lane."""
    rows[row * LANES + i], rows[(row + 1) * LANES + i] = a
