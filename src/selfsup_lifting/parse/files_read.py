"""Report which text files are read, so that a command can show the progress of long reading."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

Listener = Callable[[Path], None]
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def on_file_read(listener: Listener) -> Iterator[None]:
    """Call a function with every text file that is read in this block.

    Example:
        >>> import tempfile
        >>> from selfsup_lifting.parse.text import read_text
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "walk.csv"
        ...     _ = path.write_text("frame")
        ...     with on_file_read(lambda file: print("read", file.name)):
        ...         _ = read_text(path)
        read walk.csv
    """
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def report_read(path: Path) -> None:
    """Call the function of `on_file_read`, if there is one, with a file that was read."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(path)
