"""Laws of projection."""

from math import cos, sin

import numpy as np
import pytest
import torch
from hypothesis import given

from multiview_geom import (
    in_front,
    invert_transform,
    point_depths,
    project_points,
    reprojection_error,
    transform_points,
    triangulation_angle,
)
from tests.multiview_geom.strategies import Cloud, Pose, Rig, Ring, clouds, numbers, poses, rigs
from tests.multiview_geom.tolerances import PIXEL_ROUND_OFF, ROUND_OFF, assert_close

cv2 = pytest.importorskip("cv2")


@given(rigs, poses, clouds())
def test_moving_world_and_cameras_together_changes_nothing(
    rig: Rig, pose: Pose, cloud: Cloud
) -> None:
    projections, points, moved = rig.cameras().projections, cloud.points(), pose.transform()
    seen = project_points(projections @ invert_transform(moved), transform_points(moved, points))
    assert_close(seen, project_points(projections, points), atol=PIXEL_ROUND_OFF)


@given(rigs, clouds(), numbers(0.1, 10.0))
def test_the_scale_of_a_projection_does_not_matter(rig: Rig, cloud: Cloud, scale: float) -> None:
    projections, points = rig.cameras().projections, cloud.points()
    expected = project_points(projections, points)
    assert_close(project_points(-scale * projections, points), expected, atol=PIXEL_ROUND_OFF)


@given(rigs, clouds(), numbers(0.1, 10.0))
def test_depth_does_not_know_the_scale_of_a_projection(
    rig: Rig, cloud: Cloud, scale: float
) -> None:
    projections, points = rig.cameras().projections, cloud.points()
    expected = point_depths(projections, points)
    assert_close(point_depths(-scale * projections, points), expected, atol=ROUND_OFF)


@given(rigs, clouds())
def test_pixels_agree_with_opencv(rig: Rig, cloud: Cloud) -> None:
    cameras, points = rig.cameras(), cloud.points()
    pose = cameras.camera_from_world[0].numpy()
    rotation, _ = cv2.Rodrigues(pose[:3, :3])
    expected, _ = cv2.projectPoints(
        points.numpy(), rotation, pose[:3, 3], cameras.intrinsics[0].numpy(), np.zeros(4)
    )
    seen = project_points(cameras.projections, points)[0]
    assert_close(seen, torch.from_numpy(expected[:, 0]), atol=PIXEL_ROUND_OFF)


@given(rigs, clouds())
def test_what_the_rig_looks_at_is_in_front(rig: Rig, cloud: Cloud) -> None:
    assert in_front(rig.cameras().projections, cloud.points()).all()


@given(rigs)
def test_what_lies_behind_is_not_in_front(rig: Rig) -> None:
    cameras = rig.cameras()
    behind = 2 * cameras.centers
    assert not in_front(cameras.projections, behind).diagonal().any()


def test_a_point_in_the_plane_of_the_center_is_nan_alone() -> None:
    points = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    seen = project_points(torch.eye(3, 4)[None], points)
    assert seen.isnan().tolist() == [[[True, True], [False, False]]]


@given(rigs, clouds(), numbers(0.1, 10.0), numbers(0.0, 6.0))
def test_reprojection_error_is_the_length_of_the_shift(
    rig: Rig, cloud: Cloud, length: float, angle: float
) -> None:
    projections, points = rig.cameras().projections, cloud.points()
    shift = length * torch.tensor([cos(angle), sin(angle)], dtype=torch.float64)
    error = reprojection_error(projections, points, project_points(projections, points) + shift)
    assert_close(error, torch.full_like(error, length), atol=PIXEL_ROUND_OFF)


def test_where_the_error_is_zero_its_gradient_is_zero() -> None:
    projections, points = Ring().cameras().projections, Cloud().points().requires_grad_()
    pixels = project_points(projections, points.detach())
    reprojection_error(projections, points, pixels).sum().backward()
    assert points.grad is not None
    assert not points.grad.any()


@pytest.mark.parametrize("missing", [torch.nan, torch.inf])
def test_a_missing_pixel_reaches_no_gradient(missing: float) -> None:
    projections = Ring().cameras().projections.requires_grad_()
    points = torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.float64, requires_grad=True)
    pixels = torch.zeros(4, 1, 2, dtype=torch.float64)
    pixels[0, 0, 0] = missing
    error = reprojection_error(projections, points, pixels)
    gradients = torch.autograd.grad(error.nansum(), (projections, points))
    assert error.isnan().flatten().tolist() == [True, False, False, False]
    assert all(gradient.isfinite().all() for gradient in gradients)


@given(rigs, clouds())
def test_the_triangulation_angle_is_the_largest_of_all_pairs(rig: Rig, cloud: Cloud) -> None:
    centers, points = rig.cameras().centers, cloud.points()
    toward = torch.nn.functional.normalize(centers[:, None] - points, dim=-1)
    cosine = torch.einsum("vni,wni->vwn", toward, toward).amin(dim=(0, 1))
    # A cosine near one knows its angle only to the square root of its round-off.
    assert_close(triangulation_angle(centers, points).cos(), cosine, atol=ROUND_OFF)


@given(numbers(-9.0, -1.0))
def test_small_triangulation_angles_are_exact(exponent: float) -> None:
    angle = 10.0**exponent
    centers = torch.tensor([[1.0, 0.0, 0.0], [cos(angle), sin(angle), 0.0]], dtype=torch.float64)
    found = triangulation_angle(centers, Cloud().points())
    assert_close(found / angle, torch.ones_like(found), atol=1e-6)


def test_a_point_in_a_camera_has_no_triangulation_angle_alone() -> None:
    centers = torch.eye(3, dtype=torch.float64, requires_grad=True)
    points = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    angles = triangulation_angle(centers, points)
    (gradient,) = torch.autograd.grad(angles[1], centers)
    assert angles.isnan().tolist() == [True, False]
    assert gradient.isfinite().all()


@pytest.mark.rejects
def test_pixels_are_as_many_as_points() -> None:
    with pytest.raises(
        ValueError, match=r"`pixels` must have as many points as `points` \(2\), got 3"
    ):
        reprojection_error(torch.eye(3, 4)[None], torch.zeros(2, 3), torch.zeros(1, 3, 2))


@pytest.mark.rejects
def test_points_have_three_coordinates() -> None:
    with pytest.raises(
        ValueError, match=r"`points` must have shape \(\.\.\., points, 3\), got \(5, 4\)"
    ):
        project_points(torch.eye(3, 4)[None], torch.zeros(5, 4))
