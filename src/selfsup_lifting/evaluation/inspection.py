"""What was recognised in a source, what is missing, and what looks wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import (
    CameraSummary,
    check_cameras,
    read_camera_file,
    summarize_cameras,
    world_to_camera,
)
from selfsup_lifting.config import ReadSettings
from selfsup_lifting.files import read_results
from selfsup_lifting.read_result import ReadResult
from selfsup_lifting.recording import Recording
from selfsup_lifting.triangulate import triangulate_recording

HISTOGRAM_BINS = 10
# A camera that sees less than this is worth a word.
LEAST_SEEN_SHARE = 0.5
# Without the camera that is wrong the others agree: their error falls below this share.
TELLING_DROP = 0.33
# Errors below this are what detectors make, whoever is to blame [px].
USUAL_ERROR_PX = 5.0
# No subject of a room-sized rig is smaller or larger [m].
SMALLEST_SUBJECT, LARGEST_SUBJECT = 0.02, 5.0
# Frames compared: bounds the time for long takes.
MOST_FRAMES = 500


@dataclass(frozen=True)
class Inspection:
    """What lies in a source.

    Attributes:
        reader: Which reader understood it.
        format: Who wrote the files.
        takes: What the takes are called.
        cameras: What the cameras are called, and their picture's width and height [px].
        frames: How many frames there are in all.
        fps: Frames per second, of every take that differs [1/s].
        skeleton: What the skeleton is called.
        joints: What its joints are called.
        missing_share: Share of all sightings that are missing.
        missing_per_camera: The same, by camera.
        missing_per_joint: The same, by joint.
        confidence_histogram: Share of the sightings in each tenth of the confidence.
        people: How many people each camera's detector saw at once, at most.
        units: What pixels, lengths and times count in, and the sizes that follow from it.
        truth: Whether there is a 3D truth.
        warnings: What was guessed and what looks wrong, a sentence each.
        rig: The cameras of the first take in numbers; lengths in metres.
    """

    reader: str
    format: str
    takes: tuple[str, ...]
    cameras: Mapping[str, tuple[int, int]]
    frames: int
    fps: tuple[float, ...]
    skeleton: str
    joints: tuple[str, ...]
    missing_share: float
    missing_per_camera: Mapping[str, float]
    missing_per_joint: Mapping[str, float]
    confidence_histogram: tuple[float, ...]
    people: Mapping[str, int]
    units: Mapping[str, str]
    truth: bool
    warnings: tuple[str, ...]
    rig: tuple[CameraSummary, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for `--json`."""
        return asdict(self)


def inspect_source(source: str, settings: ReadSettings) -> Inspection:
    """Say what lies in a file or folder.

    Args:
        source: What `read_recordings` reads.
        settings: What to make of it.

    Returns:
        What was recognised, what is missing and what looks wrong.

    Raises:
        ReadError: If it cannot be read at all.
    """
    takes = read_results(source, settings)
    recordings = [take.recording for take in takes]
    first = recordings[0]
    return Inspection(
        reader=takes[0].reader,
        format=" and ".join(sorted({recording.source.format for recording in recordings})),
        takes=tuple(recording.name for recording in recordings),
        cameras=_cameras(recordings),
        frames=sum(recording.frame_count for recording in recordings),
        fps=tuple(sorted({recording.fps for recording in recordings})),
        skeleton=first.skeleton.name,
        joints=first.skeleton.joints,
        missing_share=_missing_share(recordings),
        missing_per_camera=_missing_per_camera(recordings),
        missing_per_joint=_missing_per_joint(recordings),
        confidence_histogram=_histogram(recordings),
        people=_people(takes),
        units=_units(recordings),
        truth=any(recording.truth is not None for recording in recordings),
        warnings=tuple(dict.fromkeys(warning for take in takes for warning in _warnings(take))),
        rig=summarize_cameras(first.cameras),
    )


