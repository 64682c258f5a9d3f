"""What the algebra uses besides + - * / and comparisons, and what kernels share, in Triton."""

from typing import Any, TypeAlias

import triton.language as tl

from multiview_geom._kernels.algebra import Vector

# Items that a program computes.
LANES = 128

Pointer: TypeAlias = Any
Lanes: TypeAlias = Any
"""One number per lane."""


class Constant(tl.constexpr):  # type: ignore[misc]
    """A number that a kernel is compiled for.

    In every call Triton compares all of them with those at the time of compilation.
    """

    __hash__ = tl.constexpr.__hash__

    def __ne__(self, other: Any) -> bool:  # noqa: ANN401 - a number or another constant
        """Compare without the objects that Triton makes for it: a tenth of a call."""
        return bool(self.value != getattr(other, "value", other))


def sqrt(a: Lanes) -> Lanes:
    """Return the square root."""
    return tl.sqrt(a)


def where(condition: Lanes, chosen: Lanes, other: Lanes) -> Lanes:
    """Return one of two numbers."""
    return tl.where(condition, chosen, other)


def abs(a: Lanes) -> Lanes:
    """Return the absolute value."""
    return tl.abs(a)


def items(count: int) -> tuple[Lanes, Lanes]:
    """Return the items of this program, and which of them there are."""
    item = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    return item, item < count


def load(pointer: Pointer, at: Lanes, inside: Lanes) -> Lanes:
    """Load a number of each item, as double precision; zero outside."""
    return tl.load(pointer + at, mask=inside, other=0).to(tl.float64)


def load_vector(pointer: Pointer, at: Lanes, inside: Lanes) -> Vector:
    """Load three numbers of each item."""
    return load(pointer, at, inside), load(pointer, at + 1, inside), load(pointer, at + 2, inside)


def store_vector(pointer: Pointer, at: Lanes, a: Vector, inside: Lanes) -> None:
    """Store three numbers of each item."""
    tl.store(pointer + at, a[0], mask=inside)
    tl.store(pointer + at + 1, a[1], mask=inside)
    tl.store(pointer + at + 2, a[2], mask=inside)


def some(condition: Lanes) -> Lanes:
    """Tell whether a condition holds in any lane."""
    return tl.max(condition.to(tl.int32), axis=0) > 0
