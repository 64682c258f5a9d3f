"""CMU Panoptic's `calibration_*.json`, in centimeters: X_camera = R X_world + t.

`distCoef` is OpenCV's k1, k2, p1, p2, k3. The world's y axis points down. The file holds the VGA,
HD and Kinect cameras of the dome, named by panel and node.
"""

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.values import column, image_size, numbers, table, text

COEFFICIENTS = 5


def read(source: CameraSource) -> list[CameraRecord]:
    """Read the list `cameras`."""
    place = source.place.at("cameras")
    cameras = table(source.place, source.json, "cameras")["cameras"]
    if not isinstance(cameras, list):
        raise place.expected("a list of cameras", cameras)
    return [_record(place.at(count), camera) for count, camera in enumerate(cameras)]


def _record(place: FilePlace, value: object) -> CameraRecord:
    camera = table(place, value, "name", "resolution", "K", "distCoef", "R", "t")
    width, height = numbers(place.at("resolution"), camera["resolution"], 2).tolist()
    return CameraRecord(
        name=text(place.at("name"), camera["name"]),
        intrinsics=numbers(place.at("K"), camera["K"], 3, 3),
        rotation=numbers(place.at("R"), camera["R"], 3, 3),
        translation=column(place.at("t"), camera["t"], 3),
        distortion=tuple(column(place.at("distCoef"), camera["distCoef"], COEFFICIENTS).tolist()),
        image_size=image_size(place.at("resolution"), width, height),
    )


FORMAT = CameraFormat(
    name="panoptic",
    title="CMU Panoptic calibration",
    unit="cm",
    recognizes=lambda source: "cameras" in source.json,
    read=read,
)
