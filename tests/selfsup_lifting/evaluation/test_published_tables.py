"""Laws of the benchmarks' tables: one protocol, evaluated twice by different code."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from selfsup_lifting.cli import main
from selfsup_lifting.config import Config, LifterSettings
from selfsup_lifting.evaluation import evaluate, metrics
from selfsup_lifting.evaluation.evaluate import evaluate_lifter, pose_errors, summarize
from selfsup_lifting.evaluation.published_tables import (
    DATASETS,
    evaluate_for,
    human36m_tables,
    published_dataset,
    recordings_of_test,
    split_for,
)
from selfsup_lifting.evaluation.table_files import require_table
from selfsup_lifting.files import read_recordings
from selfsup_lifting.inference import lift
from selfsup_lifting.pose_refinement import lift_parts
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.training.lifter import Lifter
from tests.selfsup_lifting.files.datasets.dataset_files import (
    Human36M,
    HumanEva,
    Judged3DHP,
    Learned3DHP,
)
from tests.selfsup_lifting.strategies import Scene

SMALL = ["--lifter.width", "16", "--lifter.blocks", "1", "--frames-per-batch", "32"]
Array = NDArray[Any]


def lifter_for(recordings: Sequence[Recording]) -> Lifter:
    torch.manual_seed(0)
    return Lifter(recordings[0].skeleton, LifterSettings(width=16, blocks=1)).eval()


def slow_poses(lifter: Lifter, recording: Recording) -> list[tuple[str, Array, Array]]:
    """Return camera, prediction and truth of every pose [mm], in the camera's axes, one by one."""
    lifted = lift(lifter, recording.cameras, recording.keypoints).double().numpy() * 1000
    truth = recording.truth.double().numpy() * 1000
    poses = []
    for view, name in enumerate(recording.cameras.names):
        R = recording.cameras.camera_from_world[view, :3, :3].numpy()
        for frame in range(recording.frame_count):
            if np.isfinite(truth[frame]).all() and np.isfinite(lifted[frame, view]).all():
                turned = np.stack([R @ joint for joint in truth[frame]])
                poses.append((name, lifted[frame, view], turned))
    return poses


def slow_mpjpe(predicted: Array, truth: Array, root: int) -> float:
    distances = []
    for joint in range(len(truth)):
        difference = (predicted[joint] - predicted[root]) - (truth[joint] - truth[root])
        distances.append(np.sqrt((difference**2).sum()))
    return float(np.mean(distances))


def slow_aligned(predicted: Array, truth: Array) -> Array:
    """Lay a pose on the truth as Umeyama (1991) does."""
    middle, target = predicted.mean(axis=0), truth.mean(axis=0)
    x, y = predicted - middle, truth - target
    U, s, Vt = np.linalg.svd(y.T @ x)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(U @ Vt))])
    R = U @ sign @ Vt
    scale = (s * np.diag(sign)).sum() / (x**2).sum()
    aligned: Array = scale * x @ R.T + target
    return aligned


def slow_p_mpjpe(predicted: Array, truth: Array) -> float:
    return float(np.linalg.norm(slow_aligned(predicted, truth) - truth, axis=1).mean())


def slow_n_mpjpe(predicted: Array, truth: Array, root: int) -> float:
    p, t = predicted - predicted[root], truth - truth[root]
    return float(np.linalg.norm(p * (p * t).sum() / (p * p).sum() - t, axis=1).mean())


@pytest.fixture
def human36m(tmp_path: Path) -> list[Recording]:
    folder = Human36M(subjects=("S1", "S9", "S11"), frames=15, noise_px=3.0).write(
        tmp_path / "data"
    )
    return read_recordings([str(folder)], ReadSettings())


@pytest.mark.rejects
def test_arguments_of_an_evaluation_are_checked(human36m: list[Recording]) -> None:
    with pytest.raises(ValueError, match="`refine` must be bool, got str"):
        evaluate_lifter(lifter_for(human36m), human36m, refine="no")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`lifter` must be a Lifter, as `load_lifter` returns it"):
        evaluate_lifter("runs/a", human36m)  # type: ignore[arg-type]


