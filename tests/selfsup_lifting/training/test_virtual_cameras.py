"""Laws of virtual cameras."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from torch import Tensor
from torch.testing import assert_close

from multiview_geom import invert_transform, world_to_camera
from selfsup_lifting.config import AugmentationSettings, Labels
from selfsup_lifting.recording import Recording
from selfsup_lifting.training.dataset import Frames, build_dataset
from selfsup_lifting.training.virtual_cameras import (
    VirtualCameras,
    mix_in_virtual,
    virtual_cameras,
)
from tests.selfsup_lifting.strategies import Scene, scenes

SCENE = Scene(views=4, frames=300, missing=0.1)


def noisy() -> Recording:
    recording = SCENE.recording()
    error = torch.randn(recording.keypoints.shape, generator=torch.Generator().manual_seed(3))
    return replace(recording, keypoints=recording.keypoints + 3.0 * error)


def measured(
    recording: Recording, labels: Labels = Labels.TRIANGULATED
) -> tuple[Frames, VirtualCameras]:
    frames = build_dataset([recording], labels)
    return frames, virtual_cameras(frames, [recording], recording.skeleton, labels)


def filmed(
    recording: Recording, labels: Labels = Labels.TRIANGULATED
) -> tuple[Frames, VirtualCameras, Frames]:
    frames, cameras = measured(recording, labels)
    torch.manual_seed(0)
    return frames, cameras, cameras.film(frames, recording.skeleton)


def projected(frames: Frames) -> Tensor:
    seen = world_to_camera(frames.camera_from_root, frames.labels)
    return seen[..., :2] / seen[..., 2:]


@given(scenes.filter(lambda scene: not scene.missing))
def test_without_errors_a_virtual_view_is_the_projection_of_the_labels(scene: Scene) -> None:
    _, _, virtual = filmed(scene.recording())
    assert_close(virtual.image[virtual.seen], projected(virtual)[virtual.seen], rtol=0, atol=1e-4)


def test_virtual_cameras_are_level_and_in_the_ranges() -> None:
    _, cameras, virtual = filmed(noisy())
    transform = virtual.camera_from_root
    assert_close(torch.linalg.det(transform[..., :3, :3]), torch.ones(transform.shape[:2]))
    level = (transform[..., 0, :3] * cameras.up[0]).sum(dim=-1)
    assert float(level.abs().max()) < 1e-5
    distance = transform[..., :3, 3].norm(dim=-1)
    height = (invert_transform(transform)[..., :3, 3] * cameras.up[0]).sum(dim=-1)
    elevation = (height / distance).asin()
    for drawn, (low, high) in ((distance, cameras.distance), (elevation, cameras.elevation)):
        assert float(low) - 1e-4 < float(drawn.min()) < float(low) + 0.1 * float(high - low)
        assert float(high) - 0.1 * float(high - low) < float(drawn.max()) < float(high) + 1e-4


def test_the_ranges_cover_the_rig() -> None:
    frames, cameras = measured(noisy())
    distance = frames.camera_from_root[..., :3, 3].norm(dim=-1)
    assert float(cameras.distance[0]) < float(distance.min())
    assert float(distance.max()) < float(cameras.distance[1])


@pytest.mark.parametrize("labels", Labels)
def test_virtual_errors_are_as_large_as_those_of_the_detector(labels: Labels) -> None:
    frames, _, virtual = filmed(noisy(), labels)
    exact = build_dataset([SCENE.recording()], labels).image[frames.seen]
    real, drawn = (
        one.camera_from_root[..., :3, 3].norm(dim=-1, keepdim=True).expand(one.seen.shape)[one.seen]
        * error.norm(dim=-1)
        for one, error in (
            (frames, frames.image[frames.seen] - exact),
            (virtual, (virtual.image - projected(virtual))[virtual.seen]),
        )
    )
    assert_close(drawn.square().mean().sqrt(), real.square().mean().sqrt(), rtol=0.1, atol=0)
    assert_close(virtual.seen.float().mean(), frames.seen.float().mean(), rtol=0.05, atol=0)


def test_a_virtual_view_has_the_confidences_of_one_real_view() -> None:
    recording = noisy()
    ramp = torch.linspace(0.1, 0.9, recording.frame_count)[:, None, None]
    recording = replace(recording, confidence=ramp * (recording.confidence > 0))
    _, _, virtual = filmed(recording)
    known = torch.where(virtual.seen, virtual.confidence, torch.nan)
    spread = known.nan_to_num(0.0).amax(dim=-1) - known.nan_to_num(1.0).amin(dim=-1)
    assert float(spread[virtual.seen.any(dim=-1)].abs().max()) < 1e-6


def test_a_share_of_the_frames_is_virtual() -> None:
    recording = Scene(views=2, frames=400).recording()
    frames, cameras = measured(recording)
    torch.manual_seed(0)
    settings = AugmentationSettings(virtual_share=0.25)
    mixture = mix_in_virtual(frames, cameras, settings, recording.skeleton)
    real = (mixture.camera_from_root == frames.camera_from_root).all(dim=(1, 2, 3))
    assert 0.7 < float(real.float().mean()) < 0.8
    assert torch.equal(mixture.labels, frames.labels)
