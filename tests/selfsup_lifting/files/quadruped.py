"""A four-legged animal trotting before a rig: a skeleton that is no human's."""

from math import tau

import torch
from torch import Tensor

from multiview_geom import ring_of_cameras
from selfsup_lifting.recording import Recording
from selfsup_lifting.simulation.detector_noise import film, generator_for
from selfsup_lifting.simulation_settings import NoiseSettings
from selfsup_lifting.skeleton.skeletons import Skeleton

TOML = """
name = "dog15"
joints = [
    "nose", "withers", "tail_base",
    "left_shoulder", "left_elbow", "left_forepaw", "right_shoulder", "right_elbow", "right_forepaw",
    "left_hip", "left_knee", "left_hindpaw", "right_hip", "right_knee", "right_hindpaw",
]
bones = [
    ["withers", "nose"], ["withers", "tail_base"],
    ["withers", "left_shoulder"], ["left_shoulder", "left_elbow"], ["left_elbow", "left_forepaw"],
    ["withers", "right_shoulder"], ["right_shoulder", "right_elbow"],
    ["right_elbow", "right_forepaw"],
    ["tail_base", "left_hip"], ["left_hip", "left_knee"], ["left_knee", "left_hindpaw"],
    ["tail_base", "right_hip"], ["right_hip", "right_knee"], ["right_knee", "right_hindpaw"],
]
root = ["withers"]
"""
FRAMES, FPS = 240, 30.0
UPPER_LEG, LOWER_LEG = 0.26, 0.24


def trot(skeleton: Skeleton, generator: torch.Generator) -> Tensor:
    """Move an animal in a round: diagonal legs together, neck and back bending."""
    seconds = torch.arange(FRAMES, dtype=torch.float64) / FPS

    def drift(size: float) -> Tensor:
        hertz = 0.1 + 0.6 * torch.rand(3, generator=generator, dtype=torch.float64)
        phase = tau * torch.rand(3, generator=generator, dtype=torch.float64)
        return size * (tau * hertz * seconds[:, None] + phase).sin().sum(dim=1) * (2 / 3) ** 0.5

    size = 0.85 + 0.3 * torch.rand((), generator=generator).item()
    turn = 0.4 + 0.3 * torch.rand((), generator=generator).item()
    stride = tau * 1.3 * seconds
    place = {"withers": torch.stack([0 * seconds, 0 * seconds, 0.6 + drift(0.02)], dim=-1)}
    bend, pitch = drift(0.25), drift(0.12)
    place["tail_base"] = place["withers"] - 0.6 * _direction(bend, pitch)
    place["nose"] = place["withers"] + 0.45 * _direction(drift(0.5), 0.5 + drift(0.35))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for girdle, joint, middle, paw, phase in (
            ("withers", "shoulder", "elbow", "forepaw", 0.0),
            ("tail_base", "hip", "knee", "hindpaw", tau / 2),
        ):
            step = stride + phase + (0.0 if side == "left" else tau / 2)
            swing, fold = 0.5 * step.sin() + drift(0.15), 0.4 + 0.4 * step.cos().clamp(min=0)
            at = place[girdle] + torch.tensor([0.0, 0.12 * sign, -0.08], dtype=torch.float64)
            place[f"{side}_{joint}"] = at
            place[f"{side}_{middle}"] = at + UPPER_LEG * _leg(swing + fold / 2)
            place[f"{side}_{paw}"] = place[f"{side}_{middle}"] + LOWER_LEG * _leg(swing - fold / 2)
    body = size * torch.stack([place[joint] for joint in skeleton.joints], dim=1)
    angle = turn * seconds + tau * torch.rand((), generator=generator).item()
    path = 0.7 * torch.stack([angle.sin(), -angle.cos(), 0 * angle], dim=-1)
    return _turned(body, angle) + path[:, None]


def recording(
    skeleton: Skeleton, number: int, *, missing: float = 0.0, run: float = 1.0
) -> Recording:
    """Film one animal, with a share of its sightings missing in runs of some frames."""
    cameras = ring_of_cameras(4, 3.0, 1.2, target_height=0.4, dtype=torch.float64)
    truth = trot(skeleton, generator_for(number, "animal"))
    noise = NoiseSettings(occluded_share=missing, occlusion_frames=run)
    seen = film(cameras, truth, noise, generator_for(number, "noise"))
    return Recording(
        name=f"dog {number}",
        subject=f"D{number}",
        action="trotting",
        fps=FPS,
        skeleton=skeleton,
        cameras=cameras,
        keypoints=seen.keypoints,
        confidence=seen.confidence,
        truth=truth.float(),
    )


def _direction(yaw: Tensor, pitch: Tensor) -> Tensor:
    return torch.stack([yaw.cos() * pitch.cos(), yaw.sin() * pitch.cos(), pitch.sin()], dim=-1)


def _leg(forward: Tensor) -> Tensor:
    return torch.stack([forward.sin(), 0 * forward, -forward.cos()], dim=-1)


def _turned(points: Tensor, angle: Tensor) -> Tensor:
    x, y, z = points.unbind(dim=-1)
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y, z], dim=-1)
