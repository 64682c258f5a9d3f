"""Lenses as named numbers, drawn and known ones, and what OpenCV makes of them."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from torch import Tensor

from tests.multiview_geom.strategies import numbers

NO_TURN = np.zeros(3)

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Glass:
    """One camera's lens and sensor."""

    coefficients: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    focal_length: float = 1000.0
    width: int = 1920
    height: int = 1080

    def intrinsics(self) -> Tensor:
        center_x, center_y = self.width / 2 - 0.5, self.height / 2 + 3.25
        f = self.focal_length
        return torch.tensor(
            [[[f, 0.0, center_x], [0.0, 0.99 * f, center_y], [0.0, 0.0, 1.0]]], dtype=torch.float64
        )

    def distortion(self) -> Tensor:
        return torch.tensor([self.coefficients], dtype=torch.float64)

    def pixels(self, across: int = 40) -> Tensor:
        """Spread pixels over the image, its border included."""
        down = across * self.height // self.width
        u = torch.linspace(0, self.width - 1, across, dtype=torch.float64)
        v = torch.linspace(0, self.height - 1, down, dtype=torch.float64)
        return torch.cartesian_prod(u, v)[None]


HUMAN36M_LIKE = (
    Glass((-0.2, 0.24, -0.0009, -0.001, -0.003), 1145.0, 1000, 1002),
    Glass((-0.21, 0.25, -0.0008, 0.0009, -0.002), 1150.0, 1000, 1000),
    Glass((-0.2, 0.26, 0.0007, -0.0008, -0.005), 1149.0, 1000, 1000),
    Glass((-0.19, 0.23, -0.0014, 0.0006, -0.001), 1146.0, 1000, 1002),
)
WIDE = Glass((-0.25, 0.08, 0.0, 0.0), 880.0, 1920, 1080)
KORNIA_3273 = Glass((-0.2535, 0.0924, -0.0006, 0.0007, -0.0191), 1917.36, 3840, 2160)
"""The calibration of kornia's issue 3273: its corners lie beyond the fold."""
OPENCV_20736 = Glass((2.9972, -6.0929, 5.7e-4, -4.9e-5, -1.2619, 3.5341, -4.2708, -5.3024), 2421.8)
"""The calibration of OpenCV's issue 20736: it has a pole behind its fold."""
BARREL = Glass((-0.3, 0.0, 1e-3, -2e-3), 500.0)
HUMP = Glass((0.5, -0.5, 0.0, 0.0), 500.0)
"""Stretches near the center, squeezes farther out, then folds."""
FOLDS_AND_GROWS = Glass((-0.5, 0.08, 0.0, 0.0), 500.0)
"""Shows everything beyond its fold a second time, farther out."""
PRISM = Glass((-0.28, 0.11, 1e-3, -7e-4, 0.0, 0.0, 0.0, 0.0, 2e-3, -1e-3, 1e-3, 5e-4), 600.0)

known = {
    **{f"human36m-like-{number}": glass for number, glass in enumerate(HUMAN36M_LIKE)},
    "wide": WIDE,
    "kornia-3273": KORNIA_3273,
    "opencv-20736": OPENCV_20736,
    "barrel": BARREL,
    "hump": HUMP,
    "folds-and-grows": FOLDS_AND_GROWS,
    "prism": PRISM,
}

_REACH = (0.3, 0.1, 2e-3, 2e-3, 0.02, 0.05, 0.02, 0.01, 1e-3, 1e-3, 1e-3, 1e-3, 0.03, 0.03)


def coefficients(count: int) -> st.SearchStrategy[tuple[float, ...]]:
    """Draw the first so many coefficients of lenses as they are made."""
    shares = st.tuples(*[numbers(-1.0, 1.0)] * count)
    return shares.map(lambda row: tuple(a * b for a, b in zip(row, _REACH[:count], strict=True)))


glasses = st.builds(
    Glass,
    coefficients=st.sampled_from([4, 5, 8, 12, 14]).flatmap(coefficients),
    focal_length=numbers(700.0, 2000.0),
)
fisheyes = st.builds(
    Glass,
    coefficients=st.tuples(
        numbers(-0.05, 0.1), numbers(-0.02, 0.02), numbers(-0.004, 0.004), numbers(-0.001, 0.001)
    ),
    focal_length=numbers(250.0, 600.0),
)


def seen_by_opencv(glass: Glass, points: Tensor) -> Tensor:
    """Project points of the camera's frame with OpenCV."""
    K, k = glass.intrinsics()[0].numpy(), glass.distortion().numpy()
    pixels, _ = cv2.projectPoints(points.numpy(), NO_TURN, NO_TURN, K, k)
    return torch.from_numpy(pixels[:, 0])


def seen_by_opencv_fisheye(glass: Glass, points: Tensor) -> Tensor:
    """Project points of the camera's frame with OpenCV's fisheye model."""
    K, k = glass.intrinsics()[0].numpy(), glass.distortion().numpy()
    pixels, _ = cv2.fisheye.projectPoints(points[:, None].numpy(), NO_TURN, NO_TURN, K, k)
    return torch.from_numpy(pixels[:, 0])


def reach(glass: Glass, directions: int = 720, radii: int = 300, farthest: float = 6.0) -> Outline:
    """Outline what a lens shows before it folds, by brute force.

    Along every direction from the center the determinant of the map, by differences, is
    followed to where it first vanishes; the image of that curve bounds the reach.
    """
    angles = np.linspace(0, 2 * np.pi, directions, endpoint=False)
    spokes = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    radius = np.linspace(0, farthest, radii)
    folded = _determinant(glass, spokes[:, None] * radius[:, None]) <= 0
    first = np.where(folded.any(axis=1), folded.argmax(axis=1), radii - 1)
    low, high = radius[np.maximum(first - 1, 0)], radius[first]
    for _ in range(40):
        middle = (low + high) / 2
        grows = _determinant(glass, spokes * middle[:, None]) > 0
        low, high = np.where(grows, middle, low), np.where(grows, high, middle)
    K = glass.intrinsics()[0].numpy()
    return Outline(bent(glass, spokes * low[:, None]) @ K[:2, :2].T + K[:2, 2])


def bent(glass: Glass, points: Points) -> Points:
    """Distort points at depth one as OpenCV's documentation writes it, sensor not tilted."""
    row = np.zeros(12)
    row[: len(glass.coefficients)] = glass.coefficients
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = row
    x, y = points[..., 0], points[..., 1]
    r2 = x**2 + y**2
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2) + s1 * r2 + s2 * r2**2
    v = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y + s3 * r2 + s4 * r2**2
    return np.stack([u, v], axis=-1)


def _determinant(glass: Glass, points: Points) -> NDArray[np.float64]:
    step = 1e-5
    aside, below = np.array([step, 0.0]), np.array([0.0, step])
    by_x = bent(glass, points + aside) - bent(glass, points - aside)
    by_y = bent(glass, points + below) - bent(glass, points - below)
    determinant: NDArray[np.float64] = by_x[..., 0] * by_y[..., 1] - by_x[..., 1] * by_y[..., 0]
    return determinant
