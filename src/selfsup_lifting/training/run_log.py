"""What a training says while it runs, and what it leaves to read."""

import json
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from math import isfinite
from pathlib import Path
from time import monotonic
from types import TracebackType

import torch
from rich.console import Console
from rich.live import Live
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

METRICS_FILE = "metrics.jsonl"

# Where there is no screen to redraw, a line now and then says the same [s].
LINE_EVERY = 10.0
SCREEN_EVERY = 0.2


class RunLog:
    """Progress with the time left on stderr; every epoch in metrics.jsonl and for TensorBoard."""

    def __init__(self, run: Path, *, epochs: int, done: int) -> None:
        _forget_epochs_after(done, run / METRICS_FILE)
        self._metrics = (run / METRICS_FILE).open("a", encoding="utf-8")
        self._curves = SummaryWriter(str(run))
        self._epochs, self._first, self._done = epochs, done, done
        self._started, self._told = monotonic(), -LINE_EVERY
        self._steps: list[Tensor] = []
        self._shares: Mapping[str, float] = {}
        self._console = Console(file=sys.stderr, highlight=False)
        self._screen = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> "RunLog":
        if self._console.is_terminal:
            self._screen.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._screen.stop()
        self._curves.close()
        self._metrics.close()

    def step(self, terms: Mapping[str, Tensor], shares: Callable[[], Mapping[str, float]]) -> None:
        """Note the losses of one batch; the gradient is looked at once an epoch."""
        if not self._steps:
            self._shares = shares()
        self._steps.append(torch.stack([term.detach() for term in terms.values()]))

    def epoch(self, noted: Mapping[str, float]) -> None:
        """Note that an epoch is over: loss terms, shares of the gradient, and what else is told.

        Raises:
            ValueError: If a loss is not finite, so that nothing can come of the training.
        """
        means = torch.stack(self._steps).mean(dim=0).tolist()
        terms = dict(zip(self._shares, means, strict=True))
        self._steps.clear()
        self._done += 1
        _require_finite(terms, self._done)
        row = {"epoch": self._done, "losses": terms, "gradient_shares": dict(self._shares), **noted}
        self._metrics.write(json.dumps(row) + "\n")
        for name, value in noted.items():
            self._curves.add_scalar(name, value, self._done)
        for name, value in terms.items():
            self._curves.add_scalar(f"losses/{name}", value, self._done)
            self._curves.add_scalar(f"gradient_shares/{name}", self._shares[name], self._done)
        self._tell(
            "  ".join(f"{name} {terms[name]:.3g} ({self._shares[name]:.0%})" for name in terms)
        )

    def _tell(self, terms: str) -> None:
        every = SCREEN_EVERY if self._screen.is_started else LINE_EVERY
        if monotonic() - self._told < every and self._done < self._epochs:
            return
        self._told = monotonic()
        line = f"epoch {self._done}/{self._epochs}  {terms}  {self._time_left()} left"
        if self._screen.is_started:
            self._screen.update(line, refresh=True)
        else:
            self._console.print(line, soft_wrap=True)

    def _time_left(self) -> timedelta:
        per_epoch = (monotonic() - self._started) / (self._done - self._first)
        return timedelta(seconds=round(per_epoch * (self._epochs - self._done)))


def _forget_epochs_after(done: int, metrics: Path) -> None:
    """Drop the lines of epochs that a broken training had done but not saved."""
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.is_file() else []
    if len(lines) > done:
        metrics.write_text("".join(f"{line}\n" for line in lines[:done]), encoding="utf-8")


def _require_finite(terms: Mapping[str, float], epoch: int) -> None:
    for name, value in terms.items():
        if not isfinite(value):
            raise ValueError(
                f"the training has diverged: the loss {name} of epoch {epoch} must be finite, got "
                f"{value}; a lower `learning_rate` may help"
            )
