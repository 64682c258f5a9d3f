"""Inspect a source: what it holds, what is missing, and what looks wrong."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multiview_geom import (
    CameraFile,
    CameraIssueKind,
    CameraSummary,
    check_cameras,
    summarize_cameras,
    world_to_camera,
)
from selfsup_lifting.agreement import Agreement, camera_agreement
from selfsup_lifting.camera_errors import CameraErrors, camera_errors
from selfsup_lifting.config import Method, TriangulationSettings
from selfsup_lifting.evaluation.subject_size import PERSON_SIZE_M, is_person
from selfsup_lifting.files import read_results
from selfsup_lifting.mapped import release_pages
from selfsup_lifting.read_errors import listed
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.reader import ReadResult, merged_notes
from selfsup_lifting.recording import Recording, calibrations_of
from selfsup_lifting.skeleton.infer import USUAL, body_by_count, skeleton_by_anatomy
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.triangulate import triangulate_recording

HISTOGRAM_BINS = 10
# A camera that detects a smaller share of the joints gets a warning.
LEAST_SEEN_SHARE = 0.5
# A camera with a larger share of odd detections is named.
LEAST_ODD_SHARE = 0.01
# Detections that equal those of the frame before: a share that is too large for a camera, and for
# one joint. Detectors that round to whole pixels repeat some.
LEAST_REPEATED, MOST_REPEATED = 0.05, 0.5
# Simulated and real detectors place few joints outside of the picture.
MOST_BEYOND = 0.1
# What some programs write instead of a missing joint.
CODES = (0.0, -1.0)
# Usual limits of the size of a subject that is no person [m].
SUBJECT_SIZE_M = (0.02, 5.0)
# Without the removal of outliers, which would hide what is wrong.
PLAIN = TriangulationSettings(method=Method.DLT)
# Number of frames that are checked: bounds the time for long recordings.
MOST_FRAMES = 500
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


def inspect_source(source: str, settings: ReadSettings) -> Inspection:
    """Inspect any source of recordings; raise a ReadError if it cannot be read at all."""
    return inspect_results(read_results(source, settings))


def inspect_results(
    results: Sequence[ReadResult], *, done: Callable[[], None] = lambda: None
) -> Inspection:
    """Inspect the recordings that a source holds.

    Args:
        results: The recordings, as they were read.
        done: Called after every part of a recording.
    """
    recordings = [result.recording for result in results]
    counts = [_count(recording, done) for recording in recordings]
    agreements = [
        camera_agreement(recording, thorough=at < MOST_EXAMINED)
        for at, recording in enumerate(recordings)
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
        missing_share=_missing_share(counts),
        missing_per_camera=_missing_by_name([one.cameras.names for one in recordings], counts, 0),
        missing_per_joint=_missing_by_name([one.skeleton.joints for one in recordings], counts, 1),
        confidence_histogram=_histogram(counts),
        people=_people(results),
        units=_units(recordings),
        camera_errors=next(filter(None, map(camera_errors, recordings)), {}),
        agreement={name: one for name, one in named if one is not None},
        truth=any(one.truth is not None for one in recordings),
        warnings=tuple(merged_notes(_all_warnings(results, counts, agreements))),
        rig=summarize_cameras(first.cameras),
    )


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


def inspect_calibration(file: CameraFile, unread: Sequence[Path] = ()) -> RigInspection:
    """Inspect the content of a calibration file.

    Args:
        file: The file.
        unread: Files beside it that look like detections, in no known format.

    Returns:
        What it holds, and what looks wrong.
    """
    issues = [issue.message for issue in check_cameras(file.cameras)]
    if unread:
        issues.append(f"not read: {listed(one.name for one in unread)}: in no known format")
    summary = summarize_cameras(file.cameras)
    return RigInspection(file.format.title, file.unit, summary, tuple(issues))


def _cameras(recordings: Sequence[Recording]) -> dict[str, tuple[int, int]]:
    sizes: dict[str, tuple[int, int]] = {}
    for cameras in (recording.cameras for recording in recordings):
        known = torch.zeros(cameras.views, 2) if cameras.image_size is None else cameras.image_size
        sizes |= {name: (int(w), int(h)) for name, (w, h) in zip(cameras.names, known, strict=True)}
    return sizes


@dataclass(frozen=True)
class _Counts:
    """How many detections of a recording are missing, and what their confidences are.

    Attributes:
        frames: The number of frames.
        missing: The missing detections of each joint in each view.
        histogram: The detections in each tenth of the confidence.
        known: The detections with a confidence.
        certain: Those of them with the confidence 1.
        outside: The detections of each view that are further outside of its picture than the
            picture is large.
        coded: The detections of each view at (0, 0) or (-1, -1).
        beyond: The detections of each view outside of its picture, near or far.
        unscaled: The confidences below 0 or above 1.
        repeated: The detections of each joint in each view that are exactly those of the frame
            before.
    """

    frames: int
    missing: Int[Tensor, "views joints"]
    histogram: Float[Tensor, "tenths"]
    known: int
    certain: int
    outside: Int[Tensor, "views"]
    coded: Int[Tensor, "views"]
    beyond: Int[Tensor, "views"]
    unscaled: int
    repeated: Int[Tensor, "views joints"]


def _count(recording: Recording, done: Callable[[], None]) -> _Counts:
    """Count the detections of a recording in one pass, part by part."""
    missing, repeated = torch.zeros(2, *recording.confidence.shape[1:], dtype=torch.long)
    histogram = torch.zeros(HISTOGRAM_BINS, dtype=torch.float64)
    known = certain = unscaled = 0
    outside, coded, beyond = torch.zeros(3, len(missing), dtype=torch.long)
    for part in recording.parts():
        scores = part.confidence[part.confidence > 0]
        missing += (~part.keypoints.isfinite().all(dim=-1)).sum(dim=0)
        histogram += torch.histc(scores, bins=HISTOGRAM_BINS, min=0.0, max=1.0)
        known += len(scores)
        certain += int((scores == 1).sum())
        unscaled += int(((part.confidence < 0) | (part.confidence > 1)).sum())
        outside += _outside(part, times=1.0).sum(dim=(0, 2))
        beyond += _outside(part, times=0.0).sum(dim=(0, 2))
        same = part.keypoints[1:] == part.keypoints[:-1]  # False of NaN
        repeated += same.all(dim=-1).sum(dim=0)
        coded += sum((part.keypoints == code).all(dim=-1).sum(dim=(0, 2)) for code in CODES)
        release_pages()
        done()
    return _Counts(
        recording.frame_count, missing, histogram, known, certain, outside, coded, beyond, unscaled,
        repeated,
    )  # fmt: skip


def _outside(part: Recording, *, times: float) -> Bool[Tensor, "frames views joints"]:
    """Return which detections are further outside of the picture than so many times its size."""
    if part.cameras.image_size is None:
        return torch.zeros_like(part.confidence, dtype=torch.bool)
    size = part.cameras.image_size[:, None].to(part.keypoints)
    low, high = -times * size - 0.5, (1 + times) * size - 0.5
    return ((part.keypoints < low) | (part.keypoints > high)).any(dim=-1)


def _missing_share(counts: Sequence[_Counts]) -> float:
    missing = sum(int(one.missing.sum()) for one in counts)
    return missing / max(1, sum(one.frames * one.missing.numel() for one in counts))


def _missing_by_name(
    names: Sequence[Sequence[str]], counts: Sequence[_Counts], axis: int
) -> dict[str, float]:
    """Average the share of missing detections over all recordings, by camera or by joint."""
    missing: dict[str, int] = {}
    possible: dict[str, int] = {}
    for own, one in zip(names, counts, strict=True):
        for name, part in zip(own, one.missing.unbind(axis), strict=True):
            missing[name] = missing.get(name, 0) + int(part.sum())
            possible[name] = possible.get(name, 0) + one.frames * part.numel()
    return {name: missing[name] / max(1, possible[name]) for name in missing}


def _histogram(counts: Sequence[_Counts]) -> tuple[float, ...]:
    """Return the share of the detections in each bin of the confidence."""
    total = torch.stack([one.histogram for one in counts]).sum(dim=0)
    return tuple((total / total.sum().clamp(min=1)).tolist())


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
        size = _subject_size(triangulate_recording(_some_frames(wide[0]), PLAIN).points)
        units["subject"] = f"{size:.3g} m across"
    return units


def _some_frames(recording: Recording) -> Recording:
    """Return a limited number of frames, spread over the recording."""
    return recording.frames(slice(None, None, max(1, recording.frame_count // MOST_FRAMES)))


def _subject_size(points: Float[Tensor, "frames joints 3"]) -> float:
    """Return the diagonal of the subject's bounding box, median over the frames."""
    low = points.nan_to_num(torch.inf, torch.inf, torch.inf).amin(dim=1)
    high = points.nan_to_num(-torch.inf, -torch.inf, -torch.inf).amax(dim=1)
    size = (high - low).norm(dim=-1)
    known = size[size.isfinite()]
    return float(known.median()) if len(known) else torch.nan


