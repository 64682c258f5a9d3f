"""Laws of writing: a file is complete or not there, and the cause is said."""

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from selfsup_lifting.atomic_write import replacing, require_target, write_synced


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.EIO, r"Input/output error$"),
        (errno.ENOSPC, r"No space left on device \(\S+ MB are free there\)$"),
    ],
)
def test_a_file_that_does_not_reach_the_disk_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cause: str
) -> None:
    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=rf"a\.bin cannot be written: {cause}"):
        write_synced(tmp_path / "a.bin", b"text")
    (tmp_path / "b.txt").write_text("before")
    refused = pytest.raises(OSError, match=rf"cannot be written: {cause}")
    with refused, replacing(tmp_path / "b.txt") as temporary:
        temporary.write_text("after")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"b.txt": "before"}


def test_nobody_else_can_put_a_link_in_the_place_of_a_file(tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    with replacing(tmp_path / "a.csv") as temporary:
        assert temporary.parent.stat().st_mode & 0o777 == 0o700
        temporary.write_text("1,2\n")
    (tmp_path / "b.bin").symlink_to(precious)
    write_synced(tmp_path / "b.bin", b"new")
    assert (tmp_path / "b.bin").read_bytes() == b"new"
    assert not (tmp_path / "b.bin").is_symlink()
    assert precious.read_text() == "mine"
    (tmp_path / "usual.txt").touch()
    modes = {(tmp_path / name).stat().st_mode for name in ("usual.txt", "a.csv", "b.bin")}
    assert len(modes) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")
def test_who_may_read_a_file_stays_as_it_is(tmp_path: Path) -> None:
    private = tmp_path / "private.csv"
    private.touch(mode=0o600)
    with replacing(private) as temporary:
        temporary.write_text("mine")
    assert private.read_text() == "mine"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    with replacing(tmp_path / ("n" * 255)) as temporary:
        temporary.write_text("mine")
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    refused = pytest.raises(OSError, match=r"notes/a\.csv cannot be written: (Not a|File exists)")
    with refused, replacing(tmp_path / "notes" / "a.csv"):
        raise AssertionError
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_folder_a_pipe_and_a_device_are_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for path, what in ((tmp_path / "pipe.csv", "a pipe"), (tmp_path / "folder.csv", "a folder")):
        with pytest.raises(ValueError, match=f"cannot be written: it is {what}"):
            require_target(path, overwrite=True)
        with pytest.raises(ValueError, match=f"cannot be written: it is {what}"), replacing(path):
            raise AssertionError
    assert (tmp_path / "pipe.csv").is_fifo()
    with pytest.raises(ValueError, match="/dev/null cannot be written: it is a pipe or a device"):
        require_target(Path("/dev/null"), overwrite=True)


def test_a_file_that_a_library_cannot_write_is_named(tmp_path: Path) -> None:
    refused = pytest.raises(OSError, match=r"a\.npz cannot be written: File too large$")
    with refused, replacing(tmp_path / "a.npz"):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    assert not list(tmp_path.iterdir())


def test_the_files_of_a_training_are_never_replaced_by_results(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.json").write_text('{"files": {"config.toml": {}}}')
    for name in ("checkpoint.json", "config.toml", "report.html"):
        (tmp_path / name).touch()
        with pytest.raises(FileExistsError, match="is a file of the training in"):
            require_target(tmp_path / name, overwrite=True)
    (tmp_path / "poses.csv").touch()
    require_target(tmp_path / "poses.csv", overwrite=True)


@pytest.mark.parametrize("name", ["https://a.org/p.csv", "s3://b/p.csv", "~/p.csv", "C:\\p.csv"])
def test_an_address_is_no_file(name: str) -> None:
    with pytest.raises(ValueError, match="expected a path on this computer"):
        require_target(Path(name), overwrite=False)


@pytest.mark.parametrize("name", ["a.csv,b.trc", "a.csv;b.trc"])
def test_several_names_between_commas_are_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="expected the name of one file, got several"):
        require_target(tmp_path / name, overwrite=True)
    require_target(tmp_path / "v1.25,walk.csv", overwrite=True)
