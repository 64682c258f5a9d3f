"""Undistortion in tensor operations: what every engine is held to, and the derivatives.

Newton's method finds the ideal points, and passes no gradient. Two of its steps from there follow:
they do not move the points, and each makes the derivatives of one more order right.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.differentiable import Inputs
from multiview_geom._kernels.lens.algebra import (
    MAX_RADIUS,
    MAX_SLOPE,
    MAX_STEP,
    MIN_DERIVATIVE,
    Camera,
    Cubic,
    Homography,
    Lens,
    Limits,
    factor_inside,
    image_point,
    is_inverse,
    linearized,
    moved,
    newton_step,
    pixel_of,
    squared_distance_to_fold,
    transfer,
)
from multiview_geom._kernels.lens.table import (
    BEYOND,
    FOLD,
    IDEAL_FOLD,
    NEWTON_STEPS,
    RADIAL,
    RATIOS,
    SAMPLES,
    SMOOTH,
    camera_at,
    lens_at,
    untilt_at,
)

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-11}
"""Largest residual of a valid inverse, distorted again [focal lengths]."""
MIN_DISTANCE_TO_FOLD = 1 / 64
"""Guesses stay this far from the fold, where Newton's method needs a derivative above zero."""
STEPS_NEAR_POLES = 12
"""Further Newton steps, which see poles that are nearly cancelled."""
FIRST_OF_DENOMINATOR = 5
"""How many coefficients a lens has before those of the denominator."""

STEPS = 2

Pixels = Float[Tensor, "frames views points 2"]
Intrinsics = Float[Tensor, "r views 3 3"]
Distortion = Float[Tensor, "q views coefficients"]
Table = Float[Tensor, "s views numbers"]


def group_coefficients(distortion: Float[Tensor, "*batch coefficients"]) -> Lens:
    """Group 4, 5, 8, 12 or 14 coefficients by their term, each broadcasting over points."""
    k1, k2, p1, p2, *more = distortion[..., None].unbind(dim=-2)
    k3 = more[0] if more else torch.zeros_like(k1)
    denominator, prism = None, None
    if len(more) > 1:
        denominator = with_slope(*more[1:4])
    if len(more) > 4:  # noqa: PLR2004 - k3 to k6
        s1, s2, s3, s4 = more[4:8]
        prism = (s1, s2, s3, s4, 2 * s1, 4 * s2, 2 * s3, 4 * s4)
    return with_slope(k1, k2, k3), denominator, (p1, p2, 2 * p1, 2 * p2), prism


def with_slope(a: Tensor, b: Tensor, c: Tensor) -> Cubic:
    """Return the coefficients of a cubic and of twice its derivative."""
    return a, b, c, 2 * a, 4 * b, 6 * c


def tilt_homography(
    distortion: Float[Tensor, "*batch coefficients"],
) -> Float[Tensor, "*batch 3 3"] | None:
    """Return the homography of a sensor tilted about x, then y; None without such coefficients.

    Reference:
        Louhichi et al., A mathematical model for Scheimpflug imaging, MST 2007; OpenCV's
        documentation of its calibration module gives the same product.
    """
    tilt = distortion[..., 12:].unbind(dim=-1)
    if not tilt:
        return None
    tau_x, tau_y = tilt
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
    rows = [torch.stack(row, dim=-1) for row in (first, second, rotation[2])]
    return torch.stack(rows, dim=-2)


def untilt_homography(
    distortion: Float[Tensor, "*batch coefficients"],
) -> Float[Tensor, "*batch 3 3"] | None:
    """Return the homography from the tilted sensor to an untilted one; None without tilt."""
    tilt = tilt_homography(distortion)
    if tilt is None:
        return None
    rows = tilt.unbind(dim=-2)
    columns = [torch.linalg.cross(rows[i], rows[i - 2], dim=-1) for i in (1, 2, 0)]
    return torch.stack(columns, dim=-1)


def entries_of(intrinsics: Float[Tensor, "*batch 3 3"]) -> Camera:
    """Return the entries of K, each broadcasting over points."""
    K = intrinsics[..., None, :, :]
    return K[..., 0, 0], K[..., 0, 1], K[..., 0, 2], K[..., 1, 1], K[..., 1, 2]


def rows_of(homography: Float[Tensor, "*batch 3 3"]) -> Homography:
    """Return the entries of a homography, each broadcasting over points."""
    return tuple(row[..., None].unbind(dim=-2) for row in homography.unbind(dim=-2))  # type: ignore[return-value]


