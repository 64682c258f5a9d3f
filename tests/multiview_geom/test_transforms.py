"""Laws of transforms."""

import pytest
import torch
from hypothesis import given

from multiview_geom import (
    Similarity,
    camera_to_camera,
    camera_to_world,
    invert_transform,
    look_at,
    relative_transform,
    rigid_transform,
    transform_points,
    world_to_camera,
)
from tests.multiview_geom.strategies import UP, Cloud, Pose, clouds, numbers, poses, triples
from tests.multiview_geom.tolerances import ROUND_OFF, assert_close

EYE = torch.eye(4, dtype=torch.float64)


@given(poses)
def test_a_transform_and_its_inverse_cancel(pose: Pose) -> None:
    transform = pose.transform()
    assert_close(transform @ invert_transform(transform), EYE, atol=ROUND_OFF)


@given(poses, clouds())
def test_the_way_to_the_camera_and_back_ends_where_it_began(pose: Pose, cloud: Cloud) -> None:
    rig, points = pose.transform()[None], cloud.points()
    assert_close(camera_to_world(rig, world_to_camera(rig, points))[0], points, atol=ROUND_OFF)


@given(poses, poses, clouds())
def test_camera_to_camera_is_the_way_through_the_world(
    target: Pose, source: Pose, cloud: Cloud
) -> None:
    there, here, points = target.transform(), source.transform(), cloud.points()
    through_world = world_to_camera(there[None], camera_to_world(here, points))[0]
    assert_close(camera_to_camera(there, here, points), through_world, atol=ROUND_OFF)


@given(poses, poses, poses)
def test_neighbouring_frames_cancel(a: Pose, b: Pose, c: Pose) -> None:
    a_from_b = relative_transform(a.transform(), b.transform())
    b_from_c = relative_transform(b.transform(), c.transform())
    a_from_c = relative_transform(a.transform(), c.transform())
    assert_close(a_from_b @ b_from_c, a_from_c, atol=ROUND_OFF)


@given(poses, clouds(min_points=2))
def test_rigid_transforms_keep_distances(pose: Pose, cloud: Cloud) -> None:
    points = cloud.points()
    moved = transform_points(pose.transform(), points)
    assert_close(torch.cdist(moved, moved), torch.cdist(points, points), atol=1e-7)


@given(poses, numbers(0.1, 10.0), clouds())
def test_a_similarity_and_its_inverse_cancel(pose: Pose, scale: float, cloud: Cloud) -> None:
    similarity = Similarity(
        rotation=pose.rotation(),
        translation=torch.tensor(pose.shift, dtype=torch.float64),
        scale=torch.tensor(scale, dtype=torch.float64),
    )
    points = cloud.points()
    assert_close(similarity.inverse().apply(similarity.apply(points)), points, atol=1e-10)
    assert_close(transform_points(similarity.matrix, points), similarity.apply(points), atol=1e-12)


@given(triples(5.0))
def test_the_target_lies_on_the_optical_axis(target: tuple[float, float, float]) -> None:
    position, aim = torch.tensor([7.0, 8.0, 9.0], dtype=torch.float64), torch.tensor(target)
    seen = world_to_camera(look_at(position, aim.double(), UP)[None], aim.double()[None])[0, 0]
    distance = (aim.double() - position).norm()
    assert_close(seen, torch.stack([0 * distance, 0 * distance, distance]), atol=ROUND_OFF)


@given(triples(5.0))
def test_up_points_to_the_top_of_the_image(target: tuple[float, float, float]) -> None:
    position, aim = torch.tensor([7.0, 8.0, 0.0], dtype=torch.float64), torch.tensor(target)
    raised = aim.double() + 0.1 * UP
    assert world_to_camera(look_at(position, aim.double(), UP)[None], raised[None])[0, 0, 1] < 0


def test_looking_at_oneself_or_straight_up_is_nan() -> None:
    position = torch.zeros(2, 3, dtype=torch.float64)
    pose = look_at(position, torch.stack([position[0], UP]), UP)
    assert pose.flatten(start_dim=1).isnan().any(dim=1).all()


@pytest.mark.rejects
def test_a_rotation_is_three_by_three() -> None:
    with pytest.raises(ValueError, match=r"`rotation` must have shape .*3, 3\), got \(2, 2\)"):
        rigid_transform(torch.eye(2), torch.zeros(3))


@pytest.mark.rejects
def test_dtypes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"`translation` must have the dtype of `rotation`"):
        rigid_transform(torch.eye(3), torch.zeros(3, dtype=torch.float64))
