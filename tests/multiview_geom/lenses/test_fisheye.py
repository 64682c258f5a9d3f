"""Laws of fisheye lenses."""

from math import radians

import pytest
import torch
from hypothesis import given
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from multiview_geom import (
    distort_fisheye_pixels,
    project_fisheye_camera_points,
    undistort_fisheye_pixels,
    unproject_fisheye_pixels,
)
from multiview_geom.lenses import _point_blocks
from tests.multiview_geom.lenses.drawn_lenses import Glass, fisheyes, seen_by_opencv_fisheye
from tests.multiview_geom.tolerances import assert_close

AS_OPENCV_PX = 1e-8
ROUND_TRIP = 1e-9

GOPRO_LIKE = Glass((0.05, -0.01, 0.002, -0.0001), 400.0)
FOLDS_AT_80_DEGREES = Glass((-0.171, 0.0, 0.0, 0.0), 400.0)


def directions(*degrees: float) -> Tensor:
    """Unit vectors at angles from the axis, each turned about it by another angle."""
    angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    turn = torch.arange(len(degrees), dtype=torch.float64)
    sideways = angle.sin()[:, None] * torch.stack([turn.cos(), turn.sin()], dim=-1)
    return torch.cat([sideways, angle.cos()[:, None]], dim=-1)[None]


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 1e-3, 45.0, 90.0, 95.0, 100.0, 130.0, 160.0])
def test_a_direction_comes_back(degrees: float) -> None:
    K, k, there = GOPRO_LIKE.intrinsics(), GOPRO_LIKE.distortion(), directions(degrees)
    pixels, seen = project_fisheye_camera_points(K, k, there)
    back, valid = unproject_fisheye_pixels(K, k, pixels)
    assert seen.all()
    assert valid.all()
    assert_close(back, there, atol=ROUND_TRIP)


@given(glass=fisheyes)
def test_a_pixel_comes_back(glass: Glass) -> None:
    K, k, pixels = glass.intrinsics(), glass.distortion(), glass.pixels()
    there, valid = unproject_fisheye_pixels(K, k, pixels)
    again, seen = project_fisheye_camera_points(K, k, there)
    assert torch.equal(seen, valid)
    assert (again - pixels)[valid].abs().max() < 1e-6


@given(glass=fisheyes)
def test_a_pixel_comes_back_in_float32(glass: Glass) -> None:
    K, k, pixels = (t.float() for t in (glass.intrinsics(), glass.distortion(), glass.pixels()))
    there, valid = unproject_fisheye_pixels(K, k, pixels)
    assert (project_fisheye_camera_points(K, k, there).pixels - pixels)[valid].abs().max() < 1e-3


@given(glass=fisheyes)
def test_below_90_degrees_ideal_pixels_come_back(glass: Glass) -> None:
    K, k, pixels = glass.intrinsics(), glass.distortion(), glass.pixels()
    ideal, valid = undistort_fisheye_pixels(K, k, pixels)
    near = valid & ((ideal - K[:, None, :2, 2]).norm(dim=-1) < 10 * glass.focal_length)
    assert (distort_fisheye_pixels(K, k, ideal) - pixels)[near].abs().max() < 1e-6


def test_distance_does_not_matter() -> None:
    K, k, there = GOPRO_LIKE.intrinsics(), GOPRO_LIKE.distortion(), directions(10.0, 100.0)
    far = project_fisheye_camera_points(K, k, 1000 * there).pixels
    assert_close(project_fisheye_camera_points(K, k, there).pixels, far, atol=1e-9)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    K, k, pixels = GOPRO_LIKE.intrinsics(), GOPRO_LIKE.distortion(), GOPRO_LIKE.pixels()
    whole = unproject_fisheye_pixels(K, k, pixels)
    monkeypatch.setattr(_point_blocks, "BLOCK", 100)
    assert_close(unproject_fisheye_pixels(K, k, pixels).directions, whole.directions, atol=1e-12)


@given(glass=fisheyes)
def test_it_is_opencvs_fisheye_below_90_degrees(glass: Glass) -> None:
    ahead = directions(0.0, 1e-5, 5.0, 30.0, 60.0, 85.0, 89.0)
    seen = project_fisheye_camera_points(glass.intrinsics(), glass.distortion(), ahead).pixels
    assert_close(seen[0], seen_by_opencv_fisheye(glass, ahead[0]), atol=AS_OPENCV_PX)


