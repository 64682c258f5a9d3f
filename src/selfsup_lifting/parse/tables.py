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
    lines = beginning(path, *SUFFIXES, characters=BEGINNING).splitlines()
    line = next(filter(_has_cells, lines), "")
    return _cells([line])[0] if line else []


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a table, without empty lines and lines that begin with # or `sep=`.

    Rows of empty cells at the end are left out too.

    The separator is the one that is most frequent in the first row. Between semicolons or tabs, a
    comma inside a number is a decimal comma.

    Raises:
        ReadError: If a row has more or fewer cells than the first, or a cell is too long.
    """
    written = read_text(path).splitlines()
    while written and not written[-1].strip(EMPTY_CELLS):
        written.pop()
    lines = {at: line for at, line in enumerate(written, start=1) if _has_cells(line)}
    places = [Place(path, f"row {number}") for number in lines]
    try:
        rows = [Row(*row) for row in zip(places, _cells([*lines.values()]), strict=False)]
    except csv.Error as error:
        raise Place(path).damaged("a table", error) from None
    for place, cells in rows:
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


def _cells(lines: Sequence[str]) -> list[list[str]]:
    separator = max(SEPARATORS, key=lines[0].count) if lines else ","
    rows = [
        [cell.strip() for cell in row]
        for row in csv.reader(lines, delimiter=separator, skipinitialspace=True)
    ]
    if separator == ",":
        return rows
    return [[_with_decimal_point(cell) for cell in row] for row in rows]


def _with_decimal_point(cell: str) -> str:
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell
