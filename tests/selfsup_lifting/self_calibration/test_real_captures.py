"""Two real captures: a person before four cameras, and a board of known squares."""

import csv
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from multiview_geom import Cameras, align_rigid, calibrate_extrinsics, load_cameras
from selfsup_lifting.calibration_settings import CalibrationSettings, Start
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.self_calibration.body import stature
from selfsup_lifting.self_calibration.solve import calibrate_cameras
from selfsup_lifting.triangulate import triangulate_recording

# They take more than ten seconds; drawn scenes run the same code where annotations are checked.
pytestmark = pytest.mark.slow

SQUARE_M = 0.054


def capture(folder: Path) -> Recording:
    (recording,) = read_recordings([str(folder)], ReadSettings(min_confidence=0.3))
    return recording


def size(rig: Cameras) -> Tensor:
    return (rig.centers - rig.centers.mean(dim=0)).norm()


def test_the_capture_is_repaired(capture_folder: Path) -> None:
    report = calibrate_cameras([capture(capture_folder)], CalibrationSettings())
    assert 13.0 < report.held_out_before_px < 14.0
    assert report.held_out_after_px < 7.7


def test_the_capture_is_calibrated_without_its_poses(capture_folder: Path) -> None:
    recording = capture(capture_folder)
    given = triangulate_recording(recording).points
    tall = stature(recording.skeleton, given)
    settings = CalibrationSettings(stature=tall)
    report = calibrate_cameras([recording], settings, Start.INTRINSICS)
    assert report.vertical == "the mean axis of the body"
    assert report.held_out_after_px < 8.0
    assert size(report.cameras) / size(recording.cameras) == pytest.approx(1.0, abs=0.03)
    # The world of the file stands on the floor, z up: so does ours.
    heights = report.cameras.centers[:, 2] - recording.cameras.centers[:, 2]
    assert heights.abs().max() < 0.5


def test_the_board_places_the_webcams(webcam_folder: Path) -> None:
    given = load_cameras(webcam_folder / "board" / "camera_array.toml")
    pixels, pairs = corners(webcam_folder / "board" / "xy.csv")
    found = calibrate_extrinsics(given, pixels)
    sides = torch.cat([(found.points[:, a] - found.points[:, b]).norm(dim=-1) for a, b in pairs])
    sides = sides[sides.isfinite()]
    scale = SQUARE_M / sides.median()
    centers = scale * found.cameras.centers
    moved = align_rigid(centers, given.centers).apply(centers)
    assert (moved - given.centers).norm(dim=-1).max() < 0.01
    # With the given rig's scale, the squares have their true size.
    apart = given.centers - given.centers.mean(dim=0)
    spacing = sides.median() * apart.square().sum(dim=-1).mean().sqrt()
    assert spacing == pytest.approx(SQUARE_M, rel=0.005)


def test_the_person_alone_places_the_webcams(webcam_folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "recording"
    home.mkdir()
    for name in ("camera_array.toml", "xy_HOLISTIC.csv"):
        shutil.copy(webcam_folder / "recording" / name, home)
    (recording,) = read_recordings([str(home)], ReadSettings())
    tall = stature(recording.skeleton, triangulate_recording(recording).points)
    alone = calibrate_cameras([recording], CalibrationSettings(stature=tall), Start.INTRINSICS)
    given = calibrate_cameras([recording], CalibrationSettings(stature=tall))
    assert given.held_out_before_px == pytest.approx(12.0, abs=0.3)
    for report in (alone, given):
        assert report.held_out_after_px < 8.5
        assert size(report.cameras) / size(recording.cameras) == pytest.approx(1.0, abs=0.05)


def corners(path: Path) -> tuple[Tensor, list[tuple[int, int]]]:
    """Read the corners as frames of points, and which points are neighbors."""
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    frames = {number: at for at, number in enumerate(sorted({row["sync_index"] for row in rows}))}
    places = {
        int(row["keypoint_id"]): (float(row["board_loc_x"]), float(row["board_loc_y"]))
        for row in rows
    }
    order = {number: at for at, number in enumerate(sorted(places))}
    pixels = torch.full((len(frames), 4, len(order), 2), torch.nan, dtype=torch.float64)
    for row in rows:
        at = frames[row["sync_index"]], int(row["cam_id"]), order[int(row["keypoint_id"])]
        pixels[at] = torch.tensor([float(row["img_loc_x"]), float(row["img_loc_y"])]).double()
    board = torch.tensor([places[number] for number in sorted(places)])
    near = (torch.cdist(board, board) - SQUARE_M).abs() < SQUARE_M / 100
    pairs = [(a, b) for a, b in near.nonzero().tolist() if a < b]
    return pixels, pairs
