"""Laws of checkpoints."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from selfsup_lifting.config import Config, LifterSettings
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.training.checkpoint import load_lifter, load_state, save_checkpoint
from selfsup_lifting.training.lifter import Lifter


def saved(run: Path) -> Lifter:
    run.mkdir()
    torch.manual_seed(1)
    lifter = Lifter(SKELETONS["coco17"], LifterSettings(width=8, blocks=2))
    optimizer = torch.optim.Adam(lifter.parameters())
    save_checkpoint(run, lifter, optimizer, Config(), epoch=3)
    return lifter


def test_a_lifter_comes_back_with_skeleton_and_settings(tmp_path: Path) -> None:
    lifter = saved(tmp_path / "run")
    loaded = load_lifter(tmp_path / "run")
    assert (loaded.skeleton, loaded.settings) == (lifter.skeleton, lifter.settings)
    image, seen = torch.rand(2, 17, 2), torch.ones(2, 17, dtype=torch.bool)
    assert torch.equal(loaded(image, seen), lifter.eval()(image, seen))


def test_the_state_loads_without_running_anything(tmp_path: Path) -> None:
    lifter = saved(tmp_path / "run")
    optimizer = torch.optim.Adam(lifter.parameters())
    assert load_state(tmp_path / "run", lifter, optimizer) == 3


@pytest.mark.rejects
def test_a_folder_without_a_lifter_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no trained lifter here"):
        load_lifter(tmp_path)


@pytest.mark.rejects
def test_a_truncated_lifter_is_named(tmp_path: Path) -> None:
    saved(tmp_path / "run")
    path = tmp_path / "run" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged: "):
        load_lifter(tmp_path / "run")


@pytest.mark.rejects
def test_other_weights_are_refused(tmp_path: Path) -> None:
    save_file({"layer": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="expected a checkpoint of format 'selfsup-lifting 1'"):
        load_lifter(tmp_path)
