"""The mathematics of one point and one rotation, as plain arithmetic.

Every function takes and returns numbers, or tuples of them: scalars of a loop in Numba, lanes of a
block in Triton, tensors in PyTorch. Besides + - * /, `abs`, comparisons and their & and |, they use
only the names imported below, which `engines.py` replaces by those of the engine when it compiles
these functions. A constant enters as an argument where it must have the dtype of the rest; `x + 1`
and `x * 0` make a one and a zero of the dtype of x.

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
Rows = tuple[Row, Row, Row, Row]
View = tuple[Row, Row, Row]
"""The rows of a projection that give the depth, and depth times pixel coordinate across and down,
with pixels counted from the principal point."""


def dot(a: Vector, b: Vector) -> Number:
    """Return the inner product of two vectors."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def dot4(a: Row, b: Row) -> Number:
    """Return the inner product of two vectors of four entries."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]


def scale(a: Vector, factor: Number) -> Vector:
    """Multiply a vector by a number."""
    return a[0] * factor, a[1] * factor, a[2] * factor


def add_scaled(a: Vector, b: Vector, factor: Number) -> Vector:
    """Return a + factor * b."""
    return a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2]


def dlt_equation(axis_row: Row, depth_row: Row, coordinate: Number) -> Row:
    """Return coordinate * depth_row - axis_row: its product with a point on the ray is zero."""
    return (
        coordinate * depth_row[0] - axis_row[0],
        coordinate * depth_row[1] - axis_row[1],
        coordinate * depth_row[2] - axis_row[2],
        coordinate * depth_row[3] - axis_row[3],
    )


def combine4(a: Row, b: Row, x: Number, y: Number) -> Row:
    """Return x a + y b."""
    return x * a[0] + y * b[0], x * a[1] + y * b[1], x * a[2] + y * b[2], x * a[3] + y * b[3]


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


def about_origin(a: Row, origin: Vector, factor: Number) -> Row:
    """Return a row for points that are counted from an origin, times a factor."""
    last = a[3] + dot((a[0], a[1], a[2]), origin)
    return a[0] * factor, a[1] * factor, a[2] * factor, last * factor


def unit_axes(zero: Number) -> Rows:
    """Return the rows of the identity."""
    one = zero + 1
    return (
        (one, zero, zero, zero),
        (zero, one, zero, zero),
        (zero, zero, one, zero),
        (zero, zero, zero, one),
    )


def cross(a: Vector, b: Vector) -> Vector:
    """Return the cross product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def trace(m: Symmetric) -> Number:
    """Return the trace."""
    return m[0] + m[3] + m[5]


def subtract_from_diagonal(m: Symmetric, shift: Number) -> Symmetric:
    """Return m - shift * identity."""
    return m[0] - shift, m[1], m[2], m[3] - shift, m[4], m[5] - shift


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


# The linear equations of triangulation. A pixel (u, v), counted from the image center, and a view
# with rows (depth, across, down) give `(u depth - across) X = 0` and `(v depth - down) X = 0`.


def principal_point(depth: Row, axis: Row) -> Number:
    """Return the image coordinate of the optical axis; zero for a camera without one."""
    squared = depth[0] * depth[0] + depth[1] * depth[1] + depth[2] * depth[2]
    product = axis[0] * depth[0] + axis[1] * depth[1] + axis[2] * depth[2]
    return where(squared > 0, product / where(squared > 0, squared, squared + 1), squared * 0)


def normal_terms(p: Row, q: Row) -> tuple[Number, ...]:
    """Return what two equations add to the Hessian (six entries) and to the linear term (three)."""
    return (
        p[0] * p[0] + q[0] * q[0],
        p[0] * p[1] + q[0] * q[1],
        p[0] * p[2] + q[0] * q[2],
        p[1] * p[1] + q[1] * q[1],
        p[1] * p[2] + q[1] * q[2],
        p[2] * p[2] + q[2] * q[2],
        p[0] * p[3] + q[0] * q[3],
        p[1] * p[3] + q[1] * q[3],
        p[2] * p[3] + q[2] * q[3],
    )


def residuals_and_depth(u: Number, v: Number, view: View, point: Row) -> Vector:
    """Return the residuals of both equations at a homogeneous point, and its depth."""
    depth = dot4(view[0], point)
    return u * depth - dot4(view[1], point), v * depth - dot4(view[2], point), depth


def squared_error(u: Number, v: Number, view: View, point: Row) -> Pair:
    """Return the squared reprojection error of a homogeneous point, and its depth."""
    depth = dot4(view[0], point)
    across, down = dot4(view[1], point) / depth - u, dot4(view[2], point) / depth - v
    return across * across + down * down, depth


