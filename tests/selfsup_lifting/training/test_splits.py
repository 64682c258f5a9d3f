"""Laws of what is kept out of training."""

from dataclasses import replace

import pytest

from selfsup_lifting.recording import Recording
from selfsup_lifting.training.splits import hold_out
from tests.selfsup_lifting.strategies import Scene


def recording(subject: str, action: str = "walking", frames: int = 10) -> Recording:
    recording = Scene(frames=frames).recording()
    return replace(recording, name=f"{subject} {action}", subject=subject, action=action)


def test_the_last_subject_is_kept_out() -> None:
    split = hold_out([recording("S2"), recording("S1"), recording("S2", "running")])
    assert [kept.name for kept in split.held_out] == ["S2 walking", "S2 running"]
    assert split.summary == "training on 1 recording, 2 held out (S2)"


def test_of_one_subject_the_last_fifth_is_kept_out() -> None:
    split = hold_out([recording("S1", frames=100)])
    assert (split.training[0].frame_count, split.held_out[0].frame_count) == (80, 20)
    assert split.summary == "training on 80 frames; the last 20 frames are held out"


@pytest.mark.parametrize("name", ["S1", "running", "S1 running"])
def test_subjects_actions_and_recordings_can_be_named(name: str) -> None:
    split = hold_out([recording("S1", "running"), recording("S2")], [name])
    assert [kept.name for kept in split.held_out] == ["S1 running"]


@pytest.mark.rejects
def test_a_name_that_is_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="recording; subjects are S1, S2, and recordings S1 w"):
        hold_out([recording("S1"), recording("S2")], ["S9"])


@pytest.mark.rejects
def test_without_recordings_there_is_no_split() -> None:
    with pytest.raises(ValueError, match="there is no recording"):
        hold_out([])


@pytest.mark.rejects
def test_a_recording_of_two_frames_has_none_to_hold_out() -> None:
    with pytest.raises(ValueError, match="which needs more frames than the 2 of S1 walking"):
        hold_out([recording("S1", frames=2)])


@pytest.mark.rejects
def test_something_must_be_left_to_learn_from() -> None:
    with pytest.raises(ValueError, match="leaves no training data"):
        hold_out([recording("S1")], ["S1"])


def test_a_name_that_another_setting_took_is_not_left() -> None:
    with pytest.raises(ValueError, match=r"`select_on` names 'S9', .* that is left to learn from"):
        hold_out([recording("S1"), recording("S2")], ["S9"], "select_on")
