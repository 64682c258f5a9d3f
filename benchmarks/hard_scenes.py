"""Does single precision find the minimum of linear triangulation where that is hard?

Scenes are drawn: 2 to 16 cameras in a fan whose step is between 1e-3 rad and 1 rad, weights over up
to 12 orders of magnitude, a share of the pixels anywhere in the image, an origin up to 1 km away.
The largest error of the points of a scene, relative to 1 m plus their distance from the origin, is
compared with that of a float32 SVD of the same equations; a float64 SVD of them is the truth.

    python benchmarks/hard_scenes.py [--scenes 100000]
"""

import argparse
from math import log

import torch
from findings import Table, keep
from torch import Tensor

from multiview_geom import look_at, project_points, triangulate_dlt, triangulate_dlt_svd

VIEWS = range(2, 17)
BATCH = 500
POINTS = 8
ALLOWED = 4.0
DISTANCE, FOCAL_LENGTH, IMAGE_SIZE = 4.5, 1145.0, 1000.0
STEPS_RAD = (1e-3, 1.0)
ORIGINS_M = (1e-3, 1e3)
WEIGHT_ORDERS = 12.0
WILD_SHARES = (0.0, 0.1, 0.5, 1.0)


def scenes(views: int, count: int, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw projections, pixels and weights of scenes, one per frame."""
    step = log_uniform(STEPS_RAD, count, draw)
    angle = step[:, None] * torch.arange(views)
    place = DISTANCE * torch.stack([angle.cos(), angle.sin(), 0 * angle], dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    camera_from_world = look_at(place, 0 * up, up)
    intrinsics = torch.tensor([FOCAL_LENGTH, FOCAL_LENGTH, 1.0], dtype=torch.float64).diag()
    intrinsics[:2, 2] = IMAGE_SIZE / 2
    projections = intrinsics @ camera_from_world[..., :3, :]
    world = torch.rand(count, POINTS, 3, generator=draw, dtype=torch.float64) - 0.5
    exact = project_points(projections, world)
    noisy = exact + torch.randn(exact.shape, generator=draw, dtype=torch.float64)
    share = torch.tensor(WILD_SHARES)[torch.randint(len(WILD_SHARES), (count,), generator=draw)]
    wild = torch.rand(exact.shape[:-1], generator=draw) < share[:, None, None]
    anywhere = IMAGE_SIZE * torch.rand(exact.shape, generator=draw, dtype=torch.float64)
    orders = WEIGHT_ORDERS * torch.rand(count, 1, 1, generator=draw, dtype=torch.float64)
    weights = 10 ** (-orders * torch.rand(exact.shape[:-1], generator=draw, dtype=torch.float64))
    move = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1, 1)
    move[:, 0, :3, 3] = log_uniform(ORIGINS_M, count, draw)[:, None]
    return projections @ move, torch.where(wild[..., None], anywhere, noisy), weights


def log_uniform(bounds: tuple[float, float], count: int, draw: torch.Generator) -> Tensor:
    """Draw numbers whose logarithm is uniform."""
    low, high = log(bounds[0]), log(bounds[1])
    return (low + (high - low) * torch.rand(count, generator=draw, dtype=torch.float64)).exp()


def errors(projections: Tensor, pixels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return our largest error in each scene, and that of the float32 SVD."""
    # All solve what single precision was given.
    given = projections.float(), pixels.float(), weights.float()
    rig, seen, trust = (each.double() for each in given)
    exact = triangulate_dlt_svd(rig, seen, weights=trust)
    size = 1 + exact.norm(dim=-1)
    ours = triangulate_dlt(given[0], given[1], weights=given[2])
    theirs = triangulate_dlt_svd(given[0], given[1], weights=given[2])
    mine, other = (
        ((found - exact).norm(dim=-1) / size).nan_to_num(torch.inf).amax(dim=-1)
        for found in (ours, theirs)
    )
    return mine, other


def main() -> None:
    """Print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="few scenes, and nothing is saved")
    options = parser.parse_args()
    count = BATCH * len(VIEWS) if options.quick else options.scenes
    draw, found = torch.Generator().manual_seed(0), []
    batches = -(-count // BATCH)
    for batch in range(batches):
        views = VIEWS[batch % len(VIEWS)]
        found.append((views, *errors(*scenes(views, BATCH, draw))))
    columns = (
        "scenes",
        "worst ratio",
        f"above {ALLOWED:g} times",
        "our median",
        "our worst",
        "SVD median",
    )
    table = Table("Error of float32 against the float32 SVD", columns)
    for name, some in (("2 views", VIEWS[:1]), ("3 and 4", VIEWS[1:3]), ("5 to 16", VIEWS[3:])):
        ours = torch.cat([mine for views, mine, _ in found if views in some])
        svd = torch.cat([other for views, _, other in found if views in some])
        ratio = ours / svd
        beyond = float((ratio > ALLOWED).sum())
        table.rows[name] = [
            float(len(ours)),
            float(ratio.max()),
            beyond,
            float(ours.median()),
            float(ours.max()),
            float(svd.median()),
        ]
    table.show()
    if not options.quick:
        keep("hard-scenes", [table])


if __name__ == "__main__":
    main()
