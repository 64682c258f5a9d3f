"""What is lost if a training is killed, the disk is full, or a file of a run is damaged?

Real processes are killed by SIGKILL: before each operation on files of a checkpoint, and at random
moments. Each training is then resumed and compared with one that was never interrupted: weights
bit for bit, and metrics.jsonl with every epoch once. Bytes of each file of a run are flipped, and
files are cut off. Twenty trainings start in the same second. The exit status is 0 if nothing was
lost.

    python benchmarks/faults.py [--quick]
"""

import argparse
import errno
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, NoReturn

import torch

from selfsup_lifting import ReadSettings, read_recordings, run_files
from selfsup_lifting.config import Config, LifterSettings
from selfsup_lifting.config_toml import load_config
from selfsup_lifting.recording import Recording
from selfsup_lifting.run_files import METRICS_FILE, has_commit, read_commit, require_undamaged
from selfsup_lifting.training import saving
from selfsup_lifting.training.checkpoint import load_lifter
from selfsup_lifting.training.loop import train
from selfsup_lifting.training.run_folder import opened_run, planned_run

# The functions that change files of a run.
OPERATIONS = ("write_synced", "sync_file", "sync_folder", "replace_file")
CONFIG = Config(
    epochs=6, frames_per_batch=32, lifter=LifterSettings(width=64, blocks=1, dropout=0.2)
)
CHECKPOINT = 3  # the checkpoint during which trainings are killed
TRAININGS, FEW_TRAININGS = 20, 8


class Row(NamedTuple):
    """What happened in a number of trials of one kind."""

    fault: str
    trials: int
    passed: int
    remark: str = ""


class Study:
    """The folder, the data, and the training that nothing interrupts."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.recordings: list[Recording] = [
            one.frames(slice(0, 40))
            for one in read_recordings(["synthetic"], ReadSettings(fps=10.0))[:2]
        ]
        start = time.monotonic()
        self.train(folder / "whole")
        self.seconds = time.monotonic() - start
        self.operations = self._count_operations()

    def train(self, run: Path) -> None:
        """Train, or continue an interrupted training."""
        train(CONFIG, self.recordings, run, resume=has_commit(run))

    def is_like_whole(self, run: Path) -> bool:
        """Return whether a run has the weights and the metrics of the uninterrupted one."""
        whole = self.folder / "whole"
        epochs = [json.loads(row)["epoch"] for row in (run / METRICS_FILE).open()]
        pairs = zip(weights(run), weights(whole), strict=True)
        return (
            all(torch.equal(one, other) for one, other in pairs)
            and (run / METRICS_FILE).read_bytes() == (whole / METRICS_FILE).read_bytes()
            and epochs == list(range(1, CONFIG.epochs + 1))
            and not list(run.glob(f"*{run_files.NEXT}"))
        )

    def continues(self, run: Path) -> bool:
        """Resume a killed training; return whether it ends like the uninterrupted one."""
        if has_commit(run):
            require_undamaged(run)
        in_child(lambda: self.train(run))
        return self.is_like_whole(run)

    def _count_operations(self) -> int:
        """Count the operations on files of one checkpoint."""
        seen: list[str] = []
        undo = watching(lambda name, _: seen.append(name))
        try:
            in_process_commit(self.folder / "counted", self)
        finally:
            undo()
        return len(seen)


def weights(run: Path) -> Iterable[torch.Tensor]:
    """Read the weights of a run."""
    return load_lifter(run).state_dict().values()


def in_process_commit(run: Path, study: Study) -> None:
    """Commit once: copy the files of the uninterrupted run."""
    names = read_commit(study.folder / "whole").files
    contents = {
        name: (study.folder / "whole" / name).read_bytes()
        for name in names
        if not name.startswith(run_files.GROWING)
    }
    with opened_run(run, resume=False) as opened:
        opened.commit(1, 0, contents, ())


def watching(call: Callable[[str, Path], None]) -> Callable[[], None]:
    """Call a function before each operation on files of a run; return what ends that."""
    originals = {name: getattr(run_files, name) for name in OPERATIONS}

    def watched(name: str) -> Callable[..., None]:
        def operation(path: Path, *others: object) -> None:
            call(name, path)
            originals[name](path, *others)

        return operation

    for name in OPERATIONS:
        setattr(run_files, name, watched(name))
    return lambda: [setattr(run_files, name, one) for name, one in originals.items()] and None


def in_child(work: Callable[[], None]) -> int:
    """Run a function in a process of its own; return the signal or status that ended it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_self() -> NoReturn:
    """End this process as a crash would: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit  # never reached


def killed_while_writing(study: Study, *, quick: bool) -> Row:
    """Kill before each operation of a checkpoint, and in the middle of each file."""
    chosen = range(0, study.operations, 5) if quick else range(study.operations)
    passed = 0
    for place in chosen:
        run = study.folder / f"operation-{place}"

        def work(run: Path = run, place: int = place) -> None:
            saving.SAVE_EVERY = 0.0  # a checkpoint after every step
            seen = [0]

            def kill(name: str, path: Path) -> None:
                seen[0] += 1
                if seen[0] == CHECKPOINT * study.operations + place + 1:
                    if name == "write_synced":
                        path.write_bytes(b"half of a file")
                    kill_self()

            watching(kill)
            study.train(run)

        ended = in_child(work)
        passed += ended == -signal.SIGKILL and study.continues(run)
    return Row("SIGKILL at each operation of a checkpoint", len(chosen), passed)


def killed_at_random(study: Study, *, quick: bool) -> Row:
    """Kill at random moments of a training that saves after every step."""
    trials, passed, saved = (2 if quick else 20), 0, 0

    def work(run: Path) -> None:
        saving.SAVE_EVERY = 0.0
        study.train(run)

    for number in range(trials):
        run = study.folder / f"moment-{number}"
        child = os.fork()
        if child == 0:
            work(run)
            os._exit(0)
        time.sleep(study.random.uniform(0.05, 1.0) * study.seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        saved += has_commit(run)
        passed += study.continues(run)
    return Row("SIGKILL at a random moment", trials, passed, f"{saved} had a checkpoint")


def stopped(study: Study) -> Row:
    """Send each signal that asks to stop; the last step must be saved."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    passed = 0
    for number in numbers:
        run = study.folder / f"signal-{number}"
        child = os.fork()
        if child == 0:
            study.train(run)
            os._exit(0)
        time.sleep(0.5 * study.seconds)
        os.kill(child, number)
        os.waitpid(child, 0)
        passed += has_commit(run) and study.continues(run)
    return Row("SIGTERM, SIGHUP, SIGINT", len(numbers), passed, "the last step is saved")


