"""Every detector's files are inspected and lifted, recognized by content."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from selfsup_lifting.cli import main
from selfsup_lifting.evaluation.inspection import inspect_source
from selfsup_lifting.read_settings import ReadSettings
from tests.selfsup_lifting.files.detectors.test_formats import filmed
from tests.selfsup_lifting.files.layouts import BODIES, WRITERS, write_session
from tests.selfsup_lifting.strategies import Scene

SMALL = ["--lifter.width", "8", "--lifter.blocks", "1", "--frames-per-batch", "16", "--epochs", "1"]
NAMES = {
    "openpose": "OpenPose", "openpose_in_shares": "OpenPose", "mmpose": "MMPose",
    "mmpose_demo": "MMPose", "alphapose": "AlphaPose", "alphapose_cmu": "AlphaPose",
    "alphapose_open": "AlphaPose", "coco_results": "COCO results", "dlc_csv": "DeepLabCut",
    "dlc_csv_of_several": "DeepLabCut", "dlc_h5": "DeepLabCut", "dlc_fixed_h5": "DeepLabCut",
    "sleap": "SLEAP", "videopose3d": "VideoPose3D", "plain_csv": "CSV",
    "caliscope": "caliscope", "freemocap": "FreeMoCap", "ultralytics": "Ultralytics",
    "mediapipe": "MediaPipe",
}  # fmt: skip


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that trains on the first layout of a skeleton, once."""

    @cache
    def trained(body: str) -> Path:
        layout = next(name for name in sorted(WRITERS) if BODIES[name] == body)
        recording = filmed(layout, Scene(views=3, frames=20))
        home = tmp_path_factory.mktemp(body)
        folder = write_session(home / "session", recording, WRITERS[layout])
        main(["train", "--data", str(folder), "--run", str(home / "run"), *SMALL])
        return home / "run"

    return trained


@pytest.mark.parametrize("layout", sorted(WRITERS))
def test_inspect_and_predict(tmp_path: Path, layout: str, run_of: Callable[[str], Path]) -> None:
    recording = filmed(layout, Scene(views=3, frames=20))
    folder = write_session(tmp_path / "session", recording, WRITERS[layout])
    run, out = run_of(BODIES[layout]), tmp_path / "lifted.npz"
    alone = WRITERS[layout](tmp_path, recording, 1)
    cameras = ["--cameras", str(folder / "calibration.toml")]
    main(["predict", str(run), str(alone), *cameras, "--coordinates", "world", "--out", str(out)])
    with np.load(out) as written:
        assert written["tracks"].shape == recording.truth.shape
        assert np.isfinite(written["tracks"]).all()
    assert inspect_source(str(folder), ReadSettings()).format == NAMES[layout]
