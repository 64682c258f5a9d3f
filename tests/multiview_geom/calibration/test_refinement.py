"""Laws of the repair of a calibration."""

from dataclasses import replace

import pytest
import torch

from multiview_geom import CameraParameter, refine_calibration, ring_of_cameras
from tests.multiview_geom.bundle_adjustment.scenes import cloud, deviation, moved, noise_like


def test_a_moved_camera_and_wrong_focal_lengths_are_repaired_in_spite_of_outliers() -> None:
    truth = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64)
    pixels = truth.project(cloud(400, 1)).pixels
    wrong = torch.rand(4, 400, generator=torch.Generator().manual_seed(1)) < 0.05
    pixels = torch.where(wrong[..., None], pixels + 80.0, pixels + noise_like(pixels, 1))
    start = moved(truth, 2, 0.5)
    start.intrinsics[:, :2, :2] *= 1.01
    found = refine_calibration(
        start, pixels, free={CameraParameter.EXTRINSICS, CameraParameter.FOCAL}
    )
    assert deviation(start, truth) > 0.03
    assert deviation(found.cameras, truth) < 0.02
    assert 0.9 < found.noise_px < 1.1
    assert not found.inliers[wrong].any()
    assert found.parameters[-1] == "log_focal"


def test_only_the_coefficients_that_are_free_change() -> None:
    lens = torch.tensor([-0.2, 0.05, 0.001, -0.001, 0.0]).double().expand(4, 5)
    rig = replace(ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64), distortion=lens)
    pixels = rig.project(cloud(60, 5)).pixels
    start = replace(rig, distortion=lens + torch.tensor([0.02, 0.0, 0.0, 0.0, 0.0]))
    found = refine_calibration(start, pixels, free={CameraParameter.DISTORTION}, coefficients=(0,))
    assert found.cameras.distortion is not None
    assert torch.equal(found.cameras.distortion[:, 1:], lens[:, 1:])
    torch.testing.assert_close(found.cameras.distortion, lens, atol=1e-6, rtol=0)


@pytest.mark.rejects
@pytest.mark.parametrize("case", ["away", "one place", "disjoint", "blind", "no points"])
def test_cameras_that_agree_on_nothing_are_named(case: str) -> None:
    rig = ring_of_cameras(3, 4.0, 1.0, dtype=torch.float64)
    pixels, poses = rig.project(cloud(30, 3)).pixels, rig.camera_from_world
    apart = torch.eye(3).bool().repeat_interleave(10, dim=1)[..., None]
    behind = torch.tensor([-1.0, 1.0, -1.0, 1.0]).double().diag()
    start, seen = {
        "away": (behind @ poses, pixels),
        "one place": (poses[:1].repeat(3, 1, 1), pixels),
        "disjoint": (poses, torch.where(apart, pixels, torch.nan)),
        "blind": (poses, pixels * torch.nan),
        "no points": (poses, pixels[:, :0]),
    }[case]
    with pytest.raises(ValueError, match="6 points, got fewer in cam_1, cam_2, cam_3: are the"):
        refine_calibration(replace(rig, camera_from_world=start), seen)


@pytest.mark.rejects
def test_a_view_that_agrees_with_too_few_points_is_named() -> None:
    rig = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64)
    pixels = rig.project(cloud(40, 3)).pixels
    pixels[2, 4:] = torch.nan
    with pytest.raises(ValueError, match="at least 6 points, got fewer in cam_3"):
        refine_calibration(rig, pixels)
