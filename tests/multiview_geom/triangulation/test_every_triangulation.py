"""Laws that every triangulation obeys whose answer does not hang on the world's frame."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor
from torch.autograd import gradcheck

from multiview_geom import (
    invert_transform,
    project_points,
    transform_points,
    triangulate_dlt,
    triangulate_dlt_svd,
    triangulate_iterative,
    triangulate_midpoint,
    triangulate_robust,
    triangulate_two_view,
)
from tests.multiview_geom.strategies import (
    Cloud,
    Pose,
    Rig,
    Ring,
    Sightings,
    clouds,
    numbers,
    poses,
    rigs,
    sightings,
)
from tests.multiview_geom.tolerances import POINT_ROUND_OFF, assert_close

Solver = Callable[[Tensor, Tensor, Tensor], Tensor]

SOLVERS: dict[str, Solver] = {
    "iterative": lambda P, x, w: triangulate_iterative(P, x, weights=w),
    "midpoint": lambda P, x, w: triangulate_midpoint(P, x, weights=w),
    "robust": lambda P, x, w: triangulate_robust(P, x, weights=w, threshold=50.0).points,
    "two_view": lambda P, x, w: triangulate_two_view(P[:2], x[:2], weights=w[:2]),
}
SCENE = Sightings(
    Ring(views=3), Cloud(((0.1, 0.2, 0.3), (-0.4, 0.5, 0.1))), noise=(0.3, -0.7, 0.5, 0.2, -0.1)
)

every_solver = pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS.keys())
N_VIEW = ("iterative", "midpoint", "robust")
n_view_solvers = pytest.mark.parametrize("solve", [SOLVERS[name] for name in N_VIEW], ids=N_VIEW)


def seen(scene: Sightings) -> tuple[Tensor, Tensor, Tensor]:
    return scene.projections(), scene.pixels(), scene.trust()


@every_solver
@given(rigs, clouds())
def test_it_inverts_projection(solve: Solver, rig: Rig, cloud: Cloud) -> None:
    projections, points = rig.cameras().projections, cloud.points()
    pixels = project_points(projections, points)
    found = solve(projections, pixels, torch.ones_like(pixels[..., 0]))
    assert_close(found, points, atol=POINT_ROUND_OFF)


@every_solver
@given(sightings, poses)
def test_it_moves_with_the_world(solve: Solver, scene: Sightings, pose: Pose) -> None:
    projections, pixels, weights = seen(scene)
    moved = pose.transform()
    points = solve(projections @ invert_transform(moved), pixels, weights)
    expected = transform_points(moved, solve(projections, pixels, weights))
    assert_close(points, expected, atol=POINT_ROUND_OFF)


@every_solver
@given(sightings, numbers(0.01, 100.0))
def test_it_grows_with_the_world(solve: Solver, scene: Sightings, scale: float) -> None:
    projections, pixels, weights = seen(scene)
    scaled = projections * torch.tensor([1.0, 1.0, 1.0, scale], dtype=torch.float64)
    points = solve(scaled, pixels, weights)
    assert_close(points / scale, solve(projections, pixels, weights), atol=POINT_ROUND_OFF)


@every_solver
@given(sightings)
def test_the_order_of_the_views_does_not_matter(solve: Solver, scene: Sightings) -> None:
    two = [tensor[:2] for tensor in seen(scene)]
    turned = solve(*(tensor.flip(0) for tensor in two))
    assert_close(turned, solve(*two), atol=POINT_ROUND_OFF)


@every_solver
@given(sightings, numbers(0.01, 100.0))
def test_scale_and_sign_of_a_projection_do_not_matter(
    solve: Solver, scene: Sightings, scale: float
) -> None:
    projections, pixels, weights = seen(scene)
    scaled = torch.cat([-scale * projections[:1], projections[1:]])
    expected = solve(projections, pixels, weights)
    assert_close(solve(scaled, pixels, weights), expected, atol=POINT_ROUND_OFF)


@every_solver
@given(sightings, numbers(0.01, 100.0))
def test_only_the_ratio_of_the_weights_matters(
    solve: Solver, scene: Sightings, scale: float
) -> None:
    projections, pixels, weights = seen(scene)
    expected = solve(projections, pixels, weights)
    assert_close(solve(projections, pixels, scale * weights), expected, atol=POINT_ROUND_OFF)


@n_view_solvers
@given(sightings)
def test_a_view_of_weight_zero_is_an_absent_view(solve: Solver, scene: Sightings) -> None:
    projections, pixels, weights = seen(scene)
    other = invert_transform(Pose(turn=(0.3, 0.2, 0.1), shift=(1.0, 2.0, 3.0)).transform())
    points = solve(
        torch.cat([projections, projections[:1] @ other]),
        torch.cat([pixels, pixels[:1] + 50.0]),
        torch.cat([weights, 0 * weights[:1]]),
    )
    assert_close(points, solve(projections, pixels, weights), atol=POINT_ROUND_OFF)


@n_view_solvers
@pytest.mark.parametrize("missing", [torch.nan, torch.inf])
def test_a_pixel_that_is_not_finite_is_an_absent_view(solve: Solver, missing: float) -> None:
    projections, pixels, weights = seen(SCENE)
    pixels[0, 1, 0] = missing
    expected = solve(projections[1:], pixels[1:], weights[1:])[1]
    assert_close(solve(projections, pixels, weights)[1], expected, atol=POINT_ROUND_OFF)


@n_view_solvers
@pytest.mark.parametrize("broken", [torch.nan, 0.0])
def test_a_view_without_calibration_is_an_absent_view(solve: Solver, broken: float) -> None:
    projections, pixels, weights = seen(SCENE)
    spoilt = projections.index_fill(0, torch.tensor([0]), broken)
    expected = solve(projections[1:], pixels[1:], weights[1:])
    assert_close(solve(spoilt, pixels, weights), expected, atol=POINT_ROUND_OFF)


@every_solver
@pytest.mark.parametrize("left", [0.0, 1.0], ids=["never", "once"])
def test_a_point_seen_once_or_never_is_nan_alone(solve: Solver, left: float) -> None:
    projections, pixels, weights = seen(SCENE)
    weights[:, 0] = torch.tensor([left, 0.0, 0.0])
    assert_nan_alone(solve, projections, pixels, weights)


@every_solver
def test_a_point_of_nan_pixels_is_nan_alone(solve: Solver) -> None:
    projections, pixels, weights = seen(SCENE)
    pixels[:, 0] = torch.nan
    assert_nan_alone(solve, projections, pixels, weights)


@n_view_solvers
@pytest.mark.parametrize("weight", [torch.nan, -1.0])
def test_a_weight_that_is_no_weight_is_zero(solve: Solver, weight: float) -> None:
    projections, pixels, weights = seen(SCENE)
    weights[0, 1] = weight
    expected = solve(projections[1:], pixels[1:], weights[1:])[1]
    assert_close(solve(projections, pixels, weights)[1], expected, atol=POINT_ROUND_OFF)


@n_view_solvers
def test_two_views_from_one_place_fix_no_point(solve: Solver) -> None:
    projections, pixels, weights = seen(SCENE)
    projections[1] = -3.0 * projections[0]
    weights[2, 0] = 0.0
    assert_nan_alone(solve, projections, pixels, weights)


@every_solver
def test_identical_cameras_fix_nothing(solve: Solver) -> None:
    projections, pixels, weights = seen(SCENE)
    assert solve(projections[[0, 0, 0]], pixels, weights).isnan().all()


@every_solver
def test_parallel_rays_fix_no_point(solve: Solver) -> None:
    pixels = torch.tensor([[[0.3, 0.1], [0.0, 0.0]], [[0.3, 0.1], [-0.5, 0.0]]]).double()
    assert_nan_alone(solve, _side_by_side(), pixels, torch.ones(2, 2, dtype=torch.float64))


@every_solver
def test_a_point_behind_every_view_is_nan_alone(solve: Solver) -> None:
    points = torch.tensor([[0.1, 0.2, -4.0], [0.0, 0.0, 4.0]], dtype=torch.float64)
    pixels = project_points(_side_by_side(), points)
    assert_nan_alone(solve, _side_by_side(), pixels, torch.ones(2, 2, dtype=torch.float64))


@n_view_solvers
def test_gradients_see_missing_views_and_weights(solve: Solver) -> None:
    projections, pixels, weights = seen(SCENE)
    pixels[0, 1] = torch.nan
    leaves = projections.requires_grad_(), (weights + 0.5).requires_grad_()
    assert gradcheck(lambda P, w: solve(P, pixels, w), leaves)


@every_solver
def test_float32_agrees_with_float64(solve: Solver) -> None:
    single = [tensor.float() for tensor in seen(SCENE)]
    expected = solve(*(tensor.double() for tensor in single))
    assert_close(solve(*single).double(), expected, atol=5e-6)


def _side_by_side() -> Tensor:
    projections = torch.eye(3, 4, dtype=torch.float64).repeat(2, 1, 1)
    projections[1, 0, 3] = -1.0
    return projections


def assert_nan_alone(solve: Solver, projections: Tensor, pixels: Tensor, weights: Tensor) -> None:
    """Check that point 0 is NaN and passes no gradient, and point 1 is as without it."""
    leaves = [tensor.clone().requires_grad_() for tensor in (projections, pixels, weights)]
    points = solve(*leaves)
    assert points[0].isnan().all()
    assert_close(points[1:], solve(leaves[0], leaves[1][:, 1:], leaves[2][:, 1:]), atol=1e-7)
    gradients = torch.autograd.grad(points.sum(), leaves)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert not gradients[1][:, 0].any()


WITH_CAMERAS = {
    "dlt": triangulate_dlt,
    "svd": triangulate_dlt_svd,
    "iterative": partial(triangulate_iterative, steps=3),
    "midpoint": triangulate_midpoint,
    "robust": partial(triangulate_robust, threshold=1.0, max_pairs=4),
    "two_view": triangulate_two_view,
}


@pytest.mark.parametrize("name", WITH_CAMERAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cameras_stand_for_their_projections_and_lenses(name: str, dtype: torch.dtype) -> None:
    triangulate, two = WITH_CAMERAS[name], slice(2) if name == "two_view" else slice(None)
    rig = SCENE.rig.cameras()
    lens = torch.tensor([-0.2, 0.1, 0.001, -0.002], dtype=torch.float64).expand(rig.views, 4)
    rig = replace(rig, distortion=lens).select(two)
    points = SCENE.cloud.points()
    pixels = rig.project(points).pixels
    found = triangulate(rig, pixels.to(dtype), weights=torch.ones(pixels.shape[:-1], dtype=dtype))
    found = found.points if name == "robust" else found
    assert found.dtype == dtype
    precise = dtype == torch.float64
    assert_close(found.double(), points, atol=POINT_ROUND_OFF if precise else 1e-4)


@pytest.mark.rejects
@pytest.mark.parametrize("name", WITH_CAMERAS)
def test_pixels_for_cameras_must_be_tensors_of_their_views(name: str) -> None:
    triangulate, rig = WITH_CAMERAS[name], SCENE.rig.cameras().select(slice(2))
    with pytest.raises(ValueError, match=r"`pixels` must be a tensor, got numpy\.ndarray: convert"):
        triangulate(rig, np.zeros((2, 4, 2)))
    with pytest.raises(ValueError, match=r"`pixels` must be a tensor, got list: convert it with"):
        triangulate(rig, [[[0.0, 0.0]] * 4] * 2)
    with pytest.raises(ValueError, match=r"`pixels` must have a floating dtype, got torch\.int64"):
        triangulate(rig, torch.zeros(2, 4, 2, dtype=torch.int64))
    with pytest.raises(
        ValueError, match=r"`weights` must be a tensor, got numpy\.ndarray: convert"
    ):
        triangulate(rig, torch.zeros(2, 4, 2), weights=np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"`pixels` must have|as many views"):
        triangulate(rig, torch.zeros(5, 4, 2, dtype=torch.float64))
