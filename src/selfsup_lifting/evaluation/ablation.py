"""Ablations over several seeds, such as the paper's Table IV."""

import difflib
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from time import monotonic
from tomllib import TOMLDecodeError, loads
from typing import Any

from multiview_geom.camera_files.json_text import parse_json
from selfsup_lifting.atomic_write import require_place
from selfsup_lifting.config import Config, LossSettings
from selfsup_lifting.config_fields import require_bounds
from selfsup_lifting.config_toml import (
    as_plain,
    change_paths,
    from_plain,
    load_config,
    setting_names,
)
from selfsup_lifting.evaluation.checked_split import checked_split
from selfsup_lifting.evaluation.evaluate import evaluate_lifter
from selfsup_lifting.evaluation.parallel import Show, automatic_jobs, progress_of, train_at_once
from selfsup_lifting.evaluation.published_tables import split_for
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_errors import listed
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recipes import RECIPES
from selfsup_lifting.recording import Recording
from selfsup_lifting.run_files import (
    METRICS_FILE,
    commit_files,
    has_commit,
    read_commit,
    read_committed,
)
from selfsup_lifting.training.checkpoint import naming_damaged_file
from selfsup_lifting.training.loop import train
from selfsup_lifting.training.run_log import Progress, metrics_of, no_progress

_log = logging.getLogger(__name__)

# More runs of each variant are a slip of the keyboard.
MOST_SEEDS = 1_000
OUTCOME_FILE = "outcome.json"

# P-MPJPE on Human3.6M [mm] (Bouazizi et al., FG 2021, Table IV).
PUBLISHED: Mapping[str, float] = {"L_in": 68.0, "+ L_proj": 65.3, "+ L_con": 63.9, "+ L_out": 62.0}

# Short names of settings for `--vary`.
ALIASES: Mapping[str, str] = {"cameras": "cameras_learned"}
# What names files or machines, not the training.
PLACES = ("run", "overwrite")
SWITCHES: Mapping[str, bool] = {"on": True, "off": False}
SEPARATORS = "a comma separates two values, and a decimal has a point: 0.1,0.5"


@dataclass(frozen=True)
class Variant:
    """One way to train, for any seed."""

    name: str
    config: Config


@dataclass(frozen=True)
class Outcome:
    """The result of one training.

    Attributes:
        p_mpjpe_mm: P-MPJPE on the held-out recordings [mm].
        mpjpe_mm: MPJPE on the held-out recordings [mm].
        gradient_shares: Each loss's share of the gradient, mean over the epochs that use it.
        seconds: Duration of the training [s].
    """

    p_mpjpe_mm: float
    mpjpe_mm: float
    gradient_shares: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class Row:
    """The results of a variant over the seeds, and its gain over the variant above it.

    Attributes:
        name: The name of the variant.
        p_mpjpe_mm: Each seed's P-MPJPE [mm].
        mpjpe_mm: Each seed's MPJPE [mm].
        gains_mm: For each seed, the P-MPJPE of the variant above minus that of this one [mm].
        gradient_shares: Mean over the seeds.
        seconds: Mean duration of a training [s].
    """

    name: str
    p_mpjpe_mm: tuple[float, ...]
    mpjpe_mm: tuple[float, ...]
    gains_mm: tuple[float, ...]
    gradient_shares: Mapping[str, float]
    seconds: float


def loss_steps(config: Config) -> list[Variant]:
    """Add the losses one by one, as in Table IV; raise a ValueError if a loss has no weight."""
    for name in ("projection", "consistency", "output"):
        if getattr(config.losses, name) == 0:
            raise ValueError(f"ablating needs a weight for every loss, `{name}` has none")
    whole = config.losses
    with_consistency = replace(whole, output=0.0)
    with_projection = replace(with_consistency, consistency=0.0)
    steps = (replace(with_projection, projection=0.0), with_projection, with_consistency, whole)
    return [
        Variant(name, replace(config, losses=losses))
        for name, losses in zip(PUBLISHED, steps, strict=True)
    ]


def varied(config: Config, text: str) -> list[Variant]:
    """Vary one setting.

    Args:
        config: The settings.
        text: `setting=value,value`, with the setting's name on the command line; `cameras` means
            the number of training cameras, and `recipe` a whole recipe.

    Returns:
        One variant per value.

    Raises:
        ValueError: If the setting does not exist, a value is not possible, or two are equal.
    """
    name, equals, values = text.partition("=")
    if not equals or not values:
        raise ValueError(f"`vary` must be written setting=value,value, got {text!r}")
    change = _recipe if name == "recipe" else _setting(name.strip())
    variants = [Variant(f"{name}={value}", change(config, value)) for value in values.split(",")]
    for place, one in enumerate(variants):
        for other in variants[:place]:
            if one.config == other.config:
                raise ValueError(
                    "`vary` compares different settings, got equal ones: "
                    f"{other.name} and {one.name}; {SEPARATORS}"
                )
    return variants


