"""Small runs for tests, and trainings that break off."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from selfsup_lifting.config import Config, LifterSettings, LossSettings
from selfsup_lifting.config_toml import as_toml
from selfsup_lifting.run_files import (
    CONFIG_FILE,
    METRICS_FILE,
    STATE_FILE,
    WEIGHTS_FILE,
    Commit,
    commit_files,
    read_commit,
)
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.training import loop
from selfsup_lifting.training.checkpoint import State, lifter_bytes
from selfsup_lifting.training.dataset import Frames
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.step import Evaluated, TrainingStep

TINY = Config(epochs=2, frames_per_batch=8, lifter=LifterSettings(width=8, blocks=1, dropout=0.0))


def saved_run(run: Path, settings: LifterSettings = TINY.lifter) -> Lifter:
    """Leave a run that was not trained, with one epoch; return its network."""
    run.mkdir()
    torch.manual_seed(1)
    lifter = Lifter(SKELETONS["coco17"], settings)
    optimizer = torch.optim.Adam(lifter.parameters())
    contents = {
        WEIGHTS_FILE: lifter_bytes(lifter, TINY),
        STATE_FILE: State(1, 0, optimizer.state_dict(), [], {"steps": None}).as_bytes(),
        CONFIG_FILE: as_toml(TINY).encode(),
        METRICS_FILE: b'{"epoch": 1, "losses": {}, "gradient_shares": {}}\n',
    }
    commit_files(run, None, Commit(1, 0, {}), contents)
    return lifter


def committed(run: Path, name: str, content: bytes) -> None:
    """Commit another content of one file of a run."""
    last = read_commit(run)
    commit_files(run, last, last, {name: content})


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files of a run."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def before_step(
    monkeypatch: pytest.MonkeyPatch, epoch: int, step: int, action: Callable[[], object]
) -> None:
    """Do something before a step of a training, counted from 0 in its epoch."""
    real, done = TrainingStep.evaluate, [0, -1]

    def evaluate(self: TrainingStep, frames: Frames, losses: LossSettings) -> Evaluated:
        done[1] += 1
        if tuple(done) == (epoch, step):
            action()
        return real(self, frames, losses)

    def seed(config: Config, current: int, real_seed: object = loop.epoch_seed) -> int:
        if done[0] != current:
            done[:] = [current, -1]
        return real_seed(config, current)  # type: ignore[operator,no-any-return]

    monkeypatch.setattr(TrainingStep, "evaluate", evaluate)
    monkeypatch.setattr(loop, "epoch_seed", seed)


def breaking(error: BaseException) -> Callable[[], None]:
    """Return what raises an error."""

    def raise_error() -> None:
        raise error

    return raise_error


def signalled(number: signal.Signals) -> Callable[[], None]:
    """Return what sends a signal to this process."""
    return lambda: signal.raise_signal(number)
