"""Rigs with true depths on a GPU, for reweighted and robust triangulation; by Triton.

All in double precision. The table of a rig is laid out as for linear triangulation, with image
centers of zero, or NaN for a view that cannot be used. Another table has FRAME numbers of each
view: the inverse of its left 3x3 part, column by column, and the camera center.
"""

from typing import Any, TypeAlias

import triton.language as tl

from multiview_geom._kernels.algebra import Row, Vector, add_scaled, cross, dot, scale
from multiview_geom._kernels.triangulation.algebra_reweighted import (
    agreement,
    homogeneous,
    is_fixed,
)
from multiview_geom._kernels.triangulation.cuda_blocks import (
    ORIGIN,
    VIEW,
    Inputs,
    Sightings,
    Sizes,
    Tables,
    largest_weight,
    length_of,
    load_row,
    origin_of,
    rig_of,
    seen_by,
    sighting,
    store_origin,
    store_view,
    sum_lanes,
    usable_row,
)
from multiview_geom._kernels.triton_primitives import Lanes, Pointer, store_vector

Metric: TypeAlias = tuple[Sightings, Pointer]
"""What each lane sees, and where the inverses and centers of its views stand."""
Limit: TypeAlias = Any
"""A largest squared reprojection error, or None."""

FRAME, CENTER = 12, 9


def prepare_metric_rigs(
    projections: Pointer, tables: Tables, views: int, width: tl.constexpr
) -> None:
    """Prepare one rig per program, as `cpu_metric_rig` does; each of `width` lanes has a view."""
    rig, view = tl.program_id(0).to(tl.int64), tl.arange(0, width)
    here = view < views
    line = projections + 12 * (rig * views + view)
    across, down, depth = load_row(line, here), load_row(line + 4, here), load_row(line + 8, here)
    a, b, c = first_three(across), first_three(down), first_three(depth)
    volume = dot(a, cross(b, c))
    finite = (length_of(across) + length_of(down) + length_of(depth)) * 0 == 0
    usable = here & finite & (volume != 0)
    length = tl.sqrt(tl.where(usable, dot(c, c), 1))
    size = tl.where(volume > 0, length, -length)
    across, down = usable_row(across, usable, size), usable_row(down, usable, size)
    depth = usable_row(depth, usable, size)
    a, b, c = first_three(across), first_three(down), first_three(depth)
    share = 1 / tl.where(usable, dot(a, cross(b, c)), 1)
    first, second = scale(cross(b, c), share), scale(cross(c, a), share)
    third = scale(cross(a, b), share)
    place = add_scaled(scale(first, -across[3]), second, -down[3])
    place = add_scaled(place, third, -depth[3])
    count = tl.maximum(tl.sum(usable.to(tl.float64), axis=0), 1)
    x, y, z = scale(sum_lanes(place), 1 / count)
    place = add_scaled(place, (x, y, z), -1)
    line = tables[0] + rig * (VIEW * views + ORIGIN)
    center = tl.where(usable, volume * 0, float("nan"))
    rows, origin = (depth, across, down), (x, y, z, 1.0)
    store_view(line + VIEW * view, (center, center), rows, origin, here)
    store_origin(line + VIEW * views, origin)
    line = tables[1] + FRAME * (rig * views + view)
    store_vector(line, 0, first, here)
    store_vector(line, 3, second, here)
    store_vector(line, 6, third, here)
    store_vector(line, CENTER, place, here)


def first_three(a: Row) -> Vector:
    """Return the first three entries of a row."""
    return a[0], a[1], a[2]


def metric_by(
    given: Inputs, sizes: Sizes, item: Lanes, frame: Lanes, shared: tl.constexpr
) -> Metric:
    """Return what lanes see of items by rigs with true depths."""
    rigs, frames = given[0]
    rig = rig_of(rigs, frame, sizes[1], shared)
    if not shared:
        frames += frame * (FRAME * sizes[1])
    return seen_by(rig, given, sizes, item), frames


def vector_of(frames: Pointer, view: Lanes, at: tl.constexpr) -> Vector:
    """Load three of the numbers of a view, from one on."""
    line = frames + FRAME * view + at
    return tl.load(line), tl.load(line + 1), tl.load(line + 2)


def unit_of(metric: Metric, zero: Lanes, round_off: float) -> Lanes:
    """Return what divides the weights of each point: their largest, or infinity if not fixed."""
    unit = largest_weight(metric[0], zero)
    nowhere = unit, unit, unit  # without a limit, the point is not looked at
    fixed = fixed_by(metric, unit, nowhere, None, round_off)
    return tl.where(fixed, unit, float("inf"))


def fixed_by(metric: Metric, unit: Lanes, point: Vector, limit: Limit, round_off: float) -> Lanes:
    """Tell which points two centers saw, within a squared reprojection error if there is one."""
    seen, frames = metric
    zero, origin = unit * 0, origin_of(seen)
    sums, squared, centers_squared, count = (zero, zero, zero), zero, zero, zero
    for view in range(seen[1]):
        u, v, w, _, rows, _ = sighting(seen, view, unit)
        sees = w > 0
        if limit is not None:
            sees = sees & agreement(u, v, rows, homogeneous(point), limit)[1]
        one = tl.where(sees, 1.0, 0.0)
        place = vector_of(frames, view, CENTER)
        center = add_scaled(place, origin, 1)
        sums, squared = add_scaled(sums, place, one), squared + one * dot(place, place)
        centers_squared, count = centers_squared + one * dot(center, center), count + one
    return is_fixed(count, sums, (squared, centers_squared), round_off)
