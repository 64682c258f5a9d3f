"""Kalibr's `camchain.yaml`, in meters: every camera's pose follows from the camera before it.

`T_cn_cnm1` maps points of the previous camera's frame to this one's; the world is the frame of the
first camera. Kalibr's `radtan` is OpenCV's k1, k2, p1, p2, and its `equidistant` OpenCV's fisheye.
"""

import torch
from torch import Tensor

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord, focal_matrix
from multiview_geom.camera_files.values import (
    image_size,
    lens_of_model,
    parsed_numbers,
    table,
    transform,
)

KEYS = ("camera_model", "intrinsics", "resolution")
POSE, MODEL, LENS = "T_cn_cnm1", "distortion_model", "distortion_coeffs"


def read(source: CameraSource) -> list[CameraRecord]:
    """Read the cameras in the order of the chain, named `cam0`, `cam1`, ..."""
    pose = torch.eye(4, dtype=torch.float64)
    records: list[CameraRecord] = []
    for key in (f"cam{count}" for count in range(len(source.yaml))):
        if key not in source.yaml:  # each pose is that from the camera before it
            raise source.place.expected(f"the camera {key}", ", ".join(source.yaml))
        place = source.place.at(key)
        camera = table(place, source.yaml[key], *KEYS, optional=(MODEL, LENS))
        if records:
            table(place, camera, POSE)
            pose = transform(place.at(POSE), _numbers(place.at(POSE), camera[POSE], 4, 4)) @ pose
        records.append(_record(place, key, camera, pose))
    return records


def _record(place: FilePlace, key: str, camera: dict[str, object], pose: Tensor) -> CameraRecord:
    if camera["camera_model"] != "pinhole":
        raise place.at("camera_model").expected("pinhole", camera["camera_model"])
    if LENS in camera:
        table(place, camera, MODEL)
    model = camera.get(MODEL, "none")
    row = _numbers(place.at(LENS), camera.get(LENS), 4).tolist() if model != "none" else []
    width, height = _numbers(place.at("resolution"), camera["resolution"], 2).tolist()
    return CameraRecord(
        name=key,
        intrinsics=focal_matrix(
            *_numbers(place.at("intrinsics"), camera["intrinsics"], 4).tolist()
        ),
        rotation=pose[:3, :3],
        translation=pose[:3, 3],
        distortion=tuple(row),
        image_size=image_size(place.at("resolution"), width, height),
        lens=lens_of_model(place.at(MODEL), model),
    )


def _numbers(place: FilePlace, value: object, *shape: int) -> Tensor:
    """Return a list, or a list of lists, of numbers as a tensor."""
    rows = value if isinstance(value, list) else [value]
    flat = [word for row in rows for word in (row if isinstance(row, list) else [row])]
    return parsed_numbers(place, flat, *shape)


def _recognizes(source: CameraSource) -> bool:
    cameras = source.yaml.values()
    return any(isinstance(camera, dict) and "camera_model" in camera for camera in cameras)


FORMAT = CameraFormat(
    name="kalibr",
    title="Kalibr camchain",
    unit="m",
    recognizes=_recognizes,
    read=read,
)
