"""Laws of calibration without known poses: exact data, noise and outliers, and what is refused."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from multiview_geom import (
    Cameras,
    HuberLoss,
    align_rigs,
    bundle_adjust,
    calibrate_extrinsics,
    refine_calibration,
    ring_of_cameras,
    transform_cameras,
)
from tests.multiview_geom.bundle_adjustment.scenes import cloud, deviation, noise_like, with_lens
from tests.multiview_geom.strategies import Rig, Ring, Staircase, numbers
from tests.multiview_geom.tolerances import assert_close
from tests.profiles import at_most

EXACT = 1e-6
RIGS = st.builds(Ring, views=st.integers(2, 5), radius=numbers(3, 5), height=numbers(0, 2))
RIGS |= st.just(Staircase())


@at_most(8)  # each takes about a second
@given(RIGS.filter(lambda rig: rig != Ring(views=2)), st.booleans(), st.integers(0, 2**16))
def test_exact_pixels_give_the_true_rig(rig: Rig, fisheye: bool, seed: int) -> None:  # noqa: FBT001 - drawn
    truth = with_lens(_not_opposite(rig.cameras()), fisheye=fisheye)
    unknown = replace(truth, camera_from_world=truth.camera_from_world * torch.nan)
    found = calibrate_extrinsics(unknown, truth.project(cloud(40, seed)).pixels)
    assert deviation(found.cameras, truth) < EXACT
    assert found.inliers.all()
    assert found.errors.max() < EXACT


def test_noise_outliers_and_gaps_cost_little() -> None:
    truth = with_lens(ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64))
    exact = truth.project(cloud(400, 1)).pixels
    clean = exact + 2.0 * noise_like(exact, 2)
    dirty, wrong, gaps = _spoiled(clean)
    found = calibrate_extrinsics(truth, dirty)
    best = bundle_adjust(truth, clean, weights=(~wrong & ~gaps).double(), loss=HuberLoss(3.0))
    assert _off(found.cameras, truth) < max(1.5 * _off(best.cameras, truth), 0.005)
    assert found.noise_px == pytest.approx(2.0, rel=0.15)
    assert found.inliers[~wrong & ~gaps].double().mean() > 0.98
    assert found.inliers[wrong].double().mean() < 0.1


def test_a_chain_of_pairs_has_one_scale() -> None:
    """Neighbors share points, but the first view and the last one share none."""
    truth = Staircase((1.5, 3.0, 6.0, 9.0)).cameras()
    pixels = truth.project(cloud(120, 3)).pixels
    for view, (first, last) in enumerate([(0, 60), (0, 90), (30, 120), (60, 120)]):
        hidden = torch.ones(120, dtype=torch.bool)
        hidden[first:last] = False
        pixels[view, hidden] = torch.nan
    assert deviation(calibrate_extrinsics(truth, pixels).cameras, truth) < EXACT


def test_a_camera_that_no_pair_places_is_placed_by_known_points() -> None:
    truth = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64)
    pixels = truth.project(cloud(60, 4)).pixels
    # The last view saw six points, each with two of the other views: too few for any pair.
    pixels[3, 6:] = torch.nan
    for view in range(3):
        pixels[view, 2 * view : 2 * view + 2] = torch.nan
    assert deviation(calibrate_extrinsics(truth, pixels).cameras, truth) < EXACT


def test_the_world_is_the_first_camera_and_the_rig_has_size_one() -> None:
    truth = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64)
    found = calibrate_extrinsics(truth, truth.project(cloud(30, 5)).pixels).cameras
    assert_close(found.camera_from_world[0], torch.eye(4).double(), atol=EXACT)
    apart = found.centers - found.centers.mean(dim=0)
    assert_close(apart.square().sum(dim=-1).mean(), torch.tensor(1.0).double(), atol=EXACT)


@pytest.mark.slow
def test_frames_views_and_weights_mean_what_they_mean_elsewhere() -> None:
    truth = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64)
    pixels = truth.project(cloud(60, 6)).pixels
    pixels = pixels + noise_like(pixels, 6)
    plain = calibrate_extrinsics(truth, pixels)
    frames = calibrate_extrinsics(
        truth.to(torch.float32), pixels.unflatten(1, (6, 10)).movedim(1, 0).float()
    )
    assert frames.points.shape == (6, 10, 3)
    assert frames.inliers.shape == (6, 4, 10)
    assert_close(frames.points.flatten(0, 1).double(), plain.points, atol=1e-3)
    order = [2, 0, 3, 1]
    permuted = calibrate_extrinsics(truth.select(order), pixels[order])
    assert deviation(permuted.cameras, plain.cameras.select(order)) < 1e-3
    missing = pixels.clone()
    missing[1, ::4] = torch.nan
    by_nan = calibrate_extrinsics(truth, missing)
    by_weight = calibrate_extrinsics(truth, pixels, weights=missing.isfinite()[..., 0].double())
    assert_close(by_nan.cameras.centers, by_weight.cameras.centers, atol=1e-9)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("blind", "got none in cam_3: leave out this camera"),
        ("few", "at least 6 points with other views, got 5 in cam_2"),
        ("plane", "must not be in a plane"),
        ("line", "the pose of every camera"),
        ("one place", "the pose of every camera, got none for cam_1, cam_2: likely causes"),
        ("not synchronized", "the pose of every camera|agree within the threshold"),
        ("one view", "two views or more, got 1"),
    ],
)
def test_what_does_not_determine_the_rig_is_refused(case: str, message: str) -> None:
    rig, pixels = _degenerate(case)
    with pytest.raises(ValueError, match=message):
        calibrate_extrinsics(rig, pixels)


@pytest.mark.rejects
def test_negative_weights_are_named_as_the_cause() -> None:
    rig = ring_of_cameras(3, 4.0, 1.0, dtype=torch.float64)
    pixels = rig.project(cloud(50, 7)).pixels
    weights = torch.tensor([[1.0], [-2.0], [1.0]]).double().expand(3, 50)
    for calibrate in (calibrate_extrinsics, refine_calibration):
        with pytest.raises(ValueError, match=r"none above 0 in cam_2: are they logarithms"):
            calibrate(rig, pixels, weights=weights)


@pytest.mark.rejects
def test_cameras_that_disagree_by_more_than_the_threshold_are_refused() -> None:
    truth = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64)
    pixels = truth.project(cloud(50, 7)).pixels
    said = r"within the threshold of 1\.0 px, got a noise of \d\.\d px: are they synchronized"
    with pytest.raises(ValueError, match=said):
        calibrate_extrinsics(truth, pixels + 2.0 * noise_like(pixels, 7), threshold=1.0)


@pytest.mark.rejects
def test_a_threshold_that_allows_any_pose_is_refused() -> None:
    truth = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64)
    pixels = truth.project(cloud(50, 7)).pixels
    said = r"at most a quarter of the mean focal length of 1145 px, got 2000 px: .* any pose fits"
    with pytest.raises(ValueError, match=said):
        calibrate_extrinsics(truth, pixels, threshold=2000.0)


def _degenerate(case: str) -> tuple[Cameras, Tensor]:
    truth, points = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64), cloud(50, 7)
    scale = {"plane": [1.0, 1.0, 0.0], "line": [1.0, 0.0, 0.0]}.get(case, [1.0, 1.0, 1.0])
    pixels = truth.project(points * torch.tensor(scale).double()).pixels
    pixels = pixels + 0.5 * noise_like(pixels, 7)
    if case == "blind":
        pixels[2] = torch.nan
    if case == "few":
        pixels[1, 5:] = torch.nan
    if case == "one place":
        turned = truth.select([0, 0])
        pixels = turned.project(points).pixels
        return replace(turned, names=("cam_1", "cam_2")), pixels + 0.5 * noise_like(pixels, 7)
    if case == "not synchronized":
        pixels = torch.stack([pixels[view].roll(7 * view, dims=0) for view in range(4)])
    if case == "one view":
        return truth.select([0]), pixels[:1]
    return truth, pixels


def _not_opposite(cameras: Cameras) -> Cameras:
    """Two cameras that face each other see all points near the line between them."""
    return (
        cameras
        if cameras.views > 2
        else ring_of_cameras(5, 4.0, 1.0, dtype=torch.float64).select([0, 1])
    )


def _spoiled(clean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Make 5 % of the detections outliers, and remove 20 %."""
    chance = torch.rand(clean.shape[:-1], generator=torch.Generator().manual_seed(8))
    wrong, gaps = chance < 0.05, chance > 0.8
    dirty = torch.where(wrong[..., None], clean + 60.0 * noise_like(clean, 9).sign(), clean)
    return torch.where(gaps[..., None], torch.nan, dirty), wrong, gaps


def _off(found: Cameras, truth: Cameras) -> float:
    moved = transform_cameras(found, align_rigs(found, truth))
    return float((moved.centers - truth.centers).norm(dim=-1).mean())
