"""Laws of capture folders: detections and a calibration."""

import json
import re
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.testing import assert_close

from multiview_geom import load_cameras, ring_of_cameras, save_cameras, triangulate_dlt
from selfsup_lifting.files import ReadError, read_recordings, read_results
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import SKELETONS
from tests.selfsup_lifting.files.layouts import WRITERS, write_session
from tests.selfsup_lifting.strategies import Scene


@dataclass(frozen=True)
class Session:
    """A Pose2Sim project on disk, as OpenPose and Pose2Sim write it."""

    scene: Scene = field(default_factory=lambda: Scene(views=3, frames=4, skeleton="body25b"))
    folder: str = "pose"
    file_name: str = "cam{view:02d}.{frame:04d}.json"
    camera_name: str = "cam_{view:02d}"
    config: str = ""

    def write(self, project: Path) -> Path:
        recording = self.scene.recording()
        for view in range(self.scene.views):
            folder = project / self.folder / f"cam{view + 1:02d}_json"
            folder.mkdir(parents=True)
            for frame in range(self.scene.frames):
                name = self.file_name.format(view=view + 1, frame=frame)
                (folder / name).write_text(json.dumps(frame_of(recording, frame, view)))
        (project / "calibration").mkdir()
        (project / "calibration" / "Calib.toml").write_text(self.calibration())
        if self.config:
            (project / "Config.toml").write_text(self.config)
        return project

    def calibration(self) -> str:
        cameras = self.scene.cameras()
        return "\n".join(
            f'[{self.camera_name.format(view=view + 1)}]\nname = "any"\n'
            f"size = {cameras.image_size[view].tolist()}\n"
            f"matrix = {cameras.intrinsics[view].tolist()}\ndistortions = [0.0, 0.0, 0.0, 0.0]\n"
            f"rotation = {rodrigues(cameras.camera_from_world[view, :3, :3])}\n"
            f"translation = {cameras.camera_from_world[view, :3, 3].tolist()}\nfisheye = false\n"
            for view in range(self.scene.views)
        )


def rodrigues(rotation: Tensor) -> list[float]:
    return Rotation.from_matrix(rotation.numpy()).as_rotvec().tolist()


def frame_of(recording: Recording, frame: int, view: int) -> dict:
    flat: list[float] = []
    for (x, y), score in zip(
        recording.keypoints[frame, view].tolist(),
        recording.confidence[frame, view].tolist(),
        strict=True,
    ):
        flat += [0, 0, 0] if isnan(x) else [x, y, score]
    person = {"person_id": [-1], "pose_keypoints_2d": flat, "face_keypoints_2d": []}
    return {"version": 1.3, "people": [person]}


sessions = st.builds(
    Session,
    scene=st.builds(
        Scene,
        views=st.integers(2, 3),
        frames=st.integers(1, 3),
        skeleton=st.sampled_from(["body25", "body25b", "coco18", "coco17", "halpe26"]),
        seed=st.integers(0, 100),
        missing=st.sampled_from([0.0, 0.3]),
    ),
    folder=st.sampled_from(["pose", "pose-associated", "."]),
    file_name=st.sampled_from(
        ["cam{view:02d}.{frame:04d}.json", "cam{view}_{frame:012d}_keypoints.json"]
    ),
    camera_name=st.sampled_from(["cam_{view:02d}", "Cam{view}", "cam-{view}"]),
)


@given(sessions)
def test_a_session_reads_as_it_was_filmed(
    tmp_path_factory: pytest.TempPathFactory, session: Session
) -> None:
    project = session.write(tmp_path_factory.mktemp("session") / "balance")
    body = session.scene.skeleton
    (recording,) = read_recordings([str(project)], ReadSettings(detected_skeleton=body))
    filmed = session.scene.recording()
    exact = {"rtol": 0, "atol": 0, "equal_nan": True}
    assert_close(recording.keypoints, filmed.keypoints, **exact)
    assert_close(recording.confidence, filmed.confidence, **exact)
    assert_close(recording.cameras.projections, filmed.cameras.projections, rtol=0, atol=1e-6)
    assert (recording.name, recording.skeleton, recording.fps) == ("balance", filmed.skeleton, 60.0)


