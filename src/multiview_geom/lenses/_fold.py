"""The radial profile of a lens up to its first fold, and a sampled inverse of it."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels.lens.algebra import squared_distance_to_fold
from multiview_geom._kernels.lens.table import SAMPLES


class Profile(NamedTuple):
    """The distorted radius as a function of the angle from the axis, without asymmetric terms."""

    ideal: Float[Tensor, "*batch views samples"]
    """The result of the inverse: the tangent of the angle, or the angle itself."""
    distorted: Float[Tensor, "*batch views samples"]
    """The distorted radius [focal lengths]."""
    increasing: Bool[Tensor, "*batch views samples"]
    """Whether the distorted radius increases with the angle."""


class RadialInverse(NamedTuple):
    """The inverse of a profile up to its first fold."""

    ratios: Float[Tensor, "*batch views samples"]
    """Quotients ideal / distorted, at equal steps of `_distance_to_fold`."""
    fold_radius: Float[Tensor, "*batch views 1"]
    """The distorted radius of the first fold."""
    ideal_fold: Float[Tensor, "*batch views 1"]
    """The ideal value of the first fold."""
    beyond_fold: Float[Tensor, "*batch views 1"]
    """A bound: ideal values above it are beyond the first fold."""


def invert_radial_profile(
    profile: Callable[[Float[Tensor, "*any samples"]], Profile],
    widest: Float[Tensor, ""],
) -> RadialInverse:
    """Sample the inverse of a profile from the center to its first fold.

    Args:
        profile: The lens, of angles from its axis [rad].
        widest: The largest angle at which folds are searched [rad].

    Returns:
        The sampled inverse; NaN where the profile is.
    """
    steps = _steps(widest)
    fold, beyond = find_first_fold(profile, widest)
    ideal, distorted, _ = profile(fold * steps)
    fold_radius = distorted[..., -1:]
    ratio = torch.where(steps > 0, ideal / torch.where(steps > 0, distorted, 1.0), 1.0)
    distance = _distance_to_fold(distorted.square(), fold_radius)
    ratios = _interpolate(steps, distance.flip(-1), ratio.flip(-1))
    return RadialInverse(ratios, fold_radius, ideal[..., -1:], beyond)


def find_first_fold(
    profile: Callable[[Float[Tensor, "*any samples"]], Profile],
    widest: Float[Tensor, ""],
) -> tuple[Float[Tensor, "*batch views 1"], Float[Tensor, "*batch views 1"]]:
    """Find the first fold of a profile: the angle at which it stops increasing.

    Args:
        profile: The lens, of angles from its axis [rad].
        widest: The largest angle at which folds are searched [rad].

    Returns:
        The angle of the fold, and a bound: ideal values above it are beyond the fold. The bound
        is infinite where the profile does not increase again.
    """
    steps = _steps(widest)
    angles = widest * steps
    increasing = profile(angles).increasing
    before = increasing.int().cumprod(dim=-1)
    last = (before.sum(dim=-1, keepdim=True) - 1).clamp(min=0)
    low, high = angles[last], angles[(last + 1).clamp(max=SAMPLES - 1)]
    finer = low + (high - low) * steps
    finer_last = profile(finer).increasing.int().cumprod(dim=-1).sum(dim=-1, keepdim=True) - 1
    fold = finer.gather(-1, finer_last.clamp(min=0))
    again = increasing.int() - before
    middle = (fold + angles[again.argmax(dim=-1, keepdim=True)]) / 2
    grows_again = again.any(dim=-1, keepdim=True)
    return fold, torch.where(grows_again, profile(middle).ideal, torch.inf)


def _distance_to_fold(squared: Tensor, fold_radius: Tensor) -> Tensor:
    distance: Tensor = squared_distance_to_fold(squared, fold_radius, 1)
    return distance.clamp(min=0).sqrt()


def _steps(like: Tensor) -> Tensor:
    return torch.linspace(0.0, 1.0, SAMPLES, dtype=like.dtype, device=like.device)


def _interpolate(wanted: Tensor, positions: Tensor, values: Tensor) -> Tensor:
    """Interpolate values at increasing positions linearly."""
    wanted = wanted + torch.zeros_like(positions)
    right = torch.searchsorted(positions.contiguous(), wanted).clamp(1, SAMPLES - 1)
    low, high = positions.gather(-1, right - 1), positions.gather(-1, right)
    lower, upper = values.gather(-1, right - 1), values.gather(-1, right)
    share = ((wanted - low) / torch.where(high > low, high - low, 1.0)).clamp(0, 1)
    return lower + share * (upper - lower)