@dataclass(frozen=True)
class RigInspection:
    """What lies in a calibration file.

    Attributes:
        format: Who wrote it.
        unit: What its lengths count in, where the format says so.
        rig: The cameras in numbers; lengths in the file's unit.
        warnings: What cannot be right, a sentence each.
    """

    format: str
    unit: str | None
    rig: tuple[CameraSummary, ...]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for `--json`."""
        return asdict(self)


def inspect_calibration(path: Path) -> RigInspection:
    """Say what lies in a calibration file.

    Args:
        path: What `load_cameras` reads.

    Returns:
        Its cameras, and what cannot be right about them.

    Raises:
        ValueError: If it cannot be read.
    """
    file = read_camera_file(path)
    return RigInspection(
        format=file.format.value,
        unit=file.unit,
        rig=summarize_cameras(file.cameras),
        warnings=tuple(issue.message for issue in check_cameras(file.cameras)),
    )


def _cameras(recordings: Sequence[Recording]) -> dict[str, tuple[int, int]]:
    cameras: dict[str, tuple[int, int]] = {}
    for recording in recordings:
        sizes = recording.cameras.image_size
        for view, name in enumerate(recording.cameras.names):
            width, tall = (0, 0) if sizes is None else sizes[view].tolist()
            cameras[name] = (width, tall)
    return cameras


def _missing(recording: Recording) -> Float[Tensor, "frames views joints"]:
    return (~recording.keypoints.isfinite().all(dim=-1)).float()


def _missing_share(recordings: Sequence[Recording]) -> float:
    return float(torch.cat([_missing(recording).flatten() for recording in recordings]).mean())


def _missing_per_camera(recordings: Sequence[Recording]) -> dict[str, float]:
    parts: dict[str, list[Tensor]] = {}
    for recording in recordings:
        for view, name in enumerate(recording.cameras.names):
            parts.setdefault(name, []).append(_missing(recording)[:, view].flatten())
    return {name: float(torch.cat(part).mean()) for name, part in parts.items()}


def _missing_per_joint(recordings: Sequence[Recording]) -> dict[str, float]:
    parts: dict[str, list[Tensor]] = {}
    for recording in recordings:
        for joint, name in enumerate(recording.skeleton.joints):
            parts.setdefault(name, []).append(_missing(recording)[:, :, joint].flatten())
    return {name: float(torch.cat(part).mean()) for name, part in parts.items()}


def _histogram(recordings: Sequence[Recording]) -> tuple[float, ...]:
    scores = torch.cat([recording.confidence.flatten() for recording in recordings])
    seen = scores[scores > 0]
    counts = torch.histc(seen, bins=HISTOGRAM_BINS, min=0.0, max=1.0)
    return tuple((counts / max(1, len(seen))).tolist())


def _people(takes: Sequence[ReadResult]) -> dict[str, int]:
    people: dict[str, int] = {}
    for take in takes:
        for camera, count in take.people.items():
            people[camera] = max(count, people.get(camera, 0))
    return people


def _units(recordings: Sequence[Recording]) -> dict[str, str]:
    units = {"keypoints": "px", "lengths": "m", "time": "s"}
    wide = [recording for recording in recordings if recording.cameras.views > 1]
    if wide:
        centers = wide[0].cameras.centers
        units["rig"] = f"{float(torch.cdist(centers, centers).max()):.3g} m across"
        size = _subject_size(triangulate_recording(_some_frames(wide[0])).points)
        units["subject"] = f"{size:.3g} m across"
    return units


def _some_frames(recording: Recording) -> Recording:
    """Take frames from everywhere in the take, no more than are needed to judge it."""
    return recording.frames(slice(None, None, max(1, recording.frame_count // MOST_FRAMES)))


def _subject_size(points: Float[Tensor, "frames joints 3"]) -> float:
    """Return the diagonal of the subject's box on the median over the frames."""
    low = points.nan_to_num(torch.inf, torch.inf, torch.inf).amin(dim=1)
    high = points.nan_to_num(-torch.inf, -torch.inf, -torch.inf).amax(dim=1)
    size = (high - low).norm(dim=-1)
    known = size[size.isfinite()]
    return float(known.median()) if len(known) else torch.nan


def _warnings(take: ReadResult) -> list[str]:
    recording = take.recording
    warnings = list(take.notes)
    crowded = [camera for camera, count in take.people.items() if count > 1]
    if crowded:
        warnings.append(
            f"{recording.name}: several people in {', '.join(crowded)}; one of them was chosen"
        )
    warnings += [issue.message for issue in check_cameras(recording.cameras)]
    warnings += _warnings_about_gaps(recording)
    if recording.cameras.views > 1:
        warnings += _warnings_about_geometry(_some_frames(recording))
    return warnings


def _warnings_about_gaps(recording: Recording) -> list[str]:
    missing = _missing(recording)
    names = recording.cameras.names
    blind = [
        f"{recording.name}: camera {name} misses {missing[:, view].mean():.0%} of all joints"
        for view, name in enumerate(names)
        if missing[:, view].mean() > 1 - LEAST_SEEN_SHARE
    ]
    never = [
        joint
        for place, joint in enumerate(recording.skeleton.joints)
        if missing[:, :, place].min() == 1
    ]
    if never:
        blind.append(f"{recording.name}: nobody ever sees {', '.join(never)}")
    seen = recording.confidence[recording.confidence > 0]
    if len(seen) and seen.min() == 1:
        blind.append(f"{recording.name}: every confidence is one; the file has no scores")
    return blind


def _warnings_about_geometry(recording: Recording) -> list[str]:
    points = triangulate_recording(recording).points
    size = _subject_size(points)
    warnings = []
    if not SMALLEST_SUBJECT <= size <= LARGEST_SUBJECT:
        warnings.append(
            f"{recording.name}: the subject is {size:.3g} m across; the calibration does not fit "
            "the detections, or does not count in metres"
        )
    if _share_behind(recording, points) > LEAST_SEEN_SHARE:
        warnings.append(
            f"{recording.name}: most points lie behind a camera that saw them; are the extrinsics "
            "inverted?"
        )
    suspect = _suspect_camera(recording)
    return [*warnings, suspect] if suspect else warnings


def _share_behind(recording: Recording, points: Float[Tensor, "frames joints 3"]) -> float:
    flat = points.flatten(0, 1)
    depths = world_to_camera(recording.cameras.camera_from_world, flat)[..., 2]
    seen = recording.keypoints.isfinite().all(dim=-1).transpose(0, 1).flatten(1)
    known = depths[seen & depths.isfinite()]
    return float((known < 0).float().mean()) if len(known) else 0.0


def _suspect_camera(recording: Recording) -> str | None:
    """Name the camera without which the others agree."""
    names = recording.cameras.names
    if len(names) < 4:  # noqa: PLR2004 - of three, the two that are left can hardly disagree
        return None
    everybody = _median_error(recording)
    without = {
        name: _median_error(recording.select_views([other for other in names if other != name]))
        for name in names
    }
    suspect = min(without, key=lambda name: without[name])
    if everybody < USUAL_ERROR_PX or without[suspect] > TELLING_DROP * everybody:
        return None
    return (
        f"{recording.name}: camera {suspect} looks wrong: without it the others agree to "
        f"{without[suspect]:.1f} px on the median, with it to {everybody:.1f} px"
    )


def _median_error(recording: Recording) -> float:
    points = triangulate_recording(recording).points
    projected = recording.cameras.project(points).pixels
    error = (projected - recording.keypoints).square().sum(dim=-1).sqrt()
    known = error[error.isfinite()]
    return float(known.median()) if len(known) else torch.inf
