"""Laws of detecting people in videos, with a detector that finds a bright spot."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multiview_geom import ring_of_cameras, save_cameras
from selfsup_lifting.cli import main
from selfsup_lifting.detection import detect, mediapipe_pose, videos
from selfsup_lifting.detection.mediapipe_pose import Detect, People, PoseDetector, find_detector
from selfsup_lifting.detection.track_table import JOINTS
from selfsup_lifting.detection.videos import open_videos
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from tests.selfsup_lifting.cli.test_cli import printed, refused

WIDTH, HEIGHT, FPS, FRAMES = 160, 120, 10, 8
# In these frames nobody is there.
AWAY = (0, 5)
CAMERAS = ("cam_1", "cam_2")
# A spot in a compressed video is found within this distance [px].
WITHIN_PX = 1.5


def spot(camera: int, frame: int) -> tuple[int, int]:
    return 40 + 8 * frame, 30 + 20 * camera + 3 * frame


def film(path: Path, camera: int, frames: int = FRAMES) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    for frame in range(frames):
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        if frame not in AWAY:
            cv2.circle(picture, spot(camera, frame), 8, (255, 255, 255), -1)
        writer.write(picture)
    writer.release()
    return path


class Finder:
    """Finds one person at the bright spot; its last joint is always outside of the picture."""

    def __init__(self, people: int = 1, stop_after: int | None = None) -> None:
        self.people, self.stop_after, self.pictures = people, stop_after, 0

    @contextmanager
    def opened(self, fps: float) -> Iterator[Detect]:
        assert fps == FPS
        yield self._people

    def detector(self, name: str = "finder") -> PoseDetector:
        return PoseDetector(name, self.opened)

    def _people(self, picture: np.ndarray, _frame: int) -> People:
        if self.pictures == self.stop_after:
            raise KeyboardInterrupt
        self.pictures += 1
        rows, columns = np.nonzero(picture[..., 0] > 128)
        if not len(rows):
            return []
        person = np.tile([columns.mean() / WIDTH, rows.mean() / HEIGHT, 0.9], (len(JOINTS), 1))
        person[-1, 0] = 1.1
        return [person.astype(np.float32)] * self.people


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    home = tmp_path_factory.mktemp("films")
    return [film(home / f"{name}.mp4", at) for at, name in enumerate(CAMERAS)]


def detected(films: list[Path], folder: Path, finder: Finder) -> detect.Detection:
    tables = detect.tables_of(open_videos(films), folder, finder.detector())
    return detect.detect_people(tables, finder.detector())


def test_the_tracks_are_a_recording_with_a_frame_for_every_picture(
    films: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(
        "selfsup_lifting.cli.detect_command.find_detector", lambda *_: Finder().detector()
    )
    folder = tmp_path / "tracks"
    main(["detect", *map(str, films), "--out", str(folder), "--json"])
    assert printed(capsys)["with_people"] == dict.fromkeys(CAMERAS, FRAMES - len(AWAY))
    save_cameras(folder / "calibration.toml", ring_of_cameras(2, radius=4.0, height=1.5))
    (recording,) = read_recordings([str(folder)], ReadSettings())
    assert recording.skeleton.name == "blazepose33"
    assert recording.cameras.names == CAMERAS
    assert recording.fps == pytest.approx(FPS)
    missing = recording.keypoints.isnan().any(dim=-1)
    assert missing[..., -1].all()
    for frame in range(FRAMES):
        assert missing[frame, :, 0].tolist() == [frame in AWAY] * 2
        for camera in range(2):
            if frame not in AWAY:
                found = recording.keypoints[frame, camera, 0]
                assert (found - torch.tensor(spot(camera, frame))).abs().max() < WITHIN_PX
    sentence = refused(["detect", *map(str, films), "--out", str(folder)], capsys)
    assert "cam_1.csv exists; --overwrite replaces it" in sentence
    main(["detect", *map(str, films), "--out", str(folder), "--overwrite"])
    assert "triangulate" in capsys.readouterr().out


@given(stop=st.integers(0, 2 * FRAMES - 1), torn=st.integers(0, 3000))
def test_an_interruption_loses_nothing(
    films: list[Path], tmp_path_factory: pytest.TempPathFactory, stop: int, torn: int
) -> None:
    whole, folder = (tmp_path_factory.mktemp(name) for name in ("whole", "folder"))
    detected(films, whole, Finder())
    with pytest.raises(KeyboardInterrupt):
        detected(films, folder, Finder(stop_after=stop))
    assert not [*folder.glob("*.csv")]  # no reader takes the half for the whole
    unfinished = sorted(folder.glob("*.partial"))[-1]
    content = unfinished.read_bytes()
    unfinished.write_bytes(content[: max(0, len(content) - torn)])
    finder = Finder()
    detected(films, folder, finder)
    for name in CAMERAS:
        assert (folder / f"{name}.csv").read_text() == (whole / f"{name}.csv").read_text()
    assert not [*folder.glob("*.partial")]
    if torn == 0:
        assert finder.pictures <= 2 * FRAMES - stop + len(CAMERAS)


def test_ctrl_c_says_how_to_continue(
    films: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    finders = iter([Finder(stop_after=11), Finder()])
    monkeypatch.setattr(
        "selfsup_lifting.cli.detect_command.find_detector", lambda *_: next(finders).detector()
    )
    command = ["detect", *map(str, films), "--out", str(tmp_path), "--json"]
    with pytest.raises(SystemExit):
        main(command)
    assert "the same command continues" in capsys.readouterr().err
    main(command)
    assert "of 16 frames; the others follow" in capsys.readouterr().err


def test_several_people_in_a_picture_stay_several(films: list[Path], tmp_path: Path) -> None:
    detected(films, tmp_path, Finder(people=3))
    (recording,) = read_recordings([str(tmp_path / "cam_1.csv")], ReadSettings())
    assert recording.frame_count == FRAMES
    rows = (tmp_path / "cam_1.csv").read_text().splitlines()[2:]
    assert len(rows) == len(AWAY) + 3 * (FRAMES - len(AWAY))


def test_the_last_frames_of_longer_videos_are_left_out_with_a_note(
    films: list[Path], tmp_path: Path
) -> None:
    longer = film(tmp_path / "cam_3.mp4", 1, FRAMES + 2)
    found = detected([*films, longer], tmp_path / "tracks", Finder())
    assert found.frames == FRAMES
    (note,) = found.notes
    assert "cam_3 has 10 frames" in note


def test_tables_of_other_settings_are_not_continued(films: list[Path], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        detected(films, tmp_path, Finder(stop_after=3))
    other = Finder().detector("another model")
    tables = detect.tables_of(open_videos(films), tmp_path, other)
    with pytest.raises(ValueError, match=r"with other settings: # finder; cam_1\.mp4, 8 frames"):
        detect.detect_people(tables, other)
    anew = detect.tables_of(open_videos(films), tmp_path, other, overwrite=True)
    assert detect.detect_people(anew, other).frames == FRAMES


@pytest.mark.rejects
def test_other_tables_are_never_replaced(films: list[Path], tmp_path: Path) -> None:
    (tmp_path / "cam_1.csv").write_text("scorer,mine\n")
    with pytest.raises(FileExistsError, match=r"cam_1\.csv is no table that `detect` wrote"):
        detect.tables_of(open_videos(films), tmp_path, Finder().detector("m"), overwrite=True)


def test_cameras_are_named_after_their_folders_if_all_files_have_one_name(
    films: list[Path], tmp_path: Path
) -> None:
    copies = [tmp_path / name / "video.mp4" for name in ("left", "right")]
    for source, copy in zip(films, copies, strict=True):
        copy.parent.mkdir()
        shutil.copy(source, copy)
    assert [video.camera for video in open_videos(copies)] == ["left", "right"]
    with pytest.raises(ValueError, match="expected one video per camera, got 2 of left"):
        open_videos([copies[0], copies[0].with_suffix(".avi")])


def test_files_that_are_no_videos_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file"):
        open_videos([tmp_path / "cam_1.mp4"])
    with pytest.raises(ValueError, match="expected a video, got a folder"):
        open_videos([tmp_path])
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(ValueError, match=r"text\.mp4: expected a video; OpenCV cannot open it"):
        open_videos([text])


def test_a_folder_of_videos_and_a_calibration_says_how_to_go_on(
    films: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_cameras(tmp_path / "calibration.toml", ring_of_cameras(2, radius=4.0, height=1.5))
    for source in films:
        shutil.copy(source, tmp_path)
    hint = f"`selfsup-lifting detect {tmp_path}/*.mp4 --out {tmp_path}/tracks`"
    assert hint in refused(["train", "--data", str(tmp_path)], capsys)
    assert hint in refused(["triangulate", str(tmp_path / "cam_1.mp4")], capsys)


def landmarks(*xyz: tuple[float, float, float]) -> list[SimpleNamespace]:
    return [SimpleNamespace(x=x, y=y, visibility=score) for x, y, score in xyz]


@pytest.fixture
def mediapipe(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a stand-in for MediaPipe, without a model of its own."""
    fake = SimpleNamespace(__version__="9.9")
    monkeypatch.setitem(sys.modules, "mediapipe", fake)
    monkeypatch.setattr(mediapipe_pose, "find_spec", lambda _name: fake)
    return fake


