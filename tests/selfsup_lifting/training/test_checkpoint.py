"""Laws of checkpoints."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.testing import assert_close

from selfsup_lifting.config import LifterSettings
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.training.checkpoint import (
    FORMAT,
    _require_weights_of,
    load_lifter,
    load_state,
)
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.loop import train
from tests.selfsup_lifting.strategies import Scene
from tests.selfsup_lifting.training.small_runs import TINY, saved_run

EVERY_SETTING = LifterSettings(
    width=8, blocks=1, confidence_input=True, turn_to_root=True, average_mirrored=True,
    output_unit=0.5, uncertainty=True,
)  # fmt: skip


def test_a_lifter_comes_back_with_skeleton_and_settings(tmp_path: Path) -> None:
    lifter = saved_run(tmp_path / "run", LifterSettings(width=8, blocks=2))
    loaded = load_lifter(tmp_path / "run")
    assert (loaded.skeleton, loaded.settings) == (lifter.skeleton, lifter.settings)
    image, seen = torch.rand(2, 17, 2), torch.ones(2, 17, dtype=torch.bool)
    assert torch.equal(loaded(image, seen), lifter.eval()(image, seen))


def test_the_state_loads_without_running_anything(tmp_path: Path) -> None:
    lifter = saved_run(tmp_path / "run")
    state = load_state(tmp_path / "run", lifter)
    assert (state.epoch, state.step) == (1, 0)


@pytest.mark.rejects
def test_a_folder_without_a_lifter_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkpoint here"):
        load_lifter(tmp_path)
    (tmp_path / "cameras-2").mkdir()
    saved_run(tmp_path / "cameras-2" / "seed-0")
    with pytest.raises(ValueError, match=r"there are runs in it, such as .*seed-0$"):
        load_lifter(tmp_path)


@pytest.mark.rejects
def test_a_truncated_lifter_is_named(tmp_path: Path) -> None:
    saved_run(tmp_path / "run", LifterSettings(width=8, blocks=2))
    path = tmp_path / "run" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged: "):
        load_lifter(tmp_path / "run")


@pytest.mark.rejects
def test_other_weights_are_refused(tmp_path: Path) -> None:
    save_file({"layer": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="expected a checkpoint of format 'selfsup-lifting 2'"):
        load_lifter(tmp_path / "other.safetensors")


@pytest.mark.rejects
def test_weights_that_another_version_would_read_differently_are_refused(tmp_path: Path) -> None:
    saved_run(tmp_path / "run", LifterSettings(width=8, blocks=1, confidence_input=True))
    content = (tmp_path / "run" / "model.safetensors").read_bytes()
    old = content.replace(b"selfsup-lifting 2", b"selfsup-lifting 1")
    (tmp_path / "old.safetensors").write_bytes(old)
    with pytest.raises(
        ValueError, match=r"got 'selfsup-lifting 1'; likely cause: .*train it again"
    ):
        load_lifter(tmp_path / "old.safetensors")


def test_a_change_of_what_weights_mean_needs_a_new_format() -> None:
    # If these numbers change, weights of before give other poses: raise the number of FORMAT too.
    lifter = Lifter(SKELETONS["h36m17"], EVERY_SETTING).eval()
    weights = {
        name: torch.arange(float(one.numel())).cos().abs().view(one.shape).to(one.dtype) / 3
        for name, one in lifter.state_dict().items()
    }
    weights["whitening.weight"] = torch.arange(816.0).cos().view(102, 8) / 100
    lifter.load_state_dict(weights)
    image = torch.arange(34.0).sin().view(17, 2) / 5
    seen, confidence = torch.ones(17, dtype=torch.bool), torch.arange(17.0).cos().abs()
    expected = torch.tensor([[0.0409, 0.2169, 0.0418], [0.0451, 0.6491, -0.5290]])
    assert FORMAT == "selfsup-lifting 2"
    assert_close(lifter(image, seen, confidence)[[3, 16]], expected, atol=1e-3, rtol=0)
    covariance = lifter.covariances(image, seen, confidence)[3]
    variances = torch.tensor([0.00893, 0.00658, 0.01024])
    assert_close(covariance.diagonal(), variances, atol=3e-5, rtol=0)
    assert_close(covariance[1, 2], torch.tensor(-0.00074), atol=3e-5, rtol=0)


def test_a_lifter_from_before_a_setting_has_its_default(tmp_path: Path) -> None:
    lifter = saved_run(tmp_path / "run")
    with safe_open(tmp_path / "run" / "model.safetensors", framework="pt") as file:
        metadata = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    settings = json.loads(metadata["lifter"])
    del settings["uncertainty"]
    metadata["lifter"] = json.dumps(settings)
    save_file(weights, tmp_path / "old.safetensors", metadata)
    assert load_lifter(tmp_path / "old.safetensors").settings == lifter.settings


@pytest.mark.rejects
def test_a_network_that_is_not_in_the_file_takes_no_memory(tmp_path: Path) -> None:
    saved_run(tmp_path / "run", LifterSettings(width=8, blocks=1))
    with safe_open(tmp_path / "run" / "model.safetensors", framework="pt") as file:
        metadata = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    metadata["lifter"] = metadata["lifter"].replace('"width": 8', '"width": 100000')
    save_file(weights, tmp_path / "huge.safetensors", metadata)
    for _ in range(5):  # a file's weights come in another order at each reading; the sentence stays
        with pytest.raises(ValueError, match=r"`encoder.* must have shape \(100000,.*got \(8,"):
            load_lifter(tmp_path / "huge.safetensors")


@pytest.mark.rejects
def test_weights_of_another_precision_are_named() -> None:
    lifter = Lifter(SKELETONS["h36m17"], LifterSettings(width=8, blocks=1))
    weights = {name: one.double() for name, one in lifter.state_dict().items()}
    with pytest.raises(ValueError, match=r"must be torch\.float32, got torch\.float64"):
        _require_weights_of(lifter, weights)


def test_other_data_are_said_when_a_training_continues(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recording = Scene(views=2, frames=8).recording().without_truth()
    train(replace(TINY, epochs=1), [recording], str(tmp_path / "run"))
    train(replace(TINY, epochs=2), [recording], tmp_path / "run", resume=True)
    assert "are others than those" not in caplog.text
    train(replace(TINY, epochs=3), [recording.frames(slice(0, 6))], tmp_path / "run", resume=True)
    assert "are others than those that this run learned from" in caplog.text
