"""Laws of single files of tracks: odd ones are read, wrong ones are named with their place."""

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from multiview_geom import save_cameras
from selfsup_lifting.files import ReadError, read_results
from selfsup_lifting.files.detectors import read_tracks
from selfsup_lifting.files.other_kinds import format_of
from selfsup_lifting.files.tracks.view_tracks import ViewTracks
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.skeleton.skeletons import SKELETONS
from tests.selfsup_lifting.files import layouts
from tests.selfsup_lifting.strategies import Scene

FLAT = [1.0, 2.0, 0.5] * 17
PAIRS = [[1.0, 2.0]] * 17
CALISCOPE = "sync_index,cam_id,frame_time,keypoint_id,img_loc_x,img_loc_y,obj_loc_x,obj_loc_y"
DLC = "scorer,net,net\nbodyparts,{},{}\ncoords,{},{}\n"


def written(folder: Path, name: str, content: Any) -> Path:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / name


def read(folder: Path, name: str, content: Any, declared: str | None = None) -> ViewTracks:
    (view,) = read_tracks(written(folder, name, content), declared)
    return view


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json", [{"image_id": 1, "keypoints": FLAT}, {"score": 1.0}],
         r"a.json, [1]: expected `image_id` and `keypoints`, got ['score']"),
        ("a.json", [{"image_id": "none.jpg", "keypoints": FLAT}],
         "a.json: expected a frame number in the name 'none.jpg', got no digit"),
        ("a.json", [{"image_id": 1, "keypoints": FLAT, "idx": one} for one in (1, 2, 1)],
         "a.json, frame 1: contains person 1 twice"),
        ("a.json", [{"frame_id": 0, "instances": []}],
         "a.json: no frame contains a person, so the skeleton is unknown; name it with "
         "--detected-skeleton"),
        ("a.json", [{"frame_id": 0, "instances": []}, {"instances": []}],
         "a.json, [1]: expected `frame_id` and `instances`, got ['instances']"),
        ("a.json", {"meta_info": {"keypoint_id2name": {"0": "nose"}},
                    "instance_info": [{"frame_id": 1, "instances": [{"keypoints": PAIRS}]}]},
         "a.json, meta_info.keypoint_id2name: names 1 joints, but the instances have 17 keypoints; "
         "name the skeleton with --detected-skeleton"),
        ("a.json", {"meta_info": {"keypoint_id2name": ["nose"]},
                    "instance_info": [{"frame_id": 1, "instances": [{"keypoints": PAIRS}]}]},
         "a.json, meta_info.keypoint_id2name: expected a name for each number of a joint, got "
         "['nose']"),
        ("a.csv", f"{CALISCOPE}\n", "a.csv: expected rows below the header, got none"),
        ("a.csv", f"{CALISCOPE}\n0,1,0.1,0.5,1,2,,\n",
         "a.csv, row 2: expected a whole number in the column keypoint_id, got '0.5'"),
        ("a.csv", f"{CALISCOPE}\n-1,1,0.1,0,1,2,,\n",
         "a.csv, row 2: expected a whole number in the column sync_index, got '-1'"),
        ("a.csv", f"{CALISCOPE}\n0,1,0.1,0,left,2,,\n",
         "a.csv, row 2: expected a number in the column img_loc_x, got 'left'"),
        ("a.csv", f"{CALISCOPE}\n0,,0.1,0,1,2,,\n",
         "a.csv, row 2: expected the number of a camera, got ''"),
        ("a.csv", "frame,nose_x,nose_y\n0,1,5,2,5\n",
         "a.csv, row 2: expected 3 cells, got 5; likely cause: a separator in a cell, such as a "
         "decimal comma"),
        ("a.csv", "frame,nose_x,nose_y\n", "a.csv: expected rows below the header, got none"),
        ("a.csv", "frame,nose_x,nose_y\n0.5,1,2\n",
         "a.csv, row 2: expected a frame number, got '0.5'"),
        ("a.csv", "frame,nose_x,nose_y\n0,1,2\n0,1,2\n",
         "a.csv, frame 0: the file contains this frame twice; several people need a column "
         "`person`, and several cameras a column `camera`"),
        ("a.csv", "frame,person,nose_x,nose_y\n0,ann,1,2\n0,ann,1,2\n",
         "a.csv, frame 0: the file contains this frame twice; several people need a column "
         "`person`, and several cameras a column `camera`"),
        ("a.json", [{"image_id": f"{name}_1.jpg", "keypoints": FLAT} for name in ("cam1", "cam2")],
         "a.json, frame 1: cam1_1.jpg and cam2_1.jpg have this number, the last one in their "
         "names; likely cause: the frames of several videos or cameras together"),
        ("a.json", {"frames": [], "landmarks": []},
         "a.json: expected at least one frame, got none"),
        ("a.json", [{"landmarks": [], "frame": 5}, {"landmarks": []}],
         "a.json, [1]: this frame has no number (`frame`, `frame_index`, `frameIndex`), but others "
         "have one"),
        ("a.csv", DLC.format("nose", "nose", "u", "v") + "0,1,2\n",
         "a.csv: expected columns x, y, likelihood, got net/nose/u, net/nose/v"),
        ("a.csv", DLC.format("nose", "nose", "x", "likelihood") + "0,1,2\n",
         "a.csv: expected columns x and y of nose, got ['likelihood', 'x']"),
        ("a.csv", DLC.format("nose", "nose", "x", "x") + "0,1,2\n",
         "a.csv: column net/nose/x appears twice"),
        ("a.csv", DLC.format("nose", "nose", "x", "y") + "0,1,left\n",
         "a.csv, row 4: expected a number, got 'left'"),
        ("a.csv", DLC.format("nose", "nose", "x", "y") + "first,1,2\n",
         "a.csv, row 4: expected a frame number, got 'first'"),
        *[("a.csv", DLC.format("nose", "nose", "x", "y") + f"{frame},1,2\n",
           f"a.csv, row 4: expected a frame number, got {frame!r}") for frame in ("-5", "1.5")],
        ("a.csv", DLC.format("nose", "nose", "x", "y") + "labeled-data/a/img1.png,1,2\n"
         "labeled-data/b/img2.png,1,2\n",
         "a.csv: expected the labels of one video, got those of a, b: give the file of each video"),
        ("a.csv", "scorer,ann,ann,bob,bob\nbodyparts,a,a,a,a\ncoords,x,y,x,y\n0,1,2,3,4",
         "a.csv: expected the columns of one scorer, got those of ann, bob"),
        ("a.json", [{"frame_id": 0, "instances": [{"keypoints": [[1.0, 2.0, 3.0]] * 17}]}],
         "a.json, [0].instances[0].keypoints: expected x and y of every joint, got three numbers; "
         "likely cause: 3D points of the inferencer, which are not the detections of a camera"),
        ("a.csv", "scorer\nbodyparts\ncoords\n0\n",
         "a.csv: expected columns with 3 or 4 header rows, as DeepLabCut writes"),
        ("a.txt", "nothing", "a.txt: in no known format of 2D tracks; known are openpose, "
         "ultralytics, deeplabcut, sleap, videopose3d, freemocap, mediapipe, mmpose, alphapose, "
         "caliscope, csv"),
    ],
)  # fmt: skip
def test_wrong_tracks_are_named(tmp_path: Path, name: str, content: Any, sentence: str) -> None:
    with pytest.raises(ReadError) as refusal:
        read(tmp_path, name, content)
    assert str(refusal.value) == f"{tmp_path}{os.sep}{sentence}"


