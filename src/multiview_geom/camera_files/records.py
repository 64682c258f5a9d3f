"""One camera as a file tells it, and a rig made of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor

from multiview_geom.cameras import Cameras
from multiview_geom.lenses.lens import Lens
from multiview_geom.lenses.polynomial import COEFFICIENT_COUNTS
from multiview_geom.transforms import rigid_transform

LARGEST_FILE = 4 * 2**20
"""Bytes a calibration file may have; a thousand cameras need about half a megabyte."""
MOST_PIXELS = 1_000_000
"""Pixels an image may be wide or tall."""


class CameraFileError(ValueError):
    """A calibration file that cannot be understood, said in one sentence."""


@dataclass(frozen=True)
class CameraRecord:
    """One camera as a file tells it."""

    name: str
    intrinsics: Tensor
    rotation: Tensor
    translation: Tensor
    distortion: tuple[float, ...] = ()
    image_size: tuple[int, int] | None = None
    lens: Lens = Lens.OPENCV


@dataclass(frozen=True)
class Place:
    """Where in a file a value stands: what is wrong with it begins by telling so."""

    path: Path
    where: str = ""

    def at(self, key: object) -> "Place":
        """Return the place of a value inside this one."""
        return Place(self.path, f"{self.where}.{key}" if self.where else str(key))

    def expected(self, what: str, got: object) -> CameraFileError:
        """Say what should have stood here, and what does."""
        where = f" `{_shortened(self.where)}`:" if self.where else ""
        text = got if isinstance(got, str) else repr(got)
        return CameraFileError(f"{self.path}:{where} expected {what}, got {_shortened(text)}")


def read_text(path: Path) -> str:
    """Read a whole calibration file, unless it is far larger than any is."""
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise Place(path).expected(f"at most {LARGEST_FILE} bytes", f"{size} bytes")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise Place(path).expected("text in UTF-8", str(reason)) from None


def numbers(place: Place, values: object, *shape: int) -> Tensor:
    """Return nested lists of finite numbers as a float64 tensor of the given shape."""
    if not _is_nested(values, shape):
        raise place.expected(f"{' x '.join(map(str, shape))} finite numbers", values)
    try:
        return torch.tensor(values, dtype=torch.float64)
    except OverflowError:
        raise place.expected("numbers that float64 can hold", values) from None


def parsed_numbers(place: Place, words: Sequence[object], *shape: int) -> Tensor:
    """Return a flat list of numbers, written or parsed, as a float64 tensor of a shape."""
    if len(words) != prod(shape):
        raise place.expected(f"{prod(shape)} numbers", f"{len(words)} of them")
    row = [number(place, word) for word in words]
    return torch.tensor(row, dtype=torch.float64).reshape(shape)


def number(place: Place, word: object) -> float:
    """Return a finite number, written or parsed."""
    try:
        value = float(word) if isinstance(word, str | int | float) else float("nan")
    except (ValueError, OverflowError):
        value = float("nan")
    if isinstance(word, bool) or not isfinite(value):
        raise place.expected("a finite number", word)
    return value


def text(place: Place, value: object) -> str:
    """Return a value that must be text."""
    if not isinstance(value, str):
        raise place.expected("text", value)
    return value


def table(place: Place, value: object, *keys: str) -> dict[str, object]:
    """Return a value that must be a table with at least the given keys."""
    if not isinstance(value, dict):
        raise place.expected("a table", value)
    for key in keys:
        if key not in value:
            raise place.expected(f"the key `{key}`", f"only {', '.join(map(str, value)) or 'none'}")
    return value


def image_size(place: Place, width: float, height: float) -> tuple[int, int]:
    """Return a size in whole pixels."""
    if not all(0 < side <= MOST_PIXELS and side == int(side) for side in (width, height)):
        raise place.expected("a width and a height in whole pixels", (width, height))
    return int(width), int(height)


def coefficients(place: Place, row: Sequence[float], lens: Lens) -> tuple[float, ...]:
    """Return lens coefficients of which there must be as many as a lens can have."""
    counts = (4,) if lens is Lens.FISHEYE else (0, *COEFFICIENT_COUNTS)
    if len(row) not in counts:
        raise place.expected(f"{' or '.join(map(str, counts))} coefficients", f"{len(row)} of them")
    return tuple(row)


def focal_matrix(fx: float, fy: float, cx: float, cy: float, skew: float = 0.0) -> Tensor:
    """Build K from focal lengths, principal point and skew [px]."""
    return torch.tensor([[fx, skew, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]], dtype=torch.float64)


def rig_of(path: Path, records: Sequence[CameraRecord]) -> Cameras:
    """Gather cameras into a rig, in the order of the file."""
    place = Place(path)
    if not records:
        raise place.expected("at least one camera", "none")
    names = tuple(record.name for record in records)
    if len(set(names)) < len(names):
        raise place.expected("names that differ", ", ".join(names))
    rotations = torch.stack([record.rotation for record in records])
    translations = torch.stack([record.translation for record in records])
    return Cameras(
        intrinsics=torch.stack([record.intrinsics for record in records]),
        camera_from_world=rigid_transform(rotations, translations),
        distortion=_padded([record.distortion for record in records]),
        image_size=_sizes(place, records),
        names=names,
        lens=_common_lens(place, records),
    )


def _common_lens(place: Place, records: Sequence[CameraRecord]) -> Lens:
    first, *others = records
    for other in others:
        if other.lens is not first.lens:
            told = f"{first.name} ({first.lens.value}) and {other.name} ({other.lens.value})"
            raise place.expected("lenses of one kind", told)
    return first.lens


def _padded(rows: Sequence[tuple[float, ...]]) -> Tensor | None:
    longest = max(len(row) for row in rows)
    if longest == 0:
        return None
    filled = [[*row, *[0.0] * (longest - len(row))] for row in rows]
    return torch.tensor(filled, dtype=torch.float64)


def _sizes(place: Place, records: Sequence[CameraRecord]) -> Tensor | None:
    sizes = [record.image_size for record in records if record.image_size is not None]
    if not sizes:
        return None
    if len(sizes) < len(records):
        told = f"{len(sizes)} of {len(records)}"
        raise place.expected("an image size for every camera or for none", told)
    return torch.tensor(sizes)


def _is_nested(values: object, shape: tuple[int, ...]) -> TypeGuard[list[float]]:
    if not shape:
        whole = isinstance(values, int) and not isinstance(values, bool)
        return whole or (isinstance(values, float) and isfinite(values))
    return (
        isinstance(values, list)
        and len(values) == shape[0]
        and all(_is_nested(row, shape[1:]) for row in values)
    )


def _shortened(written: str, width: int = 80) -> str:
    line = " ".join(written.split())
    return line if len(line) <= width else f"{line[: width - 3]}..."
