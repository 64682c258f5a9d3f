"""OpenPose: one JSON file per frame, in a folder per camera."""

import json
import re
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.readers.tracks import (
    Sighting,
    ViewTracks,
    covering_range,
    gather_sightings,
)
from selfsup_lifting.recordings import ReadError
from selfsup_lifting.skeletons import SKELETONS, Skeleton

# Which skeletons have how many keypoints; BODY_25 and BODY_25B are told apart by their anatomy.
_BY_COUNT: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {17: ("coco17",), 18: ("coco18",), 25: ("body25", "body25b"), 26: ("halpe26",)}
)
# Joints that lie between two others, by which a body is told: (middle, one side, other side).
_MIDDLES: Mapping[str, tuple[tuple[str, str, str], ...]] = MappingProxyType(
    {
        "body25": (
            ("pelvis", "left_hip", "right_hip"),
            ("neck", "left_shoulder", "right_shoulder"),
        ),
        "body25b": (
            ("nose", "left_eye", "right_eye"),
            ("upper_neck", "left_shoulder", "right_shoulder"),
        ),
    }
)


def is_openpose_folder(path: Path) -> bool:
    """Tell a folder with one JSON per frame, each with its `people`; one may be damaged."""
    files = sorted(path.glob("*.json")) if path.is_dir() else []
    sample = {files[at] for at in (0, len(files) // 2, -1)} if files else set()
    return any('"people"' in _beginning(file) for file in sample)


def read_openpose_folder(path: Path, skeleton: Skeleton | None) -> ViewTracks:
    """Read what OpenPose saw in one camera.

    Args:
        path: The folder of JSON files; the last digits of a file name count the frame.
        skeleton: What the joints are; told from their number and anatomy where None.

    Returns:
        Everybody in every frame; a frame without a file, or without people, is missing.

    Raises:
        ReadError: If a file is damaged or tells other joints than the rest; the sentence names it.
    """
    files = {frame_number(file): file for file in sorted(path.glob("*.json"))}
    sightings = [
        Sighting(frame, person) for frame, file in files.items() for person in _people(file)
    ]
    _require_one_count(files, sightings)
    body = skeleton or _recognised(path, sightings)
    if sightings and len(sightings[0].numbers) != len(body.joints):
        raise ReadError(
            f"{files[sightings[0].frame]}: expected {len(body.joints)} keypoints of "
            f"{body.name!r}, got {len(sightings[0].numbers)}; they are of another skeleton"
        )
    return gather_sightings(path.name, path, body, covering_range(path, [*files]), sightings)


def frame_number(path: Path) -> int:
    """Read the number of the frame: the last digits in the name, whatever follows."""
    digits = re.findall(r"\d+", path.stem)
    if not digits:
        raise ReadError(f"{path}: its name tells no frame number")
    return int(digits[-1])


def _people(path: Path) -> list[Float[Tensor, "joints 3"]]:
    people = load_json(path)
    people = people.get("people") if isinstance(people, dict) else None
    if not isinstance(people, list):
        raise ReadError(f"{path}: expected `people`, a list; this is no OpenPose file")
    found = [_keypoints(path, index, person) for index, person in enumerate(people)]
    return [person for person in found if person is not None]


def _keypoints(path: Path, index: int, person: Any) -> Float[Tensor, "joints 3"] | None:  # noqa: ANN401 - whatever JSON holds
    """Read one person; an empty one was rejected by an association and is nobody."""
    flat = person.get("pose_keypoints_2d") if isinstance(person, dict) else person
    if flat is None or flat == []:
        return None
    try:
        numbers = torch.tensor(flat, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        numbers = torch.empty(0)
    if numbers.dim() != 1 or len(numbers) % 3 or not len(numbers):
        raise ReadError(
            f"{path}, person {index}: expected numbers x, y, confidence of every joint, "
            f"got {str(flat)[:60]}"
        )
    return numbers.reshape(-1, 3)


def load_json(path: Path) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Read a JSON file, or say where it breaks."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ReadError(f"{path} is no text in UTF-8: {error.reason}") from error
    except (ValueError, RecursionError) as error:
        raise ReadError(f"{path} is no JSON, or was cut short: {error}") from error


def _require_one_count(files: Mapping[int, Path], sightings: list[Sighting]) -> None:
    for sighting in sightings:
        expected, came = len(sightings[0].numbers), len(sighting.numbers)
        if came != expected:
            raise ReadError(
                f"{files[sighting.frame]}: expected {expected} keypoints as in "
                f"{files[sightings[0].frame].name}, got {came}; they are of another skeleton"
            )


def _recognised(path: Path, sightings: list[Sighting]) -> Skeleton:
    if not sightings:
        raise ReadError(f"{path}: nobody is seen in any file, so nothing tells the skeleton")
    count = len(sightings[0].numbers)
    candidates = _BY_COUNT.get(count, ())
    if not candidates:
        raise ReadError(
            f"{path}: {count} keypoints are of no skeleton known here (known: "
            f"{', '.join(f'{name} {len(body.joints)}' for name, body in SKELETONS.items())}); "
            "say which one with the setting `detected_skeleton`"
        )
    if len(candidates) == 1:
        return SKELETONS[candidates[0]]
    return told_by_anatomy(torch.stack([sighting.numbers for sighting in sightings]), candidates)


def told_by_anatomy(
    people: Float[Tensor, "people joints 3"], candidates: tuple[str, ...]
) -> Skeleton:
    """Choose the skeleton whose middle joints lie best in the middle; the first if none does."""
    strain = {name: _strain(people, SKELETONS[name], _MIDDLES[name]) for name in candidates}
    known = {name: value for name, value in strain.items() if isfinite(value)}
    return (
        SKELETONS[min(known, key=lambda name: known[name])] if known else SKELETONS[candidates[0]]
    )


def _strain(
    people: Float[Tensor, "people joints 3"],
    body: Skeleton,
    middles: tuple[tuple[str, str, str], ...],
) -> float:
    """Return how far, in body heights, the middle joints lie from the middle on the median."""
    seen = people[..., 2:] > 0
    places = torch.where(seen, people[..., :2], torch.nan)
    heights = places[..., 1].nan_to_num(-torch.inf).amax(1) - places[..., 1].nan_to_num(
        torch.inf
    ).amin(1)
    middle, one, other = (
        places[:, [body.joints.index(triple[part]) for triple in middles]] for part in range(3)
    )
    away = (middle - (one + other) / 2).norm(dim=-1) / heights[:, None]
    return float(away.nanmedian(dim=0).values.mean())


def _beginning(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(4096)
