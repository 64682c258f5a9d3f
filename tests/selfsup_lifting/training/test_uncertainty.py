"""Laws of predicted ellipsoids: as large as the errors, and without any say in the poses."""

import csv
import io
import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from scipy.stats import chi2, multivariate_t
from torch import Tensor
from torch.testing import assert_close

from multiview_geom import from_homogeneous, save_cameras, to_homogeneous
from selfsup_lifting.cli import main
from selfsup_lifting.config import Config, LifterSettings
from selfsup_lifting.config_toml import as_toml
from selfsup_lifting.evaluation.evaluate import evaluate_lifter
from selfsup_lifting.inference import lift, lift_covariances
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.run_files import CONFIG_FILE
from selfsup_lifting.skeleton.skeletons import SKELETONS, root_in_image
from selfsup_lifting.training import ellipsoids
from selfsup_lifting.training.augmentation import mirrored
from selfsup_lifting.training.dataset import build_dataset
from selfsup_lifting.training.ellipsoids import (
    CHI_SQUARED,
    DEGREES,
    NUMBERS,
    SHARE,
    covariances,
    negative_log_likelihood,
    squared_distances,
    whitening_matrices,
)
from selfsup_lifting.training.lifter import Lifter, merge_batchnorm, turn_to
from selfsup_lifting.training.loop import train
from selfsup_lifting.training.uncertainty import EllipsoidSize
from tests.selfsup_lifting.strategies import Scene, scenes
from tests.selfsup_lifting.training.small_runs import committed, saved_run

SURE = LifterSettings(width=16, blocks=1, dropout=0.2, uncertainty=True)
CONFIG = Config(epochs=4, frames_per_batch=16, lifter=SURE, uncertainty_on=("scene 2",))
PLAIN = replace(CONFIG, lifter=replace(SURE, uncertainty=False), uncertainty_on=())


def recordings(frames: int = 24) -> list[Recording]:
    return [Scene(views=3, frames=frames, seed=seed).recording() for seed in (1, 2)]


def sure_lifter(recording: Recording, **settings: Any) -> Lifter:
    torch.manual_seed(0)
    lifter = Lifter(recording.skeleton, replace(SURE, **settings)).eval()
    lifter.whitening.weight.data.mul_(30.0)  # ellipsoids that differ from joint to joint
    return lifter


def drawn_matrices(count: int = 50) -> Tensor:
    numbers = torch.randn(count, NUMBERS, generator=torch.Generator().manual_seed(0))
    return whitening_matrices(numbers.double())


def test_the_ellipsoid_is_that_of_the_chi_squared_distribution() -> None:
    assert pytest.approx(chi2(3).ppf(SHARE), rel=1e-12) == CHI_SQUARED


def test_a_whitening_matrix_whitens_its_covariance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ellipsoids, "LEAST_DEVIATION", 0.0)
    whitening = drawn_matrices()
    product = whitening @ covariances(whitening) @ whitening.mT
    assert_close(product, torch.eye(3).to(product).expand_as(product), atol=1e-9, rtol=0)


def test_single_precision_can_invert_every_covariance() -> None:
    outputs = torch.tensor([*product([-1e6, 0.0, 1e6], repeat=NUMBERS)])
    single, double = (
        squared_distances(
            torch.eye(3).to(one).expand(len(one), 3, 3),
            covariances(whitening_matrices(one))[:, None].expand(-1, 3, -1, -1),
        )
        for one in (outputs, outputs.double())
    )
    assert_close(single.double(), double, rtol=0.2, atol=0)


def test_the_likelihood_is_that_of_the_t_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    whitening = drawn_matrices()
    monkeypatch.setattr(ellipsoids, "LEAST_DEVIATION", 0.0)
    errors = torch.randn(50, 3, generator=torch.Generator().manual_seed(1)).double()
    found = negative_log_likelihood(errors, whitening)
    expected = torch.tensor(
        [
            -multivariate_t(shape=shape.numpy(), df=DEGREES).logpdf(error.numpy())
            for shape, error in zip(covariances(whitening), errors, strict=True)
        ]
    )
    constant = (expected - found)[0]
    assert_close(found + constant, expected, atol=1e-9, rtol=1e-9)


def test_a_joint_without_an_error_by_definition_has_no_distance() -> None:
    covariance = torch.stack([torch.zeros(3, 3), 0.04 * torch.eye(3), torch.eye(3)])
    errors = torch.tensor([[0.0, 0, 0], [0.4, 0, 0], [torch.nan, 0, 0]])
    expected = torch.tensor([torch.nan, 4.0, torch.nan])
    assert_close(squared_distances(errors, covariance), expected, equal_nan=True)


