"""What looks wrong in a recording, one sentence each."""

from collections.abc import Iterator
from dataclasses import replace
from math import isnan, nan
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import CameraIssueKind, check_cameras
from selfsup_lifting.agreement import LARGEST_SHARE, Agreement
from selfsup_lifting.config import Method, TriangulationSettings
from selfsup_lifting.disagreement import ROUND_OFF_PX, odd_camera
from selfsup_lifting.evaluation.detection_counts import DetectionCounts, count_detections
from selfsup_lifting.evaluation.subject_size import diagonal, is_person, usual_size
from selfsup_lifting.read_errors import listed
from selfsup_lifting.reader import ReadResult
from selfsup_lifting.recording import Recording, require_kind
from selfsup_lifting.sampled_errors import (
    compared_cameras,
    is_mostly_behind,
    sampled,
    subject_size_px,
    with_compared_cameras,
)
from selfsup_lifting.self_calibration.body import LEFT_FOR_RIGHT, find_vertical, rightness
from selfsup_lifting.skeleton.infer import USUAL, body_by_count, skeleton_by_anatomy
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton
from selfsup_lifting.triangulate import reprojection_errors, triangulate_recording
from selfsup_lifting.upright import trunks

# A camera that detects a smaller share of the joints gets a warning.
LEAST_SEEN_SHARE = 0.5
# A camera with a larger share of odd detections is named.
LEAST_ODD_SHARE = 0.01
# Detections that equal those of the frame before: a share that is too large for a camera, and for
# one joint. Detectors that round to whole pixels repeat some.
LEAST_REPEATED, MOST_REPEATED = 0.05, 0.5
# Simulated and real detectors place few joints outside of the picture.
MOST_BEYOND = 0.1
# Without the removal of outliers, which would hide what is wrong.
PLAIN = TriangulationSettings(method=Method.ITERATIVE)
# So much larger than the median of all frames is the error of a frame in which something is
# wrong, and so many of them are no accident.
MUCH_LARGER, LEAST_WRONG_SHARE = 3.0, 0.1
# Joints of a detector and of a motion capture are nearer than this share of the subject's size, but
# in some frames.
LARGEST_MISFIT, LEAST_MISFIT_SHARE = 0.2, 0.25
# So far from upright is a trunk in the picture that lies [degrees], in so many frames.
MOST_TURNED, LEAST_TURNED_SHARE = 60.0, 0.5
# Number of frames that are checked: bounds the time for long recordings.
MOST_FRAMES = 500


def warnings_of(
    result: ReadResult, counts: DetectionCounts, agreement: Agreement | None
) -> list[str]:
    """Say what looks wrong in a recording, and what was guessed when it was read."""
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
    warnings += warnings_about_truth(recording)
    return warnings + warnings_about_geometry(recording, agreement)


def warnings_about_pictures(recording: Recording) -> list[str]:
    """Say which pictures a lifter is not made for, by some of the frames.

    Those are pictures with detections where no detector puts any, and those of a person who lies.
    """
    return [*warnings_about_places(recording), *_warnings_about_turns(_some_frames(recording))]


def warnings_about_places(recording: Recording) -> Iterator[str]:
    """Say which cameras have detections where no detector puts any, by some of the frames."""
    some = _some_frames(recording)
    return _warnings_about_places(some, count_detections(some, lambda: None))


def _warnings_about_turns(some: Recording) -> Iterator[str]:
    """Say in which cameras the trunk is far from vertical in most frames."""
    for view, name in enumerate(some.cameras.names):
        known = trunks(some.skeleton, some.keypoints[:, view])
        if known is None:
            continue
        slope = torch.atan2(known[:, 0].abs(), -known[:, 1]).rad2deg()
        share = float((slope > MOST_TURNED).double().mean())
        if share > LEAST_TURNED_SHARE:
            yield (
                f"{some.name}: in {share:.0%} of the frames, the trunk is turned by more than "
                f"{MOST_TURNED:.0f} degrees in the picture of camera {name} (median "
                f"{float(slope.median()):.0f}): the person lies or the picture is turned, and a "
                "lifter that has only seen upright people is wrong there"
            )


