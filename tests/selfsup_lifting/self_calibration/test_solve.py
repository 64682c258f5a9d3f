"""Laws of calibration from people: the rig, its world, and what it refuses."""

import re
from dataclasses import replace
from math import isnan

import pytest
import torch

from multiview_geom import (
    CalibratedRig,
    Cameras,
    align_rigs,
    rotation_to_vector,
    transform_cameras,
)
from selfsup_lifting.calibration_settings import CalibrationSettings, Start
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.self_calibration.body import bone_length, find_vertical, rightness, stature
from selfsup_lifting.self_calibration.measure import Tracks
from selfsup_lifting.self_calibration.solve import (
    _joined,
    _mirrored_camera,
    _notes,
    _undone,
    calibrate_cameras,
)
from selfsup_lifting.self_calibration.takes import notes_on_takes
from selfsup_lifting.self_calibration.world import in_room, known_scale, notes_on_bone
from selfsup_lifting.skeleton.skeletons import SKELETONS

UP = torch.tensor([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return read_recordings(["synthetic"], ReadSettings(fps=5.0))


def rotations_deg(found: Cameras, truth: Cameras) -> torch.Tensor:
    turn = found.camera_from_world[:, :3, :3] @ truth.camera_from_world[:, :3, :3].mT
    return rotation_to_vector(turn).norm(dim=-1).rad2deg()


def test_a_rig_is_found_from_intrinsics_and_one_length(recordings: list[Recording]) -> None:
    truth = recordings[0].cameras
    apart = float((truth.centers[0] - truth.centers[1]).norm())
    nowhere = replace(truth, camera_from_world=torch.eye(4).double().repeat(4, 1, 1))
    blind = [replace(one, cameras=nowhere, truth=None) for one in recordings]
    report = calibrate_cameras(
        blind, CalibrationSettings(distance=f"cam_1-cam_2={apart:.4f}"), Start.INTRINSICS
    )
    assert report.is_metric
    assert report.held_out_after_px < 3.5
    found = report.cameras
    # The world stands on the ground: z up, the floor at zero.
    assert torch.allclose(found.centers[:, 2], truth.centers[:, 2], atol=0.06)
    moved = transform_cameras(found, align_rigs(found, truth))
    assert rotations_deg(moved, truth).median() < 0.3
    assert (moved.centers - truth.centers).norm(dim=-1).median() < 0.01
    size = (found.centers - found.centers.mean(dim=0)).norm(dim=-1).mean()
    assert size / (truth.centers - truth.centers.mean(dim=0)).norm(dim=-1).mean() == pytest.approx(
        1.0, abs=0.005
    )
    assert report.notes == ()


def test_a_moved_camera_is_put_back_and_named(recordings: list[Recording]) -> None:
    truth = recordings[0].cameras
    pose = truth.camera_from_world.clone()
    pose[2, 0, 3] += 0.1
    wrong = [replace(one, cameras=replace(truth, camera_from_world=pose)) for one in recordings]
    report = calibrate_cameras(wrong, CalibrationSettings())
    moved = {name: row.moved for name, row in report.per_camera.items()}
    assert max(moved, key=lambda name: moved[name]) == "cam_3"
    assert report.held_out_after_px < report.held_out_before_px / 2
    assert report.per_camera["cam_3"].moved > 10 * report.per_camera["cam_3"].moved_sigma
    assert (
        rotations_deg(
            transform_cameras(report.cameras, align_rigs(report.cameras, truth)), truth
        ).max()
        < 0.3
    )


def test_a_recording_in_which_a_camera_was_moved_is_named(recordings: list[Recording]) -> None:
    first, other = (
        one.select_views(["cam_1", "cam_2", "cam_3"]).frames(slice(0, 20)) for one in recordings[:2]
    )
    truth = other.cameras
    assert other.truth is not None
    pose = truth.camera_from_world.clone()
    pose[1, 0, 3] += 0.4
    noise = other.keypoints - _projected(truth, other.truth)
    moved = replace(truth, camera_from_world=pose)
    pushed = replace(other, keypoints=_projected(moved, other.truth) + noise)
    assert notes_on_takes([first, other], truth, 2.5, is_metric=True) == []
    told = f"{other.name} does not fit the cameras of {first.name}"
    (note,) = calibrate_cameras([first, pushed], CalibrationSettings()).notes
    assert told in note
    assert re.search(r"camera cam_2 was moved by (3\d|4\d) cm and turned by", note)
    # Between two cameras, no one can be named; without a scale, no distance.
    both = [one.select_views(["cam_1", "cam_2"]) for one in (first, pushed)]
    (note,) = notes_on_takes(both, both[0].cameras, 2.5, is_metric=False)
    assert told in note
    assert "most likely cameras were moved between them" in note
    # A recording that does not determine the cameras is not compared.
    assert notes_on_takes([first, pushed.frames(slice(0, 5))], truth, 2.5, is_metric=True) == []


def _projected(cameras: Cameras, points: torch.Tensor) -> torch.Tensor:
    flat = cameras.project(points.double().flatten(0, 1)).pixels
    return flat.unflatten(1, points.shape[:2]).transpose(0, 1).to(points)


def test_a_length_in_millimeters_is_doubted(recordings: list[Recording]) -> None:
    settings = CalibrationSettings(distance="cam_1-cam_2=6360")
    (note,) = calibrate_cameras(recordings[:1], settings, Start.INTRINSICS).notes
    assert "m tall, usually 0.5 to 3 m: most likely the length that gives the scale is not" in note
    unscaled = calibrate_cameras(recordings[:1], CalibrationSettings(), Start.INTRINSICS)
    assert unscaled.notes == ()
    few = recordings[0].frames(slice(0, None, recordings[0].frame_count // 8))
    notes = calibrate_cameras([few], CalibrationSettings(), Start.INTRINSICS).notes
    assert "frames were used, and the cameras may be far off" in notes[0]


def test_mirrored_pictures_are_recognized_by_left_and_right(recordings: list[Recording]) -> None:
    one = recordings[0].select_views(["cam_1", "cam_2"])
    flipped = _mirrored(one, slice(None))
    (note,) = calibrate_cameras([flipped], CalibrationSettings(), Start.INTRINSICS).notes
    assert "left and right look exchanged" in note
    assert note.endswith("or the pictures are mirrored")


def test_one_mirrored_camera_is_named(recordings: list[Recording]) -> None:
    one = recordings[0].select_views(["cam_1", "cam_2", "cam_3"])
    flipped = _joined([_mirrored(one, 0)])
    settings = CalibrationSettings()
    cause = _mirrored_camera(4.5, 0.75, flipped, settings, Start.INTRINSICS)
    assert cause.startswith("most likely the pictures of camera cam_1 are mirrored, which")
    exchanged = _joined([one.with_exchanged_sides(["cam_2"])])
    (cause, undone), plain = [*_undone(exchanged)][3], _joined([one])
    assert cause.endswith("(--exchange-sides cam_2 corrects it)")
    assert torch.equal(undone.pixels.nan_to_num(), plain.pixels.nan_to_num())
    assert torch.equal(undone.weights, plain.weights)


def test_a_mirrored_camera_is_named_where_right_is_on_the_right(
    recordings: list[Recording],
) -> None:
    some = recordings[0].frames(slice(None, None, 2))
    (note,) = calibrate_cameras([_mirrored(some, 1)], CalibrationSettings()).notes
    told = "most likely the pictures of camera cam_2 are mirrored, which would leave a noise of"
    assert re.fullmatch(rf"the cameras disagree by a noise of .* px: {told} .* px", note)
    three = _mirrored(some.select_views(["cam_1", "cam_2", "cam_3"]), 0)
    with pytest.raises(ValueError, match=r"agree within the threshold .*; most likely the picture"):
        calibrate_cameras([three], CalibrationSettings(), Start.INTRINSICS)


def _mirrored(recording: Recording, views: int | slice) -> Recording:
    pixels = recording.keypoints.clone()
    pixels[:, views, :, 0] = 999.0 - pixels[:, views, :, 0]
    return replace(recording, keypoints=pixels, truth=None)


def test_the_body_says_its_size_its_vertical_and_its_front(recordings: list[Recording]) -> None:
    one = recordings[0]
    assert one.truth is not None
    tall = stature(one.skeleton, one.truth)
    assert 1.5 < tall < 2.0
    assert stature(one.skeleton, 1000 * one.truth) == pytest.approx(1000 * tall, rel=1e-5)
    vertical = find_vertical(one.skeleton, one.truth, one.fps)
    assert vertical is not None
    assert vertical.up @ UP > 0.999
    assert abs(float(vertical.ground[2])) < 0.05
    assert rightness(one.skeleton, one.truth, UP) > 0.9
    mirror = one.truth * torch.tensor([-1.0, 1.0, 1.0])
    assert rightness(one.skeleton, mirror, UP) < 0.1


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("pixel", "sentence"),
    [(500.0, "the person must move"), (float("nan"), "got no detection; likely causes: nobody")],
)
def test_detections_at_one_pixel_or_nowhere_calibrate_nothing(
    recordings: list[Recording], pixel: float, sentence: str
) -> None:
    nothing = [replace(one, keypoints=torch.full_like(one.keypoints, pixel)) for one in recordings]
    for start in Start:
        with pytest.raises(ValueError, match=sentence):
            calibrate_cameras(nothing, CalibrationSettings(), start)


@pytest.mark.rejects
def test_what_does_not_calibrate_a_rig_is_refused(recordings: list[Recording]) -> None:
    one = recordings[0]
    still = replace(one, keypoints=one.keypoints[:1].expand_as(one.keypoints).clone())
    with pytest.raises(ValueError, match="the person must move"):
        calibrate_cameras([still], CalibrationSettings(), Start.INTRINSICS)
    with pytest.raises(ValueError, match=r"one of Start\.CALIBRATION, .* got 'calibration'"):
        calibrate_cameras([one], CalibrationSettings(), "calibration")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has one camera: calibration needs two or more"):
        calibrate_cameras([one.select_views(["cam_1"])], CalibrationSettings(), Start.INTRINSICS)
    other = replace(one, cameras=one.cameras.scaled(2.0))
    with pytest.raises(ValueError, match="the same cameras and joints"):
        calibrate_cameras([one, other], CalibrationSettings(), Start.INTRINSICS)
    turned = replace(one.skeleton, joints=one.skeleton.joints[::-1])
    with pytest.raises(ValueError, match=r"joints, got others in .* in which joint 0 is .*, not"):
        calibrate_cameras([one, replace(one, skeleton=turned)], CalibrationSettings())
    with pytest.raises(ValueError, match="`free` must be some of focal"):
        calibrate_cameras([one], CalibrationSettings(free="lens"))
    with pytest.raises(ValueError, match=r"needs many frames, got one: is --fps .* too low"):
        calibrate_cameras([one.frames(slice(0, 1))], CalibrationSettings(), Start.INTRINSICS)
    with pytest.raises(ValueError, match="got several"):
        calibrate_cameras([one], CalibrationSettings(stature=1.7, bone="left_hip-left_knee=0.4"))
    with pytest.raises(ValueError, match="at most 3 m, got 178: centimeters or feet"):
        CalibrationSettings(stature=178.0)
    with pytest.raises(ValueError, match="at most 3 m long, got left_hip-left_knee=42: centim"):
        calibrate_cameras([one], CalibrationSettings(bone="left_hip-left_knee=42"))
    with pytest.raises(ValueError, match="must be written one-other=meters"):
        calibrate_cameras([one], CalibrationSettings(bone="left_hip-tail=0.4"))
    with pytest.raises(ValueError, match="must name joints"):
        bone_length(one.skeleton, torch.zeros(1, 17, 3), ("left_hip", "tail"))
    blind = one.keypoints.clone()
    blind[:, 3] = torch.nan
    with pytest.raises(ValueError, match="got none of cam_4: leave it out"):
        calibrate_cameras([replace(one, keypoints=blind)], CalibrationSettings(), Start.INTRINSICS)


def renamed(one: Recording, *keep: str) -> Recording:
    """Return a recording whose joints have other names, except some."""
    names = [name if name in keep else f"part_{at}" for at, name in enumerate(one.skeleton.joints)]
    skeleton = replace(one.skeleton, joints=tuple(names), mirrored=())
    return replace(one, skeleton=skeleton)


def test_feet_that_stand_show_the_ground() -> None:
    walker = read_recordings(["synthetic"], ReadSettings())[0]
    assert walker.truth is not None
    places = [torch.tensor(place) for place in ([0.0, 0, 0], [3.0, 0, 0], [0.0, 3.0, 0])]
    walks = torch.cat([walker.truth + place for place in places])
    found = find_vertical(walker.skeleton, walks, walker.fps)
    assert found is not None
    assert found.source == "the places where the feet stood"
    assert found.up @ UP > 0.9999


def test_feet_that_are_missing_where_they_stand_are_no_ground(
    recordings: list[Recording],
) -> None:
    one = recordings[0]
    assert one.truth is not None
    quarter = round(one.fps / 4)  # of a second
    still = one.truth[:1].expand(2 * quarter + 1, -1, -1).clone()
    soles = [place for place, name in enumerate(one.skeleton.joints) if name.endswith("ankle")]
    still[quarter, soles] = torch.nan
    found = find_vertical(one.skeleton, still, one.fps)
    assert found is not None
    assert found.ground.isfinite().all()


def test_a_body_without_the_usual_names_has_no_size_vertical_or_front(
    recordings: list[Recording],
) -> None:
    one = renamed(recordings[0])
    assert one.truth is not None
    assert isnan(stature(one.skeleton, one.truth))
    assert find_vertical(one.skeleton, one.truth, one.fps) is None
    assert isnan(rightness(one.skeleton, one.truth, UP))
    trunk = renamed(recordings[0], *(f"{side}_{part}" for side in ("left", "right")
                                     for part in ("hip", "shoulder")))  # fmt: skip
    lying = find_vertical(trunk.skeleton, one.truth, one.fps)
    assert lying is not None
    assert lying.source == "the mean spine"
    assert isnan(rightness(trunk.skeleton, one.truth, UP))
    unseen = torch.full_like(one.truth, torch.nan)
    assert find_vertical(recordings[0].skeleton, unseen, one.fps) is None


def test_a_rig_that_saw_points_of_no_body_has_upright_cameras(recordings: list[Recording]) -> None:
    one = renamed(recordings[0])
    assert one.truth is not None
    frames, views, joints = one.confidence.shape
    rig = CalibratedRig(
        one.cameras, one.truth.double(), inliers=one.confidence > 0, errors=one.confidence.double(),
        covariance=torch.zeros(views, 6, 6).double(), parameters=("x",) * 6, noise_px=1.0,
    )  # fmt: skip
    moved, source = in_room(rig, one.skeleton, one.fps)
    assert source == "the cameras, which are taken to be upright"
    assert moved.points.shape == (frames, joints, 3)
    turned = moved.cameras.camera_from_world[:, 1, :3].mean(dim=0)
    assert turned / turned.norm() @ -UP.double() > 0.999
    assert moved.points.flatten(0, 1).nanmedian(dim=0).values.norm() < 0.2
    sentence = r"the rig must show the stature of 1\.7 m to have a scale, got nan; likely cause"
    with pytest.raises(ValueError, match=sentence):
        known_scale(rig, one.skeleton, CalibrationSettings(stature=1.7), Start.INTRINSICS)
    tracks = Tracks(one.cameras, one.skeleton, one.fps, one.keypoints, one.confidence)
    assert _notes(rig, tracks, CalibrationSettings(), Start.INTRINSICS) == []


@pytest.mark.parametrize(
    ("bone", "is_doubted"),
    [
        ("left_hip-left_knee", False),
        ("left_knee-left_hip", False),
        ("left_hip-right_hip", False),
        ("head_top-left_ankle", True),
        ("left_hip-left_ankle", True),
    ],
)
def test_a_length_that_is_of_no_bone_is_doubted(bone: str, is_doubted: bool) -> None:  # noqa: FBT001
    notes = notes_on_bone(CalibrationSettings(bone=f"{bone}=0.4"), SKELETONS["h36m17"])
    assert [*map(bool, notes)] == [True] * is_doubted


@pytest.mark.rejects
def test_a_calibration_needs_a_recording() -> None:
    with pytest.raises(ValueError, match="`recordings` must have one recording or more, got none"):
        calibrate_cameras([], CalibrationSettings())
