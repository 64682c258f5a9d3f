"""The nearest rotation where it is clear, without a quaternion; and the eigenvalue in closed form.

With ‖M‖ = 1 the eigenvalue λ = s₁ + s₂ ± s₃ that `_rotation` asks for is a function of det(M) and
‖cof(M)‖² alone, and the rotation is a polynomial of M and λ over the product of the gaps.
"""

from math import tau

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels.null_vector import unit
from multiview_geom._kernels.symmetric import Entries, crossed, inner, less, square_of

# How far from a tie, relative to ‖M‖³, a rotation without a quaternion is right to the dtype
# after so many of Newton's steps to the eigenvalue.
CLEAR, NEWTON_STEPS = {torch.float32: 3e-4, torch.float64: 0.03}, 2

# Largest reciprocal size of a matrix whose fourth power does not underflow.
LARGEST = 1e70


def nearest_far_from_ties(
    entries: Entries, dtype: torch.dtype, *, with_inverse: bool
) -> tuple[list[Float[Tensor, "n"]], Bool[Tensor, "n"]]:
    """Find the nearest rotations without a quaternion, and which are right to the dtype.

    With S = Mᵀ M, ‖M‖ = 1 and λ = s₁ + s₂ ± s₃ it is R = (M ((λ² + 1)/2 - S) + λ cof(M)) / ζ, where
    ζ = (λ² - 1)/2 λ - det(M) is the product of the gaps s₁ + s₂, s₁ ± s₃ and s₂ ± s₃: the distance
    from a tie. Two columns give the third; the inverse is (S + (λ² - 1)/2) / ζ.

    Reference:
        Markley, Attitude determination using vector observations: a fast optimal matrix
        algorithm, J. Astronautical Sciences 41, 1993.
    """
    x, y, z = columns = [entries[column::3] for column in range(3)]
    xx, yy, zz, yz, zx, xy = square_of(columns)
    rest = yy + zz
    minors = (xx * rest).addcmul_(yy, zz)
    for beside in (yz, zx, xy):
        minors.addcmul_(beside, beside, value=-1)
    shrunk = rest.add_(xx).rsqrt_()
    squared = shrunk * shrunk
    of_x, of_y = crossed(y, z), crossed(z, x)
    determinant = inner(x, of_x).mul_(squared).mul_(shrunk)
    root, excess, gaps, clear = _root_and_gaps(
        determinant, minors.mul_(squared).mul_(squared), dtype
    )
    # Of other sizes some power under- or overflowed.
    clear.logical_and_(shrunk < LARGEST)
    inverse = torch.div(shrunk, gaps, out=gaps).mul_(2.0)
    share = root.mul_(shrunk).mul_(inverse)
    factor = squared.mul_(inverse)
    shift = excess.mul_(inverse).div_(2.0)
    mean = inverse.add_(shift)
    for beside in (yz, zx, xy):
        beside.mul_(factor)
    rotated_x, rotated_y = (
        [
            cofactor.mul_(share).addcmul_(a, own).addcmul_(b, p, value=-1).addcmul_(c, q, value=-1)
            for cofactor, a, b, c in zip(cofactors, *three, strict=True)
        ]
        for cofactors, own, three, p, q in (
            (of_x, torch.addcmul(mean, factor, xx, value=-1), (x, y, z), xy, zx),
            (of_y, torch.addcmul(mean, factor, yy, value=-1), (y, x, z), xy, yz),
        )
    )
    if dtype == torch.float64:
        # What round-off over ζ leaves of the right angle would show in this dtype.
        rotated_x = unit(rotated_x)
        rotated_y = unit(less(rotated_y, rotated_x, inner(rotated_x, rotated_y)))
    rotated = zip(rotated_x, rotated_y, crossed(rotated_x, rotated_y), strict=True)
    rows = [entry for row in rotated for entry in row]
    if with_inverse:
        rows += [*(torch.addcmul(shift, factor, entry) for entry in (xx, yy, zz)), yz, zx, xy]
    return rows, clear


def _root_and_gaps(
    determinant: Tensor, squared_cofactors: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Bool[Tensor, "n"]]:
    """Find λ, λ² - 1, 2 ζ, and whether ζ was large enough for the dtype all the way.

    λ is the largest root of (λ² - 1)² - 8 det λ - 4‖cof‖², whose slope is 8 ζ: found by Newton's
    steps from the closed form. A step from a tie may lead anywhere.
    """
    root = closed_root(determinant, squared_cofactors)
    linear, constant = determinant.mul_(-2.0), squared_cofactors.mul_(-4.0)
    excess = (root * root).sub_(1.0)
    gaps = least = torch.addcmul(linear, excess, root)
    for _ in range(NEWTON_STEPS):
        value = torch.addcmul(constant, excess, excess).addcmul_(linear, root, value=4)
        root.addcdiv_(value, gaps, value=-1 / 4)
        excess = torch.mul(root, root, out=excess).sub_(1.0)
        gaps = torch.addcmul(linear, excess, root)
        least = torch.minimum(least, gaps)
    return root, excess, gaps, least > 2 * CLEAR[dtype]


def closed_root(determinant: Tensor, squared_cofactors: Tensor) -> Tensor:
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
