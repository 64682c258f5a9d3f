"""Laws of the readers of Human3.6M, HumanEva and MPI-INF-3DHP."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from selfsup_lifting.cli import main
from selfsup_lifting.files import ReadError, read_recordings
from selfsup_lifting.read_errors import Place
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording, Source
from tests.selfsup_lifting.files.datasets.dataset_files import (
    COCO_SYMMETRY,
    H36M_17,
    TAGS_17,
    Human36M,
    HumanEva,
    Judged3DHP,
    Learned3DHP,
    changed,
    read,
    save_2d,
)


def misfit_px(recording: Recording) -> float:
    """Tell how far the truth, projected through the lens, lies from what was seen."""
    seen = recording.cameras.project(recording.truth.double()).pixels - recording.keypoints
    return float(seen[seen.isfinite()].abs().max())


@pytest.mark.parametrize("cameras", ["json", "h5", "python"])
def test_any_camera_file_explains_what_was_seen(tmp_path: Path, cameras: str) -> None:
    recordings = read(Human36M().write(tmp_path, cameras))
    assert max(misfit_px(recording) for recording in recordings.values()) < 0.05


def test_the_truth_is_the_17_of_32_joints_in_meters(tmp_path: Path) -> None:
    recording = read(Human36M().write(tmp_path))["S9 Walking"]
    world = Human36M().world("S9", "Walking")[:, H36M_17] / 1000
    np.testing.assert_allclose(recording.truth.numpy(), world, atol=1e-6)


def test_2d_that_lasts_longer_is_cut(tmp_path: Path) -> None:
    recording = read(Human36M(longer=9).write(tmp_path))["S1 Walking"]
    assert (recording.frame_count, recording.fps) == (60, 50.0)


def test_actions_have_one_name_whoever_wrote_the_file(tmp_path: Path) -> None:
    recordings = read(Human36M().write(tmp_path)).values()
    assert {recording.action for recording in recordings} == {"Directions", "Walking", "Photo"}


def test_the_corrupted_recording_is_left_out(tmp_path: Path) -> None:
    recordings = read(Human36M(actions=("Directions", "Walking")).write(tmp_path))
    assert {"S9 Directions", "S11 Walking"} <= set(recordings)
    assert "S11 Directions" not in recordings


def test_fifty_frames_become_ten_from_the_phase_named(tmp_path: Path) -> None:
    folder = Human36M().write(tmp_path)
    whole = read(folder)["S1 Walking"]
    thin = read(folder, fps=10.0, fps_phase=2)["S1 Walking"]
    assert thin.fps == 10.0
    torch.testing.assert_close(thin.keypoints, whole.keypoints[2::5])
    torch.testing.assert_close(thin.truth, whole.truth[2::5])


def test_a_camera_that_has_nothing_sees_nothing(tmp_path: Path) -> None:
    folder = changed(Human36M().write(tmp_path), without_second_camera)
    recording = read(folder)["S1 Walking"]
    assert recording.keypoints[:, 1].isnan().all()
    assert recording.keypoints[:, [0, 2, 3]].isfinite().all()


def without_second_camera(content: dict[str, Any]) -> None:
    content["poses"]["S1"]["Walking"][1] = None


def test_a_third_number_is_the_confidence(tmp_path: Path) -> None:
    folder = changed(Human36M().write(tmp_path), with_scores)
    recording = read(folder)["S1 Walking"]
    assert recording.confidence[0, 0].tolist() == pytest.approx([0.0] + [0.5] * 16)
    assert recording.keypoints[0, 0, 0].isnan().all()


def with_scores(content: dict[str, Any]) -> None:
    content["poses"]["S1"]["Walking"] = [
        np.concatenate([poses, np.full((*poses.shape[:2], 1), 0.5)], axis=-1).astype("float32")
        for poses in content["poses"]["S1"]["Walking"]
    ]
    content["poses"]["S1"]["Walking"][0][0, 0, 2] = 0.0


@pytest.mark.parametrize(
    ("joint", "symmetry"),
    [
        (9, [[4, 5, 6, 10, 11, 12], [1, 2, 3, 13, 14, 15]]),
        (0, [[3, 4, 5, 10, 11, 12], [0, 1, 2, 13, 14, 15]]),
    ],
)
def test_sixteen_joints_are_distinguished_by_left_and_right(
    tmp_path: Path, joint: int, symmetry: list[list[int]]
) -> None:
    def drop(content: dict[str, Any]) -> None:
        content["metadata"] = {"keypoints_symmetry": symmetry}
        for actions in content["poses"].values():
            for action, cameras in actions.items():
                actions[action] = [np.delete(one, joint, axis=1) for one in cameras]

    recording = read(changed(Human36M().write(tmp_path), drop))["S9 Walking"]
    assert len(recording.skeleton.joints) == 16
    assert misfit_px(recording) < 0.05


def test_coco_detections_meet_the_truth_in_its_skeleton(tmp_path: Path) -> None:
    def relabel(content: dict[str, Any]) -> None:
        content["metadata"] = {"keypoints_symmetry": COCO_SYMMETRY}

    recording = read(changed(Human36M().write(tmp_path), relabel))["S9 Walking"]
    assert (recording.skeleton.name, recording.truth.shape[1]) == ("h36m17", 17)


def test_without_truth_there_is_none(tmp_path: Path) -> None:
    recordings = read(Human36M().write(tmp_path, truth=False))
    assert {recording.truth for recording in recordings.values()} == {None}
    assert recordings["S1 Walking"].frame_count == 63


def test_the_papers_detections_are_taken_among_several(tmp_path: Path) -> None:
    Human36M(detector="gt").write(tmp_path)
    Human36M(noise_px=5.0).write(tmp_path)
    assert misfit_px(read(tmp_path)["S1 Walking"]) > 5.0
    assert misfit_px(read(tmp_path / "data_2d_h36m_gt.npz")["S1 Walking"]) < 0.05


def test_humaneva_has_three_cameras_and_fifteen_joints(tmp_path: Path) -> None:
    recordings = read(HumanEva().write(tmp_path))
    assert len(recordings) == 18
    assert {recording.keypoints.shape for recording in recordings.values()} == {(40, 3, 15, 2)}
    assert max(misfit_px(recording) for recording in recordings.values()) < 0.05


def test_humaneva_names_actions_without_chunks_and_drops_the_unlabelled(tmp_path: Path) -> None:
    recordings = read(HumanEva().write(tmp_path)).values()
    assert {recording.action for recording in recordings} == {"Walking", "Jog", "Box"}
    assert {recording.subject.partition("/")[0] for recording in recordings} == {
        "Train",
        "Validate",
    }


def test_matlab_files_of_humaneva_say_the_same_less_the_lost_frames(tmp_path: Path) -> None:
    npz = read(HumanEva().write(tmp_path / "npz"))["Validate/S2 Jog 1 chunk1"]
    recordings = read_recordings([str(HumanEva().write_matlab(tmp_path / "mat"))], ReadSettings())
    jogs = [recording for recording in recordings if recording.name == "Validate/S2 Jog 1"]
    assert [recording.frame_count for recording in jogs] == [2, 37]
    torch.testing.assert_close(jogs[1].keypoints, npz.keypoints[3:])
    torch.testing.assert_close(jogs[1].truth, npz.truth[3:])


@pytest.mark.rejects
def test_matlab_poses_of_other_joints_are_reported(tmp_path: Path) -> None:
    folder = HumanEva().write_matlab(tmp_path)
    savemat(folder / "Train" / "S1" / "Jog_1.mat", {"poses_3d": np.zeros((5, 20, 3))})
    sentence = r"poses_3d: expected numbers of shape \(..., 15, 3\), got .* \(5, 20, 3\)"
    with pytest.raises(ReadError, match=sentence):
        read(folder)


def test_frames_without_motion_capture_split_a_recording(tmp_path: Path) -> None:
    folder = HumanEva().write(tmp_path)
    file = folder / "data_3d_humaneva15.npz"
    poses = np.load(file, allow_pickle=True)["positions_3d"].item()
    poses["Train/S1"]["Jog 1 chunk1"][[0, 10, 11], 3] = np.nan
    np.savez_compressed(file, positions_3d=poses)
    recordings = read_recordings([str(folder)], ReadSettings())
    jogs = [recording for recording in recordings if recording.name == "Train/S1 Jog 1 chunk1"]
    assert [recording.frame_count for recording in jogs] == [9, 28]
    assert max(misfit_px(recording) for recording in jogs) < 0.05


def test_the_test_set_finds_its_camera_from_its_annotations(tmp_path: Path) -> None:
    recording = next(iter(read(Judged3DHP().write(tmp_path)).values()))
    K = [[1500.0, 0, 1024], [0, 1490, 1000], [0, 0, 1]]
    np.testing.assert_allclose(recording.cameras.intrinsics[0].numpy(), K, rtol=1e-6)


@pytest.mark.parametrize("universal", [True, False])
def test_only_valid_frames_have_a_truth(tmp_path: Path, universal: bool) -> None:  # noqa: FBT001 - a case
    test = Judged3DHP()
    recordings = read(test.write(tmp_path), universal_truth=universal).values()
    truth = torch.cat(
        [recording.truth for recording in recordings if recording.subject == "TS1"]
    ).numpy()
    points = (test.scaled if universal else test.points)("TS1") / 1000
    valid = test.valid("TS1") > 0
    np.testing.assert_allclose(truth[valid], points[valid], atol=1e-6)
    assert np.isnan(truth[~valid]).all()


def test_a_sequence_is_split_by_activity(tmp_path: Path) -> None:
    recordings = read(Judged3DHP().write(tmp_path))
    assert recordings["TS1 1"].action == "Standing/Walking"
    assert recordings["TS1 2"].action == "Reaching/Crouching"
    assert sum(recording.frame_count for recording in recordings.values()) == 150


def test_two_test_sequences_were_filmed_wide(tmp_path: Path) -> None:
    recordings = read(Judged3DHP().write(tmp_path))
    assert recordings["TS5 1"].cameras.image_size.tolist() == [[1920, 1080]]
    assert recordings["TS1 1"].cameras.image_size.tolist() == [[2048, 2048]]


def test_the_npz_of_the_test_set_says_the_same(tmp_path: Path) -> None:
    test = Judged3DHP(universal=1.0)
    whole = torch.cat(
        [recording.truth for recording in read(test.write(tmp_path / "mat")).values()]
    )
    (tmp_path / "npz").mkdir()
    file = test.write_npz(tmp_path / "npz" / "data_test_3dhp.npz")
    assert len(read(tmp_path / "npz")) == len(read(file))
    npz = read(file).values()
    torch.testing.assert_close(
        torch.cat([recording.truth for recording in npz]), whole, equal_nan=True
    )


def test_the_training_set_has_eight_cameras_and_true_size(tmp_path: Path) -> None:
    training = Learned3DHP()
    recording = read(training.write(tmp_path))["S1 Seq2"]
    world = training.world("S1", 2)[:, TAGS_17] / 1000
    np.testing.assert_allclose(recording.truth.numpy(), world, atol=1e-5)
    assert recording.cameras.names == ("0", "1", "2", "4", "5", "6", "7", "8")
    assert (recording.fps, misfit_px(recording) < 0.05) == (50.0, True)


def test_the_right_arm_comes_first_in_mpi_inf_3dhp(tmp_path: Path) -> None:
    recording = read(Learned3DHP().write(tmp_path))["S1 Seq1"]
    assert recording.skeleton.joints[2:5] == ("right_shoulder", "right_elbow", "right_wrist")


def source_of(path: Path) -> Source:
    """Return what the first recording of a path was read from."""
    return next(iter(read(path).values())).source


def test_every_dataset_is_recognized_and_named(tmp_path: Path) -> None:
    datasets = (Human36M(), HumanEva(), Judged3DHP(), Learned3DHP())
    found = [source_of(one.write(tmp_path / str(at))) for at, one in enumerate(datasets)]
    assert [(source.format, source.dataset) for source in found] == [
        ("Human3.6M", "human36m"),
        ("HumanEva", "humaneva"),
        ("MPI-INF-3DHP", "mpi_inf_3dhp"),
        ("MPI-INF-3DHP", "mpi_inf_3dhp"),
    ]
    assert all(source.path is not None and source.path.exists() for source in found)


class CreatesAFile:
    """A pickle that writes a file when it is loaded without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "owned")


