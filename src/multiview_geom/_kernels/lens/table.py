"""All numbers of a lens and its camera as one row, which the engines read.

The functions take a row: an array in Numba, a pointer in Triton, a sequence of tensors in PyTorch.
"""

from typing import Any, TypeAlias

from multiview_geom._kernels.algebra import Number
from multiview_geom._kernels.lens.algebra import Camera, Cubic, Homography, Lens

Entries: TypeAlias = Any

# Where a row has K (5 entries), the homography from the sensor to the untilted one (9), the radial
# terms and the denominator (12), these without a pole that a root of the numerator cancels (12),
# tangential terms (4), prism (8), the distorted radius of the first fold, its ideal radius, a bound
# of what lies beyond it, and samples of the inverse.
CAMERA, UNTILT, RADIAL, SMOOTH, TANGENTIAL, PRISM = 0, 5, 14, 26, 38, 42
FOLD, IDEAL_FOLD, BEYOND, RATIOS = 50, 51, 52, 53

SAMPLES = 512
"""Samples of a profile and of its inverse; the error falls with their square."""
WIDTH = RATIOS + SAMPLES
NEWTON_STEPS = 5
"""Newton steps with the smooth radial terms; those with the lens itself follow."""


def entry(row: Entries, at: int) -> Number:
    """Return a number of a row; on a GPU that of `cuda.py` takes its place, by its name."""
    return row[at]


def camera_at(row: Entries) -> Camera:
    """Return the entries of K."""
    return (
        entry(row, CAMERA),
        entry(row, CAMERA + 1),
        entry(row, CAMERA + 2),
        entry(row, CAMERA + 3),
        entry(row, CAMERA + 4),
    )


def untilt_at(row: Entries) -> Homography:
    """Return the homography from the sensor to the untilted one."""
    return (
        (entry(row, UNTILT), entry(row, UNTILT + 1), entry(row, UNTILT + 2)),
        (entry(row, UNTILT + 3), entry(row, UNTILT + 4), entry(row, UNTILT + 5)),
        (entry(row, UNTILT + 6), entry(row, UNTILT + 7), entry(row, UNTILT + 8)),
    )


def cubic_at(row: Entries, at: int) -> Cubic:
    """Return the coefficients of a cubic and its derivative."""
    return (
        entry(row, at),
        entry(row, at + 1),
        entry(row, at + 2),
        entry(row, at + 3),
        entry(row, at + 4),
        entry(row, at + 5),
    )


def lens_at(row: Entries, radial: int) -> Lens:
    """Return the lens whose radial terms are at RADIAL or SMOOTH."""
    tangential = (
        entry(row, TANGENTIAL),
        entry(row, TANGENTIAL + 1),
        entry(row, TANGENTIAL + 2),
        entry(row, TANGENTIAL + 3),
    )
    prism = (
        entry(row, PRISM),
        entry(row, PRISM + 1),
        entry(row, PRISM + 2),
        entry(row, PRISM + 3),
        entry(row, PRISM + 4),
        entry(row, PRISM + 5),
        entry(row, PRISM + 6),
        entry(row, PRISM + 7),
    )
    return cubic_at(row, radial), cubic_at(row, radial + 6), tangential, prism
