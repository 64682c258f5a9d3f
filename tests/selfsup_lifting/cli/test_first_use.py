"""The first training on a computer compiles its last loop in a second process."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from multiview_geom._kernels import engines
from selfsup_lifting.cli import first_use
from selfsup_lifting.evaluation.metrics import p_mpjpe

numba = pytest.importorskip("numba")


@pytest.fixture
def no_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this a computer on which nothing was compiled so far; return its caches."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path / "caches"


def test_a_use_is_the_first_one_until_a_loop_is_kept(no_loops: Path) -> None:
    assert engines.is_first_use()
    (folder,) = no_loops.glob("multiview_geom/*")
    (folder / "loop.nbi").touch()
    assert not engines.is_first_use()


@pytest.mark.usefixtures("no_loops")
def test_what_is_not_compiled_or_kept_has_no_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("NUMBA_DISABLE_JIT", "1")
        assert not engines.is_first_use()
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert not engines.is_first_use()


@pytest.mark.usefixtures("no_loops")
def test_the_second_process_has_ended_where_its_result_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = tmp_path / "compiled"
    monkeypatch.setattr(first_use, "ALIGN", f"open({str(compiled)!r}, 'w').close()")
    with first_use.alignment_compiled_meanwhile():
        pass
    assert compiled.exists()


@pytest.mark.usefixtures("no_loops")
def test_the_second_process_ends_with_a_training_that_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(first_use, "ALIGN", "import time; time.sleep(60)")
    start = time.monotonic()
    with (
        pytest.raises(ValueError, match="cameras disagree"),
        first_use.alignment_compiled_meanwhile(),
    ):
        raise ValueError("cameras disagree")
    assert time.monotonic() - start < 30


def test_nothing_is_started_where_loops_were_compiled(
    no_loops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.is_first_use()
    (folder,) = no_loops.glob("multiview_geom/*")
    (folder / "loop.nbi").touch()
    monkeypatch.setattr(first_use, "subprocess", None)
    with first_use.alignment_compiled_meanwhile():
        pass


@pytest.mark.usefixtures("no_loops")
def test_nothing_is_started_where_the_interpreter_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setattr(first_use, "subprocess", None)
    with first_use.alignment_compiled_meanwhile():
        pass


def test_what_is_compiled_is_what_an_evaluation_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[Any, ...]] = []

    def recorded(module: str) -> dict[str, Callable[..., None]]:
        def align(*arguments: object) -> None:
            called.append((module, *map(numba.typeof, arguments)))

        return {"align": align}

    monkeypatch.setattr(engines, "numba_functions", recorded)
    exec(first_use.ALIGN, {})
    points = torch.rand(2, 17, 3)
    p_mpjpe(points, points)
    assert len(called) == 2
    assert called[0] == called[1]
