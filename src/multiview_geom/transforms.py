"""Rigid and similarity transforms: build, apply, invert, compose."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._pytrees import register_pytree
from multiview_geom._validation import (
    broadcast_axes,
    for_computation,
    product,
    require_floating,
    require_trailing_shape,
)
from multiview_geom._vectors import replace_missing


@dataclass(frozen=True)
class Similarity:
    """A rotation, a translation and a scale: `scale * rotation @ point + translation`.

    Example:
        >>> double = Similarity(torch.eye(3), torch.tensor([1.0, 0.0, 0.0]), torch.tensor(2.0))
        >>> double.apply(torch.tensor([[1.0, 1.0, 1.0]]))
        tensor([[3., 2., 2.]])
    """

    rotation: Float[Tensor, "*#batch d d"]
    translation: Float[Tensor, "*#batch d"]
    scale: Float[Tensor, "*#batch"]

    def __post_init__(self) -> None:
        require_trailing_shape("rotation", self.rotation, "d", "d")
        require_trailing_shape("rotation", self.rotation, *(2 * (self.rotation.shape[-1],)))
        require_trailing_shape("translation", self.translation, self.rotation.shape[-1])
        require_floating(rotation=self.rotation, translation=self.translation, scale=self.scale)

    def apply(self, points: Float[Tensor, "*#batch points d"]) -> Float[Tensor, "*#batch points d"]:
        """Return the transformed points; NaN, without a gradient, where they are not finite."""
        require_trailing_shape("points", points, "points", self.rotation.shape[-1])
        require_floating(rotation=self.rotation, points=points)
        broadcast_axes(rotation=self.rotation.shape[:-2], points=points.shape[:-2])
        rotation, turns = replace_missing(for_computation(self.rotation), 2)
        scale, scales = replace_missing(for_computation(self.scale)[..., None, None], 2)
        values, known = replace_missing(for_computation(points), 1)
        moved = scale * product(values, rotation.mT)
        moved = moved + for_computation(self.translation)[..., None, :]
        return torch.where(turns & scales & known, moved, torch.nan).to(points.dtype)

    @property
    def matrix(self) -> Float[Tensor, "*batch d_plus_1 d_plus_1"]:
        """The transform as one matrix of homogeneous coordinates."""
        return _affine(self.scale[..., None, None] * self.rotation, self.translation)

    def inverse(self) -> "Similarity":
        """Return the inverse transform."""
        rotation = self.rotation.mT
        shift = product(rotation, self.translation[..., None])[..., 0]
        return Similarity(rotation, -shift / self.scale[..., None], 1 / self.scale)


register_pytree(Similarity)


def rigid_transform(
    rotation: Float[Tensor, "*#batch 3 3"], translation: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*#batch 4 4"]:
    """Build the 4x4 matrix of a rotation followed by a translation.

    Args:
        rotation: Rotation matrices.
        translation: Translations [caller's unit of length].

    Returns:
        `b_from_a`: rotation @ point_in_a + translation is the point in b.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Example:
        >>> rigid_transform(torch.eye(3), torch.tensor([1.0, 2.0, 3.0]))[:, 3]
        tensor([1., 2., 3., 1.])
    """
    require_trailing_shape("rotation", rotation, 3, 3)
    require_trailing_shape("translation", translation, 3)
    require_floating(rotation=rotation, translation=translation)
    broadcast_axes(rotation=rotation.shape[:-2], translation=translation.shape[:-1])
    return _affine(rotation, translation)


def invert_transform(b_from_a: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """Invert a rigid transform.

    Args:
        b_from_a: Rigid transforms; the rotation must be orthonormal.

    Returns:
        `a_from_b`.

    Raises:
        ValueError: If the shape is wrong.

    Example:
        >>> lift = rigid_transform(torch.eye(3), torch.tensor([0.0, 0.0, 2.0]))
        >>> invert_transform(lift)[:3, 3] + 0.0
        tensor([ 0.,  0., -2.])
    """
    require_trailing_shape("b_from_a", b_from_a, 4, 4)
    require_floating(b_from_a=b_from_a)
    matrix, known = replace_missing(for_computation(b_from_a), 2)
    back = matrix[..., :3, :3].mT
    inverse = rigid_transform(back, -product(back, matrix[..., :3, 3:])[..., 0])
    return torch.where(known, inverse, torch.nan).to(b_from_a.dtype)


def relative_transform(
    target_from_world: Float[Tensor, "*#batch 4 4"],
    source_from_world: Float[Tensor, "*#batch 4 4"],
) -> Float[Tensor, "*#batch 4 4"]:
    """Compose two world-to-camera transforms: from the source frame to the target frame.

    Args:
        target_from_world: Rigid transforms into the target frame.
        source_from_world: Rigid transforms into the source frame.

    Returns:
        `target_from_source`.

    Raises:
        ValueError: If a shape or dtype is wrong.

    Example:
        >>> left = rigid_transform(torch.eye(3), torch.tensor([1.0, 0.0, 0.0]))
        >>> right = rigid_transform(torch.eye(3), torch.tensor([-1.0, 0.0, 0.0]))
        >>> relative_transform(right, left)[:3, 3]
        tensor([-2.,  0.,  0.])
    """
    require_trailing_shape("target_from_world", target_from_world, 4, 4)
    require_trailing_shape("source_from_world", source_from_world, 4, 4)
    require_floating(target_from_world=target_from_world, source_from_world=source_from_world)
    broadcast_axes(
        target_from_world=target_from_world.shape[:-2],
        source_from_world=source_from_world.shape[:-2],
    )
    source, known = replace_missing(for_computation(source_from_world), 2)
    target, target_known = replace_missing(for_computation(target_from_world), 2)
    composed = product(target, invert_transform(source))
    return torch.where(known & target_known, composed, torch.nan).to(target_from_world.dtype)


def transform_points(
    b_from_a: Float[Tensor, "*#batch 4 4"], points: Float[Tensor, "*#batch points 3"]
) -> Float[Tensor, "*#batch points 3"]:
    """Transform points from frame a to frame b.

    Args:
        b_from_a: Affine transforms: their last row is (0, 0, 0, 1).
        points: Points in frame a [unit of the translation].

    Returns:
        The points in frame b.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Example:
        >>> lift = rigid_transform(torch.eye(3), torch.tensor([0.0, 0.0, 2.0]))
        >>> transform_points(lift, torch.tensor([[1.0, 0.0, 0.0]]))
        tensor([[1., 0., 2.]])
    """
    require_trailing_shape("b_from_a", b_from_a, 4, 4)
    require_trailing_shape("points", points, "points", 3)
    require_floating(b_from_a=b_from_a, points=points)
    broadcast_axes(b_from_a=b_from_a.shape[:-2], points=points.shape[:-2])
    matrix, transforms = replace_missing(for_computation(b_from_a), 2)
    values, known = replace_missing(for_computation(points), 1)
    moved = product(values, matrix[..., :3, :3].mT) + matrix[..., None, :3, 3]
    return torch.where(transforms & known, moved, torch.nan).to(points.dtype)


def world_to_camera(
    camera_from_world: Float[Tensor, "*#batch views 4 4"],
    points: Float[Tensor, "*#batch points 3"],
) -> Float[Tensor, "*#batch views points 3"]:
    """Transform world points to the camera frame of every view.

    Args:
        camera_from_world: Each view's rigid transform.
        points: World points [unit of the translations].

    Returns:
        The points in each camera's frame: x right, y down, z forward.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Reference:
        rho in Bouazizi et al., FG 2021, sec. III-A.

    Example:
        >>> two_meters_back = rigid_transform(torch.eye(3), torch.tensor([0.0, 0.0, 2.0]))
        >>> world_to_camera(two_meters_back[None], torch.zeros(1, 3))
        tensor([[[0., 0., 2.]]])
    """
    require_trailing_shape("camera_from_world", camera_from_world, "views", 4, 4)
    require_trailing_shape("points", points, "points", 3)
    require_floating(camera_from_world=camera_from_world, points=points)
    return transform_points(camera_from_world, points[..., None, :, :])


def camera_to_world(
    camera_from_world: Float[Tensor, "*#batch 4 4"], points: Float[Tensor, "*#batch points 3"]
) -> Float[Tensor, "*#batch points 3"]:
    """Transform points of a camera's frame to the world.

    Args:
        camera_from_world: Rigid transforms.
        points: Points in the camera's frame [unit of the translations].

    Returns:
        The points in the world.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Reference:
        rho in Bouazizi et al., FG 2021, sec. III-A.

    Example:
        >>> two_meters_back = rigid_transform(torch.eye(3), torch.tensor([0.0, 0.0, 2.0]))
        >>> camera_to_world(two_meters_back, torch.tensor([[0.0, 0.0, 2.0]]))
        tensor([[0., 0., 0.]])
    """
    require_trailing_shape("camera_from_world", camera_from_world, 4, 4)
    require_floating(camera_from_world=camera_from_world, points=points)
    world_from_camera = invert_transform(for_computation(camera_from_world))
    return transform_points(world_from_camera, for_computation(points)).to(points.dtype)


def camera_to_camera(
    target_from_world: Float[Tensor, "*#batch 4 4"],
    source_from_world: Float[Tensor, "*#batch 4 4"],
    points: Float[Tensor, "*#batch points 3"],
) -> Float[Tensor, "*#batch points 3"]:
    """Transform points of one camera's frame to the frame of another camera.

    Args:
        target_from_world: Rigid transforms of the target cameras.
        source_from_world: Rigid transforms of the source cameras.
        points: Points in the source camera's frame [unit of the translations].

    Returns:
        The points in the target camera's frame.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Reference:
        rho in Bouazizi et al., FG 2021, sec. III-A.

    Example:
        >>> left = rigid_transform(torch.eye(3), torch.tensor([1.0, 0.0, 0.0]))
        >>> right = rigid_transform(torch.eye(3), torch.tensor([-1.0, 0.0, 0.0]))
        >>> camera_to_camera(right, left, torch.tensor([[0.0, 0.0, 3.0]]))
        tensor([[-2.,  0.,  3.]])
    """
    require_floating(
        target_from_world=target_from_world, source_from_world=source_from_world, points=points
    )
    target, source = for_computation(target_from_world), for_computation(source_from_world)
    moved = transform_points(relative_transform(target, source), for_computation(points))
    return moved.to(points.dtype)


def _affine(
    linear: Float[Tensor, "*#batch d d"], translation: Float[Tensor, "*#batch d"]
) -> Float[Tensor, "*#batch d+1 d+1"]:
    batch = torch.broadcast_shapes(linear.shape[:-2], translation.shape[:-1])
    d = translation.shape[-1]
    upper = [linear.expand(*batch, d, d), translation[..., None].expand(*batch, d, 1)]
    last_row = torch.nn.functional.pad(torch.zeros_like(linear[..., :1, :]), (0, 1), value=1.0)
    return torch.cat([torch.cat(upper, dim=-1), last_row.expand(*batch, 1, d + 1)], dim=-2)
