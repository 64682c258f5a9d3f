"""MediaPipe: the results of its pose landmarker as JSON, one file per video.

The file is a list of frames, or an object with `frames`. A frame is a result as the JavaScript
library (`landmarks`, or `poseLandmarks` of the older one) or the Python library (`pose_landmarks`)
has it: a list of people with 33 landmarks each, or the landmarks of one person; Protocol Buffers
write the latter as `{"landmark": [...]}`. x and y are shares of the picture. World landmarks are
left out, and so are points that MediaPipe guesses outside of the picture.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf, isfinite, nan
from pathlib import Path
from statistics import median
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.files.tracks.people_json import note_on_unread_keys
from selfsup_lifting.files.tracks.person_frames import (
    LATEST,
    PersonFrame,
    frame_rate,
    note_on_lost_frames,
    require_distinct_frames,
    tracks_of_people,
)
from selfsup_lifting.files.tracks.view_tracks import DetectorFormat, Scale, ViewTracks
from selfsup_lifting.parse.json_values import (
    list_at,
    load_json,
    numbers_at,
    object_at,
    whole_number_at,
)
from selfsup_lifting.parse.text import beginning
from selfsup_lifting.read_errors import Place
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton

NAME = "MediaPipe"
PEOPLE = ("pose_landmarks", "poseLandmarks", "landmarks")
# What an application wrote beside the landmarks, in any unit.
TIMES = ("timestamp_ms", "timestampMs", "timestamp", "time")
# The score of a landmark, the better one first: is it visible, or at least in the picture?
SCORES = ("visibility", "presence")
FRAME = ("frame", "frame_index", "frameIndex")
MARKS = tuple(json.dumps(name) for name in PEOPLE)
# MediaPipe guesses points outside of the picture, but not so far [picture widths].
FARTHEST = 10.0
# Left and right hip among the 33 landmarks; their middle is the origin of the world landmarks.
HIPS, SAME_PLACE = (23, 24), 1e-2


def _recognizes(path: Path) -> bool:
    start = beginning(path, ".json")
    return any(mark in start for mark in MARKS)


def _read(path: Path, declared: Skeleton | None) -> list[ViewTracks]:
    """Read the file of one camera; a frame without a number has that of its place."""
    content, place = load_json(path), Place(path)
    unread: tuple[str, ...] = ()
    if isinstance(content, dict) and "frames" in content:
        unread = tuple(note_on_unread_keys(path, content, {"frames"}))
        content, place = content["frames"], place.at("frames")
    entries = _entries(place, content) if isinstance(content, dict) else list_at(place, content)
    found = [_frame(place.at(at), at, entry) for at, entry in enumerate(entries)]
    _require_numbers(place, entries, [frame for frame, _ in found])
    require_distinct_frames(path, [frame for frame, _ in found])
    people = [PersonFrame(frame, person) for frame, persons in found for person in persons]
    _require_shares(path, people)
    people = [replace(one, numbers=_inside(one.numbers)) for one in people]
    body = declared or SKELETONS["blazepose33"]
    view = tracks_of_people(path, NAME, people, [frame for frame, _ in found], body)
    seconds = _seconds({frame: entry for (frame, _), entry in zip(found, entries, strict=True)})
    lost = tuple(note_on_lost_frames(path, view.camera, seconds))
    return [
        replace(
            view, scale=Scale.SHARES, fps=frame_rate(seconds),
            notes=(*view.notes, *unread, *lost),
        )
    ]  # fmt: skip


FORMAT = DetectorFormat("mediapipe", _recognizes, _read)


def _entries(place: Place, content: Mapping[str, Any]) -> list[Any]:
    """Return the frames of an object: those under their numbers, or the only one."""
    others = [key for key in content if not key.isdecimal()]
    if content and not others:
        return [_numbered(int(key), entry) for key, entry in content.items()]
    if not {*PEOPLE} & {*content}:
        if len(others) < len(content):
            raise place.expected("numbers of frames as keys", others[0])
        raise place.expected("a list of frames, or an object with `frames`", sorted(content))
    return [content]


def _require_numbers(place: Place, entries: Sequence[object], frames: Sequence[int]) -> None:
    """Refuse a frame without a number among others whose numbers are not those of their places."""
    numbered = [isinstance(one, dict) and any(name in one for name in FRAME) for one in entries]
    if not all(numbered) and [*frames] != [*range(len(frames))]:
        raise place.at(numbered.index(False)).error(
            f"this frame has no number (`{'`, `'.join(FRAME)}`), but others have one"
        )


def _frame(place: Place, at: int, entry: object) -> tuple[int, list[Float[Tensor, "joints 3"]]]:
    fields: Mapping[str, Any] = {} if entry is None else object_at(place, entry)
    numbered = [name for name in FRAME if name in fields]
    frame = whole_number_at(place.at(numbered[0]), fields[numbered[0]]) if numbered else at
    keys = [name for name in PEOPLE if fields.get(name)]
    if not keys:
        return frame, []
    if any(fields[name] != fields[keys[0]] for name in keys):
        raise place.error(f"expected equal landmarks in {' and '.join(keys)}, got different ones")
    place, people = place.at(keys[0]), fields[keys[0]]
    if _is_one_person(people):
        return frame, [_person(place, people)]
    return frame, [_person(place.at(at), one) for at, one in enumerate(list_at(place, people))]


def _numbered(frame: int, entry: object) -> dict[str, object]:
    """Return the entry of a frame that stands under its number: an object, or the landmarks."""
    fields = entry if isinstance(entry, dict) else {PEOPLE[0]: entry or []}
    return {"frame": frame, **fields}


def _seconds(entries: Mapping[int, object]) -> dict[int, float]:
    """Return the time of each frame [s], NaN if unknown, infinite if it is none.

    Steps above 1 are milliseconds.
    """
    times = {frame: _time(entry) for frame, entry in entries.items()}
    known = [time for time in times.values() if isfinite(time)]
    scale = 1e-3 if known and max(known) - min(known) > len(known) else 1.0
    return {frame: scale * time for frame, time in times.items()}


def _time(entry: object) -> float:
    fields = entry if isinstance(entry, dict) else {}
    given = [fields[name] for name in TIMES if fields.get(name) is not None]
    numbers = [one for one in given if isinstance(one, int | float) and not isinstance(one, bool)]
    known = (one for one in numbers if not abs(one) >= LATEST)  # also NaN
    return next((float(one) for one in known), inf if given else nan)


def _is_one_person(people: object) -> bool:
    """Return whether these are the landmarks of one person, not a list of people."""
    first = people[0] if isinstance(people, list) and people else people
    return isinstance(first, dict) and ("x" in first or isinstance(people, dict))


def _person(place: Place, person: object) -> Float[Tensor, "joints 3"]:
    if isinstance(person, dict):
        place, person = place.at("landmark"), person.get("landmark")
    rows = []
    for at, landmark in enumerate(list_at(place, person)):
        point = object_at(place.at(at), landmark)
        scores = (point[name] for name in SCORES if point.get(name) is not None)
        rows.append([point.get("x"), point.get("y"), next(scores, None)])
    return numbers_at(place, rows, -1, 3, per_joint=1)


def _require_shares(path: Path, people: Sequence[PersonFrame]) -> None:
    """Refuse pixels, and world landmarks, whose origin is the middle of the hips."""
    known = (one.numbers[:, :2].abs() for one in people if len(one.numbers))
    reach = [float(numbers.nan_to_num().max()) for numbers in known]
    if reach and median(reach) > FARTHEST:
        got = f"coordinates up to {max(reach):.4g}: pixels"
        raise Place(path).error(f"expected shares of width and height, got {got}")
    hips = [
        one.numbers[list(HIPS), :2].mean(dim=0)
        for one in people
        if len(one.numbers) > max(HIPS) and (one.numbers[list(HIPS), 2] != 0).all()
    ]
    if hips and float(torch.stack(hips).abs().amax(dim=1).median()) < SAME_PLACE:
        raise Place(path).error(
            "expected shares of width and height, got hips around zero: world landmarks in meters"
        )


def _inside(numbers: Float[Tensor, "joints 3"]) -> Float[Tensor, "joints 3"]:
    """Leave out the points that MediaPipe guesses outside of the picture."""
    outside = ((numbers[:, :2] < 0) | (numbers[:, :2] > 1)).any(dim=1, keepdim=True)
    return torch.where(outside, torch.nan, numbers)
