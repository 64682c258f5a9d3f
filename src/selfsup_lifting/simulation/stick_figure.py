"""A stick figure walking, reaching and turning before a rig; truth known exactly."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import tau
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from multiview_geom import Cameras
from selfsup_lifting.config import ReadSettings
from selfsup_lifting.reader import Reader, ReadResult
from selfsup_lifting.recording import Recording, Source
from selfsup_lifting.simulation.detector_noise import film, generator_for
from selfsup_lifting.simulation.rigs import simulated_rig
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton

SUBJECTS = ("S1", "S2", "S3", "S4")
FRAMES_PER_TAKE = 240
FPS = 30.0
ANKLE_HEIGHT = 0.08

Angle = Float[Tensor, "frames"]
Place = Float[Tensor, "frames 3"]

# Length of the bone that ends in each joint, of a person 1.75 m tall [m].
_BONE_LENGTHS = MappingProxyType(
    {
        "hip": 0.13,
        "knee": 0.44,
        "ankle": 0.43,
        "spine": 0.24,
        "thorax": 0.25,
        "nose": 0.16,
        "head_top": 0.12,
        "shoulder": 0.16,
        "elbow": 0.28,
        "wrist": 0.25,
    }
)
STATURE_SPREAD = 0.08
BONE_SPREAD = 0.05


@dataclass(frozen=True)
class Posture:
    """A body in motion, as angles [rad] over the frames; all zero is standing straight.

    Attributes:
        heading: Where the body faces: turn about the vertical from the world's x axis.
        lean: Torso bent forward.
        sway: Torso bent to the left.
        twist: Shoulders turned left against the hips.
        thigh: Left and right thigh swung forward.
        spread: Left and right thigh swung outward.
        knee: Left and right knee bent.
        arm: Left and right upper arm swung forward.
        lift: Left and right upper arm lifted outward.
        elbow: Left and right elbow bent.
        path: Where the pelvis is over the floor [m].
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


def recognizes(_: object) -> bool:
    """Nothing on disk is a synthetic take."""
    return False


def read(_: object, settings: ReadSettings) -> list[ReadResult]:
    """Film every subject doing everything; the same seed gives the same takes."""
    cameras = simulated_rig(settings)
    return [
        ReadResult(_film_take(subject, action, cameras, settings))
        for subject in SUBJECTS
        for action in ACTIONS
    ]


READER = Reader("synthetic", recognizes, read)


def _film_take(subject: str, action: str, cameras: Cameras, settings: ReadSettings) -> Recording:
    skeleton = SKELETONS["h36m17"]
    generator = generator_for(settings.simulation_seed, f"{subject} {action}")
    body = _body_of(subject, settings.simulation_seed, skeleton)
    truth = pose(ACTIONS[action](generator), body, skeleton)
    seen = film(cameras, truth, settings.noise, generator)
    return Recording(
        name=f"synthetic {subject} {action}",
        subject=subject,
        action=action,
        fps=FPS,
        skeleton=skeleton,
        cameras=cameras,
        keypoints=seen.keypoints,
        confidence=seen.confidence,
        truth=truth.float(),
        source=Source("synthetic"),
    )


def _body_of(subject: str, seed: int, skeleton: Skeleton) -> Float[Tensor, "joints"]:
    """Draw a person's bones: some are tall, and no two are built alike; left is as right."""
    generator = generator_for(seed, subject)
    stature = 1 + STATURE_SPREAD * (2 * torch.rand((), generator=generator).item() - 1)
    own = {
        part: stature * length * (1 + BONE_SPREAD * torch.randn((), generator=generator).item())
        for part, length in _BONE_LENGTHS.items()
    }
    parts = [joint.removeprefix("left_").removeprefix("right_") for joint in skeleton.joints]
    return torch.tensor([own.get(part, 0.0) for part in parts], dtype=torch.float64)


