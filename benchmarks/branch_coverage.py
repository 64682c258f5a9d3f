"""Which lines and branches does no test execute?

All tests run once, with the random examples of CI. A line counts as missing if no test executes it,
a branch if no test goes that way. The loops that Numba and Triton compile are left out: what
executes them is no Python. Tests that need a GPU or files that are not published are skipped.

    python benchmarks/branch_coverage.py [--tests tests/multiview_geom src/multiview_geom]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from measure import ROOT, Suite, commit

PACKAGES = ("multiview_geom", "selfsup_lifting")
COMPILED = ("cpu", "cuda", "triton")


@dataclass(frozen=True)
class Row:
    """One package: its statements and branches, and those that no test executes."""

    package: str
    statements: int
    branches: int
    missing: dict[str, list[int]]
    missing_branches: dict[str, list[list[int]]]

    @property
    def share(self) -> float:
        """The share of statements and branches that the tests execute."""
        missing = [*self.missing.values(), *self.missing_branches.values()]
        return 1 - sum(map(len, missing)) / (self.statements + self.branches)


def rows(tests: list[str], packages: list[str], profile: str) -> Iterator[Row]:
    """Run the tests, and count what they execute in each package."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        command = [sys.executable, "-m", "pytest", "-n0", "-q", "-p", "no:cacheprovider", *tests]
        command += [f"--cov={name}" for name in packages]
        command += ["--cov-branch", f"--cov-report=json:{report}"]
        surroundings = {"HYPOTHESIS_PROFILE": profile, "COVERAGE_FILE": f"{folder}/coverage"}
        subprocess.run(command, cwd=ROOT, env={**os.environ, **surroundings}, check=True)
        files = json.loads(report.read_text())["files"]
    for package in packages:
        own = {name: file for name, file in files.items() if f"{package}/" in name}
        yield _row(package, own)


def _row(package: str, files: dict[str, dict]) -> Row:
    python = {
        name.partition("src/")[2]: file
        for name, file in files.items()
        if not Path(name).stem.startswith(COMPILED)
    }
    sums = [file["summary"] for file in python.values()]
    return Row(
        package,
        sum(one["num_statements"] for one in sums),
        sum(one["num_branches"] for one in sums),
        {name: file["missing_lines"] for name, file in python.items() if file["missing_lines"]},
        {
            name: file["missing_branches"]
            for name, file in python.items()
            if file["missing_branches"]
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tests", nargs="*", default=[], help="files and folders; all by default")
    parser.add_argument("--packages", nargs="*", default=PACKAGES)
    parser.add_argument("--profile", default="ci", help="of Hypothesis")
    asked = parser.parse_args()
    commit()  # before the measurement, during which the checkout may change
    found = [*rows(asked.tests, [*asked.packages], asked.profile)]
    for row in found:
        print(row, f"{row.share:.2%}")
    print(Suite("coverage", "cpu", 1, quick=bool(asked.tests)).save(found))
