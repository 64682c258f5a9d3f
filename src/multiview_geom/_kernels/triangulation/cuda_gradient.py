"""The gradient of linear triangulation on a GPU: fused kernels, by Triton.

See `gradient_vector` for the formula. Points whose Hessian is ill conditioned are done once more
in double precision.
"""

from typing import TypeAlias

import triton.language as tl

from multiview_geom._kernels.algebra import Row, Vector, add_scaled, choose, combine4, dot
from multiview_geom._kernels.triangulation.algebra import (
    FEWEST_VIEWS,
    gradient_vector,
    sighting_gradient,
    view_gradient,
)
from multiview_geom._kernels.triangulation.cpu_gradient import DOUBLE_GRADIENT, SINGLE_GRADIENT
from multiview_geom._kernels.triangulation.cuda import normal_equations, residuals
from multiview_geom._kernels.triangulation.cuda_blocks import (
    VIEW,
    Inputs,
    Sightings,
    Sizes,
    lanes_in_chunk,
    lanes_of,
    largest_weight,
    load_row,
    origin_of,
    rig_of,
    seen_by,
    sighting,
    store_row,
)
from multiview_geom._kernels.triton_primitives import LANES, Lanes, Pointer, some

Found: TypeAlias = tuple[Pointer, Pointer]
"""The points, and the gradient that comes back for them; or their vectors Z."""
Gradients: TypeAlias = tuple[Pointer, Pointer, Pointer]
"""What to fill, contiguous: pixels; weights and vectors Z, which may be None."""
Place: TypeAlias = tuple[Lanes, Lanes, int]
"""An item, where its first weight stands in contiguous memory, and the step between views."""
Counts: TypeAlias = tuple[int, int]
"""How many steps to reweight, none for linear triangulation; how many points make one sum."""
Projection: TypeAlias = tuple[Row, Row, Row]
"""Its rows: across, down, depth."""
VectorsAndUnit: TypeAlias = tuple[tuple[Row, Row], Lanes]
"""X and Z about the origin, and the largest weight."""


def differentiate(
    given: Inputs, found: Found, gradients: Gradients, sizes: Sizes, shared: tl.constexpr
) -> None:
    """Turn the gradient in points into that in pixels and weights, and into the vectors Z."""
    item, inside, frame, point = lanes_of(sizes)
    place = item, frame * sizes[1] * sizes[2] + point, sizes[2]
    wide = seen_by(rig_of(given[0][1], frame, sizes[1], shared), given, sizes, item)
    if gradients[0].dtype.element_ty == tl.float32:
        seen = seen_by(rig_of(given[0][0], frame, sizes[1], shared), given, sizes, item)
        vectors, doubt = vectors_at(seen, found, item, SINGLE_GRADIENT)
        pull_back(seen, vectors, gradients, place, inside & (doubt == 0))
        if some(inside & doubt):
            again, _ = vectors_at(wide, found, item, DOUBLE_GRADIENT)
            pull_back(wide, again, gradients, place, inside & doubt)
    else:
        vectors, _ = vectors_at(wide, found, item, DOUBLE_GRADIENT)
        pull_back(wide, vectors, gradients, place, inside)


def vectors_at(
    seen: Sightings, found: Found, item: Lanes, limit: tl.constexpr
) -> tuple[VectorsAndUnit, Lanes]:
    """Find the vectors Z, and tell for which points B - q is too ill conditioned.

    Points that are not determined have a Z of zero.
    """
    origin = origin_of(seen)
    start, known = load_point(found[0], item, origin)
    unit = largest_weight(seen, start[0] * 0)
    hessian, _, count = normal_equations(seen, unit)
    _, squared = residuals(seen, unit, start)
    known = known & (count >= FEWEST_VIEWS)
    upstream, _ = load_point(found[1], item, (unit * 0, unit * 0, unit * 0))
    upstream = choose(known, upstream, (0.0, 0.0, 0.0))
    z, sure = gradient_vector((hessian, squared), start, origin, upstream, limit, 1.0)
    vectors = (start[0], start[1], start[2], 1.0), z
    return (vectors, unit), known & (sure == 0)


def load_point(pointer: Pointer, item: Lanes, origin: Vector) -> tuple[Vector, Lanes]:
    """Load points about an origin, zero where they are not finite, and which of them are."""
    at = pointer + 3 * item
    kind = origin[0].dtype
    x, y, z = tl.load(at).to(kind), tl.load(at + 1).to(kind), tl.load(at + 2).to(kind)
    known = dot((x, y, z), (0.0, 0.0, 0.0)) == 0
    return choose(known, add_scaled((x, y, z), origin, -1.0), (0.0, 0.0, 0.0)), known


def pull_back(
    seen: Sightings, found: VectorsAndUnit, gradients: Gradients, place: Place, active: Lanes
) -> None:
    """Store the gradients in pixels and weights, and the vectors Z, of the active lanes."""
    vectors, unit = found
    of_pixels, of_weights, z_vectors = gradients
    item, first, step = place
    for view in range(seen[1]):
        u, v, w, known, rows, _ = sighting(seen, view, unit)
        of_u, of_v, of_weight = sighting_gradient(u, v, w, rows, vectors)
        here = first + view * step
        tl.store(of_pixels + 2 * here, of_u, mask=active)
        tl.store(of_pixels + 2 * here + 1, of_v, mask=active)
        if of_weights is not None:
            tl.store(of_weights + here, tl.where(known, of_weight, 0) / unit, mask=active)
    if z_vectors is not None:
        store_row(z_vectors + 4 * item, vectors[1], active)


def differentiate_rigs(
    given: Inputs, found: Found, sums: Pointer, sizes: Sizes, counts: Counts, shared: tl.constexpr
) -> None:
    """Sum the gradient in one view of a rig over a chunk of points, in double precision.

    The first axis of the grid counts chunks of so many points, the second the views.
    """
    chunk, number, view = counts[1], tl.program_id(0).to(tl.int64), tl.program_id(1)
    rig, zero = rig_of(given[0][1], number, sizes[1], shared), tl.zeros((LANES,), tl.float64)
    nothing = zero, zero, zero, zero
    of_across, of_down, of_depth = nothing, nothing, nothing
    for first in range(0, chunk, LANES):
        item, inside = lanes_in_chunk(number, chunk, first, sizes[0])
        seen = seen_by(rig, given, sizes, item)
        u, v, w, _, rows, center = sighting(seen, view, largest_weight(seen, zero))
        origin = origin_of(seen)
        start, _ = load_point(found[0], item, origin)
        vectors = (start[0], start[1], start[2], zero + 1), load_row(found[1] + 4 * item, inside)
        pixel = u, v, tl.where(inside, w, 0)
        across, down, depth = view_gradient(pixel, center, rows, origin, vectors)
        of_across, of_down = combine4(of_across, across, 1, 1), combine4(of_down, down, 1, 1)
        of_depth = combine4(of_depth, depth, 1, 1)
    store_sums(sums, (of_across, of_down, of_depth), rig, number, view, sizes[1])


def store_sums(
    sums: Pointer, rows: Projection, rig: Pointer, number: Lanes, view: Lanes, views: int
) -> None:
    """Store the sums over all lanes, times the scale of the rig; zero for a view of no use."""
    factor, usable = tl.load(rig + VIEW * views + 3), tl.load(rig + VIEW * view) * 0 == 0
    out = sums + 12 * (number * views + view)
    for row in tl.static_range(3):
        for k in tl.static_range(4):
            total = tl.sum(rows[row][k], axis=0) * factor
            tl.store(out + 4 * row + k, tl.where(usable, total, 0))
