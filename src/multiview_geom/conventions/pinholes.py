"""Convert rigs to and from the pinholes of OpenGL, PyTorch3D and kornia.

Here a camera looks along z, with x right and y down; points are columns; the center of the first
pixel is (0, 0). Other conventions place that center at (0.5, 0.5), half a pixel from the corner of
the image: the principal point moves by half a pixel.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multiview_geom._validation import (
    require_cameras,
    require_last_row,
    require_number,
    require_positive,
    require_tensor,
    require_trailing_shape,
)
from multiview_geom.cameras import Cameras
from multiview_geom.lenses.lens import Lens
from multiview_geom.transforms import rigid_transform

HALF_PIXEL = 0.5
LARGEST_NDC_FOCAL = 100.0
"""A longer focal length, of half the shorter side of the image, is one in pixels."""


class OpenGLCameras(NamedTuple):
    """Matrices for column vectors; a camera looks along -z, y is up; clip space is [-1, 1].

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> view, projection = to_opengl(ring_of_cameras(2, 4.0, 1.0), near=0.1, far=100.0)
        >>> view.shape, projection.shape
        (torch.Size([2, 4, 4]), torch.Size([2, 4, 4]))
    """

    view: Float[Tensor, "*batch views 4 4"]
    projection: Float[Tensor, "*batch views 4 4"]


class PyTorch3DCameras(NamedTuple):
    """Arguments of `PerspectiveCameras` in its NDC; X_camera = X_world R + T, x left, y up.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> arguments = to_pytorch3d(ring_of_cameras(2, radius=4.0, height=1.0))
        >>> list(arguments._asdict())
        ['R', 'T', 'focal_length', 'principal_point', 'image_size']
    """

    R: Float[Tensor, "*batch views 3 3"]
    T: Float[Tensor, "*batch views 3"]
    focal_length: Float[Tensor, "*batch views 2"]
    principal_point: Float[Tensor, "*batch views 2"]
    image_size: Int[Tensor, "*batch views 2"]
    """Height and width, in PyTorch3D's order."""


class KorniaCameras(NamedTuple):
    """Arguments of `PinholeCamera`: axes and pixels as here, matrices 4x4.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> to_kornia(ring_of_cameras(2, radius=4.0, height=1.0)).height
        tensor([1000., 1000.])
    """

    intrinsics: Float[Tensor, "*batch views 4 4"]
    extrinsics: Float[Tensor, "*batch views 4 4"]
    height: Float[Tensor, "*batch views"]
    width: Float[Tensor, "*batch views"]


def to_opengl(cameras: Cameras, near: float, far: float) -> OpenGLCameras:
    """Convert pinholes to OpenGL's view and projection matrices.

    Args:
        cameras: Pinholes with an image size.
        near: Depth of the near plane [unit of the translations].
        far: Depth of the far plane.

    Returns:
        The matrices. The top left corner of the image is (-1, 1) in clip space.

    Raises:
        ValueError: If the cameras have a lens, or no image size; if `near` is not positive or not
            below `far`.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0, focal_length=500.0)
        >>> to_opengl(ring, near=0.1, far=100.0).projection[0, 0, 0]
        tensor(1.)
    """
    require_positive("near", near)
    require_number("far", far, float)
    near, far = float(near), float(far)  # also of NumPy's numbers, which torch does not take
    if not far > near:
        raise ValueError(f"`far` must be more than `near`, {near}, got {far}")
    width, height = _pinhole_size(cameras, "OpenGL").unbind(dim=-1)
    K = cameras.intrinsics
    projection = K.new_zeros(*K.shape[:-2], 4, 4)
    projection[..., 0, 0] = 2 * K[..., 0, 0] / width
    projection[..., 0, 1] = -2 * K[..., 0, 1] / width
    projection[..., 0, 2] = 1 - 2 * (K[..., 0, 2] + HALF_PIXEL) / width
    projection[..., 1, 1] = 2 * K[..., 1, 1] / height
    projection[..., 1, 2] = 2 * (K[..., 1, 2] + HALF_PIXEL) / height - 1
    projection[..., 2, 2] = -(far + near) / (far - near)
    projection[..., 2, 3] = -2 * far * near / (far - near)
    projection[..., 3, 2] = -1
    return OpenGLCameras(_flip(K, 1, -1, -1, 1) @ cameras.camera_from_world, projection)