@pytest.mark.parametrize("body", ["coco17", "coco18", "halpe26"])
def test_the_number_of_keypoints_determines_the_skeleton(tmp_path: Path, body: str) -> None:
    project = Session(replace(Session().scene, skeleton=body)).write(tmp_path / "balance")
    (recording,) = read_recordings([str(project)], ReadSettings())
    assert recording.skeleton.name == body


@pytest.mark.parametrize("body", ["body25", "body25b"])
def test_anatomy_separates_body_25_from_body_25b(tmp_path: Path, body: str) -> None:
    person = person_of(body)
    folder = tmp_path / "pose" / "cam01_json"
    session = Session(replace(Session().scene, skeleton=body, views=2)).write(tmp_path)
    for file in (session / "pose").glob("*/*.json"):
        file.write_text(json.dumps({"people": [{"pose_keypoints_2d": person}]}))
    (recording,) = read_recordings([str(folder.parent)], ReadSettings())
    assert recording.skeleton.name == body


def person_of(body: str) -> list[float]:
    """Draw somebody who stands before the camera: x and y of every joint by its name."""
    heights = {
        "head_top": 0, "eye": 15, "ear": 17, "nose": 25, "neck": 50, "shoulder": 60, "elbow": 110,
        "wrist": 150, "pelvis": 160, "hip": 160, "knee": 260, "ankle": 350, "toe": 360, "heel": 358,
    }  # fmt: skip
    widths = {"shoulder": 20, "elbow": 26, "wrist": 28, "eye": 4, "ear": 8}
    flat: list[float] = []
    for joint in SKELETONS[body].joints:
        part = next(part for part in heights if joint.endswith(part))
        side = 1 if joint.startswith("left") else -1 if joint.startswith("right") else 0
        flat += [500.0 + side * widths.get(part, 12), 300.0 + heights[part], 0.9]
    return flat


@pytest.mark.parametrize(
    ("config", "body"),
    [("BODY_25", "body25"), ("BODY_25B", "pose2sim21")],
)
def test_the_project_says_which_model_it_was(tmp_path: Path, config: str, body: str) -> None:
    settings = f"[pose]\npose_model = '{config}'\n[project]\nframe_rate = 120\n"
    project = replace(Session(), config=settings).write(tmp_path / "balance")
    (recording,) = read_recordings([str(project)], ReadSettings())
    assert (recording.skeleton.name, recording.fps) == (body, 120.0)


def test_the_associated_person_is_preferred_and_said(tmp_path: Path) -> None:
    Session(replace(Session().scene, seed=1)).write(tmp_path / "balance")
    for file in (tmp_path / "balance").glob("calibration/*"):
        file.unlink()
    (tmp_path / "balance" / "calibration").rmdir()
    replace(Session(), folder="pose-associated").write(tmp_path / "balance")
    settings = ReadSettings(detected_skeleton="body25b")
    (chosen,) = read_results(str(tmp_path / "balance"), settings)
    (raw,) = read_results(str(tmp_path / "balance" / "pose"), settings)
    assert torch.equal(chosen.recording.keypoints, Session().scene.recording().keypoints)
    assert not torch.equal(raw.recording.keypoints, chosen.recording.keypoints)
    (note,) = (note for note in chosen.notes if "uses the detections" in note)
    assert note.endswith("uses the detections in pose-associated, not those in pose")


