"""Calibrations written by other tools see what those tools see."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from multiview_geom import load_cameras
from tests.multiview_geom.tolerances import assert_close

FILES = Path(__file__).parent / "written_by_peers"

# COLMAP counts pixels from the corner of the first, and everybody else from its center.
OFFSETS = {"aniposelib": 0.0, "aniposelib_fisheye": 0.0, "colmap": 0.5, "colmap_binary": 0.5}


def keypoints_of(name: str) -> tuple[Tensor, dict[str, list[list[float]]]]:
    """The points that the tool projected, and where each camera saw them."""
    record = json.loads((FILES / f"{name}.json").read_text())
    return torch.tensor(record["points"], dtype=torch.float64), record["pixels"]


@pytest.mark.parametrize("name", OFFSETS)
def test_its_cameras_see_what_the_tool_says(name: str) -> None:
    points, pixels = keypoints_of(name)
    file = FILES / f"{name}.toml"
    cameras = load_cameras(file if file.exists() else FILES / name)
    assert cameras.names == tuple(pixels)
    expected = torch.tensor(list(pixels.values()), dtype=torch.float64) - OFFSETS[name]
    assert_close(cameras.project(points).pixels, expected, atol=1e-9)
