"""Long recordings give the same results in parts, and in files, as in one piece in memory."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from selfsup_lifting import export, mapped, pose_refinement, recording, triangulate
from selfsup_lifting.cli import main
from selfsup_lifting.evaluation import evaluate
from selfsup_lifting.gap_filling import fill_gaps
from selfsup_lifting.parse.npz import map_npz
from selfsup_lifting.quantiles import group_sizes, grouped_quantiles
from selfsup_lifting.read_errors import ReadError
from selfsup_lifting.recording import Recording, change_parts
from selfsup_lifting.recording_file import load_recording, save_recording
from selfsup_lifting.residuals import summarize_residuals
from selfsup_lifting.timing import synchronized
from selfsup_lifting.training import dataset
from selfsup_lifting.training.dataset import usable_frames
from tests.selfsup_lifting.strategies import Scene

PART_FRAMES = 7
FRAMES = 45
SMALL = ["--lifter.width", "16", "--lifter.blocks", "1", "--frames-per-batch", "8"]
# Changes that look at neighboring frames, or change every frame.
READ = [
    *("--sync", "--fill-gaps", "3", "--min-confidence", "0.2", "--exchange-sides", "cam_3"),
    *("--fps", "25", "--skeleton", "coco17"),
]


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function after which recordings are processed in parts and kept in files."""

    def cut() -> None:
        for module in (recording, triangulate, evaluate, export, dataset, pose_refinement):
            monkeypatch.setattr(module, "PART_FRAMES", PART_FRAMES)
        monkeypatch.setattr(mapped, "IN_MEMORY", 0)

    return cut


