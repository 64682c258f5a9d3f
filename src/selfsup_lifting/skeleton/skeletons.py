"""Joints, bones, left and right, root: all we know of a body."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from selfsup_lifting.skeleton.joint_orders import JOINT_ORDERS


@dataclass(frozen=True)
class Skeleton:
    """Joints, bones, left and right, root of one body.

    Attributes:
        name: What the skeleton is called.
        joints: What each joint is called, in the order of the data.
        parents: The joint that each joint hangs on; -1 where it hangs on nothing.
        mirrored: Pairs of joints, left first, that change places in a mirror.
        root: The joints whose mean is the root: one for a real pelvis, two hips for a virtual one.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    mirrored: tuple[tuple[int, int], ...]
    root: tuple[int, ...]

    def __post_init__(self) -> None:
        _require_distinct_joints(self)
        if len(self.parents) != len(self.joints):
            raise ValueError(
                f"skeleton {self.name!r} has {len(self.joints)} joints, {len(self.parents)} parents"
            )
        _require_indices(self, "parents", (parent for parent in self.parents if parent != -1))
        _require_indices(self, "mirrored", (joint for pair in self.mirrored for joint in pair))
        _require_indices(self, "root", self.root)
        if not self.root:
            raise ValueError(f"skeleton {self.name!r} names no root joint")
        _require_tree(self)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Each bone as its parent joint and its child joint."""
        return tuple((parent, joint) for joint, parent in enumerate(self.parents) if parent >= 0)

    def as_dict(self) -> dict[str, Any]:
        """Return plain lists, strings and numbers, for files and checkpoints."""
        return {
            "name": self.name,
            "joints": list(self.joints),
            "parents": list(self.parents),
            "mirrored": [list(pair) for pair in self.mirrored],
            "root": list(self.root),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Skeleton":
        """Build the skeleton that `as_dict` wrote."""
        missing = {"name", "joints", "parents", "mirrored", "root"} - set(plain)
        if missing:
            raise ValueError(f"a skeleton needs {', '.join(sorted(missing))}, got {sorted(plain)}")
        return cls(
            name=str(plain["name"]),
            joints=tuple(str(joint) for joint in plain["joints"]),
            parents=tuple(int(parent) for parent in plain["parents"]),
            mirrored=tuple((int(left), int(right)) for left, right in plain["mirrored"]),
            root=tuple(int(joint) for joint in plain["root"]),
        )


def joint_mapping(source: Skeleton, target: Skeleton) -> Float[Tensor, "target source"]:
    """Find the matrix that takes the joints of one skeleton to those of another.

    Args:
        source: The skeleton of the data.
        target: The skeleton wanted.

    Returns:
        One row per target joint: the shares of the source joints whose mean it is.

    Raises:
        ValueError: If nothing in the source stands for a target joint, or if the same joints
            would stand for two.

    Note:
        A joint is found by its name, else made of others as MMPose and MotionBERT do: the pelvis
        is the middle of the hips, the thorax that of the shoulders, the spine halfway between.
        The middle of the eyes stands for the top of the head where nothing better is known; it
        lies too low.
    """
    rows = {joint: _shares(source, joint) for joint in target.joints}
    missing = [joint for joint, row in rows.items() if not row]
    if missing:
        raise ValueError(
            f"no joint of {source.name!r} stands for {', '.join(missing)} of {target.name!r}"
        )
    _require_distinct_rows(source, target, rows)
    mapping = torch.zeros(len(target.joints), len(source.joints))
    for place, joint in enumerate(target.joints):
        for used, share in rows[joint].items():
            mapping[place, source.joints.index(used)] = share
    return mapping


def root_position(
    joints: Float[Tensor, "*batch joints d"], root: tuple[int, ...]
) -> Float[Tensor, "*batch 1 d"]:
    """Return where the root is: the mean of the joints that make it."""
    return joints[..., list(root), :].mean(dim=-2, keepdim=True)


def centred_on_root(
    image: Float[Tensor, "*batch joints 2"],
    seen: Bool[Tensor, "*batch joints"],
    root: tuple[int, ...],
) -> Float[Tensor, "*batch joints 2"]:
    """Move the root, or the middle of what is seen where the root is not, to the origin.

    Args:
        image: Keypoints in an image, in any unit.
        seen: Which of them there are.
        root: The joints whose mean is the root.

    Returns:
        The centred keypoints, zero where not seen.
    """
    present = torch.where(seen[..., None], image, 0.0)
    share = seen[..., None].to(image.dtype)
    whole_root = seen[..., list(root)].all(dim=-1)[..., None, None]
    middle = present.sum(dim=-2, keepdim=True) / share.sum(dim=-2, keepdim=True).clamp(min=1)
    return (present - torch.where(whole_root, root_position(present, root), middle)) * share


# What may stand for a joint that a skeleton lacks, best first: the mean of the named joints.
_STAND_INS: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "pelvis": (("left_hip", "right_hip"),),
        "thorax": (("neck",), ("left_shoulder", "right_shoulder")),
        "neck": (("thorax",), ("left_shoulder", "right_shoulder")),
        "spine": (("pelvis", "thorax"),),
        "nose": (("upper_neck",), ("head",)),
        "head_top": (("head",), ("left_eye", "right_eye")),
        "head": (("head_top",), ("left_eye", "right_eye")),
    }
)


def _shares(source: Skeleton, joint: str, asked: tuple[str, ...] = ()) -> dict[str, float]:
    """Write a joint as shares of source joints; empty where nothing stands for it."""
    if joint in source.joints:
        return {joint: 1.0}
    if joint in asked:
        return {}
    for stand_in in _STAND_INS.get(joint, ()):
        parts = [_shares(source, part, (*asked, joint)) for part in stand_in]
        if all(parts):
            return _mean_of(parts)
    return {}


def _mean_of(parts: list[dict[str, float]]) -> dict[str, float]:
    mean: dict[str, float] = {}
    for part in parts:
        for joint, share in part.items():
            mean[joint] = mean.get(joint, 0.0) + share / len(parts)
    return mean


def _require_distinct_rows(
    source: Skeleton, target: Skeleton, rows: Mapping[str, Mapping[str, float]]
) -> None:
    seen: dict[frozenset[tuple[str, float]], str] = {}
    for joint in target.joints:
        row = frozenset(rows[joint].items())
        if row in seen:
            raise ValueError(
                f"nothing in {source.name!r} tells {joint} from {seen[row]} of {target.name!r}"
            )
        seen[row] = joint


def _require_distinct_joints(skeleton: Skeleton) -> None:
    twice = sorted({joint for joint in skeleton.joints if skeleton.joints.count(joint) > 1})
    if not skeleton.joints or twice:
        wrong = f"names {', '.join(twice)} twice" if twice else "has no joints"
        raise ValueError(f"skeleton {skeleton.name!r} {wrong}")


def _require_indices(skeleton: Skeleton, field: str, indices: Iterable[int]) -> None:
    for index in indices:
        if not 0 <= index < len(skeleton.joints):
            raise ValueError(
                f"`{field}` of skeleton {skeleton.name!r} must name joints 0 to "
                f"{len(skeleton.joints) - 1}, got {index}"
            )


def _require_tree(skeleton: Skeleton) -> None:
    for joint in range(len(skeleton.joints)):
        ancestor, steps = joint, 0
        while ancestor >= 0 and steps <= len(skeleton.joints):
            ancestor, steps = skeleton.parents[ancestor], steps + 1
        if ancestor >= 0:
            raise ValueError(
                f"the bones of skeleton {skeleton.name!r} close a loop at {skeleton.joints[joint]}"
            )


def mirrored_by_name(joints: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Pair every `left_x` with its `right_x`."""
    return tuple(
        (place, joints.index("right_" + joint.removeprefix("left_")))
        for place, joint in enumerate(joints)
        if joint.startswith("left_") and "right_" + joint.removeprefix("left_") in joints
    )


