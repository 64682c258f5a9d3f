"""Read the 3D tracks that `save_tracks` wrote as NPZ or CSV."""

import csv
import re
from collections import Counter
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

from selfsup_lifting.parse.description import read_description
from selfsup_lifting.parse.npz import array_names, load_npz
from selfsup_lifting.parse.tables import Row, read_rows
from selfsup_lifting.parse.text import beginning, encoding_of
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

    A damaged file that begins as theirs does holds some too: reading it says what is wrong.
    """
    if path.suffix.lower() == ".npz":
        return {"description", "tracks"} <= array_names(path)
    return beginning(path, ".csv").startswith(DESCRIPTION)


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
        points, coordinates = _points(path, found["tracks"]), str(found["coordinates"])
    except DAMAGE as error:
        if isinstance(error, ReadError | FileNotFoundError):
            raise
        raise Place(path).damaged("3D tracks", error) from error
    if not len(points) or points.shape[1:] != (len(skeleton.joints), 3):
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
    if known and len(known) < len(times):
        at = next(at for at, time in enumerate(times) if not isfinite(time))
        yield f"{path}: the time of frame {frames[at]:g} is {times[at]:g}, no time"
    back = next((pair for pair in pairwise(known) if pair[1][1] < pair[0][1]), None)
    if back:
        (one, before), (other, after) = back
        yield (
            f"{path}: the time goes back from {before:g} s in frame {frames[one]:g} to {after:g} s "
            f"in frame {frames[other]:g}; rows are taken for frames that follow each other"
        )
    if odd or back or len(known) < 2 or not fps > 0:  # noqa: PLR2004 - two ends
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
    if found.keys() < {"description", "tracks"}:
        return {}
    written = found.pop("description")
    return {**read_description(path, written, "3D tracks"), **found}


def _points(path: Path, tracks: object) -> Float64[Tensor, "..."]:
    if not isinstance(tracks, np.ndarray) or tracks.dtype.kind not in "fiu":
        raise Place(path, "tracks").expected("an array of numbers", tracks)
    return torch.from_numpy(tracks.astype(np.float64))


def _read_csv(path: Path) -> dict[str, Any]:
    """Return the description of a file and its tracks; empty if it is another table."""
    require_written(path)
    with path.open(encoding=encoding_of(path)) as file:
        first = file.readline()
        if not first.startswith(DESCRIPTION):
            return {}
        names = next(csv.reader([file.readline()]), [])
        text = first.removeprefix("# ").rstrip(";\t\n")
        description = read_description(path, text, "3D tracks")
        joints = Skeleton.from_dict(description["skeleton"]).joints
        if len(names) > 1:
            columns = [*_positions(path, names, joints), *_of_rows(names)]
            values = _Rows(path, names).numbers(file, columns)
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


@dataclass
class _Rows:
    """The rows of a table with commas, and the line that was read last."""

    path: Path
    names: Sequence[str]
    number: int = 0
    line: str = ""

    def numbers(
        self, lines: Iterable[str], columns: Sequence[int]
    ) -> Float64[np.ndarray, "frames columns"]:
        """Read columns; a ReadError names the line and the column of what is no number."""
        try:
            return np.loadtxt(self._whole(lines), delimiter=",", usecols=columns, ndmin=2)
        except ValueError as error:
            column = re.search(r" to float64 at row \d+, column (\d+)", str(error))
            if isinstance(error, ReadError) or column is None:
                raise
            at = int(column[1]) - 1
            place = Place(self.path, f"line {self.number}, column {self.names[at].strip()}")
            raise place.expected("a number", self.line.split(",")[at].strip()) from None

    def _whole(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield the rows; refuse one with fewer or more cells than the columns have names."""
        count = len(self.names)
        for self.number, self.line in enumerate(lines, start=3):
            row = self.line.partition("#")[0].strip()
            cells = row.count(",") + 1
            if row and cells != count:
                cause = "a comma in a number" if cells > count else "the file is cut off"
                raise Place(self.path, f"line {self.number}").error(
                    f"expected {count} cells, got {cells}; likely cause: {cause}"
                )
            yield self.line


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
    counts, wanted = Counter(map(str.strip, names)), _columns_of(joints)
    if twice := [name for name in (*TIMELINE, *wanted) if counts[name] > 1]:
        raise Place(path).error(f"several of its columns have the same name: {listed(twice)}")
    lacking = [name for name in wanted if name not in places]
    if len(lacking) == len(wanted):
        raise Place(path).expected("the columns <joint>_x, _y and _z", listed(names))
    if lacking:
        raise Place(path).error(
            f"expected the columns of the joints in its first line, but {listed(lacking)} are "
            "lacking"
        )
    return [places[name] for name in wanted]


def _note_on_columns(path: Path, names: Sequence[str], joints: Sequence[str]) -> tuple[str, ...]:
    """Return a note on columns of coordinates of no joint that the first line names."""
    known = {*_columns_of(joints)}
    more = [one for one in names if one.endswith(("_x", "_y", "_z")) and one.strip() not in known]
    return (f"{path}: columns that are not read: {listed(more)}",) if more else ()


_READERS = {".npz": _read_npz, ".csv": _read_csv}
