"""Rotations, alignments and small eigenvectors on a GPU: one fused kernel each, by Triton.

A program computes LANES items, each with all its numbers in registers and in double precision.
`engines.triton_functions` compiles these functions and the algebra that they are written in.
"""

from typing import TypeAlias

import triton.language as tl

from multiview_geom._kernels.algebra import (
    Matrix,
    Row,
    Vector,
    add_scaled,
    choose,
    dot,
    scale,
    unit_axes,
)
from multiview_geom._kernels.rotation.algebra import (
    DOUBLE_GAPS,
    DOUBLE_STEP,
    SQUARED_ROUND_OFF,
    SWEEPS,
    Axes,
    Symmetric4,
    best_scale,
    clear_rotation,
    gradient_in_moments,
    gradient_in_points,
    horn_matrix,
    is_usable,
    jacobi_sweep,
    largest_entry,
    lowest_axis,
    pseudo_inverse4_times,
    rotation_of,
    turn,
    with_largest_positive,
)
from multiview_geom._kernels.triton_primitives import (
    Lanes,
    Pointer,
    items,
    load,
    load_vector,
    some,
    store_vector,
)

Pointers: TypeAlias = tuple[Pointer, Pointer, Pointer]
Sets: TypeAlias = tuple[Pointer, Pointer, Pointer]
"""Source, target and weights, contiguous; the weights may be None."""
TotalAndMoments: TypeAlias = tuple[Lanes, Vector, Vector, Matrix, Lanes]
"""Sum of the weights, means of source and target, covariance, variance of the source."""
Sizes: TypeAlias = tuple[int, int]
"""How many sets there are, and how many points each has."""
SizesAndTie: TypeAlias = tuple[int, int, float]

FOUR = 4


def load_matrix(pointer: Pointer, item: Lanes, inside: Lanes) -> Matrix:
    """Load a 3x3 matrix of each item."""
    return (
        load_vector(pointer, 9 * item, inside),
        load_vector(pointer, 9 * item + 3, inside),
        load_vector(pointer, 9 * item + 6, inside),
    )


def store_matrix(pointer: Pointer, item: Lanes, m: Matrix, inside: Lanes) -> None:
    """Store a 3x3 matrix of each item."""
    store_vector(pointer, 9 * item, m[0], inside)
    store_vector(pointer, 9 * item + 3, m[1], inside)
    store_vector(pointer, 9 * item + 6, m[2], inside)


def diagonalize(m: Symmetric4) -> tuple[Symmetric4, Axes]:
    """Turn symmetric 4x4 matrices, of entries up to one, to their axes."""
    axes = unit_axes(m[0] * 0)
    for _ in range(SWEEPS):
        m, axes = jacobi_sweep(m, axes)
    return m, axes


def shrunk(m: Symmetric4) -> tuple[Symmetric4, Lanes]:
    """Divide symmetric matrices by their largest entry."""
    size = largest_entry(m)
    return (
        m[0] / size,
        m[1] / size,
        m[2] / size,
        m[3] / size,
        m[4] / size,
        m[5] / size,
        m[6] / size,
        m[7] / size,
        m[8] / size,
        m[9] / size,
    ), size


def rotation_anywhere(m: Matrix, inside: Lanes, least_gaps: float, longest_step: float) -> Matrix:
    """Find the nearest rotations in closed form; where that is in doubt, by Jacobi's method."""
    rotation, gaps, step = clear_rotation(m)
    sure = (gaps > least_gaps) & (tl.abs(step) < longest_step)
    x, y, z = rotation
    if some(inside & (sure == 0)):
        form, _ = shrunk(horn_matrix(m))
        form, axes = diagonalize(form)
        a, b, c = rotation_of(lowest_axis(form, axes))
        x, y, z = choose(sure, x, a), choose(sure, y, b), choose(sure, z, c)
    return x, y, z


def nearest_rotations(
    matrices: Pointer, rotations: Pointer, count: int, least_gaps: float, longest_step: float
) -> None:
    """Find the nearest rotations of matrices."""
    item, inside = items(count)
    m = load_matrix(matrices, item, inside)
    rotation = rotation_anywhere(m, inside, least_gaps, longest_step)
    store_matrix(rotations, item, rotation, inside)


