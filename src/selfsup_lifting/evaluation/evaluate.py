"""A checkpoint and labelled recordings to the benchmarks' tables."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import world_to_camera
from selfsup_lifting.inference import lift
from selfsup_lifting.metrics import (
    auc,
    centred,
    joint_errors,
    mpjpe,
    n_mpjpe,
    p_mpjpe,
    pck,
    procrustes_aligned,
    velocity_errors,
)
from selfsup_lifting.recording import Recording
from selfsup_lifting.training.dataset import common_skeleton
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.losses import turns_of
from selfsup_lifting.triangulate import triangulate_recording

# The errors of a take: one row a measure, for every frame of every view; takes differ in both.
TakeErrors = Float[Tensor, "measures _frames _views"]


@dataclass(frozen=True)
class Errors:
    """Mean errors over poses: every frame of every view counts once.

    Attributes:
        mpjpe_mm: Mean distance of the joints, root-relative [mm].
        p_mpjpe_mm: The same after the best similarity transform of each pose [mm].
        n_mpjpe_mm: The same, root-relative, after the best scale of each pose [mm].
        velocity_mm: Mean error of the step to the next frame, root-relative [mm per frame].
        pck: Share of the counted joints closer than 150 mm, root-relative.
        auc: Mean of that share over the thresholds 0, 5, ... 150 mm.
        p_pck: The share after the best similarity transform of each pose.
        p_auc: The mean share after the best similarity transform of each pose.
        poses: How many poses were compared.
    """

    mpjpe_mm: float
    p_mpjpe_mm: float
    n_mpjpe_mm: float
    velocity_mm: float
    pck: float
    auc: float
    p_pck: float
    p_auc: float
    poses: int


MEASURES = tuple(field.name for field in fields(Errors) if field.name != "poses")


@dataclass(frozen=True)
class Evaluation:
    """How far single-view predictions lie from a reference.

    Attributes:
        reference: What they were compared with: "truth", or "triangulation" where there is none.
        total: Over all poses.
        action_mean: Mean over the actions, each counting once whatever its length.
        per_action: By action.
        per_subject: By subject.
        per_camera: By camera.
        per_subject_and_action: By subject and action, as "S9 Walking".
        frames: How many frames there were.
        joints: How many joints a pose has.
        joint_names: Which they are; the root is one of them, where it is one joint.
        counted: The joints that PCK and AUC count.
        fps: Frames per second, the lowest and the highest of the takes [1/s].
        blind: Poses not compared, because the view saw nothing or the reference is unknown.
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
    blind: int

    def as_dict(self) -> dict[str, Any]:
        """Return the keys that scripts may rely on; what cannot be known is None."""
        plain: dict[str, Any] = known(asdict(self))
        return {**plain.pop("total"), **plain}


def evaluate_lifter(
    lifter: Lifter,
    recordings: Sequence[Recording],
    *,
    view: str | None = None,
    counted: Sequence[str] = (),
) -> Evaluation:
    """Compare a lifter's single-view predictions with the truth, or with all views together.

    Args:
        lifter: A trained network in evaluation mode.
        recordings: Takes of the lifter's skeleton. Where one has no truth, the triangulation of
            its detections is the reference for all.
        view: The one camera to lift from; by default each in turn.
        counted: The joints that PCK and AUC count; by default all.

    Returns:
        The errors.

    Raises:
        ValueError: If the skeleton is not the lifter's, or lacks a joint that shall be counted.
    """
    _require_skeleton(lifter, recordings)
    names = tuple(counted) or lifter.skeleton.joints
    places = [_place(lifter, name) for name in names]
    labelled = all(recording.truth is not None for recording in recordings)
    takes = [take if view is None else take.select_views([view]) for take in recordings]
    errors = [
        _pose_errors(lifter, whole, take, places, labelled=labelled)
        for whole, take in zip(recordings, takes, strict=True)
    ]
    total = _mean(errors)
    per_action = _grouped(takes, errors, lambda take: take.action)
    rates = [recording.fps for recording in recordings]
    return Evaluation(
        reference="truth" if labelled else "triangulation",
        total=total,
        action_mean=_mean_of(per_action.values()),
        per_action=per_action,
        per_subject=_grouped(takes, errors, lambda take: take.subject),
        per_camera=_by_camera(takes, errors),
        per_subject_and_action=_grouped(takes, errors, lambda one: f"{one.subject} {one.action}"),
        frames=sum(recording.frame_count for recording in recordings),
        joints=len(lifter.skeleton.joints),
        joint_names=lifter.skeleton.joints,
        counted=names,
        fps=(min(rates), max(rates)),
        blind=sum(one[0].numel() for one in errors) - total.poses,
    )


