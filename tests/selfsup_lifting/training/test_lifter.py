"""Laws of the network and of lifting from one view."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from multiview_geom import from_homogeneous, to_homogeneous
from selfsup_lifting import inference
from selfsup_lifting.config import LifterSettings
from selfsup_lifting.evaluation.evaluate import evaluate_lifter
from selfsup_lifting.inference import lift, lift_covariances, placed_in_camera
from selfsup_lifting.onnx_export import export_onnx
from selfsup_lifting.skeleton.skeletons import SKELETONS, root_in_image
from selfsup_lifting.stream import PoseStream
from selfsup_lifting.training.augmentation import mirrored
from selfsup_lifting.training.dataset import build_dataset
from selfsup_lifting.training.lifter import Lifter, merge_batchnorm, turn_to
from selfsup_lifting.triangulate import normalized_image
from selfsup_lifting.web_page.export import export_web
from tests.selfsup_lifting.strategies import Scene, scenes

SMALL = LifterSettings(width=8, blocks=1)


def small_lifter(skeleton: str = "h36m17") -> Lifter:
    torch.manual_seed(0)
    return Lifter(SKELETONS[skeleton], SMALL).eval()


@given(scenes)
def test_the_root_is_the_origin(scene: Scene) -> None:
    lifter, recording = small_lifter(scene.skeleton), scene.recording()
    poses = lift(lifter, recording.cameras, recording.keypoints)
    root = poses[:, :, list(recording.skeleton.root)].mean(dim=2)
    assert root.nan_to_num().abs().max() < 1e-5


@given(scenes)
def test_a_pose_is_nan_only_where_nothing_was_seen(scene: Scene) -> None:
    recording = scene.recording()
    blind = recording.keypoints.isnan().flatten(2).all(dim=-1)
    poses = lift(small_lifter(scene.skeleton), recording.cameras, recording.keypoints)
    assert torch.equal(poses.isnan().flatten(2).any(dim=-1), blind)


@given(scenes, st.integers(0, 1))
def test_each_view_is_lifted_alone(scene: Scene, view: int) -> None:
    recording = scene.recording()
    alone = recording.select_views([recording.cameras.names[view]])
    lifter = small_lifter(scene.skeleton)
    every = lift(lifter, recording.cameras, recording.keypoints)
    one = lift(lifter, alone.cameras, alone.keypoints)
    torch.testing.assert_close(one[:, 0], every[:, view], equal_nan=True)


def test_without_views_or_frames_there_are_no_poses() -> None:
    recording = Scene(views=2, frames=4).recording()
    cameras, keypoints = recording.cameras, recording.keypoints
    assert lift(small_lifter(), cameras, keypoints[:0]).shape == (0, 2, 17, 3)
    assert lift(small_lifter(), cameras.select([]), keypoints[:, :0]).shape == (4, 0, 17, 3)


def test_long_tracks_are_lifted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    lifter, recording = small_lifter(), Scene(views=2, frames=10, missing=0.2).recording()
    arguments = recording.cameras, recording.keypoints, recording.confidence
    whole = lift(lifter, *arguments)
    monkeypatch.setattr(inference, "CHUNK", 6)
    torch.testing.assert_close(lift(lifter, *arguments), whole, equal_nan=True)
    assert lift(lifter, arguments[0], arguments[1][:0]).shape == (0, 2, 17, 3)


@given(scenes.filter(lambda scene: not scene.missing))
def test_where_a_body_stands_in_the_image_does_not_matter(scene: Scene) -> None:
    recording, lifter = scene.recording(), small_lifter(scene.skeleton)
    image = normalized_image(recording.cameras, recording.keypoints).float()
    seen = image.isfinite().all(dim=-1)
    torch.testing.assert_close(lifter(image + 0.1, seen), lifter(image, seen), atol=1e-4, rtol=0)


@given(scenes)
def test_a_lifter_that_turns_to_the_root_follows_the_turned_camera(scene: Scene) -> None:
    recording = replace(scene, skeleton="h36m17", missing=0.0).recording()
    image = normalized_image(recording.cameras, recording.keypoints).float()
    seen = image.isfinite().all(dim=-1)
    torch.manual_seed(0)
    lifter = Lifter(recording.skeleton, replace(SMALL, turn_to_root=True)).eval()
    turn = turn_to(root_in_image(image, seen, recording.skeleton.root)[..., 0, :])
    assert_close(turn @ turn.mT, torch.eye(3).expand_as(turn), atol=1e-5, rtol=0)
    turned = from_homogeneous(to_homogeneous(image) @ turn.mT)
    assert_close(lifter(turned, seen), lifter(image, seen) @ turn.mT, atol=1e-5, rtol=1e-4)


@given(scenes)
def test_an_average_with_the_mirrored_pose_does_not_prefer_a_side(scene: Scene) -> None:
    frames = build_dataset([replace(scene, missing=0.0).recording()])
    skeleton = scene.recording().skeleton
    torch.manual_seed(0)
    lifter = Lifter(skeleton, replace(SMALL, average_mirrored=True, confidence_input=True)).eval()
    pose, other = (
        lifter(one.image, one.seen, one.confidence) for one in (frames, mirrored(frames, skeleton))
    )
    flip = torch.tensor([-1.0, 1.0, 1.0])
    assert_close(other, pose[..., skeleton.mirror_order, :] * flip, atol=1e-5, rtol=1e-4)


def test_the_network_is_as_large_as_the_authors() -> None:
    lifter = Lifter(SKELETONS["h36m17"], LifterSettings())
    size = sum(numbers.numel() for numbers in lifter.parameters())
    # Theirs has 10 599 472 parameters, and leaves the pelvis out of input and output.
    pelvis = 2 * 1024 + 3 * (1024 + 1)
    assert size - pelvis == 10_599_472


@given(scenes.filter(lambda scene: not scene.missing))
def test_an_exact_pose_is_placed_exactly(scene: Scene) -> None:
    recording = scene.recording()
    image = normalized_image(recording.cameras, recording.keypoints)
    seen = scene.cameras()
    exact = torch.stack(
        [scene.truth().double() @ pose[:3, :3].mT + pose[:3, 3] for pose in seen.camera_from_world],
        dim=1,
    )
    relative = exact - exact.mean(dim=2, keepdim=True)
    torch.testing.assert_close(placed_in_camera(relative, image), exact, atol=1e-3, rtol=0)


@given(scenes.filter(lambda scene: scene.frames > 1), st.booleans())
def test_merged_batch_normalization_computes_the_same(scene: Scene, trusted: bool) -> None:  # noqa: FBT001 - drawn
    recording = scene.recording()
    lifter = Lifter(recording.skeleton, LifterSettings(width=8, blocks=1, confidence_input=trusted))
    image = normalized_image(recording.cameras, recording.keypoints).float()
    inputs = (image, image.isfinite().all(dim=-1), recording.confidence)
    lifter.train()(*inputs)  # other statistics than those of the beginning
    merged = merge_batchnorm(lifter.eval())
    torch.testing.assert_close(merged(*inputs), lifter(*inputs), atol=1e-5, rtol=1e-4)
    assert not [one for one in merged.modules() if isinstance(one, torch.nn.BatchNorm1d)]


def test_joints_in_one_place_place_nothing() -> None:
    image = torch.full((3, 2), 0.25)
    assert placed_in_camera(torch.randn(3, 3), image).isnan().all()


def test_one_joint_places_nothing() -> None:
    image = torch.full((3, 2), torch.nan)
    image[0] = 0.0
    assert placed_in_camera(torch.zeros(3, 3), image).isnan().all()


@pytest.mark.rejects
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_lifter_in_another_precision_is_named(tmp_path: Path, dtype: torch.dtype) -> None:
    lifter, recording = small_lifter().to(dtype), Scene(views=1, frames=4).recording()
    uses: list[Callable[[], object]] = [
        lambda: lift(lifter, recording.cameras, recording.keypoints),
        lambda: lift_covariances(lifter, recording.cameras, recording.keypoints),
        lambda: PoseStream(lifter, recording.cameras),
        lambda: evaluate_lifter(lifter, [recording]),
        lambda: export_onnx(lifter, tmp_path / "model.onnx"),
        lambda: export_web(lifter, tmp_path / "page"),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=rf"weights of torch.float32, got {dtype}: lifter.flo"):
            use()
    assert not list(tmp_path.iterdir())
