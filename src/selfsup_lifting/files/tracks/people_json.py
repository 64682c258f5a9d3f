"""People as JSON files of detectors store them: the layouts of OpenPose and of MMPose."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.parse.json_values import list_at, numbers_at, object_at
from selfsup_lifting.read_errors import Place, listed

# The names of a frame's list of people and of their keypoints: OpenPose's, AlphaPose's "cmu".
PEOPLE_KEYS: Mapping[str, str] = {"people": "pose_keypoints_2d", "bodies": "joints"}
# What OpenPose 1.0 called the keypoints of the body, and how the lists of its other parts begin.
OLD_BODY, OTHER_PARTS = "pose_keypoints", ("face_", "hand_", "pose_keypoints_3d")
# The numbers of a joint in space.
DEEP = 3
# The ends of the name of a file or picture, and the number of its frame.
_SUFFIX, _NUMBER = re.compile(r"(\.[A-Za-z]\w*)+$"), re.compile(r"\d+(?=\D*$)")


def people_at(place: Place, content: object) -> list[Float[Tensor, "joints 3"]]:
    """Read the people of one frame in OpenPose's layout; an empty person is left out."""
    frame = content if isinstance(content, dict) else {}
    for people, keypoints in PEOPLE_KEYS.items():
        if people in frame:
            entries = enumerate(list_at(place.at(people), frame[people]))
            found = [_person(place.at(people).at(at), one, keypoints) for at, one in entries]
            return [person for person in found if person is not None]
    raise place.expected("`people`, a list", content)


def instance_at(place: Place, instance: object) -> Float[Tensor, "joints 3"] | None:
    """Read one person in MMPose's layout; None if it has no keypoints."""
    fields = object_at(place, instance)
    if not fields.get("keypoints"):
        return None
    joints = fields["keypoints"] if isinstance(fields["keypoints"], list) else [None]
    if all(isinstance(joint, list) and len(joint) == DEEP for joint in joints):
        raise place.at("keypoints").error(
            "expected x and y of every joint, got three numbers; likely cause: 3D points of the "
            "inferencer, which are not the detections of a camera"
        )
    keypoints = numbers_at(place.at("keypoints"), fields["keypoints"], -1, 2, per_joint=1)
    scores = fields.get("keypoint_scores")
    if scores is None:
        return torch.cat([keypoints, torch.full((len(keypoints), 1), torch.nan)], dim=1)
    confidence = numbers_at(place.at("keypoint_scores"), scores, len(keypoints), per_joint=1)
    return torch.cat([keypoints, confidence[:, None]], dim=1)


def triples_at(place: Place, flat: object) -> Float[Tensor, "joints 3"]:
    """Read x, y and confidence of every joint from one flat list."""
    numbers = numbers_at(place, flat, -1, per_joint=3)
    if len(numbers) % 3 or not len(numbers):
        raise place.expected("x, y and confidence of every joint", flat)
    return numbers.reshape(-1, 3)


def frame_number(name: str, path: Path) -> int:
    """Return the frame number in a name: its last digits, without those of a suffix like `.jp2`."""
    digits = re.findall(r"\d+", _SUFFIX.sub("", name))
    if not digits:
        raise Place(path).error(f"expected a frame number in the name {name!r}, got no digit")
    return int(digits[-1])


def frames_by_name(path: Path, names: Iterable[str]) -> dict[str, int]:
    """Return the frame number of each name; a ReadError names two that have the same one."""
    frames = {name: frame_number(name, path) for name in names}
    owners: dict[int, str] = {}
    for name, frame in frames.items():
        if owners.setdefault(frame, name) != name:
            raise Place(path, frame=frame).error(
                f"{owners[frame]} and {name} have this number, the last one in their names; likely "
                "cause: the frames of several videos or cameras together"
            )
    return frames


def note_on_several_videos(path: Path, names: Iterable[str]) -> Iterator[str]:
    """Yield a note if names differ by more than the number of the frame."""
    videos = dict.fromkeys(_NUMBER.sub("#", _SUFFIX.sub("", name)) for name in names)
    if len(videos) > 1:
        yield (
            f"{path}: frames are named in several ways, {listed(videos)}, and are read as those of "
            "one video, by their numbers"
        )


def _person(place: Place, person: object, keypoints: str) -> Float[Tensor, "joints 3"] | None:
    """Read one person; an empty object was rejected when people were matched across views."""
    fields = object_at(place, person)
    key = keypoints if keypoints in fields else OLD_BODY
    flat: Any = fields.get(key)
    if flat is not None and flat != []:
        return triples_at(place.at(key), flat)
    others = [name for name, part in fields.items() if name.startswith(OTHER_PARTS) and part]
    if others:
        raise place.at(keypoints).error(
            f"expected the body's keypoints beside {listed(others)}, got none; likely cause: "
            "OpenPose ran without the body, or in 3D"
        )
    return None


def note_on_unread_keys(
    path: Path, content: Mapping[str, object], read: Collection[str]
) -> Iterator[str]:
    """Yield a note on the keys of a file's outermost object that are not read."""
    unread = [key for key in content if key not in read]
    if unread:
        yield f"{path}: keys that are not read: {listed(unread)}"
