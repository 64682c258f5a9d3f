"""Laws of inspection."""

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from multiview_geom import rigid_transform
from selfsup_lifting import sampled_errors
from selfsup_lifting.agreement import camera_agreement
from selfsup_lifting.camera_errors import camera_errors
from selfsup_lifting.evaluation.inspection import (
    inspect_calibration,
    inspect_results,
    inspect_source,
)
from selfsup_lifting.evaluation.inspection_warnings import (
    subject_diagonal,
    warnings_about_geometry,
    warnings_about_pictures,
    warnings_about_truth,
    warnings_about_weights,
)
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.reader import ReadResult
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton
from tests.selfsup_lifting.strategies import Scene


def inspected(folder: Path, recording: Recording) -> dict:
    save_recording(folder / "recording.npz", recording)
    return asdict(inspect_source(str(folder / "recording.npz"), ReadSettings()))


def warnings_about(folder: Path, recording: Recording) -> str:
    return "; ".join(inspected(folder, recording)["warnings"])


def test_a_sound_recording_raises_no_warning(tmp_path: Path) -> None:
    assert not warnings_about(tmp_path, Scene(views=4, frames=30).recording())


def test_it_says_what_was_recognized(tmp_path: Path) -> None:
    report = inspected(tmp_path, Scene(views=3, frames=7, skeleton="coco17").recording())
    assert (report["format"], report["reader"], report["frames"]) == ("native", "native", 7)
    assert report["cameras"] == {f"cam_{view}": (1000, 1000) for view in (1, 2, 3)}
    assert report["skeleton"] == "coco17"
    assert report["truth"] is True
    assert report["units"]["rig"] == "6.93 m across"


def test_missing_shares_add_up(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=10, missing=0.4).recording()
    report = inspected(tmp_path, recording)
    share = recording.keypoints[..., 0].isnan().float().mean().item()
    assert report["missing_share"] == pytest.approx(share)
    assert sum(report["missing_per_camera"].values()) / 2 == pytest.approx(share)
    assert sum(report["missing_per_joint"].values()) / 17 == pytest.approx(share)


def test_the_histogram_holds_every_sighting(tmp_path: Path) -> None:
    report = inspected(tmp_path, Scene(views=2, frames=10, missing=0.4).recording())
    assert sum(report["confidence_histogram"]) == pytest.approx(1.0)
    assert report["confidence_histogram"][:4] == pytest.approx((0.0, 0.0, 0.0, 0.0))


def test_each_camera_is_measured_against_the_others(tmp_path: Path) -> None:
    recording = Scene(views=4, frames=30).recording()
    sound = inspected(tmp_path, recording)["camera_errors"]
    assert {len(one["epipolar_px"]) for one in sound.values()} == {3}
    assert all(one["left_out_px"] < 0.01 for one in sound.values())
    keypoints = recording.keypoints.clone()
    keypoints[:, 2] += 20.0
    errors = inspected(tmp_path, replace(recording, keypoints=keypoints))["camera_errors"]
    assert max(errors, key=lambda name: errors[name]["left_out_px"]) == "cam_3"
    assert errors["cam_3"]["left_out_px"] == pytest.approx(20 * 2**0.5, abs=1.0)
    pairs = {
        frozenset((a, b)): px for a, one in errors.items() for b, px in one["epipolar_px"].items()
    }
    bad = {pair for pair, px in pairs.items() if px > 1.0}
    assert bad == {frozenset(("cam_3", other)) for other in ("cam_1", "cam_2", "cam_4")}
    two = inspected(tmp_path, recording.select_views(["cam_1", "cam_2"]))["camera_errors"]
    assert two["cam_1"]["left_out_px"] is None
    assert two["cam_1"]["epipolar_px"]["cam_2"] < 0.01


def test_of_many_cameras_some_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled_errors, "MOST_CAMERAS", 4)
    recording = Scene(views=7, frames=20).recording()
    report = inspected(tmp_path, recording)
    assert any("only 4 of its 7 cameras" in warning for warning in report["warnings"])
    errors = report["camera_errors"]
    assert {*errors} == {*recording.cameras.names}, "each camera is measured"
    assert {*errors["cam_1"]["epipolar_px"]} == {"cam_3", "cam_5", "cam_7"}
    assert {*errors["cam_2"]["epipolar_px"]} == {"cam_1", "cam_3", "cam_5", "cam_7"}


