"""Repair a calibration: adjust cameras with outliers among what they saw."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._validation import full_precision, require_cameras
from multiview_geom.bundle_adjustment.adjust import BundleAdjustment, bundle_adjust
from multiview_geom.bundle_adjustment.camera_parameters import CameraParameter
from multiview_geom.calibration.observations import (
    FEWEST_SHARED,
    Observations,
    observations,
)
from multiview_geom.cameras import Cameras
from multiview_geom.triangulation.residual_losses import HuberLoss

HUBER = 1.5
"""Residual at which the loss becomes linear, in standard deviations of the noise."""
ROUNDS = ((2000, 20), (2000, 20), (20_000, 30))
"""Largest number of points and of steps in each adjustment; the noise is estimated anew before
each. Later steps move single outlying points, and hardly the cameras."""


class CalibratedRig(NamedTuple):
    """Cameras, the points that they saw, and how far both can be trusted.

    `inliers` are the detections that agree with their point, `errors` [px] are the distances of all
    detections, without lens distortion, from it. `covariance` and `parameters` are those of
    `BundleAdjustment`. `noise_px` is the standard deviation of the noise in a pixel coordinate,
    estimated from the median error.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> rig = ring_of_cameras(4, radius=4.0, height=1.0, dtype=torch.float64)
        >>> points = torch.cartesian_prod(*[torch.tensor([-0.5, 0.1, 0.4]).double()] * 3)
        >>> found = refine_calibration(rig, rig.project(points).pixels)
        >>> found.inliers.all(), found.errors.max() < 1e-6, found.covariance.shape
        (tensor(True), tensor(True), torch.Size([4, 6, 6]))
    """

    cameras: Cameras
    points: Float[Tensor, "*frames points 3"]
    inliers: Bool[Tensor, "*frames views points"]
    errors: Float[Tensor, "*frames views points"]
    covariance: Float[Tensor, "views parameters parameters"]
    parameters: tuple[str, ...]
    noise_px: float


def refine_calibration(
    cameras: Cameras,
    pixels: Float[Tensor, "*frames views points 2"],
    *,
    weights: Float[Tensor, "*#frames views points"] | None = None,
    free: Collection[CameraParameter] = (CameraParameter.EXTRINSICS,),
    coefficients: Sequence[int] | None = None,
) -> CalibratedRig:
    """Repair a calibration with points that its cameras saw, with outliers among the pixels.

    Three times, the noise is estimated from the median residual, detections beyond four standard
    deviations are removed, and cameras and points are adjusted by `bundle_adjust` with Huber's
    loss. The last adjustment uses up to 20,000 points, those that most views saw.

    Args:
        cameras: The calibration to start from.
        pixels: Detected pixel of each point in each view, with lens distortion [px].
        weights: Weight of each detection, >= 0. A detection of weight zero or less is ignored. 1 by
            default.
        free: The parameters that may change, in all views.
        coefficients: The numbers of the lens coefficients that are free if the distortion is.

    Returns:
        Cameras, points, inliers, errors and covariances; in the world in which the cameras have
        moved least.

    Raises:
        ValueError: If a shape or dtype disagrees, if nothing is free, if a camera is not finite,
            or if a view agrees with others on fewer than six points.

    Note:
        The result has no gradient.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> rig = ring_of_cameras(4, radius=4.0, height=1.0, dtype=torch.float64)
        >>> points = torch.cartesian_prod(*[torch.tensor([-0.5, 0.1, 0.4]).double()] * 3)
        >>> pixels = rig.project(points).pixels
        >>> pixels[0, 3] += 50.0  # an outlier
        >>> longer = rig.intrinsics.clone()
        >>> longer[:, :2, :2] *= 1.02
        >>> start = Cameras(longer, rig.camera_from_world)
        >>> found = refine_calibration(start, pixels, free={CameraParameter.FOCAL})
        >>> torch.allclose(found.cameras.intrinsics, rig.intrinsics), found.inliers[0, 3]
        (True, tensor(False))
    """
    require_cameras("cameras", cameras)
    with torch.no_grad(), full_precision(pixels):
        seen = observations(cameras, pixels, weights)
        seen, adjusted = refined(seen, free, coefficients)
        return summarized(seen, adjusted, cameras, pixels)


def refined(
    seen: Observations,
    free: Collection[CameraParameter],
    coefficients: Sequence[int] | None = None,
) -> tuple[Observations, BundleAdjustment]:
    """Adjust all cameras in rounds."""
    for points, steps in ROUNDS:
        some = seen.thinned(points)
        found, noise = some.without_outliers()
        _require_agreement(some.disagreeing(found))
        kept = torch.where(found.inliers, some.trust, 0.0)
        adjusted = bundle_adjust(
            some.cameras, some.pixels, points=found.points, weights=kept, free=free,
            coefficients=coefficients, loss=HuberLoss(HUBER * noise), steps=steps,
        )  # fmt: skip
        seen = seen.with_cameras(adjusted.cameras)
    return seen, adjusted


def summarized(
    seen: Observations, adjusted: BundleAdjustment, given: Cameras, pixels: Tensor
) -> CalibratedRig:
    """Triangulate all points with the adjusted cameras; return what was given in its dtype."""
    found, noise = seen.without_outliers()
    frames, (views, count) = pixels.shape[:-3], pixels.shape[-3:-1]
    dtype = pixels.dtype
    return CalibratedRig(
        replace(seen.cameras.to(given.intrinsics.dtype), image_size=given.image_size),
        found.points.reshape(*frames, count, 3).to(dtype),
        found.inliers.reshape(views, *frames, count).movedim(0, -2),
        found.residuals.reshape(views, *frames, count).movedim(0, -2).to(dtype),
        adjusted.covariance.to(dtype),
        adjusted.parameters,
        noise,
    )


def _require_agreement(disagreeing: list[str]) -> None:
    if disagreeing:
        raise ValueError(
            f"each view must agree with others on at least {FEWEST_SHARED} points, got fewer in "
            f"{', '.join(disagreeing)}: are the cameras synchronized, and are the intrinsics right?"
        )
