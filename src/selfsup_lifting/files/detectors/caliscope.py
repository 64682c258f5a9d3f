"""caliscope: a table with one row per point, of all cameras, of a person or of a ChArUco board.

`sync_index` counts the frames of all cameras together. A person has the 33 points of BlazePose;
points of hands and face, which follow in the same table, are left out. Missing points have no row,
and no point has a score.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from selfsup_lifting.files.tracks.person_frames import LATEST, frame_range, frame_rate
from selfsup_lifting.files.tracks.view_tracks import DetectorFormat, ViewTracks, view_tracks
from selfsup_lifting.parse.json_values import LARGEST_FRAME
from selfsup_lifting.parse.tables import first_cells, number_in, read_rows
from selfsup_lifting.read_errors import Place, listed
from selfsup_lifting.skeleton.infer import Body, body_by_names
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton

NAME = "caliscope"
# The columns of the camera and of the point, today's name first.
CAMERA, POINT = ("cam_id", "port"), ("keypoint_id", "point_id")
PIXEL = ("img_loc_x", "img_loc_y")
# The columns of a corner's position on a board; empty for people.
BOARD = ("board_loc_x", "obj_loc_x")
# The columns that are read, and those that say the same or where a corner is on the board.
COLUMNS = re.compile(
    r"sync_index|cam_id|port|object_id|(keypoint|point)_id|(img|board|obj)_loc_[xyz]|frame_(time|index)|"
)
# A face has 478 points, and a large board some hundred corners.
LARGEST_POINT = 10_000
PERSON = SKELETONS["blazepose33"]
# BlazePose finds all of its points; a hand has the numbers 0 to 20.
BELOW_THE_ARMS = frozenset(range(21, 33))


class _Point(NamedTuple):
    """One row: a point in one frame of one camera."""

    frame: int
    camera: str
    number: int
    pixel: tuple[float, float]
    seconds: float
    on_board: bool


def _recognizes(path: Path) -> bool:
    names = first_cells(path)
    one_of_each = all(any(name in names for name in kind) for kind in (CAMERA, POINT))
    return one_of_each and {"sync_index", *PIXEL} <= set(names)


def _read(path: Path, declared: Skeleton | None) -> list[ViewTracks]:
    """Read every camera of the table; all have the frames of the whole table."""
    header, *rows = read_rows(path)
    points = [_point(place, dict(zip(header.cells, cells, strict=True))) for place, cells in rows]
    if not points:
        raise Place(path).error("expected rows below the header, got none")
    body = _body(path, points, declared)
    frames = frame_range(path, [point.frame for point in points])
    late = _offsets(points)
    unread = [name for name in header.cells if not COLUMNS.fullmatch(name)]
    told = (f"{path}: columns that are not read: {listed(unread)}",) if unread else ()
    notes = (*told, *_note_on_hands(path, points, declared))
    views = [
        replace(
            _view(path, camera, body, frames, [one for one in points if one.camera == camera]),
            first_time=late.get(camera),
        )
        for camera in sorted({point.camera for point in points})
    ]
    return [replace(views[0], notes=(*views[0].notes, *notes)), *views[1:]]


FORMAT = DetectorFormat("caliscope", _recognizes, _read)


def _point(place: Place, cells: Mapping[str, str]) -> _Point:
    camera, number = (_column(place, cells, kind) for kind in (CAMERA, POINT))
    if not cells[camera]:
        raise place.expected("the number of a camera", cells[camera])
    seconds = _number(place, cells, "frame_time") if "frame_time" in cells else torch.nan
    if abs(seconds) >= LATEST:
        raise place.expected("seconds in the column frame_time", cells["frame_time"])
    x, y = (_number(place, cells, name) for name in PIXEL)
    on_board = any(cells.get(name) for name in BOARD)
    frame = _whole(place, cells, "sync_index", LARGEST_FRAME)
    point = _whole(place, cells, number, LARGEST_POINT)
    return _Point(frame, f"cam_{cells[camera]}", point, (x, y), seconds, on_board)


def _column(place: Place, cells: Mapping[str, str], names: Sequence[str]) -> str:
    """Return the column of the camera or of the point; those of both names must be equal."""
    found = [name for name in names if name in cells]
    if len({cells[name].removesuffix(".0") for name in found if cells[name]}) > 1:
        both = ", ".join(cells[name] for name in found)
        raise place.expected(f"equal numbers in the columns {' and '.join(found)}", both)
    return found[0]


def _body(path: Path, points: Sequence[_Point], declared: Skeleton | None) -> Body:
    if not any(point.on_board for point in points):
        skeleton = declared or PERSON
        return Body(skeleton, tuple(range(len(skeleton.joints))))
    corners = [f"corner_{at}" for at in range(max(point.number for point in points) + 1)]
    return body_by_names(path, corners, declared=declared)


def _note_on_hands(
    path: Path, points: Sequence[_Point], declared: Skeleton | None
) -> tuple[str, ...]:
    """Return a note on a table of people in which no camera sees more than BlazePose's arms."""
    seen = {point.number for point in points}
    if declared is not None or any(point.on_board for point in points) or seen & BELOW_THE_ARMS:
        return ()
    return (
        f"{path}: has no point from {min(BELOW_THE_ARMS)} to {max(BELOW_THE_ARMS)}, as the tables "
        "of caliscope's tracker of hands; its points were taken for the head and the arms of "
        f"{PERSON.name}: --detected-skeleton names others",
    )


def _view(
    path: Path, camera: str, body: Body, frames: range, points: Sequence[_Point]
) -> ViewTracks:
    numbers = torch.full((len(frames), 1, 1 + max(body.order), 3), torch.nan)
    known = [point for point in points if point.number < numbers.shape[2]]
    rows = torch.tensor([point.frame - frames.start for point in known], dtype=torch.long)
    joints = torch.tensor([point.number for point in known], dtype=torch.long)
    for point, times in Counter((point.frame, point.number) for point in known).items():
        if times > 1:
            place = Place(path, frame=point[0], camera=camera)
            raise place.error(f"the file contains point {point[1]} twice")
    numbers[rows, 0, joints, :2] = torch.tensor([point.pixel for point in known]).reshape(-1, 2)
    view = view_tracks(camera, path, NAME, body, numbers, first_frame=frames.start)
    return replace(view, fps=frame_rate({point.frame: point.seconds for point in points}))


def _offsets(points: Sequence[_Point]) -> dict[str, float]:
    """Return how late each camera filmed its frames, against all cameras; of those with times."""
    times: dict[int, dict[str, float]] = {}
    for point in points:
        if isfinite(point.seconds):
            times.setdefault(point.frame, {})[point.camera] = point.seconds
    late: dict[str, list[float]] = {}
    for moment in times.values():
        usual = median(moment.values())
        for camera, seconds in moment.items():
            late.setdefault(camera, []).append(seconds - usual)
    return {camera: median(some) for camera, some in late.items()}


def _whole(place: Place, cells: Mapping[str, str], column: str, largest: int) -> int:
    number = _number(place, cells, column)
    if not 0 <= number <= largest or number != int(number):
        raise place.expected(f"a whole number in the column {column}", cells.get(column, ""))
    return int(number)


def _number(place: Place, cells: Mapping[str, str], column: str) -> float:
    try:
        return number_in(cells.get(column, ""))
    except ValueError:
        raise place.expected(f"a number in the column {column}", cells[column]) from None
