"""caliscope's `camera_array.toml` and its older `config.toml`, in meters: X_camera = R X_world + t.

Today's layout has one table `cameras.N` per camera with the number `cam_id`; the older one has
tables `cam_N` with the number `port`, among the settings of the project. A rotation is a 3x3 matrix
or a rotation vector. Cameras that caliscope ignores or has not placed in the world are left out.
`rotation_count` turns the display of the program, neither the matrix nor the pixels.
"""

from collections.abc import Iterator

from torch import Tensor

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.toml_fields import OPTIONAL, coefficients_at, lens_at, size_at
from multiview_geom.camera_files.values import numbers, rotation_vector, table, text

NUMBERS = ("cam_id", "port")
"""Keys of a camera's number: today's and the older one."""


def read(source: CameraSource) -> list[CameraRecord]:
    """Read the cameras that have a pose."""
    tables = list(_tables(source))
    placed = [(place, key, camera) for place, key, camera in tables if _is_placed(camera)]
    if tables and not placed:
        ignored = sum(camera.get("ignore") is True for _, _, camera in tables)
        got = f"none; `ignore` is true of {ignored} cameras" if ignored else "none"
        raise source.place.expected("a camera with `rotation` and `translation`", got)
    return [_record(place, key, camera) for place, key, camera in placed]


def _tables(source: CameraSource) -> Iterator[tuple[FilePlace, str, dict[str, object]]]:
    cameras = source.toml.get("cameras")
    if isinstance(cameras, dict):
        place = source.place.at("cameras")
        for key, camera in cameras.items():
            yield place.at(key), key, table(place.at(key), camera, "matrix", optional=OPTIONAL)
        return
    for key, camera in source.toml.items():
        if _is_older(camera):
            place = source.place.at(key)
            yield place, key, table(place, camera, "matrix", optional=OPTIONAL)


def _is_placed(camera: dict[str, object]) -> bool:
    posed = all(camera.get(key) is not None for key in ("rotation", "translation"))
    return posed and camera.get("ignore") is not True


def _is_older(camera: object) -> bool:
    return isinstance(camera, dict) and "port" in camera and "matrix" in camera


def _record(place: FilePlace, key: str, camera: dict[str, object]) -> CameraRecord:
    lens = lens_at(place, camera)
    return CameraRecord(
        name=_name(place, key, camera),
        intrinsics=numbers(place.at("matrix"), camera["matrix"], 3, 3),
        rotation=_rotation(place.at("rotation"), camera["rotation"]),
        translation=numbers(place.at("translation"), camera["translation"], 3),
        distortion=coefficients_at(place, camera, lens),
        image_size=size_at(place, camera),
        lens=lens,
    )


def _name(place: FilePlace, key: str, camera: dict[str, object]) -> str:
    """Return `cam_` and the number; of a table without number, its name or the key."""
    number = next((camera[name] for name in NUMBERS if name in camera), None)
    numbered = key.removeprefix("cam_")
    if number is not None and numbered.isdigit() and str(number) != numbered:
        raise place.expected(f"the number {numbered}, as the name of the table says", number)
    if number is None and not key.isdigit():
        return text(place.at("name"), camera.get("name", key))
    return f"cam_{key if number is None else number}"


def _rotation(place: FilePlace, values: object) -> Tensor:
    if isinstance(values, list) and values and isinstance(values[0], list):
        return numbers(place, values, 3, 3)
    return rotation_vector(place, numbers(place, values, 3))


def _recognizes(source: CameraSource) -> bool:
    if isinstance(source.toml.get("cameras"), dict):
        return True
    return any(map(_is_older, source.toml.values()))


FORMAT = CameraFormat(
    name="caliscope",
    title="caliscope",
    unit="m",
    recognizes=_recognizes,
    read=read,
)