def test_one_picture_of_openpose_or_alphapose_is_one_frame(tmp_path: Path) -> None:
    people = [{"pose_keypoints_2d": FLAT}, {"pose_keypoints_2d": []}]
    view = read(tmp_path, "a.json", {"version": 1.3, "people": people})
    assert (view.frame_count, view.keypoints.shape[1]) == (1, 1)
    assert view.keypoints[0, 0, 0].tolist() == [1.0, 2.0]


def test_one_picture_of_mmpose_is_one_frame_and_needs_no_scores(tmp_path: Path) -> None:
    people = [{"keypoints": PAIRS}, {"keypoints": []}, {"bbox": [1, 2, 3, 4], "keypoints": None}]
    view = read(tmp_path, "a.json", [*people, {"keypoint_scores": [], "keypoints": []}])
    assert (view.frame_count, view.keypoints.shape[1]) == (1, 1)
    assert view.keypoints[0, 0, 3].tolist() == [1.0, 2.0]
    assert view.confidence.unique().tolist() == [1.0]


def test_a_folder_of_pictures_of_mmpose_is_one_camera(tmp_path: Path) -> None:
    for frame, people in enumerate(([{"keypoints": PAIRS, "keypoint_scores": [0.5] * 17}], [])):
        written(tmp_path, f"{frame:06d}.json", people or [{"keypoints": [], "keypoint_scores": []}])
    (view,) = read_tracks(tmp_path, None)
    assert (view.first_frame, view.frame_count) == (0, 2)
    assert view.confidence[:, 0, 0].tolist() == [0.5, 0.0]


def test_a_file_in_which_nobody_was_found_is_read_with_a_declared_skeleton(tmp_path: Path) -> None:
    frames = [{"frame_id": frame, "instances": []} for frame in range(3)]
    view = read(tmp_path, "a.json", frames, "coco17")
    assert view.keypoints.shape == (3, 1, 17, 2)
    assert view.keypoints.isnan().all()


def test_people_without_a_name_may_share_a_frame_with_others(tmp_path: Path) -> None:
    rows = "0,ann,1,2\n0,,3,4\n0,,5,6\n1,ann,7,8\n"
    view = read(tmp_path, "a.csv", f"frame,person,nose_x,nose_y\n{rows}")
    assert view.keypoints[0, :, 0, 0].tolist() == [1.0, 3.0, 5.0]


