"""The kernel of linear triangulation: many small eigenproblems without a decomposition.

With A the equations of a point in homogeneous coordinates X = (x, 1), the sum of squares is a
quadratic form, ‖A X‖² = xᵀB x + 2 b·x + d, and (B - λ) x = -b where λ is the smallest
eigenvalue of AᵀA. Three facts make this fast and safe:

- A is linear in the pixel (u, v) once the camera is known, so B, b and d of every point are one
  matrix product of (u² + v², u, v, 1) per view with constants of the rig.
- With the solution of B x = -b as a basis vector, λ is the smallest root of a quartic with
  short coefficients. Laguerre's iteration climbs to it from zero and never past it, so B - λ
  stays positive definite even for points so far away that x is nearly infinite.
- AᵀA has half the digits of A. A last step from the residuals A X themselves gives the digits
  back (the corrected seminormal equations of Björck 1987). Where ‖A X‖² is small beside B, one to
  three such steps are all there is to do.

Arrays are `(rows, frames, points)`: rows of memory are long, whatever the number of views.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.point_blocks import in_graph, looked_at
from multiview_geom._kernels.symmetric import Symmetric, added, inner, less, scaled
from multiview_geom._kernels.triangulation.rig import LIFT, Rig, reciprocal

# Laguerre's iteration triples the correct digits of a simple root; the first step is free.
LAGUERRE_STEPS = {torch.float32: 1, torch.float64: 4}

# A rig of its own for fewer points than this is multiplied row by row: small matrix products
# are slower than that.
POINTS_FOR_A_PRODUCT = 8

# A product of few rows has one thread; cut into a batch it has them all, which pays for long rows.
TERMS_FOR_A_BATCH, POINTS_FOR_A_BATCH = 8, 16_384

# A compiler is given this many terms one by one, for one loop without a product: four views.
TERMS_TO_FUSE = 16

# How many steps from residuals are cheaper than the general path, and how many round-offs of the
# point they may leave: the last solve leaves as many.
STEPS_FROM_RESIDUALS, NEGLIGIBLE = (1, 2, 3), 4


class Sightings(NamedTuple):
    """Pixels counted from the rig's image centres, the trust in each, and in what unit.

    Without a trust every view saw every point, and all count the same. The powers are u² + v²,
    u, v and 1 of every sighting times the trust in it: what B, b and d are made of. Without a
    trust a single 1 serves all views.
    """

    across: Float[Tensor, "views frames points"]
    down: Float[Tensor, "views frames points"]
    powers: Float[Tensor, "terms frames points"]
    unit_of_trust: Float[Tensor, "frames points"]
    trust: Float[Tensor, "views frames points"] | None = None

    def trusted(self, values: Sequence[Tensor]) -> Sequence[Tensor]:
        """Multiply what belongs to the sightings with the trust in them."""
        return values if self.trust is None else [self.trust * value for value in values]


def prepare_sightings(
    rig: Rig,
    pixels: Float[Tensor, "frames views points 2"],
    weights: Float[Tensor, "frames views points"] | None,
) -> Sightings:
    """Count pixels from the image centres; a pixel or weight that is not finite weighs nothing.

    Weights are divided by the largest of their point, lest their unit overflow.
    """
    if weights is None and looked_at(pixels) and rig.calibrated.all():
        sightings = _all_seen(rig, pixels)
        if sightings.powers[: pixels.shape[1]].sum().isfinite():
            return sightings
    image = pixels.transpose(0, 1).contiguous()
    across, down = image[..., 0] - rig.centers[0], image[..., 1] - rig.centers[1]
    seen = (across.detach() - down.detach()).abs() < torch.inf
    across, down = across.nan_to_num(0.0, 0.0, 0.0), down.nan_to_num(0.0, 0.0, 0.0)
    if weights is None:
        trust, unit = seen.to(across.dtype), torch.ones_like(across[0])
    else:
        trust = weights.transpose(0, 1)
        trust = torch.where(seen & (trust > 0) & (trust < torch.inf), trust, 0.0)
        largest = trust.detach().amax(dim=0)
        unit = torch.where(largest > 0, largest, 1.0)
        trust = trust / unit
    right, low = trust * across, trust * down
    powers = torch.cat([torch.addcmul(right * across, low, down), right, low, trust])
    return Sightings(across, down, powers, unit, trust)


def _all_seen(rig: Rig, pixels: Float[Tensor, "frames views points 2"]) -> Sightings:
    """Count the pixels of sightings that are all there, in the memory of their powers."""
    frames, views, points, _ = pixels.shape
    powers = pixels.new_empty(3 * views + 1, frames, points)
    squares, image, ones = powers.split([views, 2 * views, 1])
    image = image.unflatten(0, (2, views))
    torch.sub(pixels.permute(3, 1, 0, 2), rig.centers, out=image)
    across, down = image
    torch.mul(across, across, out=squares).addcmul_(down, down)
    return Sightings(across, down, powers, ones.fill_(1)[0])


def minimise(rig: Rig, sightings: Sightings) -> list[Float[Tensor, "frames points"]]:
    """Find the point of least ‖A X‖ / ‖X‖, in the world, row by row."""
    entries = _normal_equations(rig, sightings, slice(9))
    stretch, slope = Symmetric(*entries[:6]), entries[6:]
    adjugate, determinant = stretch.adjugate()
    inverse = determinant.reciprocal()
    turned = adjugate.times(slope)
    world = less(list(rig.origin), turned, inverse)
    if looked_at(determinant):
        lift = LIFT * torch.finfo(determinant.dtype).eps * stretch.trace()
        found = _from_residuals(rig, sightings, world, (adjugate, determinant, lift))
        if found is not None:
            return found
    constant, world_constant = _normal_equations(rig, sightings, slice(9, 11))
    gap = torch.addcmul(constant, inner(slope, turned), inverse, value=-1)
    spectrum = _Spectrum(stretch, adjugate, determinant)
    shift = spectrum.smallest_eigenvalue(world, gap, world_constant)
    adjugate, determinant = spectrum.shifted(shift)
    inverse = reciprocal(determinant)
    turned = adjugate.times(less(slope, rig.origin, shift))
    world = less(list(rig.origin), turned, inverse)
    slope, squares = _residual_form(rig, sightings, world)
    quotient = squares / inner(world, world).add_(1)
    return less(world, adjugate.times(less(slope, world, quotient)), inverse)


def _from_residuals(
    rig: Rig,
    sightings: Sightings,
    start: list[Float[Tensor, "frames points"]],
    lifted: tuple[Symmetric, Tensor, Tensor],
) -> list[Float[Tensor, "frames points"]] | None:
    """Iterate B (x - x₀) = λ x - (B x₀ + b) from x₀ with B x₀ ≈ -b, where few steps will do.

    With r the ratio of λ to the smallest eigenvalue of B, and l that of the lift of B, x₀ is off
    by r + l. Each step takes r more; what is left of l is that of the first, since the residuals
    are those at x₀. One look at the largest ratios of the block, which a pixel that is not finite
    turns into NaN, tells how many steps there must be.

    Args:
        rig: The rig's constants.
        sightings: What was seen.
        start: x₀, in the world.
        lifted: The cofactors and the determinant of B, and how much it is lifted.

    Returns:
        The points, or nothing where that takes too many steps.
    """
    adjugate, determinant, lift = lifted
    slope, squares = _residual_form(rig, sightings, start)
    quotient = squares / inner(start, start).add_(1)
    inverse = determinant.reciprocal()
    softness = adjugate.trace().mul_(inverse)
    ratio, left = (float((part * softness).abs_().amax()) for part in (quotient, lift))
    allowed = NEGLIGIBLE * torch.finfo(quotient.dtype).eps
    few = (n for n in STEPS_FROM_RESIDUALS if (ratio + left) * (ratio**n + left) < allowed)
    steps = next(few, None)
    if steps is None or not determinant.amin() > 0:
        return None
    world, inverse = start, inverse.neg_()
    for _ in range(steps - 1):
        move = scaled(adjugate.times(less(slope, world, quotient)), inverse)
        squares_there = squares + inner(move, added(slope, world, quotient))
        world = added(start, move)
        quotient = squares_there / inner(world, world).add_(1)
    return added(start, adjugate.times(less(slope, world, quotient)), inverse)


def residuals(
    rig: Rig, sightings: Sightings, vector: Float[Tensor, "4 frames points"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Multiply A with homogeneous vectors of the rig's frame: across, down; and their depths."""
    depths, across, down = applied(rig.equations, vector).chunk(3)
    if in_graph():
        across = torch.addcmul(across, sightings.across, depths)
        return across, torch.addcmul(down, sightings.down, depths), depths
    across.addcmul_(sightings.across, depths)
    return across, down.addcmul_(sightings.down, depths), depths


