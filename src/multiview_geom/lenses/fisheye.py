"""Fisheye lenses, which see beyond 90 degrees: distort, undistort, project, unproject."""

from functools import partial
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.lens.reference import TOLERANCE, initial_ratio
from multiview_geom._validation import for_computation, require_trailing_shape
from multiview_geom.homogeneous import to_homogeneous
from multiview_geom.lenses._fold import (
    Profile,
    RadialInverse,
    find_first_fold,
    invert_radial_profile,
)
from multiview_geom.lenses._image_plane import (
    UsableLens,
    from_pixels,
    require_lens,
    to_pixels,
    usable_lens,
)
from multiview_geom.lenses._point_blocks import solve_points
from multiview_geom.validity import ValidDirections, ValidPixels

COEFFICIENTS = 4
NEWTON_STEPS = 4
"""Newton steps from the first guess; two more are recorded by autograd."""
MIN_DERIVATIVE = 1e-6
"""Derivative of the radius by the angle below which the lens folds back."""


def project_fisheye_camera_points(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views 4"],
    points: Float[Tensor, "*#batch views points 3"],
) -> ValidPixels:
    """Project points of each camera's frame through its fisheye lens.

    Args:
        intrinsics: K of each view, upper triangular with last row 0, 0, 1.
        distortion: k1, k2, k3, k4 of each view in OpenCV's order.
        points: Points in each camera's frame: x right, y down, z forward. A fisheye can see
            points behind the camera too.

    Returns:
        Pixels [px], and which points are before the angle at which the polynomial folds back.
        The camera center, and a point straight behind it, are NaN.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Reference:
        Kannala and Brandt, A generic camera model, PAMI 2006, eq. 6; OpenCV's fisheye module.

    Example:
        >>> K = torch.tensor([[[100.0, 0.0, 300.0], [0.0, 100.0, 300.0], [0.0, 0.0, 1.0]]])
        >>> sideways = torch.tensor([[[1.0, 0.0, 0.0]]])
        >>> project_fisheye_camera_points(K, torch.zeros(1, 4), sideways).pixels.round(decimals=2)
        tensor([[[457.0800, 300.0000]]])
    """
    require_fisheye_coefficients(distortion)
    require_trailing_shape("points", points, "views", "points", 3)
    require_lens(intrinsics, distortion, points=points)
    K, k, known = usable_lens(intrinsics, distortion)
    image, valid = _distort_directions(k, for_computation(points))
    image = torch.where(known[..., None], image, torch.nan)
    return ValidPixels(to_pixels(K, image).to(points.dtype), valid & known)


def unproject_fisheye_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> ValidDirections:
    """Find the viewing directions of a fisheye's pixels.

    Args:
        intrinsics: K of each view, upper triangular with last row 0, 0, 1.
        distortion: k1, k2, k3, k4 of each view in OpenCV's order.
        pixels: Pixels of each point in each view [px].

    Returns:
        Unit vectors in each camera's frame; NaN, and not valid, where no angle before the fold
        has this pixel.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        First and second derivatives are those of the inverse map, not of the iteration.

    Example:
        >>> K = torch.tensor([[[100.0, 0.0, 300.0], [0.0, 100.0, 300.0], [0.0, 0.0, 1.0]]])
        >>> edge = torch.tensor([[[457.0796, 300.0]]])
        >>> unproject_fisheye_pixels(K, torch.zeros(1, 4), edge).directions.round(decimals=4) + 0.0
        tensor([[[1., 0., 0.]]])
    """
    _require_pixels(intrinsics, distortion, pixels)
    directions, valid = _unproject(usable_lens(intrinsics, distortion), pixels)
    return ValidDirections(directions.to(pixels.dtype), valid)


def distort_fisheye_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Float[Tensor, "*#batch views points 2"]:
    """Apply the distortion of a fisheye lens to ideal pixels.

    Args:
        intrinsics: K of each view, upper triangular with last row 0, 0, 1.
        distortion: k1, k2, k3, k4 of each view in OpenCV's order.
        pixels: Ideal pixels: those of a pinhole with the same intrinsics [px]. Points at 90
            degrees and beyond have none: use `project_fisheye_camera_points`.

    Returns:
        Pixels of the fisheye lens [px].

    Raises:
        ValueError: If a shape or dtype disagrees.

    Example:
        >>> K = torch.tensor([[[100.0, 0.0, 300.0], [0.0, 100.0, 300.0], [0.0, 0.0, 1.0]]])
        >>> at_45_degrees = torch.tensor([[[400.0, 300.0]]])
        >>> distort_fisheye_pixels(K, torch.zeros(1, 4), at_45_degrees).round(decimals=2)
        tensor([[[378.5400, 300.0000]]])
    """
    _require_pixels(intrinsics, distortion, pixels)
    K, k, known = usable_lens(intrinsics, distortion)
    image, _ = _distort_directions(k, to_homogeneous(from_pixels(K, for_computation(pixels))))
    return to_pixels(K, torch.where(known[..., None], image, torch.nan)).to(pixels.dtype)


