"""Which sightings count, and which points they can fix."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._validation import (
    for_computation,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom.projection import camera_centers, determinant

FEWEST_VIEWS = 2
SAME_PLACE = 16.0
"""How many round-offs of a squared length the squared baseline may be and count as none."""
SAME_CENTER = 4096.0
"""The same, in squared round-offs of the centres' coordinates, which a division gave."""
ROWS, COLUMNS = (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)
"""Where in a symmetric 3x3 matrix its six numbers stand."""
DIAGONAL = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
"""Which of the six are on the diagonal."""
PARALLEL = 16.0
"""How many round-offs the determinant of a matrix of mean one may be and count as zero."""


class Sightings(NamedTuple):
    """Pixels that are finite everywhere, and how far to trust each: zero where it is absent."""

    pixels: Float[Tensor, "*batch views points 2"]
    trust: Float[Tensor, "*batch views points"]


def require_sightings(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> None:
    """Refuse projections, pixels and weights that do not belong together."""
    require_trailing_shape("projections", projections, "views", 3, 4)
    require_trailing_shape("pixels", pixels, "views", "points", 2)
    require_same_size("views", projections=projections.shape[-3], pixels=pixels.shape[-3])
    require_floating(projections=projections, pixels=pixels)
    if weights is not None:
        require_trailing_shape("weights", weights, *pixels.shape[-3:-1])
        require_floating(pixels=pixels, weights=weights)


def usable_sightings(
    pixels: Float[Tensor, "*#batch views points 2"],
    weights: Float[Tensor, "*#batch views points"] | None,
) -> Sightings:
    """Give weight zero, and a pixel that harms nobody, to what was not seen."""
    image = for_computation(pixels)
    seen = image.isfinite().all(dim=-1)
    if weights is None:
        trust = seen.to(image.dtype)
    else:
        trust = for_computation(weights)
        trust = torch.where(seen & (trust > 0), trust, 0.0)
    return Sightings(torch.where(seen[..., None], image, 0.0), trust)


def fixes_a_point(
    projections: Float[Tensor, "*#batch views 3 4"], trust: Float[Tensor, "*#batch views points"]
) -> Bool[Tensor, "*#batch points"]:
    """Tell which points are seen from two places or more."""
    centers = camera_centers(projections.detach())
    apart = centers - centers.mean(dim=-2, keepdim=True)
    squared = apart.square().sum(dim=-1, keepdim=True)
    total = trust.detach().sum(dim=-2, keepdim=True)
    share = trust.detach() / torch.where(total > 0, total, 1.0)
    moments = torch.cat([apart, squared], dim=-1).mT @ share
    baseline_squared = moments[..., 3, :] - moments[..., :3, :].square().sum(dim=-2)
    round_off = torch.finfo(trust.dtype).eps
    size_squared = centers.square().sum(dim=-1).amax(dim=-1, keepdim=True)
    nothing = round_off * (SAME_PLACE * moments[..., 3, :] + SAME_CENTER * round_off * size_squared)
    return ((trust > 0).sum(dim=-2) >= FEWEST_VIEWS) & (baseline_squared > nothing)


def unit_axes(
    projections: Float[Tensor, "*batch views 3 4"],
) -> Float[Tensor, "*batch views 3 4"]:
    """Scale each projection so that its third row measures depth, positive in front."""
    axis = projections[..., 2:, :3].square().sum(dim=-1, keepdim=True).sqrt()
    orientation = determinant(projections[..., :3]).sign()[..., None, None]
    return projections * orientation / axis


def image_columns(
    projections: Float[Tensor, "*#batch views 3 4"], columns: Float[Tensor, "*#batch 3 points"]
) -> Float[Tensor, "*#batch views 3 points"]:
    """Project points that stand as columns: views and rows are one axis of one product."""
    rows = projections.flatten(-3, -2)
    return (rows[..., :3] @ columns + rows[..., 3:]).unflatten(-2, (-1, 3))


def solve_symmetric(
    matrix: Float[Tensor, "*batch 6 points"], vector: Float[Tensor, "*batch 3 points"]
) -> tuple[Float[Tensor, "*batch 3 points"], Bool[Tensor, "*batch points"]]:
    """Solve positive 3x3 systems by cofactors; zero and False where singular to round-off.

    A matrix is given by its entries (0,0), (0,1), (0,2), (1,1), (1,2), (2,2).
    """
    mean = (matrix[..., 0, :] + matrix[..., 3, :] + matrix[..., 5, :])[..., None, :] / 3
    positive = mean > 0
    scale = torch.where(positive, mean, 1.0)
    a, b, c, d, e, f = (matrix / scale).unbind(dim=-2)
    x, y, z = (vector / scale).unbind(dim=-2)
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    determinant = a * first + b * second + c * third
    regular = positive[..., 0, :] & (determinant > PARALLEL * torch.finfo(matrix.dtype).eps)
    # Doubled where: dividing by zero would turn the gradients of the others into NaN.
    inverse = torch.where(regular, 1 / torch.where(regular, determinant, 1.0), 0.0)
    across = first * x + second * y + third * z
    down = second * x + (a * f - c * c) * y + (b * c - a * e) * z
    deep = third * x + (b * c - a * e) * y + (a * d - b * b) * z
    return torch.stack([across, down, deep], dim=-2) * inverse[..., None, :], regular
