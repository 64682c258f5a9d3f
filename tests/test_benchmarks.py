"""Benchmarks run, and their pages hold what their result files say."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from selfsup_lifting.config import Config
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recipes import robust
from selfsup_lifting.simulation_settings import NOISE_LEVELS

pytestmark = pytest.mark.processes
ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "docs" / "calibration.md",
    ROOT / "docs" / "kernels.md",
    ROOT / "docs" / "study.md",
    ROOT / "docs" / "scaling.md",
    ROOT / "docs" / "trust.md",
]


Printed = Callable[..., str]


@pytest.fixture
def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Printed]:
    """Run a script in this process, which has torch already, and return what it prints."""

    def run(script: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        runpy.run_path(str(ROOT / "benchmarks" / f"{script}.py"), run_name="__main__")
        return capsys.readouterr().out

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    threads = torch.get_num_threads()
    yield run
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "row"),
    [
        ("triangulation", "solver='ours'"),
        ("procrustes", "solver='ours'"),
        ("projection", "way='ours'"),
        ("latency", "way='onnxruntime'"),
    ],
)
def test_a_quick_run_ends_well(printed: Printed, script: str, row: str) -> None:
    assert row in printed(script, "--quick", "--threads", "1")


@pytest.mark.slow
def test_hard_scenes_have_their_minimum_in_single_precision(printed: Printed) -> None:
    lines = printed("hard_scenes", "--quick").splitlines()
    rows = [line.split() for line in lines if line.startswith(("2 views", "3 and 4", "5 to 16"))]
    assert [row[-4] for row in rows] == ["0"] * 3, "scenes above four times the SVD's error"


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("triton"), reason="needs Triton, which is made for Linux")
def test_what_runs_on_a_gpu_can_be_rehearsed_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    command = [sys.executable, "benchmarks/on_gpu.py", "--rehearse"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    saved = re.findall(r"saved (.*\.json)", ended.stdout)
    parts = json.loads(Path(saved[-1]).read_text())["rows"]
    assert {part["part"]: part["status"] for part in parts} == dict.fromkeys(
        ("tests", "compiling", "triangulation", "rotation", "training_step", "losses", "schedule"),
        "passed",
    )
    kernels = json.loads(Path(saved[-1].replace("on-gpu", "gpu-triangulation")).read_text())["rows"]
    assert {row["mode"] for row in kernels} == {"forward", "forward + backward"}
    assert all(row["largest_error"] < 1e-2 for row in kernels if row["mode"] == "forward")
    tables = runpy.run_path(str(ROOT / "benchmarks" / "tables.py"))["TABLES"]
    table = tables["triangulation on a GPU"][1](kernels)
    assert len(table) == 2 + len(kernels)
    assert {len(line) for line in table} == {len(table[0])}


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_nothing_is_measured() -> None:
    command = [sys.executable, "benchmarks/on_gpu.py"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "needs a CUDA device" in ended.stdout


@pytest.mark.slow
def test_the_accuracy_of_triangulation_is_found(printed: Printed) -> None:
    assert "2 cameras, 5 degrees" in printed("accuracy", "--quick")


@pytest.mark.slow
def test_the_operating_room_has_the_errors_of_its_readme(
    printed: Printed, operating_room_folder: Path
) -> None:
    out = printed("operating_room", str(operating_room_folder))
    rows = re.findall(r"(\d) views *(\d+) joints +([\d.]+)", out)
    counts = [(views, joints) for views, joints, _ in rows]
    assert counts[:3] == [("3", "2633"), ("2", "4326"), ("3", "1133")]
    medians = [float(median) for _, _, median in rows]
    assert medians == pytest.approx([36.5, 45.6, 61.5, 68.7], abs=0.3)
    shares = [float(share) for share in re.findall(r"([\d.]+)%", out)]
    assert min(shares) > 95.0


def test_each_trial_of_the_recipe_changes_what_is_learned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    trials = runpy.run_path(str(ROOT / "benchmarks" / "trials.py"))["TRIALS"]
    config = robust(Config(epochs=2, frames_per_batch=16))
    config = replace(config, lifter=replace(config.lifter, width=8, blocks=1))
    # A detector with gaps, so that not all labels are equally sure.
    read = ReadSettings(fps=10.0, noise=NOISE_LEVELS["harsh"])
    recordings = [one.frames(slice(0, 40)) for one in read_recordings(["synthetic"], read)[:2]]
    learned = {}
    for name, train in trials.items():
        lifter = train(config, recordings, tmp_path / f"run {name}")
        learned[name] = torch.cat([one.flatten() for one in lifter.parameters()])
        assert learned[name].isfinite().all()
    for name, weights in learned.items():
        assert name == "" or not torch.equal(weights, learned[""]), name


PEER = """
import sys
import numpy as np

