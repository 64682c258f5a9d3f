"""Save a training: every minute, at its end, and when it is asked to stop."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

import torch

from selfsup_lifting.config import Config
from selfsup_lifting.config_toml import as_toml
from selfsup_lifting.recording import require_kind
from selfsup_lifting.run_files import (
    CONFIG_FILE,
    METRICS_FILE,
    STATE_FILE,
    WEIGHTS_FILE,
    has_commit,
    is_own,
    read_committed,
)
from selfsup_lifting.training.checkpoint import (
    State,
    lifter_bytes,
    load_state,
    naming_damaged_file,
    random_state,
)
from selfsup_lifting.training.distributed import from_first, is_first, largest, of_all
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.model_selection import ModelSelection
from selfsup_lifting.training.run_folder import OpenRun
from selfsup_lifting.training.run_log import RunLog, metrics_of
from selfsup_lifting.training.stopping import Stopped

_log = logging.getLogger(__name__)

# A crash loses at most this much work [s].
SAVE_EVERY = 60.0


@dataclass
class Checkpoints:
    """Save all that a training consists of, together.

    Attributes:
        run: The run folder.
        config: The settings.
        lifter: The network.
        optimizer: Its optimizer.
        selection: The best weights.
        log: The metrics.
        stop_request: Returns the signal that asks to stop, if there is one.
        files: Other files of the run, by name.
        data: The fingerprint of the training data.
    """

    run: OpenRun
    config: Config
    lifter: Lifter
    optimizer: torch.optim.Optimizer
    selection: ModelSelection
    log: RunLog
    stop_request: Callable[[], int | None]
    files: Mapping[str, bytes]
    data: str = ""
    _saved: float = field(default_factory=monotonic)

    def restore(self) -> State:
        """Continue from the last checkpoint, which the first process reads; return its state."""
        folder = self.run.folder
        state = from_first(lambda: load_state(folder, self.lifter))
        metrics = from_first(lambda: read_committed(folder, METRICS_FILE))
        from_first(lambda: metrics_of(folder))  # which is read again after the training
        if is_first() and state.data not in {"", self.data}:
            _log.warning(
                "%s: the training data, or how they are read, are others than those that this run "
                "learned from; it continues with the new ones", folder,
            )  # fmt: skip
        if is_first():
            self.selection.resume(folder)
        self.log.restore(state, metrics, next(self.lifter.parameters()).device)
        settings = self.optimizer.state_dict()["param_groups"]  # not those of the file
        with naming_damaged_file(folder / STATE_FILE):
            self.optimizer.load_state_dict({**state.optimizer, "param_groups": settings})
        return state

    def step_done(self, step: int) -> None:
        """Save after a step if a minute is over or the training is asked to stop.

        Args:
            step: The number of finished steps of the epoch; 0 after the last one.

        Raises:
            Stopped: After the training was saved, if it was asked to stop.
        """
        late = is_first() and monotonic() - self._saved > SAVE_EVERY
        stop, save = largest([self.stop_request() or 0, int(late)])
        if stop or save:
            self.save(step)
        if stop:
            raise Stopped(stop)

    def save(self, step: int = 0) -> None:
        """Commit a checkpoint.

        Raises:
            ValueError: If the training has diverged.
            OSError: If a file cannot be written; the last checkpoint stays valid.
        """
        self.log.require_finite()
        random = of_all(random_state(next(self.lifter.parameters()).device))
        self._saved = monotonic()
        if not is_first():
            return
        optimizer, log = self.optimizer.state_dict(), self.log.state()
        state = State(self.log.done, step, optimizer, random, log, self.data)
        contents = {
            WEIGHTS_FILE: lifter_bytes(self.lifter, self.config),
            CONFIG_FILE: as_toml(self.config, self.run.folder).encode(),
            STATE_FILE: state.as_bytes(),
            **self.log.files(),
            **self.selection.files(),
            **self.files,
        }
        try:
            self.run.commit(self.log.done, step, contents, self.log.write_curves())
        except OSError as error:
            kept = "; the last checkpoint stays valid" if has_commit(self.run.folder) else ""
            raise OSError(f"{error}{kept}") from error


def require_further_files(name: str, files: object) -> None:
    """Refuse files that a run would write outside of its folder, or over its own ones.

    Args:
        name: Where the files come from, for errors.
        files: The content of each further file of a run, by name.

    Raises:
        ValueError: If a name is no plain one or is used by every run, or a content is no bytes.
    """
    require_kind(name, files, Mapping)
    for file, content in files.items():  # type: ignore[attr-defined]
        require_kind(f"a name in {name}", file, str)
        if file in {"", ".", ".."} or not {"/", "\\", "\0"}.isdisjoint(file):
            raise ValueError(
                f"`{name}` must have names of files in the run folder, got {file!r}: a folder in "
                "it is not created, and nothing is written elsewhere"
            )
        if is_own(file):
            raise ValueError(f"`{name}` must not have {file!r}, a file that the run writes itself")
        require_kind(f"{name}[{file!r}]", content, bytes)
