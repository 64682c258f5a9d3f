"""The cameras of a take: a simulated ring, or those of a calibration file, in metres."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from multiview_geom import Cameras, load_cameras, ring_of_cameras
from selfsup_lifting.config import ReadSettings, RigSettings
from selfsup_lifting.recordings import ReadError

# No room is as wide as this in metres, and hardly a rig as narrow in millimetres: above it a
# calibration counts in millimetres, as anipose and Human3.6M do.
WIDEST_RIG = 100.0
MILLIMETRE = 0.001


def filming_rig(settings: ReadSettings) -> Cameras:
    """Return the rig that films what has no pictures: the calibration given, else the ring."""
    if settings.cameras is not None:
        return load_rig(settings.cameras)
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


def load_rig(path: Path) -> Cameras:
    """Read a calibration file, in metres, with image sizes and names.

    Args:
        path: Any file that `load_cameras` understands.

    Returns:
        The rig in float64. A file in millimetres is told by its cameras lying more than a hundred
        units apart; a file without image sizes gets them from the principal points.

    Raises:
        ReadError: If it is no calibration, or something in it is not a finite number.
    """
    try:
        cameras = load_cameras(path).to(torch.float64)
    except (OSError, ValueError) as error:
        raise ReadError(f"calibration {error}") from error
    return _in_metres(_sized(_named(cameras)))


def _named(cameras: Cameras) -> Cameras:
    if cameras.names is not None:
        return cameras
    return replace(cameras, names=tuple(f"cam_{view + 1}" for view in range(cameras.views)))


def _sized(cameras: Cameras) -> Cameras:
    if cameras.image_size is not None:
        return cameras
    middle = cameras.intrinsics[:, :2, 2]
    return replace(cameras, image_size=(2 * middle + 1).round().long())


def _in_metres(cameras: Cameras) -> Cameras:
    if widest_distance(cameras) <= WIDEST_RIG:
        return cameras
    scaled: Tensor = cameras.camera_from_world.clone()
    scaled[:, :3, 3] *= MILLIMETRE
    return replace(cameras, camera_from_world=scaled)


def widest_distance(cameras: Cameras) -> float:
    """Return how far the two most distant cameras stand apart."""
    return float(torch.cdist(cameras.centers, cameras.centers).max())
