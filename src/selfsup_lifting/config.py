"""Every setting of a run, with its unit and where it comes from: paper, code or ours."""

from dataclasses import dataclass, field, replace
from enum import Enum
from math import cos, pi
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

# Torch counts in 64 bits, one of them the sign.
LARGEST = 2**63

# One layer of so many numbers takes 40 GB; more blocks than that are no network either.
WIDEST, DEEPEST = 100_000, 1000


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


class People(Enum):
    """Who is meant where several people are seen."""

    CONSISTENT = "consistent"
    """Whoever the cameras agree on, frame after frame."""
    LARGEST = "largest"
    """Whoever appears largest, in every frame and view by itself."""


class Unit(Enum):
    """A unit of length."""

    METER = "m"
    CENTIMETER = "cm"
    MILLIMETER = "mm"
    INCH = "inch"

    @property
    def meters(self) -> float:
        """The length of one unit [m]."""
        return {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}[self.value]


@dataclass(frozen=True)
class ReadSettings:
    """How other people's files become recordings.

    Attributes:
        cameras: Calibration file to use instead of what lies beside the data.
        unit: Unit of length of the calibration: m, cm, mm or inch. By default the unit that the
            file format fixes; if it fixes none, meters or millimeters, by the size of the rig.
        rig: The simulated rig that films motion capture and the synthetic takes.
        noise: The simulated 2D detector behind that rig.
        skeleton: Map every recording to this skeleton: a built-in name or a TOML file.
        detected_skeleton: What the detector's joints are, where counting them is ambiguous: a
            built-in name or a TOML file.
        people: Who is meant where several people are seen.
        person: The one who is meant, as the tracker calls it; or the place in the file's list.
        filmed_by: Which camera of the calibration filmed a track that stands alone.
        min_confidence: Sightings below this confidence count as missing.
        fill_gaps: Gaps in a joint's track of up to so many frames are filled along a straight line
            in time; 0 fills none.
        fps: Thin out faster recordings to about this many frames per second [1/s].
        fps_phase: The first frame that is kept when a benchmark is thinned out [ours: 0; the
            paper says 50 to 10 frames per second, and not which].
        universal_truth: Whether MPI-INF-3DHP's truth is the one scaled to the universal skeleton,
            which its official script compares with [ours: yes; unsaid in the paper].
        undistort: Whether lenses are undistorted; otherwise all are taken for pinholes [ours: yes;
            code: no; unsaid in the paper].
        source_fps: Frames per second of files that do not say [1/s].
        simulation_seed: Seed of everything that is simulated.
    """

    cameras: Path | None = None
    unit: Unit | None = None
    rig: RigSettings = field(default_factory=RigSettings)
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    skeleton: str | None = None
    detected_skeleton: str | None = None
    people: People = People.CONSISTENT
    person: str | None = None
    filmed_by: str | None = None
    min_confidence: float = 0.0
    fill_gaps: int = 0
    fps: float | None = None
    fps_phase: int = 0
    universal_truth: bool = True
    undistort: bool = True
    source_fps: float = 60.0
    simulation_seed: int = 0

    def __post_init__(self) -> None:
        require_share(min_confidence=self.min_confidence)
        require_positive(source_fps=self.source_fps)
        require_at_least(0, fps_phase=self.fps_phase, fill_gaps=self.fill_gaps)
        require_at_most(LARGEST - 1, simulation_seed=abs(self.simulation_seed))
        if self.fps is not None:
            require_positive(fps=self.fps)


class Labels(Enum):
    """What the network is compared with in the first loss."""

    TRIANGULATED = "triangulated"
    TRUTH = "truth"


class Method(Enum):
    """How many views become one point."""

    DLT = "dlt"
    ITERATIVE = "iterative"
    ROBUST = "robust"
    REFINED = "refined"


class Norm(Enum):
    """How a deviation becomes a number."""

    SQUARED_L2 = "squared_l2"
    L1 = "l1"
    HUBER = "huber"


