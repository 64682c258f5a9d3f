"""Text files, whole or their beginning."""

from pathlib import Path

from selfsup_lifting.read_errors import Place


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a byte-order mark.

    Raises:
        ReadError: If it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Place(path).error(
            f"not a text file in UTF-8: {error.reason} at byte {error.start}"
        ) from None


def beginning(path: Path, suffix: str, characters: int = 4096) -> str:
    """Read the first characters of a text file; empty unless it is a file with the suffix."""
    if path.suffix != suffix or not path.is_file():
        return ""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.read(characters)
