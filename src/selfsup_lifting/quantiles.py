"""Exact quantiles of more numbers than fit in memory, by groups: a radix selection in passes."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

# The bits of a float32 that is not negative grow with it. Each pass finds some of them, from the
# highest: so many, and so many are then left.
PASSES = ((11, 20), (10, 10), (10, 0))

# Numbers, and the group of each; every part has its own length.
Part: TypeAlias = tuple[Float[Tensor, "_"], Int[Tensor, "_"]]


def group_sizes(parts: Iterable[Part], groups: int) -> Int[Tensor, "groups"]:
    """Count the finite numbers of each group."""
    sizes = torch.zeros(groups, dtype=torch.long)
    for numbers, group in parts:
        sizes += torch.bincount(group[numbers.isfinite()], minlength=groups)
    return sizes


def grouped_quantiles(
    read: Callable[[], Iterable[Part]], sizes: Int[Tensor, "groups"], shares: Sequence[float]
) -> Float[Tensor, "groups shares"]:
    """Compute quantiles of the finite numbers of each group, interpolated linearly as by NumPy.

    Args:
        read: Returns all numbers, in parts; called three times. They are >= 0 and float32.
        sizes: How many numbers each group has, by `group_sizes`.
        shares: The quantiles, from 0 to 1.

    Returns:
        The quantiles; NaN for a group without numbers.

    Example:
        >>> numbers, group = torch.tensor([3.0, 1.0, 2.0, 7.0]), torch.tensor([0, 0, 0, 1])
        >>> read = lambda: [(numbers, group)]
        >>> grouped_quantiles(read, group_sizes(read(), 2), [0.5, 0.75]).tolist()
        [[2.0, 2.5], [7.0, 7.0]]
    """
    wanted = torch.tensor(shares, dtype=torch.float64) * (sizes[:, None] - 1).clamp(min=0)
    ranks = torch.cat([wanted.floor(), wanted.ceil()], dim=1).long()
    low, high = _at_ranks(read, ranks).chunk(2, dim=1)
    found = torch.lerp(low, high, wanted - wanted.floor())
    return torch.where(sizes[:, None] > 0, found, torch.nan)


def _at_ranks(
    read: Callable[[], Iterable[Part]], ranks: Int[Tensor, "groups ranks"]
) -> Float[Tensor, "groups ranks"]:
    """Return the numbers at some places of each sorted group."""
    known = torch.zeros_like(ranks)
    for width, left in PASSES:
        counts = _histograms(read(), known, width, left).cumsum(dim=-1)
        place = (counts <= ranks[..., None]).sum(dim=-1, keepdim=True).clamp(max=2**width - 1)
        below = torch.where(place > 0, counts.gather(-1, (place - 1).clamp(min=0)), 0)
        ranks = ranks - below[..., 0]
        known = (known << width) + place[..., 0]
    return known.int().view(torch.float32).double()


def _histograms(
    parts: Iterable[Part], known: Int[Tensor, "groups ranks"], width: int, left: int
) -> Int[Tensor, "groups ranks bins"]:
    """Count the next bits of the numbers whose first bits are known; in the first pass, of all."""
    groups, bins = len(known), 2**width
    different = 1 if left == PASSES[0][1] else known.shape[1]
    counts = torch.zeros(groups, different, bins, dtype=torch.long)
    for numbers, group in parts:
        finite = numbers.isfinite()
        bits, own = numbers[finite].abs().view(torch.int32).long() >> left, group[finite]
        for rank in range(different):
            matching = (bits >> width) == known[own, rank]
            index = own[matching] * bins + (bits[matching] & (bins - 1))
            counts[:, rank] += torch.bincount(index, minlength=groups * bins).view(groups, bins)
    return counts.expand(-1, known.shape[1], -1)
