"""Which changes to the geometry does no test notice?

Of all changes that mutmut makes to the lines of `multiview_geom`, a sample is drawn with a fixed
seed. Each is made in a copy of the checkout, where tests run until one fails, the fastest first:
those of the name or the folder of the module and its examples; then the laws for all functions,
and every file of tests that names what the module defines. Hypothesis draws few examples.

Left out are the loops that Numba and Triton compile, the words of errors, and names of axes in
types. mutmut itself leaves out docstrings, annotations and functions with decorators.

    python benchmarks/mutants.py [--sample 200] [--minutes 120] [--without calibration]
    python benchmarks/mutants.py --again    only those that were not noticed the last time
"""

import argparse
import difflib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import libcst
import libcst.matchers as m
from measure import ROOT, Suite, commit
from mutmut.mutation.file_mutation import create_mutations

SEED = 18
PACKAGE, TESTS = Path("src/multiview_geom"), Path("tests/multiview_geom")
WORK, REASONS = ROOT / "build" / "mutants", ROOT / "benchmarks" / "equivalent_changes.toml"
COMPILED = ("cpu", "cuda", "triton")
OPTIONS = ("-n0", "-q", "-p", "no:cacheprovider", "-m", "not slow and not gpu")
LAWS = [TESTS / f"test_{name}.py" for name in ("contract", "under_stress", "edge_sizes")]
# They compare compiled loops with the reference, and take minutes.
NOT_ASKED = ("test_engines", "test_reweighted_engines", "test_rotation_engines", "test_gpu_code")
LEFT_OUT = shutil.ignore_patterns("build", "dist", ".git", "runs", "mutants", "__pycache__")
# The tests end after this, or after so many times the time of the unchanged code [s].
LEAST_SECONDS, TIMES = 60.0, 5.0
# The exit status of pytest if nothing was collected.
NO_TESTS = 5
# A change of a formula that Numba compiles takes this longer [s].
COMPILING = 300.0
LONGEST_CHANGE = 120
# Loaded once; each run of the tests is a fork, which needs no other start.
HEAVY = ("torch", "numpy", "scipy", "numba", "kornia", "h5py", "cv2")
TYPES = {"Float", "Bool", "Int", "Num", "Shaped", "Literal", "Annotated"}


@dataclass(frozen=True)
class Row:
    """One change: where, what, and whether the tests ended killed, timeout or survived.

    Attributes:
        module: The file.
        line: Its first changed line.
        change: The lines before and after.
        end: How the tests ended.
        by: The test that failed.
        seconds: The time of its tests [s].
        reason: Why no test can notice the change, where a person found that.
    """

    module: str
    line: int
    change: str
    end: str
    by: str
    seconds: float
    reason: str = ""


class ImportedOnce:
    """A plugin of pytest that imports the package before examples of its modules are collected.

    Else pytest imports such a module itself, beside the one that the package has, and the classes
    of the two are different.
    """

    def pytest_sessionstart(self) -> None:
        __import__(PACKAGE.name)


class Recorder(ImportedOnce):
    """A plugin of pytest that records how long each test takes, and which fails."""

    def __init__(self, path: Path) -> None:
        self.path, self.seconds, self.failed = path, defaultdict(float), []

    def pytest_runtest_logreport(self, report: Any) -> None:  # noqa: ANN401 - pytest's own type
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(json.dumps([self.seconds, self.failed]))


