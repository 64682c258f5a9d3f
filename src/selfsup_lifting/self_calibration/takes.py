"""Whether all recordings fit the same cameras, or a camera was moved between two of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from multiview_geom import Cameras, HuberLoss, bundle_adjust, triangulate_dlt
from selfsup_lifting.disagreement import ROUND_OFF_PX
from selfsup_lifting.moved_camera import moved_camera
from selfsup_lifting.recording import Recording
from selfsup_lifting.sampled_errors import ideal_pixels, median_error, sampled

# The error of a recording with common cameras, relative to that with cameras of its own; takes of
# one rig stay below 1.1.
MISFIT = 1.5
# Residual at which the loss becomes linear, in standard deviations of the noise; the least [px].
HUBER, LEAST_HUBER_PX = 1.5, 0.01
# Steps from the common cameras: a camera that was moved by half a meter needs five.
STEPS = 5
# A recording in which a camera shares fewer points with others does not determine its pose.
FEWEST_SHARED = 100


class _Take(NamedTuple):
    """Some frames of a recording, with the common cameras and with cameras of its own."""

    sample: Recording
    own: Cameras
    common_px: float
    own_px: float

    @property
    def misfit(self) -> float:
        return self.common_px / max(self.own_px, torch.finfo(torch.float32).tiny)


def notes_on_takes(
    recordings: Sequence[Recording], cameras: Cameras, noise_px: float, *, is_metric: bool
) -> list[str]:
    """Name the recordings that the common cameras do not fit, though other cameras would.

    The recording that they fit best is what the others are compared with.

    Args:
        recordings: What the cameras were calibrated from.
        cameras: The calibrated cameras.
        noise_px: The noise of a detection [px].
        is_metric: Whether the cameras are in meters.
    """
    if len(recordings) < 2:  # noqa: PLR2004 - one recording fits itself
        return []
    samples = [sampled(replace(one, cameras=cameras, truth=None)) for one in recordings]
    takes = [take for sample in samples if (take := _take(sample, noise_px)) is not None]
    if not takes:
        return []
    best = min(takes, key=lambda take: take.misfit)
    odd = [take for take in takes if take is not best and take.misfit > MISFIT]
    return [note for take in odd for note in _note(take, best, is_metric=is_metric)]


def _take(sample: Recording, noise_px: float) -> _Take | None:
    """Fit cameras to a recording alone; None if it does not determine them."""
    points = triangulate_dlt(sample.cameras.projections, ideal_pixels(sample))
    visible = sample.cameras.project(points.flatten(0, 1)).valid.unflatten(1, points.shape[:2])
    seen = (sample.confidence > 0) & visible.transpose(0, 1)
    shared = seen & (seen.sum(dim=1, keepdim=True) > 1)
    if not bool((shared.sum(dim=(0, 2)) >= FEWEST_SHARED).all()):
        return None
    found = bundle_adjust(
        sample.cameras,
        sample.keypoints.double(),
        points=points.double(),
        weights=torch.where(shared, sample.confidence, 0.0).double(),
        loss=HuberLoss(max(HUBER * noise_px, LEAST_HUBER_PX)),
        steps=STEPS,
    )
    own = median_error(replace(sample, cameras=found.cameras))
    return _Take(sample, found.cameras, median_error(sample), own)


def _note(take: _Take, best: _Take, *, is_metric: bool) -> list[str]:
    sample = replace(take.sample, cameras=best.own)
    error = median_error(sample)
    if not error > max(MISFIT * take.own_px, ROUND_OFF_PX):
        return []
    move = moved_camera(best.own, ideal_pixels(sample).transpose(0, 1).flatten(1, 2))
    cause = "cameras were moved between them, or are not in step in one of them"
    if move is not None:
        how = f"moved by {100 * move.meters:.0f} cm" if is_metric else "moved"
        name = sample.cameras.names[move.view]
        cause = f"camera {name} was {how} and turned by {move.degrees:.1f} degrees between them"
    return [
        f"{sample.name} does not fit the cameras of {best.sample.name}: its median reprojection "
        f"error is {error:.1f} px with them, {take.own_px:.1f} px with cameras of its own; most "
        f"likely {cause}: calibrate the recordings one by one (--take)"
    ]
