"""The parameters of cameras that an adjustment may change, and derivatives by them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from numbers import Integral
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._validation import product, require_items
from multiview_geom.cameras import Cameras
from multiview_geom.rotations import rotation_from_vector
from multiview_geom.transforms import rigid_transform, world_to_camera
from multiview_geom.triangulation.refinement import camera_point_pixels, jacobian_rows

EXTRINSICS = ("rotation_x", "rotation_y", "rotation_z", "center_x", "center_y", "center_z")
"""Names of the parameters of a pose."""
POSE = len(EXTRINSICS)


class CameraParameter(Enum):
    """A group of parameters that `bundle_adjust` can change in each camera.

    Example:
        >>> CameraParameter("focal")
        <CameraParameter.FOCAL: 'focal'>
    """

    EXTRINSICS = "extrinsics"
    """Rotation and center."""
    FOCAL = "focal"
    """A common factor of both focal lengths."""
    PRINCIPAL_POINT = "principal_point"
    """Both coordinates of the principal point."""
    DISTORTION = "distortion"
    """Lens coefficients."""


class Linearization(NamedTuple):
    """Pixels of points, and their derivatives by the parameters of cameras and points."""

    pixels: Float[Tensor, "views 2 points"]
    by_camera: Float[Tensor, "views 2 n points"]
    by_point: Float[Tensor, "views 2 3 points"]


@dataclass(frozen=True)
class FreeParameters:
    """Which parameters of each camera are free, in the order of the columns.

    A step of the rotation is a rotation vector in the camera's frame, which does not move the
    center; a step of the focal length is the logarithm of its factor.

    Attributes:
        kinds: The groups.
        coefficients: The numbers of the free lens coefficients.
    """

    kinds: frozenset[CameraParameter]
    coefficients: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each column."""
        names = {
            CameraParameter.EXTRINSICS: EXTRINSICS,
            CameraParameter.FOCAL: ("log_focal",),
            CameraParameter.PRINCIPAL_POINT: ("principal_x", "principal_y"),
            CameraParameter.DISTORTION: tuple(f"distortion_{at + 1}" for at in self.coefficients),
        }
        return sum((names[kind] for kind in CameraParameter if kind in self.kinds), ())

    def linearize(self, cameras: Cameras, points: Float[Tensor, "points 3"]) -> Linearization:
        """Project points, and differentiate by the free parameters and the points."""
        pose = cameras.camera_from_world
        local = world_to_camera(pose, points)

        def project(camera_points: Tensor) -> Tensor:
            return camera_point_pixels(cameras, camera_points)

        pixels, pull_back = torch.func.vjp(project, local)[:2]
        by_local = jacobian_rows(pull_back, pixels)
        by_point = product(by_local, pose[:, :3, :3])
        blocks = []
        if CameraParameter.EXTRINSICS in self.kinds:
            turned = torch.linalg.cross(local.expand_as(by_local), by_local)
            blocks.append(torch.cat([turned, -by_point], dim=-1))
        if CameraParameter.FOCAL in self.kinds:
            from_principal = pixels - cameras.intrinsics[:, None, :2, 2]
            blocks.append(from_principal.movedim(-1, 0)[..., None])
        if CameraParameter.PRINCIPAL_POINT in self.kinds:
            identity = torch.eye(2, dtype=pixels.dtype, device=pixels.device)
            blocks.append(identity[:, None, None].expand(2, *pixels.shape[:-1], 2))
        if CameraParameter.DISTORTION in self.kinds and cameras.distortion is not None:
            blocks.append(_by_distortion(cameras, cameras.distortion, local, self.coefficients))
        return Linearization(pixels.mT, _points_last(torch.cat(blocks, -1)), _points_last(by_point))

    def moved(self, cameras: Cameras, step: Float[Tensor, "views n"]) -> Cameras:
        """Add a step to the free parameters."""
        sizes = {
            CameraParameter.EXTRINSICS: POSE,
            CameraParameter.FOCAL: 1,
            CameraParameter.PRINCIPAL_POINT: 2,
            CameraParameter.DISTORTION: len(self.coefficients),
        }
        kinds = [kind for kind in CameraParameter if kind in self.kinds]
        for kind, part in zip(kinds, step.split([sizes[k] for k in kinds], dim=-1), strict=True):
            cameras = self._moved(cameras, kind, part)
        return cameras

    def _moved(self, cameras: Cameras, kind: CameraParameter, step: Tensor) -> Cameras:
        if kind is CameraParameter.EXTRINSICS:
            return _with_moved_poses(cameras, step)
        if kind is CameraParameter.DISTORTION and cameras.distortion is not None:
            changed = cameras.distortion.clone()
            changed[:, list(self.coefficients)] += step
            return replace(cameras, distortion=changed)
        K = cameras.intrinsics.clone()
        if kind is CameraParameter.FOCAL:
            K[:, :2, :2] *= step.exp()[..., None]
        else:
            K[:, :2, 2] += step
        return replace(cameras, intrinsics=K)


