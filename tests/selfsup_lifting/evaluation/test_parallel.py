"""Laws of trainings at once: each has a process, and all of them stop together."""

import logging
import os
import signal
import subprocess
import sys
from multiprocessing import Pipe, current_process
from pathlib import Path
from typing import Any

import pytest
import torch

from selfsup_lifting.config import Config
from selfsup_lifting.evaluation.parallel import (
    _received,
    _result,
    automatic_jobs,
    train_at_once,
)
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.run_files import LOCK_FILE, read_commit
from selfsup_lifting.training.run_log import Progress, no_progress
from tests.selfsup_lifting.strategies import Scene

RUNS = [(Config(seed=seed), Path(f"runs/variant/seed-{seed}")) for seed in range(3)]


def describe(config: Config, run: Path, progress: Progress) -> Any:
    with progress(2, 0) as show:
        for epoch in range(2):
            show(f"seed {config.seed} epoch {epoch}")
    is_blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return str(run), torch.get_num_threads(), is_blocked, os.getpid()


def die(config: Config, run: Path, progress: Progress) -> None:
    if config.seed == 1:
        os._exit(9)
    describe(config, run, progress)


@pytest.mark.processes
def test_each_training_has_a_process_without_ctrl_c_and_a_share_of_the_threads() -> None:
    shown: list[tuple[str, int, int, str]] = []
    found = dict(train_at_once(describe, RUNS, 2, lambda *one: shown.append(one)))
    threads = max(1, torch.get_num_threads() // 2)
    expected = [(str(run), threads, True) for _, run in RUNS]
    assert [found[place][:3] for place in range(3)] == expected
    assert len({pid for *_, pid in found.values()} | {os.getpid()}) == 3
    mine = [one for one in shown if one[0] == "variant/seed-2"]
    assert mine == [("variant/seed-2", 2, done, f"seed 2 epoch {done - 1}") for done in (1, 2)]


def warn(config: Config, run: Path, progress: Progress) -> None:
    logging.getLogger("reader").warning("all trainings read this")
    describe(config, run, progress)


@pytest.mark.processes
def test_what_several_trainings_warn_of_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    list(train_at_once(warn, RUNS, 2, lambda *_: None))
    assert caplog.messages == ["all trainings read this"]


@pytest.mark.rejects
def test_a_killed_process_is_an_error_that_names_the_run() -> None:
    with pytest.raises(ValueError, match=r"seed-1: its process ended with exit code 9"):
        list(train_at_once(die, RUNS, 2, lambda *_: None))


@pytest.mark.parametrize(("threads", "runs", "jobs"), [(4, 9, 4), (4, 3, 3), (1, 9, 1), (2, 0, 1)])
def test_a_processor_has_a_training_for_each_thread(
    threads: int, runs: int, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert automatic_jobs("cpu", runs) == jobs


def listen_to_ctrl_c() -> None:
    """Undo what a shell does to commands in the background: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_ctrl_c_stops_and_saves_all_of_them_and_the_same_command_continues(tmp_path: Path) -> None:
    save_recording(tmp_path / "recording.npz", Scene(views=3, frames=40).recording())
    command = [sys.executable, "-m", "selfsup_lifting", "ablate", "--json", "--jobs", "2"]
    command += ["--data", str(tmp_path / "recording.npz"), "--run", str(tmp_path / "runs")]
    command += ["--lifter.width", "8", "--lifter.blocks", "1", "--frames-per-batch", "8"]
    command += ["--seeds", "1", "--vary", "losses.projection=0,1", "--epochs", "60"]
    terminal = {"start_new_session": True, "preexec_fn": listen_to_ctrl_c}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **terminal) as process:
        begun: set[str] = set()
        assert process.stderr is not None
        for line in process.stderr:
            begun.add(line.partition("  ")[0])
            if len(begun) == 2:
                break
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes
        rest = process.stderr.read()
    assert process.returncode == 128 + signal.SIGINT
    assert "stopped by SIGINT; the same command continues the ablation in" in rest
    assert "Traceback" not in rest
    for name in begun:
        run = tmp_path / "runs" / name
        assert 0 < read_commit(run).epoch < 60
        assert not (run / LOCK_FILE).exists()
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert '"losses.projection=1"' in finished.stdout
    for metrics in (tmp_path / "runs").rglob("metrics.jsonl"):
        assert len(metrics.read_text().splitlines()) == 60


def fail(config: Config, run: Path, progress: Progress) -> Any:
    raise (ValueError("expected frames, got none") if config.seed == 0 else IndexError("seventh"))


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("seed", "kind", "words"),
    [
        (0, ValueError, "^expected frames, got none$"),
        (1, RuntimeError, "seed-1: Traceback.*seventh"),
    ],
)
def test_the_error_of_a_training_reaches_the_first_process(
    seed: int, kind: type[Exception], words: str
) -> None:
    message, (ours, theirs) = _result(fail, *RUNS[seed], no_progress), Pipe()
    theirs.send(message)
    with pytest.raises(kind, match=f"(?s){words}"):
        _received(ours, current_process(), RUNS[seed][1])


def test_a_training_whose_first_process_is_gone_ends() -> None:
    def gone(*_: object) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        _result(gone, *RUNS[0], no_progress)
