"""The mathematics of one triangulated point, as plain arithmetic: see `_kernels/algebra.py`.

A pixel (u, v), counted from the image center, and a view with rows (depth, across, down) give the
equations (u depth - across) X = 0 and (v depth - down) X = 0: the rows of A. The point X = (x, 1)
minimizes the quotient q = |A X|^2 / |X|^2. Let B and b be the first three rows of A^T A: at the
minimum (B - q) x = -b.
"""

from torch import sqrt, where

from multiview_geom._kernels.algebra import (
    Number,
    Pair,
    Row,
    Rows,
    Symmetric,
    Vector,
    add_scaled,
    adjugate,
    axis_of_smallest,
    combine4,
    determinant,
    dot,
    dot4,
    jacobi,
    multiply,
    scale,
    subtract_from_diagonal,
    trace,
    turn4,
)

View = tuple[Row, Row, Row]
"""The rows of a projection that give the depth, and depth times pixel coordinate across and down,
with pixels counted from the image center."""
Vectors = tuple[Row, Row]
"""The homogeneous point X, and the vector Z that the gradient of every input is made of."""
Sums = tuple[Symmetric, Number]
"""B, and the squared residual |A X|^2 at a point."""
Polynomial = tuple[Number, Number, Number, Number]
"""The coefficients d, c, b and a of z^4 - a z^3 + b z^2 - c z + d."""

# A point that fewer views saw is NaN.
FEWEST_VIEWS = 2


def principal_point(depth: Row, axis: Row) -> Number:
    """Return the image coordinate of the optical axis; zero for a camera without one."""
    squared = depth[0] * depth[0] + depth[1] * depth[1] + depth[2] * depth[2]
    product = axis[0] * depth[0] + axis[1] * depth[1] + axis[2] * depth[2]
    return where(squared > 0, product / where(squared > 0, squared, squared + 1), squared * 0)


def equations(u: Number, v: Number, view: View) -> tuple[Row, Row]:
    """Return the rows of A that a pixel gives."""
    depth, across, down = view
    return equation(u, depth, across), equation(v, depth, down)


def equation(coordinate: Number, depth: Row, axis: Row) -> Row:
    """Return coordinate * depth - axis."""
    return (
        coordinate * depth[0] - axis[0],
        coordinate * depth[1] - axis[1],
        coordinate * depth[2] - axis[2],
        coordinate * depth[3] - axis[3],
    )


def normal_terms(p: Row, q: Row) -> tuple[Symmetric, Vector]:
    """Return what two rows of A add to B and to b."""
    return (
        (
            p[0] * p[0] + q[0] * q[0],
            p[0] * p[1] + q[0] * q[1],
            p[0] * p[2] + q[0] * q[2],
            p[1] * p[1] + q[1] * q[1],
            p[1] * p[2] + q[1] * q[2],
            p[2] * p[2] + q[2] * q[2],
        ),
        (
            p[0] * p[3] + q[0] * q[3],
            p[1] * p[3] + q[1] * q[3],
            p[2] * p[3] + q[2] * q[3],
        ),
    )


def least_squares_point(hessian: Symmetric, linear: Vector, one: Number) -> Vector:
    """Return -B^-1 b, the minimum of the residuals with the last coordinate held at one."""
    cofactors = adjugate(hessian)
    return scale(multiply(cofactors, linear), -one / determinant(hessian, cofactors))


def residuals_and_depth(u: Number, v: Number, view: View, point: Row) -> Vector:
    """Return the residuals of both equations at a homogeneous point, and its depth."""
    depth = dot4(view[0], point)
    return u * depth - dot4(view[1], point), v * depth - dot4(view[2], point), depth


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


# Newton's iteration for q is the quotient of the x that the last q gave: it converges
# quadratically. Around a start x0 with gradient g = B x0 + b and s = |A X0|^2, taken from the
# residuals in full precision, the move is (B - q)^-1 (q x0 - g), and the quotient after it needs no
# further look at the pixels. B, g and s do not depend on the origin that x0 is counted from.


def shifted_move(
    hessian: Symmetric, quotient: Number, start: Vector, gradient: Vector, one: Number
) -> Vector:
    """Return the move that a quotient asks for, from a start counted from the world's origin."""
    shifted = subtract_from_diagonal(hessian, quotient)
    cofactors = adjugate(shifted)
    right = add_scaled(scale(start, quotient), gradient, -one)
    return scale(multiply(cofactors, right), one / determinant(shifted, cofactors))


