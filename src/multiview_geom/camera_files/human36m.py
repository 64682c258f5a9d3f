"""Human3.6M's cameras as three of its users keep them: JSON, HDF5 and the data set's own XML.

All three give millimetres and the same four cameras for every subject, at places of the
subject's own. The data set's lens formula halves the tangential cross term of OpenCV's; its
coefficients are read as OpenCV's, which differs by at most 0.8 px at the border of the image.
"""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multiview_geom.camera_files.records import (
    CameraRecord,
    Place,
    coefficients,
    focal_matrix,
    numbers,
    parsed_numbers,
    table,
)
from multiview_geom.camera_files.safe_xml import parse_xml
from multiview_geom.cameras import Cameras
from multiview_geom.lenses.lens import Lens
from multiview_geom.rotations import rotation_from_vector

if TYPE_CHECKING:
    import h5py

NAMES = ("54138969", "55011271", "58860488", "60457274")
"""The cameras of `metadata.xml`, in its order; the file itself only numbers them."""
SUBJECTS = tuple(f"S{number}" for number in range(1, 12))
POSE, LENS = 6, 9
"""Numbers of `metadata.xml` per subject and camera, and per camera."""
LONGEST_NAME = 64


def read_json(path: Path, tree: dict[str, object], subject: str | None) -> list[CameraRecord]:
    """Read `camera-parameters.json`: X_camera = R X_world + t."""
    place = Place(path)
    table(place, tree, "intrinsics", "extrinsics")
    poses = table(place.at("extrinsics"), tree["extrinsics"])
    chosen = chosen_subject(place.at("extrinsics"), tuple(poses), subject)
    lenses = table(place.at("intrinsics"), tree["intrinsics"])
    there = place.at("extrinsics").at(chosen)
    cameras = table(there, poses[chosen], *lenses)
    return [_json_camera(place, there, name, lenses[name], cameras[name]) for name in lenses]


def write_json(path: Path, cameras: Cameras, subject: str) -> None:
    """Write `camera-parameters.json` of one subject."""
    k = five_coefficients(cameras)
    lenses, poses = {}, {}
    for view, name in enumerate(cameras.names):
        pose = cameras.camera_from_world[view]
        K = cameras.intrinsics[view].tolist()
        lenses[name] = {"calibration_matrix": K, "distortion": k[view].tolist()}
        poses[name] = {"R": pose[:3, :3].tolist(), "t": pose[:3, 3:].tolist()}
    tree = {"intrinsics": lenses, "extrinsics": {subject: poses}}
    path.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")


