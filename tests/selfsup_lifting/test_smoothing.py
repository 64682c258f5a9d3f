"""Laws of filling and smoothing 3D tracks."""

import json
from dataclasses import replace
from math import atan, pi, tan
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from selfsup_lifting.cli import main
from selfsup_lifting.files import read_recordings
from selfsup_lifting.gap_filling import fill_track_gaps
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording_file import load_recording, save_recording
from selfsup_lifting.smoothing import smooth_tracks
from selfsup_lifting.smoothing_settings import SmoothingSettings
from tests.multiview_geom.strategies import Pose, numbers, poses
from tests.selfsup_lifting.cli.test_cli import refused
from tests.selfsup_lifting.strategies import Scene
from tests.selfsup_lifting.test_export import read_trc

FPS = 60.0
# Of the filter's round-off, in tracks of some meters.
ROUND_OFF_M = 1e-9
# The digits of Pose2Sim's files.
LAST_DIGIT_M = 1e-6


def wandering(frames: int, seed: int) -> Tensor:
    return Scene(frames=frames, seed=seed).truth().double()


@given(numbers(0.02, 0.45), numbers(20.0, 500.0))
def test_the_cutoff_is_the_frequency_of_gain_one_by_root_two(share: float, fps: float) -> None:
    frequency = share * fps
    wave = torch.sin(2 * pi * share * torch.arange(4000, dtype=torch.float64))
    smooth = smooth_tracks(
        wave[:, None, None].expand(-1, 1, 3), fps, SmoothingSettings(cutoff_hz=frequency)
    )
    middle = slice(1000, 3000)
    assert_close(smooth[middle, 0, 0], wave[middle] / 2**0.5, rtol=0, atol=1e-6)


@given(st.integers(1, 40), st.integers(0, 99), poses, numbers(1.0, 25.0))
def test_smoothing_does_not_depend_on_the_world_frame(
    frames: int, seed: int, pose: Pose, cutoff: float
) -> None:
    settings, track = SmoothingSettings(cutoff_hz=cutoff), wandering(frames, seed)
    shift = torch.tensor(pose.shift).double()
    moved = smooth_tracks(track @ pose.rotation().mT + shift, FPS, settings)
    expected = smooth_tracks(track, FPS, settings) @ pose.rotation().mT + shift
    assert_close(moved, expected, rtol=0, atol=ROUND_OFF_M)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_the_parts_of_an_interrupted_track_are_smoothed_apart(
    first: int, second: int, seed: int
) -> None:
    settings, track = SmoothingSettings(cutoff_hz=6.0), wandering(first + 1 + second, seed)
    track[first, 4] = torch.nan
    smooth = smooth_tracks(track, FPS, settings)[:, 4]
    assert smooth[first].isnan().all()
    for part in (slice(first), slice(first + 1, None)):
        assert_close(smooth[part], smooth_tracks(track[part], FPS, settings)[:, 4])


@given(st.integers(3, 40), st.integers(0, 99), st.integers(0, 10))
def test_gaps_are_filled_as_numpy_interpolates(frames: int, seed: int, longest: int) -> None:
    track = wandering(frames, seed)
    lost = torch.rand(frames, generator=torch.Generator().manual_seed(seed)) < 0.6
    track[lost, 2] = torch.nan
    filled, known = fill_track_gaps(track, longest)[:, 2], np.flatnonzero(~lost.numpy())
    for frame in range(frames):
        after = np.searchsorted(known, frame)
        inside = 0 < after < len(known)
        if not lost[frame] or (inside and known[after] - known[after - 1] <= longest + 1):
            expected = np.interp(frame, known, track[known, 2, 1].numpy())
            assert float(filled[frame, 1]) == pytest.approx(expected)
        else:
            assert filled[frame].isnan().all()


def test_a_real_capture_is_smoothed_as_by_pose2sim(capture_folder: Path) -> None:
    name = "S00_P00_T01_BalancingTrial_0-100"
    (_, raw), (_, expected) = (
        read_trc(capture_folder / "pose-3d" / f"{name}{suffix}.trc")
        for suffix in ("", "_filt_butterworth")
    )
    # Its 6 Hz are the cutoff of each of the two passes.
    cutoff = atan(tan(pi * 6 / FPS) * (2**0.5 - 1) ** 0.25) * FPS / pi
    smooth = smooth_tracks(raw.double(), FPS, SmoothingSettings(cutoff_hz=cutoff))
    assert_close(smooth, expected.double(), rtol=0, atol=LAST_DIGIT_M)


