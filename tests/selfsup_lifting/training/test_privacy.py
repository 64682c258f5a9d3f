"""A run names neither the computer nor the folders of the person who made it."""

import json
import socket
from pathlib import Path

import pytest
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from selfsup_lifting.cli import main
from selfsup_lifting.config import Config
from selfsup_lifting.config_toml import as_toml, load_settings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording_file import save_recording
from tests.selfsup_lifting.strategies import Scene

SMALL = ["--lifter.width", "16", "--lifter.blocks", "1", "--frames-per-batch", "8"]


@pytest.mark.slow
def test_a_run_names_no_folder_and_no_computer_and_still_finds_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "my-own-computer")
    home = tmp_path / "home-of-alice"
    save_recording(home / "data" / "walk.npz", Scene(views=3, frames=20).recording())
    data, run = home / "data" / "walk.npz", home / "runs" / "first"
    main(["train", "--data", f"native:{data}", "--run", str(run), "--epochs", "1", *SMALL])
    (run / "report.html").unlink()  # the page shows the command that was typed
    for file in run.iterdir():
        assert "my-own-computer" not in file.name
        for name in (b"my-own-computer", b"home-of-alice", bytes(tmp_path)):
            assert name not in file.read_bytes(), file.name
    with safe_open(run / "model.safetensors", "pt") as model:
        assert json.loads(model.metadata()["config"])["data"] == ["native:walk.npz"]
    (curves,) = run.glob("events*")
    tags = EventAccumulator(str(curves)).Reload().Tags()["scalars"]
    assert {"losses/L_in", "gradient_shares/L_in"} <= {*tags}
    moved = home.rename(tmp_path / "home-of-bob") / "runs" / "first"
    monkeypatch.chdir(moved)
    main(["train", "--resume", str(moved), "--epochs", "2"])
    assert len((moved / "metrics.jsonl").read_text().splitlines()) == 2
    main(["evaluate", "."])
    (moved.parents[1] / "data").rename(tmp_path / "data")
    for command in (["train", "--resume", str(moved)], ["evaluate", "."]):
        with pytest.raises(SystemExit):
            main(command)
        assert "the run was moved without its data; `--data` says where" in capsys.readouterr().err
    main(["train", "--resume", str(moved), "--epochs", "3", "--data", f"{tmp_path}/data/walk.npz"])


def test_paths_in_settings_are_relative_to_their_file(tmp_path: Path) -> None:
    cameras, skeleton = tmp_path / "rig" / "cameras.toml", tmp_path / "dog.toml"
    read = ReadSettings(cameras=cameras, skeleton=str(skeleton), detected_skeleton="coco17")
    config = Config(data=("synthetic", f"{tmp_path}/clips"), read=read, run=tmp_path / "run")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.toml").write_text(as_toml(config, folder))
    assert str(tmp_path) not in (folder / "config.toml").read_text()
    loaded = load_settings(folder / "config.toml", Config())
    assert loaded.data == config.data
    assert loaded.read == config.read
    assert loaded.run is None
