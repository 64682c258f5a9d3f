"""Laws of calibration with unknown focal lengths."""

from dataclasses import replace

import pytest
import torch

from multiview_geom import Cameras, calibrate_focal_lengths, ring_of_cameras, rotation_from_vector
from tests.multiview_geom.bundle_adjustment.scenes import cloud, deviation, noise_like


def test_focal_lengths_are_found_within_their_uncertainty() -> None:
    truth = ring_of_cameras(4, 4.0, 1.0, focal_length=1300.0, dtype=torch.float64)
    truth.intrinsics[1, :2, :2] *= 1.1
    exact = truth.project(cloud(300, 1)).pixels
    start = replace(truth, intrinsics=torch.eye(3).double().repeat(4, 1, 1))
    assert deviation(calibrate_focal_lengths(start, exact, factors=(1.2,)).cameras, truth) < 1e-6
    found = calibrate_focal_lengths(start, exact + noise_like(exact, 2), factors=(1.0, 1.5))
    off = (found.cameras.intrinsics[:, 0, 0] / truth.intrinsics[:, 0, 0]).log()
    sigma = found.covariance[:, found.parameters.index("log_focal")]
    assert (off.abs() < 4 * sigma[:, found.parameters.index("log_focal")].sqrt()).all()
    assert off.abs().max() < 0.01


@pytest.mark.rejects
def test_image_sizes_are_needed_and_some_focal_length_must_do() -> None:
    rig = ring_of_cameras(3, 4.0, 1.0, dtype=torch.float64)
    pixels = rig.project(cloud(50, 3)).pixels
    with pytest.raises(ValueError, match="`image_size` of the cameras must be known"):
        calibrate_focal_lengths(replace(rig, image_size=None), pixels)
    with pytest.raises(ValueError, match="`factors` must have at least one focal length"):
        calibrate_focal_lengths(rig, pixels, factors=())
    with pytest.raises(ValueError, match=r"`factors` must be positive, got -1\.0"):
        calibrate_focal_lengths(rig, pixels, factors=(1.0, -1.0))
    pixels_said = r"at most 50 longer sides of the image, got 1100; likely cause: .* in pixels"
    with pytest.raises(ValueError, match=pixels_said):
        calibrate_focal_lengths(rig, pixels, factors=(1100.0, 1200.0))
    mixed = torch.stack([pixels[view].roll(9 * view, dims=0) for view in range(3)])
    with pytest.raises(ValueError, match="must place all cameras, got none"):
        calibrate_focal_lengths(rig, mixed, factors=(1.0,))
    turns = rotation_from_vector(torch.tensor([[0.0, 0.1 * view, 0.0] for view in range(3)]))
    one_place = Cameras.from_krt(rig.intrinsics, turns.double(), torch.zeros(3, 3).double())
    turned = replace(rig, camera_from_world=one_place.camera_from_world)
    before = cloud(100, 4) + torch.tensor([0.0, 0.0, 4.0])
    with pytest.raises(ValueError, match="must place all cameras, got none"):
        calibrate_focal_lengths(turned, turned.project(before).pixels, factors=(1.0,))
