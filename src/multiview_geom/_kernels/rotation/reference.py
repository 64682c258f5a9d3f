"""The kernel of Procrustes alignment: the nearest rotation from a quartic and a cofactor.

The rotation nearest to M maximises tr(Rᵀ M), which is a quadratic form of R's quaternion: the
wanted one is the eigenvector of the largest eigenvalue λ of a symmetric 4x4 matrix K (Horn
1987). Its characteristic polynomial is λ⁴ - 2‖M‖² λ² - 8 det(M) λ + ‖M‖⁴ - 4‖cof(M)‖² (QCP,
Theobald 2005), and the quaternion is a column of the squared cofactors of λ - K. The largest
is taken: it is a quaternion, so the result is a rotation even where two are equally near.

How far a rounding of M turns R is one over the gap between eigenvalues, s₂ ± s₃ of M's singular
values. So single precision is computed in double, and double precision is polished by Newton's
steps on the group, where the slope is exact. Where a look costs nothing, the matrices that are far
from a tie, which is nearly all, are spared the quaternion (`_rotation_far_from_ties`).

Every entry is a row of memory of its own, as long as there are matrices.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.null_vector import (
    largest_column,
    least_axis,
    least_stretched,
    unit,
    wide,
)
from multiview_geom._kernels.point_blocks import looked_at
from multiview_geom._kernels.rotation.well_separated import closed_root, nearest_far_from_ties
from multiview_geom._kernels.symmetric import (
    Entries,
    Symmetric,
    crossed,
    in_rows,
    inner,
    scaled,
    square_of,
)

# The closed form is off by a root of double round-off at a multiple root; so the iteration
# starts this far right of it, relative to ‖M‖, and triples the correct digits of a simple root.
MARGIN, LAGUERRE_STEPS = 1e-5, 3

# How far λ is set right of the root at last: cofactors at a tie stay far above their round-off,
# and a gap below this squared over single round-off is noise in single precision anyway.
LIFT = 1e-6

# Newton's steps for double precision; single precision is right without, computed in double.
POLISHING_STEPS = {torch.float32: 0, torch.float64: 3}

# A mirror image of less volume than this, relative to ‖M‖³, has no three nearly equal eigenvalues.
FLAT = 0.15

# Where the eigenvalue gaps multiply to less than this many round-offs, no direction is nearest.
TIE = 8

# Where the diagonal stands among the nine entries of a matrix, row by row.
DIAGONAL = (0, 4, 8)


def nearest_entries(
    matrices: Float[Tensor, "n 3 3"], *, with_inverse: bool = False
) -> list[Float[Tensor, "n"]]:
    """Find the nine entries of the nearest rotations; then, if asked, the six of their inverses.

    An inverse is the symmetric matrix by which a change turns the rotation: `inverse_at_best`.
    """
    if not looked_at(matrices):
        return _with_inverse(matrices, _nearest_anywhere(matrices), wanted=with_inverse)
    entries = in_rows(matrices.flatten(1), wide(matrices))
    rows, clear = nearest_far_from_ties(entries, matrices.dtype, with_inverse=with_inverse)
    if not bool(clear.all()):
        places = clear.logical_not_().nonzero()[:, 0]
        there = matrices[places]
        better = _with_inverse(there, _nearest_anywhere(there), wanted=with_inverse)
        for row, found in zip(rows, better, strict=True):
            row[places] = found.to(row.dtype)
    return rows


def _with_inverse(
    matrices: Float[Tensor, "n 3 3"], rotation: Entries, *, wanted: bool
) -> list[Float[Tensor, "n"]]:
    if not wanted:
        return rotation
    here = [row.to(matrices.dtype) for row in rotation]
    return [*rotation, *inverse_at_best(in_rows(matrices.flatten(1)), here)]


def inverse_at_best(entries: Entries, rotation: Entries) -> Symmetric:
    """Invert tr(P) - P, where P = Rᵀ M = √(Mᵀ M) at the nearest rotation R.

    With λ = tr(P) it is (Mᵀ M + κ) / ζ, where κ = (λ² - ‖M‖²)/2 and ζ = κ λ - det(M): found for M
    in a size whose cubes neither over- nor underflow. Zero where the rotation is not unique.
    """
    size = _sum_of_products(entries, rotation)
    shrink = size.detach().abs().clamp(min=torch.finfo(size.dtype).tiny).reciprocal()
    entries, size = scaled(entries, shrink), size * shrink
    x, y, z = columns = [entries[column::3] for column in range(3)]
    square = square_of(columns)
    shift = (size * size - square.trace()) / 2
    gaps = shift * size - inner(x, crossed(y, z))
    factor = reciprocal_of_clear(gaps, 2 * size) * shrink
    return Symmetric(*scaled([*(row + shift for row in square[:3]), *square[3:]], factor))


def _sum_of_products(left: Entries, right: Entries) -> Float[Tensor, "n"]:
    """Multiply matrices entry by entry, and add up."""
    first, *others = (inner(a, b) for a, b in zip(in_threes(left), in_threes(right), strict=True))
    return first + others[0] + others[1]


def _nearest_anywhere(matrices: Float[Tensor, "n 3 3"]) -> list[Float[Tensor, "n"]]:
    """Find the nearest rotations, or one of them where several are equally near.

    For a mirror image -M of full volume, whose three largest eigenvalues may be nearly equal, it
    is that of M behind half a turn about the axis that M stretches least.
    """
    entries = _unit_matrices(in_rows(matrices.flatten(1), wide(matrices)))
    first, second, third = in_threes(entries)
    volume = inner(first, crossed(second, third))
    mirrored = (volume + FLAT).sign().clamp(max=0).neg()
    upright = scaled(entries, 1 - 2 * mirrored)
    quaternion = least_stretched(_lifted_form(upright))
    axis = least_axis(_even_part(_transposed_times(_rotation_of(quaternion), upright)))
    quaternion = _after_turn(quaternion, 1 - mirrored, scaled(axis, mirrored))
    for _ in range(POLISHING_STEPS[matrices.dtype]):
        quaternion = _polished(entries, _twisted(entries, quaternion))
    return _rotation_of(quaternion)


def _unit_matrices(entries: Entries) -> Entries:
    """Divide by the norm; a matrix of zeros becomes the identity."""
    squared = entries[0] * entries[0]
    for row in entries[1:]:
        squared.addcmul_(row, row)
    rows = scaled(entries, squared.clamp(min=torch.finfo(squared.dtype).tiny).rsqrt_())
    nothing = 1 - squared.sign()
    return [row + nothing if index in DIAGONAL else row for index, row in enumerate(rows)]


def _lifted_form(entries: Entries) -> list[list[Tensor]]:
    """Return λ - K, with λ a little right of K's largest eigenvalue; only the upper triangle."""
    xx, xy, xz, yx, yy, yz, zx, zy, zz = entries
    cofactors = _cofactors(entries)
    determinant = inner(entries[:3], cofactors[:3])
    squared_cofactors = cofactors[0] * cofactors[0]
    for row in cofactors[1:]:
        squared_cofactors.addcmul_(row, row)
    root = _largest_root(determinant, squared_cofactors) + LIFT
    trace = xx + yy + zz
    twist = root + trace
    return [
        [root - trace, yz - zy, zx - xz, xy - yx],
        [twist.sub(xx, alpha=2), -(xy + yx), -(xz + zx)],
        [twist.sub(yy, alpha=2), -(yz + zy)],
        [twist.sub(zz, alpha=2)],
    ]


