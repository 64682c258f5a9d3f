"""The kernel of Procrustes alignment: the nearest rotation from a quartic and a cofactor.

The rotation nearest to M maximises tr(Rᵀ M), which is a quadratic form of R's quaternion: the
wanted one is the eigenvector of the largest eigenvalue λ of a symmetric 4x4 matrix K (Horn
1987). Its characteristic polynomial is λ⁴ - 2‖M‖² λ² - 8 det(M) λ + ‖M‖⁴ - 4‖cof(M)‖² (QCP,
Theobald 2005), and the quaternion is a column of the squared cofactors of λ - K. The largest
is taken: it is a quaternion, so the result is a rotation even where two are equally near.

How far a rounding of M turns R is one over the gap between eigenvalues, s₂ ± s₃ of M's singular
values. So single precision is computed in double, and double precision is polished by Newton's
steps on the group, where the slope is exact. The derivative is that of the same steps: turning
R by ω changes the skew part of S = Rᵀ M by (tr(S) I - S) ω. That is self-adjoint, so one
function is both the forward and the reverse derivative, and nothing but tensor operations of M
and R enters: the second derivative is right.

Arrays are `(3, 3, matrices)`: rows of memory are long.
"""

from math import tau
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._null_vector import largest_column, least_stretched, unit, wide
from multiview_geom._symmetric import Symmetric, in_rows, inner, interleaved, scaled

# The closed form is off by a root of double round-off at a multiple root; so the iteration
# starts this far right of it, relative to ‖M‖, and triples the correct digits of a simple root.
MARGIN, LAGUERRE_STEPS = 1e-5, 3

# How far λ is set right of the root at last: cofactors at a tie stay far above their round-off,
# and a gap below this squared over single round-off is noise in single precision anyway.
LIFT = 1e-6

# Newton's steps for double precision; single precision is right without, computed in double.
POLISHING_STEPS = {torch.float32: 0, torch.float64: 3}

# Where the eigenvalue gaps multiply to less than this many round-offs, no direction is nearest.
TIE = 8

MATRICES_IN_BLOCK, MATRICES_IN_ACCELERATOR_BLOCK = 16_384, 1_048_576


def rotation_nearest(matrices: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3 3"]:
    """Find the nearest rotations."""
    if not torch.compiler.is_compiling():
        return NearestRotation.apply(matrices)  # type: ignore[no-any-return, no-untyped-call]
    if torch.is_grad_enabled() and matrices.requires_grad:
        return NearestRotationInGraph.apply(matrices)  # type: ignore[no-any-return, no-untyped-call]
    return NearestRotationInGraph.forward(matrices)


class NearestRotationInGraph(torch.autograd.Function):
    """Value and reverse derivative: what a compiler can trace."""

    @staticmethod
    def forward(matrices: Tensor) -> Tensor:
        """Find the nearest rotations, block by block."""
        if matrices.shape[0] == 0 or torch.compiler.is_compiling():
            return _nearest(matrices)
        cpu = matrices.device.type == "cpu"
        size = MATRICES_IN_BLOCK if cpu else MATRICES_IN_ACCELERATOR_BLOCK
        return torch.cat([_nearest(block) for block in matrices.split(size)])

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


class NearestRotation(NearestRotationInGraph):
    """The same with the forward derivative and a rule for `vmap`, which no compiler traces."""

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:  # noqa: ANN401 - autograd's own types
        """Return how the rotations turn when the matrices move."""
        matrices, rotations = ctx.saved_tensors
        return _turned(matrices, rotations, tangent)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], matrices: Tensor) -> tuple[Tensor, int]:  # noqa: ANN401 - autograd's own types
        """Make the mapped axis more matrices."""
        rows = matrices.movedim(in_dims[0], 0)
        return rotation_nearest(rows.flatten(0, 1)).reshape(rows.shape), 0


