"""What a reader of files is, and what it returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from selfsup_lifting.config import ReadSettings
from selfsup_lifting.recording import Recording


@dataclass(frozen=True)
class ReadResult:
    """A recording, and what a user should know about how it was read.

    Attributes:
        recording: The recording.
        people: How many people each camera's detector found in one frame, at most.
        unscored: How many points have no score, and count as certain.
        notes: What was guessed, converted or left out, one sentence each.
        reader: The name of the reader.
    """

    recording: Recording
    people: Mapping[str, int] = field(default_factory=dict)
    unscored: int = 0
    notes: tuple[str, ...] = ()
    reader: str = ""


@dataclass(frozen=True)
class Reader:
    """A kind of files that can be read.

    Attributes:
        name: The name of the kind, as in `kind:path`.
        recognizes: Whether a file or folder is of this kind; it raises no error.
        read: Reads every recording of a file or folder, as the settings say. It raises a
            `ReadError` if a file is damaged or does not fit the others.
    """

    name: str
    recognizes: Callable[[Path], bool]
    read: Callable[[Path, ReadSettings], list[ReadResult]]
