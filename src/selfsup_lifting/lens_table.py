"""Normalized image coordinates of single pixels, from a table of the lens.

To invert a lens takes several Newton steps. For one pose, their time is that of starting hundreds
of small operations. So the inverse is computed once on a grid of pixels, and interpolated.
"""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from multiview_geom import Cameras
from selfsup_lifting.triangulate import normalized_image

# Distances of the points of the grid [px], the first that is fine enough is used.
STEPS = (16.0, 8.0, 4.0)
# Joints are detected beyond the border of the image too, by this share of its size.
MARGIN = 0.1
# The largest error between the points of the grid [focal lengths], relative to 1 plus the
# coordinate: the round-off of float32.
LARGEST_ERROR = 6e-8
# A finer grid would take seconds to fill.
MOST_POINTS = 300_000


class LensTable:
    """Normalize the pixels of one camera, as `normalized_image` up to the round-off of float32.

    Cubic polynomials interpolate between the points of a grid, which is fine enough for that in the
    middle of all its cells. Pixels outside of the grid, or beside one that the lens cannot produce,
    are normalized by `normalized_image`; with distortion but no image size, all are.

    Args:
        camera: The rig of the one camera.
    """

    def __init__(self, camera: Cameras) -> None:
        self._camera = camera.to(torch.float64)
        self._table: NDArray[np.float64] | None = None
        if camera.distortion is None:
            inverse = torch.linalg.inv(self._camera.intrinsics[0]).numpy()
            self._scale, self._shift = inverse[:2, :2].T, inverse[:2, 2]  # the last row is 0, 0, 1
        elif camera.image_size is not None:
            self._fill(camera.image_size[0].double().numpy())

    def _fill(self, size: Float[np.ndarray, "2"]) -> None:
        """Compute the table, as coarse as possible; none if no grid is fine enough."""
        self._first = -MARGIN * size
        for self._step in STEPS:
            counts = np.ceil((1 + 2 * MARGIN) * size / self._step).astype(int) + 1
            if counts.prod() > MOST_POINTS:
                break
            self._table = self._exact(self._grid(counts))
            middles = self._grid(counts - 1) + self._step / 2
            exact = self._exact(middles)
            errors = np.abs(self._interpolated(self._table, middles) - exact)
            if np.nanmax(errors / (1 + np.abs(exact)), initial=0.0) <= LARGEST_ERROR:
                return
        self._table = None

    def __call__(self, pixels: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "points 2"]:
        """Return the normalized image coordinates of pixels; NaN as `normalized_image`."""
        if self._camera.distortion is None:
            return pixels @ self._scale + self._shift  # type: ignore[no-any-return]
        if self._table is None:
            return self._exact(pixels)
        found = self._interpolated(self._table, pixels)
        left = np.isnan(found[:, 0]) & np.isfinite(pixels).all(axis=-1)
        if left.any():
            found[left] = self._exact(pixels[left])
        return found

    def _exact(self, pixels: Float[np.ndarray, "*grid 2"]) -> Float[np.ndarray, "*grid 2"]:
        points = torch.from_numpy(pixels.reshape(1, 1, -1, 2))
        return normalized_image(self._camera, points).numpy().reshape(pixels.shape)

    def _grid(self, counts: NDArray[np.int64]) -> Float[np.ndarray, "rows columns 2"]:
        u, v = (self._first[axis] + self._step * np.arange(counts[axis]) for axis in range(2))
        return np.stack(np.meshgrid(u, v), axis=-1)

    def _interpolated(
        self, table: Float[np.ndarray, "rows columns 2"], pixels: Float[np.ndarray, "*points 2"]
    ) -> Float[np.ndarray, "*points 2"]:
        """Interpolate between 4x4 points of the grid; NaN outside of it."""
        place = (pixels - self._first) / self._step
        corner = np.floor(place) - 1
        last = np.array(table.shape[1::-1]) - 4
        inside = ((corner >= 0) & (corner <= last)).all(axis=-1, keepdims=True)
        corner = np.where(inside, corner, 0.0)
        of_u, of_v = np.moveaxis(_cubic_weights(place - corner - 1), -2, 0)
        columns, rows = np.moveaxis(corner.astype(np.intp)[..., None] + np.arange(4), -2, 0)
        around = table[rows[..., :, None], columns[..., None, :]]
        found = np.einsum("...r,...c,...rcx->...x", of_v, of_u, around)
        return np.where(inside, found, np.nan)


def _cubic_weights(t: Float[np.ndarray, "*points 2"]) -> Float[np.ndarray, "*points 2 4"]:
    """Return Lagrange's weights of the points -1, 0, 1, 2 at t, for each axis."""
    before, after, far = t + 1, t - 1, t - 2
    return np.stack(
        [-t * after * far / 6, before * after * far / 2, -before * t * far / 2,
         before * t * after / 6], axis=-1,
    )  # fmt: skip
