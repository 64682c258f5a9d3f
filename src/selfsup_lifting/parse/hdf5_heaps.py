"""The heaps of an HDF5 file, which hold its texts: the HDF5 library never ends on a damaged one."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from struct import unpack_from

from selfsup_lifting.read_errors import Place

# The beginning of a heap (HDF5 file format 3.0, section III.E), of a file and of a heap's object.
HEAP, FILE = b"GCOL\x01\0\0\0", b"\x89HDF\r\n\x1a\n"
HEADER = 16
# Where a file says how many bytes its lengths have, by the version of its superblock.
VERSION_AT, LENGTHS_AT, WIDTH = 8, {0: 14, 1: 14, 2: 10, 3: 10}, 8


def require_sound_heaps(path: Path) -> None:
    """Raise a ReadError if the objects of a heap do not fill it, such as one that is zeroed.

    The HDF5 library steps from object to object by their sizes, and for ever by a size of zero.
    """
    if path.stat().st_size < HEADER:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[: len(FILE)] != FILE:
            return
        width = LENGTHS_AT.get(content[VERSION_AT])
        if width is None or content[width] != WIDTH:
            return
        for start in _heaps(content):
            if not _is_sound(content, start):
                raise Place(path, f"byte {start}").error(
                    "the texts of this HDF5 file are damaged; likely cause: an incomplete copy"
                )


def _heaps(content: mmap.mmap) -> Iterator[int]:
    start = content.find(HEAP)
    while start >= 0:
        yield start
        start = content.find(HEAP, start + len(HEAP))


def _is_sound(content: mmap.mmap, start: int) -> bool:
    if start + HEADER > len(content):
        return False
    end = min(start + unpack_from("<Q", content, start + len(HEAP))[0], len(content))
    at = start + HEADER
    while at + HEADER <= end:
        index, size = unpack_from("<H6xQ", content, at)
        # The object 0 is the free space, and its size includes its header.
        step = size if index == 0 else HEADER + (size + 7) // 8 * 8
        if not HEADER <= step <= end - at:
            return False
        at += step
    return True
