"""Narrow baselines, uneven and tiny weights, no views: right in float32, in every triangulation."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from multiview_geom import (
    Cameras,
    point_covariance,
    project_points,
    refine_points,
    triangulate_dlt,
    triangulate_iterative,
    triangulate_midpoint,
    triangulate_robust,
    triangulate_two_view,
)
from tests.multiview_geom.tolerances import assert_close, unit_round_off

Solver = Callable[[Cameras, Tensor, Tensor, Tensor], Tensor]

SOLVERS: dict[str, Solver] = {
    "dlt": lambda rig, X, x, w: triangulate_dlt(rig.projections, x, weights=w),
    "iterative": lambda rig, X, x, w: triangulate_iterative(rig.projections, x, weights=w),
    "midpoint": lambda rig, X, x, w: triangulate_midpoint(rig.projections, x, weights=w),
    "robust": lambda rig, X, x, w: (
        triangulate_robust(rig.projections, x, weights=w, threshold=2.0).points
    ),
    "two_view": lambda rig, X, x, w: triangulate_two_view(
        rig.projections[[0, 3]], x[[0, 3]], weights=w[[0, 3]]
    ),
    "refined": lambda rig, X, x, w: refine_points(rig, X, x, weights=w).points,
    "covariance": lambda rig, X, x, w: point_covariance(
        rig.projections, X, sigma=0.05, weights=w
    ).flatten(-2),
}
every_solver = pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS.keys())
POINTS = [name for name in SOLVERS if name != "covariance"]
EXACT = {name: solve for name, solve in SOLVERS.items() if name != "dlt"}
"""The linear solution of one camera center is that center, up to round-off."""
point_solvers = pytest.mark.parametrize("solve", [SOLVERS[name] for name in POINTS], ids=POINTS)


SINGLE_ROUND_OFFS = 16
"""A result computed in float64 is rounded once; the norm is that of the whole vector."""


def far_away(depth: float, count: int = 50) -> tuple[Cameras, Tensor, Tensor]:
    """Film points at a depth by four cameras beside each other, 3/8 m from first to last.

    The projections have no round-off in float32.
    """
    generator = torch.Generator().manual_seed(0)
    K = torch.tensor([[2000.0, 0.0, 960.0], [0.0, 2000.0, 540.0], [0.0, 0.0, 1.0]]).double()
    pose = torch.eye(4, dtype=torch.float64).repeat(4, 1, 1)
    pose[:, 0, 3] = -torch.arange(4) / 8
    rig = Cameras(K.expand(4, 3, 3), pose)
    points = torch.rand(count, 3, generator=generator, dtype=torch.float64) * 0.4 * depth
    points[:, 2] += depth
    noise = torch.randn(4, count, 2, generator=generator, dtype=torch.float64)
    return rig, points, project_points(rig.projections, points) + 0.05 * noise


def assert_single_is_double(
    solve: Solver, rig: Cameras, points: Tensor, pixels: Tensor, weights: Tensor
) -> None:
    """Check that float32 gives what float64 gives for the same rounded arguments."""
    found = solve(rig.to(torch.float32), points.float(), pixels.float(), weights.float()).double()
    rounded = (tensor.float().double() for tensor in (points, pixels, weights))
    expected = solve(rig, *rounded)
    assert expected.isfinite().all()
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert error.max() < SINGLE_ROUND_OFFS * unit_round_off(torch.float32)


@every_solver
@pytest.mark.parametrize("depth", [3.0, 30.0, 300.0])
def test_a_narrow_baseline(solve: Solver, depth: float) -> None:
    rig, points, pixels = far_away(depth)
    assert_single_is_double(solve, rig, points, pixels, torch.ones_like(pixels[..., 0]))


@every_solver
@pytest.mark.parametrize("low", [1e-2, 1e-4, 1e-6])
def test_one_view_is_trusted_more_than_the_others(solve: Solver, low: float) -> None:
    rig, points, pixels = far_away(10.0)
    weights = torch.full_like(pixels[..., 0], low)
    weights[0] = 1.0
    assert_single_is_double(solve, rig, points, pixels, weights)


@point_solvers
@pytest.mark.parametrize(
    ("scale", "dtype"), [(2.0**-70, torch.float32), (2.0**-700, torch.float64)], ids=str
)
def test_all_weights_are_tiny(solve: Solver, scale: float, dtype: torch.dtype) -> None:
    rig, points, pixels = far_away(10.0)
    weights = 1 + torch.arange(4.0)[:, None].expand(4, pixels.shape[1]) / 4

    def solved(scale: float) -> tuple[Tensor, Tensor]:
        trust = (scale * weights.to(dtype)).requires_grad_()
        found = solve(rig.to(dtype), points.to(dtype), pixels.to(dtype), trust)
        (slope,) = torch.autograd.grad(found.cos().sum(), trust)
        return found, slope * scale

    for found, expected in zip(solved(scale), solved(1.0), strict=True):
        assert torch.isfinite(expected).all()
        assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_the_covariance_is_inverse_to_tiny_weights() -> None:
    rig, points, pixels = far_away(10.0)
    ones = torch.ones_like(pixels[..., 0])
    unit = point_covariance(rig.projections, points, sigma=1.0, weights=ones)
    found = point_covariance(rig.projections, points, sigma=1.0, weights=2.0**-700 * ones)
    assert_close(found * 2.0**-700, unit, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("solve", EXACT.values(), ids=EXACT.keys())
def test_float32_centers_that_differ_by_round_off_are_one(solve: Solver) -> None:
    rig, points, pixels = far_away(3.0)
    pose = rig.camera_from_world.clone()
    pose[:, 0, 3] = 1.0 + torch.arange(4) * unit_round_off(torch.float32)
    same = Cameras(rig.intrinsics, pose).to(torch.float32)
    found = solve(same, points.float(), pixels.float(), torch.ones_like(pixels[..., 0]).float())
    assert found.isnan().all()
