"""Poses of all cameras of a rig from points that they saw, and nothing else."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._validation import full_precision, require_cameras, require_positive
from multiview_geom.bundle_adjustment.camera_parameters import CameraParameter
from multiview_geom.bundle_adjustment.gauge import transform_cameras
from multiview_geom.calibration.observations import (
    FEWEST_SHARED,
    FEWEST_VIEWS,
    Observations,
    observations,
)
from multiview_geom.calibration.pairs import Pair, find_pairs
from multiview_geom.calibration.placement import place_cameras
from multiview_geom.calibration.refinement import CalibratedRig, refined, summarized
from multiview_geom.cameras import Cameras
from multiview_geom.transforms import Similarity

USUAL_SHARE = 0.01
"""Threshold, as a share of the focal length, if none is given."""
LARGEST_SHARE = 0.25
"""Largest threshold, as a share of the focal length."""


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
        weights: Weight of each detection, >= 0: an inverse variance. A detection of weight zero
            or less is ignored. 1 by default.
        threshold: Largest residual of an inlier while the cameras are placed [px]: three to four
            standard deviations of the noise. 1 % of the mean focal length by default, and at most
            25 %. Afterwards the noise is estimated.

    Returns:
        Cameras, points, inliers, errors and covariances. Pixels show neither position nor
        orientation of the world, and no scale: the first camera is in the origin with the world's
        axes, and the RMS distance of the cameras from their mean is one.

    Raises:
        ValueError: If a shape or dtype disagrees; if the threshold is too large; if the points do
            not determine the pose of some camera (the message names it, and the likely cause); if
            all points are in a plane; or if the cameras do not agree within the threshold.

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
    require_cameras("cameras", cameras)
    focal_length = float(cameras.intrinsics[:, [0, 1], [0, 1]].mean())
    threshold = USUAL_SHARE * focal_length if threshold is None else threshold
    require_positive("threshold", threshold)
    if threshold > LARGEST_SHARE * focal_length:
        raise ValueError(
            f"`threshold` must be at most a quarter of the mean focal length of {focal_length:g} "
            f"px, got {threshold:g} px: with such errors allowed, any pose fits the pixels"
        )
    with torch.no_grad(), full_precision(pixels):
        seen = observations(cameras, pixels, weights)
        _require_shared_points(seen)
        seen = _placed(seen, threshold)
        seen, found = refined(seen, {CameraParameter.EXTRINSICS})
        rig = summarized(seen, found, cameras, pixels)
        _require_agreement(rig.noise_px, threshold)
        return in_first_camera(rig)


def try_to_place(seen: Observations, threshold: float) -> Observations | None:
    """Place all cameras; None if the points do not determine their poses."""
    pairs = [pair for pair in find_pairs(_unplaced(seen), threshold) if not pair.is_flat]
    seen = place_cameras(_unplaced(seen), pairs, threshold)
    return seen if len(seen.placed) == seen.cameras.views else None


def _placed(seen: Observations, threshold: float) -> Observations:
    """Place all cameras; raise a ValueError if the points do not determine their poses."""
    pairs = find_pairs(_unplaced(seen), threshold)
    seen = place_cameras(_unplaced(seen), _usable(pairs), threshold)
    _require_all_placed(seen)
    return seen


def _unplaced(seen: Observations) -> Observations:
    unknown = torch.full_like(seen.cameras.camera_from_world, torch.nan)
    return replace(seen, cameras=replace(seen.cameras, camera_from_world=unknown))


def in_first_camera(rig: CalibratedRig) -> CalibratedRig:
    """Move the world to the first camera, and make the RMS distance from the mean one."""
    cameras = rig.cameras
    turn = cameras.camera_from_world[0, :3, :3]
    apart = cameras.centers - cameras.centers.mean(dim=0)
    scale = 1 / apart.square().sum(dim=-1).mean().sqrt()
    moved = Similarity(turn, -scale * (turn @ cameras.centers[0]), scale)
    covariance = rig.covariance
    rest = torch.eye(covariance.shape[-1] - 6).to(covariance)
    change = torch.block_diag(torch.eye(3).to(covariance), (scale * turn).to(covariance), rest)
    wide = rig.points.dtype
    to_first = Similarity(turn.to(wide), moved.translation.to(wide), scale.to(wide))
    return rig._replace(
        cameras=transform_cameras(cameras, moved),
        points=to_first.apply(rig.points),
        covariance=change @ covariance @ change.mT,
    )


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


def _require_agreement(noise: float, threshold: float) -> None:
    """Refuse a rig whose cameras do not agree: no pose of it can be trusted."""
    if not noise < threshold:
        raise ValueError(
            f"the cameras must agree within the threshold of {threshold:.1f} px, got a noise of "
            f"{noise:.1f} px: are they synchronized, and are the intrinsics right? For a noisy "
            "detector pass a larger `threshold`"
        )
