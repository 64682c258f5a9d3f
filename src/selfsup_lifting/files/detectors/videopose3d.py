"""VideoPose3D: the npz file of a custom dataset, a pickled dict of videos."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.files.tracks.view_tracks import DetectorFormat, ViewTracks, view_tracks
from selfsup_lifting.parse.npz import array_names, is_poses, left_joints, load_npz
from selfsup_lifting.read_errors import Place
from selfsup_lifting.read_settings import HIGHEST_FPS, LOWEST_FPS
from selfsup_lifting.skeleton.infer import body_by_count
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton

NAME = "VideoPose3D"
# VideoPose3D's names of built-in skeletons.
LAYOUTS = {"coco": "coco17", "h36m": "h36m17", "humaneva15": "humaneva15"}


def _recognizes(path: Path) -> bool:
    return "positions_2d" in array_names(path)


def _read(path: Path, declared: Skeleton | None) -> list[ViewTracks]:
    """Read every video and camera; most files have no scores."""
    content = load_npz(path, "positions_2d", "metadata")
    metadata = content.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    layout = LAYOUTS.get(str(metadata.get("layout_name")), "")
    skeleton = declared or SKELETONS.get(layout)
    return [
        _view(path, video, name, positions, skeleton, metadata)
        for video, name, positions in _videos(path, content.get("positions_2d"))
    ]


FORMAT = DetectorFormat("videopose3d", _recognizes, _read)


def _videos(path: Path, videos: Any) -> Iterator[tuple[str, str, Any]]:  # noqa: ANN401 - any content of the pickle
    """Yield the video, the name and the positions of every camera of every video."""
    for video, actions in _dict(Place(path, "positions_2d"), videos).items():
        for action, cameras in _dict(Place(path, str(video)), actions).items():
            if not isinstance(cameras, list | tuple):
                place = Place(path, f"{video}/{action}")
                raise place.expected("a list, one array a camera", cameras)
            take = f"{video} {action}" if len(actions) > 1 else str(video)
            for number, positions in enumerate(cameras, start=1):
                if positions is not None:
                    yield str(video), f"{take} {number}" if len(cameras) > 1 else take, positions


def _view(
    path: Path,
    video: str,
    name: str,
    positions: Any,  # noqa: ANN401 - any content of the pickle
    declared: Skeleton | None,
    metadata: dict[str, Any],
) -> ViewTracks:
    numbers = _numbers(Place(path, name), positions)
    joints = metadata.get("num_joints", numbers.shape[1])
    if joints != numbers.shape[1]:
        place = Place(path, name)
        raise place.error(
            f"`num_joints` is {joints!r}, but the poses have {numbers.shape[1]} joints"
        )
    body = body_by_count(path, numbers.shape[1], declared)
    stated = left_joints(metadata)
    if stated is not None:
        fitting = [one for one in body.candidates if _left(SKELETONS[one]) == stated]
        body = body_by_count(path, numbers.shape[1], SKELETONS[fitting[0]]) if fitting else body
    note = (
        f"{path}: by `keypoints_symmetry`, the left joints are not those of {body.skeleton.name}; "
        "is the skeleton another one?"
    )
    notes = (note,) if stated not in {None, _left(body.skeleton)} else ()
    view = view_tracks(name, path, NAME, body, numbers[:, None], notes=notes)
    sizes = metadata.get("video_metadata")
    size = sizes.get(video) if isinstance(sizes, dict) else None
    view = replace(view, fps=_fps(size))
    if not isinstance(size, dict) or not {"w", "h"} <= size.keys():
        return view
    try:
        width, height = int(size["w"]), int(size["h"])
    except (TypeError, ValueError, OverflowError):
        width = height = 0
    if min(width, height) < 1:
        raise Place(path, f"video_metadata/{video}").expected("numbers for `w` and `h`", size)
    return replace(view, image_size=(width, height))


def _fps(about: Any) -> float | None:  # noqa: ANN401 - any content of the pickle
    """Return the frames per second of a video, if its metadata have them."""
    match about:
        case {"fps": int(fps) | float(fps)} if LOWEST_FPS <= fps <= HIGHEST_FPS:
            return float(fps)
    return None


def _left(skeleton: Skeleton) -> frozenset[int]:
    names = enumerate(skeleton.joints)
    return frozenset(at for at, name in names if name.startswith("left_"))


def _numbers(place: Place, positions: Any) -> Float[Tensor, "frames joints 3"]:  # noqa: ANN401 - any content of the pickle
    if not is_poses(positions, {2, 3}) or not len(positions):
        raise place.expected("frames x joints x 2 numbers", positions)
    numbers = torch.from_numpy(positions.astype(np.float32))
    return torch.cat([numbers, torch.full_like(numbers[..., :1], torch.nan)], dim=-1)[..., :3]


def _dict(place: Place, value: Any) -> dict[Any, Any]:  # noqa: ANN401 - any content of the pickle
    if not isinstance(value, dict) or not value:
        raise place.expected("a dict of videos", value)
    return value
