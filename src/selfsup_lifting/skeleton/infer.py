"""The skeleton of the joints in a file, found from their names, their number or the anatomy."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.read_errors import Place, ReadError, listed
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton, mirrored_by_name

# The skeletons with a number of keypoints, the usual one first. Whole-body models begin with the
# body; their face and hands are left out.
_BY_COUNT: Mapping[int, tuple[str, ...]] = {
    15: ("humaneva15",), 16: ("mpii16",), 17: ("coco17", "h36m17", "mpi_inf_3dhp17"),
    18: ("coco18",), 25: ("body25", "body25b"), 26: ("halpe26",), 33: ("blazepose33",),
    133: ("coco17",), 135: ("body25b",), 136: ("halpe26",),
}  # fmt: skip
# Most detectors write this skeleton: another one with as many joints must fit much better.
USUAL = "coco17"
# A joint between two others is at most this far from their middle [body heights].
_PLAUSIBLE = 0.08
# How much better another skeleton than the usual one must fit.
_MUCH_BETTER = 0.5
# Joints that lie in the middle between two others, which distinguishes skeletons of equal size.
_MIDDLES: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "coco17": (("nose", "left_eye", "right_eye"),),
    "h36m17": (
        ("pelvis", "left_hip", "right_hip"),
        ("thorax", "left_shoulder", "right_shoulder"),
        ("spine", "pelvis", "thorax"),
    ),
    "mpi_inf_3dhp17": (
        ("pelvis", "left_hip", "right_hip"),
        ("neck", "left_shoulder", "right_shoulder"),
        ("spine", "pelvis", "neck"),
    ),
    "body25": (("pelvis", "left_hip", "right_hip"), ("neck", "left_shoulder", "right_shoulder")),
    "body25b": (
        ("nose", "left_eye", "right_eye"),
        ("upper_neck", "left_shoulder", "right_shoulder"),
    ),
}
# The names of the root joint, best first.
_ROOTS = (
    ("pelvis",), ("mid_hip",), ("hips",), ("left_hip", "right_hip"), ("root",), ("tail_base",),
    ("tailbase",), ("base_tail",), ("tail_start",), ("body_center",), ("center",), ("thorax",),
)  # fmt: skip


MOST_JOINTS = 2_000
"""Faces, hands and feet of a person have 133 joints; matching more by name takes the square."""


@dataclass(frozen=True)
class Body:
    """A skeleton, and the index of each of its joints in a file.

    Attributes:
        skeleton: The skeleton.
        order: The index of each joint in the file.
        candidates: The names of the skeletons that fit, `skeleton` first, if only the anatomy
            distinguishes them; else empty.
        names: The name of each joint in the file; empty if the file numbers its joints.
    """

    skeleton: Skeleton
    order: tuple[int, ...]
    candidates: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def markers(self) -> tuple[tuple[str, str], ...]:
        """Each joint with its name in the file; empty if the file numbers its joints."""
        return tuple(zip(self.skeleton.joints, self.names, strict=True)) if self.names else ()


def body_by_count(source: Path, count: int, declared: Skeleton | None) -> Body:
    """Find a skeleton from the number of joints.

    Args:
        source: The file or folder, for the message of an error.
        count: The number of joints of each person.
        declared: The skeleton that the user or the project declares, or None.

    Returns:
        The declared skeleton, or else the usual one with so many joints. If several are
        candidates, `skeleton_by_anatomy` chooses between them.

    Raises:
        ReadError: If the declared skeleton has another number of joints, or no built-in skeleton
            has this number.
    """
    names = _BY_COUNT.get(count, ())
    if declared is not None:
        if count != len(declared.joints) and declared.name not in names:
            raise Place(source).error(
                f"expected {len(declared.joints)} keypoints of {declared.name!r}, got {count}; "
                "they belong to another skeleton"
            )
        return Body(declared, tuple(range(len(declared.joints))))
    if not names:
        raise Place(source).error(
            f"no built-in skeleton has {count} keypoints; name the skeleton or its TOML file with "
            "--detected-skeleton"
        )
    skeleton = SKELETONS[names[0]]
    candidates = names if len(names) > 1 else ()
    return Body(skeleton, tuple(range(len(skeleton.joints))), candidates)


def skeletons_of_count(count: int) -> tuple[str, ...]:
    """Return the names of the built-in skeletons with so many joints, the usual one first."""
    return tuple(name for name in _BY_COUNT.get(count, ()) if len(SKELETONS[name].joints) == count)


def skeleton_by_anatomy(
    people: Float[Tensor, "people joints 3"], candidates: Sequence[str]
) -> Skeleton | None:
    """Choose the skeleton whose middle joints lie closest to the middle between their sides.

    Args:
        people: x, y and confidence of everybody's joints, from all cameras of one detector.
        candidates: The names of the skeletons to choose from.

    Returns:
        The best skeleton, by the people who show the middle joints of every candidate; None if
        nobody does, or if two candidates are equally good. With 17 joints it is COCO's, which most
        detectors write, unless another one fits much better.
    """
    errors = torch.stack(
        [_midpoint_error(people, SKELETONS[name], _MIDDLES[name]) for name in candidates], dim=1
    )
    usual = SKELETONS[USUAL] if USUAL in candidates else None
    comparable = errors[errors.isfinite().all(dim=1)]
    if not len(comparable):
        return usual
    error = dict(zip(candidates, comparable.median(dim=0).values.tolist(), strict=True))
    best, second = sorted(candidates, key=error.__getitem__)[:2]
    if usual is not None:
        much_better = error[best] < min(_PLAUSIBLE, _MUCH_BETTER * error[USUAL])
        return SKELETONS[best] if much_better else usual
    return None if error[best] == error[second] else SKELETONS[best]


def body_by_names(
    source: Path,
    names: Sequence[str],
    *,
    links: Sequence[tuple[str, str]] = (),
    declared: Skeleton | None = None,
    numbers: Float[Tensor, "*batch joints 3"] | None = None,
) -> Body:
    """Find a skeleton from the names of the joints.

    Args:
        source: The file, for the message of an error and for the name of a new skeleton.
        names: The names of the joints, in the order of the file.
        links: Pairs of joints that a bone connects, if the file has them.
        declared: The skeleton that the user declares, or None.
        numbers: x, y and confidence of the joints. If no name says which joint is the root, the
            joint that is finite most often becomes the root.

    Returns:
        The declared skeleton, or else the built-in one with exactly these joints, or else a new
        one; and the index of each of its joints in the file.

    Raises:
        ReadError: If the file lacks a joint of the declared skeleton, or has no joint, too many or
            such as no skeleton has.
    """
    _require_names(source, names)
    plain = [plain_joint(name) for name in names]
    if declared is not None:
        lacking = [joint for joint in declared.joints if plain_joint(joint) not in plain]
        if lacking:
            raise Place(source).error(
                f"{declared.name!r} has the joints {', '.join(lacking)}, but the file only has "
                f"{', '.join(names)}"
            )
        return _named_body(declared, names, map(plain_joint, declared.joints))
    for skeleton in SKELETONS.values():
        if sorted(plain) == sorted(skeleton.joints):
            return _named_body(skeleton, names, skeleton.joints)
    root = _root(plain, numbers)
    parents = _spanning_tree(root, names, links)
    try:
        skeleton = Skeleton(source.stem, tuple(names), parents, mirrored_by_name(plain), root)
    except ValueError as error:
        raise no_skeleton(source, names, error) from None
    return Body(skeleton, tuple(range(len(names))), names=tuple(names))


def no_skeleton(source: Path, names: Sequence[str], reason: ValueError) -> ReadError:
    """Return the error of joints that are no skeleton; it names the subjects if there are several.

    Programs write the subject before the joint: `Bob:left_knee`.
    """
    subjects = sorted({name.rpartition(":")[0] for name in names if ":" in name})
    if len(subjects) > 1:
        return Place(source).error(
            f"expected one subject, got {len(subjects)}: {listed(subjects)}; write each to a file "
            "of its own"
        )
    return Place(source).error(f"its joints are no skeleton: {reason}")


def _require_names(source: Path, names: Sequence[str]) -> None:
    if not names:
        raise Place(source).error("expected at least one joint, got none")
    if len(names) > MOST_JOINTS:
        raise Place(source).error(f"expected at most {MOST_JOINTS} joints, got {len(names)}")
    if not all(name.strip() for name in names):
        raise Place(source).error("expected a name for every joint, got a blank one")


def _named_body(skeleton: Skeleton, names: Sequence[str], wanted: Iterable[str]) -> Body:
    """Find the joints of a skeleton, given by their plain names, among the names in a file."""
    plain = [plain_joint(name) for name in names]
    order = tuple(plain.index(joint) for joint in wanted)
    return Body(skeleton, order, names=tuple(names[at] for at in order))


def plain_joint(name: str) -> str:
    """Normalize `LShoulder`, `rig:Left Shoulder` and `shoulder_left` to `left_shoulder`."""
    name = name.rpartition(":")[2]
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    words = [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]
    for short, side in (("l", "left"), ("r", "right")):
        for mark in (side, short):
            if len(words) > 1 and mark in {words[0], words[-1]}:
                words.remove(mark)
                return "_".join([side, *words])
    return "_".join(words)


def _root(
    plain: Sequence[str], numbers: Float[Tensor, "*batch joints 3"] | None
) -> tuple[int, ...]:
    for names in _ROOTS:
        if all(name in plain for name in names):
            return tuple(plain.index(name) for name in names)
    if numbers is None:
        return (0,)
    seen = numbers.isfinite().all(dim=-1).flatten(end_dim=-2).sum(dim=0).tolist()
    return (seen.index(max(seen)),)


def _spanning_tree(
    root: tuple[int, ...], names: Sequence[str], links: Sequence[tuple[str, str]]
) -> tuple[int, ...]:
    """Return the parent of every joint: a tree of the links, outward from the root."""
    neighbors: defaultdict[int, list[int]] = defaultdict(list)
    for one, other in links:
        if {one, other} <= set(names):
            neighbors[names.index(one)].append(names.index(other))
            neighbors[names.index(other)].append(names.index(one))
    parents: dict[int, int] = {}
    for start in (*root, *range(len(names))):
        waiting = [start]
        parents.setdefault(start, -1)
        while waiting:
            joint = waiting.pop()
            children = [child for child in neighbors[joint] if child not in parents]
            parents |= dict.fromkeys(children, joint)
            waiting += children
    return tuple(parents[joint] for joint in range(len(names)))


def _midpoint_error(
    people: Float[Tensor, "people joints 3"],
    body: Skeleton,
    middles: tuple[tuple[str, str, str], ...],
) -> Float[Tensor, "people"]:
    """Return the mean distance of each person's middle joints from the middle [body heights]."""
    points = torch.where(people[..., 2:] > 0, people[..., :2], torch.nan)
    top = points[..., 1].nan_to_num(torch.inf, torch.inf).amin(dim=1)
    bottom = points[..., 1].nan_to_num(-torch.inf, -torch.inf).amax(dim=1)
    middle, one, other = (
        points[:, [body.joints.index(triple[part]) for triple in middles]] for part in range(3)
    )
    error = (middle - (one + other) / 2).norm(dim=-1) / (bottom - top)[:, None]
    mean: Tensor = error.nanmean(dim=1)
    return mean