def next_quotient(
    sums: Sums, quotient: Number, start: Vector, gradient: Vector, one: Number
) -> Number:
    """Return the quotient after the move that a quotient asks for; the sums are B and s."""
    hessian, squared = sums
    move = shifted_move(hessian, quotient, start, gradient, one)
    there = add_scaled(start, move, one)
    change = dot(move, multiply(hessian, move)) + (one + one) * dot(move, gradient)
    return (squared + change) / (one + dot(there, there))


def minimum(
    hessian: Symmetric, quotients: Pair, start: Vector, gradient: Vector, limits: Pair, one: Number
) -> tuple[Vector, Number]:
    """Return the point that Newton's iteration ends at, and whether it is sure to be the minimum.

    Only where B - q is positive definite is a stationary q the smallest eigenvalue.

    Args:
        hessian: B.
        quotients: The last two, the later one first.
        start: Counted from the world's origin.
        gradient: g.
        limits: On |last change of q| trace((B - q)^-1), the square of which is what the iteration
            is still off by; and on the condition of B - q times |move| / |X|, which is the error
            of the move in round-offs of the point.
        one: A one.
    """
    quotient, before = quotients
    move = shifted_move(hessian, quotient, start, gradient, one)
    point, shifted = add_scaled(start, move, one), subtract_from_diagonal(hessian, quotient)
    cofactors = adjugate(shifted)
    det, minors, total = determinant(shifted, cofactors), trace(cofactors), trace(shifted)
    # The eigenvalues, which are real, are positive if the coefficients of their polynomial are.
    positive = (total > 0) & (minors > 0) & (det > 0)
    inverse_trace = minors / where(positive, det, one)
    share = sqrt(dot(move, move) / (one + dot(point, point)))
    converged = abs(quotient - before) * inverse_trace < limits[0]
    return point, positive & converged & (total * inverse_trace * share < limits[1])


# Newton's iteration may leave the smallest eigenvalue where the sightings disagree wildly;
# Laguerre's does not.


