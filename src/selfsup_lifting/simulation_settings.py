"""Settings of simulated cameras and of the simulated detector."""

from collections.abc import Mapping
from dataclasses import dataclass

from selfsup_lifting.config_fields import Bounded, documented, setting

# The time and the memory grow with the number of pairs.
MOST_CAMERAS = 256
# No room is so large [m].
FARTHEST = 1e6
# A rig that is so large, or so high, is in millimeters [m].
USUAL_FARTHEST = 500
# A focal length below this share of the image width is in millimeters.
LEAST_FOCAL_SHARE = 0.1


@documented
@dataclass(frozen=True)
class RigSettings(Bounded):
    """The simulated rig that films motion capture: cameras in a ring around the room."""

    views: int = setting(4, "Number of cameras", least=2, most=MOST_CAMERAS)
    radius: float = setting(
        4.5, "Distance of the cameras from the room's center", unit="m", above=0, most=FARTHEST
    )
    height: float = setting(
        1.5, "Height of the cameras above the floor", unit="m", least=-FARTHEST, most=FARTHEST
    )
    target_height: float = setting(
        0.9,
        "Height of the point above the room's center that all cameras look at",
        unit="m",
        least=-FARTHEST,
        most=FARTHEST,
    )
    focal_length: float = setting(
        1145.0, "Focal length; the default is Human3.6M's", unit="px", above=0
    )
    width_px: int = setting(1000, "Image width", unit="px", above=0)
    height_px: int = setting(1000, "Image height", unit="px", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("radius", "height", "target_height"):
            value = getattr(self, name)
            if abs(value) > USUAL_FARTHEST:
                raise ValueError(
                    f"setting `{name}` of the simulated rig must be at most {USUAL_FARTHEST} m, "
                    f"got {value:g}: millimeters?"
                )
        if self.focal_length < LEAST_FOCAL_SHARE * self.width_px:
            raise ValueError(
                f"setting `focal_length` of the simulated rig must be at least "
                f"{LEAST_FOCAL_SHARE:.0%} of the image width of {self.width_px} px, got "
                f"{self.focal_length:g} px: millimeters?"
            )


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
        "Standard deviation of the logarithm of the jitter; a large one gives heavy tails; the "
        "confidence estimates the jitter",
        least=0,
    )
    confidence_error: float = setting(
        0.3, "Standard deviation of the logarithm of that estimate", least=0
    )
    body_px: float = setting(
        0.0,
        "Diagonal of a body in the image at which errors have the given sizes; they grow with the "
        "body; 0: they do not",
        unit="px", least=0,
    )  # fmt: skip
    end_factor: float = setting(
        1.0, "Factor of the errors at the end of a limb; its square root one joint before", above=0
    )
    hidden_factor: float = setting(
        1.0, "Factor of the errors of joints that the body hides from the camera", above=0
    )
    hidden_missing: float = setting(
        0.0, "Share of the joints hidden by the body that are missing", least=0, most=1
    )
    swapped_share: float = setting(
        0.0, "Share of frames in which left and right of a pair of limbs are exchanged in a view",
        least=0, most=1,
    )  # fmt: skip
    drift_px: float = setting(
        0.0, "Standard deviation of a coordinate's error that changes slowly", unit="px", least=0
    )
    drift_frames: float = setting(
        15.0, "Frames in which this error loses most of its memory", unit="frames", above=0
    )
    pose_bias_px: float = setting(
        0.0, "Standard deviation of a coordinate's error that depends on the pose in the image",
        unit="px", least=0,
    )  # fmt: skip


# Levels of errors. `cpn-like` is made like detectors that were trained for people: docs/study.md
# compares its statistics with those of real detections.
NOISE_LEVELS: Mapping[str, NoiseSettings] = {
    "mild": NoiseSettings(
        jitter_px=0.9, bias_px=0.8, outlier_share=0.005, outlier_px=40.0, confidence_spread=0.5,
        body_px=450.0, end_factor=1.6, hidden_factor=1.5, swapped_share=0.002, drift_px=1.1,
        pose_bias_px=1.1,
    ),
    "cpn-like": NoiseSettings(
        jitter_px=1.6, bias_px=1.5, outlier_share=0.015, outlier_px=50.0, confidence_spread=0.6,
        confidence_error=0.6, body_px=450.0, end_factor=2.0, hidden_factor=2.0,
        hidden_missing=0.05, swapped_share=0.01, drift_px=2.0, pose_bias_px=2.0,
    ),
    "harsh": NoiseSettings(
        jitter_px=3.2, bias_px=2.5, outlier_share=0.04, outlier_px=60.0, confidence_spread=0.8,
        confidence_error=0.9, body_px=450.0, end_factor=2.2, hidden_factor=2.5, hidden_missing=0.3,
        occluded_share=0.05, swapped_share=0.04, drift_px=4.0, pose_bias_px=4.0,
    ),
}  # fmt: skip
