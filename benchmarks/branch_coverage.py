"""Which lines and branches does no test of a package execute?

Each package is measured by its own tests, with the random examples of CI, and its result is saved
before the next one begins. A line counts as missing if no test executes it, a branch if no test
goes that way. Processes that tests start count too. What a compiler executes instead of Python is
left out, as `pyproject.toml` lists it. Tests that need a GPU or files that are not published are
skipped. Tests that fail are named in the result: what they do not reach counts as missing.

    python benchmarks/branch_coverage.py [--packages multiview_geom] [--processes 2]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from measure import ROOT, Suite, commit

TESTS = {
    "multiview_geom": ("tests/multiview_geom", "src/multiview_geom"),
    "selfsup_lifting": ("tests/selfsup_lifting", "src/selfsup_lifting", "docs", "README.md"),
}


@dataclass(frozen=True)
class Row:
    """One package: statements and branches, those not executed by file, and tests that failed."""

    package: str
    statements: int
    branches: int
    missing: dict[str, list[int]]
    missing_branches: dict[str, list[list[int]]]
    failed: list[str]
    commit: str

    @property
    def share(self) -> float:
        """The share of statements and branches that the tests execute."""
        missing = [*self.missing.values(), *self.missing_branches.values()]
        return 1 - sum(map(len, missing)) / (self.statements + self.branches)


def measured(package: str, profile: str, processes: int) -> Row:
    """Run the tests of a package, and count what they execute in it."""
    with tempfile.TemporaryDirectory() as folder:
        report, tests = Path(folder) / "coverage.json", Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"-n{processes}", *TESTS[package]]
        command += ["-p", "no:cacheprovider", f"--cov={package}"]
        command += ["--cov-branch", f"--cov-report=json:{report}", f"--junitxml={tests}"]
        surroundings = {"HYPOTHESIS_PROFILE": profile, "COVERAGE_FILE": f"{folder}/coverage"}
        subprocess.run(command, cwd=ROOT, env={**os.environ, **surroundings}, check=False)
        failed = [
            f"{case.get('classname')}.{case.get('name')}"
            for case in ElementTree.parse(tests).iter("testcase")
            if case.find("failure") is not None or case.find("error") is not None
        ]
        return _row(package, json.loads(report.read_text())["files"], failed)


def _row(package: str, files: dict[str, dict[str, Any]], failed: list[str]) -> Row:
    own = {name.partition("src/")[2]: file for name, file in files.items() if f"{package}/" in name}
    sums = [file["summary"] for file in own.values()]
    return Row(
        package,
        sum(one["num_statements"] for one in sums),
        sum(one["num_branches"] for one in sums),
        *(
            {name: file[kind] for name, file in own.items() if file[kind]}
            for kind in ("missing_lines", "missing_branches")
        ),
        failed,
        commit(),
    )


if __name__ == "__main__":
    # A shell starts what runs in the background without these, which tests send to processes.
    for stop in (signal.SIGINT, signal.SIGHUP):
        signal.signal(stop, signal.SIG_DFL)
    parser = argparse.ArgumentParser()
    parser.add_argument("--packages", nargs="*", default=[*TESTS])
    parser.add_argument("--profile", default="ci", help="of Hypothesis; another one saves a draft")
    parser.add_argument("--processes", type=int, default=2, help="that run tests side by side")
    asked = parser.parse_args()
    commit()  # before the measurement, during which the checkout may change
    suite = Suite("coverage", "cpu", asked.processes, quick=asked.profile != "ci")
    known = json.loads(suite.path.read_text())["rows"] if suite.path.exists() else []
    rows = {row["package"]: Row(**row) for row in known}
    for package in asked.packages:
        rows[package] = measured(package, asked.profile, asked.processes)
        print(rows[package], f"{rows[package].share:.2%}", flush=True)
        print(suite.save(rows[name] for name in TESTS if name in rows))
