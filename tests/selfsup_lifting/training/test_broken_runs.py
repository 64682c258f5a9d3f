"""Laws of runs that break: one sentence each, and nothing good is lost."""

import errno
import fcntl
import io
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from selfsup_lifting.config import LifterSettings
from selfsup_lifting.config_toml import load_config, load_settings
from selfsup_lifting.recording import Recording
from selfsup_lifting.run_files import (
    BEST_FILE,
    COMMIT_FILE,
    WEIGHTS_FILE,
    read_commit,
    read_committed,
    recover,
)
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.training import loop as training
from selfsup_lifting.training.checkpoint import learned_data, lifter_bytes, load_lifter, load_state
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.loop import train, untrained_lifter
from selfsup_lifting.training.model_selection import ModelSelection
from selfsup_lifting.training.run_folder import opened_run, planned_run
from selfsup_lifting.training.run_log import metrics_of
from selfsup_lifting.training.stopping import Stopped, stop_requests
from tests.selfsup_lifting.strategies import Scene
from tests.selfsup_lifting.training.small_runs import (
    TINY,
    before_step,
    breaking,
    committed,
    contents,
    saved_run,
    signalled,
)

SMALL = {"size": 0, "sha256": ""}
DIVERGING = replace(TINY, learning_rate=1e18)


def recordings(skeleton: str = "h36m17") -> list[Recording]:
    return [Scene(views=2, frames=16, skeleton=skeleton).recording()]


def test_a_seed_may_be_as_large_as_torch_counts(tmp_path: Path) -> None:
    lifter = train(replace(TINY, epochs=1, seed=2**63 - 1), recordings(), tmp_path / "run")
    assert all(weights.isfinite().all() for weights in lifter.state_dict().values())


def test_a_lifter_can_be_compared_where_its_training_device_is_not() -> None:
    lifter = untrained_lifter(SKELETONS["h36m17"], replace(TINY, device="cuda:99"))
    assert {str(weights.device) for weights in lifter.parameters()} == {"cpu"}


