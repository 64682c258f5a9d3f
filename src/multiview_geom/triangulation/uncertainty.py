"""The uncertainty of triangulated points."""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._validation import (
    for_computation,
    require_floating,
    require_trailing_shape,
)
from multiview_geom.triangulation._sightings import (
    FULL,
    fixes_a_point,
    image_columns,
    invert_symmetric,
    symmetric_curvature,
    usable_rig,
)


def point_covariance(
    projections: Float[Tensor, "*#batch views 3 4"],
    points: Float[Tensor, "*#batch points 3"],
    *,
    sigma: float,
    weights: Float[Tensor, "*#batch views points"] | None = None,
) -> Float[Tensor, "*#batch points 3 3"]:
    """Compute the covariance of triangulated points from the noise of the pixels.

    The covariance of the maximum-likelihood point is `sigma² (Σ weight Jᵀ J)⁻¹`, where J is the
    derivative of a view's pixel by the point. It is valid for `triangulate_iterative` and
    `refine_points`; the errors of `triangulate_dlt` and `triangulate_midpoint` are larger. The
    root mean square distance from the truth is the square root of the covariance's trace.

    Args:
        projections: World-to-pixel matrix of each view, of any scale or sign, taken as exact.
        points: World points.
        sigma: Standard deviation of a detection of weight one, along each image axis [px].
        weights: The weights that the points were triangulated with: inverse variances, relative
            to 1 / sigma². Zero for views without a detection of the point. 1 by default.

    Returns:
        Covariances [squared unit of the points].

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        A first-order approximation, valid if the error is small compared with the distance to
        the cameras. The result is NaN, with zero gradient, if a point was not detected from two
        different camera centers, or if its rays are parallel up to round-off.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), result 5.10.

    Example:
        >>> left, right = torch.eye(3, 4), torch.eye(3, 4)
        >>> right[0, 3] = -1.0
        >>> rig, point = torch.stack([left, right]), torch.tensor([[0.5, 0.0, 2.0]])
        >>> point_covariance(rig, point, sigma=0.01)[0].diagonal().sqrt().round(decimals=4)
        tensor([0.0141, 0.0141, 0.0566])
    """
    require_trailing_shape("projections", projections, "views", 3, 4)
    require_trailing_shape("points", points, "points", 3)
    require_floating(projections=projections, points=points)
    rig, calibrated = usable_rig(projections)
    finite = points.isfinite().all(dim=-1)
    columns = torch.where(finite[..., None], for_computation(points), 0.0).mT
    image = image_columns(rig, columns)
    trust = _trust(image[..., 2, :], weights) * calibrated[..., None]
    trust = torch.where((fixes_a_point(rig, trust) & finite)[..., None, :], trust, 0.0)
    # Double `where`: no pixel exists in the plane of a camera center.
    depths = torch.where(trust > 0, image[..., 2, :], 1.0)
    pixels = image[..., :2, :] / depths[..., None, :]
    curvature = symmetric_curvature(rig[..., :3], pixels, trust / depths.square())
    inverse, known = invert_symmetric(curvature)
    covariance = sigma**2 * inverse[..., FULL, :].mT.unflatten(-1, (3, 3))
    return torch.where(known[..., None, None], covariance, torch.nan).to(points.dtype)


def _trust(
    depths: Float[Tensor, "*#batch views points"],
    weights: Float[Tensor, "*#batch views points"] | None,
) -> Float[Tensor, "*#batch views points"]:
    """Return the weights; zero where the point is in the principal plane of the camera."""
    if weights is None:
        return (depths != 0).to(depths.dtype)
    require_trailing_shape("weights", weights, *depths.shape[-2:])
    trust = for_computation(weights)
    return torch.where((depths != 0) & (trust > 0), trust, 0.0)
