"""Calibration files of other tools, read and written."""

from pathlib import Path

from multiview_geom._camera_formats import toml
from multiview_geom._camera_formats.records import CameraFileError as CameraFileError
from multiview_geom._camera_formats.records import Place, read_bytes
from multiview_geom.cameras import Cameras


def load_cameras(path: str | Path) -> Cameras:
    """Read the cameras of a calibration file, in the order of the file.

    Args:
        path: A TOML of aniposelib, Pose2Sim or caliscope.

    Returns:
        The rig in float64, lengths in the unit of the file.

    Raises:
        CameraFileError: If the file is no calibration, saying what is wrong where.
    """
    path = Path(path)
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError as reason:
        raise Place(path).expected("text in UTF-8", reason) from None
    return toml.parse(path, text)


def save_cameras(path: str | Path, cameras: Cameras) -> None:
    """Write cameras as a TOML that aniposelib, Pose2Sim and caliscope read.

    Args:
        path: File to write; one that exists is replaced.
        cameras: The rig, without batch axes.
    """
    Path(path).write_text(toml.written(cameras), encoding="utf-8")
