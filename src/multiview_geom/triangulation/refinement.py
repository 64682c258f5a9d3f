"""Refinement of points by the reprojection error in the distorted image."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels.engines import wide_dtype
from multiview_geom._validation import (
    broadcast_axes,
    full_precision,
    product,
    require_at_least,
    require_cameras,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom.cameras import Cameras
from multiview_geom.homogeneous import from_homogeneous
from multiview_geom.lenses.lens import Lens, lens_functions
from multiview_geom.lenses.polynomial import distort_pixels
from multiview_geom.transforms import world_to_camera
from multiview_geom.triangulation._sightings import (
    COLUMNS,
    DIAGONAL,
    ROWS,
    Sightings,
    largest_of_views,
    require_sightings,
    solve_symmetric,
    usable_rig,
    usable_sightings,
    widened,
)
from multiview_geom.triangulation.residual_losses import LinearLoss, Loss, loss_slopes, require_loss

FIRST_DAMPING = 1e-3
"""Damping of the first step, relative to the mean diagonal of the Hessian."""
EASE, BRAKE = 0.1, 10.0
"""Factor on the damping after a step that lowers the cost, and after any other step."""


class RefinedPoints(NamedTuple):
    """Points, and which of them converged.

    Example:
        >>> from multiview_geom import project_points, ring_of_cameras
        >>> rig = ring_of_cameras(4, radius=4.0, height=1.0)
        >>> truth = torch.tensor([[0.1, 0.2, 0.3]])
        >>> refined = refine_points(rig, truth + 0.01, project_points(rig.projections, truth))
        >>> refined.points.round(decimals=3), refined.converged
        (tensor([[0.1000, 0.2000, 0.3000]]), tensor([True]))
    """

    points: Float[Tensor, "*batch points 3"]
    converged: Bool[Tensor, "*batch points"]


def refine_points(
    cameras: Cameras,
    points: Float[Tensor, "*#batch points 3"],
    pixels: Float[Tensor, "*#batch views points 2"],
    *,
    weights: Float[Tensor, "*#batch views points"] | None = None,
    loss: Loss = LinearLoss(),  # noqa: B008 - frozen
    steps: int = 10,
) -> RefinedPoints:
    """Refine world points by minimizing the reprojection error in the distorted image.

    Minimizes the sum over the views of `weight * loss(residual²)`. The residual is the
    distance between the detected pixel and `cameras.project`, which includes the lens: the
    detector's noise is in the distorted image.

    Args:
        cameras: The rig.
        points: Initial points, triangulated from undistorted pixels if the distortion is strong.
        pixels: Detected pixel of each point in each view, with lens distortion [px].
        weights: Weight of each detection, >= 0. A detection of weight zero or less is ignored. 1 by
            default.
        loss: The cost of a squared residual. `HuberLoss` and `CauchyLoss` reduce the influence of
            outliers.
        steps: Number of damped Gauss-Newton steps; two undamped Newton steps follow.

    Returns:
        The points, and which of them converged. A point has converged if its last step was below
        the square root of the machine epsilon, relative to its distance from the farthest camera;
        the next step would be below round-off.

    Raises:
        ValueError: If a shape or dtype disagrees, or `steps` is negative.

    Note:
        The gradient is that of the optimum, by the implicit function theorem. It does not depend
        on the initial points or on the number of steps, and second derivatives are exact. The
        gradient of a point that has not converged is zero.
        A pixel that is not finite counts as weight zero. If the initial point is NaN, or if the
        point was not detected from two different camera centers, the result is NaN. Such a point
        has not converged, and neither has a point that is not visible in any view.

    Reference:
        Levenberg-Marquardt with iteratively reweighted residuals: Triggs et al., Bundle
        adjustment, a modern synthesis, 2000, sec. 4.3 and 3.3.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> rig, truth = ring_of_cameras(4, radius=4.0, height=1.0), torch.tensor([[0.1, 0.2, 0.3]])
        >>> start = torch.zeros(1, 3)
        >>> refined = refine_points(rig, start, rig.project(truth).pixels)
        >>> refined.points.round(decimals=3), refined.converged
        (tensor([[0.1000, 0.2000, 0.3000]]), tensor([True]))
    """
    require_cameras("cameras", cameras)
    require_floating(cameras=cameras.projections, points=points, pixels=pixels)
    require_sightings(cameras.projections, pixels, weights)
    require_trailing_shape("points", points, "points", 3)
    require_same_size("points", points=points.shape[-2], pixels=pixels.shape[-2])
    require_at_least("steps", steps, 0)
    require_loss(loss)
    broadcast_axes(
        points=points.shape[:-2], pixels=pixels.shape[:-3], cameras=cameras.projections.shape[:-3]
    )
    with full_precision(points):
        rig = cameras.to(wide_dtype(pixels))
        seen = usable_sightings(rig.projections, pixels, weights)
        best, converged = _refined(_usable_cameras(rig), widened(points), seen, loss, steps)
    return RefinedPoints(best.to(pixels.dtype), converged)


def _refined(
    rig: Cameras,
    points: Float[Tensor, "*#batch points 3"],
    seen: Sightings,
    loss: Loss,
    steps: int,
) -> tuple[Float[Tensor, "*#batch points 3"], Bool[Tensor, "*#batch points"]]:
    """Minimize without autograd, and take two Newton steps with autograd at the optimum."""
    fixed = (seen.trust > 0).any(dim=-2) & points.isfinite().all(dim=-1)
    trust = torch.where(fixed[..., None, :], seen.trust, 0.0)
    start = torch.where(fixed[..., None], points, _before_a_camera(rig))
    fit = _Fit(rig, seen.pixels, trust, loss)
    with torch.no_grad():
        found = _descend(fit, start, steps)
    # Two recorded steps from the detached optimum: first and second derivatives of the optimum.
    nearer, _ = _newton_step(fit, found.detach())
    best, regular = _newton_step(fit, nearer)
    converged = fixed & regular & _rests(fit, best, nearer, seen.round_off)
    best = torch.where(converged[..., None], best, found.detach())
    return torch.where(fixed[..., None], best, torch.nan), converged


@dataclass(frozen=True)
class _Fit:
    """The detections of the points, and the cost of their residuals."""

    cameras: Cameras
    pixels: Float[Tensor, "*#batch views points 2"]
    trust: Float[Tensor, "*#batch views points"]
    loss: Loss

    def residuals(self, points: Float[Tensor, "*batch points 3"]) -> Tensor:
        """Return the residual of each projection; zero where the detection is missing."""
        camera_points = world_to_camera(self.cameras.camera_from_world, points)
        return self._detected(camera_point_pixels(self.cameras, camera_points) - self.pixels)

    def linearized(self, points: Float[Tensor, "*batch points 3"]) -> tuple[Tensor, Tensor]:
        """Return the residuals, and their derivatives by the three coordinates as first axis."""
        pose = self.cameras.camera_from_world
        camera_points = world_to_camera(pose, points)
        pixels, pull_back = torch.func.vjp(
            partial(camera_point_pixels, self.cameras), camera_points
        )[:2]
        change = product(jacobian_rows(pull_back, pixels), pose[..., :3, :3]).transpose(0, -1)
        return self._detected(pixels - self.pixels), self._detected(change)

    def _detected(self, off: Float[Tensor, "*any views points 2"]) -> Tensor:
        return torch.where((self.trust > 0)[..., None], off, 0.0)

    def cost(self, points: Float[Tensor, "*batch points 3"]) -> Tensor:
        """Return each point's cost."""
        squared = self.residuals(points).square().sum(dim=-1)
        return (self.trust * self.loss(squared)).sum(dim=-2)

    def slope(self, points: Float[Tensor, "*batch points 3"]) -> Tensor:
        """Return half the derivative of each point's cost."""
        slope: Tensor = torch.func.grad(lambda places: self.cost(places).sum() / 2)(points)
        return slope


