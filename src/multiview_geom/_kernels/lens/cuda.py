"""Undistortion on a GPU: one fused kernel each for the value and the gradient, by Triton.

A program computes LANES points of one lens, each with all its numbers in registers.
"""

from math import inf
from typing import TypeAlias

import triton.language as tl

from multiview_geom._kernels.algebra import Number, Pair
from multiview_geom._kernels.lens.algebra import (
    MAX_RADIUS,
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
    WIDTH,
    camera_at,
    lens_at,
    untilt_at,
)
from multiview_geom._kernels.triton_primitives import LANES, Lanes, Pointer

Four: TypeAlias = tuple[int, int, int, int]
Strides: TypeAlias = tuple[Four, Four, Four]
Pointers: TypeAlias = tuple[Pointer, Pointer, Pointer]
Place: TypeAlias = tuple[Lanes, Lanes, Lanes]
AllLimits: TypeAlias = tuple[Limits, float, int]

INFINITE = inf


def entry(row: Pointer, at: int) -> Number:
    """Load a number of a row of the table."""
    return tl.load(row + at)


def lanes_of(sizes: Four) -> tuple[Lanes, Lanes, Lanes, Lanes, Lanes]:
    """Return the lens of this program; frame, view and place of its points; which there are.

    See `block_from` of the loops.

    Args:
        sizes: How many views a frame has, how many points a view, how many points a lens, and how
            many programs a lens.
    """
    views, points, per_lens, programs = sizes
    lens = (tl.program_id(0) // programs).to(tl.int64)
    at = (tl.program_id(0) % programs) * LANES + tl.arange(0, LANES)
    return lens, lens // views + at // points, lens % views, at % points, at < per_lens


def load_pair(points: Pointer, strides: Four, place: Place, inside: Lanes) -> Pair:
    """Load the coordinates of points, zero outside."""
    at = place[0] * strides[0] + place[1] * strides[1] + place[2] * strides[2]
    x = tl.load(points + at, mask=inside, other=0)
    return x, tl.load(points + at + strides[3], mask=inside, other=0)


def store_pair(
    points: Pointer,
    sizes: Four,
    place: Place,
    a: Pair,
    inside: Lanes,
) -> None:
    """Store the coordinates of points."""
    at = 2 * ((place[0] * sizes[0] + place[1]) * sizes[1] + place[2])
    tl.store(points + at, a[0], mask=inside)
    tl.store(points + at + 1, a[1], mask=inside)


def guess(row: Pointer, u: Lanes, v: Lanes, nearest: float) -> Pair:
    """Start from the sampled inverse of the radial terms."""
    squared = squared_distance_to_fold(u * u + v * v, entry(row, FOLD), 1.0)
    distance = tl.sqrt(tl.where(squared > nearest * nearest, squared, nearest * nearest))
    position = distance * (SAMPLES - 1)
    left = tl.minimum(position.to(tl.int32), SAMPLES - 2)
    lower, upper = entry(row, RATIOS + left), entry(row, RATIOS + left + 1)
    ratio = lower + (position - left) * (upper - lower)
    return u * ratio, v * ratio


def undistort(
    pixels: Pointer,
    table: Pointer,
    found: Pointer,
    sizes: Four,
    strides: Four,
    limits: AllLimits,
) -> None:
    """Undistort pixels.

    Args:
        pixels: The pixels.
        table: A row for each view, or for each view of each frame; see `table.py`.
        found: What to fill, contiguous.
        sizes: As for `lanes_of`.
        strides: Those of the pixels by frame, view, point and coordinate.
        limits: Those of a step, how near to the fold a guess may be, and how many more steps a
            rational lens takes.
    """
    of_step, nearest, extra_steps = limits
    lens_number, frame, view, point, inside = lanes_of(sizes)
    place = frame, view, point
    row = table + lens_number * WIDTH
    camera, lens, smooth = camera_at(row), lens_at(row, RADIAL), lens_at(row, SMOOTH)
    u, v = load_pair(pixels, strides, place, inside)
    u, v = image_point(camera, u, v)
    u, v = transfer(untilt_at(row), u, v)
    near = (tl.abs(u) <= MAX_RADIUS) & (tl.abs(v) <= MAX_RADIUS)
    u, v = tl.where(near, u, 0), tl.where(near, v, 0)
    x, y = guess(row, u, v, nearest)
    for _ in range(NEWTON_STEPS):
        x, y = newton_step(smooth, x, y, (u, v), of_step, 1.0)
        if extra_steps > 0:  # the lens is rational
            factor = factor_inside(x, y, entry(row, IDEAL_FOLD), 1.0)
            x, y = x * factor, y * factor
    for _ in range(extra_steps + 1):
        x, y = newton_step(lens, x, y, (u, v), of_step, 1.0)
    linear = linearized(lens, x, y, (u, v), 1.0)
    x, y = moved(x, y, linear, of_step, 1.0)
    beyond = entry(row, BEYOND)
    valid = near & is_inverse(linear, (u, v), of_step, 1.0) & (x * x + y * y < beyond * beyond)
    u, v = pixel_of(camera, x, y)
    store_pair(
        found,
        sizes,
        place,
        (tl.where(valid, u, float("nan")), tl.where(valid, v, float("nan"))),
        inside,
    )


def differentiate(
    given: Pointers,
    table: Pointer,
    found: Pointer,
    sizes: Four,
    strides: Strides,
) -> None:
    """Find the gradients in pixels; zero where the ideal pixel is not valid.

    Args:
        given: The pixels, the ideal pixels, and the gradients in these.
        table: As for `undistort`.
        found: As for `undistort`.
        sizes: As for `undistort`.
        strides: Those of what is given.
    """
    lens_number, frame, view, point, inside = lanes_of(sizes)
    place = frame, view, point
    row = table + lens_number * WIDTH
    seen, ideal = (
        load_pair(given[0], strides[0], place, inside),
        load_pair(given[1], strides[1], place, inside),
    )
    gradient, lens = load_pair(given[2], strides[2], place, inside), lens_at(row, RADIAL)
    u, v = pull_back(camera_at(row), untilt_at(row), lens, (seen, ideal), gradient, 1.0)
    valid = tl.abs(ideal[0]) < INFINITE
    store_pair(found, sizes, place, (tl.where(valid, u, 0), tl.where(valid, v, 0)), inside)