def inverse_of_curvature(
    rig: Rig, sightings: Sightings, quotient: Tensor, vector: Sequence[Tensor], valid: Tensor | None
) -> list[Tensor]:
    """Multiply the inverse of B - λ with a vector; zero where there is no minimum."""
    # In a graph all that the forward step found too, for a compiler to take from there.
    needed = slice(9 if in_graph() else 6)
    stretch = Symmetric(*_normal_equations(rig, sightings, needed)[:6])
    adjugate, determinant = stretch.minus(quotient).adjugate()
    trace, round_off = stretch.trace(), LIFT * torch.finfo(quotient.dtype).eps
    all_valid = valid is None and looked_at(determinant)
    if all_valid and determinant.amin() > round_off * trace.amax() ** 3:
        return scaled(adjugate.times(vector), determinant.reciprocal_())
    least = round_off * trace**3
    minimal = (determinant - least).detach().sign().clamp(min=0)
    if valid is not None:
        minimal = valid * minimal
    # Divided twice by what is not zero: the inverse of a singular matrix would turn zero
    # gradients into NaN.
    least = least.detach().clamp(min=torch.finfo(quotient.dtype).tiny)
    return scaled(adjugate.times(vector), minimal / torch.maximum(determinant, least))


def applied(
    constants: Float[Tensor, "m k r"], rows: Float[Tensor, "k frames points"]
) -> Float[Tensor, "m frames points"]:
    """Multiply the rig's constants with every point's row."""
    terms, _, points = rows.shape
    if torch.compiler.is_compiling() and terms <= TERMS_TO_FUSE:
        # A compiler makes one loop of these sums and of what comes before and after.
        lines = (constants[line, :, :, None].unbind() for line in range(constants.shape[0]))
        return torch.stack([_sum_of_products(line, rows.unbind()) for line in lines])
    if constants.shape[-1] == 1:
        if terms < TERMS_FOR_A_BATCH or points < POINTS_FOR_A_BATCH:
            flat = constants[..., 0] @ rows.flatten(1)
            return flat.reshape(len(flat), *rows.shape[1:])
        batch = rows.transpose(0, 1)
        return torch.bmm(constants[..., 0].expand(len(batch), -1, -1), batch).transpose(0, 1)
    if points >= POINTS_FOR_A_PRODUCT:
        product = constants.permute(2, 0, 1).contiguous() @ rows.transpose(0, 1).contiguous()
        return product.transpose(0, 1).contiguous()
    return _sum_of_products(constants[..., None].unbind(1), rows.unbind())


