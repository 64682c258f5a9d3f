"""Laws of C3D files, read back by ezc3d."""

import math
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsup_lifting import c3d_file
from selfsup_lifting.export import save_tracks
from selfsup_lifting.read_errors import ReadError
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.upright import UPRIGHT
from tests.selfsup_lifting.strategies import Scene, scenes

with_ezc3d = pytest.mark.skipif(find_spec("ezc3d") is None, reason="needs the extra c3d")
# Single precision, for lengths of some meters.
ROUND_OFF_MM = 1e-3


def as_utf_8(content: bytes) -> bytes:
    return content.decode("utf-8", "replace").encode()


def saved(path: Path, scene: Scene, tracks: torch.Tensor, **options: Any) -> Any:
    """Write tracks, and read the file with ezc3d."""
    import ezc3d

    known = {"skeleton": SKELETONS[scene.skeleton], "fps": 50.0, "coordinates": "world"}
    save_tracks(path, tracks, **{**known, **options})
    return ezc3d.c3d(str(path))


@with_ezc3d
@given(scenes, st.integers(0, 16))
def test_c3d_gives_back_the_tracks_in_millimeters(
    tmp_path_factory: pytest.TempPathFactory, scene: Scene, missing: int
) -> None:
    tracks = scene.truth()
    tracks[0, missing] = torch.nan
    file = saved(tmp_path_factory.mktemp("tracks") / "x.c3d", scene, tracks)
    points = torch.from_numpy(file["data"]["points"][:3]).permute(2, 1, 0)
    torch.testing.assert_close(
        points, 1000 * tracks.double(), rtol=0, atol=ROUND_OFF_MM, equal_nan=True
    )
    residuals = file["data"]["meta_points"]["residuals"][0].T
    np.testing.assert_array_equal(residuals < 0, tracks.isnan().any(dim=-1).numpy())
    described = file["parameters"]["POINT"]
    assert tuple(described["LABELS"]["value"]) == SKELETONS[scene.skeleton].joints
    assert (described["UNITS"]["value"], described["RATE"]["value"][0]) == (["mm"], 50.0)


@with_ezc3d
@pytest.mark.parametrize("up", UPRIGHT)
def test_c3d_says_which_axis_is_up(tmp_path: Path, up: str) -> None:
    file = saved(tmp_path / "x.c3d", Scene(), Scene().truth(), up=up)
    sign, axis = ("-" if up.startswith("-") else "+"), up[-1].upper()
    point = file["parameters"]["POINT"]
    assert point["Y_SCREEN"]["value"] == [sign + axis]
    assert point["X_SCREEN"]["value"][0][1] != axis


@with_ezc3d
def test_c3d_says_what_was_done_to_the_tracks(tmp_path: Path) -> None:
    truth = Scene().truth()
    file = saved(tmp_path / "x.c3d", Scene(), truth, coordinates="camera", processing="smoothed")
    remarks = file["parameters"][c3d_file.GROUP]
    assert remarks["COORDINATES"]["value"] == ["camera"]
    assert remarks["PROCESSING"]["value"] == ["smoothed"]
    assert file["parameters"]["POINT"]["Y_SCREEN"]["value"] == ["-Y"]


@with_ezc3d
@pytest.mark.rejects
@pytest.mark.parametrize(
    ("at", "value", "sentence"),
    [
        (12, struct.pack("<f", 0.0), "the scale as a finite number, not zero, got 0.0"),
        (20, struct.pack("<f", math.nan), "the frame rate as a finite number, not zero, got nan"),
        (16, struct.pack("<H", 2), r"frames after the parameters, from byte \d+, got from 512"),
    ],
)
def test_a_header_that_lies_is_refused(
    tmp_path: Path, at: int, value: bytes, sentence: str
) -> None:
    path = tmp_path / "x.c3d"
    saved(path, Scene(), Scene().truth())
    content = path.read_bytes()
    path.write_bytes(content[:at] + value + content[at + len(value) :])
    with pytest.raises(ReadError, match=f"x.c3d, header: expected {sentence}"):
        c3d_file.require_whole_c3d(path)


@with_ezc3d
@pytest.mark.rejects
@pytest.mark.parametrize("sizes", [b"\xfc", b"\x03\xff\xff\xff"])
def test_a_parameter_that_is_larger_than_the_file_is_refused(tmp_path: Path, sizes: bytes) -> None:
    path = tmp_path / "x.c3d"
    saved(path, Scene(), Scene().truth())
    content = path.read_bytes()
    at = content.index(b"SCALE") + 8
    path.write_bytes(content[:at] + sizes + content[at + len(sizes) :])
    with pytest.raises(ReadError, match=r"x\.c3d: the file ends before its parameters do"):
        c3d_file.require_whole_c3d(path)


@with_ezc3d
@pytest.mark.rejects
@pytest.mark.parametrize("as_text", [lambda it: it.replace(b"\n", b"\r\n"), as_utf_8])
def test_a_file_that_was_copied_as_text_is_named(
    tmp_path: Path, as_text: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "x.c3d"
    saved(path, Scene(frames=200), Scene(frames=200).truth())
    path.write_bytes(as_text(path.read_bytes()))
    with pytest.raises(ReadError, match=r"x\.c3d.*: it was copied as text, which damag"):
        c3d_file.require_whole_c3d(path)


@with_ezc3d
@pytest.mark.rejects
@pytest.mark.parametrize("frames", [0, 65_536])
def test_frames_that_the_format_cannot_count_are_refused(tmp_path: Path, frames: int) -> None:
    with pytest.raises(ValueError, match=f"has 1 to 65535 frames, got {frames}; --frames"):
        saved(tmp_path / "x.c3d", Scene(), torch.zeros(frames, 17, 3))
    assert not list(tmp_path.iterdir())


@pytest.mark.rejects
def test_without_the_library_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c3d_file, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"need the library ezc3d: pip install .*\[c3d\]"):
        saved_without_reading(tmp_path / "x.c3d")


def saved_without_reading(path: Path) -> None:
    truth, body = Scene().truth(), SKELETONS["h36m17"]
    save_tracks(path, truth, skeleton=body, fps=50.0, coordinates="world")
