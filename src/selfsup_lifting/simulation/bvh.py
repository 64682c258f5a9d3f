"""BVH motion capture: a hierarchy of joints, and their channels over the frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from selfsup_lifting.read_errors import ReadError

CHANNELS = frozenset(f"{axis}{kind}" for axis in "XYZ" for kind in ("position", "rotation"))


@dataclass(frozen=True)
class Joint:
    """One joint of a hierarchy.

    Attributes:
        name: What the file calls it.
        parent: The joint it hangs on; -1 for the root.
        offset: From the parent, in the parent's frame [units of the file].
        channels: What its numbers in a frame mean, in order.
        end: From the joint to the end of its last bone, in its own frame; None without one.
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
class Placed:
    """Where each joint is and how it is turned, in the frame of the file."""

    positions: Float[Tensor, "frames joints 3"]
    rotations: Float[Tensor, "frames joints 3 3"]


def load_bvh(path: Path) -> Motion:
    """Read a BVH file.

    Args:
        path: The file.

    Returns:
        Its hierarchy and its motion, in float64.

    Raises:
        ReadError: If it is no BVH or is damaged; the sentence names the line or the frame.
    """
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    motion = next((number for number, line in enumerate(lines) if line.strip() == "MOTION"), None)
    if motion is None:
        raise ReadError(f"{path}: no line says MOTION; the file is no BVH, or is cut short")
    joints = _Hierarchy(path, lines[:motion]).read()
    frames, seconds = _motion_header(path, lines, motion)
    names = [f"{channel} of {joint.name}" for joint in joints for channel in joint.channels]
    return Motion(joints, 1 / seconds, _numbers(path, lines, motion + 3, frames, names))


def place(motion: Motion) -> Placed:
    """Walk the hierarchy from the root outward.

    A position channel replaces the offset of its axis; rotations turn in the order of the
    channels, each about the axes the one before has turned.

    Args:
        motion: The hierarchy and its channels.

    Returns:
        Every joint in the frame of the file.
    """
    positions: list[Tensor] = []
    rotations: list[Tensor] = []
    turns = motion.channels.deg2rad()
    numbers = torch.stack([motion.channels, turns.cos(), turns.sin()])
    first = 0
    for joint in motion.joints:
        translation, rotation = _local(joint, numbers[..., first : first + len(joint.channels)])
        first += len(joint.channels)
        if joint.parent >= 0:
            turned = rotations[joint.parent]
            translation = positions[joint.parent] + (turned @ translation[..., None])[..., 0]
            rotation = turned @ rotation
        positions.append(translation)
        rotations.append(rotation)
    return Placed(torch.stack(positions, dim=1), torch.stack(rotations, dim=1))


def _local(joint: Joint, numbers: Float[Tensor, "3 frames channels"]) -> tuple[Tensor, Tensor]:
    """Read one joint's translation and rotation from its channels, their cosines and sines."""
    translation = numbers.new_tensor(joint.offset).repeat(numbers.shape[1], 1)
    rotation = torch.eye(3, dtype=numbers.dtype).repeat(numbers.shape[1], 1, 1)
    for channel, (value, cosine, sine) in zip(joint.channels, numbers.unbind(-1), strict=True):
        axis = "XYZ".index(channel[0])
        if channel.endswith("position"):
            translation[:, axis] = value
        else:
            rotation = rotation @ _turn_about(axis, cosine, sine)
    return translation, rotation


def _turn_about(
    axis: int, cosine: Float[Tensor, "frames"], sine: Float[Tensor, "frames"]
) -> Float[Tensor, "frames 3 3"]:
    following, last = (axis + 1) % 3, (axis + 2) % 3
    rotation = torch.eye(3, dtype=cosine.dtype).repeat(len(cosine), 1, 1)
    rotation[:, following, following] = rotation[:, last, last] = cosine
    rotation[:, last, following] = sine
    rotation[:, following, last] = -sine
    return rotation


class _Hierarchy:
    """The words of a HIERARCHY section, read one after the other."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self.path = path
        self.words = _numbered_words(lines)
        self.line = 1
        self.joints: list[Joint] = []

    def read(self) -> tuple[Joint, ...]:
        if self._next() != "HIERARCHY" or self._next() != "ROOT":
            raise self._error("expected HIERARCHY and ROOT")
        self._read_joint(-1)
        return tuple(self.joints)

    def _read_joint(self, parent: int) -> None:
        name = self._next()
        self._expect("{")
        offset = self._read_offset()
        index = len(self.joints)
        self.joints.append(Joint(name, parent, offset, self._read_channels()))
        while (word := self._next()) != "}":
            if word == "JOINT":
                self._read_joint(index)
            elif word == "End":
                self._read_end(index)
            else:
                raise self._error(f"expected JOINT, End Site or }}, got {word}")

    def _read_end(self, index: int) -> None:
        self._expect("Site")
        self._expect("{")
        joint = self.joints[index]
        end = self._read_offset()
        self.joints[index] = Joint(joint.name, joint.parent, joint.offset, joint.channels, end)
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
        return ReadError(f"{self.path}, line {self.line}: {what}")


def _numbered_words(lines: list[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        for word in line.replace("{", " { ").replace("}", " } ").split():
            yield number, word


def _motion_header(path: Path, lines: list[str], motion: int) -> tuple[int, float]:
    """Read how many frames there are and how long each lasts [s]."""
    try:
        frames = int(lines[motion + 1].split("Frames:")[1])
        seconds = float(lines[motion + 2].split("Frame Time:")[1])
    except (IndexError, ValueError):
        raise ReadError(
            f"{path}, line {motion + 2}: expected `Frames: N` and `Frame Time: seconds`"
        ) from None
    if frames < 1 or not 0 < seconds < np.inf:
        raise ReadError(
            f"{path}, line {motion + 2}: a motion of {frames} frames of {seconds} s is none"
        )
    return frames, seconds


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
        raise ReadError(
            f"{path}: the header promises {frames} frames, {len(rows)} lines follow; "
            "the file is cut short or was edited"
        )
    for frame, (number, row) in enumerate(rows):
        if len(row) != len(names):
            raise ReadError(
                f"{path}, line {number}, frame {frame}: expected {len(names)} numbers, "
                f"got {len(row)}"
            )
    return torch.from_numpy(_finite(path, rows, names))


def _finite(path: Path, rows: list[tuple[int, list[str]]], names: list[str]) -> NDArray[np.float64]:
    try:
        numbers = np.array([row for _, row in rows], dtype=np.float64)
    except ValueError:
        numbers = np.array([[_number(word) for word in row] for _, row in rows])
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        frame, channel = wrong[0]
        number, row = rows[frame]
        raise ReadError(
            f"{path}, line {number}, frame {frame}: expected a finite number for {names[channel]}, "
            f"got {row[channel]!r}"
        )
    return numbers


def _number(word: str) -> float:
    """Read a word; NaN where it is no number."""
    try:
        return float(word)
    except ValueError:
        return np.nan
