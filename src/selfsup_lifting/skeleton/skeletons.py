"""Skeletons: joints, bones, left and right, root; and the built-in ones."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any
from unicodedata import normalize

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from selfsup_lifting.safe_text import encodable
from selfsup_lifting.skeleton.joint_orders import JOINT_ORDERS


@dataclass(frozen=True)
class Skeleton:
    """Joints, bones, left and right, and root of one kind of body.

    Attributes:
        name: The name of the skeleton.
        joints: The name of each joint, in the order of the data.
        parents: The index of each joint's parent; -1 for a joint without a parent.
        mirrored: Pairs of joints, left first, that a mirror image exchanges.
        root: The joints whose mean is the root: the pelvis, or both hips if there is none.

    Example:
        >>> arm = Skeleton("arm", ("shoulder", "elbow", "hand"), (-1, 0, 1), mirrored=(), root=(0,))
        >>> arm.bones
        ((0, 1), (1, 2))
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    mirrored: tuple[tuple[int, int], ...]
    root: tuple[int, ...]

    def __post_init__(self) -> None:
        _require_kinds(self)
        _require_encodable(self)
        _require_distinct_joints(self)
        if len(self.parents) != len(self.joints):
            raise ValueError(
                f"skeleton {self.name!r} has {len(self.joints)} joints, {len(self.parents)} parents"
            )
        _require_indices(self, "parents", [parent for parent in self.parents if parent != -1])
        _require_indices(self, "mirrored", [joint for pair in self.mirrored for joint in pair])
        _require_one_mirror_image(self)
        if not self.root:
            raise ValueError(f"skeleton {self.name!r} names no root joint")
        _require_indices(self, "root", self.root)
        _require_tree(self)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Each bone as its parent joint and its child joint."""
        return tuple((parent, joint) for joint, parent in enumerate(self.parents) if parent >= 0)

    @property
    def mirror_order(self) -> list[int]:
        """The joint of the other side, for each joint; a joint without sides is its own."""
        order = list(range(len(self.joints)))
        for left, right in self.mirrored:
            order[left], order[right] = right, left
        return order

    def without(self, joint: str) -> "Skeleton":
        """Remove a joint; its children get its parent. If the root is lost, the hips replace it."""
        lost = self.joints.index(joint)
        joints = tuple(name for name in self.joints if name != joint)

        def parent_of(name: str) -> int:
            parent = self.parents[self.joints.index(name)]
            parent = self.parents[parent] if parent == lost else parent
            return joints.index(self.joints[parent]) if parent >= 0 else -1

        parents = tuple(parent_of(name) for name in joints)
        roots = ("left_hip", "right_hip") if lost in self.root else ()
        names = roots or tuple(self.joints[index] for index in self.root)
        root = tuple(joints.index(name) for name in names)
        name = f"{self.name} without {joint}"
        return Skeleton(name, joints, parents, mirrored_by_name(joints), root)

    def as_dict(self) -> dict[str, Any]:
        """Return plain lists, strings and numbers, for files and checkpoints."""
        return {
            "name": self.name,
            "joints": list(self.joints),
            "parents": list(map(int, self.parents)),
            "mirrored": [list(map(int, pair)) for pair in self.mirrored],
            "root": list(map(int, self.root)),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Skeleton":
        """Build the skeleton that `as_dict` wrote."""
        missing = {field.name for field in fields(cls)} - set(plain)
        if missing:
            raise ValueError(f"a skeleton needs {', '.join(sorted(missing))}, got {sorted(plain)}")
        return cls(**{field.name: _tupled(plain[field.name]) for field in fields(cls)})

    def difference(self, expected: "Skeleton") -> str:
        """Say in what the skeleton differs first from another one; empty if they are equal."""
        joints = zip(self.joints, expected.joints, strict=False)
        for number, (joint, other) in enumerate(joints):
            if joint != other:
                return f"in which joint {number} is {joint}, not {other}"
        if len(self.joints) != len(expected.joints):
            return f"with {len(self.joints)} joints, not {len(expected.joints)}"
        for field in reversed(fields(self)):
            if getattr(self, field.name) != getattr(expected, field.name):
                return f"with another `{field.name}`"
        return ""


def _tupled(value: Any) -> Any:  # noqa: ANN401 - plain values
    """Return tuples for lists, also for those inside."""
    return tuple(map(_tupled, value)) if isinstance(value, list | tuple) else value


def root_position(
    joints: Float[Tensor, "*batch joints d"], root: tuple[int, ...]
) -> Float[Tensor, "*batch 1 d"]:
    """Return the position of the root: the mean of its joints."""
    return joints_of(joints, root, dim=-2).mean(dim=-2, keepdim=True)


def joints_of(values: Shaped[Tensor, "..."], joints: tuple[int, ...], dim: int) -> Tensor:
    """Select joints along an axis.

    Unlike an index by a list, this copies no index to a GPU, for which Python would wait.

    Raises:
        ValueError: If the joints are not numbers from 0, or none.
    """
    require_joints("`root`", joints, values.shape[dim])
    return torch.stack([values.select(dim, joint) for joint in joints], dim)


def centered_on_root(
    image: Float[Tensor, "*batch joints 2"],
    seen: Bool[Tensor, "*batch joints"],
    root: tuple[int, ...],
) -> Float[Tensor, "*batch joints 2"]:
    """Move the root to the origin, or the mean of the seen joints if the root is not seen.

    Args:
        image: Keypoints in an image, in any unit.
        seen: Whether each keypoint was seen.
        root: The joints whose mean is the root.

    Returns:
        The centered keypoints; zero where not seen.
    """
    present = torch.where(seen[..., None], image, 0.0)
    share = seen[..., None].to(image.dtype)
    return (present - root_in_image(image, seen, root)) * share


def root_in_image(
    image: Float[Tensor, "*batch joints 2"],
    seen: Bool[Tensor, "*batch joints"],
    root: tuple[int, ...],
) -> Float[Tensor, "*batch 1 2"]:
    """Return the root in an image, or the mean of the seen joints if the root is not seen."""
    present = torch.where(seen[..., None], image, 0.0)
    count = seen[..., None].to(image.dtype).sum(dim=-2, keepdim=True).clamp(min=1)
    whole_root = joints_of(seen, root, dim=-1).all(dim=-1)[..., None, None]
    middle = present.sum(dim=-2, keepdim=True) / count
    return torch.where(whole_root, root_position(present, root), middle)


def require_joints(what: str, joints: object, count: int) -> None:
    """Refuse what are no numbers of a body's joints, counted from 0, and none at all."""
    given = isinstance(joints, Collection) and not isinstance(joints, str | Tensor)
    numbers = [*joints] if given else []  # type: ignore[misc]
    if not numbers or not all(isinstance(one, Integral) for one in numbers):
        raise ValueError(f"{what} must be whole numbers of joints, one or more, got {joints!r}")
    for number in numbers:
        if not 0 <= number < count:
            raise ValueError(f"{what} must name joints 0 to {count - 1}, got {number}")


