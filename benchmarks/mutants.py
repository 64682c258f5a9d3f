"""Which changes to the geometry does no test notice?

Of all changes that mutmut makes to the lines of `multiview_geom`, a sample is drawn with a fixed
seed. Each is made in a copy of the checkout, where tests run until one fails, the fastest first:
those of the name or the folder of the module and its examples; then the laws for all functions,
and every file of tests that names what the module defines; for a module without public names, what
the modules that import it define. Hypothesis draws few examples. A test that fails must pass on the
unchanged code, and tests that take too long must not do so on it.

Left out are the loops that Numba and Triton compile, the words of errors, and names of axes in
types. mutmut itself leaves out docstrings, annotations and functions with decorators.

    python benchmarks/mutants.py [--sample 200] [--minutes 120] [--without calibration]
    python benchmarks/mutants.py --again    only those that were not noticed the last time
    python benchmarks/mutants.py --more     go on with changes that were not drawn before
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
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import libcst
import libcst.matchers as m
from measure import ROOT, Suite, commit
from mutmut.mutation.file_mutation import create_mutations

SEED = 18
PACKAGE, TESTS = Path("src/multiview_geom"), Path("tests/multiview_geom")
WORK, REASONS = ROOT / "build" / "mutants", ROOT / "benchmarks" / "unnoticed_changes.toml"
COMPILED = ("cpu", "cuda", "numba", "triton")
OPTIONS = ("-n0", "-q", "-p", "no:cacheprovider", "-m", "not slow and not gpu")
OPTIONS += ("-k", "not compile and not export")  # they take seconds each
# Names of cases that go through many modules.
PASSED = {"Cameras", "Lens"}
LAWS = [TESTS / f"test_{name}.py" for name in ("contract", "under_stress", "edge_sizes")]
# They compare compiled loops with the reference, take minutes, and are asked last.
SLOW = ("test_engines", "test_reweighted_engines", "test_rotation_engines", "test_gpu_code")
LEFT_OUT = shutil.ignore_patterns("build", "dist", ".git", "runs", "mutants", "__pycache__")
# Tests that take longer end [s].
LONGEST = 600.0
# The exit status of pytest if nothing was collected.
NO_TESTS = 5
LONGEST_CHANGE = 120
# Loaded once; each run of the tests is a fork, which needs no other start.
HEAVY = ("torch", "numpy", "scipy", "numba", "kornia", "h5py", "cv2")
TYPES = {"Float", "Bool", "Int", "Num", "Shaped", "Literal", "Annotated"}


# The tests that noticed changes of a module, and how long tests take [s].
KILLERS: dict[Path, list[str]] = defaultdict(list)
SECONDS: dict[str, float] = {}


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
        reason: Why no test noticed the change, where a person found that.
        commit: The code that was changed.
    """

    module: str
    line: int
    change: str
    end: str
    by: str
    seconds: float
    reason: str = ""
    commit: str = ""


class Prepared:
    """A plugin of pytest that prepares a run.

    It imports the package before examples of its modules are collected. Else pytest imports such a
    module itself, beside the one that the package has, and the classes of the two are different.
    Hypothesis need not look for the simplest example that fails.
    """

    def pytest_sessionstart(self) -> None:
        from hypothesis import Phase, settings

        __import__(PACKAGE.name)
        settings.register_profile("fails or not", phases=[Phase.explicit, Phase.generate])
        settings.load_profile("fails or not")


