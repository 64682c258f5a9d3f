"""The output folder of a training."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import torch

from selfsup_lifting.config import Config
from selfsup_lifting.config_toml import CONFIG_FILE, save_settings
from selfsup_lifting.training.checkpoint import STATE_FILE, WEIGHTS_FILE


def planned_run(config: Config, recipe: str) -> Path:
    """Choose the run folder, and refuse one that must not be written to.

    Args:
        config: The settings of the run.
        recipe: Part of the name of a new folder.

    Returns:
        The folder; it is not created yet.

    Raises:
        ValueError: If the folder exists and must not be replaced, or the device to train on does
            not exist.
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
    """Raise a ValueError for a device that this machine does not have."""
    kind = torch.accelerator.current_accelerator()
    count = torch.accelerator.device_count()
    accelerators = [kind.type, *(f"{kind.type}:{place}" for place in range(count))] if kind else []
    available = ["cpu", *(accelerators if count else [])]
    if name not in available:
        raise ValueError(f"setting `device` must be one of {', '.join(available)}, got {name!r}")


@contextmanager
def new_run(run: Path, config: Config) -> Iterator[None]:
    """Create the run folder with its settings; an older run there is moved aside.

    When the block ends, with or without an error, the older run is deleted if the new one has
    saved a checkpoint, and restored otherwise.
    """
    run = run.resolve()
    older = None
    if run.exists():
        waiting = Path(tempfile.mkdtemp(dir=run.parent, prefix=f"{run.name}-replaced-"))
        older = run.rename(waiting / run.name)
    try:
        run.mkdir(parents=True)
        save_settings(run / CONFIG_FILE, config)
        yield
    finally:
        if older is not None:
            _keep_one(older, run)


def _keep_one(older: Path, run: Path) -> None:
    """Keep the newer run if it has a checkpoint, else the older one."""
    if not (run / STATE_FILE).is_file():
        shutil.rmtree(run, ignore_errors=True)
        older.rename(run)
    shutil.rmtree(older.parent)


def _is_run(folder: Path) -> bool:
    """Return whether a folder holds a run or is empty: only such folders may be replaced."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    return not names or bool(names & {CONFIG_FILE, WEIGHTS_FILE})
