"""Laws of the midpoint."""

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from multiview_geom import triangulate_midpoint
from tests.multiview_geom.strategies import Sightings, sightings
from tests.multiview_geom.tolerances import POINT_ROUND_OFF, assert_close


def solved(scene: Sightings) -> Tensor:
    return triangulate_midpoint(scene.projections(), scene.pixels(), weights=scene.trust())


@given(sightings)
def test_no_small_move_comes_nearer_to_the_rays(scene: Sightings) -> None:
    points = solved(scene)
    nearby = points + 1e-3 * torch.randn(1000, 1, 3, dtype=torch.float64)
    assert (cost(scene, nearby) >= cost(scene, points) - 1e-12).all()


@given(sightings)
def test_it_agrees_with_stacked_least_squares(scene: Sightings) -> None:
    assert_close(solved(scene), least_squares(scene), atol=POINT_ROUND_OFF)


@pytest.mark.rejects
def test_a_projection_is_three_by_four() -> None:
    with pytest.raises(
        ValueError, match=r"`projections` must have shape \(\.\.\., views, 3, 4\), got \(4, 4, 4\)"
    ):
        triangulate_midpoint(torch.zeros(4, 4, 4), torch.zeros(4, 1, 2))


def rays(scene: Sightings) -> tuple[Tensor, Tensor]:
    cameras = scene.rig.cameras()
    to_world = torch.linalg.inv(cameras.projections[:, :, :3])
    homogeneous = torch.nn.functional.pad(scene.pixels(), (0, 1), value=1.0)
    directions = torch.nn.functional.normalize(homogeneous @ to_world.mT, dim=-1)
    return cameras.centers[:, None], directions


def cost(scene: Sightings, points: Tensor) -> Tensor:
    centers, directions = rays(scene)
    apart = points[..., None, :, :] - centers
    along = (apart * directions).sum(dim=-1)
    distance_squared = apart.square().sum(dim=-1) - along.square()
    return (scene.trust() * distance_squared).sum(dim=-2)


def least_squares(scene: Sightings) -> Tensor:
    """Solve `(I - d dᵀ) x = (I - d dᵀ) c` for all rays at once, point by point, in NumPy."""
    centers, directions = (tensor.numpy() for tensor in rays(scene))
    root = scene.trust().sqrt().numpy()
    points = []
    for index in range(root.shape[1]):
        d = directions[:, index]
        across = root[:, index, None, None] * (np.eye(3) - d[:, :, None] * d[:, None, :])
        goal = (across @ centers[:, 0, :, None]).reshape(-1)
        points.append(np.linalg.lstsq(across.reshape(-1, 3), goal)[0])
    return torch.from_numpy(np.stack(points))
