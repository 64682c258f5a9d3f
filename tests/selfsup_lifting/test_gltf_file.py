"""Laws of binary glTF files, read by a small reader after the specification."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from selfsup_lifting.export import save_tracks
from selfsup_lifting.simulation.bvh import joint_poses, load_bvh
from selfsup_lifting.skeleton.skeletons import SKELETONS
from tests.selfsup_lifting.strategies import Scene

WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


def read_glb(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return the document and the arrays of its accessors."""
    content = path.read_bytes()
    magic, version, length, size, kind = struct.unpack("<4sIII4s", content[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(content), b"JSON")
    document = json.loads(content[20 : 20 + size])
    binary_size, binary_kind = struct.unpack("<I4s", content[20 + size : 28 + size])
    assert (binary_kind, 28 + size + binary_size) == (b"BIN\0", length)
    assert size % 4 == binary_size % 4 == 0
    assert document["buffers"] == [{"byteLength": binary_size}]
    arrays = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        assert view["byteOffset"] % 4 == 0
        dtype = {5126: "<f4", 5123: "<u2"}[accessor["componentType"]]
        part = content[28 + size + view["byteOffset"] :][: view["byteLength"]]
        array = np.frombuffer(part, dtype).reshape(accessor["count"], WIDTHS[accessor["type"]])
        np.testing.assert_array_equal(array.min(axis=0), np.float32(accessor["min"]))
        arrays.append(array)
    return document, arrays


def places(document: dict[str, Any], arrays: list[np.ndarray], frame: int) -> dict[str, np.ndarray]:
    """Return where the nodes are in a frame, from the root outward, and the ends of sticks."""
    nodes = [dict(node) for node in document["nodes"]]
    (animation,) = document["animations"]
    for channel in animation["channels"]:
        output = animation["samplers"][channel["sampler"]]["output"]
        nodes[channel["target"]["node"]][channel["target"]["path"]] = arrays[output][frame]
    found = {}

    def visit(index: int, parent: np.ndarray) -> None:
        node, local = nodes[index], np.eye(4)
        turn = Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()
        local[:3, :3] = turn * np.array(node.get("scale", [1.0, 1.0, 1.0]))
        local[:3, 3] = node.get("translation", [0.0, 0.0, 0.0])
        here = parent @ local
        if "name" in node:
            found[node["name"]] = here[:3, 3]
        else:
            found[f"stick {index}"] = (here @ [0.0, 1.0, 0.0, 1.0])[:3]
        for child in node.get("children", []):
            visit(child, here)

    visit(0, np.eye(4))
    return found


@pytest.mark.parametrize("name", ["coco17", "h36m17", "blazepose33"])
def test_joints_are_where_a_bvh_file_has_them(tmp_path: Path, name: str) -> None:
    tracks = Scene(skeleton=name, frames=5).truth().double()
    for suffix in ("glb", "bvh"):
        path = tmp_path / f"x.{suffix}"
        save_tracks(path, tracks, skeleton=SKELETONS[name], fps=50.0, coordinates="world", up="z")
    motion = load_bvh(tmp_path / "x.bvh")
    expected = joint_poses(motion).positions.numpy() / 100
    document, arrays = read_glb(tmp_path / "x.glb")
    for frame in range(5):
        found = places(document, arrays, frame)
        joints = np.stack([found[joint.name] for joint in motion.joints])
        np.testing.assert_allclose(joints, expected[frame], rtol=0, atol=1e-5)
        ends = np.stack([place for node, place in found.items() if node.startswith("stick")])
        distances = np.linalg.norm(ends[:, None] - joints[None, 1:], axis=-1)
        assert (distances.min(axis=0) < 1e-5).all()
        assert len(ends) == len(joints) - 1
    times = arrays[document["animations"][0]["samplers"][0]["input"]]
    np.testing.assert_allclose(times[:, 0], np.arange(5) / 50, atol=1e-7)


def test_turns_take_the_shorter_way(tmp_path: Path) -> None:
    """An arm that turns four times gives quaternions that never jump."""
    angles = torch.linspace(0, 8 * torch.pi, 200).double()
    hand = torch.stack([angles.cos(), angles.sin(), torch.zeros_like(angles)], dim=-1)
    elbow = torch.zeros_like(hand)
    arm = SKELETONS["h36m17"]
    tracks = Scene(skeleton="h36m17", frames=200).truth().double()[:1].expand(200, -1, -1).clone()
    one, other = (arm.joints.index(f"left_{joint}") for joint in ("elbow", "wrist"))
    tracks[:, other] = tracks[:, one] + hand + elbow
    save_tracks(tmp_path / "x.glb", tracks, skeleton=arm, fps=50.0, coordinates="world", up="y")
    document, arrays = read_glb(tmp_path / "x.glb")
    for sampler in document["animations"][0]["samplers"][1:]:
        turns = arrays[sampler["output"]]
        assert ((turns[1:] * turns[:-1]).sum(axis=1) > 0.9).all()


@pytest.mark.rejects
def test_gaps_are_refused(tmp_path: Path) -> None:
    tracks = Scene(frames=3).truth()
    tracks[1, 3] = torch.nan
    with pytest.raises(ValueError, match="joint angles need every position, but 1 are unknown"):
        save_tracks(
            tmp_path / "x.glb", tracks, skeleton=SKELETONS["coco17"], fps=50.0, coordinates="world"
        )