def _all_warnings(
    results: Sequence[ReadResult],
    counts: Sequence[_Counts],
    agreements: Sequence[Agreement | None],
) -> list[tuple[str, list[str]]]:
    return [
        (result.recording.name, _warnings(result, counted, agreement))
        for result, counted, agreement in zip(results, counts, agreements, strict=True)
    ]


def _warnings(result: ReadResult, counts: _Counts, agreement: Agreement | None) -> list[str]:
    recording = result.recording
    warnings = list(result.notes)
    warnings += _warnings_about_cameras(recording, agreement)
    warnings += _warnings_about_gaps(recording, counts)
    warnings += _warnings_about_places(recording, counts)
    warnings += _warnings_about_repetition(recording, counts)
    warnings += _warnings_about_skeleton(recording)
    if result.unscored:
        points = f"{result.unscored} points have" if result.unscored > 1 else "1 point has"
        warnings.append(f"{recording.name}: {points} no score, and each counts as certain")
    elif counts.unscaled:
        warnings.append(f"{recording.name}: {counts.unscaled} confidences are not from 0 to 1")
    elif 0 < counts.known == counts.certain:
        warnings.append(f"{recording.name}: every confidence is 1; the scores may be lost")
    return warnings + warnings_about_geometry(recording, agreement)


