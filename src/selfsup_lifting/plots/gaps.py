"""Draw when each camera detects the subject."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import interpolate

from selfsup_lifting.plots.poses import require_plane
from selfsup_lifting.plots.sightings import require_by_frame
from selfsup_lifting.recording import require_fps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Columns of the picture: a longer recording is averaged.
MOST_COLUMNS = 300


def draw_gaps(
    axes: "Axes", seen: Bool[Tensor, "frames views joints"], views: Sequence[str], fps: float
) -> "Axes":
    """Draw the share of the joints that each camera detects over time: dark is none.

    Args:
        axes: Where to draw.
        seen: Which joints were detected.
        views: The names of the cameras.
        fps: Frame rate [1/s].

    Returns:
        The axes.

    Raises:
        ValueError: If there are not as many names as views, or `fps` is no frame rate.

    Example:
        >>> import torch
        >>> from matplotlib.figure import Figure
        >>> seen = torch.tensor([[[True, True]], [[True, False]], [[False, False]]])
        >>> axes = draw_gaps(Figure().add_subplot(), seen, ["left"], fps=10.0)
        >>> axes.images[0].get_array().tolist()
        [[1.0, 0.5, 0.0]]
    """
    require_plane(axes)
    require_by_frame("seen", seen, views)
    if seen.dtype != torch.bool:
        raise ValueError(f"`seen` must be of torch.bool, got {seen.dtype}")
    require_fps(fps)
    shares = seen.double().mean(dim=-1).T
    columns = min(MOST_COLUMNS, len(seen))
    shown = interpolate(shares[None], size=columns, mode="area")[0]
    edges = (0.0, len(seen) / fps, len(views) - 0.5, -0.5)
    axes.imshow(
        shown.numpy(), aspect="auto", vmin=0, vmax=1, cmap="cividis", extent=edges,
        interpolation="nearest",
    )  # fmt: skip
    axes.set_yticks(range(len(views)), labels=views)
    axes.set(xlabel="time [s]", title="share of the joints detected (dark: none)")
    return axes
