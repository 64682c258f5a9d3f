"""Inspect a source: what it holds, what is missing, and what looks wrong."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import torch

from multiview_geom import CameraFile, CameraSummary, check_cameras, summarize_cameras
from selfsup_lifting.agreement import Agreement, camera_agreement
from selfsup_lifting.camera_errors import CameraErrors, camera_errors
from selfsup_lifting.evaluation.detection_counts import (
    confidence_histogram,
    count_detections,
    missing_by_name,
    missing_share,
)
from selfsup_lifting.evaluation.inspection_warnings import subject_diagonal, warnings_of
from selfsup_lifting.files import read_results
from selfsup_lifting.read_errors import listed
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.reader import ReadResult, merged_notes
from selfsup_lifting.recording import Recording, calibrations_of, require_kind

# Recordings of a source that are examined closely: most sources have one rig.
MOST_EXAMINED = 5


@dataclass(frozen=True)
class Inspection:
    """The content of a source.

    Attributes:
        reader: The reader of the source.
        format: The program or dataset that wrote the files.
        calibrations: The files or folders with the cameras, given or found; none where they came
            with the keypoints.
        takes: The names of the recordings.
        cameras: The names of the cameras, with width and height of their images [px].
        frames: Total number of frames.
        fps: The different frame rates of the recordings [1/s].
        skeleton: The name of the skeleton.
        joints: The names of its joints.
        missing_share: Share of the detections that are missing.
        missing_per_camera: The same for each camera.
        missing_per_joint: The same for each joint.
        confidence_histogram: Share of the detections in each tenth of the confidence.
        people: Largest number of people that the detector found in one frame of each camera.
        units: The units of pixels, lengths and times, and the resulting sizes of rig and subject.
        camera_errors: For each camera of the first recording with several, how far it is from what
            the others saw [px].
        agreement: How well the cameras of the first recordings agree, by recording; none for a
            recording of one camera.
        truth: Whether there is 3D ground truth.
        warnings: What was guessed and what looks wrong, one sentence each.
        rig: A summary of the cameras of the first recording; lengths in meters.
    """

    reader: str
    format: str
    calibrations: tuple[str, ...]
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
    camera_errors: Mapping[str, CameraErrors]
    agreement: Mapping[str, Agreement]
    truth: bool
    warnings: tuple[str, ...]
    rig: tuple[CameraSummary, ...]

    @property
    def counted(self) -> str:
        """The number of recordings, in words for a sentence."""
        return "1 recording" if len(self.takes) == 1 else f"{len(self.takes)} recordings"


def inspect_source(source: str | Path, settings: ReadSettings) -> Inspection:
    """Inspect any source of recordings; raise a ReadError if it cannot be read at all."""
    return inspect_results(read_results(source, settings))


def inspect_results(
    results: Sequence[ReadResult], *, done: Callable[[], None] = lambda: None
) -> Inspection:
    """Inspect the recordings that a source holds.

    Args:
        results: The recordings, as they were read.
        done: Called after every part of a recording.

    Raises:
        ValueError: If there are no recordings, or they are not as `read_results` returns them.
    """
    require_kind("results", results, list | tuple)
    for one in results:
        require_kind("results", one, ReadResult)
    if not results:
        raise ValueError("`results` must have one recording or more, got none")
    recordings = [result.recording for result in results]
    counts = [count_detections(recording, done) for recording in recordings]
    agreements = [
        camera_agreement(recording, thorough=at < MOST_EXAMINED)
        for at, recording in enumerate(recordings)
    ]
    warnings = [
        (result.recording.name, warnings_of(result, counted, agreement))
        for result, counted, agreement in zip(results, counts, agreements, strict=True)
    ]
    named = zip((one.name for one in recordings[:MOST_EXAMINED]), agreements, strict=False)
    first = recordings[0]
    return Inspection(
        reader=results[0].reader,
        format=" and ".join(sorted({one.source.format for one in recordings})),
        calibrations=calibrations_of(recordings),
        takes=tuple(one.name for one in recordings),
        cameras=_cameras(recordings),
        frames=sum(one.frame_count for one in recordings),
        fps=tuple(sorted({one.fps for one in recordings})),
        skeleton=first.skeleton.name,
        joints=first.skeleton.joints,
        missing_share=missing_share(counts),
        missing_per_camera=missing_by_name([one.cameras.names for one in recordings], counts, 0),
        missing_per_joint=missing_by_name([one.skeleton.joints for one in recordings], counts, 1),
        confidence_histogram=confidence_histogram(counts),
        people=_people(results),
        units=_units(recordings),
        camera_errors=next(filter(None, map(camera_errors, recordings)), {}),
        agreement={name: one for name, one in named if one is not None},
        truth=any(one.truth is not None for one in recordings),
        warnings=(*merged_notes(warnings), *_notes_on_mixture(recordings)),
        rig=summarize_cameras(first.cameras),
    )


def _notes_on_mixture(recordings: Sequence[Recording]) -> Iterator[str]:
    """Say what only some of the recordings have: the joints of the first, and ground truth."""
    first = recordings[0]
    others = [one.name for one in recordings if one.skeleton != first.skeleton]
    if others:
        yield (
            f"{listed(others)}: other joints than those of {first.name}, which are shown; a "
            "training needs the same for all: --skeleton maps them"
        )
    lacking = [one.name for one in recordings if one.truth is None]
    if 0 < len(lacking) < len(recordings):
        yield f"{listed(lacking)}: no ground truth, which other recordings have"


@dataclass(frozen=True)
class RigInspection:
    """The content of a calibration file.

    Attributes:
        format: The format of the file.
        unit: Its unit of length, if the format fixes one.
        rig: A summary of the cameras; lengths in the file's unit.
        warnings: What cannot be right, one sentence each.
    """

    format: str
    unit: str | None
    rig: tuple[CameraSummary, ...]
    warnings: tuple[str, ...]


def inspect_calibration(file: CameraFile, unread: str = "") -> RigInspection:
    """Inspect the content of a calibration file.

    Args:
        file: The file.
        unread: What the files beside it are that look like detections; empty if there are none.

    Returns:
        What it holds, and what looks wrong.

    Raises:
        ValueError: If the file is not as `read_camera_file` returns it.
    """
    require_kind("file", file, CameraFile)
    issues = [issue.message for issue in check_cameras(file.cameras)]
    if unread:
        issues.append(f"not read: {unread}")
    summary = summarize_cameras(file.cameras)
    return RigInspection(file.format.title, file.unit, summary, tuple(issues))


def _cameras(recordings: Sequence[Recording]) -> dict[str, tuple[int, int]]:
    sizes: dict[str, tuple[int, int]] = {}
    for cameras in (recording.cameras for recording in recordings):
        known = torch.zeros(cameras.views, 2) if cameras.image_size is None else cameras.image_size
        sizes |= {name: (int(w), int(h)) for name, (w, h) in zip(cameras.names, known, strict=True)}
    return sizes


def _people(results: Sequence[ReadResult]) -> dict[str, int]:
    people: dict[str, int] = {}
    for result in results:
        for camera, count in result.people.items():
            people[camera] = max(count, people.get(camera, 0))
    return people


def _units(recordings: Sequence[Recording]) -> dict[str, str]:
    units = {"keypoints": "px", "lengths": "m", "time": "s"}
    wide = [recording for recording in recordings if recording.cameras.views > 1]
    if wide:
        centers = wide[0].cameras.centers
        units["rig"] = f"{float(torch.cdist(centers, centers).max()):.3g} m across"
        size = subject_diagonal(wide[0])
        units["subject"] = "m (its size is unknown)" if isnan(size) else f"{size:.3g} m across"
    return units
