"""Results with a validity mask: pixels, directions and rays, and which of them exist.

They are named tuples: unpack them, or pass them through `vmap`, `torch.compile` and collation.
"""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor


class ValidPixels(NamedTuple):
    """Pixels [px], and which of them a lens can produce."""

    pixels: Float[Tensor, "*batch views points 2"]
    valid: Bool[Tensor, "*batch views points"]


class ValidDirections(NamedTuple):
    """Unit vectors in each camera's frame, and which of them a lens can see."""

    directions: Float[Tensor, "*batch views points 3"]
    valid: Bool[Tensor, "*batch views points"]


class ProjectedPoints(NamedTuple):
    """Pixels [px] and depths of points in each view, and which of them the view can see."""

    pixels: Float[Tensor, "*batch views points 2"]
    depths: Float[Tensor, "*batch views points"]
    valid: Bool[Tensor, "*batch views points"]


class ViewingRays(NamedTuple):
    """Pixels back-projected into the world: rays from the camera centers."""

    origins: Float[Tensor, "*batch views points 3"]
    directions: Float[Tensor, "*batch views points 3"]
    valid: Bool[Tensor, "*batch views points"]
