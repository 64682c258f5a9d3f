"""Show the progress of a training on stderr, with the time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

# Without a terminal, for example in a log file, a line is printed this often [s].
LINE_EVERY = 10.0


@contextmanager
def show_progress(epochs: int, done: int) -> Iterator[Callable[[str], None]]:
    """Show a bar on a terminal, and otherwise print a line from time to time.

    Args:
        epochs: Number of epochs.
        done: How many of them are done already.

    Yields:
        A function to call after each epoch, with a line that describes its losses.
    """
    console = Console(stderr=True, highlight=False)
    epoch = TextColumn("epoch {task.completed}/{task.total}")
    columns = (epoch, BarColumn(), TextColumn("{task.fields[losses]}"), TimeRemainingColumn())
    terminal, printed = console.is_terminal, -LINE_EVERY
    with Progress(*columns, console=console, transient=True, disable=not terminal) as bar:
        bar.add_task("training", total=epochs, completed=done, losses="")
        task = bar.tasks[0]

        def show(losses: str) -> None:
            nonlocal printed
            bar.update(task.id, advance=1, losses=losses)
            if not terminal and (monotonic() - printed > LINE_EVERY or task.finished):
                printed = monotonic()
                left = timedelta(seconds=round(task.time_remaining or 0))
                line = f"epoch {task.completed}/{epochs}  {losses}  {left} left"
                console.print(line, soft_wrap=True)

        yield show
