"""Pixels in many views to world points: linear, reweighted, two-view optimal, midpoint."""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._validation import (
    for_computation,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom.homogeneous import from_homogeneous
from multiview_geom.linalg import smallest_eigenvector


def triangulate_dlt(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
    *,
    weights: Float[Tensor, "*#batch views points"] | None = None,
) -> Float[Tensor, "*#batch points 3"]:
    """Find the world points that best explain, linearly, what the views saw.

    Minimises ‖A X‖ over ‖X‖ = 1, where every sighting (u, v) of a view with rows
    p1, p2, p3 gives the equations `(u p3 - p1) X = 0` and `(v p3 - p2) X = 0`.

    Args:
        projections: Each view's world-to-pixel matrix.
        pixels: Where each view saw each point [px].
        weights: Trust in each sighting, >= 0: it multiplies the squared residual,
            and zero removes the sighting. Equal by default.

    Returns:
        The points [unit of the projections' translations].

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        A pixel that is not finite counts as weight zero. A point seen by fewer than
        two views is NaN and passes no gradient.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), sec. 12.2.

    Example:
        >>> left, right = torch.eye(3, 4), torch.eye(3, 4)
        >>> right[0, 3] = -1.0
        >>> pixels = torch.tensor([[[0.0, 0.0]], [[-0.5, 0.0]]])
        >>> triangulate_dlt(torch.stack([left, right]), pixels).round(decimals=4).abs()
        tensor([[0., 0., 2.]])
    """
    require_trailing_shape("projections", projections, "views", 3, 4)
    require_trailing_shape("pixels", pixels, "views", "points", 2)
    require_same_size("views", projections=projections.shape[-3], pixels=pixels.shape[-3])
    require_floating(projections=projections, pixels=pixels)
    seen = pixels.isfinite().all(dim=-1)
    trust = seen.to(pixels.dtype) if weights is None else torch.where(seen, weights, 0.0)
    enough = (trust > 0).sum(dim=-2) >= 2  # noqa: PLR2004
    matrix = for_computation(projections)[..., None, :, :]
    image = for_computation(torch.where(seen[..., None], pixels, 0.0))
    equations = image[..., None] * matrix[..., 2:, :] - matrix[..., :2, :]
    moments = torch.einsum(
        "...vn,...vnri,...vnrj->...nij", for_computation(trust), equations, equations
    )
    moments = torch.where(enough[..., None, None], moments, torch.eye(4).to(moments))
    points = from_homogeneous(smallest_eigenvector(moments))
    return torch.where(enough[..., None], points, torch.nan).to(pixels.dtype)
