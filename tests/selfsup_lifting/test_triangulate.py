"""Laws of reconstruction from all views, on simulated recordings and on the real capture."""

from collections.abc import Callable
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor
from torch.testing import assert_close

from selfsup_lifting import recording as recording_module
from selfsup_lifting import triangulate
from selfsup_lifting.config import Method, TriangulationSettings
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.triangulate import (
    Reconstruction,
    normalized_image,
    reconstruct,
    reprojection_errors,
    triangulate_recording,
)
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


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function after which recordings are triangulated four frames at a time."""

    def cut() -> None:
        for module in (recording_module, triangulate):
            monkeypatch.setattr(module, "PART_FRAMES", 4)

    return cut


@pytest.mark.parametrize("method", Method)
def test_a_long_recording_is_triangulated_in_parts(
    method: Method, in_parts: Callable[[], None]
) -> None:
    recording = Scene(views=3, frames=10).recording()
    settings = TriangulationSettings(method=method)
    whole, calls = triangulate_recording(recording, settings), []
    in_parts()
    parts = triangulate_recording(recording, settings, done=lambda: calls.append(1))
    assert len(calls) == recording.part_count == 3
    assert_close(parts.points, whole.points, rtol=0, atol=1e-9, equal_nan=True)
    assert torch.equal(parts.kept, whole.kept)


def test_a_long_recording_is_measured_in_parts(in_parts: Callable[[], None]) -> None:
    recording = Scene(views=3, frames=10, missing=0.2).recording()
    generator = torch.Generator().manual_seed(0)
    recording.keypoints[:] += torch.randn(recording.keypoints.shape, generator=generator)
    whole = reconstruct(recording)
    in_parts()
    parts = reconstruct(recording)
    assert vars(parts.total) == pytest.approx(vars(whole.total))
    assert parts.expected_error_mm == pytest.approx(whole.expected_error_mm)
    assert_close(parts.residuals, whole.residuals, equal_nan=True)
    for name, column in vars(whole.quality).items():
        assert_close(getattr(parts.quality, name), column, equal_nan=True)


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


@pytest.mark.rejects
def test_one_camera_is_not_enough() -> None:
    single = Scene(views=2).recording().select_views(["cam_1"])
    with pytest.raises(ValueError, match=r"^scene 0 has one camera; triangulation needs at "):
        reconstruct(single)


def test_without_a_point_no_error_can_be_expected() -> None:
    recording = Scene(views=2, frames=2).recording()
    blind = replace(recording, keypoints=torch.full_like(recording.keypoints, torch.nan))
    assert isnan(reconstruct(blind).expected_error_mm)


@pytest.mark.rejects
def test_arguments_of_another_kind_are_named() -> None:
    one = Scene(views=2, frames=3).recording()
    for call in (triangulate_recording, reconstruct):
        with pytest.raises(ValueError, match="`settings` must be TriangulationSettings, got str"):
            call(one, "dlt")  # type: ignore[operator]
        with pytest.raises(ValueError, match="`recording` must be Recording, got list"):
            call([one])  # type: ignore[operator]
    points = Scene(views=2, frames=3).truth()
    with pytest.raises(ValueError, match="`recording` must be Recording, got Tensor"):
        reprojection_errors(points, one)  # type: ignore[arg-type]
    for other in (points[:1], points[0], points[:, :5]):
        with pytest.raises(ValueError, match=r"`points` must have shape \(3, 17, 3\)"):
            reprojection_errors(one, other)
    with pytest.raises(ValueError, match="`cameras` must be Cameras, got Tensor"):
        normalized_image(one.keypoints, one.cameras)  # type: ignore[arg-type]
