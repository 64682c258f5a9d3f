"""A recording, and what a user should know about how it was read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from selfsup_lifting.recording import Recording


@dataclass(frozen=True)
class ReadResult:
    """A recording, and what a user should know about how it was read.

    Attributes:
        recording: The recording.
        people: How many people each camera's detector found in one frame, at most.
        notes: What was guessed, converted or left out, one sentence each.
        reader: The name of the reader that read it, a key of `READERS`.
    """

    recording: Recording
    people: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reader: str = ""
