"""A checkpoint and labelled recordings to the benchmarks' tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import world_to_camera
from selfsup_lifting.dataset import common_skeleton
from selfsup_lifting.inference import lift
from selfsup_lifting.lifter import Lifter
from selfsup_lifting.losses import turns_of
from selfsup_lifting.metrics import mpjpe, p_mpjpe
from selfsup_lifting.recordings import Recording
from selfsup_lifting.triangulating import triangulate_recording


@dataclass(frozen=True)
class Errors:
    """Mean errors over poses: every frame of every view counts once.

    Attributes:
        mpjpe_mm: Mean distance of the joints, root-relative [mm].
        p_mpjpe_mm: The same after the best similarity transform of each pose [mm].
        poses: How many poses were compared.
    """

    mpjpe_mm: float
    p_mpjpe_mm: float
    poses: int


@dataclass(frozen=True)
class Evaluation:
    """How far single-view predictions lie from a reference.

    Attributes:
        reference: What they were compared with: "truth", or "triangulation" where there is none.
        total: Over all poses.
        per_action: By action.
        frames: How many frames there were.
        joints: How many joints a pose has.
        blind: Poses not compared, because the view saw nothing or the reference is unknown.
    """

    reference: str
    total: Errors
    per_action: Mapping[str, Errors]
    frames: int
    joints: int
    blind: int

    def as_dict(self) -> dict[str, Any]:
        """Return the keys that scripts may rely on."""
        plain = asdict(self)
        return {**plain.pop("total"), **plain}


def evaluate_lifter(
    lifter: Lifter, recordings: Sequence[Recording], *, view: str | None = None
) -> Evaluation:
    """Compare a lifter's single-view predictions with the truth, or with all views together.

    Args:
        lifter: A trained network in evaluation mode.
        recordings: Takes of the lifter's skeleton. Where one has no truth, the triangulation of
            its detections is the reference for all.
        view: The one camera to lift from; by default each in turn.

    Returns:
        The errors.

    Raises:
        ValueError: If the skeleton is not the lifter's.
    """
    _require_skeleton(lifter, recordings)
    labelled = all(recording.truth is not None for recording in recordings)
    rows = [_pose_errors(lifter, recording, view, labelled=labelled) for recording in recordings]
    actions = sorted({recording.action for recording in recordings})
    per_action = {
        action: _mean(
            row for row, take in zip(rows, recordings, strict=True) if take.action == action
        )
        for action in actions
    }
    total = _mean(rows)
    return Evaluation(
        reference="truth" if labelled else "triangulation",
        total=total,
        per_action=per_action,
        frames=sum(recording.frame_count for recording in recordings),
        joints=len(lifter.skeleton.joints),
        blind=sum(row.shape[1] for row in rows) - total.poses,
    )


def _pose_errors(
    lifter: Lifter, recording: Recording, view: str | None, *, labelled: bool
) -> Float[Tensor, "2 poses"]:
    """Return the two errors of every pose of a take, NaN where they cannot be known."""
    truth = recording.truth if labelled else None
    world = triangulate_recording(recording).points if truth is None else truth.double()
    seen = recording if view is None else recording.select_views([view])
    reference = world_to_camera(turns_of(seen.cameras.camera_from_world), world).float()
    predicted = lift(lifter, seen.cameras, seen.keypoints)
    absolute = mpjpe(predicted, reference, lifter.skeleton.root)
    return torch.stack([absolute.flatten(), p_mpjpe(predicted, reference).flatten()])


def _mean(rows: Iterable[Float[Tensor, "2 poses"]]) -> Errors:
    errors = torch.cat(list(rows), dim=1)
    known = errors[:, errors.isfinite().all(dim=0)]
    absolute, aligned = known.mean(dim=1).tolist()
    return Errors(mpjpe_mm=absolute, p_mpjpe_mm=aligned, poses=known.shape[1])


def _require_skeleton(lifter: Lifter, recordings: Sequence[Recording]) -> None:
    skeleton = common_skeleton(recordings)
    if skeleton.joints != lifter.skeleton.joints:
        raise ValueError(
            f"the lifter was trained on {lifter.skeleton.name} ({len(lifter.skeleton.joints)} "
            f"joints), the recordings have {skeleton.name} ({len(skeleton.joints)} joints); "
            f"map them with --skeleton {lifter.skeleton.name}"
        )
