"""The mathematics of one point whose equations are divided by depths, as plain arithmetic.

See `_kernels/algebra.py`. Divided by the depths of a point before, the residuals of the equations
become the reprojection error. Everything is counted from the origin of the rig, with the last
coordinate held at one, in double precision.
"""

from torch import sqrt, where

from multiview_geom._kernels.algebra import (
    Matrix,
    Number,
    Pair,
    Row,
    Symmetric,
    Vector,
    add_scaled,
    adjugate,
    cross,
    determinant,
    dot,
    dot4,
    multiply,
    scale,
    trace,
)
from multiview_geom._kernels.triangulation.algebra import FEWEST_VIEWS, View

# Two centers count as one if their squared distance is below so many round-offs of the squared
# distances from the origin of the rig, or below so many squared round-offs of the arguments, as
# they were given, times the squared distances from the world's.
SAME_PLACE, SAME_CENTER = 16.0, 4096.0
# Determinants below this many round-offs count as zero, if the mean of the diagonal is one.
PARALLEL = 16.0
ROUND_OFF = 2.0**-52


def homogeneous(point: Vector) -> Row:
    """Append a one."""
    return point[0], point[1], point[2], 1.0


def inverse_square(depth: Number, by_depth: Number) -> Number:
    """Return 1 / depth^2, and zero in the plane of a camera center; one unless `by_depth`."""
    squared = where(by_depth, depth * depth, 1.0)
    return where(squared > 0.0, 1.0, 0.0) / where(squared > 0.0, squared, 1.0)


def inverse_times(hessian: Symmetric, right: Vector) -> tuple[Vector, Number]:
    """Return B^-1 times a vector, and whether B is positive definite; zero where it is not."""
    mean = trace(hessian) / 3.0
    cofactors = adjugate(hessian)
    volume = determinant(hessian, cofactors)
    positive = (hessian[0] > 0.0) & (cofactors[5] > 0.0)
    positive &= volume > PARALLEL * ROUND_OFF * mean * mean * mean
    inverse = where(positive, 1.0, 0.0) / where(positive, volume, 1.0)
    return scale(multiply(cofactors, right), inverse), positive


def is_fixed(count: Number, places: Vector, squares: Pair, round_off: Number) -> Number:
    """Tell whether two different camera centers saw a point.

    Args:
        count: How many cameras saw it.
        places: The sum of their centers, counted from the origin of the rig.
        squares: The sums of the squares of these, and of the centers counted from the world's.
        round_off: That of the arguments as they were given.
    """
    share = 1.0 / where(count > 0.0, count, 1.0)
    mean, squared = scale(places, share), squares[0] * share
    nothing = SAME_PLACE * ROUND_OFF * squared
    nothing += SAME_CENTER * round_off * round_off * squares[1] * share
    return (count >= FEWEST_VIEWS) & (squared - dot(mean, mean) > nothing)


def depth_gradient(
    of_share: Number, weight: Number, depth: Number, inverse: Number, by_depth: Number
) -> Number:
    """Return the gradient in a depth that divided the equations.

    Args:
        of_share: The gradient in the weight after the division.
        weight: The weight before it.
        depth: The depth.
        inverse: Its inverse square.
        by_depth: Whether there was a division.
    """
    return where(by_depth, -2.0 * of_share * weight * inverse * inverse * depth, 0.0)


# Robust triangulation: the midpoints of pairs of rays are the candidates.


def partner_of(view: Number, step: Number, views: Number) -> Number:
    """Return the view that is so many steps before, and one, in a circle."""
    return (view + views - step - 1) % views


def ray_through(u: Number, v: Number, columns: Matrix) -> Vector:
    """Return the unit direction of the ray of a pixel, given the columns of its view's inverse."""
    a, b, c = columns
    ray = add_scaled(add_scaled(c, a, u), b, v)
    squared = dot(ray, ray)
    return scale(ray, 1.0 / sqrt(where(squared > 0.0, squared, 1.0)))


def squared_sine(ray: Vector, other: Vector) -> Number:
    """Return the squared sine of the angle between two unit directions."""
    normal = cross(ray, other)
    return dot(normal, normal)


def midpoint(center: Vector, ray: Vector, its_center: Vector, other: Vector) -> Vector:
    """Return the point halfway between two rays; not finite if they are parallel."""
    between, normal = add_scaled(its_center, center, -1.0), cross(ray, other)
    half = 0.5 / dot(normal, normal)
    reach = dot(cross(between, other), normal) * half
    its_reach = dot(cross(between, ray), normal) * half
    ends = add_scaled(scale(ray, reach), other, its_reach)
    return add_scaled(ends, scale(add_scaled(center, its_center, 1.0), 0.5), 1.0)


def agreement(u: Number, v: Number, view: View, point: Row, limit: Number) -> tuple[Number, Number]:
    """Return the squared reprojection error, at most the limit, and whether it is below it.

    Behind the camera it is the limit.
    """
    depth = dot4(view[0], point)
    across, down = dot4(view[1], point) / depth - u, dot4(view[2], point) / depth - v
    squared = across * across + down * down
    near = (depth > 0.0) & (squared < limit)
    return where(near, squared, limit), near
