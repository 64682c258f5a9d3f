"""Write tracks as glTF: sticks between joints that turn, in one binary file for any 3D viewer."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from multiview_geom import rotation_to_quaternion
from selfsup_lifting.bone_motion import SHORTEST, BoneMotion, bone_motion
from selfsup_lifting.skeleton.skeletons import Skeleton

MAGIC, VERSION, JSON, BINARY = b"glTF", 2, b"JSON", b"BIN\0"
FLOAT, SHORT = 5126, 5123
KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}
# A stick from the origin to (0, 1, 0): an octahedron whose waist is near the origin.
WAIST, WIDTH = 0.15, 0.08
CORNERS = ((0, 0, 0), (1, WAIST, 0), (0, WAIST, 1), (-1, WAIST, 0), (0, WAIST, -1), (0, 1, 0))
FACES = tuple(
    face
    for side in range(4)
    for face in ((0, 1 + side, 1 + (side + 1) % 4), (5, 1 + (side + 1) % 4, 1 + side))
)


class _Buffer:
    """The numbers of a file, and where each array of them is."""

    def __init__(self) -> None:
        self.content = b""
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: NDArray[Any], kind: int = FLOAT) -> int:
        """Append an array of 32-bit floats or 16-bit indices, one row per element."""
        rows = values.astype("<f4" if kind == FLOAT else "<u2").reshape(len(values), -1)
        packed = rows.tobytes()
        place = {"buffer": 0, "byteOffset": len(self.content), "byteLength": len(packed)}
        self.content += packed + bytes(-len(packed) % 4)
        self.views.append(place)
        limits = {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        self.accessors.append(
            {
                "bufferView": len(self.views) - 1, "componentType": kind, "count": len(rows),
                "type": KINDS[rows.shape[1]], **limits,
            }
        )  # fmt: skip
        return len(self.accessors) - 1


def write_gltf(
    path: Path, points: Float[Tensor, "frames joints 3"], skeleton: Skeleton, fps: float
) -> None:
    """Write joint positions as an animated hierarchy with a stick for each bone, in meters.

    Args:
        path: The file, binary glTF 2.0.
        points: Joint positions, y up [m]; see `bone_motion` for what becomes of them.
        skeleton: The skeleton of the joints.
        fps: Frame rate [1/s].

    Raises:
        ValueError: If a position is unknown in some frames only, or no joint is known.
    """
    motion, buffer = bone_motion(points, skeleton), _Buffer()
    stick = {
        "attributes": {"POSITION": buffer.add(np.array(CORNERS) * [WIDTH, 1.0, WIDTH])},
        "indices": buffer.add(np.array(FACES).ravel(), SHORT),
    }
    animation = _animation(motion, buffer, fps)
    document = {
        "asset": {"version": "2.0", "generator": "multiview-geom"},
        "scene": 0, "scenes": [{"nodes": [0]}], "nodes": _nodes(motion),
        "meshes": [{"name": "bone", "primitives": [stick]}], "animations": [animation],
        "accessors": buffer.accessors, "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.content)}],
    }  # fmt: skip
    path.write_bytes(_packed(json.dumps(document).encode(), buffer.content))


def _nodes(motion: BoneMotion) -> list[dict[str, Any]]:
    """Return the joints, and after them a stick from every parent to its child."""
    places = motion.offsets.clone()
    places[0] = motion.root[0]
    joints: list[dict[str, Any]] = [
        {"name": node.name, "translation": place.tolist()}
        for node, place in zip(motion.nodes, places, strict=True)
    ]
    sticks: list[dict[str, Any]] = []
    for index, joint in enumerate(joints):
        children = motion.children(index)
        first = len(joints) + len(sticks)
        sticks += [_stick(motion.offsets[child]) for child in children]
        if children:
            joint["children"] = [*children, *range(first, first + len(children))]
    return [*joints, *sticks]


def _stick(offset: Float[Tensor, "3"]) -> dict[str, Any]:
    """Return a stick to this point: +y is turned to it the shortest way."""
    length = float(offset.norm())
    x, y, z = (offset / max(length, SHORTEST)).tolist()
    turn = np.array([z, 0.0, -x, 1.0 + y])
    size = float(np.linalg.norm(turn))
    rotation = (turn / size).tolist() if size > SHORTEST else [1.0, 0.0, 0.0, 0.0]
    return {"mesh": 0, "rotation": rotation, "scale": [length] * 3}


def _animation(motion: BoneMotion, buffer: _Buffer, fps: float) -> dict[str, Any]:
    times = buffer.add(np.arange(len(motion.root)) / fps)
    turning = [index for index in range(len(motion.nodes)) if motion.children(index)]
    outputs = [(0, "translation", buffer.add(motion.root.numpy()))]
    outputs += [
        (index, "rotation", buffer.add(_quaternions(motion.rotations[:, index])))
        for index in turning
    ]
    return {
        "name": "tracks",
        "samplers": [
            {"input": times, "output": output, "interpolation": "LINEAR"}
            for _, _, output in outputs
        ],
        "channels": [
            {"sampler": at, "target": {"node": node, "path": path}}
            for at, (node, path, _) in enumerate(outputs)
        ],
    }


def _quaternions(rotations: Float[Tensor, "frames 3 3"]) -> NDArray[Any]:
    """Return x, y, z, w, with signs that follow each other the shortest way."""
    quaternions = rotation_to_quaternion(rotations).roll(-1, dims=-1)
    turns = (quaternions[1:] * quaternions[:-1]).sum(dim=-1).sign()
    signs = torch.cat([turns.new_ones(1), torch.where(turns < 0, -1.0, 1.0)]).cumprod(dim=0)
    followed: NDArray[Any] = (signs[:, None] * quaternions).numpy()
    return followed


def _packed(document: bytes, content: bytes) -> bytes:
    document += b" " * (-len(document) % 4)
    chunks = b"".join(
        struct.pack("<I", len(data)) + kind + data
        for kind, data in ((JSON, document), (BINARY, content))
    )
    return MAGIC + struct.pack("<II", VERSION, 12 + len(chunks)) + chunks
