"""DeepLabCut: a table of x, y and likelihood, as HDF5 of pandas or as CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from selfsup_lifting.files.detectors.person_frames import covering_range, gap_notes
from selfsup_lifting.files.detectors.view_tracks import ViewTracks, view_tracks
from selfsup_lifting.files.parse.hdf5 import holds, opened_h5, text_of
from selfsup_lifting.files.parse.json_values import read_text
from selfsup_lifting.files.parse.safe_pickle import unpickle
from selfsup_lifting.recording import ReadError
from selfsup_lifting.skeleton.infer import body_by_names
from selfsup_lifting.skeleton.skeletons import Skeleton

LAYOUT = "DeepLabCut"
COORDINATES = ("x", "y", "likelihood")
# Where several animals are tracked, what belongs to none of them stands under this name.
NOBODYS = "single"
SINGLE_LEVELS, MULTI_LEVELS = 3, 4

Column = tuple[str, ...]


def recognises(path: Path) -> bool:
    """Tell the pandas HDF5, or the CSV whose first row begins with "scorer"."""
    if path.suffix == ".csv" and path.is_file():
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.readline().startswith("scorer,")
    return holds(path, _has_pandas_table)


def read_views(path: Path, told: Skeleton | None) -> list[ViewTracks]:
    """Read what one camera saw.

    Args:
        path: The `.h5` or `.csv` file, of one animal or of several.
        told: What the joints are; told from the file's body parts where None.

    Returns:
        Everybody in every frame. A body part without coordinates is missing, whatever its
        likelihood says.

    Raises:
        ReadError: If it is not laid out as DeepLabCut does, saying where.
    """
    index, columns, values = _read_csv(path) if path.suffix == ".csv" else _read_h5(path)
    _require_columns(path, columns)
    _require_table(path, values, len(index), len(columns))
    people = _distinct(column[-3] for column in columns) if _is_multi(columns) else ("",)
    people = tuple(person for person in people if person != NOBODYS or len(people) == 1)
    parts = _distinct(column[-2] for column in columns)
    numbers = torch.full((len(index), len(people), len(parts), 3), torch.nan)
    for at, column in enumerate(columns):
        person = column[-3] if _is_multi(columns) else ""
        if person in people:
            place = people.index(person), parts.index(column[-2]), COORDINATES.index(column[-1])
            numbers[:, place[0], place[1], place[2]] = torch.from_numpy(values[:, at]).float()
    laid, first = _by_frame(path, index, numbers)
    seen = laid.isfinite().all(dim=-1).float().mean(dim=(0, 1)).tolist()
    body = body_by_names(path, parts, told=told, seen_share=seen)
    names = people if _is_multi(columns) else ()
    return [
        view_tracks(
            path.stem, path, LAYOUT, body.skeleton, laid[:, :, list(body.order)],
            first_frame=first, people=names, notes=gap_notes(path, index),
        )
    ]  # fmt: skip


def _by_frame(
    path: Path, index: Sequence[int], numbers: Float[Tensor, "rows people joints 3"]
) -> tuple[Float[Tensor, "frames people joints 3"], int]:
    """Sort the rows by their frame; frames that have no row are missing."""
    if len(set(index)) < len(index):
        twice = next(frame for frame in index if index.count(frame) > 1)
        raise ReadError(f"{path}: frame {twice} stands there twice")
    frames = covering_range(path, index)
    laid = torch.full((len(frames), *numbers.shape[1:]), torch.nan)
    laid[torch.tensor(index, dtype=torch.long) - frames.start] = numbers
    return laid, frames.start


def _is_multi(columns: Sequence[Column]) -> bool:
    return len(columns[0]) == MULTI_LEVELS


def _distinct(names: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _require_columns(path: Path, columns: Sequence[Column]) -> None:
    if not columns or len({len(column) for column in columns}) > 1:
        raise ReadError(f"{path}: its columns are not laid out as DeepLabCut does")
    if len(columns[0]) not in {SINGLE_LEVELS, MULTI_LEVELS}:
        raise ReadError(f"{path}: expected 3 or 4 header rows, got {len(columns[0])}")
    for column in columns:
        if column[-1] not in COORDINATES:
            raise ReadError(
                f"{path}: expected columns {', '.join(COORDINATES)}, got {'/'.join(column)}"
            )
    if len(set(columns)) < len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise ReadError(f"{path}: column {'/'.join(twice)} stands there twice")


def _require_table(path: Path, values: NDArray[np.float64], rows: int, columns: int) -> None:
    if values.shape != (rows, columns) or not rows:
        raise ReadError(
            f"{path}: expected a table of {rows} rows and {columns} columns, got {values.shape}"
        )


def _read_csv(path: Path) -> tuple[list[int], list[Column], NDArray[np.float64]]:
    rows = list(csv.reader(io.StringIO(read_text(path))))
    names = [row[0] if row else "" for row in rows[:MULTI_LEVELS]]
    levels = MULTI_LEVELS if "individuals" in names else SINGLE_LEVELS
    header, body = rows[:levels], [row for row in rows[levels:] if row]
    width = len(header[0])
    for number, row in enumerate([*header, *body], start=1):
        if len(row) != width:
            raise ReadError(f"{path}, row {number}: expected {width} cells, got {len(row)}")
    columns = list(zip(*(row[1:] for row in header), strict=True))
    index = [_frame(path, row[0], number) for number, row in enumerate(body, start=levels + 1)]
    values = [
        [_number(path, cell, number) for cell in row[1:]]
        for number, row in enumerate(body, start=levels + 1)
    ]
    return index, columns, np.array(values, dtype=np.float64).reshape(len(index), len(columns))


def _frame(path: Path, cell: str, row: int) -> int:
    """Read a row's frame: a number, or labelled-data/video/img0012.png."""
    digits = cell if cell.isdigit() else "".join(filter(str.isdigit, Path(cell).stem))
    if not digits:
        raise ReadError(f"{path}, row {row}: expected the number of a frame, got {cell!r}")
    return int(digits)


