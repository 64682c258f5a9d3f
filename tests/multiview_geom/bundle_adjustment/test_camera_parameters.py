"""Laws of the derivatives of pixels by the parameters of cameras and points."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from multiview_geom import CameraParameter
from multiview_geom.bundle_adjustment.camera_parameters import FreeParameters
from multiview_geom.bundle_adjustment.gauge import gauge_directions
from tests.multiview_geom.bundle_adjustment.scenes import cloud, moved, with_lens
from tests.multiview_geom.strategies import Rig, rings, staircases
from tests.multiview_geom.tolerances import assert_close

ROUND_OFF = 1e-6
"""Derivatives of pixels are up to 1e4 px."""


@given(rings | staircases, st.booleans(), st.integers(0, 2**16))
def test_derivatives_are_those_of_a_step(rig: Rig, fisheye: bool, seed: int) -> None:  # noqa: FBT001 - drawn
    cameras, points = moved(with_lens(rig.cameras(), fisheye=fisheye), seed), cloud(3, seed)
    free = FreeParameters(frozenset(CameraParameter), (0, 3))
    still = torch.zeros(cameras.views, len(free.names), dtype=torch.float64)
    pixels, by_camera, by_point = free.linearize(cameras, points)
    assert_close(pixels.mT, cameras.project(points).pixels, atol=ROUND_OFF)

    def stepped(step: torch.Tensor, world: torch.Tensor) -> torch.Tensor:
        return free.moved(cameras, step).project(world).pixels

    wanted, by_world = torch.autograd.functional.jacobian(stepped, (still, points))
    own = wanted.diagonal(dim1=0, dim2=3)  # points, 2, n, views
    assert_close(by_camera, own.permute(3, 1, 2, 0), atol=ROUND_OFF)
    each = by_world.diagonal(dim1=1, dim2=3)  # views, 2, 3, points
    assert_close(by_point, each, atol=ROUND_OFF)


@given(rings, st.integers(0, 2**16))
def test_no_pixel_changes_along_the_gauge(rig: Rig, seed: int) -> None:
    """Some motion of each point makes up for a step along the gauge."""
    cameras, points = moved(rig.cameras(), seed), cloud(3, seed)
    free = FreeParameters(frozenset({CameraParameter.EXTRINSICS}), ())
    _, by_camera, by_point = free.linearize(cameras, points)
    steps = gauge_directions(cameras, 6).unflatten(0, (cameras.views, 6))
    change = torch.einsum("vkcp,vcg->pvkg", by_camera, steps).flatten(1, 2)
    world = by_point.permute(3, 0, 1, 2).flatten(1, 2)
    left = change - world @ torch.linalg.lstsq(world, change).solution
    assert_close(left, torch.zeros_like(left), atol=ROUND_OFF)
