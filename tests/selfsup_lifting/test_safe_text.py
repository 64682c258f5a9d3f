"""Names out of files: text wherever they are written, never commands."""

import csv
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsup_lifting.cli import main
from selfsup_lifting.evaluation.table_files import ResultTable, latex
from selfsup_lifting.export import save_tracks
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.safe_text import for_latex, for_spreadsheet, printable
from selfsup_lifting.saved_tracks import load_tracks
from tests.selfsup_lifting.strategies import Scene

HOSTILE = ("[red]", "[/x]", "a,b", "=1+1", "\x1b]0;title\x07", "two\nlines", r"\input{x}")


def hostile_recording() -> Recording:
    recording = Scene(views=3, frames=4).recording()
    body = recording.skeleton
    joints = (*HOSTILE, *body.joints[len(HOSTILE) :])
    cameras = replace(recording.cameras, names=("[cam1]", "[/]", "\x1b[2J"))
    return replace(recording, skeleton=replace(body, joints=joints), cameras=cameras)


@given(st.text())
def test_printed_text_has_no_controls(text: str) -> None:
    found = printable(text)
    assert len(found) == len(text)
    assert all(one == "\n" or ord(one) >= 32 for one in found)
    assert printable(found) == found


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"])))
def test_latex_text_has_no_commands(text: str) -> None:
    bare = for_latex(text)
    for known in (r"\textbackslash{}", r"\textasciicircum{}", r"\textasciitilde{}"):
        bare = bare.replace(known, "")
    for escaped in (r"\{", r"\}", r"\$", r"\&", r"\#", r"\%", r"\_"):
        bare = bare.replace(escaped, "")
    assert not set(bare) & set("\\{}$&#%_^~")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum"])
def test_a_formula_is_text_to_a_spreadsheet(text: str) -> None:
    assert for_spreadsheet(text) == f"'{text}"
    assert for_spreadsheet("knee") == "knee"


def test_letters_that_a_terminal_lacks_are_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Scene(views=2, frames=4).recording()
    cameras = replace(recording.cameras, names=("\u03bc\u03cd\u03c4\u03b7", "left"))
    save_recording(tmp_path / "x.npz", replace(recording, cameras=cameras))
    terminal = TextIOWrapper(BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", terminal)
    main(["inspect", str(tmp_path / "x.npz")])
    terminal.flush()
    assert rb"\u03bc\u03cd\u03c4\u03b7" in terminal.buffer.getvalue()


def test_a_sentence_with_thousands_of_names_is_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_recording(tmp_path / "x.npz", Scene(views=2, frames=4).recording())
    joints = [f"j{number}" for number in range(10_000)]
    lines = (f"joints = {joints}", "bones = []", 'root = ["nobody"]')
    (tmp_path / "body.toml").write_text("\n".join(lines))
    with pytest.raises(SystemExit):
        main(["inspect", str(tmp_path / "x.npz"), "--skeleton", str(tmp_path / "body.toml")])
    said = capsys.readouterr().err
    assert len(said) < 2000
    assert "body.toml: 'nobody' is none of the joints j0, j1, j2" in said
    assert "more characters) ..." in said


def test_a_page_about_a_folder_that_is_not_utf_8_is_written(tmp_path: Path) -> None:
    save_recording(
        tmp_path / "x.npz", replace(Scene(views=2, frames=4).recording(), name="a\udcff")
    )
    main(["triangulate", str(tmp_path / "x.npz"), "--report", str(tmp_path / "x.html")])
    assert "a\ufffd" in (tmp_path / "x.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["inspect", "triangulate"])
def test_names_are_shown_as_they_are(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_recording(tmp_path / "hostile.npz", hostile_recording())
    main([command, str(tmp_path / "hostile.npz")])
    shown = capsys.readouterr()
    assert "[cam1]" in shown.out
    assert "[/x]" in shown.out
    assert "\x1b" not in shown.out + shown.err


def test_tracks_keep_their_columns(tmp_path: Path) -> None:
    recording = hostile_recording()
    for name in ("x.csv", "x.trc"):
        save_tracks(
            tmp_path / name, recording.truth,
            skeleton=recording.skeleton, fps=50.0, coordinates="world",
        )  # fmt: skip
    with (tmp_path / "x.csv").open(newline="") as file:
        file.readline()
        rows = list(csv.reader(file))
    assert {len(row) for row in rows} == {2 + 3 * len(recording.skeleton.joints)}
    assert "a,b_x" in rows[0]
    assert "'=1+1_x" in rows[0]
    loaded = load_tracks(tmp_path / "x.csv")
    assert loaded.skeleton.joints == recording.skeleton.joints
    lines = (tmp_path / "x.trc").read_text().splitlines()
    assert len(lines) == 5 + len(recording.truth)


def test_a_table_in_latex_runs_nothing() -> None:
    row = (r"\write18{rm}", (1.0,))
    table = ResultTable("Title\n\\input{x}", ("a_b",), (row,), notes=("note\n\\input{y}",))
    text = latex([table])
    assert r"\textbackslash{}write18\{rm\}" in text
    assert not [line for line in text.splitlines() if line.startswith(r"\input")]
