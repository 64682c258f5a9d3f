"""Laws of reports: their figures and tables are the numbers, and they need nothing else."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from math import nan
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from multiview_geom import save_cameras
from selfsup_lifting.calibration_settings import CalibrationSettings
from selfsup_lifting.cli import main
from selfsup_lifting.config import Config
from selfsup_lifting.config_toml import setting_rows
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.report.calibration_report import save_calibration_report
from selfsup_lifting.report.drawing import INK, drawn
from selfsup_lifting.report.recording_parts import worst_and_best
from selfsup_lifting.self_calibration.measure import CalibrationReport, CameraChange
from tests.selfsup_lifting.files.layouts import WRITERS, write_session
from tests.selfsup_lifting.strategies import Scene

LARGEST = 5_000_000
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """A report, taken apart: its rows of cells, its lines by id, its data, what it references."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.cells: list[list[str]] = []
        self.lines: dict[str, np.ndarray] = {}
        self.references: list[str] = []
        self.figures = 0
        self.json = ""
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name: value or "" for name, value in attrs}
        self.references += [
            names[name] for name in ("src", "href", "action", "data") if name in names
        ]
        self.figures += tag == "figure"
        if tag == "tr":
            self.cells.append([])
        if tag in {"td", "th"}:
            self.cells[-1].append("")
        if tag == "path" and "d" in names:
            numbers = np.array(re.findall(r"-?[\d.]+", names["d"]), dtype=float)
            self.lines.setdefault(
                self.open[-1][1], numbers.reshape(-1, 2) if len(numbers) % 2 == 0 else numbers
            )
        if tag not in VOID:
            self.open.append((tag, names.get("id", "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] in {"td", "th"}:
            self.cells[-1][-1] += data
        if self.open and self.open[-1] == ("script", "data"):
            self.json += data

    def row(self, name: str) -> list[str]:
        """Return the first row of any table whose first cell is a name."""
        return next(cells for cells in self.cells if cells[0] == name)

    def require_self_contained(self) -> None:
        """Hold that the page references only itself, in both color schemes and in print."""
        assert [
            one for one in self.references if not one.startswith(("#", "data:image/png;base64"))
        ] == []
        outside = re.findall(
            r"https?://|url\((?!#)|@import|<script (?!type=\"application/json\")", self.text
        )
        assert outside == []
        assert len(self.text) < LARGEST
        assert INK not in self.text
        assert "currentColor" in self.text or not self.figures
        for rule in ("prefers-color-scheme: dark", "@media print", "max-width: 600px"):
            assert rule in self.text


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording.npz"
    save_recording(path, Scene(views=3, frames=20, missing=0.1).recording())
    return path


def assert_affine(shown: np.ndarray, values: np.ndarray, *, rising: bool) -> None:
    """Hold that coordinates in a drawing are an affine function of the values."""
    slope, offset = np.polyfit(values, shown, 1)
    np.testing.assert_allclose(slope * values + offset, shown, atol=0.02)
    assert (slope > 0) == rising


def test_the_report_of_a_run_shows_its_metrics_and_errors(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    small = [
        "--recipe",
        "paper",
        "--lifter.width",
        "16",
        "--lifter.blocks",
        "1",
        "--frames-per-batch",
        "8",
        "--losses.output-share",
        "1",
    ]
    main(["train", "--data", str(recording), "--run", str(run), "--epochs", "4", *small, "--json"])
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    page = Page(run / "report.html")
    page.require_self_contained()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    data = json.loads(page.json)
    assert data["metrics"] == rows
    assert (data["before"], data["after"]) == (printed["before"], printed["after"])
    epochs = np.array([row["epoch"] for row in rows])
    for loss in ("L_in", "L_proj", "L_con", "L_out"):
        values = np.array([row["losses"][loss] for row in rows])
        for name, shown in (
            ("losses", np.log10(values)),
            ("gradient_shares", [row["gradient_shares"][loss] for row in rows]),
        ):
            line = page.lines[f"{name}/{loss}"]
            assert_affine(line[:, 0], epochs, rising=True)
            assert_affine(line[:, 1], np.array(shown), rising=False)
    held_out = np.array([row["held_out_reprojection"] for row in rows])
    assert_affine(page.lines["held_out_reprojection"][:, 1], held_out, rising=False)
    for row, key in (("untrained", "before"), ("trained", "after")):
        errors = printed[key]
        expected = [f"{errors[name]:.1f}" for name in ("p_mpjpe_mm", "mpjpe_mm", "n_mpjpe_mm")]
        assert page.row(row)[1:4] == expected
    assert re.findall(r"<figcaption>(\w+) P-MPJPE, ", page.text) == ["best", "median", "worst"]
    assert page.row("lifter.width") == ["lifter.width", "16", "1024", "paper: 1024"]
    assert page.row("lifter.dropout")[3].startswith("code: 0.5")
    named = {cells[0] for cells in page.cells}
    assert {row.name for row in setting_rows(Config()) if row.source} <= named
    assert f"--config {run}/config.toml" in page.text


def test_the_report_of_a_triangulation_shows_its_residuals(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["triangulate", str(recording), "--report", str(tmp_path / "report.html"), "--json"])
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    page = Page(tmp_path / "report.html")
    page.require_self_contained()
    per_camera = printed["reprojection"]["per_camera"]
    for name, row in per_camera.items():
        assert page.row(name)[3] == f"{row['seen_share']:.1%}"
    assert page.figures == 2 + 3 + 3
    assert "The cameras agree: " in page.text
    assert page.row("method") == ["method", "robust", "", "ours: robust; paper: dlt"]
    kept = json.loads(page.json)["recordings"]["scene 0"]
    assert kept["reprojection"] == printed["reprojection"]


def test_the_best_frame_is_not_one_with_few_detections(tmp_path: Path) -> None:
    recording = Scene(views=3, frames=20).recording()
    pixels = recording.keypoints.clone()
    pixels[:, 0] += torch.linspace(9, 1, 20)[:, None, None]  # the last frame has the lowest error
    pixels[5, 2, 3:], pixels[5, 0, 3:] = torch.nan, torch.nan
    pixels[5, :, :3] = recording.keypoints[5, :, :3]
    sure = torch.ones_like(recording.confidence)
    save_recording(tmp_path / "walk.npz", replace(recording, keypoints=pixels, confidence=sure))
    report = tmp_path / "report.html"
    main(["triangulate", str(tmp_path / "walk.npz"), "--method", "dlt", "--report", str(report)])
    assert "frame 19, in 3 of 3 cameras" in re.findall(r"best frame: [^<]*", report.read_text())[0]


def test_the_report_of_an_inspection_shows_what_is_missing(tmp_path: Path, recording: Path) -> None:
    single = Scene(views=1, frames=5).recording()
    save_recording(tmp_path / "single.npz", single)
    save_cameras(tmp_path / "rig.toml", single.cameras)
    for source, figures in (
        (recording, 8),
        (tmp_path / "single.npz", 5),
        (tmp_path / "rig.toml", 2),
    ):
        report = tmp_path / f"{source.stem}.html"
        main(["inspect", str(source), "--report", str(report)])
        page = Page(report)
        page.require_self_contained()
        assert page.figures == figures
        assert len(page.row("cam_1")) == 3 or figures == 2
    shares = json.loads(Page(tmp_path / "recording.html").json)["inspection"]["missing_per_joint"]
    assert Page(tmp_path / "recording.html").row("left_knee")[1] == f"{shares['left_knee']:.1%}"


def test_a_calibration_that_was_found_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = Scene(views=2, frames=5, skeleton="coco17").recording()
    write_session(tmp_path / "session", recording, WRITERS["mmpose"])
    save_recording(tmp_path / "native.npz", recording)
    monkeypatch.chdir(tmp_path)
    main(["inspect", "session", "--report", "inspect.html"])
    assert "\ncalibration: session/calibration.toml\n" in capsys.readouterr().out
    main(["triangulate", "session", "--report", "points.html"])
    for report in ("inspect.html", "points.html"):
        assert "<p>Calibration: session/calibration.toml</p>" in Path(report).read_text()
    main(["inspect", "native.npz"])
    assert "calibration:" not in capsys.readouterr().out


def test_the_report_of_a_calibration_shows_what_changed(tmp_path: Path) -> None:
    scene = Scene(views=2, frames=4).recording()
    change = CameraChange(9.0, 2.0, 9.5, 2.5, 0.0125, 0.002, 0.5, 0.1, 1145.0, 0.0)
    new = replace(change, before_px=nan, held_out_before_px=nan, moved=nan, turned_deg=nan)
    found = CalibrationReport(
        scene.cameras, {"cam_1": change, "cam_2": new}, 9.5, 2.5, 1.5,
        scale="the stature", is_metric=True, vertical="the legs", stature=1.75, notes=("one note",),
    )  # fmt: skip
    path = tmp_path / "report.html"
    save_calibration_report(
        path,
        found,
        [scene],
        scene.cameras,
        settings=CalibrationSettings(),
        command="x",
    )
    page = Page(path)
    page.require_self_contained()
    assert page.row("cam_1")[1:4] == ["9.0 → 2.0", "9.5 → 2.5", "12.5 ± 2.0"]
    assert page.row("cam_2")[1:3] == ["2.0", "2.5"]
    assert page.figures == 2 + 2 + 8
    assert "one note" in page.text


@pytest.mark.rejects
def test_a_report_replaces_a_file_only_if_told(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.html").write_text("mine")
    for name, sentence in (("old.html", "exists; --overwrite"), ("new.pdf", "written as .html")):
        for command in ("triangulate", "inspect"):
            with pytest.raises(SystemExit):
                main([command, str(recording), "--report", str(tmp_path / name)])
            assert sentence in capsys.readouterr().err
    assert (tmp_path / "old.html").read_text() == "mine"


def test_where_no_error_is_known_no_frame_is_the_best() -> None:
    assert worst_and_best(torch.full((3,), nan)) == {}
    errors = torch.tensor([5.0, nan, 1.0, 3.0])
    assert worst_and_best(errors) == {"best": 2, "median": 3, "worst": 0}


def test_a_figure_is_arranged_and_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    draw, times, into = Figure.draw, [], list[str]()
    monkeypatch.setattr(Figure, "draw", lambda *given: [times.append(1), draw(*given)])
    with drawn(3.0, 2.0, "An axis", into) as figure:
        axes = figure.add_subplot()
        before = axes.get_position().bounds
    assert len(into) == len(times) == 1
    assert axes.get_position().bounds != before
