"""Laws of the profile of a training."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch.profiler import profile

from selfsup_lifting.cli import main
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.training.distributed import ADDRESS, NUMBERS
from selfsup_lifting.training.profiling import STEP_PARTS, STEPS, TRACE_FILE, Part, _times
from tests.selfsup_lifting.strategies import Scene


@pytest.mark.slow
def test_a_profile_names_every_part_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_recording(tmp_path / "walk.npz", Scene(views=3, frames=20).recording())
    command = [
        "train",
        "--recipe",
        "paper",
        "--data",
        str(tmp_path / "walk.npz"),
        "--epochs",
        "2",
        "--lifter.width",
        "16",
    ]
    main([*command, "--run", str(tmp_path / "plain"), "--json"])
    main([*command, "--run", str(tmp_path / "profiled"), "--json", "--profile"])
    told = capsys.readouterr().err
    names = [*STEP_PARTS, "whole step", "L_in", "L_proj", "L_con", "L_out"]
    assert [name for name in names if name not in told] == []
    plain, profiled = tmp_path / "plain", tmp_path / "profiled"
    weights, others = (load_file(run / "model.safetensors") for run in (plain, profiled))
    assert all(torch.equal(weight, others[name]) for name, weight in weights.items())
    assert (plain / "metrics.jsonl").read_bytes() == (profiled / "metrics.jsonl").read_bytes()
    packed = (tmp_path / "profiled" / TRACE_FILE).read_bytes()
    trace = gzip.decompress(packed)
    assert len(packed) < 2e6
    assert str(tmp_path).encode() not in trace
    found = {event.get("name") for event in json.loads(trace)["traceEvents"]}
    assert {*STEP_PARTS, "L_in", "L_out"} <= found


def test_times_are_those_of_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"cpu_time_total": 3e3 * STEPS, "device_time_total": 1e3 * STEPS}
    whole = SimpleNamespace(key="network", **times)
    profiler = profile()
    monkeypatch.setattr(profiler, "key_averages", lambda: [whole])
    (part,) = _times(profiler, ["data", "network"])
    assert part == Part("network", 3.0, 1.0)


@pytest.mark.rejects
def test_a_profile_is_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (*NUMBERS, *ADDRESS):
        monkeypatch.setenv(name, "2" if name.endswith("WORLD_SIZE") else "0")
    with pytest.raises(SystemExit):
        main(["train", "--profile", "--run", str(tmp_path / "run")])
    assert "`profile` needs a training in one process" in capsys.readouterr().err
