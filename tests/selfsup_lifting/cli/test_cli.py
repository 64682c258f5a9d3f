"""Laws of the shell."""

import json
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import Field, fields, replace
from io import StringIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import pytest
import torch

from multiview_geom import save_cameras
from selfsup_lifting.cli import commands, main, stream_command, track_commands
from selfsup_lifting.cli.calibrate_command import training_data
from selfsup_lifting.cli.commands import run as run_command
from selfsup_lifting.cli.options import TrainOptions
from selfsup_lifting.cli.output import messages
from selfsup_lifting.cli.parsing import COMMANDS, parse_options
from selfsup_lifting.cli.saving import outputs_of, save_outputs
from selfsup_lifting.cli.terminal import PlainFormatter, Terminal
from selfsup_lifting.cli.track_commands import notes_on_use
from selfsup_lifting.cli.view_commands import page_of, view
from selfsup_lifting.config import Config, TriangulationSettings
from selfsup_lifting.config_toml import load_config
from selfsup_lifting.evaluation import evaluate
from selfsup_lifting.evaluation.ablation import Row, varied
from selfsup_lifting.files import read_results
from selfsup_lifting.point_quality import PointQuality
from selfsup_lifting.read_errors import ReadError
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import load_recording, save_recording
from selfsup_lifting.run_files import CONFIG_FILE
from selfsup_lifting.safe_text import on_one_line
from selfsup_lifting.triangulate import reconstruct
from tests.selfsup_lifting.files.sessions.test_capture import Session
from tests.selfsup_lifting.strategies import Scene
from tests.selfsup_lifting.training.small_runs import committed