def from_opengl(matrices: OpenGLCameras, image_size: Int[Tensor, "*#batch views 2"]) -> Cameras:
    """Convert OpenGL's view and projection matrices to pinholes.

    Args:
        matrices: View and projection, for column vectors; the projection is a perspective one.
        image_size: Width and height of each view [px].

    Returns:
        The rig.

    Raises:
        ValueError: If a shape disagrees, a matrix is transposed, for row vectors, or a focal
            length is not positive.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0)
        >>> back = from_opengl(to_opengl(ring, near=0.1, far=100.0), ring.image_size)
        >>> torch.allclose(back.intrinsics, ring.intrinsics)
        True
    """
    view, projection = _fields("matrices", matrices, OpenGLCameras)
    require_tensor("image_size", image_size)
    require_trailing_shape("image_size", image_size, "views", 2)
    require_trailing_shape("view", view, "views", 4, 4)
    require_trailing_shape("projection", projection, "views", 4, 4)
    require_last_row("view", view, 0, 0, 0, 1)
    require_last_row("projection", projection, 0, 0, -1, 0)
    width, height = image_size.to(view.dtype).unbind(dim=-1)
    K = torch.zeros_like(view[..., :3, :3])
    K[..., 0, 0] = projection[..., 0, 0] * width / 2
    K[..., 0, 1] = -projection[..., 0, 1] * width / 2
    K[..., 0, 2] = (1 - projection[..., 0, 2]) * width / 2 - HALF_PIXEL
    K[..., 1, 1] = projection[..., 1, 1] * height / 2
    K[..., 1, 2] = (1 + projection[..., 1, 2]) * height / 2 - HALF_PIXEL
    K[..., 2, 2] = 1
    if (K[..., :2, :2].diagonal(dim1=-2, dim2=-1) <= 0).any():
        raise ValueError(
            "the focal lengths of `projection` must be positive, and one is not: in Vulkan, y of "
            "the clip space points down; change the sign of its second row"
        )
    return Cameras(K, _flip(view, 1, -1, -1, 1) @ view, image_size=image_size)


def to_pytorch3d(cameras: Cameras) -> PyTorch3DCameras:
    """Convert pinholes to the arguments of PyTorch3D's `PerspectiveCameras`.

    Args:
        cameras: Pinholes with an image size and no skew.

    Returns:
        The arguments: `PerspectiveCameras(**to_pytorch3d(cameras)._asdict())`.

    Raises:
        ValueError: If the cameras have a lens, skew or no image size.

    Note:
        The shorter side of the image is two units long, from corner to corner. PyTorch3D's own
        conversion from OpenCV ignores the half pixel between the corner and the center of a
        pixel.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0, focal_length=500.0)
        >>> to_pytorch3d(ring).focal_length
        tensor([[1., 1.],
                [1., 1.]])
    """
    size = _pinhole_size(cameras, "PyTorch3D")
    K = cameras.intrinsics
    refuse_skew(K, "PyTorch3D")
    scale = size.amin(dim=-1, keepdim=True) / 2
    pose = _flip(K, -1, -1, 1, 1) @ cameras.camera_from_world
    return PyTorch3DCameras(
        R=pose[..., :3, :3].mT,
        T=pose[..., :3, 3],
        focal_length=K.diagonal(dim1=-2, dim2=-1)[..., :2] / scale,
        principal_point=(size / 2 - HALF_PIXEL - K[..., :2, 2]) / scale,
        image_size=size.flip(-1).long(),
    )


def from_pytorch3d(arguments: PyTorch3DCameras) -> Cameras:
    """Convert the arguments of PyTorch3D's `PerspectiveCameras` in NDC to pinholes.

    Args:
        arguments: R, T, focal length, principal point, and height and width.

    Returns:
        The rig.

    Raises:
        ValueError: If a shape disagrees, or the arguments are in pixels (screen space).

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0)
        >>> back = from_pytorch3d(to_pytorch3d(ring))
        >>> torch.allclose(back.projections, ring.projections, atol=1e-3)
        True
    """
    R, T, focal, principal, height_width = _fields("arguments", arguments, PyTorch3DCameras)
    require_trailing_shape("R", R, "views", 3, 3)
    require_trailing_shape("T", T, "views", 3)
    pairs = {"focal_length": focal, "principal_point": principal, "image_size": height_width}
    for name, pair in pairs.items():
        require_trailing_shape(name, pair, "views", 2)
    size = height_width.flip(-1).to(R.dtype)
    scale = size.amin(dim=-1, keepdim=True) / 2
    if (focal > torch.maximum(scale, scale.new_tensor(LARGEST_NDC_FOCAL))).any():
        raise ValueError(
            f"`focal_length` must be in NDC, half the shorter side of the image, got "
            f"{float(focal.amax()):g}: pixels, of arguments with in_ndc=False?"
        )
    center = size / 2 - HALF_PIXEL - principal * scale
    pose = _flip(R, -1, -1, 1, 1) @ rigid_transform(R.mT, T)
    return Cameras(intrinsics_matrix(focal * scale, center), pose, image_size=height_width.flip(-1))


