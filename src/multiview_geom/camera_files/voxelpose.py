"""VoxelPose's `calibration_shelf.json` and `calibration_campus.json`, in millimeters.

`T` is the center of the camera: X_camera = R (X_world - T). `k` is k1, k2, k3 and `p` is p1, p2,
with OpenCV's lens formula.
"""

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord, focal_matrix
from multiview_geom.camera_files.values import column, numbers, table

KEYS = ("R", "T", "fx", "fy", "cx", "cy", "k", "p")


def read(source: CameraSource) -> list[CameraRecord]:
    """Read a table per camera, named by its key."""
    return [_record(source.place.at(name), name, camera) for name, camera in source.json.items()]


def _record(place: FilePlace, name: str, value: object) -> CameraRecord:
    camera = table(place, value, *KEYS)
    lens = [float(numbers(place.at(key), camera[key])) for key in ("fx", "fy", "cx", "cy")]
    k1, k2, k3 = column(place.at("k"), camera["k"], 3).tolist()
    p1, p2 = column(place.at("p"), camera["p"], 2).tolist()
    rotation = numbers(place.at("R"), camera["R"], 3, 3)
    return CameraRecord(
        name=name,
        intrinsics=focal_matrix(*lens),
        rotation=rotation,
        translation=-rotation @ column(place.at("T"), camera["T"], 3),
        distortion=(k1, k2, p1, p2, k3),
    )


def _recognizes(source: CameraSource) -> bool:
    cameras = source.json.values()
    return any(isinstance(camera, dict) and {"T", "fx", "k"} <= camera.keys() for camera in cameras)


FORMAT = CameraFormat(
    name="voxelpose",
    title="VoxelPose Shelf and Campus",
    unit="mm",
    recognizes=_recognizes,
    read=read,
)