def in_threes(entries: Entries) -> list[Entries]:
    """Cut the entries into the rows of the matrices."""
    return [entries[:3], entries[3:6], entries[6:]]


def _cofactors(entries: Entries) -> Entries:
    first, second, third = in_threes(entries)
    return [*crossed(second, third), *crossed(third, first), *crossed(first, second)]


def _largest_root(determinant: Tensor, squared_cofactors: Tensor) -> Tensor:
    """Find s₁ + s₂ ± s₃, the largest root of λ⁴ - 2 λ² - 8 det λ + 1 - 4‖cof‖², where ‖M‖ = 1.

    Reference:
        Parlett, Laguerre's method applied to the matrix eigenvalue problem, 1964.
    """
    root = closed_root(determinant, squared_cofactors).add_(MARGIN)
    linear, constant = -8 * determinant, 1 - 4 * squared_cofactors
    for _ in range(LAGUERRE_STEPS):
        squared = root * root
        value = torch.addcmul(linear, squared - 2, root)
        value = torch.addcmul(constant, value, root).clamp_(min=0)
        slope = torch.addcmul(linear, (4 * squared).sub_(4), root).clamp_(min=0)
        spread = (slope * slope).addcmul_(value, (16 * squared).sub_(16 / 3), value=-1)
        # At a multiple root value and slope vanish together: stay.
        divisor = spread.clamp_(min=0).sqrt_().add_(slope, alpha=1 / 3)
        divisor = divisor + 1 - divisor.sign()
        root = torch.addcdiv(root, value, divisor, value=-4 / 3)
    return root


