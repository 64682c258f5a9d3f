"""Triangulate a recording from all its views, and measure the reprojection errors."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any, NamedTuple

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
from selfsup_lifting.mapped import collect
from selfsup_lifting.point_quality import PointQuality, point_quality
from selfsup_lifting.recording import PART_FRAMES, Recording, require_kind, require_shape
from selfsup_lifting.residuals import Residuals, median, noise, summarize_residuals

DEFAULTS = TriangulationSettings()

# Refinement gives full weight to residuals below this share of the outlier threshold.
HUBER_SHARE = 1 / 3


class Triangulated(NamedTuple):
    """Joints in the world, and the detections that they were computed from."""

    points: Float[Tensor, "frames joints 3"]
    kept: Bool[Tensor, "frames views joints"]


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

    @property
    def points_found(self) -> int:
        """The number of points that are known."""
        parts = self.points.split(PART_FRAMES)
        return sum(int(part.isfinite().all(dim=-1).sum()) for part in parts)

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
            "points_found": self.points_found,
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
    require_kind("cameras", cameras, Cameras)
    require_kind("keypoints", keypoints, Tensor)
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
        done: Called after every part of the recording.

    Returns:
        Joints in the world [m], float64, NaN where fewer than two detections are left; and which
        detections they were computed from.

    Note:
        `dlt` uses normalized image coordinates, as OpenCV, aniposelib and caliscope do: between
        cameras of different focal length its weights differ from those of pixels.
    """
    _require_kinds(recording, settings)

    def triangulated() -> Iterator[Triangulated]:
        for part in recording.parts():
            yield _triangulated(part, settings)
            done()

    return Triangulated(*collect(triangulated(), recording.frame_count))


def _require_kinds(recording: Recording, settings: TriangulationSettings) -> None:
    require_kind("recording", recording, Recording)
    require_kind("settings", settings, TriangulationSettings)


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
    """Project points through the lenses, and measure their distances from the detections [px].

    Raises:
        ValueError: If the points are not those of every frame and joint.
    """
    require_kind("recording", recording, Recording)
    require_shape("points", points, (recording.frame_count, len(recording.skeleton.joints), 3))
    projected = recording.cameras.project(points).pixels
    return (projected - recording.keypoints).square().sum(dim=-1).sqrt()


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
    _require_kinds(recording, settings)
    cameras, joints = recording.cameras, recording.skeleton.joints
    require_two_cameras(recording)
    detected = torch.zeros(cameras.views, len(joints), dtype=torch.long)

    def measured() -> Iterator[tuple[Tensor, ...]]:
        for part in recording.parts():
            detected.add_(part.keypoints.isfinite().all(dim=-1).sum(dim=0))
            yield _measured(part, settings)
            done()

    points, residuals, *quality = collect(measured(), recording.frame_count)
    total, per_camera, per_joint = summarize_residuals(residuals, detected)
    known = sum(int(part.isfinite().any(dim=1).sum()) for part in residuals.split(PART_FRAMES))
    sigma = noise(total.median_px, total.sightings, known)
    return Reconstruction(
        points=points,
        residuals=residuals,
        total=total,
        per_camera=dict(zip(cameras.names, per_camera, strict=True)),
        per_joint=dict(zip(joints, per_joint, strict=True)),
        sigma_px=sigma,
        expected_error_mm=1000 * median(_expected_errors(recording, points, residuals, sigma)),
        quality=PointQuality(*quality),
    )


def require_two_cameras(recording: Recording) -> None:
    """Refuse a recording of one camera."""
    if recording.cameras.views < 2:  # noqa: PLR2004 - one ray fixes no point
        raise ValueError(f"{recording.name} has one camera; triangulation needs at least 2")


def _measured(part: Recording, settings: TriangulationSettings) -> tuple[Tensor, ...]:
    """Triangulate a part of a recording; return points, residuals and the quality of the points."""
    points, kept = _triangulated(part, settings)
    residuals = reprojection_errors(part, points)
    residuals = torch.where(kept & residuals.isfinite(), residuals, torch.nan)
    quality = point_quality(part, residuals)
    return points, residuals.float(), quality.error_px, quality.camera_count, quality.score


def _expected_errors(
    recording: Recording,
    points: Float[Tensor, "frames joints 3"],
    residuals: Float[Tensor, "frames views joints"],
    sigma: float,
) -> Float[Tensor, "frames joints"]:
    """Return the root-mean-square distance that noise of the detections causes [m]."""
    if isnan(sigma):  # the detections are too few to know their noise
        return torch.full(points.shape[:2], torch.nan)

    def parts() -> Iterator[tuple[Tensor]]:
        projections = recording.cameras.projections
        split = zip(points.split(PART_FRAMES), residuals.split(PART_FRAMES), strict=True)
        for some, errors in split:
            weights = errors.isfinite().to(some.dtype)
            covariance = point_covariance(projections, some, sigma=sigma, weights=weights)
            yield (covariance.diagonal(dim1=-2, dim2=-1).sum(dim=-1).sqrt().float(),)

    return collect(parts(), len(points))[0]