def apply_transpose(u: Number, v: Number, view: View, residuals: Pair) -> Vector:
    """Multiply residuals with the first three columns of their equations."""
    r, s = residuals
    along = u * r + v * s
    depth, across, down = view
    return (
        along * depth[0] - r * across[0] - s * down[0],
        along * depth[1] - r * across[1] - s * down[1],
        along * depth[2] - r * across[2] - s * down[2],
    )


def least_squares_point(hessian: Symmetric, linear: Vector, one: Number) -> Vector:
    """Return -B^-1 b, the minimum of the residuals with the last coordinate held at one."""
    cofactors = adjugate(hessian)
    return scale(multiply(cofactors, linear), -one / determinant(hessian, cofactors))


# The point that minimizes the Rayleigh quotient |A X|^2 / |X|^2 with X = (x, 1) satisfies
# (B - q) x = -b, where q is its quotient. Newton's iteration for q is the Rayleigh quotient of
# the x that the last q gave: it converges quadratically. Around a start x0 with gradient
# g = B x0 + b and s = |A X0|^2, taken from the residuals in full precision, the move is
# (B - q)^-1 (q x0 - g), and the quotient after it needs no further look at the pixels.


def shifted_move(
    hessian: Symmetric, quotient: Number, start: Vector, gradient: Vector, one: Number
) -> Vector:
    """Return the move from the start that a quotient asks for."""
    shifted = subtract_from_diagonal(hessian, quotient)
    cofactors = adjugate(shifted)
    right = (
        quotient * start[0] - gradient[0],
        quotient * start[1] - gradient[1],
        quotient * start[2] - gradient[2],
    )
    return scale(multiply(cofactors, right), one / determinant(shifted, cofactors))


def quotient_after(
    hessian: Symmetric, start: Vector, gradient: Vector, squared: Number, move: Vector, one: Number
) -> Number:
    """Return the Rayleigh quotient after a move from where |A X|^2 is `squared`."""
    there = add_scaled(start, move, one)
    change = dot(move, multiply(hessian, move)) + (one + one) * dot(move, gradient)
    return (squared + change) / (one + dot(there, there))


def smallest_root(
    constant: Number, linear: Number, quadratic: Number, cubic: Number, root: Number
) -> Number:
    """Return Laguerre's step towards the smallest root of a quartic with real roots, from its left.

    For p(z) = z^4 - cubic z^3 + quadratic z^2 - linear z + constant the step is
    4 p / (-p' + sqrt(9 p'^2 - 12 p p'')). It never passes the smallest root.

    Reference:
        Parlett, Laguerre's method applied to the matrix eigenvalue problem, 1964.
    """
    value = constant - root * (linear - root * (quadratic - root * (cubic - root)))
    value = where(value > 0, value, value * 0)
    minus_slope = linear - root * (2 * quadratic - root * (3 * cubic - 4 * root))
    half_curvature = quadratic - root * (3 * cubic - 6 * root)
    radicand = minus_slope * minus_slope - value * half_curvature * 8 / 3
    # Numerator and divisor are divided by three.
    divisor = sqrt(where(radicand > 0, radicand, radicand * 0)) + minus_slope / 3
    safe = where(divisor > 0, divisor, divisor * 0 + 1)
    return root + where(divisor > 0, value * 4 / 3 / safe, value * 0)


def characteristic_polynomial(
    hessian: Symmetric, start: Vector, squared: Number
) -> tuple[Number, Number, Number, Number]:
    """Return d, c, b and a of the quartic z^4 - a z^3 + b z^2 - c z + d of A^T A.

    In the basis of (x0, 1) and the three axes, with B x0 = -b, its off-diagonal block is zero.
    """
    cofactors = adjugate(hessian)
    volume, area, total = determinant(hessian, cofactors), trace(cofactors), trace(hessian)
    length = 1 + dot(start, start)
    return (
        squared * volume,
        squared * area + length * volume,
        squared * total + length * area - dot(start, multiply(cofactors, start)),
        total + squared + dot(start, multiply(hessian, start)),
    )


