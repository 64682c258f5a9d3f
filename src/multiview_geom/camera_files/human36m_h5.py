"""Human3.6M's `cameras.h5`, in millimeters: X_camera = R (X_world - T), R stored transposed."""

import re
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.hdf5_chunks import LARGEST_CHUNK, SOUND_CHUNKS, oversized_chunk
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord, five_coefficients, focal_matrix
from multiview_geom.camera_files.values import one_of, parsed_numbers
from multiview_geom.cameras import Cameras

if TYPE_CHECKING:
    import h5py

LONGEST_NAME = 64


def read(source: CameraSource) -> list[CameraRecord]:
    """Read the cameras of one subject."""
    import h5py

    try:
        with h5py.File(source.path, "r") as file:
            names = tuple(name.replace("subject", "S") for name in _in_order(file, "subject"))
            subject = one_of(source.place, "subject", names, source.subject)
            group = subject.replace("S", "subject")
            place = source.place.at(group)
            cameras = _group(place, file, group)
            return [_camera(place.at(name), cameras, name) for name in _in_order(cameras, "camera")]
    except (OSError, RuntimeError, KeyError) as reason:
        raise source.place.expected("an HDF5 file", str(reason)) from None


def write(path: Path, cameras: Cameras, subject: str) -> None:
    """Write the cameras of one subject."""
    import h5py

    k = five_coefficients(cameras)
    with h5py.File(path, "w") as file:
        for view, name in enumerate(cameras.names):
            group = file.create_group(f"{subject.replace('S', 'subject')}/camera{view + 1}")
            K = cameras.intrinsics[view]
            group["R"] = cameras.camera_from_world[view, :3, :3].T.numpy()
            group["T"] = cameras.centers[view, :, None].numpy()
            group["f"] = K[[0, 1], [0, 1], None].numpy()
            group["c"] = K[:2, 2:].numpy()
            group["k"] = k[view][[0, 1, 4], None].numpy()
            group["p"] = k[view][[2, 3], None].numpy()
            group["Name"] = torch.tensor([[ord(letter)] for letter in name]).numpy()


def _camera(place: FilePlace, cameras: "h5py.Group", name: str) -> CameraRecord:
    group = _group(place, cameras, name)
    R = _array(place.at("R"), group, "R", 9).reshape(3, 3).T
    center = _array(place.at("T"), group, "T", 3)
    k, p = _array(place.at("k"), group, "k", 3), _array(place.at("p"), group, "p", 2)
    k1, k2, k3 = k.tolist()
    f, c = _array(place.at("f"), group, "f", 2), _array(place.at("c"), group, "c", 2)
    letters = _array(place.at("Name"), group, "Name", None).tolist() if "Name" in group else []
    return CameraRecord(
        name="".join(chr(int(letter) % 0x110000) for letter in letters) or name,
        intrinsics=focal_matrix(*f.tolist(), *c.tolist()),
        rotation=R,
        translation=-R @ center,
        distortion=(k1, k2, *p.tolist(), k3),
    )


def _in_order(group: "h5py.Group", prefix: str) -> list[str]:
    """Return the names of the numbered members of a group: 2 before 10."""
    numbered = [name for name in group if re.fullmatch(rf"{prefix}\d{{1,6}}", name)]
    return sorted(numbered, key=lambda name: int(name.removeprefix(prefix)))


def _group(place: FilePlace, parent: "h5py.Group", name: str) -> "h5py.Group":
    """Return a group of this file; links to elsewhere are refused."""
    import h5py

    link = parent.get(name, getlink=True)
    member = parent[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(member, h5py.Group):
        raise place.expected("a group of this file", "something else")
    return member


def _array(place: FilePlace, group: "h5py.Group", name: str, size: int | None) -> Tensor:
    """Return a small array of numbers of this file; links to elsewhere are refused."""
    import h5py

    link = group.get(name, getlink=True)
    member = group[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(member, h5py.Dataset) or member.is_virtual or member.external:
        raise place.expected("an array of this file", "something else")
    fits = member.size == size if size is not None else (member.size or 0) <= LONGEST_NAME
    if not fits or member.dtype.kind not in "fiu":
        got = f"{member.size} values of {member.dtype}"
        raise place.expected(f"{size or f'at most {LONGEST_NAME}'} numbers", got)
    chunk = prod(member.chunks or ()) * member.dtype.itemsize
    if chunk > LARGEST_CHUNK:
        most = f"a chunk of at most {LARGEST_CHUNK / 1e6:.0f} MB"
        raise place.expected(most, f"one of {chunk / 1e6:.0f} MB")
    if wrong := oversized_chunk(member):
        raise place.expected(SOUND_CHUNKS, wrong)
    return parsed_numbers(place, member[()].flatten().tolist(), member.size)


def _recognizes(source: CameraSource) -> bool:
    """Recognize groups of subjects, or none of another name; a damaged file is reported."""
    import h5py

    if not source.is_hdf5:
        return False
    try:
        with h5py.File(source.path, "r") as file:
            return bool(_in_order(file, "subject")) or not len(file)
    except (OSError, RuntimeError):
        return True


FORMAT = CameraFormat(
    name="human36m-h5",
    title="Human3.6M cameras.h5",
    unit="mm",
    recognizes=_recognizes,
    read=read,
    write=write,
    suffixes=(".h5",),
    has_subjects=True,
)
