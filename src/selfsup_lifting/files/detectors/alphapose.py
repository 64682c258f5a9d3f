"""AlphaPose and COCO results: one JSON list of people, each with the image it was found in."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfsup_lifting.files.tracks.people_json import (
    PEOPLE_KEYS,
    frame_number,
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
        people = [_person(place.at(at), person) for at, person in enumerate(content)]
        numbered = all(isinstance(person["image_id"], int | float) for person in content)
        name, frames = COCO if numbered else ALPHAPOSE, [person.frame for person in people]
    else:
        people, frames = _people_by_image(place, object_at(place, content))
        name = ALPHAPOSE
    view = tracks_of_people(path, name, people, frames, declared)
    return [replace(view, every_frame=False, whole_span=False)]


FORMAT = DetectorFormat("alphapose", _recognizes, _read)


def _person(place: Place, person: object) -> PersonFrame:
    fields = object_at(place, person)
    if "image_id" not in fields or "keypoints" not in fields:
        raise place.expected("`image_id` and `keypoints`", sorted(fields))
    identity = str(fields["idx"]) if isinstance(fields.get("idx"), int | str) else None
    frame = _frame(place.at("image_id"), fields["image_id"])
    return PersonFrame(frame, triples_at(place.at("keypoints"), fields["keypoints"]), identity)


def _frame(place: Place, image_id: object) -> int:
    """Read the frame number from a number, or from the last digits of a file name."""
    if isinstance(image_id, str):
        return frame_number(image_id, place.path)
    return whole_number_at(place, image_id)


def _people_by_image(
    place: Place, images: Mapping[str, Any]
) -> tuple[list[PersonFrame], list[int]]:
    """Read the formats "cmu" and "open": one object per image, or only one image."""
    if any(people in images for people in PEOPLE_KEYS):
        return [PersonFrame(0, person) for person in people_at(place, images)], [0]
    frames = {name: frame_number(name, place.path) for name in images}
    people = [
        PersonFrame(frames[name], person)
        for name, image in images.items()
        for person in people_at(place.at(name), object_at(place.at(name), image))
    ]
    return people, [*frames.values()]
