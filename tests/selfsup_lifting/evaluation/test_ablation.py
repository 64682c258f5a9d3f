"""Laws of the ablation."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from scipy.stats import ttest_1samp

from selfsup_lifting.cli import main
from selfsup_lifting.cli.tables import ablation_cells, gain
from selfsup_lifting.config import Config, LifterSettings, LossSettings
from selfsup_lifting.evaluation.ablation import (
    OUTCOME_FILE,
    Row,
    _naming,
    ablate,
    interval,
    loss_steps,
    varied,
)
from selfsup_lifting.recipes import RECIPES
from selfsup_lifting.recording_file import load_recording, save_recording
from tests.selfsup_lifting.strategies import Scene
from tests.selfsup_lifting.training.small_runs import committed

TINY = Config(
    epochs=2,
    frames_per_batch=16,
    lifter=LifterSettings(width=16, blocks=1, dropout=0.0),
    losses=LossSettings(output_share=0.5),
)


@pytest.fixture
def tiny(tmp_path: Path) -> Config:
    save_recording(tmp_path / "recording.npz", Scene(views=4, frames=40).recording())
    return replace(TINY, data=(str(tmp_path / "recording.npz"),))


def test_losses_are_taken_up_one_by_one() -> None:
    taken = [list(variant.config.losses.weights) for variant in loss_steps(TINY)]
    assert taken == [["L_in", "L_proj", "L_con", "L_out"][: count + 1] for count in range(4)]


def test_a_setting_takes_its_values_in_turn() -> None:
    variants = varied(TINY, "losses.consistency=0.1,1")
    assert [variant.config.losses.consistency for variant in variants] == [0.1, 1.0]
    assert {replace(variant.config, losses=TINY.losses) for variant in variants} == {TINY}


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ("cameras=3", replace(TINY, cameras_learned=3)),
        ("undistort=off", replace(TINY, read=replace(TINY.read, undistort=False))),
        (
            "rig.views=3",
            replace(TINY, read=replace(TINY.read, rig=replace(TINY.read.rig, views=3))),
        ),
        (
            "losses.detach-targets=off",
            replace(TINY, losses=replace(TINY.losses, detach_targets=False)),
        ),
        (
            "threshold-px=9",
            replace(TINY, triangulation=replace(TINY.triangulation, threshold_px=9.0)),
        ),
        ("recipe=pseudo-label", RECIPES["pseudo-label"](replace(TINY, losses=LossSettings()))),
    ],
)
def test_settings_are_named_as_on_the_command_line(written: str, changed: Config) -> None:
    assert [variant.config for variant in varied(TINY, written)] == [changed]


def test_gains_are_taken_seed_by_seed(tiny: Config, tmp_path: Path) -> None:
    rows = ablate(varied(tiny, "cameras=2,4"), 2, tmp_path / "runs")
    expected = [
        two - four for two, four in zip(rows[0].p_mpjpe_mm, rows[1].p_mpjpe_mm, strict=True)
    ]
    assert rows[0].gains_mm == ()
    assert list(rows[1].gains_mm) == expected
    assert len(set(rows[0].p_mpjpe_mm)) == 2


def test_what_is_done_is_not_done_again(tiny: Config, tmp_path: Path) -> None:
    variants = varied(tiny, "cameras=2,4")
    ablate(variants, 1, tmp_path / "runs")
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    rows = ablate(variants, 2, tmp_path / "runs")
    assert len(rows[0].p_mpjpe_mm) == 2
    assert {path: path.stat().st_mtime_ns for path in written} == written


@pytest.mark.slow
def test_trainings_at_once_come_to_the_same_bit_for_bit(tiny: Config, tmp_path: Path) -> None:
    variants = varied(tiny, "cameras=2,4")
    together = ablate(variants, 1, tmp_path / "together", jobs=2)
    threads = torch.get_num_threads()
    # As many threads as each job has: others add in another order.
    torch.set_num_threads(max(1, threads // 2))
    in_turn = ablate(variants, 1, tmp_path / "in turn")
    torch.set_num_threads(threads)
    assert [row.p_mpjpe_mm for row in together] == [row.p_mpjpe_mm for row in in_turn]
    written = sorted((tmp_path / "together").rglob("model.safetensors"))
    assert len(written) == 2
    for path in written:
        other = tmp_path / "in turn" / path.relative_to(tmp_path / "together")
        weights, others = load_file(path), load_file(other)
        assert all(torch.equal(weight, others[name]) for name, weight in weights.items())
        metrics, other_metrics = (one.with_name("metrics.jsonl") for one in (path, other))
        assert metrics.read_bytes() == other_metrics.read_bytes()


# Gains report to the nanometre: SciPy's test calls the mean of 0 and 1e-258 certain.
gains_mm = st.integers(-5_000_000, 5_000_000).map(lambda nanometres: nanometres / 1e6)


@given(st.lists(gains_mm, min_size=2, max_size=6, unique=True))
def test_a_gain_is_certain_where_students_test_says_so(gains: list[float]) -> None:
    certain = abs(mean(gains)) > interval(gains)
    assert certain == bool(ttest_1samp(gains, 0.0).pvalue < 0.05)


def test_the_paper_stands_beside(tiny: Config, tmp_path: Path) -> None:
    cells = ablation_cells(ablate(loss_steps(tiny), 1, tmp_path / "runs"))
    assert cells[0][-1] == "paper [mm]"
    assert [line[-1] for line in cells[1:]] == ["68.0", "65.3", "63.9", "62.0"]


def test_the_command_prints_every_row(
    tiny: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--lifter.width", "8", "--epochs", "2", "--frames-per-batch", "16", "--seeds", "1"]
    data = ["--data", *tiny.data, "--run", str(tmp_path / "runs")]
    main(["ablate", *data, *small, "--vary", "losses.projection=0,1", "--json"])
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert [row["name"] for row in rows] == ["losses.projection=0", "losses.projection=1"]
    assert set(rows[1]["gradient_shares"]) == {"L_in", "L_proj", "L_con"}


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("cameras", "setting=value,value"),
        ("noise.jiter_px=1", "did you mean `read.noise.jitter_px`"),
        ("recipe=papre", "must be one of paper"),
        ("cameras=1", "must be at least 2"),
        ("seed=1,2", "--seeds repeats every variant with several"),
        ("fps=10,10.0", "`vary` compares different settings, got equal ones: fps=10 and fps=10.0"),
        ("losses.consistency=0,5,0,7", "consistency=0; a comma separates two values, and a dec"),
        ("losses.consistency=0,001,0,1", "got the value '001', which begins with a zero; a comma"),
    ],
)
def test_what_cannot_be_varied_is_reported(written: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        varied(TINY, written)


@pytest.mark.rejects
def test_trainings_need_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file; expected the name of a folder"):
        ablate(varied(TINY, "cameras=2"), 1, tmp_path / "file")


def test_the_gain_of_one_seed_has_no_interval() -> None:
    assert gain(Row("a", (50.0,), (60.0,), (1.0,), {}, 3.0)) == ("+1.00", "one seed")


@pytest.mark.rejects
@pytest.mark.parametrize("few", [0, -1])
def test_an_ablation_needs_a_seed_and_a_job(tiny: Config, tmp_path: Path, few: int) -> None:
    with pytest.raises(ValueError, match=f"setting `seeds` must be at least 1, got {few}"):
        ablate(varied(tiny, "cameras=2"), few, tmp_path / "runs")
    with pytest.raises(ValueError, match=f"setting `jobs` must be at least 1, got {few}"):
        ablate(varied(tiny, "cameras=2"), 1, tmp_path / "runs", jobs=few)


@pytest.mark.rejects
def test_a_damaged_outcome_is_named(tiny: Config, tmp_path: Path) -> None:
    ablate(varied(tiny, "cameras=2"), 1, tmp_path / "runs")
    outcome = tmp_path / "runs" / "cameras-2" / "seed-0" / "outcome.json"
    outcome.write_text(outcome.read_text().replace("1", "2"))
    with pytest.raises(ValueError, match=r"seed-0.outcome\.json is damaged: expected"):
        ablate(varied(tiny, "cameras=2"), 1, tmp_path / "runs")


@pytest.mark.rejects
def test_outcomes_that_were_exchanged_are_named(tiny: Config, tmp_path: Path) -> None:
    ablate(varied(tiny, "losses.input-norm=l1,squared_l2"), 1, tmp_path / "runs")
    folders = sorted((tmp_path / "runs").glob("*/seed-0"))
    outcomes = [(folder / OUTCOME_FILE).read_bytes() for folder in folders]
    for folder, outcome in zip(folders, reversed(outcomes), strict=True):
        committed(folder, OUTCOME_FILE, outcome)
    with pytest.raises(ValueError, match=r"its `gradient_shares` are not those of metrics\.jsonl"):
        ablate(varied(tiny, "losses.input-norm=l1,squared_l2"), 1, tmp_path / "runs")


@pytest.mark.rejects
def test_other_settings_need_another_folder(tiny: Config, tmp_path: Path) -> None:
    ablate(varied(tiny, "cameras=2"), 1, tmp_path / "runs")
    with pytest.raises(ValueError, match=r"other settings \(epochs: \d+ there, 3 now\)"):
        ablate(varied(replace(tiny, epochs=3), "cameras=2"), 1, tmp_path / "runs")


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("losses.labels=triangulated,truth", "`losses.labels` truth needs ground truth, .* has"),
        ("device=cpu,cuda:99", "device-cuda:99.seed-0: setting `device` must be one of auto, cpu"),
        ("cameras=2,5", "`cameras_learned` must be at most the 4 cameras of recording"),
        ("take=recording,no", "take-no.seed-0: .* has no recording 'no'"),
        ("min_confidence=0,1", "there is no error to compare: .* no error can be computed for"),
    ],
)
def test_a_variant_that_cannot_be_trained_is_refused_before_the_first_training(
    written: str, sentence: str, tiny: Config, tmp_path: Path
) -> None:
    blind = load_recording(tmp_path / "recording.npz").without_truth()
    blind = replace(blind, confidence=0.9 * blind.confidence)
    save_recording(tmp_path / "blind.npz", replace(blind, name="recording"))
    variants = varied(replace(tiny, data=(str(tmp_path / "blind.npz"),)), written)
    with pytest.raises(ValueError, match=sentence):
        ablate(variants, 1, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.rejects
def test_a_loss_without_weight_cannot_be_taken_up() -> None:
    with pytest.raises(ValueError, match="`consistency` has none"):
        loss_steps(replace(TINY, losses=LossSettings(consistency=0.0)))


@pytest.mark.rejects
def test_an_error_of_a_training_names_its_run(tiny: Config, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"learning_rate-1e9.seed-0: the training has diverged"):
        ablate(varied(tiny, "learning_rate=1e-3,1e9"), 1, tmp_path / "runs")


def test_words_are_values_too() -> None:
    variants = varied(Config(), "losses.labels=truth,triangulated")
    assert [one.config.losses.labels.value for one in variants] == ["truth", "triangulated"]


@pytest.mark.rejects
def test_a_full_disk_names_the_run(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"seed-0: no space$"), _naming(tmp_path / "seed-0"):
        raise OSError("no space")