def _skeleton(name: str, tree: str, *root: str) -> Skeleton:
    """Read `joint` or `joint<parent`, separated by spaces, in the order of the data."""
    pairs = [word.partition("<") for word in tree.split()]
    joints = tuple(joint for joint, _, _ in pairs)
    return Skeleton(
        name=name,
        joints=joints,
        parents=tuple(joints.index(parent) if parent else -1 for _, _, parent in pairs),
        mirrored=mirrored_by_name(joints),
        root=tuple(joints.index(joint) for joint in root),
    )


SKELETONS: Mapping[str, Skeleton] = MappingProxyType(
    {name: _skeleton(name, tree, *root) for name, (tree, *root) in JOINT_ORDERS.items()}
)


def find_skeleton(name: str) -> Skeleton:
    """Return a built-in skeleton, or the one that a TOML file describes.

    Args:
        name: A name in `SKELETONS`, or the path of a `.toml` file for `load_skeleton`.

    Returns:
        The skeleton.

    Raises:
        ValueError: If it is neither.
    """
    if name in SKELETONS:
        return SKELETONS[name]
    if name.endswith(".toml"):
        return load_skeleton(Path(name))
    raise ValueError(
        f"no skeleton is called {name!r}; known are {', '.join(SKELETONS)}, or a .toml file"
    )