def test_the_corners_of_a_board_are_joints(tmp_path: Path) -> None:
    rows = "\n".join(f"{frame},1,{frame / 50},2,{frame + 0.5},7,0.1,0.2" for frame in range(3))
    view = read(tmp_path, "a.csv", f"{CALISCOPE}\n{rows}\n0,1,0,0,1,2,0.0,0.0\n")
    assert view.skeleton.joints == ("corner_0", "corner_1", "corner_2")
    assert view.keypoints[:, 0, 2].tolist() == [[0.5, 7.0], [1.5, 7.0], [2.5, 7.0]]
    assert view.keypoints[:, 0, 1].isnan().all()
    assert view.fps == pytest.approx(50.0)


@pytest.mark.rejects
def test_tracks_of_sleap_need_their_axes(tmp_path: Path) -> None:
    path = layouts.sleap(tmp_path, Scene(views=1, frames=3).recording(), 0)
    with h5py.File(path, "a") as file:
        flat = file["tracks"][0]
        del file["tracks"]
        file["tracks"] = flat
    sentence = r", tracks: expected the axes track, xy, node, frame, got .* of shape \(2, 17, 3\)$"
    with pytest.raises(ReadError, match=sentence):
        read_tracks(path, None)


def custom(folder: Path, cameras: Any, metadata: Any) -> Path:
    positions = {"video": {"custom": cameras}}
    path = folder / "data_2d_custom_a.npz"
    np.savez(path, positions_2d=np.array(positions), metadata=np.array(metadata, dtype=object))
    return path


def test_a_camera_without_poses_keeps_its_number(tmp_path: Path) -> None:
    first, third = np.full((2, 17, 2), 1.0), np.full((2, 17, 2), 3.0)
    views = read_tracks(custom(tmp_path, [first, None, third], {}), "coco17")
    assert [view.camera for view in views] == ["video 1", "video 3"]
    assert [float(view.keypoints.max()) for view in views] == [1.0, 3.0]


def test_a_coordinate_that_is_too_large_is_missing_and_named(tmp_path: Path) -> None:
    positions = np.full((2, 17, 2), 9.0)
    positions[0, 3] = 2.5e19
    path = custom(tmp_path, [positions], {"layout_name": "coco"})
    (result,) = read_results(str(path), ReadSettings())
    assert result.recording.keypoints[0, 0, 3].isnan().all()
    told = f"{path}: 1 points have an infinite coordinate, or one that is too large: missing"
    assert told in result.notes


def test_the_actions_of_a_video_have_their_names(tmp_path: Path) -> None:
    path = custom(tmp_path, [], {"video_metadata": {"video": {"w": 64, "h": 48}}})
    positions = {"video": {"walk": [np.ones((2, 17, 2))], "run": [np.ones((3, 17, 2))]}}
    metadata = {"video_metadata": {"video": {"w": 64, "h": 48}}}
    np.savez(path, positions_2d=np.array(positions), metadata=np.array(metadata, dtype=object))
    views = read_tracks(path, "coco17")
    assert [(view.camera, view.image_size) for view in views] == [
        ("video walk", (64, 48)), ("video run", (64, 48))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fps", "expected"), [(25, 25.0), (29.97, 29.97), ("25", None), (-1, None), (10**400, None)]
)
def test_the_frame_rate_of_a_video_is_used_if_it_is_one(
    tmp_path: Path, fps: Any, expected: float | None
) -> None:
    metadata = {"layout_name": "coco", "video_metadata": {"video": {"fps": fps}}}
    (view,) = read_tracks(custom(tmp_path, [np.ones((2, 17, 2))], metadata), None)
    assert view.fps == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [({"w": 640, "h": 480.0}, (640, 480)), ({"w": 640}, None), (5, None)],
    ids=repr,
)
def test_the_size_of_a_video_is_used_if_it_is_one(
    tmp_path: Path, size: Any, expected: tuple[int, int] | None
) -> None:
    metadata = {"layout_name": "coco", "video_metadata": {"video": size}}
    (view,) = read_tracks(custom(tmp_path, [np.ones((2, 17, 2))], metadata), None)
    assert view.image_size == expected
    assert torch.equal(view.keypoints, torch.ones(2, 1, 17, 2))


