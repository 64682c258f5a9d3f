"""Profile some steps of a training: a trace to look at, and a table of where the time goes."""

import gzip
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from selfsup_lifting.config import LossSettings
from selfsup_lifting.training.dataset import Frames
from selfsup_lifting.training.objective import loss_terms
from selfsup_lifting.training.run_log import RunLog
from selfsup_lifting.training.step import Evaluated, TrainingStep

TRACE_FILE = "trace.json.gz"
# Steps before the profile, while memory is allocated, and in it.
WARM_UP, STEPS = 3, 5
# The parts of a step in the trace, in their order.
STEP_PARTS = ("data", "augmentation", "network", "losses", "log", "gradients", "optimizer")
# The setting of each loss.
FIELDS = {"L_in": "input", "L_proj": "projection", "L_con": "consistency", "L_out": "output"}


@dataclass(frozen=True)
class Part:
    """A part of a training step.

    Attributes:
        name: The part, as in the trace.
        processor_ms: Time on the CPU in one step [ms].
        device_ms: Time on the GPU in one step [ms]; zero without one.
    """

    name: str
    processor_ms: float
    device_ms: float


@dataclass(frozen=True)
class StepProfile:
    """Where a training step spends its time.

    Attributes:
        parts: The parts of a step, in their order.
        losses: Each loss alone, with its gradient at the network's output. Together they take
            longer than in the step, where they share what several of them need.
        trace: The trace for chrome://tracing or ui.perfetto.dev, packed by gzip.
    """

    parts: Sequence[Part]
    losses: Sequence[Part]
    trace: bytes


def profile_steps(step: TrainingStep, dataset: Frames, losses: LossSettings) -> StepProfile:
    """Train a copy of the network for some steps on one batch, and profile the last of them.

    Args:
        step: The step of the training, which stays as it was.
        dataset: The training data.
        losses: The losses and their weights.

    Returns:
        The profile; all losses that have a weight are part of it.
    """
    trial, log = step.copy(), RunLog(Path())
    chosen = dataset.batches(step.config.frames_per_batch, None)[0]
    trial.compile(dataset.select(chosen))

    def train_once() -> None:
        with record_function("data"):
            batch = dataset.select(chosen)
        evaluated = trial.evaluate(batch, losses)
        with record_function("log"):
            log.step(evaluated.terms, lambda: evaluated.poses)
        trial.update(evaluated, losses)
        for name in evaluated.terms:
            with record_function(name):
                _gradient_alone(name, evaluated, losses, trial.lifter.skeleton.root)

    for _ in range(WARM_UP):
        train_once()
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA][: 1 + dataset.image.is_cuda]
    with profile(activities=activities) as profiler:
        for _ in range(STEPS):
            train_once()
    return StepProfile(
        _times(profiler, STEP_PARTS), _times(profiler, losses.weights), _trace(profiler)
    )


def _gradient_alone(
    name: str, evaluated: Evaluated, losses: LossSettings, root: tuple[int, ...]
) -> None:
    """Evaluate one of the losses, and its gradient at the network's output."""
    others: dict[str, Any] = {field: 0.0 for loss, field in FIELDS.items() if loss != name}
    alone = replace(losses, output_share=1.0, **others)
    poses = evaluated.poses.detach().requires_grad_()
    term = loss_terms(poses, evaluated.frames, root, alone)[name]
    torch.autograd.grad(term, poses)


def _times(profiler: profile, names: Iterable[str]) -> list[Part]:
    """Return the mean times of the named parts in one step."""
    found = {event.key: event for event in profiler.key_averages()}
    return [
        Part(
            name,
            found[name].cpu_time_total / 1e3 / STEPS,
            found[name].device_time_total / 1e3 / STEPS,
        )
        for name in names
        if name in found
    ]


def _trace(profiler: profile) -> bytes:
    """Return the packed trace, without the name of its temporary file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        plain = json.loads(path.read_bytes())
    plain.pop("traceName", None)
    return gzip.compress(json.dumps(plain).encode(), mtime=0)