def ablate(
    variants: Sequence[Variant],
    seeds: int,
    folder: Path,
    *,
    jobs: int | None = 1,
    report: Callable[[str], None] = lambda _: None,
    show: Show = lambda *_: None,
) -> list[Row]:
    """Train every variant with every seed, and compare; finished trainings are reused.

    Args:
        variants: The ways to train.
        seeds: Number of seeds; the first is that of the settings.
        folder: The output folder: one folder per variant, with one run folder per seed.
        jobs: Number of trainings at once, each in its own process; None for `automatic_jobs`. The
            processes divide the threads of PyTorch, on whose number the last digits depend.
        report: Called with a sentence after each training.
        show: Called after each epoch of each training.

    Returns:
        One row per variant.

    Raises:
        Stopped: After SIGINT (Ctrl-C), SIGTERM or SIGHUP, once the last step of every training is
            saved; the same call continues.
        ValueError: If the folder holds runs with other settings or a damaged outcome, `seeds` or
            `jobs` is below 1, or a training fails; the others are then stopped, and saved.
    """
    require_bounds("seeds", seeds, least=1, most=MOST_SEEDS)
    if jobs is not None:
        require_bounds("jobs", jobs, least=1)
    require_place(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; expected the name of a folder for the trainings")
    runs = []
    for added, variant in product(range(seeds), variants):
        config = replace(variant.config, seed=variant.config.seed + added)
        name = variant.name.replace("+ ", "with-").replace("=", "-").replace("/", "-")
        runs.append((config, folder / name / f"seed-{config.seed}"))
    for config, run in runs:
        _require_same_settings(config, run)
    left = [(config, run) for config, run in reversed(runs) if _saved_outcome(run) is None]
    first = {replace(config, seed=0): (config, run) for config, run in left}
    _require_trainable(reversed(first.values()))
    found: dict[int, Outcome] = {}
    for place, outcome in _outcomes(runs, jobs, show):
        found[place] = outcome
        report(f"{runs[place][1]}: P-MPJPE {outcome.p_mpjpe_mm:.1f} mm in {outcome.seconds:.0f} s")
    outcomes = [found[place] for place in range(len(runs))]
    names = [variant.name for variant in variants]
    return _compared(names, [outcomes[place :: len(names)] for place in range(len(names))])


def train_and_evaluate(config: Config, run: Path, progress: Progress = no_progress) -> Outcome:
    """Train once, or continue an unfinished training, and evaluate on the held-out data."""
    saved = _saved_outcome(run)
    if saved is not None:
        return saved
    recordings = _recordings(config.data, config.read)
    split = split_for(config, recordings)
    started, resume = monotonic(), has_commit(run)
    with _naming(run):
        lifter = train(
            config, split.training, run, held_out=split.held_out, resume=resume, progress=progress
        )
        seconds = monotonic() - started
        total = evaluate_lifter(lifter.cpu(), split.held_out).total
    outcome = Outcome(total.p_mpjpe_mm, total.mpjpe_mm, _shares(run), seconds)
    last = read_commit(run)
    commit_files(run, last, last, {OUTCOME_FILE: json.dumps(asdict(outcome)).encode()})
    return outcome


@contextmanager
def _naming(run: Path) -> Iterator[None]:
    """Add the run folder to the sentence of an error."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{run}: {error}") from error
    except OSError as error:
        raise OSError(f"{run}: {error}") from error


def _saved_outcome(run: Path) -> Outcome | None:
    """Load the outcome of a finished training; None if it is unfinished."""
    if not has_commit(run) or OUTCOME_FILE not in read_commit(run).files:
        return None
    content = read_committed(run, OUTCOME_FILE)
    with naming_damaged_file(run / OUTCOME_FILE):
        outcome = Outcome(**parse_json(content.decode()))
        if outcome.gradient_shares != _shares(run):
            raise ValueError(f"its `gradient_shares` are not those of {METRICS_FILE}")
    return outcome


def _shares(run: Path) -> dict[str, float]:
    return _means([row["gradient_shares"] for row in metrics_of(run)])


def interval(values: Sequence[float]) -> float:
    """Return half the width of the 95 % confidence interval of a mean, by Student's t."""
    from scipy.special import stdtrit  # `scipy.stats` takes ten times as long to import

    if len(values) < 2:  # noqa: PLR2004 - one value has no deviation
        return float("nan")
    quantile = float(stdtrit(len(values) - 1, 0.975))
    return float(quantile * stdev(values) / len(values) ** 0.5)


def _outcomes(
    runs: Sequence[tuple[Config, Path]], jobs: int | None, show: Show
) -> Iterator[tuple[int, Outcome]]:
    """Yield the place of each run and its outcome, as the trainings end."""
    left = sum(_saved_outcome(run) is None for _, run in runs)
    jobs = jobs or automatic_jobs(runs[0][0].device, left)
    if jobs > 1:
        yield from train_at_once(train_and_evaluate, runs, jobs, show)
        return
    for place, (config, run) in enumerate(runs):
        yield place, train_and_evaluate(config, run, progress_of(run, show))


@lru_cache(maxsize=1)
def _recordings(data: tuple[str, ...], read: ReadSettings) -> list[Recording]:
    """Read the data once for all variants with the same data."""
    return read_recordings(data, read)


def _compared(names: Sequence[str], outcomes: Sequence[Sequence[Outcome]]) -> list[Row]:
    rows: list[Row] = []
    for name, seeds in zip(names, outcomes, strict=True):
        aligned = tuple(outcome.p_mpjpe_mm for outcome in seeds)
        above = rows[-1].p_mpjpe_mm if rows else ()
        gains = tuple(old - new for old, new in zip(above, aligned, strict=bool(above)))
        shares = _means([outcome.gradient_shares for outcome in seeds])
        seconds = mean(outcome.seconds for outcome in seeds)
        errors = tuple(outcome.mpjpe_mm for outcome in seeds)
        rows.append(Row(name, aligned, errors, gains, shares, seconds))
    return rows


def _means(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average each loss's share over the tables, seeds or epochs, that have the loss."""
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: mean(table[name] for table in tables if name in table) for name in names}


def _require_trainable(runs: Iterable[tuple[Config, Path]]) -> None:
    """Refuse what a training of one of the runs would refuse, before the first one begins."""
    notes: dict[str, None] = {}
    for config, run in runs:
        with _naming(run):
            found = checked_split(config, _recordings(config.data, config.read))
            if not found.is_comparable:
                raise ValueError(f"there is no error to compare: {found.notes[-1]}")
        notes |= dict.fromkeys(found.notes)
    for note in notes:
        _log.warning("%s", note)


def _require_same_settings(config: Config, run: Path) -> None:
    if not has_commit(run):
        return
    both = (load_config(run), replace(config, run=None))
    found, wanted = (change_paths(as_plain(one), Path.resolve) for one in both)
    if found != wanted:
        others = listed(_other_settings(found, wanted))
        raise ValueError(
            f"{run} holds a training with other settings ({others}); choose another --run"
        )


def _other_settings(found: Any, wanted: Any, name: str = "") -> Iterator[str]:  # noqa: ANN401 - plain settings
    """Yield each setting that differs, with both values."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*found, *wanted]):
            inside = f"{name}.{key}" if name else key
            yield from _other_settings(found.get(key), wanted.get(key), inside)
    elif found != wanted:
        yield f"{name.removeprefix('read.')}: {found} there, {wanted} now"


def _recipe(config: Config, value: str) -> Config:
    if value not in RECIPES:
        raise ValueError(f"`recipe` must be one of {', '.join(RECIPES)}, got {value!r}")
    return RECIPES[value](replace(config, losses=LossSettings()))


def _setting(name: str) -> Callable[[Config, str], Config]:
    """Return a function that sets the setting of this command-line name."""
    path = ALIASES.get(name, name).replace("-", "_").split(".")
    if path[0] in PLACES:
        raise ValueError(f"`vary` compares settings of a training, got the place `{name}`")
    if path == ["seed"]:
        raise ValueError(
            "`vary` compares settings, and a gain compares trainings of one seed: --seeds repeats "
            "every variant with several"
        )
    unnamed = [one.name for one in fields(Config) if not one.metadata.get("prefix", True)]
    if not hasattr(Config(), path[0]):
        path = [*(one for one in unnamed if hasattr(getattr(Config(), one), path[0])), *path]
    if not hasattr(Config(), path[0]):
        groups = rf"^({'|'.join(unnamed)})\."
        known = [re.sub(groups, "", one) for one in setting_names(Config())]
        close = difflib.get_close_matches(name.replace("-", "_"), known, n=1)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        raise ValueError(f"unknown setting `{name}`{hint}")

    def change(config: Config, value: str) -> Config:
        plain: Any = _value(value)
        for key in reversed(path):
            plain = {key: plain}
        return from_plain(plain, config)

    return change


def _value(text: str) -> Any:  # noqa: ANN401 - any TOML value
    if text in SWITCHES:
        return SWITCHES[text]
    if re.fullmatch(r"0\d+", text):
        raise ValueError(f"`vary` got the value {text!r}, which begins with a zero; {SEPARATORS}")
    try:
        return loads(f"value = {text}")["value"]
    except TOMLDecodeError:
        return text
