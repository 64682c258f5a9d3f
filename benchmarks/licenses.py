"""Which license has every package that this project needs, directly or through others?

python benchmarks/licenses.py
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from measure import ROOT, Suite, answer
from packaging.requirements import Requirement

PROJECT = "multiview-geom"
# What belongs to no extra.
RUNNING = "running"
LONGEST = 60


@dataclass(frozen=True)
class Row:
    """A package, why it is needed, and its license as its metadata state it."""

    package: str
    version: str
    need: str
    license: str


def rows(_: Suite) -> Iterator[Row]:
    """Walk through the requirements of the installed packages, those for running first."""
    seen: set[str] = {PROJECT}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = {RUNNING: project["dependencies"], **project["optional-dependencies"]}
    for need, requirements in needs.items():
        for name in sorted({*_installable(requirements)} - seen):
            yield from _with_requirements(name, need, seen)


def _with_requirements(name: str, need: str, seen: set[str]) -> Iterator[Row]:
    if name in seen:
        return
    seen.add(name)
    try:
        found = distribution(name)
    except PackageNotFoundError:
        yield Row(name, "not installed", need, "")
        return
    yield Row(name, found.version, need, _license(name))
    for other in sorted(_installable(found.requires or [])):
        yield from _with_requirements(other, need, seen)


def _installable(requirements: Iterable[str]) -> Iterator[str]:
    """Yield the packages that are required here, without those of extras."""
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield re.sub(r"[-_.]+", "-", requirement.name).lower()


def _license(name: str) -> str:
    """Return the license expression of a package, or its classifiers, or its first words."""
    metadata = distribution(name).metadata
    classified = [
        one.rpartition(" :: ")[2]
        for one in metadata.get_all("Classifier") or []
        if one.startswith("License ::")
    ]
    stated = " ".join((metadata.get("License") or "").split())[:LONGEST]
    return metadata.get("License-Expression") or ", ".join(classified) or stated or "not stated"


if __name__ == "__main__":
    answer("licenses", rows)