def camera_point_pixels(
    cameras: Cameras, points: Float[Tensor, "*batch views points 3"]
) -> Float[Tensor, "*batch views points 2"]:
    """Project points of each camera's frame, without the check where the lens folds back."""
    if cameras.distortion is not None and cameras.lens is not Lens.OPENCV:
        project = lens_functions(cameras.lens).project
        return project(cameras.intrinsics, cameras.distortion, points).pixels
    ideal = from_homogeneous(product(points, cameras.intrinsics.mT))
    if cameras.distortion is None:
        return ideal
    return distort_pixels(cameras.intrinsics, cameras.distortion, ideal)


def _descend(
    fit: _Fit, points: Float[Tensor, "*batch points 3"], steps: int
) -> Float[Tensor, "*batch points 3"]:
    """Take damped Gauss-Newton steps, and keep those that lower the cost."""
    cost = fit.cost(points)
    damping = torch.full_like(cost, FIRST_DAMPING)
    for _ in range(steps):
        trial = points - _damped_move(fit, points, damping)
        trial_cost = fit.cost(trial)
        helped = trial_cost < cost
        points = torch.where(helped[..., None], trial, points)
        cost = torch.where(helped, trial_cost, cost)
        damping = torch.where(helped, EASE * damping, BRAKE * damping)
    return points