class Ordered(Prepared):
    """A plugin of pytest that runs tests that failed before first, then laws, then the fastest.

    Of the laws for all functions it leaves out those for functions that have other names.
    """

    def __init__(self, path: Path, names: list[str], record: Path) -> None:
        self.record = record
        # What a module without public names changes is noticed in public functions of any name.
        own = _public() & {*names}
        self.others = _public() - own - PASSED if own else set()
        self.first, self.seconds, self.by = KILLERS[path], {}, ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        some = [item for item in items if not self._is_of_others(item.nodeid)]
        items[:] = sorted(some, key=lambda item: SECONDS.get(item.nodeid, 0.5))
        items.sort(key=lambda item: (item.nodeid not in self.first, not _is_law(item.nodeid)))

    def _is_of_others(self, test: str) -> bool:
        case = test.partition("[")[2]
        return _is_law(test) and not self.others.isdisjoint(re.findall(r"\w+", case))

    def pytest_runtest_logreport(self, report: Any) -> None:  # noqa: ANN401 - pytest's own type
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        self.by = report.nodeid if report.failed else self.by
        self.record.write_text(json.dumps([self.by, self.seconds]))


def _is_law(test: str) -> bool:
    """Tell whether a test is a law for all functions."""
    return any(test.startswith(f"{law}::") for law in LAWS)


def rows(changes: Iterator[tuple[Path, int]], minutes: float) -> Iterator[Row]:
    """Run the tests on each change, until the time is over."""
    for name in HEAVY:
        __import__(name)
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(ROOT, WORK / "checkout", ignore=LEFT_OUT)
    end = time.monotonic() + 60 * minutes
    for path, at in changes:
        if time.monotonic() > end:
            return
        yield _row(path, at)


def drawn(without: list[str], judged: list[Row]) -> Iterator[tuple[Path, int]]:
    """Draw all changes in a random order, but those that were judged before."""
    paths = [path for path in _modules() if not {*path.parts} & {*without}]
    changes = [(path, at) for path in paths for at in range(len(_mutations(path)[1]))]
    print(f"{len(changes)} changes; {len(judged)} are judged", flush=True)
    random.Random(SEED).shuffle(changes)
    known = {(row.module, row.change) for row in judged}
    for path, at in changes:
        module, mutations = _mutations(path)
        change = _difference(module.code, _changed(module, mutations[at]))[1]
        if (str(path.relative_to("src")), change) not in known:
            yield path, at


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
    """Find a change again, wherever in its file its line is now."""
    path = Path("src") / row.module
    if not (ROOT / path).exists():
        return
    module, mutations = _mutations(path)
    before = row.change.partition(" -> ")[0]
    for at, one in enumerate(mutations):
        words = " ".join(module.code_for_node(one.original_node).split())
        # To make every change of a module takes minutes.
        near = len(before) >= LONGEST_CHANGE or words in before or before in words
        if near and _difference(module.code, _changed(module, one))[1] == row.change:
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
    return Row(name, line, change, *ends[-1][:2], seconds, _reason(name, change), commit())


def _ends(path: Path, changed: str) -> Iterator[tuple[str, str, float]]:
    """Run a module's own tests, then the others; yield how each ended, by which test, and when."""
    for tests in (_own_tests(path), _other_tests(path)):
        begin = time.monotonic()
        with _content(WORK / "checkout" / path, changed):
            end, by = _judged(path, tests)
        if end == "timeout" and not _end(tests):
            end = "survived"  # these tests take as long on the unchanged code
        yield end, by, time.monotonic() - begin
        if by and not _passes(by):
            raise RuntimeError(f"{by} must pass on unchanged code: see {WORK / 'output'}")
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
    found = [test for test in own or others if test.stem not in SLOW]
    return (*found, path)


@cache
def _other_tests(path: Path) -> tuple[Path, ...]:
    """Return the laws for all functions, and files of tests that name what a module is used for."""
    named = re.compile(rf"\b({'|'.join(sorted(_uses(path)))})\b")
    files = [
        file.relative_to(ROOT)
        for file in sorted((ROOT / TESTS).rglob("test_*.py"))
        if named.search(file.read_text())
    ]
    return tuple(file for file in dict.fromkeys([*LAWS, *files]) if file not in _own_tests(path))


def _uses(path: Path) -> set[str]:
    """Return the names of a module; if none is public, those of the modules that import it too."""
    found, ahead = {path.stem}, [path]
    for one in ahead:
        found |= {*_names(one)}
        if not _public() & {*_names(one)}:
            ahead += [user for user in _users(one) if user not in ahead]
    return found