@pytest.mark.rejects
def test_a_malicious_pickle_runs_nothing(tmp_path: Path) -> None:
    folder, witness = Human36M().write(tmp_path / "data"), tmp_path / "witness"
    file = next(folder.glob("data_2d_*.npz"))
    save_2d(file, {"S1": {"Walking": [CreatesAFile(witness)]}}, {})
    with pytest.raises(ReadError, match="could run code"):
        read(folder)
    assert not witness.exists()
    np.load(file, allow_pickle=True)["positions_2d"]
    assert witness.exists()


@pytest.mark.rejects
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_protocol_of_pickle_runs_anything(tmp_path: Path, protocol: int) -> None:
    from selfsup_lifting.parse.safe_pickle import unpickle

    with pytest.raises(ReadError, match="could run code"):
        unpickle(pickle.dumps(CreatesAFile(tmp_path / "witness"), protocol), Place(tmp_path))
    assert not (tmp_path / "witness").exists()


@pytest.mark.rejects
def test_the_shell_reports_a_malicious_file_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, witness, run = (
        Human36M().write(tmp_path / "data"),
        tmp_path / "witness",
        tmp_path / "run",
    )
    save_2d(next(folder.glob("data_2d_*.npz")), {"S1": {"Walking": [CreatesAFile(witness)]}}, {})
    with pytest.raises(SystemExit):
        main(["train", "--data", str(folder), "--run", str(run)])
    message = capsys.readouterr().err.strip()
    assert "could run code" in message
    assert len(message.splitlines()) == 1
    assert not witness.exists()
    assert not run.exists()


