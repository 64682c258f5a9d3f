"""The commands that show what is there: inspect and view."""

import glob
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain
from math import inf
from pathlib import Path

from rich.text import Text

from multiview_geom import Cameras
from selfsup_lifting.agreement import require_agreement
from selfsup_lifting.calibration import calibration_file
from selfsup_lifting.cli.options import (
    InspectOptions,
    ViewOptions,
    choose,
    frame_slice,
)
from selfsup_lifting.cli.output import (
    command_line,
    messages,
    part_progress,
    print_json,
    require_report,
    results,
)
from selfsup_lifting.cli.reading_progress import reading
from selfsup_lifting.cli.tables import (
    inspection_parts,
)
from selfsup_lifting.config_fields import differing
from selfsup_lifting.detection.videos import open_videos
from selfsup_lifting.evaluation.inspection import (
    Inspection,
    RigInspection,
    inspect_calibration,
    inspect_results,
)
from selfsup_lifting.evaluation.inspection_warnings import warnings_about_weights
from selfsup_lifting.files import read_results
from selfsup_lifting.files.other_kinds import named_with_format
from selfsup_lifting.files.reading import VIDEO_SUFFIXES
from selfsup_lifting.files.sessions.layout import unrecognized_tracks
from selfsup_lifting.files.sessions.project import calibrations_in
from selfsup_lifting.read_errors import ReadError, UnrecognizedError
from selfsup_lifting.read_settings import ReadSettings, meters_per_unit
from selfsup_lifting.recording import Recording
from selfsup_lifting.report.recording_report import save_inspection_report
from selfsup_lifting.upright import UPRIGHT
from selfsup_lifting.viewer.pictures import shown_frames
from selfsup_lifting.viewer.saving import about_view, require_view, save_view
from selfsup_lifting.viewer.scene import notes_on_scene, pairs_of_videos, read_scene, with_videos


def inspect(options: InspectOptions) -> None:
    """Show what a file or folder holds, what is missing, and which camera looks wrong."""
    require_report(options.report, overwrite=options.overwrite)
    found, recordings, cameras = _inspected(options.path, options.read)
    if options.report is not None:
        save_inspection_report(options.report, found, recordings, command_line(), cameras=cameras)
        messages.print(f"wrote {options.report}")
    if options.json:
        print_json(asdict(found))
        return
    for part in inspection_parts(found):
        results.print(part, soft_wrap=isinstance(part, Text))


def page_of(source: str) -> Path:
    """Return the page that shows a source if no other is named.

    Example:
        >>> page_of("session/walk.npz").name
        'walk.html'
    """
    path = Path(source)
    name = path.resolve().name if path.name == ".." else path.stem
    return Path(f"{name or 'view'}.html")


def view(options: ViewOptions) -> None:
    """Write pages, pictures and videos that show recordings and 3D tracks."""
    if not options.paths:
        raise ValueError(
            "`view` needs a recording or a 3D track, got none; likely cause: an option that takes "
            "several values, such as --video, took it: write it first"
        )
    if options.up is not None:
        choose(UPRIGHT, options.up, "up")
    outputs = options.out or (page_of(options.paths[0]),)
    for path in outputs:
        require_view(path, overwrite=options.overwrite)
    if options.video:
        open_videos(options.video)  # what is no video is said before any work is done
    pairs = pairs_of_videos(options.read.map, options.video)
    others = tuple(
        pair for pair in options.read.map
        if pair not in pairs or _names_detections(pair.partition("=")[2], options.paths)
    )  # fmt: skip
    with reading(options.paths):
        scene = read_scene(
            options.paths, replace(options.read, map=others), options.triangulation,
            frames=frame_slice(options.frames), up=options.up,
        )  # fmt: skip
    scene = with_videos(scene, options.video, pairs)
    weights = warnings_about_weights if options.triangulation.weighted else lambda _: []
    for note in (
        *notes_on_scene(scene),
        *require_agreement(scene.recordings, inf),
        *chain.from_iterable(map(weights, scene.recordings)),
    ):
        messages.print(f"warning: {note}")
    for path in outputs:
        images = len(shown_frames(path, scene))
        with part_progress(images, "image") as done:
            save_view(path, scene, done=done)
        messages.print(f"wrote {path}: {about_view(path, scene)}")
    if options.json:
        bodies = [body.name for body in scene.bodies]
        print_json({"files": [*map(str, outputs)], "frames": scene.frame_count, "bodies": bodies})


def _names_detections(file: str, paths: Sequence[str]) -> bool:
    """Return whether a folder has something of this name that is no video."""
    found = (one for path in paths for one in Path(path).glob(f"**/{glob.escape(file)}*"))
    return any(one.suffix.lower() not in VIDEO_SUFFIXES for one in found)


def _inspected(
    path: str, read: ReadSettings
) -> tuple[Inspection | RigInspection, list[Recording], Cameras | None]:
    """Inspect recordings and return them; where a path holds none, try it as a calibration."""
    try:
        with reading([path]):
            found = read_results(path, read)
        recordings = [one.recording for one in found]
        with part_progress(sum(one.part_count for one in recordings), "part") as done:
            return inspect_results(found, done=done), recordings, None
    except ReadError as unread:
        place = Path(path)
        if not place.is_file() and not isinstance(unread, UnrecognizedError):
            raise
        files = calibrations_in(place) if place.is_dir() else []
        others = unrecognized_tracks(place) if place.is_dir() else []
        try:
            file = calibration_file(files[0] if len(files) == 1 else place)
        except ValueError:
            raise unread from None
        unused = {*differing(read, ReadSettings())} - {"unit"}
        if unused and others:  # the settings are for these files, which no reader recognizes
            raise
        if unused:
            told = f"{path} is a calibration; `{min(unused)}` cannot be given beside it"
            raise ReadError(told) from None
        unit = read.unit or file.unit
        in_meters = file.cameras.scaled(meters_per_unit(unit or "m"))
        unread_files = named_with_format(others, place)
        return replace(inspect_calibration(file, unread_files), unit=unit), [], in_meters
