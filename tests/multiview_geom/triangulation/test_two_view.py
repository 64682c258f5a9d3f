"""Laws of the two-view optimum."""

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from multiview_geom import project_points, reprojection_error, triangulate_two_view
from tests.multiview_geom.strategies import Sightings, sightings

cv2 = pytest.importorskip("cv2")

AGREEMENT = 1e-6
"""Relative difference of the two optimal costs; Lindstrom's two steps leave about 1e-8."""


@given(sightings)
def test_no_small_move_comes_nearer_to_the_pixels(scene: Sightings) -> None:
    projections, pixels, weights = two(scene)
    points = triangulate_two_view(projections, pixels, weights=weights)
    nearby = points + 1e-3 * torch.randn(1000, 1, 3, dtype=torch.float64)
    least = cost(projections, pixels, weights, points)
    assert (cost(projections, pixels, weights, nearby) >= least * (1 - AGREEMENT) - 1e-12).all()


@given(sightings)
def test_its_cost_is_that_of_opencv_correct_matches(scene: Sightings) -> None:
    projections, pixels, _ = two(scene)
    ones = torch.ones_like(pixels[..., 0])
    ours = cost(projections, pixels, ones, triangulate_two_view(projections, pixels))
    theirs = cost(projections, pixels, ones, opencv(projections, pixels))
    assert (ours <= theirs * (1 + AGREEMENT) + 1e-12).all()


def test_it_is_optimal_beside_the_epipole() -> None:
    generator = torch.Generator().manual_seed(0)
    forward = torch.eye(3, 4, dtype=torch.float64).repeat(2, 1, 1)
    forward[1, 2, 3] = -1.0
    projections = torch.tensor([1000.0, 1000.0, 1.0], dtype=torch.float64).diag() @ forward
    points = torch.rand(2000, 3, generator=generator, dtype=torch.float64)
    exact = project_points(projections, 2 * points + torch.tensor([-1.0, -1.0, 3.0]))
    pixels = exact + 5 * torch.randn(exact.shape, generator=generator, dtype=torch.float64)
    found = triangulate_two_view(projections, pixels)
    ours, theirs = (
        reprojection_error(projections, places, pixels).square().sum(dim=0)
        for places in (found, opencv(projections, pixels))
    )
    in_front = found.isfinite().all(dim=-1)
    assert in_front.double().mean() > 0.95
    assert (ours <= theirs * (1 + 1e-9))[in_front].all()


@given(sightings)
def test_a_heavy_view_is_hit_exactly(scene: Sightings) -> None:
    projections, pixels, weights = two(scene)
    weights[0] = 1e9
    points = triangulate_two_view(projections, pixels, weights=weights)
    assert (project_points(projections, points) - pixels)[0].abs().max() < 1e-4


@pytest.mark.rejects
def test_there_are_two_views() -> None:
    with pytest.raises(
        ValueError, match=r"`projections` must have shape \(\.\.\., 2, 3, 4\), got \(3, 3, 4\)"
    ):
        triangulate_two_view(torch.zeros(3, 3, 4), torch.zeros(3, 1, 2))


def two(scene: Sightings) -> tuple[Tensor, Tensor, Tensor]:
    return scene.projections()[:2], scene.pixels()[:2], scene.trust()[:2]


def cost(projections: Tensor, pixels: Tensor, weights: Tensor, points: Tensor) -> Tensor:
    error = reprojection_error(projections, points, pixels)
    return (weights * error.square()).sum(dim=-2)


def opencv(projections: Tensor, pixels: Tensor) -> Tensor:
    """Correct the matches by Hartley and Sturm's polynomial, then triangulate linearly."""
    first, second = projections.numpy()
    center = np.linalg.svd(first)[2][-1]
    x, y, z = second @ center
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    fundamental = skew @ second @ np.linalg.pinv(first)
    matches = cv2.correctMatches(
        fundamental / np.abs(fundamental).max(), pixels[:1].numpy(), pixels[1:].numpy()
    )
    left, right = (np.ascontiguousarray(match[0].T) for match in matches)
    homogeneous = cv2.triangulatePoints(first, second, left, right)
    return torch.from_numpy((homogeneous[:3] / homogeneous[3]).T)
