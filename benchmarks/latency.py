"""How long does one pose take on one core?

A frame of one camera is lifted alone, as in a live application. Every row computes from pixels to
meters; `stream` also follows the person and fills gaps. The error is the largest difference from
`lift`, which is the row "torch".

    python benchmarks/latency.py [--threads 1] [--quick]
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import torch
from measure import Suite, answer, measure
from torch import Tensor

from multiview_geom import ring_of_cameras
from selfsup_lifting import SKELETONS, lift
from selfsup_lifting.config import LifterSettings
from selfsup_lifting.onnx_export import INPUTS, PixelLifter, export_onnx
from selfsup_lifting.stream import PoseStream
from selfsup_lifting.training.lifter import Lifter, merge_batchnorm

# Units of a layer, and the preset with so many.
PRESETS = {256: "demo", 512: "quick", 1024: "full"}


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
    largest_difference: float


def rows(asked: Suite) -> Iterator[Row]:
    """Measure every way for every size of the network."""
    torch.manual_seed(0)
    camera = ring_of_cameras(1, radius=4.0, height=1.5)
    for width in list(PRESETS)[: 1 if asked.quick else None]:
        lifter = Lifter(SKELETONS["h36m17"], LifterSettings(width=width)).eval()
        pixels = 500.0 + 100.0 * torch.randn(1, 17, 2)
        expected = lift(lifter, camera, pixels[None])[0]
        for way, call in ways(lifter, pixels, camera.intrinsics, asked).items():
            timing = measure(call, asked.runs)
            yield Row(
                way, PRESETS[width], width, 1e3 * timing.median, 1e3 * timing.spread,
                1 / timing.median, timing.runs, float((call() - expected).abs().max()),
            )  # fmt: skip


def ways(
    lifter: Lifter, pixels: Tensor, intrinsics: Tensor, asked: Suite
) -> dict[str, Callable[[], Tensor]]:
    """Return the ways to lift one pose."""
    camera = ring_of_cameras(1, radius=4.0, height=1.5)
    stream, whole = PoseStream(lifter, camera), PixelLifter(merge_batchnorm(lifter))
    trust = torch.ones(1, 17)
    compiled = torch.compile(whole)
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(lifter, Path(folder) / "model.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = asked.threads
        session = onnxruntime.InferenceSession(
            Path(folder) / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
    inputs = (pixels, trust, intrinsics)
    given = {name: one.numpy() for name, one in zip(INPUTS, inputs, strict=True)}
    with torch.inference_mode():
        compiled(*inputs)
    return {
        "torch": lambda: lift(lifter, camera, pixels[None])[0],
        "stream": lambda: stream.step(pixels).points[None],
        "compiled": lambda: _without_gradient(compiled, inputs),
        "onnxruntime": lambda: torch.from_numpy(session.run(["root_relative"], given)[0]),
    }


@torch.inference_mode()
def _without_gradient(
    call: Callable[..., tuple[Tensor, Tensor]], inputs: tuple[Tensor, ...]
) -> Tensor:
    return call(*inputs)[0]


if __name__ == "__main__":
    answer("latency", rows)