def test_few_cameras_are_compared_without_a_copy() -> None:
    recording = Scene(views=3, frames=5).recording()
    assert sampled_errors.with_compared_cameras(recording) is recording


def test_a_camera_near_the_origin_of_the_world_is_no_wrong_unit(tmp_path: Path) -> None:
    recording = Scene(views=4, frames=30).recording()
    # The world that a bundle adjustment leaves: the first camera is 3 mm from the origin.
    away = recording.cameras.camera_from_world[0]
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = torch.tensor([0.003, 0.0, 0.0])
    first_from_world = shift @ away
    poses = recording.cameras.camera_from_world @ torch.linalg.inv(first_from_world)
    near = replace(recording.cameras, camera_from_world=poses)
    assert "millimeters among meters" not in warnings_about(
        tmp_path, replace(recording, cameras=near, truth=None)
    )
    poses = recording.cameras.camera_from_world.clone()
    poses[1, :3, 3] *= 1000
    wrong = replace(recording.cameras, camera_from_world=poses)
    assert "millimeters among meters" in warnings_about(
        tmp_path, replace(recording, cameras=wrong, truth=None)
    )


@pytest.mark.parametrize("wrong", [0, 1, 2, 3])
def test_the_camera_that_was_moved_is_named(tmp_path: Path, wrong: int) -> None:
    recording = Scene(views=4, frames=30).recording()
    turn = torch.eye(4, dtype=torch.float64).repeat(4, 1, 1)
    turn[wrong, :3, 3] = torch.tensor([0.3, 0.1, 0.0])
    moved = turn @ recording.cameras.camera_from_world
    cameras = replace(recording.cameras, camera_from_world=moved)
    assert f"camera cam_{wrong + 1} was moved by" in warnings_about(
        tmp_path, replace(recording, cameras=cameras)
    )


def test_inverted_extrinsics_are_noticed(tmp_path: Path) -> None:
    recording = Scene(views=4, frames=30).recording()
    behind = rigid_transform(
        torch.diag(torch.tensor([-1.0, 1.0, -1.0], dtype=torch.float64)).repeat(4, 1, 1),
        torch.zeros(4, 3, dtype=torch.float64),
    )
    cameras = replace(
        recording.cameras, camera_from_world=behind @ recording.cameras.camera_from_world
    )
    assert "behind a camera" in warnings_about(tmp_path, replace(recording, cameras=cameras))


def test_a_giant_is_noticed(tmp_path: Path) -> None:
    recording = Scene(views=4, frames=30).recording()
    far = recording.cameras.camera_from_world.clone()
    far[:, :3, 3] *= 10
    cameras = replace(recording.cameras, camera_from_world=far)
    assert "the person is 26.1 m across, usually 0.5 to 3 m" in warnings_about(
        tmp_path, replace(recording, cameras=cameras)
    )


def test_a_point_has_no_size() -> None:
    ball = Skeleton("ball", ("ball",), (-1,), (), (0,))
    one = Scene(views=3, frames=20).recording()
    alone = replace(
        one, skeleton=ball, keypoints=one.keypoints[:, :, :1], confidence=one.confidence[:, :, :1],
        truth=None,
    )  # fmt: skip
    assert warnings_about_geometry(alone, camera_agreement(alone)) == []


def test_a_truth_far_from_the_detections_is_noticed(tmp_path: Path) -> None:
    recording = Scene(views=1, frames=5).recording()
    assert recording.truth is not None
    assert "ground truth" not in warnings_about(tmp_path, recording)
    in_millimeters = replace(recording, truth=1000 * recording.truth)
    assert "the ground truth is far from the" in warnings_about(tmp_path, in_millimeters)
    behind = replace(recording, truth=-recording.truth)
    assert "in 100% of the frames, the ground truth is" in warnings_about(tmp_path, behind)
    unseen = torch.full_like(recording.truth, torch.nan)
    assert "ground truth" not in warnings_about(tmp_path, replace(recording, truth=unseen))


def test_a_truth_of_one_camera_in_another_unit_is_noticed() -> None:
    walk = read_recordings(["synthetic"], ReadSettings())[0].select_views(["cam_1"])
    assert walk.truth is not None
    assert [*warnings_about_truth(walk)] == []
    small, *_ = warnings_about_truth(replace(walk, truth=walk.truth / 1000))
    assert re.search(r"in the ground truth, the person is 0.00\d+ m across, .*another unit", small)


