"""Laws of the network for single poses: it computes what the trained network computes."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsup_lifting import one_pose
from selfsup_lifting.config import LifterSettings
from selfsup_lifting.one_pose import OnePose, for_one_pose
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.triangulate import normalized_image
from tests.selfsup_lifting.strategies import Scene, scenes

settings = st.builds(
    LifterSettings,
    width=st.sampled_from([1, 7, 32]),
    blocks=st.integers(1, 3),
    confidence_input=st.booleans(),
    turn_to_root=st.booleans(),
    average_mirrored=st.booleans(),
    output_unit=st.sampled_from([1.0, 50.0]),
)


@given(scenes.filter(lambda scene: scene.frames > 1), settings, st.booleans())
def test_it_computes_the_same_as_the_trained_network(
    scene: Scene,
    chosen: LifterSettings,
    root_is_hidden: bool,  # noqa: FBT001 - drawn
) -> None:
    recording = scene.recording()
    lifter = Lifter(recording.skeleton, chosen)
    image = normalized_image(recording.cameras, recording.keypoints).float().flatten(0, 1)
    if root_is_hidden:
        image[0, recording.skeleton.root[0]] = torch.nan
    inputs = (image, image.isfinite().all(dim=-1), recording.confidence.flatten(0, 1))
    lifter.train()(*inputs)  # other statistics than those of the beginning
    with torch.inference_mode():
        expected, fast = lifter.eval()(*inputs), for_one_pose(lifter)
        torch.testing.assert_close(fast(*inputs), expected, atol=1e-5, rtol=1e-4)
        one = fast(*(tensor[0] for tensor in inputs))
        if inputs[1][0].any():
            direct = OnePose(lifter)(*(tensor[0] for tensor in inputs))
            torch.testing.assert_close(direct, expected[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one, expected[0], atol=1e-5, rtol=1e-4)


def test_it_computes_the_same_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pose, "_add_columns", lambda: None)
    lifter = Lifter(Scene().recording().skeleton, LifterSettings(width=32)).eval()
    image = torch.randn(1, len(lifter.skeleton.joints), 2)
    seen = torch.ones(image.shape[:-1], dtype=torch.bool)
    torch.testing.assert_close(for_one_pose(lifter)(image, seen), lifter(image, seen).detach())


def test_the_columns_of_zeros_are_not_read() -> None:
    weights = torch.full((5, 3), torch.nan).numpy()
    weights[[0, 3]] = 2.0
    outputs = torch.ones(3).numpy()
    one_pose.add_columns(weights, torch.tensor([1.0, 0.0, 0.0, 0.5, 0.0]).numpy(), outputs)
    assert outputs.tolist() == [4.0, 4.0, 4.0]


def test_eight_columns_at_a_time_and_the_rest_are_the_product_with_the_matrix() -> None:
    generator = np.random.default_rng(0)
    weights, inputs = generator.normal(size=(21, 3)), generator.normal(size=21)
    inputs[[4, 11]] = 0.0
    outputs = np.ones(3)
    one_pose.add_columns(weights, inputs, outputs)
    np.testing.assert_allclose(outputs, 1 + inputs @ weights, rtol=1e-12)


def test_one_pose_is_lifted_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(one_pose, "_add_columns", one_pose._add_columns.__wrapped__)
    recording = Scene().recording()
    lifter = Lifter(recording.skeleton, LifterSettings(width=8, blocks=1)).eval()
    image = normalized_image(recording.cameras, recording.keypoints).float()[0, 0]
    seen, trust = image.isfinite().all(dim=-1), recording.confidence[0, 0]
    found = OnePose(lifter)(image, seen, trust)
    expected = lifter(image[None], seen[None], trust[None]).detach()[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
