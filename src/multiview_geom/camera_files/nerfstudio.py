"""nerfstudio's `transforms.json`: camera to world, axes x right, y up, z backward.

Every frame is a view. The lens stands once for all frames or in each. As in COLMAP, whose numbers
nerfstudio takes over, the center of the first pixel is (0.5, 0.5): the principal point moves by
half a pixel. `applied_transform` moved the world already, so it is not needed.
"""

from pathlib import PurePosixPath

from torch import Tensor

from multiview_geom.camera_files.folder_files import MOST_CAMERAS
from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord, focal_matrix
from multiview_geom.camera_files.values import image_size, number, numbers, table, text, transform
from multiview_geom.conventions.pinholes import HALF_PIXEL
from multiview_geom.lenses.lens import Lens
from multiview_geom.transforms import invert_transform

COEFFICIENTS = {
    "SIMPLE_PINHOLE": (),
    "PINHOLE": (),
    "SIMPLE_RADIAL": ("k1",),
    "RADIAL": ("k1", "k2"),
    "OPENCV": ("k1", "k2", "p1", "p2", "k3"),
    "OPENCV_FISHEYE": ("k1", "k2", "k3", "k4"),
}
"""Lens coefficients of each model, in OpenCV's order; those that a file lacks are 0."""
ALL_COEFFICIENTS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
LENS_KEYS = ("fl_x", "fl_y", "cx", "cy", "w", "h")
AXES = (1.0, -1.0, -1.0, 1.0)
"""Signs from axes x right, y up, z backward to x right, y down, z forward."""


def read(source: CameraSource) -> list[CameraRecord]:
    """Read every frame; a frame is named by its file, or its path where names are not unique."""
    place = source.place.at("frames")
    frames = table(source.place, source.json, "frames")["frames"]
    if not isinstance(frames, list):
        raise place.expected("a list of frames", frames)
    if len(frames) > MOST_CAMERAS:
        raise place.expected(f"at most {MOST_CAMERAS} cameras", f"{len(frames)}")
    shared = {key: value for key, value in source.json.items() if key != "frames"}
    places = [place.at(count) for count in range(len(frames))]
    tables = [
        shared | table(at, frame, "file_path", "transform_matrix")
        for at, frame in zip(places, frames, strict=True)
    ]
    paths = [text(at.at("file_path"), t["file_path"]) for at, t in zip(places, tables, strict=True)]
    return [_record(*frame) for frame in zip(places, _names(paths), tables, strict=True)]


def _names(paths: list[str]) -> list[str]:
    short = [PurePosixPath(path).name for path in paths]
    return short if len(set(short)) == len(short) else paths


def _record(place: FilePlace, name: str, frame: dict[str, object]) -> CameraRecord:
    table(place, frame, *LENS_KEYS)
    fx, fy, cx, cy, width, height = (number(place.at(key), frame[key]) for key in LENS_KEYS)
    pose = invert_transform(_camera_to_world(place.at("transform_matrix"), frame))
    lens, k = _lens(place, frame)
    return CameraRecord(
        name=name,
        intrinsics=focal_matrix(fx, fy, cx - HALF_PIXEL, cy - HALF_PIXEL),
        rotation=pose[:3, :3],
        translation=pose[:3, 3],
        distortion=k,
        image_size=image_size(place.at("w"), width, height),
        lens=lens,
    )


def _camera_to_world(place: FilePlace, frame: dict[str, object]) -> Tensor:
    pose = transform(place, numbers(place, frame["transform_matrix"], 4, 4))
    return pose * pose.new_tensor(AXES)


def _lens(place: FilePlace, frame: dict[str, object]) -> tuple[Lens, tuple[float, ...]]:
    fisheye = frame.get("is_fisheye") is True  # as instant-ngp says it
    model = frame.get("camera_model", "OPENCV_FISHEYE" if fisheye else "OPENCV")
    names = COEFFICIENTS.get(str(model))
    if names is None:
        raise place.at("camera_model").expected(f"one of {', '.join(COEFFICIENTS)}", model)
    k = {key: number(place.at(key), frame.get(key, 0.0)) for key in ALL_COEFFICIENTS}
    for key, value in k.items():
        if value and key not in names:
            raise place.at(key).expected(f"0 for the model {model}", value)
    row = tuple(k[name] for name in names)
    if model == "OPENCV_FISHEYE":
        return Lens.FISHEYE, row
    filled = [*row, *[0.0] * (4 - len(row))] if any(row) else []
    return Lens.OPENCV, tuple(filled)


def _recognizes(source: CameraSource) -> bool:
    frames = source.json.get("frames")
    return isinstance(frames, list) and any(
        isinstance(frame, dict) and "transform_matrix" in frame for frame in frames
    )


FORMAT = CameraFormat(
    name="nerfstudio",
    title="nerfstudio transforms.json",
    unit=None,
    recognizes=_recognizes,
    read=read,
)