def read_h5(path: Path, subject: str | None) -> list[CameraRecord]:
    """Read `cameras.h5`: X_camera = R (X_world - T), with R stored transposed."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            subjects = tuple(_in_order(file, "subject"))
            place = Place(path)
            named = tuple(name.replace("subject", "S") for name in subjects)
            chosen = chosen_subject(place, named, subject).replace("S", "subject")
            cameras = _group(place.at(chosen), file, chosen)
            return [
                _h5_camera(place.at(chosen).at(name), cameras, name)
                for name in _in_order(cameras, "camera")
            ]
    except (OSError, RuntimeError, KeyError) as reason:
        raise Place(path).expected("an HDF5 file", str(reason)) from None


def write_h5(path: Path, cameras: Cameras, subject: str) -> None:
    """Write `cameras.h5` of one subject."""
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


def read_xml(path: Path, written: str, subject: str | None) -> list[CameraRecord]:
    """Read `metadata.xml`: 300 numbers, R a product of rotations about x, y, z."""
    node = parse_xml(path, written).find(".//w0")
    words = re.sub(r"[\[\],]", " ", (node.text if node is not None else "") or "").split()
    place = Place(path, "w0")
    cells = len(SUBJECTS) * len(NAMES)
    row = parsed_numbers(place, words, cells * POSE + len(NAMES) * LENS)
    chosen = SUBJECTS.index(chosen_subject(place, SUBJECTS, subject))
    poses = row[: cells * POSE].reshape(len(NAMES), len(SUBJECTS), POSE)[:, chosen]
    lenses = row[cells * POSE :].reshape(len(NAMES), LENS)
    return [_xml_camera(*camera) for camera in zip(NAMES, poses, lenses, strict=True)]


def chosen_subject(place: Place, subjects: tuple[str, ...], wanted: str | None) -> str:
    """Return the subject asked for; where the file has but one, none need be."""
    if wanted is None and len(subjects) == 1:
        return subjects[0]
    if wanted not in subjects:
        told = "no `subject`" if wanted is None else f"`subject` {wanted!r}"
        raise place.expected(f"`subject` to be one of {', '.join(subjects) or 'none'}", told)
    return str(wanted)


def five_coefficients(cameras: Cameras) -> Tensor:
    """Return k1, k2, p1, p2, k3 of each view, or refuse lenses that have more."""
    if cameras.distortion is None:
        return torch.zeros(cameras.views, 5, dtype=torch.float64)
    k = torch.nn.functional.pad(cameras.distortion, (0, 1))
    if cameras.lens is not Lens.OPENCV or k[:, 5:].any():
        raise ValueError("`cameras` must have lenses of k1, k2, p1, p2, k3 alone for this format")
    return k[:, :5]


def _json_camera(place: Place, there: Place, name: str, lens: object, pose: object) -> CameraRecord:
    at_lens = place.at("intrinsics").at(name)
    lens = table(at_lens, lens, "calibration_matrix", "distortion")
    pose = table(there.at(name), pose, "R", "t")
    row = numbers(at_lens.at("distortion"), lens["distortion"], 5).tolist()
    return CameraRecord(
        name=name,
        intrinsics=numbers(at_lens.at("calibration_matrix"), lens["calibration_matrix"], 3, 3),
        rotation=numbers(there.at(name).at("R"), pose["R"], 3, 3),
        translation=numbers(there.at(name).at("t"), pose["t"], 3, 1)[:, 0],
        distortion=coefficients(at_lens.at("distortion"), row, Lens.OPENCV),
    )


def _h5_camera(place: Place, cameras: "h5py.Group", name: str) -> CameraRecord:
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


def _xml_camera(name: str, pose: Tensor, lens: Tensor) -> CameraRecord:
    angles, center = pose[:3], pose[3:]
    about_x, about_y, about_z = rotation_from_vector(angles.diag())
    R = about_x @ about_y @ about_z
    k1, k2, k3, p1, p2 = lens[4:].tolist()
    return CameraRecord(
        name=name,
        intrinsics=focal_matrix(*lens[:4].tolist()),
        rotation=R,
        translation=-R @ center,
        distortion=(k1, k2, p1, p2, k3),
    )


def _in_order(group: "h5py.Group", prefix: str) -> list[str]:
    """Name the numbered members of a group: 2 before 10."""
    numbered = [name for name in group if re.fullmatch(rf"{prefix}\d{{1,6}}", name)]
    return sorted(numbered, key=lambda name: int(name.removeprefix(prefix)))


def _group(place: Place, parent: "h5py.Group", name: str) -> "h5py.Group":
    """Return a group that lies in this very file."""
    import h5py

    link = parent.get(name, getlink=True)
    member = parent[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(member, h5py.Group):
        raise place.expected("a group of this file", "something else")
    return member


def _array(place: Place, group: "h5py.Group", name: str, size: int | None) -> Tensor:
    """Return a small array of numbers that lies in this very file."""
    import h5py

    link = group.get(name, getlink=True)
    member = group[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(member, h5py.Dataset) or member.is_virtual or member.external:
        raise place.expected("an array of this file", "something else")
    fits = member.size == size if size is not None else (member.size or 0) <= LONGEST_NAME
    if not fits or member.dtype.kind not in "fiu":
        told = f"{member.size} values of {member.dtype}"
        raise place.expected(f"{size or f'at most {LONGEST_NAME}'} numbers", told)
    return parsed_numbers(place, member[()].flatten().tolist(), member.size)