def _rotation_of(quaternion: Sequence[Float[Tensor, "n"]]) -> Entries:
    w, x, y, z = quaternion
    x2, y2, z2 = 2 * x, 2 * y, 2 * z
    wx, wy, wz = w * x2, w * y2, w * z2
    xx, xy, xz = x * x2, x * y2, x * z2
    yy, yz, zz = y * y2, y * z2, z * z2
    return [
        *(1 - yy - zz, xy - wz, xz + wy),
        *(xy + wz, 1 - xx - zz, yz - wx),
        *(xz - wy, yz + wx, 1 - xx - yy),
    ]


def _polished(entries: Entries, quaternion: list[Float[Tensor, "n"]]) -> list[Float[Tensor, "n"]]:
    """Take Newton's step on the rotation group."""
    product = _transposed_times(_rotation_of(quaternion), entries)
    half = [row / 2 for row in _turn(product, _skew_vector(product))]
    return _after_turn(quaternion, torch.ones_like(half[0]), half)


def _twisted(entries: Entries, quaternion: list[Float[Tensor, "n"]]) -> list[Float[Tensor, "n"]]:
    """Turn about the axis that matters least by the best angle, which a near-tie leaves open."""
    product = _transposed_times(_rotation_of(quaternion), entries)
    stretch = _stretch_of(product)
    axis = largest_column(stretch.adjugate()[0].full())
    sine = inner(_skew_vector(product), axis)
    cosine = inner(stretch.times(axis), axis)
    half_angle = torch.atan2(sine, cosine) / 2
    return _after_turn(quaternion, half_angle.cos(), scaled(axis, half_angle.sin()))


def _after_turn(
    quaternion: list[Float[Tensor, "n"]], real: Float[Tensor, "n"], imaginary: list[Tensor]
) -> list[Float[Tensor, "n"]]:
    """Multiply with a quaternion from the right, and return to unit length."""
    w, *vector = quaternion
    (x, y, z), (u, v, t) = vector, imaginary
    cross = [y * t - z * v, z * u - x * t, x * v - y * u]
    turned = [
        row + real * old + w * new for row, old, new in zip(cross, vector, imaginary, strict=True)
    ]
    return unit([w * real - inner(vector, imaginary), *turned])


def _turn(product: Entries, vector: list[Tensor]) -> list[Float[Tensor, "n"]]:
    """Solve (tr(S) I - S) ω = vector; zero where the nearest rotation is not unique."""
    stretch = _stretch_of(product)
    adjugate, determinant = stretch.adjugate()
    factor = reciprocal_of_clear(determinant, stretch.trace())
    return scaled(adjugate.times(vector), factor)


def reciprocal_of_clear(gaps: Tensor, trace: Tensor) -> Tensor:
    """Invert the product of the gaps; zero where it is round-off of their sum."""
    size = trace.abs()
    least = TIE * torch.finfo(size.dtype).eps * size * size * size
    unique = (gaps - least).detach().sign().clamp(min=0)
    # Divided by what is not zero: the inverse of a singular matrix would turn zero gradients
    # into NaN.
    least = least.detach().clamp(min=torch.finfo(size.dtype).tiny)
    return unique / torch.maximum(gaps, least)


def _stretch_of(product: Entries) -> Symmetric:
    """Return tr(S) I - S, with S made symmetric."""
    xx, yy, zz, *beside = _even_part(product)
    return Symmetric(yy + zz, zz + xx, xx + yy, *(-entry for entry in beside))


def _even_part(matrix: Entries) -> Symmetric:
    xx, xy, xz, yx, yy, yz, zx, zy, zz = matrix
    return Symmetric(xx, yy, zz, (yz + zy) / 2, (zx + xz) / 2, (xy + yx) / 2)


def _transposed_times(left: Entries, right: Entries) -> Entries:
    """Return the nine entries of leftᵀ right."""
    return [inner(left[row::3], right[column::3]) for row in range(3) for column in range(3)]


def _skew_vector(matrix: Entries) -> list[Float[Tensor, "n"]]:
    _, xy, xz, yx, _, yz, zx, zy, _ = matrix
    return [zy - yz, xz - zx, yx - xy]
