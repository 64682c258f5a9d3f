"""Files that a copy, a full disk or another program damaged: each is one sentence."""

import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_LZMA, ZipFile

import h5py
import numpy as np
import pytest
import torch

from multiview_geom import save_cameras
from selfsup_lifting.cli.tables import plain_table
from selfsup_lifting.cli.terminal import PlainFormatter
from selfsup_lifting.export import save_tracks
from selfsup_lifting.files import read_recordings
from selfsup_lifting.parse.hdf5 import array_at, open_hdf5
from selfsup_lifting.parse.json_values import load_json, numbers_at, whole_number_at
from selfsup_lifting.parse.npz import load_npz
from selfsup_lifting.parse.tables import number_in, read_rows
from selfsup_lifting.parse.text import read_text
from selfsup_lifting.read_errors import Place, ReadError
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Source
from selfsup_lifting.recording_file import load_recording, save_recording
from selfsup_lifting.saved_tracks import holds_tracks, load_tracks
from selfsup_lifting.simulation.bvh import load_bvh
from tests.selfsup_lifting.files import layouts
from tests.selfsup_lifting.files.layouts import write_session
from tests.selfsup_lifting.strategies import Scene

pytestmark = pytest.mark.rejects

TAKE = Scene(views=2, frames=4, skeleton="coco17").recording()
STATUS = Path("/proc/self/status")
BLOSC = 32001
# Where the directory of a zip file has the flags and the method of a member.
FLAGS, METHOD = 8, 10


def session(folder: Path, layout: str) -> Path:
    return write_session(folder / "session", TAKE, layouts.WRITERS[layout])


def files_of(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.rglob(pattern) if path.is_file())


def said(folder: Path) -> str:
    with pytest.raises(ReadError) as caught:
        read_recordings([str(folder)], ReadSettings())
    return str(caught.value)


def said_of_array(path: Path) -> str:
    with pytest.raises(ReadError) as caught, open_hdf5(path, "any") as file:
        array_at(file, "a")
    return str(caught.value)


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux has such files")
def test_no_more_is_read_than_the_size_of_a_file() -> None:
    with pytest.raises(ReadError, match="got an empty file; likely cause: a full disk"):
        read_text(STATUS)


def test_zeros_of_a_power_cut_are_named_with_their_line(tmp_path: Path) -> None:
    folder = session(tmp_path, "plain_csv")
    file = files_of(folder, "*.csv")[0]
    text = file.read_text()
    lines = text.splitlines(keepends=True)
    kept = "".join(lines[:4])
    file.write_text(kept + "\0" * (len(text) - len(kept)))
    assert f"{file}, line 5: expected text, got zeros (NUL); likely cause: a power" in said(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b"\r\n", b"\n"),
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content.decode("utf-8", "replace").encode(),
    ],
    ids=["line ends of Unix", "line ends of Windows", "UTF-8"],
)
def test_hdf5_that_was_copied_as_text_is_named(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    folder = session(tmp_path, "sleap")
    file = files_of(folder, "*.h5")[0]
    file.write_bytes(change(file.read_bytes()))
    assert "an HDF5 file that was copied as text, which damaged it" in said(folder)


def test_empty_files_of_a_full_disk_are_named(tmp_path: Path) -> None:
    folder = session(tmp_path, "openpose")
    files = files_of(folder / "cam1_json" if (folder / "cam1_json").is_dir() else folder, "*.json")
    files[-1].write_bytes(b"")
    assert f"{files[-1]}: expected a file with data, got an empty file" in said(folder)
    home = files[0].parent
    for file in files_of(home, "*"):
        file.write_bytes(b"")
    assert f"{home.name} is in no known format (4 empty files; likely cause: a full" in said(folder)


@pytest.mark.parametrize("row", ["bodyparts", "coords"])
def test_a_header_row_of_deeplabcut_that_was_deleted_is_named(tmp_path: Path, row: str) -> None:
    folder = session(tmp_path, "dlc_csv")
    file = files_of(folder, "*.csv")[0]
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith(row)))
    sentence = said(folder)
    assert "expected the header rows scorer, bodyparts, coords, got scorer" in sentence
    assert f"`{row}` is not there; likely cause: it was deleted" in sentence
    file.write_text("".join(lines[:1] + lines[3:] + lines[1:3]))
    assert "has it: the table was sorted" in said(folder)


