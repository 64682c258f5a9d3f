"""HumanEva-I as VideoPose3D prepares it, npz or MATLAB: 15 joints, three cameras, `.cal` files."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from multiview_geom import Cameras
from selfsup_lifting.calibration import Rig, read_rig, selected
from selfsup_lifting.files.datasets.subject_tables import (
    Table2D,
    find_2d_table,
    is_2d_table,
    read_2d_table,
    read_3d_table,
    wanted_frames,
    with_truth,
)
from selfsup_lifting.parse.matlab import matlab_variable
from selfsup_lifting.read_errors import Place
from selfsup_lifting.read_settings import METERS_PER_UNIT, ReadSettings
from selfsup_lifting.reader import Reader, ReadResult
from selfsup_lifting.recording import Recording, Source
from selfsup_lifting.skeleton.skeletons import SKELETONS

NAME = "humaneva"
PREFIX, TRUTH_FILE = "data_2d_humaneva15_", "data_3d_humaneva15.npz"
# VideoPose3D publishes these detections; they are used if a folder contains several files.
USUAL_DETECTOR = "detectron_pt_coco"
CAMERAS = ("C1", "C2", "C3")
IMAGE_SIZE = (640, 480)
FPS = 60.0
# The folder of a subject's calibration, in the dataset itself or beside the npz.
CALIBRATIONS = ("{subject}/Calibration_Data", "{subject}")
SKELETON = "humaneva15"


def _recognizes(path: Path) -> bool:
    """Recognize a 2D file of HumanEva, a folder that contains one, or a folder of MATLAB files."""
    return is_2d_table(path, PREFIX) or bool(_converted_files(path))


def _read(path: Path, settings: ReadSettings) -> list[ReadResult]:
    """Read every chunk of the parts Train and Validate; unlabeled chunks are left out."""
    table, truth = _tables(path, settings)
    calibration = settings.cameras or (path if path.is_dir() else path.parent)
    recordings: list[Recording] = []
    notes = [f"{table.path}: 2D poses of {table.skeleton.name}", *table.notes]
    for subject, actions in table.poses.items():
        if subject.startswith("Unlabeled"):
            continue
        rig = _subject_rig(calibration, subject.rpartition("/")[2], settings.unit)
        notes += rig.notes
        for action in actions:
            captured = truth.get(subject, {}).get(action)
            recordings += _recordings(table, subject, action, rig.cameras, captured, settings)
    return [ReadResult(recording, notes=tuple(notes)) for recording in recordings]


READER = Reader(NAME, _recognizes, _read)


def _tables(
    path: Path, settings: ReadSettings
) -> tuple[Table2D, Mapping[str, Mapping[str, NDArray[Any]]]]:
    """Read 2D and 3D poses by subject and action, from the npz files if there are any."""
    if path.is_dir() and not any(path.glob(f"{PREFIX}*.npz")):
        return _converted_tables(path)
    file = find_2d_table(path, PREFIX, USUAL_DETECTOR)
    return read_2d_table(file, settings.detected_skeleton), read_3d_table(file.parent / TRUTH_FILE)


def _converted_files(path: Path) -> list[Path]:
    return sorted(path.glob("Train/S*/*.mat")) + sorted(path.glob("Validate/S*/*.mat"))


def _converted_tables(path: Path) -> tuple[Table2D, dict[str, dict[str, NDArray[Any]]]]:
    """Read the MATLAB files of VideoPose3D's converter; NaN where motion capture failed."""
    body = SKELETONS[SKELETON]
    flat: dict[str, dict[str, list[NDArray[Any]]]] = {}
    deep: dict[str, dict[str, NDArray[Any]]] = {}
    for file in _converted_files(path):
        subject = f"{file.parent.parent.name}/{file.parent.name}"
        action = file.stem.replace("_", " ")
        poses = _poses(file, "poses_3d", (len(body.joints), 3))
        pixels = _poses(file, "poses_2d", (len(poses), len(body.joints), 2))
        if len(pixels) != len(CAMERAS):
            raise Place(file, "poses_2d").expected(f"{len(CAMERAS)} cameras", len(pixels))
        flat.setdefault(subject, {})[action] = list(pixels)
        deep.setdefault(subject, {})[action] = METERS_PER_UNIT["mm"] * poses
    return Table2D(path, body, flat), deep


def _poses(file: Path, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    numbers = matlab_variable(file, name)
    if numbers.dtype.kind not in "fiu" or numbers.shape[1:] != shape:
        wanted = ", ".join(map(str, shape))
        raise Place(file, name).expected(f"numbers of shape (..., {wanted})", numbers)
    return numbers


def _subject_rig(folder: Path, subject: str, unit: str | None) -> Rig:
    places = [folder / part.format(subject=subject) for part in CALIBRATIONS]
    home = next((place for place in places if any(place.glob("*.cal"))), folder)
    if not home.is_dir() or not any(home.glob("*.cal")):
        raise Place(folder).error(
            f"expected a calibration {subject}/Calibration_Data/C1.cal, got none; "
            "name its folder with --cameras"
        )
    rig = selected(read_rig(home, unit=unit), CAMERAS)
    sizes = torch.tensor([IMAGE_SIZE] * len(CAMERAS))
    return rig._replace(cameras=replace(rig.cameras, image_size=sizes))


def _recordings(
    table: Table2D,
    subject: str,
    action: str,
    cameras: Cameras,
    captured: NDArray[Any] | None,
    settings: ReadSettings,
) -> Iterator[Recording]:
    """Build the recordings of a sequence: its parts in which motion capture did not fail."""
    count = table.frame_count(subject, action)
    frames = wanted_frames(settings, FPS, count, None)
    source = Source("HumanEva", table.path, NAME)
    recording = table.recording(subject, action, cameras, frames, fps=FPS, source=source)
    recording = replace(recording, action=re.sub(r" \d+( chunk\d+)?$", "", action))
    if captured is None:
        return iter([recording])
    frames = wanted_frames(settings, FPS, min(count, len(captured)), None)
    truth = torch.from_numpy(captured[frames].astype("float32"))
    return _valid_parts(with_truth(recording.frames(slice(len(truth))), truth, SKELETON))


def _valid_parts(recording: Recording) -> Iterator[Recording]:
    """Split a recording at the frames without truth, and leave these out."""
    truth = recording.truth
    valid = [] if truth is None else truth.isfinite().flatten(1).all(dim=1).tolist()
    for is_valid, part in groupby(enumerate(valid), key=lambda frame: frame[1]):
        if is_valid:
            indices = [index for index, _ in part]
            yield recording.frames(slice(indices[0], indices[-1] + 1))
