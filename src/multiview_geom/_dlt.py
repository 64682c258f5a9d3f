"""The kernel of linear triangulation: many small eigenproblems without a decomposition.

With A the equations of a point in homogeneous coordinates X = (x, 1), the sum of squares is a
quadratic form, ‖A X‖² = xᵀB x + 2 b·x + d, and (B - λ) x = -b where λ is the smallest
eigenvalue of AᵀA. Three facts make this fast and safe:

- A is linear in the pixel (u, v) once the camera is known, so B, b and d of every point are one
  matrix product of (u² + v², u, v, 1) per view with constants of the rig.
- With the solution of B x = -b as a basis vector, λ is the smallest root of a quartic with
  short coefficients. Laguerre's iteration climbs to it from zero and never past it, so B - λ
  stays positive definite even for points so far away that x is nearly infinite.
- AᵀA has half the digits of A. The last step starts from the residuals A X themselves, which
  gives the digits back (the corrected seminormal equations of Björck 1987).

Everything is invariant to the scale of the rig, to the place of the origin (the length of X is
taken in the caller's frame) and to where in the image the pixels are counted from. So all three
are chosen for accuracy, and no derivative flows through the choice.

Arrays are `(rows, frames, points)`: rows of memory are long, whatever the number of views.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._symmetric import Symmetric, added, chosen, in_rows, inner, scaled

# Laguerre's iteration triples the correct digits of a simple root; the first step is free.
LAGUERRE_STEPS = {torch.float32: 2, torch.float64: 4}

# A rig of its own for fewer points than this is multiplied row by row: small matrix products
# are slower than that.
POINTS_FOR_A_PRODUCT = 8

# How much B is lifted above its round-off, relative to its trace, to stay definite.
LIFT = 4

# How much the point nearest to all optical axes is drawn to the world's origin, relative to
# the trace: parallel axes are near to each other everywhere.
ORIGIN_PULL = 1e-5


class Rig(NamedTuple):
    """Constants of a rig, or of one rig per frame: `r` is 1 or the number of frames."""

    scale: Float[Tensor, "r"]
    centers: Float[Tensor, "2 views r 1"]
    origin: Float[Tensor, "3 r 1"]
    equations: Float[Tensor, "equations 4 r"]
    moments: Float[Tensor, "14 terms r"]


class Sightings(NamedTuple):
    """Pixels counted from the rig's image centres, the trust in each, and in what unit."""

    image: Float[Tensor, "2 views frames points"]
    trust: Float[Tensor, "views frames points"]
    unit_of_trust: Float[Tensor, "1 #frames #points"]


def prepare_rig(projections: Float[Tensor, "r views 3 4"]) -> Rig:
    """Find the constants of a rig: frame and scale chosen, equations and moments in them."""
    rows = projections.permute(1, 2, 3, 0).contiguous()
    centers, origin, scale = _chosen_frame(rows.detach())
    axis = rows[:, 2:]
    equations = scale * torch.cat([axis, centers * axis - rows[:, :2]], dim=1).transpose(0, 1)
    body = equations[:, :, :3]
    last = equations[:, :, 3:] + (body * origin).sum(dim=2, keepdim=True)
    equations = torch.cat([body, last], dim=2)
    return Rig(
        scale=scale,
        centers=centers.transpose(0, 1).squeeze(2)[..., None],
        origin=origin[..., None],
        equations=equations.flatten(0, 1),
        moments=_moments(equations),
    )


def prepare_sightings(
    rig: Rig,
    pixels: Float[Tensor, "frames views points 2"],
    weights: Float[Tensor, "frames views points"] | None,
) -> Sightings:
    """Count pixels from the image centres; a pixel that is not finite weighs nothing.

    Weights are divided by the largest of their point, lest their unit overflow.
    """
    image = in_rows(pixels.transpose(0, 1)) - rig.centers
    seen = (image[0].detach() - image[1].detach()).isfinite()
    image = image.nan_to_num(0.0, 0.0, 0.0)
    if weights is None:
        trust = seen.to(image.dtype)
        return Sightings(image, trust, torch.ones_like(trust[:1, ..., :1]))
    trust = torch.where(seen, weights.transpose(0, 1), 0.0)
    largest = trust.detach().amax(dim=0, keepdim=True)
    unit = torch.where(largest > 0, largest, 1.0)
    return Sightings(image, trust / unit, unit)


