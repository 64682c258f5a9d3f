"""How fast and how accurate is each linear triangulation?

Every solver gets the same projections and pixels. The error is the largest distance from the
float64 SVD of the same equations. torch's SVD and eigh solve the equations of all views; kornia and
OpenCV support two views only, and OpenCV has neither gradients nor GPU support. A copy of the
pixels shows the limit by memory bandwidth. The headline scene is measured also beside processes
that keep the cores busy, as a training is beside its data loaders.

    python benchmarks/triangulation.py [--device cpu|cuda] [--threads 2] [--quick]
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import radians

import cv2
import torch
from kornia.geometry.epipolar import triangulate_points
from measure import Suite, answer, measure, peak_bytes
from torch import Tensor

from multiview_geom import (
    Cameras,
    look_at,
    project_points,
    ring_of_cameras,
    triangulate_dlt,
    triangulate_dlt_svd,
)

# 8,192 frames of 17 joints: a large batch of the trainer.
HEADLINE_POINTS = 139_264
TRADES = ("float32", "float64")
POINTS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
VIEWS = (2, 8, 16)
FOCAL_LENGTH = 1145.0
BUSY_PROCESSES = 2


@dataclass(frozen=True)
class Row:
    """One solver on one scene."""

    solver: str
    rig: str
    views: int
    points: int
    dtype: str
    mode: str
    compiled: bool
    milliseconds: float
    spread: float
    runs: int
    largest_error: float | None
    peak_megabytes: float | None


@dataclass(frozen=True)
class Scene:
    """A rig and the pixels of the points, with one pixel of noise."""

    rig: str
    projections: Tensor
    pixels: Tensor

    def to(self, device: str, dtype: str) -> "Scene":
        """Return the scene on a device and in a dtype."""
        kind = getattr(torch, dtype)
        return Scene(self.rig, self.projections.to(device, kind), self.pixels.to(device, kind))


Solver = Callable[[Tensor, Tensor], Tensor]


def by_eigh(projections: Tensor, pixels: Tensor) -> Tensor:
    """Compute the smallest eigenvector of A^T A with LAPACK."""
    rows = projections[:, None]
    equations = pixels[..., None] * rows[..., 2:, :] - rows[..., :2, :]
    equations = equations.transpose(0, 1).flatten(1, 2)
    _, vectors = torch.linalg.eigh(equations.mT @ equations)
    return vectors[:, :3, 0] / vectors[:, 3:, 0]


def by_kornia(projections: Tensor, pixels: Tensor) -> Tensor:
    """Call kornia with its default solver."""
    return triangulate_points(projections[:1], projections[1:], pixels[:1], pixels[1:])[0]


def by_opencv(projections: Tensor, pixels: Tensor) -> Tensor:
    """Call OpenCV."""
    first, second = projections.numpy()
    found = cv2.triangulatePoints(first, second, pixels[0].mT.numpy(), pixels[1].mT.numpy())
    return torch.from_numpy((found[:3] / found[3:]).T)


# Each solver, its largest number of points (it is slow), and whether it has a gradient.
SOLVERS: dict[str, tuple[Solver, int, bool]] = {
    "ours": (triangulate_dlt, POINTS[-1], True),
    "torch SVD": (triangulate_dlt_svd, HEADLINE_POINTS, True),
    "torch eigh": (by_eigh, HEADLINE_POINTS, True),
}
TWO_VIEW_SOLVERS: dict[str, tuple[Solver, int, bool]] = {
    "kornia": (by_kornia, HEADLINE_POINTS, True),
    "OpenCV": (by_opencv, HEADLINE_POINTS, False),
}


def rigs() -> dict[str, Cameras]:
    """Return the rigs on which the errors are compared."""
    return {
        "ring": _on_a_ring(4),
        "5 degrees": _at([4.5, 4.5], [0.0, 5.0]),
        "1.5, 3, 6, 9 m": _at([1.5, 3.0, 6.0, 9.0], [0.0, 90.0, 180.0, 270.0]),
    }


def _on_a_ring(views: int) -> Cameras:
    """Place cameras around the origin; two are at a right angle, as opposite ones fix no point."""
    ring = ring_of_cameras(max(views, 4), 4.5, 1.0, focal_length=FOCAL_LENGTH, dtype=torch.float64)
    return ring.select(range(views))


def scene(rig: str, cameras: Cameras, points: int) -> Scene:
    """Project random points of a cube of one meter around the origin."""
    seed = torch.Generator().manual_seed(0)
    cube = torch.rand(points, 3, generator=seed, dtype=torch.float64) - 0.5
    pixels = project_points(cameras.projections, cube)
    noise = torch.randn(pixels.shape, generator=seed)
    return Scene(rig, cameras.projections, pixels + noise)


def rows(asked: Suite) -> Iterator[Row]:
    """Measure all solvers: dtypes, rigs, numbers of views, numbers of points."""
    ring = rigs()["ring"]
    few = 2_000 if asked.quick else HEADLINE_POINTS
    compiled = (False,) if asked.quick else (False, True)
    for dtype in TRADES:
        yield from _rows(asked, scene("ring", ring, few), dtype, compiled=compiled)
        yield _copy(asked, scene("ring", ring, few), dtype)
    for name, cameras in rigs().items():
        yield from _rows(asked, scene(name, cameras, few), "float32", modes=("forward",))
    for views in VIEWS[: 1 if asked.quick else None]:
        cameras = _on_a_ring(views)
        yield from _rows(
            asked, scene(f"{views} on a ring", cameras, few), "float32", compiled=compiled
        )
    for points in POINTS[: 1 if asked.quick else None]:
        yield from _rows(asked, scene("ring", ring, points), "float32")

    if asked.device == "cpu":
        with busy_processes(BUSY_PROCESSES):
            beside = scene(f"ring, beside {BUSY_PROCESSES} busy processes", ring, few)
            yield from _rows(asked, beside, "float32", modes=("forward",))


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep cores busy, each with one thread."""
    command = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for each in busy:
            each.kill()
            each.wait()


