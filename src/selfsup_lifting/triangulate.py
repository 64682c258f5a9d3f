"""Triangulate a recording from all its views, and measure the reprojection errors."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import (
    Cameras,
    HuberLoss,
    from_homogeneous,
    point_covariance,
    refine_points,
    to_homogeneous,
    triangulate_dlt,
    triangulate_iterative,
    triangulate_robust,
)
from selfsup_lifting.config import Method, TriangulationSettings
from selfsup_lifting.point_quality import PointQuality, point_quality
from selfsup_lifting.recording import Recording

DEFAULTS = TriangulationSettings()

# Frames that are triangulated at once, between two reports of the progress.
CHUNK = 2000
# Refinement gives full weight to residuals below this share of the outlier threshold.
HUBER_SHARE = 1 / 3


class Triangulated(NamedTuple):
    """Joints in the world, and the detections that they were computed from."""

    points: Float[Tensor, "frames joints 3"]
    kept: Bool[Tensor, "frames views joints"]


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


@dataclass(frozen=True)
class Reconstruction:
    """The triangulated points of a recording, with their errors.

    Attributes:
        points: Joints in the world [m]; NaN where fewer than two views detected them.
        residuals: Reprojection error of every detection [px]; NaN where it was not used.
        total: Residuals of all cameras and joints.
        per_camera: Residuals of each camera.
        per_joint: Residuals of each joint.
        sigma_px: Noise of a detection along an image axis, estimated from the residuals [px].
        expected_error_mm: The 3D error that this noise causes: the root-mean-square distance
            expected for each point, median over the points [mm].
        quality: Reprojection error, number of cameras and score of every point.
    """

    points: Float[Tensor, "frames joints 3"]
    residuals: Float[Tensor, "frames views joints"]
    total: Residuals
    per_camera: Mapping[str, Residuals]
    per_joint: Mapping[str, Residuals]
    sigma_px: float
    expected_error_mm: float
    quality: PointQuality

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


def normalized_image(
    cameras: Cameras, keypoints: Float[Tensor, "frames views joints 2"]
) -> Float[Tensor, "frames views joints 2"]:
    """Undistort pixels and multiply them by the inverse intrinsics.

    Args:
        cameras: The rig.
        keypoints: Detections [px].

    Returns:
        Normalized image coordinates [focal lengths]; NaN where missing or where the lens model
        cannot produce the pixel.
    """
    ideal, valid = cameras.undistort(keypoints.to(cameras.intrinsics.dtype))
    rays = to_homogeneous(ideal) @ torch.linalg.inv(cameras.intrinsics).mT
    return torch.where(valid[..., None], from_homogeneous(rays), torch.nan)


def triangulate_recording(
    recording: Recording,
    settings: TriangulationSettings = DEFAULTS,
    *,
    done: Callable[[], None] = lambda: None,
) -> Triangulated:
    """Triangulate the detections of all views.

    Args:
        recording: A recording with at least two views.
        settings: The method.
        done: Called after every `CHUNK` frames and at the end.

    Returns:
        Joints in the world [m], float64, NaN where fewer than two detections are left; and which
        detections they were computed from.

    Note:
        `dlt` uses normalized image coordinates, as OpenCV, aniposelib and caliscope do: between
        cameras of different focal length its weights differ from those of pixels.
    """
    parts = []
    for part in _parts(recording):
        parts.append(_triangulated(part, settings))
        done()
    points, kept = zip(*parts, strict=True)
    return Triangulated(torch.cat(points), torch.cat(kept))


def _triangulated(recording: Recording, settings: TriangulationSettings) -> Triangulated:
    cameras = recording.cameras
    weights = recording.confidence.double().square() if settings.weighted else None
    if settings.method is Method.DLT:
        image = normalized_image(cameras, recording.keypoints.double())
        points = triangulate_dlt(cameras.camera_from_world[:, :3], image, weights=weights)
        return Triangulated(points, image.isfinite().all(dim=-1))
    ideal = cameras.undistort(recording.keypoints.double())
    pixels = torch.where(ideal.valid[..., None], ideal.pixels, torch.nan)
    if settings.method is Method.ITERATIVE:
        points = triangulate_iterative(cameras.projections, pixels, weights=weights)
        return Triangulated(points, pixels.isfinite().all(dim=-1))
    points, kept, _ = triangulate_robust(
        cameras.projections, pixels, threshold=settings.threshold_px, weights=weights
    )
    if settings.method is Method.REFINED:
        kept_weights = kept.double() if weights is None else torch.where(kept, weights, 0.0)
        loss = HuberLoss(HUBER_SHARE * settings.threshold_px)
        observed = recording.keypoints.double()
        points = refine_points(cameras, points, observed, weights=kept_weights, loss=loss).points
    return Triangulated(points, kept)


def reprojection_errors(
    recording: Recording, points: Float[Tensor, "frames joints 3"]
) -> Float[Tensor, "frames views joints"]:
    """Project points through the lenses, and measure their distances from the detections [px]."""
    projected = recording.cameras.project(points).pixels
    return (projected - recording.keypoints).square().sum(dim=-1).sqrt()


def chunk_count(recording: Recording) -> int:
    """Return how often `triangulate_recording` calls `done`."""
    return -(-max(1, recording.frame_count) // CHUNK)


def reconstruct(
    recording: Recording,
    settings: TriangulationSettings = DEFAULTS,
    *,
    done: Callable[[], None] = lambda: None,
) -> Reconstruction:
    """Triangulate a recording from all its views, and measure the reprojection errors.

    Args:
        recording: A recording with at least two views.
        settings: How to triangulate.
        done: As in `triangulate_recording`.

    Returns:
        The points and their residuals, in the pixels of the detections.

    Raises:
        ValueError: If the recording has one view.
    """
    cameras, joints = recording.cameras, recording.skeleton.joints
    if cameras.views < 2:  # noqa: PLR2004 - one ray fixes no point
        raise ValueError(f"{recording.name} has one camera; triangulation needs at least two")
    measured = []
    for part in _parts(recording):
        measured.append(_measured(part, settings))
        done()
    points = torch.cat([one.points for one in measured])
    residuals = torch.cat([one.residuals for one in measured])
    seen = recording.keypoints.isfinite().all(dim=-1)
    sigma = _noise(residuals)
    expected_errors = _expected_errors(recording, points, residuals, sigma)
    return Reconstruction(
        points=points,
        residuals=residuals,
        total=_summary(residuals, seen),
        per_camera={
            name: _summary(residuals[:, view], seen[:, view])
            for view, name in enumerate(cameras.names)
        },
        per_joint={
            name: _summary(residuals[:, :, joint], seen[:, :, joint])
            for joint, name in enumerate(joints)
        },
        sigma_px=sigma,
        expected_error_mm=float(1000 * expected_errors.nanmedian()),
        quality=PointQuality(
            error_px=torch.cat([one.quality.error_px for one in measured]),
            camera_count=torch.cat([one.quality.camera_count for one in measured]),
            score=torch.cat([one.quality.score for one in measured]),
        ),
    )


def _parts(recording: Recording) -> Iterator[Recording]:
    """Divide a recording into parts of `CHUNK` frames; without frames it is one part."""
    for first in range(0, max(1, recording.frame_count), CHUNK):
        yield recording.frames(slice(first, first + CHUNK))


class _Measured(NamedTuple):
    """The points of a part of a recording, and how well the detections support them."""

    points: Float[Tensor, "frames joints 3"]
    residuals: Float[Tensor, "frames views joints"]
    quality: PointQuality


def _measured(part: Recording, settings: TriangulationSettings) -> _Measured:
    """Triangulate a part of a recording, and measure the reprojection errors."""
    points, kept = _triangulated(part, settings)
    residuals = reprojection_errors(part, points)
    residuals = torch.where(kept & residuals.isfinite(), residuals, torch.nan)
    return _Measured(points, residuals.float(), point_quality(part, residuals))


def _expected_errors(
    recording: Recording,
    points: Float[Tensor, "frames joints 3"],
    residuals: Float[Tensor, "frames views joints"],
    sigma: float,
) -> Float[Tensor, "frames joints"]:
    """Return the root-mean-square distance that noise of the detections causes [m]."""
    parts = []
    for some, errors in zip(points.split(CHUNK), residuals.split(CHUNK), strict=True):
        weights = errors.isfinite().to(some.dtype)
        projections = recording.cameras.projections
        covariance = point_covariance(projections, some, sigma=sigma, weights=weights)
        parts.append(covariance.diagonal(dim1=-2, dim2=-1).sum(dim=-1).sqrt())
    return torch.cat(parts)


def _summary(residuals: Float[Tensor, "*axes"], seen: Bool[Tensor, "*axes"]) -> Residuals:
    # NumPy's quantile: that of torch is limited to 16 million numbers.
    known = residuals.numpy()
    known = known[np.isfinite(known)]
    median, p90 = (torch.nan, torch.nan)
    if len(known):
        median, p90 = np.quantile(known, (0.5, 0.9), overwrite_input=True).tolist()
    detected, used = int(seen.sum()), len(known)
    return Residuals(median, p90, used, detected / max(1, seen.numel()), used / max(1, detected))


def _noise(residuals: Float[Tensor, "frames views joints"]) -> float:
    """Estimate the noise along an image axis, by the median, which is robust to outliers.

    Detections give two measurements, points have three unknowns. The distances are
    Rayleigh-distributed: their median is sigma sqrt(2 ln 2).
    """
    known = residuals.isfinite()
    measurements, unknowns = 2 * int(known.sum()), 3 * int(known.any(dim=1).sum())
    if measurements <= unknowns:
        return torch.nan
    rayleigh_median = (2 * torch.tensor(2.0).log()).sqrt()
    spread = residuals.nanmedian() / rayleigh_median
    return float(spread * (measurements / (measurements - unknowns)) ** 0.5)
