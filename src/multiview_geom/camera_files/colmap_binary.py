"""COLMAP's binary model, `cameras.bin` and `images.bin`: X_camera = R X_world + t.

The numbers are those of the text model, little-endian. `images.bin` may be huge: its 2D points are
passed over.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

from multiview_geom.camera_files.colmap_lenses import (
    ColmapLens,
    colmap_lens,
    colmap_view,
    parameter_names,
    require_few_images,
)
from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.values import parsed_numbers

CAMERAS, IMAGES = "cameras.bin", "images.bin"
MODELS = (
    *("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"),
    *("FULL_OPENCV", "FOV", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "THIN_PRISM_FISHEYE"),
)
"""Models by their number in the file."""
LONGEST_NAME = 4096
BYTES_PER_POINT = 24


class _Reader:
    """Reads numbers of a fixed layout, and says which entry is cut off."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.file, self.size, self.place = file, path.stat().st_size, FilePlace(path)

    def numbers(self, layout: str) -> tuple[Any, ...]:
        size = struct.calcsize(f"<{layout}")
        content = self.file.read(size)
        if len(content) < size:
            raise self.place.expected(f"{size} more bytes", f"{len(content)}: the file is cut off")
        return struct.unpack(f"<{layout}", content)

    def name(self) -> str:
        start = self.file.tell()
        name, end, _ = self.file.read(LONGEST_NAME).partition(b"\0")
        if not end:
            raise self.place.expected("a name that ends with a zero byte", "none")
        self.file.seek(start + len(name) + 1)
        return name.decode("utf-8", errors="replace")

    def skip(self, size: int) -> None:
        if self.file.tell() + size > self.size:
            raise self.place.expected(f"{size} bytes of 2D points", "the end of the file")
        self.file.seek(size, 1)


def read(source: CameraSource) -> list[CameraRecord]:
    """Read the views of a folder with both files, in the order of `images.bin`."""
    folder = source.path if source.is_folder else source.path.parent
    with (folder / CAMERAS).open("rb") as file:
        lenses = _lenses(_Reader(folder / CAMERAS, file))
    with (folder / IMAGES).open("rb") as file:
        return _views(_Reader(folder / IMAGES, file), lenses)


def _lenses(reader: _Reader) -> dict[int, ColmapLens]:
    (count,) = reader.numbers("Q")
    require_few_images(reader.place, int(count))
    lenses: dict[int, ColmapLens] = {}
    for entry in range(int(count)):
        reader.place = FilePlace(reader.place.path, f"camera {entry + 1}")
        identity, number, *size = reader.numbers("iiQQ")
        width, height = map(float, size)
        model = MODELS[number] if 0 <= number < len(MODELS) else f"model number {number}"
        names = parameter_names(reader.place, model)
        row = parsed_numbers(reader.place, reader.numbers(f"{len(names)}d"), len(names)).tolist()
        lenses[identity] = colmap_lens(reader.place, model, width, height, row)
    return lenses


def _views(reader: _Reader, lenses: dict[int, ColmapLens]) -> list[CameraRecord]:
    (count,) = reader.numbers("Q")
    require_few_images(reader.place, int(count))
    return [_view(reader, entry, lenses) for entry in range(int(count))]


def _view(reader: _Reader, entry: int, lenses: dict[int, ColmapLens]) -> CameraRecord:
    reader.place = place = FilePlace(reader.place.path, f"image {entry + 1}")
    _, *pose, camera = reader.numbers("i7di")
    name = reader.name()
    (points,) = reader.numbers("Q")
    reader.skip(int(points) * BYTES_PER_POINT)
    if camera not in lenses:
        raise place.expected(f"a camera of {CAMERAS}", str(camera))
    return colmap_view(place, name, parsed_numbers(place, pose, 7), lenses[int(camera)])


FORMAT = CameraFormat(
    name="colmap-binary",
    title="COLMAP binary",
    unit=None,
    recognizes=lambda source: source.folder_with(CAMERAS, IMAGES) is not None,
    read=read,
    files=f"{CAMERAS} and {IMAGES}",
)
