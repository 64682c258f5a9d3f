"""Laws of pages, pictures and videos: they show the scene, and need nothing else."""

import json
import os
import re
import shutil
import subprocess
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from multiview_geom import to_homogeneous
from selfsup_lifting.cli import main
from selfsup_lifting.config import TriangulationSettings
from selfsup_lifting.export import save_tracks
from selfsup_lifting.read_errors import ReadError
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.saved_tracks import holds_tracks, load_tracks
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton
from selfsup_lifting.upright import z_up
from selfsup_lifting.viewer.page import as_plain, pack, save_page
from selfsup_lifting.viewer.pictures import Picture, save_picture, shown_frames
from selfsup_lifting.viewer.saving import require_view, save_view
from selfsup_lifting.viewer.scene import Scene as View
from selfsup_lifting.viewer.scene import notes_on_scene, read_scene
from tests.selfsup_lifting.strategies import Scene

CHROMIUM = shutil.which("chromium")


def view_of(tmp_path: Path, recording: Recording, *tracks: Path, **options: object) -> View:
    path = tmp_path / "recording.npz"
    save_recording(path, recording)
    paths = [str(one) for one in (path, *tracks)]
    return read_scene(paths, ReadSettings(), TriangulationSettings(), **options)


def unpacked(packed: dict) -> Tensor:
    whole = np.frombuffer(b64decode(packed["data"]), dtype="<i2").reshape(packed["shape"])
    values = torch.tensor(whole).double() * packed["scale"] + torch.tensor(
        packed["offset"], dtype=torch.float64
    )
    return torch.where(torch.tensor(whole) == -32768, torch.nan, values)


@given(st.integers(0, 99), st.sampled_from([0.001, 1.0, 1000.0]), st.floats(-1e4, 1e4))
def test_packed_numbers_are_exact_to_half_the_scale(seed: int, size: float, away: float) -> None:
    values = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(seed)).double() * size
    values = (values + away).masked_fill((values > size)[..., :1], torch.nan)
    packed = json.loads(json.dumps(pack(values)))
    assert_close(unpacked(packed), values, rtol=0, atol=0.51 * packed["scale"], equal_nan=True)
    known = values[values.isfinite().all(dim=-1)]
    widest = max([0.0, *(known.amax(0) - known.amin(0)).tolist()] if len(known) else [0.0])
    assert packed["scale"] <= widest / 65000 or widest == 0.0


@pytest.mark.parametrize("up", ["z", "-y"])
def test_a_page_holds_the_scene(tmp_path: Path, up: str) -> None:
    recording = Scene(views=3, frames=5, missing=0.3).recording()
    plain = as_plain(view_of(tmp_path, recording, up=up))
    triangulated, truth = plain["bodies"]
    assert (triangulated["name"], truth["name"]) == ("triangulated", "truth")
    assert_close(unpacked(truth["points"]), z_up(recording.truth.double(), up), atol=1e-3, rtol=0)
    seen = recording.keypoints.double()
    assert_close(unpacked(plain["tracks"][0]["keypoints"]), seen, atol=0.05, rtol=0, equal_nan=True)
    projected = unpacked(truth["projected"])
    assert_close(projected, torch.where(seen.isnan(), projected, seen), atol=0.05, rtol=0)


def test_the_rays_of_a_page_pass_through_the_joints(tmp_path: Path) -> None:
    """The page computes the ray of a pixel from the axes and the intrinsics of its camera."""
    recording = Scene(views=3, frames=2).recording()
    plain = as_plain(view_of(tmp_path, recording, up="z"))
    for view, camera in enumerate(plain["cameras"]):
        pixels = unpacked(plain["tracks"][0]["keypoints"])[:, view]
        image = [
            (pixels[..., axis] - camera[c]) / camera[f]
            for axis, c, f in ((0, "cx", "fx"), (1, "cy", "fy"))
        ]
        rays = to_homogeneous(torch.stack(image, dim=-1)) @ torch.tensor(camera["axes"]).double()
        toward = recording.truth.double() - torch.tensor(camera["frustum"][0])
        sine = (
            torch.linalg.cross(rays, toward).norm(dim=-1) / rays.norm(dim=-1) / toward.norm(dim=-1)
        )
        assert sine.max() < 1e-4