def minimise(rig: Rig, sightings: Sightings) -> list[Float[Tensor, "frames points"]]:
    """Find the point of least ‖A X‖ / ‖X‖, in the world, row by row."""
    stretch, slope, constant = _normal_equations(rig, sightings)
    adjugate, determinant = stretch.adjugate()
    start = scaled(adjugate.times(slope), -determinant.reciprocal())
    gap = constant + inner(slope, start)
    world = added(start, rig.origin)
    shift = _smallest_eigenvalue(stretch, adjugate, determinant, world, gap)
    adjugate, determinant = stretch.minus(shift).adjugate()
    definite, factor = determinant > 0, -determinant.reciprocal()
    point = scaled(adjugate.times(added(slope, rig.origin, -shift)), factor)
    return _polished(
        rig,
        sightings,
        chosen(definite, point, start),
        _Curvature(adjugate, factor, shift, definite),
    )


class _Curvature(NamedTuple):
    """The inverse of B - shift, as its adjugate times a factor of the other sign."""

    adjugate: Symmetric
    minus_factor: Float[Tensor, "frames points"]
    shift: Float[Tensor, "frames points"]
    definite: Bool[Tensor, "frames points"]


def _polished(
    rig: Rig, sightings: Sightings, point: list[Tensor], curvature: _Curvature
) -> list[Float[Tensor, "frames points"]]:
    """Take two steps of Rayleigh quotient iteration, the first from the residuals."""
    adjugate, factor, shift, definite = curvature
    world = added(point, rig.origin)
    slope, squares = _residual_form(rig, sightings, torch.stack(point))
    quotient = squares / (1 + inner(world, world))
    step = scaled(adjugate.times(added(slope, world, -quotient)), factor)
    # B step is known without a product: that gives slope and quotient at the end of the step.
    end = added(world, step)
    end_slope = added(scaled(world, quotient), step, shift)
    fallen = squares + inner(added(slope, end_slope), step)
    end_quotient = fallen / (1 + inner(end, end))
    turn = adjugate.times(added(end_slope, end, -end_quotient))
    return chosen(definite, added(end, turn, factor), world)


def residuals(
    rig: Rig, sightings: Sightings, vector: Float[Tensor, "4 frames points"]
) -> tuple[Float[Tensor, "2 views frames points"], Float[Tensor, "1 views frames points"]]:
    """Multiply A with homogeneous vectors of the rig's frame; return their depths too."""
    return _residuals_and_depths(sightings, applied(rig.equations, vector))


def inverse_of_curvature(
    rig: Rig, sightings: Sightings, quotient: Tensor, vector: Tensor, valid: Tensor
) -> Tensor:
    """Multiply the inverse of B - λ with a vector; zero where there is no minimum."""
    stretch, _, _ = _normal_equations(rig, sightings)
    adjugate, determinant = stretch.minus(quotient).adjugate()
    sharp = LIFT * torch.finfo(vector.dtype).eps * stretch.trace() ** 3
    valid = valid & (determinant > sharp)
    # Doubled where: the inverse of a singular matrix would turn zero gradients into NaN.
    reciprocal = torch.where(valid, determinant, 1.0).reciprocal()
    solved = torch.stack(scaled(adjugate.times(vector), reciprocal))
    return torch.where(valid, solved, 0.0)