def _number(path: Path, cell: str, row: int) -> float:
    try:
        return float(cell) if cell.strip() else np.nan
    except ValueError:
        raise ReadError(f"{path}, row {row}: expected a number, got {cell!r}") from None


def _read_h5(path: Path) -> tuple[list[int], list[Column], NDArray[np.float64]]:
    with opened_h5(path, "pandas") as file:
        group = next(group for group in file.values() if _is_pandas(group))
        kind = text_of(group.attrs["pandas_type"])
        return _read_table(path, group) if kind == "frame_table" else _read_fixed(group)


def _read_table(path: Path, group: Any) -> tuple[list[int], list[Column], NDArray[np.float64]]:  # noqa: ANN401 - h5py is untyped
    """Read the layout "table": one record per row, the columns' names pickled as attributes."""
    table = group["table"]
    rows = table[()]
    blocks = sorted(name for name in rows.dtype.names if name.startswith("values_block_"))
    columns: list[Column] = []
    for block in blocks:
        pickled = bytes(table.attrs[f"{block}_kind"])
        columns += [tuple(map(str, column)) for column in unpickle(pickled, path)]
    values = np.concatenate([rows[block].reshape(len(rows), -1) for block in blocks], axis=1)
    return [int(frame) for frame in rows["index"]], columns, values.astype(np.float64)


def _read_fixed(group: Any) -> tuple[list[int], list[Column], NDArray[np.float64]]:  # noqa: ANN401 - h5py is untyped
    """Read the layout "fixed": arrays of levels and of the places in them."""
    levels = int(group.attrs["block0_items_nlevels"])
    names = [
        [text_of(name) for name in group[f"block0_items_level{at}"][()]] for at in range(levels)
    ]
    places = [group[f"block0_items_label{at}"][()] for at in range(levels)]
    columns = [
        tuple(name[place] for name, place in zip(names, column, strict=True))
        for column in zip(*places, strict=True)
    ]
    values = np.asarray(group["block0_values"][()], dtype=np.float64)
    return [int(frame) for frame in group["axis1"][()]], columns, values


def _has_pandas_table(file: Any) -> bool:  # noqa: ANN401 - h5py is untyped
    return any(_is_pandas(group) for group in file.values())


def _is_pandas(group: Any) -> bool:  # noqa: ANN401 - h5py is untyped
    return "pandas_type" in group.attrs
