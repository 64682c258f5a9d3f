"""Linear triangulation in tensor operations: the truth that every engine is held to.

The minimum X = (x, 1) of q = |A X|^2 / |X|^2 satisfies (B - q) x = -b, where B and b are the first
three rows of M = A^T A. The singular value decomposition that finds it passes no gradient. Two of
Newton's steps from the minimum follow: they do not move it, and each makes the derivatives of more
orders right. No gap but the one to the wanted eigenvalue enters.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels.algebra import adjugate, multiply
from multiview_geom._kernels.engines import wide_dtype
from multiview_geom._kernels.triangulation.algebra import FEWEST_VIEWS, inverse_determinant
from multiview_geom.homogeneous import from_homogeneous, to_homogeneous

# The condition of B - q beyond which a point is not determined and passes no gradient.
LARGEST_CONDITION = 1e14

STEPS = 2

Projections = Float[Tensor, "r views 3 4"]
Pixels = Float[Tensor, "frames views points 2"]
Weights = Float[Tensor, "frames views points"]
Points = Float[Tensor, "frames points 3"]


class _Equations(NamedTuple):
    """What the views saw, with weight zero for what is missing; weights up to one per point."""

    projections: Projections
    pixels: Pixels
    weights: Weights

    def seen_enough(self) -> Bool[Tensor, "frames points"]:
        """Tell which points at least two views saw."""
        return (self.weights > 0).sum(dim=1) >= FEWEST_VIEWS

    def matrices(self) -> Float[Tensor, "frames views points 2 4"]:
        """Return A, two rows for each sighting, without the weights."""
        rows = self.projections[:, :, None]
        return self.pixels[..., None] * rows[..., 2:, :] - rows[..., :2, :]


def triangulate(projections: Projections, pixels: Pixels, weights: Weights | None) -> Points:
    """Find the points by the singular value decomposition of their equations."""
    still = None if weights is None else weights.detach()
    seen = _equations(projections.detach(), pixels.detach(), still)
    rows = seen.weights.sqrt()[..., None, None] * seen.matrices()
    rows = rows.transpose(1, 2).flatten(2, 3)
    if rows.shape[-2] == 0:
        return pixels.new_full((pixels.shape[0], pixels.shape[2], 3), torch.nan)
    _, _, right = torch.linalg.svd(rows, full_matrices=rows.shape[-2] < rows.shape[-1])
    points = from_homogeneous(right[..., -1, :])
    points = torch.where(seen.seen_enough()[..., None], points, torch.nan)
    return restart((projections, pixels, weights), points).to(pixels.dtype)


def restart(
    inputs: tuple[Projections, Pixels, Weights | None], points: Points
) -> Float[Tensor, "frames points 3"]:
    """Take Newton's steps from points at the minimum: they stay, and get their derivatives."""
    seen, points = _equations(*inputs), points.detach()
    matrices, trust = seen.matrices(), seen.weights[..., None, None]
    left = matrices[..., :3]
    hessian = (trust * (left.mT @ left)).sum(dim=1)
    found = points.isfinite().all(dim=-1) & seen.seen_enough()
    # Double `where`: a NaN point would make the zero gradients of its inputs NaN.
    world = torch.where(found[..., None], points, 0.0).to(matrices.dtype)
    for _ in range(STEPS):
        vector = to_homogeneous(world)
        residuals = matrices @ vector[:, None, ..., None]
        quotient = (trust * residuals.square()).sum(dim=(1, 3, 4)) / vector.square().sum(dim=-1)
        slope = (trust * (left.mT @ residuals)).sum(dim=1)[..., 0] - quotient[..., None] * world
        world = world - _solve(hessian, quotient, slope, found)
    return torch.where(found[..., None], world, torch.nan)


def _solve(
    hessian: Float[Tensor, "frames points 3 3"],
    quotient: Float[Tensor, "frames points"],
    slope: Points,
    found: Bool[Tensor, "frames points"],
) -> Points:
    """Multiply a slope with the inverse of B - q; zero where there is no minimum."""
    x, y, z = hessian.unbind(dim=-1)
    shifted = (
        *(x[..., 0] - quotient, x[..., 1], x[..., 2]),
        *(y[..., 1] - quotient, y[..., 2], z[..., 2] - quotient),
    )
    cofactors = adjugate(shifted)
    inverse, _ = inverse_determinant(shifted, cofactors, LARGEST_CONDITION, 1)
    inverse = torch.where(found, inverse, 0.0)
    a, b, c = slope.unbind(dim=-1)
    return torch.stack(multiply(cofactors, (a, b, c)), dim=-1) * inverse[..., None]


def _equations(projections: Projections, pixels: Pixels, weights: Weights | None) -> _Equations:
    """Give weight zero to what is missing, and compute in the most precise dtype."""
    wide = wide_dtype(pixels)
    usable = projections.isfinite().all(dim=-1).all(dim=-1)
    seen = pixels.isfinite().all(dim=-1) & usable[..., None]
    trust = seen.to(wide)
    if weights is not None:
        trust = torch.where(seen & (weights > 0) & (weights < torch.inf), weights.to(wide), 0.0)
    views = trust.detach().shape[1]
    # The point does not depend on a common factor, so the gradient need not know of this one.
    largest = (trust.detach().amax if views else trust.sum)(dim=1, keepdim=True)
    return _Equations(
        torch.where(usable[..., None, None], projections.to(wide), 0.0),
        torch.where((trust > 0)[..., None], pixels.to(wide), 0.0),
        trust / torch.where(largest > 0, largest, 1.0),
    )
