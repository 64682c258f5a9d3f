"""VideoPose3D: the npz of a custom dataset, a pickled dict of videos."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.files.detectors.view_tracks import ViewTracks, view_tracks
from selfsup_lifting.files.parse.safe_pickle import load_npz_with_objects
from selfsup_lifting.recording import ReadError
from selfsup_lifting.skeleton.infer import body_by_count
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton

LAYOUT = "VideoPose3D"
# What VideoPose3D calls the skeletons known here.
LAYOUTS = {"coco": "coco17", "h36m": "h36m17", "humaneva15": "humaneva15"}
WITHOUT_SCORE, WITH_SCORE = 2, 3


def recognises(path: Path) -> bool:
    """Tell an npz with `positions_2d`."""
    try:
        with ZipFile(path) as archive:
            return "positions_2d.npy" in archive.namelist()
    except (BadZipFile, OSError, NotImplementedError):
        return False


def read_views(path: Path, told: Skeleton | None) -> list[ViewTracks]:
    """Read every video of the file.

    Args:
        path: The npz.
        told: What the joints are; told from the file's metadata, else their number, where None.

    Returns:
        One view per video and camera. The format has no scores: what is finite has confidence
        one.

    Raises:
        ReadError: If something else stands where videos should, or the pickle could run code.
    """
    content = load_npz_with_objects(path)
    videos = _dict(path, "positions_2d", content.get("positions_2d"))
    metadata = content.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    skeleton = told or SKELETONS.get(LAYOUTS.get(str(metadata.get("layout_name")), ""))
    views = []
    for video, actions in videos.items():
        for action, cameras in _dict(path, str(video), actions).items():
            many = len(cameras) > 1 if isinstance(cameras, list | tuple) else False
            for at, positions in enumerate(_list(path, f"{video}/{action}", cameras)):
                name = f"{video} {at + 1}" if many else str(video)
                views.append(_view(path, name, positions, skeleton, metadata))
    return views


def _view(
    path: Path,
    name: str,
    positions: Any,  # noqa: ANN401 - whatever the pickle holds
    told: Skeleton | None,
    metadata: dict[str, Any],
) -> ViewTracks:
    numbers = _numbers(path, name, positions)
    body = body_by_count(path, numbers.shape[1], told)
    view = view_tracks(name, path, LAYOUT, body.skeleton, numbers[:, None, list(body.order)])
    return _with_size(replace(view, rivals=body.rivals), metadata)


def _numbers(path: Path, name: str, positions: Any) -> Float[Tensor, "frames joints 3"]:  # noqa: ANN401 - whatever the pickle holds
    fits = isinstance(positions, np.ndarray) and positions.ndim == 3  # noqa: PLR2004 - axes
    fits = fits and positions.shape[-1] in {WITHOUT_SCORE, WITH_SCORE}
    if not fits or positions.dtype.kind not in "fiu" or not len(positions):
        raise ReadError(f"{path}, {name}: expected frames x joints x 2 numbers")
    numbers = torch.from_numpy(positions.astype(np.float32))
    if numbers.shape[-1] == WITH_SCORE:
        return numbers
    return torch.cat([numbers, torch.ones_like(numbers[..., :1])], dim=-1)


def _with_size(view: ViewTracks, metadata: dict[str, Any]) -> ViewTracks:
    sizes = metadata.get("video_metadata")
    size = sizes.get(view.camera) if isinstance(sizes, dict) else None
    if not isinstance(size, dict) or not {"w", "h"} <= set(size):
        return view
    return replace(view, image_size=(int(size["w"]), int(size["h"])))


def _dict(path: Path, where: str, value: Any) -> dict[Any, Any]:  # noqa: ANN401 - whatever the pickle holds
    if not isinstance(value, dict) or not value:
        raise ReadError(f"{path}, {where}: expected a dict of videos, got {type(value).__name__}")
    return value


def _list(path: Path, where: str, value: Any) -> list[Any]:  # noqa: ANN401 - whatever the pickle holds
    if not isinstance(value, list | tuple):
        raise ReadError(f"{path}, {where}: expected one array per camera in a list")
    return [one for one in value if one is not None]
