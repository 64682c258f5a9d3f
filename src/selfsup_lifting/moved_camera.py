"""Which camera was moved after the calibration, and how far.

Each camera is compared with the points that the others triangulate. If one camera was moved, its
pose can be found anew from these points, and then every camera agrees with the others as well as
its noise allows. A calibration that is poor as a whole has no such camera.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import (
    Cameras,
    invert_transform,
    project_points,
    rotation_to_vector,
    solve_pnp,
    triangulate_dlt,
)

# The pose of a moved camera can be found anew so that its error falls below this share; the errors
# of all others then fall no lower than this one.
MENDED, SOUND = 0.75, 0.87
# So many cameras are tried, those first whose error falls lowest: bounds the time for large rigs.
MOST_TRIED = 4
FEWEST_VIEWS, FEWEST_POINTS = 3, 20
# Of the points, those with a larger error than so many medians are outliers.
OUTLIER = 3.0
REFINEMENTS = 3
# A pose is found from so many points at most, and judged by all: bounds the time.
MOST_POINTS = 300


@dataclass(frozen=True)
class Move:
    """A camera that was moved.

    Attributes:
        view: Its index.
        meters: How far it was moved.
        degrees: By which angle it was turned.
        cameras: The rig with its new pose.
    """

    view: int
    meters: float
    degrees: float
    cameras: Cameras


def moved_camera(cameras: Cameras, pixels: Float[Tensor, "views points 2"]) -> Move | None:
    """Find the one camera that was moved after the calibration.

    Args:
        cameras: The calibrated cameras, in meters.
        pixels: The detections, without lens distortion [px]; NaN where missing.

    Returns:
        The camera, or None if there is none, if several are wrong, or with fewer than three views.
    """
    if cameras.views < FEWEST_VIEWS:
        return None
    shares, poses = _against_others(cameras, pixels)
    for view in shares.argsort()[:MOST_TRIED].tolist():
        if shares[view] > MENDED:
            return None
        mended = _with_pose(cameras, view, poses[view])
        others, _ = _against_others(mended, pixels)
        if all(others[other] > SOUND for other in range(cameras.views) if other != view):
            return _move(cameras, mended, view)
    return None


def _against_others(
    cameras: Cameras, pixels: Float[Tensor, "views points 2"]
) -> tuple[Float[Tensor, "views"], Float[Tensor, "views 4 4"]]:
    """Return the share of its error that the best pose of each camera leaves, and this pose."""
    poses = cameras.camera_from_world
    points = torch.stack([_seen_by_others(cameras, pixels, view) for view in range(cameras.views)])
    error = first = _errors(cameras.intrinsics, poses, points, pixels)
    count = points.shape[1]
    some = torch.linspace(0, count - 1, min(count, MOST_POINTS)).round().long()
    for _ in range(REFINEMENTS):
        inlier = (error <= OUTLIER * _medians(error)[:, None]).to(points)
        poses = solve_pnp(
            cameras.intrinsics, points[:, some], pixels[:, some], weights=inlier[:, some]
        )
        error = _errors(cameras.intrinsics, poses, points, pixels)
    shares = _medians(error) / _medians(first)
    known = poses.isfinite().all(dim=(-2, -1)) & (first.isfinite().sum(dim=-1) >= FEWEST_POINTS)
    return torch.where(known, shares, 1.0), poses


def _seen_by_others(
    cameras: Cameras, pixels: Float[Tensor, "views points 2"], view: int
) -> Float[Tensor, "points 3"]:
    others = [other for other in range(cameras.views) if other != view]
    return triangulate_dlt(cameras.projections[others], pixels[others])


def _errors(
    intrinsics: Float[Tensor, "views 3 3"],
    poses: Float[Tensor, "views 4 4"],
    points: Float[Tensor, "views points 3"],
    pixels: Float[Tensor, "views points 2"],
) -> Float[Tensor, "views points"]:
    projected = project_points((intrinsics @ poses[:, :3])[:, None], points)[:, 0]
    error: Tensor = (projected - pixels).norm(dim=-1)
    return error


def _medians(errors: Float[Tensor, "views points"]) -> Float[Tensor, "views"]:
    return errors.nanmedian(dim=-1).values


def _with_pose(cameras: Cameras, view: int, pose: Float[Tensor, "4 4"]) -> Cameras:
    poses = cameras.camera_from_world.clone()
    poses[view] = pose
    return replace(cameras, camera_from_world=poses)


def _move(before: Cameras, after: Cameras, view: int) -> Move:
    places = [invert_transform(one.camera_from_world[view]) for one in (before, after)]
    turn = places[0][:3, :3].mT @ places[1][:3, :3]
    return Move(
        view,
        meters=float((places[1][:3, 3] - places[0][:3, 3]).norm()),
        degrees=float(rotation_to_vector(turn).norm().rad2deg()),
        cameras=after,
    )
