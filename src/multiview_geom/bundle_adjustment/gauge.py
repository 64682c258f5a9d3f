"""The gauge: the similarity of the world, which no pixel shows."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._validation import product, require_cameras
from multiview_geom.alignment.procrustes import align_rigid
from multiview_geom.bundle_adjustment.camera_parameters import POSE
from multiview_geom.cameras import Cameras
from multiview_geom.transforms import Similarity, rigid_transform

GAUGE = 7
"""Three translations, three rotations and the scale."""
ROUND_OFFS = 16.0
"""How many times the round-off of their largest coordinate centers may differ that are one."""


def gauge_directions(cameras: Cameras, n: int) -> Float[Tensor, "parameters 7"]:
    """Return the steps of the cameras that follow a similarity of the world, as columns.

    Args:
        cameras: The cameras; their poses are the first parameters of each.
        n: Number of parameters of each camera.
    """
    rotation = cameras.camera_from_world[:, :3, :3]
    center = cameras.centers - cameras.centers.mean(dim=0)
    identity = torch.eye(3).to(rotation).expand_as(rotation)
    turned = torch.linalg.cross(identity, center[:, :, None].expand_as(rotation), dim=1)
    shift = torch.cat([identity, turned, center[..., None]], dim=-1)
    turn = torch.nn.functional.pad(-rotation, (3, 1))
    columns = torch.cat([turn, shift], dim=1)
    return torch.nn.functional.pad(columns, (0, 0, 0, n - POSE)).flatten(0, 1)


def remove_gauge(
    covariance: Float[Tensor, "parameters parameters"], cameras: Cameras
) -> Float[Tensor, "parameters parameters"]:
    """Express a covariance in the gauge of `align_rigs`: the least motion of all cameras."""
    n = len(covariance) // cameras.views
    N = gauge_directions(cameras, n)
    turned = 4 * float(_spread(cameras)) ** 2
    metric = N.new_tensor([turned] * 3 + [6.0] * 3 + [0.0] * (n - POSE))
    weighted = (N * metric.repeat(cameras.views)[:, None]).mT
    along = torch.linalg.solve(product(weighted, N), weighted)
    projector = torch.eye(len(N)).to(N) - product(N, along)
    return product(product(projector, covariance), projector.mT)


def align_rigs(source: Cameras, target: Cameras) -> Similarity:
    """Find the similarity of the world that best takes the cameras of a rig to those of another.

    The scale makes the RMS distances of the camera centers from their mean equal. Rotation and
    translation align six points of each camera, at this distance on both sides of its center along
    its axes: the rotation is determined also for two cameras.

    Args:
        source: The rig to move.
        target: The same cameras, elsewhere: those of the same names if all names are the same, else
            in the same order.

    Returns:
        The similarity to apply to the world of the source, with `transform_cameras`. NaN for
        cameras that are all at one place.

    Raises:
        ValueError: If a shape or dtype disagrees, or if the rigs have other numbers of views.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> rig = ring_of_cameras(3, radius=4.0, height=1.0)
        >>> align_rigs(rig, rig.scaled(2.0)).scale
        tensor(2.)
    """
    require_cameras("source", source)
    require_cameras("target", target)
    if {*source.names} == {*target.names}:
        target = target.select(source.names)
    scale = _known_spread(target) / _known_spread(source)
    moved = align_rigid(scale * _frame_points(source), _frame_points(target))
    return Similarity(moved.rotation, moved.translation, scale)


def transform_cameras(cameras: Cameras, similarity: Similarity) -> Cameras:
    """Move a rig with its world: `similarity.apply` moves the points that it sees.

    Args:
        cameras: The rig.
        similarity: The transform from the old world to the new one.

    Returns:
        The rig in the new world, which sees the moved points at the same pixels; NaN if the scale
        is not above zero: no camera sees a mirrored world like this one.

    Raises:
        ValueError: If an argument is of another kind.

    Example:
        >>> from multiview_geom import Similarity, ring_of_cameras
        >>> rig = ring_of_cameras(4, radius=4.0, height=1.0)
        >>> halved = Similarity(torch.eye(3), torch.ones(3), torch.tensor(0.5))
        >>> moved, point = transform_cameras(rig, halved), torch.tensor([[0.1, 0.2, 0.3]])
        >>> after = moved.project(halved.apply(point)).pixels
        >>> torch.allclose(after, rig.project(point).pixels)
        True
    """
    require_cameras("cameras", cameras)
    if not hasattr(similarity, "rotation"):  # as `require_cameras` asks
        got = type(similarity).__name__
        raise ValueError(f"`similarity` must be a Similarity, as align_rigs returns, got {got}")
    rotation = product(cameras.camera_from_world[..., :3, :3], similarity.rotation.mT)
    scale = torch.where(similarity.scale > 0, similarity.scale, torch.nan)
    center = replace(similarity, scale=scale).apply(cameras.centers)
    pose = rigid_transform(rotation, -product(rotation, center[..., None])[..., 0])
    return replace(cameras, camera_from_world=pose)


def _frame_points(cameras: Cameras) -> Float[Tensor, "points 3"]:
    axes, center = cameras.camera_from_world[:, :3, :3], cameras.centers[:, None]
    axes = _spread(cameras) * axes
    return torch.cat([center + axes, center - axes], dim=1).flatten(0, 1)


def _known_spread(cameras: Cameras) -> Float[Tensor, ""]:
    """Return the RMS distance of the centers from their mean; NaN if it is rounding alone."""
    spread, centers = _spread(cameras), cameras.centers
    round_off = ROUND_OFFS * torch.finfo(centers.dtype).eps * centers.abs().max()
    return torch.where(spread > round_off, spread, torch.nan)


def _spread(cameras: Cameras) -> Float[Tensor, ""]:
    """Return the RMS distance of the centers from their mean."""
    apart = cameras.centers - cameras.centers.mean(dim=0)
    return apart.square().sum(dim=-1).mean().sqrt()
