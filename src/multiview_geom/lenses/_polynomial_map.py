"""The map of OpenCV's polynomial lens on the plane at depth one, its Jacobian and Newton steps.

The coefficients are k1, k2, p1, p2, k3 (radial and tangential; Brown 1966), k4, k5, k6 (the
denominator of a rational radial term), s1, s2, s3, s4 (thin prism), tau_x, tau_y (tilted sensor).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from multiview_geom.lenses._fold import Profile

MIN_DERIVATIVE = 1e-6
"""Determinant of the Jacobian below which the lens folds back."""
MAX_SLOPE = 10.0
"""Derivative of a rational lens's radius above which the lens counts as at a pole."""
CANCELLED = 1e-5
"""Distance of a root from a pole [focal lengths] below which they cancel: 0.01 px, say."""
POLE_SAMPLES = 512
ROOT_STEPS = 6
"""Newton steps from the middle of two samples to a root between them."""
MAX_STEP = 0.2
"""Longest Newton step along each axis [focal lengths]."""

Row = tuple[Tensor, ...]


class Coefficients(NamedTuple):
    """The coefficients of a lens by their term, each broadcasting over points.

    Derivatives are 2 d/d(x^2 + y^2), which times x and y gives the Jacobian. Terms without
    coefficients are empty.
    """

    radial: Row
    radial_derivative: Row
    tangential: Row
    twice_tangential: Row
    denominator: Row
    denominator_derivative: Row
    prism: Row
    prism_derivative: Row
    tilt: Row


def group_coefficients(distortion: Tensor) -> Coefficients:
    """Group 4, 5, 8, 12 or 14 coefficients, the last axis, by their term."""
    k1, k2, p1, p2, *more = distortion[..., None].unbind(dim=-2)
    k3 = more[0] if more else torch.zeros_like(k1)
    denominator, prism, tilt = tuple(more[1:4]), tuple(more[4:8]), tuple(more[8:])
    return Coefficients(
        radial=(k1, k2, k3),
        radial_derivative=_derivative((k1, k2, k3)),
        tangential=(p1, p2),
        twice_tangential=(2 * p1, 2 * p2),
        denominator=denominator,
        denominator_derivative=_derivative(denominator),
        prism=prism,
        prism_derivative=tuple(n * s for n, s in zip((2, 4, 2, 4), prism, strict=False)),
        tilt=tilt,
    )


class _Terms(NamedTuple):
    """Intermediate results of both the map and its Jacobian."""

    squared: Tensor
    radial_derivative: Tensor
    scale: Tensor


class _Linear(NamedTuple):
    """The linearization at a point: residual, Jacobian and its determinant."""

    residual_x: Tensor
    residual_y: Tensor
    xx: Tensor
    xy: Tensor
    yx: Tensor
    yy: Tensor
    determinant: Tensor


