"""Laws of the progress on stderr."""

from pathlib import Path

import pytest

from selfsup_lifting.cli import main, reading_progress
from selfsup_lifting.cli.progress import show_progress, show_several
from tests.selfsup_lifting.files.layouts import WRITERS, write_session
from tests.selfsup_lifting.strategies import Scene


def test_without_a_terminal_a_line_is_printed_now_and_then_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with show_progress(1000, 990) as show:
        for epoch in range(990, 1000):
            show(f"L_in {epoch}")
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("epoch 991/1000  L_in 990")
    assert last == "epoch 1000/1000  L_in 999  0:00:00 left"


def test_work_of_another_kind_has_its_own_unit(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress(1, 0, "part") as show:
        show("")
    assert capsys.readouterr().err == "part 1/1  0:00:00 left\n"


def test_no_time_is_promised_before_the_speed_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress(10, 0) as show:
        show("L_in 1")
    assert capsys.readouterr().err == "epoch 1/10  L_in 1\n"


def test_works_at_once_have_lines_with_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    with show_several() as show:
        for done in range(1, 101):
            show("one/seed-0", 100, done, f"L_in {done}")
            show("two/seed-0", 200, done + 50, "")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["one/seed-0  epoch 1/100  L_in 1", "two/seed-0  epoch 51/200"]
    assert lines[2:] == ["one/seed-0  epoch 100/100  L_in 100  0:00:00 left"]


@pytest.mark.parametrize("patience", [0.0, 1000.0])
def test_long_reading_shows_how_many_files_are_left(
    tmp_path: Path, patience: float, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(reading_progress, "PATIENCE", patience)
    recording = Scene(views=2, frames=5, skeleton="coco17").recording()
    folder = write_session(tmp_path / "session", recording, WRITERS["openpose"])
    main(["inspect", str(folder), "--json"])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("file ")]
    assert bool(lines) == (patience == 0.0)
    assert all("/11  cam" in line for line in lines)  # ten frames and the calibration
