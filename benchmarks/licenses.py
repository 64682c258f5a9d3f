"""Which license has every package that this project needs, directly or through others?

python benchmarks/licenses.py
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from measure import Suite, answer
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
    extras = distribution(PROJECT).metadata.get_all("Provides-Extra") or []
    for need in (RUNNING, *sorted(extras)):
        for name in sorted({*_requirements(PROJECT, need)} - seen):
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
    for other in sorted(_requirements(name, RUNNING)):
        yield from _with_requirements(other, need, seen)


def _requirements(name: str, extra: str) -> Iterator[str]:
    """Yield the packages that a package requires here, for running or for one of its extras."""
    for text in distribution(name).requires or []:
        requirement = Requirement(text)
        environment = {"extra": "" if extra == RUNNING else extra}
        of_extra = requirement.marker is not None and "extra" in str(requirement.marker)
        if of_extra == (extra == RUNNING):
            continue
        if requirement.marker is None or requirement.marker.evaluate(environment):
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
