"""The mathematics of one rotation and one symmetric 4x4 matrix, as plain arithmetic.

Written like `_kernels/algebra.py`, for double precision: how far a rounding of a matrix turns its
nearest rotation is one over a gap, without bound. A 3x3 matrix is given by its rows; a symmetric
4x4 matrix is the tuple (aa, ab, ac, ad, bb, bc, bd, cc, cd, dd).

The rotation R nearest to M maximizes tr(R^T M). With singular values s1 >= s2 >= s3 of M, the last
one signed like det(M), the maximum is q = s1 + s2 + s3. How well R is determined about each of
three axes depends on the gaps s1 + s2, s1 + s3 and s2 + s3.
"""

from torch import sqrt, where

from multiview_geom._kernels.algebra import (
    Matrix,
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
    cross,
    determinant,
    dot,
    dot4,
    jacobi,
    multiply,
    scale,
    trace,
    turn4,
)

Symmetric4 = tuple[Number, Number, Number, Number, Number, Number, Number, Number, Number, Number]
Axes = Rows
TwoAxes = tuple[Row, Row]

# How often Jacobi's method turns each pair of axes.
SWEEPS = 6

# The least product of the gaps, relative to the matrix, for which the closed form is right in
# single and in double precision, and the longest last step of its iteration.
SINGLE_GAPS, SINGLE_STEP = 3e-4, 1e-3
DOUBLE_GAPS, DOUBLE_STEP = 0.03, 5e-6

# Lines about the square root of 1 + 2 p: the slopes of the tangent at 0.8, and of the chords from 0
# to 1/2 and to -1/3, which are one at zero.
TANGENT, TANGENT_AT_ZERO = 0.6201736729460423, 1.1163126113028763
RIGHT_CHORD, LEFT_CHORD = 0.8284271247461903, 1.2679491924311228

# The relative variance that rounding makes of points that are all one.
SQUARED_ROUND_OFF = 2.0**-104

# Squares below this, and above its reciprocal, may have lost digits to under- or overflow.
SMALLEST = 1e-290


def combine(m: Matrix, factors: Vector) -> Vector:
    """Return a weighted sum of the rows: the vector times the matrix."""
    return add_scaled(add_scaled(scale(m[0], factors[0]), m[1], factors[1]), m[2], factors[2])


def matrix_product(m: Matrix, other: Matrix) -> Matrix:
    """Multiply two matrices."""
    return combine(other, m[0]), combine(other, m[1]), combine(other, m[2])


def transpose(m: Matrix) -> Matrix:
    """Swap rows and columns."""
    a, b, c = m
    return (a[0], b[0], c[0]), (a[1], b[1], c[1]), (a[2], b[2], c[2])


def nearly_unit(a: Vector) -> Vector:
    """Scale a vector of nearly unit length to it."""
    return scale(a, (3 - dot(a, a)) / 2)


def sum_of_singular_values(det: Number, minors: Number) -> tuple[Number, Number, Number]:
    """Find q = s1 + s2 + s3 of a matrix of unit norm.

    Args:
        det: The determinant.
        minors: The sum of the squared 2x2 minors.

    Returns:
        q, the largest root of (q^2 - 1)^2 - 8 det q - 4 minors; the product of the gaps, an eighth
        of the slope there; and the last step of the iteration, whose steps are cubes of each other.
    """
    # With p = s1 s2 + s1 s3 + s2 s3 it is p^2 = minors + 2 det q, and q = sqrt(1 + 2 p). A line in
    # place of this root bounds det q from above and leaves a quadratic equation for p: the tangent
    # at 0.8 where det > 0, elsewhere the chord from 0 to 1/2 or to -1/3, on the side where p is.
    above = det > 0
    slope = where(above, TANGENT, where(minors + 2 * det > 0, RIGHT_CHORD, LEFT_CHORD))
    middle = slope * det
    rest = middle * middle + minors + 2 * det * where(above, TANGENT_AT_ZERO, 1.0)
    root = sqrt(1 + 2 * (middle + sqrt(abs(rest))))
    # From the right of the largest root of a polynomial whose roots are all real, Halley's steps
    # never pass it.
    root = root - halley_step(det, minors, root)
    root = root - halley_step(det, minors, root)
    last = halley_step(det, minors, root)
    root = root - last
    return root, (root * root - 1) * root / 2 - det, last


def halley_step(det: Number, minors: Number, root: Number) -> Number:
    """Return how far Halley's step goes down from an estimate of q."""
    excess = root * root - 1
    value = (excess * excess - 8 * det * root) / 4 - minors
    slope = excess * root - 2 * det
    return value * slope / (slope * slope - value * (excess + 2 * root * root) / 2)


