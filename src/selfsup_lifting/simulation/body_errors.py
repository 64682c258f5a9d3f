"""Errors of a 2D detector that come from the body: hidden joints, swapped limbs, unusual poses."""

from math import pi

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from multiview_geom import Cameras
from selfsup_lifting.simulation_settings import NoiseSettings
from selfsup_lifting.skeleton.skeletons import Skeleton

# A bone hides what is behind it within this radius, at points along it [m].
THICKNESS, POINTS_ON_BONE = 0.08, 5
# The error that depends on the pose is a sum of so many random waves, which change as often as
# this within poses of unit size.
WAVES, WAVE_NUMBER = 32, 2.0


def limb_factors(skeleton: Skeleton, end_factor: float) -> Float[Tensor, "joints"]:
    """Return the factor of each joint's error: joints at the end of a limb are less certain."""
    factors = torch.ones(len(skeleton.joints))
    inner = {parent for parent, _ in skeleton.bones}
    for parent, joint in skeleton.bones:
        if joint not in inner:
            factors[joint] = end_factor
            factors[parent] = max(float(factors[parent]), end_factor**0.5)
    return factors


def hidden_by_body(
    cameras: Cameras, points: Float[Tensor, "frames joints 3"], skeleton: Skeleton
) -> Bool[Tensor, "frames views joints"]:
    """Return which joints the bones of the body hide from each camera.

    Args:
        cameras: The cameras, in meters.
        points: The joints in the world [m].
        skeleton: The bones; each is as thick as an arm.
    """
    if not skeleton.bones:
        return torch.zeros(len(points), cameras.views, points.shape[1], dtype=torch.bool)
    parents, children = torch.tensor(skeleton.bones).T
    along = torch.linspace(0, 1, POINTS_ON_BONE).to(points)[:, None, None]
    inside = torch.lerp(points[:, None, parents], points[:, None, children], along)
    joints = torch.arange(points.shape[1])
    own = (joints[:, None] == parents) | (joints[:, None] == children)
    hidden = [_hidden_from(center, points, inside, own) for center in cameras.centers.to(points)]
    return torch.stack(hidden, dim=1)


def limbs_of(skeleton: Skeleton) -> list[list[tuple[int, int]]]:
    """Group the pairs of left and right joints by limb: a knee belongs to its hip."""
    limb_of: dict[int, int] = {}
    limbs: list[list[tuple[int, int]]] = []
    for left, right in sorted(skeleton.mirrored, key=lambda pair: _depth(skeleton, pair[0])):
        limb = limb_of.get(skeleton.parents[left], len(limbs))
        if limb == len(limbs):
            limbs.append([])
        limbs[limb].append((left, right))
        limb_of[left] = limb
    return limbs


def pose_bias(
    pixels: Float[Tensor, "frames views joints 2"], diagonal: Float[Tensor, "frames views"]
) -> Float[Tensor, "frames views joints 2"]:
    """Return errors that depend on the pose in the image alone, as those of one trained detector.

    Args:
        pixels: The projected joints [px].
        diagonal: The size of the body in the image [px].

    Returns:
        Errors of unit variance: a smooth function of the pose, the same in every recording.
    """
    detector = Generator().manual_seed(0)
    shape = (pixels - pixels.nanmean(dim=2, keepdim=True)) / diagonal[..., None, None]
    shape = shape.nan_to_num(0.0).flatten(2).float()
    numbers = shape.shape[-1]
    frequencies = WAVE_NUMBER * torch.randn(numbers, WAVES, generator=detector)
    phases = 2 * pi * torch.rand(WAVES, generator=detector)
    mixture = torch.randn(WAVES, numbers, generator=detector) * (2 / WAVES) ** 0.5
    errors: Tensor = (shape @ frequencies + phases).cos() @ mixture
    return errors.reshape(pixels.shape)


def drift(
    shape: torch.Size, noise: NoiseSettings, generator: Generator
) -> Float[Tensor, "frames views joints 2"]:
    """Return errors of unit variance that change slowly: a process of first order."""
    memory = torch.tensor(-1.0 / noise.drift_frames).exp()
    states = [torch.randn(shape[1:], generator=generator)]
    for _ in range(1, shape[0]):
        innovation = torch.randn(shape[1:], generator=generator)
        states.append(memory * states[-1] + (1 - memory**2).sqrt() * innovation)
    return torch.stack(states)[: shape[0]]


def _hidden_from(
    center: Float[Tensor, "3"],
    points: Float[Tensor, "frames joints 3"],
    inside: Float[Tensor, "frames along bones 3"],
    own: Bool[Tensor, "joints bones"],
) -> Bool[Tensor, "frames joints"]:
    """Return which joints are behind a bone that they do not belong to."""
    ray = points - center
    distance = ray.norm(dim=-1)
    ray = ray / distance[..., None]
    depth = torch.einsum("fjc,fabc->fjab", ray, inside - center)
    squared = (inside - center).square().sum(dim=-1)[:, None] - depth.square()
    nearer = depth < distance[..., None, None] - THICKNESS
    return (nearer & (squared < THICKNESS**2) & ~own[:, None]).any(dim=-1).any(dim=-1)  # type: ignore[no-any-return]


def _depth(skeleton: Skeleton, joint: int) -> int:
    parent = skeleton.parents[joint]
    return 0 if parent < 0 else 1 + _depth(skeleton, parent)