def to_kornia(cameras: Cameras) -> KorniaCameras:
    """Convert pinholes to the arguments of kornia's `PinholeCamera`.

    Args:
        cameras: Pinholes with an image size.

    Returns:
        The arguments: `PinholeCamera(*to_kornia(cameras))`.

    Raises:
        ValueError: If the cameras have a lens, or no image size.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0)
        >>> to_kornia(ring).intrinsics.shape
        torch.Size([2, 4, 4])
    """
    width, height = _pinhole_size(cameras, "kornia").unbind(dim=-1)
    K = torch.nn.functional.pad(cameras.intrinsics, (0, 1, 0, 1))
    K[..., 3, 3] = 1
    return KorniaCameras(K, cameras.camera_from_world, height, width)


def from_kornia(arguments: KorniaCameras) -> Cameras:
    """Convert the arguments of kornia's `PinholeCamera` to pinholes.

    Args:
        arguments: Intrinsics, extrinsics, heights and widths.

    Returns:
        The rig.

    Raises:
        ValueError: If a shape disagrees, a matrix is transposed, or a size is not finite.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0)
        >>> from_kornia(to_kornia(ring)) == ring
        True
    """
    if not isinstance(arguments, tuple) or len(arguments) != len(KorniaCameras._fields):
        raise ValueError(f"`arguments` must be KorniaCameras, got {type(arguments).__name__}")
    intrinsics, extrinsics, height, width = arguments
    require_trailing_shape("intrinsics", intrinsics, "views", 4, 4)
    require_trailing_shape("extrinsics", extrinsics, "views", 4, 4)
    require_last_row("intrinsics", intrinsics[..., :3, :3], 0, 0, 1)
    require_last_row("extrinsics", extrinsics, 0, 0, 0, 1)
    for name, side in (("height", height), ("width", width)):
        require_trailing_shape(name, side, "views")
        if not side.isfinite().all():
            raise ValueError(f"`{name}` must be finite, got {side.tolist()}")
    size = torch.stack([width, height], dim=-1).long()
    return Cameras(intrinsics[..., :3, :3], extrinsics, image_size=size)


def _fields(name: str, value: object, kind: type[Any]) -> tuple[Tensor, ...]:
    """Return the tensors of a named tuple of a kind, or of a plain one with as many."""
    count = len(kind._fields)
    if not isinstance(value, tuple) or len(value) != count:
        got = type(value).__name__
        raise ValueError(f"`{name}` must be {kind.__name__}, {count} tensors, got {got}")
    return value


def _flip(like: Tensor, *signs: int) -> Tensor:
    return torch.diag(like.new_tensor(signs))


def intrinsics_matrix(focal: Tensor, center: Tensor) -> Tensor:
    """Return K without skew."""
    K = torch.diag_embed(torch.nn.functional.pad(focal, (0, 1), value=1.0))
    column = torch.nn.functional.pad(center, (0, 1), value=1.0)[..., None]
    return torch.cat([K[..., :2], column], dim=-1)


def _pinhole_size(cameras: Cameras, convention: str) -> Tensor:
    require_cameras("cameras", cameras)
    k = cameras.distortion
    if k is not None and (Lens.FISHEYE in cameras.lenses or k.any()):
        raise ValueError(f"`cameras` must be pinholes for {convention}: undistort first")
    if cameras.image_size is None:
        raise ValueError("`cameras` must have an image size, got None")
    return cameras.image_size.to(cameras.intrinsics.dtype)


def refuse_skew(K: Tensor, convention: str) -> None:
    """Refuse cameras whose axes of pixels are not at right angles."""
    if K[..., 0, 1].any():
        raise ValueError(f"`cameras` must have no skew for {convention}")
