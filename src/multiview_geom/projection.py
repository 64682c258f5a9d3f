"""World points to pixels and depths, pixels to viewing directions, and projections to cameras."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._validation import (
    broadcast_axes,
    for_computation,
    product,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom._vectors import (
    Finite,
    adjugate,
    determinant,
    length,
    replace_missing,
    unit,
)
from multiview_geom.homogeneous import divide_by_last
from multiview_geom.transforms import rigid_transform


def project_points(
    projections: Float[Tensor, "*#batch views 3 4"], points: Float[Tensor, "*#batch points 3"]
) -> Float[Tensor, "*#batch views points 2"]:
    """Project world points into every view.

    Args:
        projections: World-to-pixel matrix K [R | t] of each view.
        points: World points [unit of the projections' translations].

    Returns:
        Pixels [px]. A point behind the camera has a pixel too: see `in_front`. A point that is
        not finite, or in the principal plane, at depth zero, is NaN and has no gradient.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), eq. 6.2; tau in Bouazizi et al.,
        FG 2021.

    Example:
        >>> import torch
        >>> project_points(torch.eye(3, 4)[None], torch.tensor([[1.0, 2.0, 4.0]]))
        tensor([[[0.2500, 0.5000]]])
    """
    return divide_by_last(*_image_points(projections, points)).to(points.dtype)


def point_depths(
    projections: Float[Tensor, "*#batch views 3 4"], points: Float[Tensor, "*#batch points 3"]
) -> Float[Tensor, "*#batch views points"]:
    """Compute the depth of each point in each view: the distance along the optical axis.

    Args:
        projections: World-to-pixel matrix of each view, of any scale or sign.
        points: World points.

    Returns:
        Depths [unit of the points], negative behind the camera.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), eq. 6.15.

    Example:
        >>> point_depths(torch.eye(3, 4)[None], torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, -1.0]]))
        tensor([[ 4., -1.]])
    """
    image, known = _image_points(projections, points)
    P, _ = replace_missing(for_computation(projections), 2, _unit_camera(projections))
    scale = (determinant(P[..., :3]).sign() / length(P[..., 2, :3]))[..., None]
    return torch.where(known[..., 0], image[..., 2] * scale, torch.nan).to(points.dtype)


def in_front(
    projections: Float[Tensor, "*#batch views 3 4"], points: Float[Tensor, "*#batch points 3"]
) -> Bool[Tensor, "*#batch views points"]:
    """Test which points are in front of each view (cheirality).

    Args:
        projections: World-to-pixel matrix of each view, of any scale or sign.
        points: World points.

    Returns:
        True where the depth is positive.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Example:
        >>> in_front(torch.eye(3, 4)[None], torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, -1.0]]))
        tensor([[ True, False]])
    """
    return point_depths(projections, points) > 0


def decompose_projections(
    projections: Float[Tensor, "*batch 3 4"],
) -> tuple[Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch 4 4"]]:
    """Decompose projection matrices into intrinsics and pose: P ~ K [R | t].

    Args:
        projections: World-to-pixel matrices of finite cameras, of any scale or sign.

    Returns:
        K, with positive focal lengths and last entry one, and `camera_from_world`. NaN where
        the left 3x3 part is singular, which is a camera at infinity.

    Raises:
        ValueError: If the shape or dtype is wrong.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), sec. 6.2.4; the RQ
        decomposition by orthogonalizing the rows from the last one up.

    Example:
        >>> K, pose = decompose_projections(-2 * torch.eye(3, 4))
        >>> torch.equal(K, torch.eye(3)) and torch.equal(pose, torch.eye(4))
        True
    """
    require_trailing_shape("projections", projections, 3, 4)
    require_floating(projections=projections)
    P, known = replace_missing(for_computation(projections), 2, _unit_camera(projections))
    P = P * (determinant(P[..., :3]).sign() / length(P[..., 2, :3]))[..., None, None]
    _, second, z = P[..., :3].unbind(dim=-2)
    x = unit(second.cross(z, dim=-1))
    y = z.cross(x, dim=-1)
    rotation = torch.stack([x, y, z], dim=-2)
    K = torch.triu(product(P[..., :3], rotation.mT))
    fx, skew, cx = K[..., 0, :].unbind(dim=-1)
    fy, cy = K[..., 1, 1], K[..., 1, 2]
    t = P[..., 3]
    ty = (t[..., 1] - cy * t[..., 2]) / fy
    tx = (t[..., 0] - skew * ty - cx * t[..., 2]) / fx
    pose = rigid_transform(rotation, torch.stack([tx, ty, t[..., 2]], dim=-1))
    K, pose = (torch.where(known, matrix, torch.nan) for matrix in (K, pose))
    return K.to(projections.dtype), pose.to(projections.dtype)


def reprojection_error(
    projections: Float[Tensor, "*#batch views 3 4"],
    points: Float[Tensor, "*#batch points 3"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Float[Tensor, "*#batch views points"]:
    """Compute the distance in the image between each pixel and the projection of its point.

    Args:
        projections: World-to-pixel matrix of each view.
        points: World points.
        pixels: Pixels of each point in each view [px].

    Returns:
        Distances [px]. NaN, without a gradient, where the point or the pixel is not finite. A
        point behind the camera has a pixel too: see `in_front`.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        The gradient of a distance of zero is zero.

    Example:
        >>> rig, points = torch.eye(3, 4)[None], torch.tensor([[1.0, 2.0, 4.0]])
        >>> reprojection_error(rig, points, torch.tensor([[[3.25, 4.5]]]))
        tensor([[5.]])
    """
    require_trailing_shape("projections", projections, "views", 3, 4)
    require_trailing_shape("points", points, "points", 3)
    require_trailing_shape("pixels", pixels, "views", "points", 2)
    require_same_size("views", projections=projections.shape[-3], pixels=pixels.shape[-3])
    require_same_size("points", points=points.shape[-2], pixels=pixels.shape[-2])
    require_floating(projections=projections, points=points, pixels=pixels)
    broadcast_axes(
        projections=projections.shape[:-3], points=points.shape[:-2], pixels=pixels.shape[:-3]
    )
    # Double `where`: NaN would turn the gradients of all others into NaN.
    projected = project_points(for_computation(projections), for_computation(points))
    apart, known = replace_missing(projected - for_computation(pixels), 1)
    return torch.where(known[..., 0], length(apart), torch.nan).to(points.dtype)


def triangulation_angle(
    centers: Float[Tensor, "*#batch views 3"], points: Float[Tensor, "*#batch points 3"]
) -> Float[Tensor, "*#batch points"]:
    """Compute the largest angle between two viewing rays of a point.

    Args:
        centers: Camera centers in the world.
        points: World points.

    Returns:
        Angles in [0, pi] [rad]. At 0 and at pi all rays are on one line, and the position of
        the point on it is unknown. Zero for fewer than two views, NaN for a point in a camera
        center.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Reference:
        Kahan, How futile are mindless assessments of roundoff (2006), sec. 12: the
        half-angle formula that is exact for small angles and for large ones.

    Example:
        >>> centers = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        >>> triangulation_angle(centers, torch.zeros(1, 3)).rad2deg()
        tensor([90.])
    """
    require_trailing_shape("centers", centers, "views", 3)
    require_trailing_shape("points", points, "points", 3)
    require_floating(centers=centers, points=points)
    broadcast_axes(centers=centers.shape[:-2], points=points.shape[:-2])
    toward = for_computation(centers)[..., None, :] - for_computation(points)[..., None, :, :]
    directions = unit(toward)
    known = directions.isfinite().all(dim=-1).all(dim=-2)
    # Double `where`: a point in a camera center would turn the gradients of all centers into NaN.
    directions = torch.where(known[..., None, :, None], directions, 1.0)
    # Cyclic shifts by up to half the number of views compare every pair.
    shifts = range(1, centers.shape[-2] // 2 + 1)
    angles = [_angle_between(directions, directions.roll(shift, dims=-3)) for shift in shifts]
    none = torch.zeros_like(directions[..., 0].sum(dim=-2, keepdim=True))
    widest = torch.cat([none, *angles], dim=-2).amax(dim=-2)
    return torch.where(known, widest, torch.nan).to(points.dtype)


def camera_centers(
    projections: Float[Tensor, "*batch 3 4"],
) -> Float[Tensor, "*batch 3"]:
    """Return the camera centers: the null vectors of the projections."""
    left = projections[..., :3]
    scaled = product(adjugate(left), projections[..., 3:])[..., 0]
    return -scaled / determinant(left)[..., None]


def ray_directions(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Float[Tensor, "*#batch views points 3"]:
    """Return the unit vector from each camera center forward through each pixel."""
    image = torch.nn.functional.pad(pixels, (0, 1), value=1.0)
    # The adjugate, unlike the inverse, points forward for both signs of the projection.
    forward = product(image, adjugate(projections[..., :3]).mT)
    return unit(forward)


def _image_points(
    projections: Float[Tensor, "*#batch views 3 4"], points: Float[Tensor, "*#batch points 3"]
) -> Finite:
    """Return P X, and where the point and the projection are finite."""
    require_trailing_shape("projections", projections, "views", 3, 4)
    require_trailing_shape("points", points, "points", 3)
    require_floating(projections=projections, points=points)
    broadcast_axes(projections=projections.shape[:-3], points=points.shape[:-2])
    P, views = replace_missing(for_computation(projections), 2)
    X, known = replace_missing(for_computation(points)[..., None, :, :], 1)
    return Finite(product(X, P[..., :3].mT) + P[..., None, :, 3], views & known)


def _unit_camera(projections: Float[Tensor, "*batch 3 4"]) -> Float[Tensor, "3 4"]:
    unit_camera = torch.eye(3, 4, dtype=projections.dtype, device=projections.device)
    return for_computation(unit_camera)


def _angle_between(
    first: Float[Tensor, "*batch 3"], second: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch"]:
    return 2 * torch.atan2(length(first - second), length(first + second))