scene = np.load(sys.argv[1])
np.savez(sys.argv[2], points=2 * scene["pixels"])
print("ready", flush=True)
for _ in sys.stdin:
    print(int(scene["threads"]), flush=True)
"""


@pytest.fixture
def take_turns(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[torch.Tensor, Any, Any]]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    turns: Callable[..., tuple[torch.Tensor, Any, Any]] = runpy.run_path(
        str(ROOT / "benchmarks" / "peer_process.py")
    )["take_turns"]
    return turns


def test_a_peer_and_we_take_turns_on_the_same_pixels(
    take_turns: Callable[..., tuple[torch.Tensor, Any, Any]], tmp_path: Path
) -> None:
    script, calls = tmp_path / "peer.py", []
    script.write_text(PEER)
    request = {"pixels": torch.ones(3).numpy()}
    points, theirs, ours = take_turns(
        Path(sys.executable), script, request, lambda: calls.append(1), 4
    )
    assert points.tolist() == [2.0, 2.0, 2.0]
    assert (theirs.median, theirs.runs) == (torch.get_num_threads(), 4)
    assert ours.runs == 4
    assert len(calls) == 1 + ours.runs  # a warm-up


@pytest.mark.rejects
def test_a_peer_that_fails_is_named(
    take_turns: Callable[..., tuple[torch.Tensor, Any, Any]], tmp_path: Path
) -> None:
    script = tmp_path / "peer.py"
    script.write_text("raise SystemExit(1)")
    with pytest.raises(RuntimeError, match=r"expected a line from .*peer\.py, got its end"):
        take_turns(Path(sys.executable), script, {}, list, 2)


@pytest.mark.slow
def test_a_peer_that_is_not_installed_is_reported(printed: Printed) -> None:
    out = printed("robust", "--quick")
    for peer in ("aniposelib", "aniposelib-pytorch"):
        assert f"No rows of {peer}: name the Python of its environment" in out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_table_of_a_page_is_the_one_of_the_result_files(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    written = runpy.run_path(str(ROOT / "benchmarks" / "tables.py"))["written"]
    tables = re.findall(r"<!-- table: (.*?) -->\n(.*?)<!-- end -->", page.read_text(), re.DOTALL)
    assert tables
    for name, table in tables:
        assert table.strip() == written(name), f"{name}: run python benchmarks/tables.py"


def save_a_result(checkout: Path) -> Path:
    """Save a result with the `measure.py` of a checkout, and return the file."""
    suite = runpy.run_path(str(checkout / "benchmarks" / "measure.py"))["Suite"]
    saved: Path = suite("law", "cpu", 1, quick=False).save([])
    return saved


def git(checkout: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=checkout, check=True, capture_output=True)


def test_only_a_clean_commit_writes_result_files(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    script = tmp_path / "benchmarks" / "measure.py"
    shutil.copy(ROOT / "benchmarks" / "measure.py", script)
    drafts, results = tmp_path / "build" / "benchmarks", tmp_path / "benchmarks" / "results"
    assert drafts in save_a_result(tmp_path).parents  # no git
    git(tmp_path, "init")
    git(tmp_path, "add", "benchmarks/measure.py")
    git(tmp_path, "commit", "-m", "first")
    saved = save_a_result(tmp_path)
    assert results in saved.parents
    assert re.fullmatch("[0-9a-f]{7,40}", json.loads(saved.read_text())["commit"])
    script.write_text(script.read_text() + "\n# not committed\n")
    saved = save_a_result(tmp_path)
    assert drafts in saved.parents
    assert json.loads(saved.read_text())["commit"].endswith("-dirty")
