"""Ultralytics pose: a folder with one text file per frame, as `save_txt` writes it.

A line is a person: class, box, then x, y and score of every joint, the score of the box if it was
asked for, and the number of a tracked person. Coordinates are shares of the picture's width and
height. Older versions write a point with a score below 0.5 as (0, 0). Frames without a person have
no file, and those of several videos may lie in one folder.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.files.tracks.person_frames import PersonFrame, tracks_of_people
from selfsup_lifting.files.tracks.view_tracks import DetectorFormat, Scale, ViewTracks
from selfsup_lifting.parse.folders import files_with, require_downloaded
from selfsup_lifting.parse.text import beginning, read_text
from selfsup_lifting.read_errors import Place
from selfsup_lifting.skeleton.skeletons import Skeleton

NAME = "Ultralytics"
# Class and box before the joints; score of the box and number of the person after them.
BEFORE, MOST_AFTER = 5, 2
JOINTS = 17
# No point of a person is so far outside of the picture [picture widths].
FARTHEST = 10.0
# A box, and a box that is turned, have fewer numbers than a person of so many joints.
FEWEST_OTHER = 2
MOST_DIGITS = 12
_FRAME = re.compile(r"^(.*?)[_-]?([0-9]+)$")


def _recognizes(path: Path) -> bool:
    """Recognize a folder by the first line of one of its files; one file may be damaged.

    Joints of another number than 17 are recognized by lines of one length: those of outlines
    differ.
    """
    files = _frame_files(path) if path.is_dir() else []
    sample = {files[at] for at in (0, len(files) // 2, -1)} if files else set()
    lines = [beginning(file, ".txt").partition("\n")[0].split() for file in sample]
    if any(_is_person(words, JOINTS) for words in lines):
        return True
    counts = {(len(words) - BEFORE) // 3 for words in lines}
    joints = counts.pop() if len(lines) > 1 == len(counts) else 0
    return joints >= FEWEST_OTHER and all(_is_scored(words, joints) for words in lines)


def _read(path: Path, declared: Skeleton | None) -> list[ViewTracks]:
    """Read the frames of every video in the folder."""
    require_downloaded(path)
    videos: dict[str, dict[int, Path]] = {}
    for file in _frame_files(path):
        match = _FRAME.match(file.stem)
        if match is None:
            raise Place(file).error("expected a frame number at the end of the name, got none")
        if len(match[2]) > MOST_DIGITS:
            most = f"at most {MOST_DIGITS} digits at the end of the name"
            raise Place(file).expected(f"a frame number of {most}", match[2])
        frames = videos.setdefault(match[1], {})
        if int(match[2]) in frames:
            raise Place(file).error(f"{frames[int(match[2])].name} contains this frame too")
        frames[int(match[2])] = file
    return [_view(path, name, files, declared) for name, files in videos.items()]


FORMAT = DetectorFormat("ultralytics", _recognizes, _read, folder_of_cameras=True)


def only_video(path: Path) -> str | None:
    """Return the one video that the files in a folder `labels` are named after; None if not one."""
    files = _frame_files(path) if path.is_dir() else []
    names = {match[1] for file in files if (match := _FRAME.match(file.stem)) is not None}
    return names.pop() if len(names) == 1 else None


def _frame_files(folder: Path) -> list[Path]:
    return files_with(folder, ".txt")


def _is_person(words: Sequence[str], joints: int) -> bool:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return False
    box = numbers[1:BEFORE]
    return _width(words, joints) is not None and all(0 <= side <= 1 for side in box)


def _is_scored(words: Sequence[str], joints: int) -> bool:
    """Return whether a line is a class, and shares and scores of so many joints."""
    end = BEFORE + 3 * joints
    shares = _is_person(words, joints) and all(0 <= float(word) <= 1 for word in words[1:end])
    return shares and words[0].isdigit()


def _width(words: Sequence[str], joints: int) -> int | None:
    """Return how many numbers a joint has in a line; None if the line does not fit.

    Of two words after the joints, the second is the number of a person: otherwise they are joints
    of another skeleton.
    """
    extra = {width: len(words) - BEFORE - width * joints for width in (2, 3)}
    fits = [width for width, rest in extra.items() if 0 <= rest <= MOST_AFTER]
    numbered = (width for width in fits if extra[width] < MOST_AFTER or words[-1].isdigit())
    return next(numbered, None)


def _view(path: Path, name: str, files: dict[int, Path], declared: Skeleton | None) -> ViewTracks:
    joints = JOINTS if declared is None else len(declared.joints)
    people = [person for frame, file in files.items() for person in _people(file, frame, joints)]
    view = tracks_of_people(path, NAME, people, [*files], declared, files=files)
    camera = name or (path.parent.name if path.name == "labels" else path.name)
    return replace(view, camera=camera, scale=Scale.SHARES, every_frame=False, whole_span=False)


def _people(file: Path, frame: int, joints: int) -> list[PersonFrame]:
    text = read_text(file) if file.stat().st_size else ""  # nobody was found in this frame
    lines = enumerate(text.splitlines(), start=1)
    return [
        _person(Place(file, f"line {count}"), line, frame, joints)
        for count, line in lines
        if line.strip()
    ]


def _person(place: Place, line: str, frame: int, joints: int) -> PersonFrame:
    words = line.split()
    width = _width(words, joints)
    if width is None:
        raise place.expected(
            f"class, box and {joints} joints of 2 or 3 numbers (--detected-skeleton names others)",
            f"{len(words)} words",
        )
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise place.expected("numbers", line) from None
    end = BEFORE + width * joints
    after = words[end:]
    identity = after[-1] if after and after[-1].isdigit() else None
    joints_of_person = _joints(torch.tensor(numbers[BEFORE:end]), width)
    reach = float(joints_of_person[:, :2].abs().nan_to_num().max())
    if reach > FARTHEST:
        raise place.error(
            f"expected shares of width and height, got coordinates up to {reach:.4g}: pixels"
        )
    return PersonFrame(frame, joints_of_person, identity, words[0])


def _joints(flat: Float[Tensor, "numbers"], width: int) -> Float[Tensor, "joints 3"]:
    """Return x, y and score; a point at (0, 0) is one that the model hardly saw."""
    rows = flat.reshape(-1, width)
    scores = rows[:, 2] if width > 2 else torch.full_like(rows[:, 0], torch.nan)  # noqa: PLR2004
    hidden = (rows[:, :2] == 0).all(dim=1)
    return torch.cat([rows[:, :2], torch.where(hidden, 0.0, scores)[:, None]], dim=1)
