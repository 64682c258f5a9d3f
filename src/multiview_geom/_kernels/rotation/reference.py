"""Rotations, alignments and small eigenvectors in tensor operations: the truth for every engine.

The value comes from a decomposition that passes no gradient. Then two of Newton's steps are taken
from where they do not move: each makes the derivatives of one more order right, without the gaps
between singular values or eigenvalues that a derivative of the decomposition would divide by. What
is not determined passes no gradient.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.engines import wide_dtype

# Gaps of fewer round-offs than this, relative to the matrix, count as none.
TIE = 64

STEPS = 2

Transforms = tuple[Float[Tensor, "n d d"], Float[Tensor, "n d"], Float[Tensor, "n"]]


def nearest_rotation(
    matrices: Float[Tensor, "n d d"], precision: torch.dtype | None = None
) -> Float[Tensor, "n d d"]:
    """Find the nearest rotations, in any number of dimensions.

    Args:
        matrices: Any square matrices.
        precision: The dtype whose round-off decides which gaps count as none; that of the
            matrices by default.
    """
    finite = matrices.isfinite().all(dim=-1).all(dim=-1)[:, None, None]
    wide = torch.where(finite, matrices, 0.0).to(wide_dtype(matrices))
    left, values, right = torch.linalg.svd(wide.detach())
    sign = torch.linalg.det(left @ right)[:, None]
    left = torch.cat([left[..., :-1], left[..., -1:] * sign[..., None]], dim=-1)
    values = torch.cat([values[:, :-1], values[:, -1:] * sign], dim=-1)
    # A skew matrix has no diagonal: there twice a value, which may be tiny, is no gap.
    gaps = (values[:, :, None] + values[:, None, :]) * (1 - torch.eye(matrices.shape[-1])).to(wide)
    inverse = _reciprocal_of_clear(gaps, values[:, :1, None], precision or matrices.dtype)
    rotations = left @ right
    for _ in range(STEPS):
        product = rotations.mT @ wide
        skew = product - product.mT
        # Zero minus zero, but not in the derivative.
        turn = right.mT @ (inverse * (right @ (skew - skew.detach()) @ right.mT)) @ right
        rotations = rotations + rotations @ (turn + turn @ turn / 2)
    return torch.where(finite, rotations, torch.nan).to(matrices.dtype)


def smallest_eigenvector(matrices: Float[Tensor, "n d d"]) -> Float[Tensor, "n d"]:
    """Find the unit eigenvectors of the smallest eigenvalue, the largest component positive."""
    finite = matrices.isfinite().all(dim=-1).all(dim=-1)[:, None]
    wide = torch.where(finite[..., None], matrices, 0.0).to(wide_dtype(matrices))
    wide = (wide + wide.mT) / 2
    values, axes = torch.linalg.eigh(wide.detach())
    size = values.abs().amax(dim=-1, keepdim=True)
    inverse = _reciprocal_of_clear(values - values[:, :1], size, matrices.dtype)
    vectors = axes[..., :1]
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    vectors = torch.where(largest < 0, -vectors, vectors)
    for _ in range(STEPS):
        product = wide @ vectors
        slope = product - (vectors.mT @ product) * vectors
        moved = vectors - axes @ (inverse[..., None] * (axes.mT @ (slope - slope.detach())))
        length = moved.square().sum(dim=1, keepdim=True)
        vectors = moved * (1 + (length - length.detach())).rsqrt()
    return torch.where(finite, vectors[..., 0], torch.nan).to(matrices.dtype)


def align(
    source: Float[Tensor, "n points d"],
    target: Float[Tensor, "n points d"],
    weights: Float[Tensor, "n points"] | None,
    scaled: bool,  # noqa: FBT001 - as of the engines
) -> Transforms:
    """Find the transforms from source to target; of scale one unless `scaled`."""
    kind, wide = source.dtype, wide_dtype(source)
    known = (source.isfinite() & target.isfinite()).all(dim=-1)
    trust = known.to(wide)
    if weights is not None:
        known = known & (weights > 0) & weights.isfinite()
        trust = torch.where(known, weights, 0.0).to(wide)
    source = torch.where(known[..., None], source, 0.0).to(wide)
    target = torch.where(known[..., None], target, 0.0).to(wide)
    total = trust.sum(dim=-1, keepdim=True)
    share = (trust / torch.where(total > 0, total, 1.0))[..., None]
    source_mean, target_mean = (share * source).sum(dim=1), (share * target).sum(dim=1)
    centered, goal = source - source_mean[:, None], target - target_mean[:, None]
    variance = (share * centered.square()).sum(dim=(1, 2))
    noise = torch.finfo(wide).eps ** 2 * (share * source.square()).sum(dim=(1, 2))
    spread = variance > noise
    covariance = torch.where(spread[:, None, None], (share * goal).mT @ centered, 0.0)
    rotation = nearest_rotation(covariance, kind)
    scale = torch.ones_like(variance)
    if scaled:
        overlap = (rotation * covariance).sum(dim=(1, 2))
        # Double `where`: one point has no scale, and 0 / 0 no gradient.
        scale = torch.where(spread, overlap / torch.where(spread, variance, 1.0), 1.0)
    rotation, scale = rotation.to(kind), scale.to(kind)
    moved = (rotation.to(wide) @ source_mean[..., None])[..., 0] * scale.to(wide)[:, None]
    return rotation, (target_mean - moved).to(kind), scale


def _reciprocal_of_clear(gaps: Tensor, size: Tensor, dtype: torch.dtype) -> Tensor:
    """Invert gaps; zero where they are round-off of the matrix."""
    clear = gaps > TIE * torch.finfo(dtype).eps * size
    return torch.where(clear, 1 / torch.where(clear, gaps, 1.0), 0.0)