def damaged(study: Study, *, quick: bool) -> Iterator[Row]:
    """Flip single bits, and cut files off: reading must name the file."""
    for name in sorted(path.name for path in (study.folder / "whole").iterdir()):
        for fault, spoil in (("flipped byte", flip), ("truncation", cut)):
            trials, passed = (5 if quick else 200 if spoil is flip else 60), 0
            run = study.folder / "damaged"
            for _ in range(trials):
                shutil.rmtree(run, ignore_errors=True)
                shutil.copytree(study.folder / "whole", run)
                content = bytearray((run / name).read_bytes())
                (run / name).write_bytes(spoil(content, study.random))
                passed += is_refused(run, name)
            yield Row(
                f"{fault} in {name.split('.')[0] if 'events' in name else name}", trials, passed
            )


def flip(content: bytearray, draw: random.Random) -> bytes:
    """Flip one bit."""
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(content)


def cut(content: bytearray, draw: random.Random) -> bytes:
    """Keep the beginning."""
    return bytes(content[: draw.randrange(len(content))])


def is_refused(run: Path, name: str) -> bool:
    """Return whether every way to read this file of a run refuses it by name."""
    readers: list[Callable[[Path], object]] = [require_undamaged]
    readers += {"model.safetensors": [load_lifter], "config.toml": [load_config]}.get(name, [])
    for read in readers:
        try:
            read(run)
        except ValueError as error:
            if f"{run / name} is damaged: " not in str(error):
                return False
        else:
            return False
    return True


def started_together(study: Study, *, quick: bool) -> Iterator[Row]:
    """Start trainings in the same second: without a name for the folder, and with one name."""
    os.chdir(study.folder)
    count = FEW_TRAININGS if quick else TRAININGS
    for fault, config in (
        (f"{count} trainings in one second", CONFIG),
        (f"{count} trainings into one folder", replace(CONFIG, run=study.folder / "same")),
    ):
        moment = time.time() + 0.5

        def work(config: Config = config, moment: float = moment) -> None:
            os.close(2)  # refusals are expected
            time.sleep(max(0.0, moment - time.time()))
            with planned_run(config, "paper") as run:
                study.train(run)

        children = []
        for _ in range(count):
            child = os.fork()
            if child == 0:
                try:
                    work()
                except ValueError:
                    os._exit(3)
                os._exit(0)
            children.append(child)
        ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        runs = [study.folder / "same"] if config.run else list((study.folder / "runs").iterdir())
        good = sum(study.is_like_whole(run) for run in runs)
        refused = ends.count(3)
        passed = good + refused if good == ends.count(0) else 0
        yield Row(fault, count, passed, f"{good} folders, {refused} refused")


def disk_full(study: Study, *, quick: bool) -> Row:
    """Let the disk be full at each file of a checkpoint; the one before must stay valid."""
    count = 2 if quick else 5
    passed = 0
    for place in range(count):
        run = study.folder / f"full-{place}"
        shutil.copytree(study.folder / "whole", run)

        def work(run: Path = run, place: int = place) -> None:
            calls = [0]
            original = os.fsync

            def fsync(handle: int) -> None:
                calls[0] += 1
                if calls[0] == place + 1:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                original(handle)

            os.fsync = fsync
            try:
                train(replace(CONFIG, epochs=9), study.recordings, run, resume=True)
            except OSError as error:
                if "cannot be written: No space left on device" in str(error):
                    os._exit(4)

        ended = in_child(work)
        passed += ended == 4 and study.is_like_whole(run) and bool(require_undamaged(run))
    return Row("disk full while a checkpoint is written", count, passed)


def rows(study: Study, *, quick: bool) -> Iterator[Row]:
    """Do all that is in the table."""
    yield killed_while_writing(study, quick=quick)
    yield killed_at_random(study, quick=quick)
    yield stopped(study)
    yield disk_full(study, quick=quick)
    yield from damaged(study, quick=quick)
    yield from started_together(study, quick=quick)


def main() -> int:
    """Print the table; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few trials of each kind")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a process that forks must have no other threads
    lost = False
    print("| fault | trials | passed | remark |\n| --- | --: | --: | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(Study(Path(folder), seed=0), quick=options.quick):
            lost = lost or row.passed != row.trials
            print(f"| {row.fault} | {row.trials} | {row.passed} | {row.remark} |", flush=True)
    return int(lost)


if __name__ == "__main__":
    sys.exit(main())
