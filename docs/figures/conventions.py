"""Draw the conventions: a world, a camera in it, its image, and the transforms between them.

Run from the checkout: python docs/figures/conventions.py
"""

from pathlib import Path

import matplotlib as mpl
import torch

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from mpl_toolkits.mplot3d import Axes3D
from torch import Tensor

from multiview_geom import Cameras, camera_to_world, look_at

WIDTH, HEIGHT = 8, 6
AXIS_COLORS = ("tab:red", "tab:green", "tab:blue")
POINT = torch.tensor([[0.55, 0.25, 0.75]])
DEPTH = 1.75
"""How far in front of the camera the image is drawn."""


def main() -> None:
    """Draw the world at the left and the pixels at the right."""
    rig = one_camera()
    figure = plt.figure(figsize=(11, 4.6), layout="constrained")
    grid = figure.add_gridspec(1, 2, width_ratios=[1.35, 1])
    draw_world(figure.add_subplot(grid[0], projection="3d"), rig)
    draw_image(figure.add_subplot(grid[1]), rig.project(POINT).pixels[0, 0])
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=140)


def one_camera() -> Cameras:
    """Aim a camera of few pixels at the world's origin."""
    pose = look_at(
        torch.tensor([2.2, -2.4, 1.5]), torch.tensor([0.2, 0.0, 0.5]), torch.tensor([0.0, 0.0, 1.0])
    )
    K = torch.tensor([[8.0, 0.0, (WIDTH - 1) / 2], [0.0, 8.0, (HEIGHT - 1) / 2], [0.0, 0.0, 1.0]])
    return Cameras(K[None], pose[None], image_size=torch.tensor([[WIDTH, HEIGHT]]))


def draw_world(axes: Axes3D, rig: Cameras) -> None:
    """Draw both frames, the image in front of the camera, and the ray of one point."""
    pose, center = rig.camera_from_world[0], rig.centers[0]
    draw_frame(axes, torch.zeros(3), torch.eye(3), ("X", "Y", "Z"))
    draw_frame(axes, center, 0.6 * pose[:3, :3], ("x right", "y down", "z forward"))
    axes.text(0.0, 0.15, -0.3, "world", weight="bold")
    axes.text(*(center + torch.tensor([0.0, -0.45, 0.12])).tolist(), "camera", weight="bold")
    corners = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) * torch.tensor([WIDTH, HEIGHT])
    local = torch.linalg.solve(rig.intrinsics[0], homogeneous(corners - 0.5).mT).mT
    sheet = camera_to_world(pose, DEPTH * local)
    axes.plot(*sheet.T.tolist(), color="black", linewidth=1)
    axes.plot(*torch.stack([center, POINT[0]]).T.tolist(), color="tab:orange", linewidth=1)
    seen = rig.project(POINT)
    ray = homogeneous(seen.pixels[0]) @ torch.linalg.inv(rig.intrinsics[0]).mT
    for place in (POINT[0], camera_to_world(pose, DEPTH * ray)[0]):
        axes.scatter(*place.tolist(), color="tab:orange", depthshade=False)
    axes.text(*(POINT[0] + 0.08).tolist(), "point X")
    axes.text(*(sheet[0] + torch.tensor([0.0, 0.0, 0.1])).tolist(), "image", ha="center")
    axes.set_box_aspect((1, 1, 0.75), zoom=1.35)
    axes.set(xlim=(-0.4, 2.9), ylim=(-2.45, 0.85), zlim=(-0.4, 2.075))
    axes.view_init(elev=20, azim=8)
    axes.set_axis_off()
    axes.set_title("x_camera = R X + t = camera_from_world X", family="monospace", fontsize=10)


def draw_frame(axes: Axes3D, origin: Tensor, directions: Tensor, labels: tuple[str, ...]) -> None:
    """Draw the three axes of a frame, rows of a matrix."""
    for direction, color, label in zip(directions, AXIS_COLORS, labels, strict=True):
        axes.quiver(*origin.tolist(), *direction.tolist(), color=color, arrow_length_ratio=0.12)
        axes.text(*(origin + 1.15 * direction).tolist(), label, color=color, fontsize=9)


def draw_image(axes: Axes, pixel: Tensor) -> None:
    """Draw the pixels as squares around whole numbers, from the top left corner."""
    for column in range(WIDTH + 1):
        axes.axvline(column - 0.5, color="lightgray", linewidth=0.8)
    for row in range(HEIGHT + 1):
        axes.axhline(row - 0.5, color="lightgray", linewidth=0.8)
    axes.plot(0, 0, "k.", markersize=8)
    axes.annotate("(0, 0): the center of\nthe first pixel", (0, 0), (0.6, 0.65), fontsize=9)
    axes.plot(-0.5, -0.5, "kx")
    axes.annotate("(-0.5, -0.5): the corner", (-0.5, -0.5), (-0.3, -0.72), fontsize=9)
    axes.plot((WIDTH - 1) / 2, (HEIGHT - 1) / 2, "k+", markersize=10)
    axes.annotate("(cx, cy)", ((WIDTH - 1) / 2 + 0.15, (HEIGHT - 1) / 2 - 0.15), fontsize=9)
    u, v = pixel.tolist()
    axes.plot(u, v, "o", color="tab:orange")
    axes.annotate("K [R | t] X", (u + 0.2, v + 0.1), fontsize=9, color="tab:orange")
    axes.set(xlim=(-0.9, WIDTH - 0.1), ylim=(HEIGHT - 0.1, -0.95), aspect="equal")
    axes.set_xticks(range(WIDTH))
    axes.set_yticks(range(HEIGHT))
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"an image of {WIDTH} x {HEIGHT} pixels: u right, v down", fontsize=10, y=-0.09)


def homogeneous(points: Tensor) -> Tensor:
    """Append a one."""
    return torch.nn.functional.pad(points, (0, 1), value=1.0)


if __name__ == "__main__":
    main()
