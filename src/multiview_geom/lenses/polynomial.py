"""OpenCV's polynomial lens with 4 to 14 coefficients: distort, undistort, project, unproject."""

from functools import partial
from math import prod, radians

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels.lens.algebra import (
    MAX_RADIUS,
    distorted,
    jacobian,
    keeps_orientation,
    radial_terms,
    transfer,
)
from multiview_geom._kernels.lens.autograd import undistort
from multiview_geom._kernels.lens.reference import (
    entries_of,
    group_coefficients,
    is_rational,
    limits_of,
    rows_of,
    tilt_homography,
    untilt_homography,
)
from multiview_geom._validation import for_computation, require_trailing_shape
from multiview_geom.homogeneous import from_homogeneous, to_homogeneous
from multiview_geom.lenses._fold import find_first_fold, invert_radial_profile
from multiview_geom.lenses._image_plane import (
    MaskedPoints,
    UsableLens,
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
    first_pole,
    radial_profile,
    without_cancelled_pole,
)
from multiview_geom.validity import ValidDirections, ValidPixels

COEFFICIENT_COUNTS = (4, 5, 8, 12, 14)
MAX_ANGLE = radians(89.9)
"""Largest angle from the axis at which folds are searched."""


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
    ideal = for_computation(pixels)

    def distort_block(block: Tensor) -> tuple[Tensor]:
        finite, u, v = split_coordinates(block)
        near, x, y = _distort(k, *apply_inverse_intrinsics(K, u, v))
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
    lenses = usable_lens(intrinsics, distortion)
    return _undistorted(lenses, for_computation(pixels), pixels.dtype)


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
    near, x, y = _distort(k, x, y)
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
        identity = UsableLens(
            torch.eye(3, dtype=k.dtype, device=k.device).expand(*k.shape[:-1], 3, 3), k, known
        )
        points, valid = _undistorted(identity, points, points.dtype)
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
    terms = radial_terms(lens, x, y, 1)
    limits = limits_of(points.dtype, rational=is_rational(distortion))
    clear: Tensor = keeps_orientation(jacobian(lens, x, y, terms), terms, limits)
    return clear & (x.square() + y.square() < beyond.square())


def _undistorted(
    lenses: UsableLens, pixels: Float[Tensor, "*#batch views points 2"], dtype: torch.dtype
) -> ValidPixels:
    """Undistort by the kernel, which takes all axes before those of views and points as one."""
    K, k, known = lenses
    table = _table(K.detach(), k.detach(), known)
    batch = torch.broadcast_shapes(pixels.shape[:-3], table.shape[:-2])
    inputs = (_per_frame(each, batch, axes) for each, axes in ((K, 3), (k, 2), (table, 2)))
    every = pixels.expand(*batch, *pixels.shape[-3:])
    ideal = undistort(every.reshape(prod(batch), *pixels.shape[-3:]), *inputs).view(every.shape)
    return ValidPixels(ideal.to(dtype), ~ideal[..., 0].isnan())


def _per_frame(tensor: Tensor, batch: torch.Size, axes: int) -> Tensor:
    """Give a tensor one axis of frames: of size one for what all frames share."""
    own = tensor.shape[-axes:]
    if tensor.ndim == axes:
        return tensor[None]
    return tensor.expand(*batch, *own).reshape(prod(batch), *own)


def _table(
    K: Float[Tensor, "*#batch views 3 3"],
    k: Float[Tensor, "*#batch views coefficients"],
    known: Bool[Tensor, "*#batch views 1"],
) -> Float[Tensor, "*batch views numbers"]:
    """Return all numbers of each lens in a row, as `_kernels.lens.table` describes it."""
    lens, widest = group_coefficients(k), k.new_tensor(MAX_ANGLE)
    smooth = without_cancelled_pole(lens, widest)
    inverse = invert_radial_profile(partial(radial_profile, smooth), widest)
    beyond = torch.minimum(inverse.beyond_fold, first_pole(smooth, widest))
    untilt = untilt_homography(k)
    if untilt is None:
        untilt = torch.eye(3, dtype=k.dtype, device=k.device)
    zeros = (torch.zeros_like(lens[0][0]),) * 8
    camera = (torch.where(known, entry, torch.nan) for entry in entries_of(K))
    parts = [
        *camera,
        *untilt.flatten(-2).split(1, dim=-1),
        *(*lens[0], *(lens[1] or zeros[:6])),
        *(*smooth[0], *(smooth[1] or zeros[:6])),
        *lens[2],
        *(lens[3] or zeros),
        *(inverse.fold_radius, inverse.ideal_fold, beyond, inverse.ratios),
    ]
    batch = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*batch, part.shape[-1]) for part in parts], dim=-1)


def _is_shared(*matrices: Float[Tensor, "*_ _ _ _"]) -> bool:
    """Test whether all frames have the same lenses."""
    return all(matrix.ndim == 3 for matrix in matrices)  # noqa: PLR2004 - views, rows, columns


def _distort(k: Float[Tensor, "*#batch views coefficients"], x: Tensor, y: Tensor) -> MaskedPoints:
    """Distort points that are not numerically at 90 degrees."""
    near, x, y = _keep_near(x, y)
    lens, tilt = group_coefficients(k), tilt_homography(k)
    x, y = distorted(lens, x, y, radial_terms(lens, x, y, 1))
    return MaskedPoints(near, *((x, y) if tilt is None else transfer(rows_of(tilt), x, y)))


def _keep_near(x: Tensor, y: Tensor) -> MaskedPoints:
    near = (x.abs() <= MAX_RADIUS) & (y.abs() <= MAX_RADIUS)
    # Double `where`, with `join_coordinates`.
    return MaskedPoints(near, torch.where(near, x, 0.0), torch.where(near, y, 0.0))
