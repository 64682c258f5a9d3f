"""Where OpenCV's polynomial lens ends: its radial profile, folds and poles."""

import torch
from torch import Tensor

from multiview_geom._kernels.lens.algebra import (
    MAX_SLOPE,
    Cubic,
    Lens,
    cubic,
    radial_factor,
    slope,
)
from multiview_geom._kernels.lens.reference import with_slope
from multiview_geom.lenses._fold import Profile

CANCELLED = 1e-5
"""Distance of a root from a pole [focal lengths] below which they cancel: 0.01 px, say."""
POLE_SAMPLES = 512
ROOT_STEPS = 6
"""Newton steps from the middle of two samples to a root between them."""


def radial_profile(lens: Lens, angles: Tensor) -> Profile:
    """Return the distorted radius of each angle [rad], by the radial terms alone."""
    radial, denominator, *_ = lens
    ideal = angles.tan()
    squared = ideal.square()
    factor, change = radial_factor(radial, denominator, squared, 1)
    growth = factor + squared * change
    increasing = (factor > 0) & (growth > 0)
    if denominator is not None:
        increasing = increasing & (cubic(denominator, squared, 1) > 0) & (growth < MAX_SLOPE)
    return Profile(ideal.expand(factor.shape), ideal * factor, increasing)


def without_cancelled_pole(lens: Lens, widest: Tensor) -> Lens:
    """Remove from a rational lens a pole that a root of the numerator cancels, and that root.

    Calibrations of real lenses may have such a pole inside the image. The profile goes on smoothly
    behind it, and is disturbed only within a pixel of it.

    Args:
        lens: The lens.
        widest: The largest angle at which poles are searched [rad].
    """
    radial, denominator, *rest = lens
    if denominator is None:
        return lens
    radius = first_pole(lens, widest)
    pole = torch.where(radius.isfinite(), radius, 1.0).square()
    zero = _polished(radial, pole)
    cancelled = radius.isfinite() & ((zero - pole).abs() < 2 * CANCELLED * pole.sqrt())
    return (
        _divided(radial, zero, cancelled),
        _divided(denominator, pole, cancelled),
        *rest,
    )  # type: ignore[return-value]


def first_pole(lens: Lens, widest: Tensor) -> Tensor:
    """Return the radius of the first pole [focal lengths]; infinity for a lens without.

    Args:
        lens: The lens.
        widest: The largest angle at which poles are searched [rad].
    """
    radial, denominator, *_ = lens
    if denominator is None:
        return torch.full_like(radial[0], torch.inf)
    steps = torch.linspace(0.0, 1.0, POLE_SAMPLES, dtype=widest.dtype, device=widest.device)
    squared = (widest * steps).tan().square()
    positive = cubic(denominator, squared, 1) > 0
    before = positive.int().cumprod(dim=-1).sum(dim=-1, keepdim=True) - 1
    middle = (squared[before] + squared[(before + 1).clamp(max=POLE_SAMPLES - 1)]) / 2
    pole = _polished(denominator, middle)
    return torch.where(positive.all(dim=-1, keepdim=True), torch.inf, pole.clamp(min=0).sqrt())


def _polished(coefficients: Cubic, root: Tensor) -> Tensor:
    """Take Newton steps to a root of a cubic nearby."""
    for _ in range(ROOT_STEPS):
        root = root - 2 * cubic(coefficients, root, 1) / slope(coefficients, root)
    return root


def _divided(coefficients: Cubic, root: Tensor, wanted: Tensor) -> Cubic:
    """Divide a cubic with constant term one by 1 - s / root where wanted."""
    a, b, c, *_ = coefficients
    inverse = 1 / torch.where(wanted, root, 1.0)
    linear = a + inverse
    quadratic = b + linear * inverse
    return with_slope(
        torch.where(wanted, linear, a),
        torch.where(wanted, quadratic, b),
        torch.where(wanted, 0.0, c),
    )
