"""The settings of a calibration from the people whom the cameras saw."""

from dataclasses import dataclass
from enum import Enum

from selfsup_lifting.config_fields import Bounded, documented, setting

# Nobody is taller, and no bone longer [m].
TALLEST = 3


class Start(Enum):
    """What a calibration starts from."""

    CALIBRATION = "calibration"
    """The given calibration, which is repaired."""
    INTRINSICS = "intrinsics"
    """The given intrinsics; the poses in the file are ignored."""
    IMAGE_SIZE = "image-size"
    """The given image sizes: poses, focal lengths and lenses in the file are ignored."""


class Free(Enum):
    """What may change beside the poses of the cameras."""

    FOCAL = "focal"
    """The focal length of each camera."""
    PRINCIPAL_POINT = "principal-point"
    """The principal point of each camera."""
    DISTORTION = "distortion"
    """The first two radial coefficients of each lens."""


@documented
@dataclass(frozen=True)
class CalibrationSettings(Bounded):
    """How cameras are calibrated from the people whom they saw."""

    free: str = setting(
        "", "What may change beside the poses: focal, principal-point, distortion, with commas"
    )
    stature: float | None = setting(
        None, "Height of the person, which gives the scale", unit="m", above=0
    )
    bone: str | None = setting(
        None, "A known distance of two joints, which gives the scale: left_hip-left_knee=0.42 (m)"
    )
    distance: str | None = setting(
        None, "A known distance of two cameras, which gives the scale: cam_1-cam_2=3.2 (m)"
    )
    threshold_px: float | None = setting(
        None,
        "Largest residual of an inlier while cameras are placed without poses; by default 1 % of "
        "the focal length",
        unit="px",
        above=0,
    )
    held_out_every: int = setting(
        5, "One frame in this many is held out, to measure the error", least=2
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stature is not None and self.stature > TALLEST:
            raise ValueError(
                f"setting `stature` must be at most {TALLEST} m, got {self.stature:g}: "
                "centimeters or feet?"
            )
