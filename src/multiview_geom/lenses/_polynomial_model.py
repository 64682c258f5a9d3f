"""OpenCV's lens with 4 to 14 coefficients, on points divided by their depth.

The coefficients are k1, k2, p1, p2, k3 (radial and tangential; Brown 1966), k4, k5, k6 (the
denominator of a rational radial term), s1, s2, s3, s4 (thin prism), tau_x, tau_y (tilted sensor).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from multiview_geom.lenses._radial_inverse import Profile

FLATTEST = 1e-6
"""Determinant of the Jacobian at which a lens counts as folding."""
LONGEST_STEP = 0.2
"""Cap of a Newton step along each axis, in units of the focal length."""

Row = tuple[Tensor, ...]


class Coefficients(NamedTuple):
    """The coefficients of a lens by what they do, each broadcasting over points.

    The slopes are those by x and y together, 2 d/d(x^2 + y^2), for the Jacobian; what a lens of
    few coefficients lacks is empty.
    """

    radial: Row
    radial_slope: Row
    tangential: Row
    twice_tangential: Row
    denominator: Row
    denominator_slope: Row
    prism: Row
    prism_slope: Row
    tilt: Row


def coefficients_of(distortion: Tensor) -> Coefficients:
    """Sort 4, 5, 8, 12 or 14 coefficients, the last axis, by what they do."""
    k1, k2, p1, p2, *more = distortion[..., None].unbind(dim=-2)
    k3 = more[0] if more else torch.zeros_like(k1)
    bottom, prism, turn = tuple(more[1:4]), tuple(more[4:8]), tuple(more[8:])
    return Coefficients(
        radial=(k1, k2, k3),
        radial_slope=(2 * k1, 4 * k2, 6 * k3),
        tangential=(p1, p2),
        twice_tangential=(2 * p1, 2 * p2),
        denominator=bottom,
        denominator_slope=tuple(2 * n * k for n, k in enumerate(bottom, start=1)),
        prism=prism,
        prism_slope=tuple(n * s for n, s in zip((2, 4, 2, 4), prism, strict=False)),
        tilt=turn,
    )


class _Terms(NamedTuple):
    """What the map and its Jacobian share."""

    squared: Tensor
    radial_slope: Tensor
    scale: Tensor


class _Linear(NamedTuple):
    """What is still missed at a point, the Jacobian there and its determinant."""

    off_x: Tensor
    off_y: Tensor
    xx: Tensor
    xy: Tensor
    yx: Tensor
    yy: Tensor
    determinant: Tensor


def bend(lens: Coefficients, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Move ideal points to where the lens shows them on a sensor that is not tilted."""
    return _bent(lens, x, y, _terms(lens, x, y))


def newton_step(
    lens: Coefficients, x: Tensor, y: Tensor, seen_x: Tensor, seen_y: Tensor
) -> tuple[Tensor, Tensor]:
    """Bring ideal points nearer to those that the lens shows at the seen points."""
    return _stepped(x, y, _linearized(lens, x, y, seen_x, seen_y))


