"""Read the 3D tracks that `save_tracks` wrote as NPZ or CSV."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from selfsup_lifting.parse.npz import load_npz
from selfsup_lifting.parse.tables import Row, read_rows
from selfsup_lifting.parse.text import beginning
from selfsup_lifting.parse.unpacking import require_written
from selfsup_lifting.read_errors import Place, ReadError, listed
from selfsup_lifting.skeleton.skeletons import Skeleton

# What a table of tracks begins with: its description in JSON.
DESCRIPTION = "# {"
# The errors that reading a damaged file can raise.
DAMAGE = (OSError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class SavedTracks:
    """3D tracks from a file.

    Attributes:
        points: Joint positions [m]; NaN where unknown.
        skeleton: The skeleton of the joints.
        fps: Frame rate [1/s].
        coordinates: Their coordinate frame: "camera", "root" or "world".
        up: The axis that points up, such as "z" or "-y"; None if the file does not say.
    """

    points: Float[Tensor, "frames joints 3"]
    skeleton: Skeleton
    fps: float
    coordinates: str
    up: str | None = None


def holds_tracks(path: Path) -> bool:
    """Return whether a file holds 3D tracks that `save_tracks` wrote as NPZ or CSV.

    A damaged table that begins as theirs does holds some too: reading it says what is wrong.
    """
    try:
        suffix = path.suffix.lower()
        return path.is_file() and suffix in _READERS and _READERS[suffix](path) != {}
    except DAMAGE:
        return path.suffix.lower() == ".csv" and beginning(path, ".csv").startswith(DESCRIPTION)


def load_tracks(path: Path) -> SavedTracks:
    """Read 3D tracks that `save_tracks` wrote as NPZ or CSV.

    Args:
        path: The file.

    Returns:
        The tracks, in meters and double precision.

    Raises:
        ReadError: If the file holds no tracks, or is damaged.
    """
    if path.suffix.lower() not in _READERS:
        raise ReadError(f"{path}: 3D tracks are read from {', '.join(_READERS)} files")
    try:
        found = _READERS[path.suffix.lower()](path)
        if not found:
            raise ReadError(f"{path}: expected 3D tracks that this package wrote")
        skeleton, values = Skeleton.from_dict(found["skeleton"]), found["tracks"]
        points = torch.from_numpy(values).double().reshape(len(values), len(skeleton.joints), 3)
        return SavedTracks(points, skeleton, float(found["fps"]), str(found["coordinates"]))
    except DAMAGE as error:
        if isinstance(error, ReadError | FileNotFoundError):
            raise
        raise Place(path).damaged("3D tracks", error) from error


def _read_npz(path: Path) -> dict[str, Any]:
    """Return the description of a file and its tracks; empty if it holds other arrays."""
    found = load_npz(path, "description", "tracks")
    if "tracks" not in found:
        return {}
    return {**json.loads(str(found["description"])), "tracks": found["tracks"]}


def _read_csv(path: Path) -> dict[str, Any]:
    """Return the description of a file and its tracks; empty if it is another table."""
    require_written(path)
    with path.open(encoding="utf-8") as file:
        first = file.readline()
        if not first.startswith(DESCRIPTION):
            return {}
        names = next(csv.reader([file.readline()]), [])
        if len(names) > 1:
            tracks = np.loadtxt(file, delimiter=",", usecols=_positions(path, names), ndmin=2)
        else:
            tracks = _of_spreadsheet(path)
    return {**json.loads(first.removeprefix("# ").rstrip(";\t\n")), "tracks": tracks}


def _of_spreadsheet(path: Path) -> Float64[np.ndarray, "frames coordinates"]:
    """Read the positions of a table that a spreadsheet saved, with semicolons or tabs."""
    header, *rows = read_rows(path) or [Row(Place(path), [])]
    positions = _positions(path, header.cells)
    return np.array([[row.number(at) for at in positions] for row in rows], dtype=np.float64)


def _positions(path: Path, names: Sequence[str]) -> list[int]:
    """Return the columns of coordinates."""
    found = [at for at, name in enumerate(names) if name.endswith(("_x", "_y", "_z"))]
    if not found:
        raise Place(path).expected("the columns <joint>_x, _y and _z", listed(names))
    return found


_READERS = {".npz": _read_npz, ".csv": _read_csv}
