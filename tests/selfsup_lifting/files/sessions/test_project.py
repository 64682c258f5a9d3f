"""Laws of projects in the layouts of other tools."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from multiview_geom import ring_of_cameras, save_cameras
from selfsup_lifting.files import ReadError, read_recordings, read_results
from selfsup_lifting.files.sessions.assembly import with_note_on_skeleton
from selfsup_lifting.files.sessions.project import Project, find_calibration
from selfsup_lifting.files.tracks.view_tracks import ViewTracks
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import SKELETONS
from tests.selfsup_lifting.files import layouts
from tests.selfsup_lifting.files.layouts import save_calibration
from tests.selfsup_lifting.strategies import Scene


def filmed(seed: int = 0, frames: int = 4) -> Recording:
    return Scene(views=2, frames=frames, skeleton="coco17", seed=seed).recording()


def require_same(read: Recording, recording: Recording) -> None:
    assert_close(read.keypoints, recording.keypoints, rtol=0, atol=1e-3, equal_nan=True)
    assert_close(read.cameras.projections, recording.cameras.projections, rtol=0, atol=1e-6)


def test_an_anipose_project_is_read_as_it_is(tmp_path: Path) -> None:
    """One project, one session, two videos of two cameras, named as `cam_regex` says."""
    project = tmp_path / "mice"
    session = project / "2026-11-23"
    (session / "calibration").mkdir(parents=True)
    (session / "pose-2d").mkdir()
    (project / "config.toml").write_text("[triangulation]\ncam_regex = '-cam([A-Z])$'\n")
    recordings = {"reach": filmed(seed=1), "walk": filmed(seed=2)}
    save_calibration(session / "calibration" / "calibration.toml", recordings["reach"], ["A", "B"])
    for video, recording in recordings.items():
        for view, camera in enumerate("AB"):
            written = layouts.dlc_h5(tmp_path, recording, view)
            written.rename(session / "pose-2d" / f"{video}-cam{camera}.h5")
    read = read_recordings([str(project)], ReadSettings())
    assert [recording.name for recording in read] == ["2026-11-23 reach", "2026-11-23 walk"]
    for recording, expected in zip(read, recordings.values(), strict=True):
        require_same(recording, expected)


def test_filtered_tracks_of_anipose_are_preferred(tmp_path: Path) -> None:
    recordings = {"pose-2d": filmed(seed=1), "pose-2d-filtered": filmed(seed=2)}
    for folder, recording in recordings.items():
        (tmp_path / "mice" / folder).mkdir(parents=True)
        for view in range(2):
            layouts.dlc_h5(tmp_path / "mice" / folder, recording, view)
    save_calibration(tmp_path / "mice" / "calibration.toml", filmed(), ["cam1", "cam2"])
    (read,) = read_recordings([str(tmp_path / "mice")], ReadSettings())
    require_same(read, recordings["pose-2d-filtered"])


def test_a_session_of_pose2sim_holds_its_trials(tmp_path: Path) -> None:
    """The calibration and the configuration lie with the session, the poses with each trial."""
    session = tmp_path / "S00_Demo_Session"
    recordings = {"T00_Static": filmed(seed=1), "T01_Balancing": filmed(seed=2)}
    (session / "S00_Calibration").mkdir(parents=True)
    save_calibration(
        session / "S00_Calibration" / "Calib_scene.toml", filmed(), ["cam_01", "cam_02"]
    )
    (session / "Config.toml").write_text("[project]\nframe_rate = 120\n")
    for trial, recording in recordings.items():
        for view in range(2):
            layouts.openpose(session / "S00_P00" / trial / "pose", recording, view)
    read = read_recordings([str(session)], ReadSettings())
    assert [(recording.name, recording.fps) for recording in read] == [
        ("T00_Static", 120.0),
        ("T01_Balancing", 120.0),
    ]
    for recording, expected in zip(read, recordings.values(), strict=True):
        require_same(recording, expected)


def test_the_nearest_calibration_is_found(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    save_cameras(tmp_path / "calib_far.toml", filmed().cameras)
    assert find_calibration(deep) == tmp_path / "calib_far.toml"
    save_cameras(tmp_path / "a" / "calib_near.toml", filmed().cameras)
    assert find_calibration(deep) == tmp_path / "a" / "calib_near.toml"


@pytest.mark.parametrize(
    "name",
    [
        "camchain-imucam-rig.yaml", "rig.mcal", "rig.xcp", "a.qca.txt", "camera.calibration",
        "calib.calibration", "rig.calibration",
    ],
)  # fmt: skip
def test_a_calibration_is_found_by_the_name_its_program_gives(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    assert find_calibration(tmp_path) == tmp_path / name


@pytest.mark.rejects
def test_a_calibration_whose_name_does_not_say_so_is_named(tmp_path: Path) -> None:
    folder = layouts.write_session(tmp_path / "session", filmed(), layouts.plain_csv)
    (folder / "calibration.toml").rename(folder / "rig.toml")
    (folder / "other.toml").write_text("a = 1\n")
    with pytest.raises(ReadError, match=r"name \S*/rig.toml, whose name does not say that"):
        read_recordings([str(folder)], ReadSettings())


def test_the_folder_of_a_calibration_is_found_not_one_of_its_two_files(tmp_path: Path) -> None:
    save_cameras(tmp_path, filmed().cameras, format="colmap")
    assert find_calibration(tmp_path) == tmp_path


def test_a_calibration_in_capitals_is_found(tmp_path: Path) -> None:
    (tmp_path / "CALIBRATION.TOML").write_text("")
    assert find_calibration(tmp_path) == tmp_path / "CALIBRATION.TOML"


def test_one_file_per_camera_is_one_recording_whatever_else_it_is_called(tmp_path: Path) -> None:
    recording = filmed()
    save_calibration(tmp_path / "calibration.toml", recording, ["cam1", "cam2"])
    layouts.mmpose(tmp_path, recording, 0).rename(tmp_path / "front-cam1.json")
    layouts.mmpose(tmp_path, recording, 1).rename(tmp_path / "side-cam2.json")
    (read,) = read_recordings([str(tmp_path)], ReadSettings())
    require_same(read, recording)


@pytest.mark.rejects
def test_a_recording_that_lacks_a_camera_is_named(tmp_path: Path) -> None:
    save_calibration(tmp_path / "calibration.toml", filmed(), ["cam1", "cam2"])
    for view in range(2):
        layouts.mmpose(tmp_path, filmed(), view)
    (tmp_path / "walk-cam1.json").write_text((tmp_path / "cam1.json").read_text())
    with pytest.raises(ReadError, match="without detections: cam2; without calibration: none"):
        read_recordings([str(tmp_path)], ReadSettings())


@pytest.mark.rejects
def test_two_files_of_one_camera_are_refused(tmp_path: Path) -> None:
    save_calibration(tmp_path / "calibration.toml", filmed(), ["cam1", "cam2"])
    for view in range(2):
        layouts.mmpose(tmp_path, filmed(), view)
    (tmp_path / "cam_1.json").write_text((tmp_path / "cam1.json").read_text())
    with pytest.raises(ReadError, match="with several detections: cam1"):
        read_recordings([str(tmp_path)], ReadSettings())


@pytest.mark.rejects
def test_cameras_of_different_length_are_refused(tmp_path: Path) -> None:
    save_calibration(tmp_path / "calibration.toml", filmed(), ["cam1", "cam2"])
    layouts.mmpose(tmp_path, filmed(), 0)
    layouts.mmpose(tmp_path, filmed(frames=5), 1)
    with pytest.raises(
        ReadError, match=r"camera cam2\.json has 5 frames, camera cam1\.json 4; cut"
    ):
        read_recordings([str(tmp_path)], ReadSettings())


def test_videos_that_count_from_elsewhere_are_laid_over_each_other(tmp_path: Path) -> None:
    recording = filmed()
    save_calibration(tmp_path / "calibration.toml", recording, ["cam1", "cam2"])
    for view in range(2):
        layouts.mmpose(tmp_path, recording, view)
    frames = json.loads((tmp_path / "cam2.json").read_text())
    moved = [frame | {"frame_id": frame["frame_id"] + 100} for frame in frames]
    (tmp_path / "cam2.json").write_text(json.dumps(moved))
    (read,) = read_recordings([str(tmp_path)], ReadSettings())
    assert torch.equal(read.keypoints, read.keypoints)
    require_same(read, recording)


def shortened(path: Path, rows: slice) -> None:
    """Keep some rows of a table only."""
    remark, header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([remark, header, *lines[rows]]) + "\n")


@pytest.mark.rejects
@pytest.mark.parametrize("layout", ["plain_csv", "dlc_csv", "dlc_h5", "sleap"])
def test_tables_of_different_length_are_refused(tmp_path: Path, layout: str) -> None:
    save_calibration(tmp_path / "calibration.toml", filmed(), ["cam1", "cam2"])
    layouts.WRITERS[layout](tmp_path, filmed(), 0)
    layouts.WRITERS[layout](tmp_path, filmed(frames=5), 1)
    with pytest.raises(ReadError, match=r"camera cam2\S* has 5 frames, camera cam1\S* 4; cut"):
        read_recordings([str(tmp_path)], ReadSettings())


@pytest.mark.rejects
def test_cameras_of_one_table_may_not_differ_in_length(tmp_path: Path) -> None:
    save_calibration(tmp_path / "calibration.toml", filmed(), ["cam1", "cam2"])
    rows = [f"cam{camera},{frame},1.5,2.5" for camera, frames in ((1, 3), (2, 2))
            for frame in range(frames)]  # fmt: skip
    (tmp_path / "all.csv").write_text("\n".join(["camera,frame,nose_x,nose_y", *rows]))
    with pytest.raises(ReadError, match=r"cam2 of all\.csv has 2 frames, camera cam1 of .* 3; cut"):
        read_recordings([str(tmp_path / "all.csv")], ReadSettings())


def test_a_row_left_out_in_the_middle_is_missing_and_reported(tmp_path: Path) -> None:
    save_calibration(tmp_path / "calibration.toml", filmed(), ["cam1", "cam2"])
    for view in range(2):
        layouts.plain_csv(tmp_path, filmed(), view)
    table = tmp_path / "cam2.csv"
    table.write_text("\n".join(line for line in table.read_text().splitlines() if line[:2] != "2,"))
    (recording,) = read_results(str(tmp_path), ReadSettings())
    assert recording.recording.keypoints[2, 1].isnan().all()
    assert (
        f"{table}: 1 of 4 frames are not in the file and count as missing; " in recording.notes[1]
    )


def test_tables_that_count_from_elsewhere_are_reported(tmp_path: Path) -> None:
    save_calibration(tmp_path / "calibration.toml", filmed(), ["cam1", "cam2"])
    for view, rows in enumerate((slice(0, 3), slice(1, 4))):
        shortened(layouts.plain_csv(tmp_path, filmed(), view), rows)
    (recording,) = read_results(str(tmp_path), ReadSettings())
    assert recording.recording.frame_count == 4
    notes = [note for note in recording.notes if "the rest counts as missing" in note]
    assert "cam1.csv: contains frames 0 to 2 only, other cameras 0 to 3" in notes[0]
    assert "cam2.csv: contains frames 1 to 3 only, other cameras 0 to 3" in notes[1]


def test_one_camera_of_a_project_is_read_as_the_project_says(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=4, skeleton="body25b").recording()
    (tmp_path / "calibration").mkdir()
    save_calibration(tmp_path / "calibration" / "Calib.toml", recording, ["cam_1", "cam_2"])
    (tmp_path / "Config.toml").write_text(
        "[project]\nframe_rate = 120\n[pose]\npose_model = 'BODY_25B'\n"
    )
    alone = [layouts.openpose(tmp_path / "pose", recording, view) for view in range(2)][1]
    (whole,) = read_recordings([str(tmp_path)], ReadSettings())
    (read,) = read_recordings([str(alone)], ReadSettings())
    assert (read.fps, read.skeleton) == (120.0, whole.skeleton)
    assert_close(read.keypoints, whole.keypoints[:, 1:], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("form", ["easymocap", "colmap"])
def test_a_calibration_folder_of_several_files_is_one_calibration(
    tmp_path: Path, form: str
) -> None:
    recording = filmed()
    folder = layouts.write_session(tmp_path / "session", recording, layouts.mmpose)
    (folder / "calibration.toml").unlink()
    rig = replace(recording.cameras, names=("cam_1", "cam_2"))
    save_cameras(folder / "calibration", rig, format=form)
    (read,) = read_recordings([str(folder)], ReadSettings())
    assert_close(read.cameras.projections, rig.projections, rtol=0, atol=1e-3)


@pytest.mark.rejects
@pytest.mark.parametrize("pattern", ["(a+)+$", "((a|aa)+)+x([A-Z])$", "a*a*a*a*a*b"])
def test_a_pattern_that_could_take_forever_is_refused(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "config.toml").write_text(f"[triangulation]\ncam_regex = '{pattern}'\n")
    with pytest.raises(ReadError, match=r"expected `cam_regex` of config.toml without repeats in"):
        _ = Project.of(tmp_path).camera_pattern
    (tmp_path / "config.toml").write_text("[triangulation]\ncam_regex = '.*-cam([A-Z]+)(_.*)?$'\n")
    assert Project.of(tmp_path).camera_pattern == ".*-cam([A-Z]+)(_.*)?$"


def test_a_pose_model_that_the_joints_contradict_is_said(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=4, skeleton="body25b").recording()
    nose = recording.keypoints[:, :, SKELETONS["body25b"].joints.index("left_eye")]
    keypoints = recording.keypoints.clone()
    for name in ("nose", "right_eye"):
        keypoints[:, :, SKELETONS["body25b"].joints.index(name)] = nose
    views = [
        ViewTracks(
            f"cam_{view}", tmp_path / "pose", "OpenPose", SKELETONS["body25"], 0,
            keypoints[:, view, None], recording.confidence[:, view, None],
        )
        for view in range(2)
    ]  # fmt: skip
    first, _ = with_note_on_skeleton(views, "body25")
    assert "states body25, but by the joints between others, these are those of body25b" in (
        "".join(first.notes)
    )


def test_files_of_one_camera_each_are_no_rig(tmp_path: Path) -> None:
    for camera in ("cam_1", "cam_2"):
        text = f"image_width: 10\nimage_height: 10\ncamera_name: {camera}\n"
        text += "camera_matrix: {rows: 3, cols: 3, data: [9, 0, 5, 0, 9, 5, 0, 0, 1]}\n"
        text += "distortion_model: plumb_bob\n"
        text += "distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}\n"
        (tmp_path / f"calib_{camera}.yaml").write_text(text)
    with pytest.raises(ReadError, match=r"one camera each, .*, which do not say where the cameras"):
        find_calibration(tmp_path)


def test_files_of_one_camera_each_may_say_where_it_is(tmp_path: Path) -> None:
    ring = ring_of_cameras(2, radius=4.0, height=1.0)
    for name in ring.names:
        save_cameras(tmp_path / f"calib_{name}.toml", ring.select([name]))
    with pytest.raises(ReadError, match=r"one camera each, .*_2\.toml: write one file with all of"):
        find_calibration(tmp_path)


def test_detections_named_like_a_calibration_are_none(tmp_path: Path) -> None:
    save_cameras(tmp_path / "calibration_2.json", ring_of_cameras(2, radius=4.0, height=1.0))
    instances = [{"keypoints": [[1, 2]], "keypoint_scores": [1]}]
    frames = json.dumps([{"frame_id": 0, "instances": instances}])
    (tmp_path / "Camera0.json").write_text(frames)
    assert find_calibration(tmp_path) == (tmp_path / "calibration_2.json").resolve()


def test_a_trial_has_the_configuration_of_its_batch(tmp_path: Path) -> None:
    trial = tmp_path / "trial"
    trial.mkdir()
    (tmp_path / "Config.toml").write_text(
        "[project]\nframe_rate = 30\n[pose]\npose_model = 'COCO17'\n"
    )
    (trial / "Config.toml").write_text("[project]\nframe_rate = 50\n")
    project = Project.of(trial)
    assert (project.fps, project.skeleton, project.notes) == (50.0, "coco17", ())


@pytest.mark.parametrize(
    "rate",
    [
        "'60 fps'",
        "[60]",
        "-30",
        "0",
        "true",
        "inf",
        "nan",
        "1e308",
        "5e-324",
        "9223372036854775807",
    ],
)
def test_a_frame_rate_that_is_none_is_named(tmp_path: Path, rate: str) -> None:
    (tmp_path / "Config.toml").write_text(f"[project]\nframe_rate = {rate}\n")
    project = Project.of(tmp_path)
    assert project.fps is None
    (note,) = project.notes
    assert re.fullmatch(
        r"/\S*/Config\.toml: `frame_rate` of the project, .*, must be a number from 1e-06 to "
        r"1e\+06 or 'auto'",
        note,
    )
    (tmp_path / "Config.toml").write_text("[project]\nframe_rate = 'auto'\n")
    assert Project.of(tmp_path).notes == ()


def test_a_long_name_of_a_model_is_cut(tmp_path: Path) -> None:
    (tmp_path / "Config.toml").write_text(f"[pose]\npose_model = '{'A' * 5000}'\n")
    (note,) = Project.of(tmp_path).notes
    assert "AA...AA" in note
    assert len(note) < 300 + len(str(tmp_path))


def test_the_models_that_pose2sim_runs_are_known_by_its_names(tmp_path: Path) -> None:
    (tmp_path / "Config.toml").write_text("[pose]\npose_model = 'Body_with_feet'\n")
    project = Project.of(tmp_path)
    assert (project.skeleton, project.notes) == ("halpe26", ())


@pytest.mark.parametrize(
    ("table", "line", "said"),
    [
        ("project", "frame_range = [1, 3]", "[1, 3], is not applied: all frames are read"),
        ("project", "exclude_from_batch = ['a']", "['a'], is not applied: all trials are read"),
        ("pose", "pose_model = 'FOO'", "'FOO', is no built-in skeleton"),
        (
            "triangulation",
            "cam_regex = '-cam([A-Z'",
            "'-cam([A-Z', is no regular expression: unterminated character set at position 5",
        ),
        ("triangulation", "cam_regex = 3", "3, is no regular expression: expected text"),
    ],
)
def test_what_a_configuration_says_and_is_not_done_is_noted(
    tmp_path: Path, table: str, line: str, said: str
) -> None:
    (tmp_path / "Config.toml").write_text(f"[{table}]\n{line}\n")
    (note,) = Project.of(tmp_path).notes
    assert said in note


def test_a_usual_configuration_has_no_note(tmp_path: Path) -> None:
    (tmp_path / "Config.toml").write_text(
        "[project]\nframe_range = []\nexclude_from_batch = []\nframe_rate = 'auto'\n"
        "[pose]\npose_model = 'BODY_25B'\n[triangulation]\ncam_regex = '-cam([A-Z])$'\n"
    )
    assert Project.of(tmp_path).notes == ()
