"""Laws of training."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from selfsup_lifting.config import Config, LifterSettings, LossSettings
from selfsup_lifting.config_toml import load_config
from selfsup_lifting.evaluation.evaluate import evaluate_lifter
from selfsup_lifting.recipes import RECIPES
from selfsup_lifting.recording import Recording
from selfsup_lifting.training import lifter
from selfsup_lifting.training.checkpoint import load_lifter
from selfsup_lifting.training.loop import epoch_count, train, untrained_lifter
from tests.selfsup_lifting.strategies import Scene

TINY = Config(
    epochs=4,
    frames_per_batch=16,
    lifter=LifterSettings(width=16, blocks=1, dropout=0.2),
    losses=LossSettings(output_share=0.5),
)


def recordings(views: int = 3, missing: float = 0.0) -> list[Recording]:
    return [Scene(views=views, frames=32, missing=missing).recording()]


def weights(lifter: torch.nn.Module) -> Tensor:
    return torch.cat([numbers.float().flatten() for numbers in lifter.state_dict().values()])


@pytest.mark.parametrize("recipe", ["paper", "pseudo-label", "robust"])
def test_the_truth_never_reaches_a_self_supervised_recipe(tmp_path: Path, recipe: str) -> None:
    config = RECIPES[recipe](TINY)
    blind = [
        replace(recording, truth=torch.full_like(recording.truth, torch.nan))
        for recording in recordings()
    ]
    with_truth = train(config, recordings(), tmp_path / "with")
    without = train(config, blind, tmp_path / "without")
    assert torch.equal(weights(with_truth), weights(without))


def test_equal_bones_change_the_training_without_the_truth(tmp_path: Path) -> None:
    config = replace(TINY, epochs=1, losses=replace(TINY.losses, equal_bones=True))
    blind = [replace(one, truth=None) for one in recordings()]
    trained = [
        weights(train(settings, some, tmp_path / str(place)))
        for place, (settings, some) in enumerate(
            [(config, recordings()), (config, blind), (replace(TINY, epochs=1), recordings())]
        )
    ]
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_the_truth_reaches_the_supervised_recipe(tmp_path: Path) -> None:
    config = RECIPES["supervised"](TINY)
    other = [replace(recording, truth=2 * recording.truth) for recording in recordings()]
    one, two = train(config, recordings(), tmp_path / "1"), train(config, other, tmp_path / "2")
    assert not torch.equal(weights(one), weights(two))


def test_a_seed_gives_one_lifter_and_another_seed_another(tmp_path: Path) -> None:
    one, again = (train(TINY, recordings(), tmp_path / name) for name in ("1", "again"))
    other = train(replace(TINY, seed=1), recordings(), tmp_path / "other")
    assert torch.equal(weights(one), weights(again))
    assert not torch.equal(weights(one), weights(other))


def test_what_is_named_as_held_out_is_not_learned_from(tmp_path: Path) -> None:
    config = replace(TINY, epochs=1, hold_out=("S2", "jog"))
    learned = recordings()[0]
    other = [replace(recordings(missing=0.2)[0], subject=one, action="jog") for one in ("S2", "S3")]
    alone = train(replace(config, hold_out=()), [learned], tmp_path / "alone")
    named = train(config, [learned, *other], tmp_path / "named")
    left_out = train(config, [learned], tmp_path / "left out", held_out=other)
    assert torch.equal(weights(alone), weights(named))
    assert torch.equal(weights(alone), weights(left_out))


@pytest.mark.rejects
def test_names_of_no_recording_cannot_be_held_out(tmp_path: Path) -> None:
    config = replace(TINY, hold_out=("S77",))
    words = "`hold_out` names 'S77', which is no subject, .* held out already is given as `held_out"
    with pytest.raises(ValueError, match=words):
        train(config, recordings(), tmp_path / "run", held_out=recordings())
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="`recordings` must be Recording, got str"):
        train(TINY, recordings(), tmp_path / "run", held_out=["S1"])


@pytest.mark.parametrize("disabled", [torch.no_grad, torch.inference_mode])
def test_it_learns_where_gradients_are_disabled(
    tmp_path: Path, disabled: Callable[[], AbstractContextManager[None]]
) -> None:
    usual = train(TINY, recordings(), tmp_path / "usual")
    with disabled():
        lifter = train(TINY, recordings(), tmp_path / "run")
    assert torch.equal(weights(lifter), weights(usual))


def test_the_output_triangulation_comes_in_late(tmp_path: Path) -> None:
    train(TINY, recordings(), tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert ["L_out" in row["losses"] for row in rows] == [False, False, True, True]
    assert [sum(row["gradient_shares"].values()) for row in rows] == pytest.approx([1.0] * 4)


@pytest.mark.parametrize(("views", "missing"), [(2, 0.0), (5, 0.0), (4, 0.2)])
def test_any_rig_trains_with_sightings_missing(
    tmp_path: Path, views: int, missing: float, caplog: pytest.LogCaptureFixture
) -> None:
    lifter = train(TINY, recordings(views, missing), tmp_path / "run")
    assert weights(lifter).isfinite().all()
    assert ("of 32 frames are not learned from: their root (pelvis)" in caplog.text) == (
        missing > 0
    )


def test_a_run_folder_is_enough_to_live_on(tmp_path: Path) -> None:
    lifter = train(TINY, recordings(), tmp_path / "run")
    assert torch.equal(weights(load_lifter(tmp_path / "run")), weights(lifter))
    assert load_config(tmp_path / "run") == TINY
    names = {path.name.split(".")[0] for path in (tmp_path / "run").iterdir()}
    assert names == {"model", "config", "state", "metrics", "events", "checkpoint"}


def test_what_was_learned_is_better_than_what_was_there(tmp_path: Path) -> None:
    config = replace(TINY, epochs=60, lifter=replace(TINY.lifter, width=64, dropout=0.0))
    before = evaluate_lifter(
        untrained_lifter(recordings()[0].skeleton, config).eval(), recordings()
    )
    after = evaluate_lifter(train(config, recordings(), tmp_path / "run"), recordings())
    assert after.total.p_mpjpe_mm < 0.7 * before.total.p_mpjpe_mm


@pytest.mark.parametrize("detach", [True, False])
def test_the_output_triangulation_may_be_used_from_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, detach: bool
) -> None:
    monkeypatch.setattr(lifter, "OUTPUT_SCALE", 30.0)  # first poses are many meters wide
    losses = LossSettings(output=1.0, output_share=1.0, detach_targets=detach)
    network = LifterSettings(width=64, blocks=1, dropout=0.0)
    config = replace(TINY, epochs=60, lifter=network, losses=losses, learning_rate=1e-2)
    train(config, recordings(), tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line)["losses"] for line in lines]
    assert max(row["L_out"] for row in rows) < 1e3
    assert all(rows[-1][name] < 0.05 * rows[0][name] for name in ("L_in", "L_out"))


def test_a_loss_that_is_never_used_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(replace(TINY, epochs=1), recordings(), tmp_path / "run")
    assert "L_out is never used: of 1 epochs, none is in the last" in caplog.text


def test_steps_are_rounded_up_to_epochs() -> None:
    config = Config(steps=10, frames_per_batch=10)
    assert epoch_count(config, frames=25) == 4
    assert epoch_count(replace(config, epochs=7), frames=25) == 7


@pytest.mark.rejects
def test_data_that_teach_nothing_leave_an_older_run_alone(tmp_path: Path) -> None:
    train(TINY, recordings(), tmp_path / "run")
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match="can be learned from"):
        train(TINY, recordings(missing=1.0), tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
