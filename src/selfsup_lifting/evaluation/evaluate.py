"""Evaluate a lifter: mean errors in total, and by action, subject and camera."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import chain
from math import isfinite
from operator import itemgetter
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from multiview_geom import world_to_camera
from selfsup_lifting.evaluation.metrics import (
    auc,
    centered,
    ellipsoid_coverage,
    joint_errors,
    n_mpjpe,
    pck,
    procrustes_aligned,
    velocity_errors,
)
from selfsup_lifting.evaluation.subject_size import MOST_FRAMES, pck_threshold
from selfsup_lifting.inference import lift_covariances
from selfsup_lifting.mapped import collect
from selfsup_lifting.pose_refinement import lift_parts
from selfsup_lifting.recording import PART_FRAMES, Recording, require_kind
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.training.dataset import common_skeleton
from selfsup_lifting.training.ellipsoids import SHARE
from selfsup_lifting.training.lifter import Lifter, require_lifter
from selfsup_lifting.training.losses import rotation_part
from selfsup_lifting.triangulate import triangulate_recording

# Lifts every view of the parts of a recording: poses, and their covariances if they are known.
LiftParts = Callable[[Recording], Iterator[tuple[Tensor, Tensor | None]]]
# One row per measure, for every frame of every view of a recording.
Measures = Float[Tensor, "measures _frames _views"]


@dataclass(frozen=True)
class Errors:
    """Mean errors over poses; every frame of every view is one pose.

    Attributes:
        mpjpe_mm: Mean distance of the joints, root-relative [mm].
        p_mpjpe_mm: The same after the best similarity transform of each pose [mm].
        n_mpjpe_mm: The same, root-relative, after the best scale of each pose [mm].
        velocity_mm: Mean error of the step to the next frame, root-relative [mm per frame].
        pck: Share of the counted joints with an error below the threshold, root-relative: 150 mm
            for people, 10 % of the subject's extent for other subjects.
        auc: Mean of that share over 31 thresholds from 0 to that threshold.
        p_pck: `pck` after the best similarity transform of each pose.
        p_auc: `auc` after the best similarity transform of each pose.
        coverage: Share of the joints inside their predicted ellipsoids for 90 %; NaN for a lifter
            without uncertainty, and for refined poses.
        poses: Number of compared poses.
    """

    mpjpe_mm: float
    p_mpjpe_mm: float
    n_mpjpe_mm: float
    velocity_mm: float
    pck: float
    auc: float
    p_pck: float
    p_auc: float
    coverage: float
    poses: int


MEASURES = tuple(field.name for field in fields(Errors) if field.name != "poses")


@dataclass(frozen=True)
class Evaluation:
    """Errors of single-view predictions against a reference.

    Attributes:
        reference: The reference: "truth", or "triangulation" if there is no ground truth.
        total: Mean over all poses.
        action_mean: Mean over the actions, with equal weights whatever their length.
        per_action: Mean over the poses of each action.
        per_subject: The same for each subject.
        per_camera: The same for each camera.
        per_subject_and_action: The same for each subject and action, as "S9 Walking".
        frames: Number of frames.
        joints: Number of joints of a pose.
        joint_names: Their names; they include the root if it is one joint.
        counted: The joints that PCK and AUC count.
        fps: Lowest and highest frame rate of the recordings [1/s].
        pck_threshold_mm: Lowest and highest threshold of PCK in the recordings [mm].
        blind: Poses that were not compared: no detection in the view, or an unknown reference.
    """

    reference: str
    total: Errors
    action_mean: Errors
    per_action: Mapping[str, Errors]
    per_subject: Mapping[str, Errors]
    per_camera: Mapping[str, Errors]
    per_subject_and_action: Mapping[str, Errors]
    frames: int
    joints: int
    joint_names: tuple[str, ...]
    counted: tuple[str, ...]
    fps: tuple[float, float]
    pck_threshold_mm: tuple[float, float]
    blind: int

    def as_dict(self) -> dict[str, Any]:
        """Return the keys that scripts may rely on; unknown numbers are None."""
        plain: dict[str, Any] = nan_to_none(asdict(self))
        return {**plain.pop("total"), **plain}


def evaluate_lifter(
    lifter: Lifter,
    recordings: Sequence[Recording],
    *,
    view: str | None = None,
    refine: bool = False,
    done: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Compare a lifter's single-view predictions with the ground truth, or with all views together.

    Args:
        lifter: A trained network in evaluation mode.
        recordings: Recordings of the lifter's skeleton. If one of them has no ground truth, the
            triangulation of the detections is the reference for all.
        view: The only camera to lift from; by default every camera.
        refine: Whether to refine the poses by their pixels, and to smooth them over time.
        done: Called after every part of a recording.

    Raises:
        ValueError: If the skeleton is not the lifter's.

    Example:
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> from selfsup_lifting.config import LifterSettings
        >>> recordings = read_recordings(["synthetic"], ReadSettings(fps=10.0))[:1]
        >>> untrained = Lifter(recordings[0].skeleton, LifterSettings(width=8, blocks=1)).eval()
        >>> evaluation = evaluate_lifter(untrained, recordings)
        >>> evaluation.reference, evaluation.total.p_mpjpe_mm > 100
        ('truth', True)
    """
    return summarize(pose_errors(lifter, recordings, view=view, refine=refine, done=done))