def test_an_older_run_is_replaced_whole_but_not_what_a_user_put_beside_it(tmp_path: Path) -> None:
    train(TINY, recordings(), tmp_path / "run")
    (tmp_path / "run" / "report.html").write_text("of the older run")
    (tmp_path / "run" / "session").mkdir()
    (tmp_path / "run" / "session" / "cam1.json").write_text("years of work")
    train(replace(TINY, epochs=1), recordings(), tmp_path / "run")
    assert load_config(tmp_path / "run").epochs == 1
    assert not (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "run" / "session" / "cam1.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()], ids=repr)
def test_an_older_run_outlives_a_newer_one_that_saves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    train(TINY, recordings(), tmp_path / "run")
    before = contents(tmp_path / "run")
    before_step(monkeypatch, 0, 1, breaking(error))
    with pytest.raises(type(error)):
        train(replace(TINY, learning_rate=0.1), recordings(), tmp_path / "run")
    assert contents(tmp_path / "run") == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_interrupted_run_with_a_step_done_replaces_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(TINY, recordings(), tmp_path / "run")
    before_step(monkeypatch, 0, 1, signalled(signal.SIGINT))
    with pytest.raises(Stopped):
        train(replace(TINY, learning_rate=0.1), recordings(), tmp_path / "run")
    assert load_config(tmp_path / "run").learning_rate == 0.1


def test_a_failure_leaves_the_last_checkpoint_and_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(replace(TINY, epochs=4), recordings(), tmp_path / "whole")
    train(TINY, recordings(), tmp_path / "run")
    before = contents(tmp_path / "run")["model.safetensors"]
    before_step(monkeypatch, 3, 0, breaking(RuntimeError("out of memory")))
    with pytest.raises(RuntimeError):
        train(replace(TINY, epochs=4), recordings(), tmp_path / "run", resume=True)
    monkeypatch.undo()
    assert contents(tmp_path / "run")["model.safetensors"] == before
    resumed = train(replace(TINY, epochs=4), recordings(), tmp_path / "run", resume=True)
    pairs = zip(resumed.parameters(), whole.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]


def test_dropout_may_change_when_a_run_goes_on(tmp_path: Path) -> None:
    train(TINY, recordings(), tmp_path / "run")
    config = replace(TINY, epochs=3, lifter=replace(TINY.lifter, dropout=0.5))
    assert train(config, recordings(), tmp_path / "run", resume=True).settings.dropout == 0.5


@pytest.mark.rejects
def test_a_diverging_training_is_reported_and_the_older_run_stays(tmp_path: Path) -> None:
    train(TINY, recordings(), tmp_path / "run")
    before = contents(tmp_path / "run")
    words = (
        r"diverged: L_\w+ was \S+ in step [12] of epoch [12]; its batch has "
        r"frames (\d+, ){3}\d+ and 4 more of scene 0; .*`learning_rate`"
    )
    with pytest.raises(ValueError, match=words):
        train(DIVERGING, recordings(), tmp_path / "run")
    assert contents(tmp_path / "run") == before


@pytest.mark.rejects
def test_weights_that_are_not_finite_are_not_saved() -> None:
    lifter = untrained_lifter(SKELETONS["h36m17"], TINY)
    torch.nn.init.constant_(lifter.decoder.layers[0].bias, torch.nan)
    with pytest.raises(ValueError, match=r"diverged: the weights `decoder\.layers\.0\.bias` are"):
        lifter_bytes(lifter, TINY)


def rewritten(run: Path, weights: dict[str, Any], **metadata: str | None) -> None:
    """Commit a checkpoint again with other weights and words; what is None is left out."""
    with safe_open(run / WEIGHTS_FILE, framework="pt") as file:
        old = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        words = {**file.metadata(), **metadata}
    kept = {name: value for name, value in {**old, **weights}.items() if value is not None}
    report = {name: value for name, value in words.items() if value is not None}
    committed(run, WEIGHTS_FILE, save(kept, report))


BIAS = "decoder.layers.0.bias"


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("weights", "metadata", "report"),
    [
        ({BIAS: None}, {}, f"it lacks `{BIAS}`"),
        ({"more": torch.zeros(1)}, {}, "it should not have `more`"),
        ({BIAS: torch.zeros(9)}, {}, rf"`{BIAS}` must have shape \(8,\), got \(9,\)"),
        ({BIAS: torch.full((8,), torch.nan)}, {}, f"`{BIAS}` is not finite"),
        ({BIAS: torch.full((8,), torch.inf)}, {}, f"`{BIAS}` is not finite"),
        ({}, {"skeleton": None}, "it does not say its `skeleton`"),
        ({}, {"skeleton": "{"}, "its `skeleton` is not JSON"),
        ({}, {"skeleton": "{}"}, "a skeleton needs"),
        ({}, {"lifter": None}, "it does not say its `lifter`"),
        ({}, {"lifter": "[1]"}, r"its `lifter` must be a table, got \[1\]"),
        ({}, {"lifter": '{"width": "x"}'}, r"setting `lifter\.width` must be a whole number"),
        ({}, {"lifter": '{"width": 1000000000}'}, "setting `width` must be at most"),
    ],
)
def test_a_damaged_lifter_is_named(
    tmp_path: Path, weights: dict[str, Any], metadata: dict[str, str | None], report: str
) -> None:
    saved_run(tmp_path / "run")
    rewritten(tmp_path / "run", weights, **metadata)
    with pytest.raises(ValueError, match=rf"model\.safetensors is damaged: {report}") as refusal:
        load_lifter(tmp_path / "run")
    assert "\n" not in str(refusal.value)


