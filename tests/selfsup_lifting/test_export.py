"""Laws of exported tracks."""

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from selfsup_lifting import export
from selfsup_lifting.export import save_tracks
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton
from selfsup_lifting.upright import UPRIGHT, world_up, y_up
from tests.selfsup_lifting.strategies import Scene, scenes

frames_of_reference = st.sampled_from(["camera", "root", "world"])


def saved(path: Path, scene: Scene, frame: str = "camera", missing: int | None = None) -> Tensor:
    tracks = scene.truth()
    if missing is not None:
        tracks[0, missing] = torch.nan
    save_tracks(path, tracks, skeleton=SKELETONS[scene.skeleton], fps=50.0, coordinates=frame)
    return tracks


def read_trc(path: Path) -> tuple[list[str], Tensor]:
    """Read the markers of a TRC as a spreadsheet would."""
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    rows = [[float(cell) if cell else np.nan for cell in line] for line in lines[5:]]
    return lines[3][2::3], torch.tensor(rows)[:, 2:].unflatten(1, (-1, 3))


@given(scenes, frames_of_reference)
def test_npz_gives_back_the_tracks_and_says_what_they_are(
    tmp_path_factory: pytest.TempPathFactory, scene: Scene, frame: str
) -> None:
    path = tmp_path_factory.mktemp("tracks") / "x.npz"
    tracks = saved(path, scene, frame)
    with np.load(path, allow_pickle=False) as file:
        described = json.loads(str(file["description"]))
        assert_close(torch.from_numpy(file["tracks"]), tracks, rtol=0, atol=0)
    assert (described["unit"], described["coordinates"], described["fps"]) == ("m", frame, 50.0)
    assert tuple(described["skeleton"]["joints"]) == SKELETONS[scene.skeleton].joints


@given(scenes, frames_of_reference)
def test_csv_gives_back_the_tracks_and_says_what_they_are(
    tmp_path_factory: pytest.TempPathFactory, scene: Scene, frame: str
) -> None:
    path = tmp_path_factory.mktemp("tracks") / "x.csv"
    tracks = saved(path, scene, frame, missing=1)
    numbers = np.loadtxt(path, delimiter=",", skiprows=2, ndmin=2)
    read = torch.from_numpy(numbers[:, 2:]).float().unflatten(1, (-1, 3))
    assert_close(read, tracks, rtol=0, atol=1e-6, equal_nan=True)
    described, names = path.read_text().splitlines()[:2]
    assert json.loads(described.removeprefix("# "))["coordinates"] == frame
    assert names.split(",")[2] == f"{SKELETONS[scene.skeleton].joints[0]}_x"


@given(scenes)
def test_trc_of_a_world_is_laid_out_as_pose2sim_does(
    tmp_path_factory: pytest.TempPathFactory, scene: Scene
) -> None:
    path = tmp_path_factory.mktemp("tracks") / "x.trc"
    tracks = saved(path, scene, "world", missing=1)
    names, read = read_trc(path)
    assert_close(read, tracks[..., [1, 2, 0]], rtol=0, atol=1e-6, equal_nan=True)
    assert tuple(names) == SKELETONS[scene.skeleton].joints


@pytest.mark.parametrize("up", UPRIGHT)
def test_every_up_axis_of_the_world_becomes_y_by_a_rotation(tmp_path: Path, up: str) -> None:
    skeleton = Skeleton("axes", ("a", "b", "c"), (-1, -1, -1), mirrored=(), root=(0,))
    path, axes = tmp_path / "x.trc", torch.eye(3)[None]
    save_tracks(path, axes, skeleton=skeleton, fps=1.0, coordinates="world", up=up)
    _, read = read_trc(path)
    sign = -1.0 if up.startswith("-") else 1.0
    assert read[0, "xyz".index(up[-1])].tolist() == [0.0, sign, 0.0]
    assert float(torch.linalg.det(read[0])) == pytest.approx(1.0)