def test_a_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    scene = replace(view_of(tmp_path, Scene(views=3).recording()), title="__SCENE__</script><b>")
    save_page(tmp_path / "page.html", scene)
    text = (tmp_path / "page.html").read_text()
    assert re.findall(r"(?:src|href)\s*=|https?:|import\s|url\(", text) == []
    assert "<b>" not in text
    assert text.count("</script>") == 2
    assert text.count('"bodies":') == 1


@pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium")
def test_the_script_of_a_page_runs(tmp_path: Path) -> None:
    save_page(tmp_path / "page.html", view_of(tmp_path, Scene(views=3, frames=4).recording()))
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        str(tmp_path / "page.html"),
    ]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert "frame 0 · 0.00 s" in shown
    assert shown.count("<figure>") == 3


def test_a_picture_shows_the_frame(tmp_path: Path) -> None:
    recording = Scene(views=3, frames=5).recording()
    picture = Picture(view_of(tmp_path, recording, up="z"))
    picture.show(3)
    space, *views = picture.figure.axes
    drawn = np.concatenate([np.array(line.get_data_3d()).T for line in space.lines])
    for joint in recording.truth[3].numpy():
        assert np.isclose(drawn, joint, atol=1e-5).all(axis=1).any()
    for view, axes in enumerate(views):
        drawn = np.concatenate([np.array(line.get_data()).T for line in axes.lines])
        for joint in recording.keypoints[3, view].numpy():
            assert np.isclose(drawn, joint, atol=1e-2).all(axis=1).any()
    assert picture.figure.get_suptitle().endswith("0.06 s")


def test_an_animation_is_as_long_as_the_recording(tmp_path: Path) -> None:
    recording = replace(Scene(views=2, frames=30).recording(), fps=25.0)
    save_recording(tmp_path / "recording.npz", recording)
    main(["view", str(tmp_path / "recording.npz"), "--out", str(tmp_path / "move.gif")])
    with Image.open(tmp_path / "move.gif") as gif:
        assert gif.n_frames == 15
        assert gif.n_frames * gif.info["duration"] == 1200
    scene = view_of(tmp_path, replace(recording, fps=1000.0))
    assert shown_frames(Path("a.gif"), scene) == range(0, 30, 80)
    assert shown_frames(Path("a.png"), scene) == range(1)


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_saved_tracks_are_shown_over_the_recording(tmp_path: Path, suffix: str) -> None:
    recording = Scene(views=2, frames=6).recording()
    path = tmp_path / f"mine{suffix}"
    moved = (recording.truth + 0.25).index_fill(1, torch.tensor(3), torch.nan)
    save_tracks(path, moved, skeleton=recording.skeleton, fps=50.0, coordinates="world")
    scene = view_of(tmp_path, recording, path, frames=slice(2, None))
    assert [body.name for body in scene.bodies] == ["triangulated", "truth", "mine"]
    assert_close(scene.bodies[2].points.float(), moved[2:], atol=1e-5, rtol=0, equal_nan=True)
    assert (scene.first, scene.frame_count) == (2, 4)


@pytest.mark.rejects
def test_what_cannot_be_shown_together_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = Scene(views=2, frames=6).recording()
    tracks = tmp_path / "lifted.npz"
    save_tracks(tracks, recording.truth, skeleton=recording.skeleton, fps=50.0, coordinates="root")
    with pytest.raises(
        ValueError, match=r"lifted\.npz is in root coordinates, the recording is in"
    ):
        view_of(tmp_path, recording, tracks)
    save_tracks(
        tracks, recording.truth[:4], skeleton=recording.skeleton, fps=50.0, coordinates="world",
        overwrite=True,
    )  # fmt: skip
    with pytest.raises(ValueError, match="triangulated has 6, truth has 6, lifted has 4"):
        view_of(tmp_path, recording, tracks)
    for arguments, sentence in (
        (["synthetic"], "got 12: .*--take chooses one"),
        (["synthetic", "--out", "x.jpg"], "x.jpg: views are written as .html, .png, .gif, .mp4"),
    ):
        with pytest.raises(SystemExit):
            main(["view", *arguments])
        assert re.search(sentence, capsys.readouterr().err)


