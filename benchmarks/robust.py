"""Does robust triangulation keep the correct detections and remove the wrong ones, and how fast?

Rings of cameras see points of a cube of one meter, with 2 px of noise; wrong detections are uniform
in the image. The oracle uses exactly the correct detections. `--peer-python` is the interpreter of
an environment with aniposelib: its `triangulate_ransac` then runs on the same pixels, in a process
of its own.

    python benchmarks/robust.py [--peer-python /path/to/python]
"""

import argparse
import json
import subprocess
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from findings import Table, keep
from measure import RUNS, measure
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
    """A ring of cameras, true points, their pixels, and which pixels are wrong."""

    cameras: Cameras
    points: Tensor
    pixels: Tensor
    wrong: Tensor


def filmed(views: int, count: int, wrong_share: float, dtype: torch.dtype = torch.float64) -> Scene:
    """Project random points; replace a share of the pixels by random ones."""
    generator = torch.Generator().manual_seed(0)
    cameras = ring_of_cameras(views, 4.5, 1.0, dtype=torch.float64)
    points = torch.rand(count, 3, generator=generator, dtype=torch.float64) - 0.5
    exact = project_points(cameras.projections, points)
    noise = NOISE_PX * torch.randn(exact.shape, generator=generator, dtype=torch.float64)
    anywhere = IMAGE_PX * torch.rand(exact.shape, generator=generator, dtype=torch.float64)
    wrong = torch.rand(exact.shape[:-1], generator=generator) < wrong_share
    pixels = torch.where(wrong[..., None], anywhere, exact + noise)
    return Scene(cameras.to(dtype), points.to(dtype), pixels.to(dtype), wrong)


def rms_mm(points: Tensor, scene: Scene) -> float:
    """Return the root mean square distance from the truth [mm]."""
    return 1000 * float((points - scene.points).square().sum(dim=-1).mean().sqrt())


def median_mm(points: Tensor, scene: Scene) -> float:
    """Return the median distance from the truth of the points that were found [mm]."""
    return 1000 * float((points - scene.points).square().sum(dim=-1).sqrt().nanmedian())


def clean(count: int) -> Table:
    """Measure the share of detections that is kept if none is wrong."""
    columns = ("kept [%]", "RMS error [mm]", "with all [mm]", "excess [%]")
    table = Table("Nothing wrong, 5 cameras: threshold", columns)
    scene = filmed(5, count, 0.0)
    P = scene.cameras.projections
    best = rms_mm(triangulate_iterative(P, scene.pixels), scene)
    for deviations in (3, 4, 5):
        found = triangulate_robust(P, scene.pixels, threshold=deviations * NOISE_PX)
        ours, kept = rms_mm(found.points, scene), float(found.inliers.double().mean())
        row = [100 * kept, ours, best, 100 * (ours / best - 1)]
        table.rows[f"{deviations} standard deviations"] = row
    return table


def wrong(count: int) -> Table:
    """Compare the error with 30 % wrong detections with that of the oracle."""
    columns = ("median [mm]", "oracle [mm]", "excess [%]", "good kept [%]", "wrong kept [%]")
    table = Table("30 % wrong, threshold of 4 standard deviations", columns)
    for views in (5, 8, 16):
        scene = filmed(views, count, 0.3)
        P = scene.cameras.projections
        found = triangulate_robust(P, scene.pixels, threshold=4 * NOISE_PX)
        knowing = triangulate_iterative(P, scene.pixels, weights=(~scene.wrong).to(P.dtype))
        ours, oracle = median_mm(found.points, scene), median_mm(knowing, scene)
        kept = [found.inliers[which].double().mean() for which in (~scene.wrong, scene.wrong)]
        shares = [100 * float(share) for share in kept]
        table.rows[f"{views} cameras"] = [ours, oracle, 100 * (ours / oracle - 1), *shares]
    return table


def pairs(count: int) -> Table:
    """Measure the time for several numbers of view pairs."""
    columns = ("us / point", "ns / pair and view", "median [mm]")
    table = Table(f"Pairs tried: {count} points, 30 % wrong, float32, one thread", columns)
    for views, limits in ((16, (16, 32, 64, 128)), (64, (64, 128, 256, 512, 1024, 2048))):
        scene = filmed(views, count, 0.3, torch.float32)
        for limit in limits:
            seconds, points = timed(scene, max_pairs=limit)
            each = 1e9 * seconds / (count * limit * views)
            row = [1e6 * seconds / count, each, median_mm(points, scene)]
            table.rows[f"{views} cameras, {limit} pairs"] = row
    return table


def timed(scene: Scene, max_pairs: int = 128) -> tuple[float, Tensor]:
    """Return the median time [s], and the points."""
    solve = partial(
        triangulate_robust,
        scene.cameras.projections,
        scene.pixels,
        threshold=4 * NOISE_PX,
        max_pairs=max_pairs,
    )
    return measure(solve, RUNS).median, solve().points


def beside_peer(python: Path, count: int) -> Table:
    """Compare with aniposelib on the same pixels."""
    columns = ("theirs [mm]", "ours [mm]", "theirs [us / point]", "ours [us / point]", "faster [x]")
    table = Table(f"aniposelib's triangulate_ransac, 5 cameras, {count} points", columns)
    for share in (0.0, 0.2):
        scene, many = filmed(5, count, share), filmed(5, 100 * count, share)
        theirs, their_seconds = peer(python, scene)
        our_seconds, points = timed(many)
        slow, fast = 1e6 * their_seconds / count, 1e6 * our_seconds / (100 * count)
        medians = [median_mm(theirs, scene), median_mm(points, many)]
        table.rows[f"{100 * share:.0f} % wrong"] = [*medians, slow, fast, slow / fast]
    return table


def peer(python: Path, scene: Scene) -> tuple[Tensor, float]:
    """Run aniposelib in a process of its own environment."""
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder, "request.npz"), Path(folder, "answer.npz")
        np.savez(
            request,
            intrinsics=scene.cameras.intrinsics.numpy(),
            camera_from_world=scene.cameras.camera_from_world.numpy(),
            pixels=scene.pixels.numpy(),
        )
        script = Path(__file__).with_name("peer_aniposelib.py")
        ended = subprocess.run(
            [python, script, request, answer], check=True, capture_output=True, text=True
        )
        seconds: float = json.loads(ended.stdout.splitlines()[-1])["seconds"]
        return torch.from_numpy(np.load(answer)["points"]), seconds


def main() -> None:
    """Print and save the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--peer-python", type=Path, help="Python of an environment with aniposelib")
    parser.add_argument("--quick", action="store_true", help="a small run that saves nothing")
    options = parser.parse_args()
    count = 500 if options.quick else options.points
    torch.set_num_threads(1)
    tables = [clean(count), wrong(count), pairs(count // 10)]
    if options.peer_python is not None:
        tables.append(beside_peer(options.peer_python, count // 100))
    for table in tables:
        table.show()
    if not options.quick:
        keep("robust", tables)


if __name__ == "__main__":
    main()
