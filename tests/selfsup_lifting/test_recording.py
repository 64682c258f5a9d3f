"""Laws of recordings and of their native file."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from torch.testing import assert_close

from multiview_geom import align_rigs, check_cameras, summarize_cameras
from selfsup_lifting.calibration_settings import CalibrationSettings
from selfsup_lifting.config import Config, LifterSettings
from selfsup_lifting.files.reading import read_recordings
from selfsup_lifting.gap_filling import fill_gaps
from selfsup_lifting.inference import lift_covariances
from selfsup_lifting.onnx_export import export_onnx
from selfsup_lifting.read_errors import ReadError
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording, Source, distinct
from selfsup_lifting.recording_file import load_recording, save_recording
from selfsup_lifting.self_calibration.solve import calibrate_cameras
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.training.checkpoint import load_lifter
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.loop import train
from tests.selfsup_lifting.strategies import Scene, scenes

H36M = SKELETONS["h36m17"]


def require_equal(one: Recording, other: Recording) -> None:
    exact = {"rtol": 0, "atol": 0, "equal_nan": True}
    assert_close(one.keypoints, other.keypoints, **exact)
    assert_close(one.confidence, other.confidence, **exact)
    assert_close(one.truth, other.truth, **exact)
    assert_close(one.cameras.projections, other.cameras.projections, **exact)
    assert one.cameras.names == other.cameras.names
    texts = ("name", "subject", "action", "fps", "skeleton", "source")
    assert [getattr(one, text) for text in texts] == [getattr(other, text) for text in texts]


@given(scenes)
def test_a_recording_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory, scene: Scene
) -> None:
    path = tmp_path_factory.mktemp("take") / "recording.npz"
    save_recording(path, scene.recording())
    require_equal(load_recording(path), scene.recording())


def test_a_recording_without_truth_survives_its_file(tmp_path: Path) -> None:
    save_recording(tmp_path / "recording.npz", Scene().recording().without_truth())
    assert load_recording(tmp_path / "recording.npz").truth is None


def test_what_a_recording_was_read_from_survives_its_file(tmp_path: Path) -> None:
    markers, calibration = (("nose", "Nose"),), Path("session/calib.toml")
    source = Source("OpenPose", Path("session/pose"), "human36m", markers, calibration)
    save_recording(tmp_path / "recording.npz", replace(Scene().recording(), source=source))
    assert load_recording(tmp_path / "recording.npz").source == source


def test_a_file_that_names_no_source_is_native(tmp_path: Path) -> None:
    path = tmp_path / "recording.npz"
    save_recording(path, Scene().recording())
    with np.load(path) as file:
        arrays = dict(file)
    description = json.loads(str(arrays["description"]))
    del description["source"]
    np.savez(path, **arrays | {"description": np.array(json.dumps(description))})
    assert load_recording(path).source == Source()


def test_the_file_holds_no_object(tmp_path: Path) -> None:
    save_recording(tmp_path / "recording.npz", Scene().recording())
    with np.load(tmp_path / "recording.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "fiU" for name in file.files)


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    save_recording(tmp_path / "recording.npz", Scene().recording())
    assert [path.name for path in tmp_path.iterdir()] == ["recording.npz"]


@given(scenes)
def test_choosing_every_view_in_turn_changes_nothing(scene: Scene) -> None:
    recording = scene.recording()
    names = recording.cameras.names
    assert names is not None
    back_to_front = recording.select_views(names[::-1])
    require_equal(back_to_front.select_views(names), recording)


@given(scenes)
def test_a_step_divides_the_frames_per_second(scene: Scene) -> None:
    recording = scene.recording().frames(slice(None, None, 2))
    assert recording.fps == 25
    assert recording.frame_count == (scene.frames + 1) // 2


@given(scenes)
def test_mapping_joints_and_projecting_agree(scene: Scene) -> None:
    recording = replace(scene, missing=0.0).recording()
    mapped = recording.to_skeleton(H36M)
    copied = [
        (H36M.joints.index(name), recording.skeleton.joints.index(name)) for name in ("left_knee",)
    ]
    for target, source in copied:
        assert_close(mapped.keypoints[:, :, target], recording.keypoints[:, :, source])
        assert_close(mapped.truth[:, target], recording.truth[:, source])


@given(scenes)
def test_a_mapped_joint_is_missing_where_any_source_is(scene: Scene) -> None:
    recording = replace(scene, skeleton="coco17").recording()
    hips = [11, 12]
    lost = recording.keypoints[:, :, hips].isnan().any(dim=-1).any(dim=-1)
    mapped = recording.to_skeleton(H36M)
    assert torch.equal(mapped.keypoints[:, :, 0].isnan().any(dim=-1), lost)
    assert torch.equal(mapped.confidence[:, :, 0] == 0, lost)


@given(scenes)
def test_scores_travel_with_the_same_operator(scene: Scene) -> None:
    recording = replace(scene, skeleton="coco17", missing=0.0).recording()
    mapped = recording.to_skeleton(H36M)
    assert_close(mapped.confidence[:, :, 0], recording.confidence[:, :, [11, 12]].mean(dim=-1))
    assert_close(mapped.keypoints[:, :, 0], recording.keypoints[:, :, [11, 12]].mean(dim=-2))


def track(*places: float) -> Recording:
    """Let one joint of one view move along x; NaN is a gap. Everything else stays seen."""
    recording = Scene(views=2, frames=len(places)).recording()
    recording.keypoints[:, 0, 3, 0] = torch.tensor(places)
    recording.keypoints[:, 0, 3, 1] = torch.tensor(places)
    recording.confidence[:, 0, 3] = torch.tensor(places).isfinite() * 0.8
    return recording


def filled(*places: float, longest: int) -> list[float]:
    return fill_gaps(track(*places), longest).keypoints[:, 0, 3, 0].tolist()


def test_a_short_gap_is_filled_along_a_line() -> None:
    gap = float("nan")
    assert filled(1.0, gap, gap, 4.0, longest=2) == [1.0, 2.0, 3.0, 4.0]
    assert fill_gaps(track(1.0, gap, 3.0), 1).confidence[1, 0, 3] == pytest.approx(0.4)


def test_a_long_gap_and_an_open_end_stay_missing() -> None:
    gap = float("nan")
    places = filled(gap, 1.0, gap, gap, 4.0, gap, longest=1)
    assert torch.tensor(places).isnan().tolist() == [True, False, True, True, False, True]


@given(scenes)
def test_filling_gaps_touches_nothing_that_was_seen(scene: Scene) -> None:
    recording = scene.recording()
    seen = recording.keypoints.isfinite()
    mended = fill_gaps(recording, 3)
    assert torch.equal(mended.keypoints[seen], recording.keypoints[seen])
    assert torch.equal(mended.keypoints.isfinite().all(dim=-1), mended.confidence > 0)


def test_one_lost_joint_spoils_no_other() -> None:
    recording = Scene(skeleton="coco17").recording()
    recording.keypoints[0, 0, 11] = torch.nan
    lost = recording.to_skeleton(H36M).keypoints[0, 0].isnan().any(dim=-1)
    names = [joint for joint, gone in zip(H36M.joints, lost, strict=True) if gone]
    assert names == ["pelvis", "left_hip", "spine"]


@pytest.mark.rejects
def test_arrays_must_fit_the_skeleton() -> None:
    recording = Scene().recording()
    with pytest.raises(ValueError, match=r"`keypoints` must have shape \(1, 2, 25, 2\)"):
        replace(recording, skeleton=SKELETONS["body25"])


@pytest.mark.rejects
def test_an_unknown_camera_is_named() -> None:
    with pytest.raises(ValueError, match="no camera cam_9 in scene 0"):
        Scene().recording().select_views(["cam_1", "cam_9"])


@pytest.mark.rejects
def test_names_of_a_skeleton_and_of_one_camera_are_refused() -> None:
    recording = Scene().recording()
    with pytest.raises(ValueError, match="`target` must be Skeleton, got str"):
        recording.to_skeleton("coco17")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`cameras` must be a list of names .*, got 'cam_1'"):
        recording.with_exchanged_sides("cam_1")


@pytest.mark.rejects
@pytest.mark.parametrize("kept", [0, 10, 200, 1000])
def test_a_file_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "recording.npz"
    save_recording(path, Scene().recording())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ReadError, match=r"recording\.npz is not an npz file, or is damaged"):
        load_recording(path)


@pytest.mark.rejects
def test_a_recording_in_other_units_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    save_recording(path, Scene().recording())
    arrays = dict(np.load(path))
    description = json.loads(str(arrays.pop("description")))
    description["units"]["cameras"] = "mm"
    np.savez(path, description=np.array(json.dumps(description)), **arrays)
    with pytest.raises(ReadError, match=r"other\.npz, units: expected .* got .*'mm'"):
        load_recording(path)


@pytest.mark.rejects
def test_two_cameras_of_one_name_are_refused(tmp_path: Path) -> None:
    recording, path = Scene().recording(), tmp_path / "other.npz"
    with pytest.raises(ValueError, match="`cameras` must have a name each, got several called a"):
        replace(recording, cameras=replace(recording.cameras, names=("a", "a")))
    save_recording(path, recording)
    with np.load(path) as stored:
        arrays = dict(stored)
    description = json.loads(str(arrays["description"])) | {"cameras": ["a", "a"]}
    np.savez(path, **arrays | {"description": np.array(json.dumps(description))})
    with pytest.raises(ReadError, match=r"other\.npz is not a recording.* several called a"):
        load_recording(path)


@pytest.mark.rejects
def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recording.npz"
    np.savez(path, description=np.array(json.dumps({"format": 2})))
    with pytest.raises(ReadError, match="expected a recording of format 1, got format 2"):
        load_recording(path)


@pytest.mark.rejects
def test_a_pickled_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recording.npz"
    np.savez(path, description=np.array({"format": 1}, dtype=object))
    with pytest.raises(ReadError, match="description: expected one text"):
        load_recording(path)


def test_numbers_in_another_byte_order_are_read(tmp_path: Path) -> None:
    save_recording(tmp_path / "recording.npz", Scene().recording())
    with np.load(tmp_path / "recording.npz") as file:
        arrays = {**file, "keypoints": file["keypoints"].astype(">f4")}
    np.savez(tmp_path / "other.npz", **arrays)
    assert_close(load_recording(tmp_path / "other.npz").keypoints, Scene().recording().keypoints)


@pytest.mark.rejects
@pytest.mark.parametrize("kind", [str, object])
def test_an_array_without_numbers_is_named(tmp_path: Path, kind: type) -> None:
    save_recording(tmp_path / "recording.npz", Scene().recording())
    with np.load(tmp_path / "recording.npz") as file:
        arrays = {**file, "keypoints": file["keypoints"].astype(kind)}
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ReadError, match=r"other\.npz, keypoints: expected an array of numbers"):
        load_recording(tmp_path / "other.npz")


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("keypoints", [1.0], "`keypoints` must be Tensor, got list"),
        ("skeleton", "h36m17", "`skeleton` must be Skeleton, got str"),
        ("cameras", torch.eye(4), "`cameras` must be Cameras, got Tensor"),
        ("fps", "30", "`fps` must be int | float, got str"),
    ],
)
def test_a_recording_has_fields_of_their_kinds(field: str, value: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        replace(Scene(views=2, frames=3).recording(), **{field: value})


@pytest.mark.rejects
def test_frames_are_a_slice_and_views_are_names() -> None:
    recording = Scene(views=2, frames=3).recording()
    with pytest.raises(ValueError, match="`chosen` must be slice, got int"):
        recording.frames(3)  # type: ignore[arg-type]
    for wrong in (slice(None, None, -1), slice(0, 3, 0), slice(0.0, 3.0), slice("a", None)):
        with pytest.raises(
            ValueError, match="`chosen` must be a slice of whole numbers, with a step"
        ):
            recording.frames(wrong)
    with pytest.raises(ValueError, match="no camera 0 in"):
        recording.select_views([0])  # type: ignore[list-item]


@pytest.mark.rejects
@pytest.mark.parametrize("wrong", [-1.0, torch.nan, torch.inf])
def test_a_confidence_of_a_detected_joint_is_a_number_from_zero(
    wrong: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Scene(views=2, frames=5).recording()
    confidence = recording.confidence.clone()
    confidence[4, 1, 3] = wrong
    said = rf"detected, got {wrong:g} of {H36M.joints[3]} in camera cam_2, frame 4"
    with pytest.raises(ValueError, match=said):
        replace(recording, confidence=confidence)
    monkeypatch.setattr("selfsup_lifting.recording.PART_FRAMES", 2)
    long = replace(recording, confidence=confidence)
    with pytest.raises(ValueError, match=said):
        [*long.parts()]


def test_a_confidence_above_one_is_kept_and_that_of_a_missing_joint_has_no_effect() -> None:
    recording = Scene(views=2, frames=3).recording()
    keypoints, confidence = recording.keypoints.clone(), recording.confidence.clone()
    keypoints[1, 0, 3], confidence[1, 0, 3], confidence[2, 0, 3] = torch.nan, torch.nan, 7.0
    found = replace(recording, keypoints=keypoints, confidence=confidence).to_skeleton(H36M)
    assert_close(found.confidence[1, 0, 3].item(), 0.0)
    assert_close(found.confidence[2, 0, 3].item(), 7.0)
    assert found.confidence.isfinite().all()


@pytest.mark.rejects
def test_a_recording_is_one_file(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="expected a file that `save_recording` wrote, got a fold"):
        load_recording(tmp_path)
    with pytest.raises(ReadError, match="got nothing of this name"):
        load_recording(tmp_path / "none.npz")


@pytest.mark.rejects
@pytest.mark.parametrize("wrong", [5, None, "a", {"a": 1}, ["a"]])
def test_no_recording_and_no_cameras_are_one_sentence(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`recording` must be Recording, got"):
        save_recording(tmp_path / "a.npz", wrong)
    with pytest.raises(ValueError, match="`recordings` must be "):
        calibrate_cameras(wrong, CalibrationSettings())
    for function in (check_cameras, summarize_cameras, lambda rig: align_rigs(rig, rig)):
        with pytest.raises(ValueError, match="must be Cameras, got"):
            function(wrong)


@pytest.mark.rejects
@pytest.mark.parametrize("wrong", [5, None, {"a": 1}, ["a"]])
def test_no_path_no_lifter_and_no_settings_are_one_sentence(wrong: Any, tmp_path: Path) -> None:
    lifter = Lifter(SKELETONS["h36m17"], LifterSettings(width=8, blocks=1))
    for name, function in {
        "path": lambda: load_recording(wrong),
        "run": lambda: load_lifter(wrong),
        "lifter": lambda: export_onnx(wrong, tmp_path / "a.onnx"),
        "path ": lambda: export_onnx(lifter, wrong),
        "lifter ": lambda: lift_covariances(wrong, wrong, wrong),
        "config": lambda: train(wrong, [], tmp_path),
        "run ": lambda: train(Config(), [], wrong),
        "settings": lambda: read_recordings([], wrong),
        "sources": lambda: read_recordings([wrong], ReadSettings()),
        "sources ": lambda: read_recordings(5, ReadSettings()),  # type: ignore[arg-type]
    }.items():
        with pytest.raises(ValueError, match=f"`{name.strip()}` must be .*, got "):
            function()


@pytest.mark.rejects
@pytest.mark.parametrize("wrong", [[], "cam_1", 5, ["cam_1", "cam_1"], ["cam_9"], [0]])
def test_views_are_selected_by_the_names_of_cameras(wrong: Any) -> None:
    recording = Scene(views=2, frames=2).recording()
    with pytest.raises(ValueError, match=r"`names` must|no camera .* it has cam_1, cam_2"):
        recording.select_views(wrong)


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (("a", "b"), ["a", "b"]),
        (("a", "a", "a_2"), ["a", "a_3", "a_2"]),
        (("a_2", "a", "a", "a"), ["a_2", "a", "a_3", "a_4"]),
    ],
)
def test_no_two_recordings_are_written_under_one_name(
    names: tuple[str, ...], kept: list[str]
) -> None:
    assert distinct(names) == kept


@pytest.mark.rejects
def test_names_of_views_may_be_an_array() -> None:
    recording = Scene(views=3, frames=2).recording()
    names = np.array(recording.cameras.names)[[2, 0]]
    require_equal(recording.select_views(names), recording.select_views([*map(str, names)]))  # type: ignore[arg-type]
