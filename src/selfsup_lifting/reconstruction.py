"""All views of a take to world points, and what each camera thinks of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import point_covariance
from selfsup_lifting.config import TriangulationSettings
from selfsup_lifting.metrics import MILLIMETRES
from selfsup_lifting.recording import Recording
from selfsup_lifting.triangulate import PLAIN, triangulate_recording


@dataclass(frozen=True)
class Residuals:
    """How far detections lie from the projections of the points made from them [px].

    Attributes:
        median_px: Median distance.
        p90_px: Distance that nine in ten stay below.
        sightings: How many detections were compared: those the points were made from.
        seen_share: Share of the sightings that there could have been.
        kept_share: Share of the detections that the points were made from.
    """

    median_px: float
    p90_px: float
    sightings: int
    seen_share: float
    kept_share: float


@dataclass(frozen=True)
class Reconstruction:
    """A take in 3D.

    Attributes:
        points: Joints in the world [m]; NaN where fewer than two views saw them.
        total: Residuals of all cameras and joints.
        per_camera: By camera.
        per_joint: By joint.
        sigma_px: Noise of a detection along an image axis, estimated from the residuals [px].
        expected_error_mm: What that noise does to a point: the median over the points of the
            root-mean-square distance to be expected [mm].
    """

    points: Float[Tensor, "frames joints 3"]
    total: Residuals
    per_camera: Mapping[str, Residuals]
    per_joint: Mapping[str, Residuals]
    sigma_px: float
    expected_error_mm: float

    def as_dict(self) -> dict[str, Any]:
        """Return the keys that scripts may rely on."""
        return {
            "reprojection": {
                **asdict(self.total),
                "per_camera": {name: asdict(row) for name, row in self.per_camera.items()},
                "per_joint": {name: asdict(row) for name, row in self.per_joint.items()},
            },
            "inlier_share": self.total.kept_share,
            "sigma_px": self.sigma_px,
            "expected_error_mm": self.expected_error_mm,
            "frames": self.points.shape[0],
            "joints": self.points.shape[1],
            "points_found": int(self.points.isfinite().all(dim=-1).sum()),
        }


def reconstruct(recording: Recording, settings: TriangulationSettings = PLAIN) -> Reconstruction:
    """Triangulate a take from all its views and compare with what they saw.

    Args:
        recording: A take of at least two views.
        settings: How to triangulate.

    Returns:
        The points and their residuals, through the lens, in the pixels of the detections.

    Raises:
        ValueError: If the take has one view.
    """
    if recording.cameras.views < 2:  # noqa: PLR2004 - one ray fixes no point
        raise ValueError(f"{recording.name} has one camera, triangulating takes two at least")
    points, kept = triangulate_recording(recording, settings)
    projected = recording.cameras.project(points).pixels
    residuals = (projected - recording.keypoints).square().sum(dim=-1).sqrt()
    kept = kept & residuals.isfinite()
    residuals = torch.where(kept, residuals, torch.nan)
    seen = recording.keypoints.isfinite().all(dim=-1)
    names = recording.cameras.names
    sigma = _noise(residuals)
    return Reconstruction(
        points=points,
        total=_summary(residuals, seen),
        per_camera={
            name: _summary(residuals[:, view], seen[:, view]) for view, name in enumerate(names)
        },
        per_joint={
            name: _summary(residuals[:, :, joint], seen[:, :, joint])
            for joint, name in enumerate(recording.skeleton.joints)
        },
        sigma_px=sigma,
        expected_error_mm=_expected_error(recording, points, kept, sigma),
    )


def _summary(residuals: Float[Tensor, "*axes"], seen: Bool[Tensor, "*axes"]) -> Residuals:
    known = residuals[residuals.isfinite()].double()
    levels = torch.tensor([0.5, 0.9], dtype=torch.float64)
    median, p90 = known.quantile(levels).tolist() if len(known) else (torch.nan, torch.nan)
    return Residuals(
        median_px=median,
        p90_px=p90,
        sightings=len(known),
        seen_share=int(seen.sum()) / max(1, seen.numel()),
        kept_share=len(known) / max(1, int(seen.sum())),
    )


def _noise(residuals: Float[Tensor, "frames views joints"]) -> float:
    """Estimate the noise along an axis: each sighting measures two numbers, each point takes three.

    Medians bear the outliers that a plain triangulation keeps: a Rayleigh-distributed length has
    its median at sigma sqrt(2 ln 2).
    """
    known = residuals.isfinite()
    measured, taken = 2 * int(known.sum()), 3 * int(known.any(dim=1).sum())
    if measured <= taken:
        return torch.nan
    rayleigh_median = (2 * torch.tensor(2.0).log()).sqrt()
    spread = residuals.nanmedian() / rayleigh_median
    return float(spread * (measured / (measured - taken)) ** 0.5)


def _expected_error(
    recording: Recording,
    points: Float[Tensor, "frames joints 3"],
    kept: Bool[Tensor, "frames views joints"],
    sigma: float,
) -> float:
    covariance = point_covariance(
        recording.cameras.projections, points, sigma=sigma, weights=kept.to(points.dtype)
    )
    spread = covariance.diagonal(dim1=-2, dim2=-1).sum(dim=-1).sqrt()
    return float(MILLIMETRES * spread.nanmedian())
