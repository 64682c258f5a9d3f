"""How fast and how accurate is each kernel on a GPU? The part of `on_gpu.py` that measures them.

Times are wall-clock times of a synchronized call, with all of Python's overhead, and times on the
device between two CUDA events. The floor is a copy that reads and writes as many bytes as the
inputs, the outputs and their gradients have. Errors are those of the values, or of the gradients,
against float64: of the peer, or of the same function where there is none.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import torch
from measure import Suite, device_seconds, measure
from torch import Tensor

from multiview_geom import (
    align_similarity,
    nearest_rotation,
    project_points,
    ring_of_cameras,
    smallest_eigenvector,
    triangulate_dlt,
    triangulate_dlt_svd,
    triangulate_iterative,
    triangulate_robust,
    undistort_pixels,
)

# Matrices per call of torch.linalg.eigh.
MATRICES = 16_384
SIZES, TINY = (1_000, 139_264, 10_000_000), 17
VIEWS, FOCAL_LENGTH, JOINTS, NOISE_PX = 4, 1145.0, 17, 1.0
DISTORTION = (-0.2, 0.24, -0.002, -0.0009, -0.0016)

Function = Callable[..., Tensor]
Inputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Case:
    """A function, what it is called with, a peer, and whether it is measured at the large size.

    Only some are compiled, and some measured without a gradient: all together have little time.
    """

    kernel: str
    function: Function
    inputs: Callable[[int, str], Inputs]
    peer: Function | None = None
    large: bool = True
    compiled: bool = True
    differentiated: bool = True

    def measurements(self, *, quick: bool) -> list[tuple[int, torch.dtype, str]]:
        """Return how many points of which dtype it is measured with, and the modes.

        A rehearsal, which is interpreted, differentiates and compiles only what has a peer.
        """
        small, headline, large = SIZES
        sizes = [(small, torch.float32), (headline, torch.float32), (headline, torch.float64)]
        sizes += [(large, torch.float32)] if self.large else []
        wanted = self.differentiated and (self.peer is not None or not quick)
        modes = MODES if wanted else ["forward"]
        return [
            (*size, mode)
            for size in ([(TINY, torch.float32)] if quick else sizes)
            for mode in modes
        ]


@dataclass(frozen=True)
class Row:
    """One function on one number of points or matrices."""

    solver: str
    kernel: str
    points: int
    dtype: str
    mode: str
    compiled: bool
    milliseconds: float
    spread: float
    runs: int
    device_milliseconds: float
    floor_milliseconds: float
    median_error: float | None
    largest_error: float | None


def sightings(points: int, device: str) -> Inputs:
    """Project points of a cube of one meter into a ring of cameras, with noise."""
    draw = torch.Generator(device).manual_seed(0)
    rig = ring_of_cameras(VIEWS, 4.5, 1.0, focal_length=FOCAL_LENGTH, dtype=torch.float64)
    projections = rig.projections.to(device)
    cube = torch.rand(points, 3, generator=draw, dtype=torch.float64, device=device) - 0.5
    exact = project_points(projections, cube)
    noise = torch.randn(exact.shape, generator=draw, dtype=torch.float64, device=device)
    return projections, exact + NOISE_PX * noise


def matrices(size: int) -> Callable[[int, str], Inputs]:
    """Return what draws matrices of a size."""
    return lambda count, device: (normal(count, size, size, device=device),)


def symmetric(count: int, device: str) -> Inputs:
    """Draw symmetric 4x4 matrices."""
    drawn = normal(count, 4, 4, device=device)
    return (drawn + drawn.mT,)


def poses(points: int, device: str) -> Inputs:
    """Draw pairs of poses of as many joints in all."""
    pair = normal(2, max(points // JOINTS, 1), JOINTS, 3, device=device)
    return pair[0], pair[0] + 0.1 * pair[1]


def distorted(points: int, device: str) -> Inputs:
    """Draw intrinsics, distortion, and pixels of one camera."""
    intrinsics = torch.tensor(
        [[[FOCAL_LENGTH, 0.0, 500.0], [0.0, FOCAL_LENGTH, 500.0], [0.0, 0.0, 1.0]]]
    ).double()
    spread = 500.0 + 150.0 * normal(1, points, 2, device=device)
    return intrinsics.to(device), torch.tensor([DISTORTION]).double().to(device), spread


def normal(*shape: int, device: str) -> Tensor:
    """Draw normal numbers in float64."""
    draw = torch.Generator(device).manual_seed(0)
    return torch.randn(*shape, generator=draw, dtype=torch.float64, device=device)


def rotation_by_svd(given: Tensor) -> Tensor:
    """Use the SVD, and flip the smallest singular direction of reflections (Umeyama 1991)."""
    left, _, right = torch.linalg.svd(given)
    sign = torch.linalg.det(left @ right)[:, None, None]
    return torch.cat([left[..., :2], left[..., 2:] * sign], dim=-1) @ right


def eigenvector_by_eigh(given: Tensor) -> Tensor:
    """Use all eigenvectors; the largest component of the result is positive.

    In one call cuSOLVER fails for 139,264 matrices in double precision (torch 2.11).
    """
    vector = torch.cat([torch.linalg.eigh(part)[1][..., 0] for part in given.split(MATRICES)])
    largest = vector.gather(-1, vector.abs().argmax(dim=-1, keepdim=True))
    return vector * largest.sign()


TRIANGULATION, ROTATION = "triangulation", "rotation"
CASES = {
    TRIANGULATION: (
        Case("triangulate_dlt", triangulate_dlt, sightings, triangulate_dlt_svd),
        Case(
            "triangulate_iterative", triangulate_iterative, sightings, large=False, compiled=False
        ),
        Case(
            "triangulate_robust",
            lambda *given: triangulate_robust(*given, threshold=4 * NOISE_PX).points,
            sightings,
            large=False,
            compiled=False,
            differentiated=False,
        ),
        Case(
            "undistort_pixels",
            lambda *given: undistort_pixels(*given).pixels,
            distorted,
            compiled=False,
        ),
    ),
    ROTATION: (
        Case("nearest_rotation", nearest_rotation, matrices(3), rotation_by_svd),
        Case("align_similarity", lambda *given: align_similarity(*given).apply(given[0]), poses),
        Case("smallest_eigenvector", smallest_eigenvector, symmetric, eigenvector_by_eigh),
    ),
}


def rows(asked: Suite, part: str) -> Iterator[Row | Exception]:
    """Measure each case of a part; where one fails, the error stands for the row."""
    for case in CASES[part]:
        for points, dtype, mode in case.measurements(quick=asked.quick):
            yield from _of_mode(asked, case, points, dtype, mode)


def compile_kernels(asked: Suite) -> Iterator[str]:
    """Call everything once in many processes, so that no measurement waits for a compiler."""
    calls = [
        (part, number, *measurement, asked.device)
        for part, cases in CASES.items()
        for number, case in enumerate(cases)
        for measurement in case.measurements(quick=asked.quick)
    ]
    if asked.quick:
        yield call_once(*calls[0])
        return
    with ProcessPoolExecutor(min(len(calls), os.cpu_count() or 1), get_context("spawn")) as pool:
        yield from pool.map(call_once, *zip(*calls, strict=True))


def call_once(
    part: str, number: int, points: int, dtype: torch.dtype, mode: str, device: str
) -> str:
    """Call a case once; return its name."""
    case = CASES[part][number]
    given = tuple(each.to(dtype) for each in case.inputs(points, device))
    MODES[mode](case.function, given)()
    return case.kernel


def _of_mode(
    asked: Suite, case: Case, points: int, dtype: torch.dtype, mode: str
) -> Iterator[Row | Exception]:
    """Measure ours, ours compiled and the peer."""
    given = tuple(each.to(dtype) for each in case.inputs(points, asked.device))
    make, truth = MODES[mode], None
    solvers: list[tuple[str, Function | None, bool]] = [("ours", case.function, False)]
    if points <= SIZES[1]:
        exact = tuple(each.double() for each in given)
        truth = make(case.peer or case.function, exact)()
        # A rehearsal traces the function, but compiles no machine code.
        backend = "aot_eager" if asked.quick else "inductor"
        compiled = torch.compile(case.function, fullgraph=True, backend=backend)
        headline = dtype == torch.float32 and points == SIZES[1]
        wanted = case.peer is not None and mode == "forward" if asked.quick else headline
        solvers += [("ours", compiled, True)] if case.compiled and wanted else []
        solvers += [("torch", case.peer, False)]
    for name, solver, fused in solvers:
        labels = name, case.kernel, points, str(dtype).removeprefix("torch."), mode, fused
        if solver is None:
            continue
        try:
            yield _row(asked, labels, make(solver, given), given, truth)
        except Exception as error:
            error.add_note(f"measuring {labels}")
            yield error


def value_of(function: Function, given: Inputs) -> Callable[[], Tensor]:
    """Return a call of the function."""
    return lambda: function(*given)


def gradient_of(function: Function, given: Inputs) -> Callable[[], Tensor]:
    """Return a call of the function and of its gradient in the last input."""
    leaf = given[-1].clone().requires_grad_()
    upstream = torch.ones_like(function(*given)).cumsum(dim=-1)
    return lambda: torch.autograd.grad(function(*given[:-1], leaf), leaf, upstream)[0]


MODES: dict[str, Callable[[Function, Inputs], Callable[[], Tensor]]] = {
    "forward": value_of,
    "forward + backward": gradient_of,
}


def _row(
    asked: Suite,
    labels: tuple[str, str, int, str, str, bool],
    call: Callable[[], Tensor],
    given: Inputs,
    truth: Tensor | None,
) -> Row:
    latest: deque[Tensor] = deque(maxlen=1)
    taken = measure(lambda: latest.append(call()), asked.runs)
    (found,), median, largest = latest, None, None
    if truth is not None:
        error = (found.double() - truth).abs().nan_to_num(torch.inf)
        median, largest = float(error.median()), float(error.max())
    on_device = taken.median
    if asked.device != "cpu":
        on_device = device_seconds(call, asked.device, asked.runs)
    passes = 1 if labels[4] == "forward" else 2
    moved = passes * sum(each.nbytes for each in (*given, found))
    half = torch.empty(max(moved // 2, 1), dtype=torch.uint8, device=asked.device)
    floor = device_seconds(half.clone, asked.device, asked.runs)
    times = 1e3 * taken.median, 1e3 * taken.spread, taken.runs
    return Row(*labels, *times, 1e3 * on_device, 1e3 * floor, median, largest)
