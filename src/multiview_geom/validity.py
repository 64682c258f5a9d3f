"""Results with a validity mask: pixels, directions and rays, and which of them exist.

They are named tuples: unpack them, or pass them through `vmap`, `torch.compile` and collation.
"""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor


class ValidPixels(NamedTuple):
    """Pixels [px], and which of them a lens can produce.

    Example:
        >>> import torch
        >>> pixels, valid = ValidPixels(torch.zeros(4, 10, 2), torch.ones(4, 10, dtype=torch.bool))
        >>> torch.where(valid[..., None], pixels, torch.nan).shape
        torch.Size([4, 10, 2])
    """

    pixels: Float[Tensor, "*batch views points 2"]
    valid: Bool[Tensor, "*batch views points"]


class ValidDirections(NamedTuple):
    """Unit vectors in each camera's frame, and which of them a lens can see.

    Example:
        >>> import torch
        >>> from multiview_geom import unproject_fisheye_pixels
        >>> K = torch.tensor([[[100.0, 0.0, 50.0], [0.0, 100.0, 50.0], [0.0, 0.0, 1.0]]])
        >>> unproject_fisheye_pixels(K, torch.zeros(1, 4), torch.tensor([[[50.0, 50.0]]]))
        ValidDirections(directions=tensor([[[0., 0., 1.]]]), valid=tensor([[True]]))
    """

    directions: Float[Tensor, "*batch views points 3"]
    valid: Bool[Tensor, "*batch views points"]


class ProjectedPoints(NamedTuple):
    """Pixels [px] and depths of points in each view, and which of them the view can see.

    Example:
        >>> import torch
        >>> from multiview_geom import ring_of_cameras
        >>> rig = ring_of_cameras(2, radius=4.0, height=0.0, image_size=(101, 101))
        >>> projected = rig.project(torch.zeros(1, 3))
        >>> projected.pixels[0], projected.depths[0], projected.valid[0]
        (tensor([[50., 50.]]), tensor([4.]), tensor([True]))
    """

    pixels: Float[Tensor, "*batch views points 2"]
    depths: Float[Tensor, "*batch views points"]
    valid: Bool[Tensor, "*batch views points"]


class ViewingRays(NamedTuple):
    """Pixels back-projected into the world: rays from the camera centers.

    Example:
        >>> import torch
        >>> from multiview_geom import ring_of_cameras
        >>> rig = ring_of_cameras(2, radius=4.0, height=0.0, image_size=(101, 101))
        >>> rays = rig.rays(torch.full((2, 1, 2), 50.0))
        >>> rays.origins[0] + 4 * rays.directions[0] + 0.0
        tensor([[0., 0., 0.]])
    """

    origins: Float[Tensor, "*batch views points 3"]
    directions: Float[Tensor, "*batch views points 3"]
    valid: Bool[Tensor, "*batch views points"]
