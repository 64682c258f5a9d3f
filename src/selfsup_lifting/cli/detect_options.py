"""The options of the command that detects people in videos."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from selfsup_lifting.cli.options import Options


@dataclass(frozen=True, kw_only=True)
class DetectOptions(Options):
    """Detect people in the videos of synchronized cameras, with MediaPipe.

    Attributes:
        videos: One video per camera; a camera has the name of its file.
        out: The folder for the tracks, one table per camera, which all other commands read.
        model: A model file of MediaPipe (.task); by default one that is beside the videos, or
            that of MediaPipe's package.
        most_people: How many people are searched in a picture.
        overwrite: Replace tracks that exist, and begin anew what was interrupted.
    """

    videos: Positional[tuple[Path, ...]]
    out: Path
    model: Path | None = None
    most_people: int = 1
    overwrite: bool = False
