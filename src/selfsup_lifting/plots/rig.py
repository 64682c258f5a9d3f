"""Draw a rig of cameras: in space, from above and from the side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras, camera_to_world, to_homogeneous
from selfsup_lifting.atomic_write import replacing
from selfsup_lifting.plots.colors import GRAY, series_color
from selfsup_lifting.plots.poses import fit_box, require_plane, require_space
from selfsup_lifting.plots.style import plain_style
from selfsup_lifting.recording import require_kind
from selfsup_lifting.upright import z_up

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mpl_toolkits.mplot3d import Axes3D

# Length of a drawn frustum, as a share of the size of the rig.
FRUSTUM_SHARE = 0.15
# The corners of a frustum in the order of one line: the image, then each corner and the center.
OUTLINE = (1, 2, 3, 4, 1, 0, 2, 3, 0, 4)


def frustums(cameras: Cameras, depth: float) -> Float[Tensor, "views 5 3"]:
    """Return the corners of each camera's frustum in the world.

    Args:
        cameras: One rig; without image sizes, the principal point is taken as the center.
        depth: Distance of the image plane from the center [unit of the translations].

    Returns:
        The center of the camera and the four corners of its image, clockwise from the first
        pixel, as a camera without lens distortion sees them.
    """
    K = cameras.intrinsics.double()
    corners = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=torch.float64, device=K.device)
    pixels = corners * image_sizes(cameras)[:, None] - 0.5
    rays = torch.linalg.solve(K[:, None], to_homogeneous(pixels)[..., None])[..., 0]
    local = torch.cat([torch.zeros_like(rays[:, :1]), depth * rays], dim=1)
    return camera_to_world(cameras.camera_from_world.double(), local)


def image_sizes(cameras: Cameras) -> Float[Tensor, "views 2"]:
    """Return width and height of each image [px]: twice the principal point where unknown."""
    if cameras.image_size is not None:
        return cameras.image_size.double()
    return (2 * cameras.intrinsics[:, :2, 2].double() + 1).round()


def frustum_depth(cameras: Cameras) -> float:
    """Return a length for drawn frustums that suits the size of the rig."""
    centers = cameras.centers
    size = float(torch.cdist(centers, centers).max()) if cameras.views > 1 else 0.0
    return FRUSTUM_SHARE * (size or 1.0)


def draw_rig(axes: "Axes3D", cameras: Cameras, *, up: str = "z") -> "Axes3D":
    """Draw the cameras as frustums in space.

    Args:
        axes: Three-dimensional axes; the limits become those of the rig.
        cameras: One rig.
        up: The axis of the world that points up, such as "z" or "-y".

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from multiview_geom import ring_of_cameras
        >>> axes = Figure().add_subplot(projection="3d")
        >>> len(draw_rig(axes, ring_of_cameras(3, radius=4.0, height=1.5)).lines)
        3
    """
    require_kind("cameras", cameras, Cameras)
    require_space(axes)
    corners = z_up(frustums(cameras, frustum_depth(cameras)), up)
    for view, name in enumerate(cameras.names):
        axes.plot(*corners[view, list(OUTLINE)].T.tolist(), color=series_color(view), label=name)
        axes.text(*corners[view, 0].tolist(), name, fontsize=8)
    fit_box(axes, corners.flatten(0, 1))
    return axes


def draw_rig_from_above(
    axes: "Axes",
    cameras: Cameras,
    *,
    up: str = "z",
    points: Float[Tensor, "points 3"] | None = None,
) -> "Axes":
    """Draw the cameras as frustums, seen from above.

    Args:
        axes: Where to draw.
        cameras: One rig, in meters.
        up: The axis of the world that points up, such as "z" or "-y".
        points: Points of the subject, drawn as dots [m]; NaN where unknown.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from multiview_geom import ring_of_cameras
        >>> axes = Figure().add_subplot()
        >>> draw_rig_from_above(axes, ring_of_cameras(3, radius=4.0, height=1.5)).get_title()
        'from above'
    """
    require_plane(axes)
    return _draw_plane(axes, cameras, up, points, plane=(0, 1), title="from above")


def draw_rig_from_the_side(
    axes: "Axes",
    cameras: Cameras,
    *,
    up: str = "z",
    points: Float[Tensor, "points 3"] | None = None,
) -> "Axes":
    """Draw the cameras as frustums, seen from the side; the vertical axis is the height.

    Args:
        axes: Where to draw.
        cameras: One rig, in meters.
        up: The axis of the world that points up, such as "z" or "-y".
        points: Points of the subject, drawn as dots [m]; NaN where unknown.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from multiview_geom import ring_of_cameras
        >>> axes = Figure().add_subplot()
        >>> draw_rig_from_the_side(axes, ring_of_cameras(3, radius=4.0, height=1.5)).get_ylabel()
        'height [m]'
    """
    require_plane(axes)
    axes = _draw_plane(axes, cameras, up, points, plane=(0, 2), title="from the side")
    axes.set_ylabel("height [m]")
    return axes


def _draw_plane(
    axes: "Axes",
    cameras: Cameras,
    up: str,
    points: Float[Tensor, "points 3"] | None,
    *,
    plane: Sequence[int],
    title: str,
) -> "Axes":
    require_kind("cameras", cameras, Cameras)
    if points is not None:
        require_kind("points", points, Tensor)
        known = z_up(points[points.isfinite().all(dim=-1)], up)
        axes.plot(*known[:, plane].T.tolist(), ".", color=GRAY, markersize=2, label="subject")
    corners = z_up(frustums(cameras, frustum_depth(cameras)), up)[..., plane]
    for view, name in enumerate(cameras.names):
        axes.plot(*corners[view, list(OUTLINE)].T.tolist(), color=series_color(view), label=name)
        place = (float(corners[view, 0, 0]), float(corners[view, 0, 1]))
        axes.annotate(name, place, xytext=(3, 3), textcoords="offset points", fontsize=8)
    axes.margins(0.15)  # room for the names
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(title=title, xlabel="[m]", ylabel="[m]")
    return axes


def save_rigs_from_above(path: Path, after: Cameras, before: Cameras | None = None) -> None:
    """Save a picture of a rig from above, beside the rig before a calibration if there was one.

    Args:
        path: The file, `.png`; an existing file is replaced.
        after: The rig, z up.
        before: The same cameras before.
    """
    from matplotlib.figure import Figure

    rigs = {"before": before, "after": after} if before is not None else {"from above": after}
    with plain_style():
        figure = Figure(figsize=(5 * len(rigs), 5), layout="constrained")
        every_axes = figure.subplots(1, len(rigs), squeeze=False)[0]
        for axes, (title, rig) in zip(every_axes, rigs.items(), strict=True):
            draw_rig_from_above(axes, rig).set_title(title)
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=100)
