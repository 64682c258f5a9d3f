"""Benchmarks run, and their pages hold what their result files say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "benchmarks" / "README.md", ROOT / "docs" / "kernels.md"]


@pytest.mark.slow
@pytest.mark.parametrize("script", ["triangulation", "procrustes"])
def test_a_quick_run_ends_well(script: str) -> None:
    command = [sys.executable, f"benchmarks/{script}.py", "--quick", "--threads", "1"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "solver='ours'" in ended.stdout


@pytest.mark.slow
def test_the_accuracy_of_triangulation_is_found() -> None:
    command = [sys.executable, "benchmarks/accuracy.py", "--quick"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "2 cameras, 5 degrees" in ended.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_table_of_a_page_is_written_by_the_script(page: Path) -> None:
    names = re.findall(r"<!-- table: (.*?) -->", page.read_text())
    script = (ROOT / "benchmarks" / "tables.py").read_text()
    assert names
    assert all(f'"{name}": (' in script for name in names)
