"""The output folder of a training: chosen before, locked during the work, cleaned after it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path

from selfsup_lifting.atomic_write import require_place
from selfsup_lifting.config import Config
from selfsup_lifting.run_files import (
    Commit,
    commit_files,
    grown_files,
    has_commit,
    is_leftover,
    recover,
    require_run_folder,
    require_undamaged,
)
from selfsup_lifting.training.devices import training_device
from selfsup_lifting.training.distributed import is_first
from selfsup_lifting.training.run_lock import locked

_log = logging.getLogger(__name__)


@contextmanager
def planned_run(config: Config, recipe: str) -> Iterator[Path]:
    """Choose the run folder, and create it if there is none, so that nobody else gets it.

    When the block ends, the folder is deleted if it is still empty.

    Args:
        config: The settings of the run.
        recipe: Part of the name of a new folder.

    Yields:
        The folder.

    Raises:
        ValueError: If the folder exists and must not be replaced, or the device to train on does
            not exist.
    """
    training_device(config.device)
    if config.run is None:
        run = _new_folder(Path("runs"), f"{datetime.now().astimezone():%F_%H-%M-%S}_{recipe}")
    else:
        run = config.run
        _create(run, overwrite=config.overwrite)
    try:
        yield run
    finally:
        _delete_empty(run)


class OpenRun:
    """A run folder that this process may write to: it changes in commits only.

    Attributes:
        folder: The folder.
        last: The last checkpoint of this training; None before the first.
    """

    def __init__(self, folder: Path, last: Commit | None) -> None:
        self.folder = folder
        self.last = last

    def commit(
        self, epoch: int, step: int, contents: dict[str, bytes], grown: tuple[str, ...]
    ) -> None:
        """Commit a checkpoint.

        Args:
            epoch: The number of finished epochs.
            step: The number of finished steps of the next epoch.
            contents: The new files, by name.
            grown: Files in the folder that other code appended to.

        Raises:
            OSError: If a file cannot be written, for example because the disk is full.
        """
        new = Commit(epoch, step, grown_files(self.folder, grown))
        self.last = commit_files(self.folder, self.last, new, contents)


@contextmanager
def opened_run(run: Path, *, resume: bool) -> Iterator[OpenRun]:
    """Lock a run folder and clean it after a killed training.

    Without `resume`, a run that is in the folder stays valid until the first checkpoint of the
    new one replaces it. Of several processes, only the first one writes.

    Raises:
        ValueError: If another process writes to the folder, it holds something else than a run,
            or the run to resume is damaged.
    """
    run = Path(os.path.realpath(run))  # also where links lead in a circle
    if not is_first():
        yield OpenRun(run, None)
        return
    if not resume:
        run.mkdir(parents=True, exist_ok=True)
        _require_replaceable(run)
    else:
        require_run_folder(run)
    try:
        with locked(run), _cleaned(run):
            yield OpenRun(run, require_undamaged(run) if resume else None)
    finally:
        _delete_empty(run)


@contextmanager
def _cleaned(run: Path) -> Iterator[None]:
    """Delete what a killed training left behind, and what this one writes but does not commit."""
    for sentence in recover(run):
        _log.warning("%s", sentence)
    try:
        yield
    finally:
        recover(run)


def _new_folder(parent: Path, name: str) -> Path:
    """Create a folder of this name; number it if others were created in the same second."""
    parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        run = parent / (name if number == 1 else f"{name}_{number}")
        try:
            run.mkdir()
        except FileExistsError:
            continue
        break
    return run


def _create(run: Path, *, overwrite: bool) -> None:
    """Create a folder that was asked for; refuse one that exists and must not be replaced."""
    require_place(run)
    try:
        run.mkdir(parents=True)
    except FileExistsError:
        if not overwrite:
            raise ValueError(
                f"{run} exists; replace it with --overwrite or name another --run"
            ) from None
        _require_replaceable(run)


def _require_replaceable(run: Path) -> None:
    """Refuse a folder that is neither a run nor empty: it is not replaced."""
    paths = list(run.iterdir()) if run.is_dir() else [run]
    if not has_commit(run) and not all(is_leftover(path.name) for path in paths):
        raise ValueError(f"{run} exists and is no run folder, so it is not overwritten")


def _delete_empty(run: Path) -> None:
    if run.is_dir() and not any(run.iterdir()):
        run.rmdir()
