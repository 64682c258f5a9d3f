"""OpenCV's lens with 4 to 14 coefficients, on points divided by their depth.

The coefficients are k1, k2, p1, p2, k3 (radial and tangential; Brown 1966), k4, k5, k6 (the
denominator of a rational radial term), s1, s2, s3, s4 (thin prism), tau_x, tau_y (tilted sensor).
`Coefficients` are the first 4, 5, 8, 12 or 14, each with a last axis of length one that
broadcasts over points.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from multiview_geom._radial_inverse import Profile

RATIONAL, PRISM, TILTED = 8, 12, 14
"""From how many coefficients on a lens has a denominator, a thin prism, a tilted sensor."""
FLATTEST = 1e-6
"""Determinant of the Jacobian at which a lens counts as folding."""
LONGEST_STEP = 0.2
"""Cap of a Newton step along each axis, in units of the focal length."""

Coefficients = tuple[Tensor, ...]


class _Terms(NamedTuple):
    """What the map and its Jacobian share."""

    squared: Tensor
    radial_slope: Tensor
    scale: Tensor


def bend(lens: Coefficients, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Move ideal points to where the lens shows them on a sensor that is not tilted."""
    return _bent(lens, x, y, _terms(lens, x, y))


def newton_step(
    lens: Coefficients, x: Tensor, y: Tensor, seen_x: Tensor, seen_y: Tensor
) -> tuple[Tensor, Tensor]:
    """Bring ideal points nearer to those that the lens shows at the seen points."""
    terms = _terms(lens, x, y)
    bent_x, bent_y = _bent(lens, x, y, terms)
    off_x, off_y = seen_x - bent_x, seen_y - bent_y
    xx, xy, yx, yy = _jacobian(lens, x, y, terms)
    determinant = (xx * yy - xy * yx).clamp(min=FLATTEST)
    step_x = (yy * off_x - xy * off_y) / determinant
    step_y = (xx * off_y - yx * off_x) / determinant
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
    growing = (radial > 0) & (radial + 2 * squared * slope > 0)
    return Profile(ideal.expand(radial.shape), ideal * radial, growing)


def tilt(lens: Coefficients, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Move points from an upright sensor to the lens's own."""
    if len(lens) < TILTED:
        return x, y
    return _through(_tilt(lens), x, y)


def untilt(lens: Coefficients, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Move points from the lens's own sensor to an upright one."""
    if len(lens) < TILTED:
        return x, y
    rows = _tilt(lens)
    columns = [torch.linalg.cross(rows[i], rows[i - 2], dim=0) for i in (1, 2, 0)]
    return _through(torch.stack(columns, dim=1), x, y)


def _terms(lens: Coefficients, x: Tensor, y: Tensor) -> _Terms:
    p1, p2 = lens[2:4]
    squared = x * x + y * y
    radial, slope = _radial(lens, squared)
    return _Terms(squared, slope, radial + 2 * (p1 * y + p2 * x))


def _radial(lens: Coefficients, squared: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factor on the radius and its derivative by the squared radius."""
    k1, k2, _, _, *more = lens
    k3 = more[0] if more else torch.zeros_like(k1)
    numerator = 1 + squared * (k1 + squared * (k2 + squared * k3))
    slope = k1 + squared * (2 * k2 + squared * (3 * k3))
    if len(lens) < RATIONAL:
        return numerator, slope
    k4, k5, k6 = more[1:4]
    denominator = 1 + squared * (k4 + squared * (k5 + squared * k6))
    denominator_slope = k4 + squared * (2 * k5 + squared * (3 * k6))
    radial = numerator / denominator
    return radial, (slope - radial * denominator_slope) / denominator


def _bent(lens: Coefficients, x: Tensor, y: Tensor, terms: _Terms) -> tuple[Tensor, Tensor]:
    p1, p2 = lens[2:4]
    squared, _, scale = terms
    if len(lens) < PRISM:
        return x * scale + p2 * squared, y * scale + p1 * squared
    s1, s2, s3, s4 = lens[8:12]
    bent_x = x * scale + squared * (p2 + s1 + s2 * squared)
    return bent_x, y * scale + squared * (p1 + s3 + s4 * squared)


def _jacobian(lens: Coefficients, x: Tensor, y: Tensor, terms: _Terms) -> tuple[Tensor, ...]:
    """Return d bent_x / dx, d bent_x / dy, d bent_y / dx, d bent_y / dy."""
    p1, p2 = lens[2:4]
    squared, slope, scale = terms
    by_x, by_y = 2 * (x * slope + p2), 2 * (y * slope + p1)
    xx = scale + x * by_x + 2 * p2 * x
    xy = x * by_y + 2 * p2 * y
    yy = scale + y * by_y + 2 * p1 * y
    if len(lens) < PRISM:
        return xx, xy, xy, yy
    s1, s2, s3, s4 = lens[8:12]
    prism_x, prism_y = 2 * (s1 + 2 * s2 * squared), 2 * (s3 + 2 * s4 * squared)
    return xx + x * prism_x, xy + y * prism_x, xy + x * prism_y, yy + y * prism_y


def _tilt(lens: Coefficients) -> Tensor:
    """Build the homography of a sensor turned about x, then y, its 3x3 entries leading.

    Reference:
        Louhichi et al., A mathematical model for Scheimpflug imaging, MST 2007; OpenCV's
        documentation of its calibration module gives the same product.
    """
    sin_x, sin_y = lens[12].sin(), lens[13].sin()
    cos_x, cos_y = lens[12].cos(), lens[13].cos()
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
