"""Laws of datasets whose files lack something or hold something else: a sentence with its place."""

import ast
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat
from torch.testing import assert_close

from selfsup_lifting.files import ReadError, read_results
from selfsup_lifting.read_settings import ReadSettings
from tests.selfsup_lifting.files.datasets.dataset_files import (
    Array,
    Human36M,
    HumanEva,
    Judged3DHP,
    Learned3DHP,
    changed,
    read,
)


def require_sentence(folder: Path, sentence: str, **settings: Any) -> None:
    with pytest.raises(ReadError) as refusal:
        read(folder, **settings)
    assert re.fullmatch(rf"(calibration )?/\S*{sentence}", str(refusal.value)), str(refusal.value)


def without_views(content: dict[str, Any]) -> None:
    content["poses"]["S9"]["Walking"] = [None] * 4


def with_a_number_of_cameras(content: dict[str, Any]) -> None:
    content["poses"]["S9"]["Walking"] = 4


def without_actions(content: dict[str, Any]) -> None:
    content["poses"]["S9"] = [1]


def without_subjects(content: dict[str, Any]) -> None:
    content["poses"] = {}


def with_text(content: dict[str, Any]) -> None:
    content["poses"]["S1"]["Directions 1"][0] = "text"


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without_views, "S9 Walking: expected the poses of at least one camera, got none"),
        (with_a_number_of_cameras, "S9 Walking: expected a list of cameras, got 4"),
        (without_actions, "positions_2d: expected a dict of subjects, each a dict of actions"),
        (without_subjects, "positions_2d: expected a dict of subjects, each a dict of actions"),
        (with_text, "positions_2d: expected poses of frames x joints x 2 numbers, got 'text'"),
    ],
)
def test_wrong_2d_poses_are_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    folder = changed(Human36M().write(tmp_path), change)
    require_sentence(folder, rf"data_2d_h36m_cpn_ft_h36m_dbb\.npz, {sentence}")


@pytest.mark.parametrize(
    ("third", "sentence"),
    [
        (
            412.0,
            "are from 412 to 412: those above 1 count as 1, and joints whose score is not above",
        ),
        (-0.5, "are from -0.5 to -0.5: those above 1 count as 1, and joints whose score"),
        (0.0, "are all 0: every joint is missing; if they are no scores, write x and y alone"),
        (0.9, ""),
    ],
)
def test_third_numbers_that_are_no_scores_are_named(
    tmp_path: Path, third: float, sentence: str
) -> None:
    def with_third(content: dict[str, Any]) -> None:
        for actions in content["poses"].values():
            for cameras in actions.values():
                cameras[:] = [np.insert(one, 2, third, axis=-1) for one in cameras]

    folder = changed(Human36M(subjects=("S1",), actions=("Walking",)).write(tmp_path), with_third)
    (result,) = read_results(str(folder), ReadSettings())
    notes = [note for note in result.notes if "third numbers" in note]
    assert len(notes) == bool(sentence)
    assert sentence in "".join(notes)


@pytest.mark.parametrize(("kept", "named"), [(0.5, 1), (0.97, 0)])
def test_a_camera_with_far_fewer_frames_than_others_is_named(
    tmp_path: Path, kept: float, named: int
) -> None:
    def cut(content: dict[str, Any]) -> None:
        (cameras,) = (each["Walking"] for each in content["poses"].values())
        cameras[:] = [np.concatenate([one] * 20) for one in cameras]
        cameras[1] = cameras[1][: int(kept * len(cameras[1]))]

    folder = Human36M(subjects=("S1",), actions=("Walking",)).write(tmp_path)
    (folder / "data_3d_h36m.npz").unlink()
    (result,) = read_results(str(changed(folder, cut)), ReadSettings())
    notes = [note for note in result.notes if "fewer frames than others" in note]
    assert len(notes) == named
    assert all(re.search(r"only these are read: S1 Walking \(\d+ of \d+\)$", one) for one in notes)


