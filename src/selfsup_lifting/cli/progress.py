"""Show the progress of long work on stderr, with the time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import TypeAlias

from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn

from selfsup_lifting.cli.terminal import Terminal

# Without a terminal, for example in a log file, a line is printed this often [s].
LINE_EVERY = 10.0
# The speed is the mean over this time: one epoch may take longer than rich's 30 s.
SPEED_PERIOD = 600.0

ShowCount: TypeAlias = Callable[[int, str], None]
"""Takes how many parts are done, and a line that describes the last one."""


@contextmanager
def show_progress(total: int, done: int, unit: str = "epoch") -> Iterator[Callable[[str], None]]:
    """Show a bar on a terminal, and otherwise print a line from time to time.

    Args:
        total: Number of epochs, or of other parts of the work.
        done: How many of them are done already.
        unit: What the parts are called.

    Yields:
        A function to call after each part, with a line that describes it, such as its losses.
    """
    with _bars(unit) as add:
        show_count = add("", total, done)

        def show(line: str) -> None:
            nonlocal done
            done += 1
            show_count(done, line)

        yield show


@contextmanager
def show_several(unit: str = "epoch") -> Iterator[Callable[[str, int, int, str], None]]:
    """Show the progress of several works at once, each with its name.

    Args:
        unit: What the parts of the works are called.

    Yields:
        A function to call after each part: with the name of the work, the number of its parts, how
        many are done, and a line that describes this one.
    """
    with _bars(unit) as add:
        counts: dict[str, ShowCount] = {}

        def show(name: str, total: int, done: int, line: str) -> None:
            if name not in counts:
                counts[name] = add(name, total, done - 1)
            counts[name](done, line)

        yield show


@contextmanager
def _bars(unit: str) -> Iterator[Callable[[str, int, int], ShowCount]]:
    """Yield a function that adds a bar; it takes its name, its length, and how much is done."""
    console = Terminal(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn(f"{unit} {{task.completed}}/{{task.total}}"),
        BarColumn(),
        TextColumn("{task.fields[line]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        speed_estimate_period=SPEED_PERIOD,
    ) as bars:

        def add(name: str, total: int, done: int) -> ShowCount:
            bars.add_task(name, total=total, completed=done, line="")
            task, printed = bars.tasks[-1], -LINE_EVERY

            def show(done: int, line: str) -> None:
                nonlocal printed
                bars.update(task.id, completed=done, line=line, visible=done < total)
                late = monotonic() - printed > LINE_EVERY
                if not console.is_terminal and (late or task.finished):
                    printed = monotonic()
                    parts = [name, f"{unit} {task.completed}/{total}", line, _time_left(task)]
                    console.print("  ".join(filter(None, parts)), soft_wrap=True)

            return show

        yield add


def _time_left(task: Task) -> str:
    """Describe the time left; nothing while the speed is not known."""
    seconds = task.time_remaining
    return "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"
