"""Laws of placing cameras, before any adjustment."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from multiview_geom import Cameras, ring_of_cameras
from multiview_geom.calibration import placement
from multiview_geom.calibration.observations import Observations, observations
from multiview_geom.calibration.pairs import Pair, candidates, find_pairs
from tests.multiview_geom.bundle_adjustment.scenes import cloud, deviation
from tests.multiview_geom.strategies import Staircase
from tests.multiview_geom.tolerances import assert_close

THRESHOLD_PX = 5.0


def test_the_poses_of_pairs_get_one_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_adjusted", lambda seen, _: seen)
    truth = Staircase((1.5, 3.0, 6.0, 9.0)).cameras()
    seen = _unplaced(truth, truth.project(cloud(60, 1)).pixels)
    pairs = find_pairs(seen, THRESHOLD_PX)
    assert [pair.score for pair in pairs] == sorted((pair.score for pair in pairs), reverse=True)
    placed = placement.place_cameras(seen, pairs, THRESHOLD_PX)
    assert deviation(placed.cameras, truth) < 1e-6


def test_a_pair_that_few_points_agree_with_stays_as_it_is() -> None:
    truth = ring_of_cameras(2, 4.0, 1.0, dtype=torch.float64)
    seen = _unplaced(truth, truth.project(cloud(30, 4)).pixels)
    aside = torch.eye(4, dtype=torch.float64)
    aside[0, 3] = 1.0
    wrong = Pair(0, 1, aside, torch.arange(30), 30.0, is_flat=False)
    placed = placement.place_cameras(seen, [wrong], THRESHOLD_PX).cameras
    assert_close(placed.camera_from_world[1], aside, atol=0)


def test_a_view_that_saw_too_few_known_points_is_not_placed() -> None:
    truth = ring_of_cameras(3, 4.0, 1.0, dtype=torch.float64)
    pixels = truth.project(cloud(40, 5)).pixels
    pixels[2, 5:] = torch.nan
    seen = _unplaced(truth, pixels)
    pairs = find_pairs(seen, THRESHOLD_PX)
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 1)]
    assert placement.place_cameras(seen, pairs, THRESHOLD_PX).placed == [0, 1]


def test_of_a_large_rig_the_pairs_are_tried_that_share_most_points() -> None:
    truth = ring_of_cameras(16, 4.0, 1.0, dtype=torch.float64)
    pixels = truth.project(cloud(40, 2)).pixels
    # The sixth view saw only points of its own, with one view across the room.
    pixels[5, :30] = torch.nan
    pixels[[view for view in range(16) if view not in {5, 12}], 30:] = torch.nan
    pairs = candidates(observations(truth, pixels, None))
    assert (5, 12) in pairs
    assert len(pairs) < 16 * 15 / 4
    assert {view for pair in pairs for view in pair} == {*range(16)}


def test_fewer_points_hold_the_share_of_a_view_that_saw_few() -> None:
    truth = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64)
    pixels = truth.project(cloud(400, 3)).pixels
    pixels[3, 20:] = torch.nan
    pixels[:2, :20] = torch.nan
    some = observations(truth, pixels, None).thinned(60)
    assert some.pixels.shape[1] == 60
    assert (some.trust > 0).sum(dim=-1).tolist() == [45, 45, 60, 15]


def _unplaced(truth: Cameras, pixels: Tensor) -> Observations:
    unknown = torch.full_like(truth.camera_from_world, torch.nan)
    return observations(replace(truth, camera_from_world=unknown), pixels, None)
