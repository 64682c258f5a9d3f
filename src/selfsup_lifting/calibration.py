"""A calibration file as cameras in meters, with names and image sizes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import CameraFile, Cameras, CameraSource, read_camera_file
from multiview_geom.camera_files import CAMERA_FORMATS
from selfsup_lifting.opencap_file import OPENCAP
from selfsup_lifting.read_errors import ReadError, listed
from selfsup_lifting.read_settings import METERS_PER_UNIT, meters_per_unit
from selfsup_lifting.safe_text import spelled_as

# If a file format fixes no unit, a rig wider than this is taken to be in millimeters: no room is
# as wide in meters, and hardly a rig is as narrow in millimeters.
WIDEST_RIG_M = 100.0
# Most rigs are as wide as this; a guess that gives another width is doubtful [m].
USUAL_RIG_M = (0.3, 30.0)


class Rig(NamedTuple):
    """Cameras, the file they were read from (none if assumed), and what was guessed."""

    cameras: Cameras
    path: Path | None
    notes: tuple[str, ...]


def load_rig(path: Path, *, unit: str | None = None, subject: str | None = None) -> Rig:
    """Read a calibration file; image sizes that it lacks are computed from principal points.

    Args and errors are those of `read_rig`.
    """
    rig = read_rig(path, unit=unit, subject=subject)
    if rig.cameras.image_size is not None:
        return rig
    size = (2 * rig.cameras.intrinsics[:, :2, 2] + 1).round().long()
    note = f"{path}: has no image sizes; taken as twice the principal points"
    return Rig(replace(rig.cameras, image_size=size), path, (note, *rig.notes))


def read_rig(path: Path, *, unit: str | None = None, subject: str | None = None) -> Rig:
    """Read a calibration file.

    Args:
        path: Any file or folder that `load_cameras` reads.
        unit: The unit of length in the file. By default the unit that the format fixes; if it
            fixes none, millimeters for a rig wider than 100 units and meters for all others. A
            name, or a number of meters.
        subject: The subject whose cameras to read, for files of several subjects.

    Returns:
        The cameras in float64 and meters. A guessed unit is in the notes, after those of the file.

    Raises:
        ReadError: If the file does not exist or is no calibration, or if a number in it is not
            finite or a focal length is not above zero.
    """
    file = _read(path, subject)
    cameras = file.cameras.to(torch.float64)
    for name, matrix in zip(cameras.names, cameras.intrinsics, strict=True):
        _require_focal_lengths(f"calibration {path}, camera {name}", matrix)
    if unit is not None or file.unit is not None:
        return Rig(cameras.scaled(meters_per_unit(unit or str(file.unit))), path, file.notes)
    width = float(torch.cdist(cameras.centers, cameras.centers).max())
    unit = "mm" if width > WIDEST_RIG_M else "m"
    scaled = cameras.scaled(meters_per_unit(unit))
    guess = (_note_on_guess(path, width, unit),) if cameras.views > 1 else ()
    return Rig(scaled, path, (*file.notes, *guess))


def _note_on_guess(path: Path, width: float, unit: str) -> str:
    """Describe a guessed unit, and which other units give a usual size of a rig."""
    low, high = USUAL_RIG_M
    meters = width * meters_per_unit(unit)
    is_usual = low <= meters <= high
    usual = "" if is_usual else ", which is unusual"
    others = [
        f"{other} ({width * length:.3g} m)"
        for other, length in METERS_PER_UNIT.items()
        if other != unit and (not is_usual or low <= width * length <= high)
    ]
    hint = f"; {' and '.join(others)} would also be possible" if others else ""
    return (
        f"{path}: the file does not say its unit of length; taken as {unit}: the cameras are up to "
        f"{meters:.3g} m apart{usual}{hint}; --unit overrules this"
    )


def selected(rig: Rig, names: Sequence[str]) -> Rig:
    """Return the cameras of these names, in this order.

    Raises:
        ReadError: If the calibration lacks one of them.
    """
    known = rig.cameras.names
    names = [spelled_as(name, known) for name in names]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ReadError(
            f"calibration {rig.path} has no camera {listed(unknown)}; it has {listed(known)}"
        )
    return rig._replace(cameras=rig.cameras.select(names))


def calibration_file(path: Path, subject: str | None = None) -> CameraFile:
    """Read a calibration of any format; those of pickles are read here, the others by the geometry.

    Raises:
        ValueError: If it is no calibration.
        OSError: If there is no such file.
    """
    source = CameraSource(path)
    if OPENCAP.recognizes(source):
        return read_camera_file(path, format=OPENCAP)
    # A file without subjects has the same cameras for all.
    if subject and not any(one.has_subjects and one.recognizes(source) for one in CAMERA_FORMATS):
        subject = None
    return read_camera_file(path, subject=subject)


def _read(path: Path, subject: str | None) -> CameraFile:
    if not path.exists():
        raise ReadError(f"there is no calibration file {path}")
    try:
        return calibration_file(path, subject)
    except OSError as error:
        raise ReadError(f"calibration {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ReadError(f"calibration {error}") from error


def _require_focal_lengths(where: str, matrix: Float[Tensor, "3 3"]) -> None:
    focal = (float(matrix[0, 0]), float(matrix[1, 1]))
    if not min(focal) > 0:
        raise ReadError(
            f"{where}: expected focal lengths above 0 px, got {focal[0]:g} and {focal[1]:g}; "
            "its matrix is damaged or was never calibrated"
        )
