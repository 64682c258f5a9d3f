"""Settings of simulated cameras and of the simulated detector."""

from dataclasses import dataclass

from selfsup_lifting.config_fields import Bounded, documented, setting


@documented
@dataclass(frozen=True)
class RigSettings(Bounded):
    """The simulated rig that films motion capture: cameras in a ring around the room."""

    views: int = setting(4, "Number of cameras", least=2)
    radius: float = setting(
        4.5, "Distance of the cameras from the room's center", unit="m", above=0
    )
    height: float = setting(1.5, "Height of the cameras above the floor", unit="m")
    target_height: float = setting(
        0.9, "Height of the point above the room's center that all cameras look at", unit="m"
    )
    focal_length: float = setting(
        1145.0, "Focal length; the default is Human3.6M's", unit="px", above=0
    )
    width_px: int = setting(1000, "Image width", unit="px", above=0)
    height_px: int = setting(1000, "Image height", unit="px", above=0)


@documented
@dataclass(frozen=True)
class NoiseSettings(Bounded):
    """The errors of a simulated 2D detector; the defaults give a mean error of 4 to 5 px."""

    jitter_px: float = setting(
        2.7, "Standard deviation of a coordinate's error, new in every frame", unit="px", least=0
    )
    bias_px: float = setting(
        1.2, "Standard deviation of a coordinate's error, constant for each joint",
        unit="px", least=0,
    )  # fmt: skip
    outlier_share: float = setting(0.02, "Share of detections that are outliers", least=0, most=1)
    outlier_px: float = setting(
        45.0, "Typical distance of an outlier from the true pixel", unit="px", least=0
    )
    occluded_share: float = setting(
        0.0,
        "Share of detections that are missing, in sequences of consecutive frames",
        least=0,
        most=1,
    )
    occlusion_frames: float = setting(
        10.0, "Typical length of a sequence of missing detections", unit="frames", least=1
    )
    confidence_spread: float = setting(
        0.4,
        "Standard deviation of the logarithm of the jitter; the confidence estimates the jitter",
        least=0,
    )
