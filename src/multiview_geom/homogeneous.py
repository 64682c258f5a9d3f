"""Homogeneous coordinates: append a one, divide by the last coordinate."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._validation import for_computation, require_floating, require_trailing_shape
from multiview_geom._vectors import replace_missing


def to_homogeneous(points: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d+1"]:
    """Append a one to each point.

    Args:
        points: Points in any number of dimensions.

    Returns:
        The same points in homogeneous coordinates.

    Raises:
        ValueError: If the points have no axis, or no floating dtype.

    Example:
        >>> to_homogeneous(torch.tensor([[3.0, 4.0]]))
        tensor([[3., 4., 1.]])
    """
    require_trailing_shape("points", points, "d")
    require_floating(points=points)
    return torch.nn.functional.pad(points, (0, 1), value=1.0)


def from_homogeneous(points: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d-1"]:
    """Divide each point by its last coordinate.

    Args:
        points: Points in homogeneous coordinates.

    Returns:
        The same points without the last coordinate. A point at infinity, whose last coordinate
        is zero, is NaN and has no gradient; so is a point that is not finite.

    Raises:
        ValueError: If the points have no axis, or no floating dtype.

    Example:
        >>> from_homogeneous(torch.tensor([[6.0, 8.0, 2.0]]))
        tensor([[3., 4.]])
    """
    require_trailing_shape("points", points, "d")
    require_floating(points=points)
    return divide_by_last(*replace_missing(for_computation(points), 1)).to(points.dtype)


def divide_by_last(
    points: Float[Tensor, "*batch d"], known: Bool[Tensor, "*#batch 1"]
) -> Float[Tensor, "*batch d-1"]:
    """Divide each point by its last coordinate; NaN where it is zero or the point not known."""
    numerator, denominator = points.split([points.shape[-1] - 1, 1], dim=-1)
    finite = known & (denominator != 0)
    # Double `where`: 0 * inf in the branch not taken would turn its gradient into NaN.
    safe = torch.where(finite, denominator, 1.0)
    return torch.where(finite, numerator / safe, torch.nan)
