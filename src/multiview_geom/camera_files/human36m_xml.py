"""Human3.6M's `metadata.xml`, in millimeters: 300 numbers, rotations about x, y, z, and centers."""

import re

from torch import Tensor

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.records import CameraRecord, focal_matrix
from multiview_geom.camera_files.values import one_of, parsed_numbers
from multiview_geom.camera_files.xml_elements import parse_xml
from multiview_geom.rotations import rotation_from_vector

NAMES = ("54138969", "55011271", "58860488", "60457274")
"""The cameras of `metadata.xml`, in its order; the file itself only numbers them."""
SUBJECTS = tuple(f"S{number}" for number in range(1, 12))
POSE, LENS = 6, 9
"""Numbers per subject and camera, and per camera."""


def read(source: CameraSource) -> list[CameraRecord]:
    """Read the cameras of one subject."""
    place, nodes = source.place.at("w0"), parse_xml(source.path, source.text).findall(".//w0")
    if len(nodes) != 1:
        raise place.expected("one element <w0>", f"{len(nodes)} of them")
    words = re.sub(r"[\[\],]", " ", nodes[0].text or "").split()
    cells = len(SUBJECTS) * len(NAMES)
    row = parsed_numbers(place, words, cells * POSE + len(NAMES) * LENS)
    chosen = SUBJECTS.index(one_of(place, "subject", SUBJECTS, source.subject))
    poses = row[: cells * POSE].reshape(len(NAMES), len(SUBJECTS), POSE)[:, chosen]
    lenses = row[cells * POSE :].reshape(len(NAMES), LENS)
    return [_camera(*camera) for camera in zip(NAMES, poses, lenses, strict=True)]


def _camera(name: str, pose: Tensor, lens: Tensor) -> CameraRecord:
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


FORMAT = CameraFormat(
    name="human36m-xml",
    title="Human3.6M metadata.xml",
    unit="mm",
    recognizes=lambda source: source.text.startswith("<") and "<w0>" in source.text,
    read=read,
    has_subjects=True,
)
