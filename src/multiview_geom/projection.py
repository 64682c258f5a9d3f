"""World points to pixels and depths, and pixels back to rays."""

from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._validation import for_computation, require_floating, require_trailing_shape
from multiview_geom.homogeneous import from_homogeneous


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
    orientation = _determinant(left).sign()
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


def _image_points(
    projections: Float[Tensor, "*#batch views 3 4"], points: Float[Tensor, "*#batch points 3"]
) -> Float[Tensor, "*#batch views points 3"]:
    require_trailing_shape("projections", projections, "views", 3, 4)
    require_trailing_shape("points", points, "points", 3)
    require_floating(projections=projections, points=points)
    projections, points = for_computation(projections), for_computation(points)
    turned = points[..., None, :, :] @ projections[..., :3].mT
    return turned + projections[..., None, :, 3]


def _determinant(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    first, second, third = matrix.unbind(dim=-2)
    return (first * second.cross(third, dim=-1)).sum(dim=-1)
