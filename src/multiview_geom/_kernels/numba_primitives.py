"""Blocks of items on a processor, for the loops that Numba compiles.

The numbers of a block lie in rows of LANES entries of one flat array, one item per lane, so that
every loop over the lanes becomes vector instructions. For this the compiler must see that rows do
not overlap, which is why the array is flat and LANES a constant, and that no index is negative: of
one that comes from a further call it would not know, which is why no function here calls another.

`a[i] = where(known, a[i], 0)` becomes a store under a mask, which is many times slower than a store
on AMD's processors: what is chosen goes to other rows than it comes from.

Large arrays come from afar. A processor fetches ahead on its own where one loop runs through an
array, but not where it computes for long between two blocks: `prefetch` asks for the next block
while this one is computed.
"""

from typing import Any, TypeAlias

from multiview_geom._kernels.algebra import Matrix, Row, Symmetric, Vector

Array: TypeAlias = Any
"""A NumPy array."""

LANES = 128


def prefetch(numbers: Array, place: int) -> None:
    """Ask for a number of a flat array that is needed soon; the place may lie beyond its end.

    Only what is compiled asks: see `numba_prefetch`.
    """


def clear(rows: Array, first: int, last: int) -> None:
    """Set rows to zero."""
    rows[first * LANES : last * LANES] = 0


def copy_rows(source: Array, first: int, last: int, target: Array, at: int) -> None:
    """Copy rows of one array to another; Numba takes much longer to compile `a[i:j] = b[k:l]`."""
    for i in range((last - first) * LANES):
        target[at * LANES + i] = source[first * LANES + i]


def vector_at(rows: Array, row: int, i: int) -> Vector:
    """Return three rows at one lane."""
    at = row * LANES + i
    return rows[at], rows[at + LANES], rows[at + 2 * LANES]


def put_vector(rows: Array, row: int, i: int, a: Vector) -> None:
    """Set three rows at one lane."""
    at = row * LANES + i
    rows[at], rows[at + LANES], rows[at + 2 * LANES] = a


def row_at(rows: Array, row: int, i: int) -> Row:
    """Return four rows at one lane."""
    at = row * LANES + i
    return rows[at], rows[at + LANES], rows[at + 2 * LANES], rows[at + 3 * LANES]


def put_row(rows: Array, row: int, i: int, a: Row) -> None:
    """Set four rows at one lane."""
    at = row * LANES + i
    rows[at], rows[at + LANES], rows[at + 2 * LANES], rows[at + 3 * LANES] = a


def symmetric_at(rows: Array, row: int, i: int) -> Symmetric:
    """Return the symmetric 3x3 matrix in six rows at one lane."""
    at = row * LANES + i
    return (
        rows[at],
        rows[at + LANES],
        rows[at + 2 * LANES],
        rows[at + 3 * LANES],
        rows[at + 4 * LANES],
        rows[at + 5 * LANES],
    )


def put_symmetric(rows: Array, row: int, i: int, m: Symmetric) -> None:
    """Set the symmetric 3x3 matrix in six rows at one lane."""
    at = row * LANES + i
    rows[at], rows[at + LANES], rows[at + 2 * LANES] = m[0], m[1], m[2]
    rows[at + 3 * LANES], rows[at + 4 * LANES], rows[at + 5 * LANES] = m[3], m[4], m[5]


def matrix_at(rows: Array, row: int, i: int) -> Matrix:
    """Return the 3x3 matrix in nine rows at one lane."""
    at = row * LANES + i
    return (
        (rows[at], rows[at + LANES], rows[at + 2 * LANES]),
        (rows[at + 3 * LANES], rows[at + 4 * LANES], rows[at + 5 * LANES]),
        (rows[at + 6 * LANES], rows[at + 7 * LANES], rows[at + 8 * LANES]),
    )


def put_matrix(rows: Array, row: int, i: int, m: Matrix) -> None:
    """Set the 3x3 matrix in nine rows at one lane."""
    at = row * LANES + i
    rows[at], rows[at + LANES], rows[at + 2 * LANES] = m[0]
    rows[at + 3 * LANES], rows[at + 4 * LANES], rows[at + 5 * LANES] = m[1]
    rows[at + 6 * LANES], rows[at + 7 * LANES], rows[at + 8 * LANES] = m[2]
