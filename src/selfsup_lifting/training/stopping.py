"""Stop a training between two steps: Ctrl-C, SIGTERM and SIGHUP are requests, not interruptions."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# SLURM and other schedulers send SIGTERM; a closed terminal sends SIGHUP.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Stopped(KeyboardInterrupt):
    """A signal stopped the work; of a training, the last step is saved.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}"


@contextmanager
def stop_requests() -> Iterator[Callable[[], int | None]]:
    """Collect the signals that ask to stop; a second Ctrl-C interrupts at once.

    Signals that the process ignores, as SIGHUP under nohup, stay ignored. In a thread that is not
    the main one, Python cannot receive signals, so nothing is changed.

    Yields:
        A function that returns the first signal that was received, or None.
    """
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    is_main = threading.current_thread() is threading.main_thread()
    found = {number: signal.getsignal(number) for number in SIGNALS if is_main}
    replaced = {number: old for number, old in found.items() if old is not signal.SIG_IGN}
    for number in replaced:
        signal.signal(number, note)
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, old in replaced.items():
            signal.signal(number, old)


@contextmanager
def ending_at_signals() -> Iterator[None]:
    """Raise `Stopped` at SIGTERM and SIGHUP, so that files that are half written are deleted."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise Stopped(number)

    is_main = threading.current_thread() is threading.main_thread()
    found = [one for one in SIGNALS if is_main and signal.getsignal(one) is signal.SIG_DFL]
    for number in found:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in found:
            signal.signal(number, signal.SIG_DFL)
