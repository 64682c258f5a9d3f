"""Log a training: losses of every epoch in metrics.jsonl and for TensorBoard."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor

METRICS_FILE = "metrics.jsonl"

# Called with the number of epochs and how many are done; inside the block, the function it gives
# is called after every epoch with a line that describes the losses.
Progress = Callable[[int, int], AbstractContextManager[Callable[[str], None]]]


@contextmanager
def no_progress(_epochs: int, _done: int) -> Iterator[Callable[[str], None]]:
    """Show nothing."""
    yield lambda _: None


class RunLog:
    """Write the loss terms, and each term's share of the gradient, once per epoch."""

    def __init__(self, run: Path, *, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        _drop_epochs_after(done, run / METRICS_FILE)
        self._metrics = (run / METRICS_FILE).open("a", encoding="utf-8")
        self._curves = SummaryWriter(str(run))
        self._done = done
        self._steps: list[Tensor] = []
        self._shares: Mapping[str, float] = {}

    def close(self) -> None:
        """Close the files."""
        self._curves.close()
        self._metrics.close()

    def step(self, terms: Mapping[str, Tensor], shares: Callable[[], Mapping[str, float]]) -> None:
        """Record the losses of one batch; the gradient shares are computed once per epoch."""
        if not self._steps:
            self._shares = shares()
        self._steps.append(torch.stack([term.detach() for term in terms.values()]))

    def epoch(self, scores: Mapping[str, float]) -> str:
        """Write the means of an epoch.

        Args:
            scores: Other numbers to write, by name.

        Returns:
            A line that describes the losses.

        Raises:
            ValueError: If a loss is not finite: the training has diverged.
        """
        means = torch.stack(self._steps).mean(dim=0).tolist()
        terms = dict(zip(self._shares, means, strict=True))
        self._steps.clear()
        self._done += 1
        _require_finite(terms, self._done)
        shares = dict(self._shares)
        row = {"epoch": self._done, "losses": terms, "gradient_shares": shares, **scores}
        self._metrics.write(json.dumps(row) + "\n")
        curves = {f"losses/{name}": term for name, term in terms.items()}
        curves |= {f"gradient_shares/{name}": share for name, share in shares.items()}
        for name, value in {**scores, **curves}.items():
            self._curves.add_scalar(name, value, self._done)
        return "  ".join(f"{name} {terms[name]:.3g} ({shares[name]:.0%})" for name in terms)


def finished_epochs(run: Path) -> int:
    """Return how many epochs a run has logged."""
    metrics = run / METRICS_FILE
    return len(metrics.read_text(encoding="utf-8").splitlines()) if metrics.is_file() else 0


def _drop_epochs_after(done: int, metrics: Path) -> None:
    """Delete the lines of epochs that an interrupted training finished but did not save."""
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