def _rows(
    asked: Suite,
    whole: Scene,
    dtype: str,
    *,
    modes: tuple[str, ...] = ("forward", "forward + backward"),
    compiled: tuple[bool, ...] = (False,),
) -> Iterator[Row]:
    views, points = whole.pixels.shape[:2]
    given = whole.to(asked.device, dtype)
    truth = None
    if points <= HEADLINE_POINTS:
        truth = triangulate_dlt_svd(given.projections.double().cpu(), given.pixels.double().cpu())
    for name, (solver, most, differentiable) in _solvers(asked, views).items():
        for mode in modes if differentiable else modes[:1]:
            for fused in compiled if name == "ours" else (False,):
                if points <= most:
                    torch.compiler.reset()
                    called = torch.compile(solver, fullgraph=True) if fused else solver
                    row = _row(asked, given, called, mode, truth)
                    yield Row(name, whole.rig, views, points, dtype, mode, fused, *row)


def _copy(asked: Suite, whole: Scene, dtype: str) -> Row:
    """Time a copy of the pixels: the limit by memory bandwidth."""
    pixels = whole.to(asked.device, dtype).pixels
    taken = measure(pixels.clone, asked.runs)
    times = 1e3 * taken.median, 1e3 * taken.spread, taken.runs
    views, points = pixels.shape[:2]
    labels = ("copy of the pixels", whole.rig, views, points, dtype, "forward", False)
    return Row(*labels, *times, None, None)


def _solvers(asked: Suite, views: int) -> dict[str, tuple[Solver, int, bool]]:
    if views != 2:
        return SOLVERS
    two = {name: solver for name, solver in TWO_VIEW_SOLVERS.items() if name != "OpenCV"}
    return SOLVERS | (TWO_VIEW_SOLVERS if asked.device == "cpu" else two)


def _row(
    asked: Suite, given: Scene, solver: Solver, mode: str, truth: Tensor | None
) -> tuple[float, float, int, float | None, float | None]:
    error = memory = None
    if mode == "forward":
        call = lambda: solver(given.projections, given.pixels)  # noqa: E731 - a call to time
        if truth is not None:
            error = float((call().double().cpu() - truth).norm(dim=-1).max())
        memory = peak_bytes(call, asked.device) / 1e6
    else:
        pixels = given.pixels.clone().requires_grad_()
        ones = torch.ones_like(pixels[0, :, :1]).expand(-1, 3)
        call = lambda: torch.autograd.grad(  # noqa: E731 - a call to time
            solver(given.projections, pixels), pixels, ones
        )
    taken = measure(call, asked.runs)
    return 1e3 * taken.median, 1e3 * taken.spread, taken.runs, error, memory


def _at(distances: list[float], degrees: list[float]) -> Cameras:
    distance = torch.tensor(distances, dtype=torch.float64)
    angle = torch.tensor([radians(each) for each in degrees], dtype=torch.float64)
    level = torch.full_like(angle, 0.3)
    position = torch.stack([distance * angle.cos(), distance * angle.sin(), level], dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    pose = look_at(position, torch.zeros(3, dtype=torch.float64), up)
    intrinsics = torch.tensor([FOCAL_LENGTH, FOCAL_LENGTH, 1.0], dtype=torch.float64).diag()
    intrinsics[:2, 2] = 499.5
    return Cameras(intrinsics.repeat(len(distances), 1, 1), pose)


if __name__ == "__main__":
    answer("triangulation", rows)