@dataclass(frozen=True)
class PoseErrors:
    """The errors of every pose of one recording, NaN where they are unknown.

    Attributes:
        recording: The recording, with the views that were lifted.
        reference: "truth" or "triangulation".
        joints: Distances of the root-centered joints [mm].
        aligned_joints: Distances after the best similarity transform of each pose [mm].
        scaled: Mean distance after the best scale of each pose [mm].
        velocity: Mean error of the step to the next frame, NaN for the last [mm per frame].
        coverage: Share of the joints of each pose inside their predicted ellipsoids.
        pck_threshold: The error below which a joint is correct [mm].
    """

    recording: Recording
    reference: str
    joints: Float[Tensor, "frames views joints"]
    aligned_joints: Float[Tensor, "frames views joints"]
    scaled: Float[Tensor, "frames views"]
    velocity: Float[Tensor, "frames views"]
    coverage: Float[Tensor, "frames views"]
    pck_threshold: float

    def measures(self, counted: Sequence[int]) -> Measures:
        """Return the errors of every pose; PCK and AUC over the counted joints."""
        pairs = zip(
            self.joints.split(PART_FRAMES), self.aligned_joints.split(PART_FRAMES), strict=True
        )
        measured = (self._shares(*pair, counted) for pair in pairs)
        plain, aligned, *shares = collect(measured, len(self.joints))
        return torch.stack([plain, aligned, self.scaled, self.velocity, *shares, self.coverage])

    def _shares(
        self,
        joints: Float[Tensor, "frames views joints"],
        aligned: Float[Tensor, "frames views joints"],
        counted: Sequence[int],
    ) -> tuple[Float[Tensor, "frames views"], ...]:
        """Return the means of a part of the errors, and PCK and AUC, plain and aligned."""
        chosen = (joints[..., counted], aligned[..., counted])
        shares = [share(one, self.pck_threshold) for one in chosen for share in (pck, auc)]
        return joints.nanmean(dim=-1), aligned.nanmean(dim=-1), *shares


def pose_errors(
    lifter: Lifter,
    recordings: Sequence[Recording],
    *,
    view: str | None = None,
    refine: bool = False,
    done: Callable[[], None] = lambda: None,
) -> list[PoseErrors]:
    """Lift every view by itself, and measure the errors of every pose, as `evaluate_lifter`."""
    require_lifter(lifter)
    require_kind("recordings", recordings, Sequence)
    require_kind("refine", refine, bool)
    _require_skeleton(lifter, recordings)
    has_truth = all(recording.truth is not None for recording in recordings)
    truth = [one if has_truth else one.without_truth() for one in recordings]
    lift = partial(_lifted, lifter, refine=refine)
    return [_errors_of(lift, recording, view, done) for recording in truth]


