"""Place the cameras of a rig one after the other, at one common scale."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom.absolute_pose import solve_pnp
from multiview_geom.bundle_adjustment.adjust import bundle_adjust
from multiview_geom.calibration.observations import (
    FEWEST_SHARED,
    Observations,
    spread_evenly,
)
from multiview_geom.calibration.pairs import Pair
from multiview_geom.projection import point_depths, reprojection_error
from multiview_geom.transforms import transform_points
from multiview_geom.triangulation.residual_losses import HuberLoss
from multiview_geom.triangulation.robust import triangulate_robust

MOST_POINTS = 800
"""Number of points that place a camera."""
WIDENED = 2.0
"""Factor on the threshold while poses are not exact."""
STEPS = 6
"""Number of steps that adjust the cameras placed so far."""
SAMPLES, SAMPLE = 64, 6
"""Number of random sets of points that find the pose of a camera, and their size."""
ROUNDS = 3
"""Number of times that a pose is solved with its inliers."""
HUBER = 1.5
"""Residual at which the loss becomes linear, in standard deviations of the noise."""


def place_cameras(seen: Observations, pairs: Sequence[Pair], threshold: float) -> Observations:
    """Place the views that a chain of pairs reaches, then those that see enough known points.

    The world is the frame of the first view of the best pair, and the baseline of this pair is
    one. Each further view is placed by the best pair of a placed and an unplaced view (a maximum
    spanning tree, by Prim's algorithm). All placed cameras are adjusted after each step.
    """
    if not pairs:
        return seen
    best = pairs[0]
    seen = seen.with_pose(best.first, torch.eye(4).to(best.second_from_first))
    seen = _adjusted(seen.with_pose(best.second, best.second_from_first), threshold)
    refused: set[tuple[int, int]] = set()
    while (pair := _next_pair(pairs, seen.placed, refused)) is not None:
        pose = _pose_by_pair(seen, pair, threshold)
        if pose is None:
            refused.add((pair.first, pair.second))
        else:
            seen = _adjusted(seen.with_pose(pair.second, pose), threshold)
    for view in set(range(seen.cameras.views)) - {*seen.placed}:
        pose = _pose_by_points(seen, view, threshold)
        if pose is not None:
            seen = _adjusted(seen.with_pose(view, pose), threshold)
    return seen


def _adjusted(seen: Observations, threshold: float) -> Observations:
    """Adjust the poses of the placed views with inliers of some points."""
    placed = seen.placed
    some = seen.thinned(MOST_POINTS).select(placed)
    found = some.triangulated(WIDENED * threshold)
    kept = torch.where(found.inliers, some.trust, 0.0)
    if not ((kept > 0).sum(dim=-1) >= FEWEST_SHARED).all():
        return seen
    loss = HuberLoss(HUBER * some.noise(found.residuals))
    better = bundle_adjust(
        some.cameras, some.pixels, points=found.points, weights=kept, loss=loss, steps=STEPS
    )
    for view, pose in zip(placed, better.cameras.camera_from_world, strict=True):
        seen = seen.with_pose(view, pose)
    return seen


def _next_pair(
    pairs: Sequence[Pair], placed: Sequence[int], refused: set[tuple[int, int]]
) -> Pair | None:
    """Return the best pair of a placed and an unplaced view, in this order."""
    for pair in pairs:
        oriented = pair if pair.first in placed else pair.turned()
        leads_out = oriented.first in placed and oriented.second not in placed
        if leads_out and (oriented.first, oriented.second) not in refused:
            return oriented
    return None


def _pose_by_pair(seen: Observations, pair: Pair, threshold: float) -> Float[Tensor, "4 4"] | None:
    """Give a pair the scale of the world: the median ratio of the depths of common points."""
    some = seen.take(pair.inliers)
    known = some.triangulated(WIDENED * threshold).points
    K, views = seen.cameras.intrinsics, [pair.first, pair.second]
    base = seen.cameras.camera_from_world[pair.first]
    unit_pose = torch.stack([torch.eye(4).to(base), pair.second_from_first])
    rig = K[views] @ unit_pose[:, :3]
    local = triangulate_robust(rig, some.ideal[views], threshold=WIDENED * threshold).points
    depth = point_depths((K[pair.first] @ base[:3])[None], known)[0]
    ratio = depth / local[:, 2]
    ratio = ratio[ratio.isfinite() & (ratio > 0)]
    if len(ratio) < FEWEST_SHARED:
        return None
    pose = pair.second_from_first.clone()
    pose[:3, 3] *= ratio.median()
    return pose @ base


def _pose_by_points(seen: Observations, view: int, threshold: float) -> Float[Tensor, "4 4"] | None:
    """Find the pose that most of the known points agree with."""
    some = seen.take(seen.shared(view)).thinned(MOST_POINTS)
    points = some.triangulated(WIDENED * threshold).points
    usable = points.isfinite().all(dim=-1).nonzero()[:, 0]
    if len(usable) < FEWEST_SHARED:
        return None
    points, pixels, trust = points[usable], some.ideal[view, usable], some.trust[view, usable]
    K = seen.cameras.intrinsics[view]
    order = spread_evenly(len(usable), len(usable))
    samples = torch.stack([order.roll(-at * SAMPLE)[:SAMPLE] for at in range(SAMPLES)])
    poses = solve_pnp(K, points[samples], pixels[samples])
    agreeing = _agreeing(K, poses, points, pixels, threshold)
    inliers = agreeing[agreeing.sum(dim=-1).argmax()]
    pose = poses[0]
    for _ in range(ROUNDS):
        if int(inliers.sum()) < FEWEST_SHARED:
            return None
        pose = solve_pnp(K, points, pixels, weights=torch.where(inliers, trust, 0.0))
        inliers = _agreeing(K, pose[None], points, pixels, threshold)[0]
    return pose if pose.isfinite().all() else None


def _agreeing(
    K: Tensor, poses: Float[Tensor, "poses 4 4"], points: Tensor, pixels: Tensor, threshold: float
) -> Bool[Tensor, "poses points"]:
    projections = K @ poses[:, :3]
    in_front = transform_points(poses, points[None])[..., 2] > 0
    error = reprojection_error(projections, points, pixels.expand(len(poses), -1, 2))
    return in_front & (error < WIDENED * threshold)
