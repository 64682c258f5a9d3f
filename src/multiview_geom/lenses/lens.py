"""The lens models of cameras, and the functions of each model and of a rig that mixes them."""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, TypeVar

import torch
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


def require_lens(lens: object) -> None:
    """Refuse a model that is not a `Lens`, such as its name."""
    kinds = lens if isinstance(lens, tuple) else (lens,)
    if not all(isinstance(one, Lens) for one in kinds):
        raise ValueError(f"`lens` must be a Lens, such as Lens.FISHEYE, or a tuple, got {lens!r}")


class Lens(Enum):
    """What the lens coefficients of a camera mean.

    Example:
        >>> Lens("fisheye")
        <Lens.FISHEYE: 'fisheye'>
    """

    OPENCV = "opencv"
    """k1, k2, p1, p2[, k3[, k4, k5, k6[, s1, s2, s3, s4[, tau_x, tau_y]]]]."""
    FISHEYE = "fisheye"
    """k1, k2, k3, k4 of Kannala and Brandt, the factors of powers of the angle from the axis."""

    def __reduce_ex__(self, protocol: object) -> tuple[type["Lens"], tuple[str]]:
        # Python 3.11.0 to 3.11.3 would call getattr, which `torch.load` refuses.
        return type(self), (self.value,)


FISHEYE_COEFFICIENTS = 4

Masked = TypeVar("Masked", ValidPixels, ValidDirections)
LensFunction = Callable[[Tensor, Tensor, Tensor], Masked]


class LensFunctions(NamedTuple):
    """What a lens model does, given intrinsics and coefficients."""

    require_coefficients: Callable[[Tensor], None]
    project: LensFunction[ValidPixels]
    unproject: LensFunction[ValidDirections]
    undistort: LensFunction[ValidPixels]


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


def lens_functions(lens: Lens | tuple[Lens, ...]) -> LensFunctions:
    """Return the functions of a lens model, or those of a rig with one model per view.

    In a rig that mixes models, the coefficients have as many columns as the longest row needs; a
    fisheye uses the first four.

    Example:
        >>> lens_functions((Lens.OPENCV, Lens.FISHEYE)).project is project_camera_points
        False
    """
    if isinstance(lens, Lens):
        return LENS_FUNCTIONS[lens]
    return LensFunctions(
        require_coefficients,
        _per_view(lens, {model: LENS_FUNCTIONS[model].project for model in Lens}),
        _per_view(lens, {model: LENS_FUNCTIONS[model].unproject for model in Lens}),
        _per_view(lens, {model: LENS_FUNCTIONS[model].undistort for model in Lens}),
    )


def _per_view(
    lens: tuple[Lens, ...], functions: dict[Lens, LensFunction[Masked]]
) -> LensFunction[Masked]:
    """Return a function that calls the one of each view's lens."""

    def apply(intrinsics: Tensor, coefficients: Tensor, points: Tensor) -> Masked:
        results = []
        for view, model in enumerate(lens):
            one = slice(view, view + 1)
            k = coefficients[..., one, :]
            if model is Lens.FISHEYE:
                k = k[..., :FISHEYE_COEFFICIENTS]
            results.append(functions[model](intrinsics[..., one, :, :], k, points[..., one, :, :]))
        values, valid = zip(*results, strict=True)
        return type(results[0])(torch.cat(values, dim=-3), torch.cat(valid, dim=-2))

    return apply
