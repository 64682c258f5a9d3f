"""The README and the pages run and print what they say."""

import re
import runpy
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import multiview_geom
import selfsup_lifting
from selfsup_lifting.cli.parsing import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


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
    # torch for CUDA asks for one version of Triton, which no pin of ours may contradict.
    assert {need for need in direct if "[" not in need} - pinned == {"triton"}


def test_ci_installs_known_files_of_the_pinned_versions() -> None:
    listed = (ROOT / ".ci" / "requirements.txt").read_text()
    blocks = re.split(r"^(?=[a-z])", listed, flags=re.MULTILINE)[1:]
    assert [block for block in blocks if "--hash=sha256:" not in block] == []
    locked = {block.split()[0] for block in blocks}
    names = {one.split("==")[0] for one in locked}
    pinned = re.findall(r"^([\w-]+)(==.*)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert {name + version for name, version in pinned if name in names} <= locked
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    groups = [project["dependencies"], *(extras[one] for one in ("bench", "c3d", "docs", "dev"))]
    direct = {re.split("[>;]", need)[0] for group in groups for need in group if "[" not in need}
    assert direct - names == {"torch"}, "run .ci/lock"


def groups(text: str, heading: str, name: str) -> dict[str, list[str]]:
    """Return the names under each heading that has any."""
    parts = re.split(rf"^{heading}(.*)$", text, flags=re.MULTILINE)[1:]
    found = {
        title.rstrip("."): re.findall(name, part, re.MULTILINE)
        for title, part in zip(parts[::2], parts[1::2], strict=True)
    }
    return {title: names for title, names in found.items() if names}


def test_the_api_page_is_grouped_like_the_package() -> None:
    package = (ROOT / "src" / "multiview_geom" / "__init__.py").read_text()
    text = (ROOT / "docs" / "api.md").read_text()
    page = groups(text, "## ", r"^\.\. (?:auto\w+|py:data):: (\w+)$")
    assert page.pop("The trainer") == selfsup_lifting.__all__
    assert list(page.items()) == list(groups(package, "# ", r" as (\w+)").items())


PUBLIC = [
    *(getattr(multiview_geom, name) for name in dir(multiview_geom) if name[0] != "_"),
    *(getattr(selfsup_lifting, name) for name in selfsup_lifting.__all__),
]


@pytest.mark.parametrize(
    "public", [one for one in PUBLIC if callable(one)], ids=lambda one: one.__name__
)
def test_every_public_name_has_an_example(public: Callable[..., object]) -> None:
    assert ">>> " in (public.__doc__ or "")


def test_what_to_call_instead_of_other_libraries_exists() -> None:
    page = (ROOT / "docs" / "coming_from.md").read_text()
    ours = [line.split("|")[2] for line in page.splitlines() if line.startswith("|")]
    names = {name for cell in ours for name in re.findall(r"`([a-z_]+)[(`]", cell)}
    assert len(names) > 20
    assert [name for name in names - {*COMMANDS} if not hasattr(multiview_geom, name)] == []


def test_contributing_quotes_the_code_of_today() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    quotes = re.findall(r"```python\n# (\S+)\n(.*?)```", page, re.DOTALL)
    assert len(quotes) == page.count("```python")
    for path, quote in quotes:
        code = (ROOT / path).read_text()
        missing = [part for part in re.split(r"\n{2,}", quote.strip()) if part not in code]
        assert missing == [], path


def test_the_tree_in_contributing_names_what_exists() -> None:
    (tree,) = re.findall(r"```text\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    package = ROOT
    for line in tree.splitlines():
        names = re.split(r" {3,}", line.strip())[0].split()
        folder = package if line.startswith(" ") else ROOT
        missing = [name for name in names if not any(folder.glob(f"{name.rstrip('/')}*"))]
        assert missing == [], line
        package = folder / names[0] if names[0].startswith("src/") else package


def test_ruff_is_the_same_before_a_commit_and_in_ci() -> None:
    (hook,) = re.findall(r"rev: v(\S+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert f"ruff=={hook}\n" in (ROOT / "constraints.txt").read_text()


def test_the_version_is_everywhere_the_same() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    date = re.findall(rf"## {re.escape(version)} - (\S+)", (ROOT / "CHANGELOG.md").read_text())
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {version}\n" in citation
    assert f"\ndate-released: {date[0]}\n" in citation