@pytest.mark.parametrize(("turn", "up"), [(0, "z"), (1, "x"), (2, "y")])
def test_the_trunk_of_a_person_shows_what_is_up(turn: int, up: str) -> None:
    recording = read_recordings(["synthetic"], ReadSettings())[0]
    points = recording.truth[..., [(axis - turn) % 3 for axis in range(3)]]
    assert world_up(recording.cameras, recording.skeleton, points) == up
    assert world_up(recording.cameras, recording.skeleton, -points) == f"-{up}"


def test_a_filled_trc_has_no_empty_cell_and_says_so(tmp_path: Path) -> None:
    tracks = torch.arange(8.0)[:, None, None].expand(8, 2, 3).clone()
    tracks[2:5, 1], tracks[7, 0] = torch.nan, torch.nan
    skeleton = Skeleton("two", ("a", "b"), (-1, 0), mirrored=(), root=(0,))
    path = tmp_path / "x.trc"
    save_tracks(path, tracks, skeleton=skeleton, fps=1.0, coordinates="world", fill=True)
    _, read = read_trc(path)
    assert_close(read[:, 1, 0], torch.arange(8.0), rtol=0, atol=1e-6)
    assert read[7, 0].tolist() == [6.0, 6.0, 6.0]
    assert "gaps filled linearly" in path.read_text().splitlines()[0]


def test_a_joint_that_is_never_known_stays_empty_in_a_filled_trc(tmp_path: Path) -> None:
    tracks = torch.arange(3.0)[:, None, None].expand(3, 2, 3).clone()
    tracks[:, 1], tracks[1, 0] = torch.nan, torch.nan
    skeleton = Skeleton("two", ("a", "b"), (-1, 0), mirrored=(), root=(0,))
    path = tmp_path / "x.trc"
    save_tracks(path, tracks, skeleton=skeleton, fps=1.0, coordinates="world", fill=True)
    _, read = read_trc(path)
    assert read[:, 0, 0].tolist() == [0.0, 1.0, 2.0]
    assert read[:, 1].isnan().all()


@pytest.mark.rejects
def test_a_folder_that_is_a_file_and_an_axis_that_is_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("")
    arguments = {"skeleton": SKELETONS["h36m17"], "fps": 1.0, "coordinates": "world"}
    with pytest.raises(ValueError, match=r"x\.csv cannot be written: \S+notes is no folder to "):
        save_tracks(tmp_path / "notes" / "x.csv", Scene().truth(), **arguments)
    with pytest.raises(ValueError, match="`up` must be one of x, y, z, -x, -y, -z, got 'w'"):
        save_tracks(tmp_path / "x.csv", Scene().truth(), up="w", **arguments)
    with pytest.raises(ValueError, match="`up` must be one of x, y, z, -x, -y, -z, got 'w'"):
        y_up(torch.zeros(3), "w")


def test_without_a_person_and_cameras_z_is_up() -> None:
    assert world_up(None) == world_up(None, SKELETONS["coco17"]) == "z"


@given(scenes, st.sampled_from(["camera", "root"]))
def test_trc_of_a_camera_turns_y_up(
    tmp_path_factory: pytest.TempPathFactory, scene: Scene, frame: str
) -> None:
    path = tmp_path_factory.mktemp("tracks") / "x.trc"
    tracks = saved(path, scene, frame)
    _, read = read_trc(path)
    assert_close(read, tracks * torch.tensor([1.0, -1.0, -1.0]), rtol=0, atol=1e-6)


def test_trc_has_the_five_header_lines_of_the_format(tmp_path: Path) -> None:
    saved(tmp_path / "x.trc", Scene(frames=2), "world")
    lines = (tmp_path / "x.trc").read_text().splitlines()
    assert (
        lines[0] == "PathFileType\t4\t(X/Y/Z)\tx.trc (world coordinates, y up: X, Y, Z are y, z, x)"
    )
    assert lines[2].split("\t") == ["50", "50", "2", "17", "m", "50", "1", "2"]
    assert lines[3].startswith("Frame#\tTime\tpelvis\t\t\tright_hip\t\t\t")
    assert lines[4].startswith("\t\tX1\tY1\tZ1\tX2")
    assert [line.split("\t")[:2] for line in lines[5:]] == [["1", "0.000000"], ["2", "0.020000"]]