def test_human36m_equals_a_slow_evaluation(human36m: list[Recording]) -> None:
    lifter, recordings = lifter_for(human36m), recordings_of_test(DATASETS["human36m"], human36m)
    poses = [pose for recording in recordings for pose in slow_poses(lifter, recording)]
    total = evaluate_lifter(lifter, recordings).total
    assert total.poses == len(poses) == 2 * 3 * 15 * 4
    expected = [
        np.mean([slow_mpjpe(p, t, 0) for _, p, t in poses]),
        np.mean([slow_p_mpjpe(p, t) for _, p, t in poses]),
        np.mean([slow_n_mpjpe(p, t, 0) for _, p, t in poses]),
    ]
    ours = [total.mpjpe_mm, total.p_mpjpe_mm, total.n_mpjpe_mm]
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


def test_actions_subjects_and_cameras_have_their_own_means(human36m: list[Recording]) -> None:
    lifter, recordings = lifter_for(human36m), recordings_of_test(DATASETS["human36m"], human36m)
    evaluation = evaluate_lifter(lifter, recordings)
    poses = [
        (recording, pose) for recording in recordings for pose in slow_poses(lifter, recording)
    ]
    walking = [
        slow_p_mpjpe(p, t) for recording, (_, p, t) in poses if recording.action == "Walking"
    ]
    eleventh = [slow_p_mpjpe(p, t) for recording, (_, p, t) in poses if recording.subject == "S11"]
    camera = [slow_p_mpjpe(p, t) for _, (name, p, t) in poses if name == "58860488"]
    ours = (
        evaluation.per_action["Walking"].p_mpjpe_mm,
        evaluation.per_subject["S11"].p_mpjpe_mm,
        evaluation.per_camera["58860488"].p_mpjpe_mm,
    )
    np.testing.assert_allclose(ours, [np.mean(walking), np.mean(eleventh), np.mean(camera)], 1e-4)


def test_a_long_action_counts_once_among_actions_and_often_among_frames(
    human36m: list[Recording],
) -> None:
    lifter, recordings = lifter_for(human36m), recordings_of_test(DATASETS["human36m"], human36m)
    short = [
        recording.frames(slice(3)) if recording.action == "Photo" else recording
        for recording in recordings
    ]
    evaluation = evaluate_lifter(lifter, short)
    means = {name: errors.mpjpe_mm for name, errors in evaluation.per_action.items()}
    whole = (15 * means["Directions"] + 3 * means["Photo"] + 15 * means["Walking"]) / 33
    assert evaluation.action_mean.mpjpe_mm == pytest.approx(np.mean(list(means.values())))
    assert evaluation.total.mpjpe_mm == pytest.approx(whole)


def test_a_velocity_is_the_step_to_the_next_frame(human36m: list[Recording]) -> None:
    lifter, recording = lifter_for(human36m), human36m[0]
    first = recording.select_views([recording.cameras.names[0]])
    poses = [(p - p[0], t - t[0]) for _, p, t in slow_poses(lifter, first)]
    steps = [
        np.linalg.norm((after[0] - before[0]) - (after[1] - before[1]), axis=1).mean()
        for before, after in pairwise(poses)
    ]
    ours = evaluate_lifter(lifter, [first]).total.velocity_mm
    np.testing.assert_allclose(ours, np.mean(steps), rtol=1e-3)


def test_table_ii_has_fifteen_actions_and_both_means(human36m: list[Recording]) -> None:
    tables = human36m_tables(evaluate_lifter(lifter_for(human36m), human36m), ())
    by_action = tables[1]
    assert len(by_action.columns) == 17
    assert by_action.columns[-2:] == ("mean of actions", "mean of frames")
    rows = dict(by_action.rows)
    assert rows["Bouazizi et al. 2021, P-MPJPE"][-1] == 62.0
    assert np.isfinite(rows["this run, P-MPJPE"]).sum() == 5


def test_humaneva_is_judged_by_walking_and_jogging_of_the_validation(tmp_path: Path) -> None:
    data = (str(HumanEva(frames=6).write(tmp_path)),)
    recordings = read_recordings(data, ReadSettings())
    lifter = lifter_for(recordings)
    evaluation, tables = evaluate_for(lifter, recordings, Config(data=data))
    row = dict(tables[0].rows)["this run, P-MPJPE"]
    chosen = [
        recording
        for recording in recordings
        if recording.subject == "Validate/S2" and recording.action == "Jog"
    ]
    expected = np.mean(
        [slow_p_mpjpe(p, t) for one in chosen for _, p, t in slow_poses(lifter, one)]
    )
    assert evaluation.total.poses == 6 * 6 * 3
    assert row[tables[0].columns.index("Jog S2")] == pytest.approx(expected, rel=1e-4)
    assert row[6] == pytest.approx(np.mean(row[:6]))


