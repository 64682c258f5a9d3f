"""Reweighted linear triangulation on a GPU, and its gradient: fused kernels, by Triton.

All in double precision; the steps are those of `cpu_reweighted`.
"""

from typing import TypeAlias

import triton.language as tl

from multiview_geom._kernels.algebra import (
    Symmetric,
    Vector,
    add_scaled,
    add_symmetric,
    choose,
    combine4,
    dot4,
    scale,
)
from multiview_geom._kernels.triangulation.algebra import (
    apply_transpose,
    equations,
    from_world,
    normal_terms,
    residuals_and_depth,
    sighting_gradient,
    view_gradient,
)
from multiview_geom._kernels.triangulation.algebra_reweighted import (
    agreement,
    depth_gradient,
    homogeneous,
    inverse_square,
    inverse_times,
)
from multiview_geom._kernels.triangulation.cuda_blocks import (
    Inputs,
    Sizes,
    lanes_in_chunk,
    lanes_of,
    largest_weight,
    origin_of,
    rig_of,
    seen_by,
    sighting,
)
from multiview_geom._kernels.triangulation.cuda_gradient import Found, load_point, store_sums
from multiview_geom._kernels.triangulation.cuda_metric_rig import (
    Limit,
    Metric,
    metric_by,
    unit_of,
)
from multiview_geom._kernels.triton_primitives import (
    LANES,
    Lanes,
    Pointer,
    load_vector,
    store_vector,
)

MetricSettings: TypeAlias = tuple[int, float]
"""How many steps to reweight, and the round-off of the arguments as they were given."""
Counts: TypeAlias = tuple[int, int]
Gradients: TypeAlias = tuple[Pointer, Pointer, Pointer]
"""What to fill: pixels, which must be zero; weights and states, which may be None."""

# What the gradient in the rigs needs of each step of a point: the point before and after, and Z.
STATE = 9


def triangulate_reweighted(
    given: Inputs, points: Pointer, sizes: Sizes, settings: MetricSettings, shared: tl.constexpr
) -> None:
    """Triangulate points; NaN for those that are not unique or behind all cameras."""
    item, inside, frame, _place = lanes_of(sizes)
    metric = metric_by(given, sizes, item, frame, shared)
    seen, steps, round_off = metric[0], settings[0], settings[1]
    unit = unit_of(metric, inside.to(tl.float64) * 0, round_off)
    point, known = point_after(metric, unit, steps + 1)
    faced = known & (unit < 0)  # False everywhere
    for view in range(seen[1]):
        _, _, w, _, rows, _ = sighting(seen, view, unit)
        faced = faced | ((w > 0) & (dot4(rows[0], homogeneous(point)) > 0))
    nan: tl.constexpr = float("nan")
    found = choose(known & faced, add_scaled(point, origin_of(seen), 1), (nan, nan, nan))
    store_vector(points, 3 * item, found, inside)


def point_after(metric: Metric, unit: Lanes, solves: int) -> tuple[Vector, Lanes]:
    """Solve so many times from the origin on; tell which points the last solve determined."""
    zero = unit * 0
    zero = tl.where(zero == 0, zero, 0)  # where the point is not fixed, `unit` is infinite
    point, known = (zero, zero, zero), zero < 0
    for step in range(solves):
        hessian, gradient = equations_at(metric, unit, point, step > 0, None)
        move, known = inverse_times(hessian, gradient)
        point = add_scaled(point, move, -1)
    return point, known


def equations_at(
    metric: Metric, unit: Lanes, point: Vector, by_depth: Lanes, limit: Limit
) -> tuple[Symmetric, Vector]:
    """Sum B and the gradient B x + b at points, by whose depths equations are divided if wanted.

    If there is a limit, only sightings with a smaller squared reprojection error count.
    """
    seen, zero = metric[0], point[0] * 0
    hessian, gradient = (zero, zero, zero, zero, zero, zero), (zero, zero, zero)
    for view in range(seen[1]):
        u, v, w, _, rows, _ = sighting(seen, view, unit)
        if limit is not None:
            near = agreement(u, v, rows, homogeneous(point), limit)[1]
            w = tl.where(near, w, 0)
        w = w * inverse_square(dot4(rows[0], homogeneous(point)), by_depth)
        off = residuals_and_depth(u, v, rows, homogeneous(point))
        pull = apply_transpose(u, v, rows, (w * off[0], w * off[1]))
        p, q = equations(u, v, rows)
        hessian = add_symmetric(hessian, normal_terms(p, q)[0], w)
        gradient = add_scaled(gradient, pull, 1)
    return hessian, gradient


