"""Linear triangulation on a GPU: one fused kernel, by Triton.

A program computes LANES points, each with all its numbers in registers. Pixels are read once per
pass over the views, from the cache after the first pass. Single precision is used where it is
enough; a program with a point in doubt solves again in double precision.
`engines.triton_functions` compiles these functions and the algebra that they are written in.
"""

import triton.language as tl

from multiview_geom._kernels.algebra import (
    Symmetric,
    Vector,
    add_scaled,
    add_symmetric,
    choose,
    dot,
    scale,
    unit_axes,
)
from multiview_geom._kernels.triangulation.algebra import (
    FEWEST_VIEWS,
    about_origin,
    append_row,
    apply_transpose,
    characteristic_polynomial,
    columns_of,
    equations,
    least_squares_point,
    minimum,
    next_quotient,
    normal_terms,
    orthogonalize,
    point_of_smallest,
    residuals_and_depth,
    smallest_root,
)
from multiview_geom._kernels.triangulation.cpu import JACOBI_SWEEPS, ORTHOGONAL, SECOND_TRY, SINGLE
from multiview_geom._kernels.triangulation.cuda_blocks import (
    ORIGIN,
    VIEW,
    Inputs,
    Sightings,
    Sizes,
    lanes_of,
    largest_weight,
    origin_of,
    prepare_rig,
    rig_of,
    seen_by,
    sighting,
)
from multiview_geom._kernels.triton_primitives import Lanes, Pointer, some, store_vector

SINGLE_STEPS, SINGLE_LEFT, SINGLE_LOST = SINGLE
# Double precision always starts from the root, as the second try of the loops.
DOUBLE_STEPS, DOUBLE_LEFT, DOUBLE_LOST = SECOND_TRY


def triangulate(
    given: Inputs,
    points: Pointer,
    projections: Pointer,
    sizes: Sizes,
    shared: tl.constexpr,
    width: tl.constexpr,
) -> None:
    """Triangulate points; a rig stands once for all frames if `shared`, or once per frame.

    If `width` is not zero, so many lanes first prepare the one rig, for this program alone.
    """
    tables = given[0]
    if width:
        own = tl.program_id(0) * (VIEW * sizes[1] + ORIGIN)
        tables = tables[0] + own, tables[1] + own
        prepare_rig(projections, tables, 0, sizes[1], width)
        tl.debug_barrier()  # each lane reads what all have written
    item, inside, frame, _place = lanes_of(sizes)
    wide = seen_by(rig_of(tables[1], frame, sizes[1], shared), given, sizes, item)
    if points.dtype.element_ty == tl.float32:
        seen = seen_by(rig_of(tables[0], frame, sizes[1], shared), given, sizes, item)
        unit = largest_weight(seen, inside.to(tl.float32) * 0)
        found, enough, sure = minimize(seen, unit)
        if some(inside & enough & (sure == 0)):
            again, _ = solve_in_double(wide, inside & (sure == 0))
            x, y, z = again
            again = x.to(tl.float32), y.to(tl.float32), z.to(tl.float32)
            found = choose(sure, found, again)
    else:
        found, enough = solve_in_double(wide, inside)
    nan: tl.constexpr = float("nan")
    store_vector(points, 3 * item, choose(enough, found, (nan, nan, nan)), inside)


def solve_in_double(seen: Sightings, inside: Lanes) -> tuple[Vector, Lanes]:
    """Find points in double precision, and tell which of them at least two views saw."""
    unit = largest_weight(seen, inside.to(tl.float64) * 0)
    found, enough, sure = minimize(seen, unit)
    if some(inside & enough & (sure == 0)):
        found = choose(sure, found, solve_from_factor(seen, unit))
    return found, enough


def minimize(seen: Sightings, unit: Lanes) -> tuple[Vector, Lanes, Lanes]:
    """Find points; tell which of them at least two views saw, and which are sure."""
    wide: tl.constexpr = unit.dtype == tl.float64
    hessian, linear, count = normal_equations(seen, unit)
    start = least_squares_point(hessian, linear, 1.0)
    gradient, squared = residuals(seen, unit, start)
    start = add_scaled(start, origin_of(seen), 1.0)
    quotient = squared / (1 + dot(start, start))
    if wide:
        quotient = smallest_root(characteristic_polynomial(hessian, start, squared))
    last = quotient  # the loop's names must exist before it
    for _ in tl.static_range(DOUBLE_STEPS if wide else SINGLE_STEPS):
        last = quotient
        quotient = next_quotient((hessian, squared), quotient, start, gradient, 1.0)
    limits = DOUBLE_LEFT if wide else SINGLE_LEFT, DOUBLE_LOST if wide else SINGLE_LOST
    point, sure = minimum(hessian, (quotient, last), start, gradient, limits, 1.0)
    return point, count >= FEWEST_VIEWS, sure


def normal_equations(seen: Sightings, unit: Lanes) -> tuple[Symmetric, Vector, Lanes]:
    """Sum the normal_terms of the equations, B and b, and count the views that saw each point."""
    zero = unit * 0
    hessian, linear, count = (zero, zero, zero, zero, zero, zero), (zero, zero, zero), zero
    for view in range(seen[1]):
        u, v, w, known, rows, _ = sighting(seen, view, unit)
        p, q = equations(u, v, rows)
        squares, products = normal_terms(p, q)
        hessian, linear = add_symmetric(hessian, squares, w), add_scaled(linear, products, w)
        count += tl.where(known, 1, 0)
    return hessian, linear, count


def residuals(seen: Sightings, unit: Lanes, start: Vector) -> tuple[Vector, Lanes]:
    """Find the gradient B x + b and the squared residual, from the residuals."""
    zero = unit * 0
    gradient, squared = (zero, zero, zero), zero
    for view in range(seen[1]):
        u, v, w, _, rows, _ = sighting(seen, view, unit)
        r, s, _ = residuals_and_depth(u, v, rows, (start[0], start[1], start[2], 1.0))
        gradient = add_scaled(gradient, apply_transpose(u, v, rows, (w * r, w * s)), 1.0)
        squared += w * (r * r + s * s)
    return gradient, squared


def solve_from_factor(seen: Sightings, unit: Lanes) -> Vector:
    """Find points from the triangular factor of their equations, by one-sided Jacobi rotations.

    The equations are not squared, so this is as accurate as their singular value decomposition.
    """
    zero = unit * 0
    nothing = zero, zero, zero, zero
    factor = nothing, nothing, nothing, nothing
    shift = scale(origin_of(seen), -1)
    for view in range(seen[1]):
        u, v, w, _, rows, _ = sighting(seen, view, unit)
        p, q = equations(u, v, rows)
        root = tl.sqrt(w)
        factor = append_row(factor, about_origin(p, shift, root))
        factor = append_row(factor, about_origin(q, shift, root))
    columns, axes = columns_of(factor), unit_axes(zero)
    sweep, skew = 0, some(zero == 0)
    while (sweep < JACOBI_SWEEPS) & skew:
        columns, axes, largest = orthogonalize(columns, axes)
        sweep, skew = sweep + 1, some(largest > ORTHOGONAL)
    return point_of_smallest(columns, axes)
