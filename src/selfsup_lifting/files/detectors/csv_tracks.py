"""A plain CSV table of 2D tracks: one row per frame and person.

The header has `frame` and, for every joint, `<joint>_x`, `<joint>_y` and optionally
`<joint>_confidence`, which other programs call `_score`, `_likelihood` or `_conf`. The columns
`camera`, `person` and `time` [s] are optional. An empty cell is missing; a joint without confidence
is certain. Cells are separated by commas, semicolons or tabs. Lines that begin with # are comments.
Rows of frames without a person may be left out, except the first and the last frame: the cameras of
a recording must cover equally many frames. A table that also has `<joint>_z` contains 3D points and
is not read.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import NamedTuple

import torch

from selfsup_lifting.files.tracks.person_frames import (
    LATEST,
    PersonFrame,
    arrange_people,
    frame_range,
    frame_rate,
    note_on_identities,
    note_on_lost_frames,
    skipped_frames_note,
)
from selfsup_lifting.files.tracks.view_tracks import DetectorFormat, ViewTracks, view_tracks
from selfsup_lifting.parse.json_values import LARGEST_NUMBER
from selfsup_lifting.parse.tables import first_cells, number_in, read_rows
from selfsup_lifting.read_errors import Place, listed
from selfsup_lifting.skeleton.infer import body_by_names
from selfsup_lifting.skeleton.skeletons import Skeleton

NAME = "CSV"
# What other programs call the confidence of a joint.
CONFIDENCES = ("confidence", "score", "likelihood", "conf")
_TIME = re.compile(r"(?i)time|^t$|fps|frame_?rate|seconds")
PLAIN_COLUMNS = ("frame", "camera", "person", "time")


def _recognizes(path: Path) -> bool:
    """Recognize a table whose header has a `frame`, and joints with x and y but no z."""
    names = first_cells(path)
    joints = _joints(names)
    return "frame" in names and bool(joints) and not any(f"{one}_z" in names for one in joints)


def _read(path: Path, declared: Skeleton | None) -> list[ViewTracks]:
    """Read every camera in the table; a table without cameras is one, named after the file."""
    rows = _rows(path)
    joints = _joints(rows[0].cells)
    cameras = dict.fromkeys(row.cells.get("camera", path.stem) for row in rows)
    return [
        _view(path, camera, joints, declared, [
            row for row in rows if row.cells.get("camera", camera) == camera
        ])
        for camera in cameras
    ]  # fmt: skip


FORMAT = DetectorFormat("csv", _recognizes, _read)


class _Row(NamedTuple):
    """The cells of a row by the names of the header, and its place in the file."""

    place: Place
    cells: Mapping[str, str]

    def number(self, column: str) -> float:
        """Return the number in a cell; NaN if the cell is empty or absent."""
        cell = self.cells.get(column, "")
        try:
            return number_in(cell)
        except ValueError:
            place = replace(self.place, entry=f"{self.place.entry}, column {column}")
            raise place.expected("a number", cell) from None

    def frame(self) -> int:
        number = self.number("frame")
        if not 0 <= number <= LARGEST_NUMBER or number != int(number):
            raise self.place.expected("a frame number", self.cells["frame"])
        return int(number)

    def time(self) -> float:
        """Return the time [s]; NaN if the cell is empty or absent."""
        seconds = self.number("time")
        if abs(seconds) >= LATEST:
            raise self.place.expected("a time in seconds", self.cells["time"])
        return seconds


def _view(
    path: Path, camera: str, joints: Sequence[str], declared: Skeleton | None, rows: Sequence[_Row]
) -> ViewTracks:
    people = [_person(row, joints) for row in rows]
    _require_distinct(path, people, can_be_unnamed="person" in rows[0].cells)
    present = [person.frame for person in people]
    times = {row.frame(): row.time() for row in rows}
    frames = frame_range(path, present)
    numbers, names = arrange_people(path, people, frames)
    body = body_by_names(path, joints, declared=declared, numbers=numbers)
    notes = (
        *skipped_frames_note(path, present), *_note_on_columns(path, joints, rows[0].cells),
        *note_on_lost_frames(path, camera, times), *note_on_identities(path, people),
    )  # fmt: skip
    view = view_tracks(
        camera, path, NAME, body, numbers, first_frame=frames.start, people=names, notes=notes
    )
    first = min(rows, key=_Row.frame).time()
    first_time = None if isnan(first) else first
    return replace(view, fps=frame_rate(times), first_time=first_time, every_frame=False)


def _rows(path: Path) -> list[_Row]:
    rows = read_rows(path)
    header = rows[0].cells if rows else []
    _require_header(path, header)
    if len(rows) == 1:
        raise Place(path).error("expected rows below the header, got none")
    found = [_Row(place, dict(zip(header, cells, strict=True))) for place, cells in rows[1:]]
    for row in found:
        if not row.cells.get("camera", path.stem).strip():
            raise row.place.expected("the name of a camera", row.cells["camera"])
    return found


def _joints(header: Mapping[str, str] | Sequence[str]) -> tuple[str, ...]:
    return tuple(name.removesuffix("_x") for name in header if name.endswith("_x"))


def _score_of(joint: str, cells: Mapping[str, str]) -> str:
    """Return the column of a joint's confidence; that of no confidence is absent too."""
    columns = [f"{joint}_{name}" for name in CONFIDENCES]
    return next((column for column in columns if column in cells), columns[0])


