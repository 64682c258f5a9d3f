"""NumPy's dtypes, numbers and arrays in a pickle, made from bytes whose number is checked."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pickle import UnpicklingError
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Booleans, numbers, text and objects; records, dates and empty text are refused.
_DTYPE = re.compile(r"[|<>=]?([biufc][1-9]\d?|[SU][1-9]\d{0,3}|O[48]?|\?)")
_BYTE_ORDERS = "<>"
_MOST_AXES = 32
_OPTION = object()


@dataclass(frozen=True)
class Name:
    """A function or class that a pickle names; none is ever called."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Kind:
    """A dtype, whose byte order comes after it."""

    dtype: np.dtype[Any]

    def complete(self, state: Any) -> None:  # noqa: ANN401 - any content of the pickle
        """Set the byte order; fields, subarrays and dates are refused."""
        _, order, *details = state
        if any(detail is not None for detail in details[:3]):
            raise UnpicklingError("an array of records is not allowed")
        if order in _BYTE_ORDERS:
            self.dtype = self.dtype.newbyteorder(order)


@dataclass(eq=False)
class Unfilled:
    """An array whose shape and content come after it; `memos` says where it is remembered."""

    memos: list[int] = field(default_factory=list)


def filled(state: Any) -> Any:  # noqa: ANN401 - any content of the pickle
    """Return the array that a state describes; nested lists if it is one of objects.

    Raises:
        UnpicklingError: If its shape does not fit its content.
    """
    _, shape, kind, is_fortran, content = state
    if not isinstance(kind, Kind):
        raise UnpicklingError("an array without a dtype is not allowed")
    if kind.dtype.hasobject:
        if not isinstance(content, list):
            raise UnpicklingError("an array of objects without a list is not allowed")
        return _nested(content, _checked(shape, len(content), "objects"))
    return _array(content, kind, shape, "F" if is_fortran else "C")


def _array(content: Any, kind: Kind, shape: Any, order: Any) -> NDArray[Any]:  # noqa: ANN401 - any content of the pickle
    """Return an array of numbers or text."""
    # The text of Python 2 is bytes.
    raw = content.encode("latin1") if isinstance(content, str) else content
    count, rest = divmod(len(raw), kind.dtype.itemsize)
    if rest or kind.dtype.hasobject:
        raise UnpicklingError(f"{len(raw)} bytes are no array of {kind.dtype}")
    sizes = _checked(shape, count, "values")
    flat = np.frombuffer(raw, kind.dtype) if count else np.empty(0, kind.dtype)
    return flat.reshape(sizes, order="F" if order == "F" else "C").copy()


def _checked(shape: Any, count: int, what: str) -> Any:  # noqa: ANN401 - the shape
    """Return a shape if it is one of so many values."""
    whole = isinstance(shape, tuple) and len(shape) <= _MOST_AXES
    if not whole or not all(isinstance(size, int) and 0 <= size < 2**62 for size in shape):
        raise UnpicklingError(f"an array of shape {shape!s:.60} is not allowed")
    if prod(shape) != count:
        raise UnpicklingError(f"an array of shape {shape} cannot have {count} {what}")
    return shape


def _nested(items: list[Any], shape: tuple[int, ...]) -> Any:  # noqa: ANN401 - nested lists, or one object
    """Arrange objects as nested lists."""
    for size in reversed(shape[1:]):
        items = [items[at : at + size] for at in range(0, len(items), max(size, 1))]
    return items if shape else items[0]


def _unfilled(kind: Any, *_: Any) -> Unfilled:  # noqa: ANN401 - any content of the pickle
    """Stand for NumPy's `_reconstruct`: an array, which its state then fills."""
    if kind != Name("numpy", "ndarray"):
        raise UnpicklingError(f"an array of {kind!s:.60} is not allowed")
    return Unfilled()


def _scalar(kind: Any, content: Any = _OPTION, *_: Any) -> Any:  # noqa: ANN401 - any content of the pickle
    """Stand for NumPy's `scalar`: one number."""
    if not isinstance(kind, Kind) or not isinstance(content, str | bytes):
        raise UnpicklingError("a number that is not NumPy's is not allowed")
    return _array(content, kind, (), "C")[()]


def _dtype(code: Any, *_: Any) -> Kind:  # noqa: ANN401 - any content of the pickle
    """Stand for `numpy.dtype`."""
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise UnpicklingError(f"an array of dtype {code!s:.60} is not allowed")
    return Kind(np.dtype(code))


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> NDArray[Any]:  # noqa: ANN401 - any content of the pickle
    """Stand for NumPy's `_frombuffer`, with which pickles of protocol 5 store arrays."""
    if not isinstance(kind, Kind) or not isinstance(content, bytes | bytearray):
        raise UnpicklingError("an array without bytes is not allowed")
    return _array(content, kind, shape, order)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:  # noqa: ANN401 - any content of the pickle
    """Stand for `_codecs.encode`, with which old pickles store bytes."""
    if encoding not in {"latin1", "latin-1"} or not isinstance(text, str):
        raise UnpicklingError(f"bytes in {encoding!s:.60} are not allowed")
    return text.encode("latin1")


_STAND_INS: Sequence[tuple[str, str, Callable[..., Any]]] = (
    ("numpy", "dtype", _dtype),
    ("numpy.core.multiarray", "_reconstruct", _unfilled),
    ("numpy._core.multiarray", "_reconstruct", _unfilled),
    ("numpy.core.multiarray", "scalar", _scalar),
    ("numpy._core.multiarray", "scalar", _scalar),
    ("numpy.core.numeric", "_frombuffer", _from_buffer),
    ("numpy._core.numeric", "_frombuffer", _from_buffer),
    ("_codecs", "encode", _encode),
    ("__builtin__", "bytes", lambda: b""),  # with which old pickles store empty bytes
)
FUNCTIONS: Mapping[Name, Callable[..., Any]] = MappingProxyType(
    {Name(module, name): stand_in for module, name, stand_in in _STAND_INS}
)
"""What stands for each function that a pickle may call."""

NAMES = frozenset({*FUNCTIONS, Name("numpy", "ndarray")})
"""What a pickle may name."""
