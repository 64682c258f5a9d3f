"""Show the progress of long work on stderr, with the time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn

from selfsup_lifting.cli.terminal import Terminal

# Without a terminal, for example in a log file, a line is printed this often [s].
LINE_EVERY = 10.0
# The speed is the mean over this time: one epoch may take longer than rich's 30 s.
SPEED_PERIOD = 600.0


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
    console = Terminal(stderr=True)
    count = TextColumn(f"{unit} {{task.completed}}/{{task.total}}")
    columns = (
        count,
        BarColumn(),
        TextColumn("{task.fields[line]}", markup=False),
        TimeRemainingColumn(),
    )
    terminal, printed = console.is_terminal, -LINE_EVERY
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=not terminal,
        speed_estimate_period=SPEED_PERIOD,
    ) as bar:
        bar.add_task(unit, total=total, completed=done, line="")
        task = bar.tasks[0]

        def show(line: str) -> None:
            nonlocal printed
            bar.update(task.id, advance=1, line=line)
            if not terminal and (monotonic() - printed > LINE_EVERY or task.finished):
                printed = monotonic()
                parts = [f"{unit} {task.completed}/{total}", line, _time_left(task)]
                console.print("  ".join(filter(None, parts)), soft_wrap=True)

        yield show


def _time_left(task: Task) -> str:
    """Describe the time left; nothing while the speed is not known."""
    seconds = task.time_remaining
    return "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"
