"""A recording, and what a user should know about how it was read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from selfsup_lifting.recording import Recording


@dataclass(frozen=True)
class Take:
    """A recording and where it comes from.

    Attributes:
        recording: The take itself.
        layout: Who wrote the files, for people: "OpenPose", "BVH", ...
        people: How many people each camera's detector saw at once, at most.
        notes: What was guessed, converted or left out, a sentence each.
    """

    recording: Recording
    layout: str
    people: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
