"""The mathematics of one point and one rotation, as plain arithmetic.

Every function takes and returns numbers, or tuples of them: scalars of a loop in Numba, lanes of a
block in Triton, tensors in PyTorch. Besides + - * /, `abs`, comparisons and their & and |, they use
only the names imported below, which `engines.py` replaces by those of the engine when it compiles
these functions. Where single precision must stay single, a `one` of its dtype enters as an
argument: Numba computes `x + 1` in double precision. In `where(x > 0, x, x + 1)` it is one.

A symmetric 3x3 matrix is the tuple (xx, xy, xz, yy, yz, zz).
"""

from typing import Any, TypeAlias

from torch import sqrt as sqrt
from torch import where as where

Number: TypeAlias = Any
"""A scalar, a block of lanes, or a tensor."""
Pair = tuple[Number, Number]
Vector = tuple[Number, Number, Number]
Row = tuple[Number, Number, Number, Number]
Symmetric = tuple[Number, Number, Number, Number, Number, Number]
Matrix = tuple[Vector, Vector, Vector]
"""The rows of a 3x3 matrix."""
Rows = tuple[Row, Row, Row, Row]


def dot(a: Vector, b: Vector) -> Number:
    """Return the inner product of two vectors."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def dot4(a: Row, b: Row) -> Number:
    """Return the inner product of two vectors of four entries."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]


def cross(a: Vector, b: Vector) -> Vector:
    """Return the cross product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def scale(a: Vector, factor: Number) -> Vector:
    """Multiply a vector by a number."""
    return a[0] * factor, a[1] * factor, a[2] * factor


def add_scaled(a: Vector, b: Vector, factor: Number) -> Vector:
    """Return a + factor * b."""
    return a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2]


def combine4(a: Row, b: Row, x: Number, y: Number) -> Row:
    """Return x a + y b."""
    return x * a[0] + y * b[0], x * a[1] + y * b[1], x * a[2] + y * b[2], x * a[3] + y * b[3]


def turn4(a: Row, b: Row, cosine: Number, sine: Number) -> tuple[Row, Row]:
    """Turn two vectors in their plane, to c a - s b and s a + c b."""
    return combine4(a, b, cosine, -sine), combine4(a, b, sine, cosine)


def choose(condition: Number, chosen: Vector, other: Vector) -> Vector:
    """Return one of two vectors."""
    return (
        where(condition, chosen[0], other[0]),
        where(condition, chosen[1], other[1]),
        where(condition, chosen[2], other[2]),
    )


def choose4(condition: Number, chosen: Row, other: Row) -> Row:
    """Return one of two vectors."""
    return (
        where(condition, chosen[0], other[0]),
        where(condition, chosen[1], other[1]),
        where(condition, chosen[2], other[2]),
        where(condition, chosen[3], other[3]),
    )


def axis_of_smallest(values: Row, axes: Rows) -> Row:
    """Return the axis that the smallest of four values belongs to, the first of them if several."""
    a, b, c, d = values
    first, low = choose4(b < a, axes[1], axes[0]), where(b < a, b, a)
    second, other = choose4(d < c, axes[3], axes[2]), where(d < c, d, c)
    return choose4(other < low, second, first)


def unit_axes(zero: Number) -> Rows:
    """Return the rows of the identity."""
    one = zero + 1
    return (
        (one, zero, zero, zero),
        (zero, one, zero, zero),
        (zero, zero, one, zero),
        (zero, zero, zero, one),
    )


def jacobi(alpha: Number, beta: Number, gamma: Number) -> Pair:
    """Return the cosine and sine by which `turn4` makes two columns orthogonal.

    Their squared lengths are alpha and beta, their inner product is gamma.

    Reference:
        Golub and Van Loan, Matrix Computations (4th ed.), sec. 8.6.3.
    """
    half = (beta - alpha) / 2
    length = sqrt(half * half + gamma * gamma)
    divisor = where(half < 0, half - length, half + length)
    tangent = gamma / where(divisor == 0, divisor + 1, divisor)
    cosine = 1 / sqrt(1 + tangent * tangent)
    return cosine, cosine * tangent


def add_symmetric(a: Symmetric, b: Symmetric, factor: Number) -> Symmetric:
    """Return a + factor * b."""
    return (
        a[0] + factor * b[0],
        a[1] + factor * b[1],
        a[2] + factor * b[2],
        a[3] + factor * b[3],
        a[4] + factor * b[4],
        a[5] + factor * b[5],
    )


def subtract_from_diagonal(m: Symmetric, shift: Number) -> Symmetric:
    """Return m - shift * identity."""
    return m[0] - shift, m[1], m[2], m[3] - shift, m[4], m[5] - shift


def trace(m: Symmetric) -> Number:
    """Return the trace."""
    return m[0] + m[3] + m[5]


def multiply(m: Symmetric, a: Vector) -> Vector:
    """Multiply a symmetric matrix with a vector."""
    return (
        m[0] * a[0] + m[1] * a[1] + m[2] * a[2],
        m[1] * a[0] + m[3] * a[1] + m[4] * a[2],
        m[2] * a[0] + m[4] * a[1] + m[5] * a[2],
    )


def adjugate(m: Symmetric) -> Symmetric:
    """Return the matrix of cofactors."""
    return (
        m[3] * m[5] - m[4] * m[4],
        m[2] * m[4] - m[1] * m[5],
        m[1] * m[4] - m[2] * m[3],
        m[0] * m[5] - m[2] * m[2],
        m[1] * m[2] - m[0] * m[4],
        m[0] * m[3] - m[1] * m[1],
    )


def determinant(m: Symmetric, cofactors: Symmetric) -> Number:
    """Return the determinant of a matrix whose cofactors are known."""
    return m[0] * cofactors[0] + m[1] * cofactors[1] + m[2] * cofactors[2]
