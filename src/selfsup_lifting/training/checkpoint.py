"""Convert a lifter, and the state of an unfinished training, to files of a run and back."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from math import inf
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from selfsup_lifting.config import Config, LifterSettings
from selfsup_lifting.config_toml import as_plain, change_paths, from_plain
from selfsup_lifting.recording import as_path
from selfsup_lifting.run_files import (
    BEST_FILE,
    CONFIG_FILE,
    STATE_FILE,
    WEIGHTS_FILE,
    has_commit,
    read_commit,
    read_committed,
)
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.training.lifter import Lifter

# The number grows when the same weights would give another result. Since 2, a confidence that is an
# input is scaled to the size of the coordinates.
FORMAT = "selfsup-lifting 2"

# What Adam keeps of each weight, and the least value of it.
MOMENTS = {"step": 0.0, "exp_avg": -inf, "exp_avg_sq": 0.0}

# The first bytes of a safetensors file hold the size of its header.
SIZE_BYTES = 8

# The errors that reading a damaged file can raise.
DAMAGE = (
    *(SafetensorError, UnpicklingError, EOFError, RuntimeError, BadZipFile),
    *(ValueError, TypeError, AttributeError, LookupError),
)


@dataclass(frozen=True)
class State:
    """The state of an unfinished training, besides the weights.

    Attributes:
        epoch: The number of finished epochs.
        step: The number of finished steps of the next epoch.
        optimizer: The state of the optimizer.
        random: The states of each process's random number generators.
        log: What the log has recorded of the unfinished epoch.
        data: The fingerprint of the training data; empty if it is not known.
    """

    epoch: int
    step: int
    optimizer: dict[str, Any]
    random: list[dict[str, Tensor]]
    log: dict[str, Any]
    data: str = ""

    def as_bytes(self) -> bytes:
        """Return the content of state.pt, which loads with `weights_only=True`."""
        buffer = io.BytesIO()
        torch.save(vars(self), buffer)
        return buffer.getvalue()


def lifter_bytes(lifter: Lifter, config: Config, **numbers: float) -> bytes:
    """Return the content of model.safetensors: weights, and as metadata skeleton and settings.

    Args:
        lifter: The network.
        config: The settings of the run.
        numbers: Other numbers for the metadata.

    Raises:
        ValueError: If a weight is not finite.
    """
    weights = lifter.state_dict()
    invalid = next((name for name, one in weights.items() if not one.isfinite().all()), None)
    if invalid is not None:
        raise ValueError(
            f"the training has diverged: the weights `{invalid}` are not finite, so they are not "
            "saved; a lower `learning_rate` may help"
        )
    metadata = {
        "format": FORMAT,
        "skeleton": json.dumps(lifter.skeleton.as_dict()),
        "lifter": json.dumps(as_plain(lifter.settings)),
        "config": json.dumps(_without_folders(config), sort_keys=True),
        **{name: repr(number) for name, number in numbers.items()},
    }
    return save_tensors(weights, metadata)


def _without_folders(config: Config) -> dict[str, Any]:
    """Return plain settings that name files and folders only, not where they are."""
    plain = change_paths(as_plain(config), lambda path: Path(path.name))
    plain.pop("run", None)
    return plain


def saved_number(run: Path, name: str) -> float:
    """Read a number that the best weights of a run were saved with.

    Raises:
        ValueError: If the file is damaged or has no such number.
    """
    content = read_committed(run, BEST_FILE)
    with naming_damaged_file(run / BEST_FILE):
        return float(_metadata(content)[name])


def load_lifter(run: Path | str) -> Lifter:
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
    run = as_path("run", run)
    path = run / WEIGHTS_FILE if run.suffix != Path(WEIGHTS_FILE).suffix else run
    content = _weights_file(path)
    with naming_damaged_file(path):
        weights, metadata = load_tensors(content), _metadata(content)
    format = metadata.get("format")
    if format != FORMAT:
        raise ValueError(
            f"{path}: expected a checkpoint of format {FORMAT!r}, got {format!r}; likely cause: it "
            "was trained by another version of this program, so train it again"
        )
    with naming_damaged_file(path):
        with torch.device("meta"):  # shapes are compared before memory is used
            lifter = _built_from(metadata)
        _require_weights_of(lifter, weights)
        lifter.load_state_dict(weights, assign=True)
    if path.name == BEST_FILE and has_commit(path.parent):
        _require_same_network(
            f"{path} is of another network than {WEIGHTS_FILE}", load_lifter(path.parent), lifter
        )
    return lifter.eval()


def load_state(run: Path, lifter: Lifter) -> State:
    """Read an unfinished training, and restore the weights of its last checkpoint.

    Args:
        run: The run folder.
        lifter: A network built with the settings of the run; its weights are replaced.

    Returns:
        The other parts of the state.

    Raises:
        ValueError: If the folder has no checkpoint, or it is damaged or of another network.
    """
    content = read_committed(run, STATE_FILE)
    trained = load_lifter(run)
    _require_same_network(
        f"{run} cannot be resumed with another network, by an option or its {CONFIG_FILE}",
        trained,
        lifter,
    )
    lifter.load_state_dict(trained.state_dict())
    with naming_damaged_file(run / STATE_FILE):
        plain = _loaded(content)
        if unknown := plain.keys() - {one.name for one in fields(State)}:
            raise ValueError(f"expected no entry {sorted(unknown)[0]!r}")
        state = State(**plain)
        _require_sound(state, [*lifter.parameters()])
    return state


def learned_data(run: Path) -> str:
    """Return the fingerprint of what a run learned from; empty if it is not known.

    Raises:
        ValueError: If the state of the training is damaged.
    """
    if not (run / STATE_FILE).exists():
        return ""
    content = read_committed(run, STATE_FILE)
    with naming_damaged_file(run / STATE_FILE):
        return str(_loaded(content).get("data", ""))


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the random number generators that a training on this device uses."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type != "cpu":
        states[device.type] = torch.get_device_module(device).get_rng_state()
    return states


def restore_random_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Restore the states that `random_state` returned, those that this device has."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type in states and device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[device.type])


def _weights_file(path: Path) -> bytes:
    """Read a file of weights; the hash is checked if it is in its run folder."""
    run = path.parent
    if path.name == WEIGHTS_FILE or (has_commit(run) and path.name in read_commit(run).files):
        return read_committed(run, path.name)
    if path.name == BEST_FILE and has_commit(run) and not path.is_file():
        raise ValueError(
            f"{run} has no best weights, which a training with --select-on keeps; evaluate the "
            "last ones (--weights last)"
        )
    if not path.is_file():
        raise ValueError(f"{path}: no trained lifter here; expected a run folder or its weights")
    return path.read_bytes()


def _metadata(content: bytes) -> dict[str, str]:
    """Read the metadata of a safetensors file."""
    end = SIZE_BYTES + int.from_bytes(content[:SIZE_BYTES], "little")
    return json.loads(content[SIZE_BYTES:end]).get("__metadata__", {})  # type: ignore[no-any-return]


@contextmanager
def naming_damaged_file(path: Path, place: str = "") -> Iterator[None]:
    """Convert the errors of reading a damaged file to one sentence that names file and place."""
    try:
        yield
    except DAMAGE as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        lines = [f"it has no {error}"] if isinstance(error, KeyError) else lines
        where = f"{path}, {place}," if place else path
        raise ValueError(f"{where} is damaged: {lines[0]}") from None


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
    for name, one in expected.items():  # the order of the file's weights changes between readings
        shape, got = tuple(one.shape), weights[name]
        if got.shape != shape:
            raise ValueError(f"`{name}` must have shape {shape}, got {tuple(got.shape)}")
        if got.dtype != one.dtype:
            raise ValueError(f"`{name}` must be {one.dtype}, got {got.dtype}")
        if not got.isfinite().all():
            raise ValueError(f"`{name}` is not finite")
        if name.endswith("running_var") and (got < 0).any():
            raise ValueError(f"`{name}` is a variance, and must not be negative")


def _loaded(content: bytes) -> dict[str, Any]:
    """Load state.pt without running code; refuse one that unpacks to more than its size."""
    with ZipFile(io.BytesIO(content)) as archive:
        if sum(member.file_size for member in archive.infolist()) > len(content):
            raise ValueError("it unpacks to more than its size")
    return torch.load(io.BytesIO(content), "cpu", weights_only=True)  # type: ignore[no-any-return]


def _require_sound(state: State, parameters: Sequence[Tensor]) -> None:
    """Refuse counts that contradict the log, and tensors that are not those of this training.

    Hashes say that a file is the one that was written, not who wrote it; a tensor may claim more
    numbers than it has.
    """
    for name, count in {"epoch": state.epoch, "step": state.step}.items():
        if type(count) is not int or count < 0:
            raise ValueError(f"`{name}` must be a whole number from 0, got {count!r}")
    steps = state.log["steps"]
    if state.step != (0 if steps is None else len(steps)):
        raise ValueError(f"`step` is {state.step}, but the log has another number of steps")
    if steps is not None:
        count = len(state.log["names"])
        shapes = steps.shape[1:], state.log["shares"].shape
        if shapes != ((count,), (count,)) or not steps.is_contiguous():
            raise ValueError(f"its log must have a number for each of {count} losses")
    for at, moments in state.optimizer["state"].items():
        _require_moments(f"of parameter {at}", moments, parameters[at].shape)


def _require_moments(of: str, moments: Mapping[str, object], shape: torch.Size) -> None:
    if moments.keys() != MOMENTS.keys():
        raise ValueError(f"expected {', '.join(MOMENTS)} {of}, got {', '.join(moments)}")
    for name, moment in moments.items():
        _require_moment(
            f"`{name}` {of}", moment, torch.Size() if name == "step" else shape, MOMENTS[name]
        )


def _require_moment(name: str, moment: object, shape: torch.Size, least: float) -> None:
    if not isinstance(moment, Tensor) or moment.layout is not torch.strided:
        raise ValueError(f"{name} must be a plain tensor")
    if not moment.is_contiguous():  # it may claim more numbers than it has
        raise ValueError(f"{name} must be a plain tensor")
    if moment.shape != shape:
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(moment.shape)}")
    if not (moment.is_floating_point() and moment.isfinite().all() and (moment >= least).all()):
        raise ValueError(f"{name} must have finite real numbers, from {least:g}")


def _require_same_network(refusal: str, trained: Lifter, lifter: Lifter) -> None:
    """Refuse weights of other settings; only dropout may change, as no weight depends on it."""
    before, now = (_described(one) for one in (trained, lifter))
    changed = [name for name in before if before[name] != now[name]]
    changes = [f"`{name}` was {before[name]} and is now {now[name]}" for name in changed]
    if changes:
        raise ValueError(f"{refusal}: {'; '.join(changes)}")


def _described(lifter: Lifter) -> dict[str, object]:
    settings = as_plain(replace(lifter.settings, dropout=0.0))
    network = {f"lifter.{name}": value for name, value in settings.items()}
    joints = lifter.skeleton.joints
    return {"skeleton": f"{lifter.skeleton.name} ({', '.join(joints)})", **network}