def test_nothing_is_done_unless_asked() -> None:
    track = wandering(9, 0)
    track[3, 1] = torch.nan
    assert_close(smooth_tracks(track, FPS, SmoothingSettings()), track, equal_nan=True)
    assert SmoothingSettings().describe() == ""


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    recording = Scene(views=3, frames=20).recording()
    recording.keypoints[5:8, :, 4] = torch.nan
    recording.confidence[5:8, :, 4] = 0.0
    save_recording(tmp_path / "interrupted.npz", recording)
    return tmp_path / "interrupted.npz"


def test_every_file_says_what_was_done_and_how_well_points_are_supported(
    tmp_path: Path, interrupted: Path
) -> None:
    out = [tmp_path / f"points.{suffix}" for suffix in ("npz", "csv", "trc")]
    options = ["--fill-gaps-3d", "3", "--cutoff-hz", "6", "--out", *map(str, out)]
    main(["triangulate", str(interrupted), *options])
    done = (
        "gaps of up to 3 frames interpolated linearly; "
        "Butterworth low-pass, order 4, no delay, 6 Hz"
    )
    csv = out[1].read_text().splitlines()
    assert json.loads(csv[0].removeprefix("# "))["processing"] == done
    assert f"; {done})" in out[2].read_text().splitlines()[0]
    with np.load(out[0], allow_pickle=False) as file:
        assert json.loads(str(file["description"]))["processing"] == done
        tracks, counts, scores = file["tracks"], file["camera_count"], file["score"]
        errors = file["error_px"]
    assert np.isfinite(tracks).all()
    recording = load_recording(interrupted)
    np.testing.assert_array_equal(counts == 0, np.isnan(errors))
    assert (counts[5:8, 4] == 0).all()
    assert (np.delete(counts, 4, axis=1) == 3).all()
    np.testing.assert_allclose(scores[0], recording.confidence[0].mean(dim=0), rtol=1e-6)
    table = np.genfromtxt(csv[2:], delimiter=",")[:, 2:].reshape(20, 17, 6)
    np.testing.assert_allclose(table[..., :3], tracks, atol=1e-6)
    np.testing.assert_array_equal(table[..., 4], counts)
    np.testing.assert_allclose(table[..., 5], scores, atol=1e-4)
    names = csv[1].split(",")[2:8]
    assert names == [f"pelvis_{kind}" for kind in ("x", "y", "z", "error", "ncams", "score")]


@pytest.mark.rejects
def test_a_cutoff_above_half_the_frame_rate_is_refused(
    tmp_path: Path, interrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "points.csv"
    arguments = ["triangulate", str(interrupted), "--cutoff-hz", "25", "--out", str(out)]
    message = refused(arguments, capsys)
    assert "`cutoff_hz` must be below half the frame rate of 50 per s, got 25" in message
    assert not out.exists()


def test_a_cutoff_below_one_cycle_is_doubted(
    tmp_path: Path, interrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for cutoff, count in (("0.1", 1), ("20", 0)):
        out = tmp_path / f"{cutoff}.csv"
        main(["triangulate", str(interrupted), "--cutoff-hz", cutoff, "--out", str(out)])
        assert capsys.readouterr().err.count("is less than one cycle in the") == count


def test_a_person_who_lies_is_doubted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walk = read_recordings(["synthetic"], ReadSettings())[0].frames(slice(0, 20))
    assert walk.truth is not None
    lying = walk.truth[..., [0, 2, 1]] * torch.tensor([1.0, -1.0, 1.0])
    pixels = walk.cameras.project(lying.double()).pixels.float()
    save_recording(tmp_path / "lying.npz", replace(walk, keypoints=pixels, truth=None))
    save_recording(tmp_path / "walk.npz", walk)
    told = "trunk points along -y, the tops of the pictures along z: does the person lie?"
    for name, more, count in (("lying", [], 1), ("walk", [], 0), ("lying", ["--up", "z"], 0)):
        out = tmp_path / f"{name}{len(more)}.trc"
        main(["triangulate", str(tmp_path / f"{name}.npz"), "--out", str(out), *more])
        assert " ".join(capsys.readouterr().err.split()).count(told) == count
