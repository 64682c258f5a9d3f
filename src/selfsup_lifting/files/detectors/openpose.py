"""One JSON file per frame in a folder: OpenPose, AlphaPose's sep-json, MMPose on single images."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.files.detectors.mmpose import instance_numbers
from selfsup_lifting.files.detectors.person_frames import Sighting, tracks_of_sightings
from selfsup_lifting.files.detectors.view_tracks import ViewTracks
from selfsup_lifting.files.parse.json_values import (
    Place,
    list_at,
    load_json,
    numbers_at,
    object_at,
)
from selfsup_lifting.recording import ReadError
from selfsup_lifting.skeleton.skeletons import Skeleton

LAYOUT = "OpenPose"
BEGINNING = 4096

# What OpenPose's layout and AlphaPose's "cmu" call a frame's people, and their keypoints.
PEOPLE: Mapping[str, str] = {"people": "pose_keypoints_2d", "bodies": "joints"}
# What stands in a list of instances of one picture, and what in one of many frames.
_INSTANCE, _FRAMES = '"keypoint_scores"', ('"instances"', '"image_id"')


def recognises(path: Path) -> bool:
    """Tell a folder with one JSON per frame, each with its people; one may be damaged."""
    files = frame_files(path) if path.is_dir() else []
    sample = {files[at] for at in (0, len(files) // 2, -1)} if files else set()
    return any(_tells_one_frame(_beginning(file)) for file in sample)


def read_views(path: Path, told: Skeleton | None) -> list[ViewTracks]:
    """Read what one camera saw.

    Args:
        path: The folder of JSON files; the last digits of a file name count the frame.
        told: What the joints are; told from their number and anatomy where None.

    Returns:
        Everybody in every frame; a frame without a file, or without people, is missing.

    Raises:
        ReadError: If a file is damaged or tells other joints than the rest; the sentence names it.
    """
    files: dict[int, Path] = {}
    for file in frame_files(path):
        frame = frame_number(file.stem, file)
        if frame in files:
            raise ReadError(f"{file} and {files[frame].name} both tell frame {frame}")
        files[frame] = file
    sightings = [
        Sighting(frame, person) for frame, file in files.items() for person in _people(file)
    ]
    _require_one_count(files, sightings)
    return [tracks_of_sightings(path, LAYOUT, sightings, [*files], told)]


def frame_files(folder: Path) -> list[Path]:
    """List the JSON files of a folder, by name."""
    return [file for file in sorted(folder.glob("*.json")) if file.is_file()]


def frame_number(name: str, path: Path) -> int:
    """Read the number of the frame: the last digits in a name, whatever follows."""
    digits = re.findall(r"\d+", name)
    if not digits:
        raise ReadError(f"{path}: the name {name} tells no frame number")
    return int(digits[-1])


def people_at(place: Place, content: Mapping[str, Any]) -> list[Float[Tensor, "joints 3"]]:
    """Read a frame's people in OpenPose's layout; an empty one is nobody."""
    for group, keypoints in PEOPLE.items():
        if group in content:
            people = enumerate(list_at(place.at(group), content[group]))
            found = [_person(place.at(group).at(at), person, keypoints) for at, person in people]
            return [person for person in found if person is not None]
    raise place.expected("`people`, a list", content)


def _people(path: Path) -> list[Float[Tensor, "joints 3"]]:
    content, place = load_json(path), Place(path)
    if isinstance(content, list):
        people = [instance_numbers(place.at(at), one) for at, one in enumerate(content)]
        return [person for person in people if person is not None]
    if not isinstance(content, dict):
        raise place.expected("`people`, a list", content)
    return people_at(place, content)


def _person(place: Place, person: object, keypoints: str) -> Float[Tensor, "joints 3"] | None:
    """Read one person; an empty object was rejected by an association."""
    flat = object_at(place, person).get(keypoints)
    if flat is None or flat == []:
        return None
    numbers = numbers_at(place.at(keypoints), flat, -1, per_joint=3)
    if len(numbers) % 3:
        raise place.at(keypoints).expected("x, y and confidence of every joint", flat)
    return numbers.reshape(-1, 3)


def _require_one_count(files: Mapping[int, Path], sightings: list[Sighting]) -> None:
    for sighting in sightings:
        expected, came = len(sightings[0].numbers), len(sighting.numbers)
        if came != expected:
            raise ReadError(
                f"{files[sighting.frame]}: expected {expected} keypoints as in "
                f"{files[sightings[0].frame].name}, got {came}; they are of another skeleton"
            )


def _tells_one_frame(beginning: str) -> bool:
    """Tell the people of one frame, outermost in the file, from those of many frames."""
    if beginning.lstrip().startswith("["):
        return _INSTANCE in beginning and not any(mark in beginning for mark in _FRAMES)
    before = [beginning.partition(f'"{group}"') for group in PEOPLE]
    return any(mark and outside.count("{") == 1 + outside.count("}") for outside, mark, _ in before)


def _beginning(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.read(BEGINNING)
