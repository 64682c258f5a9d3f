"""Laws of refining lifted poses by their pixels and bones."""

import torch
from hypothesis import given
from torch import Tensor
from torch.testing import assert_close

from selfsup_lifting import ReadSettings, read_recordings
from selfsup_lifting.config import LifterSettings
from selfsup_lifting.pose_refinement import (
    bone_incidence,
    lift_parts,
    measure_body,
    refine_poses,
    smooth_poses,
)
from selfsup_lifting.simulation_settings import NoiseSettings
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.training.dataset import Frames, build_dataset
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.losses import rotated_to_views
from tests.selfsup_lifting.strategies import Scene, scenes

PERSON = SKELETONS["h36m17"]
ERROR = torch.tensor([0.03, 0.03, 0.08])


def view_of(frames: Frames) -> tuple[Tensor, Tensor]:
    """Return the exact poses and detections of the first view."""
    image = torch.where(frames.seen[..., None], frames.image, torch.nan)
    return rotated_to_views(frames.labels, frames.camera_from_root)[:, 0], image[:, 0]


def refined(poses: Tensor, image: Tensor) -> Tensor:
    """Refine the poses of a track by detections of confidence 1."""
    body = measure_body(poses, PERSON)
    return refine_poses(poses, image, torch.ones(poses.shape[:2]), body, PERSON.root)


def walking() -> tuple[Tensor, Tensor]:
    """Return exact poses of a track in a camera's axes, and their images."""
    noise = NoiseSettings(jitter_px=0.0, bias_px=0.0, outlier_share=0.0)
    recordings = read_recordings(["synthetic"], ReadSettings(noise=noise))
    return view_of(build_dataset(recordings[:1]))


@given(scenes.filter(lambda scene: scene.missing < 1))
def test_an_exact_pose_stays(scene: Scene) -> None:
    frames = build_dataset([Scene(frames=1, seed=scene.seed, views=scene.views).recording()])
    poses, image = view_of(frames)
    nearer = refined(poses, image)
    assert_close(nearer, poses, atol=1e-3, rtol=0)


def test_refined_poses_are_nearer_to_the_truth_their_pixels_and_their_bones() -> None:
    poses, image = walking()
    torch.manual_seed(0)
    lifted = poses + ERROR * torch.randn(poses.shape)
    lifted = lifted - lifted[:, :1]
    nearer = refined(lifted, image)
    before, after = ((one - poses).norm(dim=-1).mean() for one in (lifted, nearer))
    assert float(after) < 0.75 * float(before)
    lengths = [
        (bone_incidence(PERSON) @ one).norm(dim=-1).std(dim=0).mean() for one in (lifted, nearer)
    ]
    assert float(lengths[1]) < 0.5 * float(lengths[0])


def test_a_lifter_that_knows_its_errors_gives_better_weights() -> None:
    poses, image = walking()
    torch.manual_seed(0)
    unsure = torch.where(torch.rand(poses.shape[:2]) < 0.3, 4.0, 0.5)[..., None]
    lifted = poses + unsure * ERROR * torch.randn(poses.shape)
    lifted[:, 0] = poses[:, 0]
    covariance = torch.diag_embed((unsure * ERROR).square())
    covariance[:, 0] = 0.0
    body, trust = measure_body(poses, PERSON), torch.ones(poses.shape[:2])
    constant, known = (
        (refine_poses(lifted, image, trust, body, PERSON.root, one) - poses).norm(dim=-1).mean()
        for one in (None, covariance)
    )
    assert float(known) < 0.8 * float(constant)


def test_a_pose_without_detections_stays() -> None:
    poses, image = walking()
    image[3:5] = torch.nan
    nearer = refined(poses, image)
    assert_close(nearer[3:5], poses[3:5])


def test_no_poses_are_refined_to_no_poses() -> None:
    empty = Scene(views=2, frames=3).recording().frames(slice(0, 0))
    lifter = Lifter(empty.skeleton, LifterSettings(width=8, blocks=1)).eval()
    assert [one.shape for one in lift_parts(lifter, empty, refine=True)] == [(0, 2, 17, 3)]


def test_a_line_stays_under_smoothing_and_noise_shrinks() -> None:
    line = torch.arange(60.0)[:, None, None] * torch.tensor([0.01, -0.02, 0.03])
    inner = slice(6, -6)
    assert_close(smooth_poses(line, 2.0)[inner], line[inner], atol=1e-5, rtol=0)
    noise = torch.randn(400, 5, 3, generator=torch.Generator().manual_seed(0))
    assert float(smooth_poses(noise, 2.0).std()) < 0.5 * float(noise.std())


def test_an_unknown_pose_stays_unknown_and_does_not_spread() -> None:
    poses = torch.ones(20, 4, 3)
    poses[7] = torch.nan
    assert_close(smooth_poses(poses, 2.0), poses, equal_nan=True)


def test_without_a_deviation_nothing_is_smoothed() -> None:
    poses = torch.randn(20, 4, 3)
    assert_close(smooth_poses(poses, 1e-3), poses)