@pytest.mark.rejects
@pytest.mark.parametrize("width", [None, float("inf"), "wide"])
def test_a_size_of_a_video_that_is_no_number_is_named(tmp_path: Path, width: Any) -> None:
    metadata = {"layout_name": "coco", "video_metadata": {"video": {"w": width, "h": 1}}}
    sentence = rf"video_metadata/video: expected numbers for `w` and `h`, got {{'w': {width!r}"
    with pytest.raises(ReadError, match=sentence):
        read_tracks(custom(tmp_path, [np.ones((2, 17, 2))], metadata), None)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("cameras", "sentence"),
    [
        (5, "video/custom: expected a list, one array a camera, got 5"),
        ([np.ones((2, 17))], r"video: expected frames x joints x 2 numbers, got float64 of shape "
         r"\(2, 17\)"),
        ([np.ones((0, 17, 2))], "video: expected frames x joints x 2 numbers, got float64 of .*"),
        ([None], "expected at least one frame, got none"),
    ],
    ids=repr,
)  # fmt: skip
def test_wrong_poses_of_a_video_are_named(tmp_path: Path, cameras: Any, sentence: str) -> None:
    with pytest.raises(ReadError, match=rf"data_2d_custom_a\.npz(, |: ){sentence}$"):
        read_tracks(custom(tmp_path, cameras, {}), "coco17")


def test_the_confidence_has_the_name_that_other_programs_give_it(tmp_path: Path) -> None:
    for name in ("confidence", "score", "likelihood", "conf"):
        view = read(tmp_path, "a.csv", f"frame,nose_x,nose_y,nose_{name}\n0,1,2,0.25\n")
        assert view.confidence.item() == 0.25
    view = read(tmp_path, "a.csv", "frame,nose_x,nose_y,nose_p,note\n0,1,2,0.25,good\n")
    assert view.notes == (f"{tmp_path / 'a.csv'}: columns that are not read: nose_p, note",)


def test_a_table_says_after_which_frame_its_camera_lost_others(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.5, 0.6]
    rows = "".join(f"{frame},{time},1,2\n" for frame, time in enumerate(times))
    view = read(tmp_path, "a.csv", f"frame,time,nose_x,nose_y\n{rows}")
    assert len(view.notes) == 1
    assert (
        "camera a lost about 2 frames: after frame 2, the time advances by 0.3 s" in view.notes[0]
    )


@pytest.mark.parametrize(
    ("tick", "how"), [(1 / 64, "advances by two usual steps or more"), (1 / 8, "does not advance")]
)
def test_a_coarse_clock_is_named(tmp_path: Path, tick: float, how: str) -> None:
    times = [tick * int(frame / 50 / tick) for frame in range(60)]
    rows = "".join(f"{frame},{time},1,2\n" for frame, time in enumerate(times))
    (note,) = read(tmp_path, "a.csv", f"frame,time,nose_x,nose_y\n{rows}").notes
    assert f"of the frames of camera a, the time {how}: the clock is coarse, or" in note


@pytest.mark.rejects
def test_joints_that_differ_by_blanks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="'nose ' begins or ends with a blank"):
        read(tmp_path, "a.csv", "frame,nose_x,nose_y,nose _x,nose _y\n0,1,2,3,4\n")


def landmarks(x: float, hips: float) -> list[dict[str, Any]]:
    place = [hips if at in (23, 24) else x for at in range(33)]
    return [{"landmarks": [[{"x": one, "y": one, "visibility": 1.0} for one in place]]}]


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("x", "hips", "got"), [(600.0, 500.0, "up to 600: pixels"), (0.3, 0.0, "world landmarks")]
)
def test_landmarks_in_another_unit_are_refused(
    tmp_path: Path, x: float, hips: float, got: str
) -> None:
    with pytest.raises(ReadError, match=f"expected shares of width and height, got .*{got}"):
        read(tmp_path, "a.json", landmarks(x, hips))
    assert read(tmp_path, "a.json", landmarks(0.3, 1.4)).keypoints[0, 0, 0].isfinite().all()


@pytest.mark.rejects
def test_twelve_joints_of_three_numbers_are_not_seventeen_of_two(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "a_1.txt").write_text(" ".join(["0"] + ["0.5"] * 40))
    with pytest.raises(ReadError, match="labels of Ultralytics without 17 keypoints"):
        read_tracks(labels, None)
    (labels / "a_1.txt").write_text(" ".join(["0"] + ["0.5"] * 39 + ["7"]))
    assert read_tracks(labels, None)[0].frame_count == 1


@pytest.mark.rejects
@pytest.mark.parametrize("digits", [13, 200])
def test_a_frame_number_of_ultralytics_that_is_too_long_is_named(
    tmp_path: Path, digits: int
) -> None:
    for name in ("a_1", "a_" + "9" * digits):
        (tmp_path / f"{name}.txt").write_text(" ".join(["0"] + ["0.5"] * 38))
    sentence = (
        r"/a_9+\.txt: expected a frame number of at most 12 digits at the end of the name, got"
    )
    with pytest.raises(ReadError, match=sentence):
        read_tracks(tmp_path, None)


