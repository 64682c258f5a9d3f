"""Which reader understands this path?"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import torch

from multiview_geom import Lens
from selfsup_lifting.config import ReadSettings
from selfsup_lifting.files.datasets import human36m, humaneva, mpi_inf_3dhp
from selfsup_lifting.files.sessions import capture, detections, native
from selfsup_lifting.simulation import motion_capture, stick_figure
from selfsup_lifting.read_result import ReadResult
from selfsup_lifting.recording import ReadError as ReadError
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import find_skeleton


@runtime_checkable
class Reader(Protocol):
    """What each module of this package offers."""

    def recognises(self, path: Path, /) -> bool:
        """Tell whether a path holds this reader's files."""

    def read(self, path: Path, settings: ReadSettings, /) -> list[ReadResult]:
        """Read the takes that lie there."""


# In the order in which they are asked: the surest first.
READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "native": native,
        "synthetic": stick_figure,
        "human36m": human36m,
        "humaneva": humaneva,
        "mpi_inf_3dhp": mpi_inf_3dhp,
        "mocap": motion_capture,
        "detections": detections,
        "capture": capture,
    }
)

# So many files are named where nothing in a folder could be read.
MOST_NAMED = 4

_log = logging.getLogger(__name__)


def read_recordings(sources: Sequence[str], settings: ReadSettings) -> list[Recording]:
    """Read every take that the sources hold.

    Args:
        sources: Files or folders, recognised by what lies there; `kind:path` forces a reader;
            none, or the word "synthetic", stands for the embedded synthetic takes.
        settings: What to make of them.

    Returns:
        The takes, in the order of the sources, ready for use: sightings of low confidence
        removed, thinned out and mapped to another skeleton where the settings say so.

    Raises:
        ReadError: If something cannot be read; the sentence says where and the likely cause.
    """
    takes = [take for source in sources or ["synthetic"] for take in read_results(source, settings)]
    for note in dict.fromkeys(note for take in takes for note in take.notes):
        _log.warning("%s", note)
    return [take.recording for take in takes]


def read_results(source: str, settings: ReadSettings) -> list[ReadResult]:
    """Read every take of one source, with what a user should know about the reading.

    Args:
        source: A file or folder, or `kind:path`, or "synthetic".
        settings: What to make of it.

    Returns:
        The takes, ready for use.

    Raises:
        ReadError: If something cannot be read.
    """
    kind, path = find_reader(source)
    takes = READERS[kind].read(path, settings)
    if not takes:
        raise ReadError(f"{path} holds no recording that the reader `{kind}` understands")
    return [
        replace(take, recording=_prepared(take.recording, settings), reader=kind) for take in takes
    ]


def find_reader(source: str) -> tuple[str, Path]:
    """Find the name of the reader for a source, and the path it shall read."""
    kind, colon, rest = source.partition(":")
    if source == "synthetic" or (colon and kind in READERS):
        return kind, _existing(rest) if kind != "synthetic" else Path()
    path = _existing(source)
    for name, reader in READERS.items():
        if reader.recognises(path):
            return name, path
    raise ReadError(
        f"{path} is of no kind that is known here; `kind:{path}` forces one of {', '.join(READERS)}"
        + _unread(path)
    )


def _unread(path: Path) -> str:
    """Say which files of a folder may be tracks, but are in no known layout."""
    files = capture.unread_tracks(path) if path.is_dir() else []
    more = f" and {len(files) - MOST_NAMED} more" if len(files) > MOST_NAMED else ""
    names = ", ".join(file.name for file in files[:MOST_NAMED])
    return f"; {names}{more}: there, but in no known layout" if files else ""


def _existing(path: str) -> Path:
    if not Path(path).exists():
        raise ReadError(f"there is no file or folder {path}")
    return Path(path)


def _prepared(take: Recording, settings: ReadSettings) -> Recording:
    if not settings.undistort:
        take = replace(take, cameras=replace(take.cameras, distortion=None, lens=Lens.OPENCV))
    if settings.min_confidence > 0:
        take = _without_doubtful(take, settings.min_confidence)
    if settings.fill_gaps:
        take = take.with_gaps_filled(settings.fill_gaps)
    if settings.fps is not None:
        step = max(1, round(take.fps / settings.fps))
        take = take.frames(slice(settings.fps_phase % step, None, step))
    if settings.skeleton is not None:
        take = _mapped(take, settings.skeleton)
    return take


def _without_doubtful(take: Recording, least: float) -> Recording:
    doubtful = take.confidence < least
    return replace(
        take,
        keypoints=torch.where(doubtful[..., None], torch.nan, take.keypoints),
        confidence=torch.where(doubtful, 0.0, take.confidence),
    )


def _mapped(take: Recording, skeleton: str) -> Recording:
    try:
        return take.to_skeleton(find_skeleton(skeleton))
    except ValueError as error:
        raise ReadError(f"{take.name}: {error}") from error
