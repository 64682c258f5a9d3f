"""Linear triangulation of points from pixels in many views."""

from collections.abc import Callable
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.triangulation.autograd import linear_triangulation
from multiview_geom._kernels.triangulation.reference import FEWEST_VIEWS
from multiview_geom._validation import (
    broadcast_axes,
    for_computation,
    full_precision,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom.homogeneous import from_homogeneous


def triangulate_dlt(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
    *,
    weights: Float[Tensor, "*#batch views points"] | None = None,
) -> Float[Tensor, "*#batch points 3"]:
    """Triangulate points by the direct linear transform (DLT).

    Minimizes ‖A X‖ over ‖X‖ = 1, where A has two rows for each view: `u p3 - p1` and
    `v p3 - p2`, with the detected pixel (u, v) and the rows p1, p2, p3 of the projection.

    Args:
        projections: World-to-pixel matrix of each view.
        pixels: Detected pixel of each point in each view [px].
        weights: Weight of each detection, >= 0: it multiplies the squared residual. A
            detection of weight zero is ignored. 1 by default.

    Returns:
        The points [unit of the projections' translations].

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        A pixel that is not finite counts as weight zero. A point detected in fewer than two
        views is NaN, with zero gradient. If all rays of a point are on one line, the result is
        one of several equally good points, and its gradient is zero.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), sec. 12.2.

    Example:
        >>> left, right = torch.eye(3, 4), torch.eye(3, 4)
        >>> right[0, 3] = -1.0
        >>> pixels = torch.tensor([[[0.0, 0.0]], [[-0.5, 0.0]]])
        >>> triangulate_dlt(torch.stack([left, right]), pixels).round(decimals=4).abs()
        tensor([[0., 0., 2.]])
    """
    return _triangulated(linear_triangulation, projections, pixels, weights)


def triangulate_dlt_svd(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
    *,
    weights: Float[Tensor, "*#batch views points"] | None = None,
) -> Float[Tensor, "*#batch points 3"]:
    """Triangulate as `triangulate_dlt`, by `torch.linalg.svd`: a slow reference for comparison.

    Args:
        projections: World-to-pixel matrix of each view.
        pixels: Detected pixel of each point in each view [px].
        weights: Weight of each detection, >= 0. 1 by default.

    Returns:
        The points [unit of the projections' translations].

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        The gradient is that of `torch.linalg.svd`: NaN if two singular values are equal, and for
        detections of weight zero.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), sec. 12.2.

    Example:
        >>> left, right = torch.eye(3, 4), torch.eye(3, 4)
        >>> right[0, 3] = -1.0
        >>> pixels = torch.tensor([[[0.0, 0.0]], [[-0.5, 0.0]]])
        >>> triangulate_dlt_svd(torch.stack([left, right]), pixels).round(decimals=4).abs()
        tensor([[0., 0., 2.]])
    """
    return _triangulated(_by_singular_values, projections, pixels, weights)


def _by_singular_values(
    projections: Float[Tensor, "r views 3 4"],
    pixels: Float[Tensor, "frames views points 2"],
    weights: Float[Tensor, "frames views points"] | None,
) -> Float[Tensor, "frames points 3"]:
    seen = pixels.isfinite().all(dim=-1)
    trust = seen.to(pixels.dtype) if weights is None else torch.where(seen, weights, 0.0)
    enough = (trust > 0).sum(dim=-2) >= FEWEST_VIEWS
    rows = projections[:, :, None]
    image = torch.where(seen[..., None], pixels, 0.0)[..., None]
    equations = trust.sqrt()[..., None, None] * (image * rows[..., 2:, :] - rows[..., :2, :])
    _, _, right = torch.linalg.svd(equations.transpose(1, 2).flatten(2, 3), full_matrices=False)
    points = from_homogeneous(right[..., -1, :])
    return torch.where(enough[..., None], points, torch.nan)


def _triangulated(
    solve: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    projections: Tensor,
    pixels: Tensor,
    weights: Tensor | None,
) -> Float[Tensor, "*batch points 3"]:
    """Check the arguments, make frames of all leading axes, solve, and give the axes back."""
    require_trailing_shape("projections", projections, "views", 3, 4)
    require_trailing_shape("pixels", pixels, "views", "points", 2)
    require_same_size("views", projections=projections.shape[-3], pixels=pixels.shape[-3])
    require_floating(projections=projections, pixels=pixels)
    leading = {"projections": projections.shape[:-3], "pixels": pixels.shape[:-3]}
    if weights is not None:
        require_trailing_shape("weights", weights, *pixels.shape[-3:-1])
        require_floating(pixels=pixels, weights=weights)
        leading["weights"] = weights.shape[:-2]
    batch = broadcast_axes(**leading)
    with full_precision(pixels):
        points = solve(
            _as_frames(projections, batch, 3, shared=True),
            _as_frames(pixels, batch, 3),
            None if weights is None else _as_frames(weights, batch, 2),
        )
    return points.reshape(*batch, *points.shape[1:]).to(pixels.dtype)


def _as_frames(
    tensor: Tensor, batch: tuple[int, ...], trailing: int, *, shared: bool = False
) -> Float[Tensor, "frames ..."]:
    """Flatten the leading axes into one; a rig that all frames share stays one."""
    tensor = for_computation(tensor)
    own = tensor.shape[-trailing:]
    if shared and prod(tensor.shape[:-trailing]) == 1:
        return tensor.reshape(1, *own)
    return tensor.expand(*batch, *own).reshape(prod(batch), *own)