@pytest.mark.parametrize(
    ("at", "value", "cause"),
    [(FLAGS, 1, "it is encrypted: unpack it with"), (METHOD, 9, "packed by the method 9 of ZIP")],
)
def test_an_archive_that_python_cannot_unpack_is_named(
    tmp_path: Path, at: int, value: int, cause: str
) -> None:
    np.savez(tmp_path / "x.npz", eye=np.eye(2))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[content.index(b"PK\1\2") + at] = value
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ReadError, match=rf"x\.npz, eye\.npy: .*{cause}"):
        load_npz(tmp_path / "x.npz")


def test_an_archive_that_was_copied_as_text_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", eye=np.eye(3))
    content = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(content.replace(b"\n", b"\r\n"))
    with pytest.raises(ReadError, match=r"x\.npz is not .*; likely cause: it was copied as text"):
        load_npz(tmp_path / "x.npz", "eye")
    (tmp_path / "x.npz").write_bytes(content.decode("utf-8", "replace").encode())
    assert "a NumPy archive that is cut off or damaged" in said(tmp_path)


def test_an_archive_with_two_members_of_a_name_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", eye=np.eye(2), one=np.eye(2))
    content = (tmp_path / "x.npz").read_bytes().replace(b"one.npy", b"eye.npy")
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ReadError, match=r"x\.npz, eye\.npy: the archive has several members of th"):
        load_npz(tmp_path / "x.npz", "eye")


def test_a_quotation_mark_that_takes_rows_in_is_named(tmp_path: Path) -> None:
    rows = "".join(f"{at},1,2,{note}\n" for at, note in enumerate(("", '"15 monitor', "", '"', "")))
    (tmp_path / "x.csv").write_text(f"frame,nose_x,nose_y,note\n{rows}")
    told = "row 3: a quotation mark ends in row 5 only, so that the rows between are in one cell"
    assert told in said(tmp_path / "x.csv")


def test_a_cell_of_several_lines_keeps_the_places_of_the_rows(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('frame,nose_x,nose_y,note\n0,1,2,"a\nb"\n1,one,2,\n')
    assert "row 4, column nose_x: expected a number, got 'one'" in said(tmp_path / "x.csv")


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c"])
def test_signs_of_word_processors_in_a_cell_end_no_row(tmp_path: Path, sign: str) -> None:
    (tmp_path / "x.csv").write_text(f"frame,note\n0,a{sign}b\n1,c\n")
    assert [row.cells[0] for row in read_rows(tmp_path / "x.csv")] == ["frame", "0", "1"]


@pytest.mark.parametrize(("layout", "suffix"), [("openpose", ".json"), ("ultralytics", ".txt")])
def test_frames_that_are_in_a_cloud_are_named(tmp_path: Path, layout: str, suffix: str) -> None:
    file = files_of(session(tmp_path, layout), f"*{suffix}")[1]
    file.rename(file.with_name(f".{file.name}.icloud"))
    assert f"1 of its files are in iCloud only, such as .{file.name}.icloud" in said(file.parent)


def test_a_copy_of_a_video_of_freemocap_is_named(tmp_path: Path) -> None:
    recording = Scene(views=1, frames=4, skeleton="blazepose33").recording()
    write_session(tmp_path / "session", recording, layouts.freemocap)
    file = files_of(tmp_path, "*.mp4")[0]
    file.with_name("cam1 (1).mp4").touch()
    assert "got cam1 (1), by its name a copy of another one: delete it" in said(tmp_path)


def test_a_member_of_an_archive_that_is_packed_again_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "inner.npz", eye=np.eye(2))
    with ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.write(tmp_path / "inner.npz", "eye.npy")
    with pytest.raises(
        ReadError, match=r"x\.npz, eye\.npy: expected a NumPy array .*, got 'a NumPy a"
    ):
        load_npz(tmp_path / "x.npz", "eye")


