"""The error of a file that cannot be read, and the place in the file where reading failed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfsup_lifting.safe_text import on_one_line

LONGEST_VALUE, LONGEST_REASON = 60, 300
# Of a longer sentence, such as one with a name of a whole page, beginning and end are kept.
LONGEST_SENTENCE, KEPT_AT_END = 2_000, 400
MOST_NAMED = 4


def listed(names: Iterable[object], *, most: int = MOST_NAMED) -> str:
    """Join names by commas; of many, only the first, and how many more there are."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def one_sentence(text: str) -> str:
    """Return a text in one line without control characters, and without the middle of a page."""
    line = on_one_line(text)
    if len(line) <= LONGEST_SENTENCE:
        return line
    return f"{line[: LONGEST_SENTENCE - KEPT_AT_END]} ... {line[-KEPT_AT_END:]}"


class ReadError(ValueError):
    """A file cannot be read: one sentence that says what is wrong and where.

    Attributes:
        details: Lines that a person may want to see below the sentence, such as a table.
    """

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(one_sentence(sentence))
        self.details = details


class UnrecognizedError(ReadError):
    """No reader recognizes a file or folder."""


@dataclass(frozen=True)
class Place:
    """A place in a file; every message about it begins with this.

    Attributes:
        path: The file or folder.
        entry: The entry, row or line: "people[3].keypoints", "row 12".
        frame: The number of the frame.
        camera: The name of the camera.
        joint: The name or the index of the joint.
    """

    path: Path
    entry: str = ""
    frame: int | None = None
    camera: str | None = None
    joint: str | int | None = None

    def __str__(self) -> str:
        details = {"frame": self.frame, "camera": self.camera, "joint": self.joint}
        named = [f"{name} {value}" for name, value in details.items() if value is not None]
        return ", ".join([str(self.path), *([self.entry] if self.entry else []), *named])

    def at(self, key: str | int) -> "Place":
        """Return the place of a list's element, or of an object's value, at this place."""
        step = f"[{key}]" if isinstance(key, int) else f".{key}" if self.entry else key
        return replace(self, entry=f"{self.entry}{step}")

    def expected(self, what: str, got: object) -> ReadError:
        """Return the error that says what should be at this place, and what is."""
        return self.error(f"expected {what}, got {_shortened(_described(got), LONGEST_VALUE)}")

    def error(self, sentence: str) -> ReadError:
        """Return an error about this place."""
        return ReadError(f"{self}: {sentence}")

    def damaged(self, what: str, reason: BaseException) -> ReadError:
        """Return the error that says that a parser could not read the file, and why."""
        told = str(reason) or "it is too large, or nested too deep"
        because = _shortened(" ".join(told.split()), LONGEST_REASON)
        return ReadError(f"{self} is not {what}, or is damaged: {because}")


def _described(value: Any) -> str:  # noqa: ANN401 - any content of a file
    """Return a value as Python writes it; of an array, its type and shape."""
    if getattr(value, "ndim", 0):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return repr(value)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
