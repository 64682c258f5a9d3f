"""World points to pixels and depths, and pixels back to rays."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._validation import (
    for_computation,
    product,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom.homogeneous import from_homogeneous
from multiview_geom.transforms import rigid_transform


def project_points(
    projections: Float[Tensor, "*#batch views 3 4"], points: Float[Tensor, "*#batch points 3"]
) -> Float[Tensor, "*#batch views points 2"]:
    """Project world points into every view: the paper's tau.

    Args:
        projections: Each view's world-to-pixel matrix, K [R | t].
        points: World points [unit of the projections' translations].

    Returns:
        Pixels [px]. A point behind the camera is projected through it, as the
        equation says: see `in_front`. A point in the plane of the camera centre is NaN.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), eq. 6.2.

    Example:
        >>> import torch
        >>> project_points(torch.eye(3, 4)[None], torch.tensor([[1.0, 2.0, 4.0]]))
        tensor([[[0.2500, 0.5000]]])
    """
    return from_homogeneous(_image_points(projections, points)).to(points.dtype)


def point_depths(
    projections: Float[Tensor, "*#batch views 3 4"], points: Float[Tensor, "*#batch points 3"]
) -> Float[Tensor, "*#batch views points"]:
    """Measure how far in front of every view each point lies, along its optical axis.

    Args:
        projections: Each view's world-to-pixel matrix, of any scale or sign.
        points: World points.

    Returns:
        Depths [unit of the points], negative behind the camera.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), eq. 6.15.
    """
    along_axis = _image_points(projections, points)[..., 2]
    left = for_computation(projections)[..., :3]
    length = left[..., 2, :].square().sum(dim=-1).sqrt()
    orientation = determinant(left).sign()
    return (along_axis * (orientation / length)[..., None]).to(points.dtype)


def in_front(
    projections: Float[Tensor, "*#batch views 3 4"], points: Float[Tensor, "*#batch points 3"]
) -> Bool[Tensor, "*#batch views points"]:
    """Tell which points lie in front of which view (cheirality).

    Args:
        projections: Each view's world-to-pixel matrix, of any scale or sign.
        points: World points.

    Returns:
        True where the depth is positive.

    Raises:
        ValueError: If a shape or dtype disagrees.
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
    P = for_computation(projections)
    length = _length(P[..., 2, :3])[..., None, None]
    P = P * (determinant(P[..., :3]).sign()[..., None, None] / length)
    _, second, z = P[..., :3].unbind(dim=-2)
    x = _unit(second.cross(z, dim=-1))
    y = z.cross(x, dim=-1)
    rotation = torch.stack([x, y, z], dim=-2)
    K = torch.triu(product(P[..., :3], rotation.mT))
    fx, skew, cx = K[..., 0, :].unbind(dim=-1)
    fy, cy = K[..., 1, 1], K[..., 1, 2]
    t = P[..., 3]
    ty = (t[..., 1] - cy * t[..., 2]) / fy
    tx = (t[..., 0] - skew * ty - cx * t[..., 2]) / fx
    pose = rigid_transform(rotation, torch.stack([tx, ty, t[..., 2]], dim=-1))
    return K.to(projections.dtype), pose.to(projections.dtype)