def test_a_group_of_hdf5_is_no_array(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("a")
    assert "x.h5, a: expected an array, got a group" in said_of_array(tmp_path / "x.h5")


def test_an_angle_of_which_no_digit_is_left_is_refused(tmp_path: Path) -> None:
    text = "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 1 Xrotation\n}\nMOTION\nFrames: 1\n"
    (tmp_path / "x.bvh").write_text(f"{text}Frame Time: 0.02\n1e17\n")
    with pytest.raises(ReadError, match=r"frame 0: expected a number below 1e\+09 for Xrotation"):
        load_bvh(tmp_path / "x.bvh")


def test_two_archives_in_one_file_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", eye=np.eye(2))
    first = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "b.npz").write_bytes(first + (tmp_path / "b.npz").read_bytes())
    with pytest.raises(ReadError, match=rf"b\.npz: another archive of {len(first)} bytes stands"):
        load_npz(tmp_path / "b.npz", "eye")


def test_a_member_whose_packing_is_another_one_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", eye=np.eye(2))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[8] = content[content.rindex(b"PK\x01\x02") + METHOD] = ZIP_LZMA
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ReadError, match=r"x\.npz is not an npz file, or is damaged: "):
        load_npz(tmp_path / "x.npz", "eye")


def test_tracks_of_sleap_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    folder = session(tmp_path, "sleap")
    with h5py.File(files_of(folder, "*.h5")[0], "a") as file:
        shape = file["tracks"].shape
        del file["tracks"]
        file["tracks"] = np.zeros(shape, dtype=bool)
    assert "tracks: expected numbers, got the type bool" in said(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"subject": ["S1"]}, "`subject` must be str, got list"),
        ({"cameras": "ab"}, "`cameras` must be list, got str"),
        (
            {"cameras": ["a", "\ud800x"]},
            r"x\.npz, description: .* half a surrogate pair, got .*ud800x",
        ),
        ({"name": "\ud800x"}, "half a surrogate pair, got .*ud800x"),
        ({"fps": True}, r"x\.npz, description\.fps: expected a number, got True"),
        ({"source": [1]}, "`source` must be Mapping, got list"),
        (
            {"source": {"markers": ["abc"]}},
            r"`source\.markers` must be a list of pairs, .* \['abc'\]",
        ),
        ({"source": {"path": 5}}, r"`source\.path` must be str \| None, got int"),
        ({"source": {"calibration": {}}}, r"`source\.calibration` must be str \| None, got dict"),
        ({"format": None}, "expected a recording of format 1, got format None$"),
        ({"format": 9}, "got format 9; a newer version of this package wrote it"),
    ],
)
def test_a_description_of_another_kind_is_refused(
    tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    save_recording(tmp_path / "x.npz", TAKE)
    arrays = dict(np.load(tmp_path / "x.npz"))
    arrays["description"] = np.array(json.dumps(json.loads(str(arrays["description"])) | change))
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ReadError, match=sentence):
        load_recording(tmp_path / "x.npz")


@pytest.mark.parametrize("name", ["take.npz", "tracks.npz"])
@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("", "is not JSON, or is damaged: Expecting value"),
        ("[]", r": expected an object, got \[\]"),
        (b"{}", r": expected one text, got array\(b'\{\}'"),
        (["{}", "{}"], r": expected one text, got <U2 of shape \(2,\)"),
        (
            np.array(["{}"]).view("u4") + 0x110000,
            r"is not text, or is damaged: .* code point not in",
        ),
    ],
)
def test_a_damaged_description_is_named(
    tmp_path: Path, name: str, written: object, sentence: str
) -> None:
    save_recording(tmp_path / "take.npz", TAKE)
    save_tracks(
        tmp_path / "tracks.npz", torch.zeros(2, 17, 3), skeleton=TAKE.skeleton, fps=30.0,
        coordinates="world",
    )  # fmt: skip
    arrays = dict(np.load(tmp_path / name))
    array = np.array(written)
    arrays["description"] = array.view("U2").reshape(()) if array.dtype == "u4" else array
    np.savez(tmp_path / name, **arrays)
    with pytest.raises(ReadError, match=rf"{name}, description ?{sentence}"):
        (load_recording if name == "take.npz" else load_tracks)(tmp_path / name)
    assert holds_tracks(tmp_path / name) == (name == "tracks.npz")


