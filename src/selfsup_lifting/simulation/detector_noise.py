"""What a 2D detector gets wrong: jitter, outliers, occlusion, bias, confidence."""

import hashlib
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from multiview_geom import Cameras
from selfsup_lifting.config import NoiseSettings

# The error at which a detector's confidence has fallen to one half [px]: with it, good joints
# of the default rig come out at 0.9 and outliers below 0.3, as heatmap detectors report them.
HALF_CONFIDENCE_PX = 10.0
# How well a detector knows its own error: the deviation of the logarithm of its guess.
SELF_KNOWLEDGE = 0.3
OUTLIER_SELF_KNOWLEDGE = 1.0


class Detections(NamedTuple):
    """What a detector reports: pixels, NaN where missing, and its trust from 0 to 1."""

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
        pixels: Where each joint truly appears [px]; NaN where it cannot be seen.
        image_size: Width and height of each view [px]; what lies outside is missing.
        noise: What the detector gets wrong.
        generator: Where the randomness comes from.

    Returns:
        Pixels and confidences in float32.
    """
    typical = _typical_error(pixels.shape[:3], noise, generator)
    outlier = _chance(noise.outlier_share, pixels.shape[:3], generator)
    error = typical[..., None] * _normal(pixels.shape, generator)
    error += noise.bias_px * _normal((1, *pixels.shape[1:]), generator)
    astray = noise.outlier_px * 0.5**0.5 * _normal(pixels.shape, generator)
    seen = _inside(pixels, image_size) & ~_occluded(pixels.shape[:3], noise, generator)
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
    """Film world points with a rig and run the simulated detector on every view.

    Args:
        cameras: The rig, with its image sizes, in the unit of the points.
        points: Where the joints are in the world; NaN where unknown.
        noise: What the detector gets wrong.
        generator: Where the randomness comes from.

    Returns:
        Pixels, lens included, and confidences; missing behind a camera and outside its picture.
    """
    if cameras.image_size is None:
        raise ValueError("`cameras` must know their image sizes to film")
    frames, joints, _ = points.shape
    flat = points.to(cameras.intrinsics).reshape(frames * joints, 3)
    seen = cameras.project(flat)
    pixels = torch.where(seen.valid[..., None], seen.pixels, torch.nan)
    by_frame = pixels.reshape(cameras.views, frames, joints, 2).transpose(0, 1)
    return detect(by_frame, cameras.image_size, noise, generator)


def generator_for(seed: int, name: str) -> Generator:
    """Return the randomness that belongs to a take, whatever else is read in the same run."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def _typical_error(
    shape: torch.Size, noise: NoiseSettings, generator: Generator
) -> Float[Tensor, "frames views joints"]:
    """Draw each sighting's own deviation, log-normal; their root mean square is the jitter."""
    spread = noise.confidence_spread
    return noise.jitter_px * torch.exp(spread * _normal(shape, generator) - spread**2)


def _confidence(
    typical: Float[Tensor, "frames views joints"],
    outlier: Bool[Tensor, "frames views joints"],
    generator: Generator,
) -> Float[Tensor, "frames views joints"]:
    """Let the detector guess its own error, better for good sightings than for outliers."""
    doubt = torch.where(outlier, OUTLIER_SELF_KNOWLEDGE, SELF_KNOWLEDGE)
    guess = typical * torch.exp(doubt * _normal(typical.shape, generator))
    return 1 / (1 + (guess / HALF_CONFIDENCE_PX) ** 2)


def _occluded(
    shape: torch.Size, noise: NoiseSettings, generator: Generator
) -> Bool[Tensor, "frames views joints"]:
    """Hide joints in runs: a two-state chain with the wanted share and mean length of a run."""
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


def _inside(
    pixels: Float[Tensor, "frames views joints 2"], image_size: Int[Tensor, "views 2"]
) -> Bool[Tensor, "frames views joints"]:
    """Tell what lies in the picture; pixel centres are integers, and NaN is outside."""
    edge = image_size[:, None, :] - 0.5
    return ((pixels > -0.5) & (pixels < edge)).all(dim=-1)  # noqa: PLR2004 - half a pixel


def _normal(shape: torch.Size | tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


def _chance(
    share: float, shape: torch.Size | list[int], generator: Generator
) -> Bool[Tensor, "..."]:
    return torch.rand(shape, generator=generator) < share
