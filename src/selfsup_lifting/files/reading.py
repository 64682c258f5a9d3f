"""Finding the reader of a path, and reading its recordings."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from os import PathLike
from pathlib import Path

from multiview_geom import CameraFile, CameraSource
from multiview_geom.camera_files import CAMERA_FORMATS
from selfsup_lifting.calibration import calibration_file
from selfsup_lifting.files import native
from selfsup_lifting.files.applied_settings import apply_settings
from selfsup_lifting.files.datasets import human36m, humaneva, mpi_inf_3dhp
from selfsup_lifting.files.other_kinds import (
    LAYOUT,
    PICKLE,
    UNKNOWN,
    format_of,
    named_with_format,
)
from selfsup_lifting.files.sessions import capture, detections
from selfsup_lifting.files.sessions.layout import unrecognized_tracks
from selfsup_lifting.files.sessions.project import calibrations_in
from selfsup_lifting.read_errors import Place, ReadError, UnrecognizedError, listed
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.reader import Reader, ReadResult, merged_notes
from selfsup_lifting.recording import Recording, require_kind
from selfsup_lifting.simulation import motion_capture, stick_figure
from selfsup_lifting.simulation.detector_noise import require_use_of_simulation

# In the order in which they are asked: those that are hardest to confuse come first.
READERS: Mapping[str, Reader] = {
    reader.name: reader
    for reader in (
        native.READER, stick_figure.READER, human36m.READER, humaneva.READER,
        mpi_inf_3dhp.READER, motion_capture.READER, detections.READER, capture.READER,
    )
}  # fmt: skip
# The readers that settings of a kind of files have an effect on; the others have one on all.
DETECTIONS, TABLES = (detections.READER.name, capture.READER.name), (human36m.NAME, humaneva.NAME)
USED_BY: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("people", "person", "filmed_by", "map", "source_fps"), DETECTIONS),
    "detected_skeleton": (*DETECTIONS, *TABLES, motion_capture.READER.name),
    "unit": (*DETECTIONS, *TABLES, mpi_inf_3dhp.NAME),
    "universal_truth": (mpi_inf_3dhp.NAME,),
}
# Settings that need a calibration, and what for.
OF_CALIBRATION = {"unit": "is its unit of length", "filmed_by": "names one of its cameras"}
VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm"}
USUAL = ReadSettings()

_log = logging.getLogger(__name__)


def read_recordings(
    sources: Sequence[str | Path], settings: ReadSettings, usual: ReadSettings = USUAL
) -> list[Recording]:
    """Read every recording of the sources, and log the notes about them.

    Args:
        sources: Files or folders, whose kind is recognized from their content; `kind:path` forces
            a reader. No source, or the word "synthetic", gives the embedded synthetic recordings.
        settings: How to read them.
        usual: Settings that nobody asked for, such as those of a run.

    Returns:
        The recordings, in the order of the sources, with the settings applied.

    Raises:
        ReadError: If something cannot be read; the message says where and the likely cause.
        ValueError: If a simulated rig or its errors are described, but nothing is simulated.

    Example:
        >>> recordings = read_recordings(["synthetic"], ReadSettings(fps=10.0))
        >>> recordings[0].fps, recordings[0].cameras.names
        (10.0, ('cam_1', 'cam_2', 'cam_3', 'cam_4'))
    """
    if isinstance(sources, str | Path):
        raise ReadError(f"`sources` must be a list of files or folders, got {str(sources)!r} alone")
    require_kind("sources", sources, Iterable)
    require_kind("settings", settings, ReadSettings)
    paths = []
    for source in sources:
        require_kind("sources", source, str | PathLike)
        paths.append(str(source))  # as it is given: a blank one would become the working folder
    _require_once(paths)
    results = with_notes_on_repeats(
        [result for source in paths or ["synthetic"] for result in _read(source, settings)]
    )
    for note in merged_notes([(result.recording.name, result.notes) for result in results]):
        _log.warning("%s", note)
    _require_use(results, settings, usual)
    return [result.recording for result in results]


def _require_once(sources: Sequence[str]) -> None:
    """Refuse a source that is named twice, also in two ways: its frames would count twice."""
    places: dict[str, str] = {}
    for source in sources:
        place = os.path.realpath(source)  # also where links lead in a circle
        if place in places:
            raise ReadError(f"{source} is given twice, also as {places[place]}")
        places[place] = source


def read_results(source: str | Path, settings: ReadSettings) -> list[ReadResult]:
    """Read every recording of one source, with notes on how it was read.

    Args:
        source: A file or folder, or `kind:path`, or "synthetic".
        settings: How to read it.

    Returns:
        The recordings, with the settings applied.

    Raises:
        ReadError: If something cannot be read.
        ValueError: If a simulated rig or its errors are described, but nothing is simulated.
    """
    require_kind("source", source, str | PathLike)
    require_kind("settings", settings, ReadSettings)
    results = with_notes_on_repeats(_read(str(source), settings))
    _require_use(results, settings, USUAL)
    return results


def with_notes_on_repeats(results: Sequence[ReadResult]) -> list[ReadResult]:
    """Add a note to each recording that has the same detections as one before it."""
    firsts: dict[bytes, str] = {}
    noted = []
    for result in results:
        name, keypoints = result.recording.name, next(result.recording.parts()).keypoints
        same = sha256(keypoints.contiguous().numpy().tobytes()).digest()
        if same in firsts:
            told = (
                f"{name}: has the same detections as {firsts[same]}, which count twice; likely "
                "cause: a copy, or a file of all cameras beside one of each"
            )
            result = replace(result, notes=(*result.notes, told))  # noqa: PLW2901 - the same, noted
        elif keypoints.isfinite().any():  # where nobody is seen, nothing is the same
            firsts[same] = name
        noted.append(result)
    return noted


def _require_use(
    results: Sequence[ReadResult], settings: ReadSettings, usual: ReadSettings
) -> None:
    """Refuse settings that somebody asked for, and that have no effect on these recordings."""
    require_use_of_simulation([result.recording for result in results], settings, usual)
    readers = sorted({result.reader for result in results})
    asked = {name for name in USED_BY if getattr(settings, name) != getattr(usual, name)}
    if settings.cameras is not None:
        asked.discard("unit")
    for name in sorted(asked):
        if not {*USED_BY[name]} & {*readers}:
            raise ReadError(
                f"`{name}` has no effect on {listed(result.recording.name for result in results)}, "
                f"read as {listed(readers)}, but on data read as {listed(USED_BY[name])}: leave it "
                "out"
            )
    rigs = [one.recording.source.calibration for one in results if one.reader in DETECTIONS]
    for name in sorted(asked & {*OF_CALIBRATION}):
        if len(rigs) == len(results) and not any(rigs):
            raise ReadError(
                f"`{name}` needs a calibration and {OF_CALIBRATION[name]}, but none was found: "
                "--cameras names one"
            )


def holds_recordings(path: Path) -> bool:
    """Return whether a file holds detections, or a recording that this package saved."""
    return any(READERS[name].recognizes(path) for name in ("native", "detections"))


def _read(source: str, settings: ReadSettings) -> list[ReadResult]:
    with _naming_unreadable(source):
        reader, path = _find_reader(source)
        results = reader.read(path, settings)
    if not results:
        raise Place(path).error(f"the reader `{reader.name}` found no recording")
    for result in results:
        if result.recording.frame_count == 0:
            raise Place(path).error(f"the recording {result.recording.name!r} has no frames")
    if settings.take is not None:
        results = _named(results, settings.take, source)
    several = len(results) > 1 or any(count > 1 for count in results[0].people.values())
    if several and all(result.recording.frame_count == 1 for result in results):
        results = [_with_note_on_one_frame(result) for result in results]
    if reader is motion_capture.READER and path.is_dir() and capture.READER.recognizes(path):
        told = f"{path}: motion capture is read, not its detections; `capture:{path}` reads them"
        results = [replace(results[0], notes=(*results[0].notes, told)), *results[1:]]
    return [replace(apply_settings(result, settings), reader=reader.name) for result in results]


@contextmanager
def _naming_unreadable(source: str) -> Iterator[None]:
    """Name the source if the system cannot read a file, as of a broken disk, and names none."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise ReadError(f"{source}: the system cannot read a file of it: {error}") from error


