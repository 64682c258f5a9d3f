"""Blocks of points on a GPU: the rig prepared, sightings loaded; by Triton.

Rigs are prepared in double precision into tables of plain numbers: of a view VIEW of them, its
image center first, and behind the views the origin and the scale of rows. A kernel of its own does
that; for few points each program does, since a launch would take longer.
"""

from typing import TypeAlias

import triton.language as tl

from multiview_geom._kernels.algebra import (
    Pair,
    Row,
    Vector,
    combine4,
    subtract_from_diagonal,
    trace,
)
from multiview_geom._kernels.triangulation.algebra import (
    View,
    about_origin,
    least_squares_point,
    normal_terms,
    principal_point,
)
from multiview_geom._kernels.triangulation.cpu_blocks import ORIGIN_PULL
from multiview_geom._kernels.triton_primitives import LANES, Lanes, Pointer, items, store_vector

Tables: TypeAlias = tuple[Pointer, Pointer]
"""The prepared rigs in the dtype of the pixels, and in double precision; of rigs with true depths
those in double precision, and their inverses and centers."""
Images: TypeAlias = tuple[Pointer, Pointer]
"""Pixels and weights, which may be None."""
Strides: TypeAlias = tuple[int, ...]
"""Of the pixels by frame, view, point and coordinate; of the weights by frame, view and point."""
Inputs: TypeAlias = tuple[Tables, Images, Strides]
Sizes: TypeAlias = tuple[int, int, int]
"""How many points there are in all frames, how many views, and how many points in a frame."""
Sightings: TypeAlias = tuple[Pointer, int, Images, Strides, Pair]
"""The rig of each lane, how many views it has, and where each lane finds its pixels and weights."""

VIEW, ORIGIN = 14, 4


def prepare_rigs(projections: Pointer, tables: Tables, views: int, width: tl.constexpr) -> None:
    """Prepare one rig per program."""
    prepare_rig(projections, tables, tl.program_id(0).to(tl.int64), views, width)


def prepare_rig(
    projections: Pointer, tables: Tables, rig: int, views: int, width: tl.constexpr
) -> None:
    """Prepare a rig, as `cpu_blocks.prepare_rig` does; each of `width` lanes has a view."""
    view = tl.arange(0, width)
    here = view < views
    line = projections + 12 * (rig * views + view)
    across, down, depth = load_row(line, here), load_row(line + 4, here), load_row(line + 8, here)
    length = length_of(across) + length_of(down) + length_of(depth)
    usable = here & (length * 0 == 0)
    size = tl.max(tl.where(usable, length, 0), axis=0)  # that of the loops is the largest entry
    size = tl.where(size > 0, size, 1)
    depth = usable_row(depth, usable, size)
    across, down = usable_row(across, usable, size), usable_row(down, usable, size)
    u, v = principal_point(depth, across), principal_point(depth, down)
    across, down = combine4(across, depth, 1, -u), combine4(down, depth, 1, -v)
    x, y, z, factor = origin_and_scale(across, down, views)
    for table in tl.static_range(2):
        line = tables[table] + rig * (VIEW * views + ORIGIN)
        center = tl.where(usable, u, float("nan")), v
        store_view(line + VIEW * view, center, (depth, across, down), (x, y, z, factor), here)
        store_origin(line + VIEW * views, (x, y, z, factor / size))


def store_view(line: Pointer, center: Pair, rows: View, origin: Row, here: Lanes) -> None:
    """Store the image center of views, and their rows about an origin, times its last number."""
    place, factor = (origin[0], origin[1], origin[2]), origin[3]
    tl.store(line, center[0], mask=here)
    tl.store(line + 1, center[1], mask=here)
    for row in tl.static_range(3):
        store_row(line + 2 + 4 * row, about_origin(rows[row], place, factor), here)


def store_origin(line: Pointer, origin: Row) -> None:
    """Store the origin and the scale of the rows of a rig."""
    tl.store(line, origin[0])
    tl.store(line + 1, origin[1])
    tl.store(line + 2, origin[2])
    tl.store(line + 3, origin[3])


def load_row(pointer: Pointer, here: Lanes) -> Row:
    """Load four numbers in a row, in double precision; zero where they are not."""
    return (
        tl.load(pointer, mask=here, other=0).to(tl.float64),
        tl.load(pointer + 1, mask=here, other=0).to(tl.float64),
        tl.load(pointer + 2, mask=here, other=0).to(tl.float64),
        tl.load(pointer + 3, mask=here, other=0).to(tl.float64),
    )


def store_row(pointer: Pointer, a: Row, here: Lanes) -> None:
    """Store four numbers in a row."""
    store_vector(pointer, 0, (a[0], a[1], a[2]), here)
    tl.store(pointer + 3, a[3], mask=here)


def length_of(a: Row) -> Lanes:
    """Return the sum of the absolute values; not finite if one of them is not."""
    return tl.abs(a[0]) + tl.abs(a[1]) + tl.abs(a[2]) + tl.abs(a[3])


