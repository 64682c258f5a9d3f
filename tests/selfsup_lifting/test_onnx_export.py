"""Laws of exported models: ONNX Runtime computes what PyTorch computes."""

import json
import sys
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
import torch

from selfsup_lifting import onnx_export
from selfsup_lifting.cli import main
from selfsup_lifting.config import LifterSettings
from selfsup_lifting.inference import lift, placed_in_camera
from selfsup_lifting.onnx_export import INPUTS, export_onnx
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.triangulate import normalized_image
from tests.selfsup_lifting.strategies import Scene

onnxruntime = pytest.importorskip("onnxruntime")
# In every coordinate, of float32 networks with outputs of some meters [m].
ROUND_OFF = 1e-5


SETTINGS = LifterSettings(
    width=32, blocks=1, confidence_input=True, turn_to_root=True, average_mirrored=True
)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Scene(views=3, frames=7, missing=0.3, skeleton="coco17").recording()


@pytest.fixture(scope="module")
def exported(
    recording: Recording, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Lifter, Path, float]:
    """Export a network; return it, the file, and by how much both differ."""
    lifter, path = Lifter(recording.skeleton, SETTINGS), tmp_path_factory.mktemp("run") / "m.onnx"
    image = normalized_image(recording.cameras, recording.keypoints).float()
    lifter(image, image.isfinite().all(dim=-1), recording.confidence)  # other statistics
    return lifter, path, export_onnx(lifter.eval(), path)


def test_an_exported_model_lifts_as_pytorch_does(
    recording: Recording, exported: tuple[Lifter, Path, float]
) -> None:
    lifter, path, difference = exported
    assert difference < ROUND_OFF
    image = normalized_image(recording.cameras, recording.keypoints).float()
    expected = lift(lifter, recording.cameras, recording.keypoints, recording.confidence)
    session = onnxruntime.InferenceSession(path)
    intrinsics = recording.cameras.intrinsics.float()
    for view in range(3):
        for frames in (slice(0, 1), slice(None)):
            count = len(recording.keypoints[frames])
            values = (
                recording.keypoints[frames, view],
                recording.confidence[frames, view],
                intrinsics[view].expand(count, 3, 3),
            )
            given = {name: one.numpy() for name, one in zip(INPUTS, values, strict=True)}
            found, placed = map(torch.from_numpy, session.run(None, given))
            wanted = expected[frames, view]
            torch.testing.assert_close(found, wanted, atol=ROUND_OFF, rtol=0, equal_nan=True)
            wanted = placed_in_camera(wanted, image[frames, view])
            torch.testing.assert_close(placed, wanted, atol=1e-4, rtol=1e-4, equal_nan=True)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["skeleton"])["joints"] == list(SKELETONS["coco17"].joints)
    assert "[px]" in about["pixels"]


def test_a_model_that_differs_is_refused_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: tuple[Lifter, Path, float]
) -> None:
    _, other, _ = exported
    lifter = Lifter(SKELETONS["coco17"], SETTINGS).eval()
    monkeypatch.setattr(onnx_export, "_write", lambda _, path: copyfile(other, path))
    with pytest.raises(ValueError, match=r"differs from PyTorch by up to \d+\.\d+ mm"):
        export_onnx(lifter, tmp_path / "model.onnx")
    assert [*tmp_path.iterdir()] == []


def test_a_lost_pose_counts_as_a_difference() -> None:
    lost = torch.tensor([[torch.nan]])
    assert np.isinf(onnx_export._difference(lost, torch.zeros(1, 1)))


@pytest.mark.rejects
def test_export_names_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.onnx").write_text("mine")
    for arguments, sentence in (
        ([str(tmp_path)], "--onnx model.onnx"),
        ([str(tmp_path), "--onnx", str(tmp_path / "model.onnx")], "exists; --overwrite"),
    ):
        with pytest.raises(SystemExit):
            main(["export", *arguments])
        assert sentence in capsys.readouterr().err


@pytest.mark.rejects
@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_package_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf'm\.onnx needs {package}: pip install "multiview-geom'):
        onnx_export.require_onnx(tmp_path / "m.onnx")