def _note_on_columns(path: Path, joints: Sequence[str], cells: Mapping[str, str]) -> Iterator[str]:
    """Yield notes on the columns that are not read; those of times may be meant for `time`."""
    read = {f"{joint}_{axis}" for joint in joints for axis in "xy"}
    read |= {_score_of(joint, cells) for joint in joints} | {*PLAIN_COLUMNS}
    unread = [name for name in cells if name and name not in read]
    times = [name for name in unread if _TIME.search(name)]
    unread = [name for name in unread if name not in times]
    if unread:
        yield f"{path}: columns that are not read: {listed(unread)}"
    if times:
        yield f"{path}: {listed(times)} is not read; times in seconds are read from `time`"


def _require_header(path: Path, header: Sequence[str]) -> None:
    needed = ["frame", *(f"{joint}_y" for joint in _joints(header))]
    wrong = [f"{name} is lacking" for name in needed if name not in header]
    counts = Counter(filter(None, header))
    wrong += [f"{name} appears twice" for name, times in sorted(counts.items()) if times > 1]
    blank = [joint for joint in _joints(header) if joint != joint.strip()]
    wrong += [f"{joint!r} begins or ends with a blank" for joint in blank]
    wrong += ["no column ends in _x"] if len(needed) == 1 else []
    joints = [one.removesuffix("_x") for one in _joints(header) if one.endswith("_x")]
    doubled = [one for one in joints if f"{one}_y_x" in header]
    wrong += [f"{one} is there twice, as if two tables were merged" for one in doubled[:1]]
    if wrong:
        raise Place(path).error(
            "the header must name `frame` and, once each, <joint>_x and <joint>_y; "
            + "; ".join(wrong)
        )


def _person(row: _Row, joints: Sequence[str]) -> PersonFrame:
    scores = [_score_of(one, row.cells) for one in joints]
    numbers = [
        [row.number(f"{one}_x"), row.number(f"{one}_y"), row.number(score)]
        for one, score in zip(joints, scores, strict=True)
    ]
    return PersonFrame(row.frame(), torch.tensor(numbers), row.cells.get("person") or None)


def _require_distinct(path: Path, people: Sequence[PersonFrame], *, can_be_unnamed: bool) -> None:
    seen: set[tuple[int, str | None]] = set()
    for person in people:
        if can_be_unnamed and person.person is None:
            continue
        if (person.frame, person.person) in seen:
            raise Place(path, frame=person.frame).error(
                "the file contains this frame twice; several people need a column `person`, and "
                "several cameras a column `camera`"
            )
        seen.add((person.frame, person.person))
