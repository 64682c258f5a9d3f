"""A simulated 2D detector: errors of many kinds, missing joints and confidences."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from multiview_geom import Cameras
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.simulation.body_errors import (
    drift,
    hidden_by_body,
    limb_factors,
    limbs_of,
    pose_bias,
)
from selfsup_lifting.simulation_settings import NoiseSettings
from selfsup_lifting.skeleton.skeletons import Skeleton

# The error at which the confidence is one half [px]: with the default rig, good joints have a
# confidence of 0.9 and outliers one below 0.3, as those of heatmap detectors.
HALF_CONFIDENCE_PX = 10.0
HALF_PIXEL = 0.5
# The standard deviation of the logarithm of the detector's estimate of an outlier's error.
OUTLIER_LOG_ERROR_DEVIATION = 1.0
# The formats, as recordings name them, that this detector films.
SIMULATED = {"synthetic", "BVH"}


class Detections(NamedTuple):
    """Detected keypoints [px], NaN where missing, and their confidence from 0 to 1."""

    keypoints: Float[Tensor, "frames views joints 2"]
    confidence: Float[Tensor, "frames views joints"]


class Body(NamedTuple):
    """What the errors of a detector depend on, besides the pixels.

    Attributes:
        skeleton: The joints.
        hidden: Which joints the body hides from each camera.
    """

    skeleton: Skeleton
    hidden: Bool[Tensor, "frames views joints"]


def detect(
    pixels: Float[Tensor, "frames views joints 2"],
    image_size: Int[Tensor, "views 2"],
    noise: NoiseSettings,
    generator: Generator,
    body: Body | None = None,
) -> Detections:
    """Simulate a 2D detector.

    Args:
        pixels: The true projection of each joint [px]; NaN where it cannot be seen.
        image_size: Width and height of each view [px]; joints outside are missing.
        noise: The errors of the detector.
        generator: The source of randomness.
        body: The body; without it no error depends on it.

    Returns:
        Pixels and confidences in float32.
    """
    # The deviations are log-normal; their root mean square is the jitter.
    spread = noise.confidence_spread * _normal(pixels.shape[:3], generator)
    typical = noise.jitter_px * torch.exp(spread - noise.confidence_spread**2)
    outlier = _chance(noise.outlier_share, pixels.shape[:3], generator)
    error = typical[..., None] * _normal(pixels.shape, generator)
    error += noise.bias_px * _normal((1, *pixels.shape[1:]), generator)
    astray = noise.outlier_px * 0.5**0.5 * _normal(pixels.shape, generator)
    seen = _inside(pixels, image_size) & ~_runs(
        pixels.shape[:3], noise.occluded_share, noise.occlusion_frames, generator
    )
    size = _relative_size(pixels, noise.body_px)
    estimate = torch.where(outlier, noise.outlier_px, typical)
    if body is not None:
        error, estimate = _with_body(error, estimate, pixels, noise, generator, body)
        if noise.hidden_missing > 0:
            seen &= ~(body.hidden & _chance(noise.hidden_missing, seen.shape, generator))
    error = size[..., None, None] * torch.where(outlier[..., None], astray, error)
    keypoints = pixels.float() + error
    confidence = _confidence(estimate, outlier, noise, generator)
    if body is not None and noise.swapped_share > 0:
        keypoints = _swapped(keypoints, body.skeleton, noise, generator)
        seen &= keypoints.isfinite().all(dim=-1)
    return Detections(
        torch.where(seen[..., None], keypoints, torch.nan), torch.where(seen, confidence, 0.0)
    )


def film(
    cameras: Cameras,
    points: Float[Tensor, "frames joints 3"],
    noise: NoiseSettings,
    generator: Generator,
    skeleton: Skeleton | None = None,
) -> Detections:
    """Project world points and run the simulated detector on every view.

    Args:
        cameras: The cameras with image sizes, in the unit of the points.
        points: The joints in the world; NaN where unknown.
        noise: The errors of the detector.
        generator: The source of randomness.
        skeleton: The joints' skeleton; without it no error depends on the body.

    Returns:
        Pixels, distorted by the lens, and confidences; joints behind a camera or outside its
        image are missing.
    """
    if cameras.image_size is None:
        raise ValueError("`cameras` must have image sizes, got None")
    frames, joints, _ = points.shape
    flat = points.to(cameras.intrinsics).reshape(frames * joints, 3)
    seen = cameras.project(flat)
    pixels = torch.where(seen.valid[..., None], seen.pixels, torch.nan)
    by_frame = pixels.reshape(cameras.views, frames, joints, 2).transpose(0, 1)
    body = None if skeleton is None else Body(skeleton, _hidden(cameras, points, skeleton, noise))
    return detect(by_frame, cameras.image_size, noise, generator, body)


def has_simulated(recordings: Sequence[Recording]) -> bool:
    """Return whether the detections of some recordings are simulated."""
    return any(one.source.format in SIMULATED for one in recordings)


def require_use_of_simulation(
    recordings: Sequence[Recording], read: ReadSettings, usual: ReadSettings
) -> None:
    """Raise a ValueError if a simulation is described, but nothing is simulated, or vice versa.

    Args:
        recordings: The recordings.
        read: The settings that they were read with.
        usual: The settings that nobody asked for.
    """
    is_simulated = has_simulated(recordings)
    if read.noise != usual.noise and not is_simulated:
        raise ValueError(
            "`noise` sets the errors of simulated detections, but the detections of all recordings "
            "are real: leave out --noise-level and --noise"
        )
    if read.rig != usual.rig and not is_simulated:
        raise ValueError(
            "`rig` describes the cameras of simulated recordings, but all recordings are real: "
            "leave out --rig"
        )
    if read.simulation_seed != usual.simulation_seed and not is_simulated:
        raise ValueError(
            "`simulation_seed` draws simulated detections, but all are real: leave it out"
        )
    if read.rig != usual.rig and read.cameras is not None:
        raise ValueError("`rig` describes simulated cameras, which `cameras` replaces: name one")


def generator_for(seed: int, name: str) -> Generator:
    """Return the generator of one recording; it does not depend on other recordings."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def _confidence(
    typical: Float[Tensor, "frames views joints"],
    outlier: Bool[Tensor, "frames views joints"],
    noise: NoiseSettings,
    generator: Generator,
) -> Float[Tensor, "frames views joints"]:
    """Estimate the error of each keypoint, better for good ones than for outliers."""
    deviation = torch.where(outlier, OUTLIER_LOG_ERROR_DEVIATION, noise.confidence_error)
    estimate = typical * torch.exp(deviation * _normal(typical.shape, generator))
    return 1 / (1 + (estimate / HALF_CONFIDENCE_PX) ** 2)


