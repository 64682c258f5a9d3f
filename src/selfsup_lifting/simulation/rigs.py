"""The cameras that film simulated recordings: a ring of cameras, or a given calibration."""

import logging

import torch

from multiview_geom import Cameras, ring_of_cameras
from selfsup_lifting.calibration import load_rig
from selfsup_lifting.read_settings import ReadSettings

_log = logging.getLogger(__name__)


def simulated_rig(settings: ReadSettings) -> Cameras:
    """Return the cameras of the calibration file in the settings, or else a ring of cameras."""
    if settings.cameras is not None:
        given = load_rig(settings.cameras, unit=settings.unit)
        for note in given.notes:
            _log.warning("%s", note)
        return given.cameras
    rig = settings.rig
    return ring_of_cameras(
        rig.views, rig.radius, rig.height,
        target_height=rig.target_height, focal_length=rig.focal_length,
        image_size=(rig.width_px, rig.height_px), dtype=torch.float64,
    )  # fmt: skip
