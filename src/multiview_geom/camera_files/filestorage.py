"""The YAML and JSON that OpenCV's FileStorage writes: scalars, lists, maps and matrices.

OpenCV's YAML is a small part of the language, with a first line that YAML parsers refuse. Only
that part is read: no anchors, no aliases, no tags but those of matrices, nothing that could run
or grow. Scalars stay text until a number is asked for, so a camera named 01 keeps its name.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from torch import Tensor

from multiview_geom.camera_files.records import Place, number, parsed_numbers, table

MATRIX_TAGS = ("!!opencv-matrix", "!!opencv-nd-matrix")
ENTRY = re.compile(r'("[^"]*"|[^\s:"][^:]*?)\s*:(?:\s+(.*))?')
"""A key, a colon, and perhaps a value."""
OPEN_LIST = re.compile(r"(?:.*:\s+|-\s+)?\[[^\]]*")
"""A line that begins a list and does not end it."""
DEEPEST = 8
"""Maps inside maps that are followed."""


@dataclass(frozen=True)
class Line:
    """What a line says, lists that run over several lines joined."""

    place: Place
    indent: int
    said: str

    @property
    def is_item(self) -> bool:
        """Whether the line is an item of a list."""
        return self.said.startswith("- ")


def parse_yaml(path: Path, written: str) -> dict[str, object]:
    """Read the top-level map of a YAML file."""
    lines = list(_lines(path, written))
    value, end = _block(lines, 0, DEEPEST)
    if end < len(lines):
        raise lines[end].place.expected("a key, no deeper than those before it", lines[end].said)
    return table(Place(path), value)


def parse_json(path: Path, written: str) -> dict[str, object]:
    """Read the top-level map of a JSON file."""
    try:
        value = json.loads(written)
    except (ValueError, RecursionError) as reason:
        raise Place(path).expected("a calibration in JSON", str(reason)) from None
    return table(Place(path), value)


def matrix(place: Place, node: object, *shape: int) -> Tensor:
    """Return a matrix node as a float64 tensor of a shape with as many numbers."""
    return parsed_numbers(place, matrix_values(place, node), *shape)


def matrix_values(place: Place, node: object) -> list[object]:
    """Return the numbers of a matrix node, as they are written."""
    fields = table(place, node, "dt", "data")
    values = fields["data"]
    sizes = fields.get("sizes", [fields.get("rows"), fields.get("cols")])
    if not isinstance(values, list) or not isinstance(sizes, list):
        raise place.expected("sizes and numbers", f"{sizes} and {values}")
    channels = re.sub(r"\D", "", str(fields["dt"])) or 1
    if prod(number(place.at("sizes"), size) for size in [*sizes, channels]) != len(values):
        raise place.expected(f"numbers for sizes {sizes}", f"{len(values)} of them")
    return values


def _lines(path: Path, written: str) -> Iterator[Line]:
    parts: list[str] = []
    place, indent = Place(path), 0
    for count, line in enumerate(written.splitlines(), start=1):
        said = line.strip()
        if not parts:
            if not said or said.startswith(("%", "#", "---", "...")):
                continue
            place, indent = Place(path, f"line {count}"), len(line) - len(line.lstrip())
        parts.append(said)
        inside = len(parts) > 1 or OPEN_LIST.fullmatch(said)
        if inside and not said.endswith("]"):
            continue
        yield Line(place, indent, " ".join(parts))
        parts = []
    if parts:
        raise place.expected("a list that ends", " ".join(parts))


def _block(lines: list[Line], start: int, deepest: int) -> tuple[object, int]:
    """Read the list or map that starts at a line; return it and the line after it."""
    if start == len(lines):
        return {}, start
    if deepest == 0:
        raise lines[start].place.expected(f"maps no deeper than {DEEPEST}", lines[start].said)
    return _map(lines, start, deepest) if not lines[start].is_item else _list(lines, start)


def _list(lines: list[Line], start: int) -> tuple[list[object], int]:
    items: list[object] = []
    indent = lines[start].indent
    while start < len(lines) and lines[start].is_item and lines[start].indent == indent:
        items.append(_scalar(lines[start].place, lines[start].said[2:].strip()))
        start += 1
    return items, start


def _map(lines: list[Line], start: int, deepest: int) -> tuple[dict[str, object], int]:
    entries: dict[str, object] = {}
    indent = lines[start].indent
    while start < len(lines) and lines[start].indent == indent:
        line, start = lines[start], start + 1
        key, value = _entry(line)
        if key in entries:
            raise line.place.expected("a key of its own", f"`{key}` again")
        if value and value not in MATRIX_TAGS:
            entries[key] = _scalar(line.place, value)
        elif start < len(lines) and lines[start].indent + lines[start].is_item > indent:
            entries[key], start = _block(lines, start, deepest - 1)
        else:
            entries[key] = ""
    return entries, start


def _entry(line: Line) -> tuple[str, str]:
    match = ENTRY.fullmatch(line.said)
    if match is None:
        raise line.place.expected("`key: value`", line.said)
    return match[1].strip('"'), (match[2] or "").strip()


def _scalar(place: Place, value: str) -> object:
    if value.startswith(("&", "*", "!", "|", ">", "<<", "?")):
        raise place.expected("a plain value", value)
    if value.startswith("["):
        return [item.strip().strip('"') for item in value.strip("[]").split(",") if item.strip()]
    return value.strip('"')
