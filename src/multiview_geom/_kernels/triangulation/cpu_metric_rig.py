"""Rigs with true depths, for reweighted and robust triangulation on a processor."""

from math import nan, sqrt
from typing import NamedTuple

import numpy as np

from multiview_geom._kernels.algebra import Vector, add_scaled, cross, dot, scale
from multiview_geom._kernels.numba_primitives import LANES, Array
from multiview_geom._kernels.triangulation.cpu_blocks import largest_entry, workspace


class MetricRig(NamedTuple):
    """A rig whose depths are those of the given cameras, for points counted from an origin.

    Attributes:
        centers: Image centers: zeros for a view that can be used and NaN else.
        views: Rows of the views, whose depths are positive in front.
        inverses: The inverse of their left 3x3 parts, column by column.
        places: Camera centers from the origin.
        origin: The mean of the camera centers.
    """

    centers: Array
    views: Array
    inverses: Array
    places: Array
    origin: Array


def metric_workspace(views: int) -> tuple[MetricRig, Array, Array, Array]:
    """Allocate a rig, the image array of a block, its weights as given, and its rows."""
    centers, rows_of_views, image, rows = workspace(views, np.zeros(1))
    inverses, places = np.zeros((views, 3, 3)), np.zeros((views, 3))
    rig = MetricRig(centers, rows_of_views, inverses, places, np.zeros(3))
    return rig, image, np.empty(views * LANES), rows


def prepare_metric_rig(rigs: Array, frame: int, rig: MetricRig) -> None:
    """Fill in the rig of a frame, or of the one for all."""
    total, usable = (0.0, 0.0, 0.0), 0
    projections = rigs[min(frame, len(rigs) - 1)]
    for v in range(len(projections)):
        known = invert_view(projections[v], rig.views[v], rig.inverses[v], rig.places[v])
        rig.centers[v, 0] = rig.centers[v, 1] = 0.0 if known else nan
        usable += known
        total = add_scaled(total, vector3(rig.places[v]), 1.0)
    count = max(usable, 1)
    origin = total[0] / count, total[1] / count, total[2] / count
    rig.origin[0], rig.origin[1], rig.origin[2] = origin
    for v in range(len(projections)):
        view, place = rig.views[v], rig.places[v]
        for k in range(3):
            view[k, 3] += dot(vector3(view[k]), origin)
            place[k] -= origin[k]


def invert_view(projection: Array, view: Array, inverse: Array, place: Array) -> bool:
    """Fill in a view; zeros, and False, if it is singular or a number is not finite."""
    view[:], inverse[:], place[:] = 0.0, 0.0, 0.0
    across, down, axis = vector3(projection[0]), vector3(projection[1]), vector3(projection[2])
    volume = dot(across, cross(down, axis))
    if largest_entry(projection) < 0 or volume == 0.0:
        return False
    # The third row, which is the first of a view, shall measure depth, positive in front.
    factor = (1.0 if volume > 0 else -1.0) / sqrt(dot(axis, axis))
    columns = (cross(down, axis), cross(axis, across), cross(across, down))
    for row in range(3):
        for k in range(4):
            view[(row + 1) % 3, k] = projection[row, k] * factor
        column = scale(columns[row], 1.0 / (volume * factor))
        inverse[row, 0], inverse[row, 1], inverse[row, 2] = column[0], column[1], column[2]
        for k in range(3):
            place[k] -= inverse[row, k] * view[(row + 1) % 3, 3]
    return True


def vector3(a: Array) -> Vector:
    """Return the first three entries of an array, in double precision."""
    # Not `float`, which in Numba keeps single precision.
    return np.float64(a[0]), np.float64(a[1]), np.float64(a[2])