def test_labeled_pictures_of_two_cameras_have_frames_of_their_own(tmp_path: Path) -> None:
    text = DLC.format("nose", "nose", "x", "y")
    for name, frames in {"a": (1, 7), "b": (3, 9)}.items():
        rows = "".join(f"labeled-data/{name}/img{frame}.png,1,2\n" for frame in frames)
        view = read(tmp_path, f"{name}.csv", text + rows)
        assert (view.first_frame, view.last_frame) == frames
        assert not view.whole_span


def test_times_in_another_column_are_named(tmp_path: Path) -> None:
    view = read(tmp_path, "a.csv", "frame,timestamp,nose_x,nose_y\n0,0.0,1,2\n")
    assert view.notes[0].endswith("timestamp is not read; times in seconds are read from `time`")


def test_times_that_are_all_the_same_are_named(tmp_path: Path) -> None:
    view = read(tmp_path, "a.csv", "frame,time,nose_x,nose_y\n0,0,1,2\n1,0,1,2\n2,0,1,2\n")
    assert view.notes[0].endswith("a.csv: the time is 0 in every frame, and says no frame rate")
    assert view.fps is None
    assert not read(tmp_path, "b.csv", "frame,time,nose_x,nose_y\n0,0,1,2\n").notes


PIXEL = {"x": 0.5, "y": 0.5, "visibility": 0.9}


@pytest.mark.parametrize("odd", [10**400, 2**63, "40", True, [40], -1e308])
def test_a_time_of_mediapipe_that_is_none_is_named(tmp_path: Path, odd: object) -> None:
    times = (0, 20, odd, None, 80, odd)
    frames = [{"timestamp_ms": time, "landmarks": [[PIXEL] * 33]} for time in times]
    view = read(tmp_path, "a.json", json.dumps(frames))
    assert view.fps == pytest.approx(50)
    assert view.notes == (
        f"{tmp_path / 'a.json'}: the time of frame 2 and 1 more of camera a is no number below "
        "1e+18, and counts as unknown",
    )


@pytest.mark.rejects
def test_landmarks_of_mediapipe_that_contradict_are_refused(tmp_path: Path) -> None:
    frame = {"landmarks": [[PIXEL] * 33], "poseLandmarks": [[PIXEL] * 33]}
    assert len(read(tmp_path, "a.json", json.dumps([frame])).confidence) == 1
    frame["poseLandmarks"] = [[{**PIXEL, "x": 0.25}] * 33]
    sentence = r"a\.json, \[1\]: expected equal landmarks in poseLandmarks and landmarks, got diff"
    with pytest.raises(ReadError, match=sentence):
        read(tmp_path, "a.json", json.dumps([{}, frame]))


@pytest.mark.rejects
@pytest.mark.parametrize("odd", ["1e308", "inf", "-1e18"])
def test_a_time_of_a_table_that_is_none_is_refused(tmp_path: Path, odd: str) -> None:
    with pytest.raises(ReadError, match=rf"a\.csv, row 3: expected a time in seconds, got '{odd}'"):
        read(tmp_path, "a.csv", f"frame,time,nose_x,nose_y\n0,0,1,2\n1,{odd},1,2\n")
    with pytest.raises(ReadError, match=rf"row 2: expected seconds in the column .*, got '{odd}'"):
        read(tmp_path, "b.csv", f"{CALISCOPE}\n0,1,{odd},1,2,3,,\n")


def test_times_of_mediapipe_that_jump_are_named(tmp_path: Path) -> None:
    person = [PIXEL] * 33
    frames = [{"timestamp_ms": time, "landmarks": [person]} for time in (0, 33, 66, 166, 200)]
    view = read(tmp_path, "a.json", json.dumps(frames))
    assert "lost about 2 frames: after frame 2, the time advances by 0.1 s" in view.notes[0]
    view = read(tmp_path, "r.json", json.dumps(frames[::-1]))
    assert "the times decrease from frame to frame" in view.notes[0]
    numbered = {str(frame): {"landmarks": [person]} for frame in (3, 4)}
    view = read(tmp_path, "b.json", json.dumps(numbered))
    assert (view.first_frame, view.confidence.shape[0]) == (3, 2)
    numbered = {"0": {"landmarks": [person]}, "1": person, "2": None}
    view = read(tmp_path, "c.json", json.dumps(numbered))
    assert view.confidence[:, 0, 0].bool().tolist() == [True, True, False]


def test_the_joints_of_mmpose_are_put_in_order_by_their_names(tmp_path: Path) -> None:
    joints = SKELETONS["coco17"].joints[::-1]
    pixels = [[float(at), 1.0] for at in range(17)]
    meta = {"keypoint_id2name": {str(at): name for at, name in enumerate(joints)}}
    frames = [{"frame_id": 1, "instances": [{"keypoints": pixels}]}]
    view = read(tmp_path, "a.json", {"meta_info": meta, "instance_info": frames})
    assert view.skeleton.name == "coco17"
    assert view.keypoints[0, 0, :, 0].tolist() == list(range(16, -1, -1))
    declared = read(tmp_path, "a.json", {"meta_info": meta, "instance_info": frames}, "coco17")
    assert torch.equal(declared.keypoints, view.keypoints)


