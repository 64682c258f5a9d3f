"""The map of OpenCV's polynomial lens on the plane at depth one, its Jacobian and Newton steps.

As in `multiview_geom._kernels.algebra`, a number is a scalar, a block of lanes or a tensor. In
tensors the denominator and the prism may be None, which saves their operations.
"""

from typing import TypeAlias

from multiview_geom._kernels.algebra import Number, Pair, Vector, sqrt, where

Cubic: TypeAlias = tuple[Number, Number, Number, Number, Number, Number]
"""a, b, c of 1 + a s + b s^2 + c s^3, where s = x^2 + y^2; then 2 a, 4 b, 6 c, which are
those of 2 d/ds: times x and y this gives the Jacobian."""
Tangential: TypeAlias = tuple[Number, Number, Number, Number]
"""p1, p2, and twice these."""
Pairs: TypeAlias = tuple[Pair, Pair]
Denominator: TypeAlias = Cubic | None
"""That of a rational lens: k4, k5, k6."""
Prism: TypeAlias = tuple[Number, Number, Number, Number, Number, Number, Number, Number] | None
"""s1, s2, s3, s4, and 2 s1, 4 s2, 2 s3, 4 s4."""
Lens: TypeAlias = tuple[Cubic, Denominator, Tangential, Prism]
"""The radial terms, the denominator, tangential terms and the prism."""
Camera: TypeAlias = tuple[Number, Number, Number, Number, Number]
"""The entries of K: focal length across, skew, center across; focal length down, center down."""
Homography: TypeAlias = tuple[Vector, Vector, Vector]
Jacobian: TypeAlias = tuple[Number, Number, Number, Number]
"""du/dx, du/dy, dv/dx, dv/dy of the distorted (u, v)."""
Linear: TypeAlias = tuple[Pair, Jacobian, Vector]
"""A residual, the Jacobian, and what `radial_terms` returns."""
Limits: TypeAlias = tuple[Number, Number, Number, Number]
"""The least determinant, the longest step, the largest slope and the largest residual."""

MIN_DERIVATIVE = 1e-6
"""Determinant of the Jacobian below which the lens folds back."""
MAX_STEP = 0.2
"""Longest Newton step along each axis [focal lengths]."""
MAX_SLOPE = 10.0
"""Derivative of a rational lens's radius above which the lens counts as at a pole."""
MAX_RADIUS = 1e4
"""Points farther from the axis [focal lengths] are numerically at 90 degrees: powers overflow."""


def image_point(camera: Camera, u: Number, v: Number) -> Pair:
    """Apply K^-1 to a pixel."""
    y = (v - camera[4]) / camera[3]
    return (u - camera[2] - camera[1] * y) / camera[0], y


def pixel_of(camera: Camera, x: Number, y: Number) -> Pair:
    """Apply K to a point of the image plane."""
    return camera[0] * x + camera[1] * y + camera[2], camera[3] * y + camera[4]


def transfer(homography: Homography, x: Number, y: Number) -> Pair:
    """Map a point by a homography."""
    a, b, c = homography
    w = c[0] * x + c[1] * y + c[2]
    return (a[0] * x + a[1] * y + a[2]) / w, (b[0] * x + b[1] * y + b[2]) / w


def squared_distance_to_fold(squared: Number, fold: Number, one: Number) -> Number:
    """Map the squared distorted radius to a measure: one at the center, zero at the fold's radius.

    The inverse of the lens is a smooth function of its root, also at the fold, where it grows as a
    square root of the radius.
    """
    at_fold = one - one / (one + fold * fold)
    return one - (one - one / (one + squared)) / at_fold


def cubic(coefficients: Cubic, squared: Number, one: Number) -> Number:
    """Return 1 + a s + b s^2 + c s^3."""
    a, b, c = coefficients[0], coefficients[1], coefficients[2]
    return one + squared * (a + squared * (b + squared * c))


def slope(coefficients: Cubic, squared: Number) -> Number:
    """Return twice the derivative of `cubic`."""
    return coefficients[3] + squared * (coefficients[4] + squared * coefficients[5])


def radial_factor(radial: Cubic, denominator: Denominator, squared: Number, one: Number) -> Pair:
    """Return the radial factor, and twice its derivative by the squared radius."""
    factor, change = cubic(radial, squared, one), slope(radial, squared)
    if denominator is None:
        return factor, change
    inverse = one / cubic(denominator, squared, one)
    quotient = factor * inverse
    return quotient, (change - quotient * slope(denominator, squared)) * inverse


def radial_terms(lens: Lens, x: Number, y: Number, one: Number) -> Vector:
    """Return s, twice the derivative of the radial factor, and the factor of x and y."""
    radial, denominator, tangential, _ = lens
    squared = x * x + y * y
    factor, change = radial_factor(radial, denominator, squared, one)
    return squared, change, factor + (tangential[2] * y + tangential[3] * x)


def shift(tangential: Tangential, prism: Prism, squared: Number) -> Pair:
    """Return what the tangential terms and the prism add along x and y, over s."""
    if prism is None:
        return tangential[1], tangential[0]
    return (
        tangential[1] + (prism[0] + prism[1] * squared),
        tangential[0] + (prism[2] + prism[3] * squared),
    )