def applied(
    constants: Float[Tensor, "m k r"], rows: Float[Tensor, "k frames points"]
) -> Float[Tensor, "m frames points"]:
    """Multiply the rig's constants with every point's row."""
    if constants.shape[-1] == 1:
        flat = constants[..., 0] @ rows.flatten(1)
        return flat.reshape(-1, *rows.shape[1:])
    if rows.shape[-1] >= POINTS_FOR_A_PRODUCT:
        product = constants.permute(2, 0, 1).contiguous() @ rows.transpose(0, 1).contiguous()
        return product.transpose(0, 1).contiguous()
    return _sum_of_products(constants.unbind(1), rows.unbind())


def _sum_of_products(
    columns: Sequence[Float[Tensor, "m r"]], rows: Sequence[Float[Tensor, "r points"]]
) -> Float[Tensor, "m r points"]:
    """Multiply matrices of few columns with vectors, row of memory by row."""
    product = columns[0][..., None] * rows[0]
    for column, row in zip(columns[1:], rows[1:], strict=True):
        product = torch.addcmul(product, column[..., None], row)
    return product


def _normal_equations(rig: Rig, sightings: Sightings) -> tuple[Symmetric, Tensor, Tensor]:
    image, trust, _ = sightings
    trusted = trust * image
    squares = torch.addcmul(trusted[0] * image[0], trusted[1], image[1])
    entries = applied(rig.moments, torch.cat([squares, trusted.flatten(0, 1), trust]))
    diagonal, opposite, slope, constant = entries.split([5, 5, 3, 1])
    return Symmetric(diagonal, opposite), slope, constant[0]


def _residual_form(
    rig: Rig, sightings: Sightings, point: Float[Tensor, "3 frames points"]
) -> tuple[Float[Tensor, "3 frames points"], Float[Tensor, "frames points"]]:
    """Return B x + b and ‖A X‖² from the residuals, in full precision."""
    homogeneous = torch.cat([point, torch.ones_like(point[:1])])
    found, _ = residuals(rig, sightings, homogeneous)
    trusted = sightings.trust * found
    slope = pulled_back(rig, sightings, trusted)
    return slope[:3], inner(slope, point) + slope[3]


def pulled_back(
    rig: Rig, sightings: Sightings, trusted: Float[Tensor, "2 views frames points"]
) -> Float[Tensor, "4 frames points"]:
    """Multiply the transpose of A with residuals."""
    image = sightings.image
    along = torch.addcmul(image[0] * trusted[0], image[1], trusted[1])
    return applied(rig.equations.transpose(0, 1), torch.cat([along, trusted.flatten(0, 1)]))


def _residuals_and_depths(
    sightings: Sightings, rows: Float[Tensor, "equations frames points"]
) -> tuple[Float[Tensor, "2 views frames points"], Float[Tensor, "1 views frames points"]]:
    depths, offsets = rows.unflatten(0, (3, -1)).split([1, 2])
    return torch.addcmul(offsets, sightings.image, depths), depths


def _smallest_eigenvalue(
    stretch: Symmetric, adjugate: Symmetric, determinant: Tensor, world: list[Tensor], gap: Tensor
) -> Tensor:
    """Find the smallest eigenvalue of AᵀA from B, its adjugate, x where B x = -b, and ‖A X‖².

    In the basis of X = (x, 1) and the three axes the off-diagonal block of AᵀA is zero, so
    det(AᵀA - λ) = λ⁴ - third λ³ + second λ² - first λ + zeroth has few terms.
    """
    gap = gap.clamp(min=0)
    cofactors, trace = adjugate.trace(), stretch.trace()
    length = inner(world, world).add_(1)
    zeroth = gap * determinant
    first = torch.addcmul(gap * cofactors, length, determinant)
    second = torch.addcmul(gap * trace, length, cofactors)
    second = second - inner(world, adjugate.times(world))
    third = (gap + trace).add_(inner(world, stretch.times(world)))
    eigenvalue = _laguerre_step(zeroth, first, second)
    for _ in range(LAGUERRE_STEPS[gap.dtype]):
        value = (eigenvalue - third).mul_(eigenvalue).add_(second).mul_(eigenvalue).sub_(first)
        value = value.mul_(eigenvalue).add_(zeroth).clamp_(min=0)
        fall = (3 * third).sub_(eigenvalue, alpha=4).mul_(eigenvalue).sub_(second, alpha=2)
        fall = fall.mul_(eigenvalue).add_(first)
        half_bend = (6 * eigenvalue).sub_(third, alpha=3).mul_(eigenvalue).add_(second)
        eigenvalue = eigenvalue + _laguerre_step(value, fall, half_bend)
    return eigenvalue


