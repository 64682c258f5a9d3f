"""Draw the errors of 3D poses: the curve of correct joints, and the error of each joint."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.plots.colors import BLUE, series_color
from selfsup_lifting.plots.poses import require_plane
from selfsup_lifting.plots.sightings import require_names
from selfsup_lifting.recording import require_kind, require_positive

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Steps of the curve from zero to the largest threshold.
STEPS = 60


def draw_pck_curve(
    axes: "Axes",
    errors_mm: Mapping[str, Float[Tensor, "*axes"]],
    *,
    largest_mm: float = 150.0,
) -> "Axes":
    """Draw the share of the joints whose error is below a threshold, for all thresholds.

    Args:
        axes: Where to draw.
        errors_mm: Errors of joints by the name of the curve, as from `joint_errors` [mm]; NaN
            where unknown.
        largest_mm: The largest threshold [mm].

    Returns:
        The axes.

    Raises:
        ValueError: If `errors_mm` is no mapping of tensors, or is empty, or `largest_mm` is not
            positive.

    Example:
        >>> from matplotlib.figure import Figure
        >>> errors = torch.tensor([10.0, 60.0, 200.0, torch.nan])
        >>> axes = draw_pck_curve(Figure().add_subplot(), {"ours": errors})
        >>> round(float(axes.lines[0].get_ydata()[-1]), 3)
        0.667
    """
    require_plane(axes)
    require_kind("errors_mm", errors_mm, Mapping)
    if not errors_mm:
        raise ValueError("`errors_mm` must have the errors of one method or more, got none")
    require_positive("largest_mm", largest_mm)
    thresholds = torch.linspace(0.0, largest_mm, STEPS + 1)
    for place, (name, errors) in enumerate(errors_mm.items()):
        require_kind(f"errors_mm[{name!r}]", errors, Tensor)
        known = errors[errors.isfinite()]
        shares = (known[:, None] < thresholds).float().mean(dim=0)
        axes.plot(thresholds.tolist(), shares.tolist(), color=series_color(place), label=name)
    axes.set(xlabel="threshold [mm]", ylabel="share of correct joints", ylim=(0, 1))
    axes.set_xlim(0, largest_mm)
    axes.legend(fontsize=8, frameon=False)
    return axes


def draw_joint_errors(
    axes: "Axes", errors_mm: Float[Tensor, "*batch joints"], joints: Sequence[str]
) -> "Axes":
    """Draw the mean error of each joint as a bar; a joint without a known error has none.

    Args:
        axes: Where to draw.
        errors_mm: Errors of joints, as from `joint_errors` [mm]; NaN where unknown.
        joints: The names of the joints.

    Returns:
        The axes; the first joint is at the top.

    Raises:
        ValueError: If there are not as many names as joints.

    Example:
        >>> from matplotlib.figure import Figure
        >>> errors = torch.tensor([[10.0, 60.0], [30.0, torch.nan]])
        >>> axes = draw_joint_errors(Figure().add_subplot(), errors, ["hip", "knee"])
        >>> [float(bar.get_width()) for bar in axes.patches]
        [20.0, 60.0]
    """
    require_plane(axes)
    require_kind("errors_mm", errors_mm, Tensor)
    require_names("joints", joints)
    if not errors_mm.ndim:
        raise ValueError(f"expected errors of {len(joints)} joints, got one number")
    if errors_mm.shape[-1] != len(joints):
        raise ValueError(f"expected errors of {len(joints)} joints, got {errors_mm.shape[-1]}")
    means = errors_mm.flatten(0, -2).nanmean(dim=0)
    axes.barh(range(len(joints)), means.nan_to_num(0.0).tolist(), color=BLUE)
    axes.set_yticks(range(len(joints)), labels=joints)
    axes.invert_yaxis()
    axes.set_xlabel("mean error [mm]")
    return axes
