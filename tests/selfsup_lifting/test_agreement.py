"""Laws of cameras that disagree: what was done to a recording is found by trying."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from multiview_geom import (
    invert_transform,
    look_at,
    rigid_transform,
    ring_of_cameras,
    rotation_from_quaternion,
    rotation_to_quaternion,
)
from selfsup_lifting.agreement import Agreement, camera_agreement
from selfsup_lifting.config import Config
from selfsup_lifting.disagreement import SQUEEZES
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.timing import synchronized

# The simulated detector's noise leaves this much; it is 4 to 5 px in the picture [px].
NOISE_PX = 3.5


@cache
def filmed(views: int) -> Recording:
    """Return a simulated recording with the usual detector noise."""
    recording = read_recordings(["synthetic"], ReadSettings())[0]
    return recording.select_views(recording.cameras.names[:views])


def found(recording: Recording) -> Agreement:
    agreement = camera_agreement(recording, thorough=True)
    assert agreement is not None
    return agreement


def exchanged(recording: Recording, *order: int) -> Recording:
    index = list(order)
    return replace(
        recording,
        keypoints=recording.keypoints[:, index],
        confidence=recording.confidence[:, index],
    )


def resized(recording: Recording, scale: float, *views: int) -> Recording:
    pixels = recording.keypoints.clone()
    chosen = list(views or range(recording.cameras.views))
    pixels[:, chosen] = (pixels[:, chosen] + 0.5) * scale - 0.5
    return replace(recording, keypoints=pixels)


def squeezed(recording: Recording, scale: float, axis: int) -> Recording:
    """Resize the pictures of all cameras along one side."""
    pixels = recording.keypoints.clone()
    pixels[..., axis] = (pixels[..., axis] + 0.5) * scale - 0.5
    return replace(recording, keypoints=pixels)


def mirrored(recording: Recording, axis: int, *views: int) -> Recording:
    pixels, chosen = recording.keypoints.clone(), list(views or range(recording.cameras.views))
    pixels[:, chosen, :, axis] = 999.0 - pixels[:, chosen, :, axis]
    return replace(recording, keypoints=pixels)


def centered(recording: Recording) -> Recording:
    middle = (recording.cameras.image_size[:, None] - 1) / 2
    return replace(recording, keypoints=recording.keypoints - middle)


def in_screen_coordinates(recording: Recording) -> Recording:
    size = recording.cameras.image_size[:, None].float()
    return replace(recording, keypoints=(2 * recording.keypoints - size) / size[..., :1])


def delayed(recording: Recording, frames: int, view: int) -> Recording:
    pixels = recording.keypoints.clone()
    pixels[:, view] = pixels[:, view].roll(frames, dims=0)
    return replace(recording, keypoints=pixels)


def turned(recording: Recording, view: int) -> Recording:
    x, y = recording.keypoints[:, view].unbind(dim=-1)
    pixels = recording.keypoints.clone()
    pixels[:, view] = torch.stack([999.0 - y, x], dim=-1)
    return replace(recording, keypoints=pixels)


def cropped(recording: Recording, view: int) -> Recording:
    pixels = recording.keypoints.clone()
    pixels[:, view] -= torch.tensor([180.0, 90.0])
    return replace(recording, keypoints=pixels)


def letterboxed(recording: Recording) -> Recording:
    """Film with wide pictures, which are then a third as large, with borders above and below."""
    truth = recording.truth
    assert truth is not None
    views = recording.cameras.views
    rig = ring_of_cameras(views, radius=4.5, height=1.5, target_height=0.9, image_size=(1920, 1080))
    pixels = rig.project(truth).pixels / 3 + torch.tensor([0.0, 140.0])
    return replace(recording, cameras=rig, keypoints=pixels)


def late(recording: Recording, frames: float, view: int) -> Recording:
    delays = torch.zeros(recording.cameras.views)
    delays[view] = -frames
    return synchronized(recording, delays)


def moved(recording: Recording, view: int, meters: float) -> Recording:
    pose = recording.cameras.camera_from_world.clone()
    pose[view, 0, 3] += meters
    return replace(recording, cameras=replace(recording.cameras, camera_from_world=pose))


def posed(recording: Recording, pose: Tensor) -> Recording:
    return replace(recording, cameras=replace(recording.cameras, camera_from_world=pose))


def inverted(recording: Recording) -> Recording:
    return posed(recording, invert_transform(recording.cameras.camera_from_world))


def with_w_first(recording: Recording) -> Recording:
    """Take quaternions with w first for those with w last, by cameras of no symmetry."""
    poses = irregular_poses()
    R = rotation_from_quaternion(rotation_to_quaternion(poses[:, :3, :3]).roll(-1, dims=-1))
    wrong = rigid_transform(R, poses[:, :3, 3])
    return posed(filmed_from(recording, poses), wrong)


def with_exchanged_center(recording: Recording, view: int) -> Recording:
    rig = recording.cameras
    K = rig.intrinsics.clone()
    K[view, :2, 2] += K.new_tensor([150.0, -40.0])
    truth = recording.truth
    assert truth is not None
    shifted = replace(rig, intrinsics=K)
    K = K.clone()
    K[view, :2, 2] = K[view, :2, 2].flip(-1)
    pixels = shifted.project(truth.double()).pixels.float()
    return replace(recording, keypoints=pixels, cameras=replace(rig, intrinsics=K))


def irregular_poses() -> Tensor:
    """Return the poses of three cameras of no symmetry."""
    places = torch.tensor([[4.2, 0.6, 1.3], [1.0, 3.9, 2.1], [-3.1, 2.8, 1.0]]).double()
    return look_at(places, torch.tensor([0.0, 0.1, 0.9]).double(), torch.eye(3)[2].double())


def filmed_from(recording: Recording, poses: Tensor) -> Recording:
    truth = recording.truth
    assert truth is not None
    rig = replace(recording.cameras, camera_from_world=poses)
    return replace(recording, keypoints=rig.project(truth.double()).pixels.float())


def chained_backward(recording: Recording) -> Recording:
    """Film with cameras of no symmetry; invert each transform from one of them to the next."""
    poses = irregular_poses()
    recording = filmed_from(recording, poses)
    chain = [poses[0]]
    for before, pose in pairwise(poses):
        chain.append(before @ invert_transform(pose) @ chain[-1])
    return posed(recording, torch.stack(chain))


def left_handed(recording: Recording) -> Recording:
    """Point the y axes of cameras up whose principal points are not in the middle."""
    intrinsics = recording.cameras.intrinsics.clone()
    intrinsics[:, 1, 2] += 40.0
    shifted = recording.keypoints + torch.tensor([0.0, 40.0])
    moved = replace(recording.cameras, intrinsics=intrinsics)
    upward = torch.diag(torch.tensor([1.0, -1.0, 1.0, 1.0], dtype=torch.float64))
    own = replace(recording, cameras=moved, keypoints=shifted)
    return posed(own, upward @ moved.camera_from_world @ upward)


def zoomed(recording: Recording, view: int) -> Recording:
    center = recording.cameras.intrinsics[view, :2, 2].float()
    pixels = recording.keypoints.clone()
    pixels[:, view] = center + 1.5 * (pixels[:, view] - center)
    return replace(recording, keypoints=pixels)


@pytest.mark.parametrize("views", [2, 3, 4])
def test_cameras_that_agree_are_not_accused(views: int) -> None:
    agreement = found(filmed(views))
    assert agreement.is_sound
    assert agreement.median_px < NOISE_PX


def test_the_summary_says_how_well_the_cameras_agree() -> None:
    for share, words in ((0.01, "cameras agree: "), (0.03, "agree less well"), (0.06, "disagree")):
        summary = Agreement(10.0, share).summary
        assert words in summary
        assert f"10.0 px, {share:.1%} of" in summary
    assert "cameras agree: " in Agreement(1.0, 0.5).summary  # round-off, however small the subject


def cornered(recording: Recording) -> Recording:
    """Count the principal points from the middle of the pictures, and not the pixels."""
    intrinsics = recording.cameras.intrinsics.clone()
    intrinsics[:, :2, 2] = 0.0
    return replace(recording, cameras=replace(recording.cameras, intrinsics=intrinsics))


FAULTS: dict[str, Callable[[Recording], Recording]] = {
    "the detections of cam_1 and cam_2 are exchanged": lambda recording: exchanged(
        recording, 1, 0, 2
    ),
    "cam_3 to cam_1, cam_1 to cam_2, cam_2 to cam_3": lambda recording: exchanged(
        recording, 1, 2, 0
    ),
    "the pictures had half the calibrated size": lambda recording: resized(recording, 0.5),
    "the pictures had twice the calibrated size": lambda recording: resized(recording, 2.0),
    "the pictures of camera cam_2 had half the calibrated size": lambda recording: resized(
        recording, 0.5, 1
    ),
    "the pictures had three quarters of the calibrated width": lambda recording: squeezed(
        recording, 0.75, 0
    ),
    "the pixels are counted from the middle of the pictures": centered,
    "the coordinates are shares of the image, from -1 to 1 across its": in_screen_coordinates,
    "the principal points, but not the pixels, are counted from the middle": cornered,
    "the y coordinates are mirrored": lambda recording: mirrored(recording, 1),
    "the y coordinates of camera cam_3 are mirrored": lambda recording: mirrored(recording, 1, 2),
    "camera cam_2 is 12 frames late": lambda recording: delayed(recording, 12, 1),
    "camera cam_1 is 20 frames early": lambda recording: delayed(recording, -20, 0),
    "camera cam_2 was moved by": lambda recording: moved(recording, 1, 0.3),
    "the pictures of camera cam_3 are turned by 90 degrees clockwise": lambda recording: turned(
        recording, 2
    ),
    "the left and right joints of camera cam_1 are exchanged": lambda recording: (
        recording.with_exchanged_sides(["cam_1"])
    ),
    "the extrinsics are inverted": inverted,
    "the transforms from each camera to the next are inverted": chained_backward,
    "the poses are of left-handed axes": left_handed,
    "the quaternions have w at the other end": with_w_first,
    "the principal points are exchanged (cy before cx)": lambda recording: with_exchanged_center(
        recording, 1
    ),
    "it zoomed: its focal length is 1.50 times": lambda recording: zoomed(recording, 2),
    "the x and y coordinates are exchanged (row before column)": lambda recording: replace(
        recording, keypoints=recording.keypoints.flip(-1)
    ),
    "or its pictures were cropped or padded: they are shifted by (-1": lambda recording: cropped(
        recording, 1
    ),
}


@pytest.mark.parametrize("cause", FAULTS)
def test_the_cause_is_found_among_three_cameras(cause: str) -> None:
    agreement = found(FAULTS[cause](filmed(3)))
    assert agreement.is_bad
    assert cause in agreement.cause
    assert agreement.remaining_px < NOISE_PX
    assert agreement.cause in agreement.sentence("take")


@pytest.mark.parametrize(("word", "scale"), [*SQUEEZES.items()])
@pytest.mark.parametrize(("side", "axis"), [("width", 0), ("height", 1)])
def test_pictures_that_were_resized_along_one_side_are_found(
    word: str, scale: float, side: str, axis: int
) -> None:
    agreement = found(squeezed(filmed(2), scale, axis))
    assert agreement.cause == f"the pictures had {word} the calibrated {side}"


def test_borders_around_pictures_are_found() -> None:
    assert "(letterbox) after a resize to a third of" in found(letterboxed(filmed(3))).cause


def test_another_frame_rate_of_one_camera_is_among_the_causes() -> None:
    recording = filmed(4)
    pixels = recording.keypoints[:120].clone()
    pixels[:, 2] = recording.keypoints[::2, 2]
    cause = found(replace(recording.frames(slice(0, 120)), keypoints=pixels)).cause
    assert "camera cam_3 looks wrong" in cause
    assert "its frame rate is another one" in cause


def test_of_two_cameras_that_disagree_none_is_accused_alone() -> None:
    assert found(resized(filmed(2), 0.5)).cause == "the pictures had half the calibrated size"


def test_exchanged_cameras_are_found_among_many() -> None:
    rig = ring_of_cameras(5, radius=4.0, height=1.5, dtype=torch.float64)
    rig = replace(rig, image_size=torch.tensor([[1000, 1000]] * 5))
    recording = filmed(2).frames(slice(0, 100))
    truth = recording.truth
    assert truth is not None
    pixels = rig.project(truth.double().flatten(0, 1)).pixels.unflatten(1, truth.shape[:2])
    many = replace(
        recording,
        cameras=rig,
        keypoints=pixels.transpose(0, 1).float(),
        confidence=torch.ones(len(truth), 5, truth.shape[1]),
    )
    agreement = found(exchanged(many, 0, 4, 2, 3, 1))
    assert agreement.cause == "the detections of cam_2 and cam_5 are exchanged"


SUBTLE: dict[str, Callable[[Recording], Recording]] = {
    "camera cam_2 is 0.4 frames late": lambda recording: late(recording, 0.4, 1),
    "camera cam_3 is 0.4 frames early": lambda recording: late(recording, -0.4, 2),
    "camera cam_1 was moved by 10 cm": lambda recording: moved(recording, 0, 0.1),
}


@pytest.mark.parametrize("cause", SUBTLE)
def test_a_cause_is_found_in_errors_that_are_usual(cause: str) -> None:
    agreement = found(SUBTLE[cause](filmed(4)))
    assert cause in agreement.cause
    assert not agreement.is_bad
    assert not agreement.is_sound
    assert cause in agreement.sentence("take")
    assert agreement.remaining_px < agreement.median_px


@pytest.mark.slow
def test_a_disagreement_without_a_single_cause_is_said_too() -> None:
    wrong = delayed(resized(filmed(4), 0.8, 0), 100, 2)
    agreement = found(mirrored(wrong, 0, 1))
    assert agreement.is_bad
    assert "no single cause explains it" in agreement.sentence("take")


def test_a_cause_that_leaves_a_large_error_is_the_nearest_and_not_the_likely_one() -> None:
    for left, said in ((25.0, "explains it; the nearest is that it rained"), (15.0, "most likely")):
        sentence = Agreement(100.0, 0.25, "it rained", left).sentence("take")
        assert said in sentence
        assert f"which would leave {left} px" in sentence


def test_one_camera_agrees_with_itself() -> None:
    assert camera_agreement(filmed(2).select_views(["cam_1"])) is None


def test_a_joint_that_no_two_cameras_see_says_nothing() -> None:
    recording = filmed(2)
    blind = recording.keypoints.clone()
    blind[:, 0] = torch.nan
    assert camera_agreement(replace(recording, keypoints=blind)) is None


REAL_FAULTS: dict[str, Callable[[Recording], Recording]] = {
    "the detections of cam_01 and cam_02 are exchanged": lambda recording: exchanged(
        recording, 1, 0, 2, 3
    ),
    "cam_04 to cam_01, cam_01 to cam_02": lambda recording: exchanged(recording, 1, 2, 3, 0),
    "the pictures had half the calibrated size": lambda recording: resized(recording, 0.5),
    "the pictures of camera cam_02 had half": lambda recording: resized(recording, 0.5, 1),
    "camera cam_02 looks wrong": lambda recording: moved(recording, 1, 0.3),
}


@pytest.mark.slow
@pytest.mark.parametrize("cause", REAL_FAULTS)
def test_the_cause_is_found_in_the_real_capture(capture_folder: Path, cause: str) -> None:
    (recording,) = read_recordings([str(capture_folder)], ReadSettings())
    assert found(recording).is_sound
    agreement = found(REAL_FAULTS[cause](recording))
    assert cause in agreement.cause
    assert agreement.share > Config().most_disagreement


@pytest.mark.parametrize("behind", [False, True])
def test_poses_of_opengl_and_positions_in_place_of_translations_are_found(*, behind: bool) -> None:
    recording = filmed(3).frames(slice(0, 40))
    pose = recording.cameras.camera_from_world
    flip = torch.diag(pose.new_tensor([1.0, -1.0, -1.0, 1.0]))
    placed = pose.clone()
    placed[:, :3, 3] = recording.cameras.centers
    poses, cause = (flip @ pose, "OpenGL") if behind else (placed, "positions of the cameras")
    cameras = replace(recording.cameras, camera_from_world=poses)
    assert cause in found(replace(recording, cameras=cameras)).cause


@pytest.mark.parametrize("first", [60, 120])
def test_a_camera_that_is_wrong_from_a_frame_on_is_named_with_it(first: int) -> None:
    recording = filmed(3)
    pixels = recording.keypoints.clone()
    pixels[first:, 1] *= 0.8
    sentence = found(replace(recording, keypoints=pixels)).sentence("walk")
    (frame,) = re.findall(r"cam_2 looks wrong from frame (\d+) on", sentence)
    assert 0 <= int(frame) - first < 6


def test_a_copied_file_is_named() -> None:
    pixels = filmed(3).keypoints.clone()
    pixels[:, 1] = pixels[:, 0]
    cause = found(replace(filmed(3), keypoints=pixels)).cause
    assert cause == "the detections of cam_1 and cam_2 are equal: one file is a copy"


@pytest.mark.parametrize("k1", [-0.2, 0.0])
def test_lens_distortion_that_the_calibration_lacks_is_named(k1: float) -> None:
    recording = filmed(4)
    K = recording.cameras.intrinsics.clone()
    K[:, 0, 0] = K[:, 1, 1] = 500.0
    pinholes = replace(recording.cameras, intrinsics=K, distortion=None)
    distortion = K.new_zeros(4, 5)
    distortion[:, 0] = k1
    assert recording.truth is not None
    pixels = replace(pinholes, distortion=distortion).project(recording.truth.double()).pixels
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    shown = replace(recording, cameras=pinholes, keypoints=pixels.float() + 0.05 * noise)
    cause = "the calibration lacks the distortion of the lenses (k1 near -0.2)" if k1 else ""
    assert found(shown).cause == cause
