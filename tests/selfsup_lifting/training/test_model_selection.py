"""Laws of choosing an epoch without any truth."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from selfsup_lifting.cli import main
from selfsup_lifting.config import Config, LifterSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.run_files import BEST_FILE
from selfsup_lifting.training.checkpoint import load_lifter, saved_number
from selfsup_lifting.training.dataset import build_dataset
from selfsup_lifting.training.loop import train, untrained_lifter
from selfsup_lifting.training.model_selection import ModelSelection, reprojection_error
from tests.selfsup_lifting.strategies import Scene

CONFIG = Config(
    epochs=3,
    frames_per_batch=16,
    select_on=("scene 2",),
    lifter=LifterSettings(width=16, blocks=1, dropout=0.0),
)


def recordings() -> list[Recording]:
    return [Scene(views=3, frames=24, seed=seed).recording() for seed in (1, 2)]


def epochs(run: Path) -> list[float]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["reprojection"] for line in lines]


def test_the_best_epoch_is_kept_beside_the_last(tmp_path: Path) -> None:
    lifter = train(CONFIG, recordings(), tmp_path)
    frames = build_dataset(recordings()[1:])
    best = load_lifter(tmp_path / BEST_FILE)
    assert reprojection_error(best, frames) == pytest.approx(min(epochs(tmp_path)))
    assert reprojection_error(lifter, frames) == pytest.approx(epochs(tmp_path)[-1])


def test_what_is_set_apart_teaches_nothing(tmp_path: Path) -> None:
    apart = train(CONFIG, recordings(), tmp_path / "apart")
    alone = train(replace(CONFIG, select_on=()), recordings()[:1], tmp_path / "alone")
    pairs = zip(apart.state_dict().values(), alone.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert not (tmp_path / "alone" / BEST_FILE).exists()


def test_the_truth_has_no_say(tmp_path: Path) -> None:
    blind = [replace(recording, truth=None) for recording in recordings()]
    train(CONFIG, recordings(), tmp_path / "with")
    train(CONFIG, blind, tmp_path / "without")
    assert epochs(tmp_path / "with") == epochs(tmp_path / "without")


def test_a_resumed_training_knows_the_best_so_far(tmp_path: Path) -> None:
    train(CONFIG, recordings(), tmp_path)
    lowest = saved_number(tmp_path, "reprojection")
    assert lowest == min(epochs(tmp_path))
    selection = ModelSelection(CONFIG, recordings())
    selection.resume(tmp_path)
    lifter = untrained_lifter(recordings()[0].skeleton, CONFIG)
    lifter.load_state_dict({name: 9 * one for name, one in lifter.state_dict().items()})
    assert selection.score(lifter)["reprojection"] > lowest
    assert selection.files() == {}


def test_judging_leaves_the_network_as_it_was() -> None:
    lifter = untrained_lifter(recordings()[0].skeleton, CONFIG).train()
    before = {name: one.clone() for name, one in lifter.state_dict().items()}
    ModelSelection(CONFIG, recordings()).score(lifter)
    assert lifter.training
    assert all(torch.equal(one, before[name]) for name, one in lifter.state_dict().items())


def test_evaluate_uses_the_best_epoch_if_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for recording in recordings():
        save_recording(
            tmp_path / "data" / f"{recording.name}.npz", replace(recording, subject=recording.name)
        )
    run, data = str(tmp_path / "run"), str(tmp_path / "data")
    small = ["--lifter.width", "16", "--epochs", "2", "--frames-per-batch", "8"]
    main(["train", "--data", data, "--hold-out", "scene 1", "--run", run, *small])
    with pytest.raises(SystemExit):
        main(["evaluate", run, "--weights", "best"])
    assert "has no best weights, which a training with --select-on" in capsys.readouterr().err


@pytest.mark.rejects
def test_recordings_to_select_on_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`select_on` names 'scene 9'"):
        train(replace(CONFIG, select_on=("scene 9",)), recordings(), tmp_path)
