"""Linear triangulation in tensor operations: the truth that every engine is held to.

The minimum X = (x, 1) of q = |A X|^2 / |X|^2 satisfies (B - q) x = -b, where B and b are the first
three rows of M = A^T A. So dx = -(B - q)^-1 (dM X - dq X) with its first three rows, and for an
upstream gradient g and h = (B - q)^-1 g the gradient in every input is that of Z^T M X with
Z = (h.x / |X|^2) X - (h, 0) and X held fixed: no gap but the one to the wanted eigenvalue enters.
All derivatives are written in ordinary tensor operations, so their own derivatives are right too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels.algebra import adjugate, determinant, multiply, trace
from multiview_geom._kernels.engines import wide_dtype
from multiview_geom.homogeneous import from_homogeneous, to_homogeneous

FEWEST_VIEWS = 2

# The condition of B - q beyond which a point is not determined and passes no gradient.
LARGEST_CONDITION = 1e14

Projections = Float[Tensor, "r views 3 4"]
Pixels = Float[Tensor, "frames views points 2"]
Weights = Float[Tensor, "frames views points"]
Points = Float[Tensor, "frames points 3"]


class _Equations(NamedTuple):
    """What the views saw, with weight zero for what is missing; weights up to one per point."""

    projections: Projections
    pixels: Pixels
    weights: Weights
    largest_weight: Float[Tensor, "frames 1 points"]

    def seen_enough(self) -> Bool[Tensor, "frames points"]:
        """Tell which points at least two views saw."""
        return (self.weights > 0).sum(dim=1) >= FEWEST_VIEWS

    def matrices(self) -> Float[Tensor, "frames views points 2 4"]:
        """Return A, two rows for each sighting, without the weights."""
        rows = self.projections[:, :, None]
        return self.pixels[..., None] * rows[..., 2:, :] - rows[..., :2, :]


def triangulate(projections: Projections, pixels: Pixels, weights: Weights | None) -> Points:
    """Find the points by the singular value decomposition of their equations."""
    seen = _equations(projections, pixels, weights)
    rows = seen.weights.sqrt()[..., None, None] * seen.matrices()
    rows = rows.transpose(1, 2).flatten(2, 3)
    if rows.shape[-2] == 0:
        return pixels.new_full((pixels.shape[0], pixels.shape[2], 3), torch.nan)
    _, _, right = torch.linalg.svd(rows, full_matrices=rows.shape[-2] < rows.shape[-1])
    points = from_homogeneous(right[..., -1, :])
    return torch.where(seen.seen_enough()[..., None], points, torch.nan).to(pixels.dtype)


def pull_back(
    projections: Projections,
    pixels: Pixels,
    weights: Weights | None,
    points: Points,
    gradient: Points,
) -> tuple[Projections, Pixels, Weights]:
    """Turn the gradient in the points into that in every input."""
    at = _Minimum(projections, pixels, weights, points)
    test = at.test_vector(gradient)
    tested, depths = at.matrices @ test, at.depths(test)
    by_depth = at.residuals * depths + tested * at.depths(at.vector)
    trust = at.seen.weights[..., None]
    of_pixels = trust * by_depth[..., 0]
    products = (at.residuals * tested).sum(dim=(-2, -1)) / at.seen.largest_weight
    of_weights = torch.where(at.seen.weights > 0, products, 0.0)
    outer = tested @ at.vector.mT + at.residuals @ test.mT
    across = (trust[..., None] * outer).sum(dim=2)
    along = (trust * at.seen.pixels)[..., None] * outer
    of_rig = torch.cat([-across, along.sum(dim=(2, 3))[:, :, None]], dim=2)
    of_rig = of_rig.sum(dim=0, keepdim=True) if len(projections) == 1 else of_rig
    kind = pixels.dtype
    return of_rig.to(kind), of_pixels.to(kind), of_weights.to(kind)


def push_forward(
    inputs: tuple[Projections, Pixels, Weights | None],
    points: Points,
    tangents: Sequence[Tensor | None],
) -> Points:
    """Return how the points move when the inputs do."""
    projections, pixels, _ = inputs
    at = _Minimum(*inputs, points)
    no_rig, no_move = torch.zeros_like(projections), torch.zeros_like(pixels)
    of_rig = (no_rig if tangents[0] is None else tangents[0]).to(at.vector.dtype)[:, :, None]
    of_pixels = (no_move if tangents[1] is None else tangents[1]).to(at.vector.dtype)[..., None]
    rows = at.seen.projections[:, :, None]
    turned = of_pixels * rows[..., 2:, :] + at.seen.pixels[..., None] * of_rig[..., 2:, :]
    turned = turned - of_rig[..., :2, :]
    trust = at.seen.weights[..., None, None]
    pulled = trust * (turned.mT @ at.residuals + at.matrices.mT @ (turned @ at.vector))
    if tangents[2] is not None:
        moved = torch.where(at.seen.weights > 0, tangents[2] / at.seen.largest_weight, 0.0)
        pulled = pulled + moved[..., None, None] * (at.matrices.mT @ at.residuals)
    change = pulled.sum(dim=1)
    vector = at.vector[:, 0]
    change = change - (vector.mT @ change) / at.length[..., None, None] * vector
    return -at.solve(change[..., :3, 0]).to(pixels.dtype)


def newton_step(
    projections: Projections, pixels: Pixels, weights: Weights | None, points: Points
) -> Points:
    """Take Newton's step from points that are at the minimum already; for its derivatives."""
    at = _Minimum(projections, pixels, weights, points)
    trust = at.seen.weights[..., None, None]
    slope = (trust * (at.matrices.mT @ at.residuals)).sum(dim=1)[..., :3, 0]
    world = at.vector[:, 0, :, :3, 0]
    slope = slope - at.quotient[..., None] * world
    return points - at.solve(slope).to(points.dtype)


