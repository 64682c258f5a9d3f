"""The uncertainty of triangulated points."""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._validation import (
    broadcast_axes,
    require_at_least,
    require_floating,
    require_trailing_shape,
)
from multiview_geom.triangulation._sightings import (
    FULL,
    fixes_a_point,
    given_round_off,
    image_columns,
    invert_symmetric,
    largest_weight,
    symmetric_curvature,
    usable_rig,
    widened,
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
        ValueError: If a shape or dtype disagrees, or `sigma` is negative.

    Note:
        A first-order approximation, valid if the error is small compared with the distance to
        the cameras. The result is NaN, with zero gradient, if a point was not detected from two
        different camera centers, or if its rays are parallel. Both are decided as in
        `triangulate_iterative`, and the result is computed in float64 too.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), result 5.10.

    Example:
        >>> left, right = torch.eye(3, 4), torch.eye(3, 4)
        >>> right[0, 3] = -1.0
        >>> rig, point = torch.stack([left, right]), torch.tensor([[0.5, 0.0, 2.0]])
        >>> point_covariance(rig, point, sigma=0.01)[0].diagonal().sqrt().round(decimals=4)
        tensor([0.0141, 0.0141, 0.0566])
    """
    _require_arguments(projections, points, weights)
    require_at_least("sigma", sigma, 0, float)
    rig, calibrated = usable_rig(projections)
    finite = points.isfinite().all(dim=-1)
    columns = torch.where(finite[..., None], widened(points), 0.0).mT
    image = image_columns(rig, columns)
    trust = _trust(image[..., 2, :], weights) * (calibrated[..., None] & finite[..., None, :])
    # The covariance of divided weights is divided by the same number at the end.
    unit = largest_weight(trust)
    trust = trust / unit
    fixed = fixes_a_point(rig, trust, given_round_off(points))
    trust = torch.where(fixed[..., None, :], trust, 0.0)
    # Double `where`: no pixel exists in the plane of a camera center.
    depths = torch.where(trust > 0, image[..., 2, :], 1.0)
    pixels = image[..., :2, :] / depths[..., None, :]
    curvature = symmetric_curvature(rig[..., :3], pixels, trust / depths.square())
    inverse, known = invert_symmetric(curvature)
    covariance = (sigma**2 / unit * inverse)[..., FULL, :].mT.unflatten(-1, (3, 3))
    return torch.where(known[..., None, None], covariance, torch.nan).to(points.dtype)


def _require_arguments(projections: Tensor, points: Tensor, weights: Tensor | None) -> None:
    require_trailing_shape("projections", projections, "views", 3, 4)
    require_trailing_shape("points", points, "points", 3)
    require_floating(projections=projections, points=points)
    leading = {"projections": projections.shape[:-3], "points": points.shape[:-2]}
    if weights is not None:
        views, count = projections.shape[-3], points.shape[-2]
        require_trailing_shape("weights", weights, views, count)
        require_floating(points=points, weights=weights)
        leading["weights"] = weights.shape[:-2]
    broadcast_axes(**leading)


def _trust(
    depths: Float[Tensor, "*#batch views points"],
    weights: Float[Tensor, "*#batch views points"] | None,
) -> Float[Tensor, "*#batch views points"]:
    """Return the weights; zero where the point is in the principal plane of the camera."""
    if weights is None:
        return (depths != 0).to(depths.dtype)
    usable = (depths != 0) & (weights > 0) & (weights < torch.inf)
    return torch.where(usable, widened(weights), 0.0)
