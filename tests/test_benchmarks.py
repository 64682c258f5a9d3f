"""Benchmarks run, and their pages hold what their result files say."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "benchmarks" / "README.md", ROOT / "docs" / "kernels.md"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "row"),
    [
        ("triangulation", "solver='ours'"),
        ("procrustes", "solver='ours'"),
        ("projection", "way='ours'"),
        ("losses", "loss='L_out'"),
    ],
)
def test_a_quick_run_ends_well(script: str, row: str) -> None:
    command = [sys.executable, f"benchmarks/{script}.py", "--quick", "--threads", "1"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert row in ended.stdout


@pytest.mark.slow
def test_the_accuracy_of_triangulation_is_found() -> None:
    command = [sys.executable, "benchmarks/accuracy.py", "--quick"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "2 cameras, 5 degrees" in ended.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_table_of_a_page_is_the_one_of_the_result_files(page: Path) -> None:
    written = runpy.run_path(str(ROOT / "benchmarks" / "tables.py"))["written"]
    tables = re.findall(r"<!-- table: (.*?) -->\n(.*?)<!-- end -->", page.read_text(), re.DOTALL)
    assert tables
    for name, table in tables:
        assert table.strip() == written(name), f"{name}: run python benchmarks/tables.py"
