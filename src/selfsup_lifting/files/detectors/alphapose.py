"""AlphaPose and COCO results: one JSON list of people, each with the image it was found in."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfsup_lifting.files.tracks.people_json import (
    PEOPLE_KEYS,
    frames_by_name,
    note_on_several_videos,
    people_at,
    triples_at,
)
from selfsup_lifting.files.tracks.person_frames import PersonFrame, tracks_of_people
from selfsup_lifting.files.tracks.view_tracks import DetectorFormat, ViewTracks
from selfsup_lifting.parse.json_values import load_json, object_at, whole_number_at
from selfsup_lifting.parse.text import beginning
from selfsup_lifting.read_errors import Place
from selfsup_lifting.skeleton.skeletons import Skeleton

ALPHAPOSE, COCO = "AlphaPose", "COCO results"
BEGINNING = 65_536


def _recognizes(path: Path) -> bool:
    """Recognize a list of people with `image_id`, or images with `people` or `bodies`."""
    start = beginning(path, ".json", characters=BEGINNING)
    if start.lstrip().startswith("["):
        return '"image_id"' in start and '"keypoints"' in start
    return any(f'"{people}"' in start for people in PEOPLE_KEYS)


def _read(path: Path, declared: Skeleton | None) -> list[ViewTracks]:
    """Read AlphaPose's list, its formats "cmu" and "open", or COCO results.

    People whom AlphaPose tracked keep their `idx`.
    """
    content, place = load_json(path), Place(path)
    if isinstance(content, list):
        frames = _frames(place, content)
        people = [_person(place.at(at), one, frames[at]) for at, one in enumerate(content)]
        names = [one["image_id"] for one in content if isinstance(one["image_id"], str)]
        name = ALPHAPOSE if names else COCO
    else:
        people, numbered = _people_by_image(place, object_at(place, content))
        names, frames = [*numbered], [*numbered.values()] or [0]
        name = ALPHAPOSE
    view = tracks_of_people(path, name, people, frames, declared)
    notes = (*view.notes, *note_on_several_videos(path, names))
    return [replace(view, every_frame=False, whole_span=False, notes=notes)]


FORMAT = DetectorFormat("alphapose", _recognizes, _read)


def _frames(place: Place, people: Sequence[object]) -> list[int]:
    """Return the frame of each person: the number of the image, or the last one in its name."""
    images = []
    for at, person in enumerate(people):
        fields = object_at(place.at(at), person)
        if "image_id" not in fields or "keypoints" not in fields:
            raise place.at(at).expected("`image_id` and `keypoints`", sorted(fields))
        images.append(fields["image_id"])
    names = dict.fromkeys(image for image in images if isinstance(image, str))
    named = frames_by_name(place.path, names)
    return [
        named[one] if isinstance(one, str) else whole_number_at(place.at(at).at("image_id"), one)
        for at, one in enumerate(images)
    ]


def _person(place: Place, fields: Mapping[str, Any], frame: int) -> PersonFrame:
    """Read one person; `idx` is the identity by AlphaPose, `track_id` by trackers of COCO."""
    identity = fields.get("idx", fields.get("track_id"))
    person = f"{identity:g}" if isinstance(identity, float) else identity
    known = str(person) if isinstance(person, int | str) else None
    kind = fields.get("category_id")
    numbers = triples_at(place.at("keypoints"), fields["keypoints"])
    return PersonFrame(frame, numbers, known, None if kind is None else str(kind))


def _people_by_image(
    place: Place, images: Mapping[str, Any]
) -> tuple[list[PersonFrame], dict[str, int]]:
    """Read the formats "cmu" and "open": one object per image, or only one image."""
    if any(people in images for people in PEOPLE_KEYS):
        return [PersonFrame(0, person) for person in people_at(place, images)], {}
    frames = frames_by_name(place.path, images)
    people = [
        PersonFrame(frames[name], person)
        for name, image in images.items()
        for person in people_at(place.at(name), object_at(place.at(name), image))
    ]
    return people, frames
