"""Inputs that are known to break other libraries: value, first and second derivative.

The rest of them are laws of their own: stereo with equal singular values in
test_triangulation_dlt.py; the cube, the scale of the gradient and other dimensions in
test_procrustes.py.
"""

from collections.abc import Callable
from math import pi

import pytest
import torch
from torch import Tensor
from torch.autograd import grad, gradcheck, gradgradcheck

from multiview_geom import align_rigid, align_similarity, nearest_rotation, triangulate_dlt
from tests.multiview_geom.alignment.test_procrustes import (
    TIE_ROUND_OFFS,
    matrix_of,
    overlap,
    rotation_by_svd,
)
from tests.multiview_geom.strategies import Pose
from tests.multiview_geom.tolerances import assert_close

CLEAR = matrix_of((3.0, 1.5, -0.4), Pose(turn=(0.3, -1.1, 0.7)), Pose(turn=(-0.8, 0.2, 1.9)))


def derivatives(solve: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Tensor]:
    """The slope of some sum over the outcome, and the slope of the sum of that."""
    given = at.clone().requires_grad_()
    outcome = solve(given)
    some = torch.arange(1.0, outcome.numel() + 1, dtype=outcome.dtype).reshape(outcome.shape).cos()
    (first,) = grad((some * outcome).sum(), given, create_graph=True)
    (second,) = grad(first.sum(), given)
    return first, second


def test_a_point_behind_both_cameras() -> None:
    left, right = torch.eye(3, 4).double(), torch.eye(3, 4).double()
    right[0, 3] = -1.0
    rig = torch.stack([left, right])
    pixels = torch.tensor([[[0.2, 0.0]], [[0.4, 0.0]]], dtype=torch.float64).requires_grad_()
    assert_close(
        triangulate_dlt(rig, pixels), torch.tensor([[-1.0, 0.0, -5.0]]).double(), atol=1e-9
    )
    assert gradcheck(lambda seen: triangulate_dlt(rig, seen), (pixels,), atol=1e-4)
    assert gradgradcheck(lambda seen: triangulate_dlt(rig, seen), (pixels,), atol=1e-4)


@pytest.mark.parametrize("exponent", range(-8, 9, 4))
def test_derivatives_scale_as_the_inverse_of_the_matrix(exponent: int) -> None:
    scale = 10.0**exponent
    slope, bend = derivatives(nearest_rotation, CLEAR)
    scaled_slope, scaled_bend = derivatives(nearest_rotation, scale * CLEAR)
    assert_close(scale * scaled_slope, slope, atol=1e-10)
    assert_close(scale**2 * scaled_bend, bend, atol=1e-9)


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_nearly_a_mirror_image(gap: float, dtype: torch.dtype) -> None:
    matrix = matrix_of((1.0, 0.5 + gap, -0.5), Pose(turn=(0.4, 0.1, -0.9)), Pose()).to(dtype)
    best = overlap(rotation_by_svd(matrix.double()), matrix)
    assert (
        overlap(nearest_rotation(matrix), matrix) >= best - TIE_ROUND_OFFS * torch.finfo(dtype).eps
    )
    assert all(slope.isfinite().all() for slope in derivatives(nearest_rotation, matrix))


def test_a_missing_point_of_weight_zero() -> None:
    source = torch.cat([torch.eye(3), torch.full((1, 3), torch.nan), torch.ones(1, 3)]).double()
    target = source.flip(-1) + 0.3
    trust = torch.tensor([1.0, 2.0, 1.0, 0.0, 0.5], dtype=torch.float64)
    kept = [0, 1, 2, 4]

    def moved(points: Tensor) -> Tensor:
        return align_similarity(points, target, weights=trust).apply(points[kept])

    expected = align_similarity(source[kept], target[kept], weights=trust[kept])
    assert_close(moved(source), expected.apply(source[kept]), atol=1e-11)
    for slope in derivatives(moved, source):
        assert slope.isfinite().all()
        assert (slope[3] == 0).all()


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_points_have_finite_second_derivatives(count: int) -> None:
    source = torch.eye(3, dtype=torch.float64)
    trust = (torch.arange(3) < count).double()

    def moved(points: Tensor) -> Tensor:
        found = align_similarity(points, points.detach() + 1.0, weights=trust)
        return found.apply(points) * found.scale

    assert moved(source).isfinite().all()
    assert all(slope.isfinite().all() for slope in derivatives(moved, source))


@pytest.mark.parametrize("angle", [0.0, 1e-9, pi / 2, pi - 1e-9, pi])
def test_no_turn_and_half_a_turn(angle: float) -> None:
    axis = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    cross = torch.linalg.cross(axis.expand(3, 3), torch.eye(3).double())
    rotation = torch.linalg.matrix_exp(angle * cross)
    matrix = (rotation @ torch.tensor([2.0, 1.0, 0.5]).double().diag()).requires_grad_()
    assert_close(nearest_rotation(matrix), rotation, atol=1e-12)
    assert gradcheck(nearest_rotation, (matrix,))
    assert gradgradcheck(nearest_rotation, (matrix,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_cube_in_half_precision(dtype: torch.dtype) -> None:
    cube = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3).to(dtype).requires_grad_()
    found = align_rigid(cube, cube.detach().roll(1, dims=-1))
    found.rotation.sum().backward()
    cyclic = torch.eye(3, dtype=dtype).roll(1, dims=0)
    assert_close(found.rotation, cyclic, atol=4 * torch.finfo(dtype).eps)
    assert cube.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_nearly_flat_point_sets_get_the_optimum(dtype: torch.dtype) -> None:
    seed = torch.Generator().manual_seed(0)
    flat = torch.tensor([1.0, 1.0, 0.01])
    source = (torch.randn(500, 12, 3, generator=seed) * flat).to(dtype)
    target = source.roll(1, dims=-1) + 0.02 * torch.randn(500, 12, 3, generator=seed).to(dtype)
    found = align_rigid(source, target)
    left, right = (
        points.double() - points.double().mean(dim=1, keepdim=True) for points in (target, source)
    )
    best = torch.stack([rotation_by_svd(one) for one in left.mT @ right])
    residual = (right @ best.mT - left).square().sum(dim=(1, 2))
    ours = (found.apply(source) - target).double().square().sum(dim=(1, 2))
    assert (ours <= residual * (1 + 1e3 * torch.finfo(dtype).eps)).all()
