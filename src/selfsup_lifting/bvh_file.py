"""Write tracks as BVH: joints with fixed bone lengths, and their angles over the frames."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.bone_motion import BoneMotion, bone_motion
from selfsup_lifting.safe_text import distinct_as
from selfsup_lifting.skeleton.skeletons import Skeleton

CENTIMETERS = 100.0
POSITION = ("Xposition", "Yposition", "Zposition")
ROTATION = ("Zrotation", "Xrotation", "Yrotation")
# Below this cosine of the middle angle, the other two turn about the same axis.
LOCKED = 1e-9


def write_bvh(
    path: Path, points: Float[Tensor, "frames joints 3"], skeleton: Skeleton, fps: float
) -> None:
    """Write joint positions as a hierarchy in centimeters with angles in degrees.

    Args:
        path: The file.
        points: Joint positions, y up [m]; see `bone_motion` for what becomes of them.
        skeleton: The skeleton of the joints.
        fps: Frame rate [1/s].

    Raises:
        ValueError: If a position is unknown in some frames only, no joint is known, or two names
            differ in blanks and braces only.
    """
    motion = bone_motion(points, skeleton)
    distinct_as(_word, [node.name for node in motion.nodes])
    angles = _angles(motion.rotations).flatten(1)
    rows = torch.cat([CENTIMETERS * motion.root, angles], dim=1).tolist()
    lines = [
        "HIERARCHY", *_joint_lines(motion, 0, depth=0), "MOTION",
        f"Frames: {len(rows)}", f"Frame Time: {1 / fps:.8f}", *map(_row, rows),
    ]  # fmt: skip
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _angles(rotations: Float[Tensor, "frames nodes 3 3"]) -> Float[Tensor, "frames nodes 3"]:
    """Return angles about Z, X and Y, without jumps of a turn [degrees]."""
    degrees = _about_zxy(rotations).rad2deg().numpy()
    return torch.from_numpy(np.unwrap(degrees, period=360.0, axis=0))


def _about_zxy(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Return the angles of R = Rz Rx Ry [rad]."""
    cosine = torch.hypot(R[..., 0, 1], R[..., 1, 1])
    locked = cosine < LOCKED
    sine_z = torch.where(locked, R[..., 1, 0], -R[..., 0, 1])
    z = torch.atan2(sine_z, torch.where(locked, R[..., 0, 0], R[..., 1, 1]))
    y = torch.where(locked, 0.0, torch.atan2(-R[..., 2, 0], R[..., 2, 2]))
    return torch.stack([z, torch.atan2(R[..., 2, 1], cosine), y], dim=-1)


def _joint_lines(motion: BoneMotion, index: int, *, depth: int) -> list[str]:
    node, indent = motion.nodes[index], "\t" * depth
    kind, channels = ("JOINT", ROTATION) if depth else ("ROOT", (*POSITION, *ROTATION))
    children = motion.children(index)
    inside = [line for child in children for line in _joint_lines(motion, child, depth=depth + 1)]
    end = ["End Site", "{", "\tOFFSET 0.0 0.0 0.0", "}"]
    return [
        f"{indent}{kind} {_word(node.name)}",
        f"{indent}{{",
        f"{indent}\tOFFSET {_row((CENTIMETERS * motion.offsets[index]).tolist())}",
        f"{indent}\tCHANNELS {len(channels)} {' '.join(channels)}",
        *(inside or [f"{indent}\t{line}" for line in end]),
        f"{indent}}}",
    ]


def _word(name: str) -> str:
    """Return a name as one word, without braces."""
    return re.sub(r"[\s{}]+", "_", name)


def _row(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:.6f}" for number in numbers)