def test_a_truth_of_another_frame_rate_is_noticed() -> None:
    walk = read_recordings(["synthetic"], ReadSettings())[0]
    assert walk.truth is not None
    slow = replace(walk, truth=walk.truth[torch.arange(walk.frame_count) // 2])
    assert [*warnings_about_truth(walk)] == []
    (said,) = warnings_about_truth(slow)
    assert "has another unit, world or frame rate than the cameras" in said


def test_a_blind_camera_and_an_unseen_joint_are_named(tmp_path: Path) -> None:
    recording = Scene(views=3, frames=10).recording()
    recording.keypoints[:, 1], recording.confidence[:, 1] = torch.nan, 0.0
    recording.keypoints[:, :, 4], recording.confidence[:, :, 4] = torch.nan, 0.0
    report = warnings_about(tmp_path, recording)
    assert "camera cam_2 misses 100% of all joints" in report
    assert "no camera ever detects left_hip" in report


def test_a_file_without_scores_is_noticed(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=10).recording()
    certain = replace(recording, confidence=torch.ones_like(recording.confidence))
    assert "every confidence is 1" in warnings_about(tmp_path, certain)


@pytest.mark.parametrize(
    ("place", "where"),
    [
        (-1.0, "at (0, 0) or (-1, -1)"),
        (0.0, "at (0, 0) or (-1, -1)"),
        (1e15, "far outside of the"),
        (999.0, "exactly on the border of its picture"),
    ],
)
def test_detections_where_no_detector_puts_any_are_named(
    tmp_path: Path, place: float, where: str
) -> None:
    recording = Scene(views=3, frames=20).recording()
    recording.keypoints[:, 1, 4] = place
    said = warnings_about(tmp_path, recording)
    assert f"camera cam_2 has 20 detections {where}" in said
    assert "camera cam_1 has" not in said


def test_codes_are_not_counted_as_pixels_outside_of_the_picture(tmp_path: Path) -> None:
    recording = Scene(views=3, frames=20).recording()
    recording.keypoints[:, 1, 4:8] = -1.0
    said = warnings_about(tmp_path, recording)
    assert "has 80 detections at (0, 0) or (-1, -1)" in said
    assert "has the video another size" not in said


def test_a_camera_or_a_joint_that_froze_is_named(tmp_path: Path) -> None:
    recording = Scene(views=3, frames=20).recording()
    recording.keypoints[10:, 1] = recording.keypoints[10, 1]
    recording.keypoints[:, 2, 4] = 500.0
    said = warnings_about(tmp_path, recording)
    assert "camera cam_2 repeats 45% of its detections exactly in the next frame" in said
    joint = recording.skeleton.joints[4]
    assert f"camera cam_3 has {joint} at exactly the same place in most frames" in said
    assert "cam_1" not in said


def test_a_picture_that_does_not_hold_the_detections_is_named(tmp_path: Path) -> None:
    recording = Scene(views=3, frames=20).recording()
    cameras = replace(
        recording.cameras, image_size=torch.tensor([[100, 1000]] + [[1000, 1000]] * 2)
    )
    said = warnings_about(tmp_path, replace(recording, cameras=cameras))
    assert "of its detections outside of its picture of 100 x 1000 px" in said
    assert "camera cam_2" not in said


def test_confidences_of_another_scale_are_noticed(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=10).recording()
    percent = replace(recording, confidence=100 * recording.confidence)
    assert "confidences are not from 0 to 1" in warnings_about(tmp_path, percent)


def test_joints_that_are_not_those_declared_are_named(tmp_path: Path) -> None:
    walk = read_recordings(["synthetic"], ReadSettings())[0].frames(slice(0, 10))
    wrong = replace(walk.select_views(["cam_1", "cam_2"]), skeleton=SKELETONS["coco17"])
    assert "--detected-skeleton h36m17 corrects it" in warnings_about(tmp_path, wrong)
    right = Scene(views=2, frames=10, skeleton="coco17").recording()
    assert "corrects it" not in warnings_about(tmp_path, right)


def test_frames_in_which_cameras_disagree_are_said() -> None:
    recording = Scene(views=3, frames=20).recording()
    keypoints = recording.keypoints.clone()
    keypoints[14:, 1] += 300.0
    agreement = camera_agreement(recording)
    assert warnings_about_geometry(recording, agreement) == []
    (warning,) = warnings_about_geometry(replace(recording, keypoints=keypoints), agreement)
    assert (
        "in 30% of the frames the cameras disagree, first in frame 14, camera cam_2 alone"
        in warning
    )


def test_a_saved_recording_in_millimeters_is_not_sent_to_a_setting_that_it_refuses() -> None:
    recording = Scene(views=2, frames=4).recording()
    giant = replace(recording, cameras=recording.cameras.scaled(1000.0))
    (warning,) = warnings_about_geometry(giant, None)
    assert "--unit names that of a calibration file, and `Cameras.scaled` converts" in warning


def test_sides_that_are_exchanged_in_all_cameras_are_said() -> None:
    walk = read_recordings(["synthetic"], ReadSettings())[0].without_truth().frames(slice(0, 60))
    agreement = camera_agreement(walk)
    assert warnings_about_geometry(walk, agreement) == []
    exchanged = walk.with_exchanged_sides(walk.cameras.names)
    (warning,) = warnings_about_geometry(exchanged, agreement)
    assert "left and right look exchanged in " in warning
    assert "--exchange-sides cam_1 cam_2 cam_3 cam_4 corrects it" in warning


def test_pixels_of_a_larger_picture_are_named() -> None:
    recording = Scene(views=2, frames=4).recording()
    assert "outside" not in "; ".join(warnings_about_pictures(recording))
    larger = replace(recording, keypoints=4 * recording.keypoints + 1000)
    assert "has 100% of its detections outside of its picture" in warnings_about_pictures(larger)[0]


def test_a_picture_that_is_turned_is_named() -> None:
    walk = read_recordings(["synthetic"], ReadSettings())[0].select_views(["cam_1"])
    assert warnings_about_pictures(walk) == []
    u, v = walk.keypoints.unbind(dim=-1)
    turned = replace(walk, keypoints=torch.stack([v, 1000 - u], dim=-1))
    (warning,) = warnings_about_pictures(turned)
    assert "in 100% of the frames, the trunk is turned by more than 60 degrees" in warning
    assert "camera cam_1 (median 9" in warning or "camera cam_1 (median 8" in warning


def test_weights_of_a_file_without_scores_are_said_to_be_all_alike() -> None:
    recording = Scene(views=2, frames=3).recording()
    alike = replace(recording, confidence=torch.ones_like(recording.confidence))
    assert "(--weighted) are all alike" in " ".join(warnings_about_weights(alike))
    half = replace(recording, confidence=0.5 * alike.confidence)
    assert not warnings_about_weights(half)


def test_recordings_that_differ_from_the_first_are_named() -> None:
    first, other = (
        Scene(views=2, frames=3, skeleton=name).recording() for name in ("h36m17", "coco17")
    )
    other = replace(other.without_truth(), name="dance")
    found = inspect_results([ReadResult(first), ReadResult(other)]).warnings
    assert "dance: other joints than those of scene 0, which are shown" in found[-2]
    assert found[-1] == "dance: no ground truth, which other recordings have"


@pytest.mark.rejects
def test_what_is_no_source_no_result_and_no_file_is_refused(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=4).recording()
    save_recording(tmp_path / "recording.npz", recording)
    assert inspect_source(tmp_path / "recording.npz", ReadSettings()).frames == 4
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: inspect_source([str(tmp_path)], ReadSettings()), "`source` must be str"),  # type: ignore[arg-type]
        (lambda: inspect_source("synthetic", {}), "`settings` must be ReadSettings, got dict"),  # type: ignore[arg-type]
        (lambda: inspect_results([recording]), "`results` must be ReadResult, got Recording"),  # type: ignore[list-item]
        (lambda: inspect_results([]), "`results` must have one recording or more, got none"),
        (lambda: inspect_calibration(tmp_path), "`file` must be CameraFile, got PosixPath"),  # type: ignore[arg-type]
        (lambda: camera_agreement([recording]), "`recording` must be Recording, got list"),  # type: ignore[arg-type]
        (lambda: camera_errors(str(tmp_path)), "`recording` must be Recording, got str"),  # type: ignore[arg-type]
        (lambda: subject_diagonal([recording]), "`recording` must be Recording, got list"),  # type: ignore[arg-type]
    ]
    for call, sentence in refused:
        with pytest.raises(ValueError, match=sentence):
            call()
