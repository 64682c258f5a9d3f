"""A rig of calibrated cameras: build, transform, select, project, undistort, back-project."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multiview_geom._pytrees import register_pytree
from multiview_geom._validation import (
    as_device,
    as_image_size,
    broadcast_axes,
    for_computation,
    product,
    require_dtype,
    require_floating,
    require_integers,
    require_number,
    require_positive,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom._vectors import replace_missing
from multiview_geom._view_names import Views, default_names, require_names, view_numbers
from multiview_geom.lenses.lens import (
    FISHEYE_COEFFICIENTS,
    Lens,
    lens_functions,
    require_lens,
)
from multiview_geom.lenses.polynomial import unproject_pixels
from multiview_geom.projection import decompose_projections, point_depths, project_points
from multiview_geom.transforms import invert_transform, rigid_transform, world_to_camera
from multiview_geom.validity import ProjectedPoints, ValidPixels, ViewingRays

AXES_PER_VIEW = {"intrinsics": 2, "camera_from_world": 2, "distortion": 1, "image_size": 1}
"""Each tensor of a rig, and how many axes it has after that of the views."""
NAMES_SHOWN = 4


@dataclass(frozen=True, eq=False, repr=False)
class Cameras:
    """A rig of calibrated cameras.

    A rig is a PyTorch container of its tensors: `tree_map`, `vmap`, `torch.compile` and
    `default_collate` take it. To load a saved one: `with
    torch.serialization.safe_globals([Cameras, Lens]): torch.load(path)`.

    Attributes:
        intrinsics: K of each view [px].
        camera_from_world: Rigid transform of each view: x right, y down, z forward.
        distortion: Lens coefficients of each view in OpenCV's order; None for pinholes.
        image_size: Width and height of each view [px], where known.
        names: Name of each view, in the order of the views; cam_1, cam_2, ... by default.
        lens: What the coefficients mean: one model for all views, or a tuple with one per view. A
            tuple of equal models becomes the model; a fisheye among other lenses uses the first
            four coefficients.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0)
        >>> rig = Cameras(ring.intrinsics, ring.camera_from_world, names=("left", "right"))
        >>> rig
        Cameras(2 views: left, right; pinholes; float32 on cpu)
        >>> rig.projections.shape
        torch.Size([2, 3, 4])
    """

    intrinsics: Float[Tensor, "*#batch views 3 3"]
    camera_from_world: Float[Tensor, "*#batch views 4 4"]
    distortion: Float[Tensor, "*#batch views coefficients"] | None = None
    image_size: Int[Tensor, "*#batch views 2"] | None = None
    names: tuple[str, ...] = ()
    lens: Lens | tuple[Lens, ...] = Lens.OPENCV

    def __post_init__(self) -> None:
        require_trailing_shape("intrinsics", self.intrinsics, "views", 3, 3)
        require_trailing_shape("camera_from_world", self.camera_from_world, "views", 4, 4)
        require_names(self.names)
        object.__setattr__(self, "names", tuple(map(str, self.names)))
        require_lens(self.lens)
        self._merge_equal_lenses()
        if self.distortion is not None:
            lens_functions(self.lens).require_coefficients(self.distortion)
        elif self.lens is not Lens.OPENCV:
            raise ValueError("`distortion` must be given for fisheye lenses, got None")
        if self.image_size is not None:
            require_trailing_shape("image_size", self.image_size, "views", 2)
            require_integers(image_size=self.image_size)
        tensors = self._tensors()
        require_floating(**{name: tensors[name] for name in tensors if name != "image_size"})
        if not self.names:
            object.__setattr__(self, "names", default_names(self.views))
        views = {name: tensors[name].shape[-1 - AXES_PER_VIEW[name]] for name in tensors}
        require_same_size("views", **views, names=len(self.names))
        batches = {name: tensors[name].shape[: -1 - AXES_PER_VIEW[name]] for name in tensors}
        broadcast_axes(**batches)

    @classmethod
    def from_krt(  # noqa: PLR0913 - the fields of a rig
        cls,
        intrinsics: Float[Tensor, "*batch views 3 3"],
        rotation: Float[Tensor, "*batch views 3 3"],
        translation: Float[Tensor, "*batch views 3"],
        *,
        distortion: Float[Tensor, "*batch views coefficients"] | None = None,
        image_size: Int[Tensor, "*batch views 2"] | None = None,
        names: Sequence[str] = (),
        lens: Lens | tuple[Lens, ...] = Lens.OPENCV,
    ) -> "Cameras":
        """Build a rig from K, R and t of each view: x_camera = R x_world + t.

        Args:
            intrinsics: K of each view [px].
            rotation: R of each view; convert other forms with `rotation_from_vector` (OpenCV's
                rvec) or `rotation_from_quaternion`.
            translation: t of each view; this is not the position of the camera, which is -R^T t.
            distortion: As in the class.
            image_size: As in the class.
            names: As in the class.
            lens: As in the class.

        Raises:
            ValueError: If a shape or dtype disagrees. Numbers are not looked at: `check_cameras`
                says which are no calibration, such as a rotation in place of K.
        """
        pose = rigid_transform(rotation, translation)
        return cls(intrinsics, pose, distortion, image_size, names, lens)  # type: ignore[arg-type]

    @classmethod
    def from_projections(
        cls,
        projections: Float[Tensor, "*batch views 3 4"],
        *,
        image_size: Int[Tensor, "*batch views 2"] | None = None,
        names: Sequence[str] = (),
    ) -> "Cameras":
        """Build a rig of pinholes from projection matrices of any scale and sign."""
        K, pose = decompose_projections(projections)
        return cls(K, pose, image_size=image_size, names=names)  # type: ignore[arg-type]

    @property
    def projections(self) -> Float[Tensor, "*batch views 3 4"]:
        """World-to-pixel matrix K [R | t] of each view, without the lens."""
        K, known = replace_missing(for_computation(self.intrinsics), 2)
        pose, poses = replace_missing(for_computation(self.camera_from_world[..., :3, :]), 2)
        P = torch.where(known & poses, product(K, pose), torch.nan)
        return P.to(self.intrinsics.dtype)

    @property
    def centers(self) -> Float[Tensor, "*batch views 3"]:
        """Position of each camera in the world."""
        return invert_transform(self.camera_from_world)[..., :3, 3]

    @property
    def views(self) -> int:
        """Number of cameras."""
        return self.intrinsics.shape[-3]

    @property
    def lenses(self) -> tuple[Lens, ...]:
        """The lens model of each view."""
        return self.lens if isinstance(self.lens, tuple) else (self.lens,) * self.views

    def project(self, points: Float[Tensor, "*#batch points 3"]) -> ProjectedPoints:
        """Project world points through every lens.

        Args:
            points: World points [unit of the translations].

        Returns:
            Pixels [px], depths along each optical axis, and a mask. The mask is False for points
            behind the camera and for points beyond the fold of the lens; a fisheye can see
            points behind the camera. Pixels that are not valid are those of the lens equations.

        Raises:
            ValueError: If a shape or dtype disagrees.
        """
        require_trailing_shape("points", points, "points", 3)
        require_floating(intrinsics=self.intrinsics, points=points)
        rig, points = self._for_computation(), for_computation(points)
        if rig.distortion is None:
            P = rig.projections
            pixels, depths = project_points(P, points), point_depths(P, points)
            valid = depths > 0
        else:
            camera_points = world_to_camera(rig.camera_from_world, points)
            project = lens_functions(rig.lens).project
            pixels, valid = project(rig.intrinsics, rig.distortion, camera_points)
            depths = camera_points[..., 2].expand(valid.shape)
        dtype = self.intrinsics.dtype
        return ProjectedPoints(pixels.to(dtype), depths.to(dtype), valid)

    def undistort(self, pixels: Float[Tensor, "*#batch views points 2"]) -> ValidPixels:
        """Remove the lens distortion: return the pixels of a pinhole with the same intrinsics.

        Args:
            pixels: Pixels of each point in each view [px].

        Returns:
            The ideal pixels; NaN, and not valid, where the lens cannot produce the pixel or no
            pinhole sees the point.

        Raises:
            ValueError: If a shape or dtype disagrees.
        """
        require_trailing_shape("pixels", pixels, self.views, "points", 2)
        if self.distortion is None:
            return ValidPixels(pixels, pixels.isfinite().all(dim=-1))
        return lens_functions(self.lens).undistort(self.intrinsics, self.distortion, pixels)

    def rays(self, pixels: Float[Tensor, "*#batch views points 2"]) -> ViewingRays:
        """Back-project pixels to rays in the world.

        Args:
            pixels: Pixels of each point in each view [px].

        Returns:
            Camera centers, unit directions in the world, and which are valid; the others
            are NaN.

        Raises:
            ValueError: If a shape or dtype disagrees.

        Example:
            >>> from multiview_geom import ring_of_cameras
            >>> rays = ring_of_cameras(2, radius=4.0, height=0.0).rays(torch.full((2, 1, 2), 499.5))
            >>> rays.directions[0, 0].round(decimals=4) + 0.0
            tensor([-1.,  0.,  0.])
        """
        require_trailing_shape("pixels", pixels, self.views, "points", 2)
        require_floating(intrinsics=self.intrinsics, pixels=pixels)
        broadcast_axes(cameras=self.projections.shape[:-3], pixels=pixels.shape[:-3])
        rig, image = self._for_computation(), for_computation(pixels)
        if rig.distortion is None:
            local, valid = unproject_pixels(rig.intrinsics, None, image)
        else:
            unproject = lens_functions(rig.lens).unproject
            local, valid = unproject(rig.intrinsics, rig.distortion, image)
        rotation, poses = replace_missing(rig.camera_from_world[..., :3, :3], 2)
        safe, known = replace_missing(local, 1)
        directions = torch.where(known & poses, product(safe, rotation), torch.nan)
        origins = rig.centers[..., :, None, :].expand(directions.shape)
        return ViewingRays(
            origins.to(pixels.dtype), directions.to(pixels.dtype), valid & poses[..., 0]
        )

    def triangulate(
        self,
        pixels: Float[Tensor, "*#batch views points 2"],
        *,
        weights: Float[Tensor, "*#batch views points"] | None = None,
    ) -> Float[Tensor, "*#batch points 3"]:
        """Undistort pixels and triangulate them with `triangulate_dlt`.

        Args:
            pixels: Detected pixel of each point in each view [px].
            weights: Weight of each detection, >= 0; zero or less removes it. 1 by default.

        Returns:
            The points [unit of the camera positions], in the dtype of the pixels. The
            computation uses the more precise dtype of cameras and pixels.

        Raises:
            ValueError: If a shape disagrees.

        Example:
            >>> from multiview_geom import ring_of_cameras
            >>> ring = ring_of_cameras(4, radius=4.0, height=1.0)
            >>> pixels = ring.project(torch.tensor([[0.1, 0.2, 0.3]])).pixels
            >>> ring.triangulate(pixels).round(decimals=3)
            tensor([[0.1000, 0.2000, 0.3000]])
        """
        from multiview_geom.triangulation.linear import triangulate_dlt

        return triangulate_dlt(self, pixels, weights=weights)

    def select(self, views: Views) -> "Cameras":
        """Return the rig of some views.

        Args:
            views: Names or numbers of views (a sequence, a tensor, an array or a slice), in the
                order wanted; or a boolean mask over all views.

        Raises:
            ValueError: If the rig has no such view, or a mask has another length.

        Example:
            >>> from multiview_geom import ring_of_cameras
            >>> ring = ring_of_cameras(4, radius=4.0, height=1.0)
            >>> ring.select(["cam_3", "cam_1"]).names
            ('cam_3', 'cam_1')
        """
        order = view_numbers(self.names, views)
        index = torch.tensor(order, dtype=torch.long, device=self.intrinsics.device)
        return self._map(
            lambda name, tensor: tensor.index_select(-1 - AXES_PER_VIEW[name], index),
            names=tuple(self.names[view] for view in order),
            lens=self.lens
            if isinstance(self.lens, Lens)
            else tuple(self.lens[view] for view in order) or Lens.OPENCV,
        )

    def scaled(self, factor: float) -> "Cameras":
        """Return the rig in another unit of length: all camera positions times a factor.

        Raises:
            ValueError: If the factor is not positive, or infinite.
        """
        require_positive("factor", factor)
        if not factor < inf:
            raise ValueError(f"`factor` must be finite, got {factor}")
        R, t = self.camera_from_world[..., :3, :3], self.camera_from_world[..., :3, 3]
        return replace(self, camera_from_world=rigid_transform(R, factor * t))

    def resized(self, image_size: tuple[int, int]) -> "Cameras":
        """Return the rig of the same pictures, resized to a width and height [px].

        Raises:
            ValueError: If the rig has no image size, or the new one is not positive, or no width
                and height in whole pixels, such as a factor.
        """
        image_size = as_image_size(image_size)
        if self.image_size is None:
            raise ValueError("`image_size` of the cameras must be known to resize pictures")
        scale = for_computation(self.intrinsics).new_tensor(image_size) / self.image_size
        return self._with_picture(scale, (scale - 1) / 2, image_size)

    def cropped(self, left: int, top: int, image_size: tuple[int, int]) -> "Cameras":
        """Return the rig of the same pictures, cropped: first column, first row, size [px].

        Raises:
            ValueError: If the size is not positive, or no width and height in whole pixels.
        """
        require_number("left", left, float)
        require_number("top", top, float)
        image_size = as_image_size(image_size)
        shift = -for_computation(self.intrinsics).new_tensor([left, top])
        return self._with_picture(torch.ones_like(shift), shift, image_size)

    def to(
        self,
        device: torch.device | torch.dtype | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        non_blocking: bool = False,
    ) -> "Cameras":
        """Return the rig on another device, or in another floating dtype, or both.

        Args:
            device: The device, or a dtype, as in `torch.Tensor.to`.
            dtype: The dtype of everything but the image size.
            non_blocking: Whether copies from pinned memory may return before they are done.

        Raises:
            ValueError: If `device` is no device, or `dtype` no floating dtype.
        """
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        device = as_device(device)
        require_dtype("dtype", dtype)
        return self._map(
            lambda _, tensor: tensor.to(
                device=device,
                dtype=dtype if tensor.is_floating_point() else None,
                non_blocking=non_blocking,
            )
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cameras):
            return NotImplemented
        mine, others = self._tensors(), other._tensors()
        return (
            (self.names, self.lens, mine.keys()) == (other.names, other.lens, others.keys())
            and all(mine[name].dtype == others[name].dtype for name in mine)
            and all(torch.equal(mine[name], others[name]) for name in mine)
        )

    __hash__ = None  # type: ignore[assignment] # equal by value, as lists are

    def __repr__(self) -> str:
        shown = [*self.names[:NAMES_SHOWN], *["..."] * (self.views > NAMES_SHOWN)]
        count = 0 if self.distortion is None else self.distortion.shape[-1]
        model = " and ".join(lens.value for lens in Lens if lens in self.lenses)
        lens = f"{model} lens with {count} coefficients" if count else "pinholes"
        batch = "".join(f"{size} x " for size in self.camera_from_world.shape[:-3])
        kind = f"{self.intrinsics.dtype} on {self.intrinsics.device}".removeprefix("torch.")
        return f"Cameras({batch}{self.views} views: {', '.join(shown)}; {lens}; {kind})"

    def _merge_equal_lenses(self) -> None:
        """Replace a tuple of equal models by the model; fisheyes alone have four coefficients."""
        if not isinstance(self.lens, tuple):
            return
        require_same_size("views", intrinsics=self.views, lens=len(self.lens))
        if len(set(self.lens)) != 1:
            return
        lens = self.lens[0]
        object.__setattr__(self, "lens", lens)
        if lens is Lens.FISHEYE and self.distortion is not None:
            object.__setattr__(self, "distortion", self.distortion[..., :FISHEYE_COEFFICIENTS])

    def _for_computation(self) -> "Cameras":
        """Return a rig of half precision in float32, and any other one as it is."""
        dtype = for_computation(self.intrinsics).dtype
        return self if dtype == self.intrinsics.dtype else self.to(dtype)

    def _tensors(self) -> dict[str, Tensor]:
        fields = {name: getattr(self, name) for name in AXES_PER_VIEW}
        return {name: tensor for name, tensor in fields.items() if tensor is not None}

    def _map(self, change: Callable[[str, Tensor], Tensor], **fields: Any) -> "Cameras":  # noqa: ANN401 - other fields
        changed: dict[str, Any] = {
            name: change(name, tensor) for name, tensor in self._tensors().items()
        }
        return replace(self, **changed, **fields)

    def _with_picture(self, scale: Tensor, shift: Tensor, image_size: tuple[int, int]) -> "Cameras":
        """Return the rig whose pixels are those of this one, scaled and shifted."""
        K = for_computation(self.intrinsics)
        rows = scale[..., None] * K[..., :2, :] + shift[..., None] * K[..., 2:, :]
        size = torch.tensor(image_size, device=K.device).expand(*K.shape[:-2], 2)
        intrinsics = torch.cat([rows, K[..., 2:, :]], dim=-2).to(self.intrinsics.dtype)
        return replace(self, intrinsics=intrinsics, image_size=size)


register_pytree(Cameras, static=("names", "lens"))