def test_a_recording_whose_names_are_no_text_is_not_saved(tmp_path: Path) -> None:
    names = replace(TAKE.cameras, names=("a", "\ud800x"))
    with pytest.raises(ValueError, match="without half a surrogate pair"):
        save_recording(tmp_path / "x.npz", replace(TAKE, cameras=names))
    assert not list(tmp_path.iterdir())
    folder = replace(TAKE, name="\udce4", source=Source(path=Path("\udce4")))  # not UTF-8
    save_recording(tmp_path / "x.npz", folder)
    assert load_recording(tmp_path / "x.npz").source == folder.source


def test_lists_of_objects_are_no_tracks(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    save_tracks(path, torch.zeros(2, 17, 3), skeleton=TAKE.skeleton, fps=30.0, coordinates="world")
    np.savez(path, **{**np.load(path), "tracks": np.zeros((2, 17, 3)).astype(object)})
    with pytest.raises(ReadError, match=r"x\.npz, tracks: expected an array of numbers, got \[\["):
        load_tracks(path)


def changed_recording(folder: Path, name: str, change: Callable[[Any], Any]) -> Path:
    save_recording(folder / "x.npz", TAKE)
    arrays = dict(np.load(folder / "x.npz"))
    np.savez(folder / "x.npz", **{**arrays, name: change(arrays[name])})
    return folder / "x.npz"


def test_keypoints_without_axes_are_refused(tmp_path: Path) -> None:
    path = changed_recording(tmp_path, "keypoints", lambda _: np.array(0.0))
    assert "`keypoints` must have shape" in said(path)


@pytest.mark.parametrize(
    ("name", "place", "sentence"),
    [
        ("intrinsics", (0, 1, 0), "K has 77 below its first diagonal element, expected 0"),
        ("camera_from_world", (0, 3, 0), "the last row of camera_from_world is 77, 0, 0, 1"),
    ],
)
def test_cameras_of_a_recording_that_cannot_be_are_named(
    tmp_path: Path, name: str, place: tuple[int, ...], sentence: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def change(array: Any) -> Any:
        array[place] = 77.0
        return array

    read_recordings([str(changed_recording(tmp_path, name, change))], ReadSettings())
    assert sentence in caplog.text


def test_a_chunk_of_hdf5_that_is_larger_than_its_array_takes_no_memory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("a", (1,), chunks=(2**27,), maxshape=(None,), dtype="u1")
    assert "`a` would take 134 MB; the file is damaged or" in said_of_array(tmp_path / "x.h5")


def test_two_joints_of_one_name_in_a_motion_are_named(tmp_path: Path) -> None:
    joint = "JOINT hip\n{\nOFFSET 0 1 0\nCHANNELS 1 Xrotation\n}\n"
    text = f"HIERARCHY\nROOT a\n{{\nOFFSET 0 0 0\nCHANNELS 1 Xposition\n{joint}{joint}}}\nMOTION\n"
    (tmp_path / "x.bvh").write_text(f"{text}Frames: 1\nFrame Time: 0.02\n1 2 3\n")
    with pytest.raises(
        ReadError, match="line 11: expected joints of different names, got hip again"
    ):
        load_bvh(tmp_path / "x.bvh")


def test_columns_of_caliscope_that_contradict_are_named(tmp_path: Path) -> None:
    columns = "sync_index,cam_id,port,keypoint_id,img_loc_x,img_loc_y"
    (tmp_path / "xy.csv").write_text(f"{columns}\n0,1,2,3,4,5\n")
    assert "row 2: expected equal numbers in the columns cam_id and port, got '1, 2'" in said(
        tmp_path / "xy.csv"
    )


def test_a_key_of_mediapipe_that_is_no_number_is_named(tmp_path: Path) -> None:
    person = [{"x": 0.5, "y": 0.5, "z": 0.0}] * 33
    (tmp_path / "x.json").write_text(json.dumps({"0": {"landmarks": person}, "1_2": {}}))
    assert "expected numbers of frames as keys, got '1_2'" in said(tmp_path / "x.json")


def test_a_sentence_stays_in_one_line() -> None:
    assert str(ReadError("a\nb")) == "a b"
    assert plain_table("a\nb", ["c"]).title == "a b"
    record = logging.LogRecord("x", logging.WARNING, "x", 1, "a\nb", None, None)
    assert PlainFormatter().format(record) == "a b"


def test_edges_of_sleap_that_name_no_node_are_refused(tmp_path: Path) -> None:
    folder = session(tmp_path, "sleap")
    with h5py.File(files_of(folder, "*.h5")[0], "a") as file:
        if "edge_names" in file:
            del file["edge_names"]
        file["edge_names"] = np.array([[b"nose", b"tail"]])
    assert "edge_names: expected nodes of nose, " in said(folder)


def test_two_motions_in_a_file_are_named(tmp_path: Path) -> None:
    text = "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 1 Xposition\n}\nMOTION\nFrames: 1\n"
    (tmp_path / "x.bvh").write_text(2 * f"{text}Frame Time: 0.02\n1\n")
    with pytest.raises(ReadError, match=r"got \d+ lines; in line 11 another motion begins"):
        load_bvh(tmp_path / "x.bvh")


def test_two_tables_that_were_merged_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("frame,nose_x_x,nose_y_x,nose_x_y,nose_y_y\n0,1,2,1,2\n")
    assert "nose is there twice, as if two tables were merged" in said(tmp_path / "x.csv")


def test_a_table_whose_header_was_sorted_to_its_end_is_named(tmp_path: Path) -> None:
    folder = session(tmp_path, "plain_csv")
    file = files_of(folder, "*.csv")[0]
    _, header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([*rows, header]))
    assert "a table whose first row has numbers: its header was deleted, or its rows" in said(
        folder
    )


def test_a_hidden_file_is_not_named_among_those_that_are_not_read(tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").touch()
    (tmp_path / "cam_1").write_text("../all/cam_1_json")
    told = said(tmp_path)
    assert "cam_1: in no known format (a link that git wrote as text" in told
    assert "gitkeep" not in told


def test_names_of_a_zip_of_windows_are_named(tmp_path: Path) -> None:
    folder = session(tmp_path, "plain_csv")
    for file in files_of(folder, "*"):
        file.rename(file.with_name(f"take\\{file.name}"))
    assert "names with \\ are of a zip of Windows" in said(folder)


def test_a_filter_of_hdf5_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        packing = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        packing.set_chunk((4,))
        packing.set_filter(BLOSC, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((4,))
        array = h5py.h5d.create(file.id, b"tracks", h5py.h5t.NATIVE_DOUBLE, space, packing)
        array.write_direct_chunk((0,), bytes(32))
    sentence = r"x\.h5, tracks: packed by the filter 32001, which is not installed: pack it by gzip"
    with pytest.raises(ReadError, match=sentence), open_hdf5(tmp_path / "x.h5", "a test") as file:
        array_at(file, "tracks")


def test_rows_of_empty_cells_at_the_end_and_the_minus_of_books_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("frame,a,,\n0,1,,\n,,,\n1,\u22122,,\n,,,\n ,,,\n", "utf-8")
    rows = read_rows(tmp_path / "x.csv")
    assert [row.cells[0] for row in rows] == ["frame", "0", "", "1"]
    assert rows[-1].number(1) == number_in("-2")


def test_a_chain_of_joints_as_long_as_no_body_is_refused(tmp_path: Path) -> None:
    joints = "".join(f"JOINT j{n}\n{{\nOFFSET 0 1 0\nCHANNELS 0\n" for n in range(3000))
    text = f"HIERARCHY\nROOT a\n{{\nOFFSET 0 0 0\nCHANNELS 0\n{joints}{'}' * 3001}\nMOTION\n"
    (tmp_path / "x.bvh").write_text(text)
    with pytest.raises(ReadError, match=r"line 802: expected at most 200 joints from the root to"):
        load_bvh(tmp_path / "x.bvh")


def test_numbers_of_hundreds_of_digits_are_no_numbers(tmp_path: Path) -> None:
    place, digits = Place(Path("a.json"), "people"), "1" * 400
    with pytest.raises(ReadError, match=r"people\[1\]: expected a number, got 1111.*\.\.\.$"):
        numbers_at(place, [0.5, int(digits)], -1)
    with pytest.raises(ReadError, match="expected a whole number from 0 to 9007199254740992, got"):
        whole_number_at(place, int(digits))
    (tmp_path / "a.json").write_text("1" * (sys.get_int_max_str_digits() + 1))
    with pytest.raises(ReadError, match=r"damaged: one of its numbers has thousands of digits$"):
        load_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("fps", "reason"),
    [
        ("1" * 400, "int too large to convert to float"),
        ("1" * 5000, "one of its numbers has thousands of digits"),
        ("[" * 100_000, "its values are nested too deep"),
    ],
    ids=["400 digits", "5000 digits", "nested"],
)
def test_a_description_that_python_cannot_read_is_named(
    tmp_path: Path, fps: str, reason: str
) -> None:
    save_recording(tmp_path / "take.npz", TAKE)
    for name in ("x.csv", "x.npz"):
        save_tracks(
            tmp_path / name, torch.zeros(2, 17, 3), skeleton=TAKE.skeleton, fps=30.0,
            coordinates="world",
        )  # fmt: skip
    table = (tmp_path / "x.csv").read_text()
    (tmp_path / "x.csv").write_text(table.replace('"fps": 30.0', f'"fps": {fps}'))
    for name in ("take.npz", "x.npz"):
        with np.load(tmp_path / name) as found:
            arrays = dict(found)
        description = json.loads(str(arrays.pop("description")))
        text = json.dumps({**description, "fps": -1.5}).replace("-1.5", fps)
        np.savez(tmp_path / name, description=np.array(text), **arrays)
    for name in ("x.csv", "x.npz", "take.npz"):
        read: Callable[[Path], object] = load_recording if name == "take.npz" else load_tracks
        with pytest.raises(ReadError, match=rf"{name}.* is not .*, or is damaged: {reason}"):
            read(tmp_path / name)
    assert not holds_tracks(tmp_path / "take.npz")


def test_letters_of_another_alphabet_that_look_alike_are_named(tmp_path: Path) -> None:
    folder = session(tmp_path, "plain_csv")
    file = files_of(folder, "*.csv")[0]
    file.rename(file.with_name(file.name.replace("c", "\u0441", 1).replace("a", "\u0430", 1)))
    assert "has Cyrillic letters" in said(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf_8_are_named(tmp_path: Path) -> None:
    folder = session(tmp_path, "plain_csv")
    file = files_of(folder, "*.csv")[0]
    os.rename(file, os.fsencode(file.parent) + b"/kamera_\xe4.csv")  # noqa: PTH104 - bytes
    sentence = said(folder)
    assert "names of files are not in UTF-8: rename them" in sentence
    assert "--map" not in sentence


def test_a_disk_that_cannot_be_read_names_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = session(tmp_path, "plain_csv")
    save_cameras(folder / "calibration.toml", TAKE.cameras)

    def broken(*_: object, **__: object) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("selfsup_lifting.parse.tables.read_text", broken)
    assert "session: the system cannot read a file of it: [Errno 5] Input" in said(folder)
