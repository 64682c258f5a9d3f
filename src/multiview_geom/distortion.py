"""Lens distortion, applied and removed."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._validation import (
    for_computation,
    require_floating,
    require_same_size,
    require_trailing_shape,
)

COEFFICIENT_COUNTS = (4, 5)
NEWTON_STEPS = 12
LARGEST_STEP = 0.2
"""Longest Newton step, in units of the focal length."""
RESIDUAL = {torch.float32: 3e-7, torch.float64: 1e-12}
"""How near the distorted answer must lie to the seen point, in units of the focal length."""


class Undistorted(NamedTuple):
    """Ideal pixels, and which of them the lens can have produced."""

    pixels: Float[Tensor, "*batch views points 2"]
    valid: Bool[Tensor, "*batch views points"]


def distort_points(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Float[Tensor, "*#batch views points 2"]:
    """Move ideal pixels to where the lens shows them."""
    _require_lens(intrinsics, distortion, pixels)
    K, k, ideal = (for_computation(tensor) for tensor in (intrinsics, distortion, pixels))
    x, y = _normalized(K, ideal)
    return _pixels(K, *_distorted(k, x, y)).to(pixels.dtype)


def undistort_points(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Undistorted:
    """Move seen pixels to where a pinhole with the same intrinsics would see them."""
    _require_lens(intrinsics, distortion, pixels)
    K, k, seen = (for_computation(tensor) for tensor in (intrinsics, distortion, pixels))
    finite = seen.isfinite().all(dim=-1)
    # Doubled where: NaN in the branch not taken would turn its gradient into NaN.
    u, v = _normalized(K, torch.where(finite[..., None], seen, 0.0))
    with torch.no_grad():
        x, y = u.detach(), v.detach()
        for _ in range(NEWTON_STEPS):
            x, y, _ = _newton_step(k.detach(), x, y, u.detach(), v.detach())
    # Two recorded steps from the detached root: first and second derivatives of the inverse.
    x, y, _ = _newton_step(k, x, y, u, v)
    x, y, unfolded = _newton_step(k, x, y, u, v)
    again_x, again_y = _distorted(k, x, y)
    near = (again_x - u).abs() + (again_y - v).abs() <= RESIDUAL[u.dtype] * (1 + u.abs() + v.abs())
    valid = finite & unfolded & near
    ideal = torch.where(valid[..., None], _pixels(K, x, y), torch.nan)
    return Undistorted(ideal.to(pixels.dtype), valid)


def _require_lens(intrinsics: Tensor, distortion: Tensor, pixels: Tensor) -> None:
    require_trailing_shape("intrinsics", intrinsics, "views", 3, 3)
    require_trailing_shape("distortion", distortion, "views", "coefficients")
    require_trailing_shape("pixels", pixels, "views", "points", 2)
    require_floating(intrinsics=intrinsics, distortion=distortion, pixels=pixels)
    views = {"intrinsics": intrinsics.shape[-3], "distortion": distortion.shape[-2]}
    require_same_size("views", **views, pixels=pixels.shape[-3])
    if distortion.shape[-1] not in COEFFICIENT_COUNTS:
        counts = ", ".join(str(count) for count in COEFFICIENT_COUNTS)
        raise ValueError(
            f"`distortion` must have {counts} coefficients, got {distortion.shape[-1]}"
        )


def _normalized(K: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    y = (pixels[..., 1] - K[..., 1, 2, None]) / K[..., 1, 1, None]
    x = (pixels[..., 0] - K[..., 0, 2, None] - K[..., 0, 1, None] * y) / K[..., 0, 0, None]
    return x, y


def _pixels(K: Tensor, x: Tensor, y: Tensor) -> Tensor:
    u = K[..., 0, 0, None] * x + K[..., 0, 1, None] * y + K[..., 0, 2, None]
    v = K[..., 1, 1, None] * y + K[..., 1, 2, None]
    return torch.stack([u, v], dim=-1)


def _distorted(k: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    k1, k2, p1, p2, *rest = k[..., None].unbind(dim=-2)
    k3 = rest[0] if rest else 0.0
    squared = x * x + y * y
    radial = 1 + squared * (k1 + squared * (k2 + squared * k3))
    u = x * radial + 2 * p1 * x * y + p2 * (squared + 2 * x * x)
    v = y * radial + p1 * (squared + 2 * y * y) + 2 * p2 * x * y
    return u, v


def _newton_step(
    k: Tensor, x: Tensor, y: Tensor, u: Tensor, v: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    k1, k2, p1, p2, *rest = k[..., None].unbind(dim=-2)
    k3 = rest[0] if rest else 0.0
    squared = x * x + y * y
    radial = 1 + squared * (k1 + squared * (k2 + squared * k3))
    slope = 2 * (k1 + squared * (2 * k2 + squared * 3 * k3))
    to_x, to_y = _distorted(k, x, y)
    across = slope * x * y + 2 * (p1 * x + p2 * y)
    along_x = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
    along_y = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
    determinant = along_x * along_y - across * across
    unfolded = (determinant > 0) & (along_x + along_y > 0)
    # Doubled where: dividing by zero in the branch not taken would poison its gradient.
    safe = torch.where(unfolded, determinant, 1.0)
    off_x, off_y = u - to_x, v - to_y
    step_x = (along_y * off_x - across * off_y) / safe
    step_y = (along_x * off_y - across * off_x) / safe
    length = (step_x.detach().square() + step_y.detach().square()).sqrt()
    cap = (LARGEST_STEP / length).clamp(max=1.0)
    return x + cap * step_x, y + cap * step_y, unfolded