def uncertainty(
    shifted: Symmetric, quotient_change: Number, move: Vector, point: Vector, one: Number
) -> Pair:
    """Return how far Newton's iteration and the squared equations may be off.

    The first is the relative change of the point by the last change of the quotient; the iteration
    is off by its square. It is -1 unless B - q is positive definite: only then is a stationary q
    the smallest eigenvalue. The second, times a round-off, is the relative error of the move.
    """
    cofactors = adjugate(shifted)
    det = determinant(shifted, cofactors)
    positive = (shifted[0] > 0) & (cofactors[5] > 0) & (det > 0)
    inverse_trace = trace(cofactors) / where(positive, det, one)
    share = sqrt(dot(move, move) / (one + dot(point, point)))
    spread = trace(shifted) * inverse_trace * share
    return where(positive, abs(quotient_change) * inverse_trace, -one), spread


# Where the equations are too ill conditioned to be squared, or too wild for Newton: triangular by
# Givens rotations, then the smallest right singular vector by one-sided Jacobi rotations.


def givens(pivot: Number, entry: Number) -> Pair:
    """Return the cosine and sine that turn an entry into its pivot."""
    length = sqrt(pivot * pivot + entry * entry)
    safe = where(length > 0, length, length + 1)
    return where(length > 0, pivot / safe, length + 1), entry / safe


def jacobi(alpha: Number, beta: Number, gamma: Number) -> Pair:
    """Return the cosine and sine that make two columns orthogonal.

    With squared lengths alpha and beta and inner product gamma, the columns become
    `c a - s b` and `s a + c b`.

    Reference:
        Golub and Van Loan, Matrix Computations (4th ed.), sec. 8.6.3.
    """
    half = (beta - alpha) / 2
    length = sqrt(half * half + gamma * gamma)
    divisor = where(half < 0, half - length, half + length)
    tangent = gamma / where(divisor == 0, divisor + 1, divisor)
    cosine = 1 / sqrt(1 + tangent * tangent)
    return cosine, cosine * tangent


def turn_into(pivot: Row, row: Row, a: Number, b: Number) -> tuple[Row, Row]:
    """Turn two rows so that b, an entry of the second, becomes zero and a of the first longer."""
    cosine, sine = givens(a, b)
    return combine4(pivot, row, cosine, sine), combine4(row, pivot, cosine, -sine)


def append_row(factor: Rows, row: Row) -> Rows:
    """Turn one more row into a triangular factor."""
    a, b, c, d = factor
    a, row = turn_into(a, row, a[0], row[0])
    b, row = turn_into(b, row, b[1], row[1])
    c, row = turn_into(c, row, c[2], row[2])
    d, row = turn_into(d, row, d[3], row[3])
    return a, b, c, d


def columns_of(m: Rows) -> Rows:
    """Swap rows and columns."""
    a, b, c, d = m
    return (
        (a[0], b[0], c[0], d[0]),
        (a[1], b[1], c[1], d[1]),
        (a[2], b[2], c[2], d[2]),
        (a[3], b[3], c[3], d[3]),
    )


def orthogonalize(columns: Rows, axes: Rows) -> tuple[Rows, Rows, Number]:
    """Turn each pair of columns once, and the axes with them.

    Returns:
        Columns, axes, and the largest squared cosine of two columns before their turn.
    """
    a, b, c, d = columns
    x, y, z, w = axes
    a, b, x, y, largest = turn_columns(a, b, x, y, a[0] * 0)
    a, c, x, z, largest = turn_columns(a, c, x, z, largest)
    a, d, x, w, largest = turn_columns(a, d, x, w, largest)
    b, c, y, z, largest = turn_columns(b, c, y, z, largest)
    b, d, y, w, largest = turn_columns(b, d, y, w, largest)
    c, d, z, w, largest = turn_columns(c, d, z, w, largest)
    return (a, b, c, d), (x, y, z, w), largest


def turn_columns(
    a: Row, b: Row, first: Row, second: Row, largest: Number
) -> tuple[Row, Row, Row, Row, Number]:
    """Make two columns orthogonal, and turn their axes with them."""
    alpha, beta, gamma = dot4(a, a), dot4(b, b), dot4(a, b)
    cosine, sine = jacobi(alpha, beta, gamma)
    squared_cosine = where(gamma == 0, 0 * gamma, gamma / alpha * (gamma / beta))
    return (
        combine4(a, b, cosine, -sine),
        combine4(a, b, sine, cosine),
        combine4(first, second, cosine, -sine),
        combine4(first, second, sine, cosine),
        where(squared_cosine > largest, squared_cosine, largest),
    )


def shortest_column(columns: Rows, axes: Rows) -> Row:
    """Return the axis whose column is the shortest."""
    a, b, c, d = columns
    return axis_of_smallest((dot4(a, a), dot4(b, b), dot4(c, c), dot4(d, d)), axes)
