"""Laws of robust triangulation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from multiview_geom import (
    RobustPoints,
    project_points,
    reprojection_error,
    ring_of_cameras,
    triangulate_iterative,
    triangulate_robust,
)
from tests.multiview_geom.kernels.engine_choice import computed_by
from tests.multiview_geom.strategies import Cloud, Ring, Sightings, clouds, numbers, sightings
from tests.multiview_geom.tolerances import PIXEL_ROUND_OFF, POINT_ROUND_OFF, assert_close

SCENE = Sightings(
    Ring(views=5), Cloud(((0.1, 0.2, 0.3), (-0.4, 0.5, 0.1))), noise=(0.3, -0.7, 0.5, 0.2, -0.1)
)

rings_of_many = st.builds(Ring, views=st.integers(5, 20), radius=numbers(3.0, 8.0))


def crowd(views: int, noise: float, wrong_share: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Film 2,000 points; replace a share of the sightings by anything in the image."""
    generator = torch.Generator().manual_seed(0)
    rig = ring_of_cameras(views, 4.5, 1.0, dtype=torch.float64)
    points = torch.rand(2000, 3, generator=generator, dtype=torch.float64) - 0.5
    exact = project_points(rig.projections, points)
    noisy = exact + noise * torch.randn(exact.shape, generator=generator, dtype=torch.float64)
    anything = 1000 * torch.rand(exact.shape, generator=generator, dtype=torch.float64)
    wrong = torch.rand(exact.shape[:-1], generator=generator) < wrong_share
    return rig.projections, points, torch.where(wrong[..., None], anything, noisy), wrong


def distance(found: Tensor, truth: Tensor) -> Tensor:
    return (found - truth).square().sum(dim=-1).sqrt()


@given(rings_of_many, clouds(), numbers(30.0, 500.0))
def test_one_wrong_view_is_found_and_left_out(rig: Ring, cloud: Cloud, shift: float) -> None:
    projections, points = rig.cameras().projections, cloud.points()
    pixels = project_points(projections, points)
    pixels[0] += shift
    found = triangulate_robust(projections, pixels, threshold=1e-3)
    assert_close(found.points, points, atol=POINT_ROUND_OFF)
    assert not found.inliers[0].any()
    assert found.inliers[1:].all()


@given(sightings)
def test_without_outliers_it_is_the_reweighted_solution_of_all(scene: Sightings) -> None:
    projections, pixels, weights = scene.projections(), scene.pixels(), scene.trust()
    found = triangulate_robust(projections, pixels, weights=weights, threshold=50.0)
    expected = triangulate_iterative(projections, pixels, weights=weights)
    assert_close(found.points, expected, atol=POINT_ROUND_OFF)


@given(sightings)
def test_residuals_are_reprojection_errors(scene: Sightings) -> None:
    found = triangulate_robust(scene.projections(), scene.pixels(), threshold=5.0)
    expected = reprojection_error(scene.projections(), found.points, scene.pixels())
    assert_close(found.residuals, expected, atol=PIXEL_ROUND_OFF)


def test_it_does_not_prefer_few_views() -> None:
    projections, points, pixels, _ = crowd(views=5, noise=2.0, wrong_share=0.0)
    found = triangulate_robust(projections, pixels, threshold=6.0)
    with_all = distance(triangulate_iterative(projections, pixels), points)
    assert found.inliers.double().mean() > 0.99
    assert distance(found.points, points).square().mean() < 1.03**2 * with_all.square().mean()


def test_it_nearly_knows_who_is_wrong() -> None:
    projections, points, pixels, wrong = crowd(views=8, noise=2.0, wrong_share=0.3)
    found = triangulate_robust(projections, pixels, threshold=8.0)
    oracle = triangulate_iterative(projections, pixels, weights=(~wrong).double())
    known = distance(oracle, points).nanmedian()
    assert distance(found.points, points).nanmedian() < 1.02 * known


def test_few_pairs_of_wide_angle_find_what_all_pairs_find() -> None:
    projections, points, pixels, _ = crowd(views=24, noise=2.0, wrong_share=0.3)
    few, every = (
        triangulate_robust(projections, pixels[:, :300], threshold=8.0, max_pairs=pairs).points
        for pairs in (48, 276)
    )
    assert distance(few, points[:300]).median() < 1.02 * distance(every, points[:300]).median()


def test_pairs_are_taken_from_the_views_that_saw_the_point() -> None:
    projections, points, pixels, _ = crowd(views=40, noise=0.0, wrong_share=0.0)
    weights = torch.zeros(40, 1, dtype=torch.float64)
    weights[[3, 4, 31]] = 1.0
    found = triangulate_robust(
        projections, pixels[:, :1], weights=weights, threshold=1e-3, max_pairs=40
    )
    assert_close(found.points, points[:1], atol=POINT_ROUND_OFF)
    assert found.inliers[:, 0].nonzero().flatten().tolist() == [3, 4, 31]


def test_blocks_do_not_show() -> None:
    projections, _, pixels, _ = crowd(views=40, noise=2.0, wrong_share=0.2)
    whole = triangulate_robust(projections, pixels, threshold=8.0, max_pairs=80)
    apart = triangulate_robust(projections, pixels[:, 700:750], threshold=8.0, max_pairs=80)
    assert_close(whole.points[700:750], apart.points, atol=POINT_ROUND_OFF)
    assert torch.equal(whole.inliers[:, 700:750], apart.inliers)


def test_frames_of_one_rig_are_as_frames_of_their_own_rigs() -> None:
    projections, _, pixels, _ = crowd(views=5, noise=2.0, wrong_share=0.3)
    frames = pixels.unflatten(1, (-1, 20)).movedim(0, 1)
    one = triangulate_robust(projections, frames, threshold=8.0)
    own = triangulate_robust(projections.expand(100, -1, -1, -1), frames, threshold=8.0)
    assert_close(one.points, own.points, atol=POINT_ROUND_OFF)


def test_the_gradient_is_the_slope_beside_an_outlier() -> None:
    pixels = SCENE.pixels()
    pixels[1, 0] += 200.0
    leaves = [tensor.requires_grad_() for tensor in (SCENE.projections(), pixels, SCENE.trust())]
    assert gradcheck(lambda *inputs: solved(*inputs).points, leaves)
    (gradient,) = torch.autograd.grad(solved(*leaves).points.sum(), leaves[1])
    assert not gradient[1, 0].any()


def test_where_no_two_views_agree_there_is_no_point() -> None:
    pixels = torch.tensor([[[0.0, 0.0]], [[0.0, 900.0]], [[900.0, 0.0]]], dtype=torch.float64)
    found = triangulate_robust(Ring(views=3).cameras().projections, pixels, threshold=1.0)
    assert found.points.isnan().all()
    assert not found.inliers.any()


@pytest.mark.rejects
def test_the_threshold_is_positive() -> None:
    with pytest.raises(ValueError, match=r"`threshold` must be positive, got 0\.0"):
        triangulate_robust(SCENE.projections(), SCENE.pixels(), threshold=0.0)


def solved(projections: Tensor, pixels: Tensor, weights: Tensor) -> RobustPoints:
    return triangulate_robust(projections, pixels, weights=weights, threshold=20.0)


@pytest.mark.parametrize("engine", ["numba", "reference"])
def test_one_view_believes_nothing(engine: str) -> None:
    rig = ring_of_cameras(1, radius=4.0, height=1.0)
    with computed_by(engine):
        found = triangulate_robust(rig.projections, torch.full((1, 3, 2), 500.0), threshold=1.0)
    assert found.points.isnan().all()
    assert not found.inliers.any()
