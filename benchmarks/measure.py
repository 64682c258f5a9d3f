"""How long does a call take, how much memory does it need, and where was that measured?

Times are the median of at least seven runs with the spread between the quartiles, after a warm-up,
with the device synchronised. Memory is what the process (or the accelerator) holds at its peak
beyond what it held before. A result file says the commit, the versions and the threads.
"""

import argparse
import ctypes
import json
import platform
import re
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch.utils.benchmark import Timer

RESULTS = Path(__file__).parent / "results"
RUNS = 7
SECONDS = 1.0
PACKAGES = ("multiview-geom", "torch", "kornia", "opencv-python-headless", "roma", "scipy")


@dataclass(frozen=True)
class Timing:
    """Seconds: the middle run, and between the first and third quarter."""

    median: float
    spread: float
    runs: int


@dataclass(frozen=True)
class Suite:
    """How a benchmark was asked to run."""

    name: str
    device: str
    threads: int
    quick: bool

    @property
    def runs(self) -> int:
        """How often each call is timed."""
        return 2 if self.quick else RUNS

    @property
    def path(self) -> Path:
        """Where the result file goes."""
        machine = _slug(processor(self.device))
        folder = RESULTS / version("multiview-geom")
        return folder / f"{self.name}--{machine}--{self.device}.json"

    def save(self, rows: Iterable[object]) -> Path:
        """Write the rows, and what they were measured with."""
        record = {"suite": self.name, **asdict(self), **surroundings(self.device)}
        record["rows"] = [asdict(row) for row in rows]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(record, indent=1) + "\n")
        return self.path


def suite(name: str) -> Suite:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a smoke run: small, nothing saved")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    return Suite(name, asked.device, asked.threads, asked.quick)


def answer(name: str, rows: Callable[[Suite], Iterable[object]]) -> None:
    """Print each row as it comes, and save them."""
    asked = suite(name)
    found = []
    for row in rows(asked):
        print(row, flush=True)
        found.append(row)
    if not asked.quick:
        print(asked.save(found))


def measure(call: Callable[[], object], runs: int) -> Timing:
    """Time a call; `Timer` warms up and synchronises."""
    timer = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
    first = timer.timeit(1).median
    count = runs if runs < RUNS else max(runs, min(100, int(SECONDS / first)))
    times = [timer.timeit(1).median for _ in range(count)]
    quartiles = torch.tensor(times).double().quantile(torch.tensor([0.25, 0.5, 0.75]).double())
    return Timing(float(quartiles[1]), float(quartiles[2] - quartiles[0]), len(times))


def peak_bytes(call: Callable[[], object], device: str) -> int:
    """Return how much memory a call needs beyond what is held before it."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - held
    # Linux: give freed memory back, then let 5 reset the high-water mark of the resident set.
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    held = _status("VmRSS")
    call()
    return _status("VmHWM") - held


def surroundings(device: str) -> dict[str, object]:
    """Say what the numbers were measured with."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return {
        "commit": commit.stdout.strip(),
        "processor": processor(device),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def processor(device: str) -> str:
    """Name the chip, never the machine."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return model.group(1) if model else platform.machine()


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found.group(1)) if found else 0


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
