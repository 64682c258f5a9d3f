"""How well are rigs calibrated from people who were seen by a noisy detector, and how fast?

Motion capture is filmed by drawn rigs: four cameras with the lenses of Human3.6M, or eight in a
ring, with 3 px of noise, 5 % outliers and 20 % missing detections. The poses are not given. The
table compares the cameras with the true ones after a similarity, and the 3D joints with those that
the true cameras give from the same pixels. Times are those of the processor, with one thread:
other work on the machine does not count. aniposelib-pytorch needs an environment of its own, and an
option names its interpreter; it gets the same pixels, one rig after the other.

    python benchmarks/calibration.py --mocap ../shared/data/mocap-bvh [--aniposelib-pytorch PYTHON]
"""

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from math import cos, sin, tau
from pathlib import Path
from time import process_time

import numpy as np
import torch
from findings import Table, keep
from torch import Generator, Tensor

from multiview_geom import (
    Cameras,
    align_rigs,
    align_similarity,
    calibrate_extrinsics,
    calibrate_focal_lengths,
    look_at,
    ring_of_cameras,
    rotation_to_vector,
    transform_cameras,
    triangulate_robust,
)
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings

NOISE_PX, OUTLIERS, MISSING, OUTLIER_PX = 3.0, 0.05, 0.2, 60.0
CLIPS, EVERY = 4, 2
"""Number of clips that a rig films, and the step between frames: 15 a second."""
SIZES = (
    *((4, count) for count in (250, 1000, 4000, 16000)),
    *((views, 1000) for views in (2, 8, 16)),
)
FAILED_DEG, FAILED_MM = 3.0, 100.0
"""A rig failed if a camera is farther off than this, or was not placed."""
HUMAN36M_LENS = (-0.2, 0.24, -0.0002, -0.0009, -0.002)
COLUMNS = (
    "rotation, median [deg]",
    "position, median [mm]",
    "rotation, worst [deg]",
    "position, worst [mm]",
    "joints / with true cameras",
    "failed",
    "rigs",
    "processor [s], median",
)


@dataclass(frozen=True)
class Scene:
    """A drawn rig, the joints that it filmed, and the detections."""

    cameras: Cameras
    joints: Tensor
    pixels: Tensor


