"""All views of a take to world points, and what each camera thinks of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from selfsup_lifting.dataset import triangulate_recording
from selfsup_lifting.recordings import Recording


@dataclass(frozen=True)
class Residuals:
    """How far detections lie from the projections of the points [px].

    Attributes:
        median_px: Median distance.
        p90_px: Distance that nine in ten stay below.
        sightings: How many detections were compared.
        seen_share: Share of the detections that could have been.
    """

    median_px: float
    p90_px: float
    sightings: int
    seen_share: float


@dataclass(frozen=True)
class Reconstruction:
    """A take in 3D.

    Attributes:
        points: Joints in the world [m]; NaN where fewer than two views saw them.
        total: Residuals of all detections.
        per_camera: By camera.
        per_joint: By joint.
        inlier_share: Share of the detections that the points were made from.
    """

    points: Float[Tensor, "frames joints 3"]
    total: Residuals
    per_camera: Mapping[str, Residuals]
    per_joint: Mapping[str, Residuals]
    inlier_share: float

    def as_dict(self) -> dict[str, Any]:
        """Return the keys that scripts may rely on."""
        return {
            "reprojection": {
                **vars(self.total),
                "per_camera": {name: vars(row) for name, row in self.per_camera.items()},
                "per_joint": {name: vars(row) for name, row in self.per_joint.items()},
            },
            "inlier_share": self.inlier_share,
            "frames": self.points.shape[0],
            "joints": self.points.shape[1],
            "points_found": int(self.points.isfinite().all(dim=-1).sum()),
        }


def reconstruct(recording: Recording) -> Reconstruction:
    """Triangulate a take from all its views and compare with what they saw.

    Args:
        recording: A take of at least two views.

    Returns:
        The points and their residuals, through the lens, in the pixels of the detections.
    """
    points = triangulate_recording(recording)
    projected = recording.cameras.project(points).pixels
    residuals = (projected - recording.keypoints).square().sum(dim=-1).sqrt()
    names = recording.cameras.names or tuple(str(view) for view in range(residuals.shape[1]))
    seen = recording.keypoints.isfinite().all(dim=-1)
    return Reconstruction(
        points=points,
        total=_summary(residuals),
        per_camera={name: _summary(residuals[:, view]) for view, name in enumerate(names)},
        per_joint={
            name: _summary(residuals[:, :, joint])
            for joint, name in enumerate(recording.skeleton.joints)
        },
        inlier_share=_share(residuals.isfinite(), seen),
    )


def _summary(residuals: Float[Tensor, "*axes"]) -> Residuals:
    known = residuals[residuals.isfinite()].double()
    levels = torch.tensor([0.5, 0.9], dtype=torch.float64)
    median, p90 = known.quantile(levels).tolist() if len(known) else (torch.nan, torch.nan)
    return Residuals(
        median_px=median,
        p90_px=p90,
        sightings=len(known),
        seen_share=len(known) / max(1, residuals.numel()),
    )


def _share(part: Bool[Tensor, "*axes"], whole: Bool[Tensor, "*axes"]) -> float:
    return float((part & whole).sum() / whole.sum().clamp(min=1))
