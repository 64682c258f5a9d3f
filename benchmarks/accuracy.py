"""How large is the error of each triangulation, and does its covariance predict the error?

Simulated rigs with a focal length of 1145 px see points of a cube of one meter, with Gaussian noise
of one pixel (five pixels with the baseline of five degrees). Errors are RMS values over the same
points. The optimum is the maximum-likelihood point, to which `refine_points` converges.

    python benchmarks/accuracy.py [--points 20000]
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import radians

import cv2
import numpy as np
import torch
from findings import Table, keep
from measure import RUNS, measure
from torch import Tensor

from multiview_geom import (
    Cameras,
    look_at,
    point_covariance,
    project_points,
    refine_points,
    reprojection_error,
    ring_of_cameras,
    triangulate_dlt,
    triangulate_iterative,
    triangulate_midpoint,
    triangulate_robust,
    triangulate_two_view,
)

FOCAL_LENGTH = 1145.0

SOLVERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "triangulate_dlt": triangulate_dlt,
    "triangulate_midpoint": triangulate_midpoint,
    "triangulate_iterative": triangulate_iterative,
}


@dataclass(frozen=True)
class Scene:
    """A rig, true points and their pixels."""

    name: str
    cameras: Cameras
    points: Tensor
    pixels: Tensor
    noise_px: float


def rigs() -> dict[str, tuple[Cameras, float]]:
    """Return each rig and its noise [px]."""
    return {
        "4-camera ring, 4.5 m": (ring_of_cameras(4, 4.5, 1.0, dtype=torch.float64), 1.0),
        "8-camera ring, 4.5 m": (ring_of_cameras(8, 4.5, 1.0, dtype=torch.float64), 1.0),
        "cameras at 1.5, 3, 6, 9 m": (arc((1.5, 3.0, 6.0, 9.0), step_deg=40.0), 1.0),
        "2 cameras, 90 degrees": (arc((4.5, 4.5), step_deg=90.0), 1.0),
        "2 cameras, 5 degrees": (arc((4.5, 4.5), step_deg=5.0), 5.0),
    }


def arc(distances: tuple[float, ...], step_deg: float) -> Cameras:
    """Place cameras at given distances from the origin, at equal angles, all looking at it."""
    distance = torch.tensor(distances, dtype=torch.float64)
    angle = torch.arange(len(distances), dtype=torch.float64) * radians(step_deg)
    position = torch.stack([angle.cos(), angle.sin(), 0 * angle], dim=-1) * distance[:, None]
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    intrinsics = torch.tensor([FOCAL_LENGTH, FOCAL_LENGTH, 1.0], dtype=torch.float64).diag()
    return Cameras(intrinsics.repeat(len(distances), 1, 1), look_at(position, 0 * up, up))


def filmed(
    name: str, cameras: Cameras, noise_px: float, count: int, weights: Tensor | None = None
) -> Scene:
    """Project random points and add Gaussian noise with variance 1 / weight."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(count, 3, generator=generator, dtype=torch.float64) - 0.5
    exact = project_points(cameras.projections, points)
    noise = noise_px * torch.randn(exact.shape, generator=generator, dtype=torch.float64)
    if weights is not None:
        noise = noise / weights.sqrt()[:, None, None]
    return Scene(name, cameras, points, exact + noise, noise_px)


def rms_mm(points: Tensor, scene: Scene) -> float:
    """Return the root mean square distance from the truth [mm]."""
    squared = (points - scene.points).square().sum(dim=-1)
    return 1000 * float(squared.mean().sqrt())


def errors(count: int) -> Table:
    """Compare the error of each solver with that of the optimum."""
    columns = [f"{name} [mm]" for name in [*SOLVERS, "optimum"]]
    table = Table("RMS error", (*columns, "iterative over optimum [%]", "converged [%]"))
    for name, (cameras, noise_px) in rigs().items():
        scene = filmed(name, cameras, noise_px, count)
        found = {key: solve(cameras.projections, scene.pixels) for key, solve in SOLVERS.items()}
        best = refine_points(cameras, found["triangulate_iterative"], scene.pixels)
        off = [rms_mm(points, scene) for points in (*found.values(), best.points)]
        excess = 100 * (rms_mm(found["triangulate_iterative"], scene) / off[-1] - 1)
        table.rows[name] = [*off, excess, 100 * float(best.converged.double().mean())]
    return table