@dataclass(frozen=True)
class Score:
    """How far a calibrated rig is from the truth."""

    rotations_deg: Tensor
    positions_mm: Tensor
    joint_ratio: float
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether a camera is missing, or far off."""
        worst = (self.rotations_deg.amax() < FAILED_DEG) & (self.positions_mm.amax() < FAILED_MM)
        return not bool(worst)


def drawn_rig(kind: str, generator: Generator) -> Cameras:
    """Draw four cameras in the corners of a room, or eight in a ring."""
    views = {"4 like Human3.6M": 4, "8 in a ring": 8}[kind]

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(views, generator=generator, dtype=torch.float64)

    angle = tau * (torch.arange(views) + 0.5 + between(-0.15, 0.15)) / views
    radius, height = between(4.0, 5.5), between(1.0, 2.5)
    position = torch.stack([radius * angle.cos(), radius * angle.sin(), height], dim=-1)
    target = torch.stack([between(-0.3, 0.3), between(-0.3, 0.3), between(0.7, 1.1)], dim=-1)
    pose = look_at(position, target, torch.tensor([0.0, 0.0, 1.0]).double().expand(views, 3))
    K = torch.eye(3, dtype=torch.float64).repeat(views, 1, 1)
    K[:, [0, 1], [0, 1]] = between(1100.0, 1200.0)[:, None]
    size = torch.tensor([1000, 1000]).repeat(views, 1)
    K[:, :2, 2] = (size - 1) / 2 + between(-15.0, 15.0)[:, None]
    lens = torch.tensor(HUMAN36M_LENS, dtype=torch.float64).repeat(views, 1)
    return Cameras(K, pose, lens, size)


def filmed(kind: str, seed: int, clips: list[Tensor]) -> Scene:
    """Film some clips, each turned and moved on the floor, and spoil the detections."""
    generator = Generator().manual_seed(seed)
    cameras = drawn_rig(kind, generator)
    chosen = torch.randperm(len(clips), generator=generator)[:CLIPS]
    joints = torch.cat([_on_the_floor(clips[at], generator) for at in chosen])
    seen = cameras.project(joints.flatten(0, 1))
    pixels = seen.pixels.unflatten(1, joints.shape[:2]).movedim(0, 1)
    shape = pixels.shape[:-1]
    noise = torch.randn(pixels.shape, generator=generator, dtype=torch.float64)
    chance = torch.rand(shape, generator=generator)
    deviation = torch.where(chance < OUTLIERS, OUTLIER_PX, NOISE_PX)
    inside = ((pixels > -0.5) & (pixels < 999.5)).all(dim=-1)
    lost = torch.rand(shape, generator=generator) < MISSING
    pixels = torch.where(
        (inside & ~lost)[..., None], pixels + deviation[..., None] * noise, torch.nan
    )
    return Scene(cameras, joints, pixels)


def _on_the_floor(clip: Tensor, generator: Generator) -> Tensor:
    angle, x, y = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    c, s = cos(tau * angle), sin(tau * angle)
    turn = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    return clip @ turn.mT + torch.tensor([1.4 * x - 0.7, 1.4 * y - 0.7, 0.0], dtype=torch.float64)


def score(scene: Scene, found: Cameras, seconds: float) -> Score:
    """Compare a rig with the truth, after the similarity that aligns the cameras."""
    truth = scene.cameras
    if not found.camera_from_world.isfinite().all():
        missing = torch.full((truth.views,), torch.inf, dtype=torch.float64)
        return Score(missing, missing, torch.inf, seconds)
    moved = transform_cameras(found, align_rigs(found, truth))
    turn = moved.camera_from_world[:, :3, :3] @ truth.camera_from_world[:, :3, :3].mT
    positions = 1000 * (moved.centers - truth.centers).norm(dim=-1)
    ratio = _joint_error(scene, moved) / _joint_error(scene, truth)
    return Score(rotation_to_vector(turn).norm(dim=-1).rad2deg(), positions, ratio, seconds)


def _joint_error(scene: Scene, cameras: Cameras) -> float:
    """Return the mean distance of triangulated joints from the truth, after a similarity."""
    ideal = cameras.undistort(scene.pixels).pixels
    points = triangulate_robust(cameras.projections, ideal, threshold=4 * NOISE_PX).points
    known = points.isfinite().all(dim=-1)
    points, truth = points[known], scene.joints[known]
    near = align_similarity(points, truth, weights=((points - truth).norm(dim=-1) < 0.2).double())
    return float((near.apply(points) - truth).norm(dim=-1).median())


def ours(scene: Scene) -> tuple[Cameras, float]:
    """Calibrate with known intrinsics."""
    start = process_time()
    found = calibrate_extrinsics(scene.cameras, scene.pixels).cameras
    return found, process_time() - start


def ours_without_focal_lengths(scene: Scene) -> tuple[Cameras, float]:
    """Calibrate with known image sizes only."""
    start = process_time()
    found = calibrate_focal_lengths(scene.cameras, scene.pixels).cameras
    return found, process_time() - start


def theirs(python: Path, scene: Scene) -> tuple[Cameras, float]:
    """Calibrate with aniposelib-pytorch, in a process of its own."""
    frames, views, joints, _ = scene.pixels.shape
    cameras = scene.cameras
    request = {
        "threads": torch.get_num_threads(),
        "pixels": scene.pixels.movedim(0, 1).reshape(views, frames * joints, 2).numpy(),
        "frames": np.repeat(np.arange(frames), joints),
        "intrinsics": cameras.intrinsics.numpy(),
        "distortion": cameras.distortion.numpy(),
        "image_size": cameras.image_size.numpy(),
    }
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("scene.npz", "answer.npz")]
        np.savez(files[0], **request)
        subprocess.run([python, Path(__file__).parent / "peer_calibration.py", *files], check=True)
        answer = np.load(files[1])
        poses, seconds = torch.from_numpy(answer["camera_from_world"]), float(answer["seconds"])
    return Cameras(cameras.intrinsics, poses, cameras.distortion, cameras.image_size), seconds


def row(scores: list[Score]) -> list[float]:
    """Summarize the scores of several rigs; medians and worst values of those that did not fail."""
    good = [one for one in scores if not one.failed]
    failed = len(scores) - len(good)
    seconds = float(torch.tensor([one.seconds for one in scores]).median())
    if not good:
        return [torch.nan] * 5 + [failed, len(scores), seconds]
    rotations = torch.cat([one.rotations_deg for one in good])
    positions = torch.cat([one.positions_mm for one in good])
    ratio = torch.tensor([one.joint_ratio for one in good]).median()
    numbers = (rotations.median(), positions.median(), rotations.max(), positions.max(), ratio)
    return [*map(float, numbers), failed, len(scores), seconds]


def simulated(options: argparse.Namespace) -> Table:
    """Compare the ways on the drawn rigs."""
    recordings = read_recordings([f"mocap:{options.mocap}"], ReadSettings())
    clips = [one.truth[::EVERY].double() for one in recordings if one.truth is not None]
    ways: dict[str, Callable[[Scene], tuple[Cameras, float]]] = {"ours": ours}
    rigs = {"ours": options.rigs, "ours, unknown focal lengths": options.focal_rigs}
    ways["ours, unknown focal lengths"] = ours_without_focal_lengths
    if options.aniposelib_pytorch is not None:
        ways["aniposelib-pytorch"] = lambda scene: theirs(options.aniposelib_pytorch, scene)
        rigs["aniposelib-pytorch"] = options.peer_rigs
    table = Table("Drawn rigs: 3 px noise, 5 % outliers, 20 % missing", COLUMNS)
    for kind in ("4 like Human3.6M", "8 in a ring"):
        scenes = [filmed(kind, seed, clips) for seed in range(options.rigs // 2)]
        ours(scenes[0])  # compiles what is compiled
        scores: dict[str, list[Score]] = {name: [] for name in ways}
        for name, solve in ways.items():
            for seed, scene in enumerate(scenes[: rigs[name] // 2]):
                scores[name].append(score(scene, *solve(scene)))
                print(name, kind, seed, scores[name][-1], flush=True)
            table.rows[f"{kind}, {name}"] = row(scores[name])
        if 0 < (count := len(scores.get("aniposelib-pytorch", []))) < len(scenes):
            table.rows[f"{kind}, ours on these rigs"] = row(scores["ours"][:count])
    return table


def growth() -> Table:
    """Measure the time against frames and cameras, with 17 points a frame."""
    table = Table("Time against frames and cameras, 17 points a frame", ("processor [s]",))
    for views, frames in SIZES:
        generator = Generator().manual_seed(0)
        rig = ring_of_cameras(max(views, 3), 4.5, 1.5, dtype=torch.float64).select(range(views))
        walk = 0.02 * torch.randn(frames, 1, 3, generator=generator, dtype=torch.float64)
        points = torch.rand(1, 17, 3, generator=generator, dtype=torch.float64) - 0.5
        points = points + walk.cumsum(dim=0).clamp(-1.0, 1.0)
        points = points + 0.1 * torch.randn(points.shape, generator=generator, dtype=torch.float64)
        pixels = rig.project(points.flatten(0, 1)).pixels.unflatten(1, points.shape[:2])
        pixels = pixels + NOISE_PX * torch.randn(pixels.shape, generator=generator).double()
        start = process_time()
        calibrate_extrinsics(rig, pixels.movedim(0, 1))
        table.rows[f"{views} cameras, {frames} frames"] = [process_time() - start]
    return table


def main() -> None:
    """Print and save the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mocap", type=Path, required=True)
    parser.add_argument("--aniposelib-pytorch", type=Path)
    parser.add_argument("--rigs", type=int, default=20)
    parser.add_argument("--peer-rigs", type=int, default=20, help="rigs that the peer calibrates")
    parser.add_argument("--focal-rigs", type=int, default=20, help="rigs without focal lengths")
    parser.add_argument("--quick", action="store_true", help="saves nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tables = [simulated(options), growth()]
    for table in tables:
        table.show()
    if not options.quick:
        keep("calibration", tables)


if __name__ == "__main__":
    main()