def _sum_of_products(
    columns: Sequence[Float[Tensor, "*m r 1"]], rows: Sequence[Float[Tensor, "frames points"]]
) -> Float[Tensor, "*m frames points"]:
    """Multiply matrices of few columns with vectors, row of memory by row."""
    product = columns[0] * rows[0]
    for column, row in zip(columns[1:], rows[1:], strict=True):
        product = torch.addcmul(product, column, row)
    return product


def _normal_equations(rig: Rig, sightings: Sightings, which: slice) -> Sequence[Tensor]:
    """Return entries of B, b, d and d in the world, which stand in this order."""
    constants = rig.constants[which]
    if sightings.trust is None:
        constants = constants.sum(dim=1, keepdim=True)
    coefficients = torch.cat([rig.moments[which], constants], dim=1)
    return applied(coefficients, sightings.powers).unbind()


def _residual_form(
    rig: Rig, sightings: Sightings, world: list[Float[Tensor, "frames points"]]
) -> tuple[list[Float[Tensor, "frames points"]], Float[Tensor, "frames points"]]:
    """Return B x + b and ‖A X‖² from the residuals, in full precision."""
    if torch.compiler.is_compiling():
        point = [row - origin for row, origin in zip(world, rig.origin, strict=True)]
        homogeneous = torch.stack([*point, torch.ones_like(point[0])])
        across, down, _ = residuals(rig, sightings, homogeneous)
        *slope, last = pulled_back(rig, sightings, *sightings.trusted([across, down]))
        return slope, inner(slope, point) + last
    # The same without copies: in the memory of the homogeneous vectors and of the residuals.
    homogeneous = world[0].new_ones(4, *world[0].shape)
    for row, coordinate, origin in zip(homogeneous, world, rig.origin, strict=False):
        torch.sub(coordinate, origin, out=row)
    rows = applied(rig.equations, homogeneous)
    depths, across, down = rows.chunk(3)
    for axis, image in ((across, sightings.across), (down, sightings.down)):
        axis.addcmul_(image, depths)
        if sightings.trust is not None:
            axis.mul_(sightings.trust)
    torch.mul(sightings.across, across, out=depths).addcmul_(sightings.down, down)
    *slope, last = applied(rig.equations.transpose(0, 1), rows)
    return slope, inner(slope, homogeneous) + last


