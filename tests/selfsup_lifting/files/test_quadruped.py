"""Nothing assumes a human: a dog of fifteen joints is learned, also with sightings missing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from selfsup_lifting.config import Config, LifterSettings
from selfsup_lifting.evaluation.evaluate import evaluate_lifter
from selfsup_lifting.gap_filling import fill_gaps
from selfsup_lifting.inference import lift
from selfsup_lifting.recipes import robust
from selfsup_lifting.skeleton.skeleton_file import load_skeleton
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.training.loop import train
from tests.selfsup_lifting.files.quadruped import TOML, recording

KEPT_OUT = (6, 7)


@pytest.fixture
def dog(tmp_path: Path) -> Skeleton:
    (tmp_path / "dog15.toml").write_text(TOML)
    return load_skeleton(tmp_path / "dog15.toml")


def error_of(dog: Skeleton, run: Path, missing: float) -> float:
    """Train on six dogs, and lift two others; gaps of a few frames are filled."""
    recordings = [fill_gaps(recording(dog, number, missing=missing), 5) for number in range(8)]
    small = LifterSettings(width=64, blocks=1, dropout=0.1)
    config = replace(Config(), steps=250, frames_per_batch=64, lifter=small)
    learned = [one for number, one in enumerate(recordings) if number not in KEPT_OUT]
    lifter = train(config, learned, run)
    return evaluate_lifter(lifter, [recordings[number] for number in KEPT_OUT]).total.p_mpjpe_mm


@pytest.mark.slow
def test_a_quarter_of_the_sightings_missing_costs_less_than_a_third(
    dog: Skeleton, tmp_path: Path
) -> None:
    whole = error_of(dog, tmp_path / "whole", 0.0)
    assert error_of(dog, tmp_path / "gappy", 0.25) <= 1.3 * whole
    assert whole < 150


@pytest.mark.slow
def test_three_joints_hidden_cost_less_than_a_quarter(dog: Skeleton, tmp_path: Path) -> None:
    recordings = [recording(dog, number) for number in range(8)]
    small = LifterSettings(width=64, blocks=1, dropout=0.1)
    config = robust(replace(Config(), steps=400, frames_per_batch=64, lifter=small))
    lifter = train(config, recordings[: KEPT_OUT[0]], tmp_path / "run")
    kept = [recordings[number] for number in KEPT_OUT]
    seed = torch.Generator().manual_seed(0)
    gappy = []
    for one in kept:
        gone = torch.rand(one.keypoints.shape[:-1], generator=seed).argsort(dim=-1) < 3
        keypoints = one.keypoints.masked_fill(gone[..., None], torch.nan)
        gappy.append(replace(one, keypoints=keypoints, confidence=one.confidence * ~gone))
        poses = lift(lifter, one.cameras, keypoints, gappy[-1].confidence)
        assert poses.isfinite().all()
    whole = evaluate_lifter(lifter, kept).total.p_mpjpe_mm
    assert whole < 150
    assert evaluate_lifter(lifter, gappy).total.p_mpjpe_mm <= 1.25 * whole
