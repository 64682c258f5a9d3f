"""COLMAP's text model, `cameras.txt` and `images.txt`: X_camera = R X_world + t.

In COLMAP the center of the first pixel is (0.5, 0.5), here it is (0, 0): the principal point
moves by half a pixel. Every image is a view. `images.txt` may be huge: only the lines with poses
are parsed.
"""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

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
from multiview_geom.cameras import Cameras
from multiview_geom.conventions.colmap import to_colmap

CAMERAS, IMAGES = "cameras.txt", "images.txt"
LONGEST_LINE = 4096
"""Characters of a line that are read; lines of 2D points are longer, and skipped."""
POSE, IMAGE = 7, 10
"""Numbers of a pose, and words of the first line of an image."""


def read(source: CameraSource) -> list[CameraRecord]:
    """Read the views of a folder with both files, in the order of `images.txt`."""
    folder = source.path if source.is_folder else source.path.parent
    lenses: dict[str, ColmapLens] = {}
    for place, line in _lines(folder / CAMERAS):
        if not line:
            continue
        identity, *words = line.split()
        if identity in lenses:
            raise place.expected("each camera once", f"camera {identity} again")
        lenses[identity] = _lens(place, words)
    return [_record(place, line, lenses) for place, line in _pose_lines(folder / IMAGES)]


def write(folder: Path, cameras: Cameras, _subject: str) -> None:
    """Write both files into a folder, which is created if it does not exist."""
    if cameras.image_size is None:
        raise ValueError("`cameras` must have an image size for COLMAP's format")
    folder.mkdir(parents=True, exist_ok=True)
    lenses = ["# CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]"]
    images = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME", "# POINTS2D[] as X Y POINT3D_ID"]
    for view, name in enumerate(cameras.names):
        width, height = cameras.image_size[view].tolist()
        colmap = to_colmap(cameras.select([view]))
        parameters = _joined(colmap.parameters[0])
        pose = f"{_joined(colmap.quaternions[0])} {_joined(colmap.translations[0])}"
        lenses.append(f"{view + 1} {colmap.model} {width} {height} {parameters}")
        images += [f"{view + 1} {pose} {view + 1} {name}", ""]
    (folder / CAMERAS).write_text("\n".join([*lenses, ""]), encoding="utf-8")
    (folder / IMAGES).write_text("\n".join([*images, ""]), encoding="utf-8")


def _lines(path: Path) -> Iterator[tuple[FilePlace, str]]:
    """Yield the beginning of each line that is no comment."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        count, begins = 0, True
        while line := file.readline(LONGEST_LINE):
            count += begins
            if begins and not line.startswith("#"):
                yield FilePlace(path, f"line {count}"), line.strip()
            begins = line.endswith("\n")


def _pose_lines(path: Path) -> Iterator[tuple[FilePlace, str]]:
    """Yield the first line of each image; the second line, with 2D points, may be empty."""
    is_pose_line = True
    images = 0
    for place, line in _lines(path):
        if is_pose_line and not line:
            continue
        if is_pose_line:
            images += 1
            yield place, line
        elif len(words := line.split(maxsplit=IMAGE)) >= IMAGE and not _is_number(words[IMAGE - 1]):
            raise place.expected("the 2D points of an image in every second line", line)
        require_few_images(place, images)
        is_pose_line = not is_pose_line


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _lens(place: FilePlace, words: list[str]) -> ColmapLens:
    model, *row = words or [""]
    names = parameter_names(place, model)
    width, height, *values = parsed_numbers(place, row, 2 + len(names)).tolist()
    return colmap_lens(place, model, width, height, values)


def _record(place: FilePlace, line: str, lenses: dict[str, ColmapLens]) -> CameraRecord:
    words = line.split(maxsplit=IMAGE - 1)
    if len(words) != IMAGE:
        raise place.expected("an image: id, quaternion, translation, camera, name", line)
    _, *row, camera, name = words
    if camera not in lenses:
        raise place.expected(f"a camera of {CAMERAS}", camera)
    return colmap_view(place, name, parsed_numbers(place, row, POSE), lenses[camera])


def _joined(row: Tensor) -> str:
    return " ".join(repr(value) for value in row.tolist())


FORMAT = CameraFormat(
    name="colmap",
    title="COLMAP text",
    unit=None,
    recognizes=lambda source: source.folder_with(CAMERAS, IMAGES) is not None,
    read=read,
    write=write,
    files=f"{CAMERAS} and {IMAGES}",
)
