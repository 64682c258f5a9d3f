"""Does everything that needs a GPU work there, and how fast is it?

Each part runs in a process of its own with a time limit, so that one that fails or hangs costs no
other part. It writes a result file as it goes; `on-gpu` has the outcome of every part. The whole
ends within eight minutes. The exit status is 0 if all went well, 1 if not, 2 without a GPU.

    python benchmarks/on_gpu.py [--rehearse] [--commit HASH]

`--rehearse` runs all of it tiny on the processor, the kernels by Triton's interpreter, and writes
to build/benchmarks. `--commit` says what is measured where the code lies without its git history.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import monotonic
from traceback import format_exception

import torch
from measure import COMMIT, ROOT, Suite

from multiview_geom._kernels import engines
from multiview_geom._kernels.engines import Engine

# How long all parts may take on a GPU, and one part in a rehearsal [s].
SECONDS, REHEARSAL = 470.0, 300.0


@dataclass(frozen=True)
class Outcome:
    """How a part ended."""

    part: str
    status: str
    seconds: float
    output: str


@dataclass(frozen=True)
class Failure:
    """What could not be measured."""

    traceback: str


def compiling(asked: Suite) -> Iterable[object]:
    """Compile the kernels that are measured."""
    from gpu_cases import compile_kernels

    return compile_kernels(asked)


def triangulation(asked: Suite) -> Iterable[object]:
    """Measure triangulation and undistortion."""
    from gpu_cases import TRIANGULATION, rows

    return rows(asked, TRIANGULATION)


def rotation(asked: Suite) -> Iterable[object]:
    """Measure rotations, alignment and eigenvectors."""
    from gpu_cases import ROTATION, rows

    return rows(asked, ROTATION)


MEASURED: dict[str, Callable[[Suite], Iterable[object]]] = {
    "compiling": compiling,
    "triangulation": triangulation,
    "rotation": rotation,
}
# In a rehearsal the kernels of a GPU take the place of the loops.
INTERPRETED: dict[str, Engine] = {"numba": "triton"}
# How long each part may take [s].
LIMITS = {
    "tests": 75.0,
    "compiling": 60.0,
    "triangulation": 75.0,
    "rotation": 60.0,
    "training_step": 65.0,
    "losses": 50.0,
    "schedule": 115.0,
}


def measure_part(part: str, asked: Suite) -> int:
    """Measure one part in this process; save the rows after each. Return the exit status."""
    found: list[object] = []
    failed = False
    for row in guarded(MEASURED[part], asked):
        failed = failed or isinstance(row, Failure)
        print(row.traceback if isinstance(row, Failure) else row, flush=True)
        found.append(row)
        if part != "compiling":
            asked.save(found)
    return int(failed)


def guarded(rows: Callable[[Suite], Iterable[object]], asked: Suite) -> Iterator[object]:
    """Yield the rows, with the traceback in the place of what fails."""
    try:
        for row in rows(asked):
            yield failure_of(row) if isinstance(row, Exception) else row
    except Exception as error:
        yield failure_of(error)


def failure_of(error: Exception) -> Failure:
    """Return the traceback of an error."""
    return Failure("".join(format_exception(error)))


def command_of(part: str, *, rehearse: bool) -> list[str]:
    """Return the command that runs a part."""
    if part == "tests":
        tests = "tests/multiview_geom/kernels/test_accelerators.py"
        plain = ["-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider"]
        # Most of the time goes into compiling; a rehearsal compiles nothing.
        shared = ["-p", "no:benchmark", "-n", "0" if rehearse else "8"]
        return ["-m", "pytest", "-q", *plain, *shared, tests]
    if part in {"losses", "training_step", "schedule"}:
        end = ["--device", "cpu", "--quick", "--threads", "1"] if rehearse else ["--device", "cuda"]
        return [f"benchmarks/{part}.py", *end]
    return ["benchmarks/on_gpu.py", "--part", part, *(["--rehearse"] if rehearse else [])]


def run_part(part: str, seconds: float, *, rehearse: bool) -> Outcome:
    """Run a part in a process of its own."""
    search = os.pathsep.join((str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")))
    environment = {**os.environ, "PYTHONPATH": search}
    if rehearse:
        environment["TRITON_INTERPRET"] = "1"
    start = monotonic()
    try:
        ended = subprocess.run(
            [sys.executable, *command_of(part, rehearse=rehearse)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
        status = f"exit status {ended.returncode}" if ended.returncode else "passed"
        output = ended.stdout
    except subprocess.TimeoutExpired as late:
        status, output = f"stopped after {seconds:.0f} s", late.stdout or b""
    text = output.decode(errors="replace")[-8_000:]
    return Outcome(part, status, monotonic() - start, text)


def run_all(*, rehearse: bool) -> int:
    """Run all parts, and save how each ended. Return the exit status."""
    suite = Suite("on-gpu", "cpu" if rehearse else "cuda", torch.get_num_threads(), rehearse)
    start, outcomes = monotonic(), []
    for part, limit in LIMITS.items():
        left = min(limit, SECONDS - (monotonic() - start))
        outcome = run_part(part, REHEARSAL if rehearse else left, rehearse=rehearse)
        print(f"{outcome.output}\n{part}: {outcome.status}, {outcome.seconds:.0f} s", flush=True)
        outcomes.append(outcome)
        print(f"saved {suite.save(outcomes)}", flush=True)
    return int(any(outcome.status != "passed" for outcome in outcomes))


def main() -> int:
    """Read the command line, and run all parts or one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rehearse", action="store_true", help="run it tiny, without a GPU")
    parser.add_argument("--commit", help="the commit of a copy of the code")
    parser.add_argument("--part", choices=list(MEASURED), help="measure this part alone")
    options = parser.parse_args()
    if options.commit:
        os.environ[COMMIT] = options.commit
    if not options.rehearse and not torch.cuda.is_available():
        print("on_gpu.py needs a CUDA device, and torch finds none; --rehearse runs without one")
        return 2
    if options.part is None:
        return run_all(rehearse=options.rehearse)
    if options.rehearse:
        sys.path.append(str(ROOT))
        from tests.multiview_geom.kernels.engine_choice import prepare_the_interpreter_once

        prepare_the_interpreter_once()
        choose = engines.choose_engine
        engines.choose_engine = lambda tensor: INTERPRETED.get(choose(tensor), choose(tensor))
    device = "cpu" if options.rehearse else "cuda"
    asked = Suite(f"gpu-{options.part}", device, torch.get_num_threads(), options.rehearse)
    return measure_part(options.part, asked)


if __name__ == "__main__":
    sys.exit(main())
