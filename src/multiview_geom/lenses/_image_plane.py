"""Pixels to points of the image plane at depth one, and back; points that are missing."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels.lens.algebra import image_point, pixel_of
from multiview_geom._kernels.lens.reference import entries_of
from multiview_geom._validation import (
    broadcast_axes,
    for_computation,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom._vectors import replace_missing


class MaskedPoints(NamedTuple):
    """Coordinates of points, and which of them are valid."""

    valid: Bool[Tensor, "*batch"]
    x: Float[Tensor, "*batch"]
    y: Float[Tensor, "*batch"]


class UsableLens(NamedTuple):
    """Intrinsics and coefficients in the dtype of the computation, and which are usable.

    A lens with a number that is not finite, or with a focal length of zero, is replaced by a
    pinhole: NaN would turn the gradients of all points into NaN.
    """

    intrinsics: Float[Tensor, "*batch views 3 3"]
    distortion: Float[Tensor, "*batch views coefficients"]
    known: Bool[Tensor, "*batch views 1"]


def usable_lens(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
) -> UsableLens:
    """Replace lenses that are not usable."""
    K, k = for_computation(intrinsics), for_computation(distortion)
    k, known = replace_missing(k, 1)
    focal = (K[..., 0, 0] != 0) & (K[..., 1, 1] != 0) & K.isfinite().all(dim=-1).all(dim=-1)
    identity = torch.eye(3, dtype=K.dtype, device=K.device)
    K = torch.where(focal[..., None, None], K, identity)
    return UsableLens(K, k, known & focal[..., None])


def require_lens(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
    **points: Float[Tensor, "*#batch views points d"],
) -> None:
    """Refuse intrinsics, coefficients and points that do not belong to the same views."""
    require_trailing_shape("intrinsics", intrinsics, "views", 3, 3)
    require_floating(intrinsics=intrinsics, distortion=distortion, **points)
    require_same_size(
        "views",
        intrinsics=intrinsics.shape[-3],
        distortion=distortion.shape[-2],
        **{name: tensor.shape[-3] for name, tensor in points.items()},
    )
    broadcast_axes(
        intrinsics=intrinsics.shape[:-3],
        distortion=distortion.shape[:-2],
        **{name: tensor.shape[:-3] for name, tensor in points.items()},
    )


def split_coordinates(points: Float[Tensor, "*batch 2"]) -> MaskedPoints:
    """Return x and y, zero where a point is not finite, and which points are finite."""
    x, y = points.unbind(dim=-1)
    finite = x.isfinite() & y.isfinite()
    # Double `where`, with `join_coordinates`: NaN would turn all gradients into NaN.
    return MaskedPoints(finite, torch.where(finite, x, 0.0), torch.where(finite, y, 0.0))


def join_coordinates(
    valid: Bool[Tensor, "*#batch"], x: Float[Tensor, "*#batch"], y: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*#batch 2"]:
    """Return the points with these coordinates, NaN where not valid."""
    return torch.stack([torch.where(valid, x, torch.nan), torch.where(valid, y, torch.nan)], dim=-1)


def from_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"], pixels: Float[Tensor, "*#batch views points 2"]
) -> Float[Tensor, "*#batch views points 2"]:
    """Apply K^-1: pixels to points of the plane at depth one."""
    finite, u, v = split_coordinates(pixels)
    return join_coordinates(finite, *apply_inverse_intrinsics(intrinsics, u, v))


def to_pixels(
    intrinsics: Float[Tensor, "*#batch views 3 3"], points: Float[Tensor, "*#batch views points 2"]
) -> Float[Tensor, "*#batch views points 2"]:
    """Apply K: points of the plane at depth one to pixels."""
    finite, x, y = split_coordinates(points)
    return join_coordinates(finite, *apply_intrinsics(intrinsics, x, y))


def apply_inverse_intrinsics(intrinsics: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Apply the inverse of an upper triangular K with last row 0, 0, 1."""
    return image_point(entries_of(intrinsics), u, v)


def apply_intrinsics(intrinsics: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Apply an upper triangular K with last row 0, 0, 1."""
    return pixel_of(entries_of(intrinsics), x, y)
