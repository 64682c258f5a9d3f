"""DeepLabCut: a table of x, y and likelihood, as HDF5 of pandas or as CSV."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from selfsup_lifting.files.tracks.person_frames import (
    frame_range,
    require_distinct_frames,
    skipped_frames_note,
)
from selfsup_lifting.files.tracks.view_tracks import DetectorFormat, ViewTracks, view_tracks
from selfsup_lifting.parse.hdf5 import array_at, is_hdf5_with, members, open_hdf5, text_of
from selfsup_lifting.parse.json_values import LARGEST_FRAME
from selfsup_lifting.parse.safe_pickle import unpickle
from selfsup_lifting.parse.tables import BEGINNING, SUFFIXES, first_cells, number_in, read_rows
from selfsup_lifting.parse.text import beginning
from selfsup_lifting.read_errors import Place, listed
from selfsup_lifting.skeleton.infer import body_by_names
from selfsup_lifting.skeleton.skeletons import Skeleton

NAME = "DeepLabCut"
COORDINATES = ("x", "y", "likelihood")
# In files of several animals, the body parts that belong to no animal have this individual.
NO_ANIMAL = "single"
HEADER = ("scorer", "bodyparts", "coords")
SINGLE_LEVELS, MULTI_LEVELS = 3, 4

Column = tuple[str, ...]


class Table(NamedTuple):
    """The rows of a file: their frame numbers, the names of the columns, and the values.

    The rows of a file of labels are the pictures that a person labeled, of one video.
    """

    frames: list[int]
    columns: list[Column]
    values: NDArray[np.float64]
    is_labeled: bool = False
    notes: tuple[str, ...] = ()


def _recognizes(path: Path) -> bool:
    """Recognize an HDF5 file of pandas, or a table whose first row begins with "scorer"."""
    if path.suffix.lower() in SUFFIXES:
        return first_cells(path)[:1] == ["scorer"] and not _is_in_space(path)
    return is_hdf5_with(path, lambda file: any(map(_is_pandas, members(file).values())))


def _read(path: Path, declared: Skeleton | None) -> list[ViewTracks]:
    """Read the `.h5` or `.csv` file of one camera, with one animal or several.

    A body part without coordinates is missing, even if it has a likelihood. A body part that was
    labeled by hand has no likelihood. Objects that belong to none of several animals are left out,
    and so are columns that ensemble smoothers add, such as `x_ens_var`.
    """
    table = _read_csv(path) if path.suffix.lower() in SUFFIXES else _read_hdf5(path)
    _require_columns(path, table.columns)
    _require_rows(path, table)
    animals = _animals(table.columns)
    parts = _parts(path, table.columns, animals)
    numbers, first_frame = _by_frame(path, table.frames, _numbers(table, animals or [""], parts))
    body = body_by_names(path, parts, declared=declared, numbers=numbers)
    unread = _distinct(column[-1] for column in table.columns if column[-1] not in COORDINATES)
    note = f"{path}: coordinates that are not read: {listed(unread)}"
    notes = (*table.notes, *skipped_frames_note(path, table.frames), *([note] if unread else []))
    view = view_tracks(
        path.stem, path, NAME, body, numbers, first_frame=first_frame, people=animals, notes=notes
    )
    every = not table.is_labeled
    return [replace(view, every_frame=every, whole_span=every)]


FORMAT = DetectorFormat("deeplabcut", _recognizes, _read)


def _numbers(
    table: Table, animals: Sequence[str], parts: Sequence[str]
) -> Float[Tensor, "rows animals parts 3"]:
    """Arrange the values of the columns by animal, body part and coordinate."""
    numbers = torch.full((len(table.frames), len(animals), len(parts), 3), torch.nan)
    values = torch.from_numpy(table.values).float()
    animal_at, part_at = ({name: at for at, name in enumerate(names)} for names in (animals, parts))
    for at, column in enumerate(table.columns):
        animal = column[-3] if len(column) == MULTI_LEVELS else ""
        if animal in animal_at and column[-1] in COORDINATES:
            place = animal_at[animal], part_at[column[-2]], COORDINATES.index(column[-1])
            numbers[(slice(None), *place)] = values[:, at]
    return numbers


def _by_frame(
    path: Path, present: Sequence[int], numbers: Float[Tensor, "rows animals parts 3"]
) -> tuple[Float[Tensor, "frames animals parts 3"], int]:
    """Sort the rows by their frame; frames without a row are missing."""
    require_distinct_frames(path, present)
    frames = frame_range(path, present)
    arranged = torch.full((len(frames), *numbers.shape[1:]), torch.nan)
    arranged[torch.tensor(present, dtype=torch.long) - frames.start] = numbers
    return arranged, frames.start


def _animals(columns: Sequence[Column]) -> tuple[str, ...]:
    """Return the names of the animals; none in a file of a single animal."""
    names = _distinct(column[-3] for column in columns if len(column) == MULTI_LEVELS)
    return tuple(name for name in names if len(names) == 1 or name != NO_ANIMAL)


def _parts(path: Path, columns: Sequence[Column], animals: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the body parts: those of the animals, each with x and y."""
    own = [column for column in columns if len(column) == SINGLE_LEVELS or column[-3] in animals]
    coordinates: dict[str, set[str]] = {}
    for column in own:
        coordinates.setdefault(column[-2], set()).add(column[-1])
    parts = tuple(part for part, known in coordinates.items() if known & {*COORDINATES})
    for part in parts:
        known = coordinates[part]
        if not {"x", "y"} <= known:
            raise Place(path).error(f"expected columns x and y of {part}, got {sorted(known)}")
    if not parts:
        names = ", ".join("/".join(column) for column in columns[:3])
        raise Place(path).error(f"expected columns {', '.join(COORDINATES)}, got {names}")
    return parts


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _is_in_space(path: Path) -> bool:
    """Return whether a table has a third coordinate: points of several cameras together."""
    header = beginning(path, *SUFFIXES, characters=BEGINNING).splitlines()[:MULTI_LEVELS]
    return any(re.match(r"coords[,;\t].*[,;\t]z([,;\t]|$)", line) for line in header)


