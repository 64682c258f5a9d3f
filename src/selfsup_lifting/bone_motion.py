"""Joint angles from joint positions: a hierarchy of bones with fixed lengths, and its rotations."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import nearest_rotation
from selfsup_lifting.bone_hierarchy import Node, hierarchy
from selfsup_lifting.skeleton.skeletons import Skeleton

# What directions leave free, such as a turn about a bone, follows the parent; the weight of this
# against a direction of length one moves no bone by more than a millionth of a radian.
KEEP = 1e-6
SHORTEST = 1e-9


@dataclass(frozen=True)
class BoneMotion:
    """A hierarchy in motion.

    Attributes:
        nodes: The joints, parents before children.
        offsets: Each joint relative to its parent in the rest pose [m]; zero for the root.
        root: The position of the root [m].
        rotations: The rotation of each joint from the rest pose, relative to its parent.
    """

    nodes: tuple[Node, ...]
    offsets: Float[Tensor, "nodes 3"]
    root: Float[Tensor, "frames 3"]
    rotations: Float[Tensor, "frames nodes 3 3"]

    def children(self, node: int) -> list[int]:
        """Return the joints whose parent is this one."""
        return [child for child, other in enumerate(self.nodes) if other.parent == node]


def bone_motion(points: Float[Tensor, "frames joints 3"], skeleton: Skeleton) -> BoneMotion:
    """Find the angles of a hierarchy with fixed bone lengths from the positions of its joints.

    Args:
        points: Joint positions [m]. A joint that is never known is left out.
        skeleton: The skeleton of the joints.

    Returns:
        The motion. Each bone has its median length, and the rest pose is that of the most typical
        frame. The root is where the joints have it. A joint with one bone keeps the direction of
        this bone; with several, it has the rotation that fits all of them best.

    Raises:
        ValueError: If a position is unknown in some frames only, or no joint is known.
    """
    known = points.isfinite().all(dim=-1).any(dim=0)
    if not known.any():
        raise ValueError("joint angles need a joint that is known, got none")
    for joint in [name for name, seen in zip(skeleton.joints, known, strict=True) if not seen]:
        skeleton = skeleton.without(joint)
    points = points[:, known].double()
    gaps = int((~points.isfinite().all(dim=-1)).sum())
    if gaps:
        raise ValueError(f"joint angles need every position, but {gaps} are unknown; use --fill")
    nodes = hierarchy(skeleton)
    places = torch.stack([points[:, list(node.joints)].mean(dim=1) for node in nodes], dim=1)
    offsets = _offsets(places, nodes)
    rotations = _rotations(places, offsets, nodes)
    relative = [
        rotation if node.parent < 0 else rotations[node.parent].mT @ rotation
        for node, rotation in zip(nodes, rotations, strict=True)
    ]
    return BoneMotion(nodes, offsets, places[:, 0], torch.stack(relative, dim=1))


def _offsets(
    places: Float[Tensor, "frames nodes 3"], nodes: Sequence[Node]
) -> Float[Tensor, "nodes 3"]:
    """Return each node relative to its parent in the most typical frame, with median lengths."""
    parents = torch.tensor([max(node.parent, 0) for node in nodes])
    bones = places - places[:, parents]
    lengths = bones.norm(dim=-1)
    usual: Tensor = lengths.median(dim=0).values
    typical = int((lengths - usual).abs().sum(dim=1).argmin())
    return _unit(bones[typical]) * usual[:, None]


def _rotations(
    places: Float[Tensor, "frames nodes 3"],
    offsets: Float[Tensor, "nodes 3"],
    nodes: Sequence[Node],
) -> list[Float[Tensor, "frames 3 3"]]:
    """Return the rotation of every node from the rest pose, in the frame of the world."""
    upright = torch.eye(3, dtype=places.dtype).repeat(len(places), 1, 1)
    rotations: list[Tensor] = []
    for index, node in enumerate(nodes):
        parent = rotations[node.parent] if node.parent >= 0 else upright
        matrix = KEEP * parent
        for child, other in enumerate(nodes):
            if other.parent == index:
                bone = _unit(places[:, child] - places[:, index])
                matrix = matrix + bone[:, :, None] * _unit(offsets[child])
        rotations.append(nearest_rotation(matrix))
    return rotations


def _unit(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    length: Tensor = vectors.norm(dim=-1, keepdim=True)
    return vectors / length.clamp(min=SHORTEST)
