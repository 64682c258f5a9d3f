"""Hostile files and folders: one sentence, soon, and in little memory."""

import csv
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from selfsup_lifting.cli.view_commands import _inspected
from selfsup_lifting.files import read_recordings
from selfsup_lifting.parse.folders import entries
from selfsup_lifting.parse.hdf5_heaps import require_sound_heaps
from selfsup_lifting.parse.matlab import matlab_variable
from selfsup_lifting.parse.npz import load_npy
from selfsup_lifting.read_errors import ReadError
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import save_recording
from selfsup_lifting.skeleton.skeletons import SKELETONS
from tests.selfsup_lifting.files.layouts import WRITERS, write_session
from tests.selfsup_lifting.strategies import Scene


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """End a test that hangs."""

    def late(*_: object) -> None:
        raise TimeoutError("the test takes too long")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def session(folder: Path, layout: str) -> Path:
    recording = Scene(views=2, frames=3, skeleton="coco17").recording()
    return write_session(folder / "session", recording, WRITERS[layout])


def refused(path: Path, sentence: str) -> None:
    with pytest.raises(ReadError, match=sentence):
        read_recordings([str(path)], ReadSettings())


@pytest.mark.parametrize("place", [0.35, 0.6])
def test_a_zeroed_block_of_texts_does_not_hang(tmp_path: Path, place: float) -> None:
    folder = session(tmp_path, "sleap")
    file = next(folder.glob("cam2*.h5"))
    content = bytearray(file.read_bytes())
    heap = content.index(b"GCOL")
    start = heap + int(place * 2000)
    content[start : heap + 4096] = bytes(heap + 4096 - start)
    file.write_bytes(content)
    refused(folder, r"cam2\.analysis\.h5 is in no known format")
    with pytest.raises(ReadError, match="the texts of this HDF5 file are damaged"):
        require_sound_heaps(file)


