"""The small batched decompositions: closed-form, finite gradients."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.null_vector import cofactors, least_stretched, unit, wide
from multiview_geom._validation import (
    for_computation,
    require_floating,
    require_trailing_shape,
)

# Laguerre's iteration triples the correct digits of a simple root, and quarters its distance to
# a double one.
LAGUERRE_STEPS = 12

# How far the eigenvalue is set left of the root, relative to the matrix less its mean
# eigenvalue: cofactors at a tie stay above their round-off.
LIFT = 1e-6

# Where the gaps to the other eigenvalues multiply to less round-offs than this, they tie.
TIE = 8

SIZES = (3, 4)


def smallest_eigenvector(symmetric: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch d"]:
    """Compute the unit eigenvector of the smallest eigenvalue.

    Args:
        symmetric: Symmetric matrices, 3x3 or 4x4; the symmetric part is taken.

    Returns:
        The eigenvector of the smallest (most negative) eigenvalue, its largest component
        positive.

    Raises:
        ValueError: If a matrix is neither 3x3 nor 4x4.

    Note:
        If the smallest eigenvalue is a double one, a unit vector of its eigenspace is returned,
        with zero gradient. Gaps between the other eigenvalues do not matter. float32 is computed
        in float64.

    Reference:
        Parlett, Laguerre's method applied to the matrix eigenvalue problem, 1964.

    Example:
        >>> smallest_eigenvector(torch.tensor([3.0, 1.0, 2.0]).diag()).round(decimals=4) + 0.0
        tensor([0., 1., 0.])
    """
    size = symmetric.shape[-1] if symmetric.ndim else 0
    require_trailing_shape("symmetric", symmetric, *(2 * (min(max(size, 3), 4),)))
    require_floating(symmetric=symmetric)
    matrices = for_computation(symmetric).reshape(-1, size, size)
    return _smallest(matrices).reshape(symmetric.shape[:-1]).to(symmetric.dtype)


def _smallest(matrices: Float[Tensor, "n d d"]) -> Float[Tensor, "n d"]:
    if not torch.compiler.is_compiling():
        return SmallestEigenvector.apply(matrices)  # type: ignore[no-any-return, no-untyped-call]
    if torch.is_grad_enabled() and matrices.requires_grad:
        return SmallestEigenvectorInGraph.apply(matrices)  # type: ignore[no-any-return, no-untyped-call]
    return SmallestEigenvectorInGraph.forward(matrices)


class SmallestEigenvectorInGraph(torch.autograd.Function):
    """Value and reverse derivative: what a compiler can trace."""

    @staticmethod
    def forward(matrices: Tensor) -> Tensor:
        """Find the eigenvectors; the sign is a choice, and has no derivative."""
        size = matrices.shape[-1]
        entries = matrices.to(wide(matrices))
        # Less its mean eigenvalue, which would drown small gaps beside the fourth.
        mean = entries.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[..., None, None]
        identity = torch.eye(size, dtype=entries.dtype, device=entries.device)
        rows = _eigenvector(_square_of_four(entries - mean * identity))[:size]
        peak = rows.abs().amax(dim=0)
        highest = torch.where(rows.abs() == peak, rows, 0.0).sum(dim=0)
        sign = torch.where(highest < 0, -1.0, 1.0)
        vectors = torch.stack((rows * sign).unbind(), dim=-1)
        return vectors.to(matrices.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ANN401 - autograd's own types
        """Keep the matrices and their eigenvectors."""
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - autograd's own types
        """Return the implicit gradient."""
        matrices, vectors = ctx.saved_tensors
        pull = _pseudo_inverse(matrices, vectors, gradient)
        outer: Tensor = pull[..., :, None] * vectors[..., None, :]
        return -(outer + outer.mT) / 2


class SmallestEigenvector(SmallestEigenvectorInGraph):
    """The same with the forward derivative and a rule for `vmap`, which no compiler traces."""

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:  # noqa: ANN401 - autograd's own types
        """Return how the eigenvectors turn when the matrices move."""
        matrices, vectors = ctx.saved_tensors
        moved = ((tangent + tangent.mT) @ vectors[..., None])[..., 0] / 2
        return -_pseudo_inverse(matrices, vectors, moved)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], matrices: Tensor) -> tuple[Tensor, int]:  # noqa: ANN401 - autograd's own types
        """Make the mapped axis more matrices."""
        rows = matrices.movedim(in_dims[0], 0)
        return _smallest(rows.flatten(0, 1)).reshape(rows.shape[:-1]), 0


def _square_of_four(matrices: Float[Tensor, "n d d"]) -> Float[Tensor, "4 4 n"]:
    """Put the symmetric part in the corner of a 4x4 matrix whose fourth eigenvalue is large."""
    even: Tensor = ((matrices + matrices.mT) / 2).permute(1, 2, 0).contiguous()
    if matrices.shape[-1] == SIZES[-1]:
        return even
    large = 2 * even.square().sum(dim=(0, 1)).sqrt()
    wider = torch.cat([even, torch.zeros_like(even[:, :1])], dim=1)
    last = torch.cat([torch.zeros_like(even[0]), large[None]])
    return torch.cat([wider, last[None]])


def _eigenvector(entries: Float[Tensor, "4 4 n"]) -> Float[Tensor, "4 n"]:
    identity = torch.eye(4, dtype=entries.dtype, device=entries.device)[..., None]
    for _ in range(2):  # twice: what rounding left of the mean may be all there is
        mean = entries.diagonal(dim1=0, dim2=1).sum(dim=-1) / 4
        entries = entries - mean * identity
        length = entries.square().sum(dim=(0, 1)).sqrt()
        entries = entries / torch.where(length > 0, length, 1.0)
    vector = torch.stack(least_stretched(_upper(entries - _smallest_root(entries) * identity)))
    product = (entries * vector).sum(dim=1)
    quotient = (product * vector).sum(dim=0)
    columns = cofactors(_upper(entries - quotient * identity))
    better = torch.stack([_sum_of_products(column, vector) for column in columns])
    sharp = better.square().sum(dim=0) > torch.finfo(entries.dtype).eps
    better = torch.stack(unit(torch.where(sharp, better, 1.0).unbind()))
    return torch.where(sharp, better, vector)


def _sum_of_products(column: list[Tensor], vector: Float[Tensor, "4 n"]) -> Tensor:
    """Multiply four rows with a vector."""
    first, second, third, fourth = column
    product = torch.addcmul(first * vector[0], second, vector[1])
    return torch.addcmul(torch.addcmul(product, third, vector[2]), fourth, vector[3])


def _upper(entries: Float[Tensor, "4 4 n"]) -> list[list[Tensor]]:
    return [list(entries[row, row:].unbind()) for row in range(4)]


def _smallest_root(entries: Float[Tensor, "4 4 n"]) -> Tensor:
    """Climb to the smallest eigenvalue of 4x4 matrices of unit norm and trace zero.

    Their characteristic polynomial is λ⁴ - λ²/2 - tr(A³)/3 λ + det(A), and no root is left of
    -√(3/4).
    """
    columns = cofactors(_upper(entries))
    determinant = _sum_of_products(columns[0], entries[0])
    linear = columns[0][0] + columns[1][1] + columns[2][2] + columns[3][3]
    root = torch.full_like(determinant, -(0.75**0.5))
    for _ in range(LAGUERRE_STEPS):
        squared = root.square()
        value = ((squared - 0.5) * root - linear) * root + determinant
        fall = linear - (4 * squared - 1) * root
        value, fall = value.clamp(min=0), fall.clamp(min=0)
        spread = (9 * fall.square() - 12 * value * (12 * squared - 1)).clamp(min=0)
        divisor = fall + spread.sqrt()
        root = root + 4 * value / torch.where(divisor > 0, divisor, 1.0)
    return root - LIFT


def _pseudo_inverse(
    matrices: Float[Tensor, "n d d"],
    vectors: Float[Tensor, "n d"],
    change: Float[Tensor, "n d"],
) -> Float[Tensor, "n d"]:
    """Multiply the pseudo-inverse of A - λ with vectors; zero where the eigenvalue is double."""
    # In a size whose fourth powers neither over- nor underflow.
    largest = matrices.detach().abs().amax(dim=(-2, -1), keepdim=True)
    shrink = torch.where(largest > 0, largest, 1.0).reciprocal()
    even = (matrices + matrices.mT) * (shrink / 2)
    quotient = ((even @ vectors[..., None])[..., 0] * vectors).sum(dim=-1)
    identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    gaps = even - quotient[..., None, None] * identity
    size = gaps.square().sum(dim=(-2, -1))
    some = size > 0
    # Doubled where: sqrt has an infinite slope at zero.
    size = torch.where(some, size, 1.0).sqrt()
    # The vector itself, of gap zero, is given the size of the others, and taken out.
    full = gaps + size[..., None, None] * vectors[..., :, None] * vectors[..., None, :]
    outside = change - (change * vectors).sum(dim=-1, keepdim=True) * vectors
    entries = _square_of_four(full)
    columns = cofactors(_upper(entries))
    determinant = _sum_of_products(columns[0], entries[0])
    product = entries.square().sum(dim=(0, 1)).square()
    unique = some & (determinant > TIE * torch.finfo(matrices.dtype).eps * product)
    # Doubled where: the inverse of a singular matrix would turn zero gradients into NaN.
    reciprocal = torch.where(unique, determinant, 1.0).reciprocal()
    inverse = torch.stack([torch.stack(column) for column in columns]).movedim(-1, 0)
    inverse = inverse[:, : vectors.shape[-1], : vectors.shape[-1]]
    solved = (inverse @ outside[..., None])[..., 0] * (reciprocal[..., None] * shrink[..., 0])
    return torch.where(unique[..., None], solved, 0.0)