def load_skeleton(path: Path) -> Skeleton:
    """Read a skeleton of your own.

    The file names `joints` in the order of the data, `bones` as pairs of names, parent first, and
    `root` as the names whose mean is the root. `mirrored` holds pairs of names, left first; without
    it every `left_x` is paired with its `right_x`. `name` is the file's own unless given.

    Args:
        path: The TOML file.

    Returns:
        The skeleton.

    Raises:
        ValueError: If the file is no TOML, a key is unknown or missing, or a joint is.
    """
    if not path.is_file():
        raise ValueError(f"there is no skeleton file {path}")
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        return _skeleton_from_toml(plain, path.stem)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"skeleton file {path}: {error}") from error


def _skeleton_from_toml(plain: Mapping[str, Any], name: str) -> Skeleton:
    unknown = set(plain) - {"name", "joints", "bones", "mirrored", "root"}
    missing = {"joints", "bones", "root"} - set(plain)
    if unknown or missing:
        wrong = sorted(f"unknown key {key}" for key in unknown)
        raise ValueError(", ".join(wrong + sorted(f"missing key {key}" for key in missing)))
    for key in ("joints", "root"):
        _require_names(key, plain[key])
    joints = tuple(plain["joints"])
    twice = sorted({joint for joint in joints if joints.count(joint) > 1})
    if twice:
        raise ValueError(f"`joints` must name each joint once, got {', '.join(twice)} twice")
    parents = dict.fromkeys(range(len(joints)), -1)
    for key in ("bones", "mirrored"):
        _require_pairs(key, plain.get(key) or [])
    for parent, child in plain["bones"]:
        parents[_place(joints, child)] = _place(joints, parent)
    pairs = plain.get("mirrored")
    return Skeleton(
        name=str(plain.get("name", name)),
        joints=joints,
        parents=tuple(parents.values()),
        mirrored=mirrored_by_name(joints)
        if pairs is None
        else tuple((_place(joints, left), _place(joints, right)) for left, right in pairs),
        root=tuple(_place(joints, joint) for joint in plain["root"]),
    )


def _require_names(key: str, value: object) -> None:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"`{key}` must be a list of names, got {value!r}")


def _require_pairs(key: str, value: object) -> None:
    if not isinstance(value, list) or not all(_is_pair(pair) for pair in value):
        raise ValueError(f"`{key}` must be a list of pairs of names, got {value!r}")


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2  # noqa: PLR2004 - a pair


def _place(joints: tuple[str, ...], joint: str) -> int:
    if joint not in joints:
        raise ValueError(f"{joint!r} is none of the joints {', '.join(joints)}")
    return joints.index(joint)
