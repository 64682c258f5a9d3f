"""What the joints of a file are: told by their names, their number or their anatomy."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.recording import ReadError
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton

# Which skeletons have how many keypoints, the usual one first. Whole-body models begin with
# their body; face and hands are left out.
_BY_COUNT: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        15: ("humaneva15",),
        16: ("mpii16",),
        17: ("coco17",),
        18: ("coco18",),
        25: ("body25", "body25b"),
        26: ("halpe26",),
        133: ("coco17",),
        135: ("body25b",),
        136: ("halpe26",),
    }
)
# Joints that lie between two others, by which bodies of 25 are told: the middle and its sides.
_MIDDLES: Mapping[str, tuple[tuple[str, str, str], ...]] = MappingProxyType(
    {
        "body25": (
            ("pelvis", "left_hip", "right_hip"),
            ("neck", "left_shoulder", "right_shoulder"),
        ),
        "body25b": (
            ("nose", "left_eye", "right_eye"),
            ("upper_neck", "left_shoulder", "right_shoulder"),
        ),
    }
)
# What the root of a body is called, best first.
_ROOTS = (
    ("pelvis",), ("mid_hip",), ("hips",), ("left_hip", "right_hip"), ("root",), ("tail_base",),
    ("tailbase",), ("base_tail",), ("tail_start",), ("body_center",), ("center",), ("thorax",),
)  # fmt: skip


@dataclass(frozen=True)
class Body:
    """A skeleton, and which joints of the file make it up, in its order.

    Attributes:
        skeleton: What the joints are.
        order: Where each of them stands in the file.
        rivals: The skeletons it may be, this one first, where only anatomy tells them apart.
    """

    skeleton: Skeleton
    order: tuple[int, ...]
    rivals: tuple[str, ...] = ()


def body_by_count(source: Path, count: int, told: Skeleton | None) -> Body:
    """Tell a skeleton from how many joints each person has.

    Args:
        source: The file or folder, for the sentence of an error.
        count: How many joints everybody has.
        told: The skeleton that the user or the project names; None where nobody does.

    Returns:
        The skeleton told, else the usual one of so many joints; BODY_25 and BODY_25B are rivals,
        for `told_by_anatomy` to choose among.

    Raises:
        ReadError: If the number does not fit, or is of no skeleton known here.
    """
    names = _BY_COUNT.get(count, ())
    if told is not None:
        if count != len(told.joints) and told.name not in names:
            raise ReadError(
                f"{source}: expected {len(told.joints)} keypoints of {told.name!r}, got {count}; "
                "they are of another skeleton"
            )
        return Body(told, tuple(range(len(told.joints))))
    if not names:
        raise ReadError(
            f"{source}: {count} keypoints are of no skeleton known here; say which with "
            "`detected_skeleton`: a name or a TOML file"
        )
    skeleton = SKELETONS[names[0]]
    rivals = names if len(names) > 1 else ()
    return Body(skeleton, tuple(range(len(skeleton.joints))), rivals)


def told_by_anatomy(
    people: Float[Tensor, "people joints 3"], rivals: Sequence[str]
) -> Skeleton | None:
    """Choose the skeleton whose middle joints lie best in the middle.

    Args:
        people: x, y and confidence of everybody's joints, of every camera of one detector.
        rivals: The skeletons among which to choose.

    Returns:
        The best one, by those people who show the middle of every rival; None where nobody does,
        or where two are equally good.
    """
    strain = torch.stack(
        [_strain(people, SKELETONS[name], _MIDDLES[name]) for name in rivals], dim=1
    )
    comparable = strain[strain.isfinite().all(dim=1)]
    if not len(comparable):
        return None
    ranked = comparable.median(dim=0).values.sort()
    if ranked.values[0] == ranked.values[1]:
        return None
    return SKELETONS[rivals[int(ranked.indices[0])]]


def body_by_names(
    source: Path,
    names: Sequence[str],
    *,
    links: Sequence[tuple[str, str]] = (),
    told: Skeleton | None = None,
    seen_share: Sequence[float] = (),
) -> Body:
    """Tell a skeleton from what a file calls its joints.

    Args:
        source: The file, for the sentence of an error and for the name of a new skeleton.
        names: What the joints are called, in the order of the file.
        links: Pairs of joints that a bone connects, where the file tells.
        told: The skeleton that the user names; None where nobody does.
        seen_share: How often each joint is seen: the most seen one is the root where no name
            tells it.

    Returns:
        The skeleton told, or the built-in one with exactly these joints, or a new one; and
        where its joints are in the file.

    Raises:
        ReadError: If the skeleton told has joints that the file lacks.
    """
    plain = [plain_joint(name) for name in names]
    if told is not None:
        lacking = [joint for joint in told.joints if plain_joint(joint) not in plain]
        if lacking:
            raise ReadError(
                f"{source}: {told.name!r} has the joints {', '.join(lacking)}, the file has only "
                f"{', '.join(names)}"
            )
        return Body(told, tuple(plain.index(plain_joint(joint)) for joint in told.joints))
    for skeleton in SKELETONS.values():
        if sorted(plain) == sorted(skeleton.joints):
            return Body(skeleton, tuple(plain.index(joint) for joint in skeleton.joints))
    root = _root(plain, seen_share)
    return Body(
        Skeleton(
            name=source.stem,
            joints=tuple(names),
            parents=_hung_on(root, names, links),
            mirrored=_mirrored(plain),
            root=root,
        ),
        tuple(range(len(names))),
    )


def plain_joint(name: str) -> str:
    """Write `LShoulder`, `Left Shoulder` and `shoulder_left` as `left_shoulder`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    words = [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]
    for short, side in (("l", "left"), ("r", "right")):
        for mark in (side, short):
            if len(words) > 1 and mark in {words[0], words[-1]}:
                words.remove(mark)
                return "_".join([side, *words])
    return "_".join(words)


