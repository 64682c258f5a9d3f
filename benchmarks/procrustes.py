"""How fast and how accurate is each computation of the nearest rotation?

All solvers get the same random 3x3 matrices. The error is the largest entry of the difference from
the float64 SVD. SciPy aligns one set of vectors at a time, without gradients.

    python benchmarks/procrustes.py [--device cpu|cuda] [--threads 2] [--quick]
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import roma
import torch
from measure import Suite, answer, measure, peak_bytes
from scipy.spatial.transform import Rotation
from torch import Tensor

from multiview_geom import nearest_rotation

HEADLINE_MATRICES = 100_000
MATRICES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)


@dataclass(frozen=True)
class Row:
    """One solver on one number of matrices."""

    solver: str
    matrices: int
    dtype: str
    mode: str
    compiled: bool
    milliseconds: float
    spread: float
    runs: int
    largest_error: float | None
    peak_megabytes: float | None


Solver = Callable[[Tensor], Tensor]


def by_svd(matrices: Tensor) -> Tensor:
    """Use the SVD, and flip the smallest singular direction of reflections (Umeyama 1991)."""
    left, _, right = torch.linalg.svd(matrices)
    sign = torch.linalg.det(left @ right)[:, None, None]
    return torch.cat([left[..., :2], left[..., 2:] * sign], dim=-1) @ right


def by_scipy(matrices: Tensor) -> Tensor:
    """Align the axes with the columns, one matrix at a time."""
    axes = torch.eye(3, dtype=matrices.dtype).numpy()
    found = [Rotation.align_vectors(each.T, axes)[0].as_matrix() for each in matrices.numpy()]
    return torch.stack([torch.from_numpy(rotation) for rotation in found])


# Each solver, its largest number of matrices (it is slow), and whether it has a gradient.
SOLVERS: dict[str, tuple[Solver, int, bool]] = {
    "ours": (nearest_rotation, MATRICES[-1], True),
    "torch SVD": (by_svd, HEADLINE_MATRICES, True),
    "RoMa": (roma.special_procrustes, HEADLINE_MATRICES, True),
    "SciPy": (by_scipy, MATRICES[0], False),
}


def rows(asked: Suite) -> Iterator[Row]:
    """Measure each dtype and each number of matrices."""
    headline = 1_000 if asked.quick else HEADLINE_MATRICES
    for dtype in ("float32", "float64"):
        yield from _rows(
            asked, headline, dtype, compiled=(False,) if asked.quick else (False, True)
        )
    for count in MATRICES[: 1 if asked.quick else None]:
        yield from _rows(asked, count, "float32")


def _rows(
    asked: Suite, count: int, dtype: str, *, compiled: tuple[bool, ...] = (False,)
) -> Iterator[Row]:
    seed = torch.Generator().manual_seed(0)
    matrices = torch.randn(count, 3, 3, generator=seed).to(asked.device, getattr(torch, dtype))
    for name, (solver, most, differentiable) in SOLVERS.items():
        if count > most or (name == "SciPy" and asked.device != "cpu"):
            continue
        for mode in ("forward", "forward + backward")[: 2 if differentiable else 1]:
            for fused in compiled if name == "ours" else (False,):
                called = torch.compile(solver, fullgraph=True) if fused else solver
                yield Row(name, count, dtype, mode, fused, *_row(asked, matrices, called, mode))


def _row(
    asked: Suite, matrices: Tensor, solver: Solver, mode: str
) -> tuple[float, float, int, float | None, float | None]:
    error = memory = None
    if mode == "forward":
        call = lambda: solver(matrices)  # noqa: E731 - a call to time
        if matrices.shape[0] <= HEADLINE_MATRICES:
            difference = call().double().cpu() - by_svd(matrices.double().cpu())
            error = float(difference.abs().max())
        memory = peak_bytes(call, asked.device) / 1e6
    else:
        given = matrices.clone().requires_grad_()
        ones = torch.ones_like(matrices).cumsum(dim=-1)
        call = lambda: torch.autograd.grad(solver(given), given, ones)  # noqa: E731 - to time
    taken = measure(call, asked.runs)
    return 1e3 * taken.median, 1e3 * taken.spread, taken.runs, error, memory


if __name__ == "__main__":
    answer("procrustes", rows)
