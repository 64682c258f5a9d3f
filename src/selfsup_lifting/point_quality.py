"""How well the detections support every point of a 3D track."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from selfsup_lifting.recording import Recording


@dataclass(frozen=True)
class PointQuality:
    """How well the detections support every point of a 3D track.

    Attributes:
        error_px: Mean distance of the projected point from the detections [px]; NaN where no
            detection was used.
        camera_count: Number of cameras whose detection was used.
        score: Mean confidence of these detections, from 0 to 1; NaN where there is none.
    """

    error_px: Float[Tensor, "frames joints"]
    camera_count: Int[Tensor, "frames joints"]
    score: Float[Tensor, "frames joints"]


def point_quality(
    recording: Recording, residuals: Float[Tensor, "frames views joints"]
) -> PointQuality:
    """Summarize the detections that each point was computed from.

    Args:
        recording: The detections.
        residuals: The reprojection errors [px]; NaN where the detection was not used.

    Returns:
        Error, number of cameras and score of every point.
    """
    used = residuals.isfinite()
    scores = torch.where(used, recording.confidence.to(residuals.dtype), torch.nan)
    return PointQuality(residuals.nanmean(dim=1), used.sum(dim=1), scores.nanmean(dim=1))
