"""Laws of the recipes: the paper's numbers, and the code's differences by name."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from selfsup_lifting.config import Config, LifterSettings, LossSettings
from selfsup_lifting.config_toml import as_plain, setting_rows
from selfsup_lifting.files import read_recordings, read_results
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recipes import PRESETS, RECIPES
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.training.dataset import Frames, build_dataset
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.loop import train
from selfsup_lifting.training.losses import (
    consistency_loss,
    input_triangulation_loss,
    poses_in_views,
    rotated_to_views,
)
from selfsup_lifting.training.objective import lift_views, loss_terms
from tests.selfsup_lifting.files.datasets.dataset_files import Human36M
from tests.selfsup_lifting.strategies import Scene

TINY = Config(
    epochs=2,
    frames_per_batch=8,
    lifter=LifterSettings(width=16, blocks=1, dropout=0.0),
    losses=LossSettings(output_share=0.5),
)


def batch() -> Frames:
    return build_dataset([Scene(views=3, frames=8).recording()])


def flat(plain: object, table: str = "") -> dict[str, object]:
    found = {}
    for name, value in plain.items():
        nested = flat(value, f"{table}{name}.") if isinstance(value, dict) else None
        found |= nested if nested is not None else {f"{table}{name}": value}
    return found


@pytest.mark.parametrize("preset", PRESETS)
def test_the_papers_numbers_hold_under_every_preset(preset: str) -> None:
    config = RECIPES["paper-h36m"](PRESETS[preset](Config()))
    assert (config.epochs, config.frames_per_batch * 4, config.learning_rate) == (500, 8192, 1e-3)
    assert (config.lifter.width, config.read.fps) == (1024, 10.0)
    assert config.hold_out == ("S9", "S11")
    assert list(config.losses.weights.values()) == [1.0, 1.0, 0.001, 0.01]


def test_humaneva_has_numbers_of_its_own() -> None:
    config = RECIPES["paper-humaneva"](Config())
    assert (config.epochs, config.frames_per_batch) == (5000, 533)
    assert config.hold_out == ("Validate/S1", "Validate/S2", "Validate/S3")


def test_every_difference_of_the_code_has_a_name_and_a_source() -> None:
    paper, code = (
        flat(as_plain(RECIPES[name](Config()))) for name in ("paper-h36m", "code-compat")
    )
    differing = {name for name in code if code[name] != paper.get(name)}
    sources = {row.name: row.source for row in setting_rows(Config())}
    assert differing == {
        *("epochs", "reset_adam", "shuffle", "per_view_batchnorm", "read.undistort"),
        *("lifter.output_unit", "losses.projection", "losses.consistency", "losses.output"),
        *("losses.input_norm", "losses.output_share", "losses.consistency_with_labels"),
        "losses.output_of_detections",
    }
    assert [name for name in differing if not sources[name]] == []


def test_an_adam_that_forgets_follows_the_sign_of_the_gradient(tmp_path: Path) -> None:
    config = replace(TINY, epochs=1, frames_per_batch=100, reset_adam=True)
    recordings = [Scene(views=3, frames=8).recording()]
    lifter = train(config, recordings, tmp_path)
    torch.manual_seed(config.seed)
    steps = torch.cat(
        [
            (after - before).detach().flatten().abs()
            for after, before in zip(
                lifter.parameters(),
                Lifter(recordings[0].skeleton, config.lifter).parameters(),
                strict=True,
            )
        ]
    )
    moved = steps[steps > 1e-6]
    # Where the gradient is not tiny against Adam's epsilon, every step is the learning rate.
    assert float((moved - config.learning_rate).abs().median()) < 1e-6


def test_frames_can_keep_their_order() -> None:
    frames = batch()
    joined = torch.cat(frames.batches(3, seed=None))
    assert torch.equal(joined, torch.arange(len(frames)))
    assert [len(part) for part in frames.batches(3, seed=None)] == [3, 3, 2]


@pytest.mark.parametrize("training", [True, False])
def test_per_view_batchnorm_differ_only_in_what_is_normalised_together(training: bool) -> None:  # noqa: FBT001 - a case
    frames = batch()
    torch.manual_seed(0)
    lifter = Lifter(SKELETONS["h36m17"], TINY.lifter).train(training)
    together, apart = (
        lift_views(lifter.with_whitening, frames, frames.seen, per_view_batchnorm=apart)[0]
        for apart in (False, True)
    )
    assert together.shape == apart.shape
    assert torch.allclose(together, apart, atol=1e-6) != training


def test_an_output_can_count_millimetres() -> None:
    frames = batch()
    torch.manual_seed(0)
    metres = Lifter(SKELETONS["h36m17"], TINY.lifter).eval()
    millimetres = Lifter(SKELETONS["h36m17"], replace(TINY.lifter, output_unit=0.001)).eval()
    millimetres.load_state_dict(metres.state_dict())
    expected: Tensor = 0.001 * metres(frames.image, frames.seen)
    torch.testing.assert_close(millimetres(frames.image, frames.seen), expected)


def test_lenses_can_be_ignored(tmp_path: Path) -> None:
    folder = str(Human36M(frames=5).write(tmp_path))
    lens, pinhole = (
        read_recordings([folder], ReadSettings(undistort=undistort))[0]
        for undistort in (True, False)
    )
    assert lens.cameras.distortion is not None
    assert pinhole.cameras.distortion is None
    assert torch.equal(lens.keypoints, pinhole.keypoints)


@pytest.mark.parametrize(("lens", "notes"), [(0.0, 1), (0.1, 0)])
def test_pinholes_without_a_lens_to_ignore_are_named(
    tmp_path: Path, lens: float, notes: int
) -> None:
    pinholes = Scene(views=2, frames=3).recording()
    cameras = replace(pinholes.cameras, distortion=torch.full((2, 4), lens, dtype=torch.float64))
    save_recording(tmp_path / "a.npz", replace(pinholes, cameras=cameras))
    (result,) = read_results(str(tmp_path), ReadSettings(undistort=False))
    told = "scene 0: its cameras have no lens distortion, so `undistort` off changes nothing"
    assert [*result.notes] == [told] * notes


def test_predictions_that_equal_the_labels_are_consistent_with_them() -> None:
    frames = batch()
    cameras, usable = frames.camera_from_root, torch.ones(8, 3, dtype=torch.bool)
    poses = torch.einsum("fvij,fnj->fvni", cameras[..., :3, :3], frames.labels)
    targets, in_views = rotated_to_views(frames.labels, cameras), poses_in_views(poses, cameras)
    loss = consistency_loss(poses, in_views, usable, targets=targets, labelled=frames.labelled)
    assert float(loss) < 1e-6


def test_the_codes_output_loss_is_its_input_loss_again() -> None:
    frames = batch()
    poses = torch.randn(8, 3, 17, 3, generator=torch.Generator().manual_seed(0))
    settings = LossSettings(output_of_detections=True)
    terms = loss_terms(poses, frames, SKELETONS["h36m17"].root, settings)
    torch.testing.assert_close(terms["L_out"], terms["L_in"])
    mask = torch.ones(8, 3, 17, dtype=torch.bool)
    targets = rotated_to_views(frames.labels, frames.camera_from_root)
    expected = input_triangulation_loss(poses, targets, mask, settings.input_norm)
    torch.testing.assert_close(terms["L_in"], expected)


def test_the_codes_recipe_trains(tmp_path: Path) -> None:
    folder = str(Human36M(frames=20).write(tmp_path / "data"))
    config = replace(RECIPES["code-compat"](Config()), epochs=3, lifter=TINY.lifter)
    recordings = read_recordings([folder], config.read)
    learned = [one for one in recordings if one.subject == "S1"]
    lifter = train(config, learned, tmp_path / "run", held_out=recordings)
    assert all(one.isfinite().all() for one in lifter.parameters())
