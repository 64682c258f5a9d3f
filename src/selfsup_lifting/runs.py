"""The folder that a training leaves behind."""

import shutil
from datetime import datetime
from pathlib import Path

from selfsup_lifting.checkpoint import CONFIG_FILE, WEIGHTS_FILE
from selfsup_lifting.config import Config
from selfsup_lifting.config_file import save_settings


def planned_run(config: Config, recipe: str) -> Path:
    """Choose the run folder, and refuse one that must not be written to.

    Args:
        config: The settings of the run.
        recipe: A word for the name of a new folder.

    Returns:
        The folder; nothing is created yet.

    Raises:
        ValueError: If the folder exists and may not, or cannot, be replaced.
    """
    if config.run is None:
        now = datetime.now().astimezone()
        return Path("runs") / f"{now:%Y-%m-%d_%H-%M-%S}_{recipe}"
    if config.run.exists() and not config.overwrite:
        raise ValueError(f"{config.run} exists; replace it with --overwrite or name another --run")
    if config.run.exists() and not _is_run(config.run):
        raise ValueError(f"{config.run} exists and is no run folder, so it is not overwritten")
    return config.run


def start_run(run: Path, config: Config) -> int:
    """Create the run folder with its settings; an older run there is replaced.

    Args:
        run: The folder, as `planned_run` allowed it.
        config: The settings of the run.

    Returns:
        How many epochs are done: none.
    """
    if run.exists():
        shutil.rmtree(run)
    run.mkdir(parents=True)
    save_settings(run / CONFIG_FILE, config)
    return 0


def _is_run(folder: Path) -> bool:
    """Tell whether a folder holds a run, or nothing: only such may be replaced."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    return not names or bool(names & {CONFIG_FILE, WEIGHTS_FILE})
