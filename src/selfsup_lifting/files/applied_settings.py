"""Applying the settings to a recording as it was read."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Bool
from torch import Tensor

from multiview_geom import Cameras, Lens
from selfsup_lifting.gap_filling import fill_gaps
from selfsup_lifting.read_errors import ReadError, listed
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.reader import ReadResult
from selfsup_lifting.recording import Recording, change_parts
from selfsup_lifting.skeleton.skeleton_file import find_skeleton
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.timing import in_step


def apply_settings(result: ReadResult, settings: ReadSettings) -> ReadResult:
    """Apply the settings to a recording as it was read.

    Args:
        result: The recording, with notes on how it was read.
        settings: What is exchanged, brought in step, left out, filled in and renamed.

    Returns:
        The changed recording, with notes on what the settings did and on those without effect.

    Raises:
        ReadError: If the recording lacks what a setting names.
    """
    recording = result.recording
    notes = [*result.notes, *_dropped(recording, settings, result.unscored)]
    try:
        if settings.exchange_sides:
            _require_sides(recording.skeleton)
            exchange = partial(Recording.with_exchanged_sides, cameras=settings.exchange_sides)
            recording = change_parts(recording, exchange)
    except ValueError as error:
        raise ReadError(f"{recording.name}: {error}") from error
    if settings.sync:
        recording, told = in_step(recording)
        notes.append(f"{recording.name}: {told}")
    if settings.fps is not None and settings.fps > recording.fps:
        notes.append(
            f"{recording.name}: `fps` {settings.fps:g} is above the frame rate of "
            f"{recording.fps:g} per s, which is kept"
        )
    step = _step(recording, settings)
    if settings.fps_phase >= step > 1:
        notes.append(
            f"{recording.name}: one frame of {step} is kept, so `fps_phase` {settings.fps_phase} "
            f"is {settings.fps_phase % step}"
        )
    if not settings.undistort and not _has_lens(recording.cameras):
        notes.append(
            f"{recording.name}: its cameras have no lens distortion, so `undistort` off changes "
            "nothing"
        )
    recording = _changed(recording, settings)
    return replace(result, recording=recording, notes=tuple(notes))


def _has_lens(cameras: Cameras) -> bool:
    """Return whether the cameras are no pinholes."""
    distorts = cameras.distortion is not None and bool(cameras.distortion.any())
    return distorts or cameras.lens is not Lens.OPENCV


def _dropped(recording: Recording, settings: ReadSettings, unscored: int) -> Iterator[str]:
    """Yield notes on the detections whose confidence is too low, and on those without one."""
    if settings.min_confidence > 0 and unscored > 0:
        yield (
            f"{recording.name}: {unscored} points have no score and count as certain, so "
            f"`min_confidence` {settings.min_confidence:g} keeps them"
        )
    known = low = 0
    for part in recording.parts() if settings.min_confidence > 0 else ():
        known += int((part.confidence > 0).sum())
        low += int(_is_low(part, settings.min_confidence).sum())
    if low > 0:
        yield (
            f"{recording.name}: {low / known:.1%} of the detections have a confidence below "
            f"{settings.min_confidence:g} and count as missing"
        )


def _is_low(recording: Recording, least: float) -> Bool[Tensor, "frames views joints"]:
    """Return which detections have a confidence that is too low."""
    return (recording.confidence > 0) & (recording.confidence < least)


def _require_sides(skeleton: Skeleton) -> None:
    if not skeleton.mirrored:
        raise ValueError(
            f"there are no left and right joints for `exchange_sides` in {skeleton.name} "
            f"({listed(skeleton.joints)}); `mirrored` of a skeleton file names them"
        )


def _changed(recording: Recording, settings: ReadSettings) -> Recording:
    if not settings.undistort:
        cameras = replace(recording.cameras, distortion=None, lens=Lens.OPENCV)
        recording = replace(recording, cameras=cameras)
    if settings.min_confidence > 0:
        recording = change_parts(recording, partial(_without_low, least=settings.min_confidence))
    if settings.fill_gaps:
        fill = partial(fill_gaps, longest=settings.fill_gaps)
        recording = change_parts(recording, fill, around=settings.fill_gaps + 1)
    if settings.fps is not None:
        step = _step(recording, settings)
        recording = recording.frames(slice(settings.fps_phase % step, None, step))
    if settings.skeleton is None:
        return recording
    try:
        target = find_skeleton(settings.skeleton)
        return change_parts(recording, partial(Recording.to_skeleton, target=target))
    except ValueError as error:
        raise ReadError(f"{recording.name}: {error}") from error


def _step(recording: Recording, settings: ReadSettings) -> int:
    """Return how many frames one is kept of."""
    return 1 if settings.fps is None else max(1, round(recording.fps / settings.fps))


def _without_low(recording: Recording, least: float) -> Recording:
    """Return a recording without the detections whose confidence is too low."""
    low = recording.confidence < least
    return replace(
        recording,
        keypoints=torch.where(low[..., None], torch.nan, recording.keypoints),
        confidence=torch.where(low, 0.0, recording.confidence),
    )
