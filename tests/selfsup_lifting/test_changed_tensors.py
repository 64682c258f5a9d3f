"""Laws of recordings whose tensors were changed in their place, or have a gradient."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from selfsup_lifting.config import LifterSettings
from selfsup_lifting.inference import lift, lift_covariances
from selfsup_lifting.plots import draw_residuals
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import load_recording, save_recording
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.loop import train
from tests.selfsup_lifting.strategies import Scene
from tests.selfsup_lifting.training.small_runs import TINY, contents


def with_gradient() -> Recording:
    recording = Scene(views=2, frames=16).recording()
    return replace(recording, keypoints=recording.keypoints.clone().requires_grad_())


@pytest.mark.rejects
def test_a_recording_that_could_not_be_read_again_replaces_no_file(tmp_path: Path) -> None:
    path, recording = tmp_path / "recording.npz", Scene(views=2, frames=4).recording()
    save_recording(path, recording)
    before = contents(tmp_path)
    confidence = recording.confidence.clone()
    confidence[3, 1, 4] = -5.0
    recording.confidence.copy_(confidence)
    with pytest.raises(
        ValueError, match=r"`confidence` must be finite and not negative .* frame 3"
    ):
        save_recording(path, recording)
    recording.keypoints.resize_(2, *recording.keypoints.shape[1:])
    with pytest.raises(ValueError, match="`confidence` must have shape"):
        save_recording(path, recording)
    assert contents(tmp_path) == before


def test_of_a_recording_with_a_gradient_the_numbers_are_saved_and_learned(tmp_path: Path) -> None:
    recording = with_gradient()
    save_recording(tmp_path / "recording.npz", recording)
    plain = load_recording(tmp_path / "recording.npz")
    assert torch.equal(plain.keypoints, recording.keypoints)
    learned = train(TINY, [recording], tmp_path / "run").state_dict()
    expected = train(TINY, [plain], tmp_path / "plain").state_dict()
    assert all(torch.equal(learned[name], expected[name]) for name in expected)
    residuals = torch.rand(4, 2, 2, requires_grad=True)
    draw_residuals(Figure().add_subplot(), residuals, ["left", "right"], ["hip", "knee"])


def test_lifting_passes_no_gradient() -> None:
    recording = with_gradient()
    lifter = Lifter(SKELETONS["h36m17"], LifterSettings(width=8, blocks=1, uncertainty=True))
    for function in (lift, lift_covariances):
        assert not function(lifter, recording.cameras, recording.keypoints).requires_grad
