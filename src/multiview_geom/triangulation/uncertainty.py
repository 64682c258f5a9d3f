"""How sure a triangulated point is."""

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
    """Predict how triangulated points scatter about the truth, from the noise of the pixels.

    The covariance of the point that fits best is `sigma² (Σ weight Jᵀ J)⁻¹`, J the derivative
    of each view's pixel by the point. It tells the noise of `triangulate_iterative` and
    `refine_points`; `triangulate_dlt` and the midpoint scatter more. The expected distance from
    the truth is the square root of its trace, as a root mean square.

    Args:
        projections: Each view's world-to-pixel matrix, of any scale or sign, taken as exact.
        points: World points.
        sigma: Standard deviation of a sighting of weight one, along each image axis [px].
        weights: Inverse variances, relative to 1 / sigma², as the points were triangulated
            with; zero for views that did not see the point. Equal by default.

    Returns:
        Covariances [squared unit of the points].

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        First order in the noise: right while the error is small beside the distance to the
        cameras. A point seen from fewer than two places, or along rays that are parallel to
        round-off, is NaN and passes no gradient.

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
    # Doubled where: no pixel exists in the plane of a camera's centre.
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
    """Trust only views whose camera plane the point is not in."""
    if weights is None:
        return (depths != 0).to(depths.dtype)
    require_trailing_shape("weights", weights, *depths.shape[-2:])
    trust = for_computation(weights)
    return torch.where((depths != 0) & (trust > 0), trust, 0.0)
