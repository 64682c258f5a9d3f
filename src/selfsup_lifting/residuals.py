"""Summaries of reprojection errors, and the noise of the detections."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import log, nan, sqrt

import torch
from jaxtyping import Float, Int
from torch import Tensor

from selfsup_lifting.mapped import release_pages
from selfsup_lifting.quantiles import Part, group_sizes, grouped_quantiles

# The median of Rayleigh-distributed distances, per standard deviation along an axis.
RAYLEIGH_MEDIAN = sqrt(2 * log(2))
# Numbers that are sorted into groups at once.
AT_ONCE = 2**18


@dataclass(frozen=True)
class Residuals:
    """Reprojection errors: distances between detections and projected points [px].

    Attributes:
        median_px: Median distance.
        p90_px: 90th percentile.
        sightings: Number of detections used for the points.
        seen_share: Share of the possible detections that were made.
        kept_share: Share of the detections that were used for the points.
    """

    median_px: float
    p90_px: float
    sightings: int
    seen_share: float
    kept_share: float


def summarize_residuals(
    residuals: Float[Tensor, "frames views joints"], detected: Int[Tensor, "views joints"]
) -> tuple[Residuals, list[Residuals], list[Residuals]]:
    """Summarize the residuals of all detections, of each view and of each joint.

    Args:
        residuals: The distance of each detection [px]; NaN where it was not used.
        detected: How many detections each view made of each joint.

    Returns:
        The three summaries.
    """
    frames, views, joints = residuals.shape
    ends = [*accumulate([1, views, joints])]
    used = group_sizes(_by_groups(residuals), ends[-1])
    quantiles = grouped_quantiles(lambda: _by_groups(residuals), used, (0.5, 0.9))
    made = torch.cat([detected.sum()[None], detected.sum(dim=1), detected.sum(dim=0)])
    possible = frames * torch.tensor([views * joints] + views * [joints] + joints * [views])
    rows = zip(*(one.tolist() for one in (quantiles, used, made, possible)), strict=True)
    summaries = [
        Residuals(median, p90, kept, seen / max(1, most), kept / max(1, seen))
        for (median, p90), kept, seen, most in rows
    ]
    return summaries[0], summaries[1 : ends[1]], summaries[ends[1] :]


def median(numbers: Float[Tensor, "frames joints"]) -> float:
    """Return the median of the finite numbers, which are not negative, in single precision."""

    def read() -> Iterator[Part]:
        for part in numbers.split(AT_ONCE):
            flat = part.float().flatten()
            yield flat, torch.zeros(len(flat), dtype=torch.long)
            release_pages()

    return float(grouped_quantiles(read, group_sizes(read(), 1), (0.5,)))


def noise(median_px: float, detections: int, points: int) -> float:
    """Estimate the noise along an image axis, by the median, which is robust to outliers.

    Detections give two measurements, points have three unknowns. The distances are
    Rayleigh-distributed: their median is sigma sqrt(2 ln 2).

    Args:
        median_px: The median residual [px].
        detections: The number of detections used.
        points: The number of points computed from them.

    Returns:
        The noise [px]; NaN if there are no more measurements than unknowns.
    """
    measurements, unknowns = 2 * detections, 3 * points
    if measurements <= unknowns:
        return nan
    return median_px / RAYLEIGH_MEDIAN * sqrt(measurements / (measurements - unknowns))


def _by_groups(residuals: Float[Tensor, "frames views joints"]) -> Iterator[Part]:
    """Yield each number three times: for all together, for its view and for its joint."""
    _, views, joints = residuals.shape
    of_view = (1 + torch.arange(views))[:, None].expand(views, joints)
    of_joint = (1 + views + torch.arange(joints)).expand(views, joints)
    groups = torch.stack([torch.zeros_like(of_view), of_view, of_joint])
    for part in residuals.split(max(1, AT_ONCE // max(1, views * joints))):
        shape = (len(groups), *part.shape)
        yield part.expand(shape).flatten(), groups[:, None].expand(shape).flatten()
        release_pages()
