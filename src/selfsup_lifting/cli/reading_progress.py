"""Show the progress of reading, if it takes long."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

from selfsup_lifting.cli.progress import show_progress
from selfsup_lifting.config_fields import differing
from selfsup_lifting.files import read_recordings as read_silently
from selfsup_lifting.files.reading import USUAL
from selfsup_lifting.parse.files_read import on_file_read
from selfsup_lifting.read_errors import ReadError, listed
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.training.distributed import is_first

# Reading that ends before shows nothing [s].
PATIENCE = 3.0


def read_recordings(
    sources: Sequence[str], settings: ReadSettings, usual: ReadSettings = USUAL
) -> list[Recording]:
    """Read recordings, and show the progress; an error tells which of its words a run says."""
    try:
        with reading(sources):
            return read_silently(sources, settings, usual)
    except ReadError as error:
        kept = {*differing(usual, USUAL)} - {*differing(settings, usual)}
        named = {name: str(getattr(usual, name)) for name in sorted(kept)}
        told = [f"`{name}` {value}" for name, value in named.items() if f"'{value}'" in str(error)]
        if not told:
            raise
        raise ReadError(f"{error}; {listed(told)} is a setting of the run") from error


@contextmanager
def reading(sources: Sequence[str | Path]) -> Iterator[None]:
    """Show how many files of the sources were read in this block, with the time left.

    A source is a file or folder, or `kind:path`. Files of other programs that are not read count
    too, so that the work may end before the last one.
    """
    start, found = monotonic(), 0
    show: Callable[[str], None] | None = None
    with ExitStack() as stack:

        def count(path: Path) -> None:
            nonlocal found, show
            found += 1
            if show is None and is_first() and monotonic() - start > PATIENCE:
                total = max(found, sum(map(_files_in, sources)))
                show = stack.enter_context(show_progress(total, found - 1, "file"))
            if show is not None:
                show(path.name)

        with on_file_read(count):
            yield


def _files_in(source: str | Path) -> int:
    """Count the files of a source; one if it is no folder."""
    text = str(source)
    path = Path(text) if Path(text).exists() else Path(text.partition(":")[2] or text)
    return sum(len(files) for _, _, files in os.walk(path)) or 1
