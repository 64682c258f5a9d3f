"""Normal equations of cameras and points, solved by the Schur complement over the points."""

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


class NormalEquations(NamedTuple):
    """The Gauss-Newton Hessian and the gradient, each divided by two.

    The Hessian has a block for each camera, a block for each point, and a block for each pair of
    a camera and a point that it saw. No matrix of all parameters is built.
    """

    cameras: Float[Tensor, "views n n"]
    points: Float[Tensor, "6 points"]
    mixed: Float[Tensor, "views n 3 points"]
    camera_slope: Float[Tensor, "views n"]
    point_slope: Float[Tensor, "3 points"]

    def damped(self, damping: float) -> "NormalEquations":
        """Multiply the diagonals by one plus the damping (Marquardt)."""
        points = self.points.clone()
        points[DIAGONAL, :] *= 1 + damping
        cameras = self.cameras.clone()
        cameras.diagonal(dim1=-2, dim2=-1).mul_(1 + damping)
        return self._replace(cameras=cameras, points=points)

    def reduced(self) -> "ReducedEquations":
        """Eliminate the points."""
        inverse, _ = invert_symmetric(self.points)
        full = inverse[FULL, :].unflatten(0, (3, 3))
        columns = [(self.mixed * full[:, at]).sum(dim=2) for at in range(3)]
        mixed_inverse = torch.stack(columns, dim=2)
        views, n = self.camera_slope.shape
        rows = mixed_inverse.reshape(views * n, -1)
        hessian = torch.block_diag(*self.cameras)
        hessian = hessian - product(rows, self.mixed.reshape(views * n, -1).mT)
        slope = self.camera_slope.flatten() - product(rows, self.point_slope.reshape(-1, 1))[:, 0]
        return ReducedEquations((hessian + hessian.mT) / 2, slope, full)

    def point_step(
        self, camera_step: Float[Tensor, "views n"], inverse: Float[Tensor, "3 3 points"]
    ) -> Float[Tensor, "3 points"]:
        """Solve for the points, given the step of the cameras."""
        views, n = camera_step.shape
        seen = product(
            camera_step.reshape(1, views * n), self.mixed.reshape(views * n, -1)
        ).reshape_as(self.point_slope)
        return -(inverse * (self.point_slope + seen)).sum(dim=1)


class ReducedEquations(NamedTuple):
    """The equations of the cameras alone, and the inverses of the blocks of the points."""

    hessian: Float[Tensor, "parameters parameters"]
    slope: Float[Tensor, "parameters"]
    point_inverse: Float[Tensor, "3 3 points"]


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