def limits_of(dtype: torch.dtype, *, rational: bool) -> Limits:
    """Return the limits of Newton's steps."""
    return MIN_DERIVATIVE, MAX_STEP, MAX_SLOPE if rational else torch.inf, TOLERANCE[dtype]


def is_rational(distortion: Float[Tensor, "*batch coefficients"]) -> bool:
    """Tell whether a lens has a denominator."""
    return distortion.shape[-1] > FIRST_OF_DENOMINATOR


def initial_ratio(
    ratios: Float[Tensor, "*#batch samples"],
    fold_radius: Float[Tensor, "*#batch 1"],
    squared: Float[Tensor, "*#batch points"],
) -> Float[Tensor, "*#batch points"]:
    """Guess the quotient ideal / distorted at squared distorted radii."""
    distance = squared_distance_to_fold(squared, fold_radius, 1).clamp(min=0).sqrt()
    position = distance.clamp(min=MIN_DISTANCE_TO_FOLD).nan_to_num() * (SAMPLES - 1)
    left = position.long().clamp(max=SAMPLES - 2)
    spread = ratios.expand(*left.shape[:-1], SAMPLES)
    lower, upper = spread.gather(-1, left), spread.gather(-1, left + 1)
    ratio: Tensor = lower + (position - left) * (upper - lower)
    return ratio


def undistort(
    pixels: Pixels, intrinsics: Intrinsics, distortion: Distortion, table: Table
) -> Pixels:
    """Find the ideal pixels, NaN where not valid."""
    row = table.detach()[..., None].unbind(dim=-2)
    rational = is_rational(distortion)
    limits = limits_of(pixels.dtype, rational=rational)
    u, v = transfer(untilt_at(row), *image_point(camera_at(row), *pixels.detach().unbind(dim=-1)))
    near = (u.abs() <= MAX_RADIUS) & (v.abs() <= MAX_RADIUS)
    u, v = torch.where(near, u, 0.0), torch.where(near, v, 0.0)
    ratio = initial_ratio(table.detach()[..., RATIOS:], row[FOLD], u * u + v * v)
    x, y = u * ratio, v * ratio
    for _ in range(NEWTON_STEPS):
        x, y = newton_step(lens_at(row, SMOOTH), x, y, (u, v), limits, 1)
        if rational:
            factor = factor_inside(x, y, row[IDEAL_FOLD], 1)
            x, y = x * factor, y * factor
    for _ in range((STEPS_NEAR_POLES if rational else 0) + 1):
        x, y = newton_step(lens_at(row, RADIAL), x, y, (u, v), limits, 1)
    linear = linearized(lens_at(row, RADIAL), x, y, (u, v), 1)
    x, y = moved(x, y, linear, limits, 1)
    sure = near & is_inverse(linear, (u, v), limits, 1)
    valid = sure & (x * x + y * y < row[BEYOND] * row[BEYOND])
    ideal = torch.stack(pixel_of(camera_at(row), x, y), dim=-1)
    return restart(
        (pixels, intrinsics, distortion, table), torch.where(valid[..., None], ideal, torch.nan)
    )


def restart(inputs: Inputs, ideal: Pixels) -> Pixels:
    """Return ideal pixels with the derivatives in pixels, intrinsics and coefficients."""
    pixels, intrinsics, distortion, _ = inputs
    valid = ~ideal.detach().isnan().any(dim=-1)
    camera, lens = entries_of(intrinsics), group_coefficients(distortion)
    # Double `where`: NaN in the branch not taken would turn its gradient into NaN.
    seen = torch.where(valid[..., None], pixels, 0.0)
    u, v = image_point(camera, *seen.unbind(dim=-1))
    untilt = untilt_homography(distortion)
    if untilt is not None:
        u, v = transfer(rows_of(untilt), u, v)
    u, v = torch.where(valid, u, 0.0), torch.where(valid, v, 0.0)
    still = entries_of(intrinsics.detach())
    x, y = image_point(still, *torch.where(valid[..., None], ideal.detach(), 0.0).unbind(dim=-1))
    x, y = torch.where(valid, x, 0.0), torch.where(valid, y, 0.0)
    limits = limits_of(pixels.dtype, rational=is_rational(distortion))
    for _ in range(STEPS):
        x, y = newton_step(lens, x, y, (u, v), limits, 1)
    moved_pixels = torch.stack(pixel_of(camera, x, y), dim=-1)
    return torch.where(valid[..., None], moved_pixels, torch.nan)