def _with_note_on_one_frame(result: ReadResult) -> ReadResult:
    """Add the note on a recording that could be one frame, or the mixture, of a longer one."""
    told = (
        f"{result.recording.name}: has a single frame; if it should have more, write one file for "
        "each camera, with all frames under their numbers"
    )
    return replace(result, notes=(*result.notes, told))


def _named(results: Sequence[ReadResult], take: str, source: str) -> list[ReadResult]:
    """Choose the recording of a name, or else those whose name ends with it."""
    names = [result.recording.name for result in results]
    chosen = [result for result in results if result.recording.name == take] or [
        result for result in results if result.recording.name.endswith(f" {take}")
    ]
    if not chosen:
        raise ReadError(f"{source} has no recording {take!r}; it has {listed(names)}")
    return chosen


def _find_reader(source: str) -> tuple[Reader, Path]:
    kind, colon, rest = source.partition(":")
    if source == "synthetic":
        return READERS[source], Path()
    if kind == "synthetic" and colon:
        raise ReadError(f"{source}: the synthetic recordings come with the package, in no folder")
    if colon and kind in READERS:
        return READERS[kind], _existing(rest)
    path = _existing(source)
    for reader in READERS.values():
        if reader.recognizes(path):
            return reader, path
    damaged, rig, kind = _damaged_calibration(path), _calibration_of(path), format_of(path)
    if damaged is not None and (kind == UNKNOWN or LAYOUT in kind):  # any table may be a rig's
        raise UnrecognizedError(str(damaged))
    # What is wrong with a pickle, its reading as a calibration says.
    if isinstance(rig, Exception) and kind != UNKNOWN and PICKLE not in kind:
        raise UnrecognizedError(f"{path}: {kind}{_videos(path)}")
    raise UnrecognizedError(
        f"{path}: no reader recognizes it; if it has 2D detections, name their kind, such as "
        f"`detections:{path}` (one of {', '.join(READERS)})"
        + ((path.is_dir() and _unrecognized_tracks(path)) or _about_rig(path, rig))
        + _videos(path)
    )