def turn_rotations(
    matrices: Pointer, rotations: Pointer, changes: Pointer, turns: Pointer, count: int, tie: float
) -> None:
    """Turn rotations as changes of their matrices do, or the other way round."""
    item, inside = items(count)
    m, rotation = load_matrix(matrices, item, inside), load_matrix(rotations, item, inside)
    turned = turn(m, rotation, load_matrix(changes, item, inside), tie)
    store_matrix(turns, item, turned, inside)


def load_points(
    source: Pointer, target: Pointer, weights: Pointer, at: Lanes, inside: Lanes
) -> tuple[Vector, Vector, Lanes]:
    """Load a point of both sets and its weight; what is missing becomes zero, of weight zero."""
    a, b = load_vector(source, 3 * at, inside), load_vector(target, 3 * at, inside)
    w = inside.to(tl.float64)
    if weights is not None:
        w = load(weights, at, inside)
    known = is_usable(a, b, w)
    nothing = w * 0, w * 0, w * 0
    return choose(known, a, nothing), choose(known, b, nothing), tl.where(known, w, 0)


def find_moments(
    source: Pointer, target: Pointer, weights: Pointer, first: Lanes, inside: Lanes, points: int
) -> TotalAndMoments:
    """Find sum of the weights, means, covariance and variance; zero for points that are all one."""
    zero = inside.to(tl.float64) * 0
    total, noise, variance = zero, zero, zero
    a_mean, b_mean = (zero, zero, zero), (zero, zero, zero)
    for point in range(points):
        a, b, w = load_points(source, target, weights, first + point, inside)
        total += w
        a_mean, b_mean = add_scaled(a_mean, a, w), add_scaled(b_mean, b, w)
    total = tl.where(total > 0, total, 1)
    a_mean, b_mean = scale(a_mean, 1 / total), scale(b_mean, 1 / total)
    x, y, z = (zero, zero, zero), (zero, zero, zero), (zero, zero, zero)
    for point in range(points):
        a, b, w = load_points(source, target, weights, first + point, inside)
        noise += w / total * dot(a, a)
        a = add_scaled(a, a_mean, -1)
        b = scale(add_scaled(b, b_mean, -1), w / total)
        x, y, z = add_scaled(x, a, b[0]), add_scaled(y, a, b[1]), add_scaled(z, a, b[2])
        variance += w / total * dot(a, a)
    spread = tl.where(variance > SQUARED_ROUND_OFF * noise, zero + 1, zero)
    covariance = scale(x, spread), scale(y, spread), scale(z, spread)
    return total, a_mean, b_mean, covariance, variance * spread


def align(
    sets: Sets,
    transforms: Pointers,
    sizes: Sizes,
    scaled: tl.constexpr,
) -> None:
    """Find rotations, translations and scales of sets; of scale one unless `scaled`."""
    source, target, weights = sets
    rotations, translations, scales = transforms
    count, points = sizes
    item, inside = items(count)
    _, a_mean, b_mean, covariance, variance = find_moments(
        source, target, weights, item * points, inside, points
    )
    x, y, z = rotation_anywhere(covariance, inside, DOUBLE_GAPS, DOUBLE_STEP)
    factor = variance * 0 + 1
    if scaled:
        factor = best_scale(covariance, (x, y, z), variance)
    # Scale and translation belong to what the caller gets, rounded to the dtype.
    kind = rotations.dtype.element_ty
    x, y, z = rounded(x, kind), rounded(y, kind), rounded(z, kind)
    factor = factor.to(kind).to(tl.float64)
    moved = dot(x, a_mean), dot(y, a_mean), dot(z, a_mean)
    store_matrix(rotations, item, (x, y, z), inside)
    store_vector(translations, 3 * item, add_scaled(b_mean, moved, -factor), inside)
    tl.store(scales + item, factor, mask=inside)


def rounded(a: Vector, kind: tl.constexpr) -> Vector:
    """Round to a dtype."""
    return (
        a[0].to(kind).to(tl.float64),
        a[1].to(kind).to(tl.float64),
        a[2].to(kind).to(tl.float64),
    )


