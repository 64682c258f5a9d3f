"""Every setting of a run, with its meaning, unit, bounds and source: paper, code or ours."""

from dataclasses import dataclass, replace
from enum import Enum
from math import cos, inf, nan, pi
from pathlib import Path

from selfsup_lifting.config_fields import LARGEST, Bounded, documented, group, setting
from selfsup_lifting.simulation_settings import NoiseSettings, RigSettings


class People(Enum):
    """Which person to use where several people are detected."""

    CONSISTENT = "consistent"
    """The person on whom the cameras agree best, tracked over the frames."""
    LARGEST = "largest"
    """The largest person, chosen in every frame and view independently."""
    ALL = "all"
    """Everybody whom two cameras see: one recording per person."""


# Frame rates outside of these limits are damaged [1/s].
LOWEST_FPS, HIGHEST_FPS = 1e-6, 1e6
METERS_PER_UNIT = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}


def meters_per_unit(unit: str) -> float:
    """Return the length of a unit [m]: its name, or a number of meters.

    Raises:
        ValueError: If it is neither.

    Example:
        >>> meters_per_unit("inch"), meters_per_unit("0.054")
        (0.0254, 0.054)
    """
    if unit in METERS_PER_UNIT:
        return METERS_PER_UNIT[unit]
    try:
        length = float(unit)
    except ValueError:
        length = nan
    if not 0 < length < inf:
        known = ", ".join(METERS_PER_UNIT)
        raise ValueError(f"`unit` must be {known} or a number of meters above 0, got {unit!r}")
    return length


@documented
@dataclass(frozen=True)
class ReadSettings(Bounded):
    """How input files become recordings.

    Example:
        >>> settings = ReadSettings(fps=10.0, unit="mm")
        >>> meters_per_unit(settings.unit)
        0.001
    """

    cameras: Path | None = setting(
        None, "Calibration file to use instead of the one found beside the data"
    )
    unit: str | None = setting(
        None,
        "Unit of length of the calibration: m, cm, mm, inch or a number of meters; by default the "
        "one that its format fixes, else m or mm, by the size of the rig",
    )
    rig: RigSettings = group(RigSettings, "The simulated rig for motion capture and stick figures")
    noise: NoiseSettings = group(NoiseSettings, "The simulated 2D detector of that rig")
    skeleton: str | None = setting(
        None, "Map every recording to this skeleton: a built-in name or a TOML file"
    )
    detected_skeleton: str | None = setting(
        None,
        "Skeleton of detections with an ambiguous number of joints: a built-in name or a TOML file",
    )
    people: People = setting(
        People.CONSISTENT,
        "Which of several people to use: the one most consistent between views, the largest, or "
        "all (one recording per person)",
    )
    person: str | None = setting(
        None, "Track id of the person to use, or the person's position in the file's list"
    )
    filmed_by: str | None = setting(None, "Calibrated camera that recorded a single 2D track")
    map: tuple[str, ...] = setting(
        (), "Pairs camera=file where the names of calibrated cameras and of files differ"
    )
    take: str | None = setting(
        None, "Read only the recording of this name, or whose name ends with it"
    )
    min_confidence: float = setting(
        0.0, "Detections with a lower confidence count as missing", least=0, most=1
    )
    sync: bool = setting(
        False, "Shift cameras that are certainly early or late, to fractions of a frame"
    )
    exchange_sides: tuple[str, ...] = setting(
        (), "Cameras in which the detector exchanged left and right joints"
    )
    fill_gaps: int = setting(
        0, "Longest gap in a track that is interpolated", unit="frames", least=0
    )
    fps: float | None = setting(
        None,
        "Subsample faster recordings to about this frame rate",
        unit="1/s",
        least=LOWEST_FPS,
        most=HIGHEST_FPS,
    )
    fps_phase: int = setting(
        0, "First frame kept when subsampling", "ours: 0; not stated in the paper", least=0
    )
    universal_truth: bool = setting(
        True, "Use MPI-INF-3DHP's ground truth of the universal skeleton",
        "ours: yes; not stated in the paper",
    )  # fmt: skip
    undistort: bool = setting(
        True, "Undistort the lenses; otherwise treat every camera as a pinhole",
        "ours: yes; code: no; not stated in the paper",
    )  # fmt: skip
    source_fps: float | None = setting(
        None,
        "Frame rate of files that do not state one; by default 60",
        unit="1/s",
        least=LOWEST_FPS,
        most=HIGHEST_FPS,
    )
    simulation_seed: int = setting(0, "Random seed of all simulations", least=-LARGEST)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unit is not None:
            meters_per_unit(self.unit)


class Labels(Enum):
    """The target of the first loss."""

    TRIANGULATED = "triangulated"
    TRUTH = "truth"


class Method(Enum):
    """The triangulation method."""

    DLT = "dlt"
    ITERATIVE = "iterative"
    ROBUST = "robust"
    REFINED = "refined"