def summarize(errors: Sequence[PoseErrors], counted: Sequence[str] = ()) -> Evaluation:
    """Average the errors of all poses: in total, and by action, subject and camera.

    Args:
        errors: The errors of each recording.
        counted: The joints that PCK and AUC count; by default all.

    Raises:
        ValueError: If the skeleton does not have one of the counted joints.
    """
    skeleton = errors[0].recording.skeleton
    names = tuple(counted) or skeleton.joints
    places = [_joint_index(skeleton, name) for name in names]
    measured = [(one.recording, one.measures(places)) for one in errors]
    recordings, measures = zip(*measured, strict=True)
    total = _mean(measures)
    per_action = _by_group(measured, lambda one: one.action)
    views = [zip(one.cameras.names, part.split(1, dim=-1), strict=True) for one, part in measured]
    rates = [one.fps for one in recordings]
    thresholds = [one.pck_threshold for one in errors]
    return Evaluation(
        reference=errors[0].reference,
        total=total,
        action_mean=_mean_of_groups(per_action.values()),
        per_action=per_action,
        per_subject=_by_group(measured, lambda one: one.subject),
        per_camera=_by_name(chain(*views)),
        per_subject_and_action=_by_group(measured, lambda one: f"{one.subject} {one.action}"),
        frames=sum(one.frame_count for one in recordings),
        joints=len(skeleton.joints),
        joint_names=skeleton.joints,
        counted=names,
        fps=(min(rates), max(rates)),
        pck_threshold_mm=(min(thresholds), max(thresholds)),
        blind=sum(part[0].numel() for part in measures) - total.poses,
    )


def coverage_sentence(evaluation: Evaluation) -> str:
    """Say how many of the errors the ellipsoids hold; nothing for a lifter without uncertainty."""
    share = evaluation.total.coverage
    if not isfinite(share):
        return ""
    return f"the predicted ellipsoids for {SHARE:.0%} hold {share:.1%} of the errors"