class Chosen(ImportedOnce):
    """A plugin of pytest that runs some tests, the fastest first, and names the one that fails."""

    def __init__(self, seconds: dict[str, float], failed: Path) -> None:
        self.seconds, self.failed = seconds, failed

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        some = [item for item in items if item.nodeid in self.seconds]
        items[:] = sorted(some, key=lambda item: self.seconds[item.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:  # noqa: ANN401 - pytest's own type
        if report.failed:
            self.failed.write_text(report.nodeid)


def rows(sample: int, minutes: float, without: list[str], again: list[Row]) -> Iterator[Row]:
    """Draw changes, or take those of `again`; run the tests on each, until the time is over."""
    paths = [path for path in _modules() if not {*path.parts} & {*without}]
    if again:
        drawn = [(path, at) for row in again for path, at in _found(row)]
    else:
        changes = [(path, at) for path in paths for at in range(len(_mutations(path)[1]))]
        drawn = random.Random(SEED).sample(changes, sample)
        print(f"{len(changes)} changes; {sample} are drawn", flush=True)
    for name in HEAVY:
        __import__(name)
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(ROOT, WORK / "checkout", ignore=LEFT_OUT)
    end = time.monotonic() + 60 * minutes
    for path, at in drawn:
        if time.monotonic() > end:
            return
        yield _row(path, at)


def _modules() -> list[Path]:
    paths = sorted((ROOT / PACKAGE).rglob("*.py"))
    return [path.relative_to(ROOT) for path in paths if not path.stem.startswith(COMPILED)]


@cache
def _mutations(path: Path):  # noqa: ANN202 - mutmut's own types
    module, mutations, *_ = create_mutations(str(path), (ROOT / path).read_text())
    types = m.Subscript(value=m.Name(value=m.MatchIfTrue(TYPES.__contains__)))
    words = {
        text
        for place in m.findall(module, m.Raise() | types)
        for text in m.findall(place, m.SimpleString())
    }
    return module, [one for one in mutations if one.original_node not in words]


def _found(row: Row) -> Iterator[tuple[Path, int]]:
    """Find a change again, wherever its line is now."""
    path = Path("src") / row.module
    module, mutations = _mutations(path)
    for at, one in enumerate(mutations):
        if _difference(module.code, _changed(module, one))[1] == row.change:
            yield path, at
            return


def _changed(module: libcst.Module, one: Any) -> str:  # noqa: ANN401 - mutmut's own type
    return module.deep_replace(one.original_node, one.mutated_node).code


def _row(path: Path, at: int) -> Row:
    module, mutations = _mutations(path)
    changed = _changed(module, mutations[at])
    line, change = _difference(module.code, changed)
    ends = [*_ends(path, changed)]
    seconds = round(sum(one[2] for one in ends), 1)
    name = str(path.relative_to("src"))
    return Row(name, line, change, *ends[-1][:2], seconds, _reason(name, change))


def _ends(path: Path, changed: str) -> Iterator[tuple[str, str, float]]:
    """Run a module's own tests, then the others; yield how each ended, by which test, and when."""
    for tests in (_own_tests(path), _other_tests(path)):
        known = {name: seconds for test in tests for name, seconds in _seconds(test).items()}
        begin = time.monotonic()
        with _content(WORK / "checkout" / path, changed):
            end, by = _judged(path, tests, known)
        yield end, by, time.monotonic() - begin
        if end != "survived":
            return


@contextmanager
def _content(path: Path, changed: str) -> Iterator[None]:
    """Change a file for a while; its time stays, for those who cache what they compiled."""
    aside = path.rename(path.with_suffix(".original"))
    path.write_text(changed)
    try:
        yield
    finally:
        aside.replace(path)


@cache
def _own_tests(path: Path) -> tuple[Path, ...]:
    """Return the examples of a module, and the tests of its name, or of its folder."""
    inside = path.relative_to(PACKAGE)
    folder = TESTS / inside.parent.parts[0].strip("_") if len(inside.parts) > 1 else TESTS
    own = [*folder.rglob(f"test_{inside.stem.strip('_')}.py")]
    others = [] if folder == TESTS else sorted(folder.rglob("test_*.py"))
    found = [test for test in own or others if test.stem not in NOT_ASKED]
    return (*found, path)


@cache
def _other_tests(path: Path) -> tuple[Path, ...]:
    """Return the laws for all functions, and files of tests that name what a module defines."""
    names = re.findall(r"^(?:def|class) (\w+)", (ROOT / path).read_text(), re.MULTILINE)
    named = re.compile(rf"\b({'|'.join([path.stem, *names])})\b")
    files = [
        file.relative_to(ROOT)
        for file in sorted((ROOT / TESTS).rglob("test_*.py"))
        if file.stem not in NOT_ASKED and named.search(file.read_text())
    ]
    return tuple(file for file in dict.fromkeys([*LAWS, *files]) if file not in _own_tests(path))


@cache
def _seconds(file: Path) -> dict[str, float]:
    """Run the tests of a file on the unchanged code; return how long each takes."""
    record = WORK / "tests.json"
    record.unlink(missing_ok=True)
    if _pytest(Recorder(record), [str(file)], 3600.0) is None or not record.exists():
        raise RuntimeError(f"{file} must end on unchanged code: see {WORK / 'output'}")
    seconds, failed = json.loads(record.read_text())
    if failed:
        raise RuntimeError(f"{', '.join(failed)} must pass on unchanged code")
    return seconds


def _judged(path: Path, tests: tuple[Path, ...], known: dict[str, float]) -> tuple[str, str]:
    """Run tests until one fails; return how that ended, and the test that failed."""
    failed = WORK / "failed"
    failed.unlink(missing_ok=True)
    longest = max(LEAST_SECONDS, TIMES * sum(known.values()))
    longest += COMPILING * ("_kernels" in path.parts)
    # What Numba compiles of a change is of no use to others.
    caches = {"XDG_CACHE_HOME": str(WORK / "cache")} if "_kernels" in path.parts else {}
    with patch.dict(os.environ, caches):
        code = _pytest(Chosen(known, failed), ["-x", *map(str, tests)], longest)
    shutil.rmtree(WORK / "cache", ignore_errors=True)
    if code in (0, NO_TESTS):
        return "survived", ""
    by = failed.read_text() if failed.exists() else ""
    return "timeout" if code is None else "killed", by


def _pytest(plugin: object, places: list[str], longest: float) -> int | None:
    """Return the exit status of the tests; None if they took too long."""
    run = multiprocessing.get_context("fork").Process(target=_in_child, args=(plugin, places))
    run.start()
    run.join(longest)
    if not run.is_alive():
        return run.exitcode
    with suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.join()
    return None


def _in_child(plugin: object, places: list[str]) -> None:
    import pytest
    import torch

    os.setsid()
    os.chdir(WORK / "checkout")
    os.environ["HYPOTHESIS_PROFILE"] = "shapes"
    sys.path[:0] = [str(WORK / "checkout" / "src"), str(WORK / "checkout")]
    sys.dont_write_bytecode = isinstance(plugin, Chosen)
    output = os.open(WORK / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    torch.set_num_threads(1)
    os._exit(int(pytest.main([*OPTIONS, *places], plugins=[plugin])))


def _difference(before: str, after: str) -> tuple[int, str]:
    """Return the number of the first changed line, and the lines before and after."""
    old, new = before.splitlines(), after.splitlines()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    _, a, b, c, d = next(code for code in matcher.get_opcodes() if code[0] != "equal")
    lines = (" ".join(" ".join(part).split()) for part in (old[a:b], new[c:d]))
    return a + 1, " -> ".join(line[:LONGEST_CHANGE] for line in lines)


def _reason(module: str, change: str) -> str:
    """Return why a change is none, if a person found that."""
    for one in tomllib.loads(REASONS.read_text()).get("change", []):
        if (one["module"], one["change"]) == (module, change):
            return str(one["reason"])
    return ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--without", nargs="*", default=[], help="folders of modules")
    parser.add_argument("--again", action="store_true", help="only those not noticed before")
    asked = parser.parse_args()
    commit()  # before the measurement, during which the checkout may change
    suite = Suite("mutants", "cpu", 1, quick=False)
    saved = json.loads(suite.path.read_text())["rows"] if asked.again else []
    before = [Row(**row) for row in saved]
    noticed = [row for row in before if row.end != "survived"]
    survived = [row for row in before if row.end == "survived"]
    found = []
    for row in rows(asked.sample, asked.minutes, asked.without, survived):
        print(json.dumps(asdict(row)), flush=True)
        found.append(row)
    print(suite.save(noticed + found))
