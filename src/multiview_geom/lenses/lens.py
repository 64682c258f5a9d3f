"""The lens models a rig may have, and the functions of each."""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from torch import Tensor

from multiview_geom.lenses.fisheye import (
    project_fisheye_camera_points,
    require_fisheye_coefficients,
    undistort_fisheye_pixels,
    unproject_fisheye_pixels,
)
from multiview_geom.lenses.polynomial import (
    project_camera_points,
    require_coefficients,
    undistort_pixels,
    unproject_pixels,
)
from multiview_geom.validity import ValidDirections, ValidPixels


class Lens(Enum):
    """What the lens coefficients of a rig mean.

    Example:
        >>> Lens("fisheye")
        <Lens.FISHEYE: 'fisheye'>
    """

    OPENCV = "opencv"
    """k1, k2, p1, p2[, k3[, k4, k5, k6[, s1, s2, s3, s4[, tau_x, tau_y]]]]."""
    FISHEYE = "fisheye"
    """k1, k2, k3, k4 of Kannala and Brandt, the factors of powers of the angle from the axis."""


class LensFunctions(NamedTuple):
    """What a lens model does, given intrinsics and coefficients."""

    require_coefficients: Callable[[Tensor], None]
    project: Callable[[Tensor, Tensor, Tensor], ValidPixels]
    unproject: Callable[[Tensor, Tensor, Tensor], ValidDirections]
    undistort: Callable[[Tensor, Tensor, Tensor], ValidPixels]


LENS_FUNCTIONS = {
    Lens.OPENCV: LensFunctions(
        require_coefficients, project_camera_points, unproject_pixels, undistort_pixels
    ),
    Lens.FISHEYE: LensFunctions(
        require_fisheye_coefficients,
        project_fisheye_camera_points,
        unproject_fisheye_pixels,
        undistort_fisheye_pixels,
    ),
}
