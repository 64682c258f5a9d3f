"""Laws of the covariance of triangulated points."""

import pytest
import torch
from hypothesis import given
from torch import Tensor

from multiview_geom import (
    invert_transform,
    point_covariance,
    project_points,
    transform_points,
    triangulate_iterative,
)
from tests.multiview_geom.strategies import (
    Cloud,
    Fan,
    Pose,
    Rig,
    Ring,
    Sightings,
    Staircase,
    clouds,
    numbers,
    poses,
    rigs,
    sightings,
)
from tests.multiview_geom.tolerances import assert_close

RELATIVE_ROUND_OFF = 1e-8
"""A 3-degree fan loses five digits between the pixels and the inverse of their curvature."""


def predicted(scene: Sightings, sigma: float = 1.0) -> Tensor:
    points, weights = scene.cloud.points(), scene.trust()
    return point_covariance(scene.projections(), points, sigma=sigma, weights=weights)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    size = expected.abs().amax(dim=(-2, -1), keepdim=True)
    assert_close(actual / size, expected / size, atol=RELATIVE_ROUND_OFF)


@given(sightings, poses)
def test_it_turns_with_the_world(scene: Sightings, pose: Pose) -> None:
    moved, rotation = pose.transform(), pose.rotation()
    turned = point_covariance(
        scene.projections() @ invert_transform(moved),
        transform_points(moved, scene.cloud.points()),
        sigma=1.0,
        weights=scene.trust(),
    )
    assert_same(turned, rotation @ predicted(scene) @ rotation.mT)


@given(sightings, numbers(0.1, 10.0))
def test_it_grows_with_the_square_of_the_noise(scene: Sightings, sigma: float) -> None:
    assert_same(predicted(scene, sigma), sigma**2 * predicted(scene))


@given(sightings)
def test_the_order_of_the_views_does_not_matter(scene: Sightings) -> None:
    turned = point_covariance(
        scene.projections().flip(0),
        scene.cloud.points(),
        sigma=1.0,
        weights=scene.trust().flip(0),
    )
    assert_same(turned, predicted(scene))


@given(rigs, clouds(), numbers(0.01, 100.0))
def test_scale_and_sign_of_a_projection_do_not_matter(rig: Rig, cloud: Cloud, scale: float) -> None:
    projections, points = rig.cameras().projections, cloud.points()
    scaled = torch.cat([-scale * projections[:1], projections[1:]])
    expected = point_covariance(projections, points, sigma=1.0)
    assert_same(point_covariance(scaled, points, sigma=1.0), expected)


@given(sightings)
def test_it_agrees_with_the_jacobian(scene: Sightings) -> None:
    projections, points, weights = scene.projections(), scene.cloud.points(), scene.trust()

    def seen(point: Tensor) -> Tensor:
        return project_points(projections, point[None])[:, 0]

    jacobians = torch.func.vmap(torch.func.jacrev(seen))(points)
    information = torch.einsum("vn,nvri,nvrj->nij", weights, jacobians, jacobians)
    assert_same(predicted(scene), torch.linalg.inv(information))


@pytest.mark.parametrize("rig", [Ring(), Ring(views=8), Staircase(), Fan(step_deg=20.0)], ids=str)
@pytest.mark.parametrize("heavy", [1.0, 4.0])
def test_simulated_errors_have_three_squared_deviations(rig: Rig, heavy: float) -> None:
    generator = torch.Generator().manual_seed(0)
    projections = rig.cameras().projections
    points = torch.rand(20_000, 3, generator=generator, dtype=torch.float64) - 0.5
    exact = project_points(projections, points)
    weights = torch.ones_like(exact[..., 0])
    weights[::2] = heavy
    noise = torch.randn(exact.shape, generator=generator, dtype=torch.float64)
    pixels = exact + 0.5 * noise / weights.sqrt()[..., None]
    error = (triangulate_iterative(projections, pixels, weights=weights) - points)[..., None]
    covariance = point_covariance(projections, points, sigma=0.5, weights=weights)
    squared = (error * torch.linalg.solve(covariance, error)).sum(dim=(-2, -1))
    assert squared.mean().item() == pytest.approx(3.0, rel=0.03)


@given(sightings)
def test_a_view_of_weight_zero_is_an_absent_view(scene: Sightings) -> None:
    absent = point_covariance(
        torch.cat([scene.projections(), scene.projections()[:1] + 1.0]),
        scene.cloud.points(),
        sigma=1.0,
        weights=torch.cat([scene.trust(), 0 * scene.trust()[:1]]),
    )
    assert_same(absent, predicted(scene))


def test_what_no_two_places_see_is_nan_alone() -> None:
    projections = Ring(views=3).cameras().projections.requires_grad_()
    points = torch.tensor([[0.1, 0.2, 0.3], [torch.nan, 0.0, 0.0], [0.0, 0.1, 0.0]]).double()
    weights = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]).double()
    covariance = point_covariance(projections, points, sigma=1.0, weights=weights)
    (gradient,) = torch.autograd.grad(covariance.nansum(), projections)
    assert covariance.isnan().all(dim=-1).all(dim=-1).tolist() == [True, True, False]
    assert gradient.isfinite().all()


@pytest.mark.rejects
def test_weights_belong_to_views_and_points() -> None:
    projections = Ring(views=3).cameras().projections
    with pytest.raises(ValueError, match=r"`weights` must have shape \(\.\.\., 3, 1\), got \(3\)"):
        point_covariance(projections, Cloud().points(), sigma=1.0, weights=torch.ones(3).double())
