"""How long does the paper's whole training on Human3.6M take?

The data have the size of Human3.6M's training set at 10 frames per second: 78,000 frames of four
views; they are synthetic poses, repeated. The network is 1,024 wide, a batch has 2,048 frames, and
500 epochs are 19,500 steps, the last tenth of them with L_out. The steps are those of a training:
with its order of frames, log and checkpoints. By default 2,000 steps are measured on a GPU and 2
on a CPU, and the time of the whole is extrapolated from them; `--steps 19500` takes all.

    python benchmarks/schedule.py [--device cpu|cuda] [--steps STEPS] [--quick]
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import torch
from measure import Suite, commit

from selfsup_lifting import ReadSettings, read_recordings
from selfsup_lifting.config import Compile, Config, LossSettings
from selfsup_lifting.recipes import PRESETS, paper
from selfsup_lifting.training.dataset import Frames, build_dataset
from selfsup_lifting.training.loop import epoch_seed, untrained_lifter
from selfsup_lifting.training.run_log import RunLog
from selfsup_lifting.training.step import TrainingStep, adam

FRAMES, EPOCHS = 78_000, 500
STEPS = {"cuda": 2_000, "cpu": 2}


@dataclass(frozen=True)
class Row:
    """The measured steps, and the time of the whole schedule."""

    frames: int
    frames_per_batch: int
    width: int
    compiled: bool
    compile_seconds: float
    steps: int
    milliseconds_per_step: float
    milliseconds_per_step_with_output: float
    schedule_steps: int
    schedule_seconds: float
    peak_gigabytes: float | None


def dataset(frames: int, device: str) -> tuple[Frames, Config]:
    """Repeat synthetic poses until there are as many frames; return them with the settings."""
    recordings = read_recordings(["synthetic"], ReadSettings(fps=10.0))
    some = build_dataset(recordings).to(device)
    places = torch.arange(frames, device=device) % len(some)
    config = replace(PRESETS["full"](paper(Config())), device=device)
    return some.select(places), config


def measured(asked: Suite, steps: int) -> Row:
    """Train for some steps of each kind, and add up the time of the schedule."""
    frames, config = dataset(256 if asked.quick else FRAMES, asked.device)
    if asked.quick:
        network = replace(config.lifter, width=16)
        config = replace(config, frames_per_batch=64, lifter=network, compile=Compile.OFF)
    skeleton = read_recordings(["synthetic"], ReadSettings(fps=10.0))[0].skeleton
    lifter = untrained_lifter(skeleton, config).to(asked.device).train()
    step = TrainingStep(lifter, adam(lifter, config), config)
    start = monotonic()
    step.compile(frames.select(frames.batches(config.frames_per_batch, None)[0]))
    compile_seconds = monotonic() - start
    with tempfile.TemporaryDirectory() as folder:
        log = RunLog(Path(folder))
        early, late = (
            seconds_per_step(step, frames, config.losses.at(progress), config, log, steps)
            for progress in (0.0, 1.0)
        )
    total = EPOCHS * len(frames.batches(config.frames_per_batch, None))
    share = config.losses.output_share
    on_cuda = asked.device == "cuda"
    return Row(
        frames=len(frames),
        frames_per_batch=config.frames_per_batch,
        width=config.lifter.width,
        compiled=step.is_compiled,
        compile_seconds=compile_seconds,
        steps=steps,
        milliseconds_per_step=1e3 * early,
        milliseconds_per_step_with_output=1e3 * late,
        schedule_steps=total,
        schedule_seconds=total * ((1 - share) * early + share * late),
        peak_gigabytes=1e-9 * torch.cuda.max_memory_allocated() if on_cuda else None,
    )


def seconds_per_step(
    step: TrainingStep,
    frames: Frames,
    losses: LossSettings,
    config: Config,
    log: RunLog,
    steps: int,
) -> float:
    """Time steps as in a training, after a few that warm up."""
    done, start = -min(10, steps), monotonic()
    while done < steps:
        for chosen in frames.batches(config.frames_per_batch, epoch_seed(config, log.done)):
            if done == 0:
                synchronize(config.device)()
                start = monotonic()
            evaluated = step.evaluate(frames.select(chosen), losses)
            log.step(evaluated.terms, lambda one=evaluated: step.gradient_shares(one, losses))
            step.update(evaluated, losses)
            done += 1
            if done == steps:
                break
        log.epoch({})
    synchronize(config.device)()
    return (monotonic() - start) / steps


def synchronize(device: str) -> Callable[[], None]:
    """Return what waits for the device."""
    return torch.cuda.synchronize if device == "cuda" else lambda: None


def main() -> None:
    """Read the command line, measure, and save the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, help="steps of each kind that are measured")
    parser.add_argument("--quick", action="store_true", help="a small run that saves nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    commit()  # before a long measurement, during which the checkout may change
    asked = Suite("schedule", options.device, options.threads, options.quick)
    row = measured(asked, options.steps or STEPS[options.device])
    print(row)
    if not options.quick:
        print(asked.save([row]))


if __name__ == "__main__":
    main()
