"""Where a lens shows wider angles farther out, and a first guess of its inverse there."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SAMPLES = 512
"""Samples of a profile and of its inverse: the guess is right to about their square."""
NEAREST_TO_FOLD = 1 / 64
"""Guesses stay this far inside the fold, where Newton's method still has a slope to follow."""


class Profile(NamedTuple):
    """How far from the centre a lens shows directions of growing angle, asymmetries left out."""

    ideal: Float[Tensor, "*batch views samples"]
    """What an inverse looks for: the tangent of the angle, or the angle itself."""
    seen: Float[Tensor, "*batch views samples"]
    """How far from the centre the lens shows it."""
    growing: Bool[Tensor, "*batch views samples"]
    """Whether a slightly wider angle is seen farther out."""


class RadialInverse(NamedTuple):
    """The inverse of a profile up to its first fold."""

    ratios: Float[Tensor, "*batch views samples"]
    """Ideal over seen, at equal steps of `_distance_to_fold`."""
    folds_at: Float[Tensor, "*batch views 1"]
    """The farthest from the centre that anything before the fold is seen."""
    beyond_fold: Float[Tensor, "*batch views 1"]
    """An ideal value inside the fold: whatever is larger belongs to a later stretch."""


def radial_inverse(
    profile: Callable[[Float[Tensor, "*any samples"]], Profile],
    widest: Float[Tensor, ""],
) -> RadialInverse:
    """Sample the inverse of a profile from the centre to its first fold.

    Args:
        profile: The lens, of angles from its axis [rad].
        widest: The widest angle to look at [rad].

    Returns:
        The sampled inverse; NaN where the profile is.
    """
    steps = _steps(widest)
    fold, beyond = first_fold(profile, widest)
    ideal, seen, _ = profile(fold * steps)
    folds_at = seen[..., -1:]
    ratio = torch.where(steps > 0, ideal / torch.where(steps > 0, seen, 1.0), 1.0)
    distance = _distance_to_fold(seen.square(), folds_at)
    ratios = _interpolated(steps, distance.flip(-1), ratio.flip(-1))
    return RadialInverse(ratios, folds_at, beyond)


def first_fold(
    profile: Callable[[Float[Tensor, "*any samples"]], Profile],
    widest: Float[Tensor, ""],
) -> tuple[Float[Tensor, "*batch views 1"], Float[Tensor, "*batch views 1"]]:
    """Find the angle at which a profile stops growing, and an ideal value inside the fold.

    Args:
        profile: The lens, of angles from its axis [rad].
        widest: The widest angle to look at [rad].

    Returns:
        The last angle of the first stretch, and a value between it and the next stretch,
        infinite where the profile never grows again.
    """
    steps = _steps(widest)
    angles = widest * steps
    growing = profile(angles).growing
    before = growing.int().cumprod(dim=-1)
    last = (before.sum(dim=-1, keepdim=True) - 1).clamp(min=0)
    low, high = angles[last], angles[(last + 1).clamp(max=SAMPLES - 1)]
    finer = low + (high - low) * steps
    finer_last = profile(finer).growing.int().cumprod(dim=-1).sum(dim=-1, keepdim=True) - 1
    fold = finer.gather(-1, finer_last.clamp(min=0))
    again = growing.int() - before
    middle = (fold + angles[again.argmax(dim=-1, keepdim=True)]) / 2
    grows_again = again.any(dim=-1, keepdim=True)
    return fold, torch.where(grows_again, profile(middle).ideal, torch.inf)


def guessed_ratio(
    inverse: RadialInverse, squared: Float[Tensor, "*batch views points"]
) -> Float[Tensor, "*batch views points"]:
    """Guess ideal over seen for points at the given squared distance from the centre."""
    distance = _distance_to_fold(squared, inverse.folds_at).clamp(min=NEAREST_TO_FOLD)
    place = distance.nan_to_num() * (SAMPLES - 1)
    left = place.long().clamp(max=SAMPLES - 2)
    ratios = inverse.ratios.expand(*left.shape[:-1], SAMPLES)
    lower, upper = ratios.gather(-1, left), ratios.gather(-1, left + 1)
    return lower + (place - left) * (upper - lower)


def _distance_to_fold(squared: Tensor, folds_at: Tensor) -> Tensor:
    """Map distances from the centre to 1 (centre) ... 0 (fold).

    Of this measure the inverse is smooth, at the centre and at the fold, where it grows as a
    square root; and any reach, even an infinite one, keeps most steps for the image.
    """
    reach = 1 - 1 / (1 + folds_at.square())
    return (1 - (1 - 1 / (1 + squared)) / reach).clamp(min=0).sqrt()


def _steps(like: Tensor) -> Tensor:
    return torch.linspace(0.0, 1.0, SAMPLES, dtype=like.dtype, device=like.device)


def _interpolated(wanted: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """Interpolate values at growing places linearly."""
    wanted = wanted + torch.zeros_like(places)
    right = torch.searchsorted(places.contiguous(), wanted).clamp(1, SAMPLES - 1)
    low, high = places.gather(-1, right - 1), places.gather(-1, right)
    lower, upper = values.gather(-1, right - 1), values.gather(-1, right)
    share = ((wanted - low) / torch.where(high > low, high - low, 1.0)).clamp(0, 1)
    return lower + share * (upper - lower)
