"""What the algebra uses besides + - * / and comparisons, in Triton."""

from typing import Any, TypeAlias

import triton.language as tl

Lanes: TypeAlias = Any
"""One number per lane."""


def sqrt(a: Lanes) -> Lanes:
    """Return the square root."""
    return tl.sqrt(a)


def where(condition: Lanes, chosen: Lanes, other: Lanes) -> Lanes:
    """Return one of two numbers."""
    return tl.where(condition, chosen, other)


def abs(a: Lanes) -> Lanes:
    """Return the absolute value."""
    return tl.abs(a)
