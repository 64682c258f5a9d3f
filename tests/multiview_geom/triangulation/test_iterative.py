"""Laws of reweighted triangulation."""

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given
from torch import Tensor

from multiview_geom import project_points, reprojection_error, triangulate_iterative
from tests.multiview_geom.strategies import Cloud, Sightings, Staircase, sightings

SCENE = Sightings()


def solved(scene: Sightings, *, steps: int) -> Tensor:
    return triangulate_iterative(
        scene.projections(), scene.pixels(), weights=scene.trust(), steps=steps
    )


@given(sightings)
def test_without_steps_no_small_move_lowers_the_linear_cost(scene: Sightings) -> None:
    points = solved(scene, steps=0)
    nearby = points + 1e-3 * torch.randn(1000, 1, 3, dtype=torch.float64)
    assert (linear_cost(scene, nearby) >= linear_cost(scene, points) * (1 - 1e-12)).all()


@given(sightings)
def test_its_reprojection_cost_is_the_optimum_to_a_hundredth(scene: Sightings) -> None:
    cost = reprojection_cost(scene, solved(scene, steps=2))
    best = torch.stack([optimum(scene, index) for index in range(len(scene.cloud.coordinates))])
    assert (cost <= 1.01 * best + 1e-9).all()


def test_reweighting_matters_at_unequal_distances() -> None:
    scene = Sightings(Staircase(), Cloud(), noise=(1.0, -2.0, 0.5, 1.5, -0.7))
    linear, reweighted = (reprojection_cost(scene, solved(scene, steps=n)) for n in (0, 2))
    assert (reweighted < 0.9 * linear).all()


@pytest.mark.rejects
def test_weights_belong_to_sightings() -> None:
    with pytest.raises(ValueError, match=r"`weights` must have shape \(\.\.\., 4, 1\), got \(3\)"):
        triangulate_iterative(SCENE.projections(), SCENE.pixels(), weights=torch.ones(3).double())


@pytest.mark.rejects
def test_pixels_belong_to_views() -> None:
    with pytest.raises(
        ValueError, match=r"`pixels` must have as many views as `projections` \(4\), got 3"
    ):
        triangulate_iterative(SCENE.projections(), SCENE.pixels()[:3])


def linear_cost(scene: Sightings, points: Tensor) -> Tensor:
    """Sum the squares of pixel residual times depth, as the equations without steps do."""
    projections, pixels, trust = scene.projections(), scene.pixels(), scene.trust()
    rows = projections / projections[:, 2:, :3].norm(dim=-1, keepdim=True)
    image = rows[:, None, :, :3] @ points[..., None, :, :, None]
    x, y, depth = (image[..., 0] + rows[:, None, :, 3]).unbind(dim=-1)
    off = pixels * depth[..., None] - torch.stack([x, y], dim=-1)
    return (trust * off.square().sum(dim=-1)).sum(dim=-2)


def reprojection_cost(scene: Sightings, points: Tensor) -> Tensor:
    error = reprojection_error(scene.projections(), points, scene.pixels())
    return (scene.trust() * error.square()).sum(dim=-2)


def optimum(scene: Sightings, index: int) -> Tensor:
    """Find the least reprojection cost of one point with SciPy, from the truth."""
    P, pixels, trust = scene.projections(), scene.pixels()[:, index], scene.trust()[:, index]

    def residuals(point: np.ndarray) -> np.ndarray:
        projected = project_points(P, torch.from_numpy(point)[None])[:, 0]
        off: np.ndarray = (trust.sqrt()[:, None] * (projected - pixels)).flatten().numpy()
        return off

    start = np.array(scene.cloud.coordinates[index])
    found = scipy.optimize.least_squares(residuals, start, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    return torch.tensor(2 * found.cost)
