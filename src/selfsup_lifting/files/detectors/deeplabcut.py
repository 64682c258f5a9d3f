"""DeepLabCut: a table of x, y and likelihood, as HDF5 of pandas or as CSV."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from selfsup_lifting.files.parse.hdf5 import is_hdf5_with, open_hdf5, text_of
from selfsup_lifting.files.parse.safe_pickle import unpickle
from selfsup_lifting.files.parse.text import beginning, read_text
from selfsup_lifting.files.tracks.person_frames import (
    frame_range,
    require_distinct_frames,
    skipped_frames_note,
)
from selfsup_lifting.files.tracks.view_tracks import DetectorFormat, ViewTracks, view_tracks
from selfsup_lifting.read_errors import Place
from selfsup_lifting.skeleton.infer import body_by_names
from selfsup_lifting.skeleton.skeletons import Skeleton

NAME = "DeepLabCut"
COORDINATES = ("x", "y", "likelihood")
# In files of several animals, the body parts that belong to no animal have this individual.
NO_ANIMAL = "single"
SINGLE_LEVELS, MULTI_LEVELS = 3, 4

Column = tuple[str, ...]


class Table(NamedTuple):
    """The rows of a file: their frame numbers, the names of the columns, and the values."""

    frames: list[int]
    columns: list[Column]
    values: NDArray[np.float64]


def _recognizes(path: Path) -> bool:
    """Recognize an HDF5 file of pandas, or a CSV file whose first row begins with "scorer"."""
    if path.suffix == ".csv":
        return beginning(path, ".csv").startswith("scorer,")
    return is_hdf5_with(path, lambda file: any(_is_pandas(group) for group in file.values()))


def _read(path: Path, declared: Skeleton | None) -> list[ViewTracks]:
    """Read the `.h5` or `.csv` file of one camera, with one animal or several.

    A body part without coordinates is missing, even if it has a likelihood.
    """
    table = _read_csv(path) if path.suffix == ".csv" else _read_hdf5(path)
    _require_columns(path, table.columns)
    _require_rows(path, table)
    animals = _animals(table.columns)
    parts = _distinct(column[-2] for column in table.columns)
    numbers, first_frame = _by_frame(path, table.frames, _numbers(table, animals or [""], parts))
    body = body_by_names(path, parts, declared=declared, numbers=numbers)
    notes = skipped_frames_note(path, table.frames)
    return [
        view_tracks(
            path.stem, path, NAME, body, numbers,
            first_frame=first_frame, people=animals, notes=notes,
        )
    ]  # fmt: skip


FORMAT = DetectorFormat("deeplabcut", _recognizes, _read)


def _numbers(
    table: Table, animals: Sequence[str], parts: Sequence[str]
) -> Float[Tensor, "rows animals parts 3"]:
    """Arrange the values of the columns by animal, body part and coordinate."""
    numbers = torch.full((len(table.frames), len(animals), len(parts), 3), torch.nan)
    values = torch.from_numpy(table.values).float()
    for at, column in enumerate(table.columns):
        animal = column[-3] if len(column) == MULTI_LEVELS else ""
        if animal in animals:
            part, coordinate = parts.index(column[-2]), COORDINATES.index(column[-1])
            numbers[:, animals.index(animal), part, coordinate] = values[:, at]
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


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _require_columns(path: Path, columns: Sequence[Column]) -> None:
    if not columns or len({len(column) for column in columns}) > 1:
        raise Place(path).error("expected columns with 3 or 4 header rows, as DeepLabCut writes")
    if len(columns[0]) not in {SINGLE_LEVELS, MULTI_LEVELS}:
        raise Place(path).error(f"expected 3 or 4 header rows, got {len(columns[0])}")
    for column, times in Counter(columns).items():
        name = "/".join(column)
        if column[-1] not in COORDINATES:
            raise Place(path).error(f"expected columns {', '.join(COORDINATES)}, got {name}")
        if times > 1:
            raise Place(path).error(f"column {name} appears twice")


def _require_rows(path: Path, table: Table) -> None:
    shape = (len(table.frames), len(table.columns))
    if table.values.shape != shape or not table.frames:
        raise Place(path).error(
            f"expected a table of {shape[0]} rows and {shape[1]} columns, got {table.values.shape}"
        )


def _read_csv(path: Path) -> Table:
    rows = list(csv.reader(io.StringIO(read_text(path))))
    is_multi = any("individuals" in row[:1] for row in rows[:MULTI_LEVELS])
    levels = MULTI_LEVELS if is_multi else SINGLE_LEVELS
    rows = [*rows[:levels], *filter(None, rows[levels:])]
    places = [Place(path, f"row {number}") for number, _ in enumerate(rows, start=1)]
    for place, row in zip(places, rows, strict=True):
        if len(row) != len(rows[0]):
            raise place.error(f"expected {len(rows[0])} cells, got {len(row)}")
    columns = list(zip(*(row[1:] for row in rows[:levels]), strict=True))
    body = list(zip(places, rows, strict=True))[levels:]
    frames = [_frame(place, row[0]) for place, row in body]
    values = [[_number(place, cell) for cell in row[1:]] for place, row in body]
    shape = (len(frames), len(columns))
    return Table(frames, columns, np.array(values, dtype=np.float64).reshape(shape))


def _frame(place: Place, cell: str) -> int:
    """Read the frame of a row: a number, or "labeled-data/video/img0012.png"."""
    digits = cell if cell.isdigit() else "".join(filter(str.isdigit, Path(cell).stem))
    if not digits:
        raise place.expected("a frame number", cell)
    return int(digits)


def _number(place: Place, cell: str) -> float:
    try:
        return float(cell) if cell.strip() else np.nan
    except ValueError:
        raise place.expected("a number", cell) from None


def _read_hdf5(path: Path) -> Table:
    with open_hdf5(path, "pandas") as file:
        group = next(group for group in file.values() if _is_pandas(group))
        kind = text_of(group.attrs["pandas_type"])
        return _read_table(path, group) if kind == "frame_table" else _read_fixed(group)


def _read_table(path: Path, group: Any) -> Table:  # noqa: ANN401 - h5py is untyped
    """Read pandas' layout "table": one record per row, column names pickled as attributes."""
    table = group["table"]
    rows = table[()]
    blocks = sorted(name for name in rows.dtype.names if name.startswith("values_block_"))
    columns: list[Column] = []
    for block in blocks:
        pickled = bytes(table.attrs[f"{block}_kind"])
        columns += [tuple(map(str, column)) for column in unpickle(pickled, path)]
    values = np.concatenate([rows[block].reshape(len(rows), -1) for block in blocks], axis=1)
    return Table([int(frame) for frame in rows["index"]], columns, values.astype(np.float64))


def _read_fixed(group: Any) -> Table:  # noqa: ANN401 - h5py is untyped
    """Read pandas' layout "fixed": arrays of names, and of indices into them."""
    levels = range(int(group.attrs["block0_items_nlevels"]))
    names = [[text_of(name) for name in group[f"block0_items_level{at}"][()]] for at in levels]
    indices = [group[f"block0_items_label{at}"][()] for at in levels]
    columns = [
        tuple(name[index] for name, index in zip(names, column, strict=True))
        for column in zip(*indices, strict=True)
    ]
    values = np.asarray(group["block0_values"][()], dtype=np.float64)
    return Table([int(frame) for frame in group["axis1"][()]], columns, values)


def _is_pandas(group: Any) -> bool:  # noqa: ANN401 - h5py is untyped
    return "pandas_type" in group.attrs
