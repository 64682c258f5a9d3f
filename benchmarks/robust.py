"""Does robust triangulation keep the correct detections and remove the wrong ones, and how fast?

Rings of cameras see points of a cube of one meter, with 2 px of noise; wrong detections are uniform
in the image. The oracle uses exactly the correct detections. aniposelib and aniposelib-pytorch need
environments of their own; an option names the interpreter of each. They run on the same pixels in a
process of their own, in turn with us.

    python benchmarks/robust.py [--aniposelib PYTHON] [--aniposelib-pytorch PYTHON]
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import torch
from findings import Table, keep
from measure import RUNS, measure
from peer_process import installed_version, take_turns
from torch import Tensor

from multiview_geom import (
    Cameras,
    project_points,
    ring_of_cameras,
    triangulate_dlt,
    triangulate_iterative,
    triangulate_robust,
)

NOISE_PX = 2.0
IMAGE_PX = 1000.0
COMPARED = (
    "theirs [us / point]",
    "theirs +-",
    "ours [us / point]",
    "ours +-",
    "faster [x]",
    "their median [mm]",
    "our median [mm]",
    "their p99 [mm]",
    "our p99 [mm]",
    "they found [%]",
    "we found [%]",
)


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


def pairs(count: int, runs: int) -> Table:
    """Measure the time for several numbers of view pairs."""
    columns = ("us / point", "ns / pair and view", "median [mm]")
    table = Table(f"Pairs tried: {count} points, 30 % wrong, float32, one thread", columns)
    for views, limits in ((16, (16, 32, 64, 128)), (64, (64, 128, 256, 512, 1024, 2048))):
        scene = filmed(views, count, 0.3, torch.float32)
        for limit in limits:
            seconds, points = timed(scene, limit, runs)
            each = 1e9 * seconds / (count * limit * views)
            row = [1e6 * seconds / count, each, median_mm(points, scene)]
            table.rows[f"{views} cameras, {limit} pairs"] = row
    return table


def timed(scene: Scene, max_pairs: int, runs: int) -> tuple[float, Tensor]:
    """Return the median time [s], and the points."""
    solve = partial(
        triangulate_robust,
        scene.cameras.projections,
        scene.pixels,
        threshold=4 * NOISE_PX,
        max_pairs=max_pairs,
    )
    return measure(solve, runs).median, solve().points


def beside_aniposelib(python: Path, count: int) -> Table:
    """Compare with `triangulate_ransac` of aniposelib."""
    version = installed_version(python, "aniposelib")
    table = Table(f"aniposelib {version}, triangulate_ransac, 5 cameras, {count} points", COMPARED)
    for share in (0.0, 0.2):
        scene = filmed(5, count, share)
        row = compared(python, "peer_aniposelib.py", "robust", scene)
        table.rows[f"{100 * share:.0f} % wrong"] = row
    return table


def beside_aniposelib_pytorch(python: Path, count: int) -> Table:
    """Compare the robust triangulation, and the linear one with its gradient."""
    version = installed_version(python, "aniposelib-pytorch")
    table = Table(f"aniposelib-pytorch {version}, {count} points", COMPARED)
    for task, share in (("robust", 0.3), ("linear", 0.0), ("linear, gradient", 0.0)):
        for views, dtype in product((5, 16), (torch.float32, torch.float64)):
            scene = filmed(views, count, share, dtype)
            row = compared(python, "peer_aniposelib_pytorch.py", task, scene)
            table.rows[f"{task}, {views} cameras, {str(dtype).removeprefix('torch.')}"] = row
    return table


def compared(python: Path, script: str, task: str, scene: Scene) -> list[float]:
    """Solve a scene in turn with a peer; errors are those of the points that both found."""
    P, pixels = scene.cameras.projections, scene.pixels
    request = {
        "task": task,
        "threshold": 4 * NOISE_PX,
        "intrinsics": scene.cameras.intrinsics.double().numpy(),
        "camera_from_world": scene.cameras.camera_from_world.double().numpy(),
        "pixels": pixels.numpy(),
    }
    leaf = pixels.clone().requires_grad_()
    solvers: dict[str, Callable[[], Tensor]] = {
        "robust": lambda: triangulate_robust(P, pixels, threshold=4 * NOISE_PX).points,
        "linear": lambda: triangulate_dlt(P, pixels),
        "linear, gradient": lambda: torch.autograd.grad(triangulate_dlt(P, leaf).sum(), leaf)[0],
    }
    theirs, their_time, our_time = take_turns(python, script, request, solvers[task], RUNS)
    ours = solvers[task.removesuffix(", gradient")]()
    errors = torch.stack([(found - scene.points).double().norm(dim=-1) for found in (theirs, ours)])
    both = 1000 * errors[:, errors.isfinite().all(dim=0)]
    times = [
        1e6 * time / len(ours) for t in (their_time, our_time) for time in (t.median, t.spread)
    ]
    medians, tails = both.median(dim=1).values, both.quantile(0.99, dim=1)
    found = 100 * errors.isfinite().double().mean(dim=1)
    shown = torch.cat([medians, tails, found]).tolist()
    return [*times, their_time.median / our_time.median, *shown]


# Each peer's table, and the divisor of its number of points: aniposelib takes 60 ms for a point.
PEERS = {
    "aniposelib": (beside_aniposelib, 200),
    "aniposelib-pytorch": (beside_aniposelib_pytorch, 1),
}


def main() -> None:
    """Print and save the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=20_000)
    for peer in PEERS:
        parser.add_argument(f"--{peer}", type=Path, help=f"Python of an environment with {peer}")
    parser.add_argument("--quick", action="store_true", help="a small run that saves nothing")
    options = parser.parse_args()
    count = 500 if options.quick else options.points
    torch.set_num_threads(1)
    runs = 1 if options.quick else RUNS
    tables = [clean(count), wrong(count), pairs(count // 10, runs)]
    for peer, (compare, share) in PEERS.items():
        python = getattr(options, peer.replace("-", "_"))
        if python is None:
            print(f"No rows of {peer}: name the Python of its environment with --{peer}")
        else:
            tables.append(compare(python, count // share))
    for table in tables:
        table.show()
    if not options.quick:
        keep("robust", tables)


if __name__ == "__main__":
    main()
