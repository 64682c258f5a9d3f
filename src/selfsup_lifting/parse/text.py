"""Text files in UTF-8 or UTF-16, whole or their beginning."""

from pathlib import Path

from selfsup_lifting.parse.files_read import report_read
from selfsup_lifting.parse.unpacking import read_content
from selfsup_lifting.read_errors import Place

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
NUL = "\0"
NEVER_WRITTEN = (
    "zeros (NUL); likely cause: a power cut or a full disk while it was written, or UTF-16 without "
    "its mark"
)


def read_text(path: Path, errors: str = "strict") -> str:
    """Read a text file in UTF-8, with or without a byte-order mark, or in UTF-16 with one.

    Args:
        path: The file.
        errors: What becomes of bytes that are no text, as in `bytes.decode`.

    Raises:
        ReadError: If it is neither, is empty, or was not written to its end.
    """
    content = read_content(path)
    try:
        text = content.decode(encoding_of(path), errors)
    except UnicodeDecodeError as error:
        raise Place(path).error(
            f"not a text file in UTF-8: {error.reason} at byte {error.start}"
        ) from None
    report_read(path)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if NUL in text:
        line = text.count("\n", 0, text.index(NUL)) + 1
        raise Place(path, f"line {line}").error(f"expected text, got {NEVER_WRITTEN}")
    return text


def beginning(path: Path, *suffixes: str, characters: int = 4096) -> str:
    """Read the first characters of a text file; empty unless it is a file with one suffix."""
    if path.suffix.lower() not in suffixes or not path.is_file():
        return ""
    with path.open(encoding=encoding_of(path), errors="replace") as file:
        return file.read(characters)


def encoding_of(path: Path) -> str:
    """Return UTF-16 if a file begins with its mark, else UTF-8, with or without a mark."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in UTF_16_MARKS else "utf-8-sig"