@pytest.mark.parametrize("shape", ["(3, " + 3000 * "-" + "1,)", "(3, " + 5000 * "9" + ", 33, 3)"])
def test_a_header_of_many_signs_is_a_short_sentence(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(ReadError, match=r"x\.npy is not a NumPy array, or is damaged") as refusal:
        load_npy(tmp_path / "x.npy")
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("layout", ["mmpose", "plain_csv"])
def test_a_file_with_holes_is_not_read_into_memory(tmp_path: Path, layout: str) -> None:
    folder = session(tmp_path, layout)
    file = next(folder.glob("cam2*"))
    os.truncate(file, 2**36)
    refused(folder, r"cam2\.\w+: expected 68719 MB of content, but after \d+ bytes nothing was")


def test_half_of_a_surrogate_pair_is_no_name_of_a_joint() -> None:
    body = SKELETONS["coco17"]
    with pytest.raises(ValueError, match=r"needs joint names in Unicode, got 'nose\\ud83d'"):
        replace(body, joints=("nose\ud83d", *body.joints[1:]))


@pytest.mark.parametrize("length", [0, 3, 100, 125, 130, 200, 300])
def test_a_matlab_file_that_is_cut_off_is_one_sentence(tmp_path: Path, length: int) -> None:
    savemat(tmp_path / "annot.mat", {"annot2": np.arange(99.0)}, do_compression=True)
    content = (tmp_path / "annot.mat").read_bytes()
    assert length < len(content)
    (tmp_path / "annot.mat").write_bytes(content[:length])
    with pytest.raises(ReadError, match=r"annot\.mat is not a MATLAB file|annot\.mat: expected"):
        matlab_variable(tmp_path / "annot.mat", "annot2")


@pytest.mark.parametrize("damage", [b"\0", b"(((((((", b"{'a'"])
@pytest.mark.parametrize("compression", [ZIP_DEFLATED, ZIP_STORED])
def test_a_damaged_header_of_an_array_is_one_sentence(
    tmp_path: Path, damage: bytes, compression: int
) -> None:
    save_recording(tmp_path / "x.npz", Scene(frames=3).recording())
    with ZipFile(tmp_path / "x.npz") as archive:
        members = {one.filename: archive.read(one) for one in archive.infolist()}
    header = members["keypoints.npy"]
    members["keypoints.npy"] = header[:10] + damage + header[10 + len(damage) :]
    with ZipFile(tmp_path / "x.npz", "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refused(tmp_path / "x.npz", r"x\.npz is not an npz file, or is damaged")


@pytest.mark.parametrize(
    "name", ["x.npz", "x.json", "x.h5", "x.csv", "calibration.json", "pose-2d"]
)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices_in_a_folder_are_not_opened(tmp_path: Path, name: str, kind: str) -> None:
    folder = session(tmp_path, "sleap")
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/zero")
    (recording,) = read_recordings([str(folder)], ReadSettings())
    assert recording.frame_count == 3


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npz")
    refused(tmp_path / "x.npz", "is a pipe or a device; expected a file or a folder")


def test_links_are_not_followed_in_circles(tmp_path: Path) -> None:
    folder = session(tmp_path, "sleap")
    plain = entries(folder)
    for number in range(12):
        (folder / f"link{number}").symlink_to(folder)
        (folder / f"root{number}").symlink_to("/")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "other").symlink_to(elsewhere)
    assert entries(folder) == sorted([*plain, folder / "other"])
    (recording,) = read_recordings([str(folder)], ReadSettings())
    assert recording.frame_count == 3


def test_a_cell_is_no_longer_than_that_of_a_table(tmp_path: Path) -> None:
    folder = session(tmp_path, "plain_csv")
    file = next(folder.glob("*.csv"))
    lines = file.read_text().splitlines()
    lines[2] = '"' + "9" * (csv.field_size_limit() + 1) + '",' + lines[2]
    file.write_text("\n".join(lines))
    refused(folder, r"\.csv is not a table, or is damaged: field larger than field limit")


def test_a_crowd_is_refused(tmp_path: Path) -> None:
    folder = session(tmp_path, "openpose")
    file = min(folder.rglob("*_json/*.json"))
    content = json.loads(file.read_text())
    content["people"] *= 300
    file.write_text(json.dumps(content))
    refused(folder, "expected at most 256 people in a frame, got 300")


def test_frame_numbers_far_apart_are_refused(tmp_path: Path) -> None:
    folder = session(tmp_path, "plain_csv")
    file = next(folder.glob("*.csv"))
    heading, names, *rows = file.read_text().splitlines()
    cells = rows[0].partition(",")[2]
    far = [f"{90_000 * number},{cells}" for number in range(100)]
    file.write_text("\n".join([heading, names, *far]))
    refused(folder, r"has 100 of the frames 0 to 8910000; the frame numbers are damaged")


def test_more_joints_than_any_body_has_are_refused(tmp_path: Path) -> None:
    folder = session(tmp_path, "dlc_csv")
    file, count = next(folder.glob("*.csv")), 3_000
    parts = [f"p{at}" for at in range(count) for _ in range(3)]
    rows = [
        ["scorer", *["s"] * 3 * count],
        ["bodyparts", *parts],
        ["coords", *["x", "y", "likelihood"] * count],
        ["0", *["1"] * 3 * count],
    ]
    file.write_text("\n".join(",".join(row) for row in rows))
    refused(folder, "expected at most 2000 joints, got 3000")


def test_a_key_of_many_parts_is_refused(tmp_path: Path) -> None:
    folder = session(tmp_path, "sleap")
    (folder / "calibration.toml").write_text(".".join(["a"] * 5_000) + " = 1\n")
    refused(folder, "a key has more than 32 parts")


def test_more_cameras_than_any_rig_has_are_refused(tmp_path: Path) -> None:
    folder = session(tmp_path, "sleap")
    camera = (
        "matrix = [[9.0, 0.0, 5.0], [0.0, 9.0, 5.0], [0.0, 0.0, 1.0]]\n"
        "rotation = [0.0, 0.0, 0.0]\ntranslation = [0.0, 0.0, 0.0]\n"
    )
    cameras = [f"[cam_{at}]\n{camera}" for at in range(2_001)]
    (folder / "calibration.toml").write_text("".join(cameras))
    refused(folder, "expected at most 2000 cameras, got 2001")


@pytest.mark.rejects
@pytest.mark.parametrize("name", ["keypoints", "intrinsics", "image_size"])
def test_complex_numbers_are_refused(tmp_path: Path, name: str) -> None:
    save_recording(tmp_path / "x.npz", Scene(frames=3).recording())
    arrays = dict(np.load(tmp_path / "x.npz"))
    np.savez(tmp_path / "x.npz", **{**arrays, name: arrays[name].astype(complex)})
    refused(tmp_path / "x.npz", rf"`{name}` must .*, got torch\.complex128")


@pytest.mark.parametrize("seconds", ["1e-320", "1e300", "-1", "nan"])
def test_a_frame_rate_that_no_camera_has_is_unknown(tmp_path: Path, seconds: str) -> None:
    folder = session(tmp_path, "plain_csv")
    for file in folder.glob("cam*.csv"):
        mark, head, *rows = file.read_text().splitlines()
        cells = [row.split(",") for row in rows]
        timed = [[n, str(float(seconds) * int(n)), *others] for n, _, *others in cells]
        file.write_text("\n".join([mark, head, *map(",".join, timed)]))
    (recording,) = read_recordings([str(folder)], ReadSettings())
    assert recording.fps == 60.0


@pytest.mark.parametrize("rate", [1e-300, 1e300])
def test_a_frame_rate_that_no_camera_has_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"`fps` must be 1e-06 to 1e\+06 frames per second"):
        replace(Scene(views=2, frames=3).recording(), fps=rate)
    with pytest.raises(ValueError, match=r"setting `fps` must be at (least|most) 1"):
        ReadSettings(fps=rate)


def test_complex_tracks_are_refused(tmp_path: Path) -> None:
    folder = session(tmp_path, "sleap")
    for name in folder.glob("cam*.h5"):
        with h5py.File(name, "r+") as file:
            tracks = file["tracks"][()]
            del file["tracks"]
            file["tracks"] = tracks.astype(complex)
    refused(folder, r"tracks: expected real numbers, got complex ones")


def test_a_calibration_beside_unknown_files_is_not_all_there_is(tmp_path: Path) -> None:
    folder = session(tmp_path, "sleap")
    for name in folder.glob("cam*.h5"):
        with h5py.File(name, "r+") as file:
            del file["node_names"]
    found, _, _ = _inspected(str(folder), ReadSettings())
    assert found.warnings[-1].startswith("not read: cam1")


def test_a_recording_without_frames_is_refused(tmp_path: Path) -> None:
    recording = Scene(frames=3).recording()
    empty = replace(recording.frames(slice(0, 0)), name="empty")
    save_recording(tmp_path / "x.npz", empty)
    refused(tmp_path / "x.npz", "the recording 'empty' has no frames")
