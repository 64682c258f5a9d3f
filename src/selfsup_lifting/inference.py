"""Lift the 2D tracks of single views to 3D."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.files.tracks.view_tracks import LARGEST_CONFIDENCE
from selfsup_lifting.read_errors import listed
from selfsup_lifting.recording import require_kind, require_shape
from selfsup_lifting.training.lifter import Lifter, require_lifter
from selfsup_lifting.triangulate import normalized_image

# Number of poses lifted at once: bounds the memory for long tracks.
CHUNK = 8_192
# The intrinsics of a camera with a shorter focal length are not in pixels.
LEAST_FOCAL_PX = 10.0
# A larger share of joints beyond the picture is no guess of a detector.
OUTSIDE = 0.5

_log = logging.getLogger(__name__)


def lift(
    lifter: Lifter,
    cameras: Cameras,
    keypoints: Float[Tensor, "frames views joints 2"],
    confidence: Float[Tensor, "frames views joints"] | None = None,
) -> Float[Tensor, "frames views joints 3"]:
    """Lift each view's 2D track by itself.

    A warning names the cameras of which most joints are outside of the picture. No gradient is
    passed; the network itself, called with normalized coordinates, passes one.

    Args:
        lifter: A trained network in evaluation mode.
        cameras: The views' calibration; the extrinsics are not used.
        keypoints: Detections, with lens distortion [px]; NaN where missing.
        confidence: The detector's confidence, from 0 to 1; 1 by default.

    Returns:
        The joints relative to the root, in each camera's axes [m]; NaN for a frame without any
        detection in the view.

    Raises:
        ValueError: If a shape does not fit, the confidence of a detected joint is not from 0 to 1,
            or a person is within one pixel: most likely fractions of the image size.

    Example:
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> from selfsup_lifting.config import LifterSettings
        >>> recording = read_recordings(["synthetic"], ReadSettings())[0].select_views(["cam_2"])
        >>> untrained = Lifter(recording.skeleton, LifterSettings(width=8, blocks=1)).eval()
        >>> lift(untrained, recording.cameras, recording.keypoints).shape
        torch.Size([240, 1, 17, 3])
    """
    poses = lift_known(lifter, cameras, keypoints, confidence)
    if note := note_on_pictures(cameras, keypoints, confidence):
        _log.warning("%s", note)
    return poses


def lift_known(
    lifter: Lifter,
    cameras: Cameras,
    keypoints: Float[Tensor, "frames views joints 2"],
    confidence: Float[Tensor, "frames views joints"] | None = None,
) -> Float[Tensor, "frames views joints 3"]:
    """Lift as `lift` does, without its warning: for recordings that were checked when read."""
    return _in_chunks(lifter, lifter, cameras, keypoints, confidence)


def lift_covariances(
    lifter: Lifter,
    cameras: Cameras,
    keypoints: Float[Tensor, "frames views joints 2"],
    confidence: Float[Tensor, "frames views joints"] | None = None,
) -> Float[Tensor, "frames views joints 3 3"]:
    """Return how sure a lifter is of each joint that `lift` returns, without gradient.

    Args:
        lifter: A network in evaluation mode that was trained with `lifter.uncertainty`.
        cameras: As in `lift`.
        keypoints: As in `lift`.
        confidence: As in `lift`.

    Returns:
        The covariance of each joint relative to the root, in each camera's axes [m^2]; NaN where
        the pose is. It is that of a normal distribution whose ellipsoid for 90 % was made to hold
        90 % of the errors; zero for a root of one joint.

    Raises:
        ValueError: If the lifter was trained without `lifter.uncertainty`.

    Example:
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> from selfsup_lifting.config import LifterSettings
        >>> recording = read_recordings(["synthetic"], ReadSettings())[0].select_views(["cam_2"])
        >>> settings = LifterSettings(width=8, blocks=1, uncertainty=True)
        >>> untrained = Lifter(recording.skeleton, settings).eval()
        >>> lift_covariances(untrained, recording.cameras, recording.keypoints).shape
        torch.Size([240, 1, 17, 3, 3])
    """
    require_lifter(lifter)
    return _in_chunks(lifter, lifter.covariances, cameras, keypoints, confidence)


@torch.no_grad()
def _in_chunks(
    lifter: Lifter,
    network: Callable[..., Tensor],
    cameras: Cameras,
    keypoints: Float[Tensor, "frames views joints 2"],
    confidence: Float[Tensor, "frames views joints"] | None,
) -> Float[Tensor, "frames views joints *values"]:
    """Evaluate a method of a network for every pose, in parts that bound the memory.

    A network that is being trained is evaluated too, and stays as it is.
    """
    require_lifter(lifter)
    require_kind("cameras", cameras, Cameras)
    require_kind("keypoints", keypoints, Tensor)
    shape = (*keypoints.shape[:1], cameras.views, len(lifter.skeleton.joints))
    require_shape("keypoints", keypoints, (*shape, 2))
    if confidence is not None:
        require_shape("confidence", confidence, shape)
        odd = (confidence < 0) | (confidence > LARGEST_CONFIDENCE)
        if (found := confidence[odd & keypoints.isfinite().all(dim=-1)]).numel():
            raise ValueError(f"`confidence` must be from 0 to 1, got {found[0].item():g}")
    require_pixels("`keypoints`", cameras, keypoints, confidence)
    device = next(lifter.parameters()).device
    rows = max(1, CHUNK // max(1, keypoints.shape[1]))
    with _in_evaluation(lifter):
        parts = [
            _evaluated(
                network, device, cameras, part,
                None if confidence is None else confidence[first:][:rows],
            )
            for first, part in zip(count(0, rows), keypoints.split(rows), strict=False)
        ]  # fmt: skip
    return torch.cat(parts)


def require_pixels(
    what: str,
    cameras: Cameras,
    keypoints: Float[Tensor, "*people joints 2"],
    confidence: Float[Tensor, "*people joints"] | None,
) -> None:
    """Refuse a person within one pixel: coordinates that are fractions of the image size."""
    if (cameras.intrinsics[:, 0, 0] < LEAST_FOCAL_PX).any():
        return
    seen = _detected(keypoints, confidence)
    reach = torch.where(seen[..., None], keypoints.abs(), 0.0).flatten(-2).amax(dim=-1)
    # Some detectors give zeros for a person that they did not find.
    if ((seen.sum(dim=-1) > 1) & (reach > 0) & (reach <= 1)).any():
        raise ValueError(
            f"{what}: expected pixels, got coordinates between -1 and 1; likely cause: fractions "
            "of the image size"
        )


def note_on_pictures(
    cameras: Cameras,
    keypoints: Float[Tensor, "frames views joints 2"],
    confidence: Float[Tensor, "frames views joints"] | None,
) -> str:
    """Name the cameras of which most joints are outside of the picture; empty if there is none."""
    if cameras.image_size is None:
        return ""
    seen = _detected(keypoints, confidence)
    beyond = (keypoints < 0) | (keypoints > cameras.image_size[:, None].to(keypoints.device))
    outside = (beyond.any(dim=-1) & seen).sum(dim=(0, 2)) > OUTSIDE * seen.sum(dim=(0, 2))
    names = [name for name, one in zip(cameras.names, outside.tolist(), strict=True) if one]
    if not names:
        return ""
    return (
        f"most joints are outside of the picture of {listed(names)}: are the pixels those of the "
        "calibrated picture?"
    )


def _detected(
    keypoints: Float[Tensor, "*people joints 2"], confidence: Float[Tensor, "*people joints"] | None
) -> Bool[Tensor, "*people joints"]:
    seen = keypoints.isfinite().all(dim=-1)
    return seen if confidence is None else seen & (confidence > 0).to(seen.device)


@contextmanager
def _in_evaluation(lifter: Lifter) -> Iterator[None]:
    """Evaluate without dropout and without a change of the statistics of the network."""
    was_training = lifter.training
    lifter.eval()
    try:
        yield
    finally:
        lifter.train(was_training)


def _evaluated(
    network: Callable[..., Tensor],
    device: torch.device,
    cameras: Cameras,
    keypoints: Float[Tensor, "frames views joints 2"],
    confidence: Float[Tensor, "frames views joints"] | None,
) -> Float[Tensor, "frames views joints *values"]:
    """Evaluate a part of the tracks; NaN where nothing was detected."""
    image = normalized_image(cameras, keypoints).float().flatten(0, 1)
    seen = image.isfinite().all(dim=-1)
    trust = seen.float() if confidence is None else confidence.float().flatten(0, 1)
    values = network(*(tensor.to(device) for tensor in (image, seen, trust))).cpu()
    blind = ~seen.any(dim=-1)
    values[blind] = torch.nan
    return values.view(*keypoints.shape[:-1], *values.shape[2:])


def placed_in_camera(
    poses: Float[Tensor, "*batch joints 3"], image: Float[Tensor, "*batch joints 2"]
) -> Float[Tensor, "*batch joints 3"]:
    """Translate each pose to where it fits its image best.

    Finds the translation t that minimizes the sum over joints of |(X + t) - (Z + t_z) (u, v, 1)|^2,
    which is linear in t; the size of the pose determines the distance.

    Args:
        poses: Joints relative to the root, in the camera's axes [m].
        image: Detections in normalized image coordinates [focal lengths]; NaN where missing.

    Returns:
        The poses in camera coordinates [m]; NaN where fewer than two joints were detected, or all
        in one place.
    """
    seen = image.isfinite().all(dim=-1, keepdim=True)
    target = torch.where(seen, image, 0.0)
    offset = torch.where(seen, poses[..., :2] - poses[..., 2:] * target, 0.0)
    count = seen.sum(dim=-2, keepdim=True).clamp(min=1)
    # With t_z given, t_x and t_y are means; without the means, one equation for t_z is left.
    mean_target, mean_offset = (one.sum(dim=-2, keepdim=True) / count for one in (target, offset))
    spread = torch.where(seen, target - mean_target, 0.0)
    square = spread.square().sum(dim=(-2, -1), keepdim=True)
    depth = (spread * offset).sum(dim=(-2, -1), keepdim=True) / square
    translation = torch.cat([depth * mean_target - mean_offset, depth], dim=-1)
    return torch.where(square > 0, poses + translation, torch.nan)