class Norm(Enum):
    """The norm of a deviation."""

    SQUARED_L2 = "squared_l2"
    L1 = "l1"
    HUBER = "huber"


class Compile(Enum):
    """Whether to compile the training step."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@documented
@dataclass(frozen=True)
class TriangulationSettings(Bounded):
    """How the detections of all views become 3D points."""

    method: Method = setting(
        Method.ROBUST,
        "Triangulation method: dlt (linear), iterative (linear, reweighted by depth), robust "
        "(outliers removed) or refined (robust, then least reprojection error through the lens)",
        "ours: robust; paper: dlt",
    )
    threshold_px: float = setting(
        30.0, "Residual above which robust and refined remove a detection", unit="px", above=0
    )
    weighted: bool = setting(False, "Weight each detection by its squared confidence")


@documented
@dataclass(frozen=True)
class AugmentationSettings(Bounded):
    """Random changes to each training batch."""

    mirror: bool = setting(
        False, "Mirror half of the frames together with their cameras",
        "ours: no; code: no, its flip function is unused",
    )  # fmt: skip
    hidden_share: float = setting(
        0.0, "Share of the keypoints hidden from the network", least=0, most=1
    )
    virtual_share: float = setting(
        0.0,
        "Share of the frames of a batch whose labels are filmed by drawn cameras, with the "
        "detector's measured errors, instead of by the rig",
        "ours: 0; not in the paper", least=0, most=1,
    )  # fmt: skip
    mixed_limbs: float = setting(
        0.0, "Share of the arms and legs in virtual views that come from other frames",
        "ours: 0; not in the paper", least=0, most=1,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mixed_limbs > 0 and self.virtual_share == 0:
            raise ValueError(
                "`augmentation.mixed_limbs` changes virtual views only, and there are none: "
                f"`augmentation.virtual_share` must be above 0 for {self.mixed_limbs:g}, got 0"
            )


@documented
@dataclass(frozen=True)
class LifterSettings(Bounded):
    """The residual MLP."""

    # A layer of 100,000 units takes 40 GB.
    width: int = setting(1024, "Units in each hidden layer", "paper: 1024", least=1, most=100_000)
    blocks: int = setting(
        2, "Residual blocks in the encoder, and as many in the decoder",
        "code: 2; the paper can be read as 4", least=1, most=1000,
    )  # fmt: skip
    dropout: float = setting(
        0.5, "Share of hidden units dropped during training",
        "code: 0.5; not stated in the paper", least=0, most=1,
    )  # fmt: skip
    confidence_input: bool = setting(
        False, "Give each keypoint's confidence to the network, zero where missing",
        "ours: no; not stated in the paper",
    )  # fmt: skip
    turn_to_root: bool = setting(
        False, "Turn the camera to the root before, and the pose back after: a pose then looks the "
        "same wherever it is in the image",
        "ours: no; not in the paper",
    )  # fmt: skip
    average_mirrored: bool = setting(
        False, "After training, average the pose with that of the mirrored image, mirrored back",
        "ours: no; not in the paper",
    )  # fmt: skip
    uncertainty: bool = setting(
        False, "Learn how sure the network is of each joint; the recordings of --uncertainty-on "
        "are then not learned from",
        "ours: no; not in the paper",
    )  # fmt: skip
    output_unit: float = setting(
        1.0, "Length of one output unit", "ours: 1; code: 0.001", unit="m", above=0
    )


@documented
@dataclass(frozen=True)
class LossSettings(Bounded):
    """The four losses and their weights; a weight of zero disables a loss."""

    input: float = setting(
        1.0, "Weight of L_in, against the triangulated input", "paper: 1", least=0
    )
    projection: float = setting(
        1.0, "Weight of L_proj, projections against detections", "paper: 1", least=0
    )
    consistency: float = setting(
        0.001, "Weight of L_con, between the views' predictions", "paper: 0.001", least=0
    )
    output: float = setting(
        0.01, "Weight of L_out, against the triangulated output", "paper: 0.01", least=0
    )
    labels: Labels = setting(
        Labels.TRIANGULATED, "Target of L_in; truth makes the training supervised",
        "paper: triangulated",
    )  # fmt: skip
    input_norm: Norm = setting(
        Norm.SQUARED_L2, "Norm of L_in and L_out", "paper: probably squared L2"
    )
    output_share: float = setting(
        0.1, "Final share of the epochs that use L_out", "paper: 0.1", least=0, most=1
    )
    partial_views: bool = setting(
        False, "Count in L_in also the views that miss the root or most joints",
        "ours: no; not stated in the paper",
    )  # fmt: skip
    detach_targets: bool = setting(
        True, "Pass no gradient through the target poses of L_con and L_out",
        'ours: yes; the paper says "as ground truth"',
    )  # fmt: skip
    consistency_with_labels: bool = setting(
        False, "In L_con, compare with the triangulated input, not with another view's prediction",
        "paper: no; code: yes",
    )  # fmt: skip
    output_of_detections: bool = setting(
        False, "Triangulate the detections in L_out instead of the projected predictions",
        "paper: no; code: yes",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weights:
            raise ValueError("`losses` must give a weight to at least one loss, all are 0")
        if list(self.weights) == ["L_out"] and self.output_share < 1:
            raise ValueError("`losses.output_share` must be 1 where no other loss has a weight")

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each enabled loss, by the paper's name of the loss."""
        named = {
            "L_in": self.input,
            "L_proj": self.projection,
            "L_con": self.consistency,
            "L_out": self.output,
        }
        return {name: weight for name, weight in named.items() if weight > 0}

    def at(self, progress: float) -> "LossSettings":
        """Return the losses used after a share of the epochs: L_out is enabled late."""
        return self if progress >= 1 - self.output_share else replace(self, output=0.0)


