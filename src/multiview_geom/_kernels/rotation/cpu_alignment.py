"""Alignments of point sets on a processor: fused loops over blocks of sets, by Numba.

The points of a set are read twice, for the means and for the covariance, and once more for the
gradient. See cpu.py for the layout; all numbers are in double precision.
"""

from typing import NamedTuple

import numpy as np
from torch import where

from multiview_geom._kernels.algebra import add_scaled, choose, dot, scale
from multiview_geom._kernels.numba_primitives import (
    LANES,
    Array,
    clear,
    matrix_at,
    put_matrix,
    put_vector,
    vector_at,
)
from multiview_geom._kernels.rotation.algebra import (
    DOUBLE_GAPS,
    DOUBLE_STEP,
    SQUARED_ROUND_OFF,
    best_scale,
    gradient_in_moments,
    gradient_in_points,
    is_usable,
)
from multiview_geom._kernels.rotation.cpu import (
    CHANGE,
    ROTATION,
    empty_list,
    list_doubtful,
    load_matrices,
    load_numbers,
    rotate,
    solve_listed,
    store_matrices,
    store_numbers,
)


class Sets(NamedTuple):
    """Flat arrays with their strides by set, point and coordinate; weights may be empty."""

    source: Array
    by_source: tuple[int, ...]
    target: Array
    by_target: tuple[int, ...]
    weights: Array
    by_weight: tuple[int, ...]
    points: int
    """How many a set has."""


# Rows of a block, after the covariance, the rotation, a change of it and the doubt: sum
# of the weights, means of both sets, variance of the source, its mean square, the scale; a point of
# both sets and its weight; what the gradient needs beside.
TOTAL, SOURCE_MEAN, TARGET_MEAN, VARIANCE, NOISE, SCALE = 28, 29, 32, 35, 36, 37
SOURCE, TARGET, WEIGHT = 38, 41, 44
OF_SOURCE_MEAN, OF_TARGET_MEAN, OF_VARIANCE, OF_SCALE = 45, 48, 51, 52
# A point of both sets and its weight, as they came.
RAW, ALIGNMENT_ROWS = 53, 60


def load_points(rows: Array, sets: Sets, first: int, point: int, n: int) -> None:
    """Load one point of n sets and its weight; what is missing becomes zero, of weight zero."""
    source, by_source, target, by_target, weights, by_weight, _ = sets
    for k in range(3):
        a = source[first * by_source[0] + point * by_source[1] + k * by_source[2] :]
        b = target[first * by_target[0] + point * by_target[1] + k * by_target[2] :]
        for i in range(min(n, LANES)):
            rows[(RAW + k) * LANES + i] = a[by_source[0] * i]
            rows[(RAW + 3 + k) * LANES + i] = b[by_target[0] * i]
    if len(weights) > 0:
        w = weights[first * by_weight[0] + point * by_weight[1] :]
        for i in range(min(n, LANES)):
            rows[(RAW + 6) * LANES + i] = w[by_weight[0] * i]
    else:
        for i in range(min(n, LANES)):
            rows[(RAW + 6) * LANES + i] = 1.0
    leave_out_missing(rows, n)


def leave_out_missing(rows: Array, n: int) -> None:
    """Put a point that is not finite, or has no positive weight, at zero with weight zero."""
    for i in range(min(n, LANES)):
        # To other rows, not in place: that would be stores under a mask, which are slow.
        a, b = vector_at(rows, RAW, i), vector_at(rows, RAW + 3, i)
        w = rows[(RAW + 6) * LANES + i]
        known = is_usable(a, b, w)
        rows[WEIGHT * LANES + i] = where(known, w, 0.0)
        put_vector(rows, SOURCE, i, choose(known, a, (0.0, 0.0, 0.0)))
        put_vector(rows, TARGET, i, choose(known, b, (0.0, 0.0, 0.0)))


def find_means(rows: Array, sets: Sets, first: int, n: int) -> None:
    """Find the sum of the weights, one if it is zero, and both weighted means of n sets."""
    clear(rows, TOTAL, VARIANCE)
    for point in range(sets.points):
        load_points(rows, sets, first, point, n)
        add_to_means(rows, n)
    for i in range(min(n, LANES)):
        total = where(rows[TOTAL * LANES + i] > 0.0, rows[TOTAL * LANES + i], 1.0)
        rows[TOTAL * LANES + i] = total
        put_vector(rows, SOURCE_MEAN, i, scale(vector_at(rows, SOURCE_MEAN, i), 1.0 / total))
        put_vector(rows, TARGET_MEAN, i, scale(vector_at(rows, TARGET_MEAN, i), 1.0 / total))


