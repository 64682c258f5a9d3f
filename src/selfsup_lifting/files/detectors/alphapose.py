"""AlphaPose and COCO results: one JSON list of people, each with the picture it was seen in."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.files.detectors.openpose import PEOPLE, frame_number, people_at
from selfsup_lifting.files.detectors.person_frames import Sighting, tracks_of_sightings
from selfsup_lifting.files.detectors.view_tracks import ViewTracks
from selfsup_lifting.files.parse.json_values import (
    Place,
    load_json,
    numbers_at,
    object_at,
    whole_number_at,
)
from selfsup_lifting.skeleton.skeletons import Skeleton

ALPHAPOSE, COCO = "AlphaPose", "COCO results"
BEGINNING = 65_536


def recognises(path: Path) -> bool:
    """Tell a list of people with their `image_id`, or pictures with their `people` or `bodies`."""
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        beginning = file.read(BEGINNING)
    if beginning.lstrip().startswith("["):
        return '"image_id"' in beginning and '"keypoints"' in beginning
    return any(f'"{group}"' in beginning for group in PEOPLE)


def read_views(path: Path, told: Skeleton | None) -> list[ViewTracks]:
    """Read what one camera saw.

    Args:
        path: The JSON file: AlphaPose's list, its formats "cmu" and "open", or COCO results.
        told: What the joints are; told from their number where None.

    Returns:
        Everybody in every frame; people whom AlphaPose tracked keep their `idx`.

    Raises:
        ReadError: If something else stands where people should.
    """
    content, place = load_json(path), Place(path)
    if isinstance(content, list):
        people = [_person(place.at(at), person) for at, person in enumerate(content)]
        layout = COCO if all(_is_number(person["image_id"]) for person in content) else ALPHAPOSE
        sightings, frames = people, [person.frame for person in people]
    else:
        sightings, frames = _by_picture(place, object_at(place, content))
        layout = ALPHAPOSE
    view = tracks_of_sightings(path, layout, sightings, frames, told)
    return [replace(view, every_frame=False, whole_span=False)]


def _person(place: Place, person: object) -> Sighting:
    told = object_at(place, person)
    if "image_id" not in told or "keypoints" not in told:
        raise place.expected("`image_id` and `keypoints`", sorted(told))
    tracked = told.get("idx")
    return Sighting(
        _picture(place.at("image_id"), told["image_id"]),
        _keypoints(place.at("keypoints"), told["keypoints"]),
        str(tracked) if isinstance(tracked, int | str) else None,
    )


def _keypoints(place: Place, flat: object) -> Float[Tensor, "joints 3"]:
    numbers = numbers_at(place, flat, -1, per_joint=3)
    if len(numbers) % 3 or not len(numbers):
        raise place.expected("x, y and score of every joint", flat)
    return numbers.reshape(-1, 3)


def _picture(place: Place, image_id: object) -> int:
    """Read the frame from a number, or from the last digits of a file name."""
    if isinstance(image_id, str):
        return frame_number(image_id, place.path)
    return whole_number_at(place, image_id)


def _by_picture(place: Place, pictures: Mapping[str, Any]) -> tuple[list[Sighting], list[int]]:
    """Read the formats "cmu" and "open": an object per picture; a lone picture may be the file."""
    if any(group in pictures for group in PEOPLE):
        return [Sighting(0, person) for person in people_at(place, pictures)], [0]
    frames = {name: frame_number(name, place.path) for name in pictures}
    sightings = [
        Sighting(frames[name], person)
        for name, told in pictures.items()
        for person in people_at(place.at(name), object_at(place.at(name), told))
    ]
    return sightings, [*frames.values()]


def _is_number(image_id: object) -> bool:
    return isinstance(image_id, int | float)
