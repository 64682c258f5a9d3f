"""A folder of detections and a calibration file (Pose2Sim, anipose)."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfsup_lifting.calibration import Rig, load_rig
from selfsup_lifting.config import ReadSettings
from selfsup_lifting.files.detectors import openpose
from selfsup_lifting.files.detectors.openpose import frame_number
from selfsup_lifting.files.sessions.assembly import assemble
from selfsup_lifting.files.sessions.camera_matching import match_cameras, require_same_cameras
from selfsup_lifting.files.sessions.detections import find_layout, read_views
from selfsup_lifting.files.sessions.project_config import (
    DETECTIONS,
    Config,
    config_value,
    find_calibration,
    frame_rate,
    project_config,
    project_of,
    with_pose_model,
    without_face,
)
from selfsup_lifting.read_result import ReadResult
from selfsup_lifting.recording import ReadError

# How far below the folder named a project may begin.
DEEPEST = 4
# What files of detections end in: others are no tracks that could not be read.
TRACK_SUFFIXES = frozenset({".json", ".csv", ".h5", ".hdf5", ".npz"})


def recognises(path: Path) -> bool:
    """Tell a project with detections, a folder of projects, or the folder of detections."""
    return path.is_dir() and bool(_detections(path))


def read(path: Path, settings: ReadSettings) -> list[ReadResult]:
    """Read captures: everybody's detections, the calibration, and the two together.

    Args:
        path: A project of Pose2Sim or anipose, a folder of such, or any folder with one track file
            or folder per camera.
        settings: Where the calibration is if not beside the data, and who is meant.

    Returns:
        The takes: one per folder of detections, or several where its files name several.

    Raises:
        ReadError: If something is damaged, or detections and calibration do not fit.
    """
    folders = _detections(path)
    if not folders:
        raise ReadError(f"{path}: no folder there holds detections, one file or folder per camera")
    return [take for folder in folders for take in _read_detections(folder, settings)]


def _read_detections(folder: Path, settings: ReadSettings) -> list[ReadResult]:
    project = project_of(folder)
    config = project_config(project)
    calibration = settings.cameras or find_calibration(project)
    if calibration is None:
        raise ReadError(
            f"{project}: no calibration lies there (calibration/*.toml or calib*.toml); "
            "name one with --cameras"
        )
    rig = load_rig(calibration, unit=settings.unit)
    told = with_pose_model(settings, config)
    groups = _by_take(folder, rig, config_value(config, "triangulation", "cam_regex"))
    return [
        without_face(_read_take(project, rest, sources, rig, told, config), settings, config)
        for rest, sources in groups.items()
    ]


def _read_take(
    project: Path,
    rest: str,
    sources: dict[str, Path],
    rig: Rig,
    settings: ReadSettings,
    config: Config,
) -> ReadResult:
    name = project.resolve().name + (f" {rest}" if rest else "")
    cameras = rig.cameras.names
    _require_same_frames([sources[camera] for camera in cameras])
    views = []
    for camera in cameras:
        found = read_views(sources[camera], settings)
        if len(found) > 1:
            raise ReadError(f"{sources[camera]}: expected one camera, found {len(found)}")
        views.append(replace(found[0], camera=sources[camera].name))
    fps = frame_rate(config)
    return assemble(name, rig.cameras, views, settings, fps=fps, notes=rig.notes)


def _by_take(folder: Path, rig: Rig, pattern: Any) -> dict[str, dict[str, Path]]:  # noqa: ANN401 - whatever the TOML holds
    """Sort the sources of a folder by the take and the camera that their names tell."""
    sources = _sources(folder)
    names = rig.cameras.names
    told = pattern if isinstance(pattern, str) and _is_pattern(pattern) else None
    matches = match_cameras(names, [_plain_name(source) for source in sources], told)
    groups: dict[str, dict[str, Path]] = {}
    cameras: dict[str, list[str]] = {}
    for source, match in zip(sources, matches, strict=True):
        if match is not None:
            camera, rest = match
            groups.setdefault(rest, {})[camera] = source
            cameras.setdefault(rest, []).append(camera)
    lost = [source.name for source, match in zip(sources, matches, strict=True) if match is None]
    if lost or not groups:
        matched = [camera for all_of in cameras.values() for camera in all_of]
        require_same_cameras(
            rig.path, names, folder, matched, lost or [source.name for source in sources],
            unread=_unread(folder, rig, matched),
        )  # fmt: skip
    if sorted(camera for all_of in cameras.values() for camera in all_of) == sorted(names):
        return {
            "": {camera: source for group in groups.values() for camera, source in group.items()}
        }
    for rest in groups:
        unread = _unread(folder, rig, cameras[rest])
        require_same_cameras(rig.path, names, folder, cameras[rest], [], unread=unread)
    return groups


def _detections(path: Path, depth: int = 0) -> list[Path]:
    """Find the folders that hold one source per camera."""
    for name in DETECTIONS:
        if _sources(path / name):
            return [path / name]
    if _sources(path):
        return [path]
    if depth == DEEPEST or find_layout(path) is not None:
        return []
    below = [folder for folder in sorted(path.iterdir()) if folder.is_dir()]
    return [found for folder in below for found in _detections(folder, depth + 1)]


def _sources(folder: Path) -> list[Path]:
    """List what lies in a folder in the layout of a detector."""
    if not folder.is_dir() or find_layout(folder) is not None:
        return []
    return [source for source in sorted(folder.iterdir()) if find_layout(source) is not None]


def unread_tracks(folder: Path) -> list[Path]:
    """List what may be tracks by the ends of its name, but is in no known layout."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in TRACK_SUFFIXES]
    return [path for path in files if path.is_file() and find_layout(path) is None]


def _unread(folder: Path, rig: Rig, matched: list[str]) -> list[str]:
    """Name what lies there for a camera that lacks its detections, but could not be recognised."""
    lacking = [name for name in rig.cameras.names if name not in matched]
    folders = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    unknown = [*unread_tracks(folder), *(path for path in folders if find_layout(path) is None)]
    matches = match_cameras(lacking, [_plain_name(path) for path in unknown])
    return [path.name for path, match in zip(unknown, matches, strict=True) if match is not None]


def _plain_name(source: Path) -> str:
    """Leave out what says only that it holds detections: `cam01_json`, `cam1DLC_resnet50_...`."""
    name = source.stem if source.is_file() else source.name
    return re.sub(r"(?i)(dlc_|[^a-z0-9](json|pose|keypoints|predictions|analysis)\b).*$", "", name)


def _require_same_frames(sources: list[Path]) -> None:
    """Refuse folders with more files than others: which frames belong together is unknown."""
    if not all(openpose.recognises(source) for source in sources):
        return
    numbers = {
        source: [frame_number(file.stem, file) for file in openpose.frame_files(source)]
        for source in sources
    }
    fewest, most = (extreme(sources, key=lambda at: len(numbers[at])) for extreme in (min, max))
    if len(numbers[fewest]) < len(numbers[most]):
        lost = sorted(set(numbers[most]) - set(numbers[fewest]))
        raise ReadError(
            f"camera {fewest.name} has {len(numbers[fewest])} frames, camera {most.name} "
            f"{len(numbers[most])}; frame {lost[0] if lost else '?'} is the first that "
            f"{fewest.name} lacks: cut the videos to the same frames"
        )


def _is_pattern(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
