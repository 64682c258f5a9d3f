"""Lens distortion, applied and removed."""

from functools import partial
from math import radians
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels.point_blocks import solve_points
from multiview_geom._validation import (
    for_computation,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom.homogeneous import from_homogeneous, to_homogeneous
from multiview_geom.lenses._polynomial_model import (
    Coefficients,
    bend,
    checked_step,
    coefficients_of,
    keeps_orientation,
    newton_step,
    radial_profile,
    tilt,
    untilt,
)
from multiview_geom.lenses._radial_inverse import (
    RadialInverse,
    first_fold,
    guessed_ratio,
    radial_inverse,
)
from multiview_geom.validity import ValidDirections, ValidPixels

COEFFICIENT_COUNTS = (4, 5, 8, 12, 14)
WIDEST = radians(89.9)
"""Angle from the axis up to which folds are looked for."""
FARTHEST = 1e4
"""Points farther from the axis, in units of the focal length, count as at infinity."""
STEPS = 5
"""Newton steps from the first guess; two recorded ones come on top."""
CLOSE = {torch.float32: 1e-6, torch.float64: 1e-11}
"""By how much the answer, distorted again, may miss the seen point, in focal lengths."""


class MaskedPoints(NamedTuple):
    """Coordinates, and which points they are good for."""

    valid: Bool[Tensor, "*batch"]
    x: Float[Tensor, "*batch"]
    y: Float[Tensor, "*batch"]


def distort_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Float[Tensor, "*#batch views points 2"]:
    """Move ideal pixels to where the lens shows them.

    Args:
        intrinsics: Each view's K, upper triangular with a last row 0, 0, 1.
        distortion: Each view's 4, 5, 8, 12 or 14 coefficients in OpenCV's order.
        pixels: Where a pinhole with the same intrinsics would see the points [px].

    Returns:
        Where the lens shows them [px]; NaN for a pixel that is not finite or as good as
        90 degrees from the axis.

    Raises:
        ValueError: If a shape, a dtype or the number of coefficients disagrees.

    Note:
        Far from the centre a polynomial folds back, and points there are shown where no real
        lens would: `Cameras.project` and `undistort_pixels` tell which ones.

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
    K, k, ideal = (for_computation(tensor) for tensor in (intrinsics, distortion, pixels))

    lens = coefficients_of(k)

    def distorted(block: Tensor) -> tuple[Tensor]:
        finite, u, v = split(block)
        near, x, y = _bent(lens, *_normalized(K, u, v))
        return (joined(finite & near, *_in_pixels(K, x, y)),)

    (seen,) = solve_points(distorted, ideal, shared_lenses=_shared(K, k[..., None]))
    return seen.to(pixels.dtype)


def undistort_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> ValidPixels:
    """Move seen pixels to where a pinhole with the same intrinsics would see them.

    Args:
        intrinsics: Each view's K, upper triangular with a last row 0, 0, 1.
        distortion: Each view's 4, 5, 8, 12 or 14 coefficients in OpenCV's order.
        pixels: Where the lens shows the points [px].

    Returns:
        The ideal pixels, and which are valid: those that `distort_pixels` takes back to the
        seen pixel, on the near side of the fold. The others are NaN and pass no gradient.

    Raises:
        ValueError: If a shape, a dtype or the number of coefficients disagrees.

    Note:
        The derivative is that of the inverse map, not of the steps that found it; the second
        derivative is right too.

    Example:
        >>> K = torch.tensor([[[100.0, 0.0, 50.0], [0.0, 100.0, 50.0], [0.0, 0.0, 1.0]]])
        >>> barrel = torch.tensor([[-0.2, 0.0, 0.0, 0.0]])
        >>> seen = torch.tensor([[[97.5, 50.0], [500.0, 50.0]]])
        >>> undistort_pixels(K, barrel, seen)
        ValidPixels(pixels=tensor([[[100.,  50.],
                 [ nan,  nan]]]), valid=tensor([[ True, False]]))
    """
    _require_lens(intrinsics, distortion, pixels)
    K, k, seen = (for_computation(tensor) for tensor in (intrinsics, distortion, pixels))
    inverse = _inverse(k)

    def undistorted(block: Tensor) -> tuple[Tensor, Tensor]:
        finite, u, v = split(block)
        found, x, y = _unbent(k, inverse, *_normalized(K, u, v))
        return joined(finite & found, *_in_pixels(K, x, y)), finite & found

    ideal, valid = solve_points(undistorted, seen, shared_lenses=_shared(K, k[..., None]))
    return ValidPixels(ideal.to(pixels.dtype), valid)


def project_camera_points(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
    points: Float[Tensor, "*#batch views points 3"],
) -> ValidPixels:
    """Project points of each camera's frame through its lens.

    Args:
        intrinsics: Each view's K, upper triangular with a last row 0, 0, 1.
        distortion: Each view's 4, 5, 8, 12 or 14 coefficients in OpenCV's order.
        points: Points in each camera's own frame: x right, y down, z forward.

    Returns:
        Pixels [px] as the equations have them, and which points lie in front of the camera
        and before the lens folds.
    """
    K, k, place = (for_computation(tensor) for tensor in (intrinsics, distortion, points))
    ideal = from_homogeneous(place)
    valid = (place[..., 2] > 0) & before_fold(k, ideal)
    return ValidPixels(to_pixels(K, distort_image_points(k, ideal)).to(points.dtype), valid)


def unproject_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"] | None,
    pixels: Float[Tensor, "*#batch views points 2"],
) -> ValidDirections:
    """Find the directions in which a lens sees pixels.

    Args:
        intrinsics: Each view's K, upper triangular with a last row 0, 0, 1.
        distortion: Each view's 4, 5, 8, 12 or 14 coefficients; None for pinholes.
        pixels: Where the lens shows the points [px].

    Returns:
        Unit vectors in each camera's own frame; NaN where not valid.
    """
    K, seen = for_computation(intrinsics), for_computation(pixels)
    points = from_pixels(K, seen)
    valid = points.isfinite().all(dim=-1)
    if distortion is not None:
        points, valid = undistort_image_points(for_computation(distortion), points)
    # Doubled where: NaN in the branch not taken would turn its gradient into NaN.
    ahead = to_homogeneous(torch.where(valid[..., None], points, 0.0))
    unit = ahead / ahead.square().sum(dim=-1, keepdim=True).sqrt()
    return ValidDirections(torch.where(valid[..., None], unit, torch.nan).to(pixels.dtype), valid)


def from_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"], pixels: Float[Tensor, "*#batch views points 2"]
) -> Float[Tensor, "*#batch views points 2"]:
    """Divide pixels by the focal length, after moving the principal point to the origin."""
    finite, u, v = split(pixels)
    return joined(finite, *_normalized(intrinsics, u, v))


def to_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"], points: Float[Tensor, "*#batch views points 2"]
) -> Float[Tensor, "*#batch views points 2"]:
    """Undo `from_pixels`."""
    finite, x, y = split(points)
    return joined(finite, *_in_pixels(intrinsics, x, y))


def split(points: Float[Tensor, "*batch 2"]) -> MaskedPoints:
    """Tell which points are finite, and return their coordinates, zero where they are not."""
    x, y = points.unbind(dim=-1)
    finite = x.isfinite() & y.isfinite()
    # Doubled where, with `joined`: what is not a number would turn every gradient into NaN.
    return MaskedPoints(finite, torch.where(finite, x, 0.0), torch.where(finite, y, 0.0))


def joined(
    valid: Bool[Tensor, "*batch"], x: Float[Tensor, "*batch"], y: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 2"]:
    """Return points of two coordinates, NaN where they are not valid."""
    return torch.stack([torch.where(valid, x, torch.nan), torch.where(valid, y, torch.nan)], dim=-1)


def distort_image_points(
    distortion: Float[Tensor, "*#batch views coefficients"],
    points: Float[Tensor, "*#batch views points 2"],
) -> Float[Tensor, "*#batch views points 2"]:
    """Distort points of the plane at depth one."""
    finite, x, y = split(points)
    near, x, y = _bent(coefficients_of(distortion), x, y)
    return joined(finite & near, x, y)


def before_fold(
    distortion: Float[Tensor, "*#batch views coefficients"],
    points: Float[Tensor, "*#batch views points 2"],
) -> Bool[Tensor, "*#batch views points"]:
    """Tell which points of the plane at depth one a real lens of this kind shows once."""
    lens = coefficients_of(distortion)
    _, beyond = first_fold(partial(radial_profile, lens), distortion.new_tensor(WIDEST))
    x, y = points.unbind(dim=-1)
    return keeps_orientation(lens, x, y) & (x.square() + y.square() < beyond.square())


def undistort_image_points(
    distortion: Float[Tensor, "*#batch views coefficients"],
    points: Float[Tensor, "*#batch views points 2"],
) -> ValidPixels:
    """Find the points of the plane at depth one that a lens shows at the given ones."""
    inverse = _inverse(distortion)

    def undistorted(block: Tensor) -> tuple[Tensor, Tensor]:
        finite, seen_x, seen_y = split(block)
        found, x, y = _unbent(distortion, inverse, seen_x, seen_y)
        return joined(finite & found, x, y), finite & found

    ideal, valid = solve_points(undistorted, points, shared_lenses=_shared(distortion[..., None]))
    return ValidPixels(ideal, valid)


def _normalized(intrinsics: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    K = intrinsics[..., None, :, :]
    y = (v - K[..., 1, 2]) / K[..., 1, 1]
    return (u - K[..., 0, 2] - K[..., 0, 1] * y) / K[..., 0, 0], y


def _in_pixels(intrinsics: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    K = intrinsics[..., None, :, :]
    u = K[..., 0, 0] * x + K[..., 0, 1] * y + K[..., 0, 2]
    return u, K[..., 1, 1] * y + K[..., 1, 2]


def _bent(lens: Coefficients, x: Tensor, y: Tensor) -> MaskedPoints:
    """Distort points that are not as good as at infinity, where powers overflow."""
    near = (x.abs() <= FARTHEST) & (y.abs() <= FARTHEST)
    # Doubled where, with `joined`.
    x, y = torch.where(near, x, 0.0), torch.where(near, y, 0.0)
    return MaskedPoints(near, *tilt(lens, *bend(lens, x, y)))


def _shared(*matrices: Float[Tensor, "*_ _ _ _"]) -> bool:
    """Tell whether all frames are seen through the same lenses."""
    return all(matrix.ndim == 3 for matrix in matrices)  # noqa: PLR2004 - views, rows, columns


def _inverse(distortion: Float[Tensor, "*batch views coefficients"]) -> RadialInverse:
    fixed = distortion.detach()
    return radial_inverse(partial(radial_profile, coefficients_of(fixed)), fixed.new_tensor(WIDEST))


def _unbent(
    distortion: Tensor, inverse: RadialInverse, seen_x: Tensor, seen_y: Tensor
) -> MaskedPoints:
    lens = coefficients_of(distortion)
    seen_x, seen_y = untilt(lens, seen_x, seen_y)
    near = (seen_x.abs() <= FARTHEST) & (seen_y.abs() <= FARTHEST)
    # Doubled where, with `joined`.
    seen_x, seen_y = torch.where(near, seen_x, 0.0), torch.where(near, seen_y, 0.0)
    with torch.no_grad():
        fixed = coefficients_of(distortion.detach())
        x, y = _near_root(fixed, inverse, seen_x.detach(), seen_y.detach())
    # From the root, two recorded steps have the first and second derivatives of the inverse.
    x, y = newton_step(lens, x, y, seen_x, seen_y)
    x, y, miss, unfolded = checked_step(lens, x, y, seen_x, seen_y)
    hit = miss <= CLOSE[miss.dtype] * (1 + seen_x.abs() + seen_y.abs())
    inside = x * x + y * y < inverse.beyond_fold.square()
    return MaskedPoints(near & hit & unfolded & inside, x, y)


def _near_root(
    lens: Coefficients, inverse: RadialInverse, seen_x: Tensor, seen_y: Tensor
) -> tuple[Tensor, Tensor]:
    ratio = guessed_ratio(inverse, seen_x.square() + seen_y.square())
    x, y = seen_x * ratio, seen_y * ratio
    for _ in range(STEPS):
        x, y = newton_step(lens, x, y, seen_x, seen_y)
    return x, y


def _require_lens(intrinsics: Tensor, distortion: Tensor, pixels: Tensor) -> None:
    require_trailing_shape("intrinsics", intrinsics, "views", 3, 3)
    require_coefficients(distortion)
    require_trailing_shape("pixels", pixels, "views", "points", 2)
    require_floating(intrinsics=intrinsics, distortion=distortion, pixels=pixels)
    views = {"intrinsics": intrinsics.shape[-3], "distortion": distortion.shape[-2]}
    require_same_size("views", **views, pixels=pixels.shape[-3])


def require_coefficients(distortion: Float[Tensor, "*batch views coefficients"]) -> None:
    """Refuse a number of coefficients that OpenCV's lens does not have."""
    require_trailing_shape("distortion", distortion, "views", "coefficients")
    count = distortion.shape[-1]
    if count not in COEFFICIENT_COUNTS:
        raise ValueError(f"`distortion` must have 4, 5, 8, 12 or 14 coefficients, got {count}")
