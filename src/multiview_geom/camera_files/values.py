"""Values of calibration files, checked: numbers, texts, tables, image sizes, coefficients."""

from collections.abc import Collection, Sequence
from difflib import SequenceMatcher
from math import isfinite, pi, prod
from typing import TypeGuard

import torch
from torch import Tensor

from multiview_geom.camera_files.place import FilePlace
from multiview_geom.lenses.lens import Lens
from multiview_geom.lenses.polynomial import COEFFICIENT_COUNTS
from multiview_geom.rotations import rotation_from_vector

LARGEST_ANGLE = 4 * pi
"""Two turns: no calibration has a longer rotation vector [rad]."""
ROUND_OFF = 1e-6
MOST_PIXELS = 1_000_000
"""Largest width or height of an image [px]."""


def numbers(place: FilePlace, values: object, *shape: int) -> Tensor:
    """Return nested lists of finite numbers as a float64 tensor of this shape."""
    if not _is_nested(values, shape):
        raise place.expected(f"{' x '.join(map(str, shape))} finite numbers", values)
    try:
        return torch.tensor(values, dtype=torch.float64)
    except OverflowError:
        raise place.expected("numbers that float64 can hold", values) from None


def column(place: FilePlace, values: object, length: int) -> Tensor:
    """Return a vector, which a file may also hold as a matrix of one column or of one row."""
    if isinstance(values, list) and len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    if isinstance(values, list) and all(isinstance(row, list) and len(row) == 1 for row in values):
        values = [row[0] for row in values]
    return numbers(place, values, length)


def parsed_numbers(place: FilePlace, words: Sequence[object], *shape: int) -> Tensor:
    """Return a flat list of numbers, as text or parsed, as a float64 tensor of this shape."""
    if len(words) != prod(shape):
        raise place.expected(f"{prod(shape)} numbers", f"{len(words)} of them")
    row = [number(place, word) for word in words]
    return torch.tensor(row, dtype=torch.float64).reshape(shape)


def number(place: FilePlace, word: object) -> float:
    """Return a finite number from text or a parsed value."""
    try:
        value = float(word) if isinstance(word, str | int | float) else float("nan")
    except (ValueError, OverflowError):
        value = float("nan")
    if isinstance(word, bool) or not isfinite(value):
        raise place.expected("a finite number", word)
    return value


def text(place: FilePlace, value: object) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise place.expected("text", value)
    return value


LENS_MODELS = {
    "none": Lens.OPENCV,
    "plumb_bob": Lens.OPENCV,
    "radtan": Lens.OPENCV,
    "rational_polynomial": Lens.OPENCV,
    "equidistant": Lens.FISHEYE,
    "fisheye": Lens.FISHEYE,
}
"""Names that ROS and Kalibr give to the lenses that OpenCV has too."""
SIMILAR = 0.8
"""Two names this similar (1: equal) are two spellings of one."""


def table(
    place: FilePlace, value: object, *keys: str, optional: Collection[str] = ()
) -> dict[str, object]:
    """Return a table that has at least these keys; an optional one must not be misspelled."""
    if not isinstance(value, dict):
        raise place.expected("a table", value)
    for key in keys:
        if key not in value:
            got = f"only {', '.join(map(str, value))}" if value else "no keys"
            raise place.expected(f"the key `{key}`", got)
    absent = [key for key in optional if key not in value]
    for found in value:
        if found not in optional and (meant := [key for key in absent if _resembles(found, key)]):
            raise place.expected(f"the key `{meant[0]}`, or none", f"`{found}`")
    return value


def _resembles(found: str, wanted: str) -> bool:
    """Return whether a name is likely another spelling of one that is known."""
    a, b = ("".join(filter(str.isalnum, name.lower())) for name in (found, wanted))
    return b in a or a[:4] == b[:4] or SequenceMatcher(None, a, b).ratio() > SIMILAR


def one_of(place: FilePlace, name: str, known: Sequence[str], wanted: str | None) -> str:
    """Return the wanted entry of a file; a file with only one entry needs no choice."""
    if wanted is None and len(known) == 1:
        return known[0]
    if wanted is None or wanted not in known:
        if not known:
            raise place.expected(f"cameras of a {name}", "none")
        if wanted is None:
            one = f"the cameras of one {name}: give `load_cameras` a `{name}`"
            raise place.expected(one, f"those of {', '.join(known)}")
        got = f"`{name}` {wanted!r}"
        raise place.expected(f"`{name}` to be one of {', '.join(known)}", got)
    return wanted


def lens_of_model(place: FilePlace, model: object) -> Lens:
    """Return the lens of a model that a file names."""
    if not isinstance(model, str) or model not in LENS_MODELS:
        raise place.expected(f"one of {', '.join(LENS_MODELS)}", model)
    return LENS_MODELS[model]


def image_size(place: FilePlace, width: float, height: float) -> tuple[int, int]:
    """Return an image size in whole pixels."""
    if not all(0 < side <= MOST_PIXELS and side == int(side) for side in (width, height)):
        raise place.expected("a width and a height in whole pixels", (width, height))
    return int(width), int(height)


def coefficients(place: FilePlace, row: Sequence[float], lens: Lens) -> tuple[float, ...]:
    """Return lens coefficients; refuse a count that the lens does not have, and whole numbers.

    Decimal commas make two whole numbers of each coefficient; `save_cameras` writes 1.0, not 1.
    """
    counts = (4,) if lens is Lens.FISHEYE else (0, *COEFFICIENT_COUNTS)
    if len(row) not in counts:
        of = " of a fisheye lens" if lens is Lens.FISHEYE else ""
        wanted = f"{' or '.join(map(str, counts))} coefficients{of}"
        raise place.expected(wanted, f"{len(row)} of them")
    if any(row) and all(isinstance(one, int) for one in row):
        raise place.expected("coefficients with decimals", f"{[*row]} (decimal commas?)")
    return tuple(row)


def rotation_vector(place: FilePlace, vector: Tensor) -> Tensor:
    """Return the rotation of a vector in radians; refuse one in degrees, of several turns."""
    angle = float(vector.norm())
    if not angle <= LARGEST_ANGLE:
        raise place.expected("a rotation vector in radians", f"one of {angle:g} (degrees?)")
    return rotation_from_vector(vector)


def transform(place: FilePlace, matrix: Tensor) -> Tensor:
    """Return a 4 x 4 matrix; refuse one whose last row is not 0, 0, 0, 1."""
    last = matrix[3]
    if not torch.allclose(last, last.new_tensor([0.0, 0.0, 0.0, 1.0]), atol=ROUND_OFF):
        raise place.expected("the last row 0, 0, 0, 1", last.tolist())
    return matrix


def _is_nested(values: object, shape: tuple[int, ...]) -> TypeGuard[list[float]]:
    if not shape:
        whole = isinstance(values, int) and not isinstance(values, bool)
        return whole or (isinstance(values, float) and isfinite(values))
    return (
        isinstance(values, list)
        and len(values) == shape[0]
        and all(_is_nested(row, shape[1:]) for row in values)
    )
