"""Locks: two processes never write to one run, and two threads never train at once."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from errno import EACCES, EAGAIN
from pathlib import Path
from threading import RLock

from selfsup_lifting.run_files import LOCK_FILE

_log = logging.getLogger(__name__)

# Held by the thread that trains.
_TRAINING = RLock()


@contextmanager
def only_training() -> Iterator[None]:
    """Refuse a second training in another thread: both would draw from the same random numbers.

    Raises:
        ValueError: If another thread of this process trains.
    """
    if not _TRAINING.acquire(blocking=False):
        raise ValueError(
            "another thread of this process trains, and both would share PyTorch's random numbers: "
            "train one after the other, or in processes"
        )
    try:
        yield
    finally:
        _TRAINING.release()


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the lock of a run folder during the block; it ends with the process in any case.

    Raises:
        ValueError: If another process holds it; the sentence names the process.
    """
    handle = _open_and_lock(run / LOCK_FILE)
    try:
        owner = f"process {os.getpid()} on {socket.gethostname()}"
        os.truncate(handle, 0)
        os.pwrite(handle, f"{owner} since {datetime.now().astimezone():%F %T}\n".encode(), 0)
        yield
    finally:
        (run / LOCK_FILE).unlink(missing_ok=True)
        os.close(handle)


def _open_and_lock(path: Path) -> int:
    """Lock the file that has this name now: its last owner may delete it at any moment."""
    while True:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            kind = "a link" if path.is_symlink() else "no file"
            raise ValueError(f"{path} is {kind}, and would be written to: delete it")
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle, path)
            if _is_same(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _lock(handle: int, path: Path) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {EACCES, EAGAIN}:
            _log.warning(
                "%s has no lock (%s): do not start two trainings in one folder",
                path.parent,
                error.strerror,
            )
            return
        owner = path.read_text(encoding="utf-8", errors="replace").strip() or "another process"
        raise ValueError(
            f"{path.parent} is in use by {owner}; wait until it has ended, or name another --run"
        ) from None
