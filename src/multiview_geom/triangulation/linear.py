"""Linear triangulation of points from pixels in many views."""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.triangulation.algebra import FEWEST_VIEWS
from multiview_geom._kernels.triangulation.autograd import linear_triangulation
from multiview_geom.cameras import Cameras
from multiview_geom.homogeneous import from_homogeneous
from multiview_geom.triangulation._frames import by_cameras, in_frames


def triangulate_dlt(
    projections: Float[Tensor, "*#batch views 3 4"] | Cameras,
    pixels: Float[Tensor, "*#batch views points 2"],
    *,
    weights: Float[Tensor, "*#batch views points"] | None = None,
) -> Float[Tensor, "*#batch points 3"]:
    """Triangulate points by the direct linear transform (DLT).

    Minimizes ‖A X‖ over ‖X‖ = 1, where A has two rows for each view: `u p3 - p1` and
    `v p3 - p2`, with the detected pixel (u, v) and the rows p1, p2, p3 of the projection.

    Args:
        projections: World-to-pixel matrix of each view; or cameras, whose lenses are removed
            from the pixels first.
        pixels: Detected pixel of each point in each view [px].
        weights: Weight of each detection, >= 0: it multiplies the squared residual. A
            detection of weight zero or less is ignored. 1 by default.

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
    if isinstance(projections, Cameras):
        return by_cameras(triangulate_dlt, projections, pixels, weights)
    return in_frames(linear_triangulation, projections, pixels, weights)


def triangulate_dlt_svd(
    projections: Float[Tensor, "*#batch views 3 4"] | Cameras,
    pixels: Float[Tensor, "*#batch views points 2"],
    *,
    weights: Float[Tensor, "*#batch views points"] | None = None,
) -> Float[Tensor, "*#batch points 3"]:
    """Triangulate as `triangulate_dlt`, by `torch.linalg.svd`: a slow reference for comparison.

    Args:
        projections: World-to-pixel matrix of each view; or cameras, whose lenses are removed
            from the pixels first.
        pixels: Detected pixel of each point in each view [px].
        weights: Weight of each detection, >= 0; zero or less removes it. 1 by default.

    Returns:
        The points [unit of the projections' translations].

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        The gradient is that of `torch.linalg.svd`: NaN if two singular values are equal, and for
        detections of weight zero. A detection whose equations overflow counts as missing.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), sec. 12.2.

    Example:
        >>> left, right = torch.eye(3, 4), torch.eye(3, 4)
        >>> right[0, 3] = -1.0
        >>> pixels = torch.tensor([[[0.0, 0.0]], [[-0.5, 0.0]]])
        >>> triangulate_dlt_svd(torch.stack([left, right]), pixels).round(decimals=4).abs()
        tensor([[0., 0., 2.]])
    """
    if isinstance(projections, Cameras):
        return by_cameras(triangulate_dlt_svd, projections, pixels, weights)
    return in_frames(_by_singular_values, projections, pixels, weights)


def _by_singular_values(
    projections: Float[Tensor, "r views 3 4"],
    pixels: Float[Tensor, "frames views points 2"],
    weights: Float[Tensor, "frames views points"] | None,
) -> Float[Tensor, "frames points 3"]:
    seen = pixels.isfinite().all(dim=-1)
    trust = seen.to(pixels.dtype) if weights is None else torch.where(seen, weights, 0.0)
    rows = projections[:, :, None]
    image = torch.where(seen[..., None], pixels, 0.0)[..., None]
    equations = trust.sqrt()[..., None, None] * (image * rows[..., 2:, :] - rows[..., :2, :])
    finite = equations.isfinite().flatten(-2).all(dim=-1)
    equations = torch.where(finite[..., None, None], equations, 0.0)
    enough = (finite & (trust > 0)).sum(dim=-2) >= FEWEST_VIEWS
    _, _, right = torch.linalg.svd(equations.transpose(1, 2).flatten(2, 3), full_matrices=False)
    points = from_homogeneous(right[..., -1, :])
    return torch.where(enough[..., None], points, torch.nan)