def official_pck_and_auc(errors: Array) -> tuple[float, float]:
    """Transcribe the published definition: strictly below, thresholds 0:5:150 mm, all joints."""
    curve = []
    for threshold in range(0, 151, 5):
        correct = sum(1 for error in errors.ravel() if error < threshold)
        curve.append(100 * correct / errors.size)
    return curve[-1], sum(curve) / 31


def test_mpi_inf_3dhp_counts_as_its_script_does(tmp_path: Path) -> None:
    data = (str(Judged3DHP().write(tmp_path)),)
    recordings = read_recordings(data, ReadSettings())
    lifter = lifter_for(recordings)
    evaluation, tables = evaluate_for(lifter, recordings, Config(data=data))
    poses = [pose for recording in recordings for pose in slow_poses(lifter, recording)]
    errors = np.array([np.linalg.norm((p - p[14]) - (t - t[14]), axis=1) for _, p, t in poses])
    rows = dict(tables[0].rows)
    fourteen, seventeen = official_pck_and_auc(errors[:, :14]), official_pck_and_auc(errors)
    assert evaluation.total.poses == sum(
        Judged3DHP().valid(name).sum() for name in Judged3DHP().names
    )
    np.testing.assert_allclose(rows["this run, 14 joints"][:2], fourteen, rtol=1e-6)
    np.testing.assert_allclose(rows["this run, 17 joints"][:2], seventeen, rtol=1e-6)
    assert set(dict(tables[1].rows)) == {
        *Judged3DHP().names,
        "Standing/Walking",
        "Reaching/Crouching",
    }


@pytest.mark.parametrize("data", [Human36M(frames=5), Judged3DHP()], ids=["human36m", "3dhp"])
def test_each_recording_is_lifted_and_each_pose_aligned_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Human36M | Judged3DHP
) -> None:
    recordings = read_recordings([str(data.write(tmp_path))], ReadSettings())
    lifts, alignments = Mock(wraps=lift_parts), Mock(wraps=metrics.align_similarity)
    monkeypatch.setattr(evaluate, "lift_parts", lifts)
    monkeypatch.setattr(metrics, "align_similarity", alignments)
    evaluate_for(lifter_for(recordings), recordings, Config())
    tested = len(recordings_of_test(published_dataset(recordings), recordings))
    assert (lifts.call_count, alignments.call_count) == (tested, tested)


def test_what_differs_from_the_protocol_is_marked(tmp_path: Path) -> None:
    data = (str(Human36M(subjects=("S1", "S9"), frames=5).write(tmp_path)),)
    recordings = read_recordings(data, ReadSettings())
    config = Config(data=data, learning_rate=0.01)
    _, tables = evaluate_for(lifter_for(recordings), recordings, config)
    notes = "\n".join(tables[0].notes)
    assert "DIFFERS: tested on S9; the test set is S9, S11" in notes
    assert "DIFFERS: without Discussion, Eating" in notes
    assert "DIFFERS: trained with learning_rate = 0.01 (the paper's recipe: 0.001)" in notes
    assert "17 joints: pelvis, right_hip" in notes


def test_a_benchmark_keeps_its_test_out_of_training(tmp_path: Path) -> None:
    data = (str(Human36M(frames=5).write(tmp_path)),)
    recordings = read_recordings(data, ReadSettings())
    split = split_for(Config(data=data), recordings)
    named = split_for(Config(data=data, hold_out=("Walking",)), recordings)
    assert {recording.subject for recording in split.training} == {"S1"}
    assert {recording.action for recording in named.held_out} == {"Walking"}


@pytest.mark.parametrize("kind", ["human36m", "humaneva"])
def test_training_evaluating_and_tabulating_is_one_command_each(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"human36m": Human36M(frames=20), "humaneva": HumanEva(frames=20)}[kind]
    folder, run = files.write(tmp_path / "data"), tmp_path / "run"
    main(["train", "--data", str(folder), "--run", str(run), "--epochs", "2", *SMALL])
    out = [str(tmp_path / f"table.{suffix}") for suffix in ("json", "csv", "tex")]
    main(["evaluate", str(run), "--out", *out])
    printed = capsys.readouterr().out
    assert "Bouazizi" in printed
    assert "DIFFERS" in printed
    report = json.loads(Path(out[0]).read_text())
    lines = list(csv.reader(Path(out[1]).read_text().splitlines()))
    mean = report["tables"][-1]["rows"]["this run, P-MPJPE"][-1]
    assert mean == pytest.approx(report["p_mpjpe_mm"])
    assert [line[-1] for line in lines if line[0] == "this run, P-MPJPE"] == [repr(mean)]
    assert f"{mean:.1f} \\\\" in Path(out[2]).read_text()