def _require_columns(path: Path, columns: Sequence[Column]) -> None:
    if any(column[-1] == "z" for column in columns):
        raise Place(path).error("expected x, y and likelihood of a camera, got 3D points (x, y, z)")
    if not columns or len({len(column) for column in columns}) > 1:
        raise Place(path).error("expected columns with 3 or 4 header rows, as DeepLabCut writes")
    if len(columns[0]) not in {SINGLE_LEVELS, MULTI_LEVELS}:
        raise Place(path).error(f"expected 3 or 4 header rows, got {len(columns[0])}")
    for column, times in Counter(columns).items():
        if times > 1:
            raise Place(path).error(f"column {'/'.join(column)} appears twice")
    if len({column[1:] for column in columns}) < len(columns):
        scorers = listed(_distinct(column[0] for column in columns))
        raise Place(path).error(f"expected the columns of one scorer, got those of {scorers}")


def _require_rows(path: Path, table: Table) -> None:
    if not len(table.frames):
        raise Place(path).error("expected rows below the header, got none")
    shape = (len(table.frames), len(table.columns))
    if table.values.shape != shape or not table.frames:
        raise Place(path).error(
            f"expected a table of {shape[0]} rows and {shape[1]} columns, got {table.values.shape}"
        )


def _read_csv(path: Path) -> Table:
    rows = read_rows(path)
    is_multi = any(row.cells[:1] == ["individuals"] for row in rows[:MULTI_LEVELS])
    levels = MULTI_LEVELS if is_multi else SINGLE_LEVELS
    names = [row.cells[0] for row in rows[:levels]]
    lacking = [name for name in HEADER if name not in names]
    if lacking:
        elsewhere = [row.place.entry for row in rows[levels:] if row.cells[0] == lacking[0]]
        cause = f"{elsewhere[0]} has it: the table was sorted" if elsewhere else "it was deleted"
        raise Place(path).error(
            f"expected the header rows {', '.join(HEADER)}, got {', '.join(names)}; `{lacking[0]}` "
            f"is not there; likely cause: {cause}"
        )
    # Labels have one index column, or three: "labeled-data", the video and the picture.
    index = next((at for at, cell in enumerate(rows[0].cells) if at and cell), 1)
    columns = list(zip(*(row.cells[index:] for row in rows[:levels]), strict=True))
    body = rows[levels:]
    names = ["/".join(row.cells[:index]) for row in body]
    frames = [_frame(row.place, name) for row, name in zip(body, names, strict=True)]
    values = [[_number(row.place, cell) for cell in row.cells[index:]] for row in body]
    shape = (len(frames), len(columns))
    is_labeled = _is_labeled(path, names)
    return Table(frames, columns, np.array(values, dtype=np.float64).reshape(shape), is_labeled)


