"""NumPy's files: the arrays of `.npz` archives, even if pickled, and the array of a `.npy`."""

import zlib
from collections.abc import Sequence, Set
from math import prod
from pathlib import Path
from typing import Any, TypeGuard
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from selfsup_lifting.parse.safe_pickle import unpickle
from selfsup_lifting.parse.unpacking import require_unpackable
from selfsup_lifting.read_errors import Place, ReadError


def array_names(path: Path) -> frozenset[str]:
    """Return the names of the arrays in an `.npz` file; none if the path is no zip archive."""
    if not path.is_file():
        return frozenset()
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
    except (BadZipFile, OSError, NotImplementedError):
        return frozenset()
    return frozenset(name.removesuffix(".npy") for name in names if name.endswith(".npy"))


def load_npz(path: Path, *names: str) -> dict[str, Any]:
    """Read arrays of an `.npz` file; some may be pickled objects.

    Args:
        path: The file.
        names: The arrays to read, those of them that the file has.

    Returns:
        Plain arrays; for a pickled array its only object, or nested lists of its objects.

    Raises:
        ReadError: If it is not an `.npz` file, is damaged, holds a pickle that could run code, or
            unpacks to far more than its size.
    """
    try:
        with ZipFile(path) as archive:
            members = [each for each in archive.infolist() if each.filename in _members(names)]
            require_unpackable(path, sum(each.file_size for each in members), "its arrays")
            return {
                each.filename.removesuffix(".npy"): _array(path, archive, each) for each in members
            }
    except (ReadError, FileNotFoundError):
        raise
    except (
        BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError,
        TypeError, MemoryError, SyntaxError,
    ) as error:  # fmt: skip
        raise Place(path).damaged("an npz file", error) from None


def _members(names: Sequence[str]) -> frozenset[str]:
    return frozenset(f"{name}.npy" for name in names)


def is_poses(value: object, widths: Set[int]) -> TypeGuard[NDArray[Any]]:
    """Return whether a value is an array of numbers: frames x joints x one of the widths."""
    if not isinstance(value, np.ndarray) or value.ndim != 3:  # noqa: PLR2004 - axes
        return False
    return value.dtype.kind in "fiu" and value.shape[-1] in widths


def load_npy(path: Path) -> NDArray[Any]:
    """Read the array of a `.npy` file.

    Raises:
        ReadError: If it is no such file, is damaged, or holds pickled objects.
    """
    try:
        with path.open("rb") as stream:
            shape, dtype = _header(stream)
            if dtype.hasobject:
                raise Place(path).error("expected an array of numbers, got pickled objects")
            _require_size(Place(path), path.stat().st_size - stream.tell(), shape, dtype)
            stream.seek(0)
            array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    except (ReadError, FileNotFoundError):
        raise
    except (OSError, EOFError, ValueError, TypeError, MemoryError, SyntaxError) as error:
        raise Place(path).damaged("a NumPy array", error) from None
    return array


def _array(path: Path, archive: ZipFile, member: ZipInfo) -> Any:  # noqa: ANN401 - any content
    with archive.open(member) as stream:
        shape, dtype = _header(stream)
        if dtype.hasobject:
            return unpickle(stream.read(), path)
        size = member.file_size - stream.tell()
    _require_size(Place(path, member.filename), size, shape, dtype)
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:  # noqa: ANN401 - any stream
    version = np.lib.format.read_magic(stream)
    header = "read_array_header_1_0" if version == (1, 0) else "read_array_header_2_0"
    shape, _, dtype = getattr(np.lib.format, header)(stream)
    return shape, dtype


def _require_size(place: Place, size: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    expected = prod(shape) * dtype.itemsize
    if size != expected:
        raise place.error(f"expected {expected} bytes of an array of shape {shape}, got {size}")
