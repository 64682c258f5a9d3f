"""Save and load a trained lifter, and the state of an unfinished training."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from pathlib import Path
from pickle import UnpicklingError
from time import monotonic
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from selfsup_lifting.atomic_write import replacing
from selfsup_lifting.config import Config, LifterSettings
from selfsup_lifting.config_toml import as_plain, from_plain
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.training.lifter import Lifter

FORMAT = "selfsup-lifting 1"
WEIGHTS_FILE = "model.safetensors"
BEST_FILE = "best.safetensors"
STATE_FILE = "state.pt"

# A crash loses at most this much work [s].
SAVE_EVERY = 60.0

# The errors that reading a damaged file can raise.
DAMAGE = (
    *(SafetensorError, UnpicklingError, EOFError, RuntimeError),
    *(ValueError, TypeError, AttributeError, LookupError),
)


def save_checkpoint(
    run: Path, lifter: Lifter, optimizer: torch.optim.Optimizer, config: Config, epoch: int
) -> None:
    """Save a lifter, and the state from which its training can continue.

    Raises:
        ValueError: If a weight is not finite; an older checkpoint is then kept.
    """
    save_weights(run / WEIGHTS_FILE, lifter, config)
    state = {"epoch": epoch, "optimizer": optimizer.state_dict()}
    with replacing(run / STATE_FILE) as path:
        torch.save(state, path)


@contextmanager
def saving(
    run: Path, lifter: Lifter, optimizer: torch.optim.Optimizer, config: Config, done: int
) -> Iterator[Callable[[int], None]]:
    """Save checkpoints of the training in the block: every minute, at its end and on Ctrl-C.

    Yields:
        A function to call with the number of finished epochs after each epoch.
    """
    saved = monotonic()

    def epoch_done(count: int) -> None:
        nonlocal done, saved
        done = count
        if monotonic() - saved > SAVE_EVERY:
            save_checkpoint(run, lifter, optimizer, config, done)
            saved = monotonic()

    try:
        yield epoch_done
    except KeyboardInterrupt:
        if done:
            save_checkpoint(run, lifter, optimizer, config, done)
        raise
    save_checkpoint(run, lifter, optimizer, config, done)


def save_weights(path: Path, lifter: Lifter, config: Config, **numbers: float) -> None:
    """Save a lifter: weights, and in the metadata its skeleton, settings and other numbers.

    Raises:
        ValueError: If a weight is not finite; an older file is then kept.
    """
    weights = lifter.state_dict()
    invalid = _not_finite(weights)
    if invalid is not None:
        raise ValueError(
            f"{path} is not written: the training has diverged, `{invalid}` is not finite; "
            "a lower `learning_rate` may help"
        )
    metadata = {
        "format": FORMAT,
        "skeleton": json.dumps(lifter.skeleton.as_dict()),
        "lifter": json.dumps(as_plain(lifter.settings)),
        "config": json.dumps(as_plain(config), sort_keys=True),
        **{name: repr(number) for name, number in numbers.items()},
    }
    with replacing(path) as temporary:
        save_file(weights, temporary, metadata=metadata)


def saved_number(path: Path, name: str) -> float:
    """Read a number that `save_weights` stored; infinity if there is no such file."""
    if not path.is_file():
        return inf
    with _naming_damaged_file(path), safe_open(path, framework="pt") as file:
        return float((file.metadata() or {}).get(name, inf))


def load_lifter(run: Path) -> Lifter:
    """Load a trained lifter.

    Args:
        run: The run folder, or its model.safetensors.

    Returns:
        The network in evaluation mode, on the CPU.

    Raises:
        ValueError: If there is no checkpoint, it is damaged, or it has another format.

    Example:
        >>> import tempfile
        >>> from selfsup_lifting import ReadSettings, read_recordings, train
        >>> recordings = read_recordings(["synthetic"], ReadSettings(fps=10.0))[:1]
        >>> tiny = Config(epochs=1, lifter=LifterSettings(width=8, blocks=1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = train(tiny, recordings, Path(folder) / "run")
        ...     lifter = load_lifter(Path(folder) / "run")
        >>> lifter.settings.width
        8
    """
    if run.suffix != Path(WEIGHTS_FILE).suffix:
        _require_run(run)
    path = run / WEIGHTS_FILE if run.is_dir() else run
    if not path.is_file():
        raise ValueError(f"{run}: no trained lifter here; expected a run folder with {path.name}")
    with _naming_damaged_file(path), safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    format = metadata.get("format")
    if format != FORMAT:
        raise ValueError(f"{path}: expected a checkpoint of format {FORMAT!r}, got {format!r}")
    with _naming_damaged_file(path):
        lifter = _built_from(metadata)
        _require_weights_of(lifter, weights)
        lifter.load_state_dict(weights)
    return lifter.eval()


def load_state(run: Path, lifter: Lifter, optimizer: torch.optim.Optimizer) -> int:
    """Restore an unfinished training from its last checkpoint.

    Args:
        run: The run folder.
        lifter: A network built with the settings of the run; its weights are replaced.
        optimizer: Its optimizer; its state is replaced.

    Returns:
        The number of finished epochs.

    Raises:
        ValueError: If the folder has no checkpoint, or it is damaged or of another network.
    """
    _require_run(run)
    path = run / STATE_FILE
    if not path.is_file():
        raise ValueError(f"{run}: nothing to resume here; expected a run folder with {STATE_FILE}")
    trained = load_lifter(run)
    _require_same_network(run, trained, lifter)
    lifter.load_state_dict(trained.state_dict())
    with _naming_damaged_file(path):
        state: dict[str, Any] = torch.load(path, weights_only=True)
        optimizer.load_state_dict(state["optimizer"])
        return int(state["epoch"])


@contextmanager
def _naming_damaged_file(path: Path) -> Iterator[None]:
    """Convert the errors of reading a damaged file to one sentence that names the file."""
    try:
        yield
    except DAMAGE as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        lines = [f"it has no {error}"] if isinstance(error, KeyError) else lines
        raise ValueError(f"{path} is damaged: {lines[0]}") from None


def _require_run(run: Path) -> None:
    if not run.is_dir():
        raise ValueError(f"there is no run folder {run}")


def _built_from(metadata: Mapping[str, str]) -> Lifter:
    skeleton, settings = (_table(metadata, name) for name in ("skeleton", "lifter"))
    return Lifter(Skeleton.from_dict(skeleton), from_plain(settings, LifterSettings(), "lifter."))


def _table(metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    if name not in metadata:
        raise ValueError(f"it does not say its `{name}`")
    try:
        plain = json.loads(metadata[name])
    except ValueError as error:
        raise ValueError(f"its `{name}` is not JSON ({error})") from None
    if not isinstance(plain, dict):
        raise TypeError(f"its `{name}` must be a table, got {plain!r}")
    return plain


def _require_weights_of(lifter: Lifter, weights: Mapping[str, Tensor]) -> None:
    expected = lifter.state_dict()
    for name in sorted(expected.keys() ^ weights.keys()):
        raise ValueError(f"it {'lacks' if name in expected else 'should not have'} `{name}`")
    for name, numbers in weights.items():
        shape = tuple(expected[name].shape)
        if numbers.shape != shape:
            raise ValueError(f"`{name}` must have shape {shape}, got {tuple(numbers.shape)}")
    invalid = _not_finite(weights)
    if invalid is not None:
        raise ValueError(f"`{invalid}` is not finite")


def _not_finite(weights: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first weight tensor with an infinite or NaN value, if any."""
    return next((name for name, one in weights.items() if not one.isfinite().all()), None)


def _require_same_network(run: Path, trained: Lifter, lifter: Lifter) -> None:
    """Refuse weights of other settings; only dropout may change, as no weight depends on it."""
    before, now = (_described(one) for one in (trained, lifter))
    changed = [name for name in before if before[name] != now[name]]
    changes = [f"`{name}` was {before[name]} and is now {now[name]}" for name in changed]
    if changes:
        raise ValueError(f"{run} cannot be resumed with another network: {'; '.join(changes)}")


def _described(lifter: Lifter) -> dict[str, object]:
    settings = as_plain(replace(lifter.settings, dropout=0.0))
    network = {f"lifter.{name}": value for name, value in settings.items()}
    joints = lifter.skeleton.joints
    return {"skeleton": f"{lifter.skeleton.name} ({', '.join(joints)})", **network}