class _Minimum:
    """The equations, the residuals and B - q at found points."""

    def __init__(
        self, projections: Projections, pixels: Pixels, weights: Weights | None, points: Points
    ) -> None:
        self.seen = _equations(projections, pixels, weights)
        self.matrices = self.seen.matrices()
        found = points.isfinite().all(dim=-1) & self.seen.seen_enough()
        # Double `where`: a NaN point would make the zero gradients of its inputs NaN.
        world = torch.where(found[..., None], points, 0.0).to(self.matrices.dtype)
        self.vector = to_homogeneous(world)[:, None, ..., None]
        self.length = self.vector[:, 0, ..., 0].square().sum(dim=-1)
        self.residuals = self.matrices @ self.vector
        trust = self.seen.weights[..., None]
        self.quotient = (trust * self.residuals[..., 0].square()).sum(dim=(1, 3)) / self.length
        left = self.matrices[..., :3]
        hessian = (trust[..., None] * (left.mT @ left)).sum(dim=1)
        x, y, z = hessian.unbind(dim=-1)
        self.shifted = (
            *(x[..., 0] - self.quotient, x[..., 1], x[..., 2]),
            *(y[..., 1] - self.quotient, y[..., 2], z[..., 2] - self.quotient),
        )
        self.found = found

    def depths(self, vector: Float[Tensor, "frames #views points 4 1"]) -> Tensor:
        """Return the depths of homogeneous vectors in every view."""
        return self.seen.projections[:, :, None, 2:] @ vector

    def solve(self, right: Points) -> Points:
        """Multiply with the inverse of B - q; zero where there is no minimum."""
        cofactors = adjugate(self.shifted)
        volume = determinant(self.shifted, cofactors)
        spread = trace(self.shifted) * trace(cofactors)
        sure = self.found & (volume > 0) & (spread < LARGEST_CONDITION * volume)
        # Double `where`: dividing by zero would make the zero gradients NaN.
        inverse = torch.where(sure, 1 / torch.where(sure, volume, 1.0), 0.0)
        x, y, z = right.unbind(dim=-1)
        return torch.stack(multiply(cofactors, (x, y, z)), dim=-1) * inverse[..., None]

    def test_vector(self, gradient: Points) -> Float[Tensor, "frames 1 points 4 1"]:
        """Return Z."""
        gradient = torch.where(self.found[..., None], gradient, 0.0).to(self.length.dtype)
        pull = self.solve(gradient)
        world = self.vector[:, 0, :, :3, 0]
        last = (pull * world).sum(dim=-1, keepdim=True) / self.length[..., None]
        return torch.cat([last * world - pull, last], dim=-1)[:, None, ..., None]


def _equations(projections: Projections, pixels: Pixels, weights: Weights | None) -> _Equations:
    """Give weight zero to what is missing, and compute in the most precise dtype."""
    wide = wide_dtype(pixels)
    usable = projections.isfinite().all(dim=-1).all(dim=-1)
    seen = pixels.isfinite().all(dim=-1) & usable[..., None]
    trust = seen.to(wide)
    if weights is not None:
        trust = torch.where(seen & (weights > 0) & (weights < torch.inf), weights.to(wide), 0.0)
    views = trust.detach().shape[1]
    largest = (trust.detach().amax if views else trust.sum)(dim=1, keepdim=True)
    largest = torch.where(largest > 0, largest, 1.0)
    return _Equations(
        torch.where(usable[..., None, None], projections.to(wide), 0.0),
        torch.where((trust > 0)[..., None], pixels.to(wide), 0.0),
        trust / largest,
        largest,
    )
