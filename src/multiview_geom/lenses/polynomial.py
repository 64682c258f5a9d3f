"""OpenCV's polynomial lens with 4 to 14 coefficients: distort, undistort, project, unproject."""

from functools import partial
from math import radians

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._validation import for_computation, require_trailing_shape
from multiview_geom.homogeneous import from_homogeneous, to_homogeneous
from multiview_geom.lenses._fold import (
    TOLERANCE,
    RadialInverse,
    find_first_fold,
    initial_ratio,
    invert_radial_profile,
)
from multiview_geom.lenses._image_plane import (
    MaskedPoints,
    apply_intrinsics,
    apply_inverse_intrinsics,
    from_pixels,
    join_coordinates,
    require_lens,
    split_coordinates,
    to_pixels,
    usable_lens,
)
from multiview_geom.lenses._point_blocks import solve_points
from multiview_geom.lenses._polynomial_map import (
    Coefficients,
    apply_tilt,
    checked_newton_step,
    distort,
    first_pole,
    group_coefficients,
    keeps_orientation,
    newton_step,
    radial_profile,
    remove_tilt,
    without_cancelled_pole,
)
from multiview_geom.validity import ValidDirections, ValidPixels

COEFFICIENT_COUNTS = (4, 5, 8, 12, 14)
MAX_ANGLE = radians(89.9)
"""Largest angle from the axis at which folds are searched."""
MAX_RADIUS = 1e4
"""Points farther from the axis [focal lengths] are numerically at 90 degrees: powers overflow."""
NEWTON_STEPS = 5
"""Newton steps from the first guess; two more are recorded by autograd."""
STEPS_NEAR_POLES = 12
"""Further Newton steps, which see poles that are nearly cancelled."""


def distort_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Float[Tensor, "*#batch views points 2"]:
    """Apply the lens distortion to ideal pixels.

    Args:
        intrinsics: K of each view, upper triangular with last row 0, 0, 1.
        distortion: 4, 5, 8, 12 or 14 coefficients of each view in OpenCV's order.
        pixels: Ideal pixels: those of a pinhole with the same intrinsics [px].

    Returns:
        Distorted pixels [px]; NaN for a pixel that is not finite, or numerically at 90 degrees
        from the axis.

    Raises:
        ValueError: If a shape, a dtype or the number of coefficients disagrees.

    Note:
        Beyond some radius the polynomial folds back, and real lenses do not: see the masks of
        `Cameras.project` and `undistort_pixels`. A pole of a rational lens, where its denominator
        is zero, counts as a fold too, unless a root of the numerator cancels it within 1e-5
        focal lengths.

    Reference:
        Brown, Decentering distortion of lenses, 1966; OpenCV, module calib, `projectPoints`.

    Example:
        >>> K = torch.tensor([[[100.0, 0.0, 50.0], [0.0, 100.0, 50.0], [0.0, 0.0, 1.0]]])
        >>> barrel = torch.tensor([[-0.2, 0.0, 0.0, 0.0]])
        >>> distort_pixels(K, barrel, torch.tensor([[[50.0, 50.0], [100.0, 50.0]]]))
        tensor([[[50.0000, 50.0000],
                 [97.5000, 50.0000]]])
    """
    _require_lens(intrinsics, distortion, pixels)
    K, k, known = usable_lens(intrinsics, distortion)
    ideal, lens = for_computation(pixels), group_coefficients(k)

    def distort_block(block: Tensor) -> tuple[Tensor]:
        finite, u, v = split_coordinates(block)
        near, x, y = _distort(lens, *apply_inverse_intrinsics(K, u, v))
        return (join_coordinates(finite & near & known, *apply_intrinsics(K, x, y)),)

    (distorted,) = solve_points(distort_block, ideal, shared_lenses=_is_shared(K, k[..., None]))
    return distorted.to(pixels.dtype)


