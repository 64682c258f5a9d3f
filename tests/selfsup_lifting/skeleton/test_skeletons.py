"""Laws of skeletons and of the maps between them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from selfsup_lifting.skeleton.joint_mapping import joint_mapping
from selfsup_lifting.skeleton.skeleton_file import load_skeleton
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton

bodies = st.sampled_from(sorted(SKELETONS)).map(SKELETONS.__getitem__)
detectors = st.sampled_from(["coco17", "coco18", "body25", "body25b", "halpe26"])
detected_bodies = detectors.map(SKELETONS.__getitem__)
H36M = SKELETONS["h36m17"]


@given(bodies)
def test_a_skeleton_survives_being_written(body: Skeleton) -> None:
    assert Skeleton.from_dict(body.as_dict()) == body


@given(bodies)
def test_a_mirror_turned_twice_changes_nothing(body: Skeleton) -> None:
    mirror = dict(body.mirrored) | {right: left for left, right in body.mirrored}
    assert all(mirror[mirror[joint]] == joint for joint in mirror)
    assert len(mirror) == 2 * len(body.mirrored)


@given(bodies)
def test_every_left_joint_has_its_right_one(body: Skeleton) -> None:
    lefts = [body.joints[left] for left, _ in body.mirrored]
    assert lefts == [joint for joint in body.joints if joint.startswith("left_")]


@given(bodies)
def test_bones_lead_to_every_joint_but_the_loose_ones(body: Skeleton) -> None:
    assert [child for _, child in body.bones] == [
        joint for joint, parent in enumerate(body.parents) if parent >= 0
    ]


@given(bodies)
def test_a_skeleton_maps_to_itself_unchanged(body: Skeleton) -> None:
    assert_close(joint_mapping(body, body), torch.eye(len(body.joints)))


@given(detected_bodies)
def test_mapped_joints_are_means(body: Skeleton) -> None:
    mapping = joint_mapping(body, H36M)
    assert_close(mapping.sum(dim=1), torch.ones(17))
    assert mapping.min() >= 0


@given(detected_bodies)
def test_mapping_keeps_left_and_right(body: Skeleton) -> None:
    mapping = joint_mapping(body, H36M)
    for left, right in H36M.mirrored:
        assert body.joints[mapping[left].argmax()] == H36M.joints[left]
        assert body.joints[mapping[right].argmax()] == H36M.joints[right]


def test_coco_becomes_h36m_as_mmpose_and_motionbert_do_it() -> None:
    mapping = joint_mapping(SKELETONS["coco17"], H36M)
    coco = torch.arange(17.0)
    hips, shoulders = (11 + 12) / 2, (5 + 6) / 2
    expected = [hips, 12, 14, 16, 11, 13, 15, (hips + shoulders) / 2, shoulders, 0, 1.5]
    assert_close(mapping @ coco, torch.tensor([*expected, 5, 7, 9, 6, 8, 10]))


def test_3dhp_becomes_h36m_as_motionagformer_does_it() -> None:
    mapping = joint_mapping(SKELETONS["mpi_inf_3dhp17"], H36M)
    expected = [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]
    assert mapping.argmax(dim=1).tolist() == expected


def test_body_25b_is_not_body_25() -> None:
    assert SKELETONS["body25"].joints[8] == "pelvis"
    assert "pelvis" not in SKELETONS["body25b"].joints
    assert SKELETONS["body25b"].joints[:17] == SKELETONS["coco17"].joints


@pytest.mark.rejects
def test_a_joint_that_nothing_stands_for_is_named() -> None:
    with pytest.raises(ValueError, match="cannot compute left_eye, right_eye"):
        joint_mapping(H36M, SKELETONS["coco17"])


@pytest.mark.rejects
def test_one_joint_does_not_stand_for_two() -> None:
    with pytest.raises(
        ValueError, match="head_top and nose of 'h36m17' would be the same joint of 'humaneva15'"
    ):
        joint_mapping(SKELETONS["humaneva15"], H36M)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"joints": ["a", "a"]}, "names a twice"),
        ({"joints": []}, "has no joints"),
        ({"parents": [-1]}, "has 2 joints, 1 parents"),
        ({"parents": [1, 0]}, "close a loop"),
        ({"parents": [-1, 7]}, "`parents` .* must name joints 0 to 1, got 7"),
        ({"mirrored": [[0, 2]]}, "`mirrored` .* got 2"),
        ({"root": [0, 0]}, "`root` of skeleton .* must name each joint once"),
        ({"mirrored": [[0, 0]]}, "`mirrored` .* at most once, got a twice"),
        ({"mirrored": [[0, 1], [1, 0]]}, "`mirrored` .* at most once, got a, b twice"),
        ({"root": []}, "names no root"),
        ({"root": [-1]}, "`root` .* got -1"),
        ({"root": 0}, "`root` of skeleton 'x' must be a tuple, got 0"),
        ({"root": "a"}, "`root` .* must be a tuple, got 'a'"),
        ({"root": ["a"]}, r"`root` .* whole numbers of joints, one or more, got \('a',\)"),
        ({"root": [0.5]}, r"`root` .* whole numbers of joints, one or more, got \(0\.5,\)"),
        ({"parents": ["a", "b"]}, r"`parents` .* whole numbers of joints, .* got \['a', 'b'\]"),
        ({"parents": torch.tensor([-1, 0])}, "`parents` .* must be a tuple, got tensor"),
        ({"mirrored": [0, 1]}, "`mirrored` .* must be pairs of joints, got 0"),
        ({"mirrored": [[0, 1, 0]]}, "`mirrored` .* must be pairs of joints"),
        ({"joints": "ab"}, "`joints` .* must be a tuple, got 'ab'"),
        ({"joints": [1, 2]}, "needs joint names in Unicode, got 1"),
        ({"name": None}, "`name` .* must be a text, got None"),
    ],
)
def test_an_impossible_skeleton_is_refused(change: dict[str, object], sentence: str) -> None:
    plain = {"name": "x", "joints": ["a", "b"], "parents": [-1, 0], "mirrored": [], "root": [0]}
    with pytest.raises(ValueError, match=sentence):
        Skeleton.from_dict(plain | change)


@pytest.mark.rejects
def test_a_skeleton_of_lists_is_that_of_tuples() -> None:
    arm = Skeleton("arm", ["a", "b"], [-1, 0], [[0, 1]], [0])  # type: ignore[arg-type]
    assert arm == Skeleton("arm", ("a", "b"), (-1, 0), ((0, 1),), (0,))
    assert len({arm}) == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, ""),
        ({"joints": ("a", "c")}, "in which joint 1 is c, not b"),
        ({"joints": ("a", "b", "c"), "parents": (-1, 0, 1)}, "with 3 joints, not 2"),
        ({"parents": (-1, -1)}, "with another `parents`"),
        ({"name": "leg"}, "with another `name`"),
    ],
)
def test_a_skeleton_says_in_what_it_differs(change: dict[str, Any], sentence: str) -> None:
    arm = Skeleton("arm", ("a", "b"), (-1, 0), (), (0,))
    assert replace(arm, **change).difference(arm) == sentence


@pytest.mark.rejects
def test_numbers_of_numpy_are_written_as_numbers() -> None:
    arm = Skeleton("arm", ("a", "b"), (-1, np.int64(0)), (), (np.int64(0),))
    assert json.loads(json.dumps(arm.as_dict()))["parents"] == [-1, 0]


@pytest.mark.rejects
def test_a_skeleton_lacking_a_field_is_refused() -> None:
    with pytest.raises(ValueError, match="a skeleton needs joints, mirrored, parents, root"):
        Skeleton.from_dict({"name": "x"})


@pytest.mark.rejects
@pytest.mark.parametrize(("one", "other"), [("knee", "knee "), ("caf\xe9", "cafe\u0301")])
def test_joints_whose_names_look_alike_are_refused(one: str, other: str) -> None:
    with pytest.raises(ValueError, match=f"skeleton 'x' names {one} twice"):
        Skeleton("x", (one, other), (-1, 0), (), (0,))


@pytest.mark.rejects
def test_the_left_joint_of_a_pair_is_the_first(tmp_path: Path) -> None:
    dog = tmp_path / "dog.toml"
    joints = 'joints = ["left_ear", "right_ear"]\nroot = ["left_ear"]\n'
    bones = 'bones = [["left_ear", "right_ear"]]\n'
    dog.write_text(f'{joints}{bones}mirrored = [["right_ear", "left_ear"]]\n')
    with pytest.raises(ValueError, match=r"the left joint of each pair first, got right_ear, left"):
        load_skeleton(dog)


@pytest.mark.rejects
def test_a_bone_with_its_child_first_is_refused(tmp_path: Path) -> None:
    dog = tmp_path / "dog.toml"
    joints = 'joints = ["spine", "neck", "tail"]\nroot = ["spine"]\n'
    dog.write_text(f'{joints}bones = [["neck", "spine"], ["tail", "spine"]]\n')
    with pytest.raises(ValueError, match="the parent first, got spine after neck and tail"):
        load_skeleton(dog)
    dog.write_text(f'{joints}bones = [["spine", "neck"], ["spine", "neck"]]\n')
    with pytest.raises(ValueError, match="must have each bone once, got spine to neck again"):
        load_skeleton(dog)
