"""Laws of checkpoints under faults: nothing is lost, nothing damaged is read."""

import errno
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from selfsup_lifting import run_files
from selfsup_lifting.cli import main
from selfsup_lifting.config import AugmentationSettings, Labels, LossSettings
from selfsup_lifting.config_toml import load_config
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.run_files import has_commit, read_commit, recover, require_undamaged
from selfsup_lifting.training import run_folder, saving
from selfsup_lifting.training.checkpoint import load_lifter
from selfsup_lifting.training.loop import train
from selfsup_lifting.training.run_folder import opened_run, planned_run
from selfsup_lifting.training.stopping import Stopped
from tests.selfsup_lifting.strategies import Scene
from tests.selfsup_lifting.training.small_runs import (
    TINY,
    before_step,
    breaking,
    contents,
    saved_run,
    signalled,
)

CONFIG = replace(
    TINY,
    epochs=3,
    frames_per_batch=4,
    lifter=replace(TINY.lifter, dropout=0.3),
    losses=LossSettings(output_share=0.5),
    augmentation=AugmentationSettings(mirror=True, hidden_share=0.1, virtual_share=0.5),
)
FILES = ["checkpoint.json", "config.toml", "metrics.jsonl", "model.safetensors", "state.pt"]


def recordings() -> list[Recording]:
    return [Scene(views=2, frames=16).recording()]


