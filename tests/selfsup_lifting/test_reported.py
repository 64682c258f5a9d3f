"""Inputs that users reported, by the command that once read them wrongly; each has its right value.

The files are in `reported/`, one folder per report; `truth.csv` has the right points in meters.
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from selfsup_lifting.cli import main
from selfsup_lifting.files import ReadError, read_recordings, read_results
from selfsup_lifting.read_settings import ReadSettings
from tests.selfsup_lifting.cli.test_cli import printed, refused

REPORTED = Path(__file__).parent / "reported"
DIGITS_OF_A_CSV = 2e-6
"""Points are written, and the truth too, with six digits after the point [m]."""


def case(tmp_path: Path, name: str) -> Path:
    """Copy a report, so that nothing above it is found."""
    return Path(shutil.copytree(REPORTED / name, tmp_path / "reported"))


def columns(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="") as file:
        rows = list(csv.reader(line for line in file if not line.startswith("#")))
    numbers = np.array([[float(cell or "nan") for cell in row] for row in rows[1:]])
    return dict(zip(rows[0], numbers.T, strict=True))


def error_of(folder: Path, *options: str, data: str = "session") -> float:
    """Triangulate a report and return the largest error of a coordinate [m]."""
    out = folder / "points.csv"
    main(["triangulate", str(folder / data), "--out", str(out), *options])
    found, truth = columns(out), columns(folder / "truth.csv")
    joints = [name for name in truth if name != "frame"]
    assert [name for name in found if name.endswith(("_x", "_y", "_z"))] == joints
    return max(float(np.abs(found[name] - truth[name]).max()) for name in joints)


@pytest.mark.parametrize(
    "name",
    [
        "all-cameras-in-one-csv-in-a-folder",
        "dlc-labels-without-likelihood",
        "dlc-raw-and-filtered-side-by-side",
        "madlc-unique-objects-become-joints",
        "one-fisheye-among-pinholes",
        "sleap-anipose-session-layout",
        "world-far-from-its-origin",
    ],
)
def test_a_reported_session_gives_the_right_points(tmp_path: Path, name: str) -> None:
    assert error_of(case(tmp_path, name)) <= DIGITS_OF_A_CSV


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("names-colmap-with-extension", "session"),
        ("names-int_cam01_img-of-pose2sim", "project"),
        ("excel-csv-with-semicolons", "session"),
        ("anipose-calibration-with-a-camera-taken-out", "session"),
    ],
)
def test_the_cameras_of_a_reported_session_agree(
    tmp_path: Path, name: str, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["triangulate", str(case(tmp_path, name) / data), "--json"])
    assert printed(capsys)["reprojection"]["median_px"] < 0.1


def test_the_filtered_tracks_are_used_and_named(tmp_path: Path) -> None:
    folder = case(tmp_path, "dlc-raw-and-filtered-side-by-side")
    (result,) = read_results(str(folder / "session"), ReadSettings())
    assert any(
        "uses cam1DLC_net_shuffle1_1000_filtered.csv, not cam1DLC_net_shuffle1_1000.csv" in note
        for note in result.notes
    )


def test_points_without_a_score_are_certain_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = case(tmp_path, "dlc-labels-without-likelihood")
    main(["inspect", str(folder / "session"), "--json"])
    report = printed(capsys)
    assert report["missing_share"] == 0
    assert any("72 points have no score" in warning for warning in report["warnings"])


@pytest.mark.parametrize("name", ["session", "alone/cam2.json"])
def test_a_removed_camera_moves_no_other_one(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = case(tmp_path, "anipose-calibration-with-a-camera-taken-out")
    calibration = str(folder / "session" / "calibration.toml")
    main(["inspect", str(folder / name), "--cameras", calibration, "--json"])
    camera = printed(capsys)["rig"][0]
    assert camera["name"] == "cam2"
    assert camera["position"] == pytest.approx([-2.93, 2.72, 1.50], abs=0.01)


@pytest.mark.parametrize(
    ("name", "file", "cameras"),
    [
        ("caliscope-camera_array", "camera_array.toml", 3),
        ("opencv-stereo-in-two-files", "stereo/intrinsics.yml", 2),
        ("qualisys-in-pixels", "rig.qca.txt", 1),
        ("ros-camera-info", "left.yaml", 1),
    ],
)
def test_a_reported_calibration_is_read(
    tmp_path: Path, name: str, file: str, cameras: int, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["inspect", str(case(tmp_path, name) / file), "--json"])
    assert len(printed(capsys)["rig"]) == cameras


@pytest.mark.rejects
def test_a_transposed_intrinsic_matrix_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = case(tmp_path, "transposed-intrinsic-matrix") / "session"
    for command in (["inspect", str(folder / "calibration.toml")], ["triangulate", str(folder)]):
        assert "the matrix is transposed" in refused(command, capsys)


@pytest.mark.rejects
def test_names_that_do_not_match_are_shown_with_a_guess_that_can_be_declared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = case(tmp_path, "names-colmap-with-extension") / "session"
    (folder / "cam1.json").rename(folder / "north.json")
    sentence, *table = refused(["triangulate", str(folder)], capsys).splitlines()
    assert "without detections: cam1.png; without calibration: north.json" in sentence
    assert "--map cam1.png=north.json" in sentence
    assert table[-1].split() == ["cam1.png", "north.json"]
    pairs = ["--map", "cam1.png=north.json"]
    main(["triangulate", str(folder), *pairs, "--json"])
    assert printed(capsys)["reprojection"]["median_px"] < 0.1


@pytest.mark.rejects
def test_a_map_names_cameras_of_the_calibration(tmp_path: Path) -> None:
    folder = case(tmp_path, "names-colmap-with-extension") / "session"
    with pytest.raises(ReadError, match=r"`map` must be camera=file with a camera of cam1\.png"):
        read_recordings([str(folder)], ReadSettings(map=("east=cam1.json",)))


def test_one_recording_of_several_is_read_by_its_name(tmp_path: Path) -> None:
    folder = case(tmp_path, "sleap-anipose-session-layout") / "session"
    for file in sorted(folder.glob("*/*.h5")):
        shutil.copy(file, file.with_name(file.name.replace("trial", "other")))
    names = [one.name for one in read_recordings([str(folder)], ReadSettings())]
    assert names == ["session other proofread", "session trial proofread"]
    (one,) = read_recordings([str(folder)], ReadSettings(take="trial proofread"))
    assert one.name == "session trial proofread"
    with pytest.raises(ReadError, match="has no recording 'walk'; it has session other proof"):
        read_recordings([str(folder)], ReadSettings(take="walk"))


def test_a_finite_point_without_a_score_is_certain_in_every_format(tmp_path: Path) -> None:
    joints = 17
    people = [{"keypoints": [[10.0, 20.0 + at] for at in range(joints)]}]
    people[0]["keypoint_scores"] = [None] * (joints - 1) + [0.5]
    frames = [{"frame_id": 0, "instances": people}]
    (tmp_path / "cam1.json").write_text(json.dumps(frames))
    (result,) = read_results(str(tmp_path / "cam1.json"), ReadSettings())
    assert result.recording.confidence[0, 0].tolist() == [1.0] * (joints - 1) + [0.5]
    assert result.unscored == joints - 1


@pytest.mark.parametrize(
    ("name", "unit", "guess"),
    [
        (
            "units-centimetres",
            "cm",
            "cameras are up to 0.693 m apart; cm (6.93 m) and inch (17.6 m) would",
        ),
        ("units-insect-in-millimetres", "mm", "up to 77.9 m apart, which is unusual; cm (0.779 m)"),
        ("units-insect-in-millimetres", "0.001", "and mm (0.0779 m)"),
    ],
)
def test_a_guessed_unit_is_doubted_and_can_be_named(
    tmp_path: Path, name: str, unit: str, guess: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = case(tmp_path, name)
    main(["inspect", str(folder / "session"), "--json"])
    assert guess in printed(capsys)["warnings"][0]
    assert error_of(folder, "--unit", unit) <= DIGITS_OF_A_CSV


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "px", "cause"),
    [
        (
            "inspect-silent-about-cameras-that-disagree",
            "623.7 px",
            "most likely the pictures had half the calibrated size, which would leave 0.5 px",
        ),
        (
            "normalised-coordinates-taken-for-shares",
            "4.5 px",
            "most likely the coordinates are in focal lengths, not in fractions of the image size",
        ),
    ],
)
def test_cameras_that_disagree_are_reported_with_a_number_and_a_cause(
    tmp_path: Path, name: str, px: str, cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = case(tmp_path, name) / "session"
    for command in ("inspect", "triangulate"):
        main([command, str(folder), "--json"])
        (warning,) = [one for one in printed(capsys)["warnings"] if "the cameras disagree" in one]
        assert px in warning
        assert cause in warning
    main(["triangulate", str(folder)])
    shown = capsys.readouterr()
    assert "No 3D error can be expected: the cameras disagree" in shown.out
    assert cause in shown.err


def test_coordinates_taken_for_fractions_of_the_image_are_said(tmp_path: Path) -> None:
    folder = case(tmp_path, "normalised-coordinates-taken-for-shares") / "session"
    (result,) = read_results(str(folder), ReadSettings())
    assert any(
        "are between -1 and 1; they were taken for fractions of the image size" in note
        for note in result.notes
    )


@pytest.mark.rejects
def test_training_refuses_cameras_that_disagree_unless_overruled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = case(tmp_path, "inspect-silent-about-cameras-that-disagree") / "session"
    run = ["--run", str(tmp_path / "run"), "--epochs", "1", "--lifter.width", "8"]
    train = ["train", "--data", str(folder), *run]
    sentence = refused(train, capsys)
    assert "the pictures had half the calibrated size" in sentence
    assert "to train nevertheless, pass --most-disagreement 2.66" in sentence
    ablate = ["ablate", "--data", str(folder), "--run", str(tmp_path / "ablation")]
    assert "to train nevertheless" in refused(ablate, capsys)
    # Robust triangulation would take detections that disagree so much for outliers.
    main([*train, "--recipe", "paper", "--most-disagreement", "2.7"])
    assert "the cameras disagree" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "folder", "cameras"),
    [
        ("names-colmap-with-extension", "session", 3),
        ("names-int_cam01_img-of-pose2sim", "project/calibration", 3),
        ("opencv-stereo-in-two-files", "stereo", 2),
    ],
)
def test_a_folder_with_a_calibration_alone_can_be_inspected(
    tmp_path: Path, name: str, folder: str, cameras: int, capsys: pytest.CaptureFixture[str]
) -> None:
    place = case(tmp_path, name) / folder
    for file in place.glob("cam?.json"):
        file.unlink()
    main(["inspect", str(place), "--json"])
    assert len(printed(capsys)["rig"]) == cameras


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("clip.mp4", b"\x00\x00\x00\x20ftypisom" + bytes(64), "a video (MP4 or MOV)"),
        ("poses.pkl", b"\x80\x04\x95" + bytes(64), "a Python pickle: its pickle is damaged"),
        ("poses.mat", b"MATLAB 5.0 MAT-file" + bytes(64), "a MATLAB file"),
    ],
)
def test_what_a_file_without_detections_looks_like_is_said(
    tmp_path: Path, name: str, content: bytes, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for command in ("triangulate", "inspect"):
        sentence = refused([command, str(path)], capsys)
        assert kind in sentence
        assert sentence.count("nor is it a valid calibration") == 1


@pytest.mark.rejects
@pytest.mark.parametrize("command", ["triangulate", "inspect"])
def test_a_damaged_calibration_given_as_data_is_called_no_more_than_that(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rig.toml").write_text("[cam_0]\nname = 'a'\n")
    sentence = refused([command, str(tmp_path / "rig.toml")], capsys)
    assert sentence.endswith("rig.toml: `cam_0`: expected the key `matrix`, got only name")


@pytest.mark.rejects
def test_a_calibration_given_as_data_is_called_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = case(tmp_path, "caliscope-camera_array") / "camera_array.toml"
    sentence = refused(["triangulate", str(path)], capsys)
    assert "it is a calibration (caliscope) without detections" in sentence
