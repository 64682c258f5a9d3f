"""Where does a training step spend its time, and how far is it from the bare network?

The bare network is the peer: forward, backward and Adam of the same network on the same batch, in
the same run, with the sum of its outputs as the loss. The parts are measured alone: selecting the
batch, each loss with its gradient, the optimizer, the log. The calls take turns, so that a busy
machine slows down all of them alike. On a CPU the time is the processor time of all threads,
divided by their number: other programs do not lengthen it. The preset `full` is measured with all
threads only, because a step takes seconds.

    python benchmarks/training_step.py [--device cpu|cuda] [--threads 2] [--quick]
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import torch
from measure import RUNS, Suite, answer, measure_in_turns, synchronized
from torch import Tensor

from selfsup_lifting import ReadSettings, read_recordings
from selfsup_lifting.config import Compile, Config
from selfsup_lifting.recipes import PRESETS, paper
from selfsup_lifting.training.dataset import Frames, build_dataset
from selfsup_lifting.training.devices import tensor_float_32
from selfsup_lifting.training.loop import untrained_lifter
from selfsup_lifting.training.objective import loss_terms
from selfsup_lifting.training.run_log import RunLog
from selfsup_lifting.training.step import TrainingStep, adam

# Presets that are measured, with the most runs of a call.
SIZES: Mapping[str, int] = {"demo": 100, "full": RUNS}
LOSSES = ("input", "projection", "consistency", "output")
# The parts of a step that are not the network.
OTHERS = ("data", "all losses", "optimizer", "log")


@dataclass(frozen=True)
class Row:
    """One part of a step, or the whole."""

    part: str
    preset: str
    width: int
    frames: int
    threads: int
    compiled: bool
    tf32: bool
    milliseconds: float
    spread: float
    runs: int
    times_bare_network: float
    frames_per_second: float


@dataclass(frozen=True)
class Setup:
    """A network, a batch, and what a training does with them."""

    config: Config
    dataset: Frames
    chosen: Tensor
    step: TrainingStep
    log: RunLog

    @classmethod
    def of(cls, config: Config, device: str, folder: Path) -> "Setup":
        """Build the network of the settings, and a batch of synthetic frames."""
        recordings = read_recordings(["synthetic"], ReadSettings(fps=10.0))
        dataset = build_dataset(recordings).to(device)
        chosen = torch.arange(config.frames_per_batch, device=device) % len(dataset)
        lifter = untrained_lifter(recordings[0].skeleton, config).to(device).train()
        step = TrainingStep(lifter, adam(lifter, config), config)
        step.compile(dataset.select(chosen))
        return cls(config, dataset, chosen, step, RunLog(folder))

    def calls(self) -> dict[str, Callable[[], object]]:
        """Return the whole step, the bare network, and each part."""
        step, losses = self.step, self.config.losses.at(1.0)
        frames = self.dataset.select(self.chosen)
        root = step.lifter.skeleton.root
        inputs = frames.image, frames.seen, frames.confidence
        evaluated = step.evaluate(frames, losses)
        poses = evaluated.poses.detach().requires_grad_()
        peer = untrained_lifter(step.lifter.skeleton, self.config).to(poses.device).train()
        peer_adam = adam(peer, self.config)

        def whole() -> None:
            evaluated = step.evaluate(self.dataset.select(self.chosen), losses)
            self.log.step(evaluated.terms, lambda: evaluated.poses)
            step.update(evaluated, losses)

        def bare() -> None:
            with tensor_float_32(enabled=self.config.tf32 and poses.is_cuda):
                peer_adam.zero_grad(set_to_none=True)
                peer(*inputs).sum().backward()
                peer_adam.step()

        def gradient_of(name: str) -> Callable[[], object]:
            others = {other: 0.0 for other in LOSSES if other != name}
            alone = replace(losses, output_share=1.0, **others)
            return lambda: torch.autograd.grad(
                next(iter(loss_terms(poses, frames, root, alone).values())), poses
            )

        def all_losses() -> None:
            terms = step.losses(poses, frames, root, losses)
            torch.autograd.grad(sum(terms.values()), poses)

        return {
            "whole step": whole,
            "bare network": bare,
            "data": lambda: self.dataset.select(self.chosen),
            **{f"loss {name}": gradient_of(name) for name in LOSSES},
            "all losses": all_losses,
            "optimizer": peer_adam.step,
            "log": lambda: self.log.step(evaluated.terms, lambda: poses),
        }


def time_of_each_thread() -> float:
    """Return the processor time of this process, divided by the number of torch's threads [s]."""
    return process_time() / torch.get_num_threads()


def variants(config: Config, preset: str) -> Iterator[Config]:
    """Return the ways to compute that are measured."""
    yield replace(config, compile=Compile.OFF, tf32=False)
    if config.device == "cuda" and preset == "full":
        yield replace(config, compile=Compile.OFF, tf32=True)
        yield replace(config, compile=Compile.ON, tf32=True)


def rows(asked: Suite) -> Iterator[Row]:
    """Measure each size; small ones also with one thread."""
    for preset, runs in SIZES.items():
        alone = asked.device == "cpu" and preset != "full"
        threads = {1, asked.threads} if alone else {asked.threads}
        config = replace(PRESETS[preset](paper(Config())), device=asked.device)
        if asked.quick:
            config = replace(config, frames_per_batch=16, lifter=replace(config.lifter, width=16))
        for count in sorted(threads):
            torch.set_num_threads(count)
            for variant in variants(config, preset):
                yield from _rows_of(variant, preset, asked.runs if asked.quick else runs)


def _rows_of(config: Config, preset: str, runs: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup.of(config, config.device, Path(folder))
        clock = synchronized if config.device == "cuda" else time_of_each_thread
        found = measure_in_turns(setup.calls(), runs, clock)
    bare = found["bare network"].median
    print(summary(preset, {part: taken.median for part, taken in found.items()}), flush=True)
    for part, taken in found.items():
        yield Row(
            part=part,
            preset=preset,
            width=config.lifter.width,
            frames=config.frames_per_batch,
            threads=torch.get_num_threads(),
            compiled=setup.step.is_compiled,
            tf32=config.tf32,
            milliseconds=1e3 * taken.median,
            spread=1e3 * taken.spread,
            runs=taken.runs,
            times_bare_network=taken.median / bare,
            frames_per_second=config.frames_per_batch / taken.median,
        )


def summary(preset: str, seconds: Mapping[str, float]) -> str:
    """Say what share of a step is not the network, and how fast it is beside the bare one."""
    whole = seconds["whole step"]
    shares = {part: seconds[part] / whole for part in OTHERS}
    parts = ", ".join(f"{part} {share:.1%}" for part, share in shares.items())
    return (
        f"{preset}, {torch.get_num_threads()} threads: {sum(shares.values()):.1%} of a step is not "
        f"the network ({parts}); {seconds['bare network'] / whole:.1%} of the samples per second "
        "of the bare network"
    )


if __name__ == "__main__":
    answer("training-step", rows)
