"""How close is close, per dtype and conditioning, and why."""

import torch
from torch import Tensor

# A few dozen roundings of float64 on numbers of size one, with room for an unlucky sum.
ROUND_OFF = 1e-12

# Pixels are hundreds to thousands, and a drawn point may come near a camera's plane.
PIXEL_ROUND_OFF = 1e-8

# Triangulation divides pixel round-off by the parallax: a 3-degree fan loses three digits.
POINT_ROUND_OFF = 1e-7


def unit_round_off(dtype: torch.dtype) -> float:
    """Return the relative spacing of the dtype's numbers."""
    return torch.finfo(dtype).eps


def assert_close(actual: Tensor, expected: Tensor, *, atol: float, rtol: float = 0.0) -> None:
    """Compare the largest deviation, NaN equal to NaN."""
    torch.testing.assert_close(actual, expected, atol=atol, rtol=rtol, equal_nan=True)
