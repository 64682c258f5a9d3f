"""Lens distortion, applied and removed."""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor


class Undistorted(NamedTuple):
    """Ideal pixels, and which of them the lens can have produced."""

    pixels: Float[Tensor, "*batch views points 2"]
    valid: Bool[Tensor, "*batch views points"]


def distort_points(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Float[Tensor, "*#batch views points 2"]:
    """Move ideal pixels to where the lens shows them."""
    raise NotImplementedError


def undistort_points(
    intrinsics: Float[Tensor, "*#batch views 3 3"],
    distortion: Float[Tensor, "*#batch views coefficients"],
    pixels: Float[Tensor, "*#batch views points 2"],
) -> Undistorted:
    """Move seen pixels to where a pinhole with the same intrinsics would see them."""
    raise NotImplementedError