def test_mpi_inf_3dhp_teaches_and_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, run = tmp_path / "data", tmp_path / "run"
    Learned3DHP().write(folder)
    Judged3DHP().write(folder)
    main(["train", "--data", str(folder), "--run", str(run), "--epochs", "1", *SMALL])
    out = tmp_path / "table.json"
    main(["evaluate", str(run), "--out", str(out)])
    report = json.loads(out.read_text())
    assert report["per_subject"].keys() == {"TS1", "TS2", "TS5"}
    assert report["tables"][0]["rows"]["Bouazizi et al. 2021, trained on Human3.6M"][:2] == [
        65.9,
        32.5,
    ]
    assert "DIFFERS" in capsys.readouterr().out


def test_a_lifter_of_one_benchmark_is_judged_on_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = Human36M(frames=20).write(tmp_path / "data"), tmp_path / "run"
    main(
        ["train", "--data", str(folder), "--run", str(run), "--epochs", "1", "--fps", "10", *SMALL]
    )
    other = str(Judged3DHP().write(tmp_path / "test"))
    capsys.readouterr()
    main(["evaluate", str(run), "--data", other, "--skeleton", "h36m17", "--fps", "None"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "150 frames at 25 per second, 17 joints" in printed
    assert "the 14 counted joints: head_top, thorax, right_shoulder" in printed


def test_data_of_no_benchmark_have_a_table_too(tmp_path: Path) -> None:
    from selfsup_lifting.recording_file import save_recording

    save_recording(tmp_path / "recording.npz", Scene(views=3, frames=9).recording())
    data = (str(tmp_path / "recording.npz"),)
    recordings = read_recordings(data, ReadSettings())
    evaluation, tables = evaluate_for(lifter_for(recordings), recordings, Config())
    assert [name for name, _ in tables[0].rows] == [
        *(
            "wandering",
            "camera cam_1",
            "camera cam_2",
            "camera cam_3",
            "mean of actions",
            "mean of frames",
        )
    ]
    assert tables[0].rows[-1][1][0] == evaluation.total.p_mpjpe_mm


@pytest.mark.rejects
def test_a_table_needs_a_known_suffix_and_a_free_place(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"written as \.json, \.csv, \.tex"):
        require_table(tmp_path / "table.doc")
    with pytest.raises(FileExistsError, match="--overwrite"):
        require_table(tmp_path / "table.csv")


@pytest.mark.rejects
def test_a_joint_that_is_not_there_cannot_be_counted(human36m: list[Recording]) -> None:
    with pytest.raises(ValueError, match="'tail'"):
        summarize(pose_errors(lifter_for(human36m), human36m), ("tail",))


def test_poses_without_truth_are_left_out(human36m: list[Recording]) -> None:
    recording = human36m[0]
    truth = recording.truth.clone()
    truth[4] = torch.nan
    evaluation = evaluate_lifter(lifter_for(human36m), [replace(recording, truth=truth)])
    assert (evaluation.total.poses, evaluation.blind) == (14 * 4, 4)


@pytest.mark.rejects
def test_a_lifter_of_another_skeleton_says_how_to_map() -> None:
    lifter = Lifter(SKELETONS["coco17"], LifterSettings(width=8, blocks=1)).eval()
    sentence = (
        r"^the lifter was trained on coco17 \(17 joints\), the recordings have h36m17 "
        r"\(17 joints\), in which joint 0 is pelvis, not nose; map them with "
        r"`Recording\.to_skeleton` or --skeleton coco17$"
    )
    recording = Scene(skeleton="h36m17").recording()
    with pytest.raises(ValueError, match=sentence):
        evaluate_lifter(lifter, [recording])
    coco, joints = SKELETONS["coco17"], SKELETONS["coco17"].joints
    exchanged = replace(coco, joints=(joints[0], joints[2], joints[1], *joints[3:]))
    with pytest.raises(ValueError, match=r"in which joint 1 is right_eye, not left_eye; map them"):
        evaluate_lifter(lifter, [replace(recording, skeleton=exchanged)])