def pose(
    posture: Posture, bone_lengths: Float[Tensor, "joints"], skeleton: Skeleton
) -> Float[Tensor, "frames joints 3"]:
    """Place the joints of a body: every bone has its direction and its length.

    Args:
        posture: The angles over the frames.
        bone_lengths: Length of the bone that ends in each joint.
        skeleton: Human3.6M's joints, parents before children.

    Returns:
        The joints in the world, the lower ankle at `ANKLE_HEIGHT` above the floor.
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
    """Point every bone, named by the joint it ends in: x forward, y left, z up, then turned."""
    hips = _turn_about_z(posture.heading)
    bent = _lean(posture.lean / 2, posture.sway / 2)
    torso = _lean(posture.lean, posture.sway) @ _turn_about_z(posture.twist)
    chest = hips @ torso
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
            f"{side}_knee": _turned(hips, _hanging(thigh, spread, outward)),
            f"{side}_ankle": _turned(hips, _hanging(thigh - knee, spread, outward)),
            f"{side}_shoulder": chest @ (outward * left),
            f"{side}_elbow": _turned(chest, _hanging(arm, lift, outward)),
            f"{side}_wrist": _turned(chest, _hanging(arm + elbow, lift / 2, outward)),
        }
    return directions


def _hanging(forward: Angle, outward: Angle, side: float) -> Place:
    """Point a limb that hangs down, swung forward and then outward."""
    return torch.stack(
        [
            forward.sin() * outward.cos(),
            side * outward.sin(),
            -forward.cos() * outward.cos(),
        ],
        dim=-1,
    )


def _turned(frame: Float[Tensor, "frames 3 3"], direction: Place) -> Place:
    return (frame @ direction[..., None])[..., 0]


def _turn_about_z(angle: Angle) -> Float[Tensor, "frames 3 3"]:
    sine, cosine, zero, one = angle.sin(), angle.cos(), angle * 0, angle * 0 + 1
    rows = [[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one]]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _lean(forward: Angle, left: Angle) -> Float[Tensor, "frames 3 3"]:
    """Tip the vertical forward (about y) and to the left (about -x)."""
    sine, cosine, zero, one = forward.sin(), forward.cos(), forward * 0, forward * 0 + 1
    about_y = [[cosine, zero, sine], [zero, one, zero], [-sine, zero, cosine]]
    side_sine, side_cosine = left.sin(), left.cos()
    about_x = [[one, zero, zero], [zero, side_cosine, side_sine], [zero, -side_sine, side_cosine]]
    pitch, roll = (
        torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
        for rows in (about_y, about_x)
    )
    return pitch @ roll


def _walking(generator: Generator) -> Posture:
    """Walk a round of about a metre and a half, arms against legs."""
    draw = _Draw(generator)
    stride = draw.between(0.85, 1.15) * tau * draw.seconds + draw.between(0.0, tau)
    swing, turn = draw.between(0.35, 0.55), draw.sign() * draw.between(0.35, 0.6)
    round_angle = turn * draw.seconds + draw.between(0.0, tau)
    radius = draw.between(1.0, 1.6)
    return Posture(
        heading=round_angle + (tau / 4 if turn > 0 else -tau / 4) + draw.drift(0.15),
        lean=0.08 + draw.drift(0.06),
        sway=draw.drift(0.05),
        twist=0.15 * stride.sin() + draw.drift(0.1),
        thigh=(swing * stride.sin() + 0.05, -swing * stride.sin() + 0.05),
        spread=(0.05 + draw.drift(0.04), 0.05 + draw.drift(0.04)),
        knee=(_step_knee(stride), _step_knee(stride + tau / 2)),
        arm=(-0.7 * swing * stride.sin(), 0.7 * swing * stride.sin() + draw.drift(0.2)),
        lift=(0.15 + draw.drift(0.1), 0.15 + draw.drift(0.1)),
        elbow=(0.4 + draw.drift(0.25), 0.4 + draw.drift(0.25)),
        path=radius * torch.stack([round_angle.cos(), round_angle.sin()], dim=-1),
    )


def _step_knee(stride: Angle) -> Angle:
    """Bend the knee while its thigh swings forward."""
    return 0.15 + 0.8 * stride.cos().clamp(min=0) ** 2


def _reaching(generator: Generator) -> Posture:
    """Stand and reach about with both hands, bending and crouching."""
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
    """Turn on the spot with small steps, arms held out and moving."""
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


ACTIONS: Mapping[str, Callable[[Generator], Posture]] = MappingProxyType(
    {"walking": _walking, "reaching": _reaching, "turning": _turning}
)


class _Draw:
    """The random numbers of one take."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.seconds: Angle = torch.arange(FRAMES_PER_TAKE, dtype=torch.float64) / FPS

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=self.generator).item()

    def sign(self) -> float:
        return 1.0 if self.between(-1.0, 1.0) > 0 else -1.0

    def drift(self, size: float) -> Angle:
        """Wander slowly: waves of 0.1 to 0.8 Hz, together of the given deviation."""
        hertz = torch.tensor([self.between(0.1, 0.8) for _ in range(4)], dtype=torch.float64)
        phase = torch.tensor([self.between(0.0, tau) for _ in range(4)], dtype=torch.float64)
        waves = (tau * hertz * self.seconds[:, None] + phase).sin()
        return size * waves.sum(dim=1) / 2**0.5
