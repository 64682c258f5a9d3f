"""The fields of a camera that the TOML files of several tools share."""

from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.values import coefficients, image_size, numbers, parsed_numbers
from multiview_geom.lenses.lens import Lens

OPTIONAL = ("distortions", "size", "fisheye")
"""The keys that a camera may lack."""


def lens_at(place: FilePlace, camera: dict[str, object]) -> Lens:
    """Return the lens that `fisheye` says; without this key, OpenCV's polynomial lens."""
    fisheye = camera.get("fisheye", False)
    if not isinstance(fisheye, bool):
        raise place.at("fisheye").expected("true or false", fisheye)
    return Lens.FISHEYE if fisheye else Lens.OPENCV


def coefficients_at(place: FilePlace, camera: dict[str, object], lens: Lens) -> tuple[float, ...]:
    """Return the coefficients in `distortions`; without this key, none."""
    place, row = place.at("distortions"), camera.get("distortions", [])
    if not isinstance(row, list):
        raise place.expected("a list of coefficients", row)
    coefficients(place, row, lens)
    return tuple(parsed_numbers(place, row, len(row)).tolist())


def size_at(place: FilePlace, camera: dict[str, object]) -> tuple[int, int] | None:
    """Return the width and height in `size`, if the camera has this key."""
    if "size" not in camera:
        return None
    width, height = numbers(place.at("size"), camera["size"], 2).tolist()
    return image_size(place.at("size"), width, height)