def test_a_camera_of_caliscope_that_is_late_is_told_by_its_times(tmp_path: Path) -> None:
    rows = [f"{at},{one},{at / 30 + 2 * (one == 1)},0,1,2,," for at in range(3) for one in range(3)]
    text = "\n".join([CALISCOPE, *rows])
    views = read_tracks(written(tmp_path, "a.csv", text), None)
    assert [view.first_time for view in views] == pytest.approx([0.0, 2.0, 0.0])


def test_landmarks_without_visibility_have_their_presence_as_score(tmp_path: Path) -> None:
    point = {"x": 0.4, "y": 0.5, "visibility": None, "presence": 0.25}
    scores = read(tmp_path, "a.json", [{"landmarks": [[point] * 33]}]).confidence
    assert (scores == 0.25).all()
    both = {**point, "visibility": 0.75}
    assert (read(tmp_path, "a.json", [{"landmarks": [[both] * 33]}]).confidence == 0.75).all()


def test_labels_of_another_skeleton_are_read_if_it_is_declared(tmp_path: Path) -> None:
    paw = tmp_path / "paw.toml"
    paw.write_text('joints = ["a", "b", "c", "d"]\nbones = [["a", "b"]]\nroot = ["a"]\n')
    labels = tmp_path / "labels"
    labels.mkdir()
    for frame in range(3):
        joints = " ".join(f"0.{4 + frame} 0.{at + 1} 0.9" for at in range(4))
        (labels / f"a_{frame + 1}.txt").write_text(f"0 0.5 0.5 0.2 0.4 {joints}\n")
    assert read_tracks(labels, str(paw))[0].keypoints.shape == (3, 1, 4, 2)
    with pytest.raises(ReadError, match=r"17 joints .*--detected-skeleton names others.*17 words"):
        read_tracks(labels, None)


@pytest.mark.rejects
@pytest.mark.parametrize("lengths", [(0, 0, 0), (1, 2, 3), (2, 2, 2)])
def test_boxes_and_outlines_are_no_joints(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for frame, length in enumerate(lengths):  # a box, an outline, a box that is turned
        (labels / f"a_{frame}.txt").write_text("0" + " 0.5" * (4 + 2 * length))
    with pytest.raises(ReadError, match="labels of Ultralytics without 17 keypoints"):
        read_tracks(labels, None)


@pytest.mark.rejects
def test_the_arrays_of_an_unknown_archive_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", points=np.zeros((2, 17, 3)))
    assert "a NumPy archive with points; expected `positions_2d`" in format_of(tmp_path / "p.npz")


LANDMARKS = [[{"x": 0.5, "y": 0.5, "visibility": 0.9}] * 33]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "frame,nose_x,nose_y,nose_conf\n0,1,,0.5\n1,5,6,0.5\n",
         "1 points have only one coordinate: missing"),
        ("a.csv", "frame,nose_x,nose_y,nose_conf\n0,inf,2,0.5\n1,5,6,0.5\n",
         "1 points have an infinite coordinate, or one that is too large: missing"),
        ("a.csv", "frame,nose_x,nose_y,nose_conf\n0,1,2,inf\n1,5,6,0.5\n",
         "1 points have an infinite confidence: missing"),
        ("a.csv", "frame,nose_x,nose_y,nose_conf\n0,1,2,0\n1,5,6,0\n",
         "2 points have the confidence 0, as all in the file: missing"),
        ("a.csv", "frame,nose_x,nose_y,tail_y,track_id\n0,1,2,3,4\n",
         "columns that are not read: tail_y, track_id"),
        ("a.csv", "scorer,n,n,n\nbodyparts,a,a,a\ncoords,x,y,p\n0,1,2,0.01\n",
         "coordinates that are not read: p"),
        ("a.csv", f"{CALISCOPE},score\n0,1,0.1,0,1,2,,,0.5\n", "columns that are not read: score"),
        ("a.csv", "frame,person,nose_x,nose_y\n0,ann,1,2\n0,,3,4\n",
         "people are not kept, because some people have none; --person cannot choose one"),
        ("a.csv", "frame,person,nose_x,nose_y\n" + "".join(f"0,p{at},1,2\n" for at in range(33)),
         "people are not kept, because they are more than 32"),
        ("a.json", {"fps": 30, "frames": [{"landmarks": LANDMARKS}]},
         "keys that are not read: fps"),
        ("a.json", [{"image_id": 1, "category_id": kind, "keypoints": FLAT} for kind in (1, 2)],
         "has several categories, 1, 2; everything is read as one kind of body"),
        ("a.json", {"fps": 30, "instance_info": [{"frame_id": 1, "instances": [
            {"keypoints": PAIRS}]}]}, "keys that are not read: fps"),
        ("a.json", [{"image_id": f"{one}_{at}.jpg", "keypoints": FLAT}
                    for at, one in enumerate(("walk", "run"))],
         "frames are named in several ways, walk_#, run_#, and are read as those of one video"),
    ],
)  # fmt: skip
def test_what_is_left_out_of_a_file_is_named(
    tmp_path: Path, name: str, content: Any, said: str
) -> None:
    assert said in " ".join(read(tmp_path, name, content).notes)


