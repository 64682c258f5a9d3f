"""Validation of detections, and 3x3 systems that all triangulations share."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels.engines import wide_dtype
from multiview_geom._kernels.triangulation.algebra import FEWEST_VIEWS
from multiview_geom._validation import (
    broadcast_axes,
    for_computation,
    product,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom._vectors import determinant
from multiview_geom.projection import camera_centers

SAME_PLACE = 16.0
"""Squared baselines below this many round-offs of the squared length count as zero."""
SAME_CENTER = 4096.0
"""The same, in squared round-offs of the coordinates of the camera centers."""
ROWS, COLUMNS = (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)
"""Row and column of the six entries of a symmetric 3x3 matrix."""
DIAGONAL = (0, 3, 5)
"""The entries on the diagonal."""
FULL = (0, 1, 2, 1, 3, 4, 2, 4, 5)
"""The entry at each position of the full matrix, row by row."""
PARALLEL = 16.0
"""Determinants below this many round-offs count as zero, if the mean of the diagonal is one."""


class Sightings(NamedTuple):
    """Detections with finite values everywhere, and weight zero where they are missing.

    They are in the most precise dtype of the device: the parallax of a narrow baseline, squared,
    is below the round-off of float32.

    Attributes:
        projections: World-to-pixel matrices whose third rows measure depth.
        pixels: Detected pixel of each point in each view; zero where missing.
        trust: Weight of each detection, at most one.
        round_off: Relative round-off of the arguments as they were given.
    """

    projections: Float[Tensor, "*rigs views 3 4"]
    pixels: Float[Tensor, "*batch views points 2"]
    trust: Float[Tensor, "*batch views points"]
    round_off: float

    def keep(self, kept: Bool[Tensor, "*#batch views points"]) -> "Sightings":
        """Keep some detections, and none of a point that they do not fix."""
        trust = torch.where(kept, self.trust, 0.0)
        fixed = fixes_a_point(self.projections, trust, self.round_off)
        return self._replace(trust=torch.where(fixed[..., None, :], trust, 0.0))


def require_sightings(
    projections: Tensor, pixels: Tensor, weights: Tensor | None
) -> tuple[int, ...]:
    """Return the leading axes; raise a ValueError if the shapes or dtypes disagree."""
    require_trailing_shape("projections", projections, "views", 3, 4)
    require_trailing_shape("pixels", pixels, "views", "points", 2)
    require_same_size("views", projections=projections.shape[-3], pixels=pixels.shape[-3])
    require_floating(projections=projections, pixels=pixels)
    leading = {"projections": projections.shape[:-3], "pixels": pixels.shape[:-3]}
    if weights is not None:
        require_trailing_shape("weights", weights, *pixels.shape[-3:-1])
        require_floating(pixels=pixels, weights=weights)
        leading["weights"] = weights.shape[:-2]
    return broadcast_axes(**leading)


def widened(tensor: Tensor) -> Tensor:
    """Return the tensor in the dtype that triangulations compute in."""
    return tensor.to(wide_dtype(tensor))


def usable_sightings(
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
    weights: Float[Tensor, "*#batch views points"] | None,
) -> Sightings:
    """Replace missing detections by zeros of weight zero; divide by a point's largest weight."""
    rig, calibrated = usable_rig(projections)
    image = widened(pixels)
    seen = image.isfinite().all(dim=-1) & calibrated[..., None]
    trust = seen.to(image.dtype) if weights is None else _normalized(widened(weights), seen)
    image = torch.where((trust > 0)[..., None], image, 0.0)
    return Sightings(rig, image, trust, given_round_off(pixels)).keep(trust > 0)


def usable_rig(
    projections: Float[Tensor, "*batch views 3 4"],
) -> tuple[Float[Tensor, "*batch views 3 4"], Bool[Tensor, "*batch views"]]:
    """Scale each projection so that its third row measures depth, positive in front.

    The mask is False for a view with a number that is not finite or with a singular matrix;
    such a view is replaced by a camera at the origin.
    """
    rig = widened(projections)
    orientation = determinant(rig[..., :3]).detach().sign()
    calibrated = rig.isfinite().all(dim=-1).all(dim=-1) & (orientation != 0)
    substitute = torch.eye(3, 4, dtype=rig.dtype, device=rig.device)
    rig = torch.where(calibrated[..., None, None], rig, substitute)
    axis = rig[..., 2:, :3].square().sum(dim=-1, keepdim=True).sqrt()
    direction = torch.where(calibrated, orientation, 1.0)
    return rig * direction[..., None, None] / axis, calibrated


def given_round_off(argument: Float[Tensor, "*batch"]) -> float:
    """Return the relative round-off of an argument as it was given; half precision as float32."""
    return torch.finfo(for_computation(argument).dtype).eps