def test_without_mediapipe_or_a_model_the_sentence_says_what_to_do(
    tmp_path: Path, mediapipe: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"save https://\S+heavy\.task beside the videos, .*--m"):
        find_detector(None, [tmp_path], 1)
    with pytest.raises(ValueError, match="there is no model file"):
        find_detector(tmp_path / "lost.task", [tmp_path], 1)
    mediapipe.solutions = None
    with pytest.raises(ValueError, match="finds one person; for 2, save https"):
        find_detector(None, [tmp_path], 2)
    monkeypatch.setattr(mediapipe_pose, "find_spec", lambda _name: None)
    with pytest.raises(ValueError, match=r"pip install 'multiview-geom\[detect\]'"):
        find_detector(None, [tmp_path], 1)


def test_the_model_of_the_package_is_used_without_a_file(
    tmp_path: Path, mediapipe: SimpleNamespace
) -> None:
    found = SimpleNamespace(pose_landmarks=SimpleNamespace(landmark=landmarks((0.25, 0.5, 0.75))))

    @contextmanager
    def pose(**_options: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(process=lambda _picture: found)

    mediapipe.solutions = SimpleNamespace(pose=SimpleNamespace(Pose=pose))
    detector = find_detector(None, [tmp_path], 1)
    assert detector.name == "MediaPipe 9.9, its own model"
    with detector.opened(30.0) as people:
        assert people(np.zeros((2, 2, 3), np.uint8), 0)[0].tolist() == [[0.25, 0.5, 0.75]]


class Landmarker:
    """A stand-in for a pose landmarker: two people, the second at the time in milliseconds."""

    @classmethod
    def create_from_options(cls, options: SimpleNamespace) -> "Landmarker":
        if not Path(options.base_options).read_text():
            raise RuntimeError("no\nmodel")
        assert (options.running_mode, options.num_poses) == ("video", 2)
        return cls()

    def __enter__(self) -> "Landmarker":
        return self

    def __exit__(self, *_: object) -> None: ...

    def detect_for_video(self, image: str, milliseconds: int) -> SimpleNamespace:
        assert image == "image"
        people = [landmarks((0.25, 0.5, 0.75)), landmarks((milliseconds / 1000, 0.5, 0.5))]
        return SimpleNamespace(pose_landmarks=people)


def test_the_largest_model_file_beside_the_videos_is_used(
    tmp_path: Path, mediapipe: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    vision = SimpleNamespace(
        PoseLandmarkerOptions=SimpleNamespace,
        RunningMode=SimpleNamespace(VIDEO="video"),
        PoseLandmarker=Landmarker,
    )
    tasks = SimpleNamespace(vision=vision, BaseOptions=lambda model_asset_path: model_asset_path)
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", tasks)
    mediapipe.Image = lambda **_: "image"
    mediapipe.ImageFormat = SimpleNamespace(SRGB="rgb")
    for name, text in (("full", "model"), ("heavy", "larger model"), ("lite", "model")):
        (tmp_path / f"pose_landmarker_{name}.task").write_text(text)
    (tmp_path / "pose_landmarker_removed.task").symlink_to(tmp_path / "removed")
    detector = find_detector(None, [tmp_path], 2)
    assert detector.name == "MediaPipe 9.9, pose_landmarker_heavy.task"
    with detector.opened(10.0) as people:
        first, second = people(np.zeros((2, 2, 3), np.uint8), 4)
    assert (first.tolist(), second.tolist()) == ([[0.25, 0.5, 0.75]], [[np.float32(0.4), 0.5, 0.5]])
    (tmp_path / "pose_landmarker_heavy.task").write_text("")
    with (
        pytest.raises(ValueError, match="is no model for poses, or is damaged: no model"),
        detector.opened(10.0),
    ):
        pass


def test_a_blank_video_has_nobody(tmp_path: Path) -> None:
    pytest.importorskip(
        "mediapipe.python.solutions", reason="MediaPipe with a model is not installed"
    )
    detector = find_detector(None, [tmp_path], 1)
    blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    with detector.opened(FPS) as people:
        assert people(blank, 0) == []


def test_pictures_after_the_end_of_a_video_are_none(films: list[Path]) -> None:
    (video,) = open_videos(films[:1])
    assert len([*video.pictures([0, FRAMES - 1, FRAMES + 50])]) == 2
    assert len([*video.pictures([FRAMES])]) == 0


@pytest.mark.rejects
def test_without_opencv_the_sentence_says_what_to_install(
    films: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(videos, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"^videos are read with OpenCV: pip install 'multiview-"):
        open_videos(films)
