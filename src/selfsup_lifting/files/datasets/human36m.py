"""Human3.6M as VideoPose3D prepares it: 2D detections, 3D truth and any camera file."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.calibration import Rig, read_rig
from selfsup_lifting.config import ReadSettings, Unit
from selfsup_lifting.files.datasets.subject_tables import (
    Table2D,
    find_2d_table,
    is_2d_table,
    keypoints_of,
    read_2d_table,
    read_3d_table,
    shortest_take,
)
from selfsup_lifting.files.datasets.videopose3d_cameras import read_python_cameras
from selfsup_lifting.read_result import ReadResult
from selfsup_lifting.recording import ReadError, Recording, Source
from selfsup_lifting.skeleton.skeletons import SKELETONS

PREFIX, TRUTH_FILE = "data_2d_h36m_", "data_3d_h36m.npz"
# The detections that the paper trains on, taken where a folder holds several.
PAPERS_DETECTOR = "cpn_ft_h36m_dbb"
CAMERA_FILES = ("camera-parameters.json", "cameras.h5", "metadata.xml", "h36m_dataset.py")
FPS = 50.0

# The cameras in the order of the 2D files, with the sizes of their pictures [px].
IMAGE_SIZES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "54138969": (1000, 1002),
        "55011271": (1000, 1000),
        "58860488": (1000, 1000),
        "60457274": (1000, 1002),
    }
)

# The 17 joints among the 32 of the motion capture, in the order of `h36m17`.
CAPTURED_JOINTS = 32
KEPT = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)

# Names of actions that some files keep as the data set has them.
RENAMED: Mapping[str, str] = MappingProxyType({"TakingPhoto": "Photo", "WalkingDog": "WalkDog"})
# Its video is corrupted; VideoPose3D leaves it out.
CORRUPTED = ("S11", "Directions")


def recognises(path: Path) -> bool:
    """Tell a 2D file of Human3.6M, or a folder that holds one."""
    if path.is_dir():
        return any(is_2d_table(file, PREFIX) for file in path.glob(f"{PREFIX}*.npz"))
    return is_2d_table(path, PREFIX)


def read(path: Path, settings: ReadSettings) -> list[ReadResult]:
    """Read every take of every subject, with the truth where `data_3d_h36m.npz` lies beside."""
    file = find_2d_table(path, PREFIX, PAPERS_DETECTOR)
    table = read_2d_table(file, settings.detected_skeleton)
    truth_file = file.parent / TRUTH_FILE
    truth = read_3d_table(truth_file) if truth_file.is_file() else {}
    calibration = settings.cameras or _calibration(file.parent)
    takes, notes = [], [f"{file}: 2D poses of {table.skeleton.name}"]
    for subject, actions in table.poses.items():
        rig = subject_rig(calibration, subject, settings.unit)
        notes += rig.notes
        for action in actions:
            if (subject, action) != CORRUPTED:
                captured = truth.get(subject, {}).get(action)
                takes.append(_take(table, subject, action, rig.cameras, captured, settings))
    if not truth:
        notes.append(f"{truth_file} does not exist: there is no truth")
    return [replace(take, notes=tuple(notes)) for take in takes]


def subject_rig(calibration: Path, subject: str, unit: Unit | None = None) -> Rig:
    """Read the four cameras of a subject, in metres and in the order of the 2D files.

    Args:
        calibration: Any camera file of Human3.6M, or VideoPose3D's `h36m_dataset.py`.
        subject: The subject, such as "S1".
        unit: The unit of length in the file, if it is not the one that the format fixes.

    Returns:
        The rig.

    Raises:
        ReadError: If the file is none, or lacks the subject or a camera.
    """
    rig = (
        _rig_of_videopose3d(calibration, subject, unit)
        if calibration.suffix == ".py"
        else read_rig(calibration, unit=unit, subject=subject)
    )
    cameras, names = rig.cameras, rig.cameras.names
    if set(IMAGE_SIZES) <= set(names):
        cameras = cameras.select(list(IMAGE_SIZES))
    elif cameras.views != len(IMAGE_SIZES):
        raise ReadError(
            f"{calibration}: expected the cameras {', '.join(IMAGE_SIZES)}, got {names}"
        )
    sizes = torch.tensor(list(IMAGE_SIZES.values()))
    return rig._replace(cameras=replace(cameras, image_size=sizes, names=tuple(IMAGE_SIZES)))


def _rig_of_videopose3d(path: Path, subject: str, unit: Unit | None) -> Rig:
    cameras = read_python_cameras(path, subject)
    return Rig(cameras.scaled((unit or Unit.MILLIMETER).meters), path, ())


def _calibration(folder: Path) -> Path:
    found = [folder / name for name in CAMERA_FILES if (folder / name).is_file()]
    if not found:
        raise ReadError(
            f"{folder}: no cameras of Human3.6M lie there ({', '.join(CAMERA_FILES)}); "
            "name a file with --cameras"
        )
    return found[0]


def _take(
    table: Table2D,
    subject: str,
    action: str,
    cameras: Cameras,
    captured: NDArray[Any] | None,
    settings: ReadSettings,
) -> ReadResult:
    """Make a take at the wanted rate: thinned while reading, which saves memory."""
    frames = wanted_frames(settings, FPS, shortest_take(table, subject, action), captured)
    keypoints, confidence = keypoints_of(table, subject, action, frames, cameras.views)
    name = re.sub(r" \d+$", "", action)
    recording = Recording(
        name=f"{subject} {action}",
        subject=subject,
        action=RENAMED.get(name, name),
        fps=FPS / (frames.step or 1),
        skeleton=table.skeleton,
        cameras=cameras,
        keypoints=keypoints,
        confidence=confidence,
        source=Source("Human3.6M", table.path, "human36m"),
    )
    if captured is None:
        return ReadResult(recording)
    if len(captured) > shortest_take(table, subject, action):
        raise ReadError(
            f"{table.path}: {subject} {action} has fewer frames in 2D than the "
            f"{len(captured)} of the truth"
        )
    truth = torch.from_numpy(_kept(table.path, captured)[frames].astype("float32"))
    return ReadResult(with_truth(recording, truth, "h36m17"))


def wanted_frames(
    settings: ReadSettings, fps: float, count: int, captured: NDArray[Any] | None
) -> slice:
    """Return the frames that have a truth, thinned to the wanted rate from the wanted phase."""
    step = 1 if settings.fps is None else max(1, round(fps / settings.fps))
    return slice(settings.fps_phase % step, count if captured is None else len(captured), step)


def with_truth(
    recording: Recording, truth: Float[Tensor, "frames joints 3"], skeleton: str
) -> Recording:
    """Join detections and truth in one skeleton: the truth's, unless the detector's is a part.

    Args:
        recording: The detections.
        truth: The joints in the world [m].
        skeleton: What the joints of the truth are.

    Returns:
        The recording with its truth.
    """
    body = SKELETONS[skeleton]
    detected = recording.skeleton.joints
    if set(detected) <= set(body.joints):
        order = [body.joints.index(joint) for joint in detected]
        return replace(recording, truth=truth[:, order])
    return replace(recording.to_skeleton(body), truth=truth)


def _kept(path: Path, captured: NDArray[Any]) -> NDArray[Any]:
    joints = captured.shape[1]
    if joints not in {CAPTURED_JOINTS, len(KEPT)}:
        raise ReadError(
            f"{path.parent / TRUTH_FILE}: expected {CAPTURED_JOINTS} or {len(KEPT)} joints, "
            f"got {joints}"
        )
    return captured[:, list(KEPT)] if joints == CAPTURED_JOINTS else captured
