"""Laws of recordings for Rerun, with a stand-in that keeps what is logged; and its own library."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from selfsup_lifting.config import TriangulationSettings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.upright import z_up
from selfsup_lifting.viewer import rerun_file
from selfsup_lifting.viewer.rerun_file import save_rerun
from selfsup_lifting.viewer.saving import save_view
from selfsup_lifting.viewer.scene import Scene as View
from selfsup_lifting.viewer.scene import read_scene
from tests.selfsup_lifting.strategies import Scene


@dataclass
class Log:
    """A stand-in for `RecordingStream`: everything that is logged, by frame and place."""

    entries: dict[tuple[int | None, str], tuple[Any, ...]] = field(default_factory=dict)
    frame: int | None = None

    def save(self, path: Path) -> None:
        Path(path).write_text("saved")

    def set_time(
        self, name: str, sequence: int | None = None, duration: float | None = None
    ) -> None:
        assert (name == "frame") == (duration is None)
        self.frame = sequence if duration is None else self.frame

    def log(self, path: str | list[str], *values: object, static: bool = False) -> None:
        place = path if isinstance(path, str) else "/".join(path)
        self.entries[None if static else self.frame, place] = values

    def flush(self) -> None: ...

    def disconnect(self) -> None: ...


def keeps(*positional: object, **named: object) -> SimpleNamespace:
    return SimpleNamespace(values=positional, **named)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    kinds = ("Transform3D", "Pinhole", "LineStrips3D", "Points3D", "LineStrips2D")
    fake = SimpleNamespace(
        RecordingStream=lambda *_, **__: log,
        ViewCoordinates=SimpleNamespace(RIGHT_HAND_Z_UP="z up"),
        **dict.fromkeys(kinds, keeps),
    )
    monkeypatch.setitem(sys.modules, "rerun", fake)
    monkeypatch.setattr(rerun_file, "find_spec", lambda _name: fake)
    return log


def scene_of(tmp_path: Path, up: str) -> View:
    recording = Scene(views=2, frames=4, missing=0.2).recording()
    save_recording(tmp_path / "walk.npz", recording)
    paths, frames = [str(tmp_path / "walk.npz")], slice(1, None)
    return read_scene(paths, ReadSettings(), TriangulationSettings(), frames=frames, up=up)


@pytest.mark.parametrize("up", ["z", "-y"])
def test_cameras_see_the_logged_skeleton_where_it_was_detected(
    tmp_path: Path, log: Log, up: str
) -> None:
    scene = scene_of(tmp_path, up)
    save_view(tmp_path / "walk.rrd", scene)
    assert (tmp_path / "walk.rrd").read_text() == "saved"
    truth = scene.bodies[-1]
    for frame in (1, 2, 3):  # the first frame is left out, and the others keep their numbers
        (joints,) = log.entries[frame, "world/truth/joints"][0].values
        assert np.allclose(joints, z_up(truth.points[frame - 1].double(), up))
        for view, name in enumerate(scene.cameras.names):
            pose, lens = log.entries[None, f"world/cameras/{name}"]
            in_camera = (joints - pose.translation) @ pose.mat3x3
            image = in_camera @ lens.image_from_camera.T
            pixels = torch.tensor(image[:, :2] / image[:, 2:])
            found = scene.recordings[0].keypoints[frame - 1, view].double()
            known = found.isfinite().all(dim=-1)
            assert torch.allclose(pixels[known], found[known], atol=0.01)
            strips = log.entries[frame, f"world/cameras/{name}/person 1"][0].values[0]
            assert np.isfinite(strips).all()


@pytest.mark.rejects
def test_without_the_library_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerun_file, "find_spec", lambda _name: None)
    with pytest.raises(ValueError, match=r"pip install 'multiview-geom\[rerun\]'"):
        save_rerun(tmp_path / "walk.rrd", scene_of(tmp_path, "z"))


def test_the_library_writes_a_file(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    save_rerun(tmp_path / "walk.rrd", scene_of(tmp_path, "z"))
    assert (tmp_path / "walk.rrd").read_bytes()[:3] == b"RRF"
