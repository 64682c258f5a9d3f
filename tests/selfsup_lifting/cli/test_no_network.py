"""No command needs the network: they work where every connection is refused."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfsup_lifting.cli import main
from selfsup_lifting.recording_file import save_recording
from tests.selfsup_lifting.strategies import Scene

SMALL = ["--lifter.width", "16", "--lifter.blocks", "1", "--frames-per-batch", "8"]
# What Python reports before it resolves a name, connects, listens or sends.
NETWORK = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.send", "urllib.Request")

_closed: list[str] | None = None


def _refuse(event: str, _: object) -> None:
    """Refuse what reaches the network while it is closed, and remember it."""
    if _closed is not None and event.startswith(NETWORK):
        _closed.append(event)
        raise OSError(f"the network is closed: {event}")


sys.addaudithook(_refuse)  # it stays until the process ends


@pytest.fixture
def attempts() -> Iterator[list[str]]:
    """Close the network during a test; return what was tried."""
    global _closed  # noqa: PLW0603 - an audit hook cannot be removed
    _closed = []
    yield _closed
    _closed = None


def test_a_closed_network_is_noticed(attempts: list[str]) -> None:
    import socket

    with socket.socket() as one, pytest.raises(OSError, match="the network is closed"):
        one.connect(("127.0.0.1", 9))
    assert attempts == ["socket.connect"]


@pytest.mark.slow
def test_every_command_works_without_network(tmp_path: Path, attempts: list[str]) -> None:
    data, run = str(tmp_path / "data.npz"), str(tmp_path / "run")
    save_recording(tmp_path / "data.npz", Scene(views=3, frames=20).recording())
    main(["train", "--data", data, "--run", run, "--epochs", "1", *SMALL])
    main(["train", "--resume", run, "--epochs", "2"])
    main(["evaluate", run])
    main(["inspect", data, "--report", str(tmp_path / "inspected.html")])
    main(["predict", run, data, "--out", str(tmp_path / "lifted.trc")])
    main(["triangulate", data, "--out", str(tmp_path / "points.csv")])
    main(["view", data, "--out", str(tmp_path / "page.html")])
    main(["calibrate", data, "--out", str(tmp_path / "rig.toml")])
    main(["export", run, "--web", str(tmp_path / "web")])
    assert attempts == []
