"""Loss functions of the squared residual."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._validation import require_number, require_positive

Loss = Callable[[Tensor], Tensor]
"""The cost of a squared residual: `LinearLoss()`, `HuberLoss(...)`, or any smooth function."""


@dataclass(frozen=True)
class LinearLoss:
    """Least squares: the cost is the squared residual.

    Example:
        >>> LinearLoss()(torch.tensor([1.0, 100.0]))
        tensor([  1., 100.])
    """

    def __call__(self, squared: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the cost of squared residuals."""
        return squared


@dataclass(frozen=True)
class HuberLoss:
    """Huber's loss: the squared residual up to `delta`, linear in the residual beyond.

    Attributes:
        delta: Residual at which the loss becomes linear [its unit].

    Reference:
        Huber, Robust estimation of a location parameter, 1964.

    Example:
        >>> HuberLoss(3.0)(torch.tensor([1.0, 100.0]))
        tensor([ 1., 51.])
    """

    delta: float

    def __post_init__(self) -> None:
        require_number("delta", self.delta, float)
        require_positive("delta", self.delta)

    def __call__(self, squared: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the cost of squared residuals."""
        beyond = squared > self.delta**2
        # Double `where`: the root has an infinite slope at zero.
        root = torch.where(beyond, squared, 1.0).sqrt()
        return torch.where(beyond, 2 * self.delta * root - self.delta**2, squared)


@dataclass(frozen=True)
class CauchyLoss:
    """Cauchy's loss: squared for small residuals, logarithmic for large ones.

    Attributes:
        scale: Residual at which the loss changes from squared to logarithmic [its unit].

    Reference:
        Black and Anandan, The robust estimation of multiple motions, 1996 (the Lorentzian).

    Example:
        >>> CauchyLoss(3.0)(torch.tensor([1.0, 100.0])).round(decimals=2)
        tensor([ 0.9500, 22.4500])
    """

    scale: float

    def __post_init__(self) -> None:
        require_number("scale", self.scale, float)
        require_positive("scale", self.scale)

    def __call__(self, squared: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the cost of squared residuals."""
        return self.scale**2 * torch.log1p(squared / self.scale**2)


def require_loss(loss: object) -> None:
    """Refuse the name or the class of a loss."""
    if callable(loss) and not isinstance(loss, type):
        return
    raise ValueError(f"`loss` must be a loss, such as HuberLoss(2.0), got {loss!r}")


def loss_slopes(loss: Loss, squared: Float[Tensor, "*batch"]) -> tuple[Tensor, Tensor]:
    """Differentiate the loss once and twice."""
    first: Tensor
    second: Tensor
    slope = torch.func.grad(lambda at: loss(at).sum())
    first, pull_back = torch.func.vjp(slope, squared)[:2]
    (second,) = pull_back(torch.ones_like(squared))
    return first, second
