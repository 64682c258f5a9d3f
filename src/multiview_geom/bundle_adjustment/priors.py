"""What is known about points in motion: bones keep their length, and joints move smoothly."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._validation import require_items, require_positive


@runtime_checkable
class Prior(Protocol):
    """What is known about the points beside their pixels: `BoneLengths` or `SmoothMotion`."""

    def require_shape(self, frames: Sequence[int], points: int) -> None:
        """Refuse frames or points that the prior cannot join."""

    def residuals(
        self, points: Float[Tensor, "frames points 3"], known: Bool[Tensor, "frames points"]
    ) -> Float[Tensor, "..."]:
        """Return residuals whose squares are added to those of the pixels [px].

        A residual of points that are not all known is zero.
        """


class LinearPrior(NamedTuple):
    """The residuals of priors near some points, whose derivatives are J.

    Attributes:
        slope: The transpose of J times the residuals.
        times: Multiplies the transpose of J and J with vectors.
    """

    slope: Float[Tensor, "3 points"]
    times: Callable[[Tensor], Tensor]


def linearized(
    residuals: Callable[[Float[Tensor, "points 3"]], Tensor], points: Float[Tensor, "points 3"]
) -> LinearPrior:
    """Linearize residuals by automatic differentiation; vectors have the shape (..., 3, points)."""
    derivatives: Any = torch.func.vjp(residuals, points)  # its annotation has an optional third
    off, pull_back = derivatives

    def times(vector: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
        change = torch.func.jvp(residuals, (points,), (vector.mT,))[1]
        product: Tensor = pull_back(change)[0]
        return product.mT

    return LinearPrior(pull_back(off)[0].mT, torch.func.vmap(times))


@dataclass(frozen=True)
class BoneLengths:
    """The length of each bone is the same in all frames.

    The cost of a bone in a frame is `(noise_px * r / deviation)²`, where r is the difference of
    its length from its mean length over all frames, as a share of the mean. The mean is found too.

    Attributes:
        bones: The numbers of the two points at the ends of each bone.
        deviation: Standard deviation of r.
        noise_px: Standard deviation of a pixel coordinate [px].

    Example:
        >>> from multiview_geom import bundle_adjust, ring_of_cameras
        >>> rig = ring_of_cameras(3, radius=4.0, height=1.0, dtype=torch.float64)
        >>> turns = torch.linspace(0.0, 3.0, 20).double()
        >>> hand = 0.5 * torch.stack([turns.cos(), turns.sin(), turns], dim=-1)
        >>> arm = torch.stack([hand, hand + torch.tensor([0.3, 0.0, 0.0])], dim=1)
        >>> pixels = rig.project(arm.flatten(0, 1)).pixels.unflatten(1, (20, 2)).movedim(0, 1)
        >>> found = bundle_adjust(rig, pixels, priors=[BoneLengths([(0, 1)])])
        >>> found.points.diff(dim=1).norm(dim=-1).std() < 1e-6
        tensor(True)
    """

    bones: Sequence[tuple[int, int]]
    deviation: float = 0.02
    noise_px: float = 3.0

    def __post_init__(self) -> None:
        require_items("bones", self.bones, Collection, "pairs of numbers of points, as (0, 1)")
        for bone in self.bones:
            if len(bone) != 2 or not all(isinstance(end, Integral) for end in bone):  # noqa: PLR2004
                raise ValueError(f"`bones` must be pairs of numbers of points, got {bone!r}")
        require_positive("deviation", self.deviation)
        require_positive("noise_px", self.noise_px)

    def require_shape(self, frames: Sequence[int], points: int) -> None:
        """Refuse a bone that ends at no point, or at one point twice."""
        for first, second in self.bones:
            if not (0 <= first < points and 0 <= second < points and first != second):
                raise ValueError(
                    f"`bones` must join two points from 0 to {points - 1}, got {first, second}"
                )

    def residuals(
        self, points: Float[Tensor, "frames points 3"], known: Bool[Tensor, "frames points"]
    ) -> Float[Tensor, "frames bones"]:
        """Return the weighted differences from the mean lengths."""
        ends = torch.tensor([[*bone] for bone in self.bones], dtype=torch.long).reshape(-1, 2)
        ends = ends.to(points.device)
        first, second = ends[:, 0], ends[:, 1]
        both = known[:, first] & known[:, second]
        bone = torch.where(both[..., None], points[:, second] - points[:, first], 1.0)
        length = torch.where(both, bone.norm(dim=-1), 0.0)
        mean = length.sum(dim=0) / both.sum(dim=0).clamp(min=1)
        off = length / torch.where(mean > 0, mean, 1.0) - 1
        return torch.where(both, off, 0.0) * (self.noise_px / self.deviation)


@dataclass(frozen=True)
class SmoothMotion:
    """Points move with little acceleration.

    The cost of a point in three successive frames is `(noise_px * a / deviation)²`, where a is the
    length of the second difference of its positions, as a share of the RMS distance of all points
    from their mean: so it does not depend on the unit of length.

    Attributes:
        deviation: Standard deviation of a coordinate of a. The second difference is the
            acceleration times the squared time between frames: at 50 frames per second, 5 m/s² are
            2 mm, and if a person walks in a circle of 1 m radius, the share is 0.002.
        noise_px: Standard deviation of a pixel coordinate [px].

    Example:
        >>> still = torch.zeros(4, 2, 3).double()
        >>> prior = SmoothMotion(deviation=0.01, noise_px=1.0)
        >>> prior.residuals(still, torch.ones(4, 2, dtype=torch.bool)).shape
        torch.Size([2, 2, 3])
    """

    deviation: float
    noise_px: float = 3.0

    def __post_init__(self) -> None:
        require_positive("deviation", self.deviation)
        require_positive("noise_px", self.noise_px)

    def require_shape(self, frames: Sequence[int], points: int) -> None:
        """Refuse pixels whose frames have no order in time."""
        if len(frames) != 1:
            raise ValueError(
                "`SmoothMotion` needs pixels of the shape (frames, views, points, 2), in the order "
                f"of time, got {len(frames)} frame axes"
            )

    def residuals(
        self, points: Float[Tensor, "frames points 3"], known: Bool[Tensor, "frames points"]
    ) -> Float[Tensor, "inner points 3"]:
        """Return the weighted second differences."""
        seen = known[2:] & known[1:-1] & known[:-2]
        bent = points[2:] - 2 * points[1:-1] + points[:-2]
        count = known.sum().clamp(min=1)
        whole = torch.where(known[..., None], points, 0.0)
        apart = torch.where(known[..., None], points - whole.sum(dim=(0, 1)) / count, 0.0)
        size = (apart.square().sum() / count).sqrt()
        share = torch.where(seen[..., None], bent, 0.0) / torch.where(size > 0, size, 1.0)
        return share * (self.noise_px / self.deviation)
