"""Draw reprojection errors: by camera and joint, and over time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.plots.colors import series_color
from selfsup_lifting.plots.poses import require_plane
from selfsup_lifting.plots.sightings import require_by_frame
from selfsup_lifting.recording import require_fps

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_residuals(
    axes: "Axes",
    residuals: Float[Tensor, "frames views joints"],
    views: Sequence[str],
    joints: Sequence[str],
) -> "Axes":
    """Draw the median reprojection error of each camera and joint, as a map of colors.

    Args:
        axes: Where to draw.
        residuals: Reprojection errors [px]; NaN where the detection was not used.
        views: The names of the cameras.
        joints: The names of the joints.

    Returns:
        The axes; cells without any detection are empty.

    Raises:
        ValueError: If there are not as many names as views or joints.

    Example:
        >>> import torch
        >>> from matplotlib.figure import Figure
        >>> residuals = torch.tensor([[[1.0, 2.0]], [[3.0, torch.nan]]])
        >>> axes = draw_residuals(Figure().add_subplot(), residuals, ["left"], ["hip", "knee"])
        >>> axes.images[0].get_array().tolist()
        [[1.0], [2.0]]
    """
    require_plane(axes)
    require_by_frame("residuals", residuals, views, joints)
    medians = residuals.nanmedian(dim=0).values.T
    image = axes.imshow(medians.detach().numpy(), cmap="viridis", aspect="auto", vmin=0)
    axes.set_xticks(range(len(views)), labels=views)
    axes.set_yticks(range(len(joints)), labels=joints)
    axes.set_title("median reprojection error [px]")
    for joint, view in medians.isfinite().nonzero().tolist():
        bright = medians[joint, view] > 0.6 * medians.nan_to_num(0.0).max()
        axes.text(
            view, joint, f"{medians[joint, view]:.1f}",
            ha="center", va="center", fontsize=8, color="black" if bright else "white",
        )  # fmt: skip
    axes.tick_params(length=0)
    image.set_label("median reprojection error [px]")
    return axes


def draw_residuals_over_time(
    axes: "Axes",
    residuals: Float[Tensor, "frames views joints"],
    views: Sequence[str],
    fps: float,
) -> "Axes":
    """Draw the median reprojection error of each camera over time; gaps are left out.

    Args:
        axes: Where to draw.
        residuals: Reprojection errors [px]; NaN where the detection was not used.
        views: The names of the cameras.
        fps: Frame rate [1/s].

    Returns:
        The axes.

    Raises:
        ValueError: If there are not as many names as views, or `fps` is no frame rate.

    Example:
        >>> import torch
        >>> from matplotlib.figure import Figure
        >>> residuals = torch.tensor([[[1.0, 2.0]], [[3.0, torch.nan]]])
        >>> axes = draw_residuals_over_time(Figure().add_subplot(), residuals, ["left"], fps=10.0)
        >>> axes.lines[0].get_xydata()[1].tolist()
        [0.1, 3.0]
    """
    require_plane(axes)
    require_by_frame("residuals", residuals, views)
    require_fps(fps)
    seconds = [frame / fps for frame in range(len(residuals))]
    medians = residuals.nanmedian(dim=2).values
    for view, name in enumerate(views):
        errors = medians[:, view].tolist()
        axes.plot(seconds, errors, color=series_color(view), label=name, linewidth=1.0)
    axes.set(xlabel="time [s]", ylabel="median reprojection error [px]")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, ncols=min(4, len(views)), frameon=False)
    return axes
