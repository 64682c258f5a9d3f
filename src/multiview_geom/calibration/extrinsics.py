"""Poses of all cameras of a rig from points that they saw, and nothing else."""

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels.engines import wide_dtype
from multiview_geom._validation import (
    full_precision,
    require_floating,
    require_positive,
    require_trailing_shape,
)
from multiview_geom.bundle_adjustment.adjust import bundle_adjust
from multiview_geom.bundle_adjustment.gauge import transform_cameras
from multiview_geom.calibration.observations import (
    FEWEST_SHARED,
    Observations,
)
from multiview_geom.calibration.pairs import Pair, find_pairs
from multiview_geom.calibration.placement import HUBER, adjusted, place_cameras
from multiview_geom.cameras import Cameras
from multiview_geom.transforms import Similarity
from multiview_geom.triangulation.residual_losses import HuberLoss

FEWEST_VIEWS = 2
USUAL_SHARE = 0.01
"""Threshold, as a share of the focal length, if none is given."""
OUTLIER = 4.0
"""Residual of an outlier, in standard deviations of the noise."""
MOST_POINTS = 20_000
"""Number of points in the last adjustment."""
FIRST_STEPS, FIRST_POINTS = 20, 2000
"""Number of steps and of points of the adjustment of all cameras before it."""


class CalibratedRig(NamedTuple):
    """Cameras with their poses, the points that they saw, and how far both can be trusted.

    `inliers` are the detections that agree with their point, `errors` [px] are the distances of all
    detections, without lens distortion, from it. The covariance of the pose of each camera has the
    rows of `BundleAdjustment`. `noise_px` is the standard deviation of the noise in a pixel
    coordinate, estimated from the inliers.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> rig = ring_of_cameras(4, radius=4.0, height=1.0, dtype=torch.float64)
        >>> points = torch.cartesian_prod(*[torch.tensor([-0.5, 0.1, 0.4]).double()] * 3)
        >>> found = calibrate_extrinsics(rig, rig.project(points).pixels)
        >>> found.inliers.all(), found.errors.max() < 1e-6
        (tensor(True), tensor(True))
    """

    cameras: Cameras
    points: Float[Tensor, "*frames points 3"]
    inliers: Bool[Tensor, "*frames views points"]
    errors: Float[Tensor, "*frames views points"]
    covariance: Float[Tensor, "views 6 6"]
    noise_px: float


def calibrate_extrinsics(
    cameras: Cameras,
    pixels: Float[Tensor, "*frames views points 2"],
    *,
    weights: Float[Tensor, "*#frames views points"] | None = None,
    threshold: float | None = None,
) -> CalibratedRig:
    """Find the poses of all cameras from points that they saw, with outliers among the pixels.

    The relative pose of each pair of views is estimated by `relative_pose`. The pairs that are
    determined best place one camera after the other at one scale; a camera that no pair places is
    placed by `solve_pnp` from the points that the others saw. Then all cameras and points are
    adjusted with a robust loss.

    Args:
        cameras: Intrinsics, lenses and names. The poses are ignored.
        pixels: Detected pixel of each point in each view, with lens distortion [px]. All frames
            share the cameras; each frame has its own points.
        weights: Weight of each detection, >= 0: an inverse variance. A detection of weight zero is
            ignored. 1 by default.
        threshold: Largest residual of an inlier while the cameras are placed [px]: three to four
            standard deviations of the noise. 1 % of the mean focal length by default. Afterwards
            the noise is estimated.

    Returns:
        Cameras, points, inliers, errors and covariances. Pixels show neither position nor
        orientation of the world, and no scale: the first camera is in the origin with the world's
        axes, and the RMS distance of the cameras from their mean is one.

    Raises:
        ValueError: If a shape or dtype disagrees; if the points do not determine the pose of some
            camera (the message names it, and the likely cause); if all points are in a plane; or
            if the cameras do not agree within the threshold.

    Note:
        The result has no gradient, and does not depend on a random seed.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), chapter 18; Snavely, Seitz and
        Szeliski, Photo tourism, 2006 (one camera after the other).

    Example:
        >>> from multiview_geom import align_rigs, ring_of_cameras
        >>> rig = ring_of_cameras(4, radius=4.0, height=1.0, dtype=torch.float64)
        >>> points = torch.cartesian_prod(*[torch.tensor([-0.5, 0.1, 0.4]).double()] * 3)
        >>> found = calibrate_extrinsics(rig, rig.project(points).pixels)
        >>> moved = transform_cameras(found.cameras, align_rigs(found.cameras, rig))
        >>> torch.allclose(moved.centers, rig.centers)
        True
    """
    _require_detections(cameras, pixels, weights)
    if threshold is None:
        threshold = USUAL_SHARE * float(cameras.intrinsics[:, [0, 1], [0, 1]].mean())
    require_positive("threshold", threshold)
    frames, (views, count) = pixels.shape[:-3], pixels.shape[-3:-1]
    with torch.no_grad(), full_precision(pixels):
        seen = _observations(cameras, pixels, weights, threshold)
        _require_shared_points(seen)
        placed = place_cameras(seen, _usable(find_pairs(seen)))
        _require_all_placed(placed)
        rig, covariance, noise = _adjusted(placed)
        _require_agreement(rig, noise)
        found = rig.triangulated(OUTLIER * max(noise, 1e-9))
    dtype = pixels.dtype
    return CalibratedRig(
        replace(rig.cameras.to(cameras.intrinsics.dtype), image_size=cameras.image_size),
        found.points.reshape(*frames, count, 3).to(dtype),
        found.inliers.reshape(views, *frames, count).movedim(0, -2),
        found.residuals.reshape(views, *frames, count).movedim(0, -2).to(dtype),
        covariance.to(dtype),
        noise,
    )