def differentiate(
    sets: Sets,
    transforms: Pointers,
    upstream: Pointers,
    gradients: Pointers,
    sizes: SizesAndTie,
    scaled: tl.constexpr,
) -> None:
    """Turn the gradient in the transforms of sets into that in points and weights."""
    source, target, weights = sets
    count, points, tie = sizes
    item, inside = items(count)
    total, a_mean, b_mean, covariance, variance = find_moments(
        source, target, weights, item * points, inside, points
    )
    moments = covariance, a_mean, variance
    transform = load_matrix(transforms[0], item, inside), load(transforms[2], item, inside)
    change, shift = (
        load_matrix(upstream[0], item, inside),
        load_vector(upstream[1], 3 * item, inside),
    )
    back = change, shift, load(upstream[2], item, inside)
    free = variance > 0
    if not scaled:
        free = variance < 0
    of_moments = gradient_in_moments(moments, transform, back, free, tie)
    for point in range(points):
        at = item * points + point
        a, b, w = load_points(source, target, weights, at, inside)
        a, b, share = add_scaled(a, a_mean, -1), add_scaled(b, b_mean, -1), w / total
        of_source, of_target, of_share = gradient_in_points(a, b, share, of_moments)
        store_vector(gradients[0], 3 * at, of_source, inside)
        store_vector(gradients[1], 3 * at, of_target, inside)
        if weights is not None:
            tl.store(gradients[2] + at, tl.where(w > 0, of_share, 0) / total, mask=inside)


def load_symmetric(
    matrices: Pointer, item: Lanes, inside: Lanes, size: tl.constexpr
) -> tuple[Symmetric4, Lanes]:
    """Load symmetric parts, shrunk, and their size; a fourth axis gets a large eigenvalue."""
    at = size * size * item
    zero = inside.to(tl.float64) * 0
    aa, bb, cc = (
        load(matrices, at, inside),
        load(matrices, at + size + 1, inside),
        load(matrices, at + 2 * size + 2, inside),
    )
    ab = (load(matrices, at + 1, inside) + load(matrices, at + size, inside)) / 2
    ac = (load(matrices, at + 2, inside) + load(matrices, at + 2 * size, inside)) / 2
    bc = (load(matrices, at + size + 2, inside) + load(matrices, at + 2 * size + 1, inside)) / 2
    if size == FOUR:
        ad = (load(matrices, at + 3, inside) + load(matrices, at + 12, inside)) / 2
        bd = (load(matrices, at + 7, inside) + load(matrices, at + 13, inside)) / 2
        cd = (load(matrices, at + 11, inside) + load(matrices, at + 14, inside)) / 2
        m, length = shrunk((aa, ab, ac, ad, bb, bc, bd, cc, cd, load(matrices, at + 15, inside)))
    else:
        m, length = shrunk((aa, ab, ac, zero, bb, bc, zero, cc, zero, zero))
        m = (m[0], m[1], m[2], zero, m[4], m[5], zero, m[7], zero, zero + 4)
    return m, length


def store_row(pointer: Pointer, item: Lanes, a: Row, inside: Lanes, size: tl.constexpr) -> None:
    """Store three or four numbers of each item."""
    store_vector(pointer, size * item, (a[0], a[1], a[2]), inside)
    if size == FOUR:
        tl.store(pointer + size * item + 3, a[3], mask=inside)


def smallest_eigenvectors(
    matrices: Pointer, vectors: Pointer, count: int, size: tl.constexpr
) -> None:
    """Find the lowest eigenvectors of matrices of three or four rows."""
    item, inside = items(count)
    m, _ = load_symmetric(matrices, item, inside, size)
    m, axes = diagonalize(m)
    store_row(vectors, item, with_largest_positive(lowest_axis(m, axes)), inside, size)


def turn_eigenvectors(
    matrices: Pointer, changes: Pointer, turns: Pointer, count: int, tie: float, size: tl.constexpr
) -> None:
    """Multiply vectors with the pseudo-inverse of matrices less their smallest eigenvalue."""
    item, inside = items(count)
    m, length = load_symmetric(matrices, item, inside, size)
    m, axes = diagonalize(m)
    x, y, z = load_vector(changes, size * item, inside)
    w = x * 0
    if size == FOUR:
        w = load(changes, size * item + 3, inside)
    a, b, c, d = pseudo_inverse4_times(m, axes, (x, y, z, w), tie)
    store_row(turns, item, (a / length, b / length, c / length, d / length), inside, size)
