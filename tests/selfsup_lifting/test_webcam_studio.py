"""A real recording of caliscope, and a real board of known squares, before four webcams."""

import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from selfsup_lifting.cli import main
from selfsup_lifting.config import Method, TriangulationSettings
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.triangulate import reconstruct
from tests.selfsup_lifting.cli.test_cli import printed

PLAIN = TriangulationSettings(method=Method.DLT)
# The figures of the data's README: undistorted, plain DLT, 33 points; median and p90 [px].
RECORDING = {
    "cam_0": (15.1, 41.5),
    "cam_1": (17.4, 36.0),
    "cam_2": (12.1, 42.6),
    "cam_3": (7.6, 20.0),
}
WITHIN_PX = 0.3
# Neighboring corners of the board: the figure of the README; the truth is 54.0 [mm].
SQUARE_MM, WITHIN_MM = 53.91, 0.1
CORNERS_IN_A_ROW = 3


@pytest.fixture(params=["camera_array.toml", "config.toml"])
def layout(request: pytest.FixtureRequest, tmp_path: Path, webcam_folder: Path) -> Path:
    """Return the recording with one of caliscope's two calibration files."""
    home = tmp_path / "recording"
    home.mkdir()
    for name in (request.param, "xy_HOLISTIC.csv", "xyz_HOLISTIC.csv"):
        shutil.copy(webcam_folder / "recording" / name, home)
    return home


@pytest.mark.slow
def test_the_recording_has_the_residuals_of_its_readme(layout: Path) -> None:
    (recording,) = read_recordings([str(layout)], ReadSettings())
    assert (recording.skeleton.name, recording.frame_count) == ("blazepose33", 267)
    found = reconstruct(recording, PLAIN).per_camera
    for name, (median, p90) in RECORDING.items():
        assert found[name].median_px == pytest.approx(median, abs=WITHIN_PX)
        assert found[name].p90_px == pytest.approx(p90, abs=WITHIN_PX)


@pytest.mark.slow
def test_the_recording_is_inspected_and_triangulated_as_it_is(
    layout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["inspect", str(layout), "--json"])
    inspected = printed(capsys)
    assert inspected["fps"] == pytest.approx([30.0], abs=0.1)  # by the times of the frames
    assert not any("disagree" in warning for warning in inspected["warnings"])
    main(["triangulate", str(layout), "--json"])
    triangulated = printed(capsys)
    (warning,) = triangulated["warnings"]
    assert "no detection of right_ankle, right_heel, right_foot_index is used" in warning
    assert triangulated["reprojection"]["median_px"] < 13.0


@pytest.mark.slow
def test_the_recording_trains_a_lifter_that_predicts(
    tmp_path: Path, layout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    small = ["--lifter.width", "8", "--lifter.blocks", "1", "--epochs", "1"]
    main(["train", "--data", str(layout), "--run", str(run), *small])
    main(["predict", str(run), str(layout), "--view", "cam_3", "--json"])
    assert printed(capsys)["frames"] == 267


def test_the_squares_of_the_board_have_their_size(webcam_folder: Path) -> None:
    (recording,) = read_recordings([str(webcam_folder / "board" / "xy.csv")], ReadSettings())
    points = reconstruct(recording, PLAIN).points
    across = [
        (points[:, one] - points[:, other]).norm(dim=-1)
        for one, other in pairwise(range(points.shape[1]))
        if other % CORNERS_IN_A_ROW
    ]
    down = (points[:, CORNERS_IN_A_ROW:] - points[:, :-CORNERS_IN_A_ROW]).norm(dim=-1)
    squares = 1000 * torch.cat([torch.stack(across).flatten(), down.flatten()])
    median = float(squares[squares.isfinite()].median())
    assert median == pytest.approx(SQUARE_MM, abs=WITHIN_MM)