def add_to_means(rows: Array, n: int) -> None:
    """Add a weighted point of n sets."""
    for i in range(min(n, LANES)):
        w = rows[WEIGHT * LANES + i]
        rows[TOTAL * LANES + i] += w
        a, b = vector_at(rows, SOURCE_MEAN, i), vector_at(rows, TARGET_MEAN, i)
        put_vector(rows, SOURCE_MEAN, i, add_scaled(a, vector_at(rows, SOURCE, i), w))
        put_vector(rows, TARGET_MEAN, i, add_scaled(b, vector_at(rows, TARGET, i), w))


def center(rows: Array, n: int) -> None:
    """Subtract the means from a point, and turn its weight into its share of them all."""
    for i in range(min(n, LANES)):
        rows[WEIGHT * LANES + i] /= rows[TOTAL * LANES + i]
        a, b = vector_at(rows, SOURCE, i), vector_at(rows, TARGET, i)
        put_vector(rows, SOURCE, i, add_scaled(a, vector_at(rows, SOURCE_MEAN, i), -1.0))
        put_vector(rows, TARGET, i, add_scaled(b, vector_at(rows, TARGET_MEAN, i), -1.0))


def find_moments(rows: Array, sets: Sets, first: int, n: int) -> None:
    """Find means, covariance and variance; both are zero for points that are all one."""
    find_means(rows, sets, first, n)
    clear(rows, 0, ROTATION)
    clear(rows, VARIANCE, NOISE + 1)
    for point in range(sets.points):
        load_points(rows, sets, first, point, n)
        add_to_moments(rows, n)
    for i in range(min(n, LANES)):
        variance = rows[VARIANCE * LANES + i]
        factor = where(variance > SQUARED_ROUND_OFF * rows[NOISE * LANES + i], 1.0, 0.0)
        rows[VARIANCE * LANES + i] = factor * variance
        x, y, z = matrix_at(rows, 0, i)
        put_matrix(rows, 0, i, (scale(x, factor), scale(y, factor), scale(z, factor)))


def add_to_moments(rows: Array, n: int) -> None:
    """Add a point of n sets to the covariance and to the variance of the source."""
    for i in range(min(n, LANES)):
        a, w = vector_at(rows, SOURCE, i), rows[WEIGHT * LANES + i] / rows[TOTAL * LANES + i]
        rows[NOISE * LANES + i] += w * dot(a, a)
    center(rows, n)
    for i in range(min(n, LANES)):
        a, w = vector_at(rows, SOURCE, i), rows[WEIGHT * LANES + i]
        b = scale(vector_at(rows, TARGET, i), w)
        x, y, z = matrix_at(rows, 0, i)
        total = add_scaled(x, a, b[0]), add_scaled(y, a, b[1]), add_scaled(z, a, b[2])
        put_matrix(rows, 0, i, total)
        rows[VARIANCE * LANES + i] += w * dot(a, a)


def find_scales(rows: Array, n: int) -> None:
    """Find the scales that go with the rotations; one where the source has no size."""
    for i in range(min(n, LANES)):
        covariance, rotation = matrix_at(rows, 0, i), matrix_at(rows, ROTATION, i)
        rows[SCALE * LANES + i] = best_scale(covariance, rotation, rows[VARIANCE * LANES + i])


def find_translations(rows: Array, n: int) -> None:
    """Find the translations that go with rotations and scales, in the place of the goals."""
    for i in range(min(n, LANES)):
        x, y, z = matrix_at(rows, ROTATION, i)
        mean, goal = vector_at(rows, SOURCE_MEAN, i), vector_at(rows, TARGET_MEAN, i)
        moved = dot(x, mean), dot(y, mean), dot(z, mean)
        put_vector(rows, TARGET_MEAN, i, add_scaled(goal, moved, -rows[SCALE * LANES + i]))


