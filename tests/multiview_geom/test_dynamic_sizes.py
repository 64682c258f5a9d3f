"""Exported and compiled functions take any number of frames."""

from collections.abc import Callable

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor
from torch.export import Dim, export

import multiview_geom as mg

RIG = mg.ring_of_cameras(4, 4.5, 1.0)
POLYNOMIAL = mg.Cameras(RIG.intrinsics, RIG.camera_from_world, torch.full((4, 8), 0.01))
FISHEYE = mg.Cameras(
    RIG.intrinsics, RIG.camera_from_world, torch.full((4, 4), 0.01), lens=mg.Lens.FISHEYE
)
MOST_COMPILATIONS = 3
"""One frame, two frames, and any number; torch gives up after eight."""

OF_PIXELS: dict[str, Callable[[Tensor], Tensor]] = {
    "iterative": lambda x: mg.triangulate_iterative(RIG.projections, x),
    "midpoint": lambda x: mg.triangulate_midpoint(RIG.projections, x),
    "robust": lambda x: mg.triangulate_robust(RIG.projections, x, threshold=5.0).points,
    "project": lambda x: POLYNOMIAL.project(x.new_ones(*x.shape[:-3], 5, 3)).pixels,
    "undistort": lambda x: POLYNOMIAL.undistort(x).pixels,
    "undistort_fisheye": lambda x: FISHEYE.undistort(x).pixels,
    "rays": lambda x: POLYNOMIAL.rays(x).directions,
}
every_function = pytest.mark.parametrize("solve", OF_PIXELS.values(), ids=OF_PIXELS.keys())


def seen(frames: int) -> Tensor:
    points = torch.arange(15.0 * frames).reshape(frames, 5, 3).cos() / 2
    return mg.project_points(RIG.projections, points)


class Module(torch.nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, pixels: Tensor) -> Tensor:
        return self.function(pixels)


@every_function
def test_an_exported_function_takes_any_number_of_frames(
    solve: Callable[[Tensor], Tensor],
) -> None:
    frames = Dim("frames", min=2, max=4096)
    exported = export(Module(solve), (seen(3),), dynamic_shapes={"pixels": {0: frames}})
    torch.testing.assert_close(exported.module()(seen(7)), solve(seen(7)), equal_nan=True)


@pytest.mark.slow
@every_function
def test_a_compiled_function_is_not_compiled_for_every_size(
    solve: Callable[[Tensor], Tensor],
) -> None:
    torch.compiler.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("eager")
    compiled = torch.compile(solve, dynamic=True, fullgraph=True, backend=counter)
    for frames in (1, 2, 3, 5, 8):
        torch.testing.assert_close(compiled(seen(frames)), solve(seen(frames)), equal_nan=True)
    assert counter.frame_count <= MOST_COMPILATIONS
