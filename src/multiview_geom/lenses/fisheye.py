"""Fisheye lenses, which see beyond 90 degrees from their axis."""

from functools import partial
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.point_blocks import solve_points
from multiview_geom._validation import (
    for_computation,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom.lenses._radial_inverse import (
    Profile,
    RadialInverse,
    first_fold,
    guessed_ratio,
    radial_inverse,
)
from multiview_geom.lenses.polynomial import CLOSE, from_pixels, to_pixels
from multiview_geom.validity import ValidDirections, ValidPixels

COEFFICIENTS = 4
STEPS = 4
"""Newton steps from the first guess; the two recorded ones come on top."""
FLATTEST = 1e-6
"""Slope of the seen radius by the angle at which a lens counts as folding."""


def project_fisheye_camera_points(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views 4"],
    points: Float[Tensor, "*#batch views points 3"],
) -> ValidPixels:
    """Project points of each camera's frame through its fisheye lens.

    Args:
        intrinsics: Each view's K, upper triangular with a last row 0, 0, 1.
        distortion: Each view's k1, k2, k3, k4 in OpenCV's order.
        points: Points in each camera's own frame: x right, y down, z forward. Those behind
            the camera are seen too, where the lens reaches so far.

    Returns:
        Pixels [px], and which points lie before the angle at which the polynomial folds
        back. The camera's centre, and a point straight behind it, are NaN.

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
    _require_fisheye(intrinsics, distortion)
    require_trailing_shape("points", points, "views", "points", 3)
    require_floating(intrinsics=intrinsics, distortion=distortion, points=points)
    require_same_size("views", intrinsics=intrinsics.shape[-3], points=points.shape[-3])
    K, k, place = (for_computation(tensor) for tensor in (intrinsics, distortion, points))
    seen, valid = distort_directions(k, place)
    return ValidPixels(to_pixels(K, seen).to(points.dtype), valid)


def unproject_fisheye_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> ValidDirections:
    """Find the directions in which a fisheye lens sees pixels.

    Args:
        intrinsics: Each view's K, upper triangular with a last row 0, 0, 1.
        distortion: Each view's k1, k2, k3, k4 in OpenCV's order.
        pixels: Where the lens shows the points [px].

    Returns:
        Unit vectors in each camera's own frame; NaN, and not valid, where no angle before
        the fold is shown at the pixel.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        First and second derivatives are those of the inverse map.

    Example:
        >>> K = torch.tensor([[[100.0, 0.0, 300.0], [0.0, 100.0, 300.0], [0.0, 0.0, 1.0]]])
        >>> edge = torch.tensor([[[457.0796, 300.0]]])
        >>> unproject_fisheye_pixels(K, torch.zeros(1, 4), edge).directions.round(decimals=4) + 0.0
        tensor([[[1., 0., 0.]]])
    """
    _require_lens(intrinsics, distortion, pixels)
    K, k, seen = (for_computation(tensor) for tensor in (intrinsics, distortion, pixels))
    directions, valid = undistort_directions(k, from_pixels(K, seen))
    return ValidDirections(directions.to(pixels.dtype), valid)


def distort_fisheye_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Float[Tensor, "*#batch views points 2"]:
    """Move ideal pixels to where a fisheye lens shows them.

    Args:
        intrinsics: Each view's K, upper triangular with a last row 0, 0, 1.
        distortion: Each view's k1, k2, k3, k4 in OpenCV's order.
        pixels: Where a pinhole with the same intrinsics would see the points [px]; it sees
            nothing beyond 90 degrees: use `project_fisheye_camera_points` there.

    Returns:
        Where the lens shows them [px].

    Raises:
        ValueError: If a shape or dtype disagrees.
    """
    _require_lens(intrinsics, distortion, pixels)
    K, k, ideal = (for_computation(tensor) for tensor in (intrinsics, distortion, pixels))
    ahead = torch.nn.functional.pad(from_pixels(K, ideal), (0, 1), value=1.0)
    return to_pixels(K, distort_directions(k, ahead)[0]).to(pixels.dtype)


def undistort_fisheye_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> ValidPixels:
    """Move pixels seen by a fisheye lens to where a pinhole would see them.

    Args:
        intrinsics: Each view's K, upper triangular with a last row 0, 0, 1.
        distortion: Each view's k1, k2, k3, k4 in OpenCV's order.
        pixels: Where the lens shows the points [px].

    Returns:
        The ideal pixels; NaN, and not valid, at 90 degrees and beyond, which no pinhole
        sees: use `unproject_fisheye_pixels` there.

    Raises:
        ValueError: If a shape or dtype disagrees.
    """
    _require_lens(intrinsics, distortion, pixels)
    K, k, seen = (for_computation(tensor) for tensor in (intrinsics, distortion, pixels))
    directions, valid = undistort_directions(k, from_pixels(K, seen))
    ahead = valid & (directions[..., 2] > FLATTEST)
    # Doubled where: dividing by zero in the branch not taken would poison its gradient.
    depth = torch.where(ahead, directions[..., 2], 1.0)[..., None]
    ideal = torch.where(ahead[..., None], directions[..., :2] / depth, torch.nan)
    return ValidPixels(to_pixels(K, ideal).to(pixels.dtype), ahead)


def distort_directions(
    distortion: Float[Tensor, "*#batch views 4"], points: Float[Tensor, "*#batch views points 3"]
) -> ValidPixels:
    """Project points of the camera's frame to a fisheye image of focal length one."""
    lens = distortion[..., None].unbind(dim=-2)
    sound = points.isfinite().all(dim=-1) & (
        (points[..., :2] != 0).any(dim=-1) | (points[..., 2] > 0)
    )
    # Doubled where: a point without a direction takes part as one straight ahead.
    ahead = points.new_tensor([0.0, 0.0, 1.0])
    place = torch.where(sound[..., None], points, ahead)
    angle_over_radius, squared_angle = _angle(place)
    stretch, _ = _stretch(lens, squared_angle)
    fold, _ = first_fold(partial(_profile, lens), distortion.new_tensor(pi))
    seen = place[..., :2] * (angle_over_radius * stretch)[..., None]
    seen = torch.where(sound[..., None], seen, torch.nan)
    return ValidPixels(seen, sound & (squared_angle <= fold.square()))


def undistort_directions(
    distortion: Float[Tensor, "*#batch views 4"], points: Float[Tensor, "*#batch views points 2"]
) -> ValidDirections:
    """Find the directions shown at points of a fisheye image of focal length one."""
    fixed = distortion.detach()[..., None].unbind(dim=-2)
    inverse = radial_inverse(partial(_profile, fixed), distortion.new_tensor(pi))
    solve = partial(_unbent, distortion, inverse)
    shared = distortion.ndim == 2  # noqa: PLR2004 - views and coefficients
    directions, valid = solve_points(solve, points, shared_lenses=shared)
    return ValidDirections(directions, valid)


def _unbent(distortion: Tensor, inverse: RadialInverse, points: Tensor) -> tuple[Tensor, Tensor]:
    lens = distortion[..., None].unbind(dim=-2)
    finite = points.isfinite().all(dim=-1)
    # Doubled where: NaN in the branch not taken would turn its gradient into NaN.
    seen = torch.where(finite[..., None], points, 0.0)
    squared = seen.square().sum(dim=-1)
    with torch.no_grad():
        fixed = distortion.detach()[..., None].unbind(dim=-2)
        ratio, valid = _root(fixed, inverse, squared.detach())
    valid = finite & valid
    squared = torch.where(valid, squared, 0.0)
    ratio = torch.where(valid, ratio, 1.0)
    # From the root, two recorded steps have the first and second derivatives of the inverse.
    for _ in range(2):
        ratio = _newton_step(lens, ratio, squared)
    sine_ratio, cosine = _sine_over_angle_and_cosine(squared * ratio.square())
    sideways = seen * (ratio * sine_ratio)[..., None]
    directions = torch.cat([sideways, cosine[..., None]], dim=-1)
    return torch.where(valid[..., None], directions, torch.nan), valid


def _root(
    lens: tuple[Tensor, ...], inverse: RadialInverse, squared: Tensor
) -> tuple[Tensor, Tensor]:
    """Find angle over seen radius, and whether it lies before the fold."""
    ratio = guessed_ratio(inverse, squared)
    for _ in range(STEPS):
        ratio = _newton_step(lens, ratio, squared)
    stretch, slope = _stretch(lens, squared * ratio.square())
    near = (ratio * stretch - 1).abs() * squared.sqrt() <= CLOSE[squared.dtype]
    angle = squared.sqrt() * ratio
    return ratio, near & (slope > FLATTEST) & (angle < inverse.beyond_fold) & (angle <= pi)


def _newton_step(lens: tuple[Tensor, ...], ratio: Tensor, squared: Tensor) -> Tensor:
    """Improve angle over seen radius, a smooth function of the squared seen radius."""
    stretch, slope = _stretch(lens, squared * ratio.square())
    return ratio - (ratio * stretch - 1) / slope.clamp(min=FLATTEST)


def _stretch(lens: tuple[Tensor, ...], squared_angle: Tensor) -> tuple[Tensor, Tensor]:
    """Return seen radius over angle, and the derivative of seen radius by angle."""
    k1, k2, k3, k4 = lens
    a = squared_angle
    stretch = 1 + a * (k1 + a * (k2 + a * (k3 + a * k4)))
    slope = 1 + a * (3 * k1 + a * (5 * k2 + a * (7 * k3 + a * 9 * k4)))
    return stretch, slope


def _profile(lens: tuple[Tensor, ...], angles: Tensor) -> Profile:
    stretch, slope = _stretch(lens, angles.square())
    return Profile(angles.expand(stretch.shape), angles * stretch, slope > FLATTEST)


def _angle(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the angle from the axis over the distance from it, and the squared angle."""
    x, y, z = points.unbind(dim=-1)
    squared = x * x + y * y
    near = (z > 0) & (squared < torch.finfo(z.dtype).eps ** 0.5 * z * z)
    # Doubled where: on the axis the square root has an infinite slope, and 0 / 0 is NaN.
    radius = torch.where(near, 1.0, squared).sqrt()
    angle = torch.atan2(radius, z)
    depth = torch.where(near, z, 1.0)
    tangent = torch.where(near, squared, 0.0) / (depth * depth)
    over_radius = torch.where(near, (1 - tangent / 3) / depth, angle / radius)
    return over_radius, torch.where(near, tangent * (1 - 2 * tangent / 3), angle * angle)


def _sine_over_angle_and_cosine(squared_angle: Tensor) -> tuple[Tensor, Tensor]:
    a = squared_angle
    near = a < torch.finfo(a.dtype).eps ** 0.5
    # Doubled where: the square root has an infinite slope at zero.
    angle = torch.where(near, 1.0, a).sqrt()
    sine_ratio = torch.where(near, 1 - a / 6, angle.sin() / angle)
    return sine_ratio, torch.where(near, 1 - a / 2 * (1 - a / 12), angle.cos())


def _require_lens(intrinsics: Tensor, distortion: Tensor, pixels: Tensor) -> None:
    _require_fisheye(intrinsics, distortion)
    require_trailing_shape("pixels", pixels, "views", "points", 2)
    require_floating(intrinsics=intrinsics, distortion=distortion, pixels=pixels)
    require_same_size("views", intrinsics=intrinsics.shape[-3], pixels=pixels.shape[-3])


def _require_fisheye(intrinsics: Tensor, distortion: Tensor) -> None:
    require_trailing_shape("intrinsics", intrinsics, "views", 3, 3)
    require_fisheye_coefficients(distortion)
    views = {"intrinsics": intrinsics.shape[-3], "distortion": distortion.shape[-2]}
    require_same_size("views", **views)


def require_fisheye_coefficients(distortion: Float[Tensor, "*batch views 4"]) -> None:
    """Refuse a number of coefficients that a fisheye lens does not have."""
    require_trailing_shape("distortion", distortion, "views", COEFFICIENTS)