def test_a_picture_of_points_at_one_place_has_a_size(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=3).recording()
    still = replace(recording, keypoints=torch.full_like(recording.keypoints, 100.0))
    save_recording(tmp_path / "still.npz", still)
    main(["view", str(tmp_path / "still.npz"), "--out", str(tmp_path / "still.png")])


def test_undistorted_pixels_of_a_page_are_those_of_the_lens(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=3).recording()
    lens = torch.tensor([[-0.1, 0.01, 0.0, 0.0]] * 2).to(recording.cameras.intrinsics)
    recording = replace(recording, cameras=replace(recording.cameras, distortion=lens))
    (tracks,) = as_plain(view_of(tmp_path, recording))["tracks"]
    expected = recording.cameras.undistort(recording.keypoints.double()).pixels
    found = unpacked(tracks["undistorted"])
    assert_close(found, expected, rtol=0, atol=0.02, equal_nan=True)


def test_a_scene_without_a_point_has_the_size_of_its_rig(tmp_path: Path) -> None:
    recording = Scene(views=2, frames=3, missing=1.0).recording()
    scene = view_of(tmp_path, replace(recording, truth=None))
    low, high = scene.box()
    centers = z_up(recording.cameras.centers.double(), scene.up)
    assert (low <= centers.amin(dim=0) + 1e-6).all()
    assert (high >= centers.amax(dim=0) - 1e-6).all()
    alone = replace(scene, recordings=())
    assert torch.equal(sum(alone.box()), torch.zeros(3).double())
    assert [note[:33] for note in notes_on_scene(scene)] == ["no point of triangulated is known"]
    save_picture(tmp_path / "dark.png", scene)
    assert (tmp_path / "dark.png").stat().st_size > 2000


@pytest.mark.parametrize(("coordinates", "up"), [("camera", "-y"), ("root", "-y")])
def test_tracks_of_a_camera_are_shown_with_its_axes(
    tmp_path: Path, coordinates: str, up: str
) -> None:
    recording, path = Scene(views=2, frames=3).recording(), tmp_path / "mine.npz"
    save_tracks(
        path, recording.truth, skeleton=recording.skeleton, fps=50.0, coordinates=coordinates
    )
    assert read_scene([str(path)], ReadSettings(), TriangulationSettings()).up == up


