"""ROS's camera_info YAML, as `camera_calibration` writes it: one camera per file.

The world is the rectified frame of a stereo pair's first camera, where the file has a rectification
and a projection matrix; for a single camera it is the frame of the camera.
"""

import torch
from torch import Tensor

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.values import (
    coefficients,
    image_size,
    lens_of_model,
    number,
    parsed_numbers,
    table,
    text,
)
from multiview_geom.lenses.lens import Lens

COEFFICIENTS = "distortion_coefficients"
OPTIONAL = (COEFFICIENTS, "distortion_model", "rectification_matrix", "projection_matrix")


def read(source: CameraSource) -> list[CameraRecord]:
    """Read the camera of the file, with the name inside."""
    place, tree = source.place, source.yaml
    table(place, tree, "camera_matrix", "image_width", "image_height", optional=OPTIONAL)
    _require_whole_pictures(place, tree)
    lens = lens_of_model(place.at("distortion_model"), tree["distortion_model"])
    sides = [number(place.at(key), tree[key]) for key in ("image_width", "image_height")]
    rotation, translation = _pose(place, tree)
    record = CameraRecord(
        name=text(place.at("camera_name"), tree.get("camera_name", source.path.stem)),
        intrinsics=_matrix(place, tree, "camera_matrix", 3, 3),
        rotation=rotation,
        translation=translation,
        distortion=_distortion(place, tree, lens),
        image_size=image_size(place.at("image_width"), *sides),
        lens=lens,
    )
    return [record]


def _require_whole_pictures(place: FilePlace, tree: dict[str, object]) -> None:
    """Refuse pictures that are smaller than those of the calibration; 0 stands for their size."""
    for key in ("binning_x", "binning_y"):
        if number(place.at(key), tree.get(key, 0)) > 1:
            raise place.at(key).expected("pictures of the calibrated size", f"binning {tree[key]}")
    region = tree.get("roi", {})
    whole = {"x_offset": 0, "y_offset": 0, "width": tree["image_width"]}
    for key, usual in {**whole, "height": tree["image_height"]}.items():
        found = region.get(key, 0) if isinstance(region, dict) else 0
        if number(place.at("roi").at(key), found) and found != usual:
            raise place.at("roi").at(key).expected("whole pictures", found)


def _distortion(place: FilePlace, tree: dict[str, object], lens: Lens) -> tuple[float, ...]:
    row = _data(place, tree, COEFFICIENTS) if COEFFICIENTS in tree else []
    place = place.at(COEFFICIENTS)
    return coefficients(place, parsed_numbers(place, row, len(row)).tolist(), lens)


def _pose(place: FilePlace, tree: dict[str, object]) -> tuple[Tensor, Tensor]:
    """Invert X_rectified = R X_camera and x_pixel = K' (X_rectified - t), as ROS defines them."""
    if not {"rectification_matrix", "projection_matrix"} <= tree.keys():
        return torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    rotation = _matrix(place, tree, "rectification_matrix", 3, 3).mT
    projection = _matrix(place, tree, "projection_matrix", 3, 4)
    if not float(torch.linalg.det(projection[:, :3])):
        raise place.at("projection_matrix").expected("a matrix that can be inverted", projection)
    return rotation, rotation @ torch.linalg.solve(projection[:, :3], projection[:, 3])


def _matrix(place: FilePlace, tree: dict[str, object], key: str, *shape: int) -> Tensor:
    return parsed_numbers(place.at(key), _data(place, tree, key), *shape)


def _data(place: FilePlace, tree: dict[str, object], key: str) -> list[object]:
    values = table(place.at(key), tree[key], "data")["data"]
    if not isinstance(values, list):
        raise place.at(key).expected("a list of numbers in `data`", values)
    return values


FORMAT = CameraFormat(
    name="ros-camera-info",
    title="ROS camera_info",
    unit="m",
    recognizes=lambda source: {"camera_matrix", "distortion_model"} <= source.yaml.keys(),
    read=read,
)