@pytest.mark.rejects
def test_cameras_in_one_file_of_mmpose_are_told_to_be_written_apart(tmp_path: Path) -> None:
    frames = [{"frame_id": 0, "instances": [{"keypoints": PAIRS}]}]
    with pytest.raises(ReadError, match="got an object with cam_1, cam_2; if these are cameras"):
        read(tmp_path, "a.json", {"cam_1": frames, "cam_2": frames})


def test_the_end_of_a_name_is_no_frame_number(tmp_path: Path) -> None:
    people = [{"image_id": f"img{frame}.jp2", "keypoints": FLAT, "idx": 3.0} for frame in (4, 5)]
    view = read(tmp_path, "a.json", people)
    assert (view.first_frame, view.frame_count, view.people) == (4, 2, ("3",))
    tracked = [{"image_id": 1, "keypoints": FLAT, "track_id": one} for one in ("a", "b")]
    assert read(tmp_path, "b.json", tracked).people == ("a", "b")


def test_frames_of_an_object_are_those_under_their_numbers(tmp_path: Path) -> None:
    frames = {str(frame): {"landmarks": LANDMARKS, "time": frame / 25} for frame in (3, 4, 6)}
    view = read(tmp_path, "a.json", {"frames": frames})
    assert (view.first_frame, view.frame_count) == (3, 4)
    assert view.fps == pytest.approx(25.0)


def test_the_rate_is_by_the_times_that_are_known(tmp_path: Path) -> None:
    rows = "3,,1,2\n2,0.1,1,2\n0,0.0,1,2\n1,0.05,1,2\n"
    assert read(tmp_path, "a.csv", f"frame,time,nose_x,nose_y\n{rows}").fps == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.CSV", DLC.format("nose", "nose", "x", "y") + "0,1,2\n"),
     ("a.CSV", "frame,nose_x,nose_y\n0,1,2\n")],
)  # fmt: skip
def test_a_suffix_in_capitals_changes_nothing(tmp_path: Path, name: str, text: str) -> None:
    assert read(tmp_path, name, text).keypoints[0, 0, 0].tolist() == [1.0, 2.0]


def test_a_folder_of_files_with_suffixes_in_capitals_is_read(tmp_path: Path) -> None:
    for frame in range(2):
        content = {"people": [{"pose_keypoints_2d": FLAT}]}
        written(tmp_path, f"cam_{frame}_keypoints.JSON", content)
        (tmp_path / f"._cam_{frame}_keypoints.JSON").write_bytes(b"\0\5\x16\7")  # of macOS
    assert read_tracks(tmp_path, None)[0].frame_count == 2


def test_all_blocks_of_a_pandas_table_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name in ("df", "other"):
            group = file.create_group(name)
            group.attrs["pandas_type"], group.attrs["nblocks"] = "frame", 2
            group["axis1"] = [4, 5]
            for block, (part, axes) in enumerate((("nose", "xy"), ("tail", "xy"))):
                group.attrs[f"block{block}_items_nlevels"] = 3
                levels = (["net"], [part], [*axes])
                for at, (level, labels) in enumerate(
                    zip(levels, ([0, 0], [0, 0], [0, 1]), strict=True)
                ):
                    group[f"block{block}_items_level{at}"] = [one.encode() for one in level]
                    group[f"block{block}_items_label{at}"] = labels
                group[f"block{block}_values"] = np.full((2, 2), 7 + block)
    (view,) = read_tracks(path, None)
    assert (view.first_frame, view.skeleton.joints) == (4, ("nose", "tail"))
    assert view.keypoints[0, 0, :, 0].tolist() == [7.0, 8.0]
    assert view.notes == (f"{path}: has the tables df, other; only the first is read",)


def test_pictures_are_numbered_by_the_last_number_in_their_names(tmp_path: Path) -> None:
    rows = "labeled-data/a/cam2-img0012.png,1,2\nlabeled-data/a/cam2-img0013.png,1,2\n"
    view = read(tmp_path, "a.csv", DLC.format("nose", "nose", "x", "y") + rows)
    assert (view.first_frame, view.frame_count) == (12, 2)


