"""Skeletons, curves and residuals as pictures."""

from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.skeleton.skeletons import Skeleton

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mpl_toolkits.mplot3d import Axes3D

# Okabe and Ito's colours, which the colour-blind can tell apart: left, right, middle.
LEFT, RIGHT, MIDDLE = "#0072B2", "#D55E00", "#555555"


def draw_image(axes: "Axes", keypoints: Float[Tensor, "joints 2"], skeleton: Skeleton) -> None:
    """Draw a pose as a camera sees it, y down.

    Args:
        axes: Where to draw.
        keypoints: Joints [px]; NaN where missing.
        skeleton: What the joints are.
    """
    for parent, joint in skeleton.bones:
        ends = keypoints[[parent, joint]]
        axes.plot(*ends.T.tolist(), color=bone_colour(skeleton, joint), linewidth=1.8)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])


def draw_pose(axes: "Axes3D", pose: Float[Tensor, "joints 3"], skeleton: Skeleton) -> None:
    """Draw a pose in space, as the world has it: z up.

    Args:
        axes: Where to draw.
        pose: Joints [m]; NaN where missing.
        skeleton: What the joints are.
    """
    for parent, joint in skeleton.bones:
        ends = pose[[parent, joint]]
        axes.plot(*ends.T.tolist(), color=bone_colour(skeleton, joint), linewidth=2.0)
    axes.set_aspect("equal")


def bone_colour(skeleton: Skeleton, joint: int) -> str:
    """Choose the colour of the bone that ends in a joint."""
    if any(joint == left for left, _ in skeleton.mirrored):
        return LEFT
    return RIGHT if any(joint == right for _, right in skeleton.mirrored) else MIDDLE
