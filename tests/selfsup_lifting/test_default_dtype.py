"""Laws of a default dtype that somebody else set: it changes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from selfsup_lifting.config import AugmentationSettings, LifterSettings
from selfsup_lifting.inference import lift
from selfsup_lifting.recipes import RECIPES
from selfsup_lifting.stream import PoseStream
from selfsup_lifting.training.checkpoint import load_lifter
from selfsup_lifting.training.loop import train
from tests.selfsup_lifting.strategies import Scene
from tests.selfsup_lifting.training.small_runs import TINY

NETWORK = LifterSettings(width=8, blocks=1, uncertainty=True, confidence_input=True)
CHANGES = AugmentationSettings(mirror=True, hidden_share=0.1, virtual_share=0.5, mixed_limbs=0.5)
ROBUST = replace(RECIPES["robust"](TINY), lifter=NETWORK, augmentation=CHANGES)


@contextmanager
def double_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def test_training_and_lifting_are_the_same(tmp_path: Path) -> None:
    one, other = Scene(views=3, frames=40).recording(), Scene(views=2, frames=30).recording()
    other = replace(other, name="other", subject="S2")
    data = [one, replace(one, name="held out", subject="S3"), other]
    for place, config in enumerate((TINY, ROBUST)):
        usual, doubled = tmp_path / f"usual {place}", tmp_path / f"double {place}"
        lifter = train(config, data, usual)
        with double_by_default():
            train(config, data, doubled)
            loaded = load_lifter(doubled)
            poses = lift(loaded, one.cameras, one.keypoints, one.confidence)
            step = PoseStream(loaded, one.select_views(["cam_1"]).cameras).step(
                one.keypoints[0, :1]
            )
        weights = loaded.state_dict()
        for name, weight in lifter.state_dict().items():
            assert torch.equal(weight, weights[name]), name
        expected = lift(lifter, one.cameras, one.keypoints, one.confidence)
        assert torch.equal(poses.nan_to_num(), expected.nan_to_num())
        assert step.points.dtype == torch.float32