@pytest.mark.rejects
@pytest.mark.parametrize("suffix", [".npz", ".csv", ".trc"])
def test_an_existing_file_is_not_replaced_unasked(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="exists; --overwrite replaces it"):
        saved(path, Scene())
    assert path.read_text() == "mine"


def test_an_existing_file_is_replaced_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("old")
    body = SKELETONS["h36m17"]
    save_tracks(path, Scene().truth(), skeleton=body, fps=1.0, coordinates="root", overwrite=True)
    assert path.read_text().startswith("# {")


@pytest.mark.rejects
def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, *_: object) -> None:
        path.write_text("half of it")
        raise OSError("no space left")

    monkeypatch.setattr(export, "_WRITERS", {".csv": fail})
    with pytest.raises(OSError, match="no space left"):
        save_tracks(
            tmp_path / "x.csv",
            Scene().truth(),
            skeleton=SKELETONS["h36m17"],
            fps=1.0,
            coordinates="root",
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.rejects
def test_a_word_for_overwrite_replaces_nothing(tmp_path: Path) -> None:
    path, tracks = tmp_path / "mine.csv", torch.zeros(2, 17, 3)
    path.write_text("mine")
    told = {"skeleton": SKELETONS["h36m17"], "fps": 50.0, "coordinates": "world"}
    with pytest.raises(ValueError, match="`overwrite` must be True or False, got 'no'"):
        save_tracks(path, tracks, **told, overwrite="no")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`fill` must be bool, got str"):
        save_tracks(tmp_path / "new.csv", tracks, **told, fill="no")  # type: ignore[arg-type]
    assert path.read_text() == "mine"


@pytest.mark.rejects
def test_no_frame_rate_and_no_array_of_tracks_is_refused(tmp_path: Path) -> None:
    save = partial(
        save_tracks, tmp_path / "x.csv", skeleton=SKELETONS["h36m17"], coordinates="root"
    )
    with pytest.raises(ValueError, match=r"`fps` must be .* frames per second, got 0"):
        save(Scene().truth(), fps=0)
    with pytest.raises(ValueError, match="`tracks` must be Tensor, got ndarray"):
        save(Scene().truth().numpy(), fps=1.0)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("name", "frame", "body", "sentence"),
    [
        (
            "x.mat",
            "camera",
            "h36m17",
            r"are written as \.npz, \.csv, \.trc, \.c3d, \.bvh, \.glb, not '\.mat'",
        ),
        ("x.csv", "moon", "h36m17", "`coordinates` must be one of camera, root, world, got 'moon'"),
        ("x.csv", "camera", "body25", r"`tracks` must have shape \(frames, 25, 3\)"),
    ],
)
def test_wrong_arguments_are_refused(
    tmp_path: Path, name: str, frame: str, body: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        save_tracks(
            tmp_path / name, Scene().truth(), skeleton=SKELETONS[body], fps=1.0, coordinates=frame
        )


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("suffix", "names", "word"),
    [
        (".bvh", ("a b", "a_b"), "a_b"),
        (".trc", ("a b", "a\nb"), "a b"),
        (".csv", ("=a", "'=a"), "'=a_x"),
    ],
)
def test_names_that_a_file_does_not_keep_replace_nothing(
    tmp_path: Path, suffix: str, names: tuple[str, str], word: str
) -> None:
    path = tmp_path / f"walk{suffix}"
    path.write_text("old")
    pair = Skeleton("pair", names, (-1, 0), (), (0,))
    with pytest.raises(ValueError, match=re.escape(word)):
        save_tracks(
            path, torch.rand(2, 2, 3), skeleton=pair, fps=1.0, coordinates="camera", overwrite=True
        )
    odd = replace(SKELETONS["h36m17"], name="\ud800x")
    with pytest.raises(ValueError, match="expected text, without half a surrogate pair"):
        save_tracks(
            path, Scene().truth(), skeleton=odd, fps=1.0, coordinates="camera", overwrite=True
        )
    assert path.read_text() == "old"
