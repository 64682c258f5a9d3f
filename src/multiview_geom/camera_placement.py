"""Place cameras: aimed at a point, or on a circle around the scene."""

from math import isfinite, tau

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._validation import (
    as_image_size,
    broadcast_axes,
    for_computation,
    product,
    require_at_least,
    require_dtype,
    require_floating,
    require_number,
    require_positive,
    require_trailing_shape,
)
from multiview_geom._vectors import replace_missing, unit
from multiview_geom.cameras import Cameras
from multiview_geom.transforms import rigid_transform


def look_at(
    position: Float[Tensor, "*#batch 3"],
    target: Float[Tensor, "*#batch 3"],
    up: Float[Tensor, "*#batch 3"],
) -> Float[Tensor, "*#batch 4 4"]:
    """Aim a camera: at a position, toward a target, with the top of the image toward `up`.

    Args:
        position: Camera centers in the world.
        target: Points on the optical axis.
        up: Directions of the top of the image, of any length.

    Returns:
        `camera_from_world`: x right, y down, z forward. NaN if the position is the target, or
        if the optical axis is parallel to `up`.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Example:
        >>> eye, target = torch.tensor([0.0, -4.0, 0.0]), torch.zeros(3)
        >>> look_at(eye, target, torch.tensor([0.0, 0.0, 1.0]))[2]
        tensor([0., 1., 0., 4.])
    """
    for name, vector in (("position", position), ("target", target), ("up", up)):
        require_trailing_shape(name, vector, 3)
    require_floating(position=position, target=target, up=up)
    batch = broadcast_axes(position=position.shape[:-1], target=target.shape[:-1], up=up.shape[:-1])
    center, aim, top = (
        for_computation(vector).expand(*batch, 3) for vector in (position, target, up)
    )
    # Double `where`, before each product.
    forward, aimed = replace_missing(unit(aim - center), 1)
    right, upright = replace_missing(unit(forward.cross(replace_missing(top, 1).values, dim=-1)), 1)
    rotation = torch.stack([right, forward.cross(right, dim=-1), forward], dim=-2)
    origin = replace_missing(center, 1).values
    pose = rigid_transform(rotation, -product(rotation, origin[..., None])[..., 0])
    known = (aimed & upright & top.isfinite().all(dim=-1, keepdim=True))[..., None]
    return torch.where(known, pose, torch.nan).to(position.dtype)


def ring_of_cameras(  # noqa: PLR0913 - all but the first three are options
    views: int,
    radius: float,
    height: float,
    *,
    target_height: float = 0.0,
    focal_length: float = 1145.0,
    image_size: tuple[int, int] = (1000, 1000),
    dtype: torch.dtype | None = None,
) -> Cameras:
    """Place cameras on a circle around the vertical axis z of the world, looking at the axis.

    Args:
        views: Number of cameras, at equal angles; the first is above the x axis.
        radius: Distance of every camera from the axis.
        height: Height of the cameras.
        target_height: Height of the point on the axis that the cameras look at.
        focal_length: Focal length [px]; by default about that of Human3.6M.
        image_size: Width and height [px]; the principal point is the center.
        dtype: Floating dtype of the rig; torch's default unless given.

    Returns:
        The rig, with names cam_1, cam_2, ...

    Raises:
        ValueError: If `views` is below one, `radius` or `focal_length` is not positive, or an
            argument is of another kind.

    Example:
        >>> ring_of_cameras(4, radius=4.0, height=1.0).centers.round(decimals=3) + 0.0
        tensor([[ 4.,  0.,  1.],
                [ 0.,  4.,  1.],
                [-4.,  0.,  1.],
                [ 0., -4.,  1.]])
    """
    require_at_least("views", views, 1)
    require_positive("radius", radius)
    require_positive("focal_length", focal_length)
    for name, value in (("height", height), ("target_height", target_height)):
        require_number(name, value, float)
        if not isfinite(value):
            raise ValueError(f"`{name}` must be finite, got {value}")
    image_size = as_image_size(image_size)
    require_dtype("dtype", dtype)
    angles = torch.arange(views, dtype=torch.float64) * (tau / views)
    level = torch.full_like(angles, height)
    position = torch.stack([radius * angles.cos(), radius * angles.sin(), level], dim=-1)
    up = position.new_tensor([0.0, 0.0, 1.0])
    camera_from_world = look_at(position, up * target_height, up)
    width, height_px = image_size
    intrinsics = position.new_tensor(
        [
            [focal_length, 0.0, (width - 1) / 2],
            [0.0, focal_length, (height_px - 1) / 2],
            [0.0, 0.0, 1.0],
        ]
    )
    rig = Cameras(
        intrinsics=intrinsics.repeat(views, 1, 1),
        camera_from_world=camera_from_world,
        image_size=torch.tensor([image_size]).repeat(views, 1),
    )
    return rig.to(dtype or torch.get_default_dtype())
