"""How much memory and time does a long recording take: inspect, triangulate, predict and train?

A synthetic recording of four views and 17 joints is written as a native file. Each command reads it
in a process of its own, which reports its largest resident memory. Mapped pages of files count,
although the system can take them back. `--only` keeps the other rows of the result file.

    python benchmarks/memory.py [--frames 100000 1000000] [--only inspect "triangulate, dlt"]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import torch
from measure import Suite, commit

from selfsup_lifting import ReadSettings, Recording, read_recordings, save_recording

FRAMES = (1_000_000, 100_000)
# The commands that are measured with more frames than this, which takes minutes for each.
LONG, OF_LONG = 100_000, ("inspect", "predict", "triangulate, dlt", "triangulate, refined")
VIEWS = 4
NOISE_PX = 0.5
# The network of the preset `demo`: memory does not depend on how long it was trained.
TRAINING = ("train", "--preset", "demo", "--epochs", "1", "--device", "cpu")
# What is measured; {data}, {run} and {out} stand for paths.
COMMANDS = {
    "inspect": ("inspect", "{data}"),
    "triangulate, dlt": ("triangulate", "{data}", "--method", "dlt", "--out", "{out}.npz"),
    "triangulate, robust": ("triangulate", "{data}", "--method", "robust", "--out", "{out}.npz"),
    "triangulate, refined": ("triangulate", "{data}", "--method", "refined", "--out", "{out}.npz"),
    "triangulate, smoothed": (
        *("triangulate", "{data}", "--method", "dlt", "--out", "{out}.csv"),
        *("--cutoff-hz", "6", "--fill-gaps-3d", "10"),
    ),
    "read with gaps filled": (
        *("triangulate", "{data}", "--method", "dlt", "--out", "{out}.npz"),
        *("--min-confidence", "0.3", "--fill-gaps", "5"),
    ),
    "predict": ("predict", "{run}", "{data}", "--out", "{out}.npz"),
    "train, one epoch": (*TRAINING, "--data", "{data}", "--run", "{out}"),
}


@dataclass(frozen=True)
class Row:
    """What one command needed for a recording."""

    command: str
    frames: int
    seconds: float
    processor_seconds: float
    frames_per_second: float
    peak_megabytes: float
    commit: str


def long_recording(frames: int) -> Recording:
    """Repeat the embedded synthetic recordings, with new noise, until there are enough frames."""
    parts = read_recordings(["synthetic"], ReadSettings())
    generator = torch.Generator().manual_seed(0)
    keypoints = torch.cat([part.keypoints for part in parts]).float()
    confidence = torch.cat([part.confidence for part in parts]).float()
    times = -(-frames // len(keypoints))
    seen = torch.empty(times * len(keypoints), *keypoints.shape[1:])
    for part in seen.split(len(keypoints)):
        noise = torch.randn(keypoints.shape, generator=generator)
        part.copy_(keypoints + NOISE_PX * noise)
    return replace(
        parts[0], name="long", truth=None,
        keypoints=seen[:frames], confidence=confidence.repeat(times, 1, 1)[:frames],
    )  # fmt: skip


def write_recording(path: str, frames: int) -> None:
    """Write the recording in a process of its own: a child inherits the peak of its parent."""
    writer = get_context("spawn").Process(target=_write, args=(path, frames))
    writer.start()
    writer.join()


def _write(path: str, frames: int) -> None:
    save_recording(Path(path), long_recording(frames))


def measured(name: str, frames: int, paths: dict[str, str], threads: int) -> Row:
    """Run a command in a process of its own."""
    arguments = [part.format(**paths) for part in COMMANDS[name]]
    command = [sys.executable, "-m", "selfsup_lifting", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    started = time.perf_counter()
    child = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    message = child.stderr.read() if child.stderr else ""
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}:\n{message}")
    busy = used.ru_utime + used.ru_stime
    return Row(name, frames, seconds, busy, frames / seconds, used.ru_maxrss / 1e3, commit())


def rows(frames: Sequence[int], names: Sequence[str], folder: Path, threads: int) -> Iterator[Row]:
    """Write a recording of each length, and measure every command."""
    paths = {"data": str(folder / "long.npz"), "run": str(folder / "run")}
    training = [sys.executable, "-m", "selfsup_lifting", *TRAINING, "--run", paths["run"]]
    subprocess.run(training, check=True, capture_output=True)
    for count in frames:
        write_recording(paths["data"], count)
        for name in names or (COMMANDS if count <= LONG else OF_LONG):
            out = str(folder / f"{count}-{name.replace(', ', '-').replace(' ', '-')}")
            yield measured(name, count, {**paths, "out": out}, threads)


def saved_rows(path: Path) -> list[Row]:
    """Return what earlier runs measured."""
    if not path.exists():
        return []
    return [Row(**row) for row in json.loads(path.read_text())["rows"]]


def merged(older: Sequence[Row], newer: Sequence[Row]) -> list[Row]:
    """Return all rows, without older ones that were measured again."""
    again = {(row.command, row.frames) for row in newer}
    return [*(row for row in older if (row.command, row.frames) not in again), *newer]


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, nargs="+", default=FRAMES)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a small run that saves nothing")
    asked = parser.parse_args()
    frames = (5_000,) if asked.quick else asked.frames
    commit()  # before a long measurement, during which the checkout may change
    suite, found = Suite("memory", "cpu", asked.threads, quick=asked.quick), []
    older = saved_rows(suite.path) if asked.only else []
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(frames, asked.only, Path(folder), asked.threads):
            print(row, flush=True)
            found.append(row)
            suite.save(merged(older, found))  # a long measurement may be stopped


if __name__ == "__main__":
    main()