def _warnings_about_cameras(recording: Recording, agreement: Agreement | None) -> Iterator[str]:
    """Say what looks wrong in the calibration; cameras that agree have one unit of length."""
    agree = agreement is not None and not agreement.is_bad
    for issue in check_cameras(recording.cameras):
        if not (agree and issue.kind is CameraIssueKind.UNIT_MISMATCH):
            yield issue.message
    views, compared = recording.cameras.views, len(compared_cameras(recording))
    if compared < views:
        yield (
            f"{recording.name}: only {compared} of its {views} cameras, spread over the rig, are "
            "searched for what is wrong"
        )


def _warnings_about_gaps(recording: Recording, counts: DetectionCounts) -> Iterator[str]:
    joints = recording.skeleton.joints
    for name, missing in zip(recording.cameras.names, counts.missing, strict=True):
        share = int(missing.sum()) / max(1, counts.frames * len(joints))
        if share > 1 - LEAST_SEEN_SHARE:
            yield f"{recording.name}: camera {name} misses {share:.0%} of all joints"
    never = (counts.missing == counts.frames).all(dim=0).tolist()
    names = ", ".join(joint for joint, unseen in zip(joints, never, strict=True) if unseen)
    if names:
        yield f"{recording.name}: no camera ever detects {names}"


def _warnings_about_places(recording: Recording, counts: DetectionCounts) -> Iterator[str]:
    """Say which cameras have detections where no detector puts any."""
    possible = counts.frames * len(recording.skeleton.joints)
    kinds = (
        (
            counts.outside,
            "far outside of the picture: coordinates in another unit, or codes for missing joints?",
        ),
        (counts.coded, "at (0, 0) or (-1, -1): codes of some programs for missing joints?"),
        (
            counts.on_border,
            "exactly on the border of its picture: did a program move joints there that are "
            "outside of it?",
        ),
    )
    sizes = recording.cameras.image_size
    for at, name in enumerate(recording.cameras.names):
        share = int(counts.beyond[at]) / max(1, possible - int(counts.missing[at].sum()))
        if share > MOST_BEYOND and sizes is not None:
            width, height = sizes[at].tolist()
            yield (
                f"{recording.name}: camera {name} has {share:.0%} of its detections outside of its "
                f"picture of {width} x {height} px: has the video another size, or are width and "
                "height exchanged?"
            )
        for found, where in kinds:
            if int(found[at]) > LEAST_ODD_SHARE * possible:
                yield f"{recording.name}: camera {name} has {int(found[at])} detections {where}"


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


def _warnings_about_repetition(recording: Recording, counts: DetectionCounts) -> Iterator[str]:
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


