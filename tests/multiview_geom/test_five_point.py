"""Laws of the relative pose of two cameras: exact scenes, outliers, and scenes without a pose."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.geometry.epipolar import find_essential
from torch import Tensor

from multiview_geom import (
    Cameras,
    five_point,
    fundamental_from_projections,
    invert_transform,
    project_points,
    relative_pose,
    relative_transform,
    rigid_transform,
    rotation_from_vector,
    rotation_to_vector,
    sampson_distance,
)
from multiview_geom.epipolar import cross_rotation
from tests.multiview_geom.strategies import Pose, Rig, Ring, poses, rings, staircases
from tests.multiview_geom.tolerances import assert_close

EXACT = 1e-6
"""Round-off of 1e-9 px in matches of a small baseline, relative to a focal length of 300 px."""
OUTLIERS = 0.3
ALL = 60.0
"""A threshold [px] that makes every match an inlier: plain least squares."""


@given(rings | staircases, st.integers(0, 2**16), st.integers(8, 40))
def test_exact_matches_give_the_true_pose(rig: Rig, seed: int, count: int) -> None:
    cameras, pixels = scene(rig, seed, count)
    found = relative_pose(cameras.intrinsics[:2], pixels, threshold=1.0)
    assert_close(found.second_from_first, unit_truth(cameras), atol=EXACT)
    assert found.inliers.all()


@given(rings, st.integers(0, 2**16))
def test_exchanged_views_give_the_inverse_pose(rig: Ring, seed: int) -> None:
    cameras, pixels = scene(rig, seed, 20)
    there = relative_pose(cameras.intrinsics[:2], pixels, threshold=1.0)
    back = relative_pose(cameras.intrinsics[:2].flip(0), pixels.flip(0), threshold=1.0)
    inverse = invert_transform(there.second_from_first)
    assert_close(back.second_from_first, inverse, atol=EXACT)


def test_many_models_have_the_distances_of_each_alone() -> None:
    cameras, pixels = scene(Ring(views=5), 3, 30)
    views = five_point._Views(cameras.intrinsics[:2], pixels, torch.ones(30).double())
    models = torch.randn(6, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    squared = views.distances(models).square()
    assert_close(views.squared_distances(models), squared, atol=1e-9 * float(squared.max()))


def test_the_steps_use_the_derivatives_of_the_distances() -> None:
    cameras, pixels = scene(Ring(views=5), 3, 30)
    views = five_point._Views(cameras.intrinsics[:2], pixels, torch.ones(30).double())
    pose = unit_truth(cameras) @ rigid_transform(
        rotation_from_vector(torch.tensor([0.02, -0.01, 0.03]).double()), torch.zeros(3).double()
    )

    def distances(move: Tensor) -> Tensor:
        return views.distances(cross_rotation(five_point._moved(pose, move)))

    off, jacobian = five_point._linearized(views, pose)
    still = torch.zeros(5, dtype=torch.float64)
    assert_close(off, distances(still), atol=1e-9)
    assert_close(jacobian.mT, torch.autograd.functional.jacobian(distances, still), atol=1e-6)


def test_outliers_are_found_and_noise_is_averaged_better_than_by_opencv() -> None:
    cv2 = pytest.importorskip("cv2")
    ours, clean, theirs = [], [], []
    for seed in range(12):
        cameras, pixels = scene(Ring(views=5, radius=4.5, height=1.5), seed, 400)
        noisy, wrong = spoilt(pixels, seed)
        found = relative_pose(cameras.intrinsics[:2], noisy, threshold=6.0)
        truth = unit_truth(cameras)
        ours.append(angles(found.second_from_first, truth))
        least = relative_pose(cameras.intrinsics[:2], noisy[:, ~wrong], threshold=ALL)
        clean.append(angles(least.second_from_first, truth))
        image = (noisy - 500.0) / 1000.0
        views = [np.ascontiguousarray(view.numpy()) for view in image]
        E, mask = cv2.findEssentialMat(*views, np.eye(3), cv2.RANSAC, 0.999, 6.0 / 1000.0)
        _, R, t, _ = cv2.recoverPose(E, *views, np.eye(3), mask=mask)
        pose = rigid_transform(torch.from_numpy(R), torch.from_numpy(t[:, 0]))
        theirs.append(angles(pose, truth))
        assert found.inliers[~wrong].double().mean() > 0.99
        assert found.inliers[wrong].double().mean() < 0.1
    mean = [torch.stack(each).mean(dim=0) for each in (ours, clean, theirs)]
    assert (mean[0] < 1.5 * mean[1]).all()
    assert (mean[0] < 0.5 * mean[2]).all()


def test_a_batch_is_a_loop() -> None:
    rig, pixels = scene(Ring(views=5), 3, 100, views=5)
    noisy, _ = spoilt(pixels, 3)
    pairs = torch.tensor([[0, 1], [2, 4], [3, 0], [1, 2]])
    together = relative_pose(rig.intrinsics[pairs], noisy[pairs], threshold=6.0)
    for at, pair in enumerate(pairs):
        alone = relative_pose(rig.intrinsics[pair], noisy[pair], threshold=6.0)
        for one, other in zip(together, alone, strict=True):
            assert_close(one[at].double(), other.double(), atol=1e-12)
    shared = relative_pose(rig.intrinsics[:2], noisy[pairs][None], threshold=6.0)
    assert shared.second_from_first.shape == (1, 4, 4, 4)


def test_kornias_five_point_solver_treats_the_samples_of_a_batch_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 50, 5, 2, generator=generator, dtype=torch.float64)
    alone = torch.cat([find_essential(a[None], b[None]) for a, b in zip(x, y, strict=True)])
    assert_close(find_essential(x, y), alone, atol=1e-8)


@pytest.mark.parametrize("by", ["NaN", "weight"])
def test_a_missing_match_is_a_removed_match(by: str) -> None:
    cameras, pixels = scene(Ring(), 5, 60)
    noisy, _ = spoilt(pixels, 5)
    weights = torch.ones_like(noisy[..., 0])
    given_pixels = noisy.clone()
    if by == "NaN":
        given_pixels[1, ::3] = torch.nan
    else:
        weights[0, ::3] = 0.0
    kept = torch.arange(60) % 3 != 0
    found = relative_pose(cameras.intrinsics[:2], given_pixels, threshold=6.0, weights=weights)
    expected = relative_pose(cameras.intrinsics[:2], noisy[:, kept], threshold=6.0)
    assert_close(found.second_from_first, expected.second_from_first, atol=1e-9)
    assert torch.equal(found.inliers[kept], expected.inliers)
    assert not found.inliers[~kept].any()


def test_weights_of_inverse_variance_reduce_the_error() -> None:
    errors = []
    for seed in range(8):
        cameras, pixels = scene(Ring(), seed, 200)
        generator = torch.Generator().manual_seed(seed)
        sigma = torch.tensor([0.3, 4.0]).double().repeat(100)
        noisy = pixels + sigma[:, None] * torch.randn(
            pixels.shape, generator=generator, dtype=torch.float64
        )
        weights = sigma.pow(-2).expand(2, -1)
        truth = unit_truth(cameras)
        found = [
            relative_pose(cameras.intrinsics[:2], noisy, threshold=12.0, weights=each)
            for each in (weights, None)
        ]
        errors.append(torch.stack([angles(each.second_from_first, truth) for each in found]))
    weighted, equal = torch.stack(errors).mean(dim=0)
    assert (weighted < 0.5 * equal).all()


def test_the_distances_are_those_of_the_pose() -> None:
    cameras, pixels = scene(Ring(), 7, 80)
    noisy, _ = spoilt(pixels, 7)
    found = relative_pose(cameras.intrinsics[:2], noisy, threshold=6.0)
    one, other = cameras.intrinsics[:2]
    projections = torch.stack([torch.eye(3, 4).double(), found.second_from_first[:3]])
    fundamental = fundamental_from_projections(one @ projections[0], other @ projections[1])
    assert_close(found.distances, sampson_distance(fundamental, *noisy), atol=1e-6)
    assert (found.distances[found.inliers].abs() <= 6.0).all()


def test_it_repeats_itself_and_leaves_the_global_generator_alone() -> None:
    cameras, pixels = scene(Ring(), 2, 700)
    noisy, _ = spoilt(pixels, 2)
    before = torch.get_rng_state()
    first = relative_pose(cameras.intrinsics[:2], noisy, threshold=6.0)
    again = relative_pose(cameras.intrinsics[:2], noisy, threshold=6.0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.second_from_first, again.second_from_first)
    generator = torch.Generator().manual_seed(1)
    other = relative_pose(cameras.intrinsics[:2], noisy, threshold=6.0, generator=generator)
    assert not torch.equal(generator.get_state(), torch.Generator().manual_seed(1).get_state())
    assert (angles(other.second_from_first, first.second_from_first) < 0.1).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    cameras, pixels = scene(Ring(), 1, 60)
    found = relative_pose(cameras.intrinsics[:2].to(dtype), pixels.to(dtype), threshold=9.0)
    assert found.second_from_first.dtype == found.distances.dtype == dtype
    assert found.second_from_first.isfinite().all()


@given(poses, st.sampled_from([0.0, 2.0]), st.integers(0, 2**16))
def test_cameras_with_one_center_have_no_pose(turn: Pose, noise: float, seed: int) -> None:
    cameras, pixels = scene(Ring(), seed, 60)
    generator = torch.Generator().manual_seed(seed)
    # The scene must stay in front of the second camera: turn it by a third of the drawn angle.
    R = rotation_from_vector(0.3 * torch.tensor(turn.turn, dtype=torch.float64) / 2)
    K = cameras.intrinsics[0]
    second = project_points(
        (K @ R @ torch.linalg.inv(K) @ cameras.projections[0])[None], points(seed, 60)
    )
    both = torch.cat([pixels[:1], second])
    both = both + noise * torch.randn(both.shape, generator=generator, dtype=torch.float64)
    assert_no_pose(K.expand(2, 3, 3), both)


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_too_few_matches_have_no_pose(count: int) -> None:
    cameras, pixels = scene(Ring(), 0, count)
    assert_no_pose(cameras.intrinsics[:2], pixels)


@pytest.mark.parametrize("noise", [0.0, 1e-9, 0.3])
def test_points_on_a_line_and_one_point_have_no_pose(noise: float) -> None:
    cameras = Ring(views=3, height=2.0).cameras()
    along = torch.linspace(-1.0, 1.0, 30)[:, None].double()
    generator = torch.Generator().manual_seed(0)
    for length in (0.0, 1.0):
        line = length * along * torch.tensor([1.0, 0.3, 0.2])
        exact = project_points(cameras.projections[:2], line)
        pixels = exact + noise * torch.randn(exact.shape, generator=generator).double()
        assert_no_pose(cameras.intrinsics[:2], pixels, threshold=1.0)


@pytest.mark.parametrize("broken", [0.0, torch.nan, torch.inf])
def test_singular_intrinsics_have_no_pose(broken: float) -> None:
    cameras, pixels = scene(Ring(), 0, 20)
    assert_no_pose(torch.full_like(cameras.intrinsics[:2], broken), pixels)


def test_matches_at_random_have_few_inliers() -> None:
    cameras = Ring().cameras()
    pixels = 1000 * torch.rand(2, 200, 2, generator=torch.Generator().manual_seed(0)).double()
    found = relative_pose(cameras.intrinsics[:2], pixels, threshold=1.0)
    assert found.inliers.double().mean() < 0.15


def test_an_empty_batch_has_empty_results() -> None:
    found = relative_pose(torch.zeros(0, 2, 3, 3), torch.zeros(2, 7, 2), threshold=1.0)
    assert [each.shape for each in found] == [(0, 4, 4), (0, 7), (0, 7)]
    assert found.inliers.dtype == torch.bool


@pytest.mark.rejects
def test_wrong_arguments_are_refused() -> None:
    K, pixels = torch.eye(3).expand(2, 3, 3), torch.zeros(2, 7, 2)
    with pytest.raises(ValueError, match="`threshold` must be positive, got 0"):
        relative_pose(K, pixels, threshold=0.0)
    with pytest.raises(ValueError, match="`samples` must be 1 or more, got 0"):
        relative_pose(K, pixels, threshold=1.0, samples=0)
    with pytest.raises(ValueError, match=r"`pixels` must have shape \(\.\.\., 2, points, 2\)"):
        relative_pose(K, torch.zeros(3, 7, 2), threshold=1.0)
    with pytest.raises(ValueError, match=r"`weights` must have shape \(\.\.\., 2, 7\)"):
        relative_pose(K, pixels, threshold=1.0, weights=torch.ones(7))


def points(seed: int, count: int) -> Tensor:
    """Random points in a box of two meters around the origin."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(count, 3, generator=generator, dtype=torch.float64) - 1