@pytest.mark.rejects
@pytest.mark.parametrize("name", ["model.safetensors", "state.pt", "config.toml", "metrics.jsonl"])
def test_pipes_in_a_run_are_not_opened(tmp_path: Path, name: str) -> None:
    saved_run(tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    os.mkfifo(tmp_path / "run" / name)
    with pytest.raises(ValueError, match=f"{name} is damaged: expected .* there is no such file"):
        train(TINY, recordings(), tmp_path / "run", resume=True)


def test_a_pipe_among_what_a_killed_training_left_is_deleted(tmp_path: Path) -> None:
    saved_run(tmp_path / "run")
    os.mkfifo(tmp_path / "run" / "state.pt.next")
    recover(tmp_path / "run")
    assert not (tmp_path / "run" / "state.pt.next").exists()


@pytest.mark.rejects
def test_events_that_are_a_link_are_not_cut_off(tmp_path: Path) -> None:
    saved_run(tmp_path / "run")
    committed(tmp_path / "run", "events.1", b"1")
    (tmp_path / "mine").write_bytes(b"123")
    (tmp_path / "run" / "events.1").unlink()
    (tmp_path / "run" / "events.1").symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"events\.1 is a link, and would be written to"):
        recover(tmp_path / "run")
    assert (tmp_path / "mine").read_bytes() == b"123"


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("change", "report"),
    [
        ({"format": "selfsup-lifting run 9"}, "expected the format 'selfsup-lifting run 1', got '"),
        ({"files": {str(at): SMALL for at in range(10_001)}}, "at most 10000 files, got 10001"),
        ({"files": {"a\0b": SMALL}}, "expected names of files in its folder, got 'a"),
    ],
    ids=["format", "count", "name"],
)
def test_a_checkpoint_that_claims_more_than_a_run_has_is_refused(
    tmp_path: Path, change: dict[str, object], report: str
) -> None:
    saved_run(tmp_path / "run")
    path = tmp_path / "run" / COMMIT_FILE
    plain = {**json.loads(path.read_text()), **change}
    del plain["sha256"]
    own = sha256(json.dumps(plain).encode()).hexdigest()
    path.write_text(json.dumps({**plain, "sha256": own}, indent=1) + "\n")
    with pytest.raises(ValueError, match=rf"checkpoint\.json: .*{report}"):
        read_commit(tmp_path / "run")


def test_settings_may_name_a_link_that_leads_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "config.toml").write_text('data = ["a"]\n')
    assert Path(load_settings(tmp_path / "config.toml", TINY).data[0]).name in {"a", "b"}


@pytest.mark.rejects
def test_a_variance_that_is_negative_is_named(tmp_path: Path) -> None:
    lifter = saved_run(tmp_path / "run")
    name = next(name for name in lifter.state_dict() if name.endswith("running_var"))
    rewritten(tmp_path / "run", {name: -lifter.state_dict()[name]})
    with pytest.raises(ValueError, match=f"damaged: `{name}` is a variance, and must not be neg"):
        load_lifter(tmp_path / "run")


@pytest.mark.rejects
@pytest.mark.parametrize("size", [0, 1, 100, 1000])
def test_a_truncated_state_is_named(tmp_path: Path, size: int) -> None:
    lifter = saved_run(tmp_path / "run")
    path = tmp_path / "run" / "state.pt"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"state\.pt is damaged: .") as refusal:
        load_state(tmp_path / "run", lifter)
    assert "\n" not in str(refusal.value)


@pytest.mark.rejects
@pytest.mark.parametrize("state", [{}, [], {"optimizer": {}, "epoch": 1}], ids=repr)
def test_a_state_of_something_else_is_named(tmp_path: Path, state: object) -> None:
    lifter = saved_run(tmp_path / "run")
    buffer = io.BytesIO()
    torch.save(state, buffer)
    committed(tmp_path / "run", "state.pt", buffer.getvalue())
    with pytest.raises(ValueError, match=r"state\.pt is damaged: ."):
        load_state(tmp_path / "run", lifter)


def moments(**changed: object) -> dict[str, object]:
    """Return what Adam keeps of the first weights of a small run."""
    zeros = torch.zeros(8, 34)
    return {"step": torch.tensor(1.0), "exp_avg": zeros, "exp_avg_sq": zeros, **changed}