def usable_row(a: Row, usable: Lanes, size: Lanes) -> Row:
    """Divide a row by the size of its rig; zero where it is not usable."""
    return (
        tl.where(usable, a[0], 0) / size,
        tl.where(usable, a[1], 0) / size,
        tl.where(usable, a[2], 0) / size,
        tl.where(usable, a[3], 0) / size,
    )


def origin_and_scale(across: Row, down: Row, views: int) -> Row:
    """Return the point nearest to all optical axes, and what scales the rows to about one."""
    squares, linear = normal_terms(across, down)
    a, b, c = sum_lanes((squares[0], squares[1], squares[2]))
    d, e, f = sum_lanes((squares[3], squares[4], squares[5]))
    hessian, linear = (a, b, c, d, e, f), sum_lanes(linear)
    total = trace(hessian)
    safe = tl.where(total > 0, total, 1)
    pulled = subtract_from_diagonal(hessian, -ORIGIN_PULL * safe)
    x, y, z = least_squares_point(pulled, linear, 1.0)
    return x, y, z, tl.where(total > 0, 1 / tl.sqrt(safe / views), 1)


def sum_lanes(a: Vector) -> Vector:
    """Sum vectors over all lanes."""
    return tl.sum(a[0], axis=0), tl.sum(a[1], axis=0), tl.sum(a[2], axis=0)


def rig_of(table: Pointer, frame: Lanes, views: int, shared: tl.constexpr) -> Pointer:
    """Return where the rig of each lane stands; the same for all if it is shared."""
    rig = table
    if not shared:
        rig = table + frame * (VIEW * views + ORIGIN)
    return rig


def seen_by(rig: Pointer, given: Inputs, sizes: Sizes, item: Lanes) -> Sightings:
    """Return what each lane sees of its item."""
    _, images, strides = given
    _, views, per_frame = sizes
    frame, point = item // per_frame, item % per_frame
    first = frame * strides[0] + point * strides[2], frame * strides[4] + point * strides[6]
    return rig, views, images, strides, first


def view_of(rig: Pointer, view: int) -> tuple[Pair, View]:
    """Load the image center and the rows of a view."""
    at = rig + VIEW * view
    depth = tl.load(at + 2), tl.load(at + 3), tl.load(at + 4), tl.load(at + 5)
    across = tl.load(at + 6), tl.load(at + 7), tl.load(at + 8), tl.load(at + 9)
    down = tl.load(at + 10), tl.load(at + 11), tl.load(at + 12), tl.load(at + 13)
    return (tl.load(at), tl.load(at + 1)), (depth, across, down)


def origin_of(seen: Sightings) -> Vector:
    """Load the origin of a rig."""
    at = seen[0] + VIEW * seen[1]
    return tl.load(at), tl.load(at + 1), tl.load(at + 2)


def lanes_of(sizes: Sizes) -> tuple[Lanes, Lanes, Lanes, Lanes]:
    """Return items, which of them there are, their frames and points; past the end the last."""
    count, _, per_frame = sizes
    item, inside = items(count)
    item = tl.minimum(item, count - 1)
    return item, inside, item // per_frame, item % per_frame


def lanes_in_chunk(number: Lanes, chunk: int, first: int, count: int) -> tuple[Lanes, Lanes]:
    """Return items of a chunk from its `first` on, and which there are; past the end the last."""
    lane = first + tl.arange(0, LANES)
    item = number * chunk + lane
    return tl.minimum(item, count - 1), (lane < chunk) & (item < count)


def sighting(
    seen: Sightings, view: int, unit: Lanes
) -> tuple[Lanes, Lanes, Lanes, Lanes, View, Pair]:
    """Load u and v about the image center, weights over `unit`, which are known, rows and center.

    A sighting that is missing has weight zero at the center.
    """
    rig, _, images, strides, places_of_first = seen
    pixels, weights = images
    first, first_weight = places_of_first
    center, rows = view_of(rig, view)
    kind = center[0].dtype
    line = pixels + (first + view * strides[1])
    u, v = tl.load(line).to(kind) - center[0], tl.load(line + strides[3]).to(kind) - center[1]
    known = (u - v) * 0 == 0
    w = known.to(kind)
    if weights is not None:
        w = tl.load(weights + (first_weight + view * strides[5])).to(kind)
        known = known & (w > 0) & (w * 0 == 0)
        w = tl.where(known, w, 0) / unit
    return tl.where(known, u, 0), tl.where(known, v, 0), w, known, rows, center


def largest_weight(seen: Sightings, zero: Lanes) -> Lanes:
    """Return the largest weight of each point, by which all are divided."""
    largest = zero
    if seen[2][1] is not None:
        for view in range(seen[1]):
            _, _, w, _, _, _ = sighting(seen, view, zero + 1)
            largest = tl.maximum(largest, w)
    return tl.where(largest > 0, largest, 1)