def warnings_about_truth(recording: Recording) -> Iterator[str]:
    """Say if the ground truth is far from where the cameras see the subject.

    Args:
        recording: Any recording.

    Yields:
        A sentence with the likely causes; nothing without a truth, or if it is near.
    """
    some = _some_frames(recording)
    if some.truth is None:
        return
    if some.cameras.views == 1:  # whose pixels do not show the size
        for unusual in _unusual_size(some.skeleton, diagonal(some.truth.double())):
            yield f"{recording.name}: in the ground truth, {unusual}: is it in another unit?"
    pixels = some.cameras.project(some.truth.to(some.cameras.intrinsics.dtype)).pixels
    known = some.keypoints.isfinite().all(dim=-1) & some.truth.isfinite().all(dim=-1)[:, None]
    misfits = (pixels - some.keypoints).norm(dim=-1).nan_to_num(torch.inf)
    typical = misfits.where(known, torch.nan).flatten(1).nanmedian(dim=1).values
    typical = typical[~typical.isnan()]
    share = float((typical > LARGEST_MISFIT * subject_size_px(some)).double().mean())
    if share > LEAST_MISFIT_SHARE:
        yield (
            f"{recording.name}: in {share:.0%} of the frames, the ground truth is far from the "
            f"detections, by more than {LARGEST_MISFIT:.0%} of the subject's size in the image: it "
            "has another unit, world or frame rate than the cameras, or belongs to other frames or "
            "joints"
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
    some = _some_frames(recording)
    points = triangulate_recording(some, PLAIN).points
    warnings = _warnings_about_size(recording, diagonal(points))
    if is_mostly_behind(sampled(recording)):
        warnings.append(
            f"{recording.name}: most points are behind a camera that detected them; are the "
            "extrinsics inverted?"
        )
    if agreement is not None and not agreement.is_sound:
        warnings.append(agreement.sentence(recording.name))
    elif agreement is not None:
        warnings += _warnings_about_times(recording, some, points, agreement)
    if agreement is None or not agreement.is_bad:
        warnings += _warnings_about_sides(some, points)
    return warnings


def warnings_about_weights(recording: Recording) -> list[str]:
    """Say if confidences, which weight the detections, are all the same."""
    known = [part.confidence[part.confidence > 0] for part in recording.parts()]
    if not any(map(len, known)) or any(bool((some != 1).any()) for some in known):
        return []
    return [
        f"{recording.name}: every detection has the confidence 1, as where a file has no scores: "
        "the weights of the triangulation (--weighted) are all alike"
    ]


def _warnings_about_times(
    recording: Recording,
    some: Recording,
    points: Float[Tensor, "frames joints 3"],
    agreement: Agreement,
) -> list[str]:
    """Say if cameras that agree most of the time do not in many other frames."""
    errors = reprojection_errors(some, points)
    typical = errors.flatten(1).nanmedian(dim=1).values
    size = agreement.median_px / agreement.share if agreement.share > 0 else 0.0
    limit = max(LARGEST_SHARE * size, ROUND_OFF_PX, MUCH_LARGER * agreement.median_px)
    wrong = typical > limit
    share = float(wrong.sum() / typical.isfinite().sum().clamp(min=1))
    if share < LEAST_WRONG_SHARE:
        return []
    step = recording.frame_count // max(1, some.frame_count)
    first = int(wrong.nonzero()[0]) * max(1, step)
    part = replace(
        some, keypoints=some.keypoints[wrong], confidence=some.confidence[wrong], truth=None
    )
    alone = "".join(f", camera {name} alone" for _, name in odd_camera(with_compared_cameras(part)))
    return [
        f"{recording.name}: in {share:.0%} of the frames the cameras disagree, first in frame "
        f"{first}{alone}: does a camera follow another person there, or did it move?"
    ]


def _warnings_about_sides(
    some: Recording, points: Float[Tensor, "frames joints 3"]
) -> Iterator[str]:
    """Say if left and right are exchanged in all cameras, which therefore agree, by the body."""
    if not is_person(some.skeleton):
        return
    vertical = find_vertical(some.skeleton, points, some.fps)
    share = nan if vertical is None else rightness(some.skeleton, points, vertical.up)
    if share < LEFT_FOR_RIGHT:
        yield (
            f"{some.name}: left and right look exchanged in {1 - share:.0%} of the frames: the "
            "knees, feet and head point backward; if the detector swaps them in all cameras, "
            f"--exchange-sides {' '.join(some.cameras.names)} corrects it"
        )


def _warnings_about_size(recording: Recording, size: float) -> list[str]:
    """Say that the cameras may have another unit of length."""
    return [
        f"{recording.name}: {unusual}; the calibration does not fit the detections, or its lengths "
        "are in another unit than meters: --unit names that of a calibration file, and "
        "`Cameras.scaled` converts the cameras of a recording that is saved again"
        for unusual in _unusual_size(recording.skeleton, size)
    ]


def _unusual_size(skeleton: Skeleton, size: float) -> list[str]:
    """Compare the size of a subject with usual ones; say it if it is another."""
    subject, (low, high) = usual_size(skeleton)
    is_point = len(skeleton.joints) == 1
    if low <= size <= high or isnan(size) or is_point:  # without any point, others say so
        return []
    return [f"the {subject} is {size:.3g} m across, usually {low:g} to {high:g} m"]


def _some_frames(recording: Recording) -> Recording:
    """Return a limited number of frames, spread over the recording."""
    return recording.frames(slice(None, None, max(1, recording.frame_count // MOST_FRAMES)))


def subject_diagonal(recording: Recording) -> float:
    """Return the diagonal of the subject's bounding box, median over some frames [m]."""
    require_kind("recording", recording, Recording)
    return diagonal(triangulate_recording(_some_frames(recording), PLAIN).points)
