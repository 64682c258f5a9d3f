"""MMPose: one JSON file per video or image, from its inferencer or its demo scripts."""

from dataclasses import replace
from pathlib import Path

from selfsup_lifting.files.tracks.people_json import instance_at, note_on_unread_keys
from selfsup_lifting.files.tracks.person_frames import (
    PersonFrame,
    require_distinct_frames,
    tracks_of_people,
)
from selfsup_lifting.files.tracks.view_tracks import DetectorFormat, ViewTracks
from selfsup_lifting.parse.json_values import list_at, load_json, object_at, whole_number_at
from selfsup_lifting.parse.text import beginning
from selfsup_lifting.read_errors import Place, listed
from selfsup_lifting.skeleton.infer import Body, body_by_names, plain_joint
from selfsup_lifting.skeleton.skeletons import Skeleton

NAME = "MMPose"
BEGINNING = 262_144
_MARKS = ('"instance_info"', '"instances"', '"keypoint_scores"')


def _recognizes(path: Path) -> bool:
    """Recognize the inferencer's list of frames or instances, or the demo's `instance_info`."""
    start = beginning(path, ".json", characters=BEGINNING)
    return any(mark in start for mark in _MARKS)


def _read(path: Path, declared: Skeleton | None) -> list[ViewTracks]:
    """Read the file of one camera; tracked people keep their `track_id`."""
    content, place = load_json(path), Place(path)
    meta: object = None
    notes: tuple[str, ...] = ()
    if isinstance(content, dict) and "instance_info" not in content:
        raise place.error(
            "expected a list of frames, or an object with `instance_info`, got an object with "
            f"{listed(content)}; if these are cameras, write one file for each"
        )
    if isinstance(content, dict):
        notes = tuple(note_on_unread_keys(path, content, {"meta_info", "instance_info"}))
        meta, place = content.get("meta_info"), place.at("instance_info")
        content = content.get("instance_info")
    numbered = [_frame(place.at(at), frame) for at, frame in enumerate(_frames(place, content))]
    require_distinct_frames(path, [frame for frame, _ in numbered])
    people = [person for _, people in numbered for person in people]
    named = _named_body(path, meta, people, declared)
    skeleton = declared
    if named is not None:
        skeleton, order = named.skeleton, list(named.order)
        people = [replace(person, numbers=person.numbers[order]) for person in people]
    view = tracks_of_people(path, NAME, people, [frame for frame, _ in numbered], skeleton)
    markers = view.markers if named is None else named.markers
    return [replace(view, markers=markers, notes=(*view.notes, *notes))]


FORMAT = DetectorFormat("mmpose", _recognizes, _read)


def _frames(place: Place, content: object) -> list[object]:
    """Return the frames in a file; the file of one image contains only its instances."""
    frames = list_at(place, content)
    if all(isinstance(frame, dict) and "instances" not in frame for frame in frames):
        return [{"frame_id": 0, "instances": frames}]
    return frames


def _frame(place: Place, frame: object) -> tuple[int, list[PersonFrame]]:
    fields = object_at(place, frame)
    if "frame_id" not in fields or "instances" not in fields:
        raise place.expected("`frame_id` and `instances`", sorted(fields))
    number = whole_number_at(place.at("frame_id"), fields["frame_id"])
    place = place.at("instances")
    people = []
    for at, instance in enumerate(list_at(place, fields["instances"])):
        numbers = instance_at(place.at(at), instance)
        if numbers is not None:
            identity = instance.get("track_id")
            people.append(PersonFrame(number, numbers, None if identity is None else str(identity)))
    return number, people


def _named_body(
    path: Path, meta: object, people: list[PersonFrame], declared: Skeleton | None
) -> Body | None:
    """Find the skeleton from the joint names that the demo scripts write, if there are some.

    A declared skeleton with joints of other names has those in the order of the file.
    """
    named = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(meta, dict) or named is None or not people:
        return None
    count, place = len(people[0].numbers), Place(path, "meta_info.keypoint_id2name")
    try:
        names = {int(joint): str(name) for joint, name in named.items()}
        links = [(names[one], names[other]) for one, other in meta.get("skeleton_links") or []]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise place.expected("a name for each number of a joint", named) from None
    known = {plain_joint(name) for name in names.values()}
    if declared is not None and not {*map(plain_joint, declared.joints)} <= known:
        return None
    if sorted(names) != list(range(count)):
        raise place.error(
            f"names {len(names)} joints, but the instances have {count} keypoints; name the "
            "skeleton with --detected-skeleton"
        )
    ordered = [names[joint] for joint in range(count)]
    return body_by_names(path, ordered, links=links, declared=declared)
