"""How large the content of a packed file, or of one with holes, may become in memory."""

import os
from pathlib import Path

from multiview_geom.camera_files.file_kinds import LONGEST_SIGNATURE, POINTER, binary_kind
from selfsup_lifting.read_errors import Place

# A file of zeros, or of an array with one fill value, can be a thousandth of its content. Files of
# real keypoints are at most ten times smaller than theirs.
ALWAYS_ALLOWED = 64 * 2**20
LARGEST_GROWTH = 50
EMPTY = "an empty file; likely cause: a full disk, or a copy that was not finished"


def largest_content(path: Path) -> int:
    """Return how many bytes the content of a file may have."""
    return ALWAYS_ALLOWED + LARGEST_GROWTH * path.stat().st_size


def kind_of_bytes(path: Path) -> str | None:
    """Return what a file is by its first bytes; None if they are not known."""
    with path.open("rb") as file:
        start = file.read(LONGEST_SIGNATURE)
    return binary_kind(start) if start else EMPTY


def require_written(path: Path) -> None:
    """Raise a ReadError if a file is a pointer, or if parts of a large one were never written.

    What was never written takes no room on the disk, is read as zeros, and takes all of its size
    in memory.
    """
    if path.exists() and not path.is_file():
        got = "a folder" if path.is_dir() else "a pipe or a device"
        raise Place(path).error(f"expected a file, got {got}")
    if path.is_file() and kind_of_bytes(path) == POINTER:
        raise Place(path).error(f"expected a file with data, got {POINTER}")
    size = path.stat().st_size
    if size > ALWAYS_ALLOWED and (hole := _first_hole(path, size)) < size:
        raise Place(path).error(
            f"expected {size / 1e6:.0f} MB of content, but after {hole} bytes nothing was written; "
            "a copy was not finished, or the file is made to fill the memory"
        )


def read_content(path: Path) -> bytes:
    """Read a whole file, and no more than its size: some files of the system have no end.

    Raises:
        ReadError: If it is empty, is a pointer, or has parts that were never written.
    """
    require_written(path)
    with path.open("rb") as file:
        content = file.read(path.stat().st_size)
    if not content:
        raise Place(path).error(f"expected a file with data, got {EMPTY}")
    return content


def _first_hole(path: Path, size: int) -> int:
    """Return where the first hole of a file begins; its end if the system cannot tell."""
    if not hasattr(os, "SEEK_HOLE"):
        return size
    with path.open("rb") as file:
        return os.lseek(file.fileno(), 0, os.SEEK_HOLE)


def require_unpackable(path: Path, content: int, what: str) -> None:
    """Raise a ReadError if a file's content would be far larger than the file.

    Args:
        path: The file.
        content: The size of its content [bytes].
        what: What has this size, for the message of the error.
    """
    if content > largest_content(path):
        raise Place(path).error(
            f"expected at most {largest_content(path) / 1e6:.0f} MB in a file of this size, but "
            f"{what} would take {content / 1e6:.0f} MB; the file is damaged or made to fill the "
            "memory"
        )
