"""Laws of placing cameras, before any adjustment."""

from dataclasses import replace

import pytest
import torch

from multiview_geom.calibration import placement
from multiview_geom.calibration.observations import observations
from multiview_geom.calibration.pairs import find_pairs
from tests.multiview_geom.bundle_adjustment.scenes import cloud, deviation
from tests.multiview_geom.strategies import Staircase

THRESHOLD_PX = 5.0


def test_the_poses_of_pairs_get_one_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_adjusted", lambda seen, _: seen)
    truth = Staircase((1.5, 3.0, 6.0, 9.0)).cameras()
    seen = observations(truth, truth.project(cloud(60, 1)).pixels, None)
    unknown = torch.full_like(truth.camera_from_world, torch.nan)
    seen = replace(seen, cameras=replace(truth, camera_from_world=unknown))
    pairs = find_pairs(seen, THRESHOLD_PX)
    assert [pair.score for pair in pairs] == sorted((pair.score for pair in pairs), reverse=True)
    placed = placement.place_cameras(seen, pairs, THRESHOLD_PX)
    assert deviation(placed.cameras, truth) < 1e-6
