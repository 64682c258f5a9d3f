"""Lens distortion, applied and removed."""

from functools import partial
from math import radians
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._point_blocks import solve_points
from multiview_geom._polynomial_lens import (
    Coefficients,
    bend,
    keeps_orientation,
    newton_step,
    radial_profile,
    tilt,
    untilt,
)
from multiview_geom._radial_inverse import (
    RadialInverse,
    first_fold,
    guessed_ratio,
    radial_inverse,
)
from multiview_geom._validation import (
    for_computation,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom.homogeneous import from_homogeneous, to_homogeneous

COEFFICIENT_COUNTS = (4, 5, 8, 12, 14)
WIDEST = radians(89.9)
"""Angle from the axis up to which folds are looked for."""
FARTHEST = 1e4
"""Points farther from the axis, in units of the focal length, count as at infinity."""
STEPS = 6
"""Newton steps from the first guess; the two recorded ones come on top."""
CLOSE = {torch.float32: 1e-6, torch.float64: 1e-11}
"""By how much the answer, distorted again, may miss the seen point, in focal lengths."""


class Undistorted(NamedTuple):
    """Ideal pixels, and which of them the lens can have produced."""

    pixels: Float[Tensor, "*batch views points 2"]
    valid: Bool[Tensor, "*batch views points"]


class Seen(NamedTuple):
    """Where a lens shows points, and which of them it can see."""

    pixels: Float[Tensor, "*batch views points 2"]
    valid: Bool[Tensor, "*batch views points"]


class Directions(NamedTuple):
    """Unit vectors in each camera's frame, and which of them the lens can have seen."""

    directions: Float[Tensor, "*batch views points 3"]
    valid: Bool[Tensor, "*batch views points"]


def distort_points(
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
        lens would: `Cameras.project` and `undistort_points` tell which ones.

    Reference:
        Brown, Decentering distortion of lenses, 1966; OpenCV, module calib, `projectPoints`.

    Example:
        >>> K = torch.tensor([[[100.0, 0.0, 50.0], [0.0, 100.0, 50.0], [0.0, 0.0, 1.0]]])
        >>> barrel = torch.tensor([[-0.2, 0.0, 0.0, 0.0]])
        >>> distort_points(K, barrel, torch.tensor([[[50.0, 50.0], [100.0, 50.0]]]))
        tensor([[[50.0000, 50.0000],
                 [97.5000, 50.0000]]])
    """
    _require_lens(intrinsics, distortion, pixels)
    K, k, ideal = (for_computation(tensor) for tensor in (intrinsics, distortion, pixels))
    return to_pixels(K, distort_normalized(k, from_pixels(K, ideal))).to(pixels.dtype)


def undistort_points(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Undistorted:
    """Move seen pixels to where a pinhole with the same intrinsics would see them.

    Args:
        intrinsics: Each view's K, upper triangular with a last row 0, 0, 1.
        distortion: Each view's 4, 5, 8, 12 or 14 coefficients in OpenCV's order.
        pixels: Where the lens shows the points [px].

    Returns:
        The ideal pixels, and which are valid: those that `distort_points` takes back to the
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
        >>> undistort_points(K, barrel, seen)
        Undistorted(pixels=tensor([[[100.,  50.],
                 [ nan,  nan]]]), valid=tensor([[ True, False]]))
    """
    _require_lens(intrinsics, distortion, pixels)
    K, k, seen = (for_computation(tensor) for tensor in (intrinsics, distortion, pixels))
    ideal, valid = undistort_normalized(k, from_pixels(K, seen))
    return Undistorted(to_pixels(K, ideal).to(pixels.dtype), valid)


def project_distorted(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
    points: Float[Tensor, "*#batch views points 3"],
) -> Seen:
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
    return Seen(to_pixels(K, distort_normalized(k, ideal)).to(points.dtype), valid)


def unproject_distorted(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"] | None,
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Directions:
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
        points, valid = undistort_normalized(for_computation(distortion), points)
    # Doubled where: NaN in the branch not taken would turn its gradient into NaN.
    ahead = to_homogeneous(torch.where(valid[..., None], points, 0.0))
    unit = ahead / ahead.square().sum(dim=-1, keepdim=True).sqrt()
    return Directions(torch.where(valid[..., None], unit, torch.nan).to(pixels.dtype), valid)


def from_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"], pixels: Float[Tensor, "*#batch views points 2"]
) -> Float[Tensor, "*#batch views points 2"]:
    """Divide pixels by the focal length, after moving the principal point to the origin."""
    K = intrinsics[..., None, :, :]
    finite = pixels.isfinite().all(dim=-1, keepdim=True)
    # Doubled where: a pixel that is not a number would turn the intrinsics' gradient into NaN.
    u, v = torch.where(finite, pixels, 0.0).unbind(dim=-1)
    y = (v - K[..., 1, 2]) / K[..., 1, 1]
    x = (u - K[..., 0, 2] - K[..., 0, 1] * y) / K[..., 0, 0]
    return torch.where(finite, torch.stack([x, y], dim=-1), torch.nan)


def to_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"], points: Float[Tensor, "*#batch views points 2"]
) -> Float[Tensor, "*#batch views points 2"]:
    """Undo `from_pixels`."""
    K = intrinsics[..., None, :, :]
    finite = points.isfinite().all(dim=-1, keepdim=True)
    # Doubled where, as above.
    x, y = torch.where(finite, points, 0.0).unbind(dim=-1)
    u = K[..., 0, 0] * x + K[..., 0, 1] * y + K[..., 0, 2]
    v = K[..., 1, 1] * y + K[..., 1, 2]
    return torch.where(finite, torch.stack([u, v], dim=-1), torch.nan)


def distort_normalized(
    distortion: Float[Tensor, "*#batch views coefficients"],
    points: Float[Tensor, "*#batch views points 2"],
) -> Float[Tensor, "*#batch views points 2"]:
    """Distort points of the plane at depth one."""
    lens = _lens(distortion)
    sound = (points.abs() <= FARTHEST).all(dim=-1)
    # Doubled where: the powers of a point at infinity would turn its gradient into NaN.
    x, y = torch.where(sound[..., None], points, 0.0).unbind(dim=-1)
    seen = torch.stack(tilt(lens, *bend(lens, x, y)), dim=-1)
    return torch.where(sound[..., None], seen, torch.nan)


def before_fold(
    distortion: Float[Tensor, "*#batch views coefficients"],
    points: Float[Tensor, "*#batch views points 2"],
) -> Bool[Tensor, "*#batch views points"]:
    """Tell which points of the plane at depth one a real lens of this kind shows once."""
    lens = _lens(distortion)
    _, beyond = first_fold(partial(radial_profile, lens), distortion.new_tensor(WIDEST))
    x, y = points.unbind(dim=-1)
    return keeps_orientation(lens, x, y) & (x.square() + y.square() < beyond.square())


def undistort_normalized(
    distortion: Float[Tensor, "*#batch views coefficients"],
    points: Float[Tensor, "*#batch views points 2"],
) -> Undistorted:
    """Find the points of the plane at depth one that a lens shows at the given ones."""
    inverse = radial_inverse(
        partial(radial_profile, _lens(distortion.detach())), distortion.new_tensor(WIDEST)
    )
    solve = partial(_unbent, distortion, inverse)
    return Undistorted(*solve_points(solve, points, shared_lenses=distortion.ndim == 2))  # noqa: PLR2004


def _unbent(distortion: Tensor, inverse: RadialInverse, points: Tensor) -> Undistorted:
    lens = _lens(distortion)
    finite = points.isfinite().all(dim=-1)
    seen_x, seen_y = untilt(lens, *torch.where(finite[..., None], points, 0.0).unbind(dim=-1))
    with torch.no_grad():
        root = _root(_lens(distortion.detach()), inverse, seen_x.detach(), seen_y.detach())
    valid = finite & root.valid
    # Doubled where: a point that has no root takes part as the centre, which always has one.
    x, y, seen_x, seen_y = (
        torch.where(valid, coordinate, 0.0)
        for coordinate in (*root.pixels.unbind(dim=-1), seen_x, seen_y)
    )
    # From the root, two recorded steps have the first and second derivatives of the inverse.
    for _ in range(2):
        x, y = newton_step(lens, x, y, seen_x, seen_y)
    ideal = torch.stack([x, y], dim=-1)
    return Undistorted(torch.where(valid[..., None], ideal, torch.nan), valid)


def _root(
    lens: Coefficients, inverse: RadialInverse, seen_x: Tensor, seen_y: Tensor
) -> Undistorted:
    ratio = guessed_ratio(inverse, seen_x.square() + seen_y.square())
    x, y = seen_x * ratio, seen_y * ratio
    for _ in range(STEPS):
        x, y = newton_step(lens, x, y, seen_x, seen_y)
    again_x, again_y = bend(lens, x, y)
    miss = torch.maximum((again_x - seen_x).abs(), (again_y - seen_y).abs())
    hit = miss <= CLOSE[miss.dtype] * (1 + seen_x.abs() + seen_y.abs())
    valid = hit & keeps_orientation(lens, x, y)
    valid = valid & (x.square() + y.square() < inverse.beyond_fold.square())
    return Undistorted(torch.stack([x, y], dim=-1), valid)


def _lens(distortion: Float[Tensor, "*batch views coefficients"]) -> Coefficients:
    return distortion[..., None].unbind(dim=-2)


def _require_lens(intrinsics: Tensor, distortion: Tensor, pixels: Tensor) -> None:
    require_trailing_shape("intrinsics", intrinsics, "views", 3, 3)
    require_trailing_shape("distortion", distortion, "views", "coefficients")
    require_trailing_shape("pixels", pixels, "views", "points", 2)
    require_floating(intrinsics=intrinsics, distortion=distortion, pixels=pixels)
    views = {"intrinsics": intrinsics.shape[-3], "distortion": distortion.shape[-2]}
    require_same_size("views", **views, pixels=pixels.shape[-3])
    require_coefficients(distortion)


def require_coefficients(distortion: Float[Tensor, "*batch views coefficients"]) -> None:
    """Refuse a number of coefficients that OpenCV's lens does not have."""
    count = distortion.shape[-1]
    if count not in COEFFICIENT_COUNTS:
        raise ValueError(f"`distortion` must have 4, 5, 8, 12 or 14 coefficients, got {count}")
