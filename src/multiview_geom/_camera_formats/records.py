"""One camera as a file tells it, and a rig made of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from multiview_geom.cameras import Cameras
from multiview_geom.transforms import rigid_transform

LARGEST_FILE = 4 * 2**20
"""Bytes a calibration file may have; a thousand cameras need about half a megabyte."""
COEFFICIENT_COUNTS = (4, 5, 8, 12, 14)


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
    fisheye: bool = False


@dataclass(frozen=True)
class Place:
    """Where in a file a value stands: its error messages start with it."""

    path: Path
    where: str = ""

    def at(self, key: str) -> "Place":
        """Return the place of a value inside this one."""
        return Place(self.path, f"{self.where}.{key}" if self.where else key)

    def expected(self, what: str, got: object) -> CameraFileError:
        """Say what should have stood here, and what does."""
        where = f" `{self.where}`" if self.where else ""
        return CameraFileError(f"{self.path}:{where} expected {what}, got {_shortened(got)}")


def read_bytes(path: Path) -> bytes:
    """Read a whole calibration file, unless it is far larger than any is."""
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise Place(path).expected(f"a calibration file of at most {LARGEST_FILE} bytes", size)
    return path.read_bytes()


def numbers(place: Place, values: object, *shape: int) -> Tensor:
    """Return finite numbers of the given shape as float64; -1 allows any size of its axis."""
    expected = f"{' x '.join('n' if size < 0 else str(size) for size in shape)} finite numbers"
    if not _is_nested(values, len(shape)):
        raise place.expected(expected, values)
    try:
        tensor = torch.tensor(values, dtype=torch.float64)
    except (ValueError, TypeError, OverflowError):
        raise place.expected(expected, values) from None
    fits = tensor.dim() == len(shape) and all(
        size in (-1, actual) for size, actual in zip(shape, tensor.shape, strict=True)
    )
    if not fits or not tensor.isfinite().all():
        raise place.expected(expected, values)
    return tensor


def rotation_matrix(rotation_vector: Tensor) -> Tensor:
    """Turn a Rodrigues vector, axis times angle [rad], into a rotation matrix."""
    from scipy.spatial.transform import Rotation

    return torch.from_numpy(Rotation.from_rotvec(rotation_vector.numpy()).as_matrix())


def rotation_vector(rotation: Tensor) -> list[float]:
    """Turn a rotation matrix into its Rodrigues vector, axis times angle [rad]."""
    from scipy.spatial.transform import Rotation

    vector: list[float] = Rotation.from_matrix(rotation.numpy()).as_rotvec().tolist()
    return vector


def rig_of(path: Path, records: Sequence[CameraRecord]) -> Cameras:
    """Gather cameras into a rig, in the order of the file."""
    if not records:
        raise Place(path).expected("at least one camera", "none")
    rotations = torch.stack([record.rotation for record in records])
    translations = torch.stack([record.translation for record in records])
    return Cameras(
        intrinsics=torch.stack([record.intrinsics for record in records]),
        camera_from_world=rigid_transform(rotations, translations),
        distortion=_padded([record.distortion for record in records]),
        image_size=_sizes(path, records),
        names=tuple(record.name for record in records),
    )


def _padded(rows: Sequence[tuple[float, ...]]) -> Tensor | None:
    longest = max(len(row) for row in rows)
    if longest == 0:
        return None
    count = min(count for count in COEFFICIENT_COUNTS if count >= longest)
    filled = [[*row, *[0.0] * (count - len(row))] for row in rows]
    return torch.tensor(filled, dtype=torch.float64)


def _sizes(path: Path, records: Sequence[CameraRecord]) -> Tensor | None:
    sizes = [record.image_size for record in records if record.image_size is not None]
    if not sizes:
        return None
    if len(sizes) < len(records):
        raise Place(path).expected(
            "an image size for every camera or for none", f"{len(sizes)} of {len(records)}"
        )
    return torch.tensor(sizes)


def _is_nested(values: object, depth: int) -> bool:
    if depth == 0:
        return isinstance(values, int | float) and not isinstance(values, bool)
    return isinstance(values, list | tuple) and all(_is_nested(row, depth - 1) for row in values)


def _shortened(value: object, width: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= width else f"{text[: width - 3]}..."
