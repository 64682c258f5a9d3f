"""The names of joints in exported files."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsup_lifting.cli import main
from selfsup_lifting.recording_file import load_recording, save_recording
from selfsup_lifting.skeleton.infer import plain_joint
from selfsup_lifting.skeleton.marker_names import MarkerNames, marker_names
from selfsup_lifting.skeleton.skeletons import SKELETONS
from tests.selfsup_lifting.files.detectors.test_formats import filmed
from tests.selfsup_lifting.files.layouts import WRITERS, write_session
from tests.selfsup_lifting.strategies import Scene
from tests.selfsup_lifting.test_export import read_trc

# The layouts whose files name the joints.
NAMING = (
    "mmpose_demo",
    "dlc_csv",
    "dlc_csv_of_several",
    "dlc_h5",
    "dlc_fixed_h5",
    "sleap",
    "plain_csv",
)


def of_the_lab(joints: tuple[str, ...]) -> tuple[str, ...]:
    """Name joints as some lab may do: `L.BigToe`."""
    return tuple(
        name[0] + "." + name[1:] if name[0] in "LR" else name
        for name in marker_names(joints, MarkerNames.POSE2SIM)
    )


def written_names(folder: Path, out: Path, names: str) -> tuple[str, ...]:
    main(["triangulate", str(folder), "--marker-names", names, "--out", str(out)])
    return tuple(read_trc(out)[0])


@pytest.mark.parametrize("layout", NAMING)
def test_the_names_in_a_detectors_files_are_kept_on_request(tmp_path: Path, layout: str) -> None:
    recording = filmed(layout, Scene(views=3, frames=4))
    ours = recording.skeleton
    lab = replace(recording, skeleton=replace(ours, joints=of_the_lab(ours.joints)))
    folder = write_session(tmp_path / "session", lab, WRITERS[layout])
    kept = written_names(folder, tmp_path / "kept.trc", "original")
    standard = written_names(folder, tmp_path / "standard.trc", "standard")
    assert kept == lab.skeleton.joints
    assert standard == ours.joints


def test_a_recording_keeps_the_names_of_its_markers(tmp_path: Path) -> None:
    recording = Scene().recording()
    source = replace(recording.source, markers=(("left_hip", "LHJC"), ("nose", "Nose")))
    save_recording(tmp_path / "x.npz", replace(recording, source=source))
    assert load_recording(tmp_path / "x.npz").source == source


def test_files_that_number_their_joints_have_our_names(tmp_path: Path) -> None:
    recording = filmed("openpose", Scene(views=3, frames=4))
    folder = write_session(tmp_path / "session", recording, WRITERS["openpose"])
    names = written_names(folder, tmp_path / "x.trc", "original")
    assert names == recording.skeleton.joints


@given(st.sampled_from(sorted(SKELETONS)))
def test_names_of_sides_and_joints_are_read_back(skeleton: str) -> None:
    joints = SKELETONS[skeleton].joints
    special = {"upper_neck", "head_top", "pelvis"}
    named = dict(zip(joints, marker_names(joints, MarkerNames.POSE2SIM), strict=True))
    assert {joint for joint, name in named.items() if plain_joint(name) != joint} <= special


def test_the_real_capture_has_the_names_of_its_opensim_model(
    tmp_path: Path, capture_folder: Path
) -> None:
    theirs = read_trc(capture_folder / "pose-3d" / "S00_P00_T01_BalancingTrial_0-100.trc")[0]
    ours = written_names(capture_folder, tmp_path / "points.trc", "pose2sim")
    assert sorted(ours) == sorted(theirs)


@pytest.mark.parametrize(("skeleton", "pelvis"), [("body25", "CHip"), ("halpe26", "Hip")])
def test_the_pelvis_has_pose2sims_name_of_its_model(skeleton: str, pelvis: str) -> None:
    joints = SKELETONS[skeleton].joints
    names = marker_names(joints, MarkerNames.POSE2SIM, skeleton=skeleton)
    assert names[joints.index("pelvis")] == pelvis
