"""Normal equations of cameras and points, solved by the Schur complement over the points."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._validation import product
from multiview_geom.triangulation._sightings import (
    COLUMNS,
    DIAGONAL,
    FULL,
    ROWS,
    invert_symmetric,
)

# Points that priors join are solved up to this relative error, which costs the steps little, in at
# most so many iterations.
LEFT, MOST_ITERATIONS = 1e-3, 500


class NormalEquations(NamedTuple):
    """The Gauss-Newton Hessian and the gradient, each divided by two.

    The Hessian has a block for each camera, a block for each point, and a block for each pair of
    a camera and a point that it saw. No matrix of all parameters is built. Where priors join
    points, `coupling` multiplies their part of the Hessian with vectors (columns, 3, points).
    """

    cameras: Float[Tensor, "views n n"]
    points: Float[Tensor, "6 points"]
    mixed: Float[Tensor, "views n 3 points"]
    camera_slope: Float[Tensor, "views n"]
    point_slope: Float[Tensor, "3 points"]
    coupling: Callable[[Tensor], Tensor] | None = None

    def damped(self, damping: float) -> "NormalEquations":
        """Multiply the diagonals by one plus the damping (Marquardt)."""
        points = self.points.clone()
        points[DIAGONAL, :] *= 1 + damping
        cameras = self.cameras.clone()
        cameras.diagonal(dim1=-2, dim2=-1).mul_(1 + damping)
        return self._replace(cameras=cameras, points=points)

    def reduced(self) -> "ReducedEquations":
        """Eliminate the points."""
        views, n = self.camera_slope.shape
        mixed = self.mixed.reshape(views * n, 3, -1)
        solved = self._points_solved(torch.cat([mixed, self.point_slope[None]]))
        by_camera, alone = solved[:-1], solved[-1]
        rows = mixed.reshape(views * n, -1)
        hessian = torch.block_diag(*self.cameras)
        hessian = hessian - product(rows, by_camera.reshape(views * n, -1).mT)
        slope = self.camera_slope.flatten() - product(rows, alone.reshape(-1, 1))[:, 0]
        return ReducedEquations((hessian + hessian.mT) / 2, slope, by_camera, alone)

    def _points_solved(
        self, right: Float[Tensor, "columns 3 points"]
    ) -> Float[Tensor, "columns 3 points"]:
        """Solve the equations of the points alone."""
        inverse, _ = invert_symmetric(self.points)
        if self.coupling is None:
            return _blocks_times(inverse, right)
        coupling = self.coupling
        return conjugate_gradients(
            lambda vectors: _blocks_times(self.points, vectors) + coupling(vectors),
            lambda vectors: _blocks_times(inverse, vectors),
            right,
        )


class ReducedEquations(NamedTuple):
    """The equations of the cameras alone, and the points that solve theirs.

    `by_camera` is what the points change by for each parameter of a camera, `alone` for fixed
    cameras; both with the opposite sign.
    """

    hessian: Float[Tensor, "parameters parameters"]
    slope: Float[Tensor, "parameters"]
    by_camera: Float[Tensor, "parameters 3 points"]
    alone: Float[Tensor, "3 points"]

    def point_step(self, camera_step: Float[Tensor, "views n"]) -> Float[Tensor, "3 points"]:
        """Solve for the points, given the step of the cameras."""
        flat = self.by_camera.flatten(1)
        moved = product(camera_step.reshape(1, -1), flat).reshape_as(self.alone)
        return -(self.alone + moved)


def _blocks_times(
    blocks: Float[Tensor, "6 points"], vectors: Float[Tensor, "columns 3 points"]
) -> Float[Tensor, "columns 3 points"]:
    """Multiply the symmetric block of each point with its vectors."""
    full = blocks[FULL, :].unflatten(0, (3, 3))
    return torch.stack([(vectors * full[:, at]).sum(dim=1) for at in range(3)], dim=1)


def conjugate_gradients(
    times: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    right: Float[Tensor, "columns *shape"],
) -> Float[Tensor, "columns *shape"]:
    """Solve symmetric equations for several right-hand sides, all at once.

    Args:
        times: Multiplies the matrix with vectors.
        precondition: Multiplies an approximate inverse with vectors.
        right: The right-hand sides.

    Returns:
        The solutions, up to `LEFT` of the size of the right-hand side in the norm of the inverse.

    Reference:
        Hestenes and Stiefel, Methods of conjugate gradients for solving linear systems, 1952.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).flatten(1).sum(dim=1).reshape(-1, *[1] * (a.ndim - 1))

    solution, left = torch.zeros_like(right), right
    corrected = precondition(left)
    direction, size = corrected, dot(left, corrected)
    enough = LEFT**2 * size
    for _ in range(MOST_ITERATIONS):
        if bool((size <= enough).all()):
            break
        image = times(direction)
        curvature = dot(direction, image)
        step = torch.where(size > enough, size / torch.where(curvature > 0, curvature, 1.0), 0.0)
        solution = solution + step * direction
        left = left - step * image
        corrected, before = precondition(left), size
        size = torch.where(before > enough, dot(left, corrected), before)
        direction = corrected + size / torch.where(before > 0, before, 1.0) * direction
    return solution


def normal_equations(
    residuals: Float[Tensor, "views 2 points"],
    by_camera: Float[Tensor, "views 2 n points"],
    by_point: Float[Tensor, "views 2 3 points"],
) -> NormalEquations:
    """Sum the outer products of the derivatives; residuals and derivatives are weighted.

    Reference:
        Triggs et al., Bundle adjustment, a modern synthesis, 2000, sec. 6.1.
    """
    views, _, n, points = by_camera.shape
    rows = by_camera.transpose(1, 2).reshape(views, n, 2 * points)
    off = residuals.reshape(views, 2 * points, 1)
    return NormalEquations(
        cameras=product(rows, rows.mT),
        points=(by_point[:, :, ROWS] * by_point[:, :, COLUMNS]).sum(dim=(0, 1)),
        mixed=(by_camera[:, :, :, None] * by_point[:, :, None]).sum(dim=1),
        camera_slope=product(rows, off)[..., 0],
        point_slope=(by_point * residuals[:, :, None]).sum(dim=(0, 1)),
    )
