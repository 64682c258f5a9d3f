"""How large the content of a packed file may become in memory."""

from pathlib import Path

from selfsup_lifting.read_errors import Place

# A file of zeros, or of an array with one fill value, can be a thousandth of its content. Files of
# real keypoints are at most ten times smaller than theirs.
ALWAYS_ALLOWED = 64 * 2**20
LARGEST_GROWTH = 50


def largest_content(path: Path) -> int:
    """Return how many bytes the content of a file may have."""
    return ALWAYS_ALLOWED + LARGEST_GROWTH * path.stat().st_size


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
