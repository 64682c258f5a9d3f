"""Laws of what is checked before a training or an evaluation begins."""

from dataclasses import replace

import pytest
import torch

from selfsup_lifting.config import Config, Labels, LossSettings, TriangulationSettings
from selfsup_lifting.evaluation.checked_split import checked_split, notes_on_comparison
from selfsup_lifting.recording import Recording
from tests.selfsup_lifting.strategies import Scene


def seen(name: str, frames: slice, views: int = 3) -> Recording:
    """Return a recording without ground truth, in which somebody is in view in some frames."""
    scene = Scene(views=views, frames=20).recording().without_truth()
    keypoints = torch.full_like(scene.keypoints, torch.nan)
    keypoints[frames] = scene.keypoints[frames]
    return replace(scene, name=name, subject="S1", keypoints=keypoints)


def test_a_sound_recording_is_split_without_a_note() -> None:
    found = checked_split(Config(), [Scene(views=3, frames=20).recording()])
    assert (found.is_comparable, found.notes) == (True, [])


def test_a_part_in_which_nobody_is_in_view_is_named() -> None:
    found = checked_split(Config(), [seen("walk", slice(16)), seen("run", slice(20))])
    (note,) = found.notes
    assert "of what is held out, no error can be computed for walk (4 frames): in no frame" in note
    assert found.is_comparable
    assert not checked_split(Config(), [seen("walk", slice(16))]).is_comparable
    found = checked_split(Config(), [seen("walk", slice(16, 20)), seen("run", slice(20))])
    assert "nothing can be learned from walk (16 frames): in no frame do two" in found.notes[0]


def test_codes_for_missing_joints_are_said_before_a_training() -> None:
    coded = Scene(views=3, frames=20).recording()
    coded.keypoints[:, 1, 4] = -1.0
    notes = checked_split(Config(), [coded]).notes
    assert any("cam_2 has 20 detections at (0, 0) or (-1, -1)" in note for note in notes)


def test_ground_truths_that_are_not_used_are_named() -> None:
    known, alone = Scene(views=3, frames=9).recording(), Scene(views=1, frames=9).recording()
    assert notes_on_comparison([known]) == notes_on_comparison([seen("walk", slice(9))]) == []
    first, second = notes_on_comparison([seen("walk", slice(9)), known, replace(alone, name="one")])
    assert first.startswith("walk has no ground truth: all recordings are compared with the")
    assert second == (
        "no error can be computed for one (9 frames): it has one camera, and no ground truth that "
        "is used"
    )
    (note,) = notes_on_comparison([known, replace(known, fps=2 * known.fps)])
    assert note.startswith("the recordings have 50 to 100 frames per second: the mean error of")
    blind = replace(known, keypoints=torch.full_like(known.keypoints, torch.nan))
    assert "no frame has a detection, and the root" in notes_on_comparison([blind])[0]


def test_weights_that_are_all_alike_are_said_before_a_training() -> None:
    config = Config(triangulation=TriangulationSettings(weighted=True))
    scene = Scene(views=3, frames=20).recording()
    certain = replace(scene, confidence=(scene.confidence > 0).to(scene.confidence))
    (note,) = checked_split(config, [certain]).notes
    assert "every detection has the confidence 1" in note


def test_a_person_of_no_size_is_named() -> None:
    scene = Scene(views=2, frames=10).recording()
    scene.keypoints[:] = scene.keypoints[:, :, :1]
    note, *_ = checked_split(Config(), [scene]).notes
    assert "the person is 0 m across, usually 0.5 to 3 m" in note


@pytest.mark.rejects
def test_what_a_training_needs_is_asked_for_first() -> None:
    truthless = seen("walk", slice(20))
    with pytest.raises(ValueError, match="truth needs ground truth, walk has none"):
        checked_split(Config(losses=LossSettings(labels=Labels.TRUTH)), [truthless])
    with pytest.raises(ValueError, match="`select_on` names 'S9'"):
        checked_split(Config(select_on=("S9",)), [truthless])
    with pytest.raises(ValueError, match="at most the 3 cameras of walk, got 4"):
        checked_split(Config(cameras_learned=4), [truthless])
