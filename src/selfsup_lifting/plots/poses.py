"""Draw one skeleton: its joints in an image, or in space."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.plots.colors import BONE_COLORS
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.upright import z_up

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mpl_toolkits.mplot3d import Axes3D

# Empty space around the drawn joints in 3D, as a share of the largest extent.
MARGIN = 0.1
# Labels of an axis in 3D: more overlap.
MOST_TICKS = 4


def draw_keypoints(
    axes: "Axes",
    keypoints: Float[Tensor, "joints 2"],
    skeleton: Skeleton,
    *,
    image_size: tuple[int, int] | None = None,
    color: str | None = None,
) -> "Axes":
    """Draw a skeleton in an image, y down.

    Args:
        axes: Where to draw.
        keypoints: The joints [px]; NaN where missing: their bones are left out.
        skeleton: The bones.
        image_size: Width and height [px]: the axes show the whole image; by default they show the
            skeleton.
        color: One color for all bones; by default left is blue, right is orange, the rest gray.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> recording = read_recordings(["synthetic"], ReadSettings())[0]
        >>> axes = Figure().add_subplot()
        >>> len(draw_keypoints(axes, recording.keypoints[0, 0], recording.skeleton).lines)
        3
    """
    for side, bones in bones_by_side(keypoints, skeleton).items():
        axes.plot(*bones.T.tolist(), color=color or BONE_COLORS[side], linewidth=1.8)
    axes.set_aspect("equal")
    if image_size is not None:
        width, height = image_size
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    if not axes.yaxis_inverted():
        axes.invert_yaxis()
    axes.set(xticks=[], yticks=[])
    return axes


def draw_skeleton(
    axes: "Axes3D",
    points: Float[Tensor, "joints 3"],
    skeleton: Skeleton,
    *,
    up: str = "z",
    color: str | None = None,
) -> "Axes3D":
    """Draw a skeleton in space, with the same scale on all axes.

    Args:
        axes: Three-dimensional axes; the limits become those of the joints.
        points: The joints [m]; NaN where unknown: their bones are left out.
        skeleton: The bones.
        up: The axis of the points that points up, such as "z" or "-y" (a camera's axes).
        color: One color for all bones; by default left is blue, right is orange, the rest gray.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> recording = read_recordings(["synthetic"], ReadSettings())[0]
        >>> axes = Figure().add_subplot(projection="3d")
        >>> len(draw_skeleton(axes, recording.truth[0], recording.skeleton).lines)
        3
    """
    standing = z_up(points, up)
    for side, bones in bones_by_side(standing, skeleton).items():
        axes.plot(*bones.T.tolist(), color=color or BONE_COLORS[side], linewidth=2.0)
    fit_box(axes, standing[standing.isfinite().all(dim=-1)])
    return axes


def bones_by_side(
    points: Float[Tensor, "joints d"], skeleton: Skeleton
) -> dict[str, Float[Tensor, "_ends d"]]:
    """Join the bones of each side to one line: start, end, NaN, start, end, NaN."""
    lines = {}
    for side in BONE_COLORS:
        bones = [bone for bone in skeleton.bones if side_of(skeleton, bone[1]) == side]
        parents, children = (points[[bone[end] for bone in bones]] for end in (0, 1))
        gaps = torch.full_like(parents, torch.nan)
        lines[side] = torch.stack([parents, children, gaps], dim=1).flatten(0, 1)
    return lines


def fit_box(axes: "Axes3D", points: Float[Tensor, "points 3"], *, zoom: float = 1.0) -> None:
    """Show a box around points, with the same scale on all axes; `zoom` enlarges it.

    Nothing is changed if there are no points.
    """
    if not len(points):
        return
    low, high = points.amin(dim=0), points.amax(dim=0)
    margin = MARGIN * float((high - low).max()) or MARGIN
    sides = [(a - margin, b + margin) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    axes.set(xlim=sides[0], ylim=sides[1], zlim=sides[2])
    axes.set_box_aspect([b - a for a, b in sides], zoom=zoom)
    axes.locator_params(nbins=MOST_TICKS)


def side_of(skeleton: Skeleton, joint: int) -> str:
    """Return the side of the body that a joint is on: left, right or middle."""
    if any(joint == left for left, _ in skeleton.mirrored):
        return "left"
    return "right" if any(joint == right for _, right in skeleton.mirrored) else "middle"
