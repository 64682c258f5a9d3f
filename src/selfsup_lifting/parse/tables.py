"""Tables of text as spreadsheets write them: commas, semicolons or tabs between the cells."""

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from multiview_geom.camera_files.format import MINUS
from selfsup_lifting.parse.text import beginning, read_text
from selfsup_lifting.read_errors import Place

SUFFIXES = (".csv", ".tsv", ".txt")
SEPARATORS = (",", ";", "\t")
BEGINNING = 65_536
# Spreadsheets write rows of empty cells at the end; they count as blank lines.
EMPTY_CELLS = ",;\t "
# A decimal comma, which spreadsheets write between semicolons or tabs in many countries.
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


class LongCellError(Exception):
    """A row has a longer cell than Python's csv reads; its argument is the row's line."""


class Row(NamedTuple):
    """The cells of a row, and its place in the file."""

    place: Place
    cells: list[str]

    def number(self, column: int) -> float:
        """Return the number in a cell; NaN if the cell is empty."""
        try:
            return number_in(self.cells[column])
        except ValueError:
            place = replace(self.place, entry=f"{self.place.entry}, cell {column + 1}")
            raise place.expected("a number", self.cells[column]) from None


def first_cells(path: Path) -> list[str]:
    """Return the cells of the first row of a table; empty if the file can be none."""
    lines = beginning(path, *SUFFIXES, characters=BEGINNING).split("\n")
    line = next(filter(_has_cells, lines), "")
    return _cells([line])[0][1] if line else []


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a table, without empty lines and lines that begin with # or `sep=`.

    Rows of empty cells at the end are left out too.

    The separator is the one that is most frequent in the first row. Between semicolons or tabs, a
    comma inside a number is a decimal comma.

    Raises:
        ReadError: If a row has more or fewer cells than the first, or a cell is too long.
    """
    written = read_text(path).split("\n")  # other signs that end a line may stand in a cell
    while written and not written[-1].strip(EMPTY_CELLS):
        written.pop()
    lines = {at: line for at, line in enumerate(written, start=1) if _has_cells(line)}
    numbers, texts = [*lines], [*lines.values()]
    try:
        begun = _cells(texts)
    except LongCellError as error:
        place = Place(path, f"row {numbers[error.args[0]]}")
        raise place.error(
            f"a cell of more than {csv.field_size_limit():,} characters; likely cause: it is no "
            "table, or a quotation mark has no second one"
        ) from None
    rows = [Row(Place(path, f"row {numbers[at]}"), cells) for at, cells in begun]
    ends = [at for at, _ in begun[1:]]
    for (place, cells), (at, _), end in zip(rows, begun, [*ends, len(texts)], strict=False):
        more_lines = texts[at + 1 : end]
        if more_lines and any(len(inside) == len(cells) for _, inside in _cells(more_lines)):
            raise place.error(
                f"a quotation mark ends in row {numbers[end - 1]} only, so that the rows between "
                "are in one cell; likely cause: a mark of inches, or one of a pair was deleted"
            )
        if len(cells) != len(rows[0].cells):
            more = len(cells) > len(rows[0].cells)
            cause = "; likely cause: a separator in a cell, such as a decimal comma" if more else ""
            raise place.error(f"expected {len(rows[0].cells)} cells, got {len(cells)}{cause}")
    return rows


def _has_cells(line: str) -> bool:
    """Return whether a line is one of the table: not blank, no remark, no `sep=;` for Excel."""
    return bool(line.strip()) and not line.startswith(("#", "sep="))


def number_in(cell: str) -> float:
    """Return the number in a cell; NaN if it is empty. A ValueError says that it is no number."""
    if "_" in cell:  # which Python, and no table, takes for a mark between digits
        raise ValueError(cell)
    return float(cell.replace(MINUS, "-")) if cell else float("nan")


def _cells(lines: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Return the line in which each row begins, and its cells: one may hold several lines."""
    separator = max(SEPARATORS, key=lines[0].count) if lines else ","
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    rows, begins = [], 0
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            rows.append((begins, cells if separator == "," else [*map(_with_decimal_point, cells)]))
            begins = reader.line_num
    except csv.Error:
        raise LongCellError(begins) from None
    return rows


def _with_decimal_point(cell: str) -> str:
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell
