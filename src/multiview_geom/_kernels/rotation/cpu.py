"""Rotations and small eigenvectors on a processor: fused loops, by Numba.

All numbers of a block are in double precision. Here loops that compute run over all lanes, used or
not, and stand in functions of their own, so that a result does not depend on its lane. Loops over n
items run to min(n, LANES), which tells the compiler a bound.
"""

import numpy as np

from multiview_geom._kernels.numba_primitives import (
    LANES,
    Array,
    clear,
    matrix_at,
    prefetch,
    put_matrix,
    put_row,
    row_at,
)
from multiview_geom._kernels.rotation.algebra import (
    SWEEPS,
    Axes,
    Symmetric4,
    clear_rotation,
    horn_matrix,
    jacobi_sweep,
    largest_entry,
    lowest_axis,
    pseudo_inverse4_times,
    rotation_of,
    turn,
    with_largest_positive,
)

# Lanes that Jacobi's method works on together.
GROUP = 16
FOUR = 4

# Rows of a block: a matrix (9), its rotation (9), a change of it (9), and whether the
# rotation is in doubt.
ROTATION, CHANGE, DOUBT, ROWS = 9, 18, 27, 28
# Rows of a block of Jacobi's method: a symmetric 4x4 matrix (10), its axes (16), its
# size, and a vector (4).
AXES, SIZE, CHANGE4, JACOBI_ROWS = 10, 26, 27, 31


def load_numbers(rows: Array, at: int, width: int, entries: Array, n: int) -> None:
    """Spread n groups of numbers over rows."""
    for k in range(width):
        line, row = entries[k:], rows[(at + k) * LANES :]
        for i in range(min(n, LANES)):
            row[i] = line[width * i]


def store_numbers(rows: Array, at: int, width: int, entries: Array, step: int, n: int) -> None:
    """Write n groups of numbers from rows, each so many groups behind the one before."""
    for k in range(width):
        line, row = entries[k:], rows[(at + k) * LANES :]
        for i in range(min(n, LANES)):
            line[width * step * i] = row[i]


def load_matrices(rows: Array, at: int, entries: Array, n: int) -> None:
    """Spread n matrices over rows, matrix by matrix, and ask for those of the next block.

    In less than half the time of `load_numbers`: `prefetch` also keeps the compiler from gathering
    the entries of many matrices at once, which is slow.
    """
    for i in range(min(n, LANES)):
        k = 9 * i
        prefetch(entries, k + 9 * LANES)
        first = entries[k], entries[k + 1], entries[k + 2]
        second = entries[k + 3], entries[k + 4], entries[k + 5]
        third = entries[k + 6], entries[k + 7], entries[k + 8]
        put_matrix(rows, at, i, (first, second, third))


def store_matrices(rows: Array, at: int, entries: Array, n: int) -> None:
    """Gather n matrices from rows, and ask for the places of those of the next block."""
    for i in range(min(n, LANES)):
        k = 9 * i
        prefetch(entries, k + 9 * LANES)
        first, second, third = matrix_at(rows, at, i)
        entries[k], entries[k + 1], entries[k + 2] = first
        entries[k + 3], entries[k + 4], entries[k + 5] = second
        entries[k + 6], entries[k + 7], entries[k + 8] = third


def form_at(rows: Array, i: int) -> Symmetric4:
    """Return the symmetric matrix of Jacobi's method."""
    return (
        *(rows[i], rows[LANES + i], rows[2 * LANES + i], rows[3 * LANES + i]),
        *(rows[4 * LANES + i], rows[5 * LANES + i], rows[6 * LANES + i], rows[7 * LANES + i]),
        *(rows[8 * LANES + i], rows[9 * LANES + i]),
    )


def put_form(rows: Array, i: int, m: Symmetric4) -> None:
    """Set the symmetric matrix of Jacobi's method."""
    put_row(rows, 0, i, (m[0], m[1], m[2], m[3]))
    put_row(rows, 4, i, (m[4], m[5], m[6], m[7]))
    rows[8 * LANES + i], rows[9 * LANES + i] = m[8], m[9]


