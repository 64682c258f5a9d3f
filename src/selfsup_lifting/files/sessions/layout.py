"""Where the detections of a session are: beside each other, or in one folder per camera."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfsup_lifting.files.detectors import find_format
from selfsup_lifting.files.detectors.ultralytics import only_video
from selfsup_lifting.files.other_kinds import BY_SUFFIX, UNKNOWN, format_of
from selfsup_lifting.files.sessions.camera_matching import match_camera, words_of
from selfsup_lifting.files.sessions.project import (
    DETECTIONS,
    calibrations_in,
    find_rig,
    is_calibration,
)
from selfsup_lifting.parse.folders import entries, files_with, folders_in
from selfsup_lifting.read_errors import ReadError, listed
from selfsup_lifting.read_settings import ReadSettings

# How many folders below the given one a folder of detections may be.
DEEPEST = 4
# Suffixes of files with detections: in a message, other files are not named.
# So many texts of a folder are looked at, of which most folders have one.
MOST_TEXTS = 100
TRACK_SUFFIXES = frozenset({".json", ".csv", ".tsv", ".h5", ".hdf5", ".npz", ".mat", *BY_SUFFIX})
# If a detector wrote the same tracks in several formats, the first of these is read.
PREFERRED_SUFFIXES = (".h5", ".hdf5", ".npz", ".json", ".csv", ".tsv", ".txt")
LABELS = "labels"
# The folder of a run of Ultralytics, which names no camera.
_RUN = re.compile(r"(predict|track|val)\d*")
# What AlphaPose calls its results, in one file and in one file per frame.
_ALPHAPOSE = {"sep-json": "alphapose-results"}
# AlphaPose also writes its results with the identities of a tracker, SLEAP after proofreading.
_FILTERED = re.compile(r"(?i)[_-]?(filtered|forvis[_-]tracked)$|(?<![a-z0-9])proofread[._-]?")


@dataclass(frozen=True)
class Source:
    """A file or folder of detections, and the folder that may be named after its camera.

    Attributes:
        path: The file or folder.
        camera_folder: The name of the camera's folder; empty if all cameras share one.
    """

    path: Path
    camera_folder: str = ""

    @property
    def plain_name(self) -> str:
        """The name without the part that only says detections: `cam01_json`, `cam1DLC_res...`."""
        name = self.path.stem if self.path.is_file() else self.path.name
        return re.sub(
            r"(?i)(dlc_|[^a-z0-9](json|pose|keypoints|predictions|analysis)\b).*$", "", name
        )

    def camera(
        self, names: Sequence[str], pattern: str | None, declared: Mapping[str, str]
    ) -> tuple[str, str] | None:
        """Return the camera and the words that name the recording; None if no camera matches."""
        for name in (self.path.name, self.path.stem, self.plain_name):
            if name in declared:
                return declared[name], ""
        if not self.camera_folder:
            return match_camera(names, self.plain_name, pattern, declared)
        match = match_camera(names, self.camera_folder, pattern, declared)
        if match is None:
            return None
        own = match_camera(names, self.plain_name, pattern)
        named = own is not None and own[0] == match[0]
        return match[0], own[1] if own and named else " ".join(words_of(self.plain_name))


def session_folders(path: Path, settings: ReadSettings, depth: int = 0) -> list[Path]:
    """Find the folders of sessions: with detections, or with one folder of them per camera."""
    found = next(filter(sources_beside, (*map(path.joinpath, DETECTIONS), path)), None)
    if found is not None:
        return [found]
    if depth == DEEPEST or find_format(path) is not None:
        return []
    if _has_camera_folders(path, settings):
        return [path]
    return [
        inside for one in folders_in(path) for inside in session_folders(one, settings, depth + 1)
    ]


def sources_of(folder: Path) -> list[Source]:
    """List the detections of a session, whatever its layout."""
    beside = [Source(path) for path in sources_beside(folder)]
    return beside or _in_camera_folders(folder)


def other_folders(folder: Path) -> tuple[str, ...]:
    """Return a note on the folders of less refined detections that a session has too."""
    if folder.name not in DETECTIONS:
        return tuple(_note_on_other_places(folder))
    beside = [folder.parent / name for name in DETECTIONS if name != folder.name]
    others = {one: sources_beside(one) for one in beside}
    found = [one.name for one, inside in others.items() if inside]
    if not found:
        return ()
    note = f"{folder.parent}: uses the detections in {folder.name}, not those in {', '.join(found)}"
    mine = sources_beside(folder)
    names = {_plain_stem(Source(one)) for one in mine}
    more = [one for inside in others.values() if len(inside) > len(mine) for one in inside]
    alone = listed(one.name for one in more if _plain_stem(Source(one)) not in names)
    return (f"{note}; {folder.name} has no {alone}" if alone else note,)


def sources_beside(folder: Path) -> list[Path]:
    """List the files and folders in a folder that are in the format of a detector."""
    if not folder.is_dir() or find_format(folder) is not None:
        return []
    return [source for source in entries(folder) if find_format(source) is not None]


def preferred(sources: Sequence[Source]) -> tuple[list[Source], tuple[str, ...]]:
    """Choose between files with the same tracks: filtered before raw, HDF5 before text.

    Returns:
        One source of each kind, and a note on the first choice if there was one.
    """
    same: dict[tuple[Path, str], list[Source]] = {}
    for source in sources:
        name = source.path.stem
        stem = _ALPHAPOSE.get(name, _plain_stem(source))
        same.setdefault((source.path.parent, stem), []).append(source)
    chosen = [min(several, key=_rank) for several in same.values()]
    pairs = zip(chosen, same.values(), strict=True)
    double = [(one, several) for one, several in pairs if len(several) > 1]
    if not double:
        return chosen, ()
    first, several = double[0]
    others = ", ".join(one.path.name for one in several if one is not first)
    more = f", and likewise of {len(double) - 1} other cameras" if len(double) > 1 else ""
    place, used = first.path.parent, first.path.name
    return chosen, (f"{place}: of files with the same tracks uses {used}, not {others}{more}",)


def unrecognized_tracks(folder: Path) -> list[Path]:
    """List files and folders `labels` in no known format that seem to have 2D tracks.

    If there are none in the folder and those inside, these are the first files of each suffix of
    the folders below.
    """
    files = [path for path in entries(folder) if path.suffix.lower() in TRACK_SUFFIXES]
    rigs = [one for one in calibrations_in(folder) if one != folder]
    unread = [one for one in files if one.is_file() and one not in rigs and not find_format(one)]
    bare = [one for one in files_with(folder, "") if not one.name.startswith(".")]
    texts = [*files_with(folder, ".txt"), *bare][:MOST_TEXTS]
    unread += [path for path in texts if format_of(path) != UNKNOWN and find_format(path) is None]
    inside = [one for folder in folders_in(folder) for one in (folder, folder / LABELS)]
    labels = [one for one in inside if one.is_dir() and find_format(one) is None]
    named = [one for one in labels if one.name == LABELS or "OpenPose" in format_of(one)]
    found = unread + [one for one in named if format_of(one) != UNKNOWN]
    return found or _first_of_each_suffix(folder)


def _first_of_each_suffix(folder: Path) -> list[Path]:
    """List the first file of each suffix of tracks below a folder, unless it is a calibration."""
    found: dict[str, Path] = {}
    places = folders_in(folder)
    for _ in range(DEEPEST):
        inside = [one for place in places for one in entries(place)]
        for file in (one for one in inside if one.is_file()):
            suffix = file.suffix.lower()
            if suffix in TRACK_SUFFIXES - {*found} and not is_calibration(file):
                found[suffix] = file
        places = [one for one in inside if one.is_dir()]
    return [*found.values()]


def _plain_stem(source: Source) -> str:
    """Return the name of a file without what says that it is the better one of two."""
    return _FILTERED.sub("", source.path.stem).rstrip("._-")


def _rank(source: Source) -> tuple[bool, int]:
    raw = _FILTERED.search(source.path.stem) is None
    suffix = source.path.suffix.lower()
    known = PREFERRED_SUFFIXES.index(suffix) if suffix in PREFERRED_SUFFIXES else 0
    return raw, known


def _places_of_camera(folder: Path) -> tuple[Path, ...]:
    """Return where the detections of a camera's folder may be, the most refined first."""
    return (*map(folder.joinpath, DETECTIONS), folder)