@pytest.mark.parametrize("nobody", ['{"people": []}', '{"people": [{}]}'])
def test_a_frame_with_nobody_is_missing(tmp_path: Path, nobody: str) -> None:
    project = Session().write(tmp_path / "balance")
    (project / "pose" / "cam02_json" / "cam02.0001.json").write_text(nobody)
    (recording,) = read_recordings([str(project)], ReadSettings(detected_skeleton="body25b"))
    assert recording.keypoints.isnan().all(dim=-1).all(dim=-1).nonzero().tolist() == [[1, 1]]


def test_a_frame_that_one_camera_lacks_in_between_is_missing(tmp_path: Path) -> None:
    project = Session().write(tmp_path / "balance")
    (project / "pose" / "cam02_json" / "cam02.0001.json").unlink()
    (result,) = read_results(str(project), ReadSettings(detected_skeleton="body25b"))
    missing = result.recording.keypoints.isnan().all(dim=-1).all(dim=-1)
    assert missing.nonzero().tolist() == [[1, 1]]
    assert any("cam02_json: 1 of 4 frames are not in the file" in note for note in result.notes)


def test_doubtful_sightings_can_be_left_out(tmp_path: Path) -> None:
    project = Session().write(tmp_path / "balance")
    (recording,) = read_recordings(
        [str(project)], ReadSettings(detected_skeleton="body25b", min_confidence=0.5)
    )
    kept = Session().scene.recording().confidence >= 0.5
    assert torch.equal(recording.keypoints.isfinite().all(dim=-1), kept)


def test_cameras_that_count_from_elsewhere_are_simultaneous_and_a_note_says_so(
    tmp_path: Path,
) -> None:
    project = Session().write(tmp_path / "balance")
    home = project / "pose" / "cam02_json"
    for frame in reversed(range(4)):
        (home / f"cam02.{frame:04d}.json").rename(home / f"cam02.{frame + 7:04d}.json")
    (result,) = read_results(str(project), ReadSettings(detected_skeleton="body25b"))
    assert torch.equal(result.recording.keypoints, Session().scene.recording().keypoints)
    frames = "the cameras count their frames from [0, 7]; their first frames are taken to be"
    assert f"{project / 'pose'}: {frames} simultaneous" in result.notes


