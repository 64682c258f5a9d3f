"""SLEAP: the analysis HDF5, whose arrays are transposed for MATLAB."""

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.files.detectors.view_tracks import ViewTracks, view_tracks
from selfsup_lifting.files.parse.hdf5 import holds, opened_h5, text_of
from selfsup_lifting.recording import ReadError
from selfsup_lifting.skeleton.infer import body_by_names
from selfsup_lifting.skeleton.skeletons import Skeleton

LAYOUT = "SLEAP"
# The axes of `tracks` where the file does not name them in `dims`.
MATLAB = ("track", "xy", "node", "frame")


def recognises(path: Path) -> bool:
    """Tell an HDF5 with `tracks` and `node_names`."""
    return holds(path, lambda file: "tracks" in file and "node_names" in file)


def read_views(path: Path, told: Skeleton | None) -> list[ViewTracks]:
    """Read what one camera saw.

    Args:
        path: The analysis file.
        told: What the joints are; told from the file's nodes and edges where None.

    Returns:
        Every track; nodes without a score have confidence one.

    Raises:
        ReadError: If it is not laid out as SLEAP does, saying what is wrong.
    """
    with opened_h5(path, LAYOUT) as file:
        nodes = [text_of(name) for name in file["node_names"][()]]
        edges = [(text_of(one), text_of(two)) for one, two in _array(file, "edge_names")]
        names = tuple(text_of(name) for name in _array(file, "track_names"))
        places, scores = _tracks(path, file, len(nodes))
    numbers = torch.cat([places, scores[..., None]], dim=-1)
    seen = numbers.isfinite().all(dim=-1).float().mean(dim=(0, 1)).tolist()
    body = body_by_names(path, nodes, links=edges, told=told, seen_share=seen)
    return [
        view_tracks(
            path.stem, path, LAYOUT, body.skeleton, numbers[:, :, list(body.order)],
            people=names if len(names) == numbers.shape[1] else (),
        )
    ]  # fmt: skip


def _tracks(
    path: Path,
    file: Any,  # noqa: ANN401 - h5py is untyped
    nodes: int,
) -> tuple[Float[Tensor, "frames people joints 2"], Float[Tensor, "frames people joints"]]:
    axes = _axes(file["tracks"], MATLAB)
    tracks = torch.from_numpy(file["tracks"][()]).float()
    if tracks.dim() != len(MATLAB) or set(axes) != set(MATLAB):
        raise ReadError(f"{path}: `tracks` must have the axes {MATLAB}, got {tuple(tracks.shape)}")
    places = tracks.permute([axes.index(axis) for axis in ("frame", "track", "node", "xy")])
    if places.shape[2:] != (nodes, 2):
        raise ReadError(
            f"{path}: `tracks` must have {nodes} nodes and 2 coordinates, got {tuple(tracks.shape)}"
        )
    if "point_scores" not in file:
        return places, torch.ones(places.shape[:-1])
    axes = _axes(file["point_scores"], tuple(axis for axis in axes if axis != "xy"))
    scores = torch.from_numpy(file["point_scores"][()]).float()
    scores = scores.permute([axes.index(axis) for axis in ("frame", "track", "node")])
    if scores.shape != places.shape[:-1]:
        raise ReadError(f"{path}: `point_scores` {tuple(scores.shape)} do not fit `tracks`")
    return places, scores.nan_to_num(0.0)


def _axes(dataset: Any, usual: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ANN401 - h5py is untyped
    told = dataset.attrs.get("dims")
    return usual if told is None else tuple(json.loads(text_of(told)))


def _array(file: Any, name: str) -> Any:  # noqa: ANN401 - h5py is untyped
    return file[name][()] if name in file else ()