def moving() -> Recording:
    """Return people who move smoothly, seen with noise and gaps; the second camera is late."""
    scene = Scene(views=3, frames=FRAMES, skeleton="body25", missing=0.1).recording()
    assert scene.truth is not None
    time = torch.arange(FRAMES + 2) / 8
    path = torch.stack([time.cos(), time.sin(), (2 * time).sin() / 5], dim=-1)
    truth = scene.truth[:1] + 0.5 * path[:, None]
    pixels = scene.cameras.project(truth.double().flatten(0, 1)).pixels
    exact = pixels.unflatten(1, truth.shape[:2]).transpose(0, 1).float()
    late = torch.stack([exact[2:, 0], exact[:-2, 1], exact[2:, 2]], dim=1)
    noise = torch.randn(late.shape, generator=torch.Generator().manual_seed(0))
    keypoints = torch.where(scene.keypoints.isfinite(), late + 0.3 * noise, torch.nan)
    return replace(scene, truth=truth[2:], keypoints=keypoints)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a recording and a small run."""
    folder = tmp_path_factory.mktemp("long")
    data = str(folder / "data.npz")
    save_recording(folder / "data.npz", moving())
    main(["train", "--data", data, "--run", str(folder / "run"), "--epochs", "1", *SMALL])
    return folder


def numbers(found: Any) -> Iterator[float | str]:
    """Yield everything in a JSON object."""
    if isinstance(found, dict):
        found = [*found, *found.values()]
    if isinstance(found, list):
        for one in found:
            yield from numbers(one)
    else:
        yield found


@pytest.mark.parametrize(
    "command",
    [
        ["inspect", "data.npz"],
        ["inspect", "data.npz", *READ],
        ["triangulate", "data.npz", "--method", "dlt", *READ],
        ["triangulate", "data.npz", "--method", "iterative"],
        ["triangulate", "data.npz", "--method", "robust", "--frames", "3:38"],
        ["triangulate", "data.npz", "--cutoff-hz", "6", "--fill-gaps-3d", "9", "--fill"],
        ["predict", "run", "data.npz", "--coordinates", "world", "--cutoff-hz", "6"],
        ["predict", "run", "data.npz", "--coordinates", "camera", "--view", "cam_2"],
        ["predict", "run", "data.npz", "--refine"],
        ["evaluate", "run", "--data", "data.npz"],
        ["evaluate", "run", "--data", "data.npz", "--refine"],
    ],
    ids=" ".join,
)
def test_every_command_gives_the_same_in_parts(
    command: list[str],
    folder: Path,
    tmp_path: Path,
    in_parts: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = []
    arguments = [str(folder / one) if one in {"data.npz", "run"} else one for one in command]
    for name in ("whole", "parts"):
        outputs = [tmp_path / f"{name}.{suffix}" for suffix in ("npz", "csv", "trc")]
        written = command[0] in {"triangulate", "predict"}
        capsys.readouterr()
        main([*arguments, "--json", *(["--out", *map(str, outputs)] if written else [])])
        files = [path.read_text().replace(name, "") for path in outputs[1:]] if written else []
        tracks = dict(np.load(outputs[0])) if written else {}
        shown = capsys.readouterr()
        found.append((json.loads(shown.out), tracks, files))
        assert bool(re.search(r"^part (\d+)/\1 ", shown.err, re.MULTILINE)) == (name == "parts")
        in_parts()
    (whole, tracks, files), (parts, same_tracks, same_files) = found
    for one, other in zip(numbers(parts), numbers(whole), strict=True):
        assert one == (pytest.approx(other, rel=1e-5) if isinstance(other, float) else other)
    assert tracks.keys() == same_tracks.keys()
    for name in set(tracks) - {"description"}:
        np.testing.assert_allclose(same_tracks[name], tracks[name], rtol=1e-5, atol=1e-5)
    assert [len(one.splitlines()) for one in same_files] == [len(one.splitlines()) for one in files]
    if "robust" in command:
        assert same_files == files


@pytest.mark.parametrize(
    "change",
    [
        lambda one: synchronized(one, torch.tensor([0.4, -3.6, 2.0])),
        lambda one: change_parts(one, partial(fill_gaps, longest=9), around=10),
        lambda one: change_parts(one, lambda part: part.with_exchanged_sides(["cam_1"])),
    ],
    ids=["synchronized", "gaps filled", "sides exchanged"],
)
def test_a_changed_recording_is_the_same_in_parts(
    change: Callable[[Recording], Recording], in_parts: Callable[[], None]
) -> None:
    recorded = moving()
    recorded.keypoints[5:12, 1, 3] = torch.nan
    whole = change(recorded)
    in_parts()
    parts = change(recorded)
    assert not torch.equal(whole.keypoints.isnan(), recorded.keypoints.isnan())
    for name in ("keypoints", "confidence", "truth"):
        assert_close(getattr(parts, name), getattr(whole, name), equal_nan=True)


def test_training_data_are_the_same_in_parts(in_parts: Callable[[], None]) -> None:
    recordings = [moving(), moving().select_views(["cam_1", "cam_2"])]
    whole = usable_frames(recordings)
    in_parts()
    parts = usable_frames(recordings)
    assert len(whole) > PART_FRAMES
    for field in fields(whole):
        assert_close(getattr(parts, field.name), getattr(whole, field.name))


@given(
    st.lists(st.floats(0, 2.0**126, width=32), min_size=1, max_size=30),
    st.floats(0, 1),
    st.integers(1, 3),
)
def test_quantiles_of_groups_are_those_of_numpy(
    drawn: list[float], share: float, groups: int
) -> None:
    values = torch.tensor([*drawn, torch.nan, torch.inf])
    group = torch.arange(len(values)) % groups

    def read() -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(values[:3], group[:3]), (values[3:], group[3:])]

    found = grouped_quantiles(read, group_sizes(read(), groups), [share])[:, 0]
    for number, quantile in enumerate(found.tolist()):
        own = values[(group == number) & values.isfinite()].double().numpy()
        expected = np.quantile(own, share) if len(own) else np.nan
        assert quantile == pytest.approx(expected, rel=1e-12, nan_ok=True)


@pytest.mark.slow
def test_there_may_be_more_than_sixteen_million_detections() -> None:
    residuals = torch.arange(17_000_000.0).view(-1, 10, 10)
    detected = torch.full((10, 10), len(residuals))
    total, views, joints = summarize_residuals(residuals, detected)
    assert (total.sightings, total.kept_share, len(views), len(joints)) == (17_000_000, 1.0, 10, 10)
    assert (total.median_px, total.p90_px) == pytest.approx((8.5e6, 15.3e6))
    assert joints[3].median_px == pytest.approx(8.5e6, abs=60)


def test_a_large_recording_stays_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = moving()
    save_recording(tmp_path / "large.npz", saved)
    monkeypatch.setattr(mapped, "IN_MEMORY", 0)
    loaded = load_recording(tmp_path / "large.npz")
    content = (tmp_path / "large.npz").read_bytes()
    mapped.release_pages()
    assert_close(loaded.keypoints, saved.keypoints, equal_nan=True)
    assert loaded.keypoints.data_ptr() % 64 == 0
    before = len(mapped._advice)
    loaded.keypoints[0] = 7.0
    mapped.release_pages()
    assert (loaded.keypoints[0] == 7.0).all(), "what is written stays in memory"
    assert (tmp_path / "large.npz").read_bytes() == content, "and does not reach the file"
    del loaded
    assert len(mapped._advice) < before, "a mapping ends with its tensor"


@pytest.mark.parametrize("name", ["keypoints", "confidence"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_large_arrays_of_any_order_in_memory_are_read(
    name: str, order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "IN_MEMORY", 0)
    written = np.arange(24.0).reshape(2, 3, 4)
    np.savez(tmp_path / "x.npz", **{name: np.asarray(written, order=order)})
    read = map_npz(tmp_path / "x.npz", name)[name]
    np.testing.assert_array_equal(read.numpy(), written)


@pytest.mark.rejects
def test_a_flipped_byte_of_a_mapped_recording_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_recording(tmp_path / "large.npz", moving())
    content = bytearray((tmp_path / "large.npz").read_bytes())
    content[len(content) // 3] ^= 1
    (tmp_path / "large.npz").write_bytes(content)
    monkeypatch.setattr(mapped, "IN_MEMORY", 0)
    with pytest.raises(ReadError, match=r"large\.npz is not an npz file, or is damaged: Bad CRC"):
        load_recording(tmp_path / "large.npz")


@pytest.mark.rejects
def test_a_full_disk_is_an_error_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(OSError, match=r"has no space for .* MB .*TMPDIR"):
        mapped.new_tensor((2**60,), torch.uint8)


def test_a_large_tensor_lies_in_a_file_on_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "IN_MEMORY", 0)
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    numbers = mapped.new_tensor((3, 2), torch.float64)
    numbers[:] = torch.arange(6.0).view(3, 2)
    mapped.release_pages()
    assert numbers.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
