"""How long does a call take, how much memory does it need, and where was that measured?

Times are the median of at least seven runs and the distance between the quartiles, after a warm-up,
with the device synchronized. Memory is the peak of the process (or of the GPU) minus its memory
before the call. A result file states the commit, the versions and the threads. Only a clean commit
writes to `results/`, so that every published number can be measured again.
"""

import argparse
import ctypes
import json
import os
import platform
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

import torch
from torch.utils.benchmark import Timer
from torch.utils.benchmark.utils.timer import timer as synchronized

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DRAFTS = ROOT / "build" / "benchmarks"
# The variable of the environment with the commit, for code that lies without its git history.
COMMIT = "MEASURED_COMMIT"
RUNS = 7
SECONDS = 1.0
# Some milliseconds of a GPU: longer than Python needs to launch the kernels of a call.
SLEEP_CYCLES = 10_000_000
PACKAGES = (
    "multiview-geom",
    "torch",
    "kornia",
    "onnxruntime",
    "opencv-python-headless",
    "roma",
    "scipy",
    "triton",
)


@dataclass(frozen=True)
class Timing:
    """The median of the runs [s], and the distance between their quartiles [s]."""

    median: float
    spread: float
    runs: int


@dataclass(frozen=True)
class Suite:
    """The options of a benchmark."""

    name: str
    device: str
    threads: int
    quick: bool

    @property
    def runs(self) -> int:
        """How many times each call is timed."""
        return 1 if self.quick else RUNS

    @property
    def path(self) -> Path:
        """The result file."""
        machine = _slug(processor(self.device))
        folder = results_folder(draft=self.quick)
        return folder / f"{self.name}--{machine}--{self.device}.json"

    def save(self, rows: Iterable[object]) -> Path:
        """Write the rows, with the commit, the versions and the processor."""
        record = {"suite": self.name, **asdict(self), **surroundings(self.device)}
        record["rows"] = [asdict(row) for row in rows]
        path = self.path
        path.write_text(json.dumps(record, indent=1) + "\n")
        return path


def suite(name: str) -> Suite:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a small run that saves nothing")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    commit()  # before a long measurement, during which the checkout may change
    return Suite(name, asked.device, asked.threads, asked.quick)


def answer(name: str, rows: Callable[[Suite], Iterable[object]]) -> None:
    """Print each row when it is measured, and save all so far: a time limit may end the process."""
    asked = suite(name)
    found = []
    for row in rows(asked):
        print(row, flush=True)
        found.append(row)
        if not asked.quick:
            asked.save(found)
    if not asked.quick:
        print(asked.path)


def measure(call: Callable[[], object], runs: int) -> Timing:
    """Time a call; `Timer` warms up and synchronizes. A small run calls once."""
    if runs < RUNS:
        return Timing(_once(call), 0.0, 1)
    timer = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
    count = max(runs, min(100, int(SECONDS / timer.timeit(1).median)))
    times = [timer.timeit(1).median for _ in range(count)]
    return _timing(times)


def measure_in_turns(
    calls: Mapping[str, Callable[[], object]], runs: int, clock: Callable[[], float] = synchronized
) -> dict[str, Timing]:
    """Time calls that take turns; by default `Timer` synchronizes the device."""
    timers = {
        name: Timer(
            "call()", timer=clock, globals={"call": call}, num_threads=torch.get_num_threads()
        )
        for name, call in calls.items()
    }
    for timer in timers.values():
        timer.timeit(1)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, timer in timers.items():
            times[name].append(timer.timeit(1).median)
    return {name: _timing(taken) for name, taken in times.items()}


def device_seconds(call: Callable[[], object], device: str, runs: int) -> float:
    """Return the median time that a call keeps the device busy [s]; on a CPU, that one call takes.

    On a GPU the time is between two CUDA events. The device sleeps before them until Python has
    launched everything, so that it never waits for Python.
    """
    if device == "cpu":
        return _once(call)
    times = []
    for _ in range(max(runs, RUNS)):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(SLEEP_CYCLES)  # noqa: SLF001 - torch has no public name
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(1e-3 * start.elapsed_time(end))
    return float(torch.tensor(times).double().median())


def _once(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter() - start


def peak_bytes(call: Callable[[], object], device: str) -> int:
    """Return the peak memory of a call, minus the memory held before it [bytes]."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - held
    # Linux: return freed memory to the system, then reset the peak of the resident set (5).
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    held = _status("VmRSS")
    call()
    return _status("VmHWM") - held


def results_folder(*, draft: bool = False) -> Path:
    """Return the folder of the result files of this version: `results/` for a clean commit.

    The folder of drafts is in `build/`, which git ignores. So is that of results with uncommitted
    changes or without git, and a message says so: nobody could measure such numbers again.
    """
    measured = commit()
    clean = re.fullmatch(r"[0-9a-f]{7,40}", measured) is not None
    folder = (RESULTS if clean and not draft else DRAFTS) / own_version()
    folder.mkdir(parents=True, exist_ok=True)
    if not clean and not draft:
        place = f"{folder.relative_to(ROOT)}, not in benchmarks/results"
        print(f"The commit is {measured or 'unknown'}: results are written to {place}")
    return folder


@cache
def commit() -> str:
    """Return the commit of the code, with "-dirty" after it if files have uncommitted changes.

    The variable MEASURED_COMMIT says it for a copy of the code, whose history may be another.
    """
    if COMMIT in os.environ:
        return os.environ[COMMIT]
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
    except FileNotFoundError:
        return ""
    return described.stdout.strip()


def own_version() -> str:
    """Return the version of the project, also where it is not installed."""
    installed = version_of("multiview-geom")
    if installed is None:
        return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])
    return installed


def surroundings(device: str) -> dict[str, object]:
    """Return the commit, the processor and the versions, for a result file."""
    return {
        "commit": commit(),
        "processor": processor(device),
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in PACKAGES},
    }


def version_of(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor(device: str) -> str:
    """Return the name of the processor or GPU, never that of the computer."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return model.group(1) if model else platform.machine()


def _timing(times: list[float]) -> Timing:
    quartiles = torch.tensor(times).double().quantile(torch.tensor([0.25, 0.5, 0.75]).double())
    return Timing(float(quartiles[1]), float(quartiles[2] - quartiles[0]), len(times))


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found.group(1)) if found else 0


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