def undistort_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> ValidPixels:
    """Remove the lens distortion from pixels.

    Args:
        intrinsics: K of each view, upper triangular with last row 0, 0, 1.
        distortion: 4, 5, 8, 12 or 14 coefficients of each view in OpenCV's order.
        pixels: Distorted pixels [px].

    Returns:
        Ideal pixels, those of a pinhole with the same intrinsics, and which are valid: those
        before the fold that `distort_pixels` takes back to the distorted pixel. The others are
        NaN and have no gradient.

    Raises:
        ValueError: If a shape, a dtype or the number of coefficients disagrees.

    Note:
        First and second derivatives are those of the inverse map, not of the iteration.

    Example:
        >>> K = torch.tensor([[[100.0, 0.0, 50.0], [0.0, 100.0, 50.0], [0.0, 0.0, 1.0]]])
        >>> barrel = torch.tensor([[-0.2, 0.0, 0.0, 0.0]])
        >>> undistort_pixels(K, barrel, torch.tensor([[[97.5, 50.0], [500.0, 50.0]]]))
        ValidPixels(pixels=tensor([[[100.,  50.],
                 [ nan,  nan]]]), valid=tensor([[ True, False]]))
    """
    _require_lens(intrinsics, distortion, pixels)
    K, k, known = usable_lens(intrinsics, distortion)
    distorted = for_computation(pixels)
    inverse = _invert_radial_part(k)

    def undistort_block(block: Tensor) -> tuple[Tensor, Tensor]:
        finite, u, v = split_coordinates(block)
        found, x, y = _undistort(k, inverse, *apply_inverse_intrinsics(K, u, v))
        valid = finite & found & known
        return join_coordinates(valid, *apply_intrinsics(K, x, y)), valid

    shared = _is_shared(K, k[..., None])
    ideal, valid = solve_points(undistort_block, distorted, shared_lenses=shared)
    return ValidPixels(ideal.to(pixels.dtype), valid)


def project_camera_points(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
    points: Float[Tensor, "*#batch views points 3"],
) -> ValidPixels:
    """Project points of each camera's frame through its lens.

    Args:
        intrinsics: K of each view, upper triangular with last row 0, 0, 1.
        distortion: 4, 5, 8, 12 or 14 coefficients of each view in OpenCV's order.
        points: Points in each camera's frame: x right, y down, z forward.

    Returns:
        Pixels [px] as the equations give them, and which points are in front of the camera and
        before the fold of the lens.
    """
    K, k, known = usable_lens(intrinsics, distortion)
    camera_points = for_computation(points)
    ideal = from_homogeneous(camera_points)
    valid = known & (camera_points[..., 2] > 0) & _is_before_fold(k, ideal)
    finite, x, y = split_coordinates(ideal)
    near, x, y = _distort(group_coefficients(k), x, y)
    distorted = join_coordinates(finite & near & known, x, y)
    return ValidPixels(to_pixels(K, distorted).to(points.dtype), valid)


def unproject_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"] | None,
    pixels: Float[Tensor, "*#batch views points 2"],
) -> ValidDirections:
    """Find the viewing directions of pixels.

    Args:
        intrinsics: K of each view, upper triangular with last row 0, 0, 1.
        distortion: 4, 5, 8, 12 or 14 coefficients of each view; None for pinholes.
        pixels: Distorted pixels [px].

    Returns:
        Unit vectors in each camera's frame; NaN where not valid.
    """
    pinhole = intrinsics.new_zeros(intrinsics.shape[-3], 0)
    K, k, known = usable_lens(intrinsics, pinhole if distortion is None else distortion)
    points = from_pixels(K, for_computation(pixels))
    valid = points.isfinite().all(dim=-1)
    if distortion is not None:
        points, valid = _undistort_image_points(k, points)
    valid = valid & known
    # Double `where`: NaN in the branch not taken would turn its gradient into NaN.
    forward = to_homogeneous(torch.where(valid[..., None], points, 0.0))
    unit = forward / forward.square().sum(dim=-1, keepdim=True).sqrt()
    return ValidDirections(torch.where(valid[..., None], unit, torch.nan).to(pixels.dtype), valid)


def require_coefficients(distortion: Float[Tensor, "*batch views coefficients"]) -> None:
    """Refuse a number of coefficients that OpenCV's lens does not have."""
    require_trailing_shape("distortion", distortion, "views", "coefficients")
    count = distortion.shape[-1]
    if count not in COEFFICIENT_COUNTS:
        raise ValueError(f"`distortion` must have 4, 5, 8, 12 or 14 coefficients, got {count}")


def _require_lens(intrinsics: Tensor, distortion: Tensor, pixels: Tensor) -> None:
    require_coefficients(distortion)
    require_trailing_shape("pixels", pixels, "views", "points", 2)
    require_lens(intrinsics, distortion, pixels=pixels)