def _damaged_calibration(path: Path) -> ValueError | OSError | None:
    """Return the error of a file or folder that is a calibration, but a damaged one."""
    is_known = False
    try:
        source = CameraSource(path)
        # Any text may begin like TOML.
        formats = [one for one in CAMERA_FORMATS if one.name != "toml" or path.suffix == ".toml"]
        is_known = any(one.recognizes(source) for one in formats)
        calibration_file(path)
    except (ValueError, OSError) as error:
        return error if is_known else None
    return None


def _calibration_of(path: Path) -> CameraFile | ValueError | OSError:
    """Read a file without detections as a calibration; return the error if it is none."""
    try:
        return calibration_file(path)
    except (ValueError, OSError) as error:
        return error


def _about_rig(path: Path, rig: CameraFile | ValueError | OSError) -> str:
    """Return the part of a message that says what a file or folder without detections is."""
    if isinstance(rig, Exception):
        inside = [one.relative_to(path) for one in calibrations_in(path) if one != path]
        if inside:
            return f"; it holds a calibration, {listed(inside)}, and no detections"
        return f"; nor is it a valid calibration: {rig}"
    return f"; it is a calibration ({rig.format.title}) without detections"


def _unrecognized_tracks(path: Path) -> str:
    """Return the part of a message that names files whose suffix suggests 2D tracks."""
    files = unrecognized_tracks(path)
    return f"; {named_with_format(files, path)}" if files else ""


def _videos(path: Path) -> str:
    """Return the part of a message that says how people are found in videos."""
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    videos = [file for file in inside if file.suffix.lower() in VIDEO_SUFFIXES]
    if not videos:
        return ""
    home = path if path.is_dir() else path.parent
    return (
        f"; people in videos are found with `selfsup-lifting detect "
        f"{home / '*'}{videos[0].suffix} --out {home / 'tracks'}`"
    )


def _existing(path: str) -> Path:
    if not path or not Path(path).exists():  # a blank path would be the working folder
        shown = path if path and path == path.strip() else repr(path)
        quoted = path.startswith(("~", "$", "'", '"'))
        hint = "; a shell replaces ~ and $, and takes quotes away, only outside of other quotes"
        raise ReadError(f"there is no file or folder {shown}{hint if quoted else ''}")
    if not (Path(path).is_file() or Path(path).is_dir()):
        raise ReadError(f"{path} is a pipe or a device; expected a file or a folder")
    return Path(path)