def checked_step(
    lens: Coefficients, x: Tensor, y: Tensor, seen_x: Tensor, seen_y: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take a Newton step; tell how far off its start was, and whether the lens folds there."""
    there = _linearized(lens, x, y, seen_x, seen_y)
    miss = torch.maximum(there.off_x.abs(), there.off_y.abs())
    unfolded = (there.determinant > FLATTEST) & (there.xx + there.yy > 0)
    return *_stepped(x, y, there), miss, unfolded


def _linearized(
    lens: Coefficients, x: Tensor, y: Tensor, seen_x: Tensor, seen_y: Tensor
) -> _Linear:
    terms = _terms(lens, x, y)
    bent_x, bent_y = _bent(lens, x, y, terms)
    xx, xy, yx, yy = _jacobian(lens, x, y, terms)
    return _Linear(seen_x - bent_x, seen_y - bent_y, xx, xy, yx, yy, xx * yy - xy * yx)


def _stepped(x: Tensor, y: Tensor, there: _Linear) -> tuple[Tensor, Tensor]:
    off_x, off_y, xx, xy, yx, yy, determinant = there
    inverse = 1 / determinant.clamp(min=FLATTEST)
    step_x = (yy * off_x - xy * off_y) * inverse
    step_y = (xx * off_y - yx * off_x) * inverse
    x = x + step_x.clamp(-LONGEST_STEP, LONGEST_STEP)
    return x, y + step_y.clamp(-LONGEST_STEP, LONGEST_STEP)


def keeps_orientation(lens: Coefficients, x: Tensor, y: Tensor) -> Tensor:
    """Tell where the lens neither folds nor mirrors its surroundings."""
    xx, xy, yx, yy = _jacobian(lens, x, y, _terms(lens, x, y))
    return (xx * yy - xy * yx > FLATTEST) & (xx + yy > 0)


def radial_profile(lens: Coefficients, angles: Tensor) -> Profile:
    """Tell how far out the lens shows each angle [rad], by its radial term alone."""
    ideal = angles.tan()
    squared = ideal.square()
    radial, slope = _radial(lens, squared)
    growing = (radial > 0) & (radial + squared * slope > 0)
    return Profile(ideal.expand(radial.shape), ideal * radial, growing)


def tilt(lens: Coefficients, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Move points from an upright sensor to the lens's own."""
    if not lens.tilt:
        return x, y
    return _through(_tilt(lens), x, y)


def untilt(lens: Coefficients, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Move points from the lens's own sensor to an upright one."""
    if not lens.tilt:
        return x, y
    rows = _tilt(lens)
    columns = [torch.linalg.cross(rows[i], rows[i - 2], dim=0) for i in (1, 2, 0)]
    return _through(torch.stack(columns, dim=1), x, y)


def _terms(lens: Coefficients, x: Tensor, y: Tensor) -> _Terms:
    twice_p1, twice_p2 = lens.twice_tangential
    squared = x * x + y * y
    radial, slope = _radial(lens, squared)
    return _Terms(squared, slope, radial + (twice_p1 * y + twice_p2 * x))


def _radial(lens: Coefficients, squared: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factor on the radius, and twice its derivative by the squared radius."""
    k1, k2, k3 = lens.radial
    by_k1, by_k2, by_k3 = lens.radial_slope
    numerator = 1 + squared * (k1 + squared * (k2 + squared * k3))
    slope = by_k1 + squared * (by_k2 + squared * by_k3)
    if not lens.denominator:
        return numerator, slope
    k4, k5, k6 = lens.denominator
    by_k4, by_k5, by_k6 = lens.denominator_slope
    denominator = 1 + squared * (k4 + squared * (k5 + squared * k6))
    denominator_slope = by_k4 + squared * (by_k5 + squared * by_k6)
    radial = numerator / denominator
    return radial, (slope - radial * denominator_slope) / denominator


def _bent(lens: Coefficients, x: Tensor, y: Tensor, terms: _Terms) -> tuple[Tensor, Tensor]:
    p1, p2 = lens.tangential
    squared, _, scale = terms
    if not lens.prism:
        return x * scale + p2 * squared, y * scale + p1 * squared
    s1, s2, s3, s4 = lens.prism
    bent_x = x * scale + squared * (p2 + s1 + s2 * squared)
    return bent_x, y * scale + squared * (p1 + s3 + s4 * squared)


def _jacobian(lens: Coefficients, x: Tensor, y: Tensor, terms: _Terms) -> tuple[Tensor, ...]:
    """Return d bent_x / dx, d bent_x / dy, d bent_y / dx, d bent_y / dy."""
    twice_p1, twice_p2 = lens.twice_tangential
    squared, slope, scale = terms
    by_x, by_y = x * slope + twice_p2, y * slope + twice_p1
    xx = scale + x * (by_x + twice_p2)
    xy = x * by_y + twice_p2 * y
    yy = scale + y * (by_y + twice_p1)
    if not lens.prism:
        return xx, xy, xy, yy
    s1, s2, s3, s4 = lens.prism_slope
    prism_x, prism_y = s1 + s2 * squared, s3 + s4 * squared
    return xx + x * prism_x, xy + y * prism_x, xy + x * prism_y, yy + y * prism_y


def _tilt(lens: Coefficients) -> Tensor:
    """Build the homography of a sensor turned about x, then y, its 3x3 entries leading.

    Reference:
        Louhichi et al., A mathematical model for Scheimpflug imaging, MST 2007; OpenCV's
        documentation of its calibration module gives the same product.
    """
    tau_x, tau_y = lens.tilt
    sin_x, sin_y, cos_x, cos_y = tau_x.sin(), tau_y.sin(), tau_x.cos(), tau_y.cos()
    zero = torch.zeros_like(sin_x)
    turn = [
        [cos_y, sin_y * sin_x, -sin_y * cos_x],
        [zero, cos_x, sin_x],
        [sin_y, -cos_y * sin_x, cos_y * cos_x],
    ]
    (_, _, r13), (_, _, r23), (_, _, r33) = turn
    first = [r33 * turn[0][i] - r13 * turn[2][i] for i in range(3)]
    second = [r33 * turn[1][i] - r23 * turn[2][i] for i in range(3)]
    return torch.stack([torch.stack(row) for row in (first, second, turn[2])])


def _through(homography: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Send points through a homography whose 3x3 entries are leading axes."""
    to_x, to_y, w = (row[0] * x + row[1] * y + row[2] for row in homography)
    return to_x / w, to_y / w