def _is_before_fold(
    distortion: Float[Tensor, "*#batch views coefficients"],
    points: Float[Tensor, "*#batch views points 2"],
) -> Bool[Tensor, "*#batch views points"]:
    """Test which points of the plane at depth one are before the first fold of the lens."""
    lens = group_coefficients(distortion)
    widest = distortion.new_tensor(MAX_ANGLE)
    smooth = without_cancelled_pole(lens, widest)
    _, beyond = find_first_fold(partial(radial_profile, smooth), widest)
    beyond = torch.minimum(beyond, first_pole(smooth, widest))
    x, y = points.unbind(dim=-1)
    return keeps_orientation(lens, x, y) & (x.square() + y.square() < beyond.square())


def _undistort_image_points(
    distortion: Float[Tensor, "*#batch views coefficients"],
    points: Float[Tensor, "*#batch views points 2"],
) -> ValidPixels:
    inverse = _invert_radial_part(distortion)

    def undistort_block(block: Tensor) -> tuple[Tensor, Tensor]:
        finite, distorted_x, distorted_y = split_coordinates(block)
        found, x, y = _undistort(distortion, inverse, distorted_x, distorted_y)
        return join_coordinates(finite & found, x, y), finite & found

    shared = _is_shared(distortion[..., None])
    return ValidPixels(*solve_points(undistort_block, points, shared_lenses=shared))


def _is_shared(*matrices: Float[Tensor, "*_ _ _ _"]) -> bool:
    """Test whether all frames have the same lenses."""
    return all(matrix.ndim == 3 for matrix in matrices)  # noqa: PLR2004 - views, rows, columns


def _distort(lens: Coefficients, x: Tensor, y: Tensor) -> MaskedPoints:
    """Distort points that are not numerically at 90 degrees."""
    near, x, y = _keep_near(x, y)
    return MaskedPoints(near, *apply_tilt(lens, *distort(lens, x, y)))


def _keep_near(x: Tensor, y: Tensor) -> MaskedPoints:
    near = (x.abs() <= MAX_RADIUS) & (y.abs() <= MAX_RADIUS)
    # Double `where`, with `join_coordinates`.
    return MaskedPoints(near, torch.where(near, x, 0.0), torch.where(near, y, 0.0))


def _invert_radial_part(distortion: Float[Tensor, "*batch views coefficients"]) -> RadialInverse:
    widest = distortion.new_tensor(MAX_ANGLE)
    lens = without_cancelled_pole(group_coefficients(distortion.detach()), widest)
    inverse = invert_radial_profile(partial(radial_profile, lens), widest)
    beyond = torch.minimum(inverse.beyond_fold, first_pole(lens, widest))
    return inverse._replace(beyond_fold=beyond)


def _undistort(
    distortion: Tensor, inverse: RadialInverse, distorted_x: Tensor, distorted_y: Tensor
) -> MaskedPoints:
    lens = group_coefficients(distortion)
    near, u, v = _keep_near(*remove_tilt(lens, distorted_x, distorted_y))
    with torch.no_grad():
        constants = group_coefficients(distortion.detach())
        x, y = _find_root(constants, inverse, u.detach(), v.detach())
    # Two more Newton steps are recorded: first and second derivatives are those of the inverse.
    x, y = newton_step(lens, x, y, u, v)
    x, y, residual, unfolded = checked_newton_step(lens, x, y, u, v)
    converged = residual <= TOLERANCE[residual.dtype] * (1 + u.abs() + v.abs())
    before_fold = x * x + y * y < inverse.beyond_fold.square()
    return MaskedPoints(near & converged & unfolded & before_fold, x, y)


def _find_root(
    lens: Coefficients, inverse: RadialInverse, u: Tensor, v: Tensor
) -> tuple[Tensor, Tensor]:
    ratio = initial_ratio(inverse, u.square() + v.square())
    x, y = u * ratio, v * ratio
    smooth = without_cancelled_pole(lens, u.new_tensor(MAX_ANGLE))
    for _ in range(NEWTON_STEPS):
        x, y = newton_step(smooth, x, y, u, v)
        if lens.denominator:
            # A step across a pole would not come back; from the fold, Newton's method does.
            inside = (inverse.ideal_fold / (x * x + y * y).sqrt()).clamp(max=1.0)
            x, y = x * inside, y * inside
    for _ in range(STEPS_NEAR_POLES if lens.denominator else 0):
        x, y = newton_step(lens, x, y, u, v)
    return x, y
