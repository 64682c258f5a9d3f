"""How far each camera is from what the others saw: epipolar errors, and errors without it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import (
    fundamental_from_projections,
    reprojection_error,
    sampson_distance,
    triangulate_dlt,
)
from selfsup_lifting.recording import Recording, require_kind
from selfsup_lifting.sampled_errors import ideal_pixels, sampled

# Points without one camera need two others.
FEWEST_CAMERAS = 3


@dataclass(frozen=True)
class CameraErrors:
    """The median errors of one camera [px]; None where no joint shows them.

    Attributes:
        left_out_px: Distance of its detections from the points that the other cameras triangulate.
        epipolar_px: For each other camera, the Sampson distance of the detections of both, which
            needs no point.
    """

    left_out_px: float | None
    epipolar_px: Mapping[str, float | None]

    def cells(self) -> tuple[str, str]:
        """Return both for a table; of the pairs, the one that agrees least."""
        known = {other: error for other, error in self.epipolar_px.items() if error is not None}
        worst = max(known, key=known.__getitem__, default="")
        left_out = "" if self.left_out_px is None else f"{self.left_out_px:.1f}"
        return left_out, f"{known[worst]:.1f} ({worst})" if known else ""


def camera_errors(recording: Recording) -> dict[str, CameraErrors]:
    """Measure each camera against the others, on some frames; empty for one camera.

    Args:
        recording: Any recording.
    """
    require_kind("recording", recording, Recording)
    sample = sampled(recording)
    names, P = sample.cameras.names, sample.cameras.projections
    if len(names) == 1:
        return {}
    pixels = ideal_pixels(sample).movedim(1, 0).flatten(1, 2)
    return {
        name: CameraErrors(
            _left_out(P, pixels, view),
            {other: _epipolar(P, pixels, view, at) for at, other in enumerate(names) if at != view},
        )
        for view, name in enumerate(names)
    }


def _left_out(
    projections: Float[Tensor, "views 3 4"], pixels: Float[Tensor, "views points 2"], view: int
) -> float | None:
    others = [other for other in range(len(pixels)) if other != view]
    if len(pixels) < FEWEST_CAMERAS:
        return None
    # Nothing is removed as an outlier, which would hide what is wrong.
    points = triangulate_dlt(projections[others], pixels[others])
    return _median(reprojection_error(projections[[view]], points, pixels[[view]]))


def _epipolar(
    projections: Float[Tensor, "views 3 4"],
    pixels: Float[Tensor, "views points 2"],
    first: int,
    second: int,
) -> float | None:
    F = fundamental_from_projections(projections[first], projections[second])
    return _median(sampson_distance(F, pixels[first], pixels[second]).abs())


def _median(errors: Float[Tensor, "*some"]) -> float | None:
    known = errors[errors.isfinite()]
    return float(torch.median(known)) if len(known) else None
