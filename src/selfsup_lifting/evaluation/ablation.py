"""The paper's Table IV, with seeds."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from time import monotonic
from tomllib import TOMLDecodeError, loads
from types import MappingProxyType
from typing import Any

import torch

from selfsup_lifting.atomic_write import replacing
from selfsup_lifting.config import Config, LossSettings, ReadSettings, require_at_least
from selfsup_lifting.config_toml import from_plain
from selfsup_lifting.evaluation.evaluate import evaluate_lifter
from selfsup_lifting.evaluation.published_tables import split_for
from selfsup_lifting.files import read_recordings
from selfsup_lifting.recipes import RECIPES
from selfsup_lifting.recording import Recording
from selfsup_lifting.training.checkpoint import CONFIG_FILE, STATE_FILE, load_config
from selfsup_lifting.training.loop import train
from selfsup_lifting.training.run_log import METRICS_FILE

OUTCOME_FILE = "outcome.json"

# P-MPJPE on Human3.6M [mm] (Bouazizi et al., FG 2021, Table IV).
PUBLISHED: Mapping[str, float] = MappingProxyType(
    {"L_in": 68.0, "+ L_proj": 65.3, "+ L_con": 63.9, "+ L_out": 62.0}
)

# Names that a person would use for a setting that is called otherwise.
ALIASES: Mapping[str, str] = MappingProxyType({"cameras": "cameras_learned"})
SWITCHES: Mapping[str, bool] = MappingProxyType({"on": True, "off": False})


@dataclass(frozen=True)
class Variant:
    """One way to train, whatever the seed."""

    name: str
    config: Config


@dataclass(frozen=True)
class Outcome:
    """What one training came to.

    Attributes:
        p_mpjpe_mm: Error on the takes kept out, aligned [mm].
        mpjpe_mm: The same, root-relative [mm].
        gradient_shares: How much of the gradient each loss had, mean over the epochs in which it
            took part.
        seconds: How long the training took [s].
    """

    p_mpjpe_mm: float
    mpjpe_mm: float
    gradient_shares: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class Row:
    """A variant's outcomes over the seeds, and what it gains over the variant above it.

    Attributes:
        name: What the variant is called.
        p_mpjpe_mm: Each seed's aligned error [mm].
        mpjpe_mm: Each seed's root-relative error [mm].
        gains_mm: How much lower each seed's aligned error is than that of the variant above.
        gradient_shares: Mean over the seeds.
        seconds: Mean time of a training [s].
    """

    name: str
    p_mpjpe_mm: tuple[float, ...]
    mpjpe_mm: tuple[float, ...]
    gains_mm: tuple[float, ...]
    gradient_shares: Mapping[str, float]
    seconds: float

    @property
    def gain_interval_mm(self) -> float:
        """Half the width of the 95 % interval of the mean gain, by Student's t [mm]."""
        return interval(self.gains_mm)


def loss_steps(config: Config) -> list[Variant]:
    """Take up the losses one after the other, in the order of the paper's Table IV.

    Args:
        config: Settings with a weight for every loss.

    Returns:
        A variant per loss.

    Raises:
        ValueError: If a loss has no weight, so that there is nothing to add.
    """
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


def varied(config: Config, written: str) -> list[Variant]:
    """Give one setting several values.

    Args:
        config: The settings.
        written: `setting=value,value`, the setting as on the command line; `cameras` stands for
            the number of cameras learned from, `recipe` for a whole recipe.

    Returns:
        A variant per value.

    Raises:
        ValueError: If there is no such setting, or it cannot have such a value.
    """
    name, equals, values = written.partition("=")
    if not equals or not values:
        raise ValueError(f"`vary` must be written setting=value,value, got {written!r}")
    change = _recipe if name == "recipe" else _setting(name.strip())
    return [Variant(f"{name}={value}", change(config, value)) for value in values.split(",")]


