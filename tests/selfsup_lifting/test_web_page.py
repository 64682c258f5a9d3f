"""Laws of the page that lifts in a browser: it computes what PyTorch does, and needs nothing."""

import json
import re
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
import torch

from selfsup_lifting.cli import main
from selfsup_lifting.config import LifterSettings
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.web_page import export
from selfsup_lifting.web_page.export import LARGEST_DIFFERENCE, export_web, require_page_folder

CHROMIUM = shutil.which("chromium")
# "The small preset below 6 MB".
LARGEST_SMALL_PAGE = 6_000_000


def lifter_of(skeleton: str = "h36m17", **settings: object) -> Lifter:
    torch.manual_seed(0)
    lifter = Lifter(SKELETONS[skeleton], LifterSettings(**{"width": 24, "blocks": 1, **settings}))
    joints = len(lifter.skeleton.joints)
    seen = torch.ones(50, joints, dtype=torch.bool)
    lifter(0.2 * torch.randn(50, joints, 2), seen)  # other statistics than those of the beginning
    return lifter.eval()


def model_of(folder: Path) -> dict:
    text = (folder / "index.html").read_text(encoding="utf-8")
    (model,) = re.findall(
        r'<script type="application/json" id="model">(.*?)</script>', text, re.DOTALL
    )
    return json.loads(model)


def decoded(text: str) -> np.ndarray:
    """Read weights as the page does: three bytes each, the upper ones of a float."""
    upper = np.frombuffer(b64decode(text), dtype="u1").reshape(-1, 3)
    return np.pad(upper, ((0, 0), (1, 0))).reshape(-1).view("<f4")


def test_the_stored_weights_are_those_of_the_network(tmp_path: Path) -> None:
    lifter = lifter_of()
    assert export_web(lifter, tmp_path) < LARGEST_DIFFERENCE / 2
    model = model_of(tmp_path)
    first, block = model["layers"][:2]
    assert [*first] == ["weight", "bias", "relu"]
    assert [one["relu"] for one in block["residual"]] == [True, True]
    assert model["layers"][-1]["relu"] is False
    last = lifter.decoder.layers[-1]
    np.testing.assert_allclose(
        decoded(model["layers"][-1]["weight"]), last.weight.detach().flatten(), rtol=2.0**-16
    )
    assert len(model["example"]["frames"]) == 60


@pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium")
@pytest.mark.parametrize(
    ("skeleton", "settings"),
    [
        ("h36m17", {"turn_to_root": True, "average_mirrored": True}),
        ("coco17", {"confidence_input": True, "output_unit": 0.5}),
    ],
)
def test_a_browser_lifts_as_pytorch_does(tmp_path: Path, skeleton: str, settings: dict) -> None:
    export_web(lifter_of(skeleton, **settings), tmp_path)
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        str(tmp_path / "index.html"),
    ]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    (difference,) = re.findall(r'<output id="check" hidden="">([^<]+)<', shown)
    assert float(difference) < LARGEST_DIFFERENCE
    assert ("example: 60 frames lifted" in shown) == (skeleton == "h36m17")


def test_a_page_of_the_small_preset_is_small_and_references_nothing(tmp_path: Path) -> None:
    export_web(lifter_of("h36m17", width=256, blocks=2), tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert len(text) < LARGEST_SMALL_PAGE
    assert re.findall(r"\bsrc=|href=|https?://|@import|\bfetch\(|XMLHttpRequest", text) == []
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_skeleton_that_is_no_person_has_no_example(tmp_path: Path) -> None:
    skeleton = Skeleton("chain", ("a", "b", "c"), (-1, 0, 1), mirrored=(), root=(0,))
    export_web(Lifter(skeleton, LifterSettings(width=8, blocks=1)).eval(), tmp_path)
    assert model_of(tmp_path)["example"] is None


@pytest.mark.rejects
def test_weights_that_lose_too_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "KEPT_BITS", 14)
    with pytest.raises(ValueError, match=r"rounded weights change a pose by up to \d+\.\d+ mm"):
        export_web(lifter_of(), tmp_path / "page")
    assert not (tmp_path / "page").exists()
    with pytest.raises(SystemExit):
        main(["export", "run", "--web", str(tmp_path)])
    assert "exists; --overwrite" in capsys.readouterr().err


@pytest.mark.rejects
def test_a_page_replaces_a_page_and_keeps_out_of_other_folders(tmp_path: Path) -> None:
    page, other = tmp_path / "page", tmp_path / "other"
    export_web(lifter_of(), page)
    require_page_folder(page, overwrite=True)
    other.mkdir()
    require_page_folder(other, overwrite=True)
    for name in ("notes.txt", "index.html"):
        (other / name).write_text("<html>mine</html>")
        with pytest.raises(FileExistsError, match=rf"has no page of `export`, but {name}"):
            require_page_folder(other, overwrite=True)
        (other / name).unlink()
