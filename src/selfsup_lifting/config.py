"""Every setting of a run, with its unit and where it comes from: paper, code or ours."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RigSettings:
    """Cameras in a ring around the room: the simulated rig that films motion capture.

    Attributes:
        views: How many cameras.
        radius: Distance of every camera from the middle of the room [m].
        height: Height of the cameras above the floor [m].
        target_height: Height of the point in the middle that all look at [m].
        focal_length: Focal length [px]; by default Human3.6M's.
        width: Width of the pictures [px].
        tall: Height of the pictures [px].
    """

    views: int = 4
    radius: float = 4.5
    height: float = 1.5
    target_height: float = 0.9
    focal_length: float = 1145.0
    width: int = 1000
    tall: int = 1000

    def __post_init__(self) -> None:
        require_at_least(2, views=self.views)
        require_positive(
            radius=self.radius,
            focal_length=self.focal_length,
            width=self.width,
            tall=self.tall,
        )


@dataclass(frozen=True)
class NoiseSettings:
    """What a simulated 2D detector gets wrong; by default 4 to 5 px away on average.

    Attributes:
        jitter_px: Typical error of one coordinate, new in every frame [px].
        bias_px: Typical error of one coordinate that a joint keeps through a take [px].
        outlier_share: Share of sightings that land somewhere else altogether.
        outlier_px: Typical distance of those from the truth [px].
        occluded_share: Share of sightings that are missing, in runs of frames.
        occlusion_frames: Typical length of such a run [frames].
        confidence_spread: How far apart good and bad sightings lie, as the deviation of the
            logarithm of the jitter; the confidence tells them apart.
    """

    jitter_px: float = 2.7
    bias_px: float = 1.2
    outlier_share: float = 0.02
    outlier_px: float = 45.0
    occluded_share: float = 0.0
    occlusion_frames: float = 10.0
    confidence_spread: float = 0.4

    def __post_init__(self) -> None:
        require_at_least(
            0,
            jitter_px=self.jitter_px,
            bias_px=self.bias_px,
            outlier_px=self.outlier_px,
            confidence_spread=self.confidence_spread,
        )
        require_share(outlier_share=self.outlier_share, occluded_share=self.occluded_share)
        require_at_least(1, occlusion_frames=self.occlusion_frames)


@dataclass(frozen=True)
class ReadSettings:
    """How other people's files become recordings.

    Attributes:
        cameras: Calibration file to use instead of what lies beside the data.
        rig: The simulated rig that films motion capture and the synthetic takes.
        noise: The simulated 2D detector behind that rig.
        skeleton: Map every recording to this skeleton: a built-in name or a TOML file.
        detected_skeleton: What the detector's joints are, where counting them is ambiguous.
        min_confidence: Sightings below this confidence count as missing.
        fps: Thin out faster recordings to about this many frames per second [1/s].
        source_fps: Frames per second of files that do not say [1/s].
        seed: Seed of everything that is simulated.
    """

    cameras: Path | None = None
    rig: RigSettings = field(default_factory=RigSettings)
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    skeleton: str | None = None
    detected_skeleton: str | None = None
    min_confidence: float = 0.0
    fps: float | None = None
    source_fps: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_share(min_confidence=self.min_confidence)
        require_positive(source_fps=self.source_fps)
        if self.fps is not None:
            require_positive(fps=self.fps)


def require_positive(**settings: float) -> None:
    """Refuse settings that are zero, negative or not numbers."""
    for name, value in settings.items():
        if not value > 0:
            raise ValueError(f"setting `{name}` must be above 0, got {value}")


def require_at_least(least: float, **settings: float) -> None:
    """Refuse settings below a bound."""
    for name, value in settings.items():
        if not value >= least:
            raise ValueError(f"setting `{name}` must be at least {least}, got {value}")


def require_share(**settings: float) -> None:
    """Refuse settings that are not shares, from 0 to 1."""
    for name, value in settings.items():
        if not 0 <= value <= 1:
            raise ValueError(f"setting `{name}` must be a share from 0 to 1, got {value}")
