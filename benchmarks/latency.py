"""How long does one pose take on one core?

The frames of one camera are lifted one by one, as in a live application. Every row computes from
pixels to meters; `stream` also follows the person and fills gaps, and `predict -` also parses and
writes JSON lines. The error is the largest difference from `lift`, which is the row "torch". The
row "weights" adds up all weights, which reads them from memory once: the floor of whatever uses all
of them. The time is that of the processor, so that other work on the machine counts little, and the
ways take turns.

    python benchmarks/latency.py [--threads 1] [--quick]
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from time import process_time

import onnxruntime
import torch
from measure import Suite, answer, measure_in_turns
from torch import Tensor

from multiview_geom import Cameras, ring_of_cameras
from selfsup_lifting import SKELETONS, lift
from selfsup_lifting.cli.stream_command import answers
from selfsup_lifting.config import LifterSettings
from selfsup_lifting.onnx_export import INPUTS, PixelLifter, export_onnx
from selfsup_lifting.stream import PoseStream
from selfsup_lifting.training.lifter import Lifter, merge_batchnorm

# Units of a layer, and the preset with so many.
PRESETS = {256: "demo", 512: "quick", 1024: "full"}
# How many frames a way lifts in its turn, and how many turns it has.
FRAMES, TURNS = 32, 25
LENS = (-0.2, 0.05, 0.001, -0.001, 0.0)

Way = Callable[[Tensor], Tensor | None]


@dataclass(frozen=True)
class Row:
    """One way to lift one pose with a network of one size."""

    way: str
    preset: str
    width: int
    milliseconds: float
    spread: float
    poses_per_second: float
    runs: int
    largest_difference: float | None


def rows(asked: Suite) -> Iterator[Row]:
    """Measure every way for every size of the network."""
    torch.manual_seed(0)
    still = 500.0 + 100.0 * torch.randn(1, 17, 2)
    frames = (still + 2.0 * torch.randn(FRAMES, 1, 17, 2)).unbind()
    for width in list(PRESETS)[: 1 if asked.quick else None]:
        lifter = Lifter(SKELETONS["h36m17"], LifterSettings(width=width)).eval()
        found = ways(lifter, frames, asked)
        turns = {way: _turn(call, frames) for way, (call, _) in found.items()}
        timings = measure_in_turns(turns, 1 if asked.quick else TURNS, process_time)
        for way, (call, camera) in found.items():
            seconds = timings[way].median / FRAMES
            yield Row(
                way, PRESETS[width], width, 1e3 * seconds, 1e3 * timings[way].spread / FRAMES,
                1 / seconds, timings[way].runs, _difference(call, lifter, camera, frames),
            )  # fmt: skip


def ways(
    lifter: Lifter, frames: tuple[Tensor, ...], asked: Suite
) -> Mapping[str, tuple[Way, Cameras]]:
    """Return the ways to lift one pose, each with its camera."""
    camera = ring_of_cameras(1, radius=4.0, height=1.5)
    distorted = replace(camera, distortion=torch.tensor([LENS]).to(camera.intrinsics))
    stream, with_lens = PoseStream(lifter, camera), PoseStream(lifter, distorted)
    lines = (json.dumps({"people": people.tolist()}) for people in cycle(frames))
    answered = answers(lines, PoseStream(lifter, camera), camera, "root")
    # A small run traces, but compiles no machine code.
    backend = "aot_eager" if asked.quick else "inductor"
    compiled = torch.compile(PixelLifter(merge_batchnorm(lifter)), backend=backend)
    run = _onnx(lifter, asked)
    trust, weights = torch.ones(1, 17), torch.cat([one.flatten() for one in lifter.parameters()])

    def in_machine_code(people: Tensor) -> Tensor:
        with torch.inference_mode():
            return compiled(people, trust, camera.intrinsics)[0]

    def from_json(_: Tensor) -> None:
        next(answered)

    def sum_of_weights(_: Tensor) -> None:
        weights.detach().sum()

    found: dict[str, tuple[Way, Cameras]] = {
        "torch": (lambda people: lift(lifter, camera, people[None])[0], camera),
        "stream": (lambda people: stream.step(people).points[None], camera),
        "stream, distorted": (lambda people: with_lens.step(people).points[None], distorted),
        "predict -": (from_json, camera),
        "compiled": (in_machine_code, camera),
        "onnxruntime": (lambda people: run(people, trust, camera.intrinsics), camera),
        "weights": (sum_of_weights, camera),
    }
    return found


def _onnx(lifter: Lifter, asked: Suite) -> Callable[..., Tensor]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = asked.threads
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(lifter, Path(folder) / "model.onnx")
        session = onnxruntime.InferenceSession(
            Path(folder) / "model.onnx", options, providers=["CPUExecutionProvider"]
        )

    def run(*inputs: Tensor) -> Tensor:
        given = {name: one.numpy() for name, one in zip(INPUTS, inputs, strict=True)}
        return torch.from_numpy(session.run(["root_relative"], given)[0])

    return run


def _turn(call: Way, frames: tuple[Tensor, ...]) -> Callable[[], None]:
    def turn() -> None:
        for people in frames:
            call(people)

    return turn


def _difference(
    call: Way, lifter: Lifter, camera: Cameras, frames: tuple[Tensor, ...]
) -> float | None:
    """Return the largest difference from `lift` [m]; None if the way returns no pose."""
    expected = lift(lifter, camera, torch.stack(frames))
    found = [call(people) for people in frames]
    known = [one for one in found if one is not None]
    return float((torch.stack(known) - expected).abs().max()) if known else None


if __name__ == "__main__":
    answer("latency", rows)