def test_ellipsoids_change_no_pose_and_their_recordings_teach_nothing(tmp_path: Path) -> None:
    sure = train(CONFIG, recordings(), tmp_path / "sure").state_dict()
    plain = train(PLAIN, recordings()[:1], tmp_path / "plain").state_dict()
    assert sure.keys() - plain.keys() == {
        "whitening.weight", "whitening.bias", "ellipsoid_scale", "error_unit",
    }  # fmt: skip
    assert all(torch.equal(sure[name], one) for name, one in plain.items())


def test_ellipsoids_hold_the_share_of_the_errors_that_they_were_made_for(tmp_path: Path) -> None:
    blind = [recording.without_truth() for recording in recordings(200)]
    network = replace(SURE, turn_to_root=True, average_mirrored=True)
    lifter = train(replace(CONFIG, lifter=network), blind, tmp_path)
    held = evaluate_lifter(lifter, blind[1:])
    assert held.total.coverage == pytest.approx(SHARE, abs=0.002)
    lifter.ellipsoid_scale *= 2.0
    assert evaluate_lifter(lifter, blind[1:]).total.coverage > SHARE + 0.02


def test_the_truth_has_no_say(tmp_path: Path) -> None:
    blind = [
        replace(one, truth=torch.full_like(one.truth, torch.nan))
        for one in recordings()
        if one.truth is not None
    ]
    one, other = (
        train(CONFIG, data, tmp_path / name).state_dict()
        for name, data in (("with", recordings()), ("without", blind))
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_resumed_training_has_the_same_ellipsoids(tmp_path: Path) -> None:
    whole = train(CONFIG, recordings(), tmp_path / "whole").state_dict()
    train(replace(CONFIG, epochs=2), recordings(), tmp_path / "run")
    resumed = train(CONFIG, recordings(), tmp_path / "run", resume=True).state_dict()
    assert all(torch.equal(resumed[name], one) for name, one in whole.items())


def test_the_unit_of_errors_is_that_of_the_subject() -> None:
    frames = build_dataset(recordings())
    lifter = sure_lifter(recordings()[0])
    units = []
    for size in (1.0, 0.001):
        EllipsoidSize.set_unit(lifter, replace(frames, labels=size * frames.labels))
        units.append(float(lifter.error_unit))
    assert units[1] == pytest.approx(0.001 * units[0])


@given(scenes)
def test_ellipsoids_turn_with_the_camera(scene: Scene) -> None:
    recording = replace(scene, skeleton="h36m17", missing=0.0).recording()
    frames = build_dataset([recording])
    lifter = sure_lifter(recording, turn_to_root=True)
    turn = turn_to(root_in_image(frames.image, frames.seen, recording.skeleton.root)[..., 0, :])
    turned = from_homogeneous(to_homogeneous(frames.image) @ turn.mT)
    turn = turn[..., None, :, :]
    expected = turn @ lifter.covariances(frames.image, frames.seen) @ turn.mT
    assert_close(lifter.covariances(turned, frames.seen), expected, atol=1e-5, rtol=1e-3)


@given(scenes)
def test_ellipsoids_do_not_prefer_a_side(scene: Scene) -> None:
    recording = replace(scene, missing=0.0).recording()
    frames = build_dataset([recording])
    lifter = sure_lifter(recording, average_mirrored=True, confidence_input=True)
    one, other = (
        lifter.covariances(these.image, these.seen, these.confidence)
        for these in (frames, mirrored(frames, recording.skeleton))
    )
    flip = torch.tensor([-1.0, 1.0, 1.0])
    expected = flip[:, None] * one[..., recording.skeleton.mirror_order, :, :] * flip
    assert_close(other, expected, atol=1e-5, rtol=1e-3)


@given(scenes)
def test_an_ellipsoid_is_known_where_the_pose_is(scene: Scene) -> None:
    recording = scene.recording()
    lifter = sure_lifter(recording)
    inputs = (recording.cameras, recording.keypoints, recording.confidence)
    poses, covariance = lift(lifter, *inputs), lift_covariances(lifter, *inputs)
    assert torch.equal(covariance.isnan().flatten(3).any(dim=-1), poses.isnan().any(dim=-1))
    merged = lift_covariances(merge_batchnorm(lifter), *inputs)
    assert_close(merged, covariance, atol=1e-5, rtol=1e-3, equal_nan=True)


@pytest.fixture
def sure_run(tmp_path: Path) -> Path:
    """Return a run whose lifter has ellipsoids, beside a recording of its skeleton."""
    saved_run(tmp_path / "run", SURE)
    committed(tmp_path / "run", CONFIG_FILE, as_toml(CONFIG).encode())
    scene = Scene(views=2, frames=6, skeleton="coco17", missing=0.3)
    save_recording(tmp_path / "recording.npz", scene.recording())
    return tmp_path / "run"


def predicted(run: Path, *options: str) -> dict[str, Tensor]:
    out = run.parent / "poses.npz"
    data = str(run.parent / "recording.npz")
    main(["predict", str(run), data, "--out", str(out), "--overwrite", *options])
    with np.load(out) as file:
        return {name: torch.from_numpy(file[name]) for name in file if name != "description"}


def test_predicted_ellipsoids_have_the_axes_of_their_track(sure_run: Path) -> None:
    in_camera, in_world = (
        predicted(sure_run, "--coordinates", one)["covariance"] for one in ("camera", "world")
    )
    rotation = Scene(views=2).cameras().camera_from_world[0, :3, :3].float()
    expected = rotation.mT @ in_camera @ rotation
    assert_close(in_world, expected, atol=1e-6, rtol=1e-4, equal_nan=True)


def test_refined_poses_have_no_ellipsoids(
    sure_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "covariance" not in predicted(sure_run, "--refine")
    assert "refined poses have no covariances" in capsys.readouterr().err


def test_tables_and_streams_say_how_sure_the_lifter_is(
    sure_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = Scene(views=2, frames=6, skeleton="coco17").recording()
    save_recording(sure_run.parent / "recording.npz", recording)
    covariance = predicted(sure_run)["covariance"]
    expected = (covariance.diagonal(dim1=-2, dim2=-1).sum(dim=-1) / 3).sqrt()
    table = sure_run.parent / "poses.csv"
    main(["predict", str(sure_run), str(sure_run.parent / "recording.npz"), "--out", str(table)])
    rows = list(csv.DictReader(table.read_text().splitlines()[1:]))
    names = [f"{joint}_sigma" for joint in recording.skeleton.joints]
    found = torch.tensor([[float(row[name]) for name in names] for row in rows])
    assert_close(found, expected, atol=1e-6, rtol=0)
    rig = sure_run.parent / "rig.toml"
    save_cameras(rig, recording.cameras)
    joints = torch.cat([recording.keypoints[0, 0], recording.confidence[0, 0, :, None]], dim=1)
    line = json.dumps({"keypoints": joints.tolist()})
    monkeypatch.setattr("sys.stdin", io.StringIO(line + "\n"))
    capsys.readouterr()
    main(["predict", str(sure_run), "-", "--cameras", str(rig)])
    streamed = torch.tensor(json.loads(capsys.readouterr().out)["sigma"])
    assert_close(streamed, expected[0], atol=1e-4, rtol=0)


def test_evaluate_says_how_many_errors_the_ellipsoids_hold(
    sure_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(sure_run.parent / "recording.npz")]
    main(["evaluate", str(sure_run), *data])
    shown = capsys.readouterr().out
    main(["evaluate", str(sure_run), *data, "--json"])
    share = json.loads(capsys.readouterr().out)["coverage"]
    assert f"the predicted ellipsoids for 90% hold {share:.1%} of the errors" in shown
    main(["evaluate", str(sure_run), *data, "--refine", "--json"])
    assert json.loads(capsys.readouterr().out)["coverage"] is None


@pytest.mark.rejects
def test_recordings_for_ellipsoids_need_ellipsoids() -> None:
    with pytest.raises(ValueError, match="`uncertainty_on` names recordings"):
        replace(CONFIG, lifter=PLAIN.lifter)


@pytest.mark.rejects
def test_recordings_for_ellipsoids_must_be_there_and_leave_others(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`uncertainty_on` names 'scene 9'"):
        train(replace(CONFIG, uncertainty_on=("scene 9",)), recordings(), tmp_path)
    with pytest.raises(ValueError, match="`uncertainty_on` scene 2 leaves no training data"):
        train(CONFIG, recordings()[1:], tmp_path)


@pytest.mark.rejects
def test_a_lifter_without_uncertainty_has_no_covariances() -> None:
    lifter = Lifter(SKELETONS["h36m17"], PLAIN.lifter).eval()
    with pytest.raises(ValueError, match=r"trained without `lifter\.uncertainty`"):
        lifter.covariances(torch.zeros(1, 17, 2), torch.ones(1, 17, dtype=torch.bool))


@pytest.mark.rejects
def test_ellipsoids_need_errors_beside_the_root(tmp_path: Path) -> None:
    learned, sized = recordings()
    keypoints = sized.keypoints.clone()
    keypoints[:, 0, 1::2] = torch.nan  # no joint but the root is seen by two views
    keypoints[:, 1, 2::2] = torch.nan
    keypoints[:, 2] = torch.nan
    few = replace(sized, keypoints=keypoints)
    with pytest.raises(ValueError, match="labelled joints beside the root, got none"):
        train(CONFIG, [learned, few], tmp_path / "run")
