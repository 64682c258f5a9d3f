"""Pose of a calibrated camera from known world points and their pixels (perspective-n-point)."""

from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._kernels.engines import is_traced, is_transformed, wide_dtype
from multiview_geom._kernels.rotation.autograd import nearest_rotation
from multiview_geom._validation import (
    broadcast_axes,
    full_precision,
    product,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom._vectors import length, replace_missing, unit
from multiview_geom.homogeneous import to_homogeneous
from multiview_geom.rotations import rotation_from_vector
from multiview_geom.transforms import rigid_transform

FEWEST_POINTS = 4
"""Three points have up to four poses."""
MOST_STEPS = 30
"""Number of damped Gauss-Newton steps from each start, at most."""
FIRST_DAMPING, DAMPING_DOWN, DAMPING_UP = 1e-3, 0.1, 10.0
"""Damping relative to the diagonal, and its factors after a step that lowers the cost, or not."""
ROUND_OFFS, STRONG_DAMPING = 1e3, 1e5
"""A start is left as it is when so few round-offs are to be gained, or with so strong a damping."""
ON_A_LINE = 1e-4
"""Points whose second standard deviation is below this share of the first are on a line."""
LEAST_SHARE = 1e-12
"""Regularization of the affine fit, relative to the spread of the points."""


def solve_pnp(
    intrinsics: Float[Tensor, "*#batch 3 3"],
    points: Float[Tensor, "*#batch points 3"],
    pixels: Float[Tensor, "*#batch points 2"],
    *,
    weights: Float[Tensor, "*#batch points"] | None = None,
) -> Float[Tensor, "*#batch 4 4"]:
    """Find the pose of a camera with the least reprojection error of known points.

    Minimizes the sum of `weight * residual²` by damped Gauss-Newton steps from four starts: the
    direct linear transform, the homography of the points' plane, its mirrored pose, and a
    weak-perspective camera. Points in a plane need no special call.

    Args:
        intrinsics: Camera matrix K.
        points: World points.
        pixels: Detected pixel of each point, without lens distortion [px].
        weights: Weight of each detection, >= 0: it multiplies the squared residual. A detection of
            weight zero or less is ignored. 1 by default.

    Returns:
        `camera_from_world`, with all points in front of the camera. NaN if there are fewer than
        four detections, if the points are on a line, or if no start leads to a pose with all
        points in front.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        A point or pixel that is not finite counts as weight zero. The result has no gradient.
        Outliers are not detected: they move the result as in any least squares.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), sec. 7.1 and 8.1.1; Oberkampf et
        al., Iterative pose estimation using coplanar feature points, CVIU 1996: the two poses of a
        plane.

    Example:
        >>> from multiview_geom import project_points, ring_of_cameras
        >>> rig = ring_of_cameras(4, radius=4.0, height=1.0, dtype=torch.float64)
        >>> points = torch.cartesian_prod(*[torch.tensor([-0.5, 0.1, 0.4]).double()] * 3)
        >>> pixels = project_points(rig.projections, points)
        >>> torch.allclose(solve_pnp(rig.intrinsics, points, pixels), rig.camera_from_world)
        True
    """
    require_trailing_shape("intrinsics", intrinsics, 3, 3)
    require_trailing_shape("points", points, "points", 3)
    require_trailing_shape("pixels", pixels, "points", 2)
    require_same_size("points", points=points.shape[-2], pixels=pixels.shape[-2])
    require_floating(intrinsics=intrinsics, points=points, pixels=pixels)
    given = torch.ones_like(pixels[..., 0]) if weights is None else weights
    require_trailing_shape("weights", given, points.shape[-2])
    require_floating(pixels=pixels, weights=given)
    broadcast_axes(
        intrinsics=intrinsics.shape[:-2],
        points=points.shape[:-2],
        pixels=pixels.shape[:-2],
        weights=given.shape[:-1],
    )
    with torch.no_grad(), full_precision(pixels):
        # A compiler would unroll all steps, which takes minutes.
        solve = _solve_as_operator if is_traced() and not is_transformed() else _solve
        pose = solve(*(each.to(wide_dtype(each)) for each in (intrinsics, points, pixels, given)))
    return pose.to(pixels.dtype)


class _Problem(NamedTuple):
    """Points around the origin, along their principal axes; weight zero where one is missing."""

    intrinsics: Float[Tensor, "*#batch 3 3"]
    points: Float[Tensor, "*batch points 3"]
    pixels: Float[Tensor, "*#batch points 2"]
    trust: Float[Tensor, "*batch points"]

    def residuals(self, moved: Float[Tensor, "*batch points 3"]) -> Tensor:
        """Return the differences of projections and pixels; `moved` is in the camera's frame."""
        image = product(moved, self.intrinsics.mT)
        return image[..., :2] / image[..., 2:] - self.pixels

    def cost(self, pose: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch"]:
        """Return the weighted sum of squared residuals; infinite with a point behind."""
        moved = product(self.points, pose[..., :3, :3].mT) + pose[..., None, :3, 3]
        seen = self.trust > 0
        behind = (seen & ~(moved[..., 2] > 0)).any(dim=-1)
        squared = self.residuals(moved).square().sum(dim=-1)
        cost = torch.where(seen, self.trust * squared, 0.0).sum(dim=-1)
        return torch.where(behind | ~cost.isfinite(), torch.inf, cost)

    def step(
        self, pose: Float[Tensor, "*batch 4 4"], damping: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch 4 4"]:
        """Take a damped Gauss-Newton step in rotation and translation."""
        turned = product(self.points, pose[..., :3, :3].mT)
        moved = turned + pose[..., None, :3, 3]
        seen = (self.trust > 0)[..., None]
        residuals = torch.where(seen, self.residuals(moved), 0.0)
        J = torch.where(seen[..., None], self._jacobian(turned, moved), 0.0)
        weighted = (self.trust[..., None, None] * J).flatten(-3, -2).mT
        hessian = product(weighted, J.flatten(-3, -2))
        diagonal = hessian.diagonal(dim1=-2, dim2=-1)
        hessian = hessian + torch.diag_embed(damping[..., None] * diagonal + LEAST_SHARE)
        slope = product(weighted, residuals.flatten(-2)[..., None])
        move = -torch.linalg.solve_ex(hessian, slope).result[..., 0]
        rotation = product(rotation_from_vector(move[..., :3]), pose[..., :3, :3])
        return rigid_transform(rotation, pose[..., :3, 3] + move[..., 3:])

    def _jacobian(
        self, turned: Float[Tensor, "*batch points 3"], moved: Float[Tensor, "*batch points 3"]
    ) -> Float[Tensor, "*batch points 2 6"]:
        """Return the derivatives of the residuals by a rotation vector and the translation."""
        image = product(moved, self.intrinsics.mT)
        K = self.intrinsics[..., None, :, :]
        by_point = K[..., :2, :] - (image[..., :2] / image[..., 2:])[..., None] * K[..., 2:, :]
        by_point = by_point / image[..., 2:, None]
        by_rotation = torch.linalg.cross(turned[..., None, :].expand_as(by_point), by_point)
        return torch.cat([by_rotation, by_point], dim=-1)


def _solve(
    intrinsics: Float[Tensor, "*#batch 3 3"],
    points: Float[Tensor, "*#batch points 3"],
    pixels: Float[Tensor, "*#batch points 2"],
    weights: Float[Tensor, "*#batch points"],
) -> Float[Tensor, "*batch 4 4"]:
    eye = torch.eye(3, dtype=pixels.dtype, device=pixels.device)
    K, K_known = replace_missing(intrinsics, 2, eye)
    X, X_known = replace_missing(points, 1)
    x, x_known = replace_missing(pixels, 1)
    seen = (K_known & X_known & x_known)[..., 0] & (weights > 0) & (weights < torch.inf)
    trust = torch.where(seen, weights, 0.0)
    trust = trust / trust.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(trust.dtype).tiny)
    center = product(trust[..., None, :], X)
    apart = X - center
    spread, axes = _eigh(product((trust[..., None] * apart).mT, apart))
    axes = axes.flip(-1)
    axes = axes * torch.linalg.det(axes).sign()[..., None, None]
    size = spread[..., 2, None, None].sqrt()
    fixed = (seen.sum(dim=-1) >= FEWEST_POINTS) & (spread[..., 1] > ON_A_LINE**2 * spread[..., 2])
    size = torch.where(fixed[..., None, None], size, 1.0)
    problem = _Problem(K, product(apart, axes) / size, x, trust)
    pose, cost = _best(problem)
    rotation = product(pose[..., :3, :3], axes.mT)
    shift = size[..., 0] * pose[..., :3, 3] - product(rotation, center.mT)[..., 0]
    known = fixed & (cost < torch.inf)
    return torch.where(known[..., None, None], rigid_transform(rotation, shift), torch.nan)


@torch.library.custom_op("multiview_geom::solve_pnp", mutates_args=())
def _solve_as_operator(
    intrinsics: Tensor, points: Tensor, pixels: Tensor, weights: Tensor
) -> Tensor:
    """Do what `_solve` does, as one node of a traced graph."""
    return _solve(intrinsics, points, pixels, weights).contiguous()


@_solve_as_operator.register_fake
def _pose_of(intrinsics: Tensor, points: Tensor, pixels: Tensor, weights: Tensor) -> Tensor:
    """Return a pose of the right shape."""
    batch = torch.broadcast_shapes(
        intrinsics.shape[:-2], points.shape[:-2], pixels.shape[:-2], weights.shape[:-1]
    )
    return pixels.new_empty(*batch, 4, 4)


def _best(problem: _Problem) -> tuple[Float[Tensor, "*batch 4 4"], Float[Tensor, "*batch"]]:
    """Refine every start, and select the pose of least cost."""
    starts = _starts(problem)
    each = _Problem(*(t.unsqueeze(-1 - n) for t, n in zip(problem, (2, 2, 2, 1), strict=True)))
    cost = each.cost(starts)
    damping = torch.full_like(cost, FIRST_DAMPING)
    small = ROUND_OFFS * torch.finfo(cost.dtype).eps
    moving = torch.ones_like(cost, dtype=torch.bool)
    for _ in range(MOST_STEPS):
        trial = each.step(starts, damping)
        trial_cost = each.cost(trial)
        moved = (trial - starts).abs().amax((-2, -1)) > small * starts.abs().amax((-2, -1))
        level = (trial_cost - cost).abs() <= small * cost
        helped = moving & (trial_cost < cost)
        starts = torch.where(helped[..., None, None], trial, starts)
        cost = torch.where(helped, trial_cost, cost)
        moving = moving & moved & ~level & (damping < STRONG_DAMPING)
        damping = damping * torch.where(helped, DAMPING_DOWN, DAMPING_UP)
        # What has stopped stays as it is, however long the rest of its batch takes.
        if not is_transformed() and not moving.any():
            break
    least, at = cost.min(dim=-1)
    chosen = at[..., None, None, None].expand(*at.shape, 1, 4, 4)
    return starts.gather(-3, chosen)[..., 0, :, :], least


def _starts(problem: _Problem) -> Float[Tensor, "*batch starts 4 4"]:
    """Return the linear, planar, mirrored planar and weak-perspective poses."""
    back = torch.linalg.inv_ex(problem.intrinsics).inverse
    x, _ = replace_missing(product(to_homogeneous(problem.pixels), back.mT), 1)
    p = problem.points
    linear = _linear(to_homogeneous(p), x, problem.trust)
    plane = _linear(to_homogeneous(p[..., :2]), x, problem.trust)
    first, second, t = plane.unbind(dim=-1)
    normal = torch.linalg.cross(first, second) / length(first)[..., None]
    planar = _pose(torch.stack([first, second, normal, t], dim=-1))
    toward = unit(planar[..., :3, 3])
    mirror = torch.eye(3).to(toward) - 2 * toward[..., None] * toward[..., None, :]
    flipped = product(mirror, planar[..., :3, :3]) * torch.tensor([1.0, 1.0, -1.0]).to(toward)
    mirrored = rigid_transform(flipped, planar[..., :3, 3])
    return torch.stack([_pose(linear), planar, mirrored, _weak_perspective(problem, x)], dim=-3)


def _linear(
    points: Float[Tensor, "*#batch points d"],
    rays: Float[Tensor, "*#batch points 3"],
    trust: Float[Tensor, "*#batch points"],
) -> Float[Tensor, "*batch 3 d"]:
    """Find the matrix that maps points to the directions of rays, by the DLT (least squares)."""
    d = points.shape[-1]
    zero = torch.zeros_like(points * rays[..., :1])
    p = points + zero
    rows = torch.stack(
        [
            torch.cat([p, zero, -rays[..., :1] * p], dim=-1),
            torch.cat([zero, p, -rays[..., 1:2] * p], dim=-1),
        ],
        dim=-2,
    )
    rows = (trust.sqrt()[..., None, None] * rows).flatten(-3, -2)
    vectors: Tensor = _eigh(product(rows.mT, rows))[1]
    matrix = vectors[..., 0].unflatten(-1, (3, d))
    # The origin is the center of the points: its depth is positive.
    oriented: Tensor = matrix * torch.where(matrix[..., 2:, -1:] < 0, -1.0, 1.0)
    return oriented


def _pose(matrix: Float[Tensor, "*batch 3 4"]) -> Float[Tensor, "*batch 4 4"]:
    """Return the rigid transform nearest to a multiple of a 3x4 matrix."""
    batch = matrix.shape[:-2]
    flat = matrix[..., :3].reshape(prod(batch), 3, 3)
    rotation = nearest_rotation(flat).reshape(*batch, 3, 3)
    scale = (rotation * matrix[..., :3]).sum(dim=(-2, -1)) / 3
    return rigid_transform(rotation, matrix[..., 3] / scale[..., None])


def _weak_perspective(
    problem: _Problem, rays: Float[Tensor, "*#batch points 3"]
) -> Float[Tensor, "*batch 4 4"]:
    """Fit an affine camera, of which all points have the depth of their center."""
    p = to_homogeneous(problem.points)
    weighted = (problem.trust[..., None] * p).mT
    spread = product(weighted, p)
    regular = spread + LEAST_SHARE * torch.eye(4).to(spread)
    affine = torch.linalg.solve_ex(regular, product(weighted, rays[..., :2])).result.mT
    first, second = affine[..., :3].unbind(dim=-2)
    scale = (length(first) + length(second))[..., None] / 2
    third = torch.linalg.cross(first, second) / scale
    shift = torch.cat([affine[..., 3], torch.ones_like(scale)], dim=-1)
    return _pose(torch.stack([*torch.stack([first, second, third], -2).unbind(-1), shift], dim=-1))


def _eigh(symmetric: Float[Tensor, "*batch d d"]) -> tuple[Tensor, Tensor]:
    """Return eigenvalues and eigenvectors; one matrix beyond the dtype does not end the others."""
    values, vectors = torch.linalg.eigh(replace_missing(symmetric, 2).values)
    return values, vectors
