"""Values of JSON files, checked for their type and shape."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multiview_geom.camera_files.json_text import parse_json
from selfsup_lifting.parse.text import read_text
from selfsup_lifting.read_errors import Place, ReadError

LARGEST_NUMBER = 1e9
"""Pixels and scores above this are taken to be damaged."""
LARGEST_FRAME = 2**53
"""Frame numbers above this are taken to be damaged; image ids of COCO have up to 12 digits."""


def load_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON file; a ReadError says where it is damaged."""
    try:
        return parse_json(read_text(path))
    except ReadError:
        raise
    except ValueError as error:
        if str(error).startswith("Extra data: line"):
            raise Place(path).error(
                "expected one JSON value, got several: write one list"
            ) from None
        raise Place(path).damaged("a JSON file", error) from None


def list_at(place: Place, value: object) -> list[Any]:
    """Return the value, if it is a list."""
    if not isinstance(value, list):
        raise place.expected("a list", value)
    return value


def object_at(place: Place, value: object) -> Mapping[str, Any]:
    """Return the value, if it is a JSON object."""
    if not isinstance(value, dict):
        raise place.expected("an object", value)
    return value


def whole_number_at(place: Place, value: object) -> int:
    """Return the value, if it is a whole number that is not negative."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else -1
    if 0 <= number <= LARGEST_FRAME and number == int(number):
        return int(number)
    raise place.expected(f"a whole number from 0 to {LARGEST_FRAME}", value)


def numbers_at(place: Place, values: object, *shape: int, per_joint: int = 0) -> Tensor:
    """Return numbers of the given shape as float32; -1 allows any size.

    A null is NaN. A number that is too large to be true is infinite.

    Args:
        place: The place in the file, for the message of an error.
        values: Nested lists of numbers.
        shape: The size of every axis.
        per_joint: How many entries of the outer list belong to one joint, for the message of an
            error; 0 if they belong to no joint.

    Raises:
        ReadError: If the values are no numbers or have another shape; the message names the first
            wrong one.
    """
    what = f"{' x '.join('n' if size < 0 else str(size) for size in shape)} numbers"
    holds_truths = isinstance(values, list) and _holds_truths(values)  # true is no 1
    tensor = None if holds_truths else _tensor(values)
    if tensor is None and not holds_truths:  # nulls are rare, and replacing them is slow
        tensor = _tensor(_without_null(values))
    if tensor is None:
        _require_numbers(place, values, per_joint)
        _require_rows(place, values, shape, per_joint)
        raise place.expected(what, values)
    fits = tensor.dim() == len(shape) and all(
        size in {-1, came} for size, came in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        raise place.expected(what, values)
    return torch.where(tensor.abs() > LARGEST_NUMBER, torch.inf, tensor).float()


def _require_numbers(place: Place, values: object, per_joint: int) -> None:
    """Raise an error about the first value that is no number."""
    steps, odd = _odd_one(values)
    if not steps:
        return
    raise _entry(place, steps, per_joint).expected("a number", odd)


def _require_rows(place: Place, values: object, shape: tuple[int, ...], per_joint: int) -> None:
    """Raise an error about the first row of a table that has a wrong length."""
    if len(shape) != 2 or not isinstance(values, list):  # noqa: PLR2004 - rows and columns
        return
    for at, row in enumerate(values):
        if not isinstance(row, list) or len(row) != shape[1]:
            raise _entry(place, (at,), per_joint).expected(f"{shape[1]} numbers", row)


def _entry(place: Place, steps: tuple[int, ...], per_joint: int) -> Place:
    """Return the place of an entry of nested lists, and its joint."""
    for step in steps:
        place = place.at(step)
    return replace(place, joint=steps[0] // per_joint) if per_joint else place


def _odd_one(values: object) -> tuple[tuple[int, ...], object]:
    """Find the indices and the value of the first entry of nested lists that is no number."""
    if not isinstance(values, list | tuple):
        return (), values
    for at, value in enumerate(values):
        steps, odd = _odd_one(value)
        is_number = isinstance(value, int | float | list | tuple | None)
        is_huge = isinstance(value, int) and value.bit_length() > sys.float_info.max_exp
        if steps or not is_number or is_huge or isinstance(value, bool):
            return (at, *steps), odd
    return (), None


def _holds_truths(values: list[Any]) -> bool:
    """Return whether nested lists hold a true or a false, which torch takes for numbers."""
    kinds = set(map(type, values))
    return bool in kinds or (
        list in kinds and any(_holds_truths(one) for one in values if isinstance(one, list))
    )


def _tensor(values: object) -> Tensor | None:
    try:
        return torch.tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def _without_null(values: object) -> object:
    if isinstance(values, list | tuple):
        return [_without_null(value) for value in values]
    return torch.nan if values is None else values