@pytest.mark.rejects
@pytest.mark.parametrize(
    "symmetry", [[[1, 2], [3, 4]], [[None], [3]], ["left", "right"], [[1]], 4, "none"], ids=repr
)
def test_joints_without_sides_are_asked_for(tmp_path: Path, symmetry: object) -> None:
    def change(content: dict[str, Any]) -> None:
        content["metadata"] = {"keypoints_symmetry": symmetry}

    require_sentence(
        changed(Human36M().write(tmp_path), change),
        r"npz: the skeleton of its 17 joints is unknown; name it with --detected-skeleton, one "
        r"of .* or a \.toml file",
    )


@pytest.mark.rejects
def test_a_declared_skeleton_has_the_joints_of_the_file(tmp_path: Path) -> None:
    sentence = r"npz: expected 33 joints of the skeleton blazepose33, got 17"
    require_sentence(Human36M().write(tmp_path), sentence, detected_skeleton="blazepose33")


@pytest.mark.rejects
def test_one_of_several_2d_files_must_be_named(tmp_path: Path) -> None:
    for detector in ("gt", "sh_ft"):
        Human36M(detector=detector).write(tmp_path)
    require_sentence(
        tmp_path,
        r": expected one 2D file, got data_2d_h36m_gt\.npz, data_2d_h36m_sh_ft\.npz; name the "
        "file, not the folder",
    )


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("truth", "sentence"),
    [
        (np.zeros((60, 20, 3)), r"data_3d_h36m\.npz: expected 32 or 17 joints, got 20"),
        (np.zeros((60, 32)), r"data_3d_h36m\.npz, S1 Walking: expected frames x joints x 3 "
         r"numbers, got float64 of shape \(60, 32\)"),
        ("text", r"data_3d_h36m\.npz, S1 Walking: expected frames x joints x 3 numbers, "
         "got 'text'"),
    ],
)  # fmt: skip
def test_a_wrong_truth_is_named(tmp_path: Path, truth: Any, sentence: str) -> None:
    folder = Human36M(subjects=("S1",), actions=("Walking",)).write(tmp_path)
    np.savez(folder / "data_3d_h36m.npz", positions_3d=np.array({"S1": {"Walking": truth}}))
    require_sentence(folder, sentence)


@pytest.mark.rejects
def test_the_four_cameras_of_human36m_are_expected(tmp_path: Path) -> None:
    folder = Human36M().write(tmp_path)
    file = folder / "camera-parameters.json"
    text = re.sub(r'"54138969"', '"left"', file.read_text())
    file.write_text(re.sub(r'"55011271": \{[^}]*\},? ?', "", text))
    require_sentence(
        folder,
        r"camera-parameters\.json: expected the cameras 54138969, 55011271, 58860488, 60457274, "
        "got left, 58860488, 60457274",
    )


def python_tables(folder: Path, change: Callable[[list[Any], dict[str, Any]], None]) -> Path:
    """Change the literal tables of the cameras."""
    file = Human36M(subjects=("S1",)).write(folder, "python") / "h36m_dataset.py"
    head, lenses, poses = file.read_text().splitlines()
    tables = [ast.literal_eval(line.partition(" = ")[2]) for line in (lenses, poses)]
    change(*tables)
    names = (lenses.partition(" = ")[0], poses.partition(" = ")[0])
    lines = [f"{name} = {table!r}" for name, table in zip(names, tables, strict=True)]
    file.write_text("\n".join([head, *lines]) + "\n")
    return folder


def without_a_lens(lenses: list[Any], _: dict[str, Any]) -> None:
    lenses.pop()


def without_rotation(_: list[Any], poses: dict[str, Any]) -> None:
    poses["S1"][2]["orientation"] = [0.0, 0.0, 0.0, 0.0]


def without_focal_length(lenses: list[Any], _: dict[str, Any]) -> None:
    del lenses[1]["focal_length"]