@documented
@dataclass(frozen=True)
class Config(Bounded):
    """Every setting of a training run.

    Example:
        >>> config = Config(steps=100, lifter=LifterSettings(width=256))
        >>> config.lifter.width, config.losses.weights["L_proj"]
        (256, 1.0)
    """

    data: tuple[str, ...] = setting(
        (), "Training data: folders, files or `kind:path` to force a reader; by default synthetic"
    )
    hold_out: tuple[str, ...] = setting(
        (),
        "Subjects, actions or recordings kept for evaluation; by default the test set of a known "
        "dataset, else the last of several subjects, else the last fifth of every recording",
    )
    epochs: int | None = setting(
        None, "Passes over the data; overrides --steps", "paper: 500 on Human3.6M", least=1
    )
    steps: int = setting(
        4000, "Optimizer steps, rounded up to whole epochs; ignored if --epochs is given", least=1
    )
    frames_per_batch: int = setting(
        2048, "Frames in one batch, each with all its views",
        "paper: 2048, which is 8192 view-poses", least=1,
    )  # fmt: skip
    learning_rate: float = setting(1e-3, "Adam's learning rate", "paper: 0.001", above=0)
    reset_adam: bool = setting(
        False, "Reset Adam's moments before every step; Adam then follows the gradient's sign",
        "paper: no; code: yes",
    )  # fmt: skip
    shuffle: bool = setting(True, "Shuffle the frames in every epoch", "ours: yes; code: no")
    per_view_batchnorm: bool = setting(
        False, "Compute the batch normalization of each view separately", "ours: no; code: yes"
    )
    sync_batchnorm: bool = setting(
        True, "With several processes, normalize by the statistics of the whole batch", "ours: yes"
    )
    most_disagreement: float = setting(
        0.05,
        "Refuse recordings whose cameras disagree by more than this share of the subject's size in "
        "the image; a larger value overrules the refusal",
        above=0,
    )
    decay: bool = setting(
        False, "Reduce the learning rate to zero along a cosine",
        "ours: no; not stated in the paper",
    )  # fmt: skip
    seed: int = setting(0, "Random seed of weights, order and dropout", least=-LARGEST)
    select_on: tuple[str, ...] = setting(
        (),
        "Subjects, actions or recordings for model selection: the weights with the lowest "
        "reprojection error on them are saved too",
        "ours: none; not stated in the paper",
    )
    uncertainty_on: tuple[str, ...] = setting(
        (),
        "Subjects, actions or recordings that are not learned from: their pseudo-labels set the "
        "size of the ellipsoids of `lifter.uncertainty`; by default as for --hold-out",
    )
    cameras_learned: int | None = setting(
        None,
        "Number of cameras to train with: the first ones of each recording; by default all",
        least=2,
    )
    device: str = setting(
        "auto", "Where to train: cpu, cuda, cuda:1, ...; auto is a CUDA GPU if there is one"
    )
    compile: Compile = setting(
        Compile.AUTO,
        "Compile the training step (some minutes): on, off, or auto for on a GPU if possible",
    )
    tf32: bool = setting(
        True,
        "On CUDA, round the network's factors to TF32 (10 bits); weights stay in float32",
        "ours: yes; not stated in the paper",
    )
    run: Path | None = setting(None, "Output folder; by default a new one in runs/")
    overwrite: bool = setting(False, "Replace the output folder if it exists")
    read: ReadSettings = group(ReadSettings, "How the data are read", prefix=False)
    lifter: LifterSettings = group(LifterSettings, "The network")
    losses: LossSettings = group(LossSettings, "The losses")
    triangulation: TriangulationSettings = group(
        TriangulationSettings, "How the pseudo-labels are triangulated", prefix=False
    )
    augmentation: AugmentationSettings = group(AugmentationSettings, "Random changes to a batch")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.uncertainty_on and not self.lifter.uncertainty:
            raise ValueError(
                "`uncertainty_on` names recordings for the ellipsoids of `lifter.uncertainty`, "
                "which is off: switch it on, or name none"
            )

    def learning_rate_at(self, progress: float) -> float:
        """Return the learning rate after a share of the epochs."""
        return self.learning_rate * (0.5 + 0.5 * cos(pi * progress) if self.decay else 1.0)
