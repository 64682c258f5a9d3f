"""One camera as a file describes it, and the rig of several."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from multiview_geom._validation import require_tensor
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.cameras import Cameras
from multiview_geom.lenses.lens import Lens
from multiview_geom.rotations import rotation_from_quaternion

SHAPES = {"intrinsics": (3, 3), "rotation": (3, 3), "translation": (3,)}
ROUND_OFF = 1e-6
LARGEST = 1e15
"""Larger numbers are damaged: they leave no digits of the others, and their squares overflow."""


@dataclass(frozen=True)
class CameraRecord:
    """One camera as a file describes it; `note` says what a reader of its numbers should know.

    Raises:
        ValueError: If the name is no text, or K, R or t is no tensor of its shape.

    Example:
        >>> K, R, t = focal_matrix(500.0, 500.0, 320.0, 240.0), torch.eye(3), torch.zeros(3)
        >>> CameraRecord("left", K, R, t, image_size=(640, 480)).distortion
        ()
    """

    name: str
    intrinsics: Tensor
    rotation: Tensor
    translation: Tensor
    distortion: tuple[float, ...] = ()
    image_size: tuple[int, int] | None = None
    lens: Lens = Lens.OPENCV
    note: str = ""

    def __post_init__(self) -> None:
        is_text = isinstance(self.name, str)
        if not is_text:
            raise ValueError(f"`name` must be a text, got {self.name!r}")
        for part, shape in SHAPES.items():
            tensor = getattr(self, part)
            require_tensor(part, tensor)
            if tuple(tensor.shape) != shape:
                raise ValueError(f"`{part}` must have shape {shape}, got {tuple(tensor.shape)}")


def focal_matrix(fx: float, fy: float, cx: float, cy: float, skew: float = 0.0) -> Tensor:
    """Build K from focal lengths, principal point and skew [px]."""
    return torch.tensor([[fx, skew, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]], dtype=torch.float64)


def rotation_of_quaternion(place: FilePlace, quaternion: Tensor) -> Tensor:
    """Return the rotation matrix of a quaternion w, x, y, z, which may have any length but zero."""
    if not quaternion.any():
        raise place.expected("a quaternion that is not zero", quaternion.tolist())
    if not quaternion.norm().isfinite():
        raise place.expected("a quaternion of a finite length", quaternion.tolist())
    return rotation_from_quaternion(quaternion)


def five_coefficients(cameras: Cameras) -> Tensor:
    """Return k1, k2, p1, p2, k3 of each view; refuse lenses that have more coefficients."""
    if cameras.distortion is None:
        return torch.zeros(cameras.views, 5, dtype=torch.float64)
    k = torch.nn.functional.pad(cameras.distortion, (0, 1))
    if cameras.lens is not Lens.OPENCV or k[:, 5:].any():
        raise ValueError("`cameras` must have lenses of k1, k2, p1, p2, k3 alone for this format")
    return k[:, :5]


def rig_from_records(place: FilePlace, records: Sequence[CameraRecord]) -> Cameras:
    """Gather cameras into a rig, in the order of the file."""
    if not records:
        raise place.expected("at least one camera", "none")
    names = tuple(record.name for record in records)
    if len(set(names)) < len(names):
        raise place.expected("names that differ", ", ".join(names))
    for record in records:
        _require_encodable(place, record.name)
        _require_plausible(place.at(record.name), record)
        _require_upper_triangle(place.at(record.name), record.intrinsics)
        if not torch.as_tensor(record.rotation).any():
            raise place.at(record.name).expected(
                "a rotation", "zeros alone: this camera is not calibrated"
            )
    return Cameras.from_krt(
        torch.stack([record.intrinsics for record in records]),
        torch.stack([record.rotation for record in records]),
        torch.stack([record.translation for record in records]),
        distortion=_padded([record.distortion for record in records]),
        image_size=_sizes(place, records),
        names=names,
        lens=tuple(record.lens for record in records),
    )


def _require_encodable(place: FilePlace, name: str) -> None:
    """Refuse blank names, and half of a surrogate pair, which no file and no figure can show."""
    if not name.strip():
        raise place.expected("a name for every camera", f"a blank one, {name!a}")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise place.expected("names of cameras in Unicode", ascii(name))


def _require_plausible(place: FilePlace, record: CameraRecord) -> None:
    """Refuse numbers that are not finite, as a rotation from a quaternion of zeros, or giant."""
    for part in ("intrinsics", "rotation", "translation", "distortion"):
        values = torch.as_tensor(getattr(record, part), dtype=torch.float64).flatten()
        largest = torch.cat([values, values.new_zeros(1)]).abs().max().item()
        if not largest < LARGEST:
            raise place.at(part).expected(f"numbers below {LARGEST:g}", f"{largest:g}")
    focal = torch.as_tensor(record.intrinsics).diagonal()[:2].abs().min().item()
    if 0 < focal <= 1 / LARGEST:  # `check_cameras` finds zero
        least = f"focal lengths above {1 / LARGEST:g} px"
        raise place.at("intrinsics").expected(least, f"{focal:g} px")


def _require_upper_triangle(place: FilePlace, intrinsics: Tensor) -> None:
    """Refuse a K whose last row is not 0, 0, 1: most likely it is stored transposed."""
    if (intrinsics[2] - intrinsics.new_tensor([0.0, 0.0, 1.0])).abs().max() < ROUND_OFF:
        return
    row = ", ".join(f"{value:g}" for value in intrinsics[2].tolist())
    transposed = intrinsics[:2, 2].tolist() == [0.0, 0.0]
    cause = "; the matrix is transposed, as MATLAB and JARVIS write it" if transposed else ""
    raise place.expected("0, 0, 1 in the last row of the intrinsic matrix", f"{row}{cause}")


def _padded(rows: Sequence[tuple[float, ...]]) -> Tensor | None:
    longest = max(len(row) for row in rows)
    if longest == 0:
        return None
    filled = [[*row, *[0.0] * (longest - len(row))] for row in rows]
    return torch.tensor(filled, dtype=torch.float64)


def _sizes(place: FilePlace, records: Sequence[CameraRecord]) -> Tensor | None:
    sizes = [record.image_size for record in records if record.image_size is not None]
    if not sizes:
        return None
    if len(sizes) < len(records):
        got = f"{len(sizes)} of {len(records)}"
        raise place.expected("an image size for every camera or for none", got)
    return torch.tensor(sizes)
