"""Laws of damaged files: a sentence that names the file, or a sound reading; nothing else."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfsup_lifting.files import ReadError, read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import save_recording
from tests.selfsup_lifting.files.damage import DAMAGES, ODDITIES, BytesDamage, Files
from tests.selfsup_lifting.files.layouts import BODIES, WRITERS, write_session
from tests.selfsup_lifting.simulation.test_motion_capture import actor
from tests.selfsup_lifting.strategies import Scene

# Forty damages per reader, whatever the profile.
forty = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
MOST_FRAMES = 200_000


def require_sound(recording: Recording) -> None:
    seen = recording.keypoints.isfinite().all(dim=-1)
    assert recording.frame_count <= MOST_FRAMES
    assert torch.equal(seen, recording.confidence > 0)
    assert recording.confidence.max() <= 1
    assert not recording.keypoints.isinf().any()
    assert recording.fps > 0


def require_sentence_or_sound_reading(path: Path, culprit: Path, read: ReadSettings) -> None:
    try:
        recordings = read_recordings([str(path)], read)
    except ReadError as error:
        recordings, message = [], str(error)
    else:
        message = culprit.name
    assert culprit.name in message or culprit.parent.name in message
    assert "\n" not in message.strip()
    for recording in recordings:
        require_sound(recording)


@cache
def session_of(layout: str) -> Files:
    """Return the files of a session in a layout, which are written once."""
    recording = Scene(views=2, frames=4, skeleton=BODIES[layout], missing=0.2).recording()
    with TemporaryDirectory() as folder:
        return Files.of(write_session(Path(folder) / "session", recording, WRITERS[layout]))


@cache
def tracks_of(layout: str) -> Files:
    """Return the files of one camera in a layout, which are written once."""
    recording = Scene(views=1, frames=4, skeleton=BODIES[layout], missing=0.2).recording()
    with TemporaryDirectory() as folder:
        return Files.of(WRITERS[layout](Path(folder), recording, 0))


def suffix_of(layout: str) -> str:
    if "h5" in layout or layout == "sleap":
        return ".h5"
    if "csv" in layout or layout == "caliscope":
        return ".csv"
    return {"videopose3d": ".npz", "freemocap": ".npy", "ultralytics": ".txt"}.get(layout, ".json")


@pytest.mark.rejects
@pytest.mark.parametrize("layout", sorted(WRITERS))
@forty
@given(data=st.data())
def test_one_damaged_file_of_a_session(
    tmp_path_factory: pytest.TempPathFactory, layout: str, data: st.DataObject
) -> None:
    with session_of(layout).copied(tmp_path_factory.getbasetemp()) as folder:
        files = sorted(file for file in folder.rglob("*") if file.suffix == suffix_of(layout))
        file = data.draw(st.sampled_from(files), label="file")
        data.draw(DAMAGES[file.suffix], label="damage").inflict(file)
        require_sentence_or_sound_reading(folder, file, ReadSettings())


@pytest.mark.rejects
@pytest.mark.parametrize("layout", sorted(WRITERS))
@given(data=st.data())
def test_one_damaged_file_alone(
    tmp_path_factory: pytest.TempPathFactory, layout: str, data: st.DataObject
) -> None:
    with tracks_of(layout).copied(tmp_path_factory.getbasetemp()) as path:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        file = data.draw(st.sampled_from(files), label="file")
        data.draw(DAMAGES[file.suffix], label="damage").inflict(file)
        require_sentence_or_sound_reading(path, file, ReadSettings(detected_skeleton=None))


@pytest.mark.rejects
@forty
@given(data=st.data())
def test_a_damaged_calibration(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    with session_of("mmpose").copied(tmp_path_factory.getbasetemp()) as folder:
        file = folder / "calibration.toml"
        data.draw(DAMAGES[".npz"], label="damage").inflict(file)
        require_sentence_or_sound_reading(folder, file, ReadSettings())


@pytest.mark.rejects
@forty
@given(damage=DAMAGES[".npz"])
def test_a_damaged_motion(tmp_path_factory: pytest.TempPathFactory, damage: BytesDamage) -> None:
    path = tmp_path_factory.mktemp("damaged") / "clip.bvh"
    path.write_text(actor())
    damage.inflict(path)
    require_sentence_or_sound_reading(path, path, ReadSettings())


@pytest.mark.rejects
@forty
@given(damage=DAMAGES[".npz"])
def test_a_damaged_native_file(
    tmp_path_factory: pytest.TempPathFactory, damage: BytesDamage
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "recording.npz"
    save_recording(path, Scene(views=2, frames=3).recording())
    damage.inflict(path)
    require_sentence_or_sound_reading(path, path, ReadSettings())


@pytest.mark.rejects
@forty
@given(oddity=st.sampled_from(ODDITIES), depth=st.integers(0, 3))
def test_something_else_in_a_pickle(
    tmp_path_factory: pytest.TempPathFactory, oddity: object, depth: int
) -> None:
    positions = [oddity, {"v": oddity}, {"v": {"custom": oddity}}, {"v": {"custom": [oddity]}}]
    path = tmp_path_factory.mktemp("odd") / "data.npz"
    wrapped = np.empty((), dtype=object)
    wrapped[()] = positions[depth]
    np.savez(path, positions_2d=wrapped)
    require_sentence_or_sound_reading(path, path, ReadSettings())


@pytest.mark.parametrize("layout", ["mmpose", "alphapose", "coco_results"])
def test_the_order_of_the_frames_does_not_matter(tmp_path: Path, layout: str) -> None:
    recording = Scene(views=2, frames=6, skeleton="coco17").recording()
    folder = write_session(tmp_path / "session", recording, WRITERS[layout])
    (expected,) = read_recordings([str(folder)], ReadSettings())
    for file in folder.glob("*.json"):
        file.write_text(json.dumps(json.loads(file.read_text())[::-1]))
    (read,) = read_recordings([str(folder)], ReadSettings())
    assert torch.equal(read.keypoints, expected.keypoints)


@pytest.mark.rejects
def test_a_gap_of_more_than_100_000_frames_is_a_damaged_number(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=3, skeleton="coco17").recording()
    folder = write_session(tmp_path / "session", recording, WRITERS["openpose"])
    for view in (1, 2):
        home = folder / f"cam{view}_json"
        (home / f"cam{view}_000000000002_keypoints.json").rename(
            home / f"cam{view}_000000200000_keypoints.json"
        )
    with pytest.raises(ReadError, match="cam1_json, frame 200000: follows frame 1; a gap of more"):
        read_recordings([str(folder)], ReadSettings())


def test_a_gap_of_100_000_frames_is_a_pause(tmp_path: Path) -> None:
    recording = Scene(views=1, frames=2, skeleton="coco17").recording()
    home = WRITERS["openpose"](tmp_path, recording, 0)
    (home / "cam1_000000000001_keypoints.json").rename(home / "cam1_000000100000_keypoints.json")
    (read,) = read_recordings([str(home)], ReadSettings())
    assert read.frame_count == 100_001
    assert read.keypoints[1:-1].isnan().all()


@pytest.mark.rejects
def test_two_files_of_one_frame_are_refused(tmp_path: Path) -> None:
    recording = Scene(views=1, frames=2, skeleton="coco17").recording()
    home = WRITERS["openpose"](tmp_path, recording, 0)
    (home / "again_000000000001_keypoints.json").write_text('{"people": []}')
    with pytest.raises(
        ReadError,
        match=r"cam1_json, frame 1: again_.* and cam1_000000000001_.* have this number, the last",
    ):
        read_recordings([str(home)], ReadSettings())


def test_infinite_and_absurd_numbers_are_missing(tmp_path: Path) -> None:
    recording = Scene(views=1, frames=2, skeleton="coco17").recording()
    spoiled = replace(recording, keypoints=recording.keypoints.clone())
    path = WRITERS["coco_results"](tmp_path, spoiled, 0)
    first = recording.keypoints[0, 0, 0].tolist()
    path.write_text(path.read_text().replace(str(first[0]), "1e300").replace(str(first[1]), "NaN"))
    (read,) = read_recordings([str(path)], ReadSettings())
    assert read.keypoints[0, 0].isnan().any(dim=-1).nonzero().flatten().tolist() == [0]
