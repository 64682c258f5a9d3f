"""BVH motion capture: a hierarchy of joints, and their channels over the frames."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from selfsup_lifting.parse.text import read_text
from selfsup_lifting.read_errors import Place, ReadError

# More joints in a chain are no body.
LONGEST_CHAIN = 200
# No body is so far away, and no joint turns so far; of a larger angle, little is left [degrees].
LARGEST = 1e9
# The time from frame to frame: that of any system that captures motion [s].
SHORTEST_FRAME, LONGEST_FRAME = 1e-4, 1.0
CHANNELS = frozenset(f"{axis}{kind}" for axis in "XYZ" for kind in ("position", "rotation"))


@dataclass(frozen=True)
class Joint:
    """One joint of a hierarchy.

    Attributes:
        name: The name in the file.
        parent: The index of the parent; -1 for the root.
        offset: The position relative to the parent, in the parent's frame [units of the file].
        channels: The meaning of the joint's numbers in a frame, in order.
        end: The end of its last bone relative to the joint, in its own frame; None without one.
    """

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[str, ...]
    end: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Motion:
    """A hierarchy in motion.

    Attributes:
        joints: Parents before children.
        fps: Frames per second [1/s].
        channels: The numbers of every frame, joint after joint [units of the file, degrees].
    """

    joints: tuple[Joint, ...]
    fps: float
    channels: Float[Tensor, "frames channels"]


@dataclass(frozen=True)
class JointPoses:
    """The position and the rotation of each joint, in the frame of the file."""

    positions: Float[Tensor, "frames joints 3"]
    rotations: Float[Tensor, "frames joints 3 3"]


def load_bvh(path: Path) -> Motion:
    """Read a BVH file.

    Args:
        path: The file.

    Returns:
        Its hierarchy and its motion, in float64.

    Raises:
        ReadError: If it is not a BVH file or is damaged; the message names the line or the frame.
    """
    lines = read_text(path, errors="replace").splitlines()
    motion = next((number for number, line in enumerate(lines) if line.strip() == "MOTION"), None)
    if motion is None:
        raise Place(path).error("expected a line MOTION; the file is not BVH, or is cut short")
    joints = _Hierarchy(path, lines[:motion]).read()
    frames, seconds = _motion_header(path, lines, motion)
    names = [f"{channel} of {joint.name}" for joint in joints for channel in joint.channels]
    return Motion(joints, 1 / seconds, _numbers(path, lines, motion + 3, frames, names))


def joint_poses(motion: Motion) -> JointPoses:
    """Compute the joints from the root outward (forward kinematics).

    A position channel replaces the offset of its axis. Rotations are intrinsic, in the order of
    the channels.

    Args:
        motion: The hierarchy and its channels.

    Returns:
        The pose of every joint in the frame of the file.
    """
    positions: list[Tensor] = []
    rotations: list[Tensor] = []
    angles = motion.channels.deg2rad()
    numbers = torch.stack([motion.channels, angles.cos(), angles.sin()])
    first = 0
    for joint in motion.joints:
        translation, rotation = _local(joint, numbers[..., first : first + len(joint.channels)])
        first += len(joint.channels)
        if joint.parent >= 0:
            parent = rotations[joint.parent]
            translation = positions[joint.parent] + (parent @ translation[..., None])[..., 0]
            rotation = parent @ rotation
        positions.append(translation)
        rotations.append(rotation)
    return JointPoses(torch.stack(positions, dim=1), torch.stack(rotations, dim=1))


def _local(joint: Joint, numbers: Float[Tensor, "3 frames channels"]) -> tuple[Tensor, Tensor]:
    """Compute a joint's translation and rotation from its channels, their cosines and sines."""
    translation = numbers.new_tensor(joint.offset).repeat(numbers.shape[1], 1)
    rotation = torch.eye(3, dtype=numbers.dtype).repeat(numbers.shape[1], 1, 1)
    for channel, (value, cosine, sine) in zip(joint.channels, numbers.unbind(-1), strict=True):
        axis = "XYZ".index(channel[0])
        if channel.endswith("position"):
            translation[:, axis] = value
        else:
            rotation = rotation @ rotation_about(axis, cosine, sine)
    return translation, rotation


def rotation_about(
    axis: int, cosine: Float[Tensor, "frames"], sine: Float[Tensor, "frames"]
) -> Float[Tensor, "frames 3 3"]:
    """Return rotations about a coordinate axis, 0 to 2, by angles with this cosine and sine."""
    following, last = (axis + 1) % 3, (axis + 2) % 3
    rotation = torch.eye(3, dtype=cosine.dtype).repeat(len(cosine), 1, 1)
    rotation[:, following, following] = rotation[:, last, last] = cosine
    rotation[:, last, following] = sine
    rotation[:, following, last] = -sine
    return rotation


