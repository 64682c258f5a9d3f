"""The kernel of Procrustes alignment: the nearest rotation from a quartic and a cofactor.

The rotation nearest to M maximises tr(Rᵀ M), which is a quadratic form of R's quaternion: the
wanted one is the eigenvector of the largest eigenvalue λ of a symmetric 4x4 matrix K (Horn
1987). Its characteristic polynomial is λ⁴ - 2‖M‖² λ² - 8 det(M) λ + ‖M‖⁴ - 4‖cof(M)‖² (QCP,
Theobald 2005), and the quaternion is a column of the squared cofactors of λ - K. The largest
is taken: it is a quaternion, so the result is a rotation even where two are equally near.

How far a rounding of M turns R is one over the gap between eigenvalues, s₂ ± s₃ of M's singular
values. So single precision is computed in double, and double precision is polished by Newton's
steps on the group, where the slope is exact. Where a look costs nothing, the matrices that are far
from a tie, which is nearly all, are spared the quaternion: R is a polynomial of M and λ over the
product of the gaps (Markley 1993).

Every entry is a row of memory of its own, as long as there are matrices.
"""

from collections.abc import Sequence
from math import tau

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._null_vector import largest_column, least_stretched, unit, wide
from multiview_geom._point_blocks import looked_at
from multiview_geom._symmetric import Symmetric, in_rows, inner, plus_product, scaled

# The closed form is off by a root of double round-off at a multiple root; so the iteration
# starts this far right of it, relative to ‖M‖, and triples the correct digits of a simple root.
MARGIN, LAGUERRE_STEPS = 1e-5, 3

# How far λ is set right of the root at last: cofactors at a tie stay far above their round-off,
# and a gap below this squared over single round-off is noise in single precision anyway.
LIFT = 1e-6

# Newton's steps for double precision; single precision is right without, computed in double.
POLISHING_STEPS = {torch.float32: 0, torch.float64: 3}

# How far from a tie, relative to ‖M‖³, a rotation without a quaternion is right to the dtype
# after so many of Newton's steps to the eigenvalue.
CLEAR, NEWTON_STEPS = {torch.float32: 3e-4, torch.float64: 0.03}, 2

# Largest reciprocal size of a matrix whose fourth power does not underflow.
LARGEST = 1e70

# Where the eigenvalue gaps multiply to less than this many round-offs, no direction is nearest.
TIE = 8

# Where the diagonal stands among the nine entries of a matrix, row by row.
DIAGONAL = (0, 4, 8)

Entries = list[Float[Tensor, "n"]]
"""Matrices by their nine entries, row by row, one row of memory per entry."""


def nearest_entries(matrices: Float[Tensor, "n 3 3"]) -> list[Float[Tensor, "n"]]:
    """Find the nine entries of the nearest rotations."""
    if not looked_at(matrices):
        return _nearest_anywhere(matrices)
    rows, clearness = _nearest_far_from_ties(in_rows(matrices.flatten(1), wide(matrices)))
    # Negated, so that what is not a number is not clear.
    unclear = (clearness > CLEAR[matrices.dtype]).logical_not_().nonzero()[:, 0]
    if len(unclear) > 0:
        for row, better in zip(rows, _nearest_anywhere(matrices[unclear]), strict=True):
            row[unclear] = better
    return rows


def _nearest_far_from_ties(entries: Entries) -> tuple[Entries, Float[Tensor, "n"]]:
    """Find the nearest rotations without a quaternion, and how far from a tie each is.

    With ‖M‖ = 1, V = M Mᵀ and λ = s₁ + s₂ ± s₃ it is R = ((λ² + 1)/2 M - V M + λ cof(M)) / ζ, where
    ζ = (λ² - 1)/2 λ - det(M) is the product of the gaps s₁ + s₂, s₁ ± s₃ and s₂ ± s₃: the
    distance from a tie.

    Reference:
        Markley, Attitude determination using vector observations: a fast optimal matrix
        algorithm, J. Astronautical Sciences 41, 1993.
    """
    rows, columns = in_threes(entries), [entries[column::3] for column in range(3)]
    first, second, third = rows
    xx, yy, zz = (inner(row, row) for row in rows)
    yz, zx, xy = inner(second, third), inner(third, first), inner(first, second)
    cofactors = _cofactors(entries)
    minors = (xx * yy).addcmul_(yy, zz).addcmul_(zz, xx)
    for beside in (yz, zx, xy):
        minors.addcmul_(beside, beside, value=-1)
    shrunk = (xx + yy).add_(zz).rsqrt_()
    squared = shrunk * shrunk
    determinant = inner(first, cofactors[:3]).mul_(squared).mul_(shrunk)
    root, gaps, clearness = _root_and_gaps(determinant, minors.mul_(squared).mul_(squared))
    inverse = gaps.reciprocal()
    share = (root * squared).mul_(inverse)
    mean = root.mul_(root).add_(1).mul_(inverse).mul_(shrunk).div_(2)
    factor = inverse.mul_(shrunk).mul_(squared).neg_()
    stretch = Symmetric(
        *(torch.addcmul(mean, entry, factor) for entry in (xx, yy, zz)),
        *scaled((yz, zx, xy), factor),
    )
    rotation = [
        (share * cofactor).addcmul_(a, u).addcmul_(b, v).addcmul_(c, w)
        for (a, b, c), line in zip(stretch.full(), in_threes(cofactors), strict=True)
        for cofactor, (u, v, w) in zip(line, columns, strict=True)
    ]
    # Of other sizes some power under- or overflowed.
    return rotation, clearness.mul_((shrunk < LARGEST).to(shrunk.dtype))