def weights(run: Path) -> Tensor:
    states = load_lifter(run).state_dict().values()
    return torch.cat([numbers.float().flatten() for numbers in states])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train without an interruption."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(CONFIG, recordings(), run)
    return run


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the warnings about run folders."""
    found: list[str] = []
    monkeypatch.setattr(run_folder._log, "warning", lambda _, sentence: found.append(sentence))
    return found


def assert_ends_like(run: Path, whole: Path) -> None:
    """Resume a training; it must equal the uninterrupted one bit for bit."""
    train(CONFIG, recordings(), run, resume=has_commit(run))
    assert torch.equal(weights(run), weights(whole))
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert not list(run.glob("*.next"))


@pytest.mark.slow
def test_nothing_is_lost_whatever_happens() -> None:
    """Kill real processes: see the script, whose longer form is a benchmark."""
    command = [sys.executable, "benchmarks/faults.py", "--quick"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(("epoch", "step"), [(0, 1), (1, 0), (2, 3)])
def test_a_signal_saves_the_last_step(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: Path,
    number: signal.Signals,
    epoch: int,
    step: int,
) -> None:
    before_step(monkeypatch, epoch, step, signalled(number))
    with pytest.raises(Stopped) as stopped:
        train(CONFIG, recordings(), tmp_path / "run")
    monkeypatch.undo()
    assert pickle.loads(pickle.dumps(stopped.value)).number == number
    saved = read_commit(tmp_path / "run")
    assert saved.epoch * 4 + saved.step == epoch * 4 + step + 1
    assert_ends_like(tmp_path / "run", whole)


def test_a_crash_in_an_epoch_continues_from_the_last_checkpoint_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path
) -> None:
    monkeypatch.setattr(saving, "SAVE_EVERY", 0.0)
    before_step(monkeypatch, 1, 2, breaking(RuntimeError("out of memory")))
    with pytest.raises(RuntimeError, match="out of memory"):
        train(CONFIG, recordings(), tmp_path / "run")
    monkeypatch.undo()
    assert (read_commit(tmp_path / "run").epoch, read_commit(tmp_path / "run").step) == (1, 2)
    assert_ends_like(tmp_path / "run", whole)


def test_a_stopped_training_names_the_command_that_continues_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_recording(tmp_path / "data.npz", recordings()[0])
    run = tmp_path / "my run"
    before_step(monkeypatch, 1, 0, signalled(signal.SIGTERM))
    small = ["--lifter.width", "8", "--epochs", "2", "--frames-per-batch", "6"]
    with pytest.raises(SystemExit) as ended:
        main(["train", "--data", str(tmp_path / "data.npz"), "--run", str(run), *small])
    assert ended.value.code == 128 + signal.SIGTERM
    message = "holds 1 epochs and 1 steps; continue with: selfsup-lifting train --resume"
    assert f"stopped by SIGTERM; {run} {message} '{run}'" in capsys.readouterr().err


@pytest.mark.parametrize("write", range(5))
def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    train(CONFIG, recordings(), tmp_path / "run")
    before, calls, real = contents(tmp_path / "run"), [0], os.fsync

    def fsync(handle: int) -> None:
        calls[0] += 1
        if calls[0] == write + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    words = r"cannot be written: No space left on device \(\S+ MB are free there\); the last check"
    with pytest.raises(OSError, match=words):
        train(replace(CONFIG, epochs=4), recordings(), tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == before


def test_a_full_disk_before_the_first_checkpoint_promises_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=r"MB are free there\)$"):
        train(CONFIG, recordings(), tmp_path / "run")


@pytest.mark.rejects
@pytest.mark.parametrize("name", [*FILES, "events"])
@pytest.mark.parametrize("spoil", ["flip", "cut"])
def test_a_damaged_file_of_a_run_is_named(
    tmp_path: Path, whole: Path, name: str, spoil: str
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for other, content in contents(whole).items():
        (run / other).write_bytes(content)
    path = next(run.glob(f"{name}*"))
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content if spoil == "flip" else content[:-1])
    with pytest.raises(ValueError, match=rf"{path.name} is damaged: .*disk error") as refusal:
        train(CONFIG, recordings(), run, resume=True)
    assert "\n" not in str(refusal.value)


@pytest.mark.rejects
def test_a_missing_file_of_a_run_is_named(tmp_path: Path) -> None:
    saved_run(tmp_path / "run")
    (tmp_path / "run" / "config.toml").unlink()
    with pytest.raises(ValueError, match=r"config\.toml is damaged: .*there is no such file"):
        load_config(tmp_path / "run")


def test_a_commit_that_was_not_finished_is_read_and_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    saved_run(tmp_path / "run")
    last = read_commit(tmp_path / "run")
    real = run_files.replace_file

    def replace_file(source: Path, target: Path) -> None:
        real(source, target)
        raise KeyboardInterrupt

    new = {"config.toml": b"seed = 5\n"}
    with monkeypatch.context() as patch:
        patch.setattr(run_files, "replace_file", replace_file)
        with pytest.raises(KeyboardInterrupt):
            run_files.commit_files(tmp_path / "run", last, last, new)
    assert b"seed = 0" in (tmp_path / "run" / "config.toml").read_bytes()
    assert load_config(tmp_path / "run").seed == 5
    with opened_run(tmp_path / "run", resume=True):
        assert (tmp_path / "run" / "config.toml").read_bytes() == new["config.toml"]
    assert "finished the checkpoint of a killed training" in warnings[0]
    require_undamaged(tmp_path / "run")


def test_leftovers_of_a_killed_training_are_reported_and_deleted(
    tmp_path: Path, whole: Path, warnings: list[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    curves = "events.out.tfevents.1795908834725359809.11093"
    for name in ("state.pt.next", curves, ".lock"):
        (run / name).write_bytes(b"left")
    train(CONFIG, recordings(), run)
    assert ["deleted" in sentence for sentence in warnings] == [True, True]
    assert len(list(run.iterdir())) == len(list(whole.iterdir()))


def test_files_of_a_user_with_names_like_those_of_a_run_stay(tmp_path: Path) -> None:
    saved_run(tmp_path / "run")
    names = {"thesis.next", "my.safetensors.next", ".hidden.next", "events_of_the_day.csv"}
    for name in names:
        (tmp_path / "run" / name).write_text("mine")
    (tmp_path / "run" / "weights.next").mkdir()
    assert not recover(tmp_path / "run")
    assert names | {"weights.next"} < {path.name for path in (tmp_path / "run").iterdir()}


def test_a_folder_with_such_files_alone_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.next").write_text("mine")
    with pytest.raises(ValueError, match="exists and is no run folder, so it is not overwritten"):
        train(replace(CONFIG, overwrite=True), recordings(), tmp_path)


@pytest.mark.rejects
@pytest.mark.parametrize("resume", [True, False])
def test_a_run_in_use_is_refused(tmp_path: Path, *, resume: bool) -> None:
    train(CONFIG, recordings(), tmp_path / "run")
    before = contents(tmp_path / "run")
    with opened_run(tmp_path / "run", resume=True):
        words = rf"run is in use by process {os.getpid()} on \S+ since .*; wait"
        with pytest.raises(ValueError, match=words):
            train(CONFIG, recordings(), tmp_path / "run", resume=resume)
    assert contents(tmp_path / "run") == before


def test_runs_of_one_second_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with planned_run(TINY, "paper") as one, planned_run(TINY, "paper") as two:
        assert one != two
        assert one.is_dir()
        assert two.is_dir()
    assert list((tmp_path / "runs").iterdir()) == []
    named = replace(TINY, run=tmp_path / "named")
    with planned_run(named, "paper"), pytest.raises(ValueError, match="named exists; replace it"):
        planned_run(named, "paper").__enter__()


@pytest.mark.rejects
def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(ValueError, match="is no run folder"):
        train(TINY, recordings(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.rejects
def test_an_explosion_stops_with_step_term_and_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = recordings()
    far[0].truth[5] *= 1e9
    supervised = replace(
        CONFIG, shuffle=False, losses=LossSettings(labels=Labels.TRUTH, projection=0)
    )
    words = (
        "diverged: L_in was .* in step 2 of epoch 1; "
        "its batch has frames 4, 5, 6, 7 of scene 0; likely causes: "
    )
    with pytest.raises(ValueError, match=words):
        train(supervised, far, tmp_path / "run")


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"../mine.txt": b"x"}, r"`files` must have names of files in the run folder, got '\.\./m"),
        ({"/no/mine.txt": b"x"}, "in the run folder, got '/no/mine.txt'"),
        ({"..": b"x"}, r"in the run folder, got '\.\.'"),
        ({"config.toml": b"seed = 1"}, "must not have 'config.toml', a file that the run writes"),
        ({"Best.safetensors": b"x"}, "must not have 'Best.safetensors', a file that the run"),
        ({"state.pt.next": b"x"}, "must not have 'state.pt.next', a file that the run writes"),
        ({"events.json": b"x"}, "must not have 'events.json', a file that the run writes"),
        ({"notes.txt": "text"}, r"`files\['notes.txt'\]` must be bytes, got str"),
        ({3: b"x"}, "`a name in files` must be str, got int"),
        (["notes.txt"], "`files` must be Mapping, got list"),
    ],
)
@pytest.mark.parametrize("source", ["files", "prepare"])
def test_further_files_replace_no_other_file(
    tmp_path: Path, files: object, words: str, source: str
) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("of the user")
    given = {source: files if source == "files" else lambda *_: files}
    with pytest.raises(ValueError, match=words.replace("files", source, 1)):
        train(TINY, recordings(), tmp_path / "run", **given)
    assert contents(tmp_path) == {"mine.txt": b"of the user"}


def test_further_files_are_saved_with_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(
        TINY, recordings(), run, scores=lambda _: {"mine": 3}, files={"notes.txt": b"one"},
        prepare=lambda *_: {".hidden": b"two"},
    )  # fmt: skip
    assert (run / "notes.txt").read_bytes() + (run / ".hidden").read_bytes() == b"onetwo"
    assert '"mine": 3.0' in (run / "metrics.jsonl").read_text()
    require_undamaged(run)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"epoch": 99.0}, "`scores` returns 'epoch', which metrics.jsonl has already"),
        ({"losses": 3.0}, "`scores` returns 'losses', which metrics.jsonl has already"),
        ({"losses/L_in": 3.0}, "`scores` returns 'losses/L_in', which metrics.jsonl has already"),
        ({"reprojection": 3.0}, "`scores` returns 'reprojection', which metrics.jsonl has already"),
        ({"mine": torch.tensor(1.5)}, r"must return numbers by name, got tensor\(1.5000\) for 'mi"),
        ({"mine": "good"}, "must return numbers by name, got 'good' for 'mine'"),
        ({3: 1.5}, r"`a name in scores\(lifter\)` must be str, got int"),
        (None, r"`scores\(lifter\)` must be Mapping, got NoneType"),
    ],
)
def test_scores_are_numbers_with_names_of_their_own(
    tmp_path: Path, scores: object, words: str
) -> None:
    selecting = replace(TINY, select_on=("scene 1",))
    two = [*recordings(), replace(recordings()[0], name="scene 1")]
    with pytest.raises(ValueError, match=words):
        train(selecting, two, tmp_path / "run", scores=lambda _: scores)
    assert not (tmp_path / "run").exists()


@pytest.mark.rejects
@pytest.mark.parametrize("name", ["progress", "scores", "prepare"])
def test_what_is_called_in_a_training_can_be_called(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be Callable, got float"):
        train(TINY, recordings(), tmp_path, **{name: 1.5})
    with pytest.raises(ValueError, match="`resume` must be bool, got str"):
        train(TINY, recordings(), tmp_path, resume="no")  # type: ignore[arg-type]


@pytest.mark.rejects
def test_of_two_threads_one_trains(tmp_path: Path, whole: Path) -> None:
    with ThreadPoolExecutor(1) as other:

        def scores(_: object) -> dict[str, float]:
            with pytest.raises(ValueError, match="another thread of this process trains, and both"):
                other.submit(train, CONFIG, recordings(), tmp_path / "other").result()
            return {}

        train(CONFIG, recordings(), tmp_path / "run", scores=scores)
        other.submit(train, CONFIG, recordings(), tmp_path / "other").result()
    assert torch.equal(weights(tmp_path / "run"), weights(whole))
    assert torch.equal(weights(tmp_path / "other"), weights(whole))