def _laguerre_step(value: Tensor, fall: Tensor, half_bend: Tensor) -> Tensor:
    """Step right towards the smallest root of a quartic with real roots, never past it.

    Reference:
        Parlett, Laguerre's method applied to the matrix eigenvalue problem, 1964.
    """
    spread = torch.addcmul(9 * fall.square(), value, half_bend, value=-24).clamp_(min=0)
    return (4 * value).div_(spread.sqrt_().add_(fall))


def _moments(equations: Float[Tensor, "3 views 4 r"]) -> Float[Tensor, "14 terms r"]:
    """Expand (u p3 - p1)(u p3 - p1)ᵀ + (v p3 - p2)(v p3 - p2)ᵀ in powers of u and v.

    Rows: diagonal and opposite entries of B, each with two of them again, b, and d.
    """
    x, y, z, w = equations.unbind(2)
    left = torch.stack([x, y, z, x, y, y, z, x, y, z, x, y, z, w])
    right = torch.stack([x, y, z, x, y, z, x, y, z, x, w, w, w, w])
    (axis_left, across_left), (axis_right, across_right) = (
        side.split([1, 2], dim=1) for side in (left, right)
    )
    linear = axis_left * across_right + across_left * axis_right
    constant = (across_left * across_right).sum(dim=1, keepdim=True)
    powers = torch.cat([axis_left * axis_right, linear, constant], dim=1).flatten(1, 2)
    lift = LIFT * torch.finfo(powers.dtype).eps * powers[:3].detach().sum(dim=0)
    return torch.cat([powers[:5] + lift, powers[5:]])


def _chosen_frame(rows: Float[Tensor, "views 3 4 r"]) -> tuple[Tensor, Tensor, Tensor]:
    """Choose image centres on the optical axes, the origin nearest to them, and unit scale."""
    axis, across = rows[:, 2:, :3], rows[:, :2, :3]
    squared = axis.square().sum(dim=2, keepdim=True)
    centers = (across * axis).sum(dim=2, keepdim=True) / torch.where(squared > 0, squared, 1.0)
    offsets = (rows[:, :2] - centers * rows[:, 2:]).flatten(0, 1)
    power = offsets[:, :3].square().mean(dim=(0, 1))
    scale = torch.where(power > 0, power, 1.0).rsqrt()
    return centers, _nearest_to_axes(offsets * scale), scale


def _nearest_to_axes(rows: Float[Tensor, "rows 4 r"]) -> Float[Tensor, "3 r"]:
    x, y, z, w = rows.unbind(1)
    xx, yy, zz = (x * x).sum(dim=0), (y * y).sum(dim=0), (z * z).sum(dim=0)
    yz, zx, xy = (y * z).sum(dim=0), (z * x).sum(dim=0), (x * y).sum(dim=0)
    stretch = Symmetric(torch.stack([xx, yy, zz, xx, yy]), torch.stack([yz, zx, xy, yz, zx]))
    adjugate, determinant = stretch.minus(-ORIGIN_PULL * stretch.trace()).adjugate()
    reciprocal = torch.where(determinant > 0, determinant, torch.inf).reciprocal()
    slope = [(row * w).sum(dim=0) for row in (x, y, z)]
    return torch.stack(scaled(adjugate.times(slope), -reciprocal))