def two_view(count: int) -> Table:
    """Compare the cost of `triangulate_two_view` with that of OpenCV's `correctMatches`."""
    table = Table("triangulate_two_view", ("largest relative excess over correctMatches + DLT",))
    for name, (cameras, noise_px) in rigs().items():
        scene = filmed(name, cameras.select([0, 1]), noise_px, count)
        projections = scene.cameras.projections
        ours, theirs = (
            reprojection_error(projections, points, scene.pixels).square().sum(dim=0)
            for points in (
                triangulate_two_view(projections, scene.pixels),
                opencv_two_view(projections, scene.pixels),
            )
        )
        table.rows[name] = [float((ours / theirs - 1).max())]
    return table


def times(count: int, runs: int) -> Table:
    """Time each solver on a ring of four cameras in float32, on one thread."""
    torch.set_num_threads(1)
    scene = filmed("", ring_of_cameras(4, 4.5, 1.0, dtype=torch.float64), 1.0, count)
    cameras, pixels = scene.cameras.to(torch.float32), scene.pixels.float()
    start = triangulate_iterative(cameras.projections, pixels)
    solvers: dict[str, Callable[[], object]] = {
        name: partial(solve, cameras.projections, pixels) for name, solve in SOLVERS.items()
    }
    solvers["triangulate_robust"] = lambda: triangulate_robust(
        cameras.projections, pixels, threshold=4.0
    )
    solvers["refine_points"] = lambda: refine_points(cameras, start, pixels)
    solvers["point_covariance"] = lambda: point_covariance(cameras.projections, start, sigma=1.0)
    table = Table(f"4 cameras, {count} points, float32, one thread", ("us / point", "of DLT"))
    for name, solve in solvers.items():
        taken = 1e6 * measure(solve, runs).median / count
        first = next(iter(table.rows.values()), [taken])[0]
        table.rows[name] = [taken, taken / first]
    return table


def opencv_two_view(projections: Tensor, pixels: Tensor) -> Tensor:
    """Correct the matches with Hartley and Sturm's method, then triangulate linearly."""
    first, second = projections.numpy()
    x, y, z = second @ np.linalg.svd(first)[2][-1]
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    fundamental = skew @ second @ np.linalg.pinv(first)
    matches = cv2.correctMatches(
        fundamental / np.abs(fundamental).max(), pixels[:1].numpy(), pixels[1:].numpy()
    )
    left, right = (np.ascontiguousarray(match[0].T) for match in matches)
    homogeneous = cv2.triangulatePoints(first, second, left, right)
    return torch.from_numpy((homogeneous[:3] / homogeneous[3]).T)


def covariances(count: int) -> Table:
    """Measure the mean squared Mahalanobis distance of simulated errors; the exact value is 3."""
    columns = ("equal weights", "unequal", "predicted RMS [mm]", "observed RMS [mm]")
    table = Table(f"Mean squared Mahalanobis distance of {count} errors", columns)
    for name, (cameras, _) in rigs().items():
        equal = torch.ones(cameras.views, dtype=torch.float64)
        unequal = torch.tensor([1.0, 0.25, 4.0, 0.5] * 2, dtype=torch.float64)[: cameras.views]
        squared, predicted, observed = mahalanobis(name, cameras, equal, count)
        table.rows[name] = [
            squared,
            mahalanobis(name, cameras, unequal, count)[0],
            predicted,
            observed,
        ]
    return table


def mahalanobis(
    name: str, cameras: Cameras, weights: Tensor, count: int
) -> tuple[float, float, float]:
    """Return the mean squared distance, and the predicted and the observed RMS error [mm]."""
    scene = filmed(name, cameras, 1.0, count, weights)
    trust = weights[:, None].expand(-1, count)
    found = triangulate_iterative(cameras.projections, scene.pixels, weights=trust)
    covariance = point_covariance(cameras.projections, found, sigma=1.0, weights=trust)
    error = (found - scene.points)[..., None]
    squared = (error.mT @ torch.linalg.solve(covariance, error)).mean()
    predicted = covariance.diagonal(dim1=-2, dim2=-1).sum(dim=-1).mean().sqrt()
    return float(squared), 1000 * float(predicted), rms_mm(found, scene)


def main() -> None:
    """Print and save the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="a small run that saves nothing")
    options = parser.parse_args()
    count = 500 if options.quick else options.points
    runs = 1 if options.quick else RUNS
    tables = [errors(count), two_view(count), covariances(5 * count), times(count, runs)]
    for table in tables:
        table.show()
    if not options.quick:
        keep("accuracy", tables)


if __name__ == "__main__":
    main()
