"""What a residual costs: functions of its square, for those who fit points or cameras."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class LinearLoss:
    """Every squared residual costs itself: least squares.

    Example:
        >>> LinearLoss()(torch.tensor([1.0, 100.0]))
        tensor([  1., 100.])
    """

    def __call__(self, squared: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the cost of squared residuals."""
        return squared


@dataclass(frozen=True)
class HuberLoss:
    """Squared up to a length, and beyond it along the tangent: every residual pulls, none hard.

    Attributes:
        delta: The length, in the residual's unit.

    Reference:
        Huber, Robust estimation of a location parameter, 1964.

    Example:
        >>> HuberLoss(3.0)(torch.tensor([1.0, 100.0]))
        tensor([ 1., 51.])
    """

    delta: float

    def __post_init__(self) -> None:
        _require_positive("delta", self.delta)

    def __call__(self, squared: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the cost of squared residuals."""
        beyond = squared > self.delta**2
        # Doubled where: the root has an infinite slope at zero.
        root = torch.where(beyond, squared, 1.0).sqrt()
        return torch.where(beyond, 2 * self.delta * root - self.delta**2, squared)


@dataclass(frozen=True)
class CauchyLoss:
    """Squared near zero, and its logarithm far out: far residuals hardly pull at all.

    Attributes:
        scale: Where the one becomes the other, in the residual's unit.

    Reference:
        Black and Anandan, The robust estimation of multiple motions, 1996 (the Lorentzian).

    Example:
        >>> CauchyLoss(3.0)(torch.tensor([1.0, 100.0])).round(decimals=2)
        tensor([ 0.9500, 22.4500])
    """

    scale: float

    def __post_init__(self) -> None:
        _require_positive("scale", self.scale)

    def __call__(self, squared: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the cost of squared residuals."""
        return self.scale**2 * torch.log1p(squared / self.scale**2)


def _require_positive(name: str, length: float) -> None:
    if not length > 0:
        raise ValueError(f"`{name}` must be positive, got {length}")
