"""Laws of cameras that are early or late."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from selfsup_lifting.files import read_results
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.timing import _pairs, camera_delays, in_step, synchronized
from tests.profiles import at_most

# How far an estimate may be off, with the usual noise of a detector [frames].
CLOSE = 0.1
CLOSE_PIXELS: dict[str, Any] = {"rtol": 0.0, "atol": 1e-3, "equal_nan": True}


@cache
def filmed(views: int) -> Recording:
    recording = read_results("synthetic", ReadSettings())[0].recording
    return recording.select_views(recording.cameras.names[:views])


@at_most(10)
@given(
    st.lists(st.floats(-6.0, 6.0), min_size=2, max_size=4),
)
def test_the_delay_of_every_camera_is_measured(delays: list[float]) -> None:
    true = torch.tensor(delays)
    found = camera_delays(synchronized(filmed(len(delays)), -true))
    expected = true - true.median()
    assert_close(found.frames.float(), expected, rtol=0, atol=CLOSE)
    assert found.contradiction < CLOSE


def test_cameras_in_step_stay_as_they_are() -> None:
    recording = filmed(4)
    same, told = in_step(recording)
    assert same is recording
    assert told == "no camera is certainly early or late"


def test_detections_are_moved_between_frames() -> None:
    recording = filmed(2)
    moved = synchronized(recording, torch.tensor([0.0, 1.5]))
    assert_close(
        moved.keypoints[:, 0], recording.keypoints[:, 0], rtol=0, atol=1e-3, equal_nan=True
    )
    track = recording.keypoints[:, 1]
    assert_close(
        moved.keypoints[:-2, 1], (track[1:-1] + track[2:]) / 2, rtol=0, atol=1e-3, equal_nan=True
    )
    assert moved.keypoints[-2:, 1].isnan().all()
    assert (moved.confidence[-2:, 1] == 0).all()


def test_sync_corrects_a_recording_and_says_so(tmp_path: Path) -> None:
    late = synchronized(filmed(3), torch.tensor([0.0, -2.4, 0.0]))
    save_recording(tmp_path / "late.npz", late)
    (result,) = read_results(str(tmp_path / "late.npz"), ReadSettings(sync=True))
    assert camera_delays(result.recording).frames.abs().max() < CLOSE
    assert "camera cam_2 is 2.4 frames late; its detections were shifted" in result.notes[-1]


def test_a_body_that_does_not_move_tells_no_time() -> None:
    recording = filmed(3)
    still = recording.keypoints[:1].expand_as(recording.keypoints).clone()
    found = camera_delays(replace(recording, keypoints=still))
    assert not found.is_certain.any()
    assert (found.frames == 0).all()


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_few_frames_tell_no_time(frames: int) -> None:
    found = camera_delays(filmed(3).frames(slice(0, frames)))
    assert found.frames.isfinite().all()
    assert not found.is_certain.any()


def test_cameras_that_share_no_joint_tell_no_time() -> None:
    recording = filmed(2)
    blind = recording.keypoints.clone()
    blind[:, 0] = torch.nan
    found = camera_delays(replace(recording, keypoints=blind))
    assert (found.deviation == torch.inf).all()


def test_exchanged_sides_are_exchanged_back() -> None:
    recording = filmed(3)
    twice = recording.with_exchanged_sides(["cam_2"]).with_exchanged_sides(["cam_2"])
    assert_close(twice.keypoints, recording.keypoints, **CLOSE_PIXELS)
    with pytest.raises(ValueError, match="no camera 'cam_9'; there are cam_1, cam_2, cam_3"):
        recording.with_exchanged_sides(["cam_9"])


@pytest.mark.parametrize("views", [2, 8, 9, 12])
def test_each_of_many_cameras_is_compared_with_the_next_ones_around_the_ring(views: int) -> None:
    pairs = _pairs(views)
    partners = [{one, other} - {view} for view in range(views) for one, other in pairs
                if view in {one, other}]  # fmt: skip
    assert len(pairs) == len(set(pairs)) == views * min(views - 1, 8) / 2
    assert len(partners) == views * min(views - 1, 8)
    assert all((0, view) in pairs for view in range(1, views) if min(view, views - view) <= 4)