def _root_and_gaps(determinant: Tensor, squared_cofactors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find λ, the largest root of (λ² - 1)² - 8 det λ - 4‖cof‖², and ζ, whose slope there is 8 ζ.

    By Newton's steps from the closed form; told last is the least ζ on the way, since a step from
    a tie may lead anywhere.
    """
    root = _closed_root(determinant, squared_cofactors)
    excess = (root * root).sub_(1)
    gaps = least = (excess * root).div_(2).sub_(determinant)
    for _ in range(NEWTON_STEPS):
        value = (excess * excess).addcmul_(determinant, root, value=-8)
        root = root.addcdiv_(value.sub_(squared_cofactors, alpha=4), gaps, value=-1 / 8)
        excess = (root * root).sub_(1)
        gaps = (excess * root).div_(2).sub_(determinant)
        least = torch.minimum(least, gaps)
    return root, gaps, least


def _nearest_anywhere(matrices: Float[Tensor, "n 3 3"]) -> list[Float[Tensor, "n"]]:
    """Find the nearest rotations, or one of them where several are equally near."""
    entries = _unit_matrices(in_rows(matrices.flatten(1), wide(matrices)))
    quaternion = least_stretched(_lifted_form(entries))
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
    root = _closed_root(determinant, squared_cofactors).add_(MARGIN)
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


def _closed_root(determinant: Tensor, squared_cofactors: Tensor) -> Tensor:
    """Find s₁ + s₂ ± s₃ in closed form, right but for a root of round-off near a multiple root.

    Every root of a number x is taken as x times its reciprocal root, which is faster.

    Reference:
        Smith, Eigenvalues of a symmetric 3x3 matrix, 1961, for s₃².
    """
    smallest = _smallest_squared_value(determinant, squared_cofactors)
    area_squared = (smallest - 1).mul_(smallest).add_(squared_cofactors).clamp_(min=0)
    shrunk = (area_squared + _nothing(area_squared)).rsqrt_()
    area = area_squared.mul_(shrunk)
    # ± s₃ is the determinant over the area, and zero where that is.
    share = shrunk.mul_(shrunk).mul_(area).mul_(determinant)
    rest = area.mul_(2).sub_(smallest).add_(1)
    return torch.addcmul(share, rest, rest.rsqrt())


def _smallest_squared_value(determinant: Tensor, squared_cofactors: Tensor) -> Tensor:
    """Find s₃², the smallest root of x³ - x² + ‖cof‖² x - det², in closed form."""
    spread = (squared_cofactors / -3).add_(1 / 9).clamp_(min=_nothing(determinant))
    half = (determinant * determinant).div_(2)
    half.sub_(squared_cofactors, alpha=1 / 6).add_(1 / 27)
    shrunk = spread.rsqrt()
    width = spread.mul_(shrunk)
    angle = half.mul_(shrunk).mul_(shrunk).mul_(shrunk).clamp_(-1, 1).acos_()
    cosine = angle.div_(3).add_(tau / 3).cos_()
    return cosine.mul_(width).mul_(2).add_(1 / 3).clamp_(min=0)


def _nothing(values: Tensor) -> float:
    """Return a number far below round-off; its reciprocal root can be cubed."""
    return float(torch.finfo(values.dtype).tiny ** (2 / 3))


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


def crossed(left: Sequence[Tensor], right: Sequence[Tensor]) -> list[Float[Tensor, "n"]]:
    (a, b, c), (x, y, z) = left, right
    quadruples = ((b, z, c, y), (c, x, a, z), (a, y, b, x))
    return [plus_product(one * two, three, four, -1.0) for one, two, three, four in quadruples]


def _stretch_of(product: Entries) -> Symmetric:
    """Return tr(S) I - S, with S made symmetric."""
    xx, xy, xz, yx, yy, yz, zx, zy, zz = product
    beside = (yz + zy) / -2, (zx + xz) / -2, (xy + yx) / -2
    return Symmetric(yy + zz, zz + xx, xx + yy, *beside)


def _transposed_times(left: Entries, right: Entries) -> Entries:
    """Return the nine entries of leftᵀ right."""
    return [inner(left[row::3], right[column::3]) for row in range(3) for column in range(3)]


def _skew_vector(matrix: Entries) -> list[Float[Tensor, "n"]]:
    _, xy, xz, yx, _, yz, zx, zy, _ = matrix
    return [zy - yz, xz - zx, yx - xy]
