"""How does a peer in an environment of its own solve the same scene, in turn with us?

The peer's script reads a file with the scene, solves it once, writes the points to another file,
and prints a line. Then it solves the scene again for every line that it reads, and prints the
seconds. It waits while we solve, so that both see the same load of the machine.
"""

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from time import perf_counter

import numpy as np
import torch
from measure import Timing
from torch import Tensor

Request = dict[str, object]
Turns = tuple[Tensor, Timing, Timing]


def take_turns(
    python: Path, script: str, request: Request, ours: Callable[[], object], runs: int
) -> Turns:
    """Return the peer's points, its time and our time; every run of it is followed by ours."""
    with tempfile.TemporaryDirectory() as folder:
        scene, answer = Path(folder, "scene.npz"), Path(folder, "answer.npz")
        np.savez(scene, threads=torch.get_num_threads(), **request)
        command = [python, Path(__file__).parent / script, scene, answer]
        with subprocess.Popen(
            command, text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as peer:
            _line(peer)  # the peer is ready
            ours()
            seconds = [(_seconds(peer), _our_seconds(ours)) for _ in range(runs)]
        theirs, own = (_timing(list(times)) for times in zip(*seconds, strict=True))
        return torch.from_numpy(np.load(answer)["points"]), theirs, own


def installed_version(python: Path, package: str) -> str:
    """Return the version of a package in the environment of this interpreter."""
    program = f"from importlib.metadata import version; print(version({package!r}))"
    command = [python, "-c", program]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _seconds(peer: subprocess.Popen[str]) -> float:
    print(file=peer.stdin, flush=True)
    return float(_line(peer))


def _line(peer: subprocess.Popen[str]) -> str:
    line = peer.stdout.readline()
    if not line:
        raise RuntimeError(f"expected a line from {peer.args[1]}, got its end; see its error above")
    return line


def _our_seconds(ours: Callable[[], object]) -> float:
    start = perf_counter()
    ours()
    return perf_counter() - start


def _timing(times: list[float]) -> Timing:
    first, median, third = quantiles(times, n=4, method="inclusive")
    return Timing(median, third - first, len(times))