def test_arrays_of_freemocap_that_are_not_read_are_named(tmp_path: Path) -> None:
    for home in ("output_data", "output_data/raw_data"):
        name = tmp_path / home / "mediapipe_2dData_numCams_numFrames_numTrackedPoints_pixelXY.npy"
        name.parent.mkdir(exist_ok=True)
        np.save(name, np.ones((1, 2, 33, 3)))
    (view,) = read_tracks(tmp_path, None)
    assert view.notes[-1].startswith(f"{tmp_path}: output_data/raw_data/mediapipe_2dData")
    other = tmp_path / "openpose_2dData_numCams_numFrames_numTrackedPoints_pixelXY.npy"
    np.save(other, np.ones((1, 2, 135, 2)))
    (view,) = read_tracks(other, None)
    assert any("taken for MediaPipe's, but its name does not say so" in one for one in view.notes)


@pytest.mark.parametrize(
    ("sizes", "expected", "notes"),
    [
        ([(640, 480)] * 2, (640, 480), 0),
        ([(640, 480), (320, 240)], None, 1),
        ([(True, 480), (10**30, 2)], None, 0),
    ],
)
def test_the_size_of_the_canvas_in_the_files_of_dwpose_is_read(
    tmp_path: Path, sizes: list[tuple[int, int]], expected: tuple[int, int] | None, notes: int
) -> None:
    for frame, (width, height) in enumerate(sizes):
        people = [{"pose_keypoints_2d": [9.0, 9.0, 0.5] * 17}]
        content = {"people": people, "canvas_width": width, "canvas_height": height}
        (tmp_path / f"{frame}.json").write_text(json.dumps(content))
    (view,) = read_tracks(tmp_path, "coco17")
    assert view.image_size == expected
    several = [note for note in view.notes if "several sizes: (320, 240), (640, 480)" in note]
    assert len(several) == notes


def test_a_size_of_the_picture_that_contradicts_the_calibration_is_noted(tmp_path: Path) -> None:
    metadata = {"video_metadata": {"video": {"w": 640, "h": 480}}}
    custom(tmp_path, [np.full((2, 17, 2), 9.0)], metadata)
    save_cameras(tmp_path / "rig.toml", Scene(views=1).recording().cameras, format="toml")
    settings = ReadSettings(cameras=tmp_path / "rig.toml", detected_skeleton="coco17")
    (result,) = read_results(str(tmp_path / "data_2d_custom_a.npz"), settings)
    assert any("video are 640 x 480 px by its file" in note for note in result.notes)


@pytest.mark.parametrize(
    ("layout", "left", "skeleton", "notes"),
    [
        ({}, [4, 5, 6, 11, 12, 13], "h36m17", 0),
        ({"layout_name": "coco"}, [4, 5, 6, 11, 12, 13], "coco17", 1),
        ({"layout_name": "coco"}, list(range(1, 17, 2)), "coco17", 0),
        ({}, [0], "coco17", 1),
        ({}, "left", "coco17", 0),
    ],
)
def test_the_sides_in_the_metadata_say_which_skeleton_it_is(
    tmp_path: Path, layout: dict[str, str], left: Any, skeleton: str, notes: int
) -> None:
    path = custom(tmp_path, [np.ones((2, 17, 2))], {**layout, "keypoints_symmetry": [left, []]})
    (view,) = read_tracks(path, None)
    assert (view.skeleton.name, len(view.notes)) == (skeleton, notes)


@pytest.mark.parametrize("largest", [20, 32])
def test_a_table_of_hands_is_not_read_as_a_body_without_a_word(
    tmp_path: Path, largest: int
) -> None:
    rows = [f"0,{camera},0,{at},1,2,," for camera in range(2) for at in range(largest + 1)]
    views = read_tracks(written(tmp_path, "xy_HAND.csv", "\n".join([CALISCOPE, *rows])), None)
    notes = [note for view in views for note in view.notes if "tracker of hands" in note]
    assert len(notes) == (largest < 32)


@pytest.mark.rejects
def test_labels_in_pixels_are_refused(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "a_1.txt").write_text("0 .5 .5 .2 .4" + " 300 200 .9" * 17)
    with pytest.raises(ReadError, match=r"line 1: expected shares .* up to 300: pixels"):
        read_tracks(labels, None)


@pytest.mark.rejects
def test_the_model_mpi_of_openpose_needs_its_skeleton(tmp_path: Path) -> None:
    people = {"people": [{"pose_keypoints_2d": [1.0] * 45}]}
    (tmp_path / "cam_0_keypoints.json").write_text(json.dumps(people))
    with pytest.raises(ReadError, match="--detected-skeleton for 15 keypoints: OpenPose's model"):
        read_tracks(tmp_path, None)
    (view,) = read_tracks(tmp_path, "humaneva15")
    assert view.skeleton.name == "humaneva15"


def test_a_table_of_deeplabcut_with_a_column_in_front_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",scorer,DLC\n,bodyparts,nose\n,coords,x\n0,0,1.0\n")
    assert "DeepLabCut with another column before `scorer`" in format_of(tmp_path / "a.csv")


def test_a_training_of_ultralytics_is_known(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "args.yaml").write_text("task: pose")
    assert "a training of Ultralytics without labels" in format_of(tmp_path)
