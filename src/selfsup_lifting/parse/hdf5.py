"""HDF5 files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selfsup_lifting.read_errors import Place, ReadError

SUFFIXES = frozenset({".h5", ".hdf5"})


@contextmanager
def open_hdf5(path: Path, layout: str) -> Iterator[Any]:
    """Open an HDF5 file; an error inside the `with` block is reported as a wrong layout.

    Args:
        path: The file.
        layout: The expected layout, for the message of an error.

    Yields:
        The open file.

    Raises:
        ReadError: If the file is not HDF5, is damaged or has another layout.
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
        raise Place(path).damaged(f"an HDF5 file in the layout of {layout}", error) from None


def is_hdf5_with(path: Path, condition: Callable[[Any], bool]) -> bool:
    """Return whether a path is an HDF5 file that meets a condition."""
    if path.suffix not in SUFFIXES or not path.is_file():
        return False
    try:
        with open_hdf5(path, "HDF5") as file:
            return condition(file)
    except ReadError:
        return False


def text_of(value: object) -> str:
    """Return a string that HDF5 stores as bytes or as text."""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
