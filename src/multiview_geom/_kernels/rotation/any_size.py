"""The nearest rotation in the plane, in closed form, and beyond three dimensions, by LAPACK."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

# How far the sums of singular values are lifted above zero, in round-offs of their largest.
LIFT = 8


def rotation_nearest_in_plane(matrices: Float[Tensor, "n 2 2"]) -> Float[Tensor, "n 2 2"]:
    """Find the nearest rotations of the plane: the angle of the matrix's rotational part."""
    cosine = matrices[:, 0, 0] + matrices[:, 1, 1]
    sine = matrices[:, 1, 0] - matrices[:, 0, 1]
    squared = cosine.square() + sine.square()
    unique = squared > 0
    # Doubled where: a multiple of a reflection has no nearest angle, and sqrt no slope at zero.
    length = torch.where(unique, squared, 1.0).sqrt()
    cosine = torch.where(unique, cosine / length, 1.0 + 0 * squared)
    sine = torch.where(unique, sine / length, 0.0)
    return torch.stack([cosine, -sine, sine, cosine], dim=-1).reshape(-1, 2, 2)


def rotation_nearest_in_space(matrices: Float[Tensor, "n d d"]) -> Float[Tensor, "n d d"]:
    """Find the nearest rotations in four dimensions or more."""
    return NearestRotationBySvd.apply(matrices)  # type: ignore[no-any-return, no-untyped-call]


class NearestRotationBySvd(torch.autograd.Function):
    """Value by singular values, derivative by the equation they solve: no gap but sᵢ + sⱼ."""

    generate_vmap_rule = True

    @staticmethod
    def forward(matrices: Tensor) -> Tensor:
        """Flip the least singular direction where the product of both bases is a reflection."""
        finite = matrices.isfinite().all(dim=(-2, -1), keepdim=True)
        left, _, right = torch.linalg.svd(torch.where(finite, matrices, 0.0))
        sign = torch.linalg.det(left @ right)
        flipped = torch.cat([left[..., :-1], left[..., -1:] * sign[..., None, None]], dim=-1)
        return torch.where(finite, flipped @ right, torch.nan)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ANN401 - autograd's own types
        """Keep the matrices and their rotations."""
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - autograd's own types
        """Return the implicit gradient."""
        matrices, rotations = ctx.saved_tensors
        return _turned(matrices, rotations, gradient)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:  # noqa: ANN401 - autograd's own types
        """Return how the rotations turn when the matrices move."""
        matrices, rotations = ctx.saved_tensors
        return _turned(matrices, rotations, tangent)


def _turned(matrices: Tensor, rotations: Tensor, change: Tensor) -> Tensor:
    """Solve Ω S + S Ω = Rᵀ dM - dMᵀ R for the turn; the adjoint is the same map."""
    size = matrices.shape[-1]
    product = rotations.mT @ matrices
    stretch = (product + product.mT) / 2
    identity = torch.eye(size, dtype=matrices.dtype, device=matrices.device)
    sums = _kronecker(identity, stretch) + _kronecker(stretch, identity)
    lift = LIFT * torch.finfo(matrices.dtype).eps * stretch.square().sum(dim=(-2, -1)).sqrt()
    empty = (lift == 0).to(matrices.dtype)
    sums = sums + (lift + empty)[..., None, None] * torch.eye(size**2).to(matrices)
    moved = rotations.mT @ change
    turn = torch.linalg.solve(sums, (moved - moved.mT).flatten(-2)[..., None])[..., 0]
    turned: Tensor = rotations @ turn.reshape(matrices.shape)
    return turned


def _kronecker(left: Float[Tensor, "*#n d d"], right: Float[Tensor, "*#n d d"]) -> Tensor:
    product = left[..., :, None, :, None] * right[..., None, :, None, :]
    return product.flatten(-4, -3).flatten(-2, -1)
