"""A rig of calibrated cameras, and rigs built from numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import tau
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multiview_geom._validation import (
    product,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom.lenses.fisheye import COEFFICIENTS as FISHEYE_COEFFICIENTS
from multiview_geom.lenses.fisheye import (
    project_fisheye_camera_points,
    undistort_fisheye_pixels,
    unproject_fisheye_pixels,
)
from multiview_geom.lenses.polynomial import (
    ValidPixels,
    project_camera_points,
    require_coefficients,
    undistort_pixels,
    unproject_pixels,
)
from multiview_geom.projection import point_depths, project_points
from multiview_geom.transforms import invert_transform, look_at, world_to_camera


class Lens(Enum):
    """What the coefficients of a rig's lenses mean."""

    OPENCV = "opencv"
    """k1, k2, p1, p2[, k3[, k4, k5, k6[, s1, s2, s3, s4[, tau_x, tau_y]]]]."""
    FISHEYE = "fisheye"
    """k1, k2, k3, k4 of Kannala and Brandt, which weigh powers of the angle from the axis."""


class ProjectedPoints(NamedTuple):
    """Pixels and depths of points in each view, and which of them the view can see."""

    pixels: Float[Tensor, "*batch views points 2"]
    depths: Float[Tensor, "*batch views points"]
    valid: Bool[Tensor, "*batch views points"]


class ViewingRays(NamedTuple):
    """Pixels back-projected into the world: rays from the camera centers."""

    origins: Float[Tensor, "*batch views points 3"]
    directions: Float[Tensor, "*batch views points 3"]
    valid: Bool[Tensor, "*batch views points"]


@dataclass(frozen=True)
class Cameras:
    """A rig of calibrated cameras.

    Attributes:
        intrinsics: Each view's K [px].
        camera_from_world: Each view's rigid transform: x right, y down, z forward.
        distortion: Each view's lens coefficients in OpenCV's order; None for pinholes.
        lens: What the coefficients mean, for all views.
        image_size: Each view's width and height [px], where known.
        names: Name of each view, in the order of the views; cam_1, cam_2, ... by default.
    """

    intrinsics: Float[Tensor, "*batch views 3 3"]
    camera_from_world: Float[Tensor, "*batch views 4 4"]
    distortion: Float[Tensor, "*batch views coefficients"] | None = None
    image_size: Int[Tensor, "*batch views 2"] | None = None
    names: tuple[str, ...] = ()
    lens: Lens = Lens.OPENCV

    def __post_init__(self) -> None:
        require_trailing_shape("intrinsics", self.intrinsics, "views", 3, 3)
        require_trailing_shape("camera_from_world", self.camera_from_world, "views", 4, 4)
        floating = {"intrinsics": self.intrinsics, "camera_from_world": self.camera_from_world}
        views = {name: tensor.shape[-3] for name, tensor in floating.items()}
        if self.distortion is not None:
            self._require_coefficients(self.distortion)
            floating["distortion"] = self.distortion
            views["distortion"] = self.distortion.shape[-2]
        elif self.lens is Lens.FISHEYE:
            raise ValueError("`distortion` must be given for fisheye lenses, got None")
        require_floating(**floating)
        if self.image_size is not None:
            views["image_size"] = self.image_size.shape[-2]
        if not self.names:
            object.__setattr__(self, "names", default_names(self.views))
        require_same_size("views", **views, names=len(self.names))

    @property
    def projections(self) -> Float[Tensor, "*batch views 3 4"]:
        """Each view's world-to-pixel matrix K [R | t], without the lens."""
        return product(self.intrinsics, self.camera_from_world[..., :3, :])

    @property
    def centers(self) -> Float[Tensor, "*batch views 3"]:
        """Where each camera stands in the world."""
        return invert_transform(self.camera_from_world)[..., :3, 3]

    @property
    def views(self) -> int:
        """How many cameras there are."""
        return self.intrinsics.shape[-3]

    def project(self, points: Float[Tensor, "*#batch points 3"]) -> ProjectedPoints:
        """Project world points through every lens.

        Args:
            points: World points [unit of the translations].

        Returns:
            Pixels [px], depths along each optical axis, and which points a view can see:
            those in front of it (for a fisheye: those the lens reaches, in front or not),
            before the lens folds back. The other pixels are what the equations give.

        Raises:
            ValueError: If a shape or dtype disagrees.
        """
        if self.distortion is None:
            depths = point_depths(self.projections, points)
            return ProjectedPoints(project_points(self.projections, points), depths, depths > 0)
        project = (
            project_fisheye_camera_points if self.lens is Lens.FISHEYE else project_camera_points
        )
        places = world_to_camera(self.camera_from_world, points)
        pixels, valid = project(self.intrinsics, self.distortion, places)
        return ProjectedPoints(pixels, places[..., 2], valid)

    def undistort(self, pixels: Float[Tensor, "*#batch views points 2"]) -> ValidPixels:
        """Move pixels to where a pinhole with the same intrinsics would see them.

        Args:
            pixels: Where each view saw each point [px].

        Returns:
            The ideal pixels; NaN, and not valid, where the lens shows nothing a pinhole sees.

        Raises:
            ValueError: If a shape or dtype disagrees.
        """
        if self.distortion is None:
            require_trailing_shape("pixels", pixels, self.views, "points", 2)
            return ValidPixels(pixels, pixels.isfinite().all(dim=-1))
        undistort = undistort_fisheye_pixels if self.lens is Lens.FISHEYE else undistort_pixels
        return undistort(self.intrinsics, self.distortion, pixels)

    def rays(self, pixels: Float[Tensor, "*#batch views points 2"]) -> ViewingRays:
        """Follow pixels back into the world.

        Args:
            pixels: Where each view saw each point [px].

        Returns:
            Camera centres, unit directions in the world, and which are valid; the others
            are NaN.

        Raises:
            ValueError: If a shape or dtype disagrees.

        Example:
            >>> rays = ring_of_cameras(2, radius=4.0, height=0.0).rays(torch.full((2, 1, 2), 499.5))
            >>> rays.directions[0, 0].round(decimals=4) + 0.0
            tensor([-1.,  0.,  0.])
        """
        require_trailing_shape("pixels", pixels, self.views, "points", 2)
        require_floating(intrinsics=self.intrinsics, pixels=pixels)
        if self.lens is Lens.FISHEYE and self.distortion is not None:
            local, valid = unproject_fisheye_pixels(self.intrinsics, self.distortion, pixels)
        else:
            local, valid = unproject_pixels(self.intrinsics, self.distortion, pixels)
        directions = product(local, self.camera_from_world[..., :3, :3])
        origins = self.centers[..., :, None, :].expand(directions.shape)
        return ViewingRays(origins, directions, valid)

    def select(self, views: Sequence[str] | Sequence[int]) -> "Cameras":
        """Return the rig of the named or numbered views, in the order asked for."""
        order = [self._index(view) for view in views]
        return replace(
            self,
            intrinsics=self.intrinsics[..., order, :, :],
            camera_from_world=self.camera_from_world[..., order, :, :],
            distortion=None if self.distortion is None else self.distortion[..., order, :],
            image_size=None if self.image_size is None else self.image_size[..., order, :],
            names=tuple(self.names[view] for view in order),
        )

    def scaled(self, factor: float) -> "Cameras":
        """Return the rig in another unit of length: all camera positions times a factor."""
        scale = self.camera_from_world.new_tensor([1.0, 1.0, 1.0, factor])
        scaled = torch.cat(
            [self.camera_from_world[..., :3, :] * scale, self.camera_from_world[..., 3:, :]], dim=-2
        )
        return replace(self, camera_from_world=scaled)

    def to(self, target: torch.device | torch.dtype | str) -> "Cameras":
        """Return the rig on another device, or in another floating dtype."""
        size = self.image_size
        if size is not None and not isinstance(target, torch.dtype):
            size = size.to(target)
        return replace(
            self,
            intrinsics=self.intrinsics.to(target),
            camera_from_world=self.camera_from_world.to(target),
            distortion=None if self.distortion is None else self.distortion.to(target),
            image_size=size,
        )

    def _require_coefficients(self, distortion: Tensor) -> None:
        require_trailing_shape("distortion", distortion, "views", "coefficients")
        if self.lens is Lens.OPENCV:
            require_coefficients(distortion)
        else:
            require_trailing_shape("distortion", distortion, "views", FISHEYE_COEFFICIENTS)

    def _index(self, view: str | int) -> int:
        if isinstance(view, int):
            return view
        if view not in self.names:
            raise ValueError(f"no camera is named {view!r}; the rig has {self.names}")
        return self.names.index(view)


