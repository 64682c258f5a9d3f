"""Joints of one skeleton computed from those of another."""

from collections.abc import Mapping

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.skeleton.skeletons import Skeleton


def joint_mapping(source: Skeleton, target: Skeleton) -> Float[Tensor, "target source"]:
    """Compute the matrix that maps the joints of one skeleton to those of another.

    Args:
        source: The skeleton of the data.
        target: The wanted skeleton.

    Returns:
        One row per target joint: the weights of the source joints whose average it is.

    Raises:
        ValueError: If a target joint cannot be computed from the source, or two target joints are
            computed from the same source joints.

    Note:
        A target joint is the source joint of the same name, or else an average, as in MMPose and
        MotionBERT: the pelvis is the middle of the hips, the thorax that of the shoulders, the
        spine halfway between. If nothing better is known, the middle of the eyes is used for the
        top of the head, which is too low.
    """
    rows = {joint: _weights(source, joint) for joint in target.joints}
    missing = ", ".join(joint for joint, row in rows.items() if not row)
    if missing:
        raise ValueError(
            f"cannot compute {missing} of {target.name!r} from the joints of {source.name!r}"
        )
    _require_distinct_rows(source, target, rows)
    mapping = torch.zeros(len(target.joints), len(source.joints))
    for at, joint in enumerate(target.joints):
        for used, weight in rows[joint].items():
            mapping[at, source.joints.index(used)] = weight
    return mapping


def map_joints(
    mapping: Float[Tensor, "to of"], points: Float[Tensor, "*batch of coordinate"]
) -> Float[Tensor, "*batch to coordinate"]:
    """Average joints; an average is NaN only if a joint that is part of it is not finite."""
    lost = (~points.isfinite()).any(dim=-1, keepdim=True)
    known = torch.where(lost, 0.0, points)
    spoiled = einsum((mapping > 0).to(points), lost.to(points), "to of, ... of c -> ... to c") > 0
    averaged = einsum(mapping.to(points), known, "to of, ... of c -> ... to c")
    return torch.where(spoiled, torch.nan, averaged)


# Replacements for a joint that a skeleton lacks, best first: the mean of the named joints.
_REPLACEMENTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "pelvis": (("left_hip", "right_hip"),),
    "thorax": (("neck",), ("left_shoulder", "right_shoulder")),
    "neck": (("thorax",), ("left_shoulder", "right_shoulder")),
    "spine": (("pelvis", "thorax"),),
    "nose": (("upper_neck",), ("head",)),
    "head_top": (("head",), ("left_eye", "right_eye")),
    "head": (("head_top",), ("left_eye", "right_eye")),
}


def _weights(source: Skeleton, joint: str, asked: tuple[str, ...] = ()) -> dict[str, float]:
    """Return a joint as weights of source joints; empty if it cannot be computed."""
    if joint in source.joints:
        return {joint: 1.0}
    if joint in asked:
        return {}
    for replacement in _REPLACEMENTS.get(joint, ()):
        parts = [_weights(source, part, (*asked, joint)) for part in replacement]
        if all(parts):
            return _mean_of(parts)
    return {}


def _mean_of(parts: list[dict[str, float]]) -> dict[str, float]:
    mean: dict[str, float] = {}
    for part in parts:
        for joint, weight in part.items():
            mean[joint] = mean.get(joint, 0.0) + weight / len(parts)
    return mean


def _require_distinct_rows(
    source: Skeleton, target: Skeleton, rows: Mapping[str, Mapping[str, float]]
) -> None:
    seen: dict[frozenset[tuple[str, float]], str] = {}
    for joint in target.joints:
        row = frozenset(rows[joint].items())
        if row in seen:
            raise ValueError(
                f"{joint} and {seen[row]} of {target.name!r} would be the same joint of "
                f"{source.name!r}"
            )
        seen[row] = joint