def align(
    sets: Sets,
    scaled: bool,
    first: int,
    last: int,
    transforms: tuple[Array, Array, Array],
) -> None:
    """Find rotations, translations and scales of a range of sets; of scale one unless `scaled`."""
    rotations, translations, scales = transforms
    rows, listed = np.empty(ALIGNMENT_ROWS * LANES), empty_list()
    for start in range(first, last, LANES):
        n = min(LANES, last - start)
        find_moments(rows, sets, start, n)
        rotate(rows, DOUBLE_GAPS, DOUBLE_STEP)
        store_matrices(rows, ROTATION, rotations[9 * start :], n)
        list_doubtful(rows, n, start, listed, rotations)
        solve_listed(listed, rotations)
        # Scale and translation belong to what the caller gets, rounded to the dtype.
        load_matrices(rows, ROTATION, rotations[9 * start :], n)
        if scaled:
            find_scales(rows, n)
        else:
            rows[SCALE * LANES : (SCALE + 1) * LANES] = 1.0
        store_numbers(rows, SCALE, 1, scales[start:], 1, n)
        load_numbers(rows, SCALE, 1, scales[start:], n)
        find_translations(rows, n)
        store_numbers(rows, TARGET_MEAN, 3, translations[3 * start :], 1, n)


def differentiate(
    sets: Sets,
    scaled: bool,
    tie: float,
    first: int,
    last: int,
    transforms: tuple[Array, Array, Array],
    upstream: tuple[Array, Array, Array],
    gradients: tuple[Array, Array, Array],
) -> None:
    """Turn the gradient in the transforms of a range of sets into that in points and weights.

    Rotations, translations and scales come with what comes back for each; the gradients in source,
    target and weights are filled. All arrays are flat, and that of the weights may be empty.
    """
    rows = np.empty(ALIGNMENT_ROWS * LANES)
    count = sets.points
    of_source, of_target, of_weights = gradients
    for start in range(first, last, LANES):
        n = min(LANES, last - start)
        find_moments(rows, sets, start, n)
        load_matrices(rows, ROTATION, transforms[0][9 * start :], n)
        load_numbers(rows, SCALE, 1, transforms[2][start:], n)
        load_matrices(rows, CHANGE, upstream[0][9 * start :], n)
        load_numbers(rows, OF_TARGET_MEAN, 3, upstream[1][3 * start :], n)
        load_numbers(rows, OF_SCALE, 1, upstream[2][start:], n)
        differentiate_moments(rows, scaled, tie, n)
        for point in range(count):
            load_points(rows, sets, start, point, n)
            center(rows, n)
            differentiate_points(rows, n)
            at = start * count + point
            store_numbers(rows, SOURCE, 3, of_source[3 * at :], count, n)
            store_numbers(rows, TARGET, 3, of_target[3 * at :], count, n)
            if len(of_weights) > 0:
                store_numbers(rows, WEIGHT, 1, of_weights[at:], count, n)


def differentiate_moments(rows: Array, scaled: bool, tie: float, n: int) -> None:
    """Turn the gradient in the transform into that in means, covariance and variance."""
    for i in range(min(n, LANES)):
        variance = rows[VARIANCE * LANES + i]
        moments = matrix_at(rows, 0, i), vector_at(rows, SOURCE_MEAN, i), variance
        transform = matrix_at(rows, ROTATION, i), rows[SCALE * LANES + i]
        shift, of_scale = vector_at(rows, OF_TARGET_MEAN, i), rows[OF_SCALE * LANES + i]
        change, of_mean, _, of_variance = gradient_in_moments(
            moments,
            transform,
            (matrix_at(rows, CHANGE, i), shift, of_scale),
            scaled & (variance > 0.0),
            tie,
        )
        put_matrix(rows, CHANGE, i, change)
        put_vector(rows, OF_SOURCE_MEAN, i, of_mean)
        rows[OF_VARIANCE * LANES + i] = of_variance


def differentiate_points(rows: Array, n: int) -> None:
    """Turn the gradient in the moments into that in one point of both sets and its weight."""
    for i in range(min(n, LANES)):
        gradients = (
            matrix_at(rows, CHANGE, i),
            vector_at(rows, OF_SOURCE_MEAN, i),
            vector_at(rows, OF_TARGET_MEAN, i),
            rows[OF_VARIANCE * LANES + i],
        )
        a, b = vector_at(rows, SOURCE, i), vector_at(rows, TARGET, i)
        share = rows[WEIGHT * LANES + i]
        of_source, of_target, of_share = gradient_in_points(a, b, share, gradients)
        of_weight = where(share > 0.0, of_share, 0.0) / rows[TOTAL * LANES + i]
        put_vector(rows, SOURCE, i, of_source)
        put_vector(rows, TARGET, i, of_target)
        rows[WEIGHT * LANES + i] = of_weight