def _require_kinds(skeleton: Skeleton) -> None:
    """Refuse one number, a text or an array where joints are meant; lists become tuples."""
    for field, found in [*vars(skeleton).items()]:
        kind, word = (str, "a text") if field == "name" else (tuple | list, "a tuple")
        known = isinstance(found, kind)
        if not known:
            raise ValueError(
                f"`{field}` of skeleton {skeleton.name!r} must be {word}, got {found!r}"
            )
        object.__setattr__(skeleton, field, _tupled(found))
    for pair in skeleton.mirrored:
        if not isinstance(pair, tuple | list) or len(pair) != 2:  # noqa: PLR2004
            raise ValueError(
                f"`mirrored` of skeleton {skeleton.name!r} must be pairs of joints, got {pair!r}"
            )


def _require_distinct_joints(skeleton: Skeleton) -> None:
    """Refuse joints whose names look alike: other programs drop blanks, and spell accents anew."""
    seen = Counter(normalize("NFC", joint.strip()) for joint in skeleton.joints)
    twice = sorted(joint for joint, times in seen.items() if times > 1)
    if not skeleton.joints or twice:
        wrong = f"names {', '.join(twice)} twice" if twice else "has no joints"
        raise ValueError(f"skeleton {skeleton.name!r} {wrong}")


def _require_one_mirror_image(skeleton: Skeleton) -> None:
    """Refuse a joint in two pairs, or paired with itself: a mirror image must exchange joints."""
    sides = [skeleton.joints[joint] for pair in skeleton.mirrored for joint in pair]
    twice = sorted(joint for joint, times in Counter(sides).items() if times > 1)
    if twice:
        raise ValueError(
            f"`mirrored` of skeleton {skeleton.name!r} must name each joint at most once, got "
            f"{', '.join(twice)} twice"
        )
    if len({*skeleton.root}) < len(skeleton.root):
        raise ValueError(f"`root` of skeleton {skeleton.name!r} must name each joint once")


def _require_encodable(skeleton: Skeleton) -> None:
    """Refuse names with half of a surrogate pair, which no file and no figure can show."""
    for joint in skeleton.joints:
        if not isinstance(joint, str) or encodable(joint) != joint:
            raise ValueError(
                f"skeleton {skeleton.name!r} needs joint names in Unicode, got {joint!a}"
            )


def _require_indices(skeleton: Skeleton, field: str, indices: Sequence[int]) -> None:
    if indices:
        require_joints(f"`{field}` of skeleton {skeleton.name!r}", indices, len(skeleton.joints))


def _require_tree(skeleton: Skeleton) -> None:
    for joint in range(len(skeleton.joints)):
        ancestor = joint
        for _ in skeleton.joints:
            ancestor = skeleton.parents[ancestor] if ancestor >= 0 else -1
        if ancestor >= 0:
            raise ValueError(
                f"the bones of skeleton {skeleton.name!r} close a loop at {skeleton.joints[joint]}"
            )


def mirrored_by_name(joints: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pair every joint with `left_` in its name with the one that has `right_` there."""
    pairs = [(joint, joint.replace("left_", "right_", 1)) for joint in joints]
    sides = [(left, right) for left, right in pairs if left != right and right in joints]
    return tuple((joints.index(left), joints.index(right)) for left, right in sides)


def _skeleton(name: str, tree: str) -> Skeleton:
    """Read `joint` or `joint<parent`, separated by spaces, in the order of the data."""
    pairs = [word.partition("<") for word in tree.split()]
    joints = tuple(joint for joint, _, _ in pairs)
    parents = tuple(joints.index(parent) if parent else -1 for _, _, parent in pairs)
    root = ("pelvis",) if "pelvis" in joints else ("left_hip", "right_hip")
    roots = tuple(map(joints.index, root))
    return Skeleton(name, joints, parents, mirrored_by_name(joints), roots)


SKELETONS: Mapping[str, Skeleton] = {
    name: _skeleton(name, tree) for name, tree in JOINT_ORDERS.items()
}
