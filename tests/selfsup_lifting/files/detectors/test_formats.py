"""Laws of detectors' layouts: each file reads as it was written, by content alone."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.testing import assert_close

from selfsup_lifting.evaluation.inspection import inspect_source
from selfsup_lifting.files import ReadError, read_recordings
from selfsup_lifting.files.detectors import read_tracks
from selfsup_lifting.files.tracks.view_tracks import Scale
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from tests.selfsup_lifting.files import layouts
from tests.selfsup_lifting.files.layouts import BODIES, WITHOUT_SCORES, WRITERS, write_session
from tests.selfsup_lifting.strategies import Scene

layout_names = st.sampled_from(sorted(WRITERS))
LAYOUTS = sorted(WRITERS)


def filmed(layout: str, scene: Scene) -> Recording:
    """Film a scene as a layout can tell it: without scores, or joints beyond the picture."""
    recording = replace(scene, skeleton=BODIES[layout]).recording()
    recording.confidence[0, :, 0] = 1.0
    recording.keypoints[0, :, 0] = recording.keypoints[0, :, 0].nan_to_num(500.0)
    if layout == "mediapipe":
        size = recording.cameras.image_size[:, None]
        outside = ((recording.keypoints < 0) | (recording.keypoints > size)).any(dim=-1)
        recording.keypoints[outside], recording.confidence[outside] = torch.nan, 0.0
    if layout in WITHOUT_SCORES:
        return replace(recording, confidence=(recording.confidence > 0).float())
    return recording


scenes = st.builds(
    Scene,
    views=st.integers(2, 3),
    frames=st.integers(3, 5),
    seed=st.integers(0, 1000),
    missing=st.sampled_from([0.0, 0.3]),
)


@given(layout_names, scenes)
@example("mediapipe", Scene(views=2, frames=4, seed=2, missing=0.0))  # a joint beyond the picture
@example("openpose_in_shares", Scene(views=2, frames=3, seed=300, missing=0.0))  # and here
def test_a_session_reads_as_it_was_filmed(
    tmp_path_factory: pytest.TempPathFactory, layout: str, scene: Scene
) -> None:
    recording = filmed(layout, scene)
    folder = write_session(tmp_path_factory.mktemp("any") / "session", recording, WRITERS[layout])
    # Drawn joints have no anatomy by which 17 joints could be told from others.
    settings = ReadSettings(detected_skeleton=BODIES[layout])
    (read,) = read_recordings([str(folder)], settings)
    assert_close(read.keypoints, recording.keypoints, rtol=0, atol=1e-3, equal_nan=True)
    assert_close(read.confidence, recording.confidence, rtol=0, atol=1e-6)
    assert_close(read.cameras.projections, recording.cameras.projections, rtol=0, atol=1e-6)
    assert read.skeleton.joints == recording.skeleton.joints


@given(layout_names, scenes)
def test_one_camera_alone_reads_as_it_was_filmed(
    tmp_path_factory: pytest.TempPathFactory, layout: str, scene: Scene
) -> None:
    recording = filmed(layout, scene)
    folder = write_session(tmp_path_factory.mktemp("any") / "session", recording, WRITERS[layout])
    alone = WRITERS[layout](tmp_path_factory.mktemp("alone"), recording, 1)
    settings = ReadSettings(cameras=folder / "calibration.toml")
    (read,) = read_recordings([str(alone)], settings)
    assert read.cameras.names == ("cam_2",)
    assert_close(read.keypoints, recording.keypoints[:, 1:2], rtol=0, atol=1e-3, equal_nan=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_inspection_reports_the_layout_and_what_is_missing(tmp_path: Path, layout: str) -> None:
    recording = filmed(layout, Scene(views=3, frames=20, missing=0.3))
    folder = write_session(tmp_path / "session", recording, WRITERS[layout])
    inspection = asdict(inspect_source(str(folder), ReadSettings()))
    assert inspection["reader"] == "capture"
    assert inspection["frames"] == 20
    assert list(inspection["cameras"]) == ["cam_1", "cam_2", "cam_3"]
    assert inspection["missing_share"] == pytest.approx(
        recording.keypoints[..., 0].isnan().float().mean()
    )


def test_what_one_camera_saw_can_be_read_without_calibration(tmp_path: Path) -> None:
    recording = filmed("mmpose", Scene(frames=3))
    path = layouts.mmpose(tmp_path, recording, 0)
    (read,) = read_recordings([str(path)], ReadSettings())
    assert_close(read.keypoints, recording.keypoints[:, :1], rtol=0, atol=1e-3, equal_nan=True)
    assert read.cameras.image_size is not None
    assert (read.keypoints.nan_to_num(0.0)[:, 0] < read.cameras.image_size[0]).all()


def test_a_video_gives_its_size(tmp_path: Path) -> None:
    path = layouts.videopose3d(tmp_path, filmed("videopose3d", Scene(frames=3)), 0)
    (read,) = read_recordings([str(path)], ReadSettings())
    assert read.cameras.image_size is not None
    assert read.cameras.image_size.tolist() == [[1000, 1000]]


def test_alphapose_scores_become_confidences(tmp_path: Path) -> None:
    recording = filmed("alphapose", Scene(views=2, frames=10))
    loud = replace(recording, confidence=recording.confidence * 5)
    folder = write_session(tmp_path / "session", loud, layouts.alphapose)
    (read,) = read_recordings([str(folder)], ReadSettings())
    assert read.confidence.max() == 1
    assert_close(
        read.confidence.argsort(dim=-1)[0, 0, 1:-1],
        recording.confidence.argsort(dim=-1)[0, 0, 1:-1],
    )


def test_frames_that_a_list_leaves_out_are_missing(tmp_path: Path) -> None:
    recording = filmed("coco_results", Scene(views=2, frames=6))
    recording.keypoints[4:, 0], recording.confidence[4:, 0] = torch.nan, 0.0
    recording.keypoints[2, 1], recording.confidence[2, 1] = torch.nan, 0.0
    folder = write_session(tmp_path / "session", recording, layouts.coco_results)
    (read,) = read_recordings([str(folder)], ReadSettings())
    assert_close(read.keypoints, recording.keypoints, rtol=0, atol=1e-3, equal_nan=True)


def test_time_gives_the_frames_per_second(tmp_path: Path) -> None:
    recording = filmed("plain_csv", Scene(frames=5))
    (read,) = read_recordings([str(layouts.plain_csv(tmp_path, recording, 0))], ReadSettings())
    assert read.fps == pytest.approx(50.0)


def test_one_csv_may_hold_every_camera(tmp_path: Path) -> None:
    recording = filmed("plain_csv", Scene(views=2, frames=3))
    folder = write_session(tmp_path / "session", recording, layouts.plain_csv)
    header, *_ = (folder / "cam1.csv").read_text().splitlines()[1:]
    rows = [
        f"cam{view},{row}"
        for view in (1, 2)
        for row in (folder / f"cam{view}.csv").read_text().splitlines()[2:]
    ]
    for view in (1, 2):
        (folder / f"cam{view}.csv").unlink()
    (folder / "all.csv").write_text("\n".join([f"camera,{header}", *rows]))
    (read,) = read_recordings([str(folder / "all.csv")], ReadSettings())
    assert_close(read.keypoints, recording.keypoints, rtol=0, atol=1e-3, equal_nan=True)


def test_the_user_may_name_the_animal(tmp_path: Path) -> None:
    recording = filmed("dlc_csv_of_several", Scene(frames=3))
    path = layouts.dlc_csv_of_several(tmp_path, recording, 0)
    settings = ReadSettings(person="mouse1")
    (read,) = read_recordings([str(path)], settings)
    assert_close(read.keypoints, recording.keypoints[:, :1], rtol=0, atol=1e-3, equal_nan=True)


def test_a_skeleton_of_your_own_chooses_and_orders_the_joints(tmp_path: Path) -> None:
    body = tmp_path / "arm.toml"
    body.write_text(
        'joints = ["left_wrist", "left_elbow", "left_shoulder"]\nroot = ["left_shoulder"]\n'
        'bones = [["left_shoulder", "left_elbow"], ["left_elbow", "left_wrist"]]\n'
    )
    recording = filmed("dlc_csv", Scene(frames=3))
    path = layouts.dlc_csv(tmp_path, recording, 0)
    (read,) = read_recordings([str(path)], ReadSettings(detected_skeleton=str(body)))
    assert read.skeleton.joints == ("left_wrist", "left_elbow", "left_shoulder")
    expected = recording.keypoints[:, :1, [9, 7, 5]]
    assert_close(read.keypoints, expected, rtol=0, atol=1e-3, equal_nan=True)


def test_nodes_and_edges_of_an_animal_become_its_skeleton(tmp_path: Path) -> None:
    recording = filmed("sleap", Scene(frames=3))
    animal = replace(
        recording.skeleton,
        joints=(*(f"part_{joint}" for joint in range(16)), "tail_base"),
        mirrored=(),
    )
    path = layouts.sleap(tmp_path, replace(recording, skeleton=animal), 0)
    (read,) = read_recordings([str(path)], ReadSettings())
    assert read.skeleton.joints == animal.joints
    assert read.skeleton.root == (16,)
    links = {frozenset(bone) for bone in read.skeleton.bones}
    assert links == {frozenset(bone) for bone in animal.bones}


@pytest.mark.rejects
def test_a_pickle_that_runs_something_is_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (eval, ("1/0",))

    path = tmp_path / "data_2d_custom_bomb.npz"
    np.savez(path, positions_2d=np.array(Bomb(), dtype=object), metadata=np.array({}))
    with pytest.raises(
        ReadError, match=r"bomb\.npz: its pickle .*could run code.* builtins\.eval is not allowed"
    ):
        read_recordings([str(path)], ReadSettings())


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (ReadSettings(person="cat"), "there is no person 'cat'; known are mouse1"),
        (ReadSettings(detected_skeleton="h36m17"), "'h36m17' has the joints pelvis, .* the file"),
    ],
)
def test_what_the_file_lacks_is_named(
    tmp_path: Path, settings: ReadSettings, sentence: str
) -> None:
    path = layouts.dlc_csv_of_several(tmp_path, filmed("dlc_csv_of_several", Scene(frames=3)), 0)
    with pytest.raises(ReadError, match=sentence):
        read_recordings([str(path)], settings)


@pytest.mark.rejects
def test_the_camera_of_a_lone_track_must_be_known(tmp_path: Path) -> None:
    recording = filmed("mmpose", Scene(views=2, frames=3))
    folder = write_session(tmp_path / "session", recording, layouts.mmpose)
    lone = (tmp_path / "walk.json").write_text((folder / "cam1.json").read_text())
    assert lone
    settings = ReadSettings(cameras=folder / "calibration.toml")
    with pytest.raises(ReadError, match=r"no camera of .*--filmed-by, one of cam_1, cam_2"):
        read_recordings([str(tmp_path / "walk.json")], settings)
    declared = replace(settings, filmed_by="cam_1")
    (read,) = read_recordings([str(tmp_path / "walk.json")], declared)
    assert read.cameras.names == ("cam_1",)


@pytest.mark.rejects
def test_coordinates_may_not_mix_pixels_and_shares(tmp_path: Path) -> None:
    recording = filmed("openpose", Scene(views=2, frames=3))
    folder = write_session(tmp_path / "session", recording, layouts.openpose)
    other = write_session(tmp_path / "other", recording, layouts.openpose_in_shares)
    name = "cam1_json/cam1_000000000001_keypoints.json"
    (folder / name).write_text((other / name).read_text())
    with pytest.raises(
        ReadError, match=r"cam1_json, frame 1: expected pixels .* coordinates between -1 and 1"
    ):
        read_recordings([str(folder)], ReadSettings())


@pytest.mark.parametrize("levels", [1, 3])
def test_a_labeled_h5_is_indexed_by_pictures(tmp_path: Path, levels: int) -> None:
    recording = filmed("dlc_fixed_h5", Scene(views=1, frames=4, missing=0.2))
    path = layouts.dlc_fixed_h5(tmp_path, recording, 0)
    pictures = [f"img{frame:03d}.png".encode() for frame in range(4)]
    with h5py.File(path, "a") as file:
        group = file["df_with_missing"]
        del group["axis1"]
        if levels == 1:
            group["axis1"] = [b"labeled-data/clip/" + picture for picture in pictures]
        else:
            group.attrs["axis1_nlevels"] = np.int64(3)
            for level, names in enumerate(([b"labeled-data"], [b"clip"], pictures)):
                group[f"axis1_level{level}"] = names
                group[f"axis1_label{level}"] = [at % len(names) for at in range(4)]
    (read,) = read_recordings([str(path)], ReadSettings())
    assert_close(read.keypoints, recording.keypoints, rtol=0, atol=0, equal_nan=True)


def test_a_labeled_csv_may_have_three_index_columns(tmp_path: Path) -> None:
    recording = filmed("dlc_csv", Scene(views=1, frames=4))
    path = layouts.dlc_csv(tmp_path, recording, 0)
    lines = path.read_text().splitlines()
    names = [row.replace(",", ",,,", 1) for row in lines[:3]]
    pictures = [f"labeled-data,clip,img{frame:03d}.png" for frame in range(4)]
    cells = [row.partition(",")[2] for row in lines[3:]]
    rows = [f"{picture},{row}" for picture, row in zip(pictures, cells, strict=True)]
    path.write_text("\n".join([*names, *rows]) + "\n")
    (read,) = read_recordings([str(path)], ReadSettings())
    assert_close(read.keypoints, recording.keypoints, rtol=0, atol=0)


def test_columns_of_ensemble_smoothers_are_left_out(tmp_path: Path) -> None:
    recording = filmed("dlc_csv", Scene(views=1, frames=4))
    path = layouts.dlc_csv(tmp_path, recording, 0)
    joint = recording.skeleton.joints[0]
    extra = ["DLC_resnet50", joint, "x_ens_var", *["0.5"] * 4]
    lines = path.read_text().splitlines()
    path.write_text("\n".join(f"{line},{cell}" for line, cell in zip(lines, extra, strict=True)))
    (read,) = read_recordings([str(path)], ReadSettings())
    assert read.skeleton.joints == recording.skeleton.joints
    assert_close(read.keypoints, recording.keypoints, rtol=0, atol=0)


def test_points_placed_by_hand_are_certain_for_sleap(tmp_path: Path) -> None:
    recording = filmed("sleap", Scene(views=1, frames=4, missing=0.2))
    path = layouts.sleap(tmp_path, recording, 0)
    with h5py.File(path, "a") as file:
        file["point_scores"][:, :2] = np.nan
    (read,) = read_recordings([str(path)], ReadSettings())
    seen = recording.confidence[:, :, :2] > 0
    assert_close(read.confidence[:, :, :2], seen.float(), rtol=0, atol=0)
    assert_close(read.keypoints, recording.keypoints, rtol=0, atol=0, equal_nan=True)


def test_image_ids_may_have_eleven_digits(tmp_path: Path) -> None:
    recording = filmed("coco_results", Scene(views=1, frames=4))
    path = layouts.coco_results(tmp_path, recording, 0)
    people = json.loads(path.read_text())
    for person in people:
        person["image_id"] += 90_010_000_000
    path.write_text(json.dumps(people))
    (read,) = read_recordings([str(path)], ReadSettings())
    assert_close(read.keypoints, recording.keypoints, rtol=0, atol=0)


def landmark(x: float) -> dict[str, float]:
    return {"x": x, "y": 0.5, "z": 0.0, "visibility": 0.75, "presence": 1.0}


@pytest.mark.parametrize(
    "layout",
    [
        lambda person: [{"pose_landmarks": [person], "pose_world_landmarks": []}, {}, None],
        lambda person: {"frames": [{"frame": 0, "poseLandmarks": person}, {"frame": 2}]},
        lambda person: [{"frame_index": 0, "pose_landmarks": {"landmark": person}}, {}, {}],
        lambda person: [{"landmarks": [person, person]}, {"landmarks": []}, {"landmarks": []}],
    ],
    ids=["python", "older, with numbers", "protocol buffers", "two people"],
)
def test_every_layout_of_mediapipes_landmarks_is_read(
    tmp_path: Path, layout: Callable[[list], object]
) -> None:
    person = [landmark(0.25), landmark(-0.1), *[landmark(0.5)] * 31]
    path = tmp_path / "cam.json"
    path.write_text(json.dumps(layout(person)))
    (view,) = read_tracks(path, None)
    assert (view.format, view.frame_count, view.scale) == ("MediaPipe", 3, Scale.SHARES)
    assert view.in_pixels((1280, 720)).keypoints[0, 0, 0].tolist() == [320.0, 360.0]
    assert view.confidence[0, 0, :3].tolist() == [0.75, 0.0, 0.75]
    assert view.keypoints[1:].isnan().all()


@pytest.mark.rejects
def test_a_person_is_not_taken_of_a_camera_whose_people_have_no_track_ids(tmp_path: Path) -> None:
    folder = write_session(tmp_path, filmed("mmpose", Scene(views=2, frames=3)), layouts.mmpose)
    first, *_ = sorted(folder.glob("*.json"))
    frames = json.loads(first.read_text())
    for instance in chain.from_iterable(frame["instances"] for frame in frames):
        instance["track_id"] = 0
    first.write_text(json.dumps(frames))
    with pytest.raises(ReadError, match=r"expected people with names or track ids, as in .*'0'"):
        read_recordings([str(folder)], ReadSettings(person="0"))