def without_the_subject(_: list[Any], poses: dict[str, Any]) -> None:
    del poses["S1"]


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_a_lens, "it has 3 intrinsics and 4 extrinsics"),
        (without_rotation, "a quaternion is zero or not finite"),
        (without_focal_length, "there is no 'focal_length'"),
        (without_the_subject, "there is no 'S1'"),
    ],
)
def test_incomplete_tables_of_cameras_are_named(
    tmp_path: Path, change: Callable[[list[Any], dict[str, Any]], None], reason: str
) -> None:
    require_sentence(
        python_tables(tmp_path, change),
        rf"h36m_dataset\.py: expected complete camera tables of S1, but {reason}",
    )


@pytest.mark.rejects
def test_a_calibration_of_humaneva_is_asked_for(tmp_path: Path) -> None:
    folder = HumanEva(subjects=("S1",)).write(tmp_path)
    calibration = folder / "S1" / "Calibration_Data"
    (calibration / "C2.cal").unlink()
    require_sentence(folder, r"Calibration_Data has no camera C2; it has BW1, C1, C3")
    for file in calibration.iterdir():
        file.unlink()
    require_sentence(
        folder,
        r": expected a calibration S1/Calibration_Data/C1\.cal, got none; name its folder with "
        "--cameras",
    )


@pytest.mark.rejects
def test_matlab_files_of_humaneva_have_three_cameras(tmp_path: Path) -> None:
    folder = HumanEva(subjects=("S1",)).write_matlab(tmp_path)
    content = {"poses_3d": np.zeros((5, 15, 3)), "poses_2d": np.zeros((4, 5, 15, 2))}
    savemat(folder / "Train" / "S1" / "Jog_1.mat", content)
    require_sentence(folder, r"Jog_1\.mat, poses_2d: expected 3 cameras, got 4")


def test_humaneva_without_motion_capture_keeps_all_frames(tmp_path: Path) -> None:
    folder = HumanEva(subjects=("S1",)).write(tmp_path)
    (folder / "data_3d_humaneva15.npz").unlink()
    recordings = read(folder).values()
    assert {(one.truth, one.frame_count) for one in recordings} == {(None, 40)}


def sequences(**arrays: Any) -> dict[str, Any]:
    """Return a sound test sequence of two frames, with other arrays."""
    sound = {"data_2d": np.ones((2, 17, 2)), "data_3d": np.ones((2, 17, 3)), "valid": np.ones(2)}
    return {"TS1": {name: value for name, value in (sound | arrays).items() if value is not None}}


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"S1": {}}, r": expected the sequences TS1 to TS6; the training npz cannot be read, "
         "for it has no cameras"),
        (sequences(valid=None), r", TS1: expected data_2d, data_3d and valid, got "
         r"\['data_2d', 'data_3d'\]"),
        ({"TS1": 5}, r", TS1: expected data_2d, data_3d and valid, got 5"),
        (sequences(data_2d=5), r", TS1\.data_2d: expected 2 frames of 17 joints of 2 numbers, "
         "got 5"),
        (sequences(data_3d=np.ones((2, 16, 3))), r", TS1\.data_3d: expected 2 frames of 17 "
         r"joints of 3 numbers, got float64 of shape \(2, 16, 3\)"),
        (sequences(valid=["yes", "no"]), r", TS1\.valid: expected one number for each of the 2 "
         r"frames, got \['yes', 'no'\]"),
        (sequences(valid=np.zeros(2)), r", TS1: expected at least one valid frame, got none"),
    ],
)  # fmt: skip
def test_a_wrong_npz_of_the_test_set_is_named(
    tmp_path: Path, data: dict[str, Any], sentence: str
) -> None:
    np.savez(tmp_path / "data_test_3dhp.npz", data=np.array(data))
    require_sentence(tmp_path / "data_test_3dhp.npz", sentence)