def characteristic_polynomial(hessian: Symmetric, start: Vector, squared: Number) -> Polynomial:
    """Return the characteristic polynomial of A^T A.

    `start` is the least-squares point x0, counted from the world's origin, and `squared` is
    |A X0|^2. In the basis of (x0, 1) and the three axes, with B x0 = -b, the matrix has an
    off-diagonal block of zero.
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


def smallest_root(polynomial: Polynomial) -> Number:
    """Return the smallest root of a polynomial whose roots are real and not negative.

    Laguerre's steps converge with the third power; where five are too few, `minimum` finds it.
    """
    root = laguerre_step(polynomial, polynomial[0] * 0)
    root = laguerre_step(polynomial, root)
    root = laguerre_step(polynomial, root)
    root = laguerre_step(polynomial, root)
    return laguerre_step(polynomial, root)


def laguerre_step(polynomial: Polynomial, root: Number) -> Number:
    """Return a better estimate of the smallest root from one on its left; it never passes it.

    The step is 4 p / (-p' + sqrt(9 p'^2 - 12 p p'')).

    Reference:
        Parlett, Laguerre's method applied to the matrix eigenvalue problem, 1964.
    """
    constant, linear, quadratic, cubic = polynomial  # d, c, b, a
    value = constant - root * (linear - root * (quadratic - root * (cubic - root)))
    value = where(value > 0, value, value * 0)
    minus_slope = linear - root * (2 * quadratic - root * (3 * cubic - 4 * root))
    half_curvature = quadratic - root * (3 * cubic - 6 * root)
    radicand = minus_slope * minus_slope - value * half_curvature * 8 / 3
    # Numerator, divisor and the root in it are divided by three.
    divisor = sqrt(where(radicand > 0, radicand, radicand * 0)) + minus_slope / 3
    safe = where(divisor > 0, divisor, divisor * 0 + 1)
    return root + where(divisor > 0, value * 4 / 3 / safe, value * 0)


# Where the equations are too ill conditioned to be squared: triangular by Givens rotations, then
# the smallest right singular vector by one-sided Jacobi rotations.


def about_origin(a: Row, origin: Vector, factor: Number) -> Row:
    """Return a row for points that are counted from an origin, times a factor.

    With the origin's negative, a row for such points becomes one for the world's again.
    """
    last = a[3] + dot((a[0], a[1], a[2]), origin)
    return a[0] * factor, a[1] * factor, a[2] * factor, last * factor


def append_row(factor: Rows, row: Row) -> Rows:
    """Turn one more row into a triangular factor."""
    a, b, c, d = factor
    a, row = turn_into(a, row, a[0], row[0])
    b, row = turn_into(b, row, b[1], row[1])
    c, row = turn_into(c, row, c[2], row[2])
    d, row = turn_into(d, row, d[3], row[3])
    return a, b, c, d


def turn_into(pivot: Row, row: Row, a: Number, b: Number) -> tuple[Row, Row]:
    """Turn two rows so that b, an entry of the second, becomes zero and a of the first longer."""
    length = sqrt(a * a + b * b)
    safe = where(length > 0, length, length + 1)
    return turn4(pivot, row, where(length > 0, a / safe, length + 1), -b / safe)


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
    # Two quotients: a product of lengths would under- or overflow.
    squared_cosine = where(gamma == 0, 0 * gamma, gamma / alpha * (gamma / beta))
    a, b = turn4(a, b, cosine, sine)
    first, second = turn4(first, second, cosine, sine)
    return a, b, first, second, where(squared_cosine > largest, squared_cosine, largest)


def point_of_smallest(columns: Rows, axes: Rows) -> Vector:
    """Return the point whose homogeneous vector is the axis of the shortest column."""
    a, b, c, d = columns
    lengths = dot4(a, a), dot4(b, b), dot4(c, c), dot4(d, d)
    x, y, z, w = axis_of_smallest(lengths, axes)
    return x / w, y / w, z / w


# The gradient. For a gradient g in the point, let h = (B - q)^-1 g and
# Z = (h.x / |X|^2) X - (h, 0): the gradient in every input is that of Z^T A^T A X with Z and X held
# fixed. Where B - q is too ill conditioned, the point is not determined and Z is zero.


def gradient_vector(
    sums: Sums, start: Vector, origin: Vector, upstream: Vector, limit: Number, one: Number
) -> tuple[Row, Number]:
    """Return Z, and whether B - q is well enough conditioned.

    Args:
        sums: B, and the squared residual at the point.
        start: The point, counted from the origin of the equations, as Z is too.
        origin: The origin, counted from the world's.
        upstream: The gradient in the point.
        limit: On the condition of B - q.
        one: A one.
    """
    point = add_scaled(start, origin, one)
    shifted = subtract_from_diagonal(sums[0], sums[1] / (one + dot(point, point)))
    cofactors = adjugate(shifted)
    inverse, sure = inverse_determinant(shifted, cofactors, limit, one)
    pull = scale(multiply(cofactors, upstream), inverse)
    last = dot(pull, point) / (one + dot(point, point))
    x, y, z = add_scaled(scale(start, last), pull, -one)
    return (x, y, z, last), sure


def inverse_determinant(
    m: Symmetric, cofactors: Symmetric, limit: Number, one: Number
) -> tuple[Number, Number]:
    """Return 1 / det and True; zero and False where the condition is not below a limit."""
    det = determinant(m, cofactors)
    sure = (det > 0) & (trace(m) * trace(cofactors) < limit * det)
    # Double `where`: dividing by zero would make the zero gradients NaN.
    return where(sure, one, one - one) / where(sure, det, one), sure


def sighting_gradient(u: Number, v: Number, weight: Number, view: View, vectors: Vectors) -> Vector:
    """Return the gradient of Z^T A^T A X in a pixel and its weight, given X and Z."""
    r, s, depth = residuals_and_depth(u, v, view, vectors[0])
    p, q, z_depth = residuals_and_depth(u, v, view, vectors[1])
    return (
        weight * (r * z_depth + p * depth),
        weight * (s * z_depth + q * depth),
        r * p + s * q,
    )


def view_gradient(
    sighting: Vector, center: Pair, view: View, origin: Vector, vectors: Vectors
) -> tuple[Row, Row, Row]:
    """Return the gradient of Z^T A^T A X in the rows of a projection: across, down, depth.

    Args:
        sighting: A pixel, counted from the image center, and its weight.
        center: The image center.
        view: The rows about center and origin; the gradient is in those about neither.
        origin: The origin.
        vectors: X and Z about the origin.
    """
    u, v, weight = sighting
    r, s, _ = residuals_and_depth(u, v, view, vectors[0])
    p, q, _ = residuals_and_depth(u, v, view, vectors[1])
    x, z = from_world(vectors[0], origin), from_world(vectors[1], origin)
    across = combine4(x, z, -weight * p, -weight * r)
    down = combine4(x, z, -weight * q, -weight * s)
    return across, down, combine4(across, down, -u - center[0], -v - center[1])


def from_world(a: Row, origin: Vector) -> Row:
    """Count a homogeneous vector from the world's origin instead of a given one."""
    x, y, z = add_scaled((a[0], a[1], a[2]), origin, a[3])
    return x, y, z, a[3]
