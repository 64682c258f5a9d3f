"""MATLAB files of version 5."""

import zlib
from pathlib import Path
from struct import unpack_from
from typing import Any

from numpy.typing import NDArray

from selfsup_lifting.parse.unpacking import largest_content, read_content, require_unpackable
from selfsup_lifting.read_errors import Place, listed

# The layout of version 5: a header, then variables with a tag of their type and their size.
_HEADER, _TAG, _COMPRESSED = 128, 8, 15
_PIECE = 2**20


def matlab_variable(file: Path, name: str, *, default: NDArray[Any] | None = None) -> NDArray[Any]:
    """Read a variable of a `.mat` file.

    Args:
        file: The file, of version 5.
        name: The name of the variable.
        default: What to return if the file lacks the variable; by default it is refused.

    Returns:
        The array; an array of objects if the variable is a cell.

    Raises:
        ReadError: If the file has another version, is damaged, or lacks the variable.
    """
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    require_unpackable(file, _unpacked_bytes(file), "its variables")
    try:
        content = loadmat(file, variable_names=[name])
    except NotImplementedError:
        raise Place(file).error(
            "expected a MATLAB file of version 5, as `save -v7` writes it, got version 7.3"
        ) from None
    except (
        OSError, ValueError, TypeError, LookupError, MatReadError, MemoryError, EOFError,
        zlib.error,
    ) as error:  # fmt: skip
        raise Place(file).damaged("a MATLAB file of version 5", error) from None
    if name not in content and default is not None:
        return default
    if name not in content:
        known = listed(variable for variable, *_ in whosmat(file))
        raise Place(file).error(f"expected the variable `{name}`, got {known or 'none'}")
    variable: NDArray[Any] = content[name]
    return variable


def _unpacked_bytes(file: Path) -> int:
    """Return the size of the compressed variables once they are unpacked, or more than allowed."""
    content, total, at = read_content(file), 0, _HEADER
    little = content[_HEADER - 2 : _HEADER] == b"IM"
    while at + _TAG <= len(content) and total <= largest_content(file):
        kind, size = unpack_from("<II" if little else ">II", content, at)
        at += _TAG + size
        if kind == _COMPRESSED:
            total += _inflated(content[at - size : at], largest_content(file))
    return total


def _inflated(packed: bytes, most: int) -> int:
    """Return how many bytes a compressed variable has, counted up to a limit."""
    unpacker, count = zlib.decompressobj(), 0
    while packed and count <= most:
        try:
            count += len(unpacker.decompress(packed, _PIECE))
        except zlib.error:
            return count  # scipy says what is damaged
        packed = unpacker.unconsumed_tail
    return count
