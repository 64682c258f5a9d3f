"""The scripts in examples/ run, use public names only, and find what they claim."""

import ast
import re
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

import multiview_geom
import selfsup_lifting
from selfsup_lifting import SKELETONS
from selfsup_lifting.config import LifterSettings
from selfsup_lifting.onnx_export import export_onnx
from selfsup_lifting.training.lifter import Lifter

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
MOST_LINES = 60
PUBLIC = {
    "multiview_geom": {name for name in vars(multiview_geom) if not name.startswith("_")},
    "selfsup_lifting": set(selfsup_lifting.__all__),
}

each_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


@pytest.fixture
def printed(
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """Run the example that the test is named after, and return what it printed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    name = request.function.__name__.removeprefix("test_")
    (path,) = [path for path in EXAMPLES if path.stem == name]
    with torch.random.fork_rng():
        runpy.run_path(str(path), run_name="__main__")
    return capsys.readouterr().out


def millimeters(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"(-?\d+\.?\d*) mm", text)]


def test_two_pixels_to_a_gradient(printed: str) -> None:
    assert "(0.400, -0.200, 2.000) m" in printed
    assert millimeters(printed) == [-4.0, 4.0]


def test_triangulate_openpose_session(printed: str) -> None:
    assert "20 frames" in printed
    assert 0 < millimeters(printed)[-1] < 6


def test_triangulation_loss(printed: str) -> None:
    first, *_, last, ideal = millimeters(printed)
    assert ideal < last < 1.1 * ideal < 0.6 * first


def test_confidences_and_outliers(printed: str) -> None:
    equal, _, weighted, _, robust, _ = millimeters(printed)
    assert robust < 0.5 * weighted < equal


def test_train_and_lift(printed: str) -> None:
    mpjpe, p_mpjpe = millimeters(printed)
    assert p_mpjpe < mpjpe < 150
    assert "of the head is at" in printed


def test_lift_with_onnx(tmp_path: Path) -> None:
    lifter = Lifter(SKELETONS["h36m17"], LifterSettings(width=16, blocks=1)).eval()
    export_onnx(lifter, tmp_path / "model.onnx")
    (script,) = [str(path) for path in EXAMPLES if path.stem == "lift_with_onnx"]
    # With None in its place, an import of torch fails.
    program = f"import runpy, sys; sys.modules['torch'] = None; runpy.run_path({script!r})"
    command = [sys.executable, "-c", program, str(tmp_path / "model.onnx")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.count(" m\n") == 17
    assert printed.startswith("pelvis ")


@each_example
def test_every_example_is_short_and_tested(path: Path) -> None:
    assert len(path.read_text().splitlines()) < MOST_LINES
    assert f"test_{path.stem}" in globals()


@each_example
def test_every_example_uses_public_names_only(path: Path) -> None:
    nodes = ast.walk(ast.parse(path.read_text()))
    modules = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    ours = [node for node in modules if str(node.module).split(".")[0] in PUBLIC]
    assert ours or "onnxruntime" in path.read_text()
    for node in ours:
        assert {name.name for name in node.names} <= PUBLIC.get(str(node.module), set())
