"""Read the 3D tracks that `save_tracks` wrote as NPZ or CSV."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from multiview_geom.camera_files.json_text import parse_json
from selfsup_lifting.parse.npz import load_npz
from selfsup_lifting.parse.tables import Row, read_rows
from selfsup_lifting.parse.text import beginning
from selfsup_lifting.parse.unpacking import require_written
from selfsup_lifting.read_errors import Place, ReadError, listed
from selfsup_lifting.safe_text import for_spreadsheet
from selfsup_lifting.skeleton.skeletons import Skeleton

# What a table of tracks begins with: its description in JSON.
DESCRIPTION = "# {"
COORDINATES = ("world", "camera", "root")
# The columns that say when a row was filmed.
TIMELINE = ("frame", "time")
# Times are often written in milliseconds: so much may two of them be apart by rounding [s].
ROUNDED = 0.0015
# The errors that reading a damaged file can raise.
DAMAGE = (OSError, KeyError, TypeError, ValueError, OverflowError)


@dataclass(frozen=True)
class SavedTracks:
    """3D tracks from a file.

    Attributes:
        points: Joint positions [m]; NaN where unknown.
        skeleton: The skeleton of the joints.
        fps: Frame rate [1/s].
        coordinates: Their coordinate frame: "camera", "root" or "world".
        up: The axis that points up, such as "z" or "-y"; None if the file does not say.
        notes: What a user should know about how the file was read.
    """

    points: Float[Tensor, "frames joints 3"]
    skeleton: Skeleton
    fps: float
    coordinates: str
    up: str | None = None
    notes: tuple[str, ...] = ()


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
        skeleton, fps = Skeleton.from_dict(found["skeleton"]), float(found["fps"])
        points, coordinates = torch.from_numpy(found["tracks"]).double(), str(found["coordinates"])
    except DAMAGE as error:
        if isinstance(error, ReadError | FileNotFoundError):
            raise
        raise Place(path).damaged("3D tracks", error) from error
    if points.shape[1:] != (len(skeleton.joints), 3):
        raise Place(path).expected(f"frames x {len(skeleton.joints)} joints x 3", found["tracks"])
    for key, known in (("unit", ("m",)), ("coordinates", COORDINATES)):
        if found.get(key, known[0]) not in known:
            raise Place(path, f"description.{key}").expected(" or ".join(known), found[key])
    frames, times = found.get("rows", ([], []))
    notes = (*found.get("notes", ()), *notes_on_rows(path, frames, times, fps))
    return SavedTracks(points, skeleton, fps, coordinates, notes=notes)


def notes_on_rows(
    path: Path, frames: Sequence[float], times: Sequence[float], fps: float, *, first: int = 0
) -> Iterator[str]:
    """Yield what the frame numbers and times of a table contradict: its rows are taken as frames.

    Args:
        path: The file.
        frames: The frame number of each row; NaN where unknown.
        times: The time of each row [s]; NaN where unknown.
        fps: The frame rate that the file states [1/s].
        first: The number that such a table gives to the first frame of a recording.

    Yields:
        A note.
    """
    if len(frames) and frames[0] > first:
        yield note_on_first_frame(path, frames[0], first)
    odd = [
        (one, other)
        for one, other in pairwise(frames)
        if isfinite(other - one) and other - one != 1
    ]
    if odd:
        yield (
            f"{path}: frame {odd[0][1]:g} follows frame {odd[0][0]:g}; rows are taken for frames "
            "that follow each other"
        )
    known = [(at, time) for at, time in enumerate(times) if isfinite(time)]
    if odd or len(known) < 2 or not fps > 0:  # noqa: PLR2004 - two ends
        return
    rows, seconds = known[-1][0] - known[0][0], known[-1][1] - known[0][1]
    if abs(seconds - rows / fps) > (0.25 + 0.01 * rows) / fps + ROUNDED:
        yield (
            f"{path}: by its times, a row takes {seconds / rows:.4g} s, by the frame rate it "
            f"states, {fps:g} per s, {1 / fps:.4g} s; the frame rate is taken"
        )


def note_on_first_frame(path: Path, number: float, first: int) -> str:
    """Say that the frames of a file may begin in the middle of a recording."""
    return (
        f"{path}: its first frame has the number {number:g}, usually {first}, and is taken for the "
        "first frame of the recording; if the file was cut from a longer one, its frames are shown "
        f"{number - first:g} frames too early"
    )


def _read_npz(path: Path) -> dict[str, Any]:
    """Return the description of a file and its tracks; empty if it holds other arrays."""
    found = load_npz(path, "description", "tracks")
    if "tracks" not in found:
        return {}
    return {**parse_json(str(found["description"])), "tracks": found["tracks"]}


def _read_csv(path: Path) -> dict[str, Any]:
    """Return the description of a file and its tracks; empty if it is another table."""
    require_written(path)
    with path.open(encoding="utf-8") as file:
        first = file.readline()
        if not first.startswith(DESCRIPTION):
            return {}
        names = next(csv.reader([file.readline()]), [])
        description = parse_json(first.removeprefix("# ").rstrip(";\t\n"))
        joints = Skeleton.from_dict(description["skeleton"]).joints
        if len(names) > 1:
            columns = [*_positions(path, names, joints), *_of_rows(names)]
            rows = _whole_rows(path, file, len(names))
            values = np.loadtxt(rows, delimiter=",", usecols=columns, ndmin=2)
        else:
            names, values = _of_spreadsheet(path, joints)
    wanted = 3 * len(joints)
    found = dict(zip(TIMELINE, values[:, wanted:].T.tolist(), strict=False))
    tracks = values[:, :wanted].reshape(len(values), len(joints), 3)
    timeline = (found["frame"], found["time"]) if len(found) == len(TIMELINE) else ([], [])
    return {
        **description,
        "tracks": tracks,
        "rows": timeline,
        "notes": _note_on_columns(path, names, joints),
    }


def _whole_rows(path: Path, lines: Iterable[str], count: int) -> Iterator[str]:
    """Yield the rows of a table; refuse one with fewer cells than the columns that it names."""
    for number, line in enumerate(lines, start=3):
        cells = line.count(",") + 1
        if cells < count and line.partition("#")[0].strip():
            raise Place(path, f"line {number}").error(
                f"expected {count} cells, got {cells}; likely cause: the file is cut off"
            )
        yield line


def _of_spreadsheet(
    path: Path, joints: Sequence[str]
) -> tuple[list[str], Float64[np.ndarray, "frames columns"]]:
    """Read a table that a spreadsheet saved, with semicolons or tabs."""
    header, *rows = read_rows(path) or [Row(Place(path), [])]
    columns = [*_positions(path, header.cells, joints), *_of_rows(header.cells)]
    values = [[row.number(at) for at in columns] for row in rows]
    return header.cells, np.array(values, dtype=np.float64).reshape(len(rows), len(columns))


def _columns_of(joints: Sequence[str]) -> list[str]:
    return [for_spreadsheet(f"{joint}_{axis}").strip() for joint in joints for axis in "xyz"]


def _of_rows(names: Sequence[str]) -> list[int]:
    """Return the columns of the frame and the time of a row, if the table has both."""
    plain = [name.strip() for name in names]
    return [plain.index(name) for name in TIMELINE] if {*TIMELINE} <= {*plain} else []


def _positions(path: Path, names: Sequence[str], joints: Sequence[str]) -> list[int]:
    """Return the columns of the joints' coordinates, in the order of the joints."""
    places = {name.strip(): at for at, name in enumerate(names)}
    lacking = [name for name in _columns_of(joints) if name not in places]
    if len(lacking) == 3 * len(joints):
        raise Place(path).expected("the columns <joint>_x, _y and _z", listed(names))
    if lacking:
        raise Place(path).error(
            f"expected the columns of the joints in its first line, but {listed(lacking)} are "
            "lacking"
        )
    return [places[name] for name in _columns_of(joints)]


def _note_on_columns(path: Path, names: Sequence[str], joints: Sequence[str]) -> tuple[str, ...]:
    """Return a note on columns of coordinates of no joint that the first line names."""
    known = {*_columns_of(joints)}
    more = [one for one in names if one.endswith(("_x", "_y", "_z")) and one.strip() not in known]
    return (f"{path}: columns that are not read: {listed(more)}",) if more else ()


_READERS = {".npz": _read_npz, ".csv": _read_csv}
