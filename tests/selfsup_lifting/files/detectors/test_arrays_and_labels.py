"""Laws of FreeMoCap's array of all cameras and of Ultralytics' labels of several videos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from selfsup_lifting.files import ReadError, read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from tests.selfsup_lifting.files.layouts import (
    freemocap,
    nobody,
    save_calibration,
    triples,
    ultralytics,
)
from tests.selfsup_lifting.strategies import Scene

FILE = "mediapipe2dData_numCams_numFrames_numTrackedPoints_pixelXY.npy"
VIDEOS = ("Camera_000_synchronized", "Camera_001_synchronized", "Camera_010_synchronized")


def person() -> Recording:
    return Scene(views=3, frames=5, skeleton="blazepose33").recording()


def recording_of_freemocap(folder: Path, recording: Recording) -> Path:
    """Write a recording of three cameras, whose numbers are not their places in the array."""
    home = folder / "recording_10_21"
    (home / "synchronized_videos").mkdir(parents=True)
    for video in VIDEOS:
        (home / "synchronized_videos" / f"{video}.mp4").touch()
    save_calibration(home / "recording_10_21_camera_calibration.toml", recording, [*VIDEOS])
    (home / "output_data").mkdir()
    array = recording.keypoints.transpose(0, 1).numpy()
    np.save(home / "output_data" / FILE, array.astype(np.float64))
    return home


@pytest.mark.parametrize("inside", ["", f"output_data/{FILE}"])
def test_an_array_of_all_cameras_is_one_recording(tmp_path: Path, inside: str) -> None:
    recording = person()
    home = recording_of_freemocap(tmp_path, recording)
    (read,) = read_recordings([str(home / inside)], ReadSettings())
    assert read.cameras.names == VIDEOS
    assert_close(read.keypoints, recording.keypoints, rtol=0, atol=1e-3, equal_nan=True)


def test_cameras_without_videos_are_numbered_and_a_note_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recording = person()
    home = recording_of_freemocap(tmp_path, recording)
    (home / "synchronized_videos" / f"{VIDEOS[0]}.mp4").unlink()
    names = ["cam_0", "cam_1", "cam_2"]
    save_calibration(home / "recording_10_21_camera_calibration.toml", recording, names)
    (read,) = read_recordings([str(home)], ReadSettings())
    assert read.cameras.names == tuple(names)
    assert "has 2 videos, so the 3 cameras are numbered" in caplog.text


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((3, 5, 33)), "expected cameras x frames x points x 2 or 3 numbers, got float64"),
        (np.zeros((3, 5, 33, 4)), "expected cameras x frames x points x 2 or 3 numbers"),
        (np.zeros((3, 5, 40, 2), dtype="U3"), "expected cameras x frames x points"),
        (np.zeros((3, 5, 19, 2)), "no built-in skeleton has 19 keypoints"),
        (np.array([{"a": 1}]), "expected an array of numbers, got pickled objects"),
    ],
)
def test_another_array_is_refused(tmp_path: Path, array: np.ndarray, sentence: str) -> None:
    np.save(tmp_path / FILE, array, allow_pickle=True)
    with pytest.raises(ReadError, match=sentence):
        read_recordings([str(tmp_path / FILE)], ReadSettings())


def labels_of_all(folder: Path, recording: Recording) -> Path:
    """Write the labels of three videos into one folder, as one call of `predict` does."""
    home = folder / "predict" / "labels"
    for view in range(3):
        for file in ultralytics(folder / "each", recording, view).iterdir():
            home.mkdir(parents=True, exist_ok=True)
            file.rename(home / file.name)
    save_calibration(folder / "predict" / "calibration.toml", recording, ["cam1", "cam2", "cam3"])
    return home


@pytest.mark.parametrize("inside", ["", "labels"])
def test_labels_of_several_videos_in_one_folder_are_one_recording(
    tmp_path: Path, inside: str
) -> None:
    recording = Scene(views=3, frames=5).recording()
    home = labels_of_all(tmp_path, recording).parent / inside
    (read,) = read_recordings([str(home)], ReadSettings(detected_skeleton="coco17"))
    assert_close(read.keypoints, recording.keypoints, rtol=0, atol=1e-3, equal_nan=True)


@pytest.mark.parametrize("after", ["", " 0.83", " 0.83 7", " 7"])
def test_a_score_of_the_box_and_a_track_may_follow(tmp_path: Path, after: str) -> None:
    recording = Scene(views=3, frames=5, missing=0.3).recording()
    home = labels_of_all(tmp_path, recording)
    for file in home.iterdir():
        file.write_text(file.read_text().rstrip() + after + "\n")
    (read,) = read_recordings([str(home)], ReadSettings(detected_skeleton="coco17"))
    assert_close(read.keypoints, recording.keypoints, rtol=0, atol=1e-3, equal_nan=True)


def test_an_empty_label_is_a_frame_without_a_person(tmp_path: Path) -> None:
    recording = Scene(views=3, frames=5).recording()
    home = labels_of_all(tmp_path, recording)
    file = sorted(home.glob("*_3.txt"))[0]
    file.write_text("")
    (read,) = read_recordings([str(home)], ReadSettings(detected_skeleton="coco17"))
    missing = read.keypoints.isnan().all(dim=-1).all(dim=-1)
    assert missing.nonzero().tolist() == [[2, 0]]


def test_labels_without_scores_are_read(tmp_path: Path) -> None:
    recording = Scene(views=1, frames=3).recording()
    home = tmp_path / "labels"
    home.mkdir()
    width, tall = recording.cameras.image_size[0].tolist()
    for frame in range(3):
        assert not nobody(recording, frame, 0)
        points = [(x / width, y / tall) for x, y, _ in triples(recording, frame, 0)]
        words = [0, 0.5, 0.5, 0.2, 0.2, *(number for point in points for number in point)]
        (home / f"cam1_{frame + 1}.txt").write_text(" ".join(f"{word:.9g}" for word in words))
    save_calibration(tmp_path / "calibration.toml", recording, ["cam1"])
    (read,) = read_recordings([str(home)], ReadSettings(detected_skeleton="coco17"))
    assert_close(read.keypoints, recording.keypoints, rtol=0, atol=1e-3, equal_nan=True)
    assert torch.equal(read.confidence > 0, recording.confidence > 0)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("cam1_2.txt", "0 0.5 0.5", "cam1_2.txt, line 1: expected class, box and 17 joints"),
        ("cam1_2.txt", "x" + 55 * " 0.5", "cam1_2.txt, line 1: expected numbers"),
        ("cam1_02.txt", "", "contains this frame too"),
        ("notes.txt", "", "notes.txt: expected a frame number at the end of the name"),
    ],
)
def test_broken_labels_are_refused(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    home = ultralytics(tmp_path, Scene(views=1, frames=3).recording(), 0)
    (home / name).write_text(text)
    with pytest.raises(ReadError, match=sentence):
        read_recordings([str(home)], ReadSettings(detected_skeleton="coco17"))


def test_one_recording_of_one_camera_needs_no_calibration_beside_it(tmp_path: Path) -> None:
    recording = Scene(views=1, frames=3, skeleton="blazepose33").recording()
    (read,) = read_recordings([str(freemocap(tmp_path, recording, 0))], ReadSettings())
    assert read.cameras.names == ("cam1",)


@pytest.mark.rejects
def test_an_array_with_frames_before_cameras_is_named(tmp_path: Path) -> None:
    home = recording_of_freemocap(tmp_path, person())
    save_calibration(home / "recording_10_21_camera_calibration.toml", person(), ["a", "b", "c"])
    file = home / "output_data" / FILE
    np.save(file, np.load(file).swapaxes(0, 1))
    with pytest.raises(
        ReadError, match=r"synchronized_videos has 3 videos: exchange the first two"
    ):
        read_recordings([str(home)], ReadSettings())


@pytest.mark.rejects
def test_an_array_with_fewer_cameras_than_videos_is_named(tmp_path: Path) -> None:
    home = recording_of_freemocap(tmp_path, person())
    save_calibration(home / "recording_10_21_camera_calibration.toml", person(), ["a", "b", "c"])
    file = home / "output_data" / FILE
    np.save(file, np.load(file)[:2])
    with pytest.raises(ReadError, match=r"named like cam_0, .*has 3 videos, so the 2 cameras are"):
        read_recordings([str(home)], ReadSettings())