def clear_rotation(m: Matrix) -> tuple[Matrix, Number, Number]:
    """Find the nearest rotation of a matrix whose gaps are not small, and how sure it is.

    With |M| = 1 it is ((q^2 + 1) / 2 M - M M^T M + q cofactors(M)) / ((q^2 - 1) q / 2 - det M).

    Returns:
        The rotation, the product of the gaps, and the last step of an iteration relative to it.

    Reference:
        Markley, Attitude determination using vector observations: a fast optimal matrix
        algorithm, J. Astronautical Sciences 41, 1993.
    """
    squared = dot(m[0], m[0]) + dot(m[1], m[1]) + dot(m[2], m[2])
    shrink = 1 / sqrt(squared)
    a, b, c = scale(m[0], shrink), scale(m[1], shrink), scale(m[2], shrink)
    aa, ab, ac, bb, bc, cc = dot(a, a), dot(a, b), dot(a, c), dot(b, b), dot(b, c), dot(c, c)
    of_a, of_b = cross(b, c), cross(c, a)
    minors = trace(adjugate((aa, ab, ac, bb, bc, cc)))
    root, gaps, last = sum_of_singular_values(dot(a, of_a), minors)
    mean = (root * root + 1) / 2
    first = add_scaled(combine((a, b, c), (mean - aa, -ab, -ac)), of_a, root)
    second = add_scaled(combine((a, b, c), (-ab, mean - bb, -bc)), of_b, root)
    # Of unit length and at a right angle, but for rounding over the gaps.
    inverse = 1 / gaps
    first = nearly_unit(scale(first, inverse))
    second = scale(second, inverse)
    second = nearly_unit(add_scaled(second, first, -dot(first, second)))
    known = (squared > SMALLEST) & (squared < 1 / SMALLEST)
    return (first, second, cross(first, second)), where(known, gaps, 0), last * inverse


def turn(m: Matrix, rotation: Matrix, change: Matrix, tie: Number) -> Matrix:
    """Return how the nearest rotation R of M turns when M changes; the adjoint is the same map.

    R changes by R [w], where w solves (tr S - S) w = v with S = R^T M, and v is the axis of
    R^T dM - dM^T R. The eigenvalues of tr S - S are the gaps.
    """
    a, b, c = rotation
    x, y, z = matrix_product(transpose(rotation), m)
    total = x[0] + y[1] + z[2]
    shrink = where(total > 0, 1, 0) / where(total > 0, total, 1)
    half = shrink / -2  # off its diagonal, tr S - S is minus the mean of two entries
    gaps = (
        (y[1] + z[2]) * shrink,
        (x[1] + y[0]) * half,
        (x[2] + z[0]) * half,
        (x[0] + z[2]) * shrink,
        (y[2] + z[1]) * half,
        (x[0] + y[1]) * shrink,
    )
    axis = add_scaled(cross(change[0], a), cross(change[1], b), 1)
    axis = pseudo_inverse_times(gaps, add_scaled(axis, cross(change[2], c), 1), tie)
    axis = scale(axis, shrink)
    return cross(a, axis), cross(b, axis), cross(c, axis)


def pseudo_inverse_times(m: Symmetric, a: Vector, tie: Number) -> Vector:
    """Multiply a vector with the pseudo-inverse of a positive semidefinite matrix of trace two.

    Where the product of three eigenvalues is below `tie` the smallest counts as zero; where the
    sum of the products of two is, so does the second. By the theorem of Cayley and Hamilton.
    """
    cofactors = adjugate(m)
    three, two = determinant(m, cofactors), trace(cofactors)
    full, flat = three > tie, two > tie
    of_three = where(full, 1, 0) / where(full, three, 1)
    # Exactly one of these is not zero.
    of_two = where(full, 0, where(flat, 1, 0)) / where(flat, two, 1)
    of_one = where(full, 0, where(flat, 0, 1)) / 4
    result = scale(multiply(cofactors, a), of_three - 2 * of_two * of_two)
    return add_scaled(add_scaled(result, a, 2 * of_two), multiply(m, a), of_one - of_two)


# The alignment of two sets of points. Its rotation is the nearest to the covariance.

Moments = tuple[Matrix, Vector, Number]
"""The covariance, the mean of the source, and the variance of the source."""
Transform = tuple[Matrix, Number]
"""The rotation and the scale."""
TransformGradients = tuple[Matrix, Vector, Number]
"""The gradients in rotation, translation and scale."""
MomentGradients = tuple[Matrix, Vector, Vector, Number]
"""The gradients in the covariance, in the means of source and target, and in the variance."""


