"""Laws of the reading settings, whatever is read."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from multiview_geom import Similarity, rotation_from_vector, save_cameras, transform_cameras
from selfsup_lifting.files import ReadError, read_recordings, read_results
from selfsup_lifting.files.reading import with_notes_on_repeats
from selfsup_lifting.files.tracks.view_tracks import Scale, view_tracks
from selfsup_lifting.gap_filling import fill_gaps
from selfsup_lifting.read_settings import People, ReadSettings
from selfsup_lifting.reader import ReadResult
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.simulation_settings import RigSettings
from selfsup_lifting.skeleton.infer import Body
from selfsup_lifting.skeleton.skeletons import SKELETONS
from tests.selfsup_lifting.files import layouts
from tests.selfsup_lifting.simulation.test_motion_capture import actor
from tests.selfsup_lifting.strategies import Scene

FRAMES = Scene(views=2, frames=2, skeleton="blazepose33").recording()
TAKE = Scene(views=2, frames=20, skeleton="coco17", missing=0.2).recording()


@pytest.mark.rejects
def test_a_recording_is_not_read_twice(tmp_path: Path) -> None:
    save_recording(tmp_path / "take.npz", TAKE)
    twice = [str(tmp_path / "take.npz"), str(tmp_path / "a" / ".." / "take.npz")]
    with pytest.raises(ReadError, match="is given twice, also as"):
        read_recordings(twice, ReadSettings())


def test_the_same_detections_in_two_recordings_are_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_recording(tmp_path / "a.npz", replace(TAKE, name="a"))
    save_recording(tmp_path / "b.npz", replace(TAKE, name="b"))
    save_recording(tmp_path / "c.npz", replace(TAKE.frames(slice(1, None)), name="c"))
    save_recording(tmp_path / "d.npz", replace(TAKE, name="a"))  # of the same name
    paths = [str(tmp_path / f"{name}.npz") for name in "abcd"]
    read_recordings(paths, ReadSettings())
    assert [one for one in caplog.messages if "same detections" in one] == [
        "b and 1 more: has the same detections as a, which count twice; likely cause: a copy, or a "
        "file of all cameras beside one of each"
    ]


def test_recordings_in_which_nobody_is_seen_are_not_the_same() -> None:
    nobody = replace(TAKE, keypoints=torch.full_like(TAKE.keypoints, torch.nan))
    results = [ReadResult(replace(nobody, name=name)) for name in ("a", "b")]
    assert not any(one.notes for one in with_notes_on_repeats(results))


def test_one_frame_in_each_of_several_recordings_is_noted(tmp_path: Path) -> None:
    for frame in range(2):
        for view in range(2):
            path = layouts.mediapipe(tmp_path, FRAMES.frames(slice(frame, frame + 1)), view)
            home = tmp_path / f"cam_{view + 1}"
            home.mkdir(exist_ok=True)
            path.rename(home / f"frame_{frame}.json")
    layouts.save_calibration(tmp_path / "calibration.toml", FRAMES, ["cam_1", "cam_2"])
    results = read_results(str(tmp_path), ReadSettings())
    assert len(results) == 2
    assert all(
        "has a single frame; if it should have more, write" in one.notes[-1] for one in results
    )


@pytest.mark.rejects
def test_a_calibration_without_its_second_file_is_told_which_it_needs(tmp_path: Path) -> None:
    (tmp_path / "extri.yml").write_text("%YAML:1.0\n---\nnames: []\n")
    with pytest.raises(ReadError, match=r"nor is it a valid .* or intri\.yml and extri\.yml, or"):
        read_recordings([str(tmp_path)], ReadSettings())


@pytest.mark.rejects
def test_the_synthetic_recordings_are_in_no_folder() -> None:
    with pytest.raises(ReadError, match=r"synthetic:\.: the synthetic recordings come with"):
        read_recordings(["synthetic:."], ReadSettings())


def test_a_frame_rate_above_that_of_the_recording_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(tmp_path, ReadSettings(fps=1000.0)).frame_count == TAKE.frame_count
    assert any("1000 is above the frame rate of" in note for note in caplog.messages)


def read(folder: Path, settings: ReadSettings) -> Recording:
    save_recording(folder / "recording.npz", TAKE)
    (recording,) = read_recordings([str(folder / "recording.npz")], settings)
    return recording


def test_by_default_a_recording_is_read_as_it_is(tmp_path: Path) -> None:
    assert torch.equal(read(tmp_path, ReadSettings()).confidence, TAKE.confidence)


def test_a_folder_of_recordings_is_read_whole(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_recording(tmp_path / f"{name}.npz", replace(TAKE, name=name))
    recordings = read_recordings([str(tmp_path), f"native:{tmp_path / 'a.npz'}"], ReadSettings())
    assert [recording.name for recording in recordings] == ["a", "b", "a"]


def test_other_cameras_bring_the_truth_to_their_world(tmp_path: Path) -> None:
    rotation = rotation_from_vector(torch.tensor([0.3, -0.2, 0.9]).double())
    moved = Similarity(rotation, torch.tensor([5.0, -2.0, 1.0]).double(), torch.ones(()).double())
    rig = transform_cameras(TAKE.cameras, moved).select(list(reversed(TAKE.cameras.names)))
    save_cameras(tmp_path / "rig.toml", rig)
    recording = read(tmp_path, ReadSettings(cameras=tmp_path / "rig.toml", unit="m"))
    assert TAKE.truth is not None
    assert recording.truth is not None
    assert recording.cameras.names == TAKE.cameras.names
    expected = moved.apply(TAKE.truth.double())
    assert_close(recording.truth.double(), expected, rtol=0, atol=1e-4, equal_nan=True)


def test_a_recording_without_truth_takes_other_cameras_as_they_are(tmp_path: Path) -> None:
    save_recording(tmp_path / "recording.npz", TAKE.without_truth())
    save_cameras(tmp_path / "rig.toml", TAKE.cameras.scaled(2.0))
    settings = ReadSettings(cameras=tmp_path / "rig.toml", unit="m")
    (recording,) = read_recordings([str(tmp_path / "recording.npz")], settings)
    assert recording.truth is None
    assert_close(recording.cameras.centers, 2 * TAKE.cameras.centers, rtol=0, atol=1e-6)


def test_a_track_without_a_name_is_of_the_only_camera(tmp_path: Path) -> None:
    path = layouts.mmpose(tmp_path, TAKE, 0).rename(tmp_path / "walk.json")
    save_cameras(tmp_path / "rig.toml", TAKE.cameras.select([TAKE.cameras.names[0]]))
    (recording,) = read_recordings([str(path)], ReadSettings(cameras=tmp_path / "rig.toml"))
    assert recording.cameras.names == TAKE.cameras.names[:1]


def test_a_pair_of_map_names_the_camera_of_one_track(tmp_path: Path) -> None:
    path = layouts.mmpose(tmp_path, TAKE, 1).rename(tmp_path / "walk.json")
    save_cameras(tmp_path / "rig.toml", TAKE.cameras)
    settings = ReadSettings(cameras=tmp_path / "rig.toml", map=("cam_2=walk.json",))
    (recording,) = read_recordings([str(path)], settings)
    assert recording.cameras.names == ("cam_2",)


@pytest.mark.rejects
def test_sides_are_exchanged_in_cameras_that_exist(tmp_path: Path) -> None:
    sentence = "^scene 0: no camera 'left'; there are cam_1, cam_2$"
    with pytest.raises(ReadError, match=sentence):
        read(tmp_path, ReadSettings(exchange_sides=("left",)))


@pytest.mark.rejects
def test_a_calibration_must_have_the_cameras_of_the_recording(tmp_path: Path) -> None:
    save_cameras(tmp_path / "rig.toml", TAKE.cameras.select([TAKE.cameras.names[0]]))
    with pytest.raises(ReadError, match=f"rig.toml has no camera {TAKE.cameras.names[1]}"):
        read(tmp_path, ReadSettings(cameras=tmp_path / "rig.toml"))


def test_doubtful_sightings_are_left_out(tmp_path: Path) -> None:
    recording = read(tmp_path, ReadSettings(min_confidence=0.6))
    assert torch.equal(recording.confidence > 0, TAKE.confidence >= 0.6)
    assert torch.equal(recording.keypoints.isfinite().all(dim=-1), recording.confidence > 0)


def test_gaps_are_filled_when_asked(tmp_path: Path) -> None:
    filled = read(tmp_path, ReadSettings(fill_gaps=5))
    expected = fill_gaps(TAKE, 5)
    assert_close(filled.keypoints, expected.keypoints, rtol=0, atol=0, equal_nan=True)
    assert filled.keypoints.isnan().sum() < TAKE.keypoints.isnan().sum()


def test_faster_recordings_are_thinned_out(tmp_path: Path) -> None:
    recording = read(tmp_path, ReadSettings(fps=10.0))
    assert (recording.fps, recording.frame_count) == (10.0, 4)


def test_joints_are_mapped(tmp_path: Path) -> None:
    assert read(tmp_path, ReadSettings(skeleton="h36m17")).skeleton == SKELETONS["h36m17"]


def test_motion_capture_is_filmed_by_the_users_own_rig(tmp_path: Path) -> None:
    (tmp_path / "clip.bvh").write_text(actor())
    save_cameras(tmp_path / "rig.toml", Scene(views=3).cameras())
    (recording,) = read_recordings(
        [str(tmp_path / "clip.bvh")], ReadSettings(cameras=tmp_path / "rig.toml")
    )
    assert recording.cameras.names == ("cam_1", "cam_2", "cam_3")


def test_the_place_in_the_list_names_somebody_without_a_name(tmp_path: Path) -> None:
    path = layouts.coco_results(tmp_path, replace(TAKE, confidence=TAKE.confidence), 0)
    settings = ReadSettings(person="0")
    (recording,) = read_recordings([str(path)], settings)
    assert recording.keypoints.isfinite().any()


def test_shares_from_minus_one_to_one_become_pixels() -> None:
    shares = torch.tensor([[[[-1.0, -1.0, 0.9], [1.0, 1.0, 0.9]]]])
    body = replace(SKELETONS["coco17"], joints=("a", "b"), parents=(-1, 0), mirrored=(), root=(0,))
    view = view_tracks("cam", Path("cam.json"), "OpenPose", Body(body, (0, 1)), shares)
    assert view.scale is Scale.PLUS_MINUS_ONE
    assert_close(
        view.in_pixels((640, 480)).keypoints[0, 0], torch.tensor([[0.0, 0.0], [639.0, 479.0]])
    )


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (ReadSettings(skeleton="nobody"), "no skeleton is called 'nobody'; known are h36m17"),
        (ReadSettings(skeleton="nowhere.toml"), r"there is no skeleton file nowhere\.toml$"),
        (ReadSettings(skeleton="body25"), "cannot compute left_big_toe"),
    ],
)
def test_an_impossible_skeleton_is_refused(
    tmp_path: Path, settings: ReadSettings, sentence: str
) -> None:
    with pytest.raises(ReadError, match=sentence):
        read(tmp_path, settings)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ('joints = ["a"]\nroot = ["a"]\n', "missing key bones"),
        ('joints = ["a"]\nroot = ["a"]\nbones = []\nlimbs = []\n', "unknown key limbs"),
        ('joints = ["a"]\nroot = ["b"]\nbones = []\n', "'b' is none of the joints a"),
        (
            'joints = ["a"]\nroot = ["a"]\nbones = [["a"]]\n',
            "`bones` must be a list of pairs",
        ),
        ('joints = ["a"', r"own\.toml: "),
        ('joints = ["a"]\nroot = "a"\nbones = []\n', "`root` must be a list of names, got 'a'"),
        ('joints = 5\nroot = ["a"]\nbones = []\n', "`joints` must be a list of names, got 5"),
        ('joints = ["a"]\nroot = ["a"]\nbones = 5\n', "`bones` must be a list of pairs of names"),
        ('joints = ["a", 2]\nroot = ["a"]\nbones = []\n', "`joints` must be a list of names"),
        ('joints = ["a", "a"]\nroot = ["a"]\nbones = []\n', "each joint once, got a twice"),
    ],
)
def test_a_damaged_skeleton_file_is_refused(tmp_path: Path, toml: str, sentence: str) -> None:
    (tmp_path / "own.toml").write_text(toml)
    with pytest.raises(ReadError, match=sentence):
        read(tmp_path, ReadSettings(skeleton=str(tmp_path / "own.toml")))


@pytest.mark.rejects
def test_a_reader_that_finds_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="the reader `mocap` found no recording"):
        read_recordings([f"mocap:{tmp_path}"], ReadSettings())
    with pytest.raises(ReadError, match="in no known format of 2D tracks; known are openpose"):
        read_recordings([f"detections:{tmp_path}"], ReadSettings())


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("setting", "value"),
    [("min_confidence", 1.5), ("source_fps", 0.0), ("fps", -1.0), ("fill_gaps", -1)],
)
def test_impossible_settings_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"setting `{setting}` must be"):
        replace(ReadSettings(), **{setting: value})


@pytest.mark.rejects
def test_a_simulated_rig_of_real_recordings_is_refused(tmp_path: Path) -> None:
    save_recording(tmp_path / "a.npz", Scene(views=2, frames=2).recording())
    with pytest.raises(ValueError, match="`rig` describes the cameras of simulated recordings"):
        read_recordings([tmp_path / "a.npz"], ReadSettings(rig=RigSettings(views=3)))
    with pytest.raises(ValueError, match="`simulation_seed` draws simulated detections"):
        read_recordings([tmp_path / "a.npz"], ReadSettings(simulation_seed=3))
    with pytest.raises(ReadError, match=r"`person` has no effect on .*as synthetic"):
        read_recordings(["synthetic"], ReadSettings(person="5"))
    with pytest.raises(ReadError, match="`detected_skeleton` has no effect on"):
        read_recordings(["synthetic"], ReadSettings(detected_skeleton="coco17"))
    with pytest.raises(ReadError, match="`sources` must be a list of files or folders, got 'a'"):
        read_recordings("a", ReadSettings())


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("setting", "value"),
    [("people", People.ALL), ("person", "0"), ("filmed_by", "cam_1"), ("map", ("cam_1=a",)),
     ("source_fps", 30.0), ("unit", "mm"), ("universal_truth", False)],
)  # fmt: skip
def test_a_setting_of_another_kind_of_files_is_refused(
    setting: str, value: object, tmp_path: Path
) -> None:
    save_recording(tmp_path / "a.npz", Scene(views=2, frames=2).recording())
    settings = replace(ReadSettings(), **{setting: value})
    with pytest.raises(ReadError, match=f"`{setting}` has no effect on .*, read as native"):
        read_recordings([tmp_path / "a.npz"], settings)
    read_recordings([tmp_path / "a.npz"], settings, settings)  # nobody asked for it


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [("unit", "mm", "`unit` needs a calibration"),
     ("filmed_by", "cam_1", "`filmed_by` needs a calibration"),
     ("map", ("cam_1=a",), "`map` pairs files with the cameras of a calibration, but none was")],
)  # fmt: skip
def test_a_setting_of_the_calibration_needs_one(
    setting: str, value: object, sentence: str, tmp_path: Path
) -> None:
    joints = ("nose", "tail", "paw")
    columns = ",".join(f"{joint}_{axis}" for joint in joints for axis in "xy")
    rows = "".join(f"{frame},1,22,300,4,5,600\n" for frame in range(3))
    (tmp_path / "cam_1.csv").write_text(f"frame,{columns}\n{rows}")
    with pytest.raises(ReadError, match=sentence):
        read_recordings([tmp_path / "cam_1.csv"], replace(ReadSettings(), **{setting: value}))
    noted = read_results(str(tmp_path / "cam_1.csv"), ReadSettings(min_confidence=0.5))[0].notes
    assert any("points have no score and count as certain" in note for note in noted)


def test_a_phase_beyond_the_step_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    read_recordings(["synthetic"], ReadSettings(fps=10.0, fps_phase=7, take="S1 walking"))
    assert "so `fps_phase` 7 is " in caplog.text


@pytest.mark.rejects
def test_the_first_frame_of_a_rate_needs_a_rate() -> None:
    with pytest.raises(ValueError, match="`fps_phase` chooses among the frames that `fps` thins"):
        ReadSettings(fps_phase=2)


@pytest.mark.rejects
def test_sides_that_are_none_are_not_exchanged(tmp_path: Path) -> None:
    person = Scene(views=2, frames=1).recording()
    one_sided = replace(person, skeleton=replace(person.skeleton, mirrored=()))
    assert_close(one_sided.with_exchanged_sides(["cam_1"]).keypoints, one_sided.keypoints)
    save_recording(tmp_path / "board.npz", one_sided)
    settings = ReadSettings(exchange_sides=("cam_1",))
    with pytest.raises(ReadError, match=r"no left and right joints for `exchange_sides` in h36m17"):
        read_recordings([str(tmp_path / "board.npz")], settings)