@dataclass(frozen=True)
class TriangulationSettings:
    """How the detections of all views become points in the world.

    Attributes:
        method: dlt (linear), iterative (linear, reweighted by depth), robust (wrong sightings left
            out) or refined (robust, then the best reprojection through the lenses)
            [paper: dlt].
        threshold_px: Residual above which robust and refined leave a sighting out [px].
        weighted: Whether a sighting counts by the square of its confidence.
    """

    method: Method = Method.DLT
    threshold_px: float = 30.0
    weighted: bool = False

    def __post_init__(self) -> None:
        require_positive(threshold_px=self.threshold_px)


@dataclass(frozen=True)
class AugmentationSettings:
    """What is changed about a batch each time it is seen.

    Attributes:
        mirror: Whether half of the frames are mirrored, cameras and all [ours: off; the code has
            a flip that nothing calls].
        hidden_share: Share of the keypoints that the network is not shown, so that it learns to
            do without.
    """

    mirror: bool = False
    hidden_share: float = 0.0

    def __post_init__(self) -> None:
        require_share(hidden_share=self.hidden_share)


@dataclass(frozen=True)
class LifterSettings:
    """The residual MLP.

    Attributes:
        width: Numbers in each hidden layer [paper: 1024].
        blocks: Residual blocks in the encoder, and as many in the decoder [code: 2; the paper's
            text can be read as 4].
        dropout: Share of hidden numbers dropped while training [code: 0.5; unsaid in the paper].
        confidence_input: Whether the network is told each keypoint's confidence, zero where it is
            missing [ours: off; unsaid in the paper].
        output_unit: The length that an output of one stands for [m] [ours: 1; code: 0.001].
    """

    width: int = 1024
    blocks: int = 2
    dropout: float = 0.5
    confidence_input: bool = False
    output_unit: float = 1.0

    def __post_init__(self) -> None:
        require_at_least(1, width=self.width, blocks=self.blocks)
        require_at_most(WIDEST, width=self.width)
        require_at_most(DEEPEST, blocks=self.blocks)
        require_positive(output_unit=self.output_unit)
        require_share(dropout=self.dropout)


@dataclass(frozen=True)
class LossSettings:
    """The four losses and their weights; a weight of zero leaves its loss out.

    Attributes:
        input: Weight of L_in, against the triangulated input [paper: 1].
        projection: Weight of L_proj, between projections and detections [paper: 1].
        consistency: Weight of L_con, between the views' predictions [paper: 0.001].
        output: Weight of L_out, against the triangulated output [paper: 0.01].
        labels: What L_in compares with; truth makes training supervised [paper: triangulated].
        input_norm: Norm of L_in and L_out [paper: squared L2, as far as it can be read].
        output_share: Last share of the epochs in which L_out takes part [paper: 0.1].
        detach_targets: Whether the poses that L_con and L_out compare with pass no gradient
            [ours: yes; the paper says "as ground truth"].
        consistency_with_labels: Whether L_con compares with the triangulated input instead of
            another view's prediction [paper: no; code: yes].
        output_of_detections: Whether L_out triangulates the detections instead of the projected
            predictions [paper: no; code: yes].
    """

    input: float = 1.0
    projection: float = 1.0
    consistency: float = 0.001
    output: float = 0.01
    labels: Labels = Labels.TRIANGULATED
    input_norm: Norm = Norm.SQUARED_L2
    output_share: float = 0.1
    detach_targets: bool = True
    consistency_with_labels: bool = False
    output_of_detections: bool = False

    def __post_init__(self) -> None:
        require_at_least(
            0,
            input=self.input,
            projection=self.projection,
            consistency=self.consistency,
            output=self.output,
        )
        require_share(output_share=self.output_share)
        if not self.weights:
            raise ValueError("`losses` must give a weight to at least one loss, all are 0")
        if list(self.weights) == ["L_out"] and self.output_share < 1:
            raise ValueError("`losses.output_share` must be 1 where no other loss has a weight")

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each loss that takes part, by the paper's name for it."""
        named = {
            "L_in": self.input,
            "L_proj": self.projection,
            "L_con": self.consistency,
            "L_out": self.output,
        }
        return {name: weight for name, weight in named.items() if weight > 0}

    def at(self, progress: float) -> "LossSettings":
        """Return the losses in force after a share of the epochs: L_out comes in late."""
        return self if progress >= 1 - self.output_share else replace(self, output=0.0)


