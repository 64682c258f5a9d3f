"""The variables of a MATLAB file of version 5: numbers, texts, cells and single structures."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from multiview_geom.camera_files.place import FilePlace

HEADER, TAG = 128, 8
SIGNATURE = b"MATLAB 5.0 MAT-file"
LARGEST_FILE, LARGEST_VARIABLE = 64 * 2**20, 4 * 2**20
"""Bytes of a file, and of a variable once it is unpacked; a larger variable is passed over."""
DEEPEST = 4
"""Deepest nesting of cells and structures; one that holds cameras has two levels."""
MATRIX, COMPRESSED = 14, 15
CELL, STRUCTURE, TEXT, OPAQUE, NUMBERS = 1, 2, 4, 17, range(6, 16)
"""Classes of variables that are read, or named; functions and old objects are passed over."""
NOT_READ = {STRUCTURE: "an array of structures", 5: "a sparse matrix, not a full one"}
MARKS = {0x800: "complex numbers", 0x200: "true and false, not numbers"}
"""Marks of numbers that are not read."""
CODES = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
"""Types of numbers in the file; MATLAB stores whole numbers in the smallest type."""

Element = tuple[int, bytes]


@dataclass(frozen=True, repr=False)
class Opaque:
    """A value that is not read, such as an object of a class of MATLAB, which only MATLAB reads.

    Attributes:
        kind: The name of the class, or what it is.
    """

    kind: str

    def __repr__(self) -> str:
        """Return what it is, for the sentence that refuses it."""
        return self.kind


def matlab_variables(path: Path, *wanted: str) -> dict[str, object]:
    """Return those of the wanted variables that a file has, by their names.

    Returns:
        Numbers as matrices in float64, texts, cells as lists, structures as tables, and what
        is not read as `Opaque`; without wanted names, all variables.

    Raises:
        CameraFileError: If it is no MATLAB file of version 5, or is damaged or far too large.
    """
    place = FilePlace(path)
    if path.stat().st_size > LARGEST_FILE:
        raise place.expected(f"at most {LARGEST_FILE} bytes", f"{path.stat().st_size} bytes")
    content = path.read_bytes()
    if not content.startswith(SIGNATURE):
        kind = content[: len(SIGNATURE)].decode("ascii", "replace")
        raise place.expected("a MATLAB file of version 5, as `save -v7` writes it", kind)
    order = "<" if content[HEADER - 2 : HEADER] == b"IM" else ">"
    try:
        return _found(content[HEADER:], order, wanted)
    except (struct.error, ValueError, zlib.error) as reason:
        raise place.expected("a MATLAB file of version 5", f"a damaged one: {reason}") from None


def _found(content: bytes, order: str, wanted: Sequence[str]) -> dict[str, object]:
    """Return the wanted variables; only these are kept, and all together unpack to a limit."""
    found, total = {}, 0
    for kind, data in _elements(content, order):
        kind, data = _unpacked(kind, data, order)  # noqa: PLW2901 - the same element
        total += len(data)
        if total > LARGEST_FILE:
            raise ValueError(f"its variables take more than {LARGEST_FILE} bytes")
        if len(data) < LARGEST_VARIABLE:
            name, value = _matrix(kind, data, order, DEEPEST, wanted)
            if value is not None and name in found:
                raise ValueError(f"`{name}` is there twice")
            if value is not None:
                found[name] = value
    return found


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each element; a short one stands in four bytes of its tag."""
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        start = at + TAG
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, at + TAG // 2
        if start + size > len(content):
            raise ValueError("it is cut off")
        yield kind, content[start : start + size]
        ends = start + size
        at = ends if kind == COMPRESSED else ends + -ends % TAG


def _unpacked(kind: int, content: bytes, order: str) -> Element:
    """Return a variable without its compression; a very large one is cut off, and passed over."""
    if kind != COMPRESSED:
        return kind, content
    content = zlib.decompressobj().decompress(content, LARGEST_VARIABLE)
    if len(content) == LARGEST_VARIABLE:
        return MATRIX, content
    return next(_elements(content, order), (MATRIX, b""))


def _matrix(
    kind: int, content: bytes, order: str, depth: int, wanted: Sequence[str] = ()
) -> tuple[str, object]:
    """Return the name and the value of a variable; None for kinds that are passed over."""
    if kind != MATRIX or not content:
        return "", None
    if depth == 0:
        raise ValueError(f"cells and structures are deeper than {DEEPEST}")
    (_, flags), *parts = _elements(content, order)
    (flag,) = struct.unpack_from(f"{order}I", flags)
    if flag & 0xFF == OPAQUE:
        return _opaque(parts)
    (_, sizes), (_, packed), *values = parts
    name = packed.decode("ascii", "replace")
    if wanted and name not in wanted:
        return name, None
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    if min(shape, default=0) < 0:
        raise ValueError(f"`{name}` has the sizes {shape}")
    for mark, what in MARKS.items():
        if flag & mark and flag & 0xFF in NUMBERS:
            return name, Opaque(what)
    return name, _value(flag & 0xFF, shape, values, order, depth - 1)


def _opaque(parts: Sequence[Element]) -> tuple[str, Opaque]:
    """Return the name and the class of an object, whose content only MATLAB knows."""
    (_, name), (_, _system), (_, kind), *_ = parts
    return name.decode("ascii", "replace"), Opaque(kind.decode("ascii", "replace"))


def _value(
    kind: int, shape: tuple[int, ...], values: Sequence[Element], order: str, depth: int
) -> object:
    if kind in NUMBERS and values:
        return _numbers(*values[0], order, shape)
    if kind == TEXT and values:
        return values[0][1].replace(b"\0", b"").decode("utf-8", "replace")
    if kind == CELL:
        return [_matrix(*value, order, depth)[1] for value in values]
    if kind == STRUCTURE and prod(shape) == 1:
        (_, width), (_, names), *fields = values
        (length,) = struct.unpack_from(f"{order}i", width)
        known = [names[at : at + length] for at in range(0, len(names), max(1, length))]
        keys = [name.partition(b"\0")[0].decode("ascii", "replace") for name in known]
        parsed = [_matrix(*field, order, depth)[1] for field in islice(fields, len(keys))]
        return dict(zip(keys, parsed, strict=True))
    return Opaque(NOT_READ[kind]) if kind in NOT_READ else None


def _numbers(kind: int, content: bytes, order: str, shape: tuple[int, ...]) -> Tensor:
    """Return numbers, which MATLAB stores column by column, as a matrix."""
    code = CODES.get(kind)
    if code is None:
        raise ValueError(f"numbers have the unknown type {kind}")
    row = struct.unpack(f"{order}{len(content) // struct.calcsize(f'<{code}')}{code}", content)
    if prod(shape) != len(row):
        raise ValueError(f"a matrix of {shape} has {len(row)} numbers")
    return torch.tensor(row, dtype=torch.float64).reshape(shape[::-1]).mT