def _with_body(
    error: Float[Tensor, "frames views joints 2"],
    estimate: Float[Tensor, "frames views joints"],
    pixels: Float[Tensor, "frames views joints 2"],
    noise: NoiseSettings,
    generator: Generator,
    body: Body,
) -> tuple[Float[Tensor, "frames views joints 2"], Float[Tensor, "frames views joints"]]:
    """Add the errors that depend on time and pose, and enlarge those of difficult joints."""
    if noise.drift_px > 0:
        error = error + noise.drift_px * drift(error.shape, noise, generator)
    if noise.pose_bias_px > 0:
        error = error + noise.pose_bias_px * pose_bias(pixels, _diagonal(pixels))
    factor = limb_factors(body.skeleton, noise.end_factor)
    factor = factor * torch.where(body.hidden, noise.hidden_factor, 1.0)
    return factor[..., None] * error, factor * estimate


def _swapped(
    keypoints: Float[Tensor, "frames views joints 2"],
    skeleton: Skeleton,
    noise: NoiseSettings,
    generator: Generator,
) -> Float[Tensor, "frames views joints 2"]:
    """Exchange left and right of arms or legs in sequences of frames."""
    limbs = limbs_of(skeleton)
    shape = (*keypoints.shape[:2], len(limbs))
    swapped = _runs(shape, noise.swapped_share, noise.occlusion_frames, generator)
    mixture = keypoints.clone()
    for limb, pairs in enumerate(limbs):
        for pair in (*pairs, *(pair[::-1] for pair in pairs)):
            mixture[:, :, pair[0]] = torch.where(
                swapped[..., limb, None], keypoints[:, :, pair[1]], keypoints[:, :, pair[0]]
            )
    return mixture


def _hidden(
    cameras: Cameras,
    points: Float[Tensor, "frames joints 3"],
    skeleton: Skeleton,
    noise: NoiseSettings,
) -> Bool[Tensor, "frames views joints"]:
    if noise.hidden_factor == 1 and noise.hidden_missing == 0:
        return torch.zeros(len(points), cameras.views, points.shape[1], dtype=torch.bool)
    return hidden_by_body(cameras, points, skeleton)


def _inside(
    pixels: Float[Tensor, "frames views joints 2"], image_size: Int[Tensor, "views 2"]
) -> Bool[Tensor, "frames views joints"]:
    """Return which pixels are in the image: their centers are integers; NaN is outside."""
    return ((pixels > -HALF_PIXEL) & (pixels < image_size[:, None] - HALF_PIXEL)).all(dim=-1)


def _relative_size(
    pixels: Float[Tensor, "frames views joints 2"], body_px: float
) -> Float[Tensor, "frames views"]:
    """Return the size of the body in the image, relative to the given one; 1 if that is zero."""
    if body_px == 0:
        return torch.ones(pixels.shape[:2])
    return _diagonal(pixels) / body_px


def _diagonal(pixels: Float[Tensor, "frames views joints 2"]) -> Float[Tensor, "frames views"]:
    """Return the diagonal of the box around the joints that are before the camera [px]."""
    known = pixels.isfinite()
    low = torch.where(known, pixels, torch.inf).amin(dim=2)
    high = torch.where(known, pixels, -torch.inf).amax(dim=2)
    size: Tensor = (high - low).clamp(min=0).norm(dim=-1)
    return size.float()


def _runs(
    shape: torch.Size | tuple[int, ...], share: float, length: float, generator: Generator
) -> Bool[Tensor, "frames *sightings"]:
    """Draw sequences of frames, by a two-state Markov chain of the given share and mean length."""
    frames, *sightings = shape
    if share in {0, 1}:
        return torch.full(shape, bool(share))
    leave = 1 / length
    enter = min(1.0, leave * share / (1 - share))
    chosen = [_chance(share, sightings, generator)]
    for _ in range(1, frames):
        chance = torch.where(chosen[-1], 1 - leave, enter)
        chosen.append(torch.rand(sightings, generator=generator) < chance)
    return torch.stack(chosen)[:frames]


def _normal(shape: torch.Size | tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


def _chance(
    share: float, shape: torch.Size | list[int], generator: Generator
) -> Bool[Tensor, "..."]:
    return torch.rand(shape, generator=generator) < share
