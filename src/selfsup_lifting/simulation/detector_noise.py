"""A simulated 2D detector: jitter, bias, outliers, occlusion and confidence."""

import hashlib
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from multiview_geom import Cameras
from selfsup_lifting.simulation_settings import NoiseSettings

# The error at which the confidence is one half [px]: with the default rig, good joints have a
# confidence of 0.9 and outliers one below 0.3, as those of heatmap detectors.
HALF_CONFIDENCE_PX = 10.0
HALF_PIXEL = 0.5
# The standard deviation of the logarithm of the detector's estimate of its own error.
LOG_ERROR_DEVIATION = 0.3
OUTLIER_LOG_ERROR_DEVIATION = 1.0


class Detections(NamedTuple):
    """Detected keypoints [px], NaN where missing, and their confidence from 0 to 1."""

    keypoints: Float[Tensor, "frames views joints 2"]
    confidence: Float[Tensor, "frames views joints"]


def detect(
    pixels: Float[Tensor, "frames views joints 2"],
    image_size: Int[Tensor, "views 2"],
    noise: NoiseSettings,
    generator: Generator,
) -> Detections:
    """Simulate a 2D detector.

    Args:
        pixels: The true projection of each joint [px]; NaN where it cannot be seen.
        image_size: Width and height of each view [px]; joints outside are missing.
        noise: The errors of the detector.
        generator: The source of randomness.

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
    # Pixel centers are integers; NaN is outside.
    inside = ((pixels > -HALF_PIXEL) & (pixels < image_size[:, None] - HALF_PIXEL)).all(dim=-1)
    seen = inside & ~_occluded(pixels.shape[:3], noise, generator)
    keypoints = pixels.float() + torch.where(outlier[..., None], astray, error)
    confidence = _confidence(torch.where(outlier, noise.outlier_px, typical), outlier, generator)
    return Detections(
        torch.where(seen[..., None], keypoints, torch.nan), torch.where(seen, confidence, 0.0)
    )


def film(
    cameras: Cameras,
    points: Float[Tensor, "frames joints 3"],
    noise: NoiseSettings,
    generator: Generator,
) -> Detections:
    """Project world points and run the simulated detector on every view.

    Args:
        cameras: The cameras with image sizes, in the unit of the points.
        points: The joints in the world; NaN where unknown.
        noise: The errors of the detector.
        generator: The source of randomness.

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
    return detect(by_frame, cameras.image_size, noise, generator)


def generator_for(seed: int, name: str) -> Generator:
    """Return the generator of one recording; it does not depend on other recordings."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def _confidence(
    typical: Float[Tensor, "frames views joints"],
    outlier: Bool[Tensor, "frames views joints"],
    generator: Generator,
) -> Float[Tensor, "frames views joints"]:
    """Estimate the error of each keypoint, better for good ones than for outliers."""
    deviation = torch.where(outlier, OUTLIER_LOG_ERROR_DEVIATION, LOG_ERROR_DEVIATION)
    estimate = typical * torch.exp(deviation * _normal(typical.shape, generator))
    return 1 / (1 + (estimate / HALF_CONFIDENCE_PX) ** 2)


def _occluded(
    shape: torch.Size, noise: NoiseSettings, generator: Generator
) -> Bool[Tensor, "frames views joints"]:
    """Hide joints in runs, by a two-state Markov chain of the given share and mean length."""
    frames, *sightings = shape
    share = noise.occluded_share
    if share in {0, 1}:
        return torch.full(shape, bool(share))
    leave = 1 / noise.occlusion_frames
    enter = min(1.0, leave * share / (1 - share))
    hidden = [_chance(share, sightings, generator)]
    for _ in range(1, frames):
        chance = torch.where(hidden[-1], 1 - leave, enter)
        hidden.append(torch.rand(sightings, generator=generator) < chance)
    return torch.stack(hidden)[:frames]


def _normal(shape: torch.Size | tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


def _chance(
    share: float, shape: torch.Size | list[int], generator: Generator
) -> Bool[Tensor, "..."]:
    return torch.rand(shape, generator=generator) < share
