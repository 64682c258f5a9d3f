"""Write tracks as BVH: joints with fixed bone lengths, and their angles over the frames."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import nearest_rotation
from selfsup_lifting.bvh_hierarchy import Node, hierarchy
from selfsup_lifting.skeleton.skeletons import Skeleton

CENTIMETERS = 100.0
POSITION = ("Xposition", "Yposition", "Zposition")
ROTATION = ("Zrotation", "Xrotation", "Yrotation")
# What directions leave free, such as a turn about a bone, follows the parent; the weight of this
# against a direction of length one moves no bone by more than a millionth of a radian.
KEEP = 1e-6
# Below this cosine of the middle angle, the other two turn about the same axis.
LOCKED = 1e-9


def write_bvh(
    path: Path, points: Float[Tensor, "frames joints 3"], skeleton: Skeleton, fps: float
) -> None:
    """Write joint positions as a hierarchy in centimeters with angles in degrees.

    Args:
        path: The file.
        points: Joint positions, y up [m]. A joint that is never known is left out.
        skeleton: The skeleton of the joints.
        fps: Frame rate [1/s].

    Raises:
        ValueError: If a position is unknown in some frames, or no joint is known.

    Note:
        Each bone has its median length, and the rest pose is that of the most typical frame. The
        root is where the tracks have it. A joint with one bone keeps the direction of this bone
        exactly; with several, the rotation that fits all best is written.
    """
    known = points.isfinite().all(dim=-1).any(dim=0)
    if not known.any():
        raise ValueError("a .bvh file needs a joint that is known, got none")
    for joint in [name for name, seen in zip(skeleton.joints, known, strict=True) if not seen]:
        skeleton = skeleton.without(joint)
    points = points[:, known].double()
    if not points.isfinite().all():
        gaps = int((~points.isfinite().all(dim=-1)).sum())
        raise ValueError(f"a .bvh file has no gaps, but {gaps} positions are unknown; use --fill")
    nodes = hierarchy(skeleton)
    places = CENTIMETERS * torch.stack(
        [points[:, list(node.joints)].mean(dim=1) for node in nodes], dim=1
    )
    offsets = _offsets(places, nodes)
    angles = _angles(_rotations(places, offsets, nodes), nodes)
    rows = np.concatenate([places[:, 0].numpy(), angles.flatten(1).numpy()], axis=1)
    lines = [
        "HIERARCHY", *_joint_lines(0, nodes, offsets.tolist(), 0), "MOTION",
        f"Frames: {len(rows)}", f"Frame Time: {1 / fps:.8f}",
        *map(_row, rows.tolist()),
    ]  # fmt: skip
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


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


def _angles(
    rotations: Sequence[Float[Tensor, "frames 3 3"]], nodes: Sequence[Node]
) -> Float[Tensor, "frames nodes 3"]:
    """Return angles about Z, X and Y relative to the parent, without jumps of a turn [degrees]."""
    relative = [
        rotation if node.parent < 0 else rotations[node.parent].mT @ rotation
        for node, rotation in zip(nodes, rotations, strict=True)
    ]
    degrees = torch.stack([_about_zxy(rotation) for rotation in relative], dim=1).rad2deg()
    return torch.from_numpy(np.unwrap(degrees.numpy(), period=360.0, axis=0))


def _about_zxy(R: Float[Tensor, "frames 3 3"]) -> Float[Tensor, "frames 3"]:
    """Return the angles of R = Rz Rx Ry [rad]."""
    cosine = torch.hypot(R[:, 0, 1], R[:, 1, 1])
    locked = cosine < LOCKED
    z = torch.atan2(
        torch.where(locked, R[:, 1, 0], -R[:, 0, 1]), torch.where(locked, R[:, 0, 0], R[:, 1, 1])
    )
    y = torch.where(locked, 0.0, torch.atan2(-R[:, 2, 0], R[:, 2, 2]))
    return torch.stack([z, torch.atan2(R[:, 2, 1], cosine), y], dim=-1)


def _joint_lines(
    index: int, nodes: Sequence[Node], offsets: Sequence[Sequence[float]], depth: int
) -> list[str]:
    node, indent = nodes[index], "\t" * depth
    is_root = node.parent < 0
    kind, channels = ("ROOT", (*POSITION, *ROTATION)) if is_root else ("JOINT", ROTATION)
    children = [child for child, other in enumerate(nodes) if other.parent == index]
    inside = [line for child in children for line in _joint_lines(child, nodes, offsets, depth + 1)]
    end = ["End Site", "{", "\tOFFSET 0.0 0.0 0.0", "}"]
    return [
        f"{indent}{kind} {_word(node.name)}",
        f"{indent}{{",
        f"{indent}\tOFFSET {_row([0.0, 0.0, 0.0] if is_root else offsets[index])}",
        f"{indent}\tCHANNELS {len(channels)} {' '.join(channels)}",
        *(inside or [f"{indent}\t{line}" for line in end]),
        f"{indent}}}",
    ]


def _word(name: str) -> str:
    """Return a name as one word, without braces."""
    return re.sub(r"[\s{}]+", "_", name)


def _row(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:.6f}" for number in numbers)


def _unit(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    length: Tensor = vectors.norm(dim=-1, keepdim=True)
    return vectors / length.clamp(min=LOCKED)