def fixes_a_point(
    projections: Float[Tensor, "*#batch views 3 4"],
    trust: Float[Tensor, "*#batch views points"],
    given: float,
) -> Bool[Tensor, "*#batch points"]:
    """Return which points are detected from two or more different camera centers.

    Centers count as equal up to their round-off in the dtype of the given projections.
    """
    centers = camera_centers(projections.detach())
    apart = centers - centers.mean(dim=-2, keepdim=True)
    lengths = [vector.square().sum(dim=-1, keepdim=True) for vector in (apart, centers)]
    seen = (trust > 0).to(centers.dtype)
    share = seen / seen.sum(dim=-2, keepdim=True).clamp(min=1.0)
    moments = product(torch.cat([apart, *lengths], dim=-1).mT, share)
    baseline_squared = moments[..., 3, :] - moments[..., :3, :].square().sum(dim=-2)
    round_off = torch.finfo(centers.dtype).eps
    nothing = SAME_PLACE * round_off * moments[..., 3, :]
    nothing = nothing + SAME_CENTER * given**2 * moments[..., 4, :]
    return (seen.sum(dim=-2) >= FEWEST_VIEWS) & (baseline_squared > nothing)


def _normalized(
    weights: Float[Tensor, "*#batch views points"], seen: Bool[Tensor, "*#batch views points"]
) -> Float[Tensor, "*#batch views points"]:
    """Divide the weights of each point by the largest; zero for what was not detected.

    Only ratios of weights matter, so the gradient needs no term for the divisor.
    """
    trust = torch.where(seen & (weights > 0) & (weights < torch.inf), weights, 0.0)
    return trust / largest_weight(trust)


def largest_weight(
    trust: Float[Tensor, "*#batch views points"],
) -> Float[Tensor, "*#batch 1 points"]:
    """Return the largest weight of each point, a constant; one if the point has none."""
    largest = largest_of_views(trust.detach())[..., None, :]
    return torch.where(largest > 0, largest, 1.0)


def largest_of_views(
    values: Float[Tensor, "*#batch views points"],
) -> Float[Tensor, "*#batch points"]:
    """Return the largest of some values >= 0; zero without views."""
    return torch.nn.functional.pad(values, (0, 0, 0, 1)).amax(dim=-2)


def image_columns(
    projections: Float[Tensor, "*#batch views 3 4"], columns: Float[Tensor, "*#batch 3 points"]
) -> Float[Tensor, "*#batch views 3 points"]:
    """Project points given as columns, by one matrix product for all views."""
    rows = projections.flatten(-3, -2)
    stacked = product(rows[..., :3], columns) + rows[..., 3:]
    image: Tensor = stacked.unflatten(-2, (-1, 3))
    return image


def symmetric_curvature(
    left: Float[Tensor, "*#batch views 3 3"],
    image: Float[Tensor, "*#batch views 2 points"],
    trust: Float[Tensor, "*#batch views points"],
) -> Float[Tensor, "*#batch 6 points"]:
    """Sum over the views the squares of `u p3 - p1` and `v p3 - p2`, weighted.

    They are quadratic polynomials of the pixel, so all views are summed by one product.
    """
    squared = image.square().sum(dim=-2, keepdim=True)
    powers = torch.cat([squared, -2 * image, torch.ones_like(squared)], dim=-2)
    across, down, axis = left.unbind(dim=-2)
    constant = _outer(across, across) + _outer(down, down)
    terms = [_outer(axis, axis), _outer(across, axis), _outer(down, axis), constant]
    coefficients = torch.stack(terms, dim=-2).flatten(-3, -2)
    return product(coefficients.mT, (trust[..., None, :] * powers).flatten(-3, -2))


def invert_symmetric(
    matrix: Float[Tensor, "*batch 6 points"],
) -> tuple[Float[Tensor, "*batch 6 points"], Bool[Tensor, "*batch points"]]:
    """Invert positive 3x3 matrices by cofactors; zero and False where they are not positive.

    A matrix is given by its entries (0,0), (0,1), (0,2), (1,1), (1,2), (2,2).
    """
    mean = matrix[..., DIAGONAL, :].mean(dim=-2, keepdim=True)
    scale = torch.where(mean > 0, mean, 1.0)
    a, b, c, d, e, f = (matrix / scale).unbind(dim=-2)
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    rest = [a * f - c * c, b * c - a * e, a * d - b * b]
    determinant = a * first + b * second + c * third
    nothing = PARALLEL * torch.finfo(matrix.dtype).eps
    positive = (mean[..., 0, :] > 0) & (a > 0) & (rest[-1] > 0) & (determinant > nothing)
    # Double `where`: dividing by zero would turn the gradients of the others into NaN.
    inverse = torch.where(positive, 1 / torch.where(positive, determinant, 1.0), 0.0)
    cofactors = torch.stack([first, second, third, *rest], dim=-2)
    return cofactors * (inverse[..., None, :] / scale), positive


def solve_symmetric(
    matrix: Float[Tensor, "*#batch 6 points"], vector: Float[Tensor, "*#batch 3 points"]
) -> tuple[Float[Tensor, "*#batch 3 points"], Bool[Tensor, "*#batch points"]]:
    """Solve positive 3x3 systems; zero and False where the matrix is not positive."""
    inverse, positive = invert_symmetric(matrix)
    full = inverse[..., FULL, :].unflatten(-2, (3, 3))
    solution: Tensor = (full * vector[..., None, :, :]).sum(dim=-2)
    return solution, positive


def _outer(
    first: Float[Tensor, "*batch 3"], second: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 6"]:
    """Write the symmetric part of an outer product as its six numbers."""
    product = first[..., ROWS] * second[..., COLUMNS] + second[..., ROWS] * first[..., COLUMNS]
    return product / 2
