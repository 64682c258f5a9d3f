"""Laws of reconstruction from all views, on simulated recordings and on the real capture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from selfsup_lifting.config import Method, ReadSettings, TriangulationSettings
from selfsup_lifting.files import read_recordings
from selfsup_lifting.triangulate import Reconstruction, reconstruct
from tests.selfsup_lifting.strategies import Scene, scenes

# The figures of the capture's README: plain DLT over every view with confidence >= 0.3 [px].
QUALISYS = {"cam_01": 17.3, "cam_02": 8.8, "cam_03": 18.7, "cam_04": 10.6}
SCENE = {"cam_01": 8.4, "cam_02": 8.3, "cam_03": 10.3, "cam_04": 8.7}


@given(scenes.filter(lambda scene: not scene.missing))
def test_exact_detections_leave_no_residual(scene: Scene) -> None:
    assert reconstruct(scene.recording()).total.p90_px < 0.05


@given(scenes)
def test_a_point_is_known_where_two_views_saw_it(scene: Scene) -> None:
    recording = scene.recording()
    seen = recording.keypoints.isfinite().all(dim=-1).sum(dim=1) >= 2
    assert torch.equal(reconstruct(recording).points.isfinite().all(dim=-1), seen)


def real(folder: Path, calibration: str | None = None) -> Reconstruction:
    cameras = None if calibration is None else folder / calibration
    (recording,) = read_recordings([str(folder)], ReadSettings(cameras=cameras, min_confidence=0.3))
    return reconstruct(recording, TriangulationSettings(method=Method.DLT))


def medians(reconstruction: Reconstruction) -> dict[str, float]:
    return {name: row.median_px for name, row in reconstruction.per_camera.items()}


def test_the_real_capture_has_the_residuals_of_its_readme(capture_folder: Path) -> None:
    assert medians(real(capture_folder)) == pytest.approx(QUALISYS, abs=0.2)


def test_the_other_calibration_has_its_own(capture_folder: Path) -> None:
    other = real(capture_folder, "calibration-scene/Calib_scene.toml")
    assert medians(other) == pytest.approx(SCENE, abs=0.2)


def test_the_real_capture_agrees_with_pose2sims_track(capture_folder: Path) -> None:
    (trc,) = (capture_folder / "pose-3d").glob("*_0-100.trc")
    distances = 1000 * (real(capture_folder).points - markers(trc)).norm(dim=-1)
    assert float(distances.nanmedian()) == pytest.approx(7.6, abs=0.2)


def markers(trc: Path) -> Tensor:
    """Read a TRC, y up, into world metres, z up."""
    rows = np.loadtxt(trc, skiprows=5)[:, 2:].reshape(100, 21, 3)
    return torch.from_numpy(rows[..., [2, 0, 1]])
