"""What all commands print, and where."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from selfsup_lifting.atomic_write import require_target
from selfsup_lifting.cli.options import frame_slice
from selfsup_lifting.cli.parsing import PROGRAM
from selfsup_lifting.cli.progress import show_progress
from selfsup_lifting.cli.standard_streams import write_out
from selfsup_lifting.cli.terminal import Terminal
from selfsup_lifting.evaluation.evaluate import (
    nan_to_none,
)
from selfsup_lifting.recording import Recording, note_on_frames

messages = Terminal(stderr=True, soft_wrap=True)
results = Terminal()


@contextmanager
def part_progress(parts: int, unit: str, steps: int = 1) -> Iterator[Callable[[], None]]:
    """Show the progress of long work; yield a function to call after each step of each part."""
    if parts < 2:  # noqa: PLR2004 - one part has no progress
        yield lambda: None
        return
    with show_progress(steps * parts, 0, unit) as show:
        yield partial(show, "")


def print_json(report: Mapping[str, Any]) -> None:
    """Print one JSON object on one line; numbers that are not finite are null."""
    write_out(json.dumps(nan_to_none(report), allow_nan=False) + "\n")


def frames_of(recording: Recording, frames: str) -> Recording:
    """Return the frames `first:end` of a recording; raise a ValueError if there is none."""
    chosen = frame_slice(frames)
    if note := note_on_frames(chosen, recording.name, recording.frame_count):
        messages.print(note)
    return recording.frames(chosen)


def command_line() -> str:
    """Return the command that was called, as it is typed in a shell."""
    return shlex.join([PROGRAM, *sys.argv[1:]])


def require_report(path: Path | None, *, overwrite: bool) -> None:
    """Refuse a report that cannot be written, before any work is done."""
    if path is None:
        return
    if path.suffix != ".html":
        raise ValueError(f"{path}: a report is written as .html, not {path.suffix!r}")
    require_target(path, overwrite=overwrite)
