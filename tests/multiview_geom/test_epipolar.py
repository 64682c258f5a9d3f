"""Laws of the epipolar geometry of two views."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from multiview_geom import (
    epipolar_lines,
    essential_from_transforms,
    fundamental_from_projections,
    project_points,
    sampson_distance,
    to_homogeneous,
    transform_points,
    triangulate_two_view,
)
from multiview_geom.projection import camera_centers
from tests.multiview_geom.strategies import (
    Pose,
    Ring,
    Sightings,
    numbers,
    poses,
    sightings,
)
from tests.multiview_geom.tolerances import ROUND_OFF, assert_close

LINE_ROUND_OFF = 1e-7
"""A distance [px] of pixels of some thousands, from a narrow baseline that loses three digits."""
OPENCV = 1e-6
"""OpenCV's sums are in float64, but its normalization of lines is not."""


@given(sightings)
def test_projections_of_a_point_match(scene: Sightings) -> None:
    first, second = scene.projections()[:2]
    fundamental = fundamental_from_projections(first, second)
    exact = project_points(scene.projections()[:2], scene.cloud.points())
    lines = epipolar_lines(fundamental, exact[0])
    assert_close(distances(lines, exact[1]), torch.zeros(exact.shape[1]).double(), atol=1e-7)
    assert_close(
        sampson_distance(fundamental, *exact), torch.zeros(exact.shape[1]).double(), atol=1e-7
    )


@given(sightings)
def test_exchanged_views_give_the_transposed_matrix(scene: Sightings) -> None:
    first, second = scene.projections()[:2]
    fundamental = fundamental_from_projections(first, second)
    assert_close(fundamental_from_projections(second, first), fundamental.mT, atol=ROUND_OFF)
    x, y = scene.pixels()[:2]
    assert_close(
        sampson_distance(fundamental.mT, y, x), sampson_distance(fundamental, x, y), atol=1e-7
    )


@given(sightings, numbers(0.001, 1000.0), numbers(-1000.0, -0.001))
def test_scale_and_sign_do_not_matter(scene: Sightings, scale: float, other: float) -> None:
    first, second = scene.projections()[:2]
    assert_close(
        fundamental_from_projections(scale * first, other * second),
        fundamental_from_projections(first, second),
        atol=ROUND_OFF,
    )


@given(sightings, poses)
def test_the_world_does_not_matter(scene: Sightings, pose: Pose) -> None:
    first, second = scene.projections()[:2]
    assert_close(
        fundamental_from_projections(first @ pose.transform(), second @ pose.transform()),
        fundamental_from_projections(first, second),
        atol=1e-9,
    )


@given(sightings)
def test_it_is_the_essential_matrix_between_the_intrinsics(scene: Sightings) -> None:
    cameras = scene.rig.cameras()
    essential = essential_from_transforms(*cameras.camera_from_world[:2])
    back = torch.linalg.inv(cameras.intrinsics)
    product = back[1].mT @ essential @ back[0]
    fundamental = fundamental_from_projections(*cameras.projections[:2])
    assert_close(product / product.norm(), fundamental, atol=1e-9)


@given(sightings)
def test_the_essential_matrix_has_two_singular_values_the_baseline(scene: Sightings) -> None:
    cameras = scene.rig.cameras()
    essential = essential_from_transforms(*cameras.camera_from_world[:2])
    baseline = (cameras.centers[0] - cameras.centers[1]).norm()
    expected = torch.stack([baseline, baseline, torch.zeros_like(baseline)])
    assert_close(torch.linalg.svdvals(essential), expected, atol=1e-11)


@given(sightings)
def test_the_epipoles_are_the_images_of_the_other_center(scene: Sightings) -> None:
    first, second = scene.projections()[:2]
    fundamental = fundamental_from_projections(first, second)
    for F, view, other in ((fundamental, first, second), (fundamental.mT, second, first)):
        epipole = view @ to_homogeneous(camera_centers(other))
        assert_close(F @ (epipole / epipole.norm()), torch.zeros(3).double(), atol=1e-10)


def test_a_camera_before_another_has_the_principal_point_as_epipole() -> None:
    first, second = torch.eye(3, 4).double(), torch.eye(3, 4).double()
    second[2, 3] = -1.0  # one unit forward
    fundamental = fundamental_from_projections(first, second)
    pixels = torch.tensor([[0.0, 0.0], [3.0, 4.0]]).double().requires_grad_()
    lines = epipolar_lines(fundamental, pixels)
    assert lines[0].isnan().all()
    assert_close(distances(lines[1:], pixels[1:]), torch.zeros(1).double(), atol=1e-12)
    distance = sampson_distance(fundamental, pixels, torch.zeros(2, 2).double())
    assert distance[0].isnan()
    (lines[1].sum() + distance[1]).backward()
    assert pixels.grad is not None
    assert pixels.grad.isfinite().all()
    assert not pixels.grad[0].any()