@pytest.mark.rejects
def test_an_annotation_without_axes_is_named(tmp_path: Path) -> None:
    folder = Judged3DHP(names=("TS1",)).write(tmp_path)
    with h5py.File(folder / "TS1" / "annot_data.mat", "a") as file:
        del file["annot2"]
        file["annot2"] = 5.0
    require_sentence(
        folder,
        r"annot_data\.mat, annot2: expected 50 frames of 17 joints of 2 numbers, got array\(5\.\)",
    )


@pytest.mark.parametrize("value", [np.nan, 1e300])
def test_an_annotation_that_is_no_pixel_does_not_change_the_camera(
    tmp_path: Path, value: float
) -> None:
    folder = Judged3DHP(names=("TS1",)).write(tmp_path)
    sound = read(folder)["TS1 2"].cameras.intrinsics
    with h5py.File(folder / "TS1" / "annot_data.mat", "a") as file:
        file["annot2"][:, 0, 3, 0] = value
        file["annot3"][4, 0, 5, 1] = value
    assert_close(read(folder)["TS1 2"].cameras.intrinsics, sound, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("value", [np.nan, 1e300])
def test_an_activity_that_is_no_number_is_named(tmp_path: Path, value: float) -> None:
    folder = Judged3DHP(names=("TS1",)).write(tmp_path)
    with h5py.File(folder / "TS1" / "annot_data.mat", "a") as file:
        file["activity_annotation"][7] = value
    with pytest.raises(ReadError, match="activity_annotation, frame 7: expected a small whole num"):
        read(folder)


def test_an_activity_without_valid_frames_is_left_out(tmp_path: Path) -> None:
    folder = Judged3DHP(names=("TS1",)).write(tmp_path)
    with h5py.File(folder / "TS1" / "annot_data.mat", "a") as file:
        file["valid_frame"][:25] = 0.0
    assert list(read(folder)) == ["TS1 2"]


def test_a_training_set_of_few_cameras_is_read_as_it_is(tmp_path: Path) -> None:
    folder = Learned3DHP().write(tmp_path)
    for file in folder.rglob("camera.calibration"):
        lines = file.read_text().splitlines()
        file.write_text("\n".join(lines[: 1 + 7 * 3]) + "\n")
    for file in folder.rglob("annot.mat"):
        cell = np.empty((3, 1), dtype=object)
        for view in range(3):
            cell[view, 0] = np.full((5, 56), float(view))
        deep = np.empty((3, 1), dtype=object)
        deep[:, 0] = [np.ones((5, 84))] * 3
        savemat(file, {"annot2": cell, "annot3": deep})
    recording = read(folder)["S1 Seq1"]
    assert recording.cameras.names == ("0", "1", "2")
    assert recording.keypoints[0, :, 0, 0].tolist() == [0.0, 1.0, 2.0]


def test_a_camera_of_a_training_set_with_fewer_frames_is_named(tmp_path: Path) -> None:
    home = Learned3DHP(frames=5, frames_of_last=3).write(tmp_path) / "S2" / "Seq1"
    (result,) = read_results(str(home), ReadSettings())
    (note,) = [note for note in result.notes if "frames" in note]
    assert note.startswith("S2 Seq1: camera 8 in annot2 of /")
    assert note.endswith("has 3 frames, others up to 5: the first 3 are read")
    assert result.recording.frame_count == 3


@pytest.mark.rejects
def test_a_training_set_needs_cells(tmp_path: Path) -> None:
    folder = Learned3DHP().write(tmp_path)
    savemat(folder / "S1" / "Seq1" / "annot.mat", {"annot2": np.zeros((14, 5)), "annot3": []})
    require_sentence(
        folder,
        r"annot\.mat, annot2: expected a cell array, one matrix per camera, got float64 of shape "
        r"\(70,\)",
    )


@pytest.mark.rejects
def test_a_training_set_with_fewer_cells_than_cameras_is_refused(tmp_path: Path) -> None:
    folder = Learned3DHP().write(tmp_path)
    cell, deep = np.empty((3, 1), dtype=object), np.empty((3, 1), dtype=object)
    cell[:, 0], deep[:, 0] = [np.ones((5, 56))] * 3, [np.ones((5, 84))] * 3
    savemat(folder / "S1" / "Seq1" / "annot.mat", {"annot2": cell, "annot3": deep})
    require_sentence(
        folder,
        r"annot\.mat, annot2: expected a cell for each of the 14 cameras that `cameras`, or else "
        "the calibration, names, got 3",
    )


def with_cameras(folder: Path, numbers: Sequence[float], cells: Sequence[int]) -> Path:
    """Keep some cells of a training sequence, with `cameras`."""
    file = folder / "S1" / "Seq1" / "annot.mat"
    poses = loadmat(file, variable_names=["annot2", "annot3"])
    kept = {name: poses[name][[*cells]] for name in ("annot2", "annot3")}
    savemat(file, {**kept, "cameras": np.array(numbers)})
    return file.parent


@pytest.mark.parametrize("numbers", [[0, 1, 2, 3, 4, 5, 6, 7], [12, 3, 9], [*range(13, -1, -1)]])
def test_cells_belong_to_the_cameras_that_the_file_names(
    tmp_path: Path, numbers: list[int]
) -> None:
    folder = Learned3DHP().write(tmp_path)
    all_views = read(with_cameras(folder, [*range(14)], range(14)))["S1 Seq1"]
    Learned3DHP().write(tmp_path / "again")
    some = read(with_cameras(tmp_path / "again", numbers, numbers))["S1 Seq1"]
    for name in {*some.cameras.names} & {*all_views.cameras.names}:
        mine, theirs = some.cameras.names.index(name), all_views.cameras.names.index(name)
        assert torch.equal(some.keypoints[:, mine], all_views.keypoints[:, theirs])
    if len(numbers) < 14:
        assert some.cameras.names == tuple(map(str, numbers))
    assert some.truth is not None
    pixels = some.cameras.project(some.truth.double()[0]).pixels
    assert torch.allclose(pixels, some.keypoints[0].double(), atol=0.01)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        (
            [0, 1, 14],
            r"expected cameras of /\S*camera\.calibration, 0, 1, 2, 3 and 10 more, got 0, 1, 14",
        ),
        ([0, 1, 99, *range(3, 14)], r"expected cameras of .* 10 more, got 99$"),
        ([0, 1, -1, *range(3, 14)], r"expected cameras of .* 10 more, got -1$"),
        ([0, 1, 1e300, *range(3, 14)], r"expected whole numbers of videos, got 1e\+300$"),
        ([0, 1, 1, *range(3, 14)], r"expected different videos, got 1 more than once$"),
        ([*range(20, 29)], "expected cameras of .*, got 20, 21, 22, 23 and 5 more"),
        ([0, 1.5, np.nan], r"expected whole numbers of videos, got 1\.5$"),
    ],
)
def test_cells_of_videos_without_a_camera_are_refused(
    tmp_path: Path, numbers: list[float], sentence: str
) -> None:
    folder = with_cameras(Learned3DHP().write(tmp_path), numbers, range(len(numbers)))
    require_sentence(folder, rf"annot\.mat, cameras: {sentence}")


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        (np.zeros((0, 56)), "expected at least one frame, got none"),
        (np.zeros((0, 0)), r"expected frames x 56 numbers, got float64 of shape \(0, 0\)"),
    ],
)
def test_the_camera_without_poses_is_named(tmp_path: Path, cell: Array, sentence: str) -> None:
    home = Learned3DHP().write(tmp_path) / "S1" / "Seq1"
    poses = loadmat(home / "annot.mat", variable_names=["annot2", "annot3"])
    poses["annot2"][4, 0] = cell
    savemat(home / "annot.mat", {name: poses[name] for name in ("annot2", "annot3")})
    require_sentence(home, rf"annot\.mat, annot2, camera 4: {sentence}")