def default_names(views: int) -> tuple[str, ...]:
    """Name cameras by their number, counted from one."""
    return tuple(f"cam_{view + 1}" for view in range(views))


def ring_of_cameras(  # noqa: PLR0913 - all but the first three are options
    views: int,
    radius: float,
    height: float,
    *,
    target_height: float = 0.0,
    focal_length: float = 1145.0,
    image_size: tuple[int, int] = (1000, 1000),
    dtype: torch.dtype | None = None,
) -> Cameras:
    """Set cameras on a circle around the world's vertical axis z, all looking at it.

    Args:
        views: How many cameras, at equal angles; the first stands on the x axis.
        radius: Distance of every camera from the axis.
        height: Height of the cameras.
        target_height: Height of the point on the axis they look at.
        focal_length: Focal length [px]; by default about Human3.6M's.
        image_size: Width and height [px]; the principal point is the middle.
        dtype: Floating dtype of the rig; torch's default unless given.

    Returns:
        The rig, its views named cam_1, cam_2, ...

    Example:
        >>> ring_of_cameras(4, radius=4.0, height=1.0).centers.round(decimals=3) + 0.0
        tensor([[ 4.,  0.,  1.],
                [ 0.,  4.,  1.],
                [-4.,  0.,  1.],
                [ 0., -4.,  1.]])
    """
    angles = torch.arange(views, dtype=torch.float64) * (tau / views)
    level = torch.full_like(angles, height)
    position = torch.stack([radius * angles.cos(), radius * angles.sin(), level], dim=-1)
    up = position.new_tensor([0.0, 0.0, 1.0])
    camera_from_world = look_at(position, up * target_height, up)
    width, tall = image_size
    intrinsics = position.new_tensor(
        [
            [focal_length, 0.0, (width - 1) / 2],
            [0.0, focal_length, (tall - 1) / 2],
            [0.0, 0.0, 1.0],
        ]
    )
    rig = Cameras(
        intrinsics=intrinsics.repeat(views, 1, 1),
        camera_from_world=camera_from_world,
        image_size=torch.tensor([image_size]).repeat(views, 1),
    )
    return rig.to(dtype or torch.get_default_dtype())
