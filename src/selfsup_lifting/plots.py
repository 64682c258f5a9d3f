"""Draw skeletons in an image or in space with matplotlib."""

from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.skeleton.skeletons import Skeleton

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mpl_toolkits.mplot3d import Axes3D

# Colors of Okabe and Ito that color-blind readers can distinguish.
LEFT, RIGHT, MIDDLE = "#0072B2", "#D55E00", "#555555"


def draw_image(axes: "Axes", keypoints: Float[Tensor, "joints 2"], skeleton: Skeleton) -> "Axes":
    """Draw a pose in image coordinates [px], y down; NaN joints are left out. Returns the axes."""
    for parent, joint in skeleton.bones:
        ends = keypoints[[parent, joint]]
        axes.plot(*ends.T.tolist(), color=bone_color(skeleton, joint), linewidth=1.8)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    if not axes.yaxis_inverted():
        axes.invert_yaxis()
    return axes


def draw_pose(axes: "Axes3D", pose: Float[Tensor, "joints 3"], skeleton: Skeleton) -> "Axes3D":
    """Draw a pose in world coordinates [m], z up; NaN joints are left out. Returns the axes."""
    for parent, joint in skeleton.bones:
        ends = pose[[parent, joint]]
        axes.plot(*ends.T.tolist(), color=bone_color(skeleton, joint), linewidth=2.0)
    axes.set_aspect("equal")
    return axes


def bone_color(skeleton: Skeleton, joint: int) -> str:
    """Return the color of the bone that ends in a joint."""
    if any(joint == left for left, _ in skeleton.mirrored):
        return LEFT
    return RIGHT if any(joint == right for _, right in skeleton.mirrored) else MIDDLE
