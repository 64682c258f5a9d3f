"""OpenPose, AlphaPose's sep-json and MMPose on images: a folder with one JSON file per frame."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.files.tracks.people_json import (
    PEOPLE_KEYS,
    frames_by_name,
    instance_at,
    note_on_several_videos,
    people_at,
)
from selfsup_lifting.files.tracks.person_frames import PersonFrame, tracks_of_people
from selfsup_lifting.files.tracks.view_tracks import DetectorFormat, ViewTracks
from selfsup_lifting.parse.folders import files_with, require_downloaded
from selfsup_lifting.parse.json_values import load_json
from selfsup_lifting.parse.text import beginning
from selfsup_lifting.read_errors import Place, listed
from selfsup_lifting.skeleton.skeletons import Skeleton

NAME = "OpenPose"
# The model MPI (`--model_pose MPI`) has as many joints as HumanEva's skeleton, in another order.
MPI_JOINTS = 15
# No picture is wider or taller [px].
WIDEST = 1_000_000
# What a list of MMPose's instances of one image contains, and what one of many frames contains.
_INSTANCE, _FRAMES = '"keypoint_scores"', ('"instances"', '"image_id"')


def _recognizes(path: Path) -> bool:
    """Recognize a folder with one JSON file of people per frame; one file may be damaged."""
    files = _frame_files(path) if path.is_dir() else []
    sample = {files[at] for at in (0, len(files) // 2, -1)} if files else set()
    return any(_is_one_frame(beginning(file, ".json")) for file in sample)


def _read(path: Path, declared: Skeleton | None) -> list[ViewTracks]:
    """Read a folder; the last digits of a file name are the frame number."""
    require_downloaded(path)
    inside = _frame_files(path)
    names = frames_by_name(path, [file.name for file in inside])
    files = {names[file.name]: file for file in inside}
    people, sizes = [], set[tuple[int, int]]()
    for frame, file in files.items():
        content = load_json(file)
        people += [PersonFrame(frame, person) for person in _people(Place(file), content)]
        sizes |= {*_sizes(content)}
    if declared is None and any(len(person.numbers) == MPI_JOINTS for person in people):
        raise Place(path).error(
            f"expected --detected-skeleton for {MPI_JOINTS} keypoints: OpenPose's model MPI (head, "
            "neck, right shoulder, ..., chest) has another order than humaneva15; name a TOML file "
            "with the joints in the order of the data"
        )
    view = tracks_of_people(path, NAME, people, [*files], declared, files=files)
    notes = (*view.notes, *note_on_several_videos(path, names))
    if len(sizes) > 1:
        notes += (
            f"{path}: the pictures of its frames have several sizes: {listed(sorted(sizes))}",
        )
    size = sizes.pop() if len(sizes) == 1 else None
    return [replace(view, frame_files=tuple(files), image_size=size, notes=notes)]


FORMAT = DetectorFormat("openpose", _recognizes, _read)


def require_one_video(path: Path) -> None:
    """Refuse a folder in which OpenPose wrote the frames of several cameras.

    Raises:
        ReadError: If two files have the number of one frame; it names them.
    """
    if _recognizes(path):
        frames_by_name(path, [file.name for file in _frame_files(path)])


def _frame_files(folder: Path) -> list[Path]:
    return files_with(folder, ".json")


def _sizes(content: object) -> Iterator[tuple[int, int]]:
    """Yield width and height of the picture, which DWPose and ControlNet write."""
    frame = content if isinstance(content, dict) else {}
    match frame.get("canvas_width"), frame.get("canvas_height"):
        case int(width), int(height) if min(width, height) > 1 and max(width, height) <= WIDEST:
            yield width, height


def _people(place: Place, content: object) -> list[Float[Tensor, "joints 3"]]:
    if not isinstance(content, list):
        return people_at(place, content)
    people = [instance_at(place.at(at), one) for at, one in enumerate(content)]
    return [person for person in people if person is not None]


def _is_one_frame(start: str) -> bool:
    """Return whether a JSON file begins with the people of one frame, not with many frames."""
    if start.lstrip().startswith("["):
        return _INSTANCE in start and not any(mark in start for mark in _FRAMES)
    before = [start.partition(f'"{people}"') for people in PEOPLE_KEYS]
    return any(mark and outside.count("{") == 1 + outside.count("}") for outside, mark, _ in before)
