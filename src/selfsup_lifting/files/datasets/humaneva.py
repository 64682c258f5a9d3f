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
from selfsup_lifting.calibration import Rig, read_rig
from selfsup_lifting.config import ReadSettings, Unit
from selfsup_lifting.files.datasets.human36m import wanted_frames, with_truth
from selfsup_lifting.files.datasets.subject_tables import (
    Table2D,
    find_2d_table,
    is_2d_table,
    keypoints_of,
    read_2d_table,
    read_3d_table,
    shortest_take,
)
from selfsup_lifting.files.parse.matlab import matlab_variable
from selfsup_lifting.read_result import ReadResult
from selfsup_lifting.recording import ReadError, Recording, Source
from selfsup_lifting.skeleton.skeletons import SKELETONS

PREFIX, TRUTH_FILE = "data_2d_humaneva15_", "data_3d_humaneva15.npz"
# What VideoPose3D publishes beside the true 2D poses; taken where a folder holds several files.
USUAL_DETECTOR = "detectron_pt_coco"
CAMERAS = ("C1", "C2", "C3")
IMAGE_SIZE = (640, 480)
FPS = 60.0
# Where the calibration of a subject lies, in the data set itself or beside the npz.
CALIBRATIONS = ("{subject}/Calibration_Data", "{subject}")
SKELETON = "humaneva15"


def recognises(path: Path) -> bool:
    """Tell a 2D file of HumanEva, a folder that holds one, or the folder of MATLAB files."""
    if path.is_dir():
        tables = (is_2d_table(file, PREFIX) for file in path.glob(f"{PREFIX}*.npz"))
        return any(tables) or bool(_converted_files(path))
    return is_2d_table(path, PREFIX)


def read(path: Path, settings: ReadSettings) -> list[ReadResult]:
    """Read every chunk of the parts Train and Validate; the unlabelled chunks are left out."""
    table, truth = _tables(path, settings)
    home = path if path.is_dir() else path.parent
    takes, notes = [], [f"{table.path}: 2D poses of {table.skeleton.name}"]
    for subject, actions in table.poses.items():
        if subject.startswith("Unlabeled"):
            continue
        calibration = settings.cameras or home
        rig = subject_rig(calibration, subject.rpartition("/")[2], settings.unit)
        notes += rig.notes
        for action in actions:
            captured = truth.get(subject, {}).get(action)
            take = _take(table, subject, action, rig.cameras, settings)
            if captured is not None:
                shortest = shortest_take(table, subject, action)
                frames = wanted_frames(settings, FPS, min(shortest, len(captured)), None)
                poses = torch.from_numpy(captured[frames].astype("float32"))
                take = with_truth(take.frames(slice(len(poses))), poses, SKELETON)
            takes += [ReadResult(part) for part in _valid_runs(take)]
    return [replace(take, notes=tuple(notes)) for take in takes]


def _tables(
    path: Path, settings: ReadSettings
) -> tuple[Table2D, Mapping[str, Mapping[str, NDArray[Any]]]]:
    """Read 2D and 3D poses by subject and action, from the npz files where there are any."""
    if path.is_dir() and not any(path.glob(f"{PREFIX}*.npz")):
        return _converted_tables(path)
    file = find_2d_table(path, PREFIX, USUAL_DETECTOR)
    truth_file = file.parent / TRUTH_FILE
    truth = read_3d_table(truth_file) if truth_file.is_file() else {}
    return read_2d_table(file, settings.detected_skeleton), truth


def _converted_files(path: Path) -> list[Path]:
    return sorted(path.glob("Train/S*/*.mat")) + sorted(path.glob("Validate/S*/*.mat"))


def _converted_tables(path: Path) -> tuple[Table2D, dict[str, dict[str, NDArray[Any]]]]:
    """Read the MATLAB files that VideoPose3D's converter writes; NaN where capture failed."""
    body = SKELETONS[SKELETON]
    flat: dict[str, dict[str, list[NDArray[Any]]]] = {}
    deep: dict[str, dict[str, NDArray[Any]]] = {}
    for file in _converted_files(path):
        subject = f"{file.parent.parent.name}/{file.parent.name}"
        action = file.stem.replace("_", " ")
        poses = _poses(file, "poses_3d", (len(body.joints), 3))
        pixels = _poses(file, "poses_2d", (len(poses), len(body.joints), 2))
        if len(pixels) != len(CAMERAS):
            raise ReadError(f"{file}: `poses_2d` must tell {len(CAMERAS)} cameras")
        flat.setdefault(subject, {})[action] = list(pixels)
        deep.setdefault(subject, {})[action] = Unit.MILLIMETER.meters * poses
    return Table2D(path, body, flat), deep


def _poses(file: Path, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    numbers = matlab_variable(file, name)
    if numbers.dtype.kind not in "fiu" or numbers.shape[1:] != shape:
        wanted = ", ".join(map(str, shape))
        raise ReadError(f"{file}: `{name}` must be of shape (..., {wanted}), got {numbers.shape}")
    return numbers


def subject_rig(folder: Path, subject: str, unit: Unit | None = None) -> Rig:
    """Read the three color cameras of a subject, in metres.

    Args:
        folder: Where `S1/Calibration_Data/C1.cal` and so on lie, or the folder of the `.cal` files.
        subject: The subject, such as "S1".
        unit: The unit of length in the files, if it is not the one that the format fixes.

    Returns:
        The rig.

    Raises:
        ReadError: If a camera is missing or its file is none.
    """
    places = [folder / part.format(subject=subject) for part in CALIBRATIONS]
    home = next((place for place in places if any(place.glob("*.cal"))), folder)
    if not home.is_dir() or not any(home.glob("*.cal")):
        raise ReadError(
            f"{folder}: no calibration {subject}/Calibration_Data/C1.cal lies there; "
            "name its folder with --cameras"
        )
    rig = read_rig(home, unit=unit)
    try:
        cameras = rig.cameras.select(CAMERAS)
    except ValueError as error:
        raise ReadError(f"calibration {home}: {error}") from error
    sizes = torch.tensor([IMAGE_SIZE] * len(CAMERAS))
    return rig._replace(cameras=replace(cameras, image_size=sizes))


def _take(
    table: Table2D,
    subject: str,
    action: str,
    cameras: Cameras,
    settings: ReadSettings,
) -> Recording:
    frames = wanted_frames(settings, FPS, shortest_take(table, subject, action), None)
    keypoints, confidence = keypoints_of(table, subject, action, frames, cameras.views)
    return Recording(
        name=f"{subject} {action}",
        subject=subject,
        action=re.sub(r" \d+( chunk\d+)?$", "", action),
        fps=FPS / (frames.step or 1),
        skeleton=table.skeleton,
        cameras=cameras,
        keypoints=keypoints,
        confidence=confidence,
        source=Source("HumanEva", table.path, "humaneva"),
    )


def _valid_runs(take: Recording) -> Iterator[Recording]:
    """Drop the frames in which the motion capture failed; what stays contiguous stays a take."""
    if take.truth is None:
        yield take
        return
    valid = take.truth.isfinite().flatten(1).all(dim=1).tolist()
    for good, run in groupby(enumerate(valid), key=lambda frame: frame[1]):
        if good:
            places = [place for place, _ in run]
            yield take.frames(slice(places[0], places[-1] + 1))
