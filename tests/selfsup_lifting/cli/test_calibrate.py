"""The command `calibrate`: what it prints, writes and refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from multiview_geom import load_cameras, save_cameras
from selfsup_lifting.cli import calibrate_command, main
from selfsup_lifting.cli.parsing import parse_options
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.run_files import read_commit
from tests.selfsup_lifting.cli.test_cli import printed, refused
from tests.selfsup_lifting.files import layouts
from tests.selfsup_lifting.strategies import Scene

QUICK = ["calibrate", "synthetic", "--fps", "5"]


@pytest.mark.slow
def test_it_writes_cameras_that_other_commands_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig, picture = tmp_path / "new" / "rig.toml", tmp_path / "rig.png"
    start = ["--start", "intrinsics", "--bone", "left_hip-left_knee=0.45"]
    main(
        [
            *QUICK,
            *start,
            "--out",
            str(rig),
            str(tmp_path / "rig.h5"),
            "--picture",
            str(picture),
            "--report",
            str(tmp_path / "rig.html"),
            "--json",
        ]
    )
    report = printed(capsys)
    assert report["is_metric"]
    assert report["per_camera"]["cam_2"]["before_px"] is None
    assert report["held_out_after_px"] < 3.5
    assert picture.stat().st_size > 10_000
    page = (tmp_path / "rig.html").read_text()
    assert "cam_4" in page
    assert "Before:" not in page  # no poses were given
    # Human3.6M's files are in millimeters.
    meters, millimeters = load_cameras(rig).centers, load_cameras(tmp_path / "rig.h5").centers
    assert meters.mul(1000).sub(millimeters).abs().max() < 1e-6
    main(["inspect", str(rig)])
    with pytest.raises(SystemExit):
        main([*QUICK, "--out", str(rig)])
    assert "exists; --overwrite replaces it" in capsys.readouterr().err


def test_it_prints_errors_before_and_after_per_camera(capsys: pytest.CaptureFixture[str]) -> None:
    main([*QUICK, "--free", "focal,distortion"])
    shown = capsys.readouterr()
    for part in ("cam_4", " -> ", "±", "scale from the given calibration", "nothing was saved"):
        assert part in shown.out


def test_codes_of_missing_joints_are_named_before_the_cameras_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = Scene(views=3, frames=60).recording()
    recording.keypoints[5:30, 1] = 0.0
    save_recording(tmp_path / "coded.npz", recording)
    main(["calibrate", str(tmp_path / "coded.npz")])
    assert "detections at (0, 0) or (-1, -1): codes of some programs" in capsys.readouterr().err


@pytest.mark.rejects
def test_a_training_needs_a_length_and_a_picture_is_a_png(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = ["train", "--data", str(tmp_path / "nowhere"), "--calibrate", "intrinsics"]
    said = refused([*begun, "--run", str(tmp_path / "run")], capsys)
    assert "`calibrate` needs a length that gives the scale: --calibration.stature" in said
    said = refused([*QUICK, "--picture", "rig.jpg"], capsys)
    assert said.endswith("`picture` must be a .png file, got rig.jpg")


@pytest.mark.slow
def test_a_training_calibrates_its_cameras_and_keeps_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = read_recordings(["synthetic"], ReadSettings(fps=5.0))[0]
    nowhere = torch.eye(4).double().repeat(example.cameras.views, 1, 1)
    save_cameras(tmp_path / "calibration.toml", replace(example.cameras, camera_from_world=nowhere))
    for view in range(example.cameras.views):
        layouts.mmpose(tmp_path, example, view)
    run = tmp_path / "run"
    small = ["--steps", "20", "--lifter.width", "16", "--lifter.blocks", "1"]
    told = ["--data", str(tmp_path), "--detected-skeleton", "h36m17", "--source-fps", "5"]
    begun = ["train", *told, *small, "--run", str(run), "--calibrate", "intrinsics"]
    true = (example.cameras.centers[:, None] - example.cameras.centers).norm(dim=-1)
    main([*begun, "--calibration.distance", f"cam_1-cam_2={true[0, 1]:.4f}", "--json"])
    assert printed(capsys)["after"]["p_mpjpe_mm"] is not None
    cameras = load_cameras(run / "cameras.toml")
    apart = (cameras.centers[:, None] - cameras.centers).norm(dim=-1)
    assert (apart / true).nanmedian() == pytest.approx(1.0, abs=0.03)
    assert "cameras.toml" in read_commit(run).files
    main(["evaluate", str(run), "--json"])
    said = capsys.readouterr()
    assert json.loads(said.out)["p_mpjpe_mm"] is not None
    assert "are others" not in said.err
    main(["train", "--resume", str(run), "--epochs", "30", "--json"])
    assert "cameras.toml" in read_commit(run).files


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--calibrate", "calibration"], "needs recordings of real cameras, got simulated ones"),
        (["--calibrate", "calibration", "--resume", "run"], "must begin a training"),
        (["--calibration.stature", "1.8"], "but they are not: --calibrate"),
    ],
)
def test_a_training_refuses_cameras_that_it_cannot_calibrate(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "run" in arguments:
        save_recording(tmp_path / "scene.npz", Scene(views=2, frames=16).recording())
        data = ["--data", str(tmp_path / "scene.npz"), "--run", str(tmp_path / "run")]
        main(["train", *data, "--steps", "1", "--lifter.width", "8", "--json"])
        capsys.readouterr()
    given = [str(tmp_path / "run") if one == "run" else one for one in arguments]
    with pytest.raises(SystemExit):
        main(["train", *given])
    assert sentence in capsys.readouterr().err


def test_a_format_that_contradicts_the_name_of_the_file_is_refused(tmp_path: Path) -> None:
    options = parse_options(
        ["calibrate", "x", "--format", "colmap", "--out", str(tmp_path / "rig.toml")]
    )
    with pytest.raises(ValueError, match="`format` colmap contradicts the name"):
        calibrate_command.calibrate(options)
