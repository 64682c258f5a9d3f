"""How fast and how accurate is each function that undistorts pixels?

Each library undistorts a grid of pixels over the whole image. The result is distorted again in
float64, and the error is the distance from the original pixel, over all pixels that the lens can
produce. kornia and OpenCV are measured with their default number of iterations and with forty.

    python benchmarks/projection.py [--device cpu|cuda] [--threads 2] [--quick]
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import kornia
import numpy as np
import torch
from measure import Suite, answer, measure
from torch import Tensor

from multiview_geom import distort_pixels, undistort_pixels

FORTY = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-12)
POINTS = 1_000_000


@dataclass(frozen=True)
class Glass:
    """A lens and its image size."""

    name: str
    focal_length: float
    size: tuple[int, int]
    coefficients: tuple[float, ...]

    def scene(self, points: int, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return intrinsics, coefficients, and about this many pixels, spread over the image."""
        width, height = self.size
        f, x, y = self.focal_length, (width - 1) / 2, (height - 1) / 2
        K = torch.tensor([[[f, 0.0, x], [0.0, f, y], [0.0, 0.0, 1.0]]], dtype=dtype)
        across = round((points * width / height) ** 0.5)
        columns = torch.linspace(0, width - 1, across, dtype=dtype)
        rows = torch.linspace(0, height - 1, points // across, dtype=dtype)
        pixels = torch.cartesian_prod(columns, rows)[None]
        k = torch.tensor([self.coefficients], dtype=dtype)
        return K.to(device), k.to(device), pixels.to(device)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    way: str
    lens: str
    points: int
    dtype: str
    milliseconds: float
    spread: float
    runs: int
    worst_px: float
    share_above_thousandth_px: float


GLASSES = (
    Glass("Human3.6M-like", 1145.0, (1000, 1000), (-0.2, 0.24, -0.001, -0.001, -0.003)),
    Glass("wide", 880.0, (1920, 1080), (-0.25, 0.08, 0.0, 0.0)),
)


def ours(K: Tensor, k: Tensor, pixels: Tensor) -> Tensor:
    """Undistort with this library."""
    return undistort_pixels(K, k, pixels).pixels


def by_kornia(iterations: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Undistort with kornia."""

    def undistort(K: Tensor, k: Tensor, pixels: Tensor) -> Tensor:
        return kornia.geometry.undistort_points(pixels, K, k, num_iters=iterations)

    return undistort


def by_opencv(K: Tensor, k: Tensor, pixels: Tensor) -> Tensor:
    """Undistort with OpenCV and its default number of iterations."""
    return _from_opencv(cv2.undistortPoints(pixels[0].numpy(), *_in_numpy(K, k), P=K[0].numpy()))


def by_opencv_forty(K: Tensor, k: Tensor, pixels: Tensor) -> Tensor:
    """Undistort with OpenCV and at most forty iterations."""
    eye = np.eye(3)
    found = cv2.undistortPoints(
        pixels[0].numpy(), *_in_numpy(K, k), R=eye, P=K[0].numpy(), criteria=FORTY
    )
    return _from_opencv(found)


WAYS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "ours": ours,
    "kornia": by_kornia(5),
    "kornia, 40 steps": by_kornia(40),
    "OpenCV": by_opencv,
    "OpenCV, 40 steps": by_opencv_forty,
}


def rows(asked: Suite) -> Iterator[Row]:
    """Measure every function on every lens."""
    for glass in GLASSES:
        for dtype in (torch.float64, torch.float32):
            for way in ways_for(asked.device):
                yield measured(asked, way, glass, dtype)


def measured(asked: Suite, way: str, glass: Glass, dtype: torch.dtype) -> Row:
    """Measure the time and the error of one function."""
    K, k, pixels = glass.scene(10_000 if asked.quick else POINTS, dtype, asked.device)
    taken = measure(lambda: WAYS[way](K, k, pixels), asked.runs)
    distance = error_px(glass, WAYS[way](K, k, pixels).double().cpu(), pixels.double().cpu())
    return Row(
        way=way,
        lens=glass.name,
        points=pixels.shape[1],
        dtype=str(dtype).removeprefix("torch."),
        milliseconds=1e3 * taken.median,
        spread=1e3 * taken.spread,
        runs=taken.runs,
        worst_px=float(distance.max()),
        share_above_thousandth_px=float((distance > 1e-3).double().mean()),
    )


def error_px(glass: Glass, ideal: Tensor, pixels: Tensor) -> Tensor:
    """Distort again in float64; return the distances of the pixels that the lens can produce."""
    K, k, _ = glass.scene(1, torch.float64, "cpu")
    solvable = undistort_pixels(K, k, pixels).valid
    return (distort_pixels(K, k, ideal) - pixels).norm(dim=-1)[solvable]


def ways_for(device: str) -> list[str]:
    """Return the functions that support a device; OpenCV runs on the CPU only."""
    return [way for way in WAYS if device == "cpu" or "OpenCV" not in way]


def _in_numpy(K: Tensor, k: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return K[0].numpy(), k[0].numpy()


def _from_opencv(found: np.ndarray) -> Tensor:
    return torch.from_numpy(found).reshape(1, -1, 2)


if __name__ == "__main__":
    answer("projection", rows)