def nan_to_none(plain: Any) -> Any:  # noqa: ANN401 - any content of a dataclass
    """Replace numbers that are not finite by None, which JSON can store."""
    if isinstance(plain, Mapping):
        return {name: nan_to_none(value) for name, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [nan_to_none(value) for value in plain]
    return None if isinstance(plain, float) and not isfinite(plain) else plain


def _errors_of(
    lift: LiftParts, recording: Recording, view: str | None, done: Callable[[], None]
) -> PoseErrors:
    lifted = recording if view is None else recording.select_views([view])
    step = max(1, recording.frame_count // MOST_FRAMES)
    sample = _reference(recording.frames(slice(None, None, step)))
    middle = sample.flatten(0, 1).nanmean(dim=0).nan_to_num()

    def measured() -> Iterator[tuple[Tensor, ...]]:
        rotations = rotation_part(lifted.cameras.camera_from_world)
        for part, found in zip(recording.parts(after=1), lift(lifted), strict=True):
            yield tuple(one[:PART_FRAMES] for one in _measured(*found, part, rotations, middle))
            done()

    joints, aligned, scaled, velocity, coverage = collect(measured(), recording.frame_count)
    return PoseErrors(
        recording=lifted,
        reference="triangulation" if recording.truth is None else "truth",
        joints=joints,
        aligned_joints=aligned,
        scaled=scaled,
        velocity=velocity,
        coverage=coverage,
        pck_threshold=pck_threshold(recording, sample - middle),
    )


def _lifted(
    lifter: Lifter, recording: Recording, *, refine: bool
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Lift the parts of a recording; refined poses have other errors than the covariances say."""
    known = lifter.settings.uncertainty and not refine
    poses = lift_parts(lifter, recording, refine=refine, after=1)
    for part, predicted in zip(recording.parts(after=1), poses, strict=True):
        inputs = (part.cameras, part.keypoints, part.confidence)
        yield predicted, lift_covariances(lifter, *inputs) if known else None


def _reference(recording: Recording) -> Float[Tensor, "frames joints 3"]:
    """Return the joints in the world: the truth, or the triangulation of all views."""
    if recording.truth is None:
        return triangulate_recording(recording).points
    return recording.truth.double()


def _measured(
    predicted: Float[Tensor, "frames views joints 3"],
    covariance: Float[Tensor, "frames views joints 3 3"] | None,
    part: Recording,
    rotations: Float[Tensor, "views 4 4"],
    middle: Float[Tensor, "3"],
) -> tuple[Tensor, ...]:
    """Measure the poses of a part: joints, aligned joints, scaled, velocity, coverage."""
    # Far from the origin of a world, float32 has no millimeters; all measures are relative.
    world = _reference(part) - middle
    reference = world_to_camera(rotations, world).float()
    root = part.skeleton.root
    velocity = velocity_errors(predicted, reference, root)
    pose, target = centered(predicted, root), centered(reference, root)
    unknown = torch.full(predicted.shape[:2], torch.nan)
    return (
        joint_errors(pose, target),
        joint_errors(procrustes_aligned(predicted, reference), reference),
        n_mpjpe(predicted, reference, root),
        pad(velocity, (0, 0, 0, len(predicted) - len(velocity)), value=torch.nan),
        unknown if covariance is None else ellipsoid_coverage(pose - target, covariance),
    )


def _by_group(
    measured: Sequence[tuple[Recording, Measures]], key: Callable[[Recording], str]
) -> dict[str, Errors]:
    parts = [(key(recording), measures) for recording, measures in measured]
    return _by_name(sorted(parts, key=itemgetter(0)))


def _by_name(parts: Iterable[tuple[str, Measures]]) -> dict[str, Errors]:
    groups: dict[str, list[Measures]] = {}
    for name, measures in parts:
        groups.setdefault(name, []).append(measures)
    return {name: _mean(group) for name, group in groups.items()}


def _mean(measured: Iterable[Measures]) -> Errors:
    """Average over the poses with known errors; a velocity also needs the next pose."""
    poses = torch.cat([measures.flatten(1) for measures in measured], dim=1).double()
    known = poses[:, poses[0].isfinite() & poses[1].isfinite()]
    means = known.nanmean(dim=1).tolist()
    return Errors(**dict(zip(MEASURES, means, strict=True)), poses=known.shape[1])


def _mean_of_groups(groups: Iterable[Errors]) -> Errors:
    """Average groups of poses with equal weights; groups without poses are ignored."""
    groups = [group for group in groups if group.poses]
    values = torch.tensor([[getattr(group, name) for name in MEASURES] for group in groups])
    means = values.double().reshape(-1, len(MEASURES)).nanmean(dim=0).tolist()
    poses = sum(group.poses for group in groups)
    return Errors(**dict(zip(MEASURES, means, strict=True)), poses=poses)


def _joint_index(skeleton: Skeleton, joint: str) -> int:
    if joint not in skeleton.joints:
        raise ValueError(f"`counted` names {joint!r}, which {skeleton.name} does not have")
    return skeleton.joints.index(joint)


def _require_skeleton(lifter: Lifter, recordings: Sequence[Recording]) -> None:
    skeleton = common_skeleton(recordings)
    if skeleton.joints != lifter.skeleton.joints:
        raise ValueError(
            f"the lifter was trained on {lifter.skeleton.name} ({len(lifter.skeleton.joints)} "
            f"joints), the recordings have {skeleton.name} ({len(skeleton.joints)} joints), "
            f"{skeleton.difference(lifter.skeleton)}; map them with `Recording.to_skeleton` or "
            f"--skeleton {lifter.skeleton.name}"
        )