@dataclass(frozen=True)
class Config:
    """Every setting of a training run.

    Attributes:
        data: What to learn from: folders or files, `kind:path` to force a reader; by default
            embedded synthetic takes.
        hold_out: Subjects, actions or takes kept for evaluation; by default what a benchmark
            tests, else the last of several subjects, else the last fifth of every take.
        epochs: Passes over the data [paper: 500 on Human3.6M]; instead of `steps`.
        steps: Weight updates, rounded up to whole epochs; where `epochs` is not given.
        frames_per_batch: Frames of all views in one update [paper: 2048, 8192 view-poses].
        learning_rate: Step length of Adam [paper: 0.001].
        adam_forgets: Whether Adam starts anew at every step, which makes it follow the sign of
            the gradient [paper: no; code: yes].
        shuffle: Whether every epoch sees the frames in another order [ours: yes; code: no].
        views_apart: Whether batch normalisation sees one view at a time [ours: no; code: yes].
        decay: Whether the step length falls to zero along a cosine [ours: no; unsaid in the paper].
        seed: Seed of weights, order and dropout.
        select_on: Subjects, actions or takes set apart from learning; the weights that the other
            cameras confirm best on them are kept as well [ours: none; unsaid in the paper].
        cameras_learned: Learn from the first so many cameras of each take; by default from all.
        device: Where to train: cpu, cuda, cuda:1, ...
        run: Folder to write to; by default a new one in runs/.
        overwrite: Replace the run folder if it exists.
        read: How the data are read.
        lifter: The network.
        losses: The losses.
        triangulation: How the pseudo-labels are triangulated.
        augmentation: What is changed about a batch.
    """

    data: tuple[str, ...] = ()
    hold_out: tuple[str, ...] = ()
    epochs: int | None = None
    steps: int = 4000
    frames_per_batch: int = 2048
    learning_rate: float = 1e-3
    adam_forgets: bool = False
    shuffle: bool = True
    views_apart: bool = False
    decay: bool = False
    seed: int = 0
    select_on: tuple[str, ...] = ()
    cameras_learned: int | None = None
    device: str = "cpu"
    run: Path | None = None
    overwrite: bool = False
    read: Annotated[ReadSettings, arg(name="")] = field(default_factory=ReadSettings)
    lifter: LifterSettings = field(default_factory=LifterSettings)
    losses: LossSettings = field(default_factory=LossSettings)
    triangulation: Annotated[TriangulationSettings, arg(name="")] = field(
        default_factory=TriangulationSettings
    )
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)

    def __post_init__(self) -> None:
        require_at_least(1, steps=self.steps, frames_per_batch=self.frames_per_batch)
        require_positive(learning_rate=self.learning_rate)
        require_at_most(LARGEST - 1, seed=abs(self.seed))
        if self.epochs is not None:
            require_at_least(1, epochs=self.epochs)
        if self.cameras_learned is not None:
            require_at_least(2, cameras_learned=self.cameras_learned)

    def learning_rate_at(self, progress: float) -> float:
        """Return the step length after a share of the epochs."""
        return self.learning_rate * (0.5 + 0.5 * cos(pi * progress) if self.decay else 1.0)


def require_positive(**settings: float | int) -> None:
    """Refuse settings that are zero, negative or not numbers."""
    for name, value in settings.items():
        if not value > 0:
            raise ValueError(f"setting `{name}` must be above 0, got {value}")
    require_at_most(LARGEST, **settings)


def require_at_least(least: float | int, **settings: float | int) -> None:
    """Refuse settings below a bound."""
    for name, value in settings.items():
        if not value >= least:
            raise ValueError(f"setting `{name}` must be at least {least}, got {value}")
    require_at_most(LARGEST, **settings)


def require_at_most(most: float | int, **settings: float | int) -> None:
    """Refuse settings above a bound, infinity among them."""
    for name, value in settings.items():
        if not value <= most:
            raise ValueError(f"setting `{name}` must be at most {most}, got {value}")


def require_share(**settings: float | int) -> None:
    """Refuse settings that are not shares, from 0 to 1."""
    for name, value in settings.items():
        if not 0 <= value <= 1:
            raise ValueError(f"setting `{name}` must be a share from 0 to 1, got {value}")
