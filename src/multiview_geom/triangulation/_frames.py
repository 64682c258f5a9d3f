"""Leading axes of triangulations made one axis of frames, and given back."""

from collections.abc import Callable
from math import prod
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_map

from multiview_geom._validation import for_computation, full_precision, require_floating
from multiview_geom.cameras import Cameras
from multiview_geom.triangulation._sightings import require_sightings

Found = TypeVar("Found")


def by_cameras(
    triangulate: Callable[..., Found],
    cameras: Cameras,
    pixels: Float[Tensor, "*#batch views points 2"],
    weights: Float[Tensor, "*#batch views points"] | None,
) -> Found:
    """Undistort the pixels of a rig, and triangulate with its projections.

    The computation uses the more precise dtype of cameras and pixels; the result has that of the
    pixels.

    Raises:
        ValueError: If a shape disagrees, or a dtype is not floating.
    """
    require_floating(pixels=pixels)
    if weights is not None:
        require_floating(weights=weights)
    dtype = torch.promote_types(cameras.intrinsics.dtype, for_computation(pixels).dtype)
    rig, trust = cameras.to(dtype), None if weights is None else weights.to(dtype)
    image = rig.undistort(pixels.to(dtype)).pixels
    found = triangulate(rig.projections, image, weights=trust)
    result: Found = tree_map(
        lambda one: one.to(pixels.dtype) if one.is_floating_point() else one, found
    )
    return result


def in_frames(
    solve: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    projections: Float[Tensor, "*#batch views 3 4"],
    pixels: Float[Tensor, "*#batch views points 2"],
    weights: Float[Tensor, "*#batch views points"] | None,
) -> Float[Tensor, "..."]:
    """Check the arguments, make frames of all leading axes, solve, and give the axes back.

    Args:
        solve: Takes projections of one frame or of all, pixels and weights of all frames, in
            single or double precision, and returns a tensor whose first axis are the frames.
        projections: World-to-pixel matrix of each view.
        pixels: Detected pixel of each point in each view.
        weights: Weight of each detection.

    Returns:
        What `solve` returned, in the dtype of the pixels.

    Raises:
        ValueError: If a shape or dtype disagrees.
    """
    batch = require_sightings(projections, pixels, weights)
    with full_precision(pixels):
        found = solve(
            _as_frames(projections, batch, 3, shared=True),
            _as_frames(pixels, batch, 3),
            None if weights is None else _as_frames(weights, batch, 2),
        )
    if len(batch) != 1:
        found = found.reshape(*batch, *found.shape[1:])
    return found if found.dtype == pixels.dtype else found.to(pixels.dtype)


def _as_frames(
    tensor: Tensor, batch: tuple[int, ...], trailing: int, *, shared: bool = False
) -> Float[Tensor, "frames ..."]:
    """Flatten the leading axes into one; a rig that all frames share stays one."""
    tensor = for_computation(tensor)
    own = tensor.shape[-trailing:]
    if shared and prod(tensor.shape[:-trailing]) == 1:
        return tensor.reshape(1, *own)
    if tensor.shape[:-trailing] != batch:
        tensor = tensor.expand(*batch, *own)
    return tensor if len(batch) == 1 else tensor.reshape(prod(batch), *own)
