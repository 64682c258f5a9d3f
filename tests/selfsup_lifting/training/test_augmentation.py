"""Laws of augmentation."""

import torch
from hypothesis import given

from multiview_geom import world_to_camera
from selfsup_lifting.training.augmentation import hide_keypoints, mirror_half, mirrored
from selfsup_lifting.training.dataset import build_dataset
from tests.selfsup_lifting.strategies import Scene, scenes


@given(scenes.filter(lambda scene: not scene.missing))
def test_a_mirrored_body_projects_to_the_mirrored_image(scene: Scene) -> None:
    recording = scene.recording()
    frames = mirrored(build_dataset([recording]), recording.skeleton)
    seen = world_to_camera(frames.camera_from_root, frames.labels)
    torch.testing.assert_close(seen[..., :2] / seen[..., 2:], frames.image, rtol=0, atol=1e-4)


@given(scenes.filter(lambda scene: not scene.missing))
def test_a_mirrored_camera_is_a_camera(scene: Scene) -> None:
    recording = scene.recording()
    turns = mirrored(build_dataset([recording]), recording.skeleton).camera_from_root[..., :3, :3]
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(turns.shape[:2]))


@given(scenes.filter(lambda scene: not scene.missing))
def test_mirroring_twice_changes_nothing(scene: Scene) -> None:
    recording = scene.recording()
    frames = build_dataset([recording])
    twice = mirrored(mirrored(frames, recording.skeleton), recording.skeleton)
    assert torch.equal(twice.image, frames.image)
    assert torch.equal(twice.camera_from_root, frames.camera_from_root)


def test_half_of_the_frames_are_mirrored() -> None:
    recording = Scene(views=2, frames=400).recording()
    frames = build_dataset([recording])
    torch.manual_seed(0)
    mixed = mirror_half(frames, recording.skeleton)
    kept = (mixed.image == frames.image).all(dim=(1, 2, 3)).float().mean()
    assert 0.4 < kept < 0.6


def test_hidden_keypoints_are_a_share_of_those_seen() -> None:
    frames = build_dataset([Scene(views=2, frames=200, missing=0.3).recording()])
    torch.manual_seed(0)
    left = hide_keypoints(frames, 0.25)
    assert not (left & ~frames.seen).any()
    assert 0.73 < left.sum() / frames.seen.sum() < 0.77
