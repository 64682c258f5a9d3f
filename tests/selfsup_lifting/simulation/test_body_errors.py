"""Laws of the errors that depend on the body."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from multiview_geom import ring_of_cameras
from selfsup_lifting.simulation.body_errors import (
    drift,
    hidden_by_body,
    limb_factors,
    limbs_of,
    pose_bias,
)
from selfsup_lifting.simulation.detector_noise import film, generator_for
from selfsup_lifting.simulation_settings import NOISE_LEVELS, NoiseSettings
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton
from tests.selfsup_lifting.strategies import Scene

PERSON = SKELETONS["h36m17"]
SILENT = NoiseSettings(jitter_px=0.0, bias_px=0.0, outlier_share=0.0)
# A post between two joints that are before and behind it.
POST = Skeleton("post", ("foot", "top", "before", "behind"), (-1, 0, 0, 0), (), (0,))
POINTS = torch.tensor(
    [[[0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.5, 0.0, 1.0], [-0.5, 0.0, 1.0]]], dtype=torch.float64
)


def test_a_bone_hides_what_is_behind_it() -> None:
    rig = ring_of_cameras(2, 4.0, 1.0, target_height=1.0, dtype=torch.float64)
    hidden = hidden_by_body(rig, POINTS, POST)[0]
    facing = int(rig.centers[:, 0].argmax())
    assert hidden[facing].tolist() == [False, False, False, True]
    assert hidden[1 - facing].tolist() == [False, False, True, False]


def test_a_bone_that_points_to_the_camera_does_not_hide_its_own_joints() -> None:
    arm = Skeleton("arm", ("shoulder", "hand"), (-1, 0), (), (0,))
    rig = ring_of_cameras(2, 4.0, 1.0, target_height=1.0, dtype=torch.float64)
    assert not hidden_by_body(rig, POINTS[:, 2:], arm).any()


def test_the_ends_of_limbs_are_least_certain() -> None:
    factors = dict(zip(PERSON.joints, limb_factors(PERSON, 4.0).tolist(), strict=True))
    assert (factors["left_wrist"], factors["left_elbow"], factors["left_shoulder"]) == (4, 2, 1)


def test_a_limb_has_all_its_pairs() -> None:
    names = [[PERSON.joints[left] for left, _ in limb] for limb in limbs_of(PERSON)]
    assert sorted(names) == [
        ["left_hip", "left_knee", "left_ankle"],
        ["left_shoulder", "left_elbow", "left_wrist"],
    ]


@given(st.floats(0.5, 3.0))
def test_the_bias_depends_on_the_pose_and_not_on_its_place_or_size(scale: float) -> None:
    pixels = 100 * torch.randn(50, 2, 17, 2, generator=torch.Generator().manual_seed(0)).double()
    size = torch.full((50, 2), 500.0)
    bias = pose_bias(pixels, size)
    assert_close(pose_bias(scale * pixels + 40.0, scale * size), bias, atol=1e-3, rtol=0)
    assert_close(bias.std(), torch.tensor(1.0), atol=0.2, rtol=0)
    assert float((bias[0] - bias[1]).abs().mean()) > 0.3


def test_a_drift_loses_its_memory_in_the_given_frames() -> None:
    noise = replace(SILENT, drift_frames=20.0)
    walk = drift(torch.Size((4000, 2, 5, 2)), noise, generator_for(0, "walk"))
    assert_close(walk.std(), torch.tensor(1.0), atol=0.1, rtol=0)
    correlation = (walk[20:] * walk[:-20]).mean() / walk.square().mean()
    assert_close(correlation, torch.tensor(-1.0).exp(), atol=0.05, rtol=0)


def test_errors_grow_with_the_body() -> None:
    noise = NoiseSettings(outlier_share=0.0, body_px=450.0)
    scene = Scene(views=3, frames=50)
    sizes = []
    for focal_length in (800.0, 1600.0):
        rig = ring_of_cameras(
            3, 6.0, 1.5, target_height=1.0, focal_length=focal_length, image_size=(9000, 9000),
            dtype=torch.float64,
        )  # fmt: skip
        exact = film(rig, scene.truth(), SILENT, generator_for(0, "take"))
        seen = film(rig, scene.truth(), noise, generator_for(0, "take"))
        sizes.append((seen.keypoints - exact.keypoints).norm(dim=-1).mean())
    assert_close(sizes[1], 2 * sizes[0], rtol=0.02, atol=0)


def test_swapped_limbs_have_their_share() -> None:
    scene = Scene(views=3, frames=600)
    exact, seen = (
        film(scene.cameras(), scene.truth(), noise, generator_for(0, "take"), PERSON)
        for noise in (SILENT, replace(SILENT, swapped_share=0.2))
    )

    def swapped(joint: str) -> Tensor:
        left, right = (PERSON.joints.index(f"{side}_{joint}") for side in ("left", "right"))
        return (seen.keypoints[:, :, left] == exact.keypoints[:, :, right]).all(dim=-1)

    assert_close(swapped("knee").float().mean(), torch.tensor(0.2), atol=0.05, rtol=0)
    with_knee = {
        joint: float((swapped(joint) & swapped("knee")).float().mean())
        for joint in ("ankle", "elbow")
    }
    assert with_knee["elbow"] < 0.1 < with_knee["ankle"], "arms are swapped by themselves"
    nose = PERSON.joints.index("nose")
    assert_close(seen.keypoints[:, :, nose], exact.keypoints[:, :, nose], equal_nan=True)


def test_every_level_is_worse_than_the_one_before() -> None:
    scene = Scene(views=3, frames=200)
    means = []
    exact = film(scene.cameras(), scene.truth(), SILENT, generator_for(0, "take"))
    for noise in NOISE_LEVELS.values():
        seen = film(scene.cameras(), scene.truth(), noise, generator_for(0, "take"), PERSON)
        means.append(float((seen.keypoints - exact.keypoints).norm(dim=-1).nanmean()))
    assert means[0] < 0.7 * means[1] < 0.7**2 * means[2]


def test_without_bones_nothing_is_hidden() -> None:
    points = Skeleton("points", ("a", "b"), (-1, -1), mirrored=(), root=(0,))
    rig = ring_of_cameras(3, radius=4.0, height=1.5)
    hidden = hidden_by_body(rig, torch.zeros(5, 2, 3), points)
    assert hidden.shape == (5, 3, 2)
    assert not hidden.any()
