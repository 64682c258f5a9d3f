"""A recording: cameras, 2D keypoints, confidences, and maybe the truth."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import inf
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from types import UnionType
from typing import Any

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.mapped import collect
from selfsup_lifting.read_errors import listed
from selfsup_lifting.read_settings import HIGHEST_FPS, LOWEST_FPS
from selfsup_lifting.safe_text import spelled_as
from selfsup_lifting.skeleton.joint_mapping import joint_mapping, map_joints
from selfsup_lifting.skeleton.skeletons import Skeleton

# Frames that are worked on at once: bounds the memory for long recordings.
PART_FRAMES = 2_000


@dataclass(frozen=True)
class Source:
    """What a recording was read from.

    Attributes:
        format: The program or dataset that wrote the files: "OpenPose", "BVH", ...; "native" if
            this package made the recording.
        path: The file or folder; None if there is none.
        dataset: The published dataset that the recording belongs to, by the name of its reader:
            "human36m", "humaneva" or "mpi_inf_3dhp"; None for all other data.
        markers: The name of each joint, and its name in the files; empty if the files number the
            joints.
        calibration: The file or folder with the cameras; None if they came with the keypoints.
    """

    format: str = "native"
    path: Path | None = None
    dataset: str | None = None
    markers: tuple[tuple[str, str], ...] = ()
    calibration: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain strings and lists, for files."""
        paths = {"path": self.path, "calibration": self.calibration}
        return {
            "format": self.format,
            "dataset": self.dataset,
            "markers": [list(pair) for pair in self.markers],
            **{key: None if path is None else str(path) for key, path in paths.items()},
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Source":
        """Build the source that `as_dict` wrote."""
        require_kind("source", plain, Mapping)
        for key in ("path", "calibration", "dataset"):
            require_kind(f"source.{key}", plain.get(key), str | None)
        known, markers = plain.get("format", cls.format), plain.get("markers", ())
        require_kind("source.format", known, str)
        if not isinstance(markers, list | tuple) or not all(map(_is_pair, markers)):
            raise ValueError(
                "`source.markers` must be a list of pairs, joint and its name in the files, got "
                f"{markers!r:.60}"
            )
        pairs = tuple((joint, name) for joint, name in markers)
        found = (plain.get(key) for key in ("path", "calibration"))
        path, calibration = (None if one is None else Path(one) for one in found)
        return cls(known, path, plain.get("dataset"), pairs, calibration)


@dataclass(frozen=True)
class Recording:
    """One synchronized sequence of one subject from several cameras.

    Attributes:
        name: The name of the recording.
        subject: The subject.
        action: What the subject does.
        fps: Frames per second [1/s].
        skeleton: The joints.
        cameras: The cameras, in float64 and meters, with image sizes; no two of one name.
        keypoints: The joints as detected in each view, distorted by the lens [px]; NaN where
            missing.
        confidence: The detector's confidence, from 0 to 1; 0 where missing. A detected joint whose
            confidence is negative or not finite is a ValueError that names its place; of long
            recordings, when `parts` comes to it. `inspect` counts confidences above 1.
        truth: The joints in the world [m], NaN where unknown; None if there is no truth.
        source: What the recording was read from.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> from selfsup_lifting import SKELETONS
        >>> rig, person = ring_of_cameras(2, radius=4.0, height=1.0), SKELETONS["coco17"]
        >>> pixels, confidence = torch.full((10, 2, 17, 2), 500.0), torch.ones(10, 2, 17)
        >>> recording = Recording("trial 1", "S1", "walking", 30.0, person, rig, pixels, confidence)
        >>> recording.frames(slice(0, 10, 2)).fps
        15.0
    """

    name: str
    subject: str
    action: str
    fps: float
    skeleton: Skeleton
    cameras: Cameras
    keypoints: Float[Tensor, "frames views joints 2"]
    confidence: Float[Tensor, "frames views joints"]
    truth: Float[Tensor, "frames joints 3"] | None = None
    source: Source = Source()

    def __post_init__(self) -> None:
        for name in ("name", "subject", "action"):
            require_kind(name, getattr(self, name), str)
        require_kind("keypoints", self.keypoints, Tensor)
        require_kind("skeleton", self.skeleton, Skeleton)
        require_kind("cameras", self.cameras, Cameras)
        names = self.cameras.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"`cameras` must have a name each, got several called {listed(twice)}")
        require_fps(self.fps)
        frames = len(self.keypoints) if self.keypoints.dim() else 0
        joints = len(self.skeleton.joints)
        require_shape("keypoints", self.keypoints, (frames, self.cameras.views, joints, 2))
        require_shape("confidence", self.confidence, (frames, self.cameras.views, joints))
        if self.truth is not None:
            require_shape("truth", self.truth, (frames, joints, 3))
        if frames <= PART_FRAMES:  # a long recording may be mapped from a file, and stays there
            self._require_confidences(slice(None))

    def _require_confidences(self, part: slice) -> None:
        """Refuse confidences of detected joints that are negative or not finite."""
        confidence = self.confidence[part]
        wrong = ~(confidence.isfinite() & (confidence >= 0))
        if wrong.any() and len(found := (wrong & _seen(self.keypoints[part])).nonzero()):
            frame, view, joint = found[0].tolist()
            raise ValueError(
                "`confidence` must be finite and not negative where a joint is detected, got "
                f"{confidence[frame, view, joint]:g} of {self.skeleton.joints[joint]} in camera "
                f"{self.cameras.names[view]}, frame {frame + (part.start or 0)}"
            )

    @property
    def frame_count(self) -> int:
        """The number of frames."""
        return self.keypoints.shape[0]

    def frames(self, chosen: slice) -> "Recording":
        """Return the chosen frames; a step, 1 or more, divides the frames per second."""
        require_kind("chosen", chosen, slice)
        bounds = [one for one in (chosen.start, chosen.stop, chosen.step) if one is not None]
        if not all(isinstance(one, Integral) for one in bounds) or (
            chosen.step is not None and chosen.step < 1
        ):
            raise ValueError(
                f"`chosen` must be a slice of whole numbers, with a step of 1 or more, got {chosen}"
            )
        return replace(
            self,
            fps=self.fps / (chosen.step or 1),
            keypoints=self.keypoints[chosen],
            confidence=self.confidence[chosen],
            truth=None if self.truth is None else self.truth[chosen],
        )

    @property
    def part_count(self) -> int:
        """The number of parts that `parts` yields."""
        return -(-max(1, self.frame_count) // PART_FRAMES)

    def parts(self, after: int = 0) -> Iterator["Recording"]:
        """Yield parts of `PART_FRAMES` frames; a recording without frames is one part.

        Args:
            after: How many frames of the next part each part has at its end too.
        """
        for part, _ in self.wider_parts(0, after):
            yield part

    def wider_parts(self, before: int, after: int) -> Iterator[tuple["Recording", int]]:
        """Yield parts with frames of their neighbors.

        Args:
            before: How many frames of the parts before each part has at its start too, if there
                are as many.
            after: How many frames of the parts after it each part has at its end too.

        Yields:
            Each part, and how many of its frames are before its own.
        """
        for first in range(0, max(1, self.frame_count), PART_FRAMES):
            more = min(first, before)
            part = slice(first - more, first + PART_FRAMES + after)
            self._require_confidences(part)
            yield self.frames(part), more

    def select_views(self, names: Sequence[str]) -> "Recording":
        """Return the recording of the named cameras only, in the given order.

        Raises:
            ValueError: If the names are no list of cameras, or one is unknown or given twice.
        """
        known, names = self.cameras.names, _list_of_names("names", names, self.cameras)
        if not names:
            raise ValueError("`names` must name a camera, got none")
        if len(set(names)) < len(names):
            raise ValueError(f"`names` must name each camera once, got {listed(names)}")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(
                f"no camera {listed(map(str, unknown))} in {self.name}; it has {listed(known)}"
            )
        order = [known.index(name) for name in names]
        return replace(
            self,
            cameras=self.cameras.select(order),
            keypoints=self.keypoints[:, order],
            confidence=self.confidence[:, order],
        )

    def to_skeleton(self, target: Skeleton) -> "Recording":
        """Return the recording with the joints of another skeleton, by `joint_mapping`.

        A target joint may be the average of several source joints, and so is its confidence; it
        is missing if any of them is.
        """
        require_kind("target", target, Skeleton)
        mapping = joint_mapping(self.skeleton, target)
        keypoints = map_joints(mapping, self.keypoints)
        known = self.confidence.nan_to_num()  # NaN of a missing joint would spread to others
        confidence = einsum(mapping, known, "to of, frame view of -> frame view to")
        return replace(
            self,
            skeleton=target,
            keypoints=keypoints,
            confidence=torch.where(_seen(keypoints), confidence, 0.0),
            truth=None if self.truth is None else map_joints(mapping, self.truth),
        )

    def with_exchanged_sides(self, cameras: Sequence[str]) -> "Recording":
        """Return the recording with left and right joints exchanged in some cameras.

        Raises:
            ValueError: If the names are no list of cameras, or there is no camera of a name.
        """
        sides = self.skeleton.mirror_order
        keypoints, confidence = self.keypoints.clone(), self.confidence.clone()
        for name in _list_of_names("cameras", cameras, self.cameras):
            if name not in self.cameras.names:
                raise ValueError(f"no camera {name!r}; there are {', '.join(self.cameras.names)}")
            view = self.cameras.names.index(name)
            keypoints[:, view] = self.keypoints[:, view, sides]
            confidence[:, view] = self.confidence[:, view, sides]
        return replace(self, keypoints=keypoints, confidence=confidence)

    def without_truth(self) -> "Recording":
        """Return the recording without its truth, as self-supervised training uses it."""
        return replace(self, truth=None)


def change_parts(
    recording: Recording, change: Callable[[Recording], Recording], *, around: int = 0
) -> Recording:
    """Change a recording part by part, so that a long one needs little memory.

    Args:
        recording: The recording.
        change: Returns a recording with as many frames.
        around: How many frames before and after a frame its result depends on.

    Returns:
        The same as `change(recording)`.
    """
    if recording.frame_count <= PART_FRAMES:
        return change(recording)
    changed = recording

    def changed_parts() -> Iterator[tuple[Tensor, ...]]:
        nonlocal changed
        for wider, before in recording.wider_parts(around, around):
            changed = change(wider).frames(slice(before, before + PART_FRAMES))
            tensors = (changed.keypoints, changed.confidence, changed.truth)
            yield tuple(one for one in tensors if one is not None)

    keypoints, confidence, *truth = collect(changed_parts(), recording.frame_count)
    return replace(
        changed, keypoints=keypoints, confidence=confidence, truth=truth[0] if truth else None
    )


def calibrations_of(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """Name the files or folders with the cameras of recordings, each once."""
    found = [one.source.calibration for one in recordings]
    return tuple(sorted({str(path) for path in found if path is not None}))


def _list_of_names(name: str, names: Sequence[str], cameras: Cameras) -> Sequence[str]:
    """Return names as the cameras spell them, also those in an array of NumPy; refuse one text."""
    names = names.tolist() if hasattr(names, "tolist") else names
    if isinstance(names, Sequence) and not isinstance(names, str):
        return [spelled_as(one, cameras.names) if isinstance(one, str) else one for one in names]
    raise ValueError(f"`{name}` must be a list of names of cameras, got {names!r}")


def require_kind(name: str, value: object, kind: type | UnionType) -> None:
    """Refuse an argument of another type, such as an array for a tensor, with a ValueError."""
    if isinstance(value, kind):
        return
    wanted = kind.__name__ if isinstance(kind, type) else str(kind)
    raise ValueError(f"`{name}` must be {wanted}, got {type(value).__name__}")


def require_positive(name: str, number: object) -> None:
    """Refuse what is no number, zero, and what is negative, infinite or NaN."""
    is_number = isinstance(number, Real) and not isinstance(number, bool)
    if not is_number or not 0 < number < inf:  # type: ignore[operator]
        raise ValueError(f"`{name}` must be a number, positive and finite, got {number!r}")


def as_path(name: str, value: str | PathLike[str]) -> Path:
    """Return the path of a file or folder; refuse what is none, such as a number."""
    require_kind(name, value, str | PathLike)
    return Path(value)


def distinct(names: Sequence[str]) -> list[str]:
    """Number the names that were there before, so that none is lost.

    Example:
        >>> distinct(["walk", "run", "walk"])
        ['walk', 'run', 'walk_2']
    """
    found: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in count(2))
        free = (one for one in numbered if one not in {*found, *names})
        found.append(next(free) if name in found else name)
    return found


def note_on_frames(chosen: slice, name: str, count: int) -> str:
    """Say if frames that somebody chose are beyond those that are there.

    Args:
        chosen: The frames, `first:end`.
        name: The name of what has frames.
        count: How many it has.

    Returns:
        A sentence; empty if all are there.

    Raises:
        ValueError: If none of them is there.
    """
    first, end = ("" if one is None else one for one in (chosen.start, chosen.stop))
    of = f"`frames` {first}:{end} chooses"
    from_zero = "they are counted from 0, the first frame of the recording"
    if not len(range(count)[chosen]):
        raise ValueError(f"{of} none of the {count} frames of {name}; {from_zero}")
    beyond = (chosen.stop or 0) > count or (chosen.start or 0) < -count
    few = len(range(count)[chosen])
    return f"{of} more frames than the {count} of {name}: {few} are used; {from_zero}" * beyond


def require_fps(fps: float | int) -> None:
    """Refuse what is no frame rate of any camera."""
    require_kind("fps", fps, int | float)
    if not LOWEST_FPS <= fps <= HIGHEST_FPS:
        limits = f"{LOWEST_FPS:g} to {HIGHEST_FPS:g}"
        raise ValueError(f"`fps` must be {limits} frames per second, got {fps}")


def _is_pair(value: object) -> bool:
    """Return whether a value is two texts."""
    if not isinstance(value, list | tuple) or len(value) != 2:  # noqa: PLR2004 - a pair
        return False
    return all(isinstance(one, str) for one in value)


def _seen(keypoints: Tensor) -> Tensor:
    return keypoints.isfinite().all(dim=-1)


def require_shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    """Refuse what is no dense tensor of real numbers, or has another shape, with a ValueError."""
    require_kind(name, tensor, Tensor)
    if tuple(tensor.shape) != expected:
        raise ValueError(f"`{name}` must have shape {expected}, got {tuple(tensor.shape)}")
    if not tensor.is_floating_point() or tensor.layout is not torch.strided:
        kind = tensor.dtype if tensor.layout is torch.strided else tensor.layout
        raise ValueError(f"`{name}` must be floating point and dense, got {kind}")
