"""OpenCV's FileStorage: its YAML, and the matrices in its YAML and JSON.

Scalars stay text until a number is asked for, so a camera named 01 keeps its name. Tags other
than OpenCV's matrices, aliases and deep nesting are refused: nothing in a file can run or grow.
"""

import re
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.values import coefficients, number, parsed_numbers, table
from multiview_geom.lenses.lens import Lens

if TYPE_CHECKING:
    import yaml

Tree = dict[str, object]

TAGS = {
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "seq", "map", "opencv-matrix", "opencv-nd-matrix")
}
DEEPEST = 8
"""Deepest nesting that is read; a matrix in a map has three levels."""
LONGEST = 2_000_000
"""Most characters of a file: `MOST_CAMERAS` need half of them, and PyYAML reads slowly."""
NUMBERS_PER_LINE = 9
NEXT_DOCUMENT = re.compile(r"(?m)^%YAML")
SECOND_DOCUMENT = "but found another document"
"""What the parser says of a file with several."""


def parse_yaml(path: Path, text: str) -> Tree:
    """Read the top-level map of a YAML file."""
    import yaml

    if len(text) > LONGEST:
        raise FilePlace(path).expected(f"at most {LONGEST} characters of YAML", f"{len(text)}")
    # OpenCV's first line, `%YAML:1.0`, is no YAML directive; ROS ends each message with `---`.
    text = re.sub(r"\A%YAML[^\n]*|\n---\s*\Z", "", text)
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except RecursionError:
        raise FilePlace(path).expected(f"maps no deeper than {DEEPEST}", "deeper ones") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else ""
        reason = str(getattr(error, "problem", None) or error)
        if reason == SECOND_DOCUMENT or NEXT_DOCUMENT.search(text):
            raise FilePlace(path, where).expected("one document", "a second one") from None
        raise FilePlace(path, where).expected("a calibration in YAML", reason) from None
    return table(FilePlace(path), {} if root is None else _value(path, root, DEEPEST, set()))


def matrix(place: FilePlace, node: object, *shape: int) -> Tensor:
    """Return a matrix node as a float64 tensor of a shape with as many numbers."""
    values = matrix_values(place, node)
    sizes = _sizes(place, table(place, node))
    if min(shape) > 1 and sizes == [*reversed(shape)] != [*shape]:
        expected, got = (" x ".join(f"{size:g}" for size in one) for one in (shape, sizes))
        raise place.expected(f"a matrix of {expected}", f"one of {got}: is it transposed?")
    return parsed_numbers(place, values, *shape)


def matrix_values(place: FilePlace, node: object) -> list[object]:
    """Return the numbers of a matrix node, as they are written."""
    fields = table(place, node, "dt", "data")
    values = fields["data"]
    if not isinstance(values, list):
        raise place.at("data").expected("a list of numbers", values)
    sizes = _sizes(place, fields)
    channels = re.sub(r"\D", "", str(fields["dt"])) or 1
    if prod(sizes) * number(place.at("dt"), channels) != len(values):
        written = " x ".join(f"{size:g}" for size in sizes)
        raise place.expected(f"numbers for sizes {written}", f"{len(values)} of them")
    return values


def _sizes(place: FilePlace, fields: Tree) -> list[float]:
    """Return the sizes of a matrix of two axes, or of any number of axes."""
    if "sizes" not in fields:
        sizes = [number(place.at(key), fields.get(key)) for key in ("rows", "cols")]
    elif isinstance(fields["sizes"], list):
        sizes = [number(place.at("sizes"), size) for size in fields["sizes"]]
    else:
        raise place.at("sizes").expected("a list of sizes", fields["sizes"])
    if min(sizes, default=0) < 0:
        raise place.expected("sizes of a matrix", " x ".join(f"{size:g}" for size in sizes))
    return sizes


def lens_coefficients(
    place: FilePlace, node: object, lens: Lens = Lens.OPENCV
) -> tuple[float, ...]:
    """Return the coefficients of a lens, a matrix node of any shape."""
    count = len(matrix_values(place, node))
    return coefficients(place, matrix(place, node, count).tolist(), lens)


def matrix_node(values: Tensor) -> Tree:
    """Return a tensor as a matrix node, its third axis as channels, as OpenCV's Python does."""
    rows, columns, *channels = values.shape
    kind = "d" if values.is_floating_point() else "i"
    dt = f"{channels[0]}{kind}" if channels else kind
    data = values.flatten().tolist()
    return {"type_id": "opencv-matrix", "rows": rows, "cols": columns, "dt": dt, "data": data}


def write_yaml(path: Path, tree: Tree) -> None:
    """Write texts, lists of texts, integers and matrix nodes as OpenCV does."""
    lines = [line for key, value in tree.items() for line in _yaml_lines(key, value)]
    path.write_text("\n".join(["%YAML:1.0", "---", *lines, ""]), encoding="utf-8")


def _value(path: Path, node: "yaml.Node", depth: int, seen: set[int]) -> object:
    place = FilePlace(path, f"line {node.start_mark.line + 1}")
    if depth == 0:
        raise place.expected(f"maps no deeper than {DEEPEST}", "deeper ones")
    if id(node) in seen or node.tag not in TAGS or node.value == "<<":
        raise place.expected("a plain value", f"an alias or the tag {node.tag}")
    seen.add(id(node))
    if isinstance(node.value, str):
        return node.value
    if node.id == "sequence":
        return [_value(path, item, depth - 1, seen) for item in node.value]
    return _map(path, node.value, depth - 1, seen)


def _map(
    path: Path, pairs: Sequence[tuple["yaml.Node", "yaml.Node"]], depth: int, seen: set[int]
) -> Tree:
    entries: Tree = {}
    for key_node, value_node in pairs:
        key = _value(path, key_node, depth, seen)
        place = FilePlace(path, f"line {key_node.start_mark.line + 1}")
        if not isinstance(key, str):
            raise place.expected("text as key", key)
        if key in entries:
            raise place.expected("each key once", f"`{key}` again")
        entries[key] = _value(path, value_node, depth, seen)
    return entries


def _yaml_lines(key: str, value: object) -> list[str]:
    if isinstance(value, list):
        return [f"{key}:", *(f'   - "{item}"' for item in value)]
    if not isinstance(value, dict):
        return [f"{key}: {value}" if isinstance(value, int) else f'{key}: "{value}"']
    row = [repr(number) for number in value["data"]]
    lines = [row[i : i + NUMBERS_PER_LINE] for i in range(0, len(row), NUMBERS_PER_LINE)]
    data = ",\n       ".join(", ".join(line) for line in lines)
    sizes = [f"   rows: {value['rows']}", f"   cols: {value['cols']}", f'   dt: "{value["dt"]}"']
    return [f"{key}: !!opencv-matrix", *sizes, f"   data: [ {data} ]"]
