"""Which changes to the geometry does no test notice?

Of all changes that mutmut makes to the lines of `multiview_geom`, a sample is drawn with a fixed
seed. Each is made in a copy of the checkout, where the tests of the changed module run: those of
its name or its folder, or the laws for all functions. What Numba and Triton compile is left out.

    python benchmarks/mutants.py [--sample 200] [--minutes 120] [--without calibration]
"""

import argparse
import difflib
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from measure import ROOT, Suite, commit
from mutmut.mutation.file_mutation import create_mutations

SEED = 18
PACKAGE, TESTS = Path("src/multiview_geom"), Path("tests/multiview_geom")
COMPILED = ("cpu", "cuda")
LAWS = tuple(str(TESTS / f"test_{name}.py") for name in ("contract", "under_stress", "cameras"))
OPTIONS = ("-n0", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow and not gpu")
LEFT_OUT = shutil.ignore_patterns("build", "dist", ".git", "runs", "mutants", "__pycache__")
# The tests end after this, or after so many times the time of the unchanged code [s].
LEAST_SECONDS, TIMES = 60.0, 4.0
LONGEST_CHANGE = 120
# Loaded once; each run of the tests is a fork, which needs no other start.
HEAVY = ("torch", "numpy", "scipy", "numba", "kornia")


@dataclass(frozen=True)
class Row:
    """One change: where, what, and whether the tests ended killed, timeout or survived."""

    module: str
    line: int
    change: str
    end: str
    seconds: float


def rows(sample: int, minutes: float, without: list[str]) -> Iterator[Row]:
    """Draw changes, and run the tests on each, until all are done or the time is over."""
    print("looking for changes", flush=True)
    paths = [path for path in _modules() if not {*path.parts} & {*without}]
    changes = [(path, at) for path in paths for at in range(len(_mutations(path)[1]))]
    drawn = random.Random(SEED).sample(changes, sample)
    print(f"{len(changes)} changes; {sample} are drawn", flush=True)
    end = time.monotonic() + 60 * minutes
    for name in HEAVY:
        __import__(name)
    with tempfile.TemporaryDirectory() as home:
        copy = Path(home) / "checkout"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        usual: dict[tuple[str, ...], float] = {}
        for path, at in drawn:
            if time.monotonic() > end:
                return
            yield _row(copy, path, at, usual)


def _modules() -> list[Path]:
    paths = sorted((ROOT / PACKAGE).rglob("*.py"))
    return [path.relative_to(ROOT) for path in paths if not path.stem.startswith(COMPILED)]


def _mutations(path: Path):  # noqa: ANN202 - mutmut's own types
    module, mutations, *_ = create_mutations(str(path), (ROOT / path).read_text())
    return module, mutations


def _row(copy: Path, path: Path, at: int, usual: dict[tuple[str, ...], float]) -> Row:
    module, mutations = _mutations(path)
    one = mutations[at]
    changed = module.deep_replace(one.original_node, one.mutated_node).code
    line, change = _difference(module.code, changed)
    tests = _tests_of(path)
    if tests not in usual:
        usual[tests] = _unchanged(copy, tests)
    begin = time.monotonic()
    (copy / path).write_text(changed)
    code = _pytest(copy, tests, max(LEAST_SECONDS, TIMES * usual[tests]))
    (copy / path).write_text(module.code)
    end = {0: "survived", None: "timeout"}.get(code, "killed")
    return Row(str(path.relative_to("src")), line, change, end, round(time.monotonic() - begin, 1))


def _tests_of(path: Path) -> tuple[str, ...]:
    """Return its examples, and the tests of its name, or of its folder, or the laws for all."""
    inside = path.relative_to(PACKAGE)
    folder = TESTS / inside.parent.parts[0].strip("_") if len(inside.parts) > 1 else TESTS
    own = folder / f"test_{inside.stem.strip('_')}.py"
    if (ROOT / own).exists():
        return (str(path), str(own))
    return (str(path), *(LAWS if folder == TESTS else (str(folder),)))


def _unchanged(copy: Path, tests: tuple[str, ...]) -> float:
    begin = time.monotonic()
    if _pytest(copy, tests, 1800) != 0:
        raise RuntimeError(f"{' '.join(tests)} must pass on unchanged code")
    return time.monotonic() - begin


def _pytest(copy: Path, tests: tuple[str, ...], longest: float) -> int | None:
    """Return the exit status of the tests; None if they took too long."""
    run = multiprocessing.get_context("fork").Process(target=_in_child, args=(copy, tests))
    run.start()
    run.join(longest)
    if run.is_alive():
        run.kill()
        run.join()
        return None
    return run.exitcode


def _in_child(copy: Path, tests: tuple[str, ...]) -> None:
    import pytest

    os.chdir(copy)
    os.environ["HYPOTHESIS_PROFILE"] = "shapes"
    sys.path[:0] = [str(copy / "src"), str(copy)]
    sys.dont_write_bytecode = True
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os._exit(int(pytest.main([*OPTIONS, *tests])))


def _difference(before: str, after: str) -> tuple[int, str]:
    """Return the number of the first changed line, and the lines before and after."""
    old, new = before.splitlines(), after.splitlines()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    _, a, b, c, d = next(code for code in matcher.get_opcodes() if code[0] != "equal")
    lines = (" ".join(" ".join(part).split()) for part in (old[a:b], new[c:d]))
    return a + 1, " -> ".join(line[:LONGEST_CHANGE] for line in lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--without", nargs="*", default=[], help="folders of modules")
    asked = parser.parse_args()
    commit()  # before the measurement, during which the checkout may change
    found = []
    for row in rows(asked.sample, asked.minutes, asked.without):
        print(row, flush=True)
        found.append(row)
    print(Suite("mutants", "cpu", 1, quick=False).save(found))