def _damped_move(
    fit: _Fit, points: Float[Tensor, "*batch points 3"], damping: Float[Tensor, "*batch points"]
) -> Float[Tensor, "*batch points 3"]:
    """Solve the normal equations of the linearised residuals, but not of a linearised loss.

    The second derivative of a robust loss is negative for large residuals. If the Hessian is
    not positive definite with this term, the term is left out.
    """
    off, change = fit.linearized(points)
    squared, pull = off.square().sum(dim=-1), (change * off).sum(dim=-1)
    steepness, flattening = loss_slopes(fit.loss, squared)
    slope = _summed(fit.trust * steepness * pull)
    firm = _summed(fit.trust * steepness * (change[ROWS, ...] * change[COLUMNS, ...]).sum(dim=-1))
    bent = firm + _summed(2 * fit.trust * flattening * pull[ROWS, ...] * pull[COLUMNS, ...])
    identity = torch.eye(3, dtype=points.dtype, device=points.device)[ROWS, COLUMNS, None]
    brake = identity * (damping * firm[..., DIAGONAL, :].mean(dim=-2))[..., None, :]
    move, upwards = solve_symmetric(bent + brake, slope)
    surely, _ = solve_symmetric(firm + brake, slope)
    return torch.where(upwards[..., None, :], move, surely).mT


def _summed(terms: Float[Tensor, "entries *batch views points"]) -> Tensor:
    """Sum over the views, and move the entries to where matrices have them."""
    return terms.sum(dim=-2).movedim(0, -2)


def _newton_step(
    fit: _Fit, points: Float[Tensor, "*batch points 3"]
) -> tuple[Float[Tensor, "*batch points 3"], Bool[Tensor, "*batch points"]]:
    """Take a Newton step with the exact Hessian; False where it is not positive definite."""
    slope, pull_back = torch.func.vjp(fit.slope, points)[:2]
    hessian = jacobian_rows(pull_back, slope)
    move, upwards = solve_symmetric(hessian[ROWS, ..., COLUMNS].movedim(0, -2), slope.mT)
    return points - move.mT, upwards


def jacobian_rows(
    pull_back: Callable[[Tensor], tuple[Tensor, ...]], values: Float[Tensor, "*batch d"]
) -> Float[Tensor, "d *batch 3"]:
    """Return the derivatives of each coordinate of some values.

    Forward differentiation would be as short, but its levels are shared by all Python threads.
    """
    axes = torch.eye(values.shape[-1], dtype=values.dtype, device=values.device)
    return torch.stack([pull_back(axis.expand_as(values))[0] for axis in axes])


def _rests(
    fit: _Fit,
    points: Float[Tensor, "*batch points 3"],
    before: Float[Tensor, "*batch points 3"],
    round_off: float,
) -> Bool[Tensor, "*batch points"]:
    """Return which points are visible in a view and moved little in the last step."""
    points, before = points.detach(), before.detach()
    away = points[..., None, :, :] - fit.cameras.centers.detach()[..., None, :]
    farthest_squared = largest_of_views(away.square().sum(dim=-1))
    moved_squared = (points - before).square().sum(dim=-1)
    visible = (fit.cameras.project(points).valid & (fit.trust > 0)).any(dim=-2)
    return visible & (moved_squared <= round_off * farthest_squared)


def _usable_cameras(cameras: Cameras) -> Cameras:
    """Replace a camera whose calibration is not finite by a camera at the origin."""
    K, pose, lens = cameras.intrinsics, cameras.camera_from_world, cameras.distortion
    _, calibrated = usable_rig(cameras.projections)
    known = calibrated[..., None, None]
    unit = torch.eye(4, dtype=K.dtype, device=K.device)
    return replace(
        cameras,
        intrinsics=torch.where(known, K, unit[:3, :3]),
        camera_from_world=torch.where(known, pose, unit),
        distortion=None if lens is None else torch.where(known[..., 0], lens, 0.0),
    )


def _before_a_camera(cameras: Cameras) -> Float[Tensor, "*batch 1 3"]:
    """Return a valid point for missing ones: straight ahead of the first camera."""
    ahead = cameras.camera_from_world[..., :1, 2, :3]
    # A sum of one: a rig without views has no first camera.
    return (cameras.centers[..., :1, :] + ahead).sum(dim=-2, keepdim=True).detach()