def _note_on_other_places(folder: Path) -> Iterator[str]:
    """Yield a note on detections that folders of cameras have in a second place too."""
    inside = [] if sources_beside(folder) else folders_in(folder)
    places = ([*filter(sources_beside, _places_of_camera(one))] for one in inside)
    double = [found for found in places if len(found) > 1]
    if double:
        used, *others = (str(place.relative_to(folder)) for place in double[0])
        more = f", and likewise of {len(double) - 1} other cameras" if len(double) > 1 else ""
        yield f"{folder}: uses the detections in {used}, not those in {listed(others)}{more}"


def _in_camera_folders(folder: Path) -> list[Source]:
    found = []
    for inside in folders_in(folder):
        places = _places_of_camera(inside)
        for path in next(filter(None, map(sources_beside, places)), []):
            video = only_video(path) if _RUN.fullmatch(inside.name) else None
            found.append((path, inside.name, video))
    shared = len(found) > 1 and len({video for *_, video in found}) == 1  # names no camera
    return [Source(path, name if shared else video or name) for path, name, video in found]


def _is_run_of_one_video(source: Source) -> bool:
    run = _RUN.fullmatch(source.camera_folder)
    return run is not None and only_video(source.path) is not None


def _has_camera_folders(path: Path, settings: ReadSettings) -> bool:
    """Return whether folders with detections are named after different cameras of a calibration."""
    sources = _in_camera_folders(path)
    names = sorted({source.camera_folder for source in sources})
    if len(names) < 2:  # noqa: PLR2004 - a session has several cameras
        return False
    try:
        rig = find_rig(settings, path)
    except ReadError:
        return False  # the folders below name their own calibration, or repeat this error
    if rig is None:
        return False
    if rig.cameras.views > 1 and all(map(_is_run_of_one_video, sources)):
        return True  # --map says which camera each run is of
    matches = [match_camera(rig.cameras.names, name) for name in names]
    cameras = [match[0] for match in matches if match is not None]
    return len(cameras) > 1 and len(set(cameras)) == len(cameras)
