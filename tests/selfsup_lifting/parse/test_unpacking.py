"""Packed files: what they unpack to is bounded, and lies in them."""

import os
import zlib
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from selfsup_lifting.files import read_recordings
from selfsup_lifting.parse.hdf5 import array_at, members, open_hdf5
from selfsup_lifting.parse.matlab import matlab_variable
from selfsup_lifting.parse.npz import load_npz
from selfsup_lifting.parse.unpacking import ALWAYS_ALLOWED, require_written
from selfsup_lifting.read_errors import ReadError
from selfsup_lifting.read_settings import ReadSettings
from tests.selfsup_lifting.files.layouts import WRITERS, write_session
from tests.selfsup_lifting.strategies import Scene

ZEROS = 2 * ALWAYS_ALLOWED


def test_an_array_of_zeros_does_not_fill_the_memory(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", small=np.eye(2), huge=np.zeros(ZEROS, dtype=np.uint8))
    np.testing.assert_array_equal(load_npz(tmp_path / "x.npz", "small")["small"], np.eye(2))
    with pytest.raises(ReadError, match=r"x\.npz: expected at most .* MB in a file of this size"):
        load_npz(tmp_path / "x.npz", "huge")


def test_a_matlab_variable_of_zeros_does_not_fill_the_memory(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"huge": np.zeros(ZEROS, dtype=np.uint8)}, do_compression=True)
    with pytest.raises(ReadError, match=r"x\.mat: expected at most .* MB in a file of this size"):
        matlab_variable(tmp_path / "x.mat", "huge")


def test_compressed_matlab_variables_are_read(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"eye": np.eye(3)}, do_compression=True)
    np.testing.assert_array_equal(matlab_variable(tmp_path / "x.mat", "eye"), np.eye(3))


@pytest.mark.rejects
def test_what_a_matlab_file_has_instead_is_named(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"eye": np.eye(3), "flag": 1}, do_compression=True)
    with pytest.raises(ReadError, match=r"x\.mat: expected the variable `poses`, got eye, flag$"):
        matlab_variable(tmp_path / "x.mat", "poses")
    content = (tmp_path / "x.mat").read_bytes()
    (tmp_path / "x.mat").write_bytes(content[:144] + b"\xff" * 9 + content[153:])
    damaged = (
        r"x\.mat is not a MATLAB file of version 5, or is damaged: Error -3 while decompressing"
    )
    with pytest.raises(ReadError, match=damaged):
        matlab_variable(tmp_path / "x.mat", "eye")
    (tmp_path / "x.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(8))
    with pytest.raises(ReadError, match=r"version 5, as `save -v7` writes it, got version 7\.3$"):
        matlab_variable(tmp_path / "x.mat", "eye")


@pytest.mark.rejects
@pytest.mark.parametrize("end", [b"", b"GCOL\x01\0\0\0"])
def test_an_hdf5_file_that_ends_in_its_header_is_damaged(tmp_path: Path, end: bytes) -> None:
    beginning = b"\x89HDF\r\n\x1a\n" + (bytes(6) + b"\x08" + bytes(9) if end else b"")
    (tmp_path / "x.h5").write_bytes(beginning + end)
    reason = "the texts of this HDF5 file are damaged" if end else "not an HDF5 file in the layout"
    with pytest.raises(ReadError, match=reason), open_hdf5(tmp_path / "x.h5", "a test"):
        raise AssertionError


def test_a_chunk_of_hdf5_that_unpacks_to_more_than_its_size_is_named(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).random((4, 2**15))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        array = file.create_dataset(
            "tracks", data=numbers, chunks=(1, 2**15), compression="gzip", fletcher32=True
        )
    with open_hdf5(tmp_path / "x.h5", "a test") as file:
        np.testing.assert_array_equal(array_at(file, "tracks"), numbers)
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        array = file["tracks"].id
        array.write_direct_chunk((3, 0), zlib.compress(bytes(ZEROS)), filter_mask=2)
    sentence = r"x\.h5, tracks: expected chunks that .* got one that unpacks to more than 67 MB"
    with pytest.raises(ReadError, match=sentence), open_hdf5(tmp_path / "x.h5", "a test") as file:
        array_at(file, "tracks")


def test_where_the_system_knows_no_holes_a_file_with_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "x.json").open("wb") as file:
        file.truncate(2 * ALWAYS_ALLOWED)
    with pytest.raises(ReadError, match="after 0 bytes nothing was written"):
        require_written(tmp_path / "x.json")
    monkeypatch.delattr(os, "SEEK_HOLE")
    require_written(tmp_path / "x.json")


def test_a_header_that_promises_more_than_there_is_is_refused(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 17, 2), }"
    content = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header + b"\n"
    with ZipFile(tmp_path / "x.npz", "w", ZIP_DEFLATED) as archive:
        archive.writestr("tracks.npy", content)
    with pytest.raises(ReadError, match=r"expected 136000000000000 bytes .* got 0"):
        load_npz(tmp_path / "x.npz", "tracks")


def test_an_array_that_was_never_written_does_not_fill_the_memory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("tracks", (ZEROS,), dtype="u1", chunks=True, fillvalue=1)
    refused = pytest.raises(ReadError, match=r"x\.h5: expected at most .* `tracks` would take")
    with refused, open_hdf5(tmp_path / "x.h5", "a test") as file:
        array_at(file, "tracks")


@pytest.mark.parametrize("way", ["storage", "link", "virtual"])
def test_an_array_of_another_file_is_not_read(tmp_path: Path, way: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(range(48)))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["tracks"] = np.arange(6.0)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        if way == "storage":
            outside = [(str(tmp_path / "secret"), 0, 48)]
            file.create_dataset("tracks", (6,), dtype="f8", external=outside)
        elif way == "link":
            file["tracks"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "tracks")
        else:
            layout = h5py.VirtualLayout((6,), dtype="f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "tracks", (6,))
            file.create_virtual_dataset("tracks", layout)
    refused = pytest.raises(ReadError, match=r"x\.h5, tracks: expected an array of this file, got")
    with refused, open_hdf5(tmp_path / "x.h5", "a test") as file:
        assert ("tracks" in members(file)) == (way != "link")
        array_at(file, "tracks")


def test_a_session_does_not_show_another_file(tmp_path: Path) -> None:
    folder = write_session(
        tmp_path / "session", Scene(skeleton="coco17").recording(), WRITERS["sleap"]
    )
    file = next(folder.rglob("*.h5"))
    (tmp_path / "secret").write_bytes(bytes(range(256)) * 100)
    with h5py.File(file, "r+") as opened:
        shape, dtype = opened["tracks"].shape, opened["tracks"].dtype
        del opened["tracks"]
        outside = [(str(tmp_path / "secret"), 0, 25_600)]
        opened.create_dataset("tracks", shape, dtype=dtype, external=outside)
    with pytest.raises(ReadError, match="got one in another file"):
        read_recordings([str(folder)], ReadSettings())
