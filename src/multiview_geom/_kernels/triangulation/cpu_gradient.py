"""The gradient of linear triangulation on a processor: fused loops, by Numba.

See `gradient_vector` for the formula. Points whose Hessian is ill conditioned are in doubt;
`differentiate_again` does them in double precision.
"""

from math import isfinite
from typing import TypeAlias

import numpy as np

from multiview_geom._kernels.algebra import Vector, add_scaled, add_symmetric, choose, dot4, where
from multiview_geom._kernels.numba_primitives import (
    LANES,
    Array,
    clear,
    put_row,
    put_symmetric,
    put_vector,
    row_at,
    symmetric_at,
    vector_at,
)
from multiview_geom._kernels.triangulation.algebra import (
    FEWEST_VIEWS,
    equations,
    gradient_vector,
    normal_terms,
    sighting_gradient,
    view_gradient,
)
from multiview_geom._kernels.triangulation.cpu_blocks import (
    DOUBT,
    GRADIENT,
    HESSIAN,
    IMAGE_ROWS,
    LINEAR,
    SEEN,
    SQUARED,
    START,
    UNIT,
    Rig,
    Sightings,
    end_of_chunk,
    load_listed,
    load_sightings,
    point_at,
    prepare_rig,
    rounded,
    store_doubts,
    view_of,
    workspace,
)

Upstream: TypeAlias = tuple[Array, Array, tuple[int, int, int]]
"""Points as a flat array; the gradient that comes back for them, as a flat array with its steps
from frame to frame, from point to point and from axis to axis."""
Gradients: TypeAlias = tuple[Array, Array, Array]
"""What to fill: flat arrays for pixels and weights, and sums for each chunk of the gradient in a
rig, in double precision; these two may be empty."""

# Rows of a block that the backward pass uses otherwise: the upstream gradient (3), also as it came,
# and the vector Z (4); see `cpu_blocks`.
UPSTREAM, RAW_UPSTREAM, Z = LINEAR, GRADIENT, GRADIENT

# The condition of B - q up to which single precision is enough for a gradient, and up to which
# double precision is; beyond, the point is not determined and passes no gradient.
SINGLE_GRADIENT, DOUBLE_GRADIENT = 2e3, 1e14


