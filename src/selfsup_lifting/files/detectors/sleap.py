"""SLEAP: the analysis HDF5 file, whose arrays are transposed for MATLAB."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom.camera_files.json_text import parse_json
from selfsup_lifting.files.tracks.view_tracks import DetectorFormat, ViewTracks, view_tracks
from selfsup_lifting.parse.hdf5 import array_at, is_hdf5_with, open_hdf5, text_of
from selfsup_lifting.read_errors import Place
from selfsup_lifting.skeleton.infer import body_by_names
from selfsup_lifting.skeleton.skeletons import Skeleton

NAME = "SLEAP"
# The axes of `tracks` if the file does not name them in `dims`.
MATLAB_AXES = ("track", "xy", "node", "frame")


def _recognizes(path: Path) -> bool:
    return is_hdf5_with(path, lambda file: "tracks" in file and "node_names" in file)


def _read(path: Path, declared: Skeleton | None) -> list[ViewTracks]:
    """Read every track; points that a person placed have no score."""
    with open_hdf5(path, NAME) as file:
        nodes = [text_of(name) for name in array_at(file, "node_names")]
        edges = [(text_of(one), text_of(two)) for one, two in _array(file, "edge_names")]
        unknown = [node for edge in edges for node in edge if node not in nodes]
        if unknown:
            raise Place(path, "edge_names").expected(f"nodes of {', '.join(nodes)}", unknown[0])
        names = tuple(text_of(name) for name in _array(file, "track_names"))
        points, scores = _points_and_scores(Place(path), file, len(nodes))
    numbers = torch.cat([points, scores[..., None]], dim=-1)
    body = body_by_names(path, nodes, links=edges, declared=declared, numbers=numbers)
    people = names if len(names) == numbers.shape[1] else ()
    note = f"{path}: {len(names)} names of {numbers.shape[1]} tracks are not read"
    notes = (note,) if names and not people else ()
    return [view_tracks(path.stem, path, NAME, body, numbers, people=people, notes=notes)]


FORMAT = DetectorFormat("sleap", _recognizes, _read)


def _points_and_scores(
    place: Place,
    file: Any,  # noqa: ANN401 - h5py is untyped
    nodes: int,
) -> tuple[Float[Tensor, "frames people joints 2"], Float[Tensor, "frames people joints"]]:
    axes = _axes(file["tracks"], MATLAB_AXES)
    tracks = _numbers(place, file, "tracks")
    if tracks.dim() != len(MATLAB_AXES) or set(axes) != set(MATLAB_AXES):
        raise place.at("tracks").expected(f"the axes {', '.join(MATLAB_AXES)}", tracks)
    points = tracks.permute([*map(axes.index, ("frame", "track", "node", "xy"))])
    if points.shape[2:] != (nodes, 2):
        raise place.at("tracks").expected(f"{nodes} nodes and 2 coordinates", tracks)
    if "point_scores" not in file:
        return points, torch.full(points.shape[:-1], torch.nan)
    axes = _axes(file["point_scores"], tuple(axis for axis in axes if axis != "xy"))
    scores = _numbers(place, file, "point_scores")
    scores = scores.permute([*map(axes.index, ("frame", "track", "node"))])
    if scores.shape != points.shape[:-1]:
        raise place.at("point_scores").expected(
            f"scores of {points.shape[0]} frames, {points.shape[1]} tracks and {points.shape[2]} "
            "nodes, as `tracks` has",
            tuple(scores.shape),
        )
    return points, scores


def _numbers(place: Place, file: Any, name: str) -> Tensor:  # noqa: ANN401 - h5py is untyped
    if file[name].dtype.kind not in "fiuc":
        raise place.at(name).error(f"expected numbers, got the type {file[name].dtype}")
    return torch.from_numpy(array_at(file, name)).float()


def _axes(dataset: Any, default: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ANN401 - h5py is untyped
    names = dataset.attrs.get("dims")
    return default if names is None else tuple(parse_json(text_of(names)))


def _array(file: Any, name: str) -> Any:  # noqa: ANN401 - h5py is untyped
    return array_at(file, name) if name in file else ()
