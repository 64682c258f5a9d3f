"""Draw the README's figure: the 2D poses in four cameras, and the pose lifted from one of them.

Run from the checkout: python docs/figures/lifting.py RUN, where RUN is a run folder of
`selfsup-lifting train`.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import torch

mpl.use("Agg")

import matplotlib.pyplot as plt
from mpl_toolkits.mplot3d import Axes3D

from multiview_geom import camera_to_world
from selfsup_lifting import ReadSettings, lift, load_lifter, read_recordings
from selfsup_lifting.plots import draw_keypoints, draw_skeleton
from selfsup_lifting.skeleton.skeletons import root_position
from selfsup_lifting.training.losses import rotation_part

RECORDING, FRAME = "synthetic S4 reaching", 60
WINDOW = 250


def main(run: Path) -> None:
    """Draw one held-out frame."""
    (recording,) = (one for one in read_recordings([], ReadSettings()) if one.name == RECORDING)
    recording = recording.frames(slice(FRAME, FRAME + 1))
    poses = lift(load_lifter(run), recording.cameras, recording.keypoints, recording.confidence)
    rotations = rotation_part(recording.cameras.camera_from_world).float()
    lifted = camera_to_world(rotations[0], poses[0, 0])
    truth = recording.truth[0] - root_position(recording.truth[0], recording.skeleton.root)

    figure = plt.figure(figsize=(11, 2.9), layout="constrained")
    grid = figure.add_gridspec(1, 6, width_ratios=[1, 1, 1, 1, 1.6, 1.6])
    for view in range(4):
        axes = figure.add_subplot(grid[view])
        draw_keypoints(axes, recording.keypoints[0, view], recording.skeleton)
        seen = recording.keypoints[0, view]
        x, y = ((seen.amin(dim=0) + seen.amax(dim=0)) / 2).tolist()
        axes.set_xlim(x - WINDOW, x + WINDOW)
        axes.set_ylim(y + WINDOW, y - WINDOW)
        axes.set_title(f"camera {view + 1}", fontsize=9)
    for place, pose, title in ((4, lifted, "lifted from camera 1 alone"), (5, truth, "truth")):
        axes = figure.add_subplot(grid[place], projection="3d")
        _draw_in_space(axes, pose, recording.skeleton, title)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=130)


def _draw_in_space(axes: Axes3D, pose: torch.Tensor, skeleton: object, title: str) -> None:
    draw_skeleton(axes, pose, skeleton)
    axes.locator_params(nbins=5)
    axes.set(xlim=(-0.7, 0.7), ylim=(-0.7, 0.7), zlim=(-1, 0.9))
    axes.set_box_aspect((1.4, 1.4, 1.9), zoom=1.2)
    axes.view_init(elev=12, azim=35)
    axes.tick_params(labelsize=0, length=0)
    axes.set_xticklabels([])
    axes.set_yticklabels([])
    axes.set_zticklabels([])
    axes.set_title(title, fontsize=9)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
