"""The cameras of a take: a simulated ring, or those of a calibration file, in metres."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras, load_cameras, ring_of_cameras
from selfsup_lifting.config import ReadSettings, RigSettings
from selfsup_lifting.recording import ReadError

# No room is as wide as this in metres, and hardly a rig as narrow in millimetres: above it a
# calibration counts in millimetres, as anipose and Human3.6M do.
WIDEST_RIG = 100.0
MILLIMETRE = 0.001
# Human3.6M's focal length over the width of its pictures: what is assumed without calibration.
USUAL_FOCAL_LENGTH = 1.145

# Where calibrations lie beside data: `calibration/`, Pose2Sim's `S00_Calibration/`, `calib.toml`.
FOLDERS = ("[Cc]alibration", "[Cc]alib", "*_[Cc]alibration")
FILES = ("[Cc]alib*", "[Cc]amera*")
SUFFIXES = (".toml", ".yaml", ".yml", ".json", ".xml", ".cal", ".h5", ".txt")
HIGHEST_PARENT = 3


class Rig(NamedTuple):
    """A rig, where it comes from, and what a user should know about the reading."""

    cameras: Cameras
    source: Path
    notes: tuple[str, ...]


def filming_rig(settings: ReadSettings) -> Cameras:
    """Return the rig that films what has no pictures: the calibration given, else the ring."""
    if settings.cameras is not None:
        return load_rig(settings.cameras).cameras
    return ring(settings.rig)


def ring(rig: RigSettings) -> Cameras:
    """Set the simulated cameras in their ring, in float64."""
    return ring_of_cameras(
        rig.views,
        rig.radius,
        rig.height,
        target_height=rig.target_height,
        focal_length=rig.focal_length,
        image_size=(rig.width, rig.tall),
        dtype=torch.float64,
    )


def load_rig(path: Path) -> Rig:
    """Read a calibration file, in metres, with image sizes and names.

    Args:
        path: Any file that `load_cameras` understands.

    Returns:
        The rig in float64. A file in millimetres is told by its cameras lying more than a hundred
        units apart; a file without image sizes gets them from the principal points.

    Raises:
        ReadError: If there is none, or it is no calibration, or something in it is not a finite
            number, or a camera could not have taken a picture.
    """
    cameras = usable_cameras(path).to(torch.float64)
    notes = []
    if cameras.image_size is None:
        middle = cameras.intrinsics[:, :2, 2]
        cameras = replace(cameras, image_size=(2 * middle + 1).round().long())
        notes.append(f"{path}: tells no image size; taken as twice the principal point")
    if widest_distance(cameras) > WIDEST_RIG:
        scaled: Tensor = cameras.camera_from_world.clone()
        scaled[:, :3, 3] *= MILLIMETRE
        cameras = replace(cameras, camera_from_world=scaled)
        notes.append(f"{path}: counts in millimetres; converted to metres")
    return Rig(cameras, path, tuple(notes))


def usable_cameras(path: Path, *, subject: str | None = None) -> Cameras:
    """Load the cameras of a calibration that could have taken pictures, in the file's unit.

    Args:
        path: Any file or folder that `load_cameras` understands.
        subject: Whose cameras, where the file holds several.

    Returns:
        The cameras.

    Raises:
        ReadError: If there is no such file, or it is no calibration, or a focal length is not
            above zero, or an intrinsic matrix is singular; the sentence names the camera.
    """
    if not path.exists():
        raise ReadError(f"there is no calibration file {path}")
    try:
        cameras = load_cameras(path, subject=subject)
    except OSError as error:
        raise ReadError(f"calibration {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ReadError(f"calibration {error}") from error
    for name, matrix in zip(cameras.names, cameras.intrinsics, strict=True):
        _require_picture(f"calibration {path}, camera {name}", matrix)
    return cameras


def _require_picture(where: str, matrix: Float[Tensor, "3 3"]) -> None:
    """Refuse an intrinsic matrix with which no camera could have taken a picture."""
    focal = (float(matrix[0, 0]), float(matrix[1, 1]))
    if not min(focal) > 0:
        raise ReadError(
            f"{where}: expected focal lengths above 0 px, got {focal[0]:g} and {focal[1]:g}; "
            "its matrix is damaged or was never calibrated"
        )
    if int(torch.linalg.matrix_rank(matrix)) < len(matrix):
        raise ReadError(
            f"{where}: expected an intrinsic matrix that can be inverted, got {matrix.tolist()}; "
            "its last row should be 0, 0, 1"
        )


def find_calibration(folder: Path) -> Path | None:
    """Find the calibration that belongs to a folder: there, or up to three folders above.

    Args:
        folder: Where the detections lie.

    Returns:
        The file, or None where there is none.

    Raises:
        ReadError: If several are equally near; the sentence names them.
    """
    folder = folder.resolve()
    for place in (folder, *folder.parents[:HIGHEST_PARENT]):
        found = _calibrations_in(place)
        if len(found) > 1:
            names = ", ".join(str(file.relative_to(place)) for file in found)
            raise ReadError(
                f"{place}: several calibrations lie there: {names}; choose with --cameras"
            )
        if found:
            return found[0]
    return None


def _calibrations_in(place: Path) -> list[Path]:
    """List the calibrations of one place, of the surest kind only."""
    inside = [folder for name in FOLDERS for folder in place.glob(name) if folder.is_dir()]
    for holder in (*inside, place):
        patterns: Sequence[str] = FILES if holder == place else ("*",)
        files = [file for name in patterns for file in sorted(holder.glob(name)) if file.is_file()]
        for suffix in SUFFIXES:
            found = sorted({file for file in files if file.suffix.lower() == suffix})
            if found:
                return found
    return []


def assumed_camera(name: str, image_size: tuple[int, int]) -> Cameras:
    """Make up a camera for a track without calibration: no lens, a usual focal length."""
    width, tall = image_size
    focal = USUAL_FOCAL_LENGTH * max(width, tall)
    return Cameras(
        intrinsics=torch.tensor(
            [[[focal, 0.0, (width - 1) / 2], [0.0, focal, (tall - 1) / 2], [0.0, 0.0, 1.0]]],
            dtype=torch.float64,
        ),
        camera_from_world=torch.eye(4, dtype=torch.float64)[None],
        image_size=torch.tensor([image_size]),
        names=(name,),
    )


def widest_distance(cameras: Cameras) -> float:
    """Return how far the two most distant cameras stand apart."""
    return float(torch.cdist(cameras.centers, cameras.centers).max())