def _observations(
    cameras: Cameras, pixels: Tensor, weights: Tensor | None, threshold: float
) -> Observations:
    wide = wide_dtype(pixels)
    image = pixels.to(wide).movedim(-3, 0).reshape(cameras.views, -1, 2)
    rig = cameras.to(wide)
    unknown = torch.full_like(rig.camera_from_world, torch.nan)
    ideal = rig.undistort(image)
    known = ideal.valid & ideal.pixels.isfinite().all(dim=-1)
    trust = known.to(wide)
    if weights is not None:
        given = weights.to(wide).expand(pixels.shape[:-1]).movedim(-2, 0).reshape(trust.shape)
        trust = torch.where(known & (given > 0) & (given < torch.inf), given, 0.0)
    rig = replace(rig, camera_from_world=unknown)
    return Observations(rig, image, ideal.pixels, trust, threshold)


def _adjusted(seen: Observations) -> tuple[Observations, Float[Tensor, "views 6 6"], float]:
    """Adjust all cameras, first with few points, then with all; move the world to the first."""
    seen = adjusted(seen, FIRST_POINTS, FIRST_STEPS)
    few, some = seen.thinned(FIRST_POINTS), seen.thinned(MOST_POINTS)
    noise = few.noise(few.triangulated(seen.threshold))
    found = some.triangulated(OUTLIER * max(noise, 1e-9))
    noise = some.noise(found)
    better = bundle_adjust(
        some.cameras, some.pixels, points=found.points,
        weights=torch.where(found.inliers, some.trust, 0.0),
        loss=HuberLoss(HUBER * max(noise, 1e-9)),
    )  # fmt: skip
    first = better.cameras.camera_from_world[0, :3, :3]
    apart = better.cameras.centers - better.cameras.centers.mean(dim=0)
    scale = 1 / apart.square().sum(dim=-1).mean().sqrt()
    shift = -scale * (first @ better.cameras.centers[0])
    rig = transform_cameras(better.cameras, Similarity(first, shift, scale))
    return replace(seen, cameras=rig), _turned(better.covariance, first, scale), noise


def _turned(
    covariance: Float[Tensor, "views 6 6"], rotation: Float[Tensor, "3 3"], scale: Tensor
) -> Float[Tensor, "views 6 6"]:
    """Express the covariance of the centers in a turned and scaled world."""
    change = torch.block_diag(torch.eye(3).to(rotation), scale * rotation)
    turned: Tensor = change @ covariance @ change.mT
    return turned


def _require_detections(cameras: Cameras, pixels: Tensor, weights: Tensor | None) -> None:
    require_trailing_shape("pixels", pixels, cameras.views, "points", 2)
    require_floating(pixels=pixels)
    if weights is not None:
        require_trailing_shape("weights", weights, *pixels.shape[-3:-1])
        require_floating(pixels=pixels, weights=weights)
    if cameras.views < FEWEST_VIEWS:
        raise ValueError(f"`cameras` must have two views or more, got {cameras.views}")


def _require_shared_points(seen: Observations) -> None:
    """Refuse views that saw too few points that another view saw too."""
    detected = seen.trust > 0
    shared = detected & (detected.sum(dim=0) >= FEWEST_VIEWS)
    for name, own, both in zip(seen.cameras.names, detected, shared, strict=True):
        if not own.any():
            raise ValueError(
                f"each view must have detections, got none in {name}: leave out this camera, or "
                "check its file of detections"
            )
        if int(both.sum()) < FEWEST_SHARED:
            raise ValueError(
                f"each view must share at least {FEWEST_SHARED} points with other views, got "
                f"{int(both.sum())} in {name}: are the cameras synchronized, and do they see the "
                "same place?"
            )


def _usable(pairs: list[Pair]) -> list[Pair]:
    """Leave out pairs that saw points in a plane; refuse a rig that saw nothing else."""
    in_space = [pair for pair in pairs if not pair.is_flat]
    if pairs and not in_space:
        raise ValueError(
            "the points must not be in a plane, got pixels that one homography explains for each "
            "pair of views: two different rigs explain them equally well; let the points move "
            "through the room"
        )
    return in_space


def _require_all_placed(seen: Observations) -> None:
    missing = [name for view, name in enumerate(seen.cameras.names) if view not in {*seen.placed}]
    if missing:
        raise ValueError(
            f"the points must determine the pose of every camera, got none for "
            f"{', '.join(missing)}: likely causes are two cameras at one place, points on a line, "
            "matches that are not of the same moment, or wrong intrinsics"
        )


def _require_agreement(seen: Observations, noise: float) -> None:
    """Refuse a rig whose cameras do not agree: no pose of it can be trusted."""
    if not noise < seen.threshold:
        raise ValueError(
            f"the cameras must agree within the threshold of {seen.threshold:.1f} px, got a noise "
            f"of {noise:.1f} px: are they synchronized, and are the intrinsics right? For a noisy "
            "detector pass a larger `threshold`"
        )