def _nearest(matrices: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3 3"]:
    entries = in_rows(matrices.flatten(1)).to(wide(matrices)).reshape(3, 3, -1)
    length = entries.square().sum(dim=(0, 1)).sqrt()
    identity = torch.eye(3, dtype=entries.dtype, device=entries.device)[..., None]
    entries = torch.where(length > 0, entries / torch.where(length > 0, length, 1.0), identity)
    quaternion = least_stretched(_lifted_form(entries))
    for _ in range(POLISHING_STEPS[matrices.dtype]):
        quaternion = _polished(entries, _twisted(entries, quaternion))
    rows = _rotation_of(quaternion).flatten(0, 1).unbind()
    rotation = interleaved([row.to(matrices.dtype) for row in rows])
    return rotation.reshape(-1, 3, 3)


def _lifted_form(entries: Float[Tensor, "3 3 n"]) -> list[list[Tensor]]:
    """Return λ - K, with λ a little right of K's largest eigenvalue; only the upper triangle."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind() for row in entries)
    cofactors = _cofactors_of_rows(entries)
    determinant = inner(entries[0], cofactors[0])
    root = _largest_root(determinant, cofactors.square().sum(dim=(0, 1))) + LIFT
    trace = xx + yy + zz
    twist = root + trace
    return [
        [root - trace, yz - zy, zx - xz, xy - yx],
        [twist - 2 * xx, -(xy + yx), -(xz + zx)],
        [twist - 2 * yy, -(yz + zy)],
        [twist - 2 * zz],
    ]


def _cofactors_of_rows(entries: Float[Tensor, "3 3 n"]) -> Float[Tensor, "3 3 n"]:
    around = torch.cat([entries, entries[:2]])
    around = torch.cat([around, around[:, :2]], dim=1)
    product = around[1:4, 1:4] * around[2:5, 2:5]
    return torch.addcmul(product, around[1:4, 2:5], around[2:5, 1:4], value=-1)


def _largest_root(determinant: Tensor, squared_cofactors: Tensor) -> Tensor:
    """Find s₁ + s₂ ± s₃, the largest root of λ⁴ - 2 λ² - 8 det λ + 1 - 4‖cof‖², where ‖M‖ = 1.

    Reference:
        Smith, Eigenvalues of a symmetric 3x3 matrix, 1961, for s₃² in closed form; Parlett,
        Laguerre's method applied to the matrix eigenvalue problem, 1964, for the last digits.
    """
    smallest = _smallest_squared_value(determinant.square(), squared_cofactors)
    area = (squared_cofactors - smallest * (1 - smallest)).clamp(min=0).sqrt()
    share = determinant / torch.where(area > 0, area, 1.0)
    root = (1 - smallest + 2 * area).clamp(min=0).sqrt() + share + MARGIN
    linear, constant = -8 * determinant, 1 - 4 * squared_cofactors
    for _ in range(LAGUERRE_STEPS):
        squared = root.square()
        value = torch.addcmul(constant, torch.addcmul(linear, squared - 2, root), root)
        slope = torch.addcmul(linear, 4 * squared - 4, root)
        value, slope = value.clamp(min=0), slope.clamp(min=0)
        spread = torch.addcmul(9 * slope.square(), value, 48 - 144 * squared).clamp(min=0)
        # At a multiple root value and slope vanish together: stay.
        divisor = slope + spread.sqrt()
        root = root - 4 * value / torch.where(divisor > 0, divisor, 1.0)
    return root


def _smallest_squared_value(squared_determinant: Tensor, squared_cofactors: Tensor) -> Tensor:
    """Find s₃², the smallest root of x³ - x² + ‖cof‖² x - det², in closed form."""
    spread = ((1 - 3 * squared_cofactors) / 9).clamp(min=0)
    half = (2 - 9 * squared_cofactors + 27 * squared_determinant) / 54
    cubed = spread * spread.sqrt()
    angle = (half / torch.where(cubed > 0, cubed, 1.0)).clamp(-1, 1).acos() / 3
    root = 1 / 3 + 2 * spread.sqrt() * (angle + tau / 3).cos()
    return root.clamp(min=0)


def _rotation_of(quaternion: Float[Tensor, "4 n"]) -> Float[Tensor, "3 3 n"]:
    w, x, y, z = quaternion
    x2, y2, z2 = 2 * x, 2 * y, 2 * z
    wx, wy, wz = w * x2, w * y2, w * z2
    xx, xy, xz = x * x2, x * y2, x * z2
    yy, yz, zz = y * y2, y * z2, z * z2
    rows = [
        [1 - (yy + zz), xy - wz, xz + wy],
        [xy + wz, 1 - (xx + zz), yz - wx],
        [xz - wy, yz + wx, 1 - (xx + yy)],
    ]
    return torch.stack([torch.stack(row) for row in rows])


def _polished(
    entries: Float[Tensor, "3 3 n"], quaternion: Float[Tensor, "4 n"]
) -> Float[Tensor, "4 n"]:
    """Take Newton's step on the rotation group."""
    product = _transposed_times(_rotation_of(quaternion), entries)
    half = _turn(product, _skew_vector(product)) / 2
    return _after_turn(quaternion, torch.ones_like(half[0]), half)


def _twisted(
    entries: Float[Tensor, "3 3 n"], quaternion: Float[Tensor, "4 n"]
) -> Float[Tensor, "4 n"]:
    """Turn about the axis that matters least by the best angle, which a near-tie leaves open."""
    product = _transposed_times(_rotation_of(quaternion), entries)
    stretch = _stretch_of(product)
    axis = largest_column(stretch.adjugate()[0].full())
    sine = inner(_skew_vector(product), axis)
    cosine = inner(stretch.times(axis), axis)
    half_angle = torch.atan2(sine, cosine) / 2
    return _after_turn(quaternion, half_angle.cos(), axis * half_angle.sin())


def _after_turn(
    quaternion: Float[Tensor, "4 n"], real: Float[Tensor, "n"], imaginary: Float[Tensor, "3 n"]
) -> Float[Tensor, "4 n"]:
    """Multiply with a quaternion from the right, and return to unit length."""
    w, vector = quaternion[0], quaternion[1:]
    around, turned = torch.cat([vector, vector[:2]]), torch.cat([imaginary, imaginary[:2]])
    cross = around[1:4] * turned[2:5] - around[2:5] * turned[1:4]
    first = w * real - inner(vector, imaginary)
    return unit(torch.cat([first[None], real * vector + w * imaginary + cross]))


def _turned(
    matrices: Float[Tensor, "n 3 3"],
    rotations: Float[Tensor, "n 3 3"],
    change: Float[Tensor, "n 3 3"],
) -> Float[Tensor, "n 3 3"]:
    """Turn the rotations as a change of the matrices does; the adjoint is the same map."""
    entries, rotation, moved = (
        in_rows(tensor.flatten(1)).reshape(3, 3, -1) for tensor in (matrices, rotations, change)
    )
    product = _transposed_times(rotation, entries)
    angle = _turn(product, _skew_vector(_transposed_times(rotation, moved)))
    x, y, z = angle
    first, second, third = rotation[:, 0], rotation[:, 1], rotation[:, 2]
    columns = [second * z - third * y, third * x - first * z, first * y - second * x]
    turned = interleaved([column[row] for row in range(3) for column in columns])
    return turned.reshape(-1, 3, 3)


def _turn(product: Float[Tensor, "3 3 n"], vector: Float[Tensor, "3 n"]) -> Float[Tensor, "3 n"]:
    """Solve (tr(S) I - S) ω = vector; zero where the nearest rotation is not unique."""
    stretch = _stretch_of(product)
    adjugate, determinant = stretch.adjugate()
    volume = stretch.trace().abs() ** 3
    unique = determinant > TIE * torch.finfo(product.dtype).eps * volume
    # Doubled where: the inverse of a singular matrix would turn zero gradients into NaN.
    reciprocal = torch.where(unique, determinant, 1.0).reciprocal()
    solved = torch.stack(scaled(adjugate.times(vector), reciprocal))
    return torch.where(unique, solved, 0.0)


def _stretch_of(product: Float[Tensor, "3 3 n"]) -> Symmetric:
    """Return tr(S) I - S, with S made symmetric."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind() for row in product)
    facing = [yy + zz, zz + xx, xx + yy]
    beside = [(yz + zy) / -2, (zx + xz) / -2, (xy + yx) / -2]
    return Symmetric(torch.stack([*facing, *facing[:2]]), torch.stack([*beside, *beside[:2]]))


def _transposed_times(
    left: Float[Tensor, "3 3 n"], right: Float[Tensor, "3 3 n"]
) -> Float[Tensor, "3 3 n"]:
    product = left[0][:, None] * right[0][None]
    product = torch.addcmul(product, left[1][:, None], right[1][None])
    return torch.addcmul(product, left[2][:, None], right[2][None])


def _skew_vector(matrix: Float[Tensor, "3 3 n"]) -> Float[Tensor, "3 n"]:
    x = matrix[2, 1] - matrix[1, 2]
    y = matrix[0, 2] - matrix[2, 0]
    z = matrix[1, 0] - matrix[0, 1]
    return torch.stack([x, y, z])