def reprojection_error(
    projections: Float[Tensor, "*#batch views 3 4"],
    points: Float[Tensor, "*#batch points 3"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Float[Tensor, "*#batch views points"]:
    """Measure how far from each sighting its point projects.

    Args:
        projections: Each view's world-to-pixel matrix.
        points: World points.
        pixels: Where each view saw each point [px].

    Returns:
        Distances in the image [px]. NaN where the point or the pixel is not finite, and
        no gradient passes there.
        A point behind the camera is projected through it: see `in_front`.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        Where the distance is zero its gradient is set to zero.

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
    require_floating(points=points, pixels=pixels)
    known = points.isfinite().all(dim=-1)[..., None, :] & pixels.isfinite().all(dim=-1)
    # Doubled where: what is not known would turn the projections' gradient into NaN.
    point = torch.where(points.isfinite(), for_computation(points), 0.0)
    seen = torch.where(pixels.isfinite(), for_computation(pixels), 0.0)
    distance = _length(project_points(for_computation(projections), point) - seen)
    return torch.where(known, distance, torch.nan).to(points.dtype)


def triangulation_angle(
    centers: Float[Tensor, "*#batch views 3"], points: Float[Tensor, "*#batch points 3"]
) -> Float[Tensor, "*#batch points"]:
    """Measure the largest angle at which two of the rays to a point meet.

    Args:
        centers: Where each camera stands in the world.
        points: World points.

    Returns:
        Angles in [0, pi] [rad]. Rays that meet at 0 or at pi lie on one line and say
        nothing about where on it the point is. NaN for a point in a camera's centre.

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
    toward = for_computation(centers)[..., None, :] - for_computation(points)[..., None, :, :]
    unit = _unit(toward)
    known = unit.isfinite().all(dim=-1).all(dim=-2)
    # Doubled where: a point in a camera's centre would turn all centres' gradients into NaN.
    unit = torch.where(known[..., None, :, None], unit, 1.0)
    # Every pair of views is some number of views apart, at most half the way round.
    shifts = range(1, centers.shape[-2] // 2 + 1)
    angles = [_angle_between(unit, unit.roll(shift, dims=-3)) for shift in shifts]
    widest = torch.cat([torch.zeros_like(unit[..., :1, :, 0]), *angles], dim=-2).amax(dim=-2)
    return torch.where(known, widest, torch.nan).to(points.dtype)


def camera_centers(
    projections: Float[Tensor, "*batch 3 4"],
) -> Float[Tensor, "*batch 3"]:
    """Find where a projection's camera stands: the one world point it cannot project."""
    left = projections[..., :3]
    scaled = product(adjugate(left), projections[..., 3:])[..., 0]
    return -scaled / determinant(left)[..., None]


def ray_directions(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Float[Tensor, "*#batch views points 3"]:
    """Find the unit direction from each camera's centre, forward through each pixel."""
    image = torch.nn.functional.pad(pixels, (0, 1), value=1.0)
    # The adjugate and not the inverse: it points forward whatever the projection's sign.
    forward = product(image, adjugate(projections[..., :3]).mT)
    return _unit(forward)


def _image_points(
    projections: Float[Tensor, "*#batch views 3 4"], points: Float[Tensor, "*#batch points 3"]
) -> Float[Tensor, "*#batch views points 3"]:
    require_trailing_shape("projections", projections, "views", 3, 4)
    require_trailing_shape("points", points, "points", 3)
    require_floating(projections=projections, points=points)
    projections, points = for_computation(projections), for_computation(points)
    turned = product(points[..., None, :, :], projections[..., :3].mT)
    return turned + projections[..., None, :, 3]


def _angle_between(
    first: Float[Tensor, "*batch 3"], second: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch"]:
    return 2 * torch.atan2(_length(first - second), _length(first + second))


def _unit(vector: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    # Doubled where: a vector without a direction would turn its gradient into NaN.
    known = vector.isfinite().all(dim=-1, keepdim=True)
    length = _length(torch.where(known, vector, 0.0))[..., None]
    safe = torch.where(length > 0, length, 1.0)
    return torch.where(length > 0, torch.where(known, vector, 0.0) / safe, torch.nan)


def _length(vector: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
    squared = vector.square().sum(dim=-1)
    # Doubled where: sqrt has an infinite slope at zero.
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), squared)


def adjugate(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the inverse times the determinant, which exists for every matrix."""
    first, second, third = matrix.unbind(dim=-2)
    columns = (
        second.cross(third, dim=-1),
        third.cross(first, dim=-1),
        first.cross(second, dim=-1),
    )
    return torch.stack(columns, dim=-1)


def determinant(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Return the volume that the rows span."""
    first, second, third = matrix.unbind(dim=-2)
    return (first * second.cross(third, dim=-1)).sum(dim=-1)