def axes_at(rows: Array, i: int) -> Axes:
    """Return the axes of Jacobi's method."""
    return (
        row_at(rows, AXES, i),
        row_at(rows, AXES + 4, i),
        row_at(rows, AXES + 8, i),
        row_at(rows, AXES + 12, i),
    )


def put_axes(rows: Array, i: int, axes: Axes) -> None:
    """Set the axes of Jacobi's method."""
    put_row(rows, AXES, i, axes[0])
    put_row(rows, AXES + 4, i, axes[1])
    put_row(rows, AXES + 8, i, axes[2])
    put_row(rows, AXES + 12, i, axes[3])


def shrink(rows: Array) -> None:
    """Divide symmetric matrices by their largest entry, which comes in a row behind."""
    for i in range(LANES):
        rows[SIZE * LANES + i] = largest_entry(form_at(rows, i))
    for k in range(AXES):
        for i in range(LANES):
            rows[k * LANES + i] /= rows[SIZE * LANES + i]


def diagonalize(rows: Array, n: int) -> None:
    """Turn n symmetric 4x4 matrices, of entries up to one, to their axes."""
    clear(rows, AXES, SIZE)
    for k in range(FOUR):
        rows[(AXES + 5 * k) * LANES : (AXES + 5 * k + 1) * LANES] = 1.0
    for first in range(0, n, GROUP):
        for _ in range(SWEEPS):
            sweep(rows[first:])


def sweep(rows: Array) -> None:
    """Turn each pair of axes of a group of matrices once."""
    for i in range(GROUP):
        m, axes = jacobi_sweep(form_at(rows, i), axes_at(rows, i))
        put_form(rows, i, m)
        put_axes(rows, i, axes)


def rotate(rows: Array, least_gaps: float, longest_step: float) -> None:
    """Find the nearest rotations in closed form, and tell where that is in doubt."""
    for i in range(LANES):
        rotation, gaps, step = clear_rotation(matrix_at(rows, 0, i))
        put_matrix(rows, ROTATION, i, rotation)
        sure = (gaps > least_gaps) & (abs(step) < longest_step)
        rows[DOUBT * LANES + i] = 0.0 if sure else 1.0


def list_doubtful(
    rows: Array, n: int, first: int, listed: tuple[Array, Array], rotations: Array
) -> None:
    """Add the doubtful of n matrices to a list, which is solved when full.

    Behind the LANES places stands how many there are.
    """
    forms, places = listed
    for i in range(n):
        if rows[DOUBT * LANES + i] != 0.0:
            if places[LANES] == LANES:
                solve_listed(listed, rotations)
            count = places[LANES]
            put_form(forms, count, horn_matrix(matrix_at(rows, 0, i)))
            places[count], places[LANES] = first + i, count + 1


def solve_listed(listed: tuple[Array, Array], rotations: Array) -> None:
    """Find the rotations of a list of doubtful matrices, write them to their places, empty it."""
    forms, places = listed
    count, places[LANES] = places[LANES], 0
    if count == 0:
        return
    shrink(forms)
    diagonalize(forms, count)
    for i in range(count):
        rotation = rotation_of(lowest_axis(form_at(forms, i), axes_at(forms, i)))
        line = rotations[9 * places[i] :]
        for a in range(3):
            for b in range(3):
                line[3 * a + b] = rotation[a][b]


def empty_list() -> tuple[Array, Array]:
    """Return room for a block of doubtful matrices; for their places, and how many they are."""
    return np.ones(JACOBI_ROWS * LANES), np.zeros(LANES + 1, np.int64)


def nearest_rotations(
    matrices: Array, rotations: Array, first: int, last: int, least_gaps: float, longest_step: float
) -> None:
    """Find the nearest rotations of a range of matrices; all arrays are flat."""
    rows, listed = np.empty(ROWS * LANES), empty_list()
    for start in range(first, last, LANES):
        n = min(LANES, last - start)
        load_matrices(rows, 0, matrices[9 * start :], n)
        rotate(rows, least_gaps, longest_step)
        store_matrices(rows, ROTATION, rotations[9 * start :], n)
        list_doubtful(rows, n, start, listed, rotations)
    solve_listed(listed, rotations)


