"""Human3.6M as VideoPose3D prepares it: 2D detections, 3D truth and any camera file."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from multiview_geom import Cameras
from selfsup_lifting.calibration import Rig, read_rig
from selfsup_lifting.files.datasets.subject_tables import (
    Table2D,
    find_2d_table,
    is_2d_table,
    read_2d_table,
    read_3d_table,
    wanted_frames,
    with_truth,
)
from selfsup_lifting.files.datasets.videopose3d_cameras import read_python_cameras
from selfsup_lifting.read_errors import Place, listed
from selfsup_lifting.read_settings import ReadSettings, meters_per_unit
from selfsup_lifting.reader import Reader, ReadResult
from selfsup_lifting.recording import Recording, Source

NAME = "human36m"
PREFIX, TRUTH_FILE = "data_2d_h36m_", "data_3d_h36m.npz"
# The detections that the paper trains on, used if a folder contains several.
PAPERS_DETECTOR = "cpn_ft_h36m_dbb"
CAMERA_FILES = ("camera-parameters.json", "cameras.h5", "metadata.xml", "h36m_dataset.py")
FPS = 50.0

# The cameras in the order of the 2D files, with their image sizes [px].
IMAGE_SIZES: Mapping[str, tuple[int, int]] = {
    "54138969": (1000, 1002), "55011271": (1000, 1000),
    "58860488": (1000, 1000), "60457274": (1000, 1002),
}  # fmt: skip

# The 17 joints among the 32 of the motion capture, in the order of `h36m17`.
CAPTURED_JOINTS = 32
KEPT = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)

# Action names that some files have as in the original dataset.
RENAMED: Mapping[str, str] = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}
# The video of this sequence is corrupted; VideoPose3D leaves it out.
CORRUPTED = ("S11", "Directions")


def _recognizes(path: Path) -> bool:
    return is_2d_table(path, PREFIX)


def _read(path: Path, settings: ReadSettings) -> list[ReadResult]:
    """Read every sequence of every subject, with the truth if `data_3d_h36m.npz` is beside it."""
    file = find_2d_table(path, PREFIX, PAPERS_DETECTOR)
    table = read_2d_table(file, settings.detected_skeleton)
    truth_file = file.parent / TRUTH_FILE
    truth = read_3d_table(truth_file)
    calibration = settings.cameras or _calibration(file.parent)
    recordings, notes = [], [f"{file}: 2D poses of {table.skeleton.name}", *table.notes]
    for subject, actions in table.poses.items():
        rig = _subject_rig(calibration, subject, settings.unit)
        notes += rig.notes
        for action in actions:
            if (subject, action) != CORRUPTED:
                captured = truth.get(subject, {}).get(action)
                recordings += [_recording(table, subject, action, rig.cameras, captured, settings)]
    if not truth:
        notes.append(f"{truth_file} does not exist: there is no truth")
    return [ReadResult(recording, notes=tuple(notes)) for recording in recordings]


READER = Reader(NAME, _recognizes, _read)


def _subject_rig(calibration: Path, subject: str, unit: str | None) -> Rig:
    """Read the four cameras of a subject, in the order of the 2D files."""
    if calibration.suffix == ".py":
        cameras = read_python_cameras(calibration, subject)
        rig = Rig(cameras.scaled(meters_per_unit(unit or "mm")), calibration, ())
    else:
        rig = read_rig(calibration, unit=unit, subject=subject)
    cameras, names = rig.cameras, rig.cameras.names
    if set(IMAGE_SIZES) <= set(names):
        cameras = cameras.select(list(IMAGE_SIZES))
    elif cameras.views != len(IMAGE_SIZES):
        raise Place(calibration).error(
            f"expected the cameras {', '.join(IMAGE_SIZES)}, got {listed(names)}"
        )
    sizes = torch.tensor(list(IMAGE_SIZES.values()))
    return rig._replace(cameras=replace(cameras, image_size=sizes, names=tuple(IMAGE_SIZES)))


def _calibration(folder: Path) -> Path:
    found = [folder / name for name in CAMERA_FILES if (folder / name).is_file()]
    if not found:
        raise Place(folder).error(
            f"expected a camera file of Human3.6M ({', '.join(CAMERA_FILES)}), got none; "
            "name a file with --cameras"
        )
    return found[0]


def _recording(
    table: Table2D,
    subject: str,
    action: str,
    cameras: Cameras,
    captured: NDArray[Any] | None,
    settings: ReadSettings,
) -> Recording:
    """Build a recording at the frame rate in the settings: reading fewer frames saves memory."""
    count = table.frame_count(subject, action)
    frames = wanted_frames(settings, FPS, count, captured)
    source = Source("Human3.6M", table.path, NAME)
    recording = table.recording(subject, action, cameras, frames, fps=FPS, source=source)
    name = re.sub(r" \d+$", "", action)
    recording = replace(recording, action=RENAMED.get(name, name))
    if captured is None:
        return recording
    if len(captured) > count:
        raise Place(table.path, f"{subject} {action}").error(
            f"expected at least the {len(captured)} frames of the truth, got {count}"
        )
    truth = torch.from_numpy(_kept(table.path, captured)[frames].astype("float32"))
    return with_truth(recording, truth, "h36m17")


def _kept(path: Path, captured: NDArray[Any]) -> NDArray[Any]:
    joints = captured.shape[1]
    if joints not in {CAPTURED_JOINTS, len(KEPT)}:
        raise Place(path.parent / TRUTH_FILE).error(
            f"expected {CAPTURED_JOINTS} or {len(KEPT)} joints, got {joints}"
        )
    return captured[:, list(KEPT)] if joints == CAPTURED_JOINTS else captured
