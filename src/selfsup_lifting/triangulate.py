"""The detections of all views to points in the world, lens removed."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import (
    Cameras,
    HuberLoss,
    from_homogeneous,
    refine_points,
    to_homogeneous,
    triangulate_dlt,
    triangulate_iterative,
    triangulate_robust,
)
from selfsup_lifting.config import Method, TriangulationSettings
from selfsup_lifting.recording import Recording

PLAIN = TriangulationSettings()

# Refinement trusts residuals below this share of the threshold fully, larger ones less.
HUBER_SHARE = 1 / 3


class Triangulated(NamedTuple):
    """Joints in the world, and the sightings they were made from."""

    points: Float[Tensor, "frames joints 3"]
    kept: Bool[Tensor, "frames views joints"]


def normalised_image(
    cameras: Cameras, keypoints: Float[Tensor, "frames views joints 2"]
) -> Float[Tensor, "frames views joints 2"]:
    """Undistort pixels and divide them by the intrinsics.

    Args:
        cameras: The rig.
        keypoints: What it saw [px].

    Returns:
        Keypoints on the plane at depth one [focal lengths]; NaN where missing or where the
        lens cannot have produced them.
    """
    ideal, valid = cameras.undistort(keypoints.to(cameras.intrinsics.dtype))
    rays = to_homogeneous(ideal) @ torch.linalg.inv(cameras.intrinsics).mT
    return torch.where(valid[..., None], from_homogeneous(rays), torch.nan)


def triangulate_recording(
    recording: Recording, settings: TriangulationSettings = PLAIN
) -> Triangulated:
    """Triangulate the detections of all views.

    Args:
        recording: A take of at least two views.
        settings: How.

    Returns:
        Joints in the world [m], float64, NaN where fewer than two views are left; and which
        sightings they were made from.
    """
    cameras = recording.cameras
    weights = recording.confidence.double().square() if settings.weighted else None
    ideal = cameras.undistort(recording.keypoints.double())
    pixels = torch.where(ideal.valid[..., None], ideal.pixels, torch.nan)
    seen = pixels.isfinite().all(dim=-1)
    if settings.method is Method.DLT:
        points = triangulate_dlt(cameras.projections, pixels, weights=weights)
        return Triangulated(points, seen)
    if settings.method is Method.ITERATIVE:
        points = triangulate_iterative(cameras.projections, pixels, weights=weights)
        return Triangulated(points, seen)
    points, kept, _ = triangulate_robust(
        cameras.projections, pixels, threshold=settings.threshold_px, weights=weights
    )
    if settings.method is Method.REFINED:
        trust = kept.double() if weights is None else torch.where(kept, weights, 0.0)
        loss = HuberLoss(HUBER_SHARE * settings.threshold_px)
        seen_as = recording.keypoints.double()
        points = refine_points(cameras, points, seen_as, weights=trust, loss=loss).points
    return Triangulated(points, kept)
