"""Every setting of a run, with its meaning, unit, bounds and source: paper, code or ours."""

from dataclasses import dataclass, replace
from enum import Enum
from math import cos, pi
from pathlib import Path

from selfsup_lifting.config_fields import LARGEST, Bounded, documented, group, setting
from selfsup_lifting.read_settings import ReadSettings


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
        0.0, "Share of the keypoints hidden from the network", least=0, below=1
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
        "code: 0.5; not stated in the paper", least=0, below=1,
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
    equal_bones: bool = setting(
        False, "Correct the labels so that each subject's bones keep their lengths, the same left "
        "and right",
        "ours: no; not in the paper",
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
        if self.output > 0 and self.output_share == 0:
            raise ValueError(
                f"`losses.output_share` 0 never uses L_out, whose weight `losses.output` is "
                f"{self.output:g}: set `losses.output` to 0, or a share above 0"
            )

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
        None, "Passes over the data, in the place of --steps", "paper: 500 on Human3.6M", least=1
    )
    steps: int = setting(
        4000, "Optimizer steps, rounded up to whole epochs; not beside --epochs", least=1
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