@pytest.mark.rejects
def test_a_truncated_npz_is_reported(tmp_path: Path) -> None:
    folder = Human36M().write(tmp_path)
    file = folder / "data_3d_h36m.npz"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ReadError, match=r"data_3d_h36m.npz is not an npz file, or is damaged"):
        read(folder)


@pytest.mark.rejects
def test_a_camera_file_that_is_a_program_is_not_run(tmp_path: Path) -> None:
    folder = Human36M().write(tmp_path, "python")
    (folder / "h36m_dataset.py").write_text("h36m_cameras_intrinsic_params = open('x', 'w')\n")
    with pytest.raises(ReadError, match="literal camera tables"):
        read(folder)


def with_too_few_joints(content: dict[str, Any]) -> None:
    cameras = content["poses"]["S9"]["Walking"]
    content["poses"]["S9"]["Walking"] = [one[:, :12] for one in cameras]


def with_unknown_joints(content: dict[str, Any]) -> None:
    content["metadata"] = {}


def with_three_cameras(content: dict[str, Any]) -> None:
    content["poses"]["S9"]["Walking"].pop()


def with_too_few_frames(content: dict[str, Any]) -> None:
    cameras = content["poses"]["S9"]["Walking"]
    content["poses"]["S9"]["Walking"] = [one[:10] for one in cameras]