def test_without_coefficients_the_radius_is_the_angle() -> None:
    K, k = Glass(focal_length=1.0).intrinsics(), torch.zeros(1, 4, dtype=torch.float64)
    sideways = torch.tensor([[[1.0, 0.0, 0.0], [1.0, 0.0, -1.0]]], dtype=torch.float64)
    radius = project_fisheye_camera_points(K, k, sideways).pixels[0, :, 0] - K[0, 0, 2]
    assert_close(radius.rad2deg(), torch.tensor([90.0, 135.0]).double(), atol=1e-9)


def test_nothing_is_seen_beyond_the_fold() -> None:
    K, k = FOLDS_AT_80_DEGREES.intrinsics(), FOLDS_AT_80_DEGREES.distortion()
    fold = radians(1.0) * torch.tensor([79.0, 81.0])
    seen = project_fisheye_camera_points(K, k, directions(*fold.rad2deg().tolist())).valid
    assert seen.tolist() == [[True, False]]


def test_pixels_outside_the_image_circle_have_no_direction() -> None:
    K, k = FOLDS_AT_80_DEGREES.intrinsics(), FOLDS_AT_80_DEGREES.distortion()
    found, valid = unproject_fisheye_pixels(K, k, torch.tensor([[[5000.0, 540.0]]]).double())
    assert not valid.any()
    assert found.isnan().all()


def test_no_pinhole_sees_what_lies_at_100_degrees() -> None:
    K, k = GOPRO_LIKE.intrinsics(), GOPRO_LIKE.distortion()
    pixels = project_fisheye_camera_points(K, k, directions(100.0)).pixels
    ideal, valid = undistort_fisheye_pixels(K, k, pixels)
    assert not valid.any()
    assert ideal.isnan().all()


@pytest.mark.parametrize("z", [0.0, -1.0, torch.nan])
def test_a_point_without_direction_is_nan_and_disturbs_no_neighbour(z: float) -> None:
    points = torch.tensor([[[0.0, 0.0, z], [0.3, 0.2, 1.0]]], dtype=torch.float64)
    leaves = [GOPRO_LIKE.intrinsics(), GOPRO_LIKE.distortion(), points]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    pixels, valid = project_fisheye_camera_points(*leaves)
    pixels[0, 1].sum().backward()
    assert valid.tolist() == [[False, True]]
    assert pixels[0, 0].isnan().all()
    assert all(leaf.grad is not None and leaf.grad.isfinite().all() for leaf in leaves)


def test_projection_has_the_slope_of_its_equations_on_the_axis_and_beyond_90_degrees() -> None:
    points = 2 * directions(0.0, 1e-4, 20.0, 110.0)
    arguments = (GOPRO_LIKE.intrinsics(), GOPRO_LIKE.distortion(), points)
    leaves = [argument.clone().requires_grad_() for argument in arguments]

    def projected(*arguments: Tensor) -> Tensor:
        return project_fisheye_camera_points(*arguments).pixels

    assert gradcheck(projected, leaves, atol=1e-4)
    assert gradgradcheck(projected, leaves, atol=1e-3, rtol=1e-3)


def test_the_inverse_has_the_slope_of_the_inverse() -> None:
    K, k = GOPRO_LIKE.intrinsics(), GOPRO_LIKE.distortion()
    pixels = project_fisheye_camera_points(K, k, directions(0.0, 20.0, 110.0)).pixels
    leaves = [argument.detach().clone().requires_grad_() for argument in (K, k, pixels)]

    def unprojected(*arguments: Tensor) -> Tensor:
        return unproject_fisheye_pixels(*arguments).directions

    assert gradcheck(unprojected, leaves, atol=1e-4)
    assert gradgradcheck(unprojected, leaves, atol=1e-3, rtol=1e-3)


@pytest.mark.rejects
def test_a_fisheye_has_four_coefficients() -> None:
    K, pixels = GOPRO_LIKE.intrinsics(), GOPRO_LIKE.pixels()
    with pytest.raises(ValueError, match=r"`distortion` must have shape \(\.\.\., views, 4\)"):
        unproject_fisheye_pixels(K, torch.zeros(1, 5).double(), pixels)


@pytest.mark.rejects
def test_points_belong_to_a_view() -> None:
    with pytest.raises(ValueError, match=r"`points` must have shape \(\.\.\., views, points, 3\)"):
        project_fisheye_camera_points(
            GOPRO_LIKE.intrinsics(), GOPRO_LIKE.distortion(), torch.ones(5, 3).double()
        )
