"""Pixels in many views to world points: linear, reweighted, two-view optimal, midpoint."""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._dlt_derivatives import linear_triangulation
from multiview_geom._validation import (
    for_computation,
    require_floating,
    require_same_size,
    require_trailing_shape,
)


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
    leading = [projections.shape[:-3], pixels.shape[:-3]]
    if weights is not None:
        require_trailing_shape("weights", weights, *pixels.shape[-3:-1])
        require_floating(pixels=pixels, weights=weights)
        leading.append(weights.shape[:-2])
    batch = torch.broadcast_shapes(*leading)
    points = linear_triangulation(
        _as_frames(projections, batch, 3, shared=True),
        _as_frames(pixels, batch, 3),
        None if weights is None else _as_frames(weights, batch, 2),
    )
    return points.reshape(*batch, *points.shape[1:]).to(pixels.dtype)


def _as_frames(
    tensor: Tensor, batch: torch.Size, trailing: int, *, shared: bool = False
) -> Float[Tensor, "frames ..."]:
    """Flatten the leading axes into one; a rig that all frames share stays one."""
    tensor = for_computation(tensor)
    own = tensor.shape[-trailing:]
    if shared and tensor.shape[:-trailing].numel() == 1:
        return tensor.reshape(1, *own)
    return tensor.expand(*batch, *own).reshape(-1, *own)
