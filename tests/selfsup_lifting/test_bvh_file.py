"""Laws of BVH files, read back by the reader of motion capture."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from selfsup_lifting.bone_hierarchy import hierarchy
from selfsup_lifting.export import save_tracks
from selfsup_lifting.simulation.bvh import joint_poses, load_bvh
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton, root_position
from selfsup_lifting.upright import UPRIGHT, y_up
from tests.selfsup_lifting.simulation.test_motion_capture import actor
from tests.selfsup_lifting.strategies import Scene

every_skeleton = pytest.mark.parametrize("name", sorted(SKELETONS))


def written(path: Path, tracks: Tensor, skeleton: Skeleton, **options: object) -> dict[str, Tensor]:
    """Write tracks, and return the positions of the joints in the file by their names [m]."""
    known = {"fps": 50.0, "coordinates": "world", "up": "y"}
    save_tracks(path, tracks, skeleton=skeleton, **{**known, **options})  # type: ignore[arg-type] # any option
    motion = load_bvh(path)
    assert motion.fps == pytest.approx(50.0)
    places = joint_poses(motion).positions.unbind(dim=1)
    return {joint.name: place / 100 for joint, place in zip(motion.joints, places, strict=True)}


def test_a_rigid_body_comes_back_exactly(tmp_path: Path) -> None:
    """Turn every joint of an actor by drawn angles: no bone changes its length."""
    (tmp_path / "actor.bvh").write_text(actor())
    motion = load_bvh(tmp_path / "actor.bvh")
    angles = torch.linspace(0, 70, 40 * motion.channels.shape[1]).sin() * 120
    channels = angles.reshape(40, -1).double()
    moving = type(motion)(motion.joints, motion.fps, channels)
    tracks = joint_poses(moving).positions / 100
    names = tuple(joint.name for joint in motion.joints)
    body = Skeleton("actor", names, tuple(joint.parent for joint in motion.joints), (), (0,))
    read = written(tmp_path / "x.bvh", tracks, body)
    assert sorted(read) == sorted(names)
    for at, joint in enumerate(names):
        assert_close(read[joint], tracks[:, at], rtol=0, atol=1e-5)


@every_skeleton
def test_bones_have_fixed_lengths_and_the_root_stays(tmp_path: Path, name: str) -> None:
    skeleton = SKELETONS[name]
    tracks = Scene(skeleton=name, frames=6).truth().double()
    read = written(tmp_path / "x.bvh", tracks, skeleton)
    nodes = hierarchy(skeleton)
    assert set(skeleton.joints) <= set(read)
    assert_close(read[nodes[0].name], root_position(tracks, skeleton.root)[:, 0], rtol=0, atol=1e-6)
    for node in nodes[1:]:
        parent = nodes[node.parent]
        lengths = (read[node.name] - read[parent.name]).norm(dim=-1)
        places = [tracks[:, list(one.joints)].mean(dim=1) for one in (node, parent)]
        usual = (places[0] - places[1]).norm(dim=-1).median()
        assert_close(lengths, usual.expand(6), rtol=0, atol=1e-6)


@every_skeleton
def test_a_joint_with_one_bone_keeps_its_direction(tmp_path: Path, name: str) -> None:
    tracks = Scene(skeleton=name, frames=6).truth().double()
    read = written(tmp_path / "x.bvh", tracks, SKELETONS[name])
    joints = SKELETONS[name].joints
    for side in ("left", "right"):
        for pair in (("elbow", "wrist"), ("knee", "ankle"))[: 1 if "body25" in name else 2]:
            one, other = (f"{side}_{joint}" for joint in pair)
            before = tracks[:, joints.index(other)] - tracks[:, joints.index(one)]
            after = read[other] - read[one]
            cosines = torch.cosine_similarity(before, after, dim=-1)
            assert_close(cosines, torch.ones_like(cosines), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["coco17", "halpe26", "body25b", "blazepose33", "pose2sim21"])
def test_arms_and_head_hang_from_the_neck(name: str) -> None:
    nodes = hierarchy(SKELETONS[name])
    parents = {node.name: nodes[node.parent].name for node in nodes[1:]}
    neck = "upper_neck" if name in {"body25b", "pose2sim21"} else "neck"
    assert nodes[0].name == "pelvis"
    assert {parents[joint] for joint in ("left_shoulder", "right_shoulder", "nose")} == {neck}
    assert {parents[joint] for joint in ("left_hip", "right_hip", neck)} == {"pelvis"}
    assert parents["left_wrist"] == "left_elbow"


@pytest.mark.parametrize("up", UPRIGHT)
def test_y_is_up(tmp_path: Path, up: str) -> None:
    tracks = Scene(skeleton="h36m17", frames=3).truth().double()
    read = written(tmp_path / "x.bvh", tracks, SKELETONS["h36m17"], up=up)
    assert_close(read["pelvis"], y_up(tracks[:, 0], up), rtol=0, atol=1e-6)


@given(st.integers(0, 16), st.integers(0, 2))
def test_gaps_are_refused_or_filled(
    tmp_path_factory: pytest.TempPathFactory, joint: int, frame: int
) -> None:
    folder, tracks = tmp_path_factory.mktemp("gaps"), Scene(frames=4).truth().double()
    tracks[frame, joint] = torch.nan
    skeleton = SKELETONS["coco17"]
    with pytest.raises(ValueError, match="joint angles need every position, but 1 are unknown"):
        written(folder / "x.bvh", tracks, skeleton)
    assert not (folder / "x.bvh").exists()
    read = written(folder / "x.bvh", tracks, skeleton, fill=True)
    assert all(place.isfinite().all() for place in read.values())


def test_a_joint_that_is_never_known_is_left_out(tmp_path: Path) -> None:
    tracks = Scene(frames=4).truth().double()
    tracks[:, SKELETONS["coco17"].joints.index("left_elbow")] = torch.nan
    read = written(tmp_path / "x.bvh", tracks, SKELETONS["coco17"])
    assert "left_elbow" not in read
    assert "left_wrist" in read


@pytest.mark.rejects
def test_unknown_tracks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="joint angles need a joint that is known"):
        written(tmp_path / "x.bvh", torch.full((3, 17, 3), torch.nan), SKELETONS["coco17"])
