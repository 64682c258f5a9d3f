"""How far each camera is from what the others saw: epipolar errors, and errors without it."""

from collections.abc import Mapping, Sequence
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
from selfsup_lifting.sampled_errors import compared_cameras, ideal_pixels, sampled

# Points without one camera need two others.
FEWEST_CAMERAS = 3


@dataclass(frozen=True)
class CameraErrors:
    """The median errors of one camera [px]; None where no joint shows them.

    Attributes:
        left_out_px: Distance of its detections from the points that the other cameras triangulate.
        epipolar_px: For each other camera that it is measured against, the Sampson distance of
            the detections of both, which needs no point.
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
        recording: Any recording. Of more than 32 cameras, each is measured against 32 that are
            spread over the rig.
    """
    require_kind("recording", recording, Recording)
    sample = sampled(recording)
    names, P = sample.cameras.names, sample.cameras.projections
    if len(names) == 1:
        return {}
    compared = compared_cameras(recording)
    pixels = ideal_pixels(sample).movedim(1, 0).flatten(1, 2)
    return {
        name: _against(P, pixels, view, [at for at in compared if at != view], names)
        for view, name in enumerate(names)
    }


def _against(
    projections: Float[Tensor, "views 3 4"],
    pixels: Float[Tensor, "views points 2"],
    view: int,
    others: Sequence[int],
    names: Sequence[str],
) -> CameraErrors:
    """Measure one camera against others."""
    left_out = None
    if len(pixels) >= FEWEST_CAMERAS:
        # Nothing is removed as an outlier, which would hide what is wrong.
        points = triangulate_dlt(projections[others], pixels[others])
        left_out = _median(reprojection_error(projections[[view]], points, pixels[[view]]))
    F = fundamental_from_projections(projections[view], projections[others])
    distances = sampson_distance(F, pixels[view], pixels[others]).abs()
    known = {names[at]: _median(one) for at, one in zip(others, distances, strict=True)}
    return CameraErrors(left_out, known)


def _median(errors: Float[Tensor, "*some"]) -> float | None:
    known = errors[errors.isfinite()]
    return float(torch.median(known)) if len(known) else None