def _root(plain: Sequence[str], seen_share: Sequence[float]) -> tuple[int, ...]:
    for names in _ROOTS:
        if all(name in plain for name in names):
            return tuple(plain.index(name) for name in names)
    if seen_share:
        return (max(range(len(plain)), key=lambda joint: seen_share[joint]),)
    return (0,)


def _mirrored(plain: Sequence[str]) -> tuple[tuple[int, int], ...]:
    pairs = [(joint, joint.replace("left_", "right_", 1)) for joint in plain]
    return tuple(
        (plain.index(left), plain.index(right))
        for left, right in pairs
        if left != right and right in plain
    )


def _hung_on(
    root: tuple[int, ...], names: Sequence[str], links: Sequence[tuple[str, str]]
) -> tuple[int, ...]:
    """Make a tree of links, outward from the root; joints without links hang on nothing."""
    neighbours: dict[int, list[int]] = {joint: [] for joint in range(len(names))}
    for one, other in links:
        if one in names and other in names:
            neighbours[names.index(one)].append(names.index(other))
            neighbours[names.index(other)].append(names.index(one))
    parents = dict.fromkeys(neighbours, -1)
    reached: set[int] = set()
    for start in (*root, *neighbours):
        front = [] if start in reached else [start]
        reached |= {start}
        while front:
            joint = front.pop()
            for child in neighbours[joint]:
                if child not in reached:
                    parents[child] = joint
                    reached |= {child}
                    front.append(child)
    return tuple(parents.values())


def _strain(
    people: Float[Tensor, "people joints 3"],
    body: Skeleton,
    middles: tuple[tuple[str, str, str], ...],
) -> Float[Tensor, "people"]:
    """Return how far, in body heights, each one's middle joints lie from the middle.

    Joints that are not seen are left out; NaN is somebody who shows none of the middles.
    """
    places = torch.where(people[..., 2:] > 0, people[..., :2], torch.nan)
    top = places[..., 1].nan_to_num(torch.inf, torch.inf).amin(dim=1)
    bottom = places[..., 1].nan_to_num(-torch.inf, -torch.inf).amax(dim=1)
    middle, one, other = (
        places[:, [body.joints.index(triple[part]) for triple in middles]] for part in range(3)
    )
    away = (middle - (one + other) / 2).norm(dim=-1) / (bottom - top)[:, None]
    mean: Tensor = away.nanmean(dim=1)
    return mean
