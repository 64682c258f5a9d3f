"""Arrays out of a pickle that may run nothing."""

import io
import pickle
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from selfsup_lifting.recording import ReadError

# A pickled array may not promise more than this many bytes.
LARGEST_ARRAY = 2**32

OBJECT_ARRAY_VERSIONS = ((1, 0), (2, 0), (3, 0))


# Stands for the class itself: arrays are made by `_reconstruct` alone.
NDARRAY = "ndarray"


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stand in for `_codecs.encode`, which old pickles write bytes with."""
    if encoding not in {"latin1", "latin-1"}:
        raise pickle.UnpicklingError(f"bytes in {encoding} are not allowed")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Stand in for `bytes`, which old pickles write empty bytes with."""
    return b""


def _reconstruct(subtype: object, shape: tuple[int, ...], kind: bytes) -> NDArray[Any]:
    """Stand in for numpy's own: only an empty array, which its state then fills."""
    if subtype is not NDARRAY or int(np.prod(shape, dtype=object)) > LARGEST_ARRAY:
        raise pickle.UnpicklingError(f"an array of {subtype} and shape {shape} is not allowed")
    return np.ndarray(shape, dtype=kind.decode() if isinstance(kind, bytes) else kind)


def _from_buffer(
    buffer: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: str
) -> NDArray[Any]:
    """Stand in for numpy's own, which pickles of protocol 5 write arrays with."""
    flat = np.frombuffer(buffer, dtype=dtype)
    return flat.reshape(shape, order="F" if order == "F" else "C").copy()


def _scalar(dtype: np.dtype[Any], content: bytes) -> Any:  # noqa: ANN401 - any number
    """Stand in for numpy's own: one number."""
    if dtype.hasobject:
        raise pickle.UnpicklingError("a scalar object is not allowed")
    return np.frombuffer(content, dtype=dtype, count=1)[0]


# What a pickle may name; it cannot call what is no function here.
_ALLOWED: Mapping[tuple[str, str], Any] = MappingProxyType(
    {
        ("numpy", "ndarray"): NDARRAY,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _encode,
        ("__builtin__", "bytes"): _no_bytes,
    }
    | {
        (f"{core}.multiarray", name): stand_in
        for core in ("numpy.core", "numpy._core")
        for name, stand_in in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    }
    | {(f"{core}.numeric", "_frombuffer"): _from_buffer for core in ("numpy.core", "numpy._core")}
)


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows numbers, text, containers and arrays, and nothing that runs."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - a stand-in
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None


def unpickle(content: bytes, source: Path) -> Any:  # noqa: ANN401 - whatever the pickle holds
    """Read numbers, text, lists, tuples, dicts and arrays out of a pickle.

    Args:
        content: The pickle.
        source: Where it comes from, for the sentence of an error.

    Returns:
        What it holds.

    Raises:
        ReadError: If it is damaged, or names anything else: such a file could run code.
    """
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except (
        pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError,
        ValueError, OverflowError, MemoryError, UnicodeDecodeError,
    ) as error:  # fmt: skip
        told = " ".join(str(error).split())
        raise ReadError(f"{source}: its pickle is damaged or not harmless: {told}") from None


def load_npz_with_objects(path: Path) -> dict[str, Any]:
    """Read an `.npz` in which some arrays may be pickled objects.

    Args:
        path: The file.

    Returns:
        Plain arrays, and for a pickled array its only object, or a list of them.

    Raises:
        ReadError: If it is no `.npz`, is damaged, or holds a pickle that is not harmless.
    """
    try:
        with ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (
        BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError,
    ) as error:  # fmt: skip
        raise ReadError(f"{path} is no npz, or is damaged: {error}") from None
    return {
        name.removesuffix(".npy"): _array(path, content)
        for name, content in members.items()
        if name.endswith(".npy")
    }


def _array(path: Path, content: bytes) -> Any:  # noqa: ANN401 - whatever the file holds
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        reader = (
            np.lib.format.read_array_header_1_0
            if version == OBJECT_ARRAY_VERSIONS[0]
            else np.lib.format.read_array_header_2_0
        )
        _, _, dtype = reader(stream)
        if dtype.hasobject:
            return _objects(unpickle(content[stream.tell() :], path))
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except ReadError:
        raise
    except (ValueError, EOFError, TypeError, MemoryError, SyntaxError) as error:
        raise ReadError(f"{path} is damaged: {error}") from None


def _objects(array: Any) -> Any:  # noqa: ANN401 - whatever the pickle holds
    """Unwrap the array that numpy pickles objects in."""
    if isinstance(array, np.ndarray) and array.dtype.hasobject:
        return array.item() if array.ndim == 0 else array.tolist()
    return array