@pytest.mark.rejects
def test_joints_that_no_anatomy_tells_apart_are_asked_for(tmp_path: Path) -> None:
    project = Session().write(tmp_path / "balance")
    for file in (project / "pose").glob("*/*.json"):
        file.write_text(json.dumps({"people": [{"pose_keypoints_2d": [0.0] * 75}]}))
    with pytest.raises(ReadError, match="25 keypoints can be body25 or body25b, and nobody shows "):
        read_recordings([str(project)], ReadSettings())


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong with a session, and the sentence that says so."""

    file: str
    content: str | None
    sentence: str


FIRST = "pose/cam01_json/cam01.0000.json"
DAMAGES = [
    Damage("calibration/Calib.toml", None, "expected a calibration .*, got none"),
    Damage("calibration/Other.toml", "", "expected one calibration, got several: .*Calib.*Other"),
    Damage(
        FIRST, '{"version": 1.3, "people": [{"pose_keyp', r"cam01\.0000\.json is not a JSON file"
    ),
    Damage(FIRST, '{"people": []}\n{"people": []}\n', "expected one JSON value, got several"),
    Damage(FIRST, '{"version": 1.3}', r"cam01\.0000\.json: expected `people`"),
    Damage(FIRST, "[1, 2]", r"cam01\.0000\.json, \[0\]: expected an object, got 1"),
    Damage(
        FIRST,
        '{"people": [{"pose_keypoints_2d": [1, 2, 0.5, 3, 4, 0.5]}]}',
        r"cam01\.0001\.json: expected 2 keypoints as in cam01\.0000\.json, got 25",
    ),
    Damage(
        FIRST,
        '{"people": [{"pose_keypoints_2d": [1, 2]}]}',
        r"0000\.json, people\[0\]\.pose_keypoints_2d: expected x, y and confidence",
    ),
    Damage(
        FIRST,
        '{"people": [{"pose_keypoints_2d": ["a"]}]}',
        r"0000\.json, people\[0\]\.pose_keypoints_2d\[0\], joint 0: expected a number, got 'a'",
    ),
    Damage(
        FIRST,
        '{"people": [{"pose_keypoints_2d": [1, 2, 0.5, 3, null, 0.5, 4, 5, [6]]}]}',
        r"0000\.json, people\[0\]\.pose_keypoints_2d.*: expected n numbers, got \[1, 2, 0\.5",
    ),
    Damage(
        FIRST,
        '{"people": [{"pose_keypoints_2d": [1, 2, 0.5, 3, "x", 0.5]}]}',
        r"0000\.json, people\[0\]\.pose_keypoints_2d\[4\], joint 1: expected a number, got 'x'",
    ),
    Damage(
        "pose/cam02_json/cam02.0003.json",
        None,
        "camera cam02_json has 3 frames, camera cam01_json 4; frame 3 is the first",
    ),
    Damage(
        "pose/cam04_json/cam04.0000.json",
        '{"people": []}',
        "without detections: none; without calibration: cam04_json",
    ),
    Damage("Config.toml", "[pose", r"Config\.toml is not a TOML file"),
]


@pytest.mark.rejects
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: f"{damage.file} {damage.content}")
def test_damage_is_reported_with_its_place(tmp_path: Path, damage: Damage) -> None:
    project = Session().write(tmp_path / "balance")
    file = project / damage.file
    if damage.content is None:
        file.unlink()
    else:
        file.parent.mkdir(exist_ok=True)
        file.write_text(damage.content)
    with pytest.raises(ReadError, match=damage.sentence):
        read_recordings([str(project)], ReadSettings())


@pytest.mark.rejects
def test_a_calibrated_camera_without_detections_is_named(tmp_path: Path) -> None:
    project = Session().write(tmp_path / "balance")
    for file in (project / "pose" / "cam03_json").iterdir():
        file.unlink()
    with pytest.raises(ReadError, match="without detections: cam_03; without calibration: none"):
        read_recordings([str(project)], ReadSettings())


@pytest.mark.rejects
@pytest.mark.parametrize("wrong", ["nan", "inf", '"one"'])
def test_a_calibration_must_be_finite(tmp_path: Path, wrong: str) -> None:
    project = Session().write(tmp_path / "balance")
    file = project / "calibration" / "Calib.toml"
    file.write_text(file.read_text().replace("1145.0", wrong))
    with pytest.raises(ReadError, match=r"calibration .*Calib\.toml.*cam_01\.matrix"):
        read_recordings([str(project)], ReadSettings())


@pytest.mark.rejects
def test_keypoints_of_another_skeleton_are_refused(tmp_path: Path) -> None:
    config = "[pose]\npose_model = 'BODY_25B'\n"
    scene = replace(Session().scene, skeleton="coco18")
    project = replace(Session(), scene=scene, config=config).write(tmp_path / "balance")
    with pytest.raises(ReadError, match=r"expected 25 keypoints of 'body25b', got 18"):
        read_recordings([str(project)], ReadSettings())


@pytest.mark.rejects
def test_a_camera_without_one_of_the_joints_is_told_which(tmp_path: Path) -> None:
    project = written(tmp_path, "dlc_csv")
    path = project / "cam2DLC_resnet50.csv"
    path.write_text(path.read_text().replace("left_wrist", "paw"))
    with pytest.raises(ReadError, match="it lacks left_wrist; it has also paw; use one detector"):
        read_recordings([str(project)], ReadSettings())


@pytest.mark.rejects
def test_one_camera_with_another_skeleton_is_refused(tmp_path: Path) -> None:
    project = Session().write(tmp_path / "balance")
    for file in (project / "pose" / "cam02_json").iterdir():
        file.write_text(json.dumps({"people": [{"pose_keypoints_2d": [1.0, 2.0, 0.5] * 18}]}))
    with pytest.raises(ReadError, match=r"camera cam02_json has the skeleton 'coco18'"):
        read_recordings([str(project)], ReadSettings())


@pytest.mark.rejects
def test_cameras_with_17_and_25_joints_are_refused(tmp_path: Path) -> None:
    people = Scene(views=2, frames=3, skeleton="coco17").recording()
    session = write_session(tmp_path / "session", people, WRITERS["mmpose"])
    frames = [{"frame_id": 0, "instances": [{"keypoints": 25 * [[1.0, 2.0]]}]}]
    file = next(file for file in session.iterdir() if file.name.startswith("cam2"))
    file.write_text(json.dumps(frames))
    with pytest.raises(ReadError, match="use one detector model for all cameras"):
        read_recordings([str(session)], ReadSettings())


@pytest.mark.parametrize(("late", "said"), [(3600.0, "3600"), (0.01, "0.01"), (0.0, "")])
def test_times_that_differ_between_cameras_are_said(tmp_path: Path, late: float, said: str) -> None:
    people = Scene(views=2, frames=3).recording()
    session = write_session(tmp_path / "session", people, WRITERS["plain_csv"])
    table = session / "cam2.csv"
    remark, header, *rows = table.read_text().splitlines()
    cells = [row.split(",", 2) for row in rows]
    late_rows = [f"{frame},{float(time) + late},{rest}" for frame, time, rest in cells]
    table.write_text("\n".join([remark, header, *late_rows]))
    (result,) = read_results(str(session), ReadSettings())
    notes = [note for note in result.notes if "by their times" in note]
    assert len(notes) == bool(said)
    assert all(f"up to {said} s apart, cam2" in note for note in notes)


@pytest.mark.rejects
def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no reader recognizes it"):
        read_recordings([str(tmp_path)], ReadSettings())
    with pytest.raises(ReadError, match="there is no file or folder"):
        read_recordings([str(tmp_path / "nothing")], ReadSettings())


# What the README of the real capture states for plain DLT, per camera and over all [px].
STATED = {
    "calibration/Calib_qualisys.toml": (17.3, 8.8, 18.7, 10.6, 13.3),
    "calibration-scene/Calib_scene.toml": (8.4, 8.3, 10.3, 8.7, 8.8),
}


@pytest.mark.parametrize("calibration", STATED)
def test_the_real_capture_reprojects_as_its_readme_states(
    capture_folder: Path, calibration: str
) -> None:
    settings = ReadSettings(cameras=capture_folder / calibration, min_confidence=0.3)
    (recording,) = read_recordings([str(capture_folder)], settings)
    body = [
        at for at, joint in enumerate(recording.skeleton.joints) if joint[-3:] not in ("eye", "ear")
    ]
    seen = recording.keypoints[:, :, body].double().transpose(0, 1).flatten(1, 2)
    points = triangulate_dlt(
        recording.cameras.projections, recording.cameras.undistort(seen).pixels
    )
    error = (recording.cameras.project(points).pixels - seen).norm(dim=-1)
    medians = [*error.nanmedian(dim=1).values.tolist(), error.nanmedian().item()]
    assert_close(torch.tensor(medians), torch.tensor(STATED[calibration]), rtol=0, atol=0.2)


def test_sessions_of_one_name_are_told_apart_by_the_folders_above(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=3, skeleton="coco17").recording()
    for day in ("monday", "tuesday"):
        write_session(tmp_path / day / "walk", recording, WRITERS["mmpose"])
    names = [one.name for one in read_recordings([str(tmp_path)], ReadSettings())]
    assert names == ["monday walk", "tuesday walk"]


def test_openpose_1_0_is_read_and_hands_alone_are_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, "openpose")
    whole = read_recordings([str(folder)], ReadSettings())[0]
    for file in folder.rglob("*_keypoints.json"):
        file.write_text(file.read_text().replace("pose_keypoints_2d", "pose_keypoints"))
    assert torch.equal(
        read_recordings([str(folder)], ReadSettings())[0].confidence, whole.confidence
    )
    hands = {"people": [{"pose_keypoints_2d": [], "hand_left_keypoints_2d": [1.0, 2.0, 0.9]}]}
    next(folder.rglob("*_keypoints.json")).write_text(json.dumps(hands))
    refused(folder, "expected the body's keypoints beside hand_left_keypoints_2d")


def test_one_run_of_ultralytics_per_camera_is_one_session(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=3, skeleton="coco17").recording()
    folder = write_session(tmp_path / "session", recording, WRITERS["ultralytics"])
    files = sorted(folder.rglob("*.txt"))
    assert files
    for view, camera in enumerate(("cam1", "cam2")):
        labels = folder / f"predict{view + 1}" / "labels"
        labels.mkdir(parents=True)
        for frame, file in enumerate(file for file in files if camera in str(file)):
            file.rename(labels / f"{camera}_{frame + 1}.txt")
    assert read_recordings([str(folder)], ReadSettings())[0].cameras.names == ("cam_1", "cam_2")


@pytest.mark.parametrize("video", ["video_", ""])
def test_runs_of_ultralytics_whose_videos_have_one_name_need_a_map(
    tmp_path: Path, video: str
) -> None:
    folder = written(tmp_path, "ultralytics")
    whole = read_recordings([str(folder)], ReadSettings())[0]
    for camera, run in (("cam1", "predict2"), ("cam2", "predict")):
        labels = folder / run / "labels"
        labels.mkdir(parents=True)
        for frame, file in enumerate(sorted(folder.rglob(f"*{camera}*.txt")), start=1):
            file.rename(labels / f"{video}{frame}.txt")
    refused(folder, "without calibration: predict, predict2; .* --map cam_1=predict cam_2=predict2")
    pairs = ReadSettings(map=("cam_1=predict2", "cam_2=predict"))
    mapped = read_recordings([str(folder)], pairs)[0]
    assert_close(mapped.keypoints, whole.keypoints, equal_nan=True)


def test_results_with_the_identities_of_a_tracker_are_no_second_recording(tmp_path: Path) -> None:
    folder = written(tmp_path, "alphapose")
    for file in [*folder.glob("cam*.json")]:
        home = folder / file.stem
        home.mkdir()
        for name in ("alphapose-results", "alphapose-results-forvis-tracked"):
            (home / f"{name}.json").write_text(file.read_text())
        file.unlink()
    (result,) = read_results(str(folder), ReadSettings())
    assert any("forvis-tracked.json, not alphapose-results.json" in one for one in result.notes)


def test_a_camera_folder_with_another_recording_is_not_called_unknown(tmp_path: Path) -> None:
    folder = written(tmp_path, "mmpose")
    for camera, take in (("cam_1", "a"), ("cam_1", "b"), ("cam_2", "a")):
        (folder / camera).mkdir(exist_ok=True)
        text = (folder / f"cam{camera[-1]}.json").read_text()
        (folder / camera / f"{take}.json").write_text(text)
    for file in folder.glob("cam?.json"):
        file.unlink()
    with pytest.raises(ReadError) as caught:
        read_recordings([str(folder)], ReadSettings())
    assert "b.json is of another recording" in str(caught.value)
    assert "no known format" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cam1.xlsx", "a workbook"), ("cam1.csv.gz", "packed"), ("cam1.pkl", "a Python pickle"),
        ("cam1.json.part", "not finished"), ("data_3d_h36m.npz", "cut off or damaged"),
    ],
)  # fmt: skip
def test_files_of_other_kinds_are_named(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(b"PK")
    refused(tmp_path, f"{re.escape(name)}: in no known format .*{kind}")


def test_accents_of_a_camera_are_spelled_in_two_ways(tmp_path: Path) -> None:
    composed, apart = "K\u00fcche", "Ku\u0308che"
    recording = Scene(views=2, frames=3, skeleton="coco17").recording()
    recording = replace(recording, cameras=replace(recording.cameras, names=(composed, "cam_2")))
    folder = write_session(tmp_path / "session", recording, WRITERS["mmpose"])
    save_cameras(folder / "calibration.toml", recording.cameras)
    (folder / "cam1.json").rename(folder / "a.json")
    settings = ReadSettings(map=(f"{apart}=a.json", "cam_2=cam2.json"), exchange_sides=(apart,))
    (read,) = read_recordings([str(folder)], settings)
    assert read.select_views([apart]).cameras.names == (composed,)
    assert_close(read.keypoints, recording.with_exchanged_sides([composed]).keypoints)
    alone = ReadSettings(filmed_by=apart, cameras=folder / "calibration.toml")
    assert read_recordings([str(folder / "a.json")], alone)[0].cameras.names == (composed,)


def test_json_that_was_encoded_twice_is_named(tmp_path: Path) -> None:
    (tmp_path / "cam1.json").write_text(json.dumps(json.dumps([{"frame_id": 0, "instances": []}])))
    refused(tmp_path, "cam1.json: in no known format .JSON inside a text, .*: encode it once")
    with pytest.raises(ValueError, match="expected a calibration, got JSON inside a text"):
        load_cameras(tmp_path / "cam1.json")


def written(tmp_path: Path, layout: str) -> Path:
    recording = Scene(views=2, frames=3, skeleton="coco17").recording()
    return write_session(tmp_path / "session", recording, WRITERS[layout])


def refused(folder: Path, sentence: str) -> None:
    with pytest.raises(ReadError, match=sentence):
        read_recordings([str(folder)], ReadSettings())


@pytest.mark.rejects
def test_views_of_openpose_in_one_folder_are_named(tmp_path: Path) -> None:
    save_cameras(tmp_path / "calibration.toml", ring_of_cameras(2, radius=4.0, height=1.0))
    (tmp_path / "json").mkdir()
    for name in ("000_keypoints", "001_keypoints", "000_1_keypoints", "001_1_keypoints"):
        (tmp_path / "json" / f"{name}.json").write_text('{"people": []}')
    with pytest.raises(ReadError, match="likely cause: the frames of several videos or cameras"):
        read_recordings([str(tmp_path)], ReadSettings())


@pytest.mark.rejects
def test_a_calibration_of_many_more_cameras_says_how_to_leave_them_out(tmp_path: Path) -> None:
    save_cameras(tmp_path / "calibration.toml", ring_of_cameras(4, radius=4.0, height=1.0))
    (tmp_path / "cam_1.csv").write_text("frame,nose_x,nose_y\n0,1,2\n")
    with pytest.raises(ReadError, match=r"cam_4; .* if these were not used, write a calibration"):
        read_recordings([str(tmp_path)], ReadSettings())


def test_the_place_of_a_camera_in_the_names_of_its_videos_is_no_part_of_a_take(
    tmp_path: Path,
) -> None:
    serials = ("24025", "24026", "22111")
    for take, frames in (("walk", 4), ("run", 5)):
        recording = Scene(views=3, frames=frames, skeleton="coco17").recording()
        rig = replace(recording.cameras, names=serials)
        folder = write_session(tmp_path / take, recording, WRITERS["plain_csv"])
        (tmp_path / "both").mkdir(exist_ok=True)
        for place, (file, serial) in enumerate(
            zip(sorted(folder.glob("*.csv")), serials, strict=True), start=1
        ):
            file.rename(tmp_path / "both" / f"{take}_Miqus_{place}_{serial}.csv")
    save_cameras(tmp_path / "both" / "calibration.toml", rig)
    found = read_recordings([str(tmp_path / "both")], ReadSettings())
    assert {one.name: one.frame_count for one in found} == {
        "both walk miqus": 4, "both run miqus": 5,
    }  # fmt: skip
