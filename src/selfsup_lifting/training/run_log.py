"""Log a training: losses of every epoch in metrics.jsonl and for TensorBoard."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from math import isfinite
from numbers import Real
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom.camera_files.json_text import parse_json
from selfsup_lifting.recording import require_kind
from selfsup_lifting.run_files import METRICS_FILE, read_committed
from selfsup_lifting.training.checkpoint import State, naming_damaged_file
from selfsup_lifting.training.curves import Curves
from selfsup_lifting.training.distributed import mean_over_processes

# What every row of that file has.
COLUMNS = {"epoch": int, "losses": dict, "gradient_shares": dict}

# A loss this many times as large as in the first step has exploded.
EXPLODED = 1e6

# Called with the number of epochs and how many are done; inside the block, the function it gives
# is called after every epoch with a line that describes the losses.
Progress = Callable[[int, int], AbstractContextManager[Callable[[str], None]]]


@contextmanager
def no_progress(_epochs: int, _done: int) -> Iterator[Callable[[str], None]]:
    """Show nothing."""
    yield lambda _: None


class DivergedError(ValueError):
    """A loss is not finite, or has exploded.

    Attributes:
        step: The step of the epoch, counted from 0.
    """

    def __init__(self, name: str, value: float, epoch: int, step: int) -> None:
        super().__init__(
            f"the training has diverged: {name} was {value:.3g} in step {step + 1} of epoch {epoch}"
        )
        self.step = step


class RunLog:
    """Record the loss terms, and each term's share of the gradient; they stay on the device.

    Attributes:
        done: The number of finished epochs.
    """

    def __init__(self, folder: Path) -> None:
        self.done = 0
        self._folder, self._metrics = folder, b""
        self._unsaved: list[dict[str, float]] = []
        self._curves: Curves | None = None
        self._names: list[str] = []
        self._steps: list[Tensor] = []
        self._shares = torch.empty(0)
        self._limits: dict[str, float] = {}

    def close(self) -> None:
        """Close the curves."""
        if self._curves is not None:
            self._curves.close()

    def step(
        self, terms: Mapping[str, Tensor], shares: Callable[[], Float[Tensor, "terms"]]
    ) -> None:
        """Record the losses of one batch; the gradient shares are computed once per epoch."""
        if self._names != list(terms):
            self._steps.clear()  # a resumed epoch had other losses
        if not self._steps:
            self._names, self._shares = list(terms), shares()
        values = torch.stack([term.detach() for term in terms.values()])
        self._steps.append(mean_over_processes(values))

    def state(self) -> dict[str, Any]:
        """Return what is recorded of the unfinished epoch, for a checkpoint."""
        steps = torch.stack(self._steps).cpu() if self._steps else None
        return {"names": self._names, "steps": steps, "shares": self._shares.cpu()}

    def restore(self, state: State, metrics: bytes, device: torch.device) -> None:
        """Continue the log of a checkpoint, and its unfinished epoch."""
        self.done, self._metrics = state.epoch, metrics
        if state.log["steps"] is not None:
            self._names = list(state.log["names"])
            self._steps = list(state.log["steps"].to(device))
            self._shares = state.log["shares"].to(device)

    def require_finite(self) -> None:
        """Raise `DivergedError` if a loss of this epoch is not finite, or exploded."""
        steps = torch.stack(self._steps).tolist() if self._steps else []
        for step, values in enumerate(steps):
            for name, value in zip(self._names, values, strict=True):
                limit = self._limits.setdefault(name, EXPLODED * max(abs(value), 1.0))
                if not isfinite(value) or value > limit:
                    raise DivergedError(name, value, self.done + 1, step)

    def epoch(self, own: Mapping[str, float], scores: object = MappingProxyType({})) -> str:
        """Record the means of an epoch.

        Args:
            own: Other numbers of the training, by name.
            scores: Numbers of the caller of `train`, by name.

        Returns:
            A line that describes the losses.

        Raises:
            DivergedError: If a loss is not finite, or exploded.
            ValueError: If the scores are no numbers, or have a name that a row has already.
        """
        self.require_finite()
        scores = _numbers(scores, {*COLUMNS, *own})
        means = torch.stack(self._steps).mean(dim=0).tolist()
        terms = dict(zip(self._names, means, strict=True))
        shares = dict(zip(self._names, self._shares.tolist(), strict=True))
        self._steps.clear()
        self.done += 1
        row = {"epoch": self.done, "losses": terms, "gradient_shares": shares, **own, **scores}
        self._metrics += json.dumps(row).encode() + b"\n"
        curves = {f"losses/{name}": term for name, term in terms.items()}
        curves |= {f"gradient_shares/{name}": share for name, share in shares.items()}
        self._unsaved.append({"epoch": self.done, **own, **scores, **curves})
        return "  ".join(f"{name} {terms[name]:.3g} ({shares[name]:.0%})" for name in terms)

    def files(self) -> dict[str, bytes]:
        """Return the metrics of all epochs, by the name of their file."""
        return {METRICS_FILE: self._metrics}

    def write_curves(self) -> tuple[str, ...]:
        """Append the new epochs to the curves for TensorBoard.

        Returns:
            The name of the file in the run folder, if there is one yet.
        """
        if self._unsaved and self._curves is None:
            self._curves = Curves(self._folder)
        if self._curves is None:
            return ()
        for row in self._unsaved:
            self._curves.add(int(row.pop("epoch")), row)
        self._unsaved.clear()
        self._curves.flush()
        return (self._curves.path.name,)


def metrics_of(run: Path) -> list[dict[str, Any]]:
    """Read what a run logged of every epoch.

    Raises:
        ValueError: If the file is damaged; the message names it and the line.
    """
    lines = read_committed(run, METRICS_FILE).splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        with naming_damaged_file(run / METRICS_FILE, f"line {number}"):
            row = parse_json(line.decode())
            for name, kind in COLUMNS.items():
                require_kind(name, row[name], kind)
            for name, value in (row["losses"] | row["gradient_shares"]).items():
                if not _is_number(value):
                    raise ValueError(f"expected a number of `{name}`, got {value!r}")
            rows.append(row)
    return rows


def _numbers(scores: object, taken: Collection[str]) -> dict[str, float]:
    """Return the scores of the caller of `train`; refuse other names and values."""
    require_kind("scores(lifter)", scores, Mapping)
    for name, value in scores.items():  # type: ignore[attr-defined]
        require_kind("a name in scores(lifter)", name, str)
        if name.partition("/")[0] in taken:
            raise ValueError(
                f"`scores` returns {name!r}, which {METRICS_FILE} has already: give it another name"
            )
        if not _is_number(value):
            raise ValueError(f"`scores` must return numbers by name, got {value!r} for {name!r}")
    return {name: float(value) for name, value in scores.items()}  # type: ignore[attr-defined]


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
