"""The matrices of a MATLAB file of version 5: real numbers, nothing else, and never very many."""

import struct
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from multiview_geom.camera_files.place import FilePlace

HEADER, TAG = 128, 8
SIGNATURE = b"MATLAB 5.0 MAT-file"
LARGEST_CONTENT = 4 * 2**20
"""Bytes of a file, and of a variable once it is unpacked."""
MATRIX, COMPRESSED = 14, 15
NUMERIC_CLASSES = range(6, 16)
"""Classes double, single and the integers; cells, structures and texts are passed over."""
CODES = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
"""Types of numbers in the file; MATLAB stores whole numbers in the smallest type."""


def matlab_matrices(path: Path) -> dict[str, Tensor]:
    """Return the matrices of numbers of a file by their names.

    Raises:
        CameraFileError: If it is no MATLAB file of version 5, or is damaged or far too large.
    """
    place = FilePlace(path)
    if path.stat().st_size > LARGEST_CONTENT:
        raise place.expected(f"at most {LARGEST_CONTENT} bytes", f"{path.stat().st_size} bytes")
    content = path.read_bytes()
    if not content.startswith(SIGNATURE):
        kind = content[:19].decode("ascii", "replace")
        raise place.expected("a MATLAB file of version 5, as `save -v7` writes it", kind)
    order = "<" if content[HEADER - 2 : HEADER] == b"IM" else ">"
    try:
        found = [_variable(kind, data, order) for kind, data in _elements(content[HEADER:], order)]
    except (struct.error, ValueError, zlib.error) as reason:
        raise place.expected("a MATLAB file of version 5", f"a damaged one: {reason}") from None
    return {name: matrix for name, matrix in found if matrix is not None}


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


def _variable(kind: int, content: bytes, order: str) -> tuple[str, Tensor | None]:
    if kind == COMPRESSED:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(content, LARGEST_CONTENT)
        if unpacker.unconsumed_tail:
            raise ValueError(f"a variable has more than {LARGEST_CONTENT} bytes")
        return _variable(*next(_elements(content, order)), order) if content else ("", None)
    if kind != MATRIX:
        return "", None
    (_, flags), (_, sizes), (_, name), *values = _elements(content, order)
    (flag,) = struct.unpack_from(f"{order}I", flags)
    if flag & 0xFF not in NUMERIC_CLASSES or not values:
        return name.decode("ascii", "replace"), None
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    return name.decode("ascii", "replace"), _numbers(*values[0], order, shape)


def _numbers(kind: int, content: bytes, order: str, shape: tuple[int, ...]) -> Tensor:
    """Return numbers, which MATLAB stores column by column, as a matrix."""
    code = CODES.get(kind)
    if code is None:
        raise ValueError(f"numbers have the unknown type {kind}")
    row = struct.unpack(f"{order}{len(content) // struct.calcsize(f'<{code}')}{code}", content)
    if prod(shape) != len(row):
        raise ValueError(f"a matrix of {shape} has {len(row)} numbers")
    return torch.tensor(row, dtype=torch.float64).reshape(shape[::-1]).mT
