"""Laws of the progress on stderr."""

import pytest

from selfsup_lifting.cli.progress import show_progress


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
