"""Human3.6M's `camera-parameters.json`, in millimeters: X_camera = R X_world + t.

Human3.6M's lens formula uses half of OpenCV's tangential cross term. The coefficients are read as
OpenCV's, which differs by at most 0.8 px at the border of the image.
"""

import json
from pathlib import Path

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord, five_coefficients
from multiview_geom.camera_files.values import coefficients, numbers, one_of, table
from multiview_geom.cameras import Cameras
from multiview_geom.lenses.lens import Lens


def read(source: CameraSource) -> list[CameraRecord]:
    """Read the cameras of one subject."""
    place, tree = source.place, source.json
    table(place, tree, "intrinsics", "extrinsics")
    poses = table(place.at("extrinsics"), tree["extrinsics"])
    subject = one_of(place.at("extrinsics"), "subject", tuple(poses), source.subject)
    lenses = table(place.at("intrinsics"), tree["intrinsics"])
    at_poses = place.at("extrinsics").at(subject)
    cameras = table(at_poses, poses[subject], *lenses)
    table(place.at("intrinsics"), lenses, *cameras)
    return [_camera(place, at_poses, name, lenses[name], cameras[name]) for name in lenses]


def write(path: Path, cameras: Cameras, subject: str) -> None:
    """Write the cameras of one subject."""
    k = five_coefficients(cameras)
    lenses, poses = {}, {}
    for view, name in enumerate(cameras.names):
        pose = cameras.camera_from_world[view]
        K = cameras.intrinsics[view].tolist()
        lenses[name] = {"calibration_matrix": K, "distortion": k[view].tolist()}
        poses[name] = {"R": pose[:3, :3].tolist(), "t": pose[:3, 3:].tolist()}
    tree = {"intrinsics": lenses, "extrinsics": {subject: poses}}
    path.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")


def _camera(
    place: FilePlace, at_poses: FilePlace, name: str, lens: object, pose: object
) -> CameraRecord:
    at_lens = place.at("intrinsics").at(name)
    lens = table(at_lens, lens, "calibration_matrix", "distortion")
    pose = table(at_poses.at(name), pose, "R", "t")
    row = numbers(at_lens.at("distortion"), lens["distortion"], 5).tolist()
    return CameraRecord(
        name=name,
        intrinsics=numbers(at_lens.at("calibration_matrix"), lens["calibration_matrix"], 3, 3),
        rotation=numbers(at_poses.at(name).at("R"), pose["R"], 3, 3),
        translation=numbers(at_poses.at(name).at("t"), pose["t"], 3, 1)[:, 0],
        distortion=coefficients(at_lens.at("distortion"), row, Lens.OPENCV),
    )


FORMAT = CameraFormat(
    name="human36m-json",
    title="Human3.6M camera-parameters.json",
    unit="mm",
    recognizes=lambda source: "extrinsics" in source.json,
    read=read,
    write=write,
    has_subjects=True,
)
