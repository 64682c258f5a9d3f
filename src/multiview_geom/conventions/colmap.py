"""Convert rigs to and from the camera models and poses of COLMAP."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multiview_geom._validation import require_cameras, require_trailing_shape
from multiview_geom.cameras import Cameras
from multiview_geom.conventions.pinholes import HALF_PIXEL, intrinsics_matrix, refuse_skew
from multiview_geom.lenses.lens import Lens
from multiview_geom.rotations import rotation_from_quaternion, rotation_to_quaternion
from multiview_geom.transforms import rigid_transform

COLMAP_PARAMETERS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
}
"""Models of COLMAP that are supported, and their parameters in order."""
COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")


class ColmapCameras(NamedTuple):
    """A camera model with its parameters, and world-to-camera poses as in `images.txt`.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> to_colmap(ring_of_cameras(2, radius=4.0, height=1.0)).model
        'PINHOLE'
    """

    model: str
    parameters: Float[Tensor, "*batch views parameters"]
    quaternions: Float[Tensor, "*batch views 4"]
    """w, x, y, z."""
    translations: Float[Tensor, "*batch views 3"]


def to_colmap(cameras: Cameras) -> ColmapCameras:
    """Convert a rig to one of COLMAP's camera models, with poses.

    Args:
        cameras: A rig without skew.

    Returns:
        PINHOLE, OPENCV, FULL_OPENCV or OPENCV_FISHEYE with parameters and poses.

    Raises:
        ValueError: If no model of COLMAP has as many coefficients, or the cameras have skew.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0, focal_length=500.0)
        >>> to_colmap(ring).parameters[0]
        tensor([500., 500., 500., 500.])
    """
    require_cameras("cameras", cameras)
    K = cameras.intrinsics
    refuse_skew(K, "COLMAP")
    model, coefficients = _colmap_lens(cameras)
    focal = K.diagonal(dim1=-2, dim2=-1)[..., :2]
    parameters = [focal, K[..., :2, 2] + HALF_PIXEL, coefficients]
    return ColmapCameras(
        model=model,
        parameters=torch.cat(parameters, dim=-1),
        quaternions=rotation_to_quaternion(cameras.camera_from_world[..., :3, :3]),
        translations=cameras.camera_from_world[..., :3, 3],
    )


def from_colmap(
    colmap: ColmapCameras, image_size: Int[Tensor, "*#batch views 2"] | None = None
) -> Cameras:
    """Convert cameras of one of COLMAP's models, with poses, to a rig.

    Args:
        colmap: Model, parameters, quaternions (w, x, y, z) and translations.
        image_size: Width and height of each view [px], where known.

    Returns:
        The rig.

    Raises:
        ValueError: If the model is not one of `COLMAP_PARAMETERS`, or a shape disagrees.

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0)
        >>> back = from_colmap(to_colmap(ring))
        >>> torch.allclose(back.projections, ring.projections, atol=1e-3)
        True
    """
    is_colmap = isinstance(colmap, ColmapCameras)
    if not is_colmap:
        raise ValueError(f"`colmap` must be ColmapCameras, got {type(colmap).__name__}")
    names = COLMAP_PARAMETERS.get(colmap.model)
    if names is None:
        known = ", ".join(COLMAP_PARAMETERS)
        raise ValueError(f"`model` must be one of {known}, got {colmap.model!r}")
    require_trailing_shape("parameters", colmap.parameters, "views", len(names))
    require_trailing_shape("quaternions", colmap.quaternions, "views", 4)
    named = dict(zip(names, colmap.parameters.unbind(dim=-1), strict=True))
    fx, fy = (named[name if name in named else "f"] for name in ("fx", "fy"))
    center = torch.stack([named["cx"], named["cy"]], dim=-1) - HALF_PIXEL
    fisheye = colmap.model == "OPENCV_FISHEYE"
    rotation = rotation_from_quaternion(colmap.quaternions)
    return Cameras(
        intrinsics=intrinsics_matrix(torch.stack([fx, fy], dim=-1), center),
        camera_from_world=rigid_transform(rotation, colmap.translations),
        distortion=colmap.parameters[..., 4:] if fisheye else _opencv_coefficients(named),
        image_size=image_size,
        lens=Lens.FISHEYE if fisheye else Lens.OPENCV,
    )


def _colmap_lens(cameras: Cameras) -> tuple[str, Tensor]:
    k = cameras.distortion
    if k is None:
        return "PINHOLE", cameras.intrinsics[..., 0, :0]
    if len(set(cameras.lenses)) > 1:
        raise ValueError("`cameras` must have one lens model for one model of COLMAP")
    if Lens.FISHEYE in cameras.lenses:
        return "OPENCV_FISHEYE", k
    if k[..., len(COEFFICIENTS) :].any():
        raise ValueError("`cameras` must have at most 8 lens coefficients for COLMAP")
    if not k[..., 4:].any():
        return "OPENCV", k[..., :4]
    return "FULL_OPENCV", torch.nn.functional.pad(k, (0, 8))[..., : len(COEFFICIENTS)]


def _opencv_coefficients(named: dict[str, Tensor]) -> Tensor | None:
    if "k1" not in named:
        return None
    count = len(COEFFICIENTS) if "k3" in named else 4
    zero = torch.zeros_like(named["k1"])
    return torch.stack([named.get(name, zero) for name in COEFFICIENTS[:count]], dim=-1)