@given(poses, numbers(300.0, 2000.0), st.sampled_from([torch.float32, torch.float64]))
def test_cameras_with_one_center_have_no_matrix(
    turn: Pose, focal_length: float, dtype: torch.dtype
) -> None:
    first = Ring(focal_length=focal_length).cameras().projections[0]
    center = camera_centers(first)
    turned = first @ about(center, turn.rotation())
    leaves = [each.to(dtype).requires_grad_() for each in (first, turned)]
    fundamental = fundamental_from_projections(*leaves)
    assert fundamental.isnan().all()
    fundamental.nan_to_num().sum().backward()
    assert not any(leaf.grad.any() for leaf in leaves if leaf.grad is not None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_baseline_of_a_millimeter_has_a_matrix(dtype: torch.dtype) -> None:
    first = Ring(radius=4.0).cameras().projections[0]
    shift = torch.eye(4).double()
    shift[0, 3] = 1e-3
    assert fundamental_from_projections(first.to(dtype), (first @ shift).to(dtype)).isfinite().all()


@given(sightings)
def test_the_lines_are_those_of_opencv(scene: Sightings) -> None:
    cv2 = pytest.importorskip("cv2")
    fundamental = fundamental_from_projections(*scene.projections()[:2])
    pixels = scene.pixels()[0]
    ours = epipolar_lines(fundamental, pixels)
    theirs = cv2.computeCorrespondEpilines(pixels.numpy()[:, None], 1, fundamental.numpy())
    middle = scene.pixels()[1]
    assert_close(
        distances(ours, middle),
        distances(torch.from_numpy(theirs[:, 0]).double(), middle),
        atol=OPENCV,
    )


@given(sightings)
def test_its_square_is_opencv_sampson_distance(scene: Sightings) -> None:
    cv2 = pytest.importorskip("cv2")
    fundamental = fundamental_from_projections(*scene.projections()[:2])
    x, y = scene.pixels()[:2]
    ours = sampson_distance(fundamental, x, y).square()
    one, two = (np.pad(each.numpy(), ((0, 0), (0, 1)), constant_values=1.0) for each in (x, y))
    theirs = [
        cv2.sampsonDistance(a[:, None], b[:, None], fundamental.numpy())
        for a, b in zip(one, two, strict=True)
    ]
    assert_close(ours, torch.tensor(theirs, dtype=torch.float64), atol=1e-6, rtol=1e-6)


@given(sightings)
def test_it_is_the_reprojection_error_of_the_best_point(scene: Sightings) -> None:
    projections, pixels = scene.projections()[:2], scene.pixels()[:2]
    points = triangulate_two_view(projections, pixels)
    assume(points.isfinite().all())
    moved = project_points(projections, points) - pixels
    optimum = moved.square().sum(dim=(0, -1)).sqrt()
    distance = sampson_distance(fundamental_from_projections(*projections), *pixels)
    # To first order: noise of 2 px bends the lines by 1 % at most.
    assert_close(distance.abs(), optimum, atol=1e-6, rtol=2e-2)


@given(sightings)
def test_missing_pixels_are_nan_alone(scene: Sightings) -> None:
    fundamental = fundamental_from_projections(*scene.projections()[:2]).requires_grad_()
    x, y = scene.pixels()[:2]
    gap = torch.full((1, 2), torch.nan).double()
    some = torch.cat([x, gap, x]).requires_grad_()
    other = torch.cat([y, y[:1], y])
    distance = sampson_distance(fundamental, some, other)
    assert distance.isnan().nonzero().flatten().tolist() == [len(x)]
    distance.nan_to_num().sum().backward()
    assert some.grad is not None
    assert fundamental.grad is not None
    assert not some.grad[len(x)].any()
    assert fundamental.grad.isfinite().all()


@pytest.mark.rejects
def test_matches_are_pairs() -> None:
    with pytest.raises(ValueError, match="`other_pixels` must have as many points as `pixels`"):
        sampson_distance(torch.eye(3), torch.zeros(4, 2), torch.zeros(5, 2))


def distances(lines: Tensor, pixels: Tensor) -> Tensor:
    return (lines * to_homogeneous(pixels)).sum(dim=-1)


def about(center: Tensor, rotation: Tensor) -> Tensor:
    """Return the rotation about a point as a transform of the world."""
    turned = torch.eye(4, dtype=rotation.dtype)
    turned[:3, :3] = rotation
    turned[:3, 3] = center - rotation @ center
    assert_close(transform_points(turned, center[None])[0], center, atol=1e-9)
    return turned