@pytest.mark.rejects
def test_a_video_without_ffmpeg_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ValueError, match=r"a\.mp4: ffmpeg writes videos, and is not installed"):
        require_view(Path("a.mp4"), overwrite=False)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.txt", "", "a.txt: 3D tracks are read from .npz, .csv files"),
        ("a.csv", "frame,nose_x\n0,1\n", "a.csv: expected 3D tracks that this package wrote"),
        ("a.csv", "# {\nframe,nose_x\n0,1\n", "a.csv, description is not JSON, or is damaged: Exp"),
        ("a.npz", "text", "a.npz is not an npz file, or is damaged: File is not a zip file"),
    ],
)
def test_what_holds_no_tracks_is_named(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    assert holds_tracks(tmp_path / name) == text.startswith("# {")  # what view reads and refuses
    with pytest.raises(ReadError) as refusal:
        load_tracks(tmp_path / name)
    assert str(refusal.value).removeprefix(f"{tmp_path}{os.sep}").startswith(sentence)


def saved(path: Path, points: Tensor, fps: float) -> str:
    person = Scene(views=2, skeleton="h36m17").recording().skeleton
    save_tracks(path, points, skeleton=person, fps=fps, coordinates="world")
    return str(path)


def test_tracks_of_other_rates_and_units_are_said(tmp_path: Path) -> None:
    points = Scene(views=2, frames=4, skeleton="h36m17").recording().truth
    points = points / (points.amax(dim=1) - points.amin(dim=1)).norm(dim=-1).median()
    paths = [
        saved(tmp_path / "a.npz", 2 * points, 30.0), saved(tmp_path / "b.npz", 2 * points, 60.0),
        saved(tmp_path / "c.npz", 1700 * points, 30.0),
        saved(tmp_path / "d.npz", 0.6 * points, 30.0),
    ]  # fmt: skip
    scene = read_scene(paths, ReadSettings(), TriangulationSettings())
    notes = [*notes_on_scene(scene)]
    assert [note.split(":")[0] for note in notes] == [
        "a is 3.33 times as large as the smallest body",
        "b has 60 frames per second, and 30 are shown",
        "b is 3.33 times as large as the smallest body",
        "the person of c is 1.7e+03 m across, usually 0.5 to 3 m",
    ]


def test_tracks_of_one_file_name_are_told_apart_and_one_file_is_not_shown_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    points = Scene(views=2, frames=4, skeleton="h36m17").recording().truth
    for folder in ("a", "b"):
        Path(folder).mkdir()
        saved(Path(folder, "points.csv"), points, 30.0)
    paths = ["a/points.csv", "b/points.csv", saved(Path("other.csv"), points, 30.0)]
    scene = read_scene(paths, ReadSettings(), TriangulationSettings())
    assert [body.name for body in scene.bodies] == ["a/points.csv", "b/points.csv", "other"]
    with pytest.raises(ReadError, match=r"b/\.\./other\.csv is given twice"):
        read_scene(["other.csv", "b/../other.csv"], ReadSettings(), TriangulationSettings())


def test_markers_in_another_unit_than_their_file_says_are_named(tmp_path: Path) -> None:
    plate = Skeleton("plate", ("a", "b"), (-1, 0), (), (0,))
    points = torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.0, 0.4]]).expand(4, 2, 3)
    scale = {"meters": 1.0, "millimeters": 1000.0}
    for name, one in scale.items():
        path = tmp_path / f"{name}.trc"
        save_tracks(path, one * points, skeleton=plate, fps=30.0, coordinates="world")
    scenes = [
        read_scene([str(tmp_path / f"{name}.trc")], ReadSettings(), TriangulationSettings())
        for name in scale
    ]
    assert [len([*notes_on_scene(scene)]) for scene in scenes] == [0, 1]
    (said,) = notes_on_scene(scenes[1])
    assert said.startswith("the subject of millimeters is 500 m across, usually 0.02 to 5 m")


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("program", "cause"),
    [
        ("echo 'no encoder' >&2; exit 1", "ffmpeg failed: no encoder"),
        ("exit 3", "ffmpeg failed: it ended with the status 3"),
        ("cat > /dev/null", "ffmpeg wrote nothing"),
    ],
)
def test_an_ffmpeg_that_fails_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, cause: str
) -> None:
    (tmp_path / "ffmpeg").write_text(f"#!/bin/sh\n{program}\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    scene = view_of(tmp_path, Scene(views=2, frames=2).recording())
    with pytest.raises(OSError, match=rf"a\.mp4 cannot be written: {cause}"):
        save_view(tmp_path / "a.mp4", scene)
    assert not (tmp_path / "a.mp4").exists()


def test_a_picture_needs_no_latex_that_a_user_set(tmp_path: Path) -> None:
    with mpl.rc_context({"text.usetex": True}):
        save_view(tmp_path / "a.png", view_of(tmp_path, Scene(views=2, frames=1).recording()))
    assert (tmp_path / "a.png").stat().st_size > 2000


@pytest.mark.rejects
def test_settings_of_recordings_beside_tracks_alone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    points, skeleton = torch.zeros(3, 17, 3), SKELETONS["h36m17"]
    save_tracks(path, points, skeleton=skeleton, fps=30.0, coordinates="world")
    with pytest.raises(ValueError, match="`fps` is for a recording of several cameras"):
        read_scene([str(path)], ReadSettings(fps=10.0), TriangulationSettings())
    with pytest.raises(ValueError, match="`weighted` is for a recording of several cameras"):
        read_scene([str(path)], ReadSettings(), TriangulationSettings(weighted=True))