def distort(lens: Coefficients, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Distort ideal points, without the tilt of the sensor."""
    return _distort(lens, x, y, _terms(lens, x, y))


def newton_step(
    lens: Coefficients, x: Tensor, y: Tensor, distorted_x: Tensor, distorted_y: Tensor
) -> tuple[Tensor, Tensor]:
    """Take a Newton step toward the points whose distortion is given."""
    return _newton_update(x, y, _linearize(lens, x, y, distorted_x, distorted_y))


def checked_newton_step(
    lens: Coefficients, x: Tensor, y: Tensor, distorted_x: Tensor, distorted_y: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take a Newton step; return also the residual before it, and whether there is no fold."""
    linear = _linearize(lens, x, y, distorted_x, distorted_y)
    residual = torch.maximum(linear.residual_x.abs(), linear.residual_y.abs())
    unfolded = (linear.determinant > MIN_DERIVATIVE) & (linear.xx + linear.yy > 0)
    unfolded = unfolded & _is_moderate(lens, _terms(lens, x, y))
    return *_newton_update(x, y, linear), residual, unfolded


def _linearize(
    lens: Coefficients, x: Tensor, y: Tensor, distorted_x: Tensor, distorted_y: Tensor
) -> _Linear:
    terms = _terms(lens, x, y)
    u, v = _distort(lens, x, y, terms)
    xx, xy, yx, yy = _jacobian(lens, x, y, terms)
    return _Linear(distorted_x - u, distorted_y - v, xx, xy, yx, yy, xx * yy - xy * yx)


def _newton_update(x: Tensor, y: Tensor, linear: _Linear) -> tuple[Tensor, Tensor]:
    residual_x, residual_y, xx, xy, yx, yy, determinant = linear
    inverse = 1 / determinant.clamp(min=MIN_DERIVATIVE)
    step_x = (yy * residual_x - xy * residual_y) * inverse
    step_y = (xx * residual_y - yx * residual_x) * inverse
    x = x + step_x.clamp(-MAX_STEP, MAX_STEP)
    return x, y + step_y.clamp(-MAX_STEP, MAX_STEP)


def keeps_orientation(lens: Coefficients, x: Tensor, y: Tensor) -> Tensor:
    """Test where the lens neither folds nor mirrors."""
    terms = _terms(lens, x, y)
    xx, xy, yx, yy = _jacobian(lens, x, y, terms)
    unfolded = (xx * yy - xy * yx > MIN_DERIVATIVE) & (xx + yy > 0)
    return unfolded & _is_moderate(lens, terms)


def _is_moderate(lens: Coefficients, terms: "_Terms") -> Tensor:
    """Test where a rational lens is not next to a pole: there its radius is too steep."""
    if not lens.denominator:
        return torch.ones_like(terms.squared, dtype=torch.bool)
    return terms.scale + terms.squared * terms.radial_derivative < MAX_SLOPE


def radial_profile(lens: Coefficients, angles: Tensor) -> Profile:
    """Return the distorted radius of each angle [rad], by the radial terms alone."""
    ideal = angles.tan()
    squared = ideal.square()
    radial, derivative = _radial(lens, squared)
    increasing = (radial > 0) & (radial + squared * derivative > 0)
    if lens.denominator:
        increasing = increasing & (_cubic(lens.denominator, squared) > 0)
        increasing = increasing & _is_moderate(lens, _Terms(squared, derivative, radial))
    return Profile(ideal.expand(radial.shape), ideal * radial, increasing)


def without_cancelled_pole(lens: Coefficients, widest: Tensor) -> Coefficients:
    """Remove from a rational lens a pole that a root of the numerator cancels, and that root.

    Calibrations of real lenses may have such a pole inside the image. The profile goes on smoothly
    behind it, and is disturbed only within a pixel of it.

    Args:
        lens: The lens.
        widest: The largest angle at which poles are searched [rad].
    """
    if not lens.denominator:
        return lens
    radius = first_pole(lens, widest)
    pole = torch.where(radius.isfinite(), radius, 1.0).square()
    zero = _polished(lens.radial, pole)
    cancelled = radius.isfinite() & ((zero - pole).abs() < 2 * CANCELLED * pole.sqrt())
    radial = _divided(lens.radial, zero, cancelled)
    denominator = _divided(lens.denominator, pole, cancelled)
    return lens._replace(
        radial=radial,
        radial_derivative=_derivative(radial),
        denominator=denominator,
        denominator_derivative=_derivative(denominator),
    )


def first_pole(lens: Coefficients, widest: Tensor) -> Tensor:
    """Return the radius of the first pole [focal lengths]; infinity for a lens without.

    Args:
        lens: The lens.
        widest: The largest angle at which poles are searched [rad].
    """
    if not lens.denominator:
        return torch.full_like(lens.radial[0], torch.inf)
    steps = torch.linspace(0.0, 1.0, POLE_SAMPLES, dtype=widest.dtype, device=widest.device)
    squared = (widest * steps).tan().square()
    positive = _cubic(lens.denominator, squared) > 0
    before = positive.int().cumprod(dim=-1).sum(dim=-1, keepdim=True) - 1
    middle = (squared[before] + squared[(before + 1).clamp(max=POLE_SAMPLES - 1)]) / 2
    pole = _polished(lens.denominator, middle)
    return torch.where(positive.all(dim=-1, keepdim=True), torch.inf, pole.clamp(min=0).sqrt())


def _polished(coefficients: Row, root: Tensor) -> Tensor:
    """Take Newton steps to a root of a cubic nearby."""
    k1, k2, k3 = coefficients
    for _ in range(ROOT_STEPS):
        root = root - _cubic(coefficients, root) / (k1 + root * (2 * k2 + root * 3 * k3))
    return root


def _cubic(coefficients: Row, squared: Tensor) -> Tensor:
    k1, k2, k3 = coefficients
    return 1 + squared * (k1 + squared * (k2 + squared * k3))


def _derivative(coefficients: Row) -> Row:
    """Return the coefficients of 2 d/d(x^2 + y^2)."""
    return tuple(2 * n * k for n, k in enumerate(coefficients, start=1))


def _divided(coefficients: Row, root: Tensor, wanted: Tensor) -> Row:
    """Divide a cubic with constant term one by 1 - s / root where wanted."""
    k1, k2, k3 = coefficients
    inverse = 1 / torch.where(wanted, root, 1.0)
    linear = k1 + inverse
    quadratic = k2 + linear * inverse
    return (
        torch.where(wanted, linear, k1),
        torch.where(wanted, quadratic, k2),
        torch.where(wanted, 0.0, k3),
    )


def apply_tilt(lens: Coefficients, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Project points from an untilted sensor to the tilted one."""
    if not lens.tilt:
        return x, y
    return _apply_homography(_tilt_homography(lens), x, y)


def remove_tilt(lens: Coefficients, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Project points from the tilted sensor to an untilted one."""
    if not lens.tilt:
        return x, y
    rows = _tilt_homography(lens)
    columns = [torch.linalg.cross(rows[i], rows[i - 2], dim=0) for i in (1, 2, 0)]
    return _apply_homography(torch.stack(columns, dim=1), x, y)


def _terms(lens: Coefficients, x: Tensor, y: Tensor) -> _Terms:
    twice_p1, twice_p2 = lens.twice_tangential
    squared = x * x + y * y
    radial, derivative = _radial(lens, squared)
    return _Terms(squared, derivative, radial + (twice_p1 * y + twice_p2 * x))


def _radial(lens: Coefficients, squared: Tensor) -> tuple[Tensor, Tensor]:
    """Return the radial factor, and twice its derivative by the squared radius."""
    d_k1, d_k2, d_k3 = lens.radial_derivative
    numerator = _cubic(lens.radial, squared)
    derivative = d_k1 + squared * (d_k2 + squared * d_k3)
    if not lens.denominator:
        return numerator, derivative
    d_k4, d_k5, d_k6 = lens.denominator_derivative
    denominator = _cubic(lens.denominator, squared)
    denominator_derivative = d_k4 + squared * (d_k5 + squared * d_k6)
    radial = numerator / denominator
    return radial, (derivative - radial * denominator_derivative) / denominator


def _distort(lens: Coefficients, x: Tensor, y: Tensor, terms: _Terms) -> tuple[Tensor, Tensor]:
    p1, p2 = lens.tangential
    squared, _, scale = terms
    if not lens.prism:
        return x * scale + p2 * squared, y * scale + p1 * squared
    s1, s2, s3, s4 = lens.prism
    u = x * scale + squared * (p2 + s1 + s2 * squared)
    return u, y * scale + squared * (p1 + s3 + s4 * squared)


def _jacobian(lens: Coefficients, x: Tensor, y: Tensor, terms: _Terms) -> tuple[Tensor, ...]:
    """Return du/dx, du/dy, dv/dx, dv/dy of the distorted (u, v)."""
    twice_p1, twice_p2 = lens.twice_tangential
    squared, derivative, scale = terms
    by_x, by_y = x * derivative + twice_p2, y * derivative + twice_p1
    xx = scale + x * (by_x + twice_p2)
    xy = x * by_y + twice_p2 * y
    yy = scale + y * (by_y + twice_p1)
    if not lens.prism:
        return xx, xy, xy, yy
    s1, s2, s3, s4 = lens.prism_derivative
    prism_x, prism_y = s1 + s2 * squared, s3 + s4 * squared
    return xx + x * prism_x, xy + y * prism_x, xy + x * prism_y, yy + y * prism_y


def _tilt_homography(lens: Coefficients) -> Tensor:
    """Return the homography of a sensor tilted about x, then y; its 3x3 entries are leading axes.

    Reference:
        Louhichi et al., A mathematical model for Scheimpflug imaging, MST 2007; OpenCV's
        documentation of its calibration module gives the same product.
    """
    tau_x, tau_y = lens.tilt
    sin_x, sin_y, cos_x, cos_y = tau_x.sin(), tau_y.sin(), tau_x.cos(), tau_y.cos()
    zero = torch.zeros_like(sin_x)
    rotation = [
        [cos_y, sin_y * sin_x, -sin_y * cos_x],
        [zero, cos_x, sin_x],
        [sin_y, -cos_y * sin_x, cos_y * cos_x],
    ]
    (_, _, r13), (_, _, r23), (_, _, r33) = rotation
    first = [r33 * rotation[0][i] - r13 * rotation[2][i] for i in range(3)]
    second = [r33 * rotation[1][i] - r23 * rotation[2][i] for i in range(3)]
    return torch.stack([torch.stack(row) for row in (first, second, rotation[2])])


def _apply_homography(homography: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Map points by a homography whose 3x3 entries are leading axes."""
    to_x, to_y, w = (row[0] * x + row[1] * y + row[2] for row in homography)
    return to_x / w, to_y / w
