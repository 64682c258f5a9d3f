"""What a trained lifter needs to live on."""

import json
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from selfsup_lifting.config import Config, LifterSettings
from selfsup_lifting.config_file import as_plain, from_plain, load_settings
from selfsup_lifting.files import replacing
from selfsup_lifting.lifter import Lifter
from selfsup_lifting.skeletons import Skeleton

FORMAT = "selfsup-lifting 1"
WEIGHTS_FILE = "model.safetensors"
BEST_FILE = "best.safetensors"
STATE_FILE = "state.pt"
CONFIG_FILE = "config.toml"


def save_checkpoint(
    run: Path, lifter: Lifter, optimizer: torch.optim.Optimizer, config: Config, epoch: int
) -> None:
    """Write a lifter's weights with all it needs, and what a training needs to go on.

    Args:
        run: The run folder.
        lifter: The network.
        optimizer: Its optimiser.
        config: The settings of the run.
        epoch: How many epochs are done.
    """
    save_weights(run / WEIGHTS_FILE, lifter, config)
    state = {"epoch": epoch, "optimizer": optimizer.state_dict()}
    with replacing(run / STATE_FILE) as path:
        torch.save(state, path)


def save_weights(path: Path, lifter: Lifter, config: Config, **noted: float) -> None:
    """Write a lifter's weights with all it needs.

    Args:
        path: The file.
        lifter: The network.
        config: The settings of the run.
        noted: Numbers to note beside them.
    """
    metadata = {
        "format": FORMAT,
        "skeleton": json.dumps(lifter.skeleton.as_dict()),
        "lifter": json.dumps(as_plain(lifter.settings)),
        "config": json.dumps(as_plain(config), sort_keys=True),
        **{name: repr(number) for name, number in noted.items()},
    }
    with replacing(path) as temporary:
        save_file(lifter.state_dict(), temporary, metadata=metadata)


def noted_number(path: Path, name: str) -> float:
    """Read a number that `save_weights` noted; infinity where there is no such file."""
    if not path.is_file():
        return inf
    with safe_open(path, framework="pt") as file:
        return float((file.metadata() or {}).get(name, inf))


def load_lifter(run: Path) -> Lifter:
    """Read a trained lifter, ready to lift.

    Args:
        run: The run folder, or its model.safetensors.

    Returns:
        The network in evaluation mode, on the CPU.

    Raises:
        ValueError: If there is no checkpoint, or it is broken or of another format.
    """
    path = run / WEIGHTS_FILE if run.is_dir() else run
    if not path.is_file():
        raise ValueError(f"{run}: no trained lifter here; expected a run folder with {path.name}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from None
    lifter = _built_from(metadata, path)
    lifter.load_state_dict(weights)
    return lifter.eval()


def load_config(run: Path) -> Config:
    """Read the settings that a run was trained with.

    Args:
        run: The run folder.

    Returns:
        The settings.

    Raises:
        ValueError: If there are none, or they are not understood.
    """
    return load_settings(run / CONFIG_FILE, Config())


def load_state(run: Path, lifter: Lifter, optimizer: torch.optim.Optimizer) -> int:
    """Put a training back where its last checkpoint left it.

    Args:
        run: The run folder.
        lifter: A network built with the settings of the run; gets its weights.
        optimizer: Its optimiser; gets its state.

    Returns:
        How many epochs are done.

    Raises:
        ValueError: If the folder holds no checkpoint.
    """
    path = run / STATE_FILE
    if not path.is_file():
        raise ValueError(f"{run}: nothing to resume here; expected a run folder with {STATE_FILE}")
    state: dict[str, Any] = torch.load(path, weights_only=True)
    lifter.load_state_dict(load_lifter(run).state_dict())
    optimizer.load_state_dict(state["optimizer"])
    return int(state["epoch"])


def _built_from(metadata: Mapping[str, str], path: Path) -> Lifter:
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path}: expected a checkpoint of format {FORMAT!r}, got {metadata.get('format')!r}"
        )
    skeleton = Skeleton.from_dict(json.loads(metadata["skeleton"]))
    return Lifter(skeleton, from_plain(json.loads(metadata["lifter"]), LifterSettings()))