def _warnings_about_cameras(recording: Recording, agreement: Agreement | None) -> Iterator[str]:
    """Say what looks wrong in the calibration; cameras that agree have one unit of length."""
    agree = agreement is not None and not agreement.is_bad
    for issue in check_cameras(recording.cameras):
        if not (agree and issue.kind is CameraIssueKind.UNIT_MISMATCH):
            yield issue.message


def _warnings_about_gaps(recording: Recording, counts: _Counts) -> Iterator[str]:
    joints = recording.skeleton.joints
    for name, missing in zip(recording.cameras.names, counts.missing, strict=True):
        share = int(missing.sum()) / max(1, counts.frames * len(joints))
        if share > 1 - LEAST_SEEN_SHARE:
            yield f"{recording.name}: camera {name} misses {share:.0%} of all joints"
    never = (counts.missing == counts.frames).all(dim=0).tolist()
    names = ", ".join(joint for joint, unseen in zip(joints, never, strict=True) if unseen)
    if names:
        yield f"{recording.name}: no camera ever detects {names}"


def _warnings_about_places(recording: Recording, counts: _Counts) -> Iterator[str]:
    """Say which cameras have detections where no detector puts any."""
    possible = counts.frames * len(recording.skeleton.joints)
    kinds = (
        (counts.outside, "far outside of the picture: coordinates in another unit, or codes"),
        (counts.coded, "at (0, 0) or (-1, -1): codes of some programs"),
    )
    sizes = _cameras([recording])
    for at, name in enumerate(recording.cameras.names):
        share = int(counts.beyond[at]) / max(1, possible - int(counts.missing[at].sum()))
        if share > MOST_BEYOND:
            width, height = sizes[name]
            yield (
                f"{recording.name}: camera {name} has {share:.0%} of its detections outside of its "
                f"picture of {width} x {height} px: has the video another size, or are width and "
                "height exchanged?"
            )
        for found, where in kinds:
            if int(found[at]) > LEAST_ODD_SHARE * possible:
                yield (
                    f"{recording.name}: camera {name} has {int(found[at])} detections {where} for "
                    "missing joints?"
                )


