"""HDF5 files opened, or one sentence that says why not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selfsup_lifting.recording import ReadError

SUFFIXES = frozenset({".h5", ".hdf5"})


@contextmanager
def opened_h5(path: Path, layout: str) -> Iterator[Any]:
    """Open an HDF5 file; what goes wrong inside is told as a wrong layout.

    Args:
        path: The file.
        layout: Whose layout is expected, for the sentence of an error.

    Yields:
        The open file.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except ReadError:
        raise
    except (
        OSError, KeyError, AttributeError, TypeError, IndexError, ValueError, OverflowError,
        RuntimeError, MemoryError,
    ) as error:  # fmt: skip
        told = " ".join(str(error).split())
        raise ReadError(f"{path} is damaged, or not laid out as {layout} does: {told}") from None


def holds(path: Path, condition: Callable[[Any], bool]) -> bool:
    """Tell whether a path is an HDF5 file that meets a condition."""
    if path.suffix not in SUFFIXES or not path.is_file():
        return False
    try:
        with opened_h5(path, "HDF5") as file:
            return condition(file)
    except ReadError:
        return False


def text_of(value: object) -> str:
    """Return text, however HDF5 keeps it."""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
