"""What COLMAP's text model and its binary model share: lenses by number, and views with poses."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord, rotation_of_quaternion
from multiview_geom.camera_files.values import image_size
from multiview_geom.conventions.colmap import COLMAP_PARAMETERS, ColmapCameras, from_colmap
from multiview_geom.lenses.lens import Lens

MOST_IMAGES = 10_000


class ColmapLens(NamedTuple):
    """K, coefficients, image size and lens model of a camera in COLMAP's sense."""

    intrinsics: Tensor
    distortion: tuple[float, ...]
    image_size: tuple[int, int]
    lens: Lens


def parameter_names(place: FilePlace, model: str) -> tuple[str, ...]:
    """Return the names of a model's parameters; refuse a model that is not supported."""
    names = COLMAP_PARAMETERS.get(model)
    if names is None:
        raise place.expected(f"one of the models {', '.join(COLMAP_PARAMETERS)}", model)
    return names


def colmap_lens(
    place: FilePlace, model: str, width: float, height: float, values: Sequence[float]
) -> ColmapLens:
    """Return a lens; the principal point moves by half a pixel."""
    parameters = torch.tensor([list(values)], dtype=torch.float64)
    no_rotation = parameters.new_tensor([[1.0, 0.0, 0.0, 0.0]])
    camera = from_colmap(ColmapCameras(model, parameters, no_rotation, parameters.new_zeros(1, 3)))
    k = () if camera.distortion is None else tuple(camera.distortion[0].tolist())
    return ColmapLens(camera.intrinsics[0], k, image_size(place, width, height), camera.lenses[0])


def colmap_view(place: FilePlace, name: str, pose: Tensor, lens: ColmapLens) -> CameraRecord:
    """Return a view from quaternion and translation, seven numbers."""
    rotation = rotation_of_quaternion(place, pose[:4])
    return CameraRecord(name, lens[0], rotation, pose[4:], *lens[1:])


def require_few_images(place: FilePlace, images: int) -> None:
    """Refuse a model of very many images, whose views would not fit into memory."""
    if images > MOST_IMAGES:
        raise place.expected(f"at most {MOST_IMAGES} images", "more")