SMALL = ["--lifter.width", "16", "--lifter.blocks", "1", "--frames-per-batch", "8"]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording.npz"
    save_recording(path, Scene(views=3, frames=20).recording())
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that all tests copy: training takes seconds."""
    folder = tmp_path_factory.mktemp("trained")
    data, run = folder / "recording.npz", folder / "run"
    save_recording(data, Scene(views=3, frames=20).recording())
    main(["train", "--data", str(data), "--run", str(run), "--epochs", "2", *SMALL])
    return run


@pytest.fixture
def run(tmp_path: Path, trained: Path) -> Path:
    """Return a run of its own, with its data, whose path in the settings is relative to the run."""
    return Path(shutil.copytree(trained.parent, tmp_path / "copy")) / "run"


def printed(capsys: pytest.CaptureFixture[str]) -> dict:
    """Return the one object on stdout."""
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one sentence on stderr; hold that the exit status is 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    printed_report = capsys.readouterr().err.strip()
    assert "Traceback" not in printed_report
    return printed_report


def test_train_prints_the_error_before_and_after(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(recording), "--run", str(tmp_path / "run"), "--epochs", "2", *SMALL]
    main(["train", *arguments, "--json"])
    report = printed(capsys)
    assert report["run"] == str(tmp_path / "run")
    assert report["before"].keys() == report["after"].keys() >= {"p_mpjpe_mm", "per_action"}
    assert report["after"]["frames"] == 4


def test_evaluate_judges_by_what_was_kept_out(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    main(["evaluate", str(run), "--json"])
    report = printed(capsys)
    assert (report["frames"], report["joints"], report["reference"]) == (4, 17, "truth")
    assert report["per_action"]["wandering"]["poses"] == 12


def test_predict_writes_one_track_in_three_formats(
    tmp_path: Path, run: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [str(tmp_path / f"poses.{suffix}") for suffix in ("npz", "csv", "trc")]
    capsys.readouterr()
    main(
        [
            "predict",
            str(run),
            str(recording),
            "--view",
            "cam_2",
            "--frames",
            "16:",
            "--out",
            *out,
            "--json",
        ]
    )
    report = printed(capsys)
    tracks = np.load(out[0])["tracks"]
    assert tracks.shape == (4, 17, 3)
    assert (report["view"], report["frames"]) == ("cam_2", 4)
    assert report["trained"]["poses"] == 4
    rows = Path(out[1]).read_text().splitlines()[2:]
    written = np.array([[float(cell) for cell in row.split(",")[2:]] for row in rows])
    np.testing.assert_allclose(written.reshape(4, 17, 6)[..., :3], tracks, atol=1e-6)
    np.testing.assert_array_equal(written.reshape(4, 17, 6)[..., 4], 1)


def test_a_prediction_states_the_reprojection_error_of_the_placed_pose(
    tmp_path: Path, run: Path, recording: Path
) -> None:
    out = tmp_path / "poses.npz"
    main(["predict", str(run), str(recording), "--coordinates", "world", "--out", str(out)])
    single = load_recording(recording).select_views(["cam_1"])
    with np.load(out) as file:
        tracks, errors, scores = (
            torch.from_numpy(file[name]) for name in ("tracks", "error_px", "score")
        )
    pixels = single.cameras.project(tracks.double()).pixels
    expected = (pixels - single.keypoints).norm(dim=-1)[:, 0]
    torch.testing.assert_close(errors.double(), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(scores.float(), single.confidence[:, 0])


def test_predict_and_evaluate_refine_poses_if_asked(
    tmp_path: Path,
    run: Path,
    recording: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def all_in_one_place(
        _: object, recording: Recording, *, refine: bool, after: int = 0
    ) -> Iterator[torch.Tensor]:
        for part in recording.parts(after=after):
            shape = (*part.keypoints.shape[:-1], 3)
            yield torch.zeros(shape) if refine else torch.ones(shape).cumsum(dim=-2)

    for module in (evaluate, track_commands):
        monkeypatch.setattr(module, "lift_parts", all_in_one_place)
    out = tmp_path / "refined.npz"
    main(["predict", str(run), str(recording), "--refine", "--out", str(out)])
    with np.load(out) as file:
        assert not file["tracks"].any()
    errors = []
    for options in ([], ["--refine"]):
        capsys.readouterr()
        main(["evaluate", str(run), "--json", *options])
        errors.append(printed(capsys)["mpjpe_mm"])
    assert errors[0] != errors[1]


@pytest.mark.parametrize("frame", ["camera", "world"])
def test_a_lifted_pose_can_be_placed(
    tmp_path: Path, run: Path, recording: Path, frame: str
) -> None:
    out = tmp_path / "placed.npz"
    main(["predict", str(run), str(recording), "--coordinates", frame, "--out", str(out)])
    assert torch.from_numpy(np.load(out)["tracks"]).isfinite().all()


def test_triangulate_finds_exact_points(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "points.npz"
    main(["triangulate", str(recording), "--min-confidence", "0", "--out", str(out), "--json"])
    report = printed(capsys)
    assert report["reprojection"]["median_px"] < 0.01
    assert report["reprojection"]["per_camera"].keys() == {"cam_1", "cam_2", "cam_3"}
    truth = Scene(views=3, frames=20).truth().numpy()
    np.testing.assert_allclose(np.load(out)["tracks"], truth, atol=1e-3)


def test_triangulate_warns_of_codes_for_missing_joints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coded = Scene(views=3, frames=20).recording()
    coded.keypoints[:, 1, 4] = -1.0
    save_recording(tmp_path / "coded.npz", coded)
    main(["triangulate", str(tmp_path / "coded.npz")])
    assert "cam_2 has 20 detections at (0, 0) or (-1, -1)" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["iterative", "robust", "refined"])
def test_triangulate_knows_other_methods(
    recording: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exact = ["--min-confidence", "0", "--method", method, "--weighted", "--json"]
    main(["triangulate", str(recording), *exact])
    report = printed(capsys)
    assert report["inlier_share"] == 1.0
    assert report["expected_error_mm"] < 0.1
    assert report["agreement"]["median_px"] < 0.1
    assert report["agreement"]["cause"] == ""


def test_inspect_says_what_a_recording_is(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["inspect", str(recording), "--json"])
    report = printed(capsys)
    assert (report["frames"], report["skeleton"], report["missing_share"]) == (20, "h36m17", 0.0)
    assert report.keys() >= {"format", "cameras", "warnings"}
    (agreement,) = report["agreement"].values()
    assert agreement["share"] < 0.01
    main(["inspect", str(recording)])
    assert "The cameras agree: before outliers are removed" in capsys.readouterr().out


def test_inspect_says_what_a_calibration_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Session().write(tmp_path / "session")
    command = ["inspect", str(project / "calibration" / "Calib.toml")]
    main(command)
    assert "cam_03" in capsys.readouterr().out
    said = refused([*command, "--cameras", "other.toml"], capsys)
    assert "Calib.toml is a calibration; `cameras` cannot be given beside it" in said


def test_inspect_names_unknown_tables_beside_a_calibration_whatever_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_cameras(tmp_path / "calibration.toml", Scene(views=2).cameras())
    (tmp_path / "cam_1.csv").write_text("nose_x,nose_y\n1,2\n")
    said = refused(["inspect", str(tmp_path), "--detected-skeleton", "coco17"], capsys)
    assert "cam_1.csv: in no known format (expected `frame`" in said


def test_a_run_goes_on(run: Path, recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "--resume", str(run), "--epochs", "3"])
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    assert "changed settings: epochs = 3" in capsys.readouterr().err


def test_a_run_whose_settings_have_no_effect_on_its_data_goes_on(run: Path) -> None:
    settings = (run / CONFIG_FILE).read_text()
    older = settings.replace("[read]", '[read]\ndetected_skeleton = "coco17"')
    committed(run, CONFIG_FILE, older.encode())
    options = TrainOptions(settings=load_config(run), resume=run)
    assert len(training_data(options, run).recordings) == 1
    with pytest.raises(ReadError, match="`detected_skeleton` has no effect on"):
        training_data(replace(options, resume=None), run)


@pytest.mark.rejects
def test_a_setting_of_the_run_that_does_not_fit_is_said_to_be_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (run / CONFIG_FILE).read_text()
    kept = settings.replace("[read]", '[read]\ndetected_skeleton = "coco17"')
    committed(run, CONFIG_FILE, kept.encode())
    session = tmp_path / "session"
    session.mkdir()
    rows = ["frame,pelvis_x,pelvis_y,neck_x,neck_y", *(f"{frame},1,2,3,4" for frame in range(9))]
    (session / "cam_1.csv").write_text("\n".join(rows))
    save_cameras(session / "calibration.toml", Scene(views=1).recording().cameras)
    said = refused(["evaluate", str(run), "--data", str(session)], capsys)
    assert "`detected_skeleton` coco17 is a setting of the run" in said


@pytest.mark.rejects
def test_a_damaged_run_is_refused_before_its_data_are_read(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "model.safetensors").write_bytes(b"cut off")
    said = refused(["train", "--resume", str(run), "--data", "nowhere"], capsys)
    assert said.startswith("selfsup-lifting: ")
    assert "model.safetensors is damaged" in said


def helped(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the help text without its frame and line breaks; hold that the exit status is 0."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_the_help_lists_every_command(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    overview = helped(arguments, capsys)
    assert [name for name in COMMANDS if name not in overview] == []


def settings_of(kind: type, group: str = "") -> Iterator[tuple[str, Field[Any]]]:
    """Return every setting with its option."""
    for one in fields(kind):
        nested = one.default_factory
        name = group + one.name.replace("_", "-")
        if isinstance(nested, type):
            yield from settings_of(nested, f"{name}." if one.metadata["prefix"] else "")
        else:
            yield f"--{name}", one


def test_the_help_shows_meaning_unit_source_and_default_of_every_setting(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = helped(["train", "--help-all"], capsys)
    shown = {option: " ".join(one.metadata["help"].split()) for option, one in settings_of(Config)}
    assert [option for option in shown if f" {option}" not in text] == []
    assert [words for words in shown.values() if f" {words} (default:" not in text] == []


@pytest.mark.parametrize(("command", "recipe"), [("train", "robust"), ("ablate", "paper")])
def test_the_default_recipe_of_a_command(command: str, recipe: str) -> None:
    found = {name: parse_options([command, "--recipe", name]) for name in ("robust", "paper")}
    assert parse_options([command]) == found[recipe]
    assert found["robust"].settings != found["paper"].settings


def test_the_help_of_a_recipe_shows_its_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    text = helped(["train", "--recipe", "robust", "--help-all"], capsys)
    assert "zero where missing (ours: no; not stated in the paper) (default: True)" in text


def test_a_shell_completes_every_command_and_its_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--print-completion", "bash"])
    script = capsys.readouterr().out
    assert [name for name in (*COMMANDS, "--cameras", "--lifter.width") if name not in script] == []
    assert "--read.cameras" not in script


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_fits_a_screen_and_names_options_that_exist(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    every = helped([command, "--help-all"], capsys)
    with pytest.raises(SystemExit):
        main([command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 80
    options = re.findall(r"^  (--[a-z-]+)", "\n".join(lines), re.MULTILINE)
    assert options
    assert [one for one in options if f" {one} " not in every.replace(",", " ")] == []
    assert sum(line.startswith(f"  selfsup-lifting {command} ") for line in lines) == 2


@pytest.mark.processes
def test_help_without_docstrings_lists_the_options() -> None:
    command = [sys.executable, "-OO", "-m", "selfsup_lifting", "train", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "  --recipe" in done.stdout


@pytest.mark.processes
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_a_command_that_is_terminated_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal\n"
        "from pathlib import Path\n"
        "from selfsup_lifting.atomic_write import replacing\n"
        "from selfsup_lifting.cli import commands, main\n"
        "def run(_: object) -> None:\n"
        "    with replacing(Path('x.csv')) as path:\n"
        "        path.write_text('half')\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "commands.run = run\n"
        "main(['inspect', 'synthetic'])\n"
    )
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="the variable is that of GNU's OpenMP")
@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")],
)
def test_threads_that_wait_sleep_soon_unless_the_environment_says_how(
    given: dict[str, str], expected: str
) -> None:
    kept = {name: os.environ[name] for name in os.environ.keys() - {"GOMP_SPINCOUNT"}}
    done = subprocess.run(
        [sys.executable, "-m", "selfsup_lifting", "inspect", "no such file"],
        env={**kept, "OMP_DISPLAY_ENV": "VERBOSE", **given},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"GOMP_SPINCOUNT = '{expected}'" in done.stderr


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--epochs", "0"], "epochs"),
        (["train", "--recipe", "papre"], "`recipe` must be one of paper"),
        (["train", "--preset", "huge"], "`preset` must be one of demo"),
        (["train", "--noise-level", "none"], "`noise-level` must be one of mild, cpn-like, harsh"),
        (["train", "--data", "nowhere"], "there is no file or folder nowhere"),
        (["train", "--data", "nowhere "], "there is no file or folder 'nowhere '"),
        (["train", "--data", "~/nowhere"], "nowhere; a shell replaces ~ and $, and takes quotes"),
        (["train", "--config", "nowhere.toml"], "there is no such settings file"),
        (["train", "--epoch", "3"], "--epochs"),
        (["evaluate", "nowhere"], "nowhere"),
        (["trian"], "did you mean train?"),
        (["--json", "triangulate", "x"], "the first word is a command: train, evaluate, predict"),
        (["help"], "selfsup-lifting --help explains them"),
        (["--print-completion", "fish"], "needs one of bash, zsh, tcsh, got ['fish']"),
        (["--print-completion"], "needs one of bash, zsh, tcsh, got none"),
    ],
)
def test_what_cannot_be_meant_is_reported_in_a_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(arguments, capsys)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError("x"), "the memory is not enough; a smaller network (--lifter.width)"),
        (RuntimeError("cannot allocate 4 bytes\nC++"), "the memory is not enough; a smaller net"),
        (RuntimeError("Symlink loop from 'a'"), "links lead in a circle: Symlink loop from 'a'"),
        (UnpicklingError("pickle data was truncated"), "compiled loops is damaged; delete the fol"),
    ],
)
def test_errors_of_libraries_that_a_user_can_mend_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    sentence: str,
) -> None:
    def run(_: object) -> None:
        raise error

    monkeypatch.setattr(commands, "run", run)
    said = refused(["inspect", "synthetic"], capsys)
    assert sentence in said
    assert "C++" not in said


@pytest.mark.rejects
def test_pipes_are_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    save_recording(tmp_path / "x.npz", Scene().recording())
    for command, sentence in (
        (["triangulate", str(tmp_path / "x.npz"), "--cameras"], "got a pipe or a device"),
        (["train", "--config"], "expected a settings file, got a pipe or a device"),
        (["inspect"], "pipe"),
    ):
        assert sentence in refused([*command, str(tmp_path / "pipe")], capsys)


@pytest.mark.rejects
def test_more_seeds_than_anybody_waits_for_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ablate", "--seeds", "1000000000", "--run", str(tmp_path / "run")]
    assert "`seeds` must be at most 1000" in refused(command, capsys)


@pytest.mark.rejects
def test_an_unknown_setting_in_a_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text("epochz = 3\n")
    printed_report = refused(["train", "--config", str(tmp_path / "mine.toml")], capsys)
    assert "unknown setting `epochz`; did you mean `epochs`?" in printed_report


@pytest.mark.rejects
def test_a_run_that_exists_is_left_alone(
    run: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "model.safetensors").read_bytes()
    printed_report = refused(["train", "--data", str(recording), "--run", str(run)], capsys)
    assert "replace it with --overwrite" in printed_report
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.rejects
def test_a_folder_that_is_no_run_is_never_overwritten(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    printed_report = refused(
        ["train", "--data", str(recording), "--run", str(tmp_path / "thesis"), "--overwrite"],
        capsys,
    )
    assert "is no run folder" in printed_report
    assert (tmp_path / "thesis" / "chapter1.tex").exists()


@pytest.mark.rejects
def test_a_track_that_exists_is_left_alone(
    tmp_path: Path, run: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "poses.csv"
    out.write_text("mine")
    printed_report = refused(["predict", str(run), str(recording), "--out", str(out)], capsys)
    assert "--overwrite" in printed_report
    assert out.read_text() == "mine"


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("triangulate DATA --frames 5", "`frames` must be written first:end, as 80:100 or 80:, "
         "got '5'"),
        ("predict RUN -", "`predict` from standard input needs a calibration: --cameras FILE"),
        ("detect --out x", "`detect` needs one video per camera, got none"),
        ("detect a.mp4 --out x --most-people 0", "`most-people` must be at least 1, got 0"),
        ("view DATA --out BUSY.png", "BUSY.png exists; --overwrite replaces it"),
        ("view DATA --frames 5:5", "`frames` 5:5 chooses none of the 20 frames of"),
        ("view TRACKS TRACKS --out v.png", "tracks.csv is given twice"),
        ("view DATA --out v.png --map cam_1=a", "`map` has no effect on"),
        ("export RUN --onnx model.bin", "model.bin: a model is written as .onnx, not '.bin'"),
        ("export RUN --onnx a.onnx --web a.onnx", "`onnx` and `web` name a.onnx twice"),
        ("evaluate RUN --data ALONE", "can be compared: expected a ground truth, or a person"),
        ("export RUN --onnx /dev/full", "/dev/full: a model is written as .onnx, not ''"),
        ("export RUN --web KEPT.json --overwrite", "is a file; expected the name of a folder"),
        ("train --data DATA --run ~mine/run", "~mine/run cannot be written: expected a path on"),
        ("ablate --data DATA --run ~mine/run", "~mine/run cannot be written: expected a path on"),
        ("export RUN --web /dev/null --overwrite", "/dev/null cannot be written: it is a pipe or "
         "a device; expected the name of a file"),
        ("triangulate DATA --out HERE.csv --overwrite", "HERE.csv cannot be written: it is a "
         "folder"),
        ("triangulate DATA --out DATA --overwrite", "is read by this command, and is not"),
        ("triangulate DATA --out t.csv --cutoff-hz 1e-300", "`cutoff_hz` must be above 1e-05 of "
         "the frame rate"),
        ("triangulate nowhere --out t.trc --up q", "`up` must be one of x, y, z, -x, -y, -z"),
        ("view nowhere --out v.png --up q", "`up` must be one of x, y, z, -x, -y, -z, got 'q'"),
        ("triangulate DATA --unit 1e-300", "a number of meters from 1e-06 to 1e+06, got '1e-300'"),
        ("calibrate DATA --bone left_hip-left_knee=0", "one-other=meters, above 0, with two of"),
        ("calibrate DATA --distance cam_1-cam_1=3", "one-other=meters, above 0, with two of"),
        ("train --config .", ". is a folder; expected a file"),
        ("ablate --vary run=a,b", "`vary` compares settings of a training, got the place `run`"),
        ("train --data DATA --cameras-learned 9", "must be at most the 3 cameras of"),
        ("train --data DATA ALONE", "has one camera and no ground truth"),
        ("view DATA --out v.png --video a.mp4", "a.mp4: there is no such file"),
        ("calibrate DATA --out KEPT.json --overwrite", "holds detections or a recording, and "
         "--overwrite replaces results only: name another file"),
    ],
)  # fmt: skip
def test_what_a_command_cannot_do_is_said(
    command: str, sentence: str, tmp_path: Path, run: Path, recording: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "BUSY.png").write_text("mine")
    (tmp_path / "HERE.csv").mkdir()
    (tmp_path / "KEPT.json").write_text('[{"frame_id": 0, "instances": []}]')
    tracks = tmp_path / "tracks.csv"
    if "TRACKS" in command:
        main(["triangulate", str(recording), "--out", str(tracks)])
    alone = tmp_path / "alone.npz"
    if "ALONE" in command:
        save_recording(
            alone, replace(load_recording(recording).select_views(["cam_1"]), truth=None)
        )
    places = {"DATA": recording, "RUN": run, "TRACKS": tracks, "ALONE": alone}
    words = [str(places.get(word, word)) for word in command.split()]
    words = [
        re.sub("^(BUSY|HERE|KEPT)", lambda found: str(tmp_path / found[0]), word) for word in words
    ]
    assert sentence in refused(words, capsys)


def test_a_page_is_never_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert page_of("..") == Path(f"{tmp_path.parent.name}.html")
    assert page_of(".") == page_of("/") == Path("view.html")


def test_view_and_export_describe_their_files_in_json(
    tmp_path: Path, run: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, web = tmp_path / "view.html", tmp_path / "web"
    main(["view", str(recording), "--out", str(page), "--json"])
    expected = {"files": [str(page)], "frames": 20, "bodies": ["triangulated", "truth"]}
    assert printed(capsys) == expected
    main(["export", str(run), "--web", str(web), "--json"])
    report = printed(capsys)["web"]
    assert report["path"] == str(web)
    assert report["largest_difference_m"] < 1e-5


def test_inspect_warns_of_a_rig(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = Scene(views=2).cameras().select([0, 0])
    save_cameras(tmp_path / "rig.toml", replace(rig, names=("left", "right")))
    main(["inspect", str(tmp_path / "rig.toml")])
    assert "warning: " in capsys.readouterr().out


@pytest.mark.rejects
def test_only_the_options_of_a_command_are_run() -> None:
    with pytest.raises(TypeError, match="expected the options of a command, got str"):
        run_command("train")


def test_a_stopped_ablation_names_the_command_that_continues_it(
    recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row("L_in", (50.0, 52.0), (60.0, 61.0), (), {"input": 1.0}, 3.0)
    monkeypatch.setattr(commands, "run_ablation", lambda *_, **__: [row])
    main(["ablate", "--data", str(recording), "--seeds", "2"])
    assert "L_in" in capsys.readouterr().out

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "run_ablation", stopped)
    with pytest.raises(SystemExit) as ended:
        main(["ablate", "--data", str(recording), "--run", "mine"])
    assert ended.value.code == 130
    said = "stopped by SIGINT; the same command continues the ablation in mine"
    assert said in capsys.readouterr().err


def test_a_warning_has_no_control_characters() -> None:
    record = logging.makeLogRecord({"msg": "file %s", "args": ("\x1b[31mred\n",)})
    assert PlainFormatter().format(record) == on_one_line("file \x1b[31mred\n")
    assert len(PlainFormatter().format(logging.makeLogRecord({"msg": "x" * 5000}))) < 2010
    assert "\x1b" not in PlainFormatter().format(record)


@pytest.mark.rejects
@pytest.mark.parametrize("command", ["predict", "triangulate", "evaluate"])
def test_frames_that_are_none_are_reported(
    command: str, tmp_path: Path, run: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {
        "predict": [str(run), str(recording), "--out", str(tmp_path / "poses.trc")],
        "triangulate": [str(recording), "--out", str(tmp_path / "points.trc")],
        "evaluate": [str(run), "--data", str(recording)],
    }
    printed_report = refused([command, *given[command], "--frames", "5:5"], capsys)
    assert "chooses none of the 20 frames" in printed_report
    assert "they are counted from 0, the first frame of the recording" in printed_report
    assert not list(tmp_path.glob("*.trc"))


@pytest.mark.rejects
def test_one_camera_is_not_triangulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = Scene(views=3, frames=4).recording()
    save_recording(tmp_path / "alone.npz", alone.select_views([alone.cameras.names[0]]))
    printed_report = refused(["triangulate", str(tmp_path / "alone.npz")], capsys)
    assert "has one camera" in printed_report


@pytest.mark.rejects
def test_a_recording_in_which_nothing_is_seen_twice_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_recording(tmp_path / "dark.npz", Scene(views=3, frames=4, missing=1.0).recording())
    assert "seen by two cameras" in refused(["triangulate", str(tmp_path / "dark.npz")], capsys)
    seen = Scene(views=3, frames=4).recording()
    save_recording(tmp_path / "seen.npz", seen)
    said = refused(["triangulate", str(tmp_path / "seen.npz"), "--threshold-px", "1e-300"], capsys)
    assert "no two cameras agree on a joint of scene 0 within `threshold_px` 1e-300" in said
    poses = seen.cameras.camera_from_world.clone()
    poses[:, :3, 3] = 0.0
    one_place = replace(seen, cameras=replace(seen.cameras, camera_from_world=poses))
    save_recording(tmp_path / "place.npz", one_place)
    said = refused(["triangulate", str(tmp_path / "place.npz")], capsys)
    assert "has a point in front of the cameras that detected it" in said
    assert "cam_1 and cam_2 have the same position" in said


def test_cameras_that_disagree_are_named_beside_their_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(views=3, frames=4).recording()
    scene.keypoints[:, 1] += 200.0
    save_recording(tmp_path / "odd.npz", scene)
    main(["view", str(tmp_path / "odd.npz"), "--out", str(tmp_path / "odd.html")])
    assert "warning: scene 0: the cameras disagree" in capsys.readouterr().err


def test_an_evaluation_of_what_was_learned_is_said(
    run: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learned = str(run.parent / "recording.npz")
    for data, count in ((learned, 1), (f"native:{learned}", 1), (str(recording), 0)):
        main(["evaluate", str(run), "--data", data, "--json"])
        assert capsys.readouterr().err.count("learned from") == count


@pytest.mark.parametrize(
    "extra",
    [[], ["--lifter.uncertainty", "--uncertainty-on", "walk"], ["--cameras-learned", "2"]],
    ids=["all", "ellipsoids", "cameras"],
)
def test_data_that_changed_after_the_training_are_named(
    tmp_path: Path, extra: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one = replace(Scene(views=3, frames=40).recording(), action="walk", subject="A")
    names = {"first": one, "second": replace(one, action="sit"), "third": replace(one, subject="B")}
    for name, recording in names.items():
        save_recording(tmp_path / "data" / f"{name}.npz", replace(recording, name=name))
    run, small = tmp_path / "run", ["--lifter.width", "8", "--lifter.blocks", "1", "--epochs", "1"]
    main(["train", "--data", str(tmp_path / "data"), "--run", str(run), *small, *extra])
    capsys.readouterr()
    main(["evaluate", str(run)])
    assert "are others" not in capsys.readouterr().err
    cut = names["second"].frames(slice(0, 30))
    save_recording(tmp_path / "data" / "second.npz", replace(cut, name="second"))
    main(["evaluate", str(run)])
    assert "its data, or how they are read, are others than those" in capsys.readouterr().err


def test_what_no_number_is_known_of_is_null(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_recording(tmp_path / "one.npz", Scene(views=3, frames=1).recording())
    capsys.readouterr()
    main(["evaluate", str(run), "--data", str(tmp_path / "one.npz"), "--json"])
    printed_report = capsys.readouterr().out.splitlines()[-1]
    assert "NaN" not in printed_report
    assert json.loads(printed_report)["velocity_mm"] is None


@pytest.mark.rejects
@pytest.mark.parametrize(
    "option",
    ["--recipe=robust", "--preset=full", "--noise-level=mild", "--run=elsewhere", "--overwrite"],
)
def test_a_resumed_run_has_its_settings(
    option: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed_report = refused(["train", "--resume", str(run), *option.split("=")], capsys)
    assert f"`{option[2:].split('=', maxsplit=1)[0]}` cannot be given beside it" in printed_report


@pytest.mark.rejects
@pytest.mark.parametrize(
    "command",
    ["train --noise-level harsh --data", "train --data", "ablate --data", "triangulate", "inspect",
     "view", "calibrate", "predict RUN", "evaluate RUN --data"],
)  # fmt: skip
def test_errors_of_a_simulated_detector_need_simulated_detections(
    command: str, run: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(run) if word == "RUN" else word for word in command.split()]
    said = refused([*words, str(recording), "--noise.jitter-px", "9"], capsys)
    assert "the detections of all recordings are real: leave out --noise-level" in said


def test_filled_gaps_need_a_file_that_has_none(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(["triangulate", str(recording), "--fill", "--out", "track.csv"], capsys)
    assert "`fill` leaves no gaps in .trc, .bvh and .glb files, and `out` names none" in said


@pytest.mark.slow
def test_a_lifter_of_simulated_detections_lifts_real_ones(tmp_path: Path, recording: Path) -> None:
    run = str(tmp_path / "run")
    main(["train", "--noise-level", "harsh", "--fps", "1", "--epochs", "1", "--run", run, *SMALL])
    main(["predict", run, str(recording), "--fps", "None"])
    main(["evaluate", run, "--data", str(recording), "--fps", "None"])


@pytest.mark.rejects
def test_what_is_wrong_with_a_calibration_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Session().write(tmp_path / "session")
    with_nan_in_the_calibration(project)
    printed_report = refused(["inspect", str(project / "calibration" / "Calib.toml")], capsys)
    assert "cam_01.translation" in printed_report


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("out", "message"),
    [
        (["a.trc", "a.trc"], "twice"),
        (["taken/a.trc"], "no folder to write to"),
        (["a.docx"], "not '.docx'"),
    ],
)
def test_a_place_that_nothing_can_be_written_to_is_reported_first(
    out: list[str],
    message: str,
    tmp_path: Path,
    recording: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    places = [str(tmp_path / name) for name in out]
    assert message in refused(["triangulate", str(recording), "--out", *places], capsys)
    assert not list(tmp_path.glob("*.trc"))


def without_calibration(project: Path) -> None:
    shutil.rmtree(project / "calibration")


def with_a_camera_too_many(project: Path) -> None:
    shutil.rmtree(project / "pose" / "cam03_json")


def with_half_a_file(project: Path) -> None:
    file = project / "pose" / "cam02_json" / "cam02.0001.json"
    file.write_text(file.read_text()[:100])


def with_a_frame_too_few(project: Path) -> None:
    (project / "pose" / "cam02_json" / "cam02.0003.json").unlink()


def with_another_skeleton(project: Path) -> None:
    for file in (project / "pose").rglob("*.json"):
        person = {"pose_keypoints_2d": [1.0, 2.0, 0.5] * 13}
        file.write_text(json.dumps({"version": 1.3, "people": [person]}))


def with_nan_in_the_calibration(project: Path) -> None:
    file = project / "calibration" / "Calib.toml"
    file.write_text(file.read_text().replace("translation = [", "translation = [nan, ", 1))


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_calibration, ["expected a calibration"]),
        (with_a_camera_too_many, ["without detections: cam_03"]),
        (with_half_a_file, ["cam02.0001.json"]),
        (with_a_frame_too_few, ["cam02", "3 frames"]),
        (with_another_skeleton, ["13"]),
        (with_nan_in_the_calibration, ["Calib.toml", "cam_01", "translation"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_capture_is_reported_and_nothing_is_written(
    tmp_path: Path,
    spoil: Callable[[Path], None],
    words: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = Session().write(tmp_path / "session")
    spoil(project)
    run = tmp_path / "run"
    printed_report = refused(
        ["train", "--data", str(project), "--run", str(run), "--epochs", "1"], capsys
    )
    assert [word for word in words if word not in printed_report] == []
    assert len(printed_report.splitlines()) == 1
    assert not run.exists()


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("setting", "meant"),
    [("losess.input", "losses.input"), ("filgaps", "fill_gaps"), ("lifter.widht", "lifter.width")],
)
def test_a_misspelled_setting_to_vary_is_answered_with_the_one_meant(
    setting: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"did you mean `{meant}`?" in refused(["ablate", "--vary", f"{setting}=1,2"], capsys)


def test_resuming_to_fewer_epochs_than_there_are_is_said(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    main(["train", "--resume", str(run), "--epochs", "1"])
    said = " ".join(capsys.readouterr().err.split())
    assert f"{run} has 2 epochs, and its settings are for 1: nothing is left to train" in said


def test_a_result_that_is_not_saved_is_said(
    run: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["predict", str(run), str(recording)], ["triangulate", str(recording)]):
        main(command)
        assert "nothing was saved; --out FILE saves the 3D track" in capsys.readouterr().err


def test_several_recordings_are_triangulated_into_one_file_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "takes"
    folder.mkdir()
    for seed in range(2):
        recording = Scene(views=3, frames=4, seed=seed).recording()
        save_recording(folder / f"{seed}.npz", recording)
    main(["triangulate", str(folder), "--out", str(tmp_path / "points.csv"), "--json"])
    reports = printed(capsys)["recordings"]
    assert set(reports) == {"scene 0", "scene 1"}
    written = sorted(path.name for path in tmp_path.glob("*.csv"))
    assert written == ["points-scene_0.csv", "points-scene_1.csv"]
    main(["triangulate", str(folder), "--take", "1", "--json"])
    assert printed(capsys)["frames"] == 4


def test_tables_and_counts_stand_below_the_name_of_their_recording(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(2):
        save_recording(tmp_path / f"{seed}.npz", Scene(views=3, frames=4, seed=seed).recording())
    main(["triangulate", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith("Reprojection error by cam")]
    assert [lines[at - 2] for at in starts] == ["scene 0", "scene 1"]
    main(["predict", str(run), str(tmp_path)])
    out = capsys.readouterr().out
    assert all(f"scene {seed}: lifted 4 frames of camera cam_1;" in out for seed in range(2))


@pytest.mark.rejects
def test_recordings_after_one_without_a_track_are_triangulated_and_lifted(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "takes"
    folder.mkdir()
    for seed, missing in enumerate((0.0, 1.0, 0.0)):
        recording = Scene(views=3, frames=4, seed=seed, missing=missing).recording()
        save_recording(folder / f"{seed}.npz", recording)
    for command in (["triangulate", str(folder)], ["predict", str(run), str(folder)]):
        files = [tmp_path / f"{command[0]}-scene_{seed}.csv" for seed in range(3)]
        with pytest.raises(SystemExit) as exit_:
            main([*command, "--out", str(tmp_path / f"{command[0]}.csv"), "--json"])
        assert exit_.value.code == 2
        out, err = capsys.readouterr()
        assert "1 of 3 recordings have no 3D track: " in err.splitlines()[-1]
        assert set(json.loads(out)["recordings"]) == {"scene 0", "scene 2"}
        assert [path.is_file() for path in files] == [True, False, True]


@pytest.mark.rejects
def test_nothing_is_written_if_one_of_the_recordings_has_one_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "takes"
    folder.mkdir()
    recording = Scene(views=3, frames=4).recording()
    save_recording(folder / "a.npz", recording)
    save_recording(folder / "b.npz", replace(recording.select_views(["cam_1"]), name="alone"))
    said = refused(["triangulate", str(folder), "--out", str(tmp_path / "points.csv")], capsys)
    assert "alone has one camera" in said
    assert not list(tmp_path.glob("*.csv"))


def test_the_share_of_detections_below_the_least_confidence_is_said(recording: Path) -> None:
    (result,) = read_results(str(recording), ReadSettings(min_confidence=0.6))
    (note,) = result.notes
    assert re.search(r"\d% of the detections have a confidence below 0.6 and count as", note)


@pytest.mark.rejects
def test_detections_are_not_replaced_by_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Session().write(tmp_path / "project")
    table = tmp_path / "tracks.csv"
    table.write_text("frame,a_x,a_y\n0,1,2\n")
    before = table.read_text()
    said = refused(["triangulate", str(project), "--overwrite", "--out", str(table)], capsys)
    assert "holds detections or a recording" in said
    assert table.read_text() == before


@pytest.mark.rejects
def test_a_working_folder_that_was_deleted_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "the working folder was deleted" in refused(["inspect", "."], capsys)


@pytest.mark.rejects
@pytest.mark.parametrize("date", ["abc", "", "-1", "\u0661"])
def test_a_date_of_the_environment_that_is_none_is_named(
    date: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
    assert f"seconds since 1970, got {date!r}" in refused(["inspect", "."], capsys)


@pytest.mark.rejects
def test_logs_that_torch_does_not_know_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def started(_: object) -> None:
        raise ValueError("\nInvalid log settings: verbose, must be ...\nValid settings:\nall")

    monkeypatch.setattr("selfsup_lifting.cli.parse_options", started)
    monkeypatch.setenv("TORCH_LOGS", "verbose")
    said = refused(["inspect", "."], capsys)
    assert "TORCH_LOGS must name logs of PyTorch, got 'verbose'; TORCH_LOGS=help lists" in said


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("command", "after"),
    [
        (["view", "x", "--out", ""], "--out"),
        (["view", "x", "--out="], "x --out="),
        (["view", " "], "view"),
    ],
)
def test_an_argument_without_text_is_refused(
    command: list[str], after: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(command, capsys)
    assert f"nothing is written after {after}; likely cause: a shell variable" in said


@pytest.mark.rejects
def test_a_training_needs_two_cameras(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_recording(tmp_path / "one.npz", Scene(views=1, frames=10).recording())
    command = ["train", "--data", str(tmp_path / "one.npz"), "--run", str(tmp_path / "run"), *SMALL]
    assert "training needs two cameras or more that see" in refused(command, capsys)


def test_a_backend_of_matplotlib_that_is_none_ends_no_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPLBACKEND", "screen")
    refused(["inspect", "nowhere"], capsys)
    assert os.environ["MPLBACKEND"] == "agg"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_below_standard_error_ends_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr("sys.stderr", full)
        monkeypatch.setattr("sys.__stderr__", full)
        with pytest.raises(SystemExit) as ended:
            main(["inspect", "nowhere"])
        messages.print("more")
        assert sys.stderr is not full
        sys.stderr.write("even more\n")
    assert ended.value.code == 2


@pytest.mark.parametrize("columns", ["0", "00"])
def test_a_terminal_without_width_shows_everything(
    columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = StringIO()
    Terminal(file=shown).print("left knee")
    assert shown.getvalue() == "left knee\n"


@pytest.mark.rejects
def test_an_error_of_the_system_names_file_and_cause(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*cause: object) -> str:
        def fail(_: object) -> None:
            raise OSError(*cause)

        monkeypatch.setattr(commands, "run", fail)
        return refused(["inspect", "x"], capsys)

    assert said(13, "Permission denied", "there.csv").endswith(": there.csv: Permission denied")
    assert said(28, "No space left on device").endswith("to write: No space left on device")


@pytest.mark.rejects
def test_a_stream_that_is_closed_is_said(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_cameras(tmp_path / "rig.toml", Scene(views=1).recording().cameras)
    monkeypatch.setattr("sys.stdin", None)
    command = ["predict", str(run), "-", "--cameras", str(tmp_path / "rig.toml")]
    assert "needs one that is open, got a closed one" in refused(command, capsys)


@pytest.mark.rejects
def test_a_line_of_a_stream_without_end_is_refused(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_cameras(tmp_path / "rig.toml", Scene(views=1).recording().cameras)
    monkeypatch.setattr(stream_command, "LONGEST_LINE", 100)
    monkeypatch.setattr("sys.stdin", StringIO("\0" * 101))
    command = ["predict", str(run), "-", "--cameras", str(tmp_path / "rig.toml")]
    assert "input, line 1: expected at most 100 characters, got" in refused(command, capsys)


@pytest.mark.processes
def test_nothing_is_said_when_nobody_reads_further(tmp_path: Path, run: Path) -> None:
    save_cameras(tmp_path / "rig.toml", Scene(views=1).recording().cameras)
    code = f"""
