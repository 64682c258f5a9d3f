"""Laws of the training step: compiled or not, it computes the same."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from selfsup_lifting.config import AugmentationSettings, Compile, Config, LossSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.training.dataset import Frames, build_dataset
from selfsup_lifting.training.devices import training_device
from selfsup_lifting.training.loop import train, untrained_lifter
from selfsup_lifting.training.step import TrainingStep, adam
from tests.selfsup_lifting.strategies import Scene
from tests.selfsup_lifting.training.small_runs import TINY

CONFIG = replace(TINY, epochs=3, losses=LossSettings(output_share=0.5))


def recordings() -> list[Recording]:
    return [Scene(views=3, frames=20, missing=0.1).recording()]


def frames() -> Frames:
    return build_dataset(recordings())


def step_of(config: Config) -> TrainingStep:
    lifter = untrained_lifter(recordings()[0].skeleton, config).train()
    return TrainingStep(lifter, adam(lifter, config), config)


def failing(*_: Any) -> NoReturn:
    raise RuntimeError("no compiler\nwas found")


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler itself looks there
def test_a_compiled_training_equals_a_plain_one_to_round_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This backend traces everything as for machine code, but runs PyTorch's operations.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    found = []
    for choice in (Compile.OFF, Compile.ON):
        run = tmp_path / choice.value
        lifter = train(replace(CONFIG, compile=choice), recordings(), run)
        lines = (run / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(line)["losses"] for line in lines]
        # In training mode: biases before a batch normalization do not matter.
        found.append((lifter.train()(frames().image, frames().seen), rows))
    (poses, rows), (compiled_poses, compiled_rows) = found
    torch.testing.assert_close(compiled_poses, poses, atol=1e-5, rtol=1e-4)
    for row, other in zip(rows, compiled_rows, strict=True):
        assert other == pytest.approx(row, rel=1e-5)


def test_where_nothing_can_be_compiled_the_plain_step_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "compile", lambda _: failing)
    step, plain = step_of(CONFIG), step_of(CONFIG)
    monkeypatch.setattr(step, "_on_cuda", True)
    step.compile(frames())
    assert not step.is_compiled
    for one in (step, plain):
        one.update(one.evaluate(frames(), CONFIG.losses), CONFIG.losses)
    pairs = zip(step.lifter.state_dict().values(), plain.lifter.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.rejects
def test_a_compiler_that_was_asked_for_and_fails_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "compile", lambda _: failing)
    step = step_of(replace(CONFIG, compile=Compile.ON))
    with pytest.raises(ValueError, match=r"training step cannot be compiled: no compiler$"):
        step.compile(frames())


def test_the_best_device_is_one_that_is_there() -> None:
    assert training_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


class Waiting(TorchDispatchMode):
    """Collect the operations that make Python wait for a GPU: values read, indices copied."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        name = str(operation)
        if any(word in name for word in ("_local_scalar_dense", "nonzero", "lift_fresh")):
            self.found.add(name)
        return operation(*arguments, **(options or {}))


def test_nothing_waits_for_the_device_within_an_epoch() -> None:
    settings = AugmentationSettings(mirror=True, hidden_share=0.1)
    config = replace(CONFIG, augmentation=settings)
    step, data, losses = step_of(config), frames(), config.losses
    batches = data.batches(8, seed=1)
    with Waiting() as control:
        _ = torch.zeros(3)[[0]]
    assert control.found == {"aten.lift_fresh.default"}
    for chosen in batches:  # the first step copies what later ones use
        with Waiting() as waiting:
            evaluated = step.evaluate(data.select(chosen), losses)
            step.gradient_shares(evaluated, losses)
            step.update(evaluated, losses)
    assert waiting.found == set()


def test_the_shares_of_the_gradient_are_those_of_the_step() -> None:
    step = step_of(CONFIG)
    evaluated = step.evaluate(frames(), CONFIG.losses)
    shares = step.gradient_shares(evaluated, CONFIG.losses)
    norms = [
        weight
        * torch.autograd.grad(evaluated.terms[name], evaluated.poses, retain_graph=True)[0].norm()
        for name, weight in CONFIG.losses.weights.items()
    ]
    torch.testing.assert_close(shares, torch.stack(norms) / sum(norms))
