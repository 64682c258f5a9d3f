"""MMPose: one JSON per video or picture, as its inferencer or its demo scripts write it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.files.detectors.person_frames import Sighting, tracks_of_sightings
from selfsup_lifting.files.detectors.view_tracks import ViewTracks
from selfsup_lifting.files.parse.json_values import (
    Place,
    list_at,
    load_json,
    numbers_at,
    object_at,
    whole_number_at,
)
from selfsup_lifting.recording import ReadError
from selfsup_lifting.skeleton.infer import body_by_names
from selfsup_lifting.skeleton.skeletons import Skeleton

LAYOUT = "MMPose"
BEGINNING = 262_144
_MARKS = ('"instance_info"', '"instances"', '"keypoint_scores"')


def recognises(path: Path) -> bool:
    """Tell the inferencer's list of frames or instances, or the demo's `instance_info`."""
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        beginning = file.read(BEGINNING)
    return any(mark in beginning for mark in _MARKS)


def read_views(path: Path, told: Skeleton | None) -> list[ViewTracks]:
    """Read what one camera saw.

    Args:
        path: The JSON file.
        told: What the joints are; told from the file's own names, else their number, where None.

    Returns:
        Everybody in every frame; people who were tracked keep their `track_id`.

    Raises:
        ReadError: If something else stands where MMPose writes frames and instances.
    """
    content, place = load_json(path), Place(path)
    meta: object = None
    if isinstance(content, dict):
        meta, place = content.get("meta_info"), place.at("instance_info")
        content = content.get("instance_info")
    frames = list_at(place, content)
    if all(isinstance(frame, dict) and "instances" not in frame for frame in frames):
        frames = [{"frame_id": 0, "instances": frames}]
    numbered = [_frame(place.at(at), frame) for at, frame in enumerate(frames)]
    _require_distinct(path, [frame for frame, _ in numbered])
    sightings = [sighting for _, people in numbered for sighting in people]
    skeleton = told or _named(path, meta, sightings)
    return [tracks_of_sightings(path, LAYOUT, sightings, [at for at, _ in numbered], skeleton)]


def instance_numbers(place: Place, instance: object) -> Float[Tensor, "joints 3"] | None:
    """Read one instance: keypoints and their scores; nobody where it has no keypoints."""
    told = object_at(place, instance)
    if not told.get("keypoints"):
        return None
    keypoints = numbers_at(place.at("keypoints"), told["keypoints"], -1, 2, per_joint=1)
    scores = told.get("keypoint_scores")
    confidence = (
        torch.ones(len(keypoints))
        if scores is None
        else numbers_at(place.at("keypoint_scores"), scores, len(keypoints), per_joint=1)
    )
    return torch.cat([keypoints, confidence[:, None]], dim=1)


def _frame(place: Place, frame: object) -> tuple[int, list[Sighting]]:
    told = object_at(place, frame)
    if "frame_id" not in told or "instances" not in told:
        raise place.expected("`frame_id` and `instances`", sorted(told))
    number = whole_number_at(place.at("frame_id"), told["frame_id"])
    instances = enumerate(list_at(place.at("instances"), told["instances"]))
    people = [
        (instance_numbers(place.at("instances").at(at), one), one.get("track_id"))
        for at, one in instances
    ]
    return number, [
        Sighting(number, numbers, None if person is None else str(person))
        for numbers, person in people
        if numbers is not None
    ]


def _require_distinct(path: Path, frames: Sequence[int]) -> None:
    twice = [frame for frame, times in Counter(frames).items() if times > 1]
    if twice:
        raise ReadError(f"{path}: frame {twice[0]} stands there twice")


def _named(path: Path, meta: object, sightings: list[Sighting]) -> Skeleton | None:
    """Tell the skeleton from the names that the demo scripts write, where they fit."""
    if not isinstance(meta, dict) or not sightings:
        return None
    try:
        names = {int(joint): str(name) for joint, name in meta["keypoint_id2name"].items()}
        ordered = [names[joint] for joint in range(len(sightings[0].numbers))]
        links = [(names[one], names[other]) for one, other in meta.get("skeleton_links") or []]
        body = body_by_names(path, ordered, links=links)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return body.skeleton if body.order == tuple(range(len(ordered))) else None