def with_state(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the state of a run, with its hashes, as somebody who sends a run can."""
    state = torch.load(io.BytesIO(read_committed(run, "state.pt")), weights_only=True)
    change(state)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    committed(run, "state.pt", buffer.getvalue())


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("moment", "report"),
    [
        (torch.zeros(1).expand(10**6, 10**6), "must be a plain tensor"),
        (torch.zeros(1).expand(8, 34), "must be a plain tensor"),
        (torch.zeros(1), r"must have shape \(8, 34\), got \(1,\)"),
        (torch.zeros(8, 34).to_sparse(), "must be a plain tensor"),
        (torch.zeros(8, 34, dtype=torch.complex64), "must have finite real numbers"),
        ([0.0], "must be a plain tensor"),
        (torch.full((8, 34), torch.nan), "must have finite real numbers"),
    ],
    ids=["giant", "expanded", "small", "sparse", "complex", "list", "nan"],
)
def test_moments_of_another_training_are_refused(
    tmp_path: Path, moment: object, report: str
) -> None:
    lifter = saved_run(tmp_path / "run")
    assert next(lifter.parameters()).shape == (8, 34)
    with_state(
        tmp_path / "run",
        lambda state: state["optimizer"].update(state={0: moments(exp_avg=moment)}),
    )
    with pytest.raises(
        ValueError, match=rf"state\.pt is damaged: `exp_avg` of parameter 0 {report}"
    ):
        load_state(tmp_path / "run", lifter)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("kept", "report"),
    [
        (
            {"step": torch.tensor(1.0)},
            "expected step, exp_avg, exp_avg_sq of parameter 0, got",
        ),
        (moments(step=torch.tensor(-1.0)), "`step` of parameter 0 must have .* numbers, from 0"),
        (moments(exp_avg_sq=torch.full((8, 34), -1.0)), "`exp_avg_sq` of parameter 0 must have"),
    ],
)
def test_moments_that_adam_does_not_keep_are_refused(
    tmp_path: Path, kept: dict[str, object], report: str
) -> None:
    lifter = saved_run(tmp_path / "run")
    with_state(tmp_path / "run", lambda state: state["optimizer"].update(state={0: kept}))
    with pytest.raises(ValueError, match=rf"state\.pt is damaged: {report}"):
        load_state(tmp_path / "run", lifter)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("change", "report"),
    [
        ({"evil": 1}, "expected no entry 'evil'"),
        ({"epoch": -5}, "`epoch` must be a whole number from 0, got -5"),
        ({"step": True}, "`step` must be a whole number from 0, got True"),
        ({"step": 10**15}, "`step` is 1000000000000000, but the log has another number of steps"),
        (
            {
                "step": 1,
                "log": {"names": ["a"], "steps": torch.ones(1, 1), "shares": torch.ones(9)},
            },
            "its log must have a number for each of 1 losses",
        ),
    ],
)
def test_counts_that_contradict_the_log_are_refused(
    tmp_path: Path, change: dict[str, object], report: str
) -> None:
    lifter = saved_run(tmp_path / "run")
    with_state(tmp_path / "run", lambda state: state.update(change))
    with pytest.raises(ValueError, match=rf"state\.pt is damaged: {report}"):
        load_state(tmp_path / "run", lifter)


@pytest.mark.rejects
def test_a_state_that_unpacks_to_more_than_its_size_is_refused(tmp_path: Path) -> None:
    lifter = saved_run(tmp_path / "run")
    packed = io.BytesIO()
    with (
        ZipFile(io.BytesIO(read_committed(tmp_path / "run", "state.pt"))) as stored,
        ZipFile(packed, "w", ZIP_DEFLATED) as archive,
    ):
        for name in stored.namelist():
            archive.writestr(name, stored.read(name))
        archive.writestr("state/data/99", bytes(10**6))
    committed(tmp_path / "run", "state.pt", packed.getvalue())
    for read in (
        lambda: load_state(tmp_path / "run", lifter),
        lambda: learned_data(tmp_path / "run"),
    ):
        with pytest.raises(ValueError, match=r"state\.pt is damaged: it unpacks to more than its"):
            read()


def test_the_settings_of_the_optimizer_are_not_those_of_the_file(tmp_path: Path) -> None:
    for name, betas in (("sound", (0.9, 0.999)), ("changed", (5.0, 5.0))):
        train(replace(TINY, epochs=1), recordings(), tmp_path / name)
        with_state(
            tmp_path / name,
            lambda state, betas=betas: state["optimizer"]["param_groups"][0].update(betas=betas),
        )
        train(TINY, recordings(), tmp_path / name, resume=True)
    sound, changed = (load_lifter(tmp_path / name).state_dict() for name in ("sound", "changed"))
    assert all(torch.equal(weights, changed[name]) for name, weights in sound.items())


@pytest.mark.rejects
def test_random_states_of_something_else_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(TINY, frames_per_batch=4)
    before_step(monkeypatch, 0, 2, signalled(signal.SIGTERM))
    with pytest.raises(Stopped):
        train(few, recordings(), tmp_path / "run")
    damaged = [{"cpu": torch.zeros(3, dtype=torch.uint8)}]
    with_state(tmp_path / "run", lambda state: state.update(random=damaged))
    with pytest.raises(ValueError, match=r"state\.pt is damaged: .*RNG state"):
        train(few, recordings(), tmp_path / "run", resume=True)


def test_an_epoch_that_is_resumed_with_other_losses_is_logged_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(TINY, frames_per_batch=4)
    before_step(monkeypatch, 0, 2, signalled(signal.SIGTERM))
    with pytest.raises(Stopped):
        train(few, recordings(), tmp_path / "run")
    other = replace(few, losses=replace(few.losses, projection=0.0))
    train(other, recordings(), tmp_path / "run", resume=True)
    rows = [sorted(row["losses"]) for row in metrics_of(tmp_path / "run")]
    assert rows[0] == rows[1]


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("row", "report"),
    [
        (b"[" * 100_000, "its values are nested too deep"),
        (b'{"epoch": ' + b"1" * 5000 + b"}", "one of its numbers has thousands of digits"),
        (b"\xff", "'utf-8' codec can't decode"),
        (b"[]", "list indices must be integers"),
        (b'{"epoch": 1}', "it has no 'losses'"),
        (
            b'{"epoch": 1, "losses": {"a": "b"}, "gradient_shares": {}}',
            "expected a number of `a`, got 'b'",
        ),
    ],
)
def test_damaged_metrics_are_named_before_a_training_goes_on(
    tmp_path: Path, row: bytes, report: str
) -> None:
    train(replace(TINY, epochs=1), recordings(), tmp_path / "run")
    committed(tmp_path / "run", "metrics.jsonl", row)
    before = contents(tmp_path / "run")
    with pytest.raises(ValueError, match=rf"metrics\.jsonl, line \d, is damaged: {report}"):
        train(TINY, recordings(), tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == before


@pytest.mark.rejects
def test_damaged_best_weights_are_named(tmp_path: Path) -> None:
    scenes = [Scene(views=2, frames=8, seed=seed).recording() for seed in (1, 2)]
    saved_run(tmp_path / "run")
    committed(tmp_path / "run", "best.safetensors", b"damage")
    selection = ModelSelection(replace(TINY, select_on=("scene 2",)), scenes)
    with pytest.raises(ValueError, match=r"best\.safetensors is damaged: "):
        selection.resume(tmp_path / "run")


@pytest.mark.rejects
@pytest.mark.parametrize("load", [load_lifter, load_config])
def test_a_run_folder_that_is_not_there_is_named(tmp_path: Path, load: Any) -> None:
    with pytest.raises(ValueError, match=r"there is no run folder .*nowhere"):
        load(tmp_path / "nowhere")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ValueError, match=r"model\.onnx is a file; expected a run folder"):
        load(tmp_path / "model.onnx")


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("lifter", "skeleton", "report"),
    [
        (replace(TINY.lifter, width=16), "h36m17", r"`lifter\.width` was 8 and is now 16$"),
        (replace(TINY.lifter, blocks=2), "h36m17", r"`lifter\.blocks` was 1 and is now 2$"),
        (TINY.lifter, "coco17", r"`skeleton` was h36m17 \(.*\) and is now coco17 \([^`]*\)$"),
    ],
)
def test_another_network_cannot_be_resumed(
    tmp_path: Path, lifter: LifterSettings, skeleton: str, report: str
) -> None:
    train(TINY, recordings(), tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(ValueError, match=report):
        train(replace(TINY, lifter=lifter), recordings(skeleton), tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == before


@pytest.mark.rejects
@pytest.mark.parametrize("device", ["foo", "", "meta", "cuda:99", "mps:7"])
def test_a_device_that_is_not_there_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    saved_run(tmp_path / "run")
    before = contents(tmp_path / "run")
    monkeypatch.setattr(training, "build_dataset", pytest.fail)
    config = replace(TINY, device=device)
    with pytest.raises(
        ValueError, match=f"setting `device` must be one of auto, cpu.*, got '{device}'"
    ):
        train(config, recordings(), tmp_path / "run")
    with pytest.raises(ValueError, match="setting `device` must be one of auto, cpu"):
        planned_run(config, "paper").__enter__()
    assert contents(tmp_path / "run") == before


@pytest.mark.rejects
@pytest.mark.parametrize(
    "text", ["", "[]", '{"files": 5}', '{"files": {}, "epoch": 1}', 100_000 * "["]
)
def test_a_checkpoint_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / COMMIT_FILE).write_text(text)
    with pytest.raises(ValueError, match=r"checkpoint\.json is damaged: expected JSON with"):
        read_commit(tmp_path)


@pytest.mark.rejects
@pytest.mark.parametrize("name", ["../mine.csv", "{}/mine.csv", "..\\mine.csv", ".."])
def test_a_checkpoint_that_names_a_file_outside_of_its_run_is_refused(
    tmp_path: Path, name: str
) -> None:
    train(TINY, recordings(), tmp_path / "run")
    (tmp_path / "mine.csv").write_text("mine")
    commit = read_commit(tmp_path / "run")
    files = {**commit.files, name.format(tmp_path): next(iter(commit.files.values()))}
    (tmp_path / "run" / COMMIT_FILE).write_text(replace(commit, files=files).as_text())
    with pytest.raises(ValueError, match=r"checkpoint\.json: expected names of files in its fold"):
        train(TINY, recordings(), tmp_path / "run")
    assert (tmp_path / "mine.csv").read_text() == "mine"


@pytest.mark.rejects
def test_a_file_that_a_run_never_had_is_named(tmp_path: Path) -> None:
    saved_run(tmp_path / "run")
    with pytest.raises(ValueError, match=r"run: this run has no outcome\.json"):
        read_committed(tmp_path / "run", "outcome.json")
    with (
        pytest.raises(ValueError, match=r"there is no run folder .*nowhere"),
        opened_run(tmp_path / "nowhere", resume=True),
    ):
        pass


def test_a_lock_that_is_a_link_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "mine.csv").write_text("mine")
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "mine.csv")
    with pytest.raises(ValueError, match=r"\.lock is a link, and would be written to: delete it"):
        train(TINY, recordings(), tmp_path / "run")
    assert (tmp_path / "mine.csv").read_text() == "mine"


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with opened_run(tmp_path / "run", resume=False) as opened:
        assert opened.folder == tmp_path / "run"
    assert "has no lock (No locks available): do not start two trainings" in caplog.text


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    with stop_requests() as stop_request:
        assert stop_request() is None
        signal.raise_signal(signal.SIGINT)
        assert stop_request() == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.rejects
def test_a_run_without_best_weights_says_what_keeps_them(tmp_path: Path) -> None:
    saved_run(tmp_path / "run")
    with pytest.raises(ValueError, match="has no best weights, which a training with --select-on"):
        load_lifter(tmp_path / "run" / BEST_FILE)


@pytest.mark.rejects
@pytest.mark.parametrize("other", [{"width": 16}, {"output_unit": 0.001}])
def test_best_weights_of_another_network_are_refused(
    tmp_path: Path, other: dict[str, object]
) -> None:
    lifter = saved_run(tmp_path / "run")
    best = Lifter(lifter.skeleton, replace(lifter.settings, **other))
    committed(tmp_path / "run", BEST_FILE, lifter_bytes(best, TINY, score=1.0))
    name = f"lifter.{next(iter(other))}"
    with pytest.raises(ValueError, match=rf"best\.safetensors is of another network .*`{name}`"):
        load_lifter(tmp_path / "run" / BEST_FILE)


@pytest.mark.rejects
def test_batch_normalization_needs_two_poses(tmp_path: Path) -> None:
    config = replace(TINY, per_view_batchnorm=True, frames_per_batch=1)
    with pytest.raises(ValueError, match=r"needs two poses in a batch, got .* \(of 16\)"):
        train(config, recordings(), tmp_path / "run")
