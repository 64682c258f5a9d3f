"""The file formats of 2D detectors: one module per format, which defines one `FORMAT`.

To add a format, write a module with a `FORMAT` and add it to `FORMATS`.
"""

from pathlib import Path

from selfsup_lifting.files.detectors import (
    alphapose,
    caliscope,
    csv_tracks,
    deeplabcut,
    freemocap,
    mediapipe,
    mmpose,
    openpose,
    sleap,
    ultralytics,
    videopose3d,
)
from selfsup_lifting.files.other_kinds import BY_SUFFIX, UNFINISHED, UNKNOWN, format_of
from selfsup_lifting.files.tracks.view_tracks import DetectorFormat, ViewTracks
from selfsup_lifting.read_errors import Place
from selfsup_lifting.skeleton.skeleton_file import find_skeleton

# In the order in which they are asked: those that are hardest to confuse come first.
FORMATS: tuple[DetectorFormat, ...] = (
    openpose.FORMAT, ultralytics.FORMAT, deeplabcut.FORMAT, sleap.FORMAT, videopose3d.FORMAT,
    freemocap.FORMAT,
    mediapipe.FORMAT, mmpose.FORMAT, alphapose.FORMAT, caliscope.FORMAT, csv_tracks.FORMAT,
)  # fmt: skip


def find_format(path: Path) -> DetectorFormat | None:
    """Return the format of a file or folder; None if no format recognizes it."""
    if BY_SUFFIX.get(path.suffix.lower()) == UNFINISHED:
        return None
    return next((format for format in FORMATS if format.recognizes(path)), None)


def read_tracks(path: Path, declared: str | None) -> list[ViewTracks]:
    """Read every camera of a file or folder.

    Args:
        path: The file or folder.
        declared: The name or TOML file of the skeleton; None to find it from the file.

    Returns:
        One view per camera.

    Raises:
        ReadError: If no format recognizes the path, or it is damaged or contains no frame.
    """
    format = find_format(path)
    if format is None:
        known = ", ".join(format.name for format in FORMATS)
        about = format_of(path).replace(UNKNOWN, f"{UNKNOWN} of 2D tracks", 1)
        raise Place(path).error(f"{about}; known are {known}")
    views = format.read(path, None if declared is None else find_skeleton(declared))
    if not views or any(view.frame_count == 0 for view in views):
        raise Place(path).error("expected at least one frame, got none")
    return views
