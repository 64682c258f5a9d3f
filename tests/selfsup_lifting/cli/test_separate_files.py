"""Laws of the files that a command writes beside those that it reads."""

from pathlib import Path

import pytest

from selfsup_lifting.cli.detect_options import DetectOptions
from selfsup_lifting.cli.options import (
    AblateOptions,
    CalibrateOptions,
    ExportOptions,
    Options,
    TriangulateOptions,
    ViewOptions,
)
from selfsup_lifting.cli.separate_files import require_separate
from selfsup_lifting.config import Config
from selfsup_lifting.read_settings import ReadSettings


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            TriangulateOptions(path="data", out=(Path("a.csv"), Path("data/../a.csv"))),
            "`out` names .*a.csv twice",
        ),
        (
            CalibrateOptions(path="data", picture=Path("a.png"), report=Path("a.png")),
            "`report` and `picture` name .*a.png twice",
        ),
        (
            ExportOptions(run=Path("run"), onnx=Path("a"), web=Path("a")),
            "`onnx` and `web` name .*a twice",
        ),
        (
            ViewOptions(paths=("data",), video=(Path("f.mp4"),), out=(Path("f.mp4"),)),
            "f.mp4 is read by this command, and is not replaced",
        ),
        (
            TriangulateOptions(
                path="x", read=ReadSettings(cameras=Path("f.mp4")), out=(Path("f.mp4"),)
            ),
            "f.mp4 is read by this command",
        ),
        (
            DetectOptions(videos=(Path("f.mp4"),), out=Path("f.mp4")),
            "f.mp4 is read by this command",
        ),
        (
            AblateOptions(settings=Config(data=("data",), run=Path("data"))),
            "data is read by this command, and is not replaced: name another place for `run`",
        ),
        (
            TriangulateOptions(path="mocap:data", out=(Path("data/a.bvh"),)),
            "data would be read as motion capture",
        ),
    ],
)
def test_what_is_read_or_written_already_is_not_written(
    options: Options, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("f.mp4").touch()
    with pytest.raises((ValueError, FileExistsError), match=sentence):
        require_separate(options)


@pytest.mark.parametrize(
    "options",
    [
        TriangulateOptions(path="data", out=(Path("data/a.csv"), Path("data/new/a.bvh"))),
        CalibrateOptions(
            path="data", read=ReadSettings(cameras=Path("f.mp4")), out=(Path("f.mp4"),)
        ),
    ],
)
def test_results_beside_data_and_repaired_calibrations_are_written(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("f.mp4").touch()
    require_separate(options)