def ablate(
    variants: Sequence[Variant],
    seeds: int,
    folder: Path,
    *,
    jobs: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Train every variant with every seed, and compare; what is done already is not done again.

    Args:
        variants: The ways to train.
        seeds: How many seeds, from that of the settings on.
        folder: Where the runs are kept: a folder per variant, and in it one per seed.
        jobs: Trainings at a time, each in a process of its own.
        tell: Gets a sentence for every training that ends.

    Returns:
        A row per variant.

    Raises:
        ValueError: If the folder holds runs with other settings, or a damaged outcome; or if
            there is no seed, or no training at a time.
    """
    require_at_least(1, seeds=seeds, jobs=jobs)
    runs = [
        (replace(variant.config, seed=variant.config.seed + more), folder / _plain(variant.name))
        for more in range(seeds)
        for variant in variants
    ]
    runs = [(config, place / f"seed-{config.seed}") for config, place in runs]
    for config, run in runs:
        _require_same_settings(config, run)
        _known_outcome(run)
    outcomes = {}
    for (_, run), outcome in zip(runs, _outcomes(runs, jobs), strict=True):
        outcomes[run] = outcome
        tell(f"{run}: P-MPJPE {outcome.p_mpjpe_mm:.1f} mm in {outcome.seconds:.0f} s")
    by_variant = [
        [outcomes[run] for _, run in runs if run.parent.name == _plain(variant.name)]
        for variant in variants
    ]
    return _compared([variant.name for variant in variants], by_variant)


def learn_and_judge(config: Config, run: Path) -> Outcome:
    """Train once, or go on with what was begun, and evaluate on what was kept out."""
    known = _known_outcome(run)
    if known is not None:
        return known
    split = split_for(config, _recordings(config.data, config.read))
    started = monotonic()
    lifter = train(config, split.learned, run, resume=(run / STATE_FILE).is_file())
    seconds = monotonic() - started
    total = evaluate_lifter(lifter.cpu(), split.kept_out).total
    outcome = Outcome(total.p_mpjpe_mm, total.mpjpe_mm, _shares(run / METRICS_FILE), seconds)
    with replacing(run / OUTCOME_FILE) as path:
        path.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    return outcome


def _known_outcome(run: Path) -> Outcome | None:
    """Read what a training came to; nothing where it has not ended."""
    path = run / OUTCOME_FILE
    if not path.is_file():
        return None
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        shares = {name: float(share) for name, share in plain.pop("gradient_shares").items()}
        numbers = {name: float(number) for name, number in plain.items()}
        return Outcome(gradient_shares=shares, **numbers)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); delete it, and its run is evaluated again"
        ) from None


def interval(values: Sequence[float]) -> float:
    """Return half the width of the 95 % interval of a mean, by Student's t."""
    from scipy.stats import t

    if len(values) < 2:  # noqa: PLR2004 - one value has no deviation
        return float("nan")
    quantile = float(t.ppf(0.975, len(values) - 1))
    return float(quantile * stdev(values) / len(values) ** 0.5)


def _outcomes(runs: Sequence[tuple[Config, Path]], jobs: int) -> Iterator[Outcome]:
    if jobs == 1:
        yield from (learn_and_judge(config, run) for config, run in runs)
        return
    threads = max(1, torch.get_num_threads() // jobs)
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (threads,)) as pool:
        yield from pool.map(learn_and_judge, *zip(*runs, strict=True))


@lru_cache(maxsize=1)
def _recordings(data: tuple[str, ...], read: ReadSettings) -> list[Recording]:
    """Read the data once for all variants that see the same."""
    return read_recordings(data, read)


def _compared(names: Sequence[str], outcomes: Sequence[Sequence[Outcome]]) -> list[Row]:
    rows: list[Row] = []
    for name, seeds in zip(names, outcomes, strict=True):
        errors = tuple(outcome.p_mpjpe_mm for outcome in seeds)
        above = rows[-1].p_mpjpe_mm if rows else ()
        shares = {
            loss: mean(outcome.gradient_shares[loss] for outcome in seeds)
            for loss in seeds[0].gradient_shares
        }
        row = Row(
            name=name,
            p_mpjpe_mm=errors,
            mpjpe_mm=tuple(outcome.mpjpe_mm for outcome in seeds),
            gains_mm=tuple(old - new for old, new in zip(above, errors, strict=bool(above))),
            gradient_shares=shares,
            seconds=mean(outcome.seconds for outcome in seeds),
        )
        rows.append(row)
    return rows


def _shares(metrics: Path) -> dict[str, float]:
    """Average each loss's share of the gradient over the epochs in which it took part."""
    lines = metrics.read_text(encoding="utf-8").splitlines()
    epochs = [json.loads(line)["gradient_shares"] for line in lines]
    losses = dict.fromkeys(loss for epoch in epochs for loss in epoch)
    return {loss: mean(epoch[loss] for epoch in epochs if loss in epoch) for loss in losses}


def _require_same_settings(config: Config, run: Path) -> None:
    if (run / CONFIG_FILE).is_file() and load_config(run) != config:
        raise ValueError(f"{run} holds a training with other settings; name another --run")


def _recipe(config: Config, value: str) -> Config:
    if value not in RECIPES:
        raise ValueError(f"`recipe` must be one of {', '.join(RECIPES)}, got {value!r}")
    return RECIPES[value](replace(config, losses=LossSettings()))


def _setting(name: str) -> Callable[[Config, str], Config]:
    """Return what gives a setting, named as on the command line, a value."""
    path = ALIASES.get(name, name).replace("-", "_").split(".")
    if not hasattr(Config(), path[0]):
        path = ["read", *path]

    def change(config: Config, value: str) -> Config:
        plain: Any = _value(value)
        for key in reversed(path):
            plain = {key: plain}
        return from_plain(plain, config)

    return change


def _value(written: str) -> Any:  # noqa: ANN401 - whatever TOML can say
    if written in SWITCHES:
        return SWITCHES[written]
    try:
        return loads(f"value = {written}")["value"]
    except TOMLDecodeError:
        return written


def _plain(name: str) -> str:
    """Write a variant's name as a folder's."""
    return name.replace("+ ", "with-").replace("=", "-").replace("/", "-")
