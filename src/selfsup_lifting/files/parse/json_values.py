"""Values out of JSON files, or one sentence that says where something else stood."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from selfsup_lifting.recording import ReadError

LARGEST_NUMBER = 1e9
"""A pixel, a frame or a score beyond this is damage."""


@dataclass(frozen=True)
class Place:
    """Where in a file a value stands: errors start with it."""

    path: Path
    where: str = ""

    def at(self, key: str | int) -> "Place":
        """Return the place of a value inside this one."""
        step = f"[{key}]" if isinstance(key, int) else f".{key}" if self.where else key
        return Place(self.path, f"{self.where}{step}")

    def expected(self, what: str, got: object) -> ReadError:
        """Say what should have stood here, and what does."""
        where = f", {self.where}" if self.where else ""
        return ReadError(f"{self.path}{where}: expected {what}, got {_shortened(got)}")


def read_text(path: Path) -> str:
    """Read a file as UTF-8, with or without a byte-order mark, or say that it is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReadError(
            f"{path} is no text in UTF-8: {error.reason} at byte {error.start}"
        ) from None


def load_json(path: Path) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Read a JSON file, or say where it breaks."""
    try:
        return json.loads(read_text(path))
    except ReadError:
        raise
    except (ValueError, RecursionError) as error:
        raise ReadError(f"{path} is no JSON, or was cut short: {error}") from None


def list_at(place: Place, value: object) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise place.expected("a list", value)
    return value


def object_at(place: Place, value: object) -> Mapping[str, Any]:
    """Return an object, as JSON calls it."""
    if not isinstance(value, dict):
        raise place.expected("an object", value)
    return value


def whole_number_at(place: Place, value: object) -> int:
    """Return a whole number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise place.expected("a whole number", value)
    if not 0 <= value <= LARGEST_NUMBER or value != int(value):
        raise place.expected("a whole number", value)
    return int(value)


def numbers_at(place: Place, values: object, *shape: int, per_joint: int = 0) -> Tensor:
    """Return numbers of the given shape as float32; -1 allows any size; null is NaN.

    Args:
        place: Where they stand, for the sentence of an error.
        values: What stands there.
        shape: How many there must be along every axis.
        per_joint: How many entries of the list belong to one joint, for the sentence of an error;
            0 where they belong to none.

    Raises:
        ReadError: If something else stands there; the sentence shows the first that is wrong.
    """
    what = f"{' x '.join('n' if size < 0 else str(size) for size in shape)} numbers"
    tensor = _tensor(values)
    if tensor is None:  # nulls are rare, and looking for them is slow
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
    return torch.where(tensor.abs() <= LARGEST_NUMBER, tensor, torch.nan).float()


def _require_numbers(place: Place, values: object, per_joint: int) -> None:
    """Refuse the first value that is no number, by its place in the lists and its joint."""
    steps, odd = _odd_one(values)
    if not steps:
        return
    raise _entry(place, steps, per_joint).expected("a number", odd)


def _require_rows(place: Place, values: object, shape: tuple[int, ...], per_joint: int) -> None:
    """Refuse the first row of a table that is no list, or is longer or shorter than it must be."""
    if len(shape) != 2 or not isinstance(values, list):  # noqa: PLR2004 - rows and columns
        return
    for at, row in enumerate(values):
        if not isinstance(row, list) or len(row) != shape[1]:
            raise _entry(place, (at,), per_joint).expected(f"{shape[1]} numbers", row)


def _entry(place: Place, steps: tuple[int, ...], per_joint: int) -> Place:
    """Return the place of an entry of nested lists, with the joint to which it belongs."""
    for step in steps:
        place = place.at(step)
    joint = f", joint {steps[0] // per_joint}" if per_joint else ""
    return Place(place.path, place.where + joint)


def _odd_one(values: object) -> tuple[tuple[int, ...], object]:
    """Find the first value in nested lists that is no number; no steps where there is none."""
    if not isinstance(values, list | tuple):
        return (), values
    for at, value in enumerate(values):
        steps, odd = _odd_one(value)
        if steps or not isinstance(value, int | float | list | tuple | None):
            return (at, *steps), odd
    return (), None


def _tensor(values: object) -> Tensor | None:
    try:
        return torch.tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def _without_null(values: object) -> object:
    if isinstance(values, list | tuple):
        return [_without_null(value) for value in values]
    return torch.nan if values is None else values


def _shortened(value: object, width: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= width else f"{text[: width - 3]}..."
