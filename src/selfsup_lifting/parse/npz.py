"""NumPy's `.npz` archives: the names of their arrays, and the arrays, even if pickled."""

import io
import zlib
from collections.abc import Set
from pathlib import Path
from typing import Any, TypeGuard
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from selfsup_lifting.parse.safe_pickle import unpickle
from selfsup_lifting.read_errors import Place, ReadError


def array_names(path: Path) -> frozenset[str]:
    """Return the names of the arrays in an `.npz` file; none if the file is not a zip archive."""
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
    except (BadZipFile, OSError, NotImplementedError):
        return frozenset()
    return frozenset(name.removesuffix(".npy") for name in names if name.endswith(".npy"))


def load_npz(path: Path) -> dict[str, Any]:
    """Read an `.npz` file in which some arrays may be pickled objects.

    Args:
        path: The file.

    Returns:
        Plain arrays; for a pickled array its only object, or a list of its objects.

    Raises:
        ReadError: If it is not an `.npz` file, is damaged, or holds a pickle that could run code.
    """
    try:
        with ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (
        BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError,
    ) as error:  # fmt: skip
        raise Place(path).damaged("an npz file", error) from None
    return {
        name.removesuffix(".npy"): _array(path, content)
        for name, content in members.items()
        if name.endswith(".npy")
    }


def is_poses(value: object, widths: Set[int]) -> TypeGuard[NDArray[Any]]:
    """Return whether a value is an array of numbers: frames x joints x one of the widths."""
    if not isinstance(value, np.ndarray) or value.ndim != 3:  # noqa: PLR2004 - axes
        return False
    return value.dtype.kind in "fiu" and value.shape[-1] in widths


def _array(path: Path, content: bytes) -> Any:  # noqa: ANN401 - any content of the file
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        header = "read_array_header_1_0" if version == (1, 0) else "read_array_header_2_0"
        _, _, dtype = getattr(np.lib.format, header)(stream)
        if dtype.hasobject:
            array = unpickle(content[stream.tell() :], path)
            holds_objects = isinstance(array, np.ndarray) and array.dtype.hasobject
            return array.tolist() if holds_objects else array
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except ReadError:
        raise
    except (ValueError, EOFError, TypeError, MemoryError, SyntaxError) as error:
        raise Place(path).damaged("an npz file", error) from None