def undistort_fisheye_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> ValidPixels:
    """Remove the distortion of a fisheye lens from pixels.

    Args:
        intrinsics: K of each view, upper triangular with last row 0, 0, 1.
        distortion: k1, k2, k3, k4 of each view in OpenCV's order.
        pixels: Pixels of the fisheye lens [px].

    Returns:
        Ideal pixels, those of a pinhole with the same intrinsics; NaN, and not valid, at 90
        degrees and beyond, which no pinhole sees: use `unproject_fisheye_pixels`.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Example:
        >>> K = torch.tensor([[[100.0, 0.0, 300.0], [0.0, 100.0, 300.0], [0.0, 0.0, 1.0]]])
        >>> seen = torch.tensor([[[378.5398, 300.0], [457.0796, 300.0]]])  # at 45 and 90 degrees
        >>> ideal = undistort_fisheye_pixels(K, torch.zeros(1, 4), seen)
        >>> ideal.pixels[0, 0].round(), ideal.valid
        (tensor([400., 300.]), tensor([[ True, False]]))
    """
    _require_pixels(intrinsics, distortion, pixels)
    lens = usable_lens(intrinsics, distortion)
    directions, valid = _unproject(lens, pixels)
    in_front = valid & (directions[..., 2] > MIN_DERIVATIVE)
    # Double `where`: division by zero in the branch not taken would turn its gradient into NaN.
    depth = torch.where(in_front, directions[..., 2], 1.0)[..., None]
    ideal = torch.where(in_front[..., None], directions[..., :2] / depth, torch.nan)
    return ValidPixels(to_pixels(lens.intrinsics, ideal).to(pixels.dtype), in_front)


def require_fisheye_coefficients(distortion: Float[Tensor, "*batch views 4"]) -> None:
    """Refuse a number of coefficients that a fisheye lens does not have."""
    require_trailing_shape("distortion", distortion, "views", COEFFICIENTS)


def _require_pixels(intrinsics: Tensor, distortion: Tensor, pixels: Tensor) -> None:
    require_fisheye_coefficients(distortion)
    require_trailing_shape("pixels", pixels, "views", "points", 2)
    require_lens(intrinsics, distortion, pixels=pixels)


def _distort_directions(
    distortion: Float[Tensor, "*#batch views 4"], points: Float[Tensor, "*#batch views points 3"]
) -> ValidPixels:
    """Project points of the camera's frame to a fisheye image of focal length one."""
    lens = distortion[..., None].unbind(dim=-2)
    off_axis = (points[..., :2] != 0).any(dim=-1)
    known = points.isfinite().all(dim=-1) & (off_axis | (points[..., 2] > 0))
    # Double `where`: a point without a direction is replaced by one on the axis.
    safe = torch.where(known[..., None], points, points.new_tensor([0.0, 0.0, 1.0]))
    angle_over_distance, squared_angle = _angle_over_distance(safe)
    factor, _ = _radial_factor(lens, squared_angle)
    fold, _ = find_first_fold(partial(_profile, lens), distortion.new_tensor(pi))
    image = safe[..., :2] * (angle_over_distance * factor)[..., None]
    image = torch.where(known[..., None], image, torch.nan)
    return ValidPixels(image, known & (squared_angle <= fold.square()))


def _unproject(
    lens: UsableLens, pixels: Float[Tensor, "*#batch views points 2"]
) -> ValidDirections:
    K, k, known = lens
    directions, valid = _undistort_directions(k, from_pixels(K, for_computation(pixels)))
    valid = valid & known
    return ValidDirections(torch.where(valid[..., None], directions, torch.nan), valid)


def _undistort_directions(
    distortion: Float[Tensor, "*#batch views 4"], points: Float[Tensor, "*#batch views points 2"]
) -> ValidDirections:
    """Find the viewing directions of points of a fisheye image of focal length one."""
    constants = distortion.detach()[..., None].unbind(dim=-2)
    inverse = invert_radial_profile(partial(_profile, constants), distortion.new_tensor(pi))
    solve = partial(_undistort_block, distortion, inverse)
    shared = distortion.ndim == 2  # noqa: PLR2004 - views and coefficients
    return ValidDirections(*solve_points(solve, points, shared_lenses=shared))