def with_words(content: dict[str, Any]) -> None:
    content["poses"]["S9"]["Walking"] = ["no", "poses", "at", "all"]


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (with_too_few_joints, "S9 Walking: expected 17 joints per pose, got 12"),
        (with_unknown_joints, "the skeleton of its 17 joints is unknown"),
        (with_three_cameras, "S9 Walking: has 3 cameras, the calibration 4"),
        (with_too_few_frames, "S9 Walking: expected at least the 60 frames of the truth, got 10"),
        (with_words, "S9 Walking: expected frames x joints x 2 numbers"),
    ],
)
def test_wrong_content_is_reported_in_a_sentence(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    with pytest.raises(ReadError, match=message):
        read(changed(Human36M().write(tmp_path), spoil))


@pytest.mark.rejects
def test_missing_cameras_are_asked_for(tmp_path: Path) -> None:
    folder = Human36M().write(tmp_path)
    (folder / "camera-parameters.json").unlink()
    with pytest.raises(ReadError, match=r"expected a camera file of Human3\.6M"):
        read(folder)


@pytest.mark.rejects
def test_a_matlab_file_of_the_wrong_version_is_reported(tmp_path: Path) -> None:
    test, training = Judged3DHP(names=("TS1",)), Learned3DHP()
    test_file = test.write(tmp_path / "test") / "TS1" / "annot_data.mat"
    train_file = training.write(tmp_path / "train") / "S1" / "Seq1" / "annot.mat"
    train_file.write_bytes(test_file.read_bytes())
    savemat(test_file, {"annot2": np.zeros(3)})
    with pytest.raises(ReadError, match=r"MATLAB 7.3"):
        read(tmp_path / "test")
    with pytest.raises(ReadError, match="version 5"):
        read(tmp_path / "train")


@pytest.mark.rejects
def test_a_training_set_of_other_joints_is_reported(tmp_path: Path) -> None:
    folder = Learned3DHP().write(tmp_path)
    cell = np.empty((14, 1), dtype=object)
    for number in range(14):
        cell[number, 0] = np.zeros((5, 34))
    savemat(folder / "S1" / "Seq1" / "annot.mat", {"annot2": cell, "annot3": cell})
    with pytest.raises(
        ReadError, match=r"annot2, camera 0: expected frames x 56 numbers, got .* \(5, 34\)"
    ):
        read(folder)


@pytest.mark.rejects
def test_a_test_set_of_other_joints_is_reported(tmp_path: Path) -> None:
    import h5py

    folder = Judged3DHP(names=("TS1",)).write(tmp_path)
    with h5py.File(folder / "TS1" / "annot_data.mat", "a") as file:
        del file["annot3"]
        file["annot3"] = np.zeros((50, 1, 16, 3))
    with pytest.raises(ReadError, match="50 frames of 17 joints of 3 numbers"):
        read(folder)


def test_the_readers_of_benchmarks_keep_the_files_apart(tmp_path: Path) -> None:
    Human36M().write(tmp_path)
    HumanEva(detector="detectron_pt_coco").write(tmp_path)
    for kind in ("human36m", "humaneva"):
        found = read_recordings([f"{kind}:{tmp_path}"], ReadSettings())
        assert {one.source.dataset for one in found} == {kind}


def test_a_setting_chooses_the_detectors_joints(tmp_path: Path) -> None:
    folder = changed(Human36M().write(tmp_path), with_unknown_joints)
    recording = read(folder, detected_skeleton="h36m17")["S9 Walking"]
    assert recording.skeleton.name == "h36m17"
    assert misfit_px(recording) < 0.05
