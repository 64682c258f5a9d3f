"""Laws of the dataset."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given

from multiview_geom import world_to_camera
from selfsup_lifting.config import Labels, Method, TriangulationSettings
from selfsup_lifting.training.dataset import build_dataset, fingerprint, usable_views
from selfsup_lifting.training.losses import rotation_part
from selfsup_lifting.triangulate import triangulate_recording
from tests.selfsup_lifting.strategies import Scene, scenes

EXACT = 1e-4


@given(scenes.filter(lambda scene: not scene.missing))
def test_labels_are_the_truth_where_detections_are_exact(scene: Scene) -> None:
    recording = scene.recording()
    frames = build_dataset([recording.without_truth()])
    root = scene.truth()[:, list(recording.skeleton.root)].mean(dim=1, keepdim=True)
    torch.testing.assert_close(frames.labels, scene.truth() - root, rtol=0, atol=EXACT)


@given(scenes.filter(lambda scene: not scene.missing))
def test_labels_project_to_the_image(scene: Scene) -> None:
    frames = build_dataset([scene.recording()])
    seen = world_to_camera(frames.camera_from_root, frames.labels)
    torch.testing.assert_close(seen[..., :2] / seen[..., 2:], frames.image, rtol=0, atol=EXACT)


@given(scenes.filter(lambda scene: not scene.missing))
def test_the_truth_changes_nothing_where_labels_are_triangulated(scene: Scene) -> None:
    recording = scene.recording()
    wrong = replace(recording, truth=torch.full_like(scene.truth(), torch.nan))
    assert torch.equal(build_dataset([recording]).labels, build_dataset([wrong]).labels)


def test_supervised_labels_are_the_truth() -> None:
    recording = Scene(views=3, frames=4).recording()
    jittered = replace(recording, keypoints=recording.keypoints + 20.0)
    labels = build_dataset([jittered], Labels.TRUTH).labels
    torch.testing.assert_close(labels, Scene(views=3, frames=4).truth() - recording.truth[:, :1])


def test_recordings_with_fewer_cameras_are_filled_up_with_blind_views() -> None:
    two, four = Scene(views=2, frames=3).recording(), Scene(views=4, frames=5).recording()
    frames = build_dataset([two, four])
    assert frames.image.shape[:2] == (8, 4)
    assert frames.seen[:3].any(dim=-1).all(dim=0).tolist() == [True, True, False, False]
    assert not usable_views(frames, (0,))[:3, 2:].any()


def test_a_missing_sighting_reaches_nothing() -> None:
    recording = Scene(views=3, frames=2).recording()
    recording.keypoints[0, 1, 5] = torch.nan
    frames = build_dataset([recording])
    assert not frames.seen[0, 1, 5]
    assert frames.image.isfinite().all()
    assert frames.labelled.all()


def test_every_frame_comes_once_an_epoch_and_views_stay_together() -> None:
    frames = build_dataset([Scene(views=2, frames=8).recording()])
    batches = [frames.select(chosen) for chosen in frames.batches(3, seed=1)]
    assert [len(batch) for batch in batches] == [3, 3, 2]
    together = torch.cat([batch.labels for batch in batches])
    assert not torch.equal(together, frames.labels)
    torch.testing.assert_close(together.sum(0), frames.labels.sum(0))
    turned = world_to_camera(rotation_part(batches[0].camera_from_root), batches[0].labels)
    assert turned.shape == (3, 2, 17, 3)


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_method_answers_in_world_metres(method: Method, weighted: bool) -> None:  # noqa: FBT001
    scene = Scene(views=3, frames=2)
    settings = TriangulationSettings(method=method, weighted=weighted)
    points, kept = triangulate_recording(scene.recording(), settings)
    torch.testing.assert_close(points, scene.truth().double(), rtol=0, atol=EXACT)
    assert kept.all()


@pytest.mark.parametrize("method", [Method.ROBUST, Method.REFINED])
def test_robust_methods_leave_a_wrong_sighting_out(method: Method) -> None:
    scene, recording = Scene(views=4, frames=2), Scene(views=4, frames=2).recording()
    recording.keypoints[1, 2, 3] += 200.0
    points, kept = triangulate_recording(recording, TriangulationSettings(method=method))
    torch.testing.assert_close(points, scene.truth().double(), rtol=0, atol=EXACT)
    assert kept.logical_not().nonzero().tolist() == [[1, 2, 3]]


@pytest.mark.rejects
def test_a_recording_that_teaches_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in none is the root \(pelvis\) seen by two views"):
        build_dataset([Scene(missing=1.0).recording()])


@pytest.mark.rejects
def test_two_skeletons_are_refused() -> None:
    recordings = [Scene().recording(), Scene(skeleton="coco17").recording()]
    said = "scene 0 has coco17, in which joint 0 is nose, not pelvis; map all with `Recording"
    with pytest.raises(ValueError, match=said):
        build_dataset(recordings)


@pytest.mark.rejects
def test_supervision_needs_a_truth() -> None:
    with pytest.raises(ValueError, match="needs ground truth, scene 0 has none"):
        build_dataset([Scene().recording().without_truth()], Labels.TRUTH)


@pytest.mark.rejects
def test_no_recording_teaches_nothing() -> None:
    with pytest.raises(ValueError, match=r"^there is no recording$"):
        build_dataset([])


def test_a_batch_is_described_by_the_recordings_that_are_in_it() -> None:
    frames = build_dataset([Scene(frames=3).recording(), Scene(frames=3).recording()])
    assert frames.describe(torch.tensor([4, 3]), ["walk", "run"]) == "frames 0, 1 of run"


def test_the_fingerprint_tells_other_data_but_not_their_truth() -> None:
    recording = Scene(views=2, frames=6).recording()
    same = fingerprint([recording])
    assert fingerprint([recording.without_truth()]) == same
    assert fingerprint([recording.frames(slice(0, 5))]) != same
    assert fingerprint([replace(recording, keypoints=recording.keypoints + 1.0)]) != same
    moved = recording.cameras.scaled(1.1)
    assert fingerprint([replace(recording, cameras=moved)]) != same
