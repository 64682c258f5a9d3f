"""The folder that a training leaves behind."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import torch

from selfsup_lifting.config import Config
from selfsup_lifting.config_toml import save_settings
from selfsup_lifting.training.checkpoint import CONFIG_FILE, STATE_FILE, WEIGHTS_FILE


def planned_run(config: Config, recipe: str) -> Path:
    """Choose the run folder, and refuse one that must not be written to.

    Args:
        config: The settings of the run.
        recipe: A word for the name of a new folder.

    Returns:
        The folder; nothing is created yet.

    Raises:
        ValueError: If the folder exists and may not, or cannot, be replaced; or if the device
            to train on is not there.
    """
    require_device(config.device)
    if config.run is None:
        now = datetime.now().astimezone()
        return Path("runs") / f"{now:%Y-%m-%d_%H-%M-%S}_{recipe}"
    if config.run.exists() and not config.overwrite:
        raise ValueError(f"{config.run} exists; replace it with --overwrite or name another --run")
    if config.run.exists() and not _is_run(config.run):
        raise ValueError(f"{config.run} exists and is no run folder, so it is not overwritten")
    return config.run


def require_device(name: str) -> None:
    """Refuse a device that this machine has not.

    Args:
        name: What `Config.device` says.

    Raises:
        ValueError: If there is no such device.
    """
    kind = torch.accelerator.current_accelerator()
    count = torch.accelerator.device_count()
    accelerators = [kind.type, *(f"{kind.type}:{place}" for place in range(count))] if kind else []
    there = ["cpu", *(accelerators if count else [])]
    if name not in there:
        raise ValueError(f"setting `device` must be one of {', '.join(there)}, got {name!r}")


@contextmanager
def new_run(run: Path, config: Config) -> Iterator[None]:
    """Create the run folder with its settings; an older run there waits beside it.

    Once the block ends, however it ends, the older run is deleted if the new one has saved a
    checkpoint, and else put back.

    Args:
        run: The folder, as `planned_run` allowed it.
        config: The settings of the run.
    """
    run = run.resolve()
    older = _set_aside(run) if run.exists() else None
    try:
        run.mkdir(parents=True)
        save_settings(run / CONFIG_FILE, config)
        yield
    finally:
        if older is not None:
            _settle(older, run)


def _set_aside(run: Path) -> Path:
    waiting = Path(tempfile.mkdtemp(dir=run.parent, prefix=f"{run.name}-replaced-"))
    return run.rename(waiting / run.name)


def _settle(older: Path, run: Path) -> None:
    """Keep the newer run if it has something to go on from, else the older."""
    if not (run / STATE_FILE).is_file():
        shutil.rmtree(run, ignore_errors=True)
        older.rename(run)
    shutil.rmtree(older.parent)


def _is_run(folder: Path) -> bool:
    """Tell whether a folder holds a run, or nothing: only such may be replaced."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    return not names or bool(names & {CONFIG_FILE, WEIGHTS_FILE})
