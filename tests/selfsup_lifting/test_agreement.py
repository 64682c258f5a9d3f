"""Laws of cameras that disagree: what was done to a recording is found by trying."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from multiview_geom import invert_transform
from selfsup_lifting.agreement import Agreement, camera_agreement
from selfsup_lifting.config import Config, ReadSettings
from selfsup_lifting.files import read_recordings
from selfsup_lifting.recording import Recording

# The simulated detector's noise leaves this much; it is 4 to 5 px in the picture [px].
NOISE_PX = 3.5


@cache
def filmed(views: int) -> Recording:
    """Return a simulated recording with the usual detector noise."""
    take = read_recordings(["synthetic"], ReadSettings())[0]
    return take.select_views(take.cameras.names[:views])


def found(take: Recording) -> Agreement:
    agreement = camera_agreement(take)
    assert agreement is not None
    return agreement


def exchanged(take: Recording, *order: int) -> Recording:
    index = list(order)
    return replace(take, keypoints=take.keypoints[:, index], confidence=take.confidence[:, index])


def resized(take: Recording, scale: float, *views: int) -> Recording:
    pixels = take.keypoints.clone()
    chosen = list(views or range(take.cameras.views))
    pixels[:, chosen] = (pixels[:, chosen] + 0.5) * scale - 0.5
    return replace(take, keypoints=pixels)


def mirrored(take: Recording, axis: int, *views: int) -> Recording:
    pixels, chosen = take.keypoints.clone(), list(views or range(take.cameras.views))
    pixels[:, chosen, :, axis] = 999.0 - pixels[:, chosen, :, axis]
    return replace(take, keypoints=pixels)


def delayed(take: Recording, frames: int, view: int) -> Recording:
    pixels = take.keypoints.clone()
    pixels[:, view] = pixels[:, view].roll(frames, dims=0)
    return replace(take, keypoints=pixels)


def moved(take: Recording, view: int) -> Recording:
    pose = take.cameras.camera_from_world.clone()
    pose[view, 0, 3] += 0.3
    return replace(take, cameras=replace(take.cameras, camera_from_world=pose))


def inverted(take: Recording) -> Recording:
    pose = invert_transform(take.cameras.camera_from_world)
    return replace(take, cameras=replace(take.cameras, camera_from_world=pose))


@pytest.mark.parametrize("views", [2, 3, 4])
def test_cameras_that_agree_are_not_accused(views: int) -> None:
    agreement = found(filmed(views))
    assert not agreement.is_bad
    assert agreement.median_px < NOISE_PX


FAULTS: dict[str, Callable[[Recording], Recording]] = {
    "the detections of cam_1 and cam_2 are exchanged": lambda take: exchanged(take, 1, 0, 2),
    "cam_3 to cam_1, cam_1 to cam_2, cam_2 to cam_3": lambda take: exchanged(take, 1, 2, 0),
    "the pictures had half the calibrated size": lambda take: resized(take, 0.5),
    "the pictures had twice the calibrated size": lambda take: resized(take, 2.0),
    "the pictures of camera cam_2 had half the calibrated size": lambda take: resized(take, 0.5, 1),
    "the y coordinates are mirrored": lambda take: mirrored(take, 1),
    "the y coordinates of camera cam_3 are mirrored": lambda take: mirrored(take, 1, 2),
    "camera cam_2 is 12 frames late": lambda take: delayed(take, 12, 1),
    "camera cam_1 is 20 frames early": lambda take: delayed(take, -20, 0),
    "camera cam_2 looks wrong": lambda take: moved(take, 1),
    "the extrinsics are inverted": inverted,
}


@pytest.mark.parametrize("cause", FAULTS)
def test_the_cause_is_found_among_three_cameras(cause: str) -> None:
    agreement = found(FAULTS[cause](filmed(3)))
    assert agreement.is_bad
    assert cause in agreement.cause
    assert agreement.remaining_px < NOISE_PX
    assert agreement.cause in agreement.sentence("take")


def test_a_disagreement_without_a_single_cause_is_said_too() -> None:
    wrong = delayed(resized(filmed(4), 0.8, 0), 100, 2)
    agreement = found(mirrored(wrong, 0, 1))
    assert agreement.is_bad
    assert "no single cause explains it" in agreement.sentence("take")


def test_one_camera_agrees_with_itself() -> None:
    assert camera_agreement(filmed(2).select_views(["cam_1"])) is None


def test_a_joint_that_no_two_cameras_see_says_nothing() -> None:
    take = filmed(2)
    blind = take.keypoints.clone()
    blind[:, 0] = torch.nan
    assert camera_agreement(replace(take, keypoints=blind)) is None


REAL_FAULTS: dict[str, Callable[[Recording], Recording]] = {
    "the detections of cam_01 and cam_02 are exchanged": lambda take: exchanged(take, 1, 0, 2, 3),
    "cam_04 to cam_01, cam_01 to cam_02": lambda take: exchanged(take, 1, 2, 3, 0),
    "the pictures had half the calibrated size": lambda take: resized(take, 0.5),
    "the pictures of camera cam_02 had half": lambda take: resized(take, 0.5, 1),
    "camera cam_02 looks wrong": lambda take: moved(take, 1),
}


@pytest.mark.parametrize("cause", REAL_FAULTS)
def test_the_cause_is_found_in_the_real_capture(capture_folder: Path, cause: str) -> None:
    (take,) = read_recordings([str(capture_folder)], ReadSettings())
    assert not found(take).is_bad
    agreement = found(REAL_FAULTS[cause](take))
    assert cause in agreement.cause
    assert agreement.share > Config().most_disagreement
