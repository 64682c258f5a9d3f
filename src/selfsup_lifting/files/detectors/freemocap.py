"""FreeMoCap: one NumPy array of all cameras, cameras x frames x points x 2 or 3, in pixels.

The points are MediaPipe's: 33 of the body, then hands and face, which are left out. A third number
is MediaPipe's depth, not a score. Cameras are in the order of the videos, and named after them.
"""

import re
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.files.tracks.view_tracks import DetectorFormat, ViewTracks, view_tracks
from selfsup_lifting.parse.folders import files_with
from selfsup_lifting.parse.npz import load_npy
from selfsup_lifting.read_errors import Place, listed
from selfsup_lifting.skeleton.infer import body_by_count
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton

NAME = "FreeMoCap"
# A part of the file's name in all versions: `mediapipe2dData_...`, `mediapipe_2dData_...`.
MARK = "2dData_numCams_numFrames_numTrackedPoints"
HOMES = ("output_data/raw_data", "output_data")
VIDEOS, VIDEO_SUFFIXES = "synchronized_videos", (".mp4", ".avi", ".mov", ".mkv")
# How many folders above the array the videos are, and the number of its axes.
HIGHEST_PARENT, AXES = 3, 4
BODY = len(SKELETONS["blazepose33"].joints)


def _recognizes(path: Path) -> bool:
    return bool(_arrays_of(path))


def _read(path: Path, declared: Skeleton | None) -> list[ViewTracks]:
    """Read every camera of the array of a recording, or of the folder of the recording."""
    file, *others = _arrays_of(path) or [path]
    numbers = _numbers(file)
    names, notes = _camera_names(file, *numbers.shape[:2])
    if numbers.shape[2] == BODY and "mediapipe" not in file.name.lower():
        notes += (f"{file}: its points are taken for MediaPipe's, but its name does not say so",)
    if others:
        unread = listed(other.relative_to(path) for other in others)
        notes += (f"{path}: {file.relative_to(path)} is read, and not {unread}",)
    body = body_by_count(file, numbers.shape[2], declared)
    return [
        view_tracks(name, file, NAME, body, one[:, None], notes=notes)
        for name, one in zip(names, numbers, strict=True)
    ]


FORMAT = DetectorFormat("freemocap", _recognizes, _read, folder_of_cameras=True)


def _arrays_of(path: Path) -> list[Path]:
    """Return the array, or those of the folder of a recording, the one that is read first."""
    if path.is_file():
        return [path] if path.suffix.lower() == ".npy" and MARK in path.name else []
    homes = [home for home in map(path.joinpath, HOMES) if home.is_dir()]
    return [file for home in homes for file in files_with(home, ".npy") if MARK in file.name]


def _numbers(file: Path) -> Float[Tensor, "cameras frames joints 3"]:
    """Return x, y and no score of the body's points."""
    array = load_npy(file)
    if array.ndim != AXES or array.shape[-1] not in {2, 3} or array.dtype.kind not in "fiu":
        raise Place(file).expected("cameras x frames x points x 2 or 3 numbers", array)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond single precision is infinite
        points = torch.from_numpy(array[:, :, :BODY, :2].astype(np.float32))
    return torch.cat([points, torch.full_like(points[..., :1], torch.nan)], dim=-1)


def _camera_names(file: Path, count: int, frames: int) -> tuple[list[str], tuple[str, ...]]:
    folders = [folder / VIDEOS for folder in file.resolve().parents[:HIGHEST_PARENT]]
    home = next(filter(Path.is_dir, folders), None)
    found = [] if home is None else sorted(home.iterdir())
    videos = [video.stem for video in found if video.suffix.lower() in VIDEO_SUFFIXES]
    copies = [name for name in videos if re.sub(r" \(\d+\)$", "", name) in {*videos} - {name}]
    if copies:
        raise Place(home or file).error(
            f"expected one video for each camera, got {listed(copies)}, by its name a copy of "
            "another one: delete it"
        )
    if len(videos) == count:
        return videos, ()
    if len(videos) == frames:
        raise Place(file).error(
            f"expected cameras x frames x points, got {count} x {frames}, but {home} has {frames} "
            "videos: exchange the first two axes"
        )
    note = (
        f"{file}: the folder {VIDEOS} has {len(videos)} videos, so the {count} cameras are numbered"
    )
    return [f"cam_{view}" for view in range(count)], (note,)
