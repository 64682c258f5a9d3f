"""Draw a rig that was calibrated from image sizes, and a pose of a lifter trained with it.

Run from the checkout: python docs/figures/uncalibrated_rig.py
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import torch

mpl.use("Agg")

import matplotlib.pyplot as plt

from multiview_geom import align_rigs, camera_to_world, transform_cameras
from selfsup_lifting import Config, ReadSettings, calibrate_cameras, lift, read_recordings, train
from selfsup_lifting.calibration_settings import CalibrationSettings, Start
from selfsup_lifting.plots import draw_keypoints, draw_rig_from_above, draw_skeleton
from selfsup_lifting.recipes import demo, paper
from selfsup_lifting.training.losses import rotation_part

FRAME, WINDOW = 60, 250


def main() -> None:
    """Calibrate, train, and draw."""
    recordings = read_recordings(["synthetic"], ReadSettings(fps=10.0))
    true = recordings[0].cameras
    distance = float((true.centers[0] - true.centers[1]).norm())
    settings = CalibrationSettings(distance=f"cam_1-cam_2={distance:.3f}")
    found = calibrate_cameras(recordings, settings, Start.IMAGE_SIZE).cameras
    blind = [replace(one, cameras=found, truth=None) for one in recordings]
    with tempfile.TemporaryDirectory() as folder:
        lifter = train(paper(demo(Config())), blind[:-1], Path(folder) / "run")
    kept = blind[-1].frames(slice(FRAME, FRAME + 1))
    pose = lift(lifter, kept.cameras, kept.keypoints, kept.confidence)[0, 0]
    pose = camera_to_world(rotation_part(found.camera_from_world)[0].to(pose), pose)

    figure = plt.figure(figsize=(9, 3), layout="constrained")
    grid = figure.add_gridspec(1, 3, width_ratios=[1.4, 1, 1.2])
    axes = figure.add_subplot(grid[0])
    moved = transform_cameras(found, align_rigs(found, true))
    draw_rig_from_above(axes, moved)
    places = true.centers[:, :2].mT
    marks = axes.plot(*places, "+", color="black", markersize=10, label="true position")
    axes.legend(handles=marks, fontsize=8, loc="upper left")
    axes.set_title("calibrated from a person", fontsize=9)
    axes = figure.add_subplot(grid[1])
    seen = kept.keypoints[0, 0]
    draw_keypoints(axes, seen, kept.skeleton)
    x, y = ((seen.amin(dim=0) + seen.amax(dim=0)) / 2).tolist()
    axes.set_xlim(x - WINDOW, x + WINDOW)
    axes.set_ylim(y + WINDOW, y - WINDOW)
    axes.set_title("seen by camera 1", fontsize=9)
    space = figure.add_subplot(grid[2], projection="3d")
    draw_skeleton(space, pose, kept.skeleton)
    space.set(xlim=(-0.7, 0.7), ylim=(-0.7, 0.7), zlim=(-1, 0.9))
    space.set_box_aspect((1.4, 1.4, 1.9), zoom=1.2)
    space.tick_params(labelsize=0, length=0)
    for clear in (space.set_xticklabels, space.set_yticklabels, space.set_zticklabels):
        clear([])
    space.set_title("lifted from camera 1 alone", fontsize=9)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
