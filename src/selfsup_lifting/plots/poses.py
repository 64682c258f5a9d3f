"""Draw one skeleton: its joints in an image, or in space."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.plots.colors import BONE_COLORS
from selfsup_lifting.recording import require_kind
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.upright import z_up

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mpl_toolkits.mplot3d import Axes3D

# Empty space around the drawn joints in 3D, as a share of the largest extent.
MARGIN = 0.1
IMAGE_AXES = ("width", "height")
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
    require_plane(axes)
    _require_pose("keypoints", keypoints, skeleton, 2)
    for side, bones in bones_by_side(keypoints, skeleton).items():
        axes.plot(*bones.T.tolist(), color=color or BONE_COLORS[side], linewidth=1.8)
    axes.set_aspect("equal")
    if image_size is not None:
        pair = isinstance(image_size, Sequence | Tensor) and len(image_size) == len(IMAGE_AXES)
        if not pair:
            raise ValueError(f"`image_size` must be {' and '.join(IMAGE_AXES)}, got {image_size!r}")
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
    _require_pose("points", points, skeleton, 3)
    require_space(axes)
    standing = z_up(points, up)
    for side, bones in bones_by_side(standing, skeleton).items():
        axes.plot(*bones.T.tolist(), color=color or BONE_COLORS[side], linewidth=2.0)
    fit_box(axes, standing[standing.isfinite().all(dim=-1)])
    return axes


def _require_pose(name: str, points: Tensor, skeleton: Skeleton, coordinates: int) -> None:
    """Refuse what are no coordinates of the joints of one frame."""
    require_kind(name, points, Tensor)
    require_kind("skeleton", skeleton, Skeleton)
    if tuple(points.shape[1:]) != (coordinates,):
        shape = " x ".join(map(str, points.shape)) or "one number"
        raise ValueError(f"`{name}` must be joints x {coordinates}, got {shape}")


def require_space(axes: object) -> None:
    """Refuse axes of a plane, on which nothing in space can be drawn."""
    if not hasattr(axes, "set_zlim"):
        raise ValueError(
            f"`axes` must have three dimensions, got {type(axes).__name__}: "
            "figure.add_subplot(projection='3d') makes them"
        )


def require_plane(axes: object) -> None:
    """Refuse a figure, an array of axes, and axes of space."""
    if not hasattr(axes, "set_xlim") or hasattr(axes, "set_zlim"):
        raise ValueError(
            f"`axes` must be axes with two dimensions, got {type(axes).__name__}: "
            "figure.add_subplot() makes them, and plt.subplots(1, 2) an array of them"
        )


class DrawnBone(NamedTuple):
    """A bone of a picture: from the middle of `first` and `second`, often one joint, to `end`."""

    first: int
    second: int
    end: int
    side: str


def drawn_bones(skeleton: Skeleton) -> list[DrawnBone]:
    """Return the bones of a picture.

    A bone from a joint of one side to a joint of the middle starts in the middle of both sides:
    without a pelvis, the spine starts between the hips.
    """
    bones = []
    for parent, end in skeleton.bones:
        side = side_of(skeleton, end)
        second = skeleton.mirror_order[parent] if side == "middle" else parent
        bones.append(DrawnBone(parent, second, end, side))
    return bones


def bones_by_side(
    points: Float[Tensor, "joints d"], skeleton: Skeleton
) -> dict[str, Float[Tensor, "_ends d"]]:
    """Join the bones of each side to one line: start, end, NaN, start, end, NaN."""
    if len(points) != len(skeleton.joints):
        raise ValueError(
            f"expected the {len(skeleton.joints)} joints of {skeleton.name}, got {len(points)}"
        )
    lines = {}
    for side in BONE_COLORS:
        ends = bone_ends(points, [bone for bone in drawn_bones(skeleton) if bone.side == side])
        gaps = torch.full_like(ends[:, :1], torch.nan)
        lines[side] = torch.cat([ends, gaps], dim=1).flatten(0, 1)
    return lines


def bone_ends(
    points: Float[Tensor, "joints d"], bones: Sequence[DrawnBone]
) -> Float[Tensor, "_bones ends=2 d"]:
    """Return where the drawn bones start and end."""
    joints = torch.tensor([bone[:3] for bone in bones], dtype=torch.long, device=points.device)
    first, second, end = points[joints.view(-1, 3)].unbind(dim=1)
    return torch.stack([first.lerp(second, 0.5), end], dim=1)


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