def is_usable(a: Vector, b: Vector, weight: Number) -> Number:
    """Tell whether a point of both sets is finite, and its weight finite and positive."""
    zero = add_scaled(scale(a, 0), b, 0)
    return (zero[0] + zero[1] + zero[2] + weight * 0 == 0) & (weight > 0)


def best_scale(covariance: Matrix, rotation: Matrix, variance: Number) -> Number:
    """Return the scale that goes with a rotation; one where the source has no size."""
    a, b, c = covariance
    x, y, z = rotation
    known, overlap = variance > 0, dot(a, x) + dot(b, y) + dot(c, z)
    return where(known, overlap, 1) / where(known, variance, 1)


def gradient_in_moments(
    moments: Moments,
    transform: Transform,
    upstream: TransformGradients,
    scaled: Number,
    tie: Number,
) -> MomentGradients:
    """Turn the gradient in a transform into that in the moments.

    Args:
        moments: The moments.
        transform: The transform.
        upstream: The gradient in it.
        scaled: Whether the scale was free, and the source has a size.
        tie: As for `pseudo_inverse_times`.
    """
    covariance, mean, variance = moments
    rotation, factor = transform
    of_rotation, shift, of_scale = upstream
    a, b, c = of_rotation
    x, y, z = rotation
    back = combine(rotation, shift)
    pull = where(scaled, of_scale - dot(back, mean), 0) / where(scaled, variance, 1)
    change = (
        add_scaled(a, mean, -factor * shift[0]),
        add_scaled(b, mean, -factor * shift[1]),
        add_scaled(c, mean, -factor * shift[2]),
    )
    a, b, c = turn(covariance, rotation, change, tie)
    change = add_scaled(a, x, pull), add_scaled(b, y, pull), add_scaled(c, z, pull)
    return change, scale(back, -factor), shift, -pull * factor


def gradient_in_points(
    a: Vector, b: Vector, share: Number, gradients: MomentGradients
) -> tuple[Vector, Vector, Number]:
    """Turn the gradient in the moments into that in a pair of points and in its share of them.

    Both points are counted from the means; the gradient in the share is that times all weights.
    """
    of_covariance, of_mean, shift, of_variance = gradients
    of_target = add_scaled(combine(transpose(of_covariance), a), shift, 1)
    of_share = dot(b, of_target) + dot(a, add_scaled(of_mean, a, of_variance))
    of_source = add_scaled(combine(of_covariance, b), a, 2 * of_variance)
    of_source = add_scaled(of_source, of_mean, 1)
    return scale(of_source, share), scale(of_target, share), of_share


# Where gaps are small the rotation is that of a quaternion, the lowest eigenvector of a symmetric
# 4x4 matrix, which Jacobi's rotations find whatever the gaps are.


def horn_matrix(m: Matrix) -> Symmetric4:
    """Return the matrix whose lowest eigenvector is the quaternion of the nearest rotation.

    Reference:
        Horn, Closed-form solution of absolute orientation using unit quaternions, JOSA 1987.
    """
    a, b, c = m
    return (
        -a[0] - b[1] - c[2],
        b[2] - c[1],
        c[0] - a[2],
        a[1] - b[0],
        b[1] + c[2] - a[0],
        -a[1] - b[0],
        -a[2] - c[0],
        a[0] + c[2] - b[1],
        -b[2] - c[1],
        a[0] + b[1] - c[2],
    )


def rotation_of(quaternion: Row) -> Matrix:
    """Return the rotation of a quaternion of any length, its real part first."""
    w, x, y, z = quaternion
    twice = 2 / dot4(quaternion, quaternion)
    return (
        (1 - twice * (y * y + z * z), twice * (x * y - w * z), twice * (x * z + w * y)),
        (twice * (x * y + w * z), 1 - twice * (x * x + z * z), twice * (y * z - w * x)),
        (twice * (x * z - w * y), twice * (y * z + w * x), 1 - twice * (x * x + y * y)),
    )


def larger(a: Number, b: Number) -> Number:
    """Return the larger absolute value; a NaN may be passed over, since it stays in the matrix."""
    return where(abs(a) > abs(b), abs(a), abs(b))


def largest_entry(m: Symmetric4) -> Number:
    """Return the largest absolute value of a matrix, or one if it is zero."""
    first = larger(larger(m[0], m[1]), larger(m[2], m[3]))
    second = larger(larger(m[4], m[5]), larger(m[6], m[7]))
    largest = larger(larger(first, second), larger(m[8], m[9]))
    return where(largest == 0, 1, largest)


