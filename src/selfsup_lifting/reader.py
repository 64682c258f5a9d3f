"""What a reader of files is, and what it returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from selfsup_lifting.read_settings import ReadSettings
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


def merged_notes(results: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Merge the notes of several recordings that differ only in the recording's name.

    Args:
        results: The name and the notes of each recording.

    Returns:
        Each note once; if it is about several recordings, with the first name and their number.

    Example:
        >>> merged_notes([("a", ["a: no frame rate"]), ("b", ["b: no frame rate"])])
        ['a and 1 more: no frame rate']
    """
    names: dict[tuple[bool, str], list[str]] = {}
    for name, notes in results:
        for note in notes:
            own = note.startswith(f"{name}: ")
            key = own, note.removeprefix(f"{name}: ") if own else note
            names.setdefault(key, []).append(name)
    merged = []
    for (own, text), of in names.items():
        more = f" and {len(of) - 1} more" if len(of) > 1 else ""
        merged.append(f"{of[0]}{more}: {text}" if own else text)
    return merged