def differentiate_reweighted(
    given: Inputs,
    found: Found,
    gradients: Gradients,
    sizes: Sizes,
    settings: MetricSettings,
    shared: tl.constexpr,
) -> None:
    """Turn the gradient in points into that in pixels and weights, from the last step to the first.

    The points before a step are found anew for each: there are few steps.
    """
    item, inside, frame, place = lanes_of(sizes)
    metric = metric_by(given, sizes, item, frame, shared)
    seen, steps, round_off = metric[0], settings[0], settings[1]
    of_pixels, of_weights, states = gradients
    zero = inside.to(tl.float64) * 0
    unit = unit_of(metric, zero, round_off)
    known = load_point(found[0], item, (zero, zero, zero))[1]
    upstream = load_point(found[1], item, (zero, zero, zero))[0]
    upstream = choose(known, upstream, (0.0, 0.0, 0.0))
    for back in range(steps + 1):
        step = steps - back
        before = point_after(metric, unit, step)[0]
        hessian, gradient = equations_at(metric, unit, before, step > 0, None)
        move, sure = inverse_times(hessian, gradient)
        after = add_scaled(before, move, -1)
        z = scale(inverse_times(hessian, upstream)[0], -1)
        # Where the step did not move the point, the gradient passes on as it is.
        upstream = choose(sure, (0.0, 0.0, 0.0), upstream)
        vectors = homogeneous(after), (z[0], z[1], z[2], 0.0)
        for view in range(sizes[1]):
            u, v, w, _, rows, _ = sighting(seen, view, unit)
            depth = dot4(rows[0], homogeneous(before))
            inverse = inverse_square(depth, step > 0)
            of_u, of_v, of_share = sighting_gradient(u, v, w * inverse, rows, vectors)
            of_share = tl.where(w > 0, of_share, 0)
            of_depth = depth_gradient(of_share, w, depth, inverse, step > 0)
            upstream = add_scaled(upstream, (rows[0][0], rows[0][1], rows[0][2]), of_depth)
            here = (frame * sizes[1] + view) * sizes[2] + place
            add_to(of_pixels + 2 * here, of_u, inside)
            add_to(of_pixels + 2 * here + 1, of_v, inside)
            if of_weights is not None:
                add_to(of_weights + here, of_share * inverse / unit, inside)
        if states is not None:
            line = states + STATE * (step * sizes[0] + item)
            store_vector(line, 0, before, inside)
            store_vector(line, 3, after, inside)
            store_vector(line, 6, z, inside)


def add_to(pointer: Pointer, change: Lanes, inside: Lanes) -> None:
    """Add to a number in memory that no other lane changes."""
    tl.store(pointer, tl.load(pointer, mask=inside, other=0) + change, mask=inside)


def differentiate_metric_rigs(
    given: Inputs,
    states: Pointer,
    sums: Pointer,
    sizes: Sizes,
    counts: Counts,
    shared: tl.constexpr,
) -> None:
    """Sum the gradient in one view of a rig with true depths over a chunk of so many points.

    The first axis of the grid counts the chunks, the second the views.
    """
    steps, chunk = counts
    number, view = tl.program_id(0).to(tl.int64), tl.program_id(1)
    rig, zero = rig_of(given[0][0], number, sizes[1], shared), tl.zeros((LANES,), tl.float64)
    nothing = zero, zero, zero, zero
    of_across, of_down, of_depth = nothing, nothing, nothing
    for first in range(0, chunk, LANES):
        item, inside = lanes_in_chunk(number, chunk, first, sizes[0])
        seen = seen_by(rig, given, sizes, item)
        u, v, w, _, rows, center = sighting(seen, view, largest_weight(seen, zero))
        for step in range(steps + 1):
            line = STATE * (step * sizes[0] + item)
            before = homogeneous(load_vector(states, line, inside))
            after = homogeneous(load_vector(states, line + 3, inside))
            x, y, z = load_vector(states, line + 6, inside)
            vectors = after, (x, y, z, 0.0)
            depth = dot4(rows[0], before)
            inverse = inverse_square(depth, step > 0)
            pixel, origin = (u, v, w * inverse), origin_of(seen)
            across, down, along = view_gradient(pixel, center, rows, origin, vectors)
            of_share = tl.where(inside, sighting_gradient(u, v, w, rows, vectors)[2], 0)
            change = depth_gradient(of_share, w, depth, inverse, step > 0)
            along = combine4(along, from_world(before, origin), 1, change)
            of_across, of_down = combine4(of_across, across, 1, 1), combine4(of_down, down, 1, 1)
            of_depth = combine4(of_depth, along, 1, 1)
    store_sums(sums, (of_across, of_down, of_depth), rig, number, view, sizes[1])
