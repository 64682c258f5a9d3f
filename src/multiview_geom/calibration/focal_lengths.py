"""Focal lengths, lenses and poses of a rig of which only the image sizes are known."""

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._validation import (
    full_precision,
    require_cameras,
    require_items,
    require_positive,
)
from multiview_geom.bundle_adjustment.camera_parameters import CameraParameter
from multiview_geom.calibration.extrinsics import USUAL_SHARE, in_first_camera, try_to_place
from multiview_geom.calibration.observations import Observations, observations
from multiview_geom.calibration.refinement import CalibratedRig, refined, summarized
from multiview_geom.cameras import Cameras
from multiview_geom.lenses.lens import Lens

FOCAL_LENGTHS = (0.7, 0.9, 1.15, 1.5, 2.0)
"""Focal lengths that are tried, in longer sides of the image: fields of view of 71 to 28 degrees
along it."""
LONGEST = 50.0
"""A longer focal length has a field of view below 1.2 degrees: it is one in pixels."""
FREE = frozenset({CameraParameter.EXTRINSICS, CameraParameter.FOCAL, CameraParameter.DISTORTION})
COEFFICIENTS, RADIAL = 5, (0, 1)
"""Number of lens coefficients, and those that are found: k1 and k2."""
MOST_POINTS = 1500
"""Number of points that select one of them."""


def calibrate_focal_lengths(
    cameras: Cameras,
    pixels: Float[Tensor, "*frames views points 2"],
    *,
    weights: Float[Tensor, "*#frames views points"] | None = None,
    factors: Sequence[float] = FOCAL_LENGTHS,
) -> CalibratedRig:
    """Find focal lengths, radial distortion and poses of cameras from points that they saw.

    Each factor gives all cameras a focal length, with which their poses are found as by
    `calibrate_extrinsics`. The one that leaves the least noise is the start of an adjustment of
    poses and focal lengths, and then also of the coefficients k1 and k2 of each lens.

    Args:
        cameras: Image sizes and names. Everything else is ignored; principal points are in the
            middle of the images.
        pixels: Detected pixel of each point in each view [px].
        weights: Weight of each detection, >= 0; zero or less removes it. 1 by default.
        factors: Focal lengths to try, in longer sides of the image, at most 50.

    Returns:
        The rig, in the world and unit of `calibrate_extrinsics`, with OpenCV's lens.

    Raises:
        ValueError: If a shape or dtype disagrees, if the image sizes are not known, if `factors`
            are empty, not positive or above 50, or if no focal length leads to poses of all
            cameras.

    Note:
        The focal length is less certain than the poses: see `covariance`. Two cameras whose axes
        meet do not determine it. A principal point that is not in the middle of the image turns
        its camera.
        The result has no gradient.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), chapter 19 (self-calibration).

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> rig = ring_of_cameras(4, radius=4.0, height=1.0, dtype=torch.float64)
        >>> points = torch.cartesian_prod(*[torch.tensor([-0.5, 0.1, 0.4]).double()] * 3)
        >>> found = calibrate_focal_lengths(rig, rig.project(points).pixels)
        >>> torch.allclose(found.cameras.intrinsics, rig.intrinsics)
        True
    """
    require_cameras("cameras", cameras)
    require_items("factors", factors, Real, "numbers")
    if len(factors) == 0:
        raise ValueError("`factors` must have at least one focal length to try, got none")
    for factor in factors:
        require_positive("factors", factor)
        if factor > LONGEST:
            raise ValueError(
                f"`factors` must be at most {LONGEST:g} longer sides of the image, got {factor:g}; "
                "likely cause: focal lengths in pixels"
            )
    with torch.no_grad(), full_precision(pixels):
        tries = [_tried(with_focal_length(cameras, one), pixels, weights) for one in factors]
        placed = [found for found in tries if found is not None]
        if not placed:
            listed = ", ".join(f"{factor:g}" for factor in factors)
            raise ValueError(
                f"some focal length of {listed} image sides must place all cameras, got none: are "
                "the cameras synchronized, and do people move through the room?"
            )
        best = min(placed, key=lambda found: found.without_outliers()[1])
        lens = torch.zeros(cameras.views, COEFFICIENTS).to(best.cameras.intrinsics)
        seen = observations(replace(best.cameras, distortion=lens), pixels, weights)
        seen, adjusted = refined(seen, FREE, RADIAL)
        return in_first_camera(summarized(seen, adjusted, cameras, pixels))


def with_focal_length(cameras: Cameras, factor: float) -> Cameras:
    """Return pinholes with a focal length in longer sides of the image."""
    if cameras.image_size is None:
        raise ValueError("`image_size` of the cameras must be known to find focal lengths")
    size = cameras.image_size.to(cameras.intrinsics)
    K = torch.eye(3).to(size).repeat(cameras.views, 1, 1)
    K[:, [0, 1], [0, 1]] = factor * size.amax(dim=-1, keepdim=True)
    K[:, :2, 2] = (size - 1) / 2
    return replace(cameras, intrinsics=K, distortion=None, lens=Lens.OPENCV)


def _tried(cameras: Cameras, pixels: Tensor, weights: Tensor | None) -> Observations | None:
    """Place the cameras, and adjust poses and focal lengths, with a part of the points."""
    seen = observations(cameras, pixels, weights)
    threshold = 2 * USUAL_SHARE * float(cameras.intrinsics[:, 0, 0].mean())
    found = try_to_place(seen, threshold)
    if found is None:
        return None
    some = found.thinned(MOST_POINTS)
    points, noise = some.without_outliers()
    if some.disagreeing(points) or not noise < threshold:
        return None
    return refined(some, {CameraParameter.EXTRINSICS, CameraParameter.FOCAL})[0]
