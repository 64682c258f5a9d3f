"""Numbers, text, containers and arrays from a pickle, without running code."""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfsup_lifting.read_errors import Place

# The largest number of elements that a pickled array may have.
LARGEST_ARRAY = 2**32
# Stands for the class `numpy.ndarray`; only `_reconstruct` makes arrays.
NDARRAY = "ndarray"


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Replace `_codecs.encode`, with which old pickles store bytes."""
    if encoding not in {"latin1", "latin-1"}:
        raise pickle.UnpicklingError(f"bytes in {encoding} are not allowed")
    return text.encode("latin1")


def _reconstruct(subtype: object, shape: tuple[int, ...], kind: bytes) -> NDArray[Any]:
    """Replace NumPy's `_reconstruct`: make an array, which its state then fills."""
    if subtype is not NDARRAY or int(np.prod(shape, dtype=object)) > LARGEST_ARRAY:
        raise pickle.UnpicklingError(f"an array of {subtype} and shape {shape} is not allowed")
    return np.ndarray(shape, dtype=kind.decode() if isinstance(kind, bytes) else kind)


def _from_buffer(
    buffer: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: str
) -> NDArray[Any]:
    """Replace NumPy's `_frombuffer`, with which pickles of protocol 5 store arrays."""
    flat = np.frombuffer(buffer, dtype=dtype)
    return flat.reshape(shape, order="F" if order == "F" else "C").copy()


def _scalar(dtype: np.dtype[Any], content: bytes) -> Any:  # noqa: ANN401 - any number
    """Replace NumPy's `scalar`: one number."""
    if dtype.hasobject:
        raise pickle.UnpicklingError("a scalar object is not allowed")
    return np.frombuffer(content, dtype=dtype, count=1)[0]


# The functions and classes that a pickle may use, with their replacements.
_ALLOWED: Mapping[tuple[str, str], Any] = MappingProxyType(
    {
        ("numpy", "ndarray"): NDARRAY,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _encode,
        ("__builtin__", "bytes"): lambda: b"",  # the call with which old pickles store empty bytes
    }
    | {
        (f"{core}.multiarray", name): replacement
        for core in ("numpy.core", "numpy._core")
        for name, replacement in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    }
    | {(f"{core}.numeric", "_frombuffer"): _from_buffer for core in ("numpy.core", "numpy._core")}
)


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that refuses every function and class but those in `_ALLOWED`."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - a replacement
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None


def unpickle(content: bytes, source: Path) -> Any:  # noqa: ANN401 - any content of the pickle
    """Read numbers, text, lists, tuples, dicts and arrays from a pickle.

    Args:
        content: The pickle.
        source: The file that it comes from, for the message of an error.

    Returns:
        The object in the pickle.

    Raises:
        ReadError: If it is damaged, or uses any other function or class, which could run code.
    """
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except (
        pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError,
        ValueError, OverflowError, MemoryError, UnicodeDecodeError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())
        raise Place(source).error(
            f"its pickle is damaged, or could run code and is refused: {reason}"
        ) from None
