"""A session: detections of every camera, and a calibration file."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from selfsup_lifting.calibration import Rig
from selfsup_lifting.files.detectors import find_format, read_tracks
from selfsup_lifting.files.detectors.openpose import require_one_video
from selfsup_lifting.files.other_kinds import format_of
from selfsup_lifting.files.sessions.assembly import assemble, with_note_on_skeleton
from selfsup_lifting.files.sessions.camera_matching import (
    best_guesses,
    declared_cameras,
    match_camera,
    without_own_numbers,
)
from selfsup_lifting.files.sessions.layout import (
    Source,
    other_folders,
    preferred,
    session_folders,
    sources_beside,
    sources_of,
    unrecognized_tracks,
)
from selfsup_lifting.files.sessions.project import (
    CONFIGS,
    SUFFIXES,
    Project,
    find_rig,
    is_calibration,
)
from selfsup_lifting.files.tracks.view_tracks import ViewTracks
from selfsup_lifting.parse.folders import entries, folders_in
from selfsup_lifting.read_errors import Place, ReadError, listed
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.reader import Reader, ReadResult
from selfsup_lifting.safe_text import alphabets, encodable

# So many files of a folder without a calibration are tried as one.
MOST_TRIED = 20


def _recognizes(path: Path) -> bool:
    """Recognize a project with detections, a folder of projects, or a folder of detections."""
    return path.is_dir() and bool(session_folders(path, ReadSettings()))


def _read(path: Path, settings: ReadSettings) -> list[ReadResult]:
    """Read every session in a folder: one recording each, or several if the file names say so.

    The path is a project of Pose2Sim or anipose, a folder of projects, or a folder with one file or
    folder of detections per camera, with one folder per camera, or with one file of all cameras.
    """
    folders = session_folders(path, settings)
    if not folders:
        raise Place(path).error(
            "expected a folder with detections, one file or folder per camera, got none"
        )
    sessions = [_Session.of(folder, settings) for folder in folders]
    names = _distinct_names([session.project.folder.resolve() for session in sessions])
    named = [replace(one, name=name) for one, name in zip(sessions, names, strict=True)]
    results = [result for session in named for result in session.read(settings)]
    notes = _notes_on_empty_trials(path, [session.folder.resolve() for session in sessions])
    return [replace(one, notes=(*one.notes, *notes)) for one in results[:1]] + results[1:]


READER = Reader("capture", _recognizes, _read)


@dataclass(frozen=True)
class _Session:
    """The folder of a session, its name, project and calibration, and the names of its files."""

    folder: Path
    name: str
    project: Project
    rig: Rig
    declared: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path, settings: ReadSettings) -> "_Session":
        project = Project.of(folder)
        rig = find_rig(settings, project.folder)
        if rig is None:
            raise _lacks_calibration(project.folder)
        name = project.folder.resolve().name
        return cls(folder, name, project, rig, declared_cameras(settings.map, rig.cameras.names))

    def read(self, settings: ReadSettings) -> list[ReadResult]:
        """Read every recording of the session."""
        if settings.filmed_by is not None:
            raise Place(self.folder).error(
                "`filmed_by` names the camera of a single 2D track; in a folder, the names of the "
                "files say their cameras, and --map pairs them"
            )
        sources, notes = preferred(sources_of(self.folder))
        notes += (*other_folders(self.folder), *self.project.notes)
        return [
            result
            for rest, rig, views in self._views(sources, settings)
            for result in self._assembled(rest, rig, views, settings, notes)
        ]

    def _views(
        self, sources: Sequence[Source], settings: ReadSettings
    ) -> list[tuple[str, Rig, list[ViewTracks]]]:
        """Return the recordings with the skeleton of the settings, or else of the project."""
        stated = self.project.skeleton
        if settings.detected_skeleton is not None or stated is None:
            return self._recordings(sources, settings.detected_skeleton)
        try:
            found = self._recordings(sources, stated)
        except ReadError as error:
            told = f"{error}; `pose_model` of the project's Config.toml is {stated}"
            raise ReadError(told, error.details) from None
        return [(rest, rig, with_note_on_skeleton(views, stated)) for rest, rig, views in found]

    def _recordings(
        self, sources: Sequence[Source], skeleton: str | None
    ) -> list[tuple[str, Rig, list[ViewTracks]]]:
        """Return the name of every recording, the cameras that saw it, and its views."""
        matched = {source: self._camera(source) for source in sources}
        unmatched = [source for source, match in matched.items() if match is None]
        tables = _tables(unmatched, skeleton)
        lost = [source for source in unmatched if source not in tables]
        parts = [(match, source) for source, match in matched.items() if match is not None]
        found: list[tuple[str, Rig, list[ViewTracks]]] = [
            (
                rest,
                self.rig,
                [self._view(camera, group[camera], skeleton) for camera in self.rig.cameras.names],
            )
            for rest, group in self._by_recording(parts, lost, tables).items()
        ]
        alone = len(tables) == 1 and not found
        return [
            *found,
            *(self._of_table(source, views, alone) for source, views in tables.items()),
        ]

    def _of_table(
        self,
        source: Source,
        views: Sequence[ViewTracks],
        alone: bool,  # noqa: FBT001 - the only recording
    ) -> tuple[str, Rig, list[ViewTracks]]:
        """Return the recording of one file."""
        by_name = self._by_camera(views)
        rig = self._rig_of(source, by_name)
        return (
            "" if alone else source.path.stem,
            rig,
            [by_name[name] for name in rig.cameras.names],
        )

    def _view(self, camera: str, source: Source, declared: str | None) -> ViewTracks:
        """Read the detections of a camera; refuse a file that says it is of another one."""
        views = read_tracks(source.path, declared)
        if len(views) > 1:
            cameras = listed(view.camera for view in views)
            raise Place(source.path).error(f"expected one camera, got {len(views)}: {cameras}")
        stated = views[0].camera
        match = None if self.declared else match_camera(self.rig.cameras.names, stated)
        if match is not None and match[0] != camera and stated != source.path.stem:
            raise Place(source.path).error(
                f"expected the camera {camera}, as the name says, got {stated} in the file; "
                "rename it, or pair cameras and files with --map"
            )
        return replace(views[0], camera=source.camera_folder or source.path.name)

    def _camera(self, source: Source) -> tuple[str, str] | None:
        names, pattern = self.rig.cameras.names, self.project.camera_pattern
        return source.camera(names, pattern, self.declared)

    def _assembled(
        self,
        rest: str,
        rig: Rig,
        views: Sequence[ViewTracks],
        settings: ReadSettings,
        notes: Sequence[str],
    ) -> list[ReadResult]:
        name = f"{self.name} {rest}".rstrip()
        results = assemble(name, rig, views, settings, fps=self.project.fps, notes=notes)
        return [self.project.without_face(result, settings) for result in results]

    def _by_recording(
        self,
        parts: Sequence[tuple[tuple[str, str], Source]],
        lost: Sequence[Source],
        tables: Mapping[Source, object],
    ) -> dict[str, dict[str, Source]]:
        """Group the sources by recording and camera, as their names say."""
        everything = [(camera, source) for (camera, _), source in parts]
        groups = _grouped(everything, [rest for (_, rest), _ in parts])
        if not all(map(self._is_whole, groups.values())):  # as of names like `walk_Miqus_1_24025`
            others = _grouped(everything, without_own_numbers([match for match, _ in parts]))
            groups = others if all(map(self._is_whole, others.values())) else groups
        if lost or not (groups or tables):
            self._require_cameras(everything, lost)
        if self._is_whole(everything):
            return {"": dict(everything)}
        for rest, group in groups.items():
            self._require_cameras(group, [], rest if len(groups) > 1 else None)
        return {rest: dict(group) for rest, group in groups.items()}

    def _is_whole(self, group: Sequence[tuple[str, Source]]) -> bool:
        """Return whether a group has each camera once."""
        return sorted(camera for camera, _ in group) == sorted(self.rig.cameras.names)

    def _require_cameras(
        self,
        found: Sequence[tuple[str, Source]],
        lost: Sequence[Source],
        recording: str | None = None,
    ) -> None:
        """Refuse detections and a calibration with different cameras; the message lists them."""
        counts = Counter(camera for camera, _ in found)
        lacking = [name for name in self.rig.cameras.names if name not in counts]
        twice = sorted(counts - Counter(set(counts)))
        names = [source.camera_folder or source.path.name for source in lost]
        if lacking or lost or twice:
            for source in lost:
                require_one_video(source.path)
            parts = [f"with several detections: {_listed(found, twice)}"] if twice else []
            unread = _unread_sources(self.folder, lacking)
            parts += [f"{one.name} is {format_of(one)}" for one in unread]
            parts += [
                f"{one.path.relative_to(self.folder)} is one folder deeper than others"
                for one in _deeper_sources(self.folder, lacking)
            ]
            if recording is not None:
                files = listed(source.path.name for _, source in found)
                parts.append(f"by its name, {files} is of another recording, {recording!r}")
            if len(lacking) > len(counts) and not (lost or twice):
                parts.append(
                    "if these were not used, write a calibration without them, with "
                    "`save_cameras` of the others, `load_cameras(FILE).select(NAMES)`"
                )
            raise self._different_cameras(lacking, names, parts)

    def _different_cameras(
        self, lacking: Sequence[str], lost: Sequence[str], more: Sequence[str] = ()
    ) -> ReadError:
        """Return the error that lists cameras without detections, and files without a camera."""
        odd = [name for name in lost if name != encodable(name)]
        guesses = [] if odd else best_guesses(lacking, list(dict.fromkeys(lost)))
        usual = alphabets("".join(self.rig.cameras.names))
        strange = {name: alphabets(name) - usual for name in lost}
        pairs = " ".join(f"{camera}={file}" for camera, file in guesses)
        parts = [
            f"without detections: {listed(lacking, most=12) or 'none'}",
            f"without calibration: {', '.join(lost) or 'none'}",
            *more,
            *(["names of files are not in UTF-8: rename them"] if odd else []),
            *(
                f"{name} has {', '.join(sorted(found))} letters"
                for name, found in strange.items()
                if found
            ),
            *([f"if these pairs are right, add --map {pairs}"] if guesses else []),
        ]
        return ReadError(
            f"{self.rig.path} and {self.folder} have different cameras: " + "; ".join(parts),
            details=_table_of_guesses(guesses),
        )

    def _rig_of(self, source: Source, views: Mapping[str, ViewTracks]) -> Rig:
        """Return the cameras that a table of several cameras names; without rows, none saw."""
        names = self.rig.cameras.names
        blind = [name for name in names if name not in views]
        if not blind:
            return self.rig
        note = f"{source.path}: has no rows of {', '.join(blind)}, which are left out"
        seen = [name for name in names if name in views]
        return Rig(self.rig.cameras.select(seen), self.rig.path, (*self.rig.notes, note))

    def _by_camera(self, views: Sequence[ViewTracks]) -> dict[str, ViewTracks]:
        """Return the views of a table by their camera; refuse an unknown camera, or one twice."""
        names = self.rig.cameras.names
        found: dict[str, ViewTracks] = {}
        lost, twice = [], []
        for view in views:
            match = match_camera(names, view.camera, declared=self.declared)
            if match is None:
                lost.append(view.camera)
            elif match[0] in found:
                twice.append(f"{found[match[0]].camera} and {view.camera} are both {match[0]}")
            else:
                found[match[0]] = view
        if len(found) < len(views):
            lacking = [name for name in names if name not in found]
            if len(views) > len(names):
                raise Place(views[0].source).error(
                    f"expected one track for each of the {len(names)} cameras of {self.rig.path}, "
                    f"got {len(views)}: {listed(view.camera for view in views)}; likely cause: the "
                    "file holds several recordings: write each to a file of its own"
                )
            raise self._different_cameras(lacking, lost, twice)
        return found


def _lacks_calibration(folder: Path) -> ReadError:
    """Return the error of a session without a calibration; it names files that could be one."""
    files = [one for one in entries(folder) if one.suffix.lower() in SUFFIXES and one.is_file()]
    likely = [one for one in files[:MOST_TRIED] if find_format(one) is None and is_calibration(one)]
    named = f"{listed(likely)}, whose name does not say that it is one," if likely else "one"
    unpacked = any("\\" in one.name for one in files)
    windows = "; names with \\ are of a zip of Windows, which another program unpacks to folders"
    return Place(folder).error(
        "expected a calibration (calibration/*.toml or calib*.toml), got none; name "
        f"{named} with --cameras{windows * unpacked}"
    )


def _notes_on_empty_trials(path: Path, read: Sequence[Path]) -> Iterator[str]:
    """Yield a note on folders that are configured as trials, but have no detections."""
    home = path.resolve()
    between = {above for folder in read for above in folder.parents if home in above.parents}
    for place in sorted({home, *between}):
        for trial in folders_in(place):
            is_read = any(folder.is_relative_to(trial) for folder in read)
            if (trial / CONFIGS[0]).is_file() and not is_read:
                yield f"{trial}: a trial without detections, which is left out"


def _distinct_names(folders: Sequence[Path]) -> list[str]:
    """Name recordings like their folders, with the folders above where two have the same name."""
    depths = [1] * len(folders)
    while True:
        names = [" ".join(one.parts[-depth:]) for one, depth in zip(folders, depths, strict=True)]
        twice = [names.count(name) > 1 for name in names]
        deeper = [depth + own for depth, own in zip(depths, twice, strict=True)]
        if not any(twice) or any(
            depth > len(one.parts) for one, depth in zip(folders, deeper, strict=True)
        ):
            return names
        depths = deeper


def _table_of_guesses(guesses: Sequence[tuple[str, str]]) -> str:
    """Return the lines that show which file each camera may have."""
    if not guesses:
        return ""
    width = max(len(camera) for camera, _ in [("camera", ""), *guesses])
    rows = [f"  {camera:{width}}  {file}" for camera, file in guesses]
    return "\n".join([f"  {'camera':{width}}  file (a guess by its name)", *rows])


def _grouped(
    found: Sequence[tuple[str, Source]], names: Sequence[str]
) -> dict[str, list[tuple[str, Source]]]:
    """Group the files of cameras by the names of their recordings."""
    groups: dict[str, list[tuple[str, Source]]] = {}
    for name, pair in zip(names, found, strict=True):
        groups.setdefault(name, []).append(pair)
    return groups


def _tables(sources: Sequence[Source], declared: str | None) -> dict[Source, list[ViewTracks]]:
    """Read the files and folders that hold several cameras."""
    files = [source for source in sources if _may_hold_several(source.path)]
    read = {source: read_tracks(source.path, declared) for source in files}
    return {source: views for source, views in read.items() if len(views) > 1}


def _may_hold_several(path: Path) -> bool:
    format = find_format(path)
    return path.is_file() or (format is not None and format.folder_of_cameras)


def _listed(found: Sequence[tuple[str, Source]], twice: Sequence[str]) -> str:
    names = {}
    for camera in twice:
        paths = [source.path for one, source in found if one == camera]
        plain = [path.name for path in paths]
        same = len(set(plain)) < len(plain)
        names[camera] = ", ".join(
            f"{path.parent.name}/{path.name}" if same else path.name for path in paths
        )
    return "; ".join(f"{camera} ({files})" for camera, files in names.items())


def _deeper_sources(folder: Path, cameras: Sequence[str]) -> list[Source]:
    """List the detections in folders below those of the given cameras."""
    named = [one for one in folders_in(folder) if match_camera(cameras, one.name) is not None]
    return [source for one in named if not sources_beside(one) for source in sources_of(one)]


def _unread_sources(folder: Path, cameras: Sequence[str]) -> list[Path]:
    """List the files and folders in no known format that could be of the given cameras."""
    unread = [
        *unrecognized_tracks(folder),
        *(one for one in folders_in(folder) if find_format(one) is None and not sources_of(one)),
    ]
    return [one for one in unread if match_camera(cameras, Source(one).plain_name) is not None]