def _pose_errors(
    lifter: Lifter, whole: Recording, take: Recording, counted: list[int], *, labelled: bool
) -> TakeErrors:
    """Return the errors of every pose of a take, NaN where they cannot be known."""
    truth = whole.truth if labelled else None
    world = triangulate_recording(whole).points if truth is None else truth.double()
    reference = world_to_camera(turns_of(take.cameras.camera_from_world), world).float()
    predicted = lift(lifter, take.cameras, take.keypoints, take.confidence)
    root = lifter.skeleton.root
    plain = joint_errors(centred(predicted, root), centred(reference, root))[..., counted]
    aligned = joint_errors(procrustes_aligned(predicted, reference), reference)[..., counted]
    velocities = velocity_errors(predicted, reference, root)
    last = torch.full((1, *plain.shape[1:-1]), torch.nan)
    return torch.stack(
        [
            mpjpe(predicted, reference, root),
            p_mpjpe(predicted, reference),
            n_mpjpe(predicted, reference, root),
            torch.cat([velocities, last])[: len(plain)],
            *(pck(plain), auc(plain), pck(aligned), auc(aligned)),
        ]
    )


def _grouped(
    takes: Sequence[Recording], errors: Sequence[TakeErrors], key: Callable[[Recording], str]
) -> dict[str, Errors]:
    groups: dict[str, list[TakeErrors]] = {}
    for take, one in zip(takes, errors, strict=True):
        groups.setdefault(key(take), []).append(one)
    return {name: _mean(groups[name]) for name in sorted(groups)}


def _by_camera(takes: Sequence[Recording], errors: Sequence[TakeErrors]) -> dict[str, Errors]:
    groups: dict[str, list[TakeErrors]] = {}
    for take, one in zip(takes, errors, strict=True):
        for view, name in enumerate(take.cameras.names):
            groups.setdefault(name, []).append(one[..., view : view + 1])
    return {name: _mean(groups[name]) for name in groups}


def _mean(errors: Iterable[TakeErrors]) -> Errors:
    """Average over the poses whose error is known; a velocity needs the next pose as well."""
    poses = torch.cat([one.flatten(1) for one in errors], dim=1).double()
    known = poses[:, poses[0].isfinite() & poses[1].isfinite()]
    means = known.nanmean(dim=1).tolist()
    return Errors(**dict(zip(MEASURES, means, strict=True)), poses=known.shape[1])


def _mean_of(groups: Iterable[Errors]) -> Errors:
    """Average groups of poses, each counting once; those without a pose do not count."""
    groups = [group for group in groups if group.poses]
    values = torch.tensor([[getattr(group, name) for name in MEASURES] for group in groups])
    means = values.double().reshape(-1, len(MEASURES)).nanmean(dim=0).tolist()
    poses = sum(group.poses for group in groups)
    return Errors(**dict(zip(MEASURES, means, strict=True)), poses=poses)


def known(plain: Any) -> Any:  # noqa: ANN401 - whatever a dataclass holds
    """Write None for what is not a finite number, as JSON has no word for it.

    Args:
        plain: Numbers and text in dictionaries, lists and tuples.

    Returns:
        The same, to be written as JSON.
    """
    if isinstance(plain, Mapping):
        return {name: known(value) for name, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [known(value) for value in plain]
    return None if isinstance(plain, float) and not isfinite(plain) else plain


def _place(lifter: Lifter, joint: str) -> int:
    if joint not in lifter.skeleton.joints:
        raise ValueError(f"`counted` names {joint!r}, which {lifter.skeleton.name} does not have")
    return lifter.skeleton.joints.index(joint)


def _require_skeleton(lifter: Lifter, recordings: Sequence[Recording]) -> None:
    skeleton = common_skeleton(recordings)
    if skeleton.joints != lifter.skeleton.joints:
        raise ValueError(
            f"the lifter was trained on {lifter.skeleton.name} ({len(lifter.skeleton.joints)} "
            f"joints), the recordings have {skeleton.name} ({len(skeleton.joints)} joints); "
            f"map them with --skeleton {lifter.skeleton.name}"
        )
