"""Rotations in three forms: matrix, unit quaternion (w, x, y, z) and rotation vector.

All conversions have finite first and second derivatives everywhere, at the identity and at half
a turn too. Use `nearest_rotation` to make a noisy matrix a rotation.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._validation import for_computation, require_floating, require_trailing_shape
from multiview_geom._vectors import replace_missing

NEAR_ZERO = 0.1
"""Squared angle [rad^2] below which power series replace quotients of the form 0 / 0."""
SERIES_TERMS = 16
"""Terms of the longest series, exact to float64's round-off below `NEAR_ZERO`."""


def rotation_from_quaternion(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Convert quaternions to rotation matrices.

    Args:
        quaternion: Quaternions (w, x, y, z) of any length; q and -q are the same rotation.

    Returns:
        Rotation matrices; NaN, without a gradient, for the zero quaternion and for numbers that
        are not finite.

    Raises:
        ValueError: If the shape or dtype is wrong.

    Example:
        >>> rotation_from_quaternion(torch.tensor([0.0, 0.0, 0.0, 1.0])).diagonal()
        tensor([-1., -1.,  1.])
    """
    require_trailing_shape("quaternion", quaternion, 4)
    require_floating(quaternion=quaternion)
    q, _ = replace_missing(for_computation(quaternion), 1)
    squared = q.square().sum(dim=-1)
    present = squared > 0
    # Double `where`: 0 / 0 in the branch not taken would turn its gradient into NaN.
    w, x, y, z = torch.where(present[..., None], q, 1.0).unbind(dim=-1)
    s = 2 / torch.where(present, squared, 4.0)
    rows = [
        [1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
        [s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)],
        [s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)],
    ]
    rotation = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    return torch.where(present[..., None, None], rotation, torch.nan).to(quaternion.dtype)


def rotation_to_quaternion(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Convert rotation matrices to unit quaternions.

    Args:
        rotation: Rotation matrices.

    Returns:
        Unit quaternions (w, x, y, z) with w >= 0; NaN, without a gradient, for reflections and for
        numbers that are not finite.

    Raises:
        ValueError: If the shape or dtype is wrong.

    Note:
        A matrix with another scale, or with columns that are not orthogonal, gives a quaternion of
        no use, though of unit length: `nearest_rotation` makes it a rotation first.

    Reference:
        Shepperd, Quaternion from rotation matrix, Journal of Guidance and Control 1978: the
        row of 4 q q^T with the largest diagonal entry loses no digits.

    Example:
        >>> rotation_to_quaternion(torch.diag(torch.tensor([-1.0, -1.0, 1.0])))
        tensor([0., 0., 0., 1.])
    """
    require_trailing_shape("rotation", rotation, 3, 3)
    require_floating(rotation=rotation)
    identity = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    R, known = replace_missing(for_computation(rotation), 2, for_computation(identity))
    xx, yy, zz = R.diagonal(dim1=-2, dim2=-1).unbind(dim=-1)
    odd, even = R - R.mT, R + R.mT
    wx, wy, wz = odd[..., 2, 1], odd[..., 0, 2], odd[..., 1, 0]
    xy, xz, yz = even[..., 0, 1], even[..., 0, 2], even[..., 1, 2]
    rows = [
        [1 + xx + yy + zz, wx, wy, wz],
        [wx, 1 + xx - yy - zz, xy, xz],
        [wy, xy, 1 - xx + yy - zz, yz],
        [wz, xz, yz, 1 - xx - yy + zz],
    ]
    outer = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    largest = outer.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)
    row = outer.take_along_dim(largest[..., None, None], dim=-2)[..., 0, :]
    unit = row / row.square().sum(dim=-1, keepdim=True).sqrt()
    unit = torch.where(unit[..., :1] < 0, -unit, unit)
    triple = (torch.linalg.cross(R[..., 0, :], R[..., 1, :]) * R[..., 2, :]).sum(dim=-1)
    proper = known[..., 0] & ~(triple < 0)[..., None]  # a reflection has determinant -1
    return torch.where(proper, unit, torch.nan).to(rotation.dtype)


def rotation_from_vector(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Convert rotation vectors to rotation matrices: OpenCV's `Rodrigues`.

    Args:
        vector: Axes of rotation, each as long as its angle [rad].

    Returns:
        Rotation matrices.

    Raises:
        ValueError: If the shape or dtype is wrong.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), eq. A4.9.

    Example:
        >>> rotation_from_vector(torch.zeros(3)).diagonal()
        tensor([1., 1., 1.])
    """
    require_trailing_shape("vector", vector, 3)
    require_floating(vector=vector)
    v, known = replace_missing(for_computation(vector), 1)
    squared = v.square().sum(dim=-1)
    sine = _sine_over_angle(squared)[..., None]
    cosine = (_sine_over_angle(squared / 4).square() / 2)[..., None]  # (1 - cos) / angle^2
    outer = cosine[..., None] * v[..., :, None] * v[..., None, :]
    x, y, z = (sine * v).unbind(dim=-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=v.dtype, device=v.device)
    shrunk = (1 - cosine[..., None] * squared[..., None, None]) * identity
    matrix: Tensor = shrunk + cross + outer
    return torch.where(known[..., None], matrix, torch.nan).to(vector.dtype)


def rotation_to_vector(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Convert rotation matrices to rotation vectors: OpenCV's `Rodrigues`, backward.

    Args:
        rotation: Rotation matrices.

    Returns:
        Axes of rotation, each as long as its angle in [0, pi] [rad]; NaN, without a gradient, for
        reflections and for numbers that are not finite.

    Raises:
        ValueError: If the shape or dtype is wrong.

    Note:
        Of another matrix it is that of `rotation_to_quaternion`: `nearest_rotation` makes it a
        rotation first.

    Example:
        >>> rotation_to_vector(torch.diag(torch.tensor([-1.0, -1.0, 1.0])))
        tensor([0.0000, 0.0000, 3.1416])
    """
    require_floating(rotation=rotation)
    quaternion = rotation_to_quaternion(for_computation(rotation))
    quaternion, known = replace_missing(quaternion, 1, quaternion.new_full((4,), 0.5))
    w, xyz = quaternion.split([1, 3], dim=-1)
    squared = xyz.square().sum(dim=-1, keepdim=True)
    near = squared < NEAR_ZERO * w * w
    # Double `where`: sqrt has an infinite slope at zero, and w is zero at half a turn.
    sine = torch.where(near, 1.0, squared).sqrt()
    cosine = torch.where(near, w, 1.0)
    tangent_squared = torch.where(near, squared, 0.0) / (cosine * cosine)
    series = _series(tangent_squared, [(-1) ** k / (2 * k + 1) for k in range(SERIES_TERMS)])
    half_angle_over_sine = torch.where(near, series / cosine, torch.atan2(sine, w) / sine)
    vector: Tensor = 2 * half_angle_over_sine * xyz
    return torch.where(known, vector, torch.nan).to(rotation.dtype)


def _sine_over_angle(squared: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return sin(a) / a for squared angles."""
    near = squared < NEAR_ZERO
    # Double `where`: sqrt has an infinite slope at zero.
    angle = torch.where(near, 1.0, squared).sqrt()
    terms = [1.0]
    for k in range(1, SERIES_TERMS // 2):
        terms.append(-terms[-1] / (2 * k * (2 * k + 1)))
    return torch.where(near, _series(torch.where(near, squared, 0.0), terms), angle.sin() / angle)


def _series(x: Float[Tensor, "*batch"], coefficients: list[float]) -> Float[Tensor, "*batch"]:
    """Evaluate a polynomial with Horner's rule."""
    total = torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total