@cache
def _users(path: Path) -> list[Path]:
    """Return the modules that import a module."""
    *folders, _ = path.relative_to("src").parts
    dotted = ".".join([*folders, path.stem])
    imports = re.compile(
        rf"^\s*(from {dotted} import|from {'.'.join(folders)} import .*\b{path.stem}\b)",
        re.MULTILINE,
    )
    modules = (ROOT / PACKAGE).rglob("*.py")
    return [one.relative_to(ROOT) for one in modules if imports.search(one.read_text())]


@cache
def _names(path: Path) -> list[str]:
    return re.findall(r"^(?:def|class) ([a-zA-Z]\w+)", (ROOT / path).read_text(), re.MULTILINE)


@cache
def _public() -> set[str]:
    return {*re.findall(r" as (\w+)", (ROOT / PACKAGE / "__init__.py").read_text())}


@cache
def _end(tests: tuple[Path, ...]) -> bool:
    """Tell whether tests end in time on the unchanged code."""
    return _pytest(Prepared(), [*map(str, tests)]) is not None


def _judged(path: Path, tests: tuple[Path, ...]) -> tuple[str, str]:
    """Run tests until one fails; return how that ended, and the test that failed."""
    record = WORK / "record.json"
    record.write_text('["", {}]')
    # What Numba compiles of a change is of no use to others.
    caches = {"XDG_CACHE_HOME": str(WORK / "cache")} if "_kernels" in path.parts else {}
    with patch.dict(os.environ, caches):
        code = _pytest(Ordered(path, _names(path), record), ["-x", *map(str, tests)])
    shutil.rmtree(WORK / "cache", ignore_errors=True)
    by, seconds = json.loads(record.read_text())
    SECONDS.update(seconds)
    if code in (0, NO_TESTS):
        return "survived", ""
    if by:
        KILLERS[path].append(by)
    return "timeout" if code is None else "killed", by


@cache
def _passes(test: str) -> bool:
    """Tell whether a test passes on the unchanged code."""
    return _pytest(Prepared(), [test]) == 0


def _pytest(plugin: object, places: list[str]) -> int | None:
    """Return the exit status of the tests; None if they took too long."""
    run = multiprocessing.get_context("fork").Process(target=_in_child, args=(plugin, places))
    run.start()
    run.join(LONGEST)
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
    sys.dont_write_bytecode = isinstance(plugin, Ordered)
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
    """Return why no test noticed a change, if a person found that."""
    for one in tomllib.loads(REASONS.read_text()).get("change", []):
        if (one["module"], one["change"]) == (module, change):
            return str(one["reason"])
    return ""


def saved(path: Path) -> list[Row]:
    """Return the rows of the last run, each with its commit."""
    record = json.loads(path.read_text())
    return [Row(**{"commit": record["commit"], **row}) for row in record["rows"]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--without", nargs="*", default=[], help="folders of modules")
    parser.add_argument("--again", action="store_true", help="only those not noticed before")
    parser.add_argument("--more", action="store_true", help="only those not drawn before")
    asked = parser.parse_args()
    commit()  # before the measurement, during which the checkout may change
    suite = Suite("mutants", "cpu", 1, quick=False)
    before = saved(suite.path) if asked.again or asked.more else []
    kept = {(row.module, row.change): row for row in before}
    changes = islice(drawn(asked.without, before), asked.sample)
    if asked.again:
        places = {key: [*_found(row)] for key, row in kept.items() if row.end == "survived"}
        # A line that has been written anew is not there to be changed.
        kept = {key: row for key, row in kept.items() if places.get(key) != []}
        changes = iter([place for found in places.values() for place in found])
    for row in rows(changes, asked.minutes):
        print(json.dumps(asdict(row)), flush=True)
        kept[row.module, row.change] = row
        suite.save(kept.values())  # a run that is stopped keeps what it found
    print(suite.path)
