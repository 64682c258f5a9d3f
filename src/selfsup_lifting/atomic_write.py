"""Write files completely or not at all, also if the process is killed or the disk is full."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path
from secrets import token_hex

# The commit mark of a training: it names the other files.
COMMIT_FILE = "checkpoint.json"
# The page about a training, which is written after its last checkpoint.
REPORT_FILE = "report.html"
# Characters of a file's name that a temporary folder has: with more, it may be too long.
SHOWN = 32
# `a.csv,b.trc`: the end of a file's name before a comma.
_SEVERAL = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}[,;]")
# `https:/host/file`, as `Path` writes it, `C:\\file` and `~/file`.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|[A-Za-z]:\\|~[^/]*(/|$)")


def require_target(path: Path, *, overwrite: bool) -> None:
    """Refuse the name of a file that cannot be written, before any work is done.

    Args:
        path: The file to write.
        overwrite: Whether it may replace a file.

    Raises:
        FileExistsError: If the file exists and may not be replaced, or belongs to a training.
        ValueError: If a folder, a pipe or a device has this name, it is in no folder that can be
            written to, or it is an address of the network or of another system, or several names
            with commas between them; or if `overwrite` is no bool.
    """
    is_answer = isinstance(overwrite, bool)
    if not is_answer:  # "no" would count as yes
        raise ValueError(f"`overwrite` must be True or False, got {overwrite!r}")
    _require_file(path)
    require_place(path)
    if _SEVERAL.search(path.name):
        raise ValueError(
            f"{path}: expected the name of one file, got several with commas between them; write "
            "blanks: --out a.csv b.trc"
        )
    if path.exists() and path.name in _files_of_run(path.parent):
        raise FileExistsError(
            f"{path} is a file of the training in {path.parent}, and --overwrite replaces results "
            "only: name another file"
        )
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; --overwrite replaces it")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise ValueError(f"{path} cannot be written: {parent} is no folder to write to")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; when the block ends without an error, it is renamed to the real one.

    It is in a folder of its own, in which nobody else can put a link in its place.

    Args:
        path: The file to write; an existing file is replaced.

    Yields:
        A temporary path on the same disk, with the same suffix.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If a folder, a pipe or a device has the name of the file.
    """
    _require_file(path)
    home = _private_folder(path)
    temporary = home / f"{token_hex(8)}{path.suffix}"
    try:
        try:
            yield temporary
        except OSError as error:
            if error.errno is None or error.filename is not None:
                raise
            raise OSError(f"{path} cannot be written: {_cause(path, error)}") from error
        sync_file(temporary)
        replace_file(temporary, path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file, and wait until it is on the disk; one that is incomplete is deleted.

    What has its name, such as a link that somebody put there, is deleted first.

    Raises:
        OSError: If the file cannot be written; the sentence says how much space is left.
    """
    try:
        path.unlink(missing_ok=True)
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {_cause(path, error)}") from error


def replace_file(source: Path, target: Path) -> None:
    """Rename a file of the same disk; an older target is replaced in one step.

    The new file has the rights of the older one: what was private stays private.
    """
    if target.is_file():
        shutil.copymode(target, source)
    source.replace(target)


def sync_file(path: Path) -> None:
    """Wait until a file is on the disk."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do so."""
    if hasattr(os, "O_DIRECTORY"):
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _require_file(path: Path) -> None:
    """Refuse a folder, and a pipe or a device, which would become a file."""
    if path.is_dir():
        raise ValueError(f"{path} cannot be written: it is a folder; expected the name of a file")
    if path.exists() and not path.is_file():
        raise ValueError(
            f"{path} cannot be written: it is a pipe or a device; expected the name of a file"
        )


def require_place(path: Path) -> None:
    """Refuse an address that is no place on this computer: it would name a folder in this one."""
    if _ADDRESS.match(str(path)) and os.sep == "/":
        raise ValueError(
            f"{path} cannot be written: expected a path on this computer, got an address or a name "
            "that the shell did not expand"
        )


def _files_of_run(folder: Path) -> set[str]:
    """Return the names of the files that a training in a folder consists of; empty without one."""
    try:
        files = json.loads((folder / COMMIT_FILE).read_bytes())["files"]
    except (OSError, ValueError, LookupError, TypeError):
        return set()
    return {COMMIT_FILE, REPORT_FILE, *files}


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {_cause(path, error)}") from error
    finally:
        os.close(handle)


def _cause(path: Path, error: OSError) -> str:
    """Describe why a file was not written; for a full disk with the space that is left."""
    if error.errno not in {ENOSPC, EDQUOT}:
        return str(error.strerror)
    free = shutil.disk_usage(path.parent).free
    return f"{error.strerror} ({free / 1e6:.3g} MB are free there)"


def _private_folder(path: Path) -> Path:
    """Make a folder beside a file, to which other users have no access."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.stem[:SHOWN]}-"))
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}") from error