def _frame(place: Place, name: str) -> int:
    """Read the frame of a row: a number, or "labeled-data/video/img0012.png"."""
    try:
        number = number_in(name)
    except ValueError:
        digits = re.findall(r"\d+", Path(name).stem)
        number = float(digits[-1]) if digits else np.nan
    if not 0 <= number <= LARGEST_FRAME or number != int(number):
        raise place.expected("a frame number", name)
    return int(number)


def _is_labeled(path: Path, names: Iterable[str]) -> bool:
    """Return whether rows are pictures that a person labeled; refuse those of several videos."""
    pictures = [PureWindowsPath(name) for name in names if re.search(r"[^\d.]", name)]
    videos = _distinct(picture.parent.name for picture in pictures)
    if len(videos) > 1:
        raise Place(path).error(
            f"expected the labels of one video, got those of {listed(videos)}: give the file of "
            "each video"
        )
    return bool(pictures)


def _number(place: Place, cell: str) -> float:
    try:
        return number_in(cell)
    except ValueError:
        raise place.expected("a number", cell) from None


def _read_hdf5(path: Path) -> Table:
    with open_hdf5(path, "pandas") as file:
        tables = {name: group for name, group in members(file).items() if _is_pandas(group)}
        group, *others = tables.values()
        kind = text_of(group.attrs["pandas_type"])
        table = _read_table(path, group) if kind == "frame_table" else _read_fixed(path, group)
    note = f"{path}: has the tables {listed(tables)}; only the first is read"
    return table._replace(notes=(note,) if others else ())


def _read_table(path: Path, group: Any) -> Table:  # noqa: ANN401 - h5py is untyped
    """Read pandas' layout "table": one record per row, column names pickled as attributes."""
    rows, attributes = array_at(group, "table"), group["table"].attrs
    blocks = sorted(name for name in rows.dtype.names if name.startswith("values_block_"))
    columns: list[Column] = []
    for block in blocks:
        pickled = bytes(attributes[f"{block}_kind"])
        columns += [tuple(map(str, column)) for column in unpickle(pickled, Place(path))]
    values = np.concatenate([rows[block].reshape(len(rows), -1) for block in blocks], axis=1)
    names = [text_of(frame) for frame in rows["index"]]
    frames = [_frame(Place(path), name) for name in names]
    return Table(frames, columns, values.astype(np.float64), _is_labeled(path, names))


def _read_fixed(path: Path, group: Any) -> Table:  # noqa: ANN401 - h5py is untyped
    """Read pandas' layout "fixed": arrays of names, and of indices into them."""
    blocks = [f"block{at}" for at in range(int(group.attrs.get("nblocks", 1)))]
    columns = [
        tuple(map(text_of, one)) for each in blocks for one in _index(group, f"{each}_items")
    ]
    values = np.concatenate([array_at(group, f"{each}_values") for each in blocks], axis=1)
    names = ["/".join(map(text_of, row)) for row in _index(group, "axis1")]
    frames = [_frame(Place(path), name) for name in names]
    return Table(frames, columns, values.astype(np.float64), _is_labeled(path, names))


def _index(group: Any, name: str) -> list[tuple[Any, ...]]:  # noqa: ANN401 - h5py is untyped
    """Return an index of pandas' layout "fixed", one tuple of levels per entry."""
    if f"{name}_nlevels" not in group.attrs:
        return [(entry,) for entry in array_at(group, name)]
    levels = range(int(group.attrs[f"{name}_nlevels"]))
    known = [array_at(group, f"{name}_level{at}") for at in levels]
    labels = [array_at(group, f"{name}_label{at}") for at in levels]
    return [
        tuple(level[at] for level, at in zip(known, entry, strict=True))
        for entry in zip(*labels, strict=True)
    ]


def _is_pandas(group: Any) -> bool:  # noqa: ANN401 - h5py is untyped
    return "pandas_type" in group.attrs
