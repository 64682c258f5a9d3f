"""Laws of training with several processes: they compute what one process does."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from selfsup_lifting.config import Config, LifterSettings, LossSettings
from selfsup_lifting.config_toml import as_toml
from selfsup_lifting.evaluation.published_tables import split_for
from selfsup_lifting.files import read_recordings
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.run_files import require_undamaged
from selfsup_lifting.training.distributed import launcher, own_part, own_share, require_torchrun
from selfsup_lifting.training.loop import train
from selfsup_lifting.training.synced_batchnorm import SyncedBatchNorm, with_synced_batchnorm
from tests.selfsup_lifting.strategies import Scene

STEPS = 50


def losses_of(run: Path) -> list[dict[str, float]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["losses"] for line in lines]


def train_in_two_processes(*arguments: str) -> str:
    """Run the command line in two processes; return what was printed."""
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, "-m", *torchrun, "-m", "--", "selfsup_lifting", "train"]
    ended = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, timeout=250
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """The batch is odd and detections are missing, so the processes have unequal shares.

    The step is small, because Adam enlarges round-off where gradients are close to zero.
    """
    recording = Scene(views=3, frames=21, missing=0.1).recording()
    save_recording(tmp_path / "data.npz", recording)
    config = Config(
        data=(str(tmp_path / "data.npz"),),
        epochs=STEPS,
        frames_per_batch=17,
        learning_rate=2e-4,
        device="cpu",
        lifter=LifterSettings(width=16, blocks=1, dropout=0.0),
        losses=LossSettings(output_share=1.0),
    )
    train(
        config,
        split_for(config, read_recordings(config.data, config.read)).training,
        tmp_path / "one",
    )
    run, settings = tmp_path / "two", tmp_path / "settings.toml"
    settings.write_text(as_toml(replace(config, epochs=STEPS - 10, run=run)))
    train_in_two_processes("--config", str(settings))
    printed = train_in_two_processes("--resume", str(run), "--epochs", str(STEPS))
    assert printed.count("run folder") == 1
    one, two = losses_of(tmp_path / "one"), losses_of(run)
    assert len(one) == len(two) == STEPS
    for losses, others in zip(one, two, strict=True):
        assert others == pytest.approx(losses, rel=1e-5)
    assert require_undamaged(run).epoch == STEPS


def test_the_shares_of_the_processes_are_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    shares = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(own_share(torch.arange(8)))
        assert own_part("abc") == "abc"[rank]
    assert torch.equal(torch.cat(shares), torch.arange(8))
    with pytest.raises(ValueError, match="2 frames cannot be divided among 3 processes"):
        own_share(torch.arange(2))
    with pytest.raises(ValueError, match="a training of 2 processes continues with as many"):
        own_part("ab")


def test_synced_normalization_of_one_process_is_that_of_pytorch() -> None:
    plain = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    synced = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    synced.load_state_dict(plain.state_dict())
    with_synced_batchnorm(synced)
    assert isinstance(synced[1], SyncedBatchNorm)
    features = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(synced(features), plain(features))
    assert list(synced.state_dict()) == list(plain.state_dict())


def test_the_command_that_continues_starts_as_many_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert launcher() == "selfsup-lifting"
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert launcher() == "torchrun --standalone --nproc-per-node 4 -m -- selfsup_lifting"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert "--nnodes 2" in launcher()


def test_a_rank_that_another_program_left_is_named_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ValueError, match=r"got RANK=1, WORLD_SIZE=, .* left from another program"):
        train(Config(), [Scene(views=2, frames=8).recording()], tmp_path / "run")


@pytest.mark.parametrize("rank", ["5", "abc", ""])
def test_variables_that_another_program_left_are_named(
    monkeypatch: pytest.MonkeyPatch, rank: str
) -> None:
    values = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    for name, value in (values | {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}).items():
        monkeypatch.setenv(name, value)
    require_torchrun()
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(ValueError, match=f"RANK={rank}, WORLD_SIZE=2, .* left from another"):
        require_torchrun()
