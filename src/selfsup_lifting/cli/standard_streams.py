"""Standard streams that are closed, and standard error, on which a full disk ends no work."""

import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any


class _LossyFile(FileIO):
    """A file that takes what the system refuses, as on a full disk: nobody else could be told."""

    def write(self, content: Any, /) -> int:  # noqa: ANN401 - bytes in any container
        """Write, and return how many bytes were taken."""
        try:
            return super().write(content)
        except BrokenPipeError:  # nobody reads further, and a command ends
            raise
        except OSError:
            return memoryview(content).nbytes


def occupy_closed_streams() -> None:
    """Put the null device where a standard stream is closed, so that no result file gets its place.

    Messages are lost then. Standard input and output stay None, and whoever needs them says so.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if stream is None:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = TextIOWrapper(BufferedWriter(FileIO(os.devnull, "w")))


def write_out(text: str) -> None:
    """Write to standard output at once; raise a ValueError if it is closed."""
    if sys.stdout is None:
        raise ValueError("the answer is written to standard output, which is closed")
    sys.stdout.write(text)
    sys.stdout.flush()


def forgive_a_full_disk() -> None:
    """Let messages be lost that cannot be written; results and exit statuses are kept."""
    stream = sys.stderr
    if stream is not sys.__stderr__ or not isinstance(stream, TextIOWrapper):
        return
    written: object = stream.buffer  # without a buffer if PYTHONUNBUFFERED is set
    if type(getattr(written, "raw", written)) is FileIO:  # no console of Windows
        file = BufferedWriter(_LossyFile(stream.fileno(), "wb", closefd=False))
        sys.stderr = TextIOWrapper(
            file, stream.encoding, stream.errors, line_buffering=True, write_through=True
        )