import sys
from selfsup_lifting.cli import main
main(["predict", {str(run)!r}, "-", "--cameras", {str(tmp_path / "rig.toml")!r}])
"""
    joints = len(Scene(views=1).recording().skeleton.joints)
    line = json.dumps({"keypoints": [[500.0, 400.0, 0.9]] * joints}) + "\n"
    python = f"{sys.executable} -c {shlex.quote(code)}"
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {python} < {tmp_path / 'lines'} | head -n 1"],
        input="", capture_output=True, text=True, check=False,
    ) if (tmp_path / "lines").write_text(2000 * line) else None  # fmt: skip
    assert ended is not None
    assert ended.returncode == 128 + 13
    assert ended.stderr == ""


@pytest.mark.processes
@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix closes the streams")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("inspect nowhere 2>&-", ""),
        ("inspect nowhere <&- >&- 2>&-", ""),
        ("--version >&-", "the answer is written to standard output, which is closed"),
    ],
)
def test_a_closed_stream_ends_no_command_in_a_trace(command: str, said: str) -> None:
    python = f"{sys.executable} -m selfsup_lifting"
    ended = subprocess.run(
        ["bash", "-c", f"{python} {command}"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.processes
@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix closes the streams")
def test_no_file_gets_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from selfsup_lifting.cli.standard_streams import occupy_closed_streams\n"
        "occupy_closed_streams()\n"
        f"with open({str(tmp_path / 'result')!r}, 'w') as file:\n"
        "    file.write(str(file.fileno()))\n"
    )
    subprocess.run(["bash", "-c", f"{sys.executable} {script} <&- >&- 2>&-"], check=True)
    assert int((tmp_path / "result").read_text()) > 2


@pytest.mark.rejects
def test_a_calibration_alone_is_inspected_in_its_unit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = tmp_path / "rig.toml"
    save_cameras(rig, Scene(views=2).recording().cameras)
    assert "`take` cannot be given beside it" in refused(
        ["inspect", str(rig), "--take", "walk"], capsys
    )
    main(["inspect", str(rig), "--unit", "mm", "--json"])
    assert printed(capsys)["unit"] == "mm"


@pytest.mark.rejects
@pytest.mark.parametrize("threads", ["0", "-2", " 00 "])
def test_an_environment_without_a_thread_for_numba_is_named(
    threads: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
    said = refused(["inspect", "."], capsys)
    assert f"NUMBA_NUM_THREADS must be 1 or more, got {threads.strip()!r}" in said


@pytest.mark.rejects
def test_settings_of_numba_beside_the_data_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".numba_config.yaml").write_text("disable_jit: 1\n")
    said = refused(["inspect", "."], capsys)
    assert ".numba_config.yaml in the working folder would change how loops" in said


@pytest.mark.rejects
@pytest.mark.parametrize("command", ["triangulate", "view"])
def test_a_threshold_beside_a_method_that_removes_nothing_is_refused(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused([command, "nowhere", "--method", "dlt", "--threshold-px", "9"], capsys)
    assert "`threshold_px` removes outliers, which `method` dlt does not" in said


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("triangulate x --up z --out a.csv", "`up` is the axis up of .trc"),
        ("predict RUN x --up z --out a.trc", "`up` is an axis of the world.*`coordinates` root"),
        ("triangulate x --cutoff-hz 6", "`cutoff_hz` changes the written.*`out` names no file"),
        ("triangulate x --fill-gaps-3d 6", "`fill_gaps_3d` changes the written"),
        ("predict RUN x --marker-names pose2sim", "`marker_names` changes the written"),
        ("triangulate x --people all --person 1", "`person` 1 names one .*`people`"),
        ("train --people largest --person 1", "`person` 1 names one .*`people`"),
        ("view x --video a.mp4", "`video` is shown in .png, .gif and .mp4 files"),
        ("calibrate x --format colmap", "`format` is the format of the files in `out`"),
        ("calibrate x --start intrinsics --unit mm", "`unit` is the unit.*`start` intrinsics"),
        ("calibrate x --threshold-px 9", "`threshold_px` removes outliers while cameras are"),
        ("calibrate x --start image-size --free focal", "`free` names what may change"),
        (
            "train --calibrate image-size --calibration.free focal --calibration.stature 1.7",
            "`free` names what may change",
        ),
        ("train --recipe paper --threshold-px 9", "`threshold_px` removes outliers"),
        ("train --epochs 3 --steps 9", "`steps` has no effect beside `epochs`, which is 3"),
        ("predict RUN x --view a --filmed-by b", "`view` chooses one of several cameras"),
        ("train --preset full --steps 9", "`steps` has no effect beside `epochs`, which is 500"),
        ("train --losses.output-share 0.5", "`losses.output_share` is for L_out"),
        ("train --losses.no-detach-targets", "`losses.detach_targets` is for L_con and L_out"),
        ("train --losses.consistency-with-labels", "`losses.consistency_with_labels` is for L_con"),
        (
            "ablate --losses.input 0 --losses.labels truth",
            "`losses.labels` is for L_in, whose weight",
        ),
        ("inspect synthetic --noise.drift-frames 9", "`noise.drift_frames` is how long a drift"),
        ("train --noise.outlier-share 0 --noise.outlier-px 9", "`noise.outlier_px` is the size"),
        ("train --config FILE", "settings.toml: `losses.output_share` is for L_out"),
        ("train --config DELETES --run RUN", "deletes.toml: `overwrite` must be given on the com"),
        ("ablate --config DELETES", "deletes.toml: `overwrite` must be given on the command line"),
        ("ablate --vary threshold_px=9,20 --method dlt", "`threshold_px` removes outliers"),
        ("ablate --vary steps=1,2 --epochs 3", "`steps` has no effect beside `epochs`"),
        ("ablate --overwrite", "`overwrite` replaces no training of an ablation"),
        (
            "ablate --losses.labels truth --losses.input 0 --vary cameras=2,3",
            "`losses.labels` is for L_in",
        ),
    ],
)
def test_an_option_without_effect_beside_the_others_is_refused(
    command: str, sentence: str, trained: Path, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[losses]\noutput = 0.0\noutput_share = 0.42\n")
    deletes = tmp_path / "deletes.toml"
    deletes.write_text("overwrite = true\n")
    known = {"RUN": str(trained), "FILE": str(file), "DELETES": str(deletes)}
    with pytest.raises(ValueError, match=sentence):
        parse_options([known.get(word, word) for word in command.split()])


@pytest.mark.parametrize(
    "command",
    ["train --recipe code-compat", "train --recipe paper-h36m --preset small --epochs 3",
     "train --noise-level mild", "ablate --vary losses.output=0,0.1 --losses.output-share 0.5",
     "ablate --vary cameras=2,3 --cameras rig.toml",
     "ablate --vary method=dlt,robust --threshold-px 9",
     "ablate --vary recipe=pseudo-label,paper,supervised,robust,code-compat --steps 9",
     "train --config RUN/config.toml", "train --preset full --steps 9 --epochs None",
     "predict RUN - --cameras rig.toml --coordinates world", "train --resume RUN --epochs 4"],
)  # fmt: skip
def test_options_with_an_effect_and_those_of_a_recipe_are_taken(
    command: str, trained: Path
) -> None:
    parse_options(command.replace("RUN", str(trained)).split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["triangulate", "x", "--out", "a.csv", "--out", "b.trc"], "--out is given twice"),
        (["train", "--data", "a", "--data=b"], "--data is given twice.*one another: --data A B"),
        (
            ["ablate", "--vary", "losses.input_norm=l1,l2", "--losses.input-norm", "l1"],
            "--losses.input-norm has no effect beside --vary losses.input_norm=l1,l2",
        ),
        (
            ["ablate", "--vary", "recipe=paper,supervised", "--losses.output", "0.2"],
            "`losses.output` 0.2 has no effect in recipe=paper, which sets it to 0.01: leave one",
        ),
        (["ablate", "--vary", "decay=on,off", "--no-decay"], "--no-decay has no effect beside"),
        (["predict", "r", "x", "--sync", "--no-sync"], "--no-sync is given twice, also as --sync"),
    ],
)
def test_an_option_that_is_given_twice_is_refused(arguments: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_options(arguments)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (
            "triangulate x --cutoff-hz 6Hz",
            "--cutoff-hz: expected a number without a unit, got '6Hz'",
        ),
        ("view x --source-fps 29,97", "expected a number without a unit, got '29,97': write 29.97"),
        (
            "triangulate x \u2013out y",
            "; \u2013 is a dash of a text processor: write --out with two hyphens",
        ),
        ("train --steps 1,000", "--steps: expected a whole number, got '1,000'"),
        ("train --epochs 1.5", "--epochs: expected a whole number, got '1.5'"),
        ("ablate --jobs many", "--jobs: expected a whole number or auto, got 'many'"),
        ("train --learning-rate x", "--learning-rate: expected a number without a unit, got 'x'"),
        ("predict r x --refine=True", "an option that is on or off has no value: --refine"),
        ("predict r x --refine no --out y.csv", "on or off has no value: --refine"),
        ("train --epoch 3", "`train` has no option --epoch; did you mean --epochs?"),
        ("triangulate x --config a.toml", "no option --config; train and ablate have it"),
        ("train --out mine", "`train` has no option --out; did you mean --run, its output folder?"),
        ("ablate --output-dir mine", "--output-dir; did you mean --run, its output folder?"),
        ("export x --out y", "evaluate, predict, triangulate, view, calibrate and detect have it"),
        ("calibrate x --calibration.free focal", "no option --calibration.free; train has it"),
        ("view x --xyzzy", "`view` has no option --xyzzy"),
        ("train --rig.views 1", "setting `views` must be at least 2, got 1"),
        (f"triangulate x {Path(__file__).parent}", "read by the folder that holds them"),
        ("triangulate", "selfsup-lifting triangulate needs an argument: A recording or several"),
        ("triangulate x --unit", "--unit needs a value, and none is given"),
        ("train --data --preset demo", "--data needs a value, and none is given; likely cause: a"),
        ("train --hold-out", "--hold-out needs a value, and none is given; likely cause: a shell"),
        ("triangulate x --out --overwrite", "--out needs a value, and none is given; likely cause"),
        ("inspect x --cameras a / .", "--cameras takes one path, got also /, ."),
        ("calibrate x --free focal lens", "got also lens; --free takes one value, focal"),
        ("inspect x / .", "one path is expected here, got also /, ."),
        ("inspect x " + 20 * "long/", f"fewer arguments, got also {20 * 'long/'}"),
        ("triangulate x --method mean", "invalid choice 'mean' for argument '--method'. Expected"),
    ],
)
def test_what_the_parser_refuses_is_one_sentence(command: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)) as refusal:
        parse_options(command.split())
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("arguments", [["--version"], ["predict", "--version"]])
def test_the_version_is_printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert re.fullmatch(r"selfsup-lifting \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_variants_that_train_for_epochs_beside_those_of_steps_are_named() -> None:
    config = Config(steps=9)
    (note,) = commands.notes_on_duration(varied(config, "recipe=paper,code-compat,robust"))
    assert note == (
        "`steps` has no effect in recipe=code-compat, which trains for 700 epochs; recipe=paper, "
        "recipe=robust: 9 steps"
    )
    assert not [*commands.notes_on_duration(varied(config, "recipe=paper,robust"))]
    assert not [*commands.notes_on_duration(varied(config, "epochs=2,3"))]


def test_a_view_needs_something_to_show() -> None:
    with pytest.raises(ValueError, match="`view` needs a recording or a 3D track, got none"):
        view(parse_options(["view", "--video", "v.mp4"]))


def test_recordings_of_one_name_get_files_of_their_own() -> None:
    options = parse_options(["triangulate", "x", "--out", "p.csv"])
    recording = Scene(views=2, frames=3).recording()
    named = [replace(recording, name=name) for name in ("mon walk", "mon_walk", "mon walk")]
    files = [path.name for _, paths in outputs_of(options, named) for path in paths]
    assert files == ["p-mon_walk.csv", "p-mon_walk_2.csv", "p-mon_walk_3.csv"]


def test_names_of_files_that_name_no_joints_are_said_to_be_ours(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=3).recording()
    paths = [tmp_path / "p.trc"]
    told = ["--marker-names", "original", "--up", "z", "--out", "p.trc"]
    options = parse_options(["triangulate", "x", *told])
    quality = PointQuality(torch.zeros(3, 17), torch.zeros(3, 17).long(), torch.zeros(3, 17))
    points = torch.rand(3, 17, 3)
    *_, said = save_outputs(options, paths, points, recording, quality)
    assert "the files that were read name no joints" in said
    named = replace(recording, source=replace(recording.source, markers=(("nose", "Nose"),)))
    options = replace(options, overwrite=True)
    assert [*save_outputs(options, paths, points, named, quality)] == [f"wrote {paths[0]}"]


def test_a_joint_that_is_never_known_is_named(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=3).recording()
    points = torch.rand(3, 17, 3)
    points[:, 9] = torch.nan
    paths = [tmp_path / "p.trc"]
    options = parse_options(["triangulate", "x", "--fill", "--out", str(paths[0])])
    quality = PointQuality(torch.zeros(3, 17), torch.zeros(3, 17).long(), torch.zeros(3, 17))
    *_, said = save_outputs(options, paths, points, recording, quality)
    assert "nose is known in no frame: .bvh and .glb files leave it out" in said
    with pytest.raises(ValueError, match="scene 0: no joint is known in any frame: nothing is"):
        next(save_outputs(options, paths, points * torch.nan, recording, quality))


def test_cameras_and_joints_without_a_residual_are_named() -> None:
    recording = Scene(views=3, frames=3).recording()
    recording.keypoints[:, 1] = torch.nan
    recording.keypoints[:, 2, 4] = torch.nan
    recording.keypoints[:, 0, 5] += 300.0
    settings = TriangulationSettings(threshold_px=9.0)
    seen, alone = notes_on_use("walk", reconstruct(recording, settings), settings)
    assert seen == "walk: there is no detection of cam_2"
    assert alone.startswith("walk: no detection of left_hip, left_knee is used, because no other")
    strict = TriangulationSettings(threshold_px=1e-12)
    (*_, few) = notes_on_use("walk", reconstruct(recording, strict), strict)
    assert "walk: only 0.0% of the detections are used" in few