def distorted(lens: Lens, x: Number, y: Number, terms: Vector) -> Pair:
    """Distort an ideal point, without the tilt of the sensor."""
    squared, _, factor = terms
    along_x, along_y = shift(lens[2], lens[3], squared)
    return x * factor + squared * along_x, y * factor + squared * along_y


def jacobian(lens: Lens, x: Number, y: Number, terms: Vector) -> Jacobian:
    """Return the Jacobian of `distorted`."""
    _, _, tangential, prism = lens
    squared, change, factor = terms
    by_x, by_y = x * change + tangential[3], y * change + tangential[2]
    both = x * by_y + tangential[3] * y
    across, down = factor + x * (by_x + tangential[3]), factor + y * (by_y + tangential[2])
    return with_prism((across, both, both, down), prism, x, y, squared)


def with_prism(linear: Jacobian, prism: Prism, x: Number, y: Number, squared: Number) -> Jacobian:
    """Add what the prism does to the Jacobian."""
    if prism is None:
        return linear
    across, down = prism[4] + prism[5] * squared, prism[6] + prism[7] * squared
    xx, xy, yx, yy = linear
    return xx + x * across, xy + y * across, yx + x * down, yy + y * down


def keeps_orientation(linear: Jacobian, terms: Vector, limits: Limits) -> Number:
    """Tell where the lens neither folds nor mirrors, nor is next to a pole: too steep."""
    xx, xy, yx, yy = linear
    unfolded = (xx * yy - xy * yx > limits[0]) & (xx + yy > 0)
    squared, change, factor = terms
    return unfolded & (factor + squared * change < limits[2])


def linearized(lens: Lens, x: Number, y: Number, target: Pair, one: Number) -> Linear:
    """Return what is missing to the point whose distortion is given, the Jacobian and terms."""
    terms = radial_terms(lens, x, y, one)
    u, v = distorted(lens, x, y, terms)
    return (target[0] - u, target[1] - v), jacobian(lens, x, y, terms), terms


def moved(x: Number, y: Number, linear: Linear, limits: Limits, one: Number) -> Pair:
    """Take a Newton step, shortened along each axis."""
    residual, slopes, _ = linear
    a, b = residual
    xx, xy, yx, yy = slopes
    area = xx * yy - xy * yx
    inverse = one / where(area < limits[0], limits[0], area)
    return (
        x + clamped((yy * a - xy * b) * inverse, limits[1]),
        y + clamped((xx * b - yx * a) * inverse, limits[1]),
    )


def clamped(step: Number, longest: Number) -> Number:
    """Shorten a step."""
    return where(step > longest, longest, where(step < -longest, -longest, step))


def newton_step(
    lens: Lens, x: Number, y: Number, target: Pair, limits: Limits, one: Number
) -> Pair:
    """Step toward the point whose distortion is given."""
    return moved(x, y, linearized(lens, x, y, target, one), limits, one)


def is_inverse(linear: Linear, target: Pair, limits: Limits, one: Number) -> Number:
    """Tell where a point is accurate, and the lens neither folds, mirrors nor is at a pole."""
    residual, slopes, terms = linear
    a, b = residual
    allowed = limits[3] * (one + abs(target[0]) + abs(target[1]))
    return keeps_orientation(slopes, terms, limits) & (abs(a) <= allowed) & (abs(b) <= allowed)


def factor_inside(x: Number, y: Number, fold: Number, one: Number) -> Number:
    """Return the factor that brings a point back to the fold; one for points before it."""
    radius = sqrt(x * x + y * y)
    beyond = radius > fold
    return where(beyond, fold / where(beyond, radius, one), one)


def pull_back(
    camera: Camera,
    untilt: Homography,
    lens: Lens,
    at: Pairs,
    gradient: Pair,
    one: Number,
) -> Pair:
    """Return the gradient in a distorted pixel from that in its ideal pixel.

    It is that of the inverse map: the transposed inverse of the Jacobian times the gradient.

    Args:
        camera: The entries of K.
        untilt: The homography from the sensor to the untilted one.
        lens: The lens.
        at: The distorted pixel and the ideal one.
        gradient: That in the ideal pixel.
        one: The number one.
    """
    seen, ideal = at
    a, b = camera[0] * gradient[0], camera[1] * gradient[0] + camera[3] * gradient[1]
    x, y = image_point(camera, ideal[0], ideal[1])
    xx, xy, yx, yy = jacobian(lens, x, y, radial_terms(lens, x, y, one))
    inverse = one / (xx * yy - xy * yx)
    x, y = image_point(camera, seen[0], seen[1])
    a, b = transfer_back(untilt, x, y, ((yy * a - yx * b) * inverse, (xx * b - xy * a) * inverse))
    across = a / camera[0]
    return across, (b - camera[1] * across) / camera[3]


def transfer_back(homography: Homography, x: Number, y: Number, gradient: Pair) -> Pair:
    """Return the gradient before a homography from that behind it."""
    a, b, c = homography
    w = c[0] * x + c[1] * y + c[2]
    to_x, to_y = transfer(homography, x, y)
    along_x, along_y = gradient[0] / w, gradient[1] / w
    along_w = -(to_x * along_x + to_y * along_y)
    return (
        along_x * a[0] + along_y * b[0] + along_w * c[0],
        along_x * a[1] + along_y * b[1] + along_w * c[1],
    )