def scene(rig: Rig, seed: int, count: int, views: int = 2) -> tuple[Cameras, Tensor]:
    cameras = rig.cameras()
    return cameras, project_points(cameras.projections[:views], points(seed, count))


def spoilt(pixels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Add noise of 2 px, and replace some matches at random."""
    generator = torch.Generator().manual_seed(seed)
    noise = 2 * torch.randn(pixels.shape, generator=generator, dtype=torch.float64)
    wrong = torch.rand(pixels.shape[-2], generator=generator) < OUTLIERS
    elsewhere = 1000 * torch.rand(pixels.shape, generator=generator, dtype=torch.float64)
    return torch.where(wrong[:, None], elsewhere, pixels + noise), wrong


def unit_truth(cameras: Cameras) -> Tensor:
    """The true pose of the second camera in the frame of the first, with a unit translation."""
    pose = relative_transform(cameras.camera_from_world[1], cameras.camera_from_world[0])
    return rigid_transform(pose[:3, :3], pose[:3, 3] / pose[:3, 3].norm())


def angles(pose: Tensor, truth: Tensor) -> Tensor:
    """The errors of rotation and of direction [degrees]."""
    turn = rotation_to_vector(pose[:3, :3] @ truth[:3, :3].mT).norm()
    return torch.stack([turn, (pose[:3, 3] * truth[:3, 3]).sum().clamp(-1, 1).acos()]).rad2deg()


def assert_no_pose(intrinsics: Tensor, pixels: Tensor, threshold: float = 6.0) -> None:
    found = relative_pose(intrinsics, pixels, threshold=threshold)
    assert found.second_from_first.isnan().all()
    assert found.distances.isnan().all()
    assert not found.inliers.any()