def pulled_back(
    rig: Rig, sightings: Sightings, across: Tensor, down: Tensor
) -> Float[Tensor, "4 frames points"]:
    """Multiply the transpose of A with residuals."""
    along = torch.addcmul(sightings.across * across, sightings.down, down)
    return applied(rig.equations.transpose(0, 1), torch.cat([along, across, down]))


class _Spectrum:
    """What the eigenvalues of B and of AᵀA are found from: B and the invariants of B."""

    def __init__(self, stretch: Symmetric, adjugate: Symmetric, determinant: Tensor) -> None:
        self.stretch, self.adjugate, self.determinant = stretch, adjugate, determinant
        self.trace, self.cofactors = stretch.trace(), adjugate.trace()

    def shifted(self, shift: Tensor) -> tuple[Symmetric, Tensor]:
        """Return the adjugate and the determinant of B - shift."""
        rest = self.trace - shift
        drop = shift * rest
        pairs = zip(self.adjugate, self.stretch, strict=True)
        moved = [torch.addcmul(cofactor, entry, shift) for cofactor, entry in pairs]
        adjugate = Symmetric(*(row.sub_(drop) for row in moved[:3]), *moved[3:])
        fall = torch.addcmul(self.cofactors, shift, rest, value=-1)
        return adjugate, torch.addcmul(self.determinant, shift, fall, value=-1)

    def smallest_eigenvalue(
        self, world: list[Tensor], gap: Tensor, world_constant: Tensor
    ) -> Float[Tensor, "frames points"]:
        """Climb to the smallest eigenvalue of AᵀA from x where B x = -b, and ‖A X‖².

        In the basis of X = (x, 1) and the three axes the off-diagonal block of AᵀA is zero, so
        det(AᵀA - λ) = λ⁴ - third λ³ + second λ² - first λ + zeroth has few terms. The third is
        the trace of AᵀA, which the constant term in the world completes.
        """
        gap = gap.clamp(min=0)
        length = inner(world, world).add_(1)
        zeroth = gap * self.determinant
        first = (gap * self.cofactors).addcmul_(length, self.determinant)
        second = (gap * self.trace).addcmul_(length, self.cofactors)
        second = second.sub_(inner(world, self.adjugate.times(world)))
        third = self.trace + world_constant
        root = (4 / 3) * zeroth / _laguerre_divisor(zeroth, first, second)
        for _ in range(LAGUERRE_STEPS[gap.dtype]):
            value = torch.addcmul(second, root - third, root)
            value = torch.addcmul(first, value, root, value=-1)
            value = torch.addcmul(zeroth, value, root, value=-1).clamp_(min=0)
            fall = torch.addcmul(2 * second, (3 * third).sub_(root, alpha=4), root, value=-1)
            fall = torch.addcmul(first, fall, root, value=-1)
            half_bend = torch.addcmul(second, (3 * third).sub_(root, alpha=6), root, value=-1)
            divisor = _laguerre_divisor(value, fall, half_bend)
            root = torch.addcdiv(root, value, divisor, value=4 / 3)
        return root


def _laguerre_divisor(value: Tensor, fall: Tensor, half_bend: Tensor) -> Tensor:
    """Divide 4/3 of a quartic's value by this: a step towards its smallest root, never past it.

    Reference:
        Parlett, Laguerre's method applied to the matrix eigenvalue problem, 1964.
    """
    spread = (fall * fall).addcmul_(value, half_bend, value=-8 / 3)
    return spread.clamp_(min=0).sqrt_().add_(fall, alpha=1 / 3)
