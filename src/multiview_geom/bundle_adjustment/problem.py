"""The cost of a bundle adjustment, its linearization, and its steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom.bundle_adjustment.camera_parameters import CameraParameter, FreeParameters
from multiview_geom.bundle_adjustment.gauge import (
    GAUGE,
    align_rigs,
    gauge_directions,
    remove_gauge,
    transform_cameras,
)
from multiview_geom.bundle_adjustment.normal_equations import NormalEquations, normal_equations
from multiview_geom.bundle_adjustment.priors import Prior, linearized
from multiview_geom.cameras import Cameras
from multiview_geom.transforms import world_to_camera
from multiview_geom.triangulation.refinement import camera_point_pixels
from multiview_geom.triangulation.residual_losses import Loss, loss_slopes

FIRST_DAMPING, DAMPING_DOWN, DAMPING_UP = 1e-3, 0.1, 10.0
"""Damping relative to the diagonal, and its factors after a step that lowers the cost, or not."""
LEAST_DAMPING, LARGEST_DAMPING = 1e-12, 1e8
"""Above the largest damping, no step lowers the cost: the minimum is found up to round-off."""
FELT_DAMPING = 1e-3
"""The least damping after a step that did not help: weaker damping hardly changes a step."""
TOLERANCE = 1e-8
"""A step that is expected to lower the cost by a smaller share is the last one."""
WEAK = 1e-8
"""A larger damping hides parameters that are determined weakly: no such step is the last one."""
EASED = 1e-3
"""Factor on the damping of such a step."""
ROUND_OFF_PX = 1e-9
"""Residuals whose RMS is below this are round-off."""
NEAR = 1e-2
"""Once a step is expected to lower the cost by less than this share, the steps use the curvature
of the loss. Before, they reweight the residuals only, which is slower but never steps too far."""
LEAST_CURVATURE = 0.1
"""Least curvature of a loss along the residual, as a share of its slope: steps stay finite."""


class Scene(NamedTuple):
    """Cameras and points."""

    cameras: Cameras
    points: Float[Tensor, "points 3"]


@dataclass(frozen=True)
class Problem:
    """The detections, the cameras to start from, what is free, and the cost of residuals.

    Attributes:
        pixels: The detections; NaN where missing.
        trust: Their weights; zero where missing.
        first: The cameras to start from.
        free: The parameters that may change.
        loss: The cost of a squared residual.
        priors: What is known about the points.
        frames: The number of frames that the points are in.
    """

    pixels: Float[Tensor, "views points 2"]
    trust: Float[Tensor, "views points"]
    first: Cameras
    free: FreeParameters
    loss: Loss
    priors: Sequence[Prior] = ()
    frames: int = 1

    @property
    def has_gauge(self) -> bool:
        """Whether a similarity of the world changes no residual."""
        return CameraParameter.EXTRINSICS in self.free.kinds

    def residuals(self, scene: Scene) -> Float[Tensor, "views 2 points"]:
        """Return the projections minus the detections."""
        local = world_to_camera(scene.cameras.camera_from_world, scene.points)
        return (camera_point_pixels(scene.cameras, local) - self.pixels).mT

    def cost(self, scene: Scene) -> float:
        """Return the cost; infinite where a detected point has no pixel."""
        squared = self.residuals(scene).square().sum(dim=1)
        cost = torch.where(self.trust > 0, self.trust * self.loss(squared), 0.0).sum()
        cost = cost + self._prior_residuals(scene.points).square().sum()
        return float(torch.where(cost.isfinite(), cost, torch.inf))

    def equations(
        self, scene: Scene, least_curvature: float = 1.0
    ) -> tuple[NormalEquations, Float[Tensor, ""]]:
        """Linearize; return also the sum of the squared reweighted residuals."""
        pixels, by_camera, by_point = self.free.linearize(*scene)
        seen = (self.trust > 0)[:, None]
        off = torch.where(seen, pixels - self.pixels.mT, 0.0)
        squared = off.square().sum(dim=1, keepdim=True)
        slope, curvature = loss_slopes(self.loss, squared)
        # Triggs, sec. 4.3: along the residual, the curvature of the loss is `keep²` of its slope.
        ratio = 1 + 2 * curvature * squared / torch.where(slope > 0, slope, 1.0)
        keep = ratio.clamp(min=least_curvature, max=1.0).sqrt()
        direction = off / torch.where(squared > 0, squared, 1.0).sqrt()
        root = (torch.where(seen, self.trust[:, None], 0.0) * slope).sqrt()

        def reweighted(jacobian: Tensor) -> Tensor:
            jacobian = torch.where(seen[:, None], jacobian, 0.0)
            along = (direction[:, :, None] * jacobian).sum(dim=1, keepdim=True)
            less = (1 - keep)[:, :, None] * direction[:, :, None] * along
            return root[:, :, None] * (jacobian - less)

        weighted = root * off
        jacobians = reweighted(by_camera), reweighted(by_point)
        return normal_equations(weighted / keep, *jacobians), weighted.square().sum()

    def with_priors(self, scene: Scene, equations: NormalEquations) -> NormalEquations:
        """Add what is known about the points."""
        if not self.priors:
            return equations
        prior = linearized(self._prior_residuals, scene.points)
        slope = equations.point_slope + prior.slope
        return equations._replace(point_slope=slope, coupling=prior.times)

    def _prior_residuals(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "residuals"]:
        known = (self.trust > 0).any(dim=0).unflatten(0, (self.frames, -1))
        apart = points.unflatten(0, (self.frames, -1))
        parts = [prior.residuals(apart, known).flatten() for prior in self.priors]
        return torch.cat([points.new_zeros(0), *parts])

    def step(self, scene: Scene, equations: NormalEquations, damping: float) -> "Step":
        """Solve the damped equations for a step of all cameras and points."""
        reduced = equations.damped(damping).reduced()
        solved = self._inverse_times(scene, reduced.hessian, equations, -reduced.slope[:, None])
        cameras = solved.reshape_as(equations.camera_slope)
        points = reduced.point_step(cameras)
        gain = (cameras * equations.camera_slope).sum() + (points * equations.point_slope).sum()
        moved = Scene(self.free.moved(scene.cameras, cameras), scene.points + points.mT)
        return Step(moved, -float(gain))

    def _inverse_times(
        self, scene: Scene, hessian: Tensor, equations: NormalEquations, right: Tensor
    ) -> Float[Tensor, "parameters columns"]:
        """Solve with the Hessian of the cameras, in which the gauge directions are held."""
        diagonal = equations.cameras.diagonal(dim1=-2, dim2=-1).flatten()
        scale = torch.where(diagonal > 0, diagonal, 1.0).sqrt()
        scaled = hessian / scale / scale[:, None]
        scaled = scaled + torch.diag((diagonal <= 0).to(scaled))
        if self.has_gauge:
            N = gauge_directions(scene.cameras, len(self.free.names)) * scale[:, None]
            held = torch.linalg.qr(N).Q
            scaled = scaled + held @ held.mT
        solution: Tensor = torch.linalg.solve_ex(scaled, right / scale[:, None]).result
        return solution / scale[:, None]

    def covariance(self, scene: Scene) -> Float[Tensor, "views n n"]:
        """Return the covariance of each camera, in the gauge of the start."""
        equations, squared = self.equations(scene)
        hessian = equations.reduced().hessian
        joint = self._inverse_times(scene, hessian, equations, torch.eye(len(hessian)).to(hessian))
        if self.has_gauge:
            joint = remove_gauge(joint, scene.cameras)
        seen = self.trust > 0
        unknowns = len(joint) + 3 * int(seen.any(dim=0).sum()) - GAUGE * self.has_gauge
        freedom = max(2 * int(seen.sum()) - unknowns, 1)
        views, n = equations.camera_slope.shape
        own = joint.reshape(views, n, views, n).diagonal(dim1=0, dim2=2).movedim(-1, 0)
        return own * (squared / freedom)

    def in_first_gauge(self, scene: Scene) -> Scene:
        """Move the world so that the cameras have moved least from the start."""
        if not self.has_gauge:
            return scene
        moved = align_rigs(scene.cameras, self.first)
        return Scene(transform_cameras(scene.cameras, moved), moved.apply(scene.points))


class Step(NamedTuple):
    """Where a step leads, and by how much it is expected to lower the cost."""

    scene: Scene
    gain: float


def descend(problem: Problem, scene: Scene, steps: int) -> tuple[Scene, bool]:
    """Take damped Gauss-Newton steps, and keep those that lower the cost."""
    cost, damping, least_curvature = problem.cost(scene), FIRST_DAMPING, 1.0
    negligible = ROUND_OFF_PX**2 * float(problem.trust.sum())
    equations = problem.with_priors(scene, problem.equations(scene)[0])
    for _ in range(steps):
        trial, gain = problem.step(scene, equations, damping)
        trial_cost = problem.cost(trial)
        helped = trial_cost < cost
        if helped:
            scene, cost = trial, trial_cost
            damping = max(damping * DAMPING_DOWN, LEAST_DAMPING)
            least_curvature = LEAST_CURVATURE if gain < NEAR * cost else 1.0
            equations, _ = problem.equations(scene, least_curvature)
            equations = problem.with_priors(scene, equations)
        else:
            damping = max(damping * DAMPING_UP, FELT_DAMPING)
        is_last = gain <= TOLERANCE * cost + negligible
        if damping > LARGEST_DAMPING or (is_last and (damping <= WEAK or not helped)):
            return scene, True
        damping *= EASED if is_last else 1.0
    return scene, False
