"""Simulated recordings of a stick figure that walks, reaches and turns; the truth is exact."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from math import tau

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from multiview_geom import Cameras
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.reader import Reader, ReadResult
from selfsup_lifting.recording import Recording, Source
from selfsup_lifting.simulation.bvh import rotation_about
from selfsup_lifting.simulation.detector_noise import film, generator_for
from selfsup_lifting.simulation.rigs import simulated_rig
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton

SUBJECTS = ("S1", "S2", "S3", "S4")
FRAMES = 240
FPS = 30.0
ANKLE_HEIGHT = 0.08

Angle = Float[Tensor, "frames"]
Place = Float[Tensor, "frames 3"]

# Length of the bone that ends in each joint, of a person 1.75 m tall [m].
_BONE_LENGTHS = {
    "hip": 0.13, "knee": 0.44, "ankle": 0.43, "spine": 0.24, "thorax": 0.25, "nose": 0.16,
    "head_top": 0.12, "shoulder": 0.16, "elbow": 0.28, "wrist": 0.25,
}  # fmt: skip
STATURE_SPREAD = 0.08
BONE_SPREAD = 0.05


@dataclass(frozen=True)
class Posture:
    """The joint angles of a body over the frames [rad]; all zero is standing straight.

    Attributes:
        heading: Rotation of the body about the vertical, from the world's x axis.
        lean: Forward bend of the torso.
        sway: Bend of the torso to the left.
        twist: Rotation of the shoulders to the left, relative to the hips.
        thigh: Forward swing of the left and the right thigh.
        spread: Outward swing of the left and the right thigh.
        knee: Bend of the left and the right knee.
        arm: Forward swing of the left and the right upper arm.
        lift: Outward lift of the left and the right upper arm.
        elbow: Bend of the left and the right elbow.
        path: Position of the pelvis on the floor [m].
    """

    heading: Angle
    lean: Angle
    sway: Angle
    twist: Angle
    thigh: tuple[Angle, Angle]
    spread: tuple[Angle, Angle]
    knee: tuple[Angle, Angle]
    arm: tuple[Angle, Angle]
    lift: tuple[Angle, Angle]
    elbow: tuple[Angle, Angle]
    path: Float[Tensor, "frames 2"]


def _recognizes(_: object) -> bool:
    """Return False: no file is a synthetic recording."""
    return False


def _read(_: object, settings: ReadSettings) -> list[ReadResult]:
    """Simulate every subject and action; the seed fixes the result."""
    cameras = simulated_rig(settings)
    parts = product(SUBJECTS, ACTIONS)
    return [ReadResult(_recording(*part, cameras, settings)) for part in parts]


READER = Reader("synthetic", _recognizes, _read)


def _recording(subject: str, action: str, cameras: Cameras, settings: ReadSettings) -> Recording:
    skeleton = SKELETONS["h36m17"]
    generator = generator_for(settings.simulation_seed, f"{subject} {action}")
    body = _body_of(subject, settings.simulation_seed, skeleton)
    truth = pose(ACTIONS[action](generator), body, skeleton)
    seen = film(cameras, truth, settings.noise, generator, skeleton)
    return Recording(
        f"synthetic {subject} {action}", subject, action, FPS, skeleton, cameras, *seen,
        truth=truth.float(),
        source=Source("synthetic"),
    )  # fmt: skip


def _body_of(subject: str, seed: int, skeleton: Skeleton) -> Float[Tensor, "joints"]:
    """Draw the bone lengths of a person; left and right are equal."""
    generator = generator_for(seed, subject)
    stature = 1 + STATURE_SPREAD * (2 * torch.rand((), generator=generator).item() - 1)
    lengths = {
        part: stature * length * (1 + BONE_SPREAD * torch.randn((), generator=generator).item())
        for part, length in _BONE_LENGTHS.items()
    }
    parts = [joint.removeprefix("left_").removeprefix("right_") for joint in skeleton.joints]
    return torch.tensor([lengths.get(part, 0.0) for part in parts], dtype=torch.float64)


def pose(
    posture: Posture, bone_lengths: Float[Tensor, "joints"], skeleton: Skeleton
) -> Float[Tensor, "frames joints 3"]:
    """Compute the joints of a body from the directions and the lengths of its bones.

    Args:
        posture: The angles over the frames.
        bone_lengths: Length of the bone that ends in each joint [m].
        skeleton: Human3.6M's joints, parents before children.

    Returns:
        The joints in the world [m], the lower ankle at `ANKLE_HEIGHT` above the floor.
    """
    direction = _bone_directions(posture)
    places: list[Place] = [torch.zeros(len(posture.heading), 3, dtype=torch.float64)]
    for joint in range(1, len(skeleton.joints)):
        bone = bone_lengths[joint] * direction[skeleton.joints[joint]]
        places.append(places[skeleton.parents[joint]] + bone)
    body = torch.stack(places, dim=1)
    ankles = [skeleton.joints.index("left_ankle"), skeleton.joints.index("right_ankle")]
    floor = body[:, ankles, 2].amin(dim=1) - ANKLE_HEIGHT
    return body + torch.cat([posture.path, -floor[:, None]], dim=1)[:, None]


def _bone_directions(posture: Posture) -> dict[str, Place]:
    """Return the direction of every bone by the joint in which it ends."""
    hips = rotation_about(2, posture.heading.cos(), posture.heading.sin())
    bent = _lean(posture.lean / 2, posture.sway / 2)
    twist = rotation_about(2, posture.twist.cos(), posture.twist.sin())
    chest = hips @ (_lean(posture.lean, posture.sway) @ twist)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    nod = torch.tensor([0.5, 0.0, 0.866], dtype=torch.float64)
    crown = torch.tensor([-0.4, 0.0, 0.917], dtype=torch.float64)
    directions = {
        "spine": hips @ bent @ up,
        "thorax": chest @ up,
        "nose": chest @ nod,
        "head_top": chest @ crown,
    }
    left = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    for which, (side, outward) in enumerate((("left", 1.0), ("right", -1.0))):
        thigh, knee, spread = posture.thigh[which], posture.knee[which], posture.spread[which]
        arm, elbow, lift = posture.arm[which], posture.elbow[which], posture.lift[which]
        directions |= {
            f"{side}_hip": hips @ (outward * left),
            f"{side}_knee": _rotated(hips, _hanging(thigh, spread, outward)),
            f"{side}_ankle": _rotated(hips, _hanging(thigh - knee, spread, outward)),
            f"{side}_shoulder": chest @ (outward * left),
            f"{side}_elbow": _rotated(chest, _hanging(arm, lift, outward)),
            f"{side}_wrist": _rotated(chest, _hanging(arm + elbow, lift / 2, outward)),
        }
    return directions


def _hanging(forward: Angle, outward: Angle, side: float) -> Place:
    """Return the direction of a hanging limb that is swung forward and then outward."""
    down = outward.cos()
    return torch.stack([forward.sin() * down, side * outward.sin(), -forward.cos() * down], dim=-1)


def _rotated(frame: Float[Tensor, "frames 3 3"], direction: Place) -> Place:
    return (frame @ direction[..., None])[..., 0]


def _lean(forward: Angle, left: Angle) -> Float[Tensor, "frames 3 3"]:
    """Return the rotation that bends forward (about y) and to the left (about -x)."""
    pitch = rotation_about(1, forward.cos(), forward.sin())
    return pitch @ rotation_about(0, left.cos(), -left.sin())


def _walking(generator: Generator) -> Posture:
    """Walk in a circle of about 1.5 m radius, with the arms opposite to the legs."""
    draw = _Draw(generator)
    stride = draw.between(0.85, 1.15) * tau * draw.seconds + draw.between(0.0, tau)
    swing, turn = draw.between(0.35, 0.55), draw.sign() * draw.between(0.35, 0.6)
    angle = turn * draw.seconds + draw.between(0.0, tau)
    radius = draw.between(1.0, 1.6)
    return Posture(
        heading=angle + (tau / 4 if turn > 0 else -tau / 4) + draw.drift(0.15),
        lean=0.08 + draw.drift(0.06),
        sway=draw.drift(0.05),
        twist=0.15 * stride.sin() + draw.drift(0.1),
        thigh=(swing * stride.sin() + 0.05, -swing * stride.sin() + 0.05),
        spread=(0.05 + draw.drift(0.04), 0.05 + draw.drift(0.04)),
        knee=(_step_knee(stride), _step_knee(stride + tau / 2)),
        arm=(-0.7 * swing * stride.sin(), 0.7 * swing * stride.sin() + draw.drift(0.2)),
        lift=(0.15 + draw.drift(0.1), 0.15 + draw.drift(0.1)),
        elbow=(0.4 + draw.drift(0.25), 0.4 + draw.drift(0.25)),
        path=radius * torch.stack([angle.cos(), angle.sin()], dim=-1),
    )


def _step_knee(stride: Angle) -> Angle:
    """Return a knee that bends while its thigh swings forward."""
    return 0.15 + 0.8 * stride.cos().clamp(min=0) ** 2


def _reaching(generator: Generator) -> Posture:
    """Stand and reach with both hands, bend and crouch."""
    draw = _Draw(generator)
    crouch = draw.drift(0.35).abs()
    return Posture(
        heading=draw.between(0.0, tau) + draw.drift(0.6),
        lean=0.25 + draw.drift(0.35),
        sway=draw.drift(0.2),
        twist=draw.drift(0.5),
        thigh=(crouch + draw.drift(0.05), crouch + draw.drift(0.05)),
        spread=(0.12 + draw.drift(0.05), 0.12 + draw.drift(0.05)),
        knee=(1.8 * crouch + 0.05, 1.8 * crouch + 0.05),
        arm=(0.9 + draw.drift(0.9), 0.9 + draw.drift(0.9)),
        lift=(0.4 + draw.drift(0.5), 0.4 + draw.drift(0.5)),
        elbow=(0.7 + draw.drift(0.5), 0.7 + draw.drift(0.5)),
        path=torch.stack([draw.drift(0.3), draw.drift(0.3)], dim=-1),
    )


def _turning(generator: Generator) -> Posture:
    """Turn in place with small steps and moving arms."""
    draw = _Draw(generator)
    stride = draw.between(1.0, 1.4) * tau * draw.seconds
    turn = draw.sign() * draw.between(0.7, 1.2)
    return Posture(
        heading=turn * draw.seconds + draw.between(0.0, tau) + draw.drift(0.3),
        lean=0.05 + draw.drift(0.1),
        sway=draw.drift(0.12),
        twist=0.2 * turn + draw.drift(0.25),
        thigh=(0.12 * stride.sin() + 0.12, -0.12 * stride.sin() + 0.12),
        spread=(0.1 + draw.drift(0.08), 0.1 + draw.drift(0.08)),
        knee=(0.25 + 0.25 * stride.sin(), 0.25 - 0.25 * stride.sin()),
        arm=(0.3 + draw.drift(0.6), 0.3 + draw.drift(0.6)),
        lift=(0.7 + draw.drift(0.5), 0.7 + draw.drift(0.5)),
        elbow=(0.6 + draw.drift(0.5), 0.6 + draw.drift(0.5)),
        path=torch.stack([draw.drift(0.4), draw.drift(0.4)], dim=-1),
    )


ACTIONS: Mapping[str, Callable[[Generator], Posture]] = {
    "walking": _walking,
    "reaching": _reaching,
    "turning": _turning,
}


class _Draw:
    """The random numbers of one recording."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.seconds: Angle = torch.arange(FRAMES, dtype=torch.float64) / FPS

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=self.generator).item()

    def sign(self) -> float:
        return 1.0 if self.between(-1.0, 1.0) > 0 else -1.0

    def drift(self, size: float) -> Angle:
        """Return a slow random motion: waves of 0.1 to 0.8 Hz with the given deviation in sum."""
        hertz = torch.tensor([self.between(0.1, 0.8) for _ in range(4)], dtype=torch.float64)
        phase = torch.tensor([self.between(0.0, tau) for _ in range(4)], dtype=torch.float64)
        waves = (tau * hertz * self.seconds[:, None] + phase).sin()
        return size * waves.sum(dim=1) / 2**0.5
