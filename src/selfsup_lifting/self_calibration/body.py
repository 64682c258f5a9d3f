"""What a person's body says about the world: its scale, its vertical, left and right."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.skeleton.skeletons import Skeleton

# Lengths of segments as shares of the stature: thigh, shank, trunk, upper arm and forearm. Drillis
# and Contini, in Winter, Biomechanics and motor control of human movement, fig. 4.1.
SEGMENTS = (
    (("left_hip", "left_knee"), 0.245),
    (("right_hip", "right_knee"), 0.245),
    (("left_knee", "left_ankle"), 0.246),
    (("right_knee", "right_ankle"), 0.246),
    (("left_hip", "left_shoulder"), 0.288),
    (("right_hip", "right_shoulder"), 0.288),
    (("left_shoulder", "left_elbow"), 0.186),
    (("right_shoulder", "right_elbow"), 0.186),
    (("left_elbow", "left_wrist"), 0.146),
    (("right_elbow", "right_wrist"), 0.146),
)
# People are this tall, children included [m].
USUAL_STATURE = (0.5, 3.0)
# Segments known in fewer frames than this share of the best known one do not count: where legs are
# outside the pictures, detectors place them by guess.
WELL_SEEN = 0.5
# About how much the proportions of people differ, relative.
PROPORTIONS = 0.04
QUARTILES = torch.tensor([0.25, 0.5, 0.75])
# The distance of the outer ones in a normal distribution [standard deviations].
NORMAL_QUARTILES = 1.349
# The joints that touch the ground, best first, and how high they are above it, as a share of the
# stature.
FEET = (
    (("left_big_toe", "right_big_toe", "left_heel", "right_heel"), 0.02),
    (("left_ankle", "right_ankle"), 0.039),
)
# A joint stands if it moves less than this share of the stature in a second.
STANDING = 0.15
# A ground is only fitted to feet that stood on at least this many places...
FEWEST_STANDING = 30
# ...which extend at least this share of the stature in both directions.
LEAST_GROUND = 0.25
# Largest angle between the normal of the ground and the mean axis of the body [degrees].
MOST_LEANING = 20.0
# Below this share of the frames, right is not on the right: something is mirrored.
LEFT_FOR_RIGHT = 0.25
# The pairs of joints between which the axis of a body is.
PAIRS = ("hip", "shoulder", "ankle")


# The ground is this quantile of the heights of joints that stood.
LOWEST = 0.05


class Vertical(NamedTuple):
    """The upward direction of the world, a point on the ground, and what they were found from."""

    up: Float[Tensor, "3"]
    ground: Float[Tensor, "3"]
    source: str


def stature(skeleton: Skeleton, points: Float[Tensor, "frames joints 3"]) -> float:
    """Estimate the height of a person from the lengths of legs, trunk and arms.

    Args:
        skeleton: The joints.
        points: The joints in the world; NaN where unknown.

    Returns:
        The height that a person of average proportions with these segments has [unit of the
        points]; NaN if the skeleton has none of them. Segments that were seldom seen do not count,
        and those whose length varies count less: the length of a bone is constant.

    Reference:
        Drillis and Contini, Body segment parameters, 1966.
    """
    measured = [
        (_lengths(skeleton, points, ends) / share)
        for ends, share in SEGMENTS
        if {*ends} <= {*skeleton.joints}
    ]
    known = [each[each.isfinite()] for each in measured]
    most = max(map(len, known), default=0)
    known = [each for each in known if len(each) > 0 and len(each) >= WELL_SEEN * most]
    if not known:
        return torch.nan
    low, middle, high = torch.stack([each.quantile(QUARTILES.to(each)) for each in known]).mT
    spread = (high - low) / (NORMAL_QUARTILES * middle)
    weights = 1 / (PROPORTIONS**2 + spread.square())
    return float((weights * middle).sum() / weights.sum())


def bone_length(
    skeleton: Skeleton, points: Float[Tensor, "frames joints 3"], ends: Sequence[str]
) -> float:
    """Return the median distance of two joints [unit of the points]; NaN if never known.

    Raises:
        ValueError: If the skeleton has no such joint.
    """
    unknown = [name for name in ends if name not in skeleton.joints]
    if unknown:
        raise ValueError(
            f"`bone` must name joints of {skeleton.name}, got {', '.join(unknown)}; it has "
            f"{', '.join(skeleton.joints)}"
        )
    return float(_lengths(skeleton, points, ends).nanmedian())


def _lengths(
    skeleton: Skeleton, points: Float[Tensor, "frames joints 3"], ends: Sequence[str]
) -> Float[Tensor, "frames"]:
    first, second = (points[:, skeleton.joints.index(name)] for name in ends)
    lengths: Tensor = (first - second).norm(dim=-1)
    return lengths


def find_vertical(
    skeleton: Skeleton, points: Float[Tensor, "frames joints 3"], fps: float
) -> Vertical | None:
    """Find the vertical from the places where the feet stood, or else from the body.

    Args:
        skeleton: The joints.
        points: The joints in the world; NaN where unknown.
        fps: Frames per second.

    Returns:
        The vertical; None if the skeleton has no shoulders and hips, or they were never seen.
    """
    axis = _mean_axis(skeleton, points)
    tall = stature(skeleton, points)
    if axis is None or not tall > 0:
        return None
    soles, height = _soles(skeleton)
    standing = _standing(points[:, soles], fps, STANDING * tall) if soles else points[:0, 0]
    up, source = axis
    normal = _ground_normal(standing, LEAST_GROUND * tall)
    if normal is not None:
        normal = normal * (normal @ up).sign()
        if float((normal @ up).clamp(max=1.0).arccos().rad2deg()) < MOST_LEANING:
            up, source = normal, "the places where the feet stood"
    low = standing if len(standing) else points.flatten(0, 1)
    heights = low[low.isfinite().all(dim=-1)] @ up
    middle = points.nanmean(dim=(0, 1))
    floor = heights.quantile(LOWEST) - height * tall
    return Vertical(up, middle + (floor - middle @ up) * up, source)


def rightness(
    skeleton: Skeleton, points: Float[Tensor, "frames joints 3"], up: Float[Tensor, "3"]
) -> float:
    """Return how often right is on the right of a person who looks forward.

    Forward is where the toes point from the heels, where the knees bend, and where the nose is
    from the ears or the neck.

    Returns:
        The share of the frames and cues in which right is right: near 1 for a correct world, near
        0 for a mirror image or detections whose left and right are exchanged; NaN without a cue.
    """
    votes = []
    side = _between(skeleton, points, "left_hip", "right_hip")
    if side is None:
        return torch.nan
    for cue in _forward(skeleton, points):
        level = cue - (cue @ up)[:, None] * up
        turn = (torch.linalg.cross(side, level) @ up)[level.norm(dim=-1) > 0]
        votes.append(turn[turn.isfinite()] > 0)
    cast = torch.cat(votes) if votes else torch.zeros(0)
    return float(cast.double().mean()) if len(cast) else torch.nan


def _forward(
    skeleton: Skeleton, points: Float[Tensor, "frames joints 3"]
) -> list[Float[Tensor, "frames 3"]]:
    """Return vectors that point to the front of a person, as far as there are joints for them."""
    pairs = [(f"{side}_heel", f"{side}_big_toe") for side in ("left", "right")]
    pairs += [("left_ear", "nose"), ("right_ear", "nose"), ("upper_neck", "nose")]
    cues = [_between(skeleton, points, *pair) for pair in pairs]
    for side in ("left", "right"):
        leg = [f"{side}_{joint}" for joint in ("hip", "knee", "ankle")]
        if {*leg} <= {*skeleton.joints}:
            hip, knee, ankle = (points[:, skeleton.joints.index(name)] for name in leg)
            cues.append(knee - (hip + ankle) / 2)
    return [cue for cue in cues if cue is not None]


def _between(
    skeleton: Skeleton, points: Float[Tensor, "frames joints 3"], start: str, end: str
) -> Float[Tensor, "frames 3"] | None:
    if not {start, end} <= {*skeleton.joints}:
        return None
    first, second = (skeleton.joints.index(name) for name in (start, end))
    return points[:, second] - points[:, first]


def _mean_axis(
    skeleton: Skeleton, points: Float[Tensor, "frames joints 3"]
) -> tuple[Float[Tensor, "3"], str] | None:
    """Return the median direction from the ankles, or else the hips, to the trunk's middle.

    A person who stands or walks keeps the trunk above the feet, but may lean it.
    """
    hips, shoulders, ankles = (_middle(skeleton, points, part) for part in PAIRS)
    if hips is None or shoulders is None:
        return None
    axis = shoulders - hips if ankles is None else (shoulders + hips) / 2 - ankles
    known = axis[axis.isfinite().all(dim=-1)]
    if not len(known):
        return None
    mean = (known / known.norm(dim=-1, keepdim=True)).median(dim=0).values
    upward: Tensor = mean / mean.norm()
    return upward, "the mean spine" if ankles is None else "the mean axis of the body"


def _middle(
    skeleton: Skeleton, points: Float[Tensor, "frames joints 3"], part: str
) -> Float[Tensor, "frames 3"] | None:
    names = [f"{side}_{part}" for side in ("left", "right")]
    if not {*names} <= {*skeleton.joints}:
        return None
    return points[:, [skeleton.joints.index(name) for name in names]].mean(dim=1)


def _soles(skeleton: Skeleton) -> tuple[list[int], float]:
    for names, height in FEET:
        if {*names} <= {*skeleton.joints}:
            return [skeleton.joints.index(name) for name in names], height
    return [], 0.0


def _standing(
    soles: Float[Tensor, "frames joints 3"], fps: float, slowest: float
) -> Float[Tensor, "places 3"]:
    """Return the places of joints that hardly move over half a second."""
    step = max(1, round(fps / 4))
    if len(soles) <= 2 * step:
        return soles[:0, 0]
    speed = (soles[2 * step :] - soles[: -2 * step]).norm(dim=-1) * fps / (2 * step)
    places = soles[step:-step][speed < slowest]
    return places[places.isfinite().all(dim=-1)]


def _ground_normal(places: Float[Tensor, "places 3"], least: float) -> Float[Tensor, "3"] | None:
    """Fit a plane to places in two rounds, the second without those that are far from it."""
    kept = places
    for _ in range(2):
        if len(kept) < FEWEST_STANDING:
            return None
        middle = kept.median(dim=0).values
        _, extents, axes = torch.linalg.svd(kept - middle, full_matrices=False)
        if extents[1] / len(kept) ** 0.5 < least:
            return None
        normal: Tensor = axes[2]
        off = ((places - middle) @ normal).abs()
        kept = places[off <= 3 * off.median()]
    return normal
