"""Does robust triangulation keep the good sightings, drop the wrong ones, and how fast is it?

Rings of cameras film points of a cube of one metre with noise of 2 px; wrong sightings lie
anywhere in the image. The oracle knows which are wrong. With `--peer-python`, the interpreter of an
environment that has aniposelib, its `triangulate_ransac` answers in the same run, in a process of
its own, on the same pixels.

    python benchmarks/robust.py [--peer-python /path/to/python]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from multiview_geom import (
    Cameras,
    project_points,
    ring_of_cameras,
    triangulate_iterative,
    triangulate_robust,
)

NOISE_PX = 2.0
IMAGE_PX = 1000.0


@dataclass(frozen=True)
class Scene:
    """A ring, true points, what was seen of them, and what of this is wrong."""

    cameras: Cameras
    points: Tensor
    pixels: Tensor
    wrong: Tensor


def filmed(views: int, count: int, wrong_share: float, dtype: torch.dtype = torch.float64) -> Scene:
    """Film random points; replace a share of the sightings by any place in the image."""
    generator = torch.Generator().manual_seed(0)
    cameras = ring_of_cameras(views, 4.5, 1.0, dtype=torch.float64)
    points = torch.rand(count, 3, generator=generator, dtype=torch.float64) - 0.5
    exact = project_points(cameras.projections, points)
    noise = NOISE_PX * torch.randn(exact.shape, generator=generator, dtype=torch.float64)
    anywhere = IMAGE_PX * torch.rand(exact.shape, generator=generator, dtype=torch.float64)
    wrong = torch.rand(exact.shape[:-1], generator=generator) < wrong_share
    pixels = torch.where(wrong[..., None], anywhere, exact + noise)
    return Scene(cameras.to(dtype), points.to(dtype), pixels.to(dtype), wrong)


def error_mm(points: Tensor, scene: Scene) -> Tensor:
    """Return the distances from the truth [mm]."""
    return 1000 * (points - scene.points).square().sum(dim=-1).sqrt()


def print_clean(count: int) -> None:
    """Print what is kept where nothing is wrong."""
    print("No wrong sightings, 5 cameras, 2 px noise")
    print(f"{'threshold':>12s}{'kept':>12s}{'RMS error':>12s}{'with all':>12s}{'excess':>10s}")
    scene = filmed(5, count, 0.0)
    with_all = triangulate_iterative(scene.cameras.projections, scene.pixels)
    best = float(error_mm(with_all, scene).square().mean().sqrt())
    for sigmas in (3.0, 4.0, 5.0):
        found = triangulate_robust(
            scene.cameras.projections, scene.pixels, threshold=sigmas * NOISE_PX
        )
        ours = float(error_mm(found.points, scene).square().mean().sqrt())
        kept = 100 * float(found.inliers.double().mean())
        told = f"{sigmas:9.0f} sd{kept:10.2f} %{ours:9.3f} mm{best:9.3f} mm"
        print(f"{told}{100 * (ours / best - 1):8.2f} %")


def print_wrong(count: int) -> None:
    """Print the error where much is wrong, beside the oracle's."""
    print("\n30 % wrong sightings, threshold of 4 standard deviations")
    print(f"{'cameras':>12s}{'median':>12s}{'oracle':>12s}{'excess':>10s}", end="")
    print(f"{'good kept':>12s}{'wrong kept':>12s}")
    for views in (5, 8, 16):
        scene = filmed(views, count, 0.3)
        P = scene.cameras.projections
        found = triangulate_robust(P, scene.pixels, threshold=4 * NOISE_PX)
        knowing = triangulate_iterative(P, scene.pixels, weights=(~scene.wrong).to(P.dtype))
        ours, oracle = (
            float(error_mm(points, scene).nanmedian()) for points in (found.points, knowing)
        )
        good = 100 * float(found.inliers[~scene.wrong].double().mean())
        wrong = 100 * float(found.inliers[scene.wrong].double().mean())
        told = f"{views:12d}{ours:9.3f} mm{oracle:9.3f} mm{100 * (ours / oracle - 1):8.2f} %"
        print(f"{told}{good:10.2f} %{wrong:10.2f} %")


def print_pairs(count: int) -> None:
    """Print how time grows with the pairs that are tried."""
    print(f"\nTime and the number of pairs tried: {count} points, 30 % wrong, float32, one thread")
    print(f"{'cameras':>12s}{'max_pairs':>12s}{'tried':>12s}{'us / point':>12s}", end="")
    print(f"{'ns / pair, view':>18s}{'median':>12s}")
    for views, limits in ((16, (16, 32, 64, 128)), (64, (64, 128, 256, 512, 1024, 2048))):
        scene = filmed(views, count, 0.3, torch.float32)
        for limit in limits:
            tried = views * min(max(limit // views, 1), views // 2)
            seconds, points = timed(scene, max_pairs=limit)
            each = 1e9 * seconds / (count * tried * views)
            median = float(error_mm(points, scene).nanmedian())
            told = f"{views:12d}{limit:12d}{tried:12d}{1e6 * seconds / count:12.1f}{each:18.2f}"
            print(f"{told}{median:9.3f} mm")


def timed(scene: Scene, max_pairs: int = 128) -> tuple[float, Tensor]:
    """Return the least of three times [s], and the points."""
    seconds = []
    for _ in range(3):
        start = perf_counter()
        found = triangulate_robust(
            scene.cameras.projections, scene.pixels, threshold=4 * NOISE_PX, max_pairs=max_pairs
        )
        seconds.append(perf_counter() - start)
    return min(seconds), found.points


def print_peer(python: Path, count: int) -> None:
    """Print aniposelib's answer to the same pixels, and its time, beside ours."""
    print(f"\naniposelib's triangulate_ransac on {count} points, 5 cameras, 2 px, beside ours")
    print(f"{'wrong':>12s}{'theirs':>12s}{'ours':>12s}{'theirs':>16s}{'ours':>16s}{'faster':>10s}")
    for share in (0.0, 0.2):
        scene = filmed(5, count, share)
        theirs, their_seconds = peer(python, scene)
        many = filmed(5, 100 * count, share)
        seconds, points = timed(many)
        errors = (
            float(error_mm(theirs, scene).nanmedian()),
            float(error_mm(points, many).nanmedian()),
        )
        times = 1e3 * their_seconds / count, 1e3 * seconds / (100 * count)
        told = f"{100 * share:10.0f} %{errors[0]:9.3f} mm{errors[1]:9.3f} mm"
        print(f"{told}{times[0]:10.4f} ms/pt{times[1]:10.4f} ms/pt{times[0] / times[1]:9.0f}x")


def peer(python: Path, scene: Scene) -> tuple[Tensor, float]:
    """Ask aniposelib, in a process of its own environment."""
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder, "request.npz"), Path(folder, "answer.npz")
        np.savez(
            request,
            intrinsics=scene.cameras.intrinsics.numpy(),
            camera_from_world=scene.cameras.camera_from_world.numpy(),
            pixels=scene.pixels.numpy(),
        )
        script = Path(__file__).with_name("peer_aniposelib.py")
        told = subprocess.run(
            [python, script, request, answer], check=True, capture_output=True, text=True
        )
        seconds: float = json.loads(told.stdout.splitlines()[-1])["seconds"]
        return torch.from_numpy(np.load(answer)["points"]), seconds


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--peer-python", type=Path, help="Python of an environment with aniposelib")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print_clean(options.points)
    print_wrong(options.points)
    print_pairs(options.points // 10)
    if options.peer_python is not None:
        print_peer(options.peer_python, options.points // 100)


if __name__ == "__main__":
    sys.exit(main())
