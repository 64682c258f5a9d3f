"""The command `calibrate`: what it prints, writes and refuses."""

from pathlib import Path

import pytest

from multiview_geom import load_cameras
from selfsup_lifting.cli import main
from tests.selfsup_lifting.cli.test_cli import printed

QUICK = ["calibrate", "synthetic", "--fps", "5"]


def test_it_writes_cameras_that_other_commands_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig, picture = tmp_path / "rig.toml", tmp_path / "rig.png"
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
            "--json",
        ]
    )
    report = printed(capsys)
    assert report["is_metric"]
    assert report["per_camera"]["cam_2"]["before_px"] is None
    assert report["held_out_after_px"] < 3.5
    assert picture.stat().st_size > 10_000
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
