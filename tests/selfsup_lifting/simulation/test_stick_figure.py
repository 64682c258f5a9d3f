"""Laws of the synthetic recordings."""

import re
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.simulation.stick_figure import ACTIONS, ANKLE_HEIGHT, SUBJECTS
from selfsup_lifting.simulation_settings import NoiseSettings, RigSettings
from selfsup_lifting.skeleton.skeletons import SKELETONS

H36M = SKELETONS["h36m17"]
EXACT = NoiseSettings(jitter_px=0.0, bias_px=0.0, outlier_share=0.0)


@cache
def recordings(seed: int = 0, views: int = 4) -> list[Recording]:
    settings = ReadSettings(simulation_seed=seed, noise=EXACT, rig=RigSettings(views=views))
    return read_recordings([], settings)


def truth_of(recording: Recording) -> Tensor:
    assert recording.truth is not None
    return recording.truth


def bone_lengths(recording: Recording) -> Tensor:
    parents, children = zip(*H36M.bones, strict=True)
    return (truth_of(recording)[:, parents] - truth_of(recording)[:, children]).norm(dim=-1)


names = st.builds(
    "synthetic {} {}".format, st.sampled_from(SUBJECTS), st.sampled_from(list(ACTIONS))
)


def named(name: str) -> Recording:
    return next(recording for recording in recordings() if recording.name == name)


@pytest.mark.parametrize("name", ["radius", "height", "target_height"])
def test_a_rig_in_millimeters_is_refused(name: str) -> None:
    said = f"setting `{name}` of the simulated rig must be at most 500 m, got 4500: millimeters?"
    with pytest.raises(ValueError, match=re.escape(said)):
        RigSettings(**{name: 4500.0})


def test_a_focal_length_in_millimeters_is_refused() -> None:
    said = r"`focal_length` of the simulated rig must be at least 10% .* got 35 px: millimeters\?"
    with pytest.raises(ValueError, match=said):
        RigSettings(focal_length=35.0)


@given(names)
def test_truth_projects_to_the_keypoints(name: str) -> None:
    recording = named(name)
    pixels = recording.cameras.project(truth_of(recording)[50].double()).pixels
    assert_close(recording.keypoints[50], pixels.float(), rtol=0, atol=1e-3)


@given(names)
def test_bones_keep_their_length(name: str) -> None:
    recording = named(name)
    lengths = bone_lengths(recording)
    assert_close(lengths, lengths[:1].expand_as(lengths), rtol=0, atol=1e-5)


@given(names)
def test_left_is_built_as_right(name: str) -> None:
    recording = named(name)
    lengths = dict(zip(H36M.bones, bone_lengths(recording)[0], strict=True))
    assert_close(lengths[1, 2], lengths[4, 5])
    assert_close(lengths[11, 12], lengths[14, 15])


@given(names)
def test_the_lower_foot_stands_on_the_floor(name: str) -> None:
    recording = named(name)
    ankles = truth_of(recording)[:, [3, 6], 2].amin(dim=1)
    assert_close(ankles, torch.full_like(ankles, ANKLE_HEIGHT), rtol=0, atol=1e-5)


@given(names)
def test_nobody_moves_faster_than_a_person(name: str) -> None:
    recording = named(name)
    speed = truth_of(recording).diff(dim=0).norm(dim=-1) * recording.fps
    assert speed.max() < 8.0


@given(names)
def test_everybody_stays_in_every_picture(name: str) -> None:
    recording = named(name)
    assert recording.keypoints.isfinite().all()


@given(names)
def test_a_walker_faces_where_he_walks(name: str) -> None:
    recording = named(name)
    hips = truth_of(recording)[:, 4] - truth_of(recording)[:, 1]
    forward = torch.stack([hips[:, 1], -hips[:, 0]], dim=-1)
    step = truth_of(recording)[:, 0, :2].diff(dim=0)
    if recording.action == "walking":
        assert (step * forward[1:]).sum(dim=-1).gt(0).float().mean() > 0.95


def test_subjects_differ_in_build() -> None:
    builds = {
        recording.subject: tuple(bone_lengths(recording)[0].tolist()) for recording in recordings()
    }
    assert tuple(builds) == SUBJECTS
    assert len(set(builds.values())) == len(SUBJECTS)


def test_another_seed_moves_otherwise_and_the_same_one_alike() -> None:
    again = read_recordings(["synthetic"], ReadSettings(noise=EXACT))
    assert torch.equal(again[0].keypoints, recordings()[0].keypoints)
    assert not torch.equal(recordings(seed=1)[0].keypoints, recordings()[0].keypoints)


def test_the_rig_is_the_users() -> None:
    assert recordings(views=2)[0].cameras.views == 2