def _warnings_about_skeleton(recording: Recording) -> Iterator[str]:
    """Say if joints that were declared to be COCO's are those of another skeleton, by anatomy."""
    if recording.skeleton != SKELETONS[USUAL]:
        return
    part = _some_frames(recording)
    people = torch.cat([part.keypoints, part.confidence[..., None]], dim=-1).flatten(0, 1)
    count = len(recording.skeleton.joints)
    fits = skeleton_by_anatomy(people, body_by_count(Path(), count, None).candidates)
    if fits is not None and fits != recording.skeleton:
        yield (
            f"{recording.name}: the joints between others fit {fits.name} much better than "
            f"{recording.skeleton.name}: --detected-skeleton {fits.name} corrects it"
        )


def _warnings_about_repetition(recording: Recording, counts: _Counts) -> Iterator[str]:
    """Say which cameras show the same pixels again and again, as no moving person does."""
    seen = (counts.frames - counts.missing).clamp(min=1)
    shares = counts.repeated / seen
    for name, share, found in zip(
        recording.cameras.names, (counts.repeated.sum(dim=1) / seen.sum(dim=1)).tolist(), shares,
        strict=True,
    ):  # fmt: skip
        joints = recording.skeleton.joints
        still = [joints[at] for at in (found > MOST_REPEATED).nonzero().flatten().tolist()]
        if still and len(still) < len(joints):
            yield (
                f"{recording.name}: camera {name} has {listed(still)} at exactly the same place in "
                "most frames: does the detector guess?"
            )
        elif share > LEAST_REPEATED:
            yield (
                f"{recording.name}: camera {name} repeats {share:.0%} of its detections exactly in "
                "the next frame: did the video or the detector stop, or has it fewer frames?"
            )


def warnings_about_geometry(recording: Recording, agreement: Agreement | None) -> list[str]:
    """Say what looks wrong with the size of the subject and the poses of several cameras.

    Args:
        recording: Any recording.
        agreement: How well its cameras agree.

    Returns:
        One sentence for each thing that looks wrong; none for one camera.
    """
    if recording.cameras.views < 2:  # noqa: PLR2004 - one camera fixes no size
        return []
    points = triangulate_recording(_some_frames(recording), PLAIN).points
    warnings = _warnings_about_size(recording, _subject_size(points))
    if _share_behind(_some_frames(recording), points) > LEAST_SEEN_SHARE:
        warnings.append(
            f"{recording.name}: most points are behind a camera that detected them; are the "
            "extrinsics inverted?"
        )
    if agreement is not None and not agreement.is_sound:
        warnings.append(agreement.sentence(recording.name))
    return warnings


def _warnings_about_size(recording: Recording, size: float) -> list[str]:
    """Compare the subject with a usual one, which shows a wrong unit of length."""
    person = is_person(recording.skeleton)
    low, high = PERSON_SIZE_M if person else SUBJECT_SIZE_M
    if low <= size <= high or isnan(size):  # without any point, other warnings say so
        return []
    subject = "person" if person else "subject"
    usual = f"usually {low:g} to {high:g} m; the calibration does not fit the detections"
    return [
        f"{recording.name}: the {subject} is {size:.3g} m across, {usual}, or its lengths are in "
        "another unit: --unit names it"
    ]


def _share_behind(recording: Recording, points: Float[Tensor, "frames joints 3"]) -> float:
    depths = world_to_camera(recording.cameras.camera_from_world, points)[..., 2]
    seen = recording.keypoints.isfinite().all(dim=-1)
    known = depths[seen & depths.isfinite()]
    return float((known < 0).float().mean()) if len(known) else 0.0
