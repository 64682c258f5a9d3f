"""Write a scene as one page that turns, plays and needs no network."""

from base64 import b64encode
from collections.abc import Mapping
from math import floor, log10
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.atomic_write import replacing
from selfsup_lifting.page_template import filled_page, page_data, page_text
from selfsup_lifting.plots.colors import body_color, series_color
from selfsup_lifting.plots.poses import drawn_bones
from selfsup_lifting.plots.rig import frustum_depth, frustums, image_sizes
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.upright import z_up
from selfsup_lifting.viewer.scene import Body, Scene

TEMPLATE = "page.html"
# Values are 16-bit integers; the lowest one means unknown.
UNKNOWN, LARGEST = -32768, 32767
# Points beyond so many sizes of the subject are not shown: they would cost the others digits.
FARTHEST = 20.0
# About so many cells of the floor cover the subject.
CELLS = 4
# Digits of the numbers of cameras.
DIGITS = 5


def save_page(path: Path, scene: Scene) -> None:
    """Write a page that shows a scene in any browser; it contains everything it needs.

    Args:
        path: The file; an existing file is replaced.
        scene: What to show.
    """
    title, data = page_text(scene.title), page_data(as_plain(scene))
    text = filled_page("selfsup_lifting.viewer", TEMPLATE, title=title, scene=data)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def as_plain(scene: Scene) -> dict[str, Any]:
    """Return what the page's script reads: the world with z up, lengths in meters."""
    low, high = scene.box()
    size = float((high - low).norm())
    cameras = scene.cameras
    return {
        "fps": scene.fps,
        "first": scene.first,
        "frames": scene.frame_count,
        "center": _rounded((low + high) / 2),
        "size": size,
        "floor": _floor(float(low[2]), size),
        "bodies": [_body(body, scene, place) for place, body in enumerate(scene.bodies)],
        "cameras": [] if cameras is None else _cameras(cameras, scene.up),
        "tracks": [_tracks(one) for one in scene.recordings],
    }


def _body(body: Body, scene: Scene, place: int) -> dict[str, Any]:
    low, high = scene.box()
    points = z_up(body.points.double(), scene.up)
    far = (points - (low + high) / 2).norm(dim=-1) > FARTHEST * (high - low).norm()
    return {
        "name": body.name,
        "color": body_color(place),
        "points": pack(points.masked_fill(far[..., None], torch.nan)),
        "projected": None if scene.cameras is None else pack(body.projected(scene.cameras)),
        **_skeleton(body.skeleton),
    }


def _tracks(recording: Recording) -> dict[str, Any]:
    undistorted = None
    if recording.cameras.distortion is not None:
        undistorted = pack(recording.cameras.undistort(recording.keypoints.double()).pixels)
    return {
        "keypoints": pack(recording.keypoints),
        "undistorted": undistorted,
        **_skeleton(recording.skeleton),
    }


def _skeleton(skeleton: Skeleton) -> dict[str, Any]:
    return {"joints": skeleton.joints, "bones": drawn_bones(skeleton)}


def _cameras(cameras: Cameras, up: str) -> list[dict[str, Any]]:
    corners = z_up(frustums(cameras, frustum_depth(cameras)), up)
    axes = z_up(cameras.camera_from_world[:, :3, :3].double(), up)
    K, sizes = cameras.intrinsics.double(), image_sizes(cameras)
    return [
        {
            "name": name,
            "color": series_color(view),
            "frustum": _rounded(corners[view]),
            "axes": _rounded(axes[view]),
            "width": int(sizes[view, 0]),
            "height": int(sizes[view, 1]),
            "fx": float(K[view, 0, 0]), "fy": float(K[view, 1, 1]), "skew": float(K[view, 0, 1]),
            "cx": float(K[view, 0, 2]), "cy": float(K[view, 1, 2]),
        }
        for view, name in enumerate(cameras.names)
    ]  # fmt: skip


def _floor(height: float, size: float) -> dict[str, Any]:
    """Describe the floor: its height, and the length of a cell: 1, 2 or 5 times a power of ten."""
    cell = size / CELLS
    power = 10.0 ** floor(log10(cell))
    cell = max(step * power for step in (1, 2, 5) if step * power <= cell)
    return {"height": height, "cell": cell, "label": f"{cell:g} m"}


def pack(values: Float[Tensor, "*axes d"]) -> Mapping[str, Any]:
    """Store numbers as 16-bit integers, with an offset for each element of the last axis.

    Returns:
        The shape, the offsets, the scale, and the integers as base64; the error of a number is at
        most half the scale, which is 1/65534 of the largest range.
    """
    plain = values.detach().double().cpu()
    plain = torch.where(plain.isfinite().all(dim=-1, keepdim=True), plain, torch.nan)
    rows = plain.reshape(-1, plain.shape[-1])
    rows = rows[rows.isfinite().all(dim=-1)]
    rows = rows if len(rows) else torch.zeros(1, plain.shape[-1], dtype=torch.float64)
    low, high = rows.amin(dim=0), rows.amax(dim=0)
    offset = (low + high) / 2
    scale = float((high - low).amax()) / (2 * LARGEST) or 1.0
    whole = ((plain - offset) / scale).round().nan_to_num(UNKNOWN).to(torch.int16)
    return {
        "shape": [*values.shape],
        "offset": offset.tolist(),
        "scale": scale,
        "data": b64encode(whole.numpy().astype("<i2").tobytes()).decode("ascii"),
    }


def _rounded(values: Tensor) -> Any:  # noqa: ANN401 - nested lists
    return values.double().round(decimals=DIGITS).tolist()
