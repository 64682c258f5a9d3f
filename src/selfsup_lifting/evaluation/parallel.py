"""Train several runs at once, each in a process of its own, and stop all of them together."""

import logging
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeAlias

import torch

from selfsup_lifting.config import Config
from selfsup_lifting.training.devices import training_device
from selfsup_lifting.training.run_log import Progress
from selfsup_lifting.training.stopping import Stopped, stop_requests

_log = logging.getLogger(__name__)

# A signal is noticed within this time [s].
POLL = 0.2

Run: TypeAlias = tuple[Config, Path]
Train: TypeAlias = Callable[[Config, Path, Progress], Any]
"""Trains in a run folder, and returns the result."""
Show: TypeAlias = Callable[[str, int, int, str], None]
"""Takes the name of a training, its number of epochs, how many are done, and the last losses."""


@dataclass(frozen=True)
class _Epoch:
    """An epoch of a training is done."""

    name: str
    epochs: int
    done: int
    line: str


@dataclass(frozen=True)
class _Note:
    """Something to tell the person."""

    text: str


@dataclass(frozen=True)
class _Failure:
    """A training has failed: of an expected cause in one sentence, or with a traceback."""

    text: str
    expected: bool


@dataclass(frozen=True)
class _Result:
    """A training has ended."""

    value: Any


def automatic_jobs(device: str, runs: int) -> int:
    """Return how many trainings run at once by default.

    Args:
        device: The device of the settings.
        runs: The number of trainings.

    Returns:
        On a CPU, one for each thread of PyTorch; on GPUs, one for each GPU.
    """
    on_gpus = training_device(device).startswith("cuda")
    places = torch.cuda.device_count() if on_gpus else torch.get_num_threads()
    return max(1, min(places, runs))


def progress_of(run: Path, show: Show) -> Progress:
    """Return a progress of one training that calls `show` after every epoch."""
    name = str(Path(*run.parts[-2:]))  # the variant and the seed

    @contextmanager
    def progress(epochs: int, done: int) -> Iterator[Callable[[str], None]]:
        def after_epoch(line: str) -> None:
            nonlocal done
            done += 1
            show(name, epochs, done, line)

        yield after_epoch

    return progress


def train_at_once(
    train: Train, runs: Sequence[Run], jobs: int, show: Show
) -> Iterator[tuple[int, Any]]:
    """Train runs, several at once, and divide the threads of PyTorch among them.

    Args:
        train: Trains one run; a function of a module, which the processes import.
        runs: The settings and the folders of the trainings.
        jobs: The number of processes.
        show: Called after each epoch of each training.

    Yields:
        The place of a run and its result, when its training has ended.

    Raises:
        Stopped: After SIGINT (Ctrl-C), SIGTERM or SIGHUP, once all trainings have saved their
            last step.
        ValueError: If a training fails. The others stop, and save their last step.
    """
    count, waiting = min(jobs, len(runs)), iter(range(len(runs)))
    threads = max(1, torch.get_num_threads() // count)
    with stop_requests() as stop_request, _processes(train, count, threads) as processes:
        busy: dict[Connection, int] = {}

        def start_next(connection: Connection) -> None:
            place = next(waiting, None)
            if place is not None:
                connection.send(runs[place])
                busy[connection] = place

        for connection in processes:
            start_next(connection)
        notes: set[str] = set()
        while busy:
            number = stop_request()
            if number is not None:
                raise Stopped(number)
            ready = wait(list(busy), POLL)
            for connection in [one for one in busy if one in ready]:
                place = busy[connection]
                message = _received(connection, processes[connection], runs[place][1])
                if isinstance(message, _Result):
                    yield place, message.value
                    del busy[connection]
                    start_next(connection)
                else:
                    _pass_on(message, show, notes)


@contextmanager
def _processes(train: Train, count: int, threads: int) -> Iterator[dict[Connection, BaseProcess]]:
    """Start processes that train; at the end, stop them and wait until they have saved."""
    context = _context(train)
    processes: dict[Connection, BaseProcess] = {}
    try:
        for place in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_train_all, args=(train, theirs, threads, place), daemon=True
            )
            with _without_interrupts():
                process.start()
            theirs.close()
            processes[ours] = process
        yield processes
    finally:
        for one in processes.values():
            one.terminate()
        for connection, one in processes.items():
            with suppress(EOFError, OSError):  # a full pipe would keep the process from ending
                while True:
                    connection.recv()
            one.join()


def _context(train: Train) -> ForkServerContext | SpawnContext:
    """Return how processes start: with PyTorch in memory that they share, where that is safe.

    On Linux a process imports PyTorch once, and each training is a copy of it. Elsewhere the
    libraries of the system do not allow copies, and each training imports PyTorch.
    """
    if sys.platform != "linux":
        return get_context("spawn")
    context = get_context("forkserver")
    # Every optimizer imports PyTorch's compiler.
    context.set_forkserver_preload([train.__module__, "torch._dynamo"])
    return context


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C; a process that starts here never receives it.

    Ctrl-C reaches all processes of a terminal: the first one tells the others to stop.
    """
    # The first process that starts would start this one too, which ends the blocking.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _received(connection: Connection, process: BaseProcess, run: Path) -> Any:  # noqa: ANN401
    """Receive the next message; raise a ValueError that names the run if it is an error."""
    try:
        message = connection.recv()
    except (EOFError, OSError):
        process.join()
        raise ValueError(
            f"{run}: its process ended with exit code {process.exitcode}; likely cause: the memory "
            "is not enough for so many --jobs"
        ) from None
    if isinstance(message, _Failure):
        raise (ValueError if message.expected else RuntimeError)(message.text)
    return message


def _pass_on(message: _Epoch | _Note, show: Show, notes: set[str]) -> None:
    """Show the progress, and each note once: all processes read the same data."""
    if isinstance(message, _Epoch):
        show(message.name, message.epochs, message.done, message.line)
    elif message.text not in notes:
        notes.add(message.text)
        _log.warning("%s", message.text)


def _train_all(train: Train, connection: Connection, threads: int, place: int) -> None:
    """Train the runs that arrive, one after the other, until the connection ends."""
    torch.set_num_threads(threads)
    if torch.cuda.device_count() > 1:
        torch.cuda.set_device(place % torch.cuda.device_count())
    logging.getLogger().addHandler(_Notes(connection))

    def show(name: str, epochs: int, done: int, line: str) -> None:
        connection.send(_Epoch(name, epochs, done, line))

    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            config, run = connection.recv()
            connection.send(_result(train, config, run, progress_of(run, show)))


def _result(train: Train, config: Config, run: Path, progress: Progress) -> _Result | _Failure:
    try:
        return _Result(train(config, run, progress))
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        return _Failure(str(error), expected=True)
    except Exception:
        return _Failure(f"{run}: {traceback.format_exc()}", expected=False)


class _Notes(logging.Handler):
    """Sends log records to the first process."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.WARNING)
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        self._connection.send(_Note(self.format(record)))
