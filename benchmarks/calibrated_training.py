"""What does a lifter lose if its cameras were calibrated from the people whom they saw?

A drawn rig of four cameras with the lenses of Human3.6M films motion capture, with the default
noise of the simulated detector. The cameras are calibrated from the training clips, with given
intrinsics and the distance of two cameras. One lifter is trained with these cameras, one with the
true ones; settings and seeds are the same. Both are judged against the truth, on clips of other
styles of motion. No truth is used in training.

    python benchmarks/calibrated_training.py --mocap ../shared/data/mocap-bvh
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from calibration import drawn_rig
from findings import Table, keep

from multiview_geom import Cameras, align_rigs, rotation_to_vector, save_cameras, transform_cameras
from selfsup_lifting.calibration_settings import CalibrationSettings, Start
from selfsup_lifting.config import Config
from selfsup_lifting.evaluation.evaluate import evaluate_lifter
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recipes import PRESETS, RECIPES
from selfsup_lifting.recording import Recording
from selfsup_lifting.self_calibration.solve import calibrate_cameras
from selfsup_lifting.training.loop import train

KEPT = ("happy", "proud", "sad")
COLUMNS = (
    "P-MPJPE [mm]",
    "standard deviation",
    "MPJPE [mm]",
    "cameras turned [deg]",
    "cameras moved [mm]",
)


def filmed(mocap: Path, seed: int) -> list[Recording]:
    """Film all clips with a drawn rig."""
    rig = drawn_rig("4 like Human3.6M", torch.Generator().manual_seed(seed))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rig.toml"
        save_cameras(path, rig)
        return read_recordings([f"mocap:{mocap}"], ReadSettings(cameras=path, unit="m"))


def calibrated(recordings: list[Recording]) -> Cameras:
    """Calibrate the cameras of recordings, of which the poses are not used."""
    true = recordings[0].cameras
    first, second = true.names[:2]
    apart = float((true.centers[0] - true.centers[1]).norm())
    nowhere = torch.eye(4, dtype=torch.float64).repeat(true.views, 1, 1)
    blind = [
        replace(one, cameras=replace(true, camera_from_world=nowhere), truth=None)
        for one in recordings
    ]
    settings = CalibrationSettings(distance=f"{first}-{second}={apart:.3f}")
    return calibrate_cameras(blind, settings, Start.INTRINSICS).cameras


def row(
    config: Config, training: list[Recording], kept: list[Recording], seeds: int
) -> list[float]:
    """Train with some seeds, and return the errors on the kept clips."""
    aligned, plain = [], []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as run:
            lifter = train(replace(config, seed=seed), training, Path(run) / "run")
        total = evaluate_lifter(lifter, kept).total
        aligned.append(total.p_mpjpe_mm)
        plain.append(total.mpjpe_mm)
        print(seed, total.p_mpjpe_mm, total.mpjpe_mm, flush=True)
    spread = torch.tensor(aligned).std(correction=1) if seeds > 1 else torch.tensor(torch.nan)
    return [sum(aligned) / seeds, float(spread), sum(plain) / seeds]


def main() -> None:
    """Print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mocap", type=Path, required=True)
    parser.add_argument("--preset", default="small", choices=tuple(PRESETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="saves nothing")
    options = parser.parse_args()
    config = RECIPES["paper"](PRESETS[options.preset](Config()))
    recordings = filmed(options.mocap, seed=0)
    kept = [one for one in recordings if any(style in one.name for style in KEPT)]
    training = [one for one in recordings if not any(style in one.name for style in KEPT)]
    true, found = training[0].cameras, calibrated(training)
    moved = transform_cameras(found, align_rigs(found, true))
    turned = moved.camera_from_world[:, :3, :3] @ true.camera_from_world[:, :3, :3].mT
    off = [
        float(rotation_to_vector(turned).norm(dim=-1).rad2deg().median()),
        1000 * float((moved.centers - true.centers).norm(dim=-1).median()),
    ]
    with_found = [replace(one, cameras=found, truth=None) for one in training]
    blind = [replace(one, truth=None) for one in training]
    title = f"{len(kept)} kept clips, preset {options.preset}, {options.seeds} seeds"
    table = Table(title, COLUMNS)
    table.rows["true cameras"] = [*row(config, blind, kept, options.seeds), 0.0, 0.0]
    table.rows["cameras from people"] = [*row(config, with_found, kept, options.seeds), *off]
    table.show()
    if not options.quick:
        keep("calibrated_training", [table])


if __name__ == "__main__":
    main()
