"""What a report says about a recording: its rig, its gaps, its residuals and single frames."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.plots import (
    draw_gaps,
    draw_keypoints,
    draw_residuals,
    draw_residuals_over_time,
    draw_rig_from_above,
    draw_rig_from_the_side,
    draw_skeleton,
)
from selfsup_lifting.plots.colors import GREEN
from selfsup_lifting.plots.poses import fit_box
from selfsup_lifting.recording import Recording
from selfsup_lifting.report.drawing import drawn
from selfsup_lifting.report.page import figures
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.upright import world_up, z_up

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Points of the subject in a drawing of the rig: more make the page large, not clearer.
MOST_POINTS = 400
# Height of one joint's row in the map of residuals [inches].
ROW = 0.2
# How 3D poses are seen in a camera's axes: from beside the camera and above it [degrees]; and
# enlarged, because matplotlib leaves room for labels.
AZIMUTH, ELEVATION, ZOOM = 35.0, 12.0, 1.35


class Panel(NamedTuple):
    """A 3D pose to draw in a row of pictures, and the reference that is drawn over it."""

    title: str
    pose: Float[Tensor, "joints 3"]
    reference: Float[Tensor, "joints 3"] | None = None


def rig_of(recording: Recording, points: Float[Tensor, "frames joints 3"]) -> str:
    """Draw the rig of a recording, with some of the subject's joints in it [m]."""
    up = world_up(recording.cameras, recording.skeleton, points)
    joints = points.flatten(0, 1)
    return rig_figures(recording.cameras, up, joints[:: max(1, len(joints) // MOST_POINTS)])


def rig_figures(cameras: Cameras, up: str, points: Float[Tensor, "points 3"] | None = None) -> str:
    """Draw a rig from above and from the side, with points in it [m]."""
    parts: list[str] = []
    subject = "" if points is None else " and subject (gray)"
    for draw, place, height in (
        (draw_rig_from_above, "above", 3.8),
        (draw_rig_from_the_side, "the side", 2.8),
    ):
        with drawn(4.6, height, f"Cameras{subject}, seen from {place}", parts) as one:
            draw(one.add_subplot(), cameras, up=up, points=points)
    return figures(*parts)


def residual_figures(recording: Recording, residuals: Float[Tensor, "frames views joints"]) -> str:
    """Draw reprojection errors by camera and joint and over time, and when nothing was detected."""
    parts: list[str] = []
    views, joints, fps = recording.cameras.names, recording.skeleton.joints, recording.fps
    with drawn(4.6, 0.9 + ROW * len(joints), "By camera and joint, in pixels", parts) as one:
        draw_residuals(one.add_subplot(), residuals, views, joints)
    rest: list[str] = []
    if len(residuals) > 1:
        with drawn(4.6, 2.4, "Over time, median of the joints of each camera", rest) as one:
            draw_residuals_over_time(one.add_subplot(), *_thinned(residuals, views, fps))
    with drawn(4.6, 0.9 + ROW * len(views), "When each camera detects the subject", rest) as one:
        draw_gaps(one.add_subplot(), recording.keypoints.isfinite().all(dim=-1), views, fps)
    return figures(*parts, f"<div>{''.join(rest)}</div>")


def frame_row(
    keypoints: Float[Tensor, "joints 2"], skeleton: Skeleton, panels: Sequence[Panel], *,
    up: str, caption: str, projected: Float[Tensor, "joints 2"] | None = None,
) -> str:  # fmt: skip
    """Draw a detected 2D pose, over its projected 3D pose if given, and beside it 3D poses."""
    parts: list[str] = []
    with drawn(2.6 * (1 + len(panels)), 2.3, caption, parts) as figure:
        axes = figure.add_subplot(1, 1 + len(panels), 1)
        if projected is not None:
            draw_keypoints(axes, projected, skeleton, color=GREEN)
        draw_keypoints(axes, keypoints, skeleton)
        axes.set(title="2D input", frame_on=False)
        for place, panel in enumerate(panels):
            _draw_panel(figure, (1, 1 + len(panels), 2 + place), panel, skeleton, up)
    return parts[0]


def _draw_panel(
    figure: "Figure", place: tuple[int, int, int], panel: Panel, skeleton: Skeleton, up: str
) -> None:
    """Draw a pose, seen from beside the camera so that its depth shows."""
    axes = figure.add_subplot(*place, projection="3d")
    if panel.reference is not None:
        draw_skeleton(axes, panel.reference, skeleton, up=up, color=GREEN)
    draw_skeleton(axes, panel.pose, skeleton, up=up)
    drawn_points = [panel.pose, *([] if panel.reference is None else [panel.reference])]
    standing = z_up(torch.cat(drawn_points), up)
    fit_box(axes, standing[standing.isfinite().all(dim=-1)], zoom=ZOOM)
    axes.view_init(elev=ELEVATION, azim=AZIMUTH)
    axes.set(title=panel.title, xticklabels=[], yticklabels=[], zticklabels=[])
    axes.tick_params(length=0)


def _thinned(
    residuals: Float[Tensor, "frames views joints"], views: Sequence[str], fps: float
) -> tuple[Float[Tensor, "_fewer views joints"], Sequence[str], float]:
    """Show every second, third... frame of a long recording: a line has no more pixels."""
    step = max(1, len(residuals) // MOST_POINTS)
    return residuals[::step], views, fps / step


def worst_and_best(errors: Float[Tensor, "frames"]) -> dict[str, int]:
    """Return the frames with the lowest, the median and the highest known error, by name."""
    known = errors.isfinite().nonzero().flatten()
    if not len(known):
        return {}
    order = known[errors[known].argsort()]
    return {name: int(order[round(share * (len(order) - 1))])
            for name, share in (("best", 0.0), ("median", 0.5), ("worst", 1.0))}  # fmt: skip