class _Hierarchy:
    """A parser of the HIERARCHY section, word by word."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self.path = path
        self.words = (
            (number, word)
            for number, line in enumerate(lines, start=1)
            for word in line.replace("{", " { ").replace("}", " } ").split()
        )
        self.line = 1
        self.joints: list[Joint] = []
        self.names: set[str] = set()

    def read(self) -> tuple[Joint, ...]:
        if self._next() != "HIERARCHY" or self._next() != "ROOT":
            raise self._error("expected HIERARCHY and ROOT")
        self._read_joint(-1, 1)
        more = next(self.words, None)
        if more is not None:
            self.line = more[0]
            raise self._error(f"expected MOTION after one skeleton, got {more[1]}: several people?")
        return tuple(self.joints)

    def _read_joint(self, parent: int, depth: int) -> None:
        name = self._next()
        if name in self.names:
            raise self._error(f"expected joints of different names, got {name} again")
        self.names.add(name)
        if depth > LONGEST_CHAIN:
            raise self._error(f"expected at most {LONGEST_CHAIN} joints from the root to {name}")
        self._expect("{")
        offset = self._read_offset()
        index = len(self.joints)
        self.joints.append(Joint(name, parent, offset, self._read_channels()))
        while (word := self._next()) != "}":
            if word == "JOINT":
                self._read_joint(index, depth + 1)
            elif word == "End":
                self._read_end(index)
            else:
                raise self._error(f"expected JOINT, End Site or }}, got {word}")

    def _read_end(self, index: int) -> None:
        self._expect("Site")
        self._expect("{")
        self.joints[index] = replace(self.joints[index], end=self._read_offset())
        self._expect("}")

    def _read_offset(self) -> tuple[float, float, float]:
        self._expect("OFFSET")
        return self._number(), self._number(), self._number()

    def _read_channels(self) -> tuple[str, ...]:
        self._expect("CHANNELS")
        channels = tuple(self._next() for _ in range(int(self._number())))
        unknown = [channel for channel in channels if channel not in CHANNELS]
        if unknown:
            raise self._error(f"unknown channel {unknown[0]}")
        if len({*channels}) < len(channels):
            raise self._error(f"one of the channels {', '.join(channels)} appears twice")
        return channels

    def _number(self) -> float:
        word = self._next()
        try:
            number = float(word)
        except ValueError:
            raise self._error(f"expected a number, got {word}") from None
        if not np.isfinite(number):
            raise self._error(f"expected a finite number, got {word}")
        return number

    def _expect(self, expected: str) -> None:
        word = self._next()
        if word != expected:
            raise self._error(f"expected {expected}, got {word}")

    def _next(self) -> str:
        try:
            self.line, word = next(self.words)
        except StopIteration:
            raise self._error("the hierarchy ends too early") from None
        return word

    def _error(self, what: str) -> ReadError:
        return Place(self.path, f"line {self.line}").error(what)


def _motion_header(path: Path, lines: list[str], motion: int) -> tuple[int, float]:
    """Read the number of frames and the time of one frame [s]."""
    count = _of_header(path, lines, motion + 1, "Frames:")
    seconds = _of_header(path, lines, motion + 2, "Frame Time:")
    place = Place(path, f"line {motion + 2}")
    if not count.is_integer():
        raise place.error(f"expected a whole number of frames, got {count:g}")
    frames = int(count)
    if frames < 1 or not 0 < seconds < np.inf:
        raise place.error(f"expected at least one frame, got {frames} frames of {seconds} s")
    if not SHORTEST_FRAME <= seconds <= LONGEST_FRAME:
        place = Place(path, f"line {motion + 3}")
        raise place.error(f"expected the seconds of a frame, got {seconds:g}: in another unit?")
    return frames, seconds


def _of_header(path: Path, lines: list[str], at: int, name: str) -> float:
    """Read the number after a name in a line."""
    line = lines[at].strip() if at < len(lines) else "the end of the file"
    try:
        return float(line.split(name)[1])
    except (IndexError, ValueError):
        place, comma = Place(path, f"line {at + 1}"), ": a decimal comma" if "," in line else ""
        raise place.error(f"expected `{name}` and a number, got {line!r:.60}{comma}") from None


def _numbers(
    path: Path, lines: list[str], first: int, frames: int, names: list[str]
) -> Float[Tensor, "frames channels"]:
    """Read the numbers of every frame, from the lines that follow the header."""
    rows = [
        (number, line.split())
        for number, line in enumerate(lines[first:], start=first + 1)
        if line.strip()
    ]
    if len(rows) != frames:
        second = [number for number, row in rows if row[0] in {"HIERARCHY", "MOTION"}]
        cause = f"in line {second[0]} another motion begins" if second else "the file was edited"
        raise Place(path).error(
            f"expected {frames} frames as in the header, got {len(rows)} lines; "
            f"{'the file is cut short' if len(rows) < frames else cause}"
        )
    for frame, (number, row) in enumerate(rows):
        if len(row) != len(names):
            place = Place(path, f"line {number}", frame=frame)
            raise place.error(f"expected {len(names)} numbers, got {len(row)}")
    return torch.from_numpy(_finite(path, rows, names))


def _finite(path: Path, rows: list[tuple[int, list[str]]], names: list[str]) -> NDArray[np.float64]:
    try:
        numbers = np.array([row for _, row in rows], dtype=np.float64)
    except ValueError:
        numbers = np.array([[_number(word) for word in row] for _, row in rows])
    wrong = np.argwhere(~(np.abs(numbers) < LARGEST))
    if len(wrong):
        frame, channel = wrong[0]
        number, row = rows[frame]
        place = Place(path, f"line {number}", frame=int(frame))
        is_finite = np.isfinite(numbers[frame, channel])
        what = f"a number below {LARGEST:g}" if is_finite else "a finite number"
        raise place.expected(f"{what} for {names[channel]}", row[channel])
    return numbers


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return np.nan