def differentiate(
    rigs: Array,
    sightings: Sightings,
    span: tuple[int, int, int],
    limit: float,
    of_points: Upstream,
    gradients: Gradients,
    doubts: Array,
) -> None:
    """Turn the gradient in a range of points into that in pixels, weights and projections.

    Args:
        rigs: As for `triangulate`.
        sightings: As for `triangulate`.
        span: As for `triangulate`; a chunk makes one sum of the gradient in a rig.
        limit: The condition up to which the loops are accurate enough.
        of_points: The points, and the gradient that comes back for them.
        gradients: What to fill.
        doubts: What to fill: which points are in doubt.
    """
    begin, last, chunk = span
    of_pixels, of_weights, of_rig = gradients
    per_frame, count = sightings.per_frame, rigs.shape[1]
    own_limit = of_pixels.dtype.type(limit)
    centers, views, image, rows = workspace(count, of_pixels)
    sums = np.zeros((count if len(of_rig) > 0 else 0, 3, 4))
    for start in range(begin, last, chunk):
        rig = prepare_rig(rigs, start // per_frame, centers, views)
        own = rounded(rig, of_pixels)
        sums[:] = 0
        end = min(start + chunk, last)
        for first in range(start, end, LANES):
            n = min(LANES, end - first)
            load_sightings(image, rows, sightings, own[0], first, n)
            load_upstream(rows, of_points, per_frame, first, 0, n)
            differentiate_block(image, rows, own, own_limit, sums, n)
            store_gradients(image, of_pixels, of_weights, (first, per_frame, count), 0, n)
            store_doubts(rows, doubts[first:], n)
        if len(of_rig) > 0:
            of_rig[start // chunk] += sums * rig[2][3]


def differentiate_again(
    rigs: Array,
    sightings: Sightings,
    span: tuple[int, int, int],
    listed: Array,
    of_points: Upstream,
    gradients: Gradients,
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
    of_pixels, of_weights, of_rig = gradients
    per_frame, count = sightings.per_frame, rigs.shape[1]
    centers, views, image, rows = workspace(count, np.zeros(1))
    sums = np.zeros((count if len(of_rig) > 0 else 0, 3, 4))
    while position < last:
        end = end_of_chunk(listed, position, last, chunk)
        rig = prepare_rig(rigs, listed[position] // per_frame, centers, views)
        sums[:] = 0
        for first in range(position, end, LANES):
            n, block = min(LANES, end - first), listed[first:]
            load_listed(image, rows, sightings, centers, block, n)
            for i in range(n):
                load_upstream(rows, of_points, per_frame, block[i], i, 1)
            differentiate_block(image, rows, rig, DOUBLE_GRADIENT, sums, n)
            for i in range(n):
                store_gradients(image, of_pixels, of_weights, (block[i], per_frame, count), i, 1)
        if len(of_rig) > 0:
            of_rig[listed[position] // chunk] += sums * rig[2][3]
        position = end


def differentiate_block(
    image: Array, rows: Array, rig: Rig, limit: float, sums: Array, n: int
) -> None:
    """Turn the loaded sightings of n lanes into their gradients."""
    centers, views, (x, y, z, _) = rig
    leave_out_unknown(rows, (x, y, z), n)
    equations_at_points(image, rows, views, n)
    find_gradient_vectors(rows, (x, y, z), limit, n)
    pull_back_to_rig(image, rows, centers, views, (x, y, z), sums, n)
    pull_back(image, rows, views, n)


def load_upstream(
    rows: Array, of_points: Upstream, points: int, first: int, lane: int, n: int
) -> None:
    """Load n points in a row and the gradient that comes back for them, to a lane and behind it.

    `points` is the number of points per frame.
    """
    found, back, (by_frame, by_point, by_axis) = of_points
    for axis in range(3):
        line, start = found[3 * first + axis :], rows[(START + axis) * LANES + lane :]
        for i in range(n):
            start[i] = line[3 * i]
        upstream, done = rows[(RAW_UPSTREAM + axis) * LANES + lane :], 0
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
    zero, one = rows.dtype.type(0), rows.dtype.type(1)
    nothing = (zero, zero, zero)
    for i in range(n):
        x, y, z = vector_at(rows, START, i)
        known = ((x + y + z) * zero == zero) & (rows[SEEN * LANES + i] >= FEWEST_VIEWS)
        start, upstream = add_scaled((x, y, z), origin, -one), vector_at(rows, RAW_UPSTREAM, i)
        put_vector(rows, START, i, choose(known, start, nothing))
        put_vector(rows, UPSTREAM, i, choose(known, upstream, nothing))


def equations_at_points(image: Array, rows: Array, views: Array, n: int) -> None:
    """Sum B, and the squared residual at the points."""
    one = rows.dtype.type(1)
    clear(rows, HESSIAN, HESSIAN + 6)
    clear(rows, SQUARED, SQUARED + 1)
    for v in range(len(views)):
        view, at = view_of(views, v), IMAGE_ROWS * v * LANES
        for i in range(n):
            p, q = equations(image[at + i], image[at + LANES + i], view)
            squares, _ = normal_terms(p, q)
            point, w = point_at(rows, i, one), image[at + 2 * LANES + i]
            r, s = dot4(p, point), dot4(q, point)
            hessian = add_symmetric(symmetric_at(rows, HESSIAN, i), squares, w)
            put_symmetric(rows, HESSIAN, i, hessian)
            rows[SQUARED * LANES + i] += w * (r * r + s * s)


def find_gradient_vectors(rows: Array, origin: Vector, limit: float, n: int) -> None:
    """Find the vectors Z that the gradient of every input is made of."""
    one, zero = rows.dtype.type(1), rows.dtype.type(0)
    for i in range(n):
        start, upstream = vector_at(rows, START, i), vector_at(rows, UPSTREAM, i)
        sums = symmetric_at(rows, HESSIAN, i), rows[SQUARED * LANES + i]
        z, sure = gradient_vector(sums, start, origin, upstream, limit, one)
        put_row(rows, Z, i, z)
        rows[DOUBT * LANES + i] = where(sure, zero, one)


def pull_back(image: Array, rows: Array, views: Array, n: int) -> None:
    """Put the gradient in the pixels and in the weights where these were loaded."""
    one, zero = rows.dtype.type(1), rows.dtype.type(0)
    for v in range(len(views)):
        view, at = view_of(views, v), IMAGE_ROWS * v * LANES
        for i in range(n):
            vectors = point_at(rows, i, one), row_at(rows, Z, i)
            weight = image[at + 2 * LANES + i]
            of_u, of_v, of_weight = sighting_gradient(
                image[at + i], image[at + LANES + i], weight, view, vectors
            )
            image[at + i], image[at + LANES + i] = of_u, of_v
            of_weight = where(weight > zero, of_weight, zero)
            image[at + 2 * LANES + i] = of_weight / rows[UNIT * LANES + i]


def pull_back_to_rig(
    image: Array, rows: Array, centers: Array, views: Array, origin: Vector, sums: Array, n: int
) -> None:
    """Add the gradient in the projections, but for the scale of the rows, if `sums` has views."""
    one = rows.dtype.type(1)
    for v in range(len(sums)):
        if not isfinite(centers[v, 0]):
            continue
        view, center = view_of(views, v), (centers[v, 0], centers[v, 1])
        at = IMAGE_ROWS * v * LANES
        for i in range(n):
            sighting = image[at + i], image[at + LANES + i], image[at + 2 * LANES + i]
            vectors = point_at(rows, i, one), row_at(rows, Z, i)
            gradient = view_gradient(sighting, center, view, origin, vectors)
            for row in range(3):
                for k in range(4):
                    sums[v, row, k] += gradient[row][k]


def store_gradients(
    image: Array,
    of_pixels: Array,
    of_weights: Array,
    where_to: tuple[int, int, int],
    lane: int,
    n: int,
) -> None:
    """Write the gradient of n points in a row, from a lane on, to contiguous flat arrays.

    `where_to` is the first point, counted over all frames, the points per frame, and the views.
    """
    first, points, views = where_to
    for v in range(views):
        at, done = IMAGE_ROWS * v * LANES + lane, 0
        while done < n:
            frame, point = divmod(first + done, points)
            run = min(points - point, n - done)
            start = (frame * views + v) * points + point
            line = of_pixels[2 * start :]
            across, down = image[at + done :], image[at + LANES + done :]
            for i in range(run):
                line[2 * i] = across[i]
                line[2 * i + 1] = down[i]
            if len(of_weights) > 0:
                line, weight = of_weights[start:], image[at + 2 * LANES + done :]
                for i in range(run):
                    line[i] = weight[i]
            done += run
