"""Laws of runs that break: one sentence each, and nothing good is lost."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from selfsup_lifting.config import Config, LifterSettings
from selfsup_lifting.config_toml import load_config
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.training import loop as training
from selfsup_lifting.training.checkpoint import (
    load_lifter,
    load_state,
    save_checkpoint,
)
from selfsup_lifting.training.dataset import Frames
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.loop import train, untrained_lifter
from selfsup_lifting.training.model_selection import ModelSelection
from selfsup_lifting.training.run_folder import planned_run
from tests.selfsup_lifting.strategies import Scene

TINY = Config(epochs=2, frames_per_batch=8, lifter=LifterSettings(width=8, blocks=1, dropout=0.0))
DIVERGING = replace(TINY, learning_rate=1e18)


def recordings(skeleton: str = "h36m17") -> list[Recording]:
    return [Scene(views=2, frames=16, skeleton=skeleton).recording()]


def saved(run: Path) -> Lifter:
    """Leave a small run that was not trained; return its network."""
    run.mkdir()
    lifter = Lifter(SKELETONS["coco17"], TINY.lifter)
    save_checkpoint(run, lifter, torch.optim.Adam(lifter.parameters()), TINY, epoch=1)
    return lifter


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Breaking:
    """Stand in for `batches`; break off when an epoch begins."""

    def __init__(self, epoch: int, error: BaseException) -> None:
        self._epoch, self._error, self._real = epoch, error, Frames.batches

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def batches(frames: Frames, count: int, seed: int | None) -> Iterator[Frames]:
            if seed == self._epoch:
                raise self._error
            return self._real(frames, count, seed)

        monkeypatch.setattr(Frames, "batches", batches)


def test_a_seed_may_be_as_large_as_torch_counts(tmp_path: Path) -> None:
    lifter = train(replace(TINY, epochs=1, seed=2**63 - 1), recordings(), tmp_path / "run")
    assert all(weights.isfinite().all() for weights in lifter.state_dict().values())


def test_a_lifter_can_be_compared_where_its_training_device_is_not() -> None:
    lifter = untrained_lifter(SKELETONS["h36m17"], replace(TINY, device="cuda:99"))
    assert {str(weights.device) for weights in lifter.parameters()} == {"cpu"}


def test_an_older_run_is_replaced_whole(tmp_path: Path) -> None:
    train(TINY, recordings(), tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("of the older run")
    train(replace(TINY, epochs=1), recordings(), tmp_path / "run")
    assert load_config(tmp_path / "run").epochs == 1
    assert not (tmp_path / "run" / "notes.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()], ids=repr)
def test_an_older_run_outlives_a_newer_one_that_saves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    train(TINY, recordings(), tmp_path / "run")
    before = contents(tmp_path / "run")
    Breaking(0, error).install(monkeypatch)
    with pytest.raises(type(error)):
        train(replace(TINY, learning_rate=0.1), recordings(), tmp_path / "run")
    assert contents(tmp_path / "run") == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_interrupted_run_with_an_epoch_done_replaces_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(TINY, recordings(), tmp_path / "run")
    Breaking(1, KeyboardInterrupt()).install(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(replace(TINY, learning_rate=0.1), recordings(), tmp_path / "run")
    assert load_config(tmp_path / "run").learning_rate == 0.1


def test_a_failure_leaves_the_last_checkpoint_and_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(replace(TINY, epochs=4), recordings(), tmp_path / "whole")
    train(TINY, recordings(), tmp_path / "run")
    before = contents(tmp_path / "run")["model.safetensors"]
    Breaking(3, RuntimeError("out of memory")).install(monkeypatch)
    with pytest.raises(RuntimeError):
        train(replace(TINY, epochs=4), recordings(), tmp_path / "run", resume=True)
    monkeypatch.undo()
    assert contents(tmp_path / "run")["model.safetensors"] == before
    resumed = train(replace(TINY, epochs=4), recordings(), tmp_path / "run", resume=True)
    pairs = zip(resumed.parameters(), whole.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]


def test_dropout_may_change_when_a_run_goes_on(tmp_path: Path) -> None:
    train(TINY, recordings(), tmp_path / "run")
    config = replace(TINY, epochs=3, lifter=replace(TINY.lifter, dropout=0.5))
    assert train(config, recordings(), tmp_path / "run", resume=True).settings.dropout == 0.5


@pytest.mark.rejects
def test_a_diverging_training_is_reported_and_the_older_run_stays(tmp_path: Path) -> None:
    train(TINY, recordings(), tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(ValueError, match=r"diverged: the loss L_in of epoch [12] must be finite"):
        train(DIVERGING, recordings(), tmp_path / "run")
    assert contents(tmp_path / "run") == before


@pytest.mark.rejects
def test_weights_that_are_not_finite_replace_nothing(tmp_path: Path) -> None:
    lifter = saved(tmp_path / "run")
    before = contents(tmp_path / "run")
    torch.nn.init.constant_(lifter.decoder.layers[0].bias, torch.nan)
    optimizer = torch.optim.Adam(lifter.parameters())
    with pytest.raises(ValueError, match=r"diverged, `decoder\.layers\.0\.bias` is not finite"):
        save_checkpoint(tmp_path / "run", lifter, optimizer, TINY, epoch=2)
    assert contents(tmp_path / "run") == before


def rewritten(path: Path, weights: dict[str, Any], **metadata: str | None) -> None:
    """Write a checkpoint again with other weights and words; what is None is left out."""
    with safe_open(path, framework="pt") as file:
        old = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        words = {**file.metadata(), **metadata}
    kept = {name: value for name, value in {**old, **weights}.items() if value is not None}
    report = {name: value for name, value in words.items() if value is not None}
    save_file(kept, path, metadata=report)


BIAS = "decoder.layers.0.bias"


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("weights", "metadata", "report"),
    [
        ({BIAS: None}, {}, f"it lacks `{BIAS}`"),
        ({"more": torch.zeros(1)}, {}, "it should not have `more`"),
        ({BIAS: torch.zeros(9)}, {}, rf"`{BIAS}` must have shape \(8,\), got \(9,\)"),
        ({BIAS: torch.full((8,), torch.nan)}, {}, f"`{BIAS}` is not finite"),
        ({BIAS: torch.full((8,), torch.inf)}, {}, f"`{BIAS}` is not finite"),
        ({}, {"skeleton": None}, "it does not say its `skeleton`"),
        ({}, {"skeleton": "{"}, "its `skeleton` is not JSON"),
        ({}, {"skeleton": "{}"}, "a skeleton needs"),
        ({}, {"lifter": None}, "it does not say its `lifter`"),
        ({}, {"lifter": "[1]"}, r"its `lifter` must be a table, got \[1\]"),
        ({}, {"lifter": '{"width": "x"}'}, r"setting `lifter\.width` must be of type int"),
        ({}, {"lifter": '{"width": 1000000000}'}, "setting `width` must be at most"),
    ],
)
def test_a_damaged_lifter_is_named(
    tmp_path: Path, weights: dict[str, Any], metadata: dict[str, str | None], report: str
) -> None:
    saved(tmp_path / "run")
    rewritten(tmp_path / "run" / "model.safetensors", weights, **metadata)
    with pytest.raises(ValueError, match=rf"model\.safetensors is damaged: {report}") as refusal:
        load_lifter(tmp_path / "run")
    assert "\n" not in str(refusal.value)


@pytest.mark.rejects
@pytest.mark.parametrize("size", [0, 1, 100, 1000])
def test_a_truncated_state_is_named(tmp_path: Path, size: int) -> None:
    lifter = saved(tmp_path / "run")
    path = tmp_path / "run" / "state.pt"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"state\.pt is damaged: .") as refusal:
        load_state(tmp_path / "run", lifter, torch.optim.Adam(lifter.parameters()))
    assert "\n" not in str(refusal.value)


@pytest.mark.rejects
@pytest.mark.parametrize("state", [{}, [], {"optimizer": {}, "epoch": 1}, {"epoch": 1}], ids=repr)
def test_a_state_of_something_else_is_named(tmp_path: Path, state: object) -> None:
    lifter = saved(tmp_path / "run")
    torch.save(state, tmp_path / "run" / "state.pt")
    with pytest.raises(ValueError, match=r"state\.pt is damaged: ."):
        load_state(tmp_path / "run", lifter, torch.optim.Adam(lifter.parameters()))


@pytest.mark.rejects
def test_damaged_best_weights_are_named(tmp_path: Path) -> None:
    scenes = [Scene(views=2, frames=8, seed=seed).recording() for seed in (1, 2)]
    (tmp_path / "best.safetensors").write_bytes(b"damage")
    config = replace(TINY, select_on=("scene 2",))
    with pytest.raises(ValueError, match=r"best\.safetensors is damaged: "):
        ModelSelection(config, scenes, tmp_path).score(untrained_lifter(scenes[0].skeleton, config))


@pytest.mark.rejects
@pytest.mark.parametrize("load", [load_lifter, load_config])
def test_a_run_folder_that_is_not_there_is_named(tmp_path: Path, load: Any) -> None:
    with pytest.raises(ValueError, match=r"there is no run folder .*nowhere"):
        load(tmp_path / "nowhere")


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("lifter", "skeleton", "report"),
    [
        (replace(TINY.lifter, width=16), "h36m17", r"`lifter\.width` was 8 and is now 16$"),
        (replace(TINY.lifter, blocks=2), "h36m17", r"`lifter\.blocks` was 1 and is now 2$"),
        (TINY.lifter, "coco17", r"`skeleton` was h36m17 \(.*\) and is now coco17 \([^`]*\)$"),
    ],
)
def test_another_network_cannot_be_resumed(
    tmp_path: Path, lifter: LifterSettings, skeleton: str, report: str
) -> None:
    train(TINY, recordings(), tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(ValueError, match=report):
        train(replace(TINY, lifter=lifter), recordings(skeleton), tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == before


@pytest.mark.rejects
@pytest.mark.parametrize("device", ["foo", "", "meta", "cuda:99", "mps:7"])
def test_a_device_that_is_not_there_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    saved(tmp_path / "run")
    before = contents(tmp_path / "run")
    monkeypatch.setattr(training, "build_dataset", pytest.fail)
    config = replace(TINY, device=device)
    with pytest.raises(ValueError, match=f"setting `device` must be one of cpu.*, got '{device}'"):
        train(config, recordings(), tmp_path / "run")
    with pytest.raises(ValueError, match="setting `device` must be one of cpu"):
        planned_run(config, "paper")
    assert contents(tmp_path / "run") == before