def _undistort_block(
    distortion: Tensor, inverse: RadialInverse, points: Tensor
) -> tuple[Tensor, Tensor]:
    finite = points.isfinite().all(dim=-1)
    # Double `where`: NaN in the branch not taken would turn its gradient into NaN.
    image = torch.where(finite[..., None], points, 0.0)
    squared = image.square().sum(dim=-1)
    with torch.no_grad():
        constants = distortion.detach()[..., None].unbind(dim=-2)
        ratio, valid = _find_root(constants, inverse, squared.detach())
    valid = finite & valid
    squared = torch.where(valid, squared, 0.0)
    ratio = torch.where(valid, ratio, 1.0)
    lens = distortion[..., None].unbind(dim=-2)
    # Two more Newton steps are recorded: first and second derivatives are those of the inverse.
    for _ in range(2):
        ratio = _newton_step(lens, ratio, squared)
    sine_over_angle, cosine = _sine_over_angle_and_cosine(squared * ratio.square())
    sideways = image * (ratio * sine_over_angle)[..., None]
    directions = torch.cat([sideways, cosine[..., None]], dim=-1)
    return torch.where(valid[..., None], directions, torch.nan), valid


def _find_root(
    lens: tuple[Tensor, ...], inverse: RadialInverse, squared: Tensor
) -> tuple[Tensor, Tensor]:
    """Find the quotient of angle and radius, and whether the angle is before the fold."""
    ratio = initial_ratio(inverse.ratios, inverse.fold_radius, squared)
    for _ in range(NEWTON_STEPS):
        ratio = _newton_step(lens, ratio, squared)
    factor, derivative = _radial_factor(lens, squared * ratio.square())
    converged = (ratio * factor - 1).abs() * squared.sqrt() <= TOLERANCE[squared.dtype]
    angle = squared.sqrt() * ratio
    before_fold = (derivative > MIN_DERIVATIVE) & (angle < inverse.beyond_fold) & (angle <= pi)
    return ratio, converged & before_fold


def _newton_step(lens: tuple[Tensor, ...], ratio: Tensor, squared: Tensor) -> Tensor:
    """Improve the quotient of angle and radius, a smooth function of the squared radius."""
    factor, derivative = _radial_factor(lens, squared * ratio.square())
    return ratio - (ratio * factor - 1) / derivative.clamp(min=MIN_DERIVATIVE)


def _radial_factor(lens: tuple[Tensor, ...], squared_angle: Tensor) -> tuple[Tensor, Tensor]:
    """Return the quotient of radius and angle, and the derivative of the radius by the angle."""
    k1, k2, k3, k4 = lens
    a = squared_angle
    factor = 1 + a * (k1 + a * (k2 + a * (k3 + a * k4)))
    derivative = 1 + a * (3 * k1 + a * (5 * k2 + a * (7 * k3 + a * 9 * k4)))
    return factor, derivative


def _profile(lens: tuple[Tensor, ...], angles: Tensor) -> Profile:
    factor, derivative = _radial_factor(lens, angles.square())
    return Profile(angles.expand(factor.shape), angles * factor, derivative > MIN_DERIVATIVE)


def _angle_over_distance(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the angle from the axis over the distance from it, and the squared angle."""
    x, y, z = points.unbind(dim=-1)
    squared = x * x + y * y
    near = (z > 0) & (squared < torch.finfo(z.dtype).eps ** 0.5 * z * z)
    # Double `where`: on the axis the square root has an infinite derivative, and 0 / 0 is NaN.
    distance = torch.where(near, 1.0, squared).sqrt()
    angle = torch.atan2(distance, z)
    depth = torch.where(near, z, 1.0)
    tangent_squared = torch.where(near, squared, 0.0) / (depth * depth)
    quotient = torch.where(near, (1 - tangent_squared / 3) / depth, angle / distance)
    series = tangent_squared * (1 - 2 * tangent_squared / 3)
    return quotient, torch.where(near, series, angle * angle)


def _sine_over_angle_and_cosine(squared_angle: Tensor) -> tuple[Tensor, Tensor]:
    a = squared_angle
    near = a < torch.finfo(a.dtype).eps ** 0.5
    # Double `where`: the square root has an infinite derivative at zero.
    angle = torch.where(near, 1.0, a).sqrt()
    sine_over_angle = torch.where(near, 1 - a / 6, angle.sin() / angle)
    return sine_over_angle, torch.where(near, 1 - a / 2 * (1 - a / 12), angle.cos())