def jacobi_sweep(m: Symmetric4, axes: Axes) -> tuple[Symmetric4, Axes]:
    """Make each pair of axes orthogonal under a matrix once; the matrix tends to be diagonal."""
    aa, ab, ac, ad, bb, bc, bd, cc, cd, dd = m
    a, b, c, d = axes
    aa, bb, ac, bc, ad, bd, a, b = turn_pair(aa, ab, bb, (ac, bc), (ad, bd), (a, b))
    ab = ab * 0
    aa, cc, ab, bc, ad, cd, a, c = turn_pair(aa, ac, cc, (ab, bc), (ad, cd), (a, c))
    ac = ac * 0
    aa, dd, ab, bd, ac, cd, a, d = turn_pair(aa, ad, dd, (ab, bd), (ac, cd), (a, d))
    ad = ad * 0
    bb, cc, ab, ac, bd, cd, b, c = turn_pair(bb, bc, cc, (ab, ac), (bd, cd), (b, c))
    bc = bc * 0
    bb, dd, ab, ad, bc, cd, b, d = turn_pair(bb, bd, dd, (ab, ad), (bc, cd), (b, d))
    bd = bd * 0
    cc, dd, ac, ad, bc, bd, c, d = turn_pair(cc, cd, dd, (ac, ad), (bc, bd), (c, d))
    return (aa, ab, ac, ad, bb, bc, bd, cc, cd * 0, dd), (a, b, c, d)


def turn_pair(
    alpha: Number, gamma: Number, beta: Number, third: Pair, fourth: Pair, axes: TwoAxes
) -> tuple[Number, Number, Number, Number, Number, Number, Row, Row]:
    """Turn two axes of a symmetric matrix such that their mixed entry gamma becomes zero.

    Args:
        alpha: The first diagonal entry.
        gamma: The mixed entry.
        beta: The second diagonal entry.
        third: The mixed entries of both with a third axis.
        fourth: And with a fourth.
        axes: Both axes.

    Returns:
        All of these after the turn, without gamma.
    """
    first, second = axes
    cosine, sine = jacobi(alpha, beta, gamma)
    moved = sine / cosine * gamma
    first, second = turn4(first, second, cosine, sine)
    a, b = turned(third[0], third[1], cosine, sine)
    c, d = turned(fourth[0], fourth[1], cosine, sine)
    return alpha - moved, beta + moved, a, b, c, d, first, second


def turned(a: Number, b: Number, cosine: Number, sine: Number) -> Pair:
    """Turn a pair of coordinates."""
    return cosine * a - sine * b, sine * a + cosine * b


def lowest_axis(m: Symmetric4, axes: Axes) -> Row:
    """Return the axis of the smallest diagonal entry."""
    return axis_of_smallest((m[0], m[4], m[7], m[9]), axes)


def with_largest_positive(a: Row) -> Row:
    """Return a vector at unit length, its largest component positive."""
    first = where(abs(a[1]) > abs(a[0]), a[1], a[0])
    second = where(abs(a[3]) > abs(a[2]), a[3], a[2])
    largest = where(abs(second) > abs(first), second, first)
    factor = where(largest < 0, -1, 1) / sqrt(dot4(a, a))
    return a[0] * factor, a[1] * factor, a[2] * factor, a[3] * factor


def pseudo_inverse4_times(m: Symmetric4, axes: Axes, a: Row, tie: Number) -> Row:
    """Multiply a vector with the pseudo-inverse of a matrix less its smallest eigenvalue.

    The matrix, of entries up to one, comes by its axes and its eigenvalues on the diagonal. Gaps
    to the smallest eigenvalue below `tie` count as none.
    """
    low = where(m[4] < m[0], m[4], m[0])
    other = where(m[9] < m[7], m[9], m[7])
    low = where(other < low, other, low)
    first = along_axis(axes[0], m[0] - low, a, tie)
    second = along_axis(axes[1], m[4] - low, a, tie)
    third = along_axis(axes[2], m[7] - low, a, tie)
    fourth = along_axis(axes[3], m[9] - low, a, tie)
    return combine4(combine4(first, second, 1, 1), combine4(third, fourth, 1, 1), 1, 1)


def along_axis(axis: Row, gap: Number, a: Row, tie: Number) -> Row:
    """Return the component of a vector along an axis, divided by a gap; zero where it is none."""
    factor = where(gap > tie, dot4(axis, a), 0) / where(gap > tie, gap, 1)
    return factor * axis[0], factor * axis[1], factor * axis[2], factor * axis[3]