def turn_lanes(rows: Array, tie: float) -> None:
    """Turn rotations as changes of their matrices do."""
    for i in range(LANES):
        m, rotation = matrix_at(rows, 0, i), matrix_at(rows, ROTATION, i)
        put_matrix(rows, CHANGE, i, turn(m, rotation, matrix_at(rows, CHANGE, i), tie))


def turn_rotations(
    matrices: Array,
    rotations: Array,
    changes: Array,
    turns: Array,
    first: int,
    last: int,
    tie: float,
) -> None:
    """Turn a range of rotations as changes of their matrices do, or the other way round."""
    rows = np.empty(ROWS * LANES)
    for start in range(first, last, LANES):
        n = min(LANES, last - start)
        load_matrices(rows, 0, matrices[9 * start :], n)
        load_matrices(rows, ROTATION, rotations[9 * start :], n)
        load_matrices(rows, CHANGE, changes[9 * start :], n)
        turn_lanes(rows, tie)
        store_matrices(rows, CHANGE, turns[9 * start :], n)


def load_symmetric(rows: Array, matrices: Array, size: int, n: int) -> None:
    """Load the symmetric parts of n matrices, shrunk; a fourth axis gets a large eigenvalue."""
    clear(rows, 0, AXES)
    k = 0
    for a in range(FOUR):
        for b in range(a, FOUR):
            if b < size:
                upper, lower = matrices[size * a + b :], matrices[size * b + a :]
                load_mean(rows[k * LANES :], upper, lower, size, n)
            k += 1
    shrink(rows)
    if size < FOUR:
        # Row 9 is dd; no eigenvalue of a 3x3 matrix of entries up to one is larger than three.
        rows[(AXES - 1) * LANES : AXES * LANES] = 4.0


def load_mean(row: Array, upper: Array, lower: Array, size: int, n: int) -> None:
    """Load the mean of two entries of n matrices."""
    for i in range(min(n, LANES)):
        row[i] = (upper[size * size * i] + lower[size * size * i]) / 2.0


def take_lowest(rows: Array) -> None:
    """Put the axes of the smallest eigenvalues in the first four rows."""
    for i in range(LANES):
        axis = lowest_axis(form_at(rows, i), axes_at(rows, i))
        put_row(rows, 0, i, with_largest_positive(axis))


def solve_for_change(rows: Array, tie: float) -> None:
    """Multiply vectors with the pseudo-inverse of the matrices less their smallest eigenvalues."""
    for i in range(LANES):
        m, axes, change = form_at(rows, i), axes_at(rows, i), row_at(rows, CHANGE4, i)
        a, b, c, d = pseudo_inverse4_times(m, axes, change, tie)
        inverse = 1.0 / rows[SIZE * LANES + i]
        put_row(rows, CHANGE4, i, (a * inverse, b * inverse, c * inverse, d * inverse))


def smallest_eigenvectors(
    matrices: Array, vectors: Array, first: int, last: int, size: int
) -> None:
    """Find the lowest eigenvectors of a range of matrices of three or four rows."""
    rows = np.empty(JACOBI_ROWS * LANES)
    for start in range(first, last, LANES):
        n = min(LANES, last - start)
        load_symmetric(rows, matrices[size * size * start :], size, n)
        diagonalize(rows, n)
        take_lowest(rows)
        store_numbers(rows, 0, size, vectors[size * start :], 1, n)


def turn_eigenvectors(
    matrices: Array, changes: Array, turns: Array, first: int, last: int, tie: float, size: int
) -> None:
    """Multiply vectors with the pseudo-inverse of matrices less the lowest eigenvalue."""
    rows = np.empty(JACOBI_ROWS * LANES)
    for start in range(first, last, LANES):
        n = min(LANES, last - start)
        load_symmetric(rows, matrices[size * size * start :], size, n)
        diagonalize(rows, n)
        rows[CHANGE4 * LANES :] = 0.0
        load_numbers(rows, CHANGE4, size, changes[size * start :], n)
        solve_for_change(rows, tie)
        store_numbers(rows, CHANGE4, size, turns[size * start :], 1, n)
