"""Write `.npz` files array by array and part by part, so that large arrays need little memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from selfsup_lifting.mapped import release_pages

# Where the data of an array begin in the file, so that a mapped array is aligned [bytes].
ALIGNMENT = 64
# What is written at once [bytes].
PART_BYTES = 2**24
# The parts of a zip file before the data of a member: its header, with the extension for large
# members that `force_zip64` adds, and the header of an extra field, for which Android's `zipalign`
# has the same use.
HEADER, ZIP64, FIELD = 30, 20, 4
PADDING = 0xD935


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]], *, compressed: bool) -> None:
    """Write arrays as an `.npz` file.

    Args:
        path: The file; it is replaced if it exists.
        arrays: The arrays by name.
        compressed: Whether they are compressed; otherwise they can be mapped into memory.
    """
    with ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            member = ZipInfo(f"{name}.npy")
            member.compress_type = ZIP_DEFLATED if compressed else ZIP_STORED
            member.extra = _padding(archive, member)
            with archive.open(member, "w", force_zip64=True) as stream:
                _write_array(stream, array)


def _padding(archive: ZipFile, member: ZipInfo) -> bytes:
    """Return an extra field that moves the data of a member to a multiple of the alignment."""
    start = archive.start_dir + HEADER + ZIP64 + FIELD + len(member.filename)
    size = -start % ALIGNMENT
    return PADDING.to_bytes(2, "little") + size.to_bytes(2, "little") + bytes(size)


def _write_array(stream: Any, array: NDArray[Any]) -> None:  # noqa: ANN401 - any stream
    shape, descr = array.shape, np.lib.format.dtype_to_descr(array.dtype)
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    rows = array.reshape(1) if array.ndim == 0 else array
    at_once = max(1, PART_BYTES // max(1, rows[:1].nbytes))
    for first in range(0, len(rows), at_once):
        stream.write(np.ascontiguousarray(rows[first : first + at_once]).tobytes())
        release_pages()