def free_parameters(
    cameras: Cameras, free: Collection[CameraParameter], coefficients: Sequence[int] | None
) -> FreeParameters:
    """Check which parameters are to be free."""
    require_items("free", free, object, "`CameraParameter`")
    kinds = frozenset(free)
    if not kinds or not kinds <= {*CameraParameter}:
        raise ValueError(
            f"`free` must have one or more `CameraParameter`, got {sorted(map(str, free))}: to "
            "change only points, use `refine_points`"
        )
    if coefficients is not None:
        require_items("coefficients", coefficients, Integral, "whole numbers")
    if CameraParameter.DISTORTION not in kinds:
        return FreeParameters(kinds, ())
    if cameras.distortion is None:
        raise ValueError(
            "`distortion` of the cameras must be given where it is free, got None: start from "
            "coefficients of zero"
        )
    count = cameras.distortion.shape[-1]
    numbers = tuple(range(count) if coefficients is None else coefficients)
    if not numbers or not {*numbers} <= {*range(count)} or len({*numbers}) < len(numbers):
        raise ValueError(
            f"`coefficients` must be different numbers from 0 to {count - 1}, got {numbers}"
        )
    return FreeParameters(kinds, numbers)


def _with_moved_poses(cameras: Cameras, step: Float[Tensor, "views 6"]) -> Cameras:
    turn, shift = step.split(3, dim=-1)
    rotation = product(rotation_from_vector(turn), cameras.camera_from_world[:, :3, :3])
    center = cameras.centers + shift
    pose = rigid_transform(rotation, -product(rotation, center[..., None])[..., 0])
    return replace(cameras, camera_from_world=pose)


def _by_distortion(
    cameras: Cameras,
    lens: Float[Tensor, "views all"],
    local: Float[Tensor, "views points 3"],
    coefficients: tuple[int, ...],
) -> Float[Tensor, "2 views points n"]:
    """Differentiate the pixels by lens coefficients: a coefficient is shared by all points."""

    def project(distortion: Tensor) -> Tensor:
        return camera_point_pixels(replace(cameras, distortion=distortion), local)

    axes = torch.eye(lens.shape[-1], dtype=lens.dtype, device=lens.device)[list(coefficients)]
    push = _push_forward(project, lens)
    return torch.stack([push(axis.expand_as(lens)) for axis in axes], dim=-1).movedim(2, 0)


def _push_forward(function: Callable[[Tensor], Tensor], at: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the directional derivative: the derivative of a gradient, which is linear."""
    values, pull_back = torch.func.vjp(function, at)[:2]
    push = torch.func.vjp(lambda pulled: pull_back(pulled)[0], torch.zeros_like(values))[1]
    return lambda direction: push(direction)[0]


def _points_last(
    jacobian: Float[Tensor, "2 views points n"],
) -> Float[Tensor, "views 2 n points"]:
    return jacobian.movedim((1, 0), (0, 1)).mT.contiguous()
