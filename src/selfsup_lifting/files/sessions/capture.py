"""A folder with one file or folder of detections per camera, and a calibration file."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from selfsup_lifting.calibration import Rig
from selfsup_lifting.config import ReadSettings
from selfsup_lifting.files.detectors import find_format, read_tracks
from selfsup_lifting.files.sessions.assembly import assemble
from selfsup_lifting.files.sessions.camera_matching import match_camera
from selfsup_lifting.files.sessions.project import DETECTIONS, Project, find_rig
from selfsup_lifting.files.tracks.view_tracks import ViewTracks
from selfsup_lifting.read_errors import Place, ReadError
from selfsup_lifting.reader import Reader, ReadResult

# How many folders below the given one a folder of detections may be.
DEEPEST = 4
# Suffixes of files with detections: in a message, other files are not named.
TRACK_SUFFIXES = frozenset({".json", ".csv", ".h5", ".hdf5", ".npz"})


def _recognizes(path: Path) -> bool:
    """Recognize a project with detections, a folder of projects, or a folder of detections."""
    return path.is_dir() and bool(_detection_folders(path))


def _read(path: Path, settings: ReadSettings) -> list[ReadResult]:
    """Read every folder of detections: one recording, or several if the file names say so.

    The path is a project of Pose2Sim or anipose, a folder of projects, or a folder with one file or
    folder of detections per camera.
    """
    folders = _detection_folders(path)
    if not folders:
        raise Place(path).error(
            "expected a folder with detections, one file or folder per camera, got none"
        )
    return [result for folder in folders for result in _read_folder(folder, settings)]


READER = Reader("capture", _recognizes, _read)


def unrecognized_tracks(folder: Path) -> list[Path]:
    """List the files in no known format whose suffix suggests 2D tracks."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in TRACK_SUFFIXES]
    return [path for path in files if path.is_file() and find_format(path) is None]


def _read_folder(folder: Path, settings: ReadSettings) -> list[ReadResult]:
    project = Project.of(folder)
    rig = find_rig(settings, project.folder)
    if rig is None:
        raise Place(project.folder).error(
            "expected a calibration (calibration/*.toml or calib*.toml), got none; "
            "name one with --cameras"
        )
    results = []
    for rest, sources in _by_recording(folder, rig, project.camera_pattern).items():
        name = f"{project.folder.resolve().name} {rest}".rstrip()
        declared = settings.detected_skeleton or project.skeleton
        views = [_view(sources[camera], declared) for camera in rig.cameras.names]
        result = assemble(name, rig.cameras, views, settings, fps=project.fps, notes=rig.notes)
        results.append(project.without_face(result, settings))
    return results


def _view(source: Path, declared: str | None) -> ViewTracks:
    views = read_tracks(source, declared)
    if len(views) > 1:
        raise Place(source).error(f"expected one camera, got {len(views)}")
    return replace(views[0], camera=source.name)


def _by_recording(folder: Path, rig: Rig, pattern: str | None) -> dict[str, dict[str, Path]]:
    """Group the sources of a folder by recording and camera, as their names say."""
    unmatched: list[str] = []
    groups: dict[str, list[tuple[str, Path]]] = {}
    for source in _sources(folder):
        match = match_camera(rig.cameras.names, _plain_name(source), pattern)
        if match is None:
            unmatched.append(source.name)
        else:
            groups.setdefault(match[1], []).append((match[0], source))
    everything = [*chain(*groups.values())]
    if unmatched:
        _require_cameras(folder, rig, everything, unmatched)
    if sorted(camera for camera, _ in everything) == sorted(rig.cameras.names):
        return {"": dict(everything)}
    for group in groups.values():
        _require_cameras(folder, rig, group, [])
    return {rest: dict(group) for rest, group in groups.items()}


def _require_cameras(
    folder: Path, rig: Rig, found: Sequence[tuple[str, Path]], unmatched: Sequence[str]
) -> None:
    """Refuse detections and a calibration with different cameras; the message lists them."""
    counts = Counter(camera for camera, _ in found)
    lacking = [name for name in rig.cameras.names if name not in counts]
    twice = sorted(counts - Counter(set(counts)))
    if not (lacking or unmatched or twice):
        return
    parts = [
        f"without detections: {', '.join(lacking) or 'none'}",
        f"without calibration: {', '.join(unmatched) or 'none'}",
    ]
    parts += [f"with several detections: {', '.join(twice)}"] if twice else []
    parts += [f"{name} is in no known format" for name in _unread_sources(folder, lacking)]
    raise ReadError(f"{rig.path} and {folder} have different cameras: {'; '.join(parts)}")


def _unread_sources(folder: Path, cameras: Sequence[str]) -> list[str]:
    """Name the files and folders in no known format that could be of the given cameras."""
    folders = filter(Path.is_dir, sorted(folder.iterdir()))
    unread = [*unrecognized_tracks(folder), *(one for one in folders if find_format(one) is None)]
    return [path.name for path in unread if match_camera(cameras, _plain_name(path)) is not None]


def _detection_folders(path: Path, depth: int = 0) -> list[Path]:
    """Find the folders with one source per camera."""
    found = next(filter(_sources, (*map(path.joinpath, DETECTIONS), path)), None)
    if found is not None:
        return [found]
    if depth == DEEPEST or find_format(path) is not None:
        return []
    below = filter(Path.is_dir, sorted(path.iterdir()))
    return [inside for folder in below for inside in _detection_folders(folder, depth + 1)]


def _sources(folder: Path) -> list[Path]:
    """List the files and folders in a folder that are in the format of a detector."""
    if not folder.is_dir() or find_format(folder) is not None:
        return []
    return [source for source in sorted(folder.iterdir()) if find_format(source) is not None]


def _plain_name(source: Path) -> str:
    """Remove the part of a name that only says detections: `cam01_json`, `cam1DLC_resnet50_...`."""
    name = source.stem if source.is_file() else source.name
    return re.sub(r"(?i)(dlc_|[^a-z0-9](json|pose|keypoints|predictions|analysis)\b).*$", "", name)
