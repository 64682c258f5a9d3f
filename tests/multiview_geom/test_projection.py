"""Laws of projection."""

import numpy as np
import pytest
import torch
from hypothesis import given

from multiview_geom import (
    in_front,
    invert_transform,
    point_depths,
    project_points,
    transform_points,
)
from tests.multiview_geom.strategies import Cloud, Pose, Rig, clouds, numbers, poses, rigs
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


def test_a_point_in_the_plane_of_the_centre_is_nan_alone() -> None:
    points = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    seen = project_points(torch.eye(3, 4)[None], points)
    assert seen.isnan().tolist() == [[[True, True], [False, False]]]


@pytest.mark.rejects
def test_points_have_three_coordinates() -> None:
    with pytest.raises(
        ValueError, match=r"`points` must have shape \(\.\.\., points, 3\), got \(5, 4\)"
    ):
        project_points(torch.eye(3, 4)[None], torch.zeros(5, 4))
