"""The README and the pages run and print what they say."""

import runpy
import tomllib
from pathlib import Path

import pytest

from selfsup_lifting.cli.options import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    targets = [part.split(")")[0].split("#")[0] for part in page.read_text().split("](")[1:]]
    local = [target for target in targets if target and "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "pip install -c constraints.txt -e . && selfsup-lifting train" in readme
    assert 'pip install -c constraints.txt -e ".[dev]" && pytest' in readme


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "training.md").read_text()
    assert [command for command in COMMANDS if f"selfsup-lifting {command}" not in page] == []


def test_the_tables_of_the_ablation_are_those_of_its_files() -> None:
    generated = runpy.run_path(str(ROOT / "docs" / "figures" / "ablation.py"))["generated"]()
    assert generated in (ROOT / "docs" / "training.md").read_text()


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        line.split("==")[0]
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    direct = {need.split(">=")[0] for group in groups for need in group}
    assert {need for need in direct if "[" not in need} <= pinned
