"""A pair of cameras that MATLAB calibrated: the structure of a `stereoParameters` object.

MATLAB multiplies points as rows: [x y z] of camera 2 = [x y z] of camera 1 * RotationOfCamera2 +
TranslationOfCamera2, and IntrinsicMatrix is K transposed. Its first pixel is (1, 1), here (0, 0):
the principal point moves by one pixel, as in `stereoParametersToOpenCV`. The lens formula is
OpenCV's. The world is the frame of camera 1.
"""

import torch
from torch import Tensor

from multiview_geom._view_names import default_names
from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.matlab_file import SIGNATURE, Opaque, matlab_variables
from multiview_geom.camera_files.place import CameraFileError, FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.values import coefficients, image_size, numbers, table
from multiview_geom.lenses.lens import Lens

CAMERAS = ("CameraParameters1", "CameraParameters2")
ROTATION, TRANSLATION = "RotationOfCamera2", "TranslationOfCamera2"
OBJECT = "stereoParameters"
FIRST_PIXEL = 1.0
MILLIMETERS = {"mm": 1.0, "millimeters": 1.0, "cm": 10.0, "m": 1000.0, "meters": 1000.0, "in": 25.4}
"""What the text WorldUnits means; MATLAB's default is mm."""


def read(source: CameraSource) -> list[CameraRecord]:
    """Read the two cameras of the variable that is such a pair."""
    pairs = _pairs(source)
    if not pairs:
        names = ", ".join(_single_cameras(source))
        got = f"one camera alone ({names}), whose pose nothing says" if names else "none"
        raise source.place.expected(f"a pair of cameras with `{CAMERAS[0]}`", got)
    (name, pair), *others = pairs.items()
    if others:
        raise source.place.expected("one pair of cameras", f"several: {', '.join(pairs)}")
    place = source.place.at(name)
    if isinstance(pair, Opaque):
        raise place.expected(
            f"a structure, which MATLAB writes with p = toStruct({name}); "
            "save('stereo.mat', 'p', '-v7')",
            f"a {OBJECT} object, which only MATLAB reads",
        )
    pair = table(place, pair, *CAMERAS, ROTATION, TRANSLATION)
    first, second = (table(place.at(key), pair[key]) for key in CAMERAS)
    zero, identity = torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    rotation = _matrix(place, pair, ROTATION, 3, 3).mT
    translation = _millimeters(place.at(CAMERAS[0]), first) * _matrix(place, pair, TRANSLATION, 3)
    poses = ((identity, zero), (rotation, translation))
    return [
        _record(place.at(key), name, camera, *pose)
        for key, name, camera, pose in zip(
            CAMERAS, default_names(2), (first, second), poses, strict=True
        )
    ]


def _pairs(source: CameraSource) -> dict[str, object]:
    variables = matlab_variables(source.path)
    return {name: value for name, value in variables.items() if _is_pair(value)}


def _is_pair(value: object) -> bool:
    if isinstance(value, Opaque):
        return value.kind == OBJECT
    return isinstance(value, dict) and CAMERAS[0] in value


def _record(
    place: FilePlace, name: str, camera: dict[str, object], rotation: Tensor, translation: Tensor
) -> CameraRecord:
    table(place, camera, "RadialDistortion", "TangentialDistortion")
    K = _matrix(place, camera, "K", 3, 3) if "K" in camera else _transposed(place, camera)
    K = K.clone()
    K[:2, 2] -= FIRST_PIXEL
    radial = _row(place, camera, "RadialDistortion")
    p1, p2 = _matrix(place, camera, "TangentialDistortion", 2).tolist()
    k1, k2, *k3 = [*radial, 0.0, 0.0][: max(2, len(radial))]
    return CameraRecord(
        name=name,
        intrinsics=K,
        rotation=rotation,
        translation=translation,
        distortion=coefficients(place.at("RadialDistortion"), [k1, k2, p1, p2, *k3], Lens.OPENCV),
        image_size=_size(place, camera),
    )


def _transposed(place: FilePlace, camera: dict[str, object]) -> Tensor:
    table(place, camera, "IntrinsicMatrix")
    return _matrix(place, camera, "IntrinsicMatrix", 3, 3).mT


def _size(place: FilePlace, camera: dict[str, object]) -> tuple[int, int] | None:
    """Return width and height; MATLAB has rows and columns, or nothing."""
    sides = _row(place, camera, "ImageSize") if "ImageSize" in camera else []
    if not sides:
        return None
    rows, columns = numbers(place.at("ImageSize"), sides, 2).tolist()
    return image_size(place.at("ImageSize"), columns, rows)


def _single_cameras(source: CameraSource) -> list[str]:
    """Return the names of the variables that are MATLAB's `cameraParameters`, as structures."""
    variables = matlab_variables(source.path)
    return [
        name
        for name, value in variables.items()
        if isinstance(value, dict) and {"IntrinsicMatrix", "RadialDistortion"} <= value.keys()
    ]


def _millimeters(place: FilePlace, camera: dict[str, object]) -> float:
    unit = camera.get("WorldUnits", "mm")
    if not isinstance(unit, str) or unit.strip().lower() not in MILLIMETERS:
        raise place.at("WorldUnits").expected(f"one of {', '.join(MILLIMETERS)}", unit)
    return MILLIMETERS[unit.strip().lower()]


def _matrix(place: FilePlace, found: dict[str, object], key: str, *shape: int) -> Tensor:
    value = found[key]
    if isinstance(value, Tensor):
        value = (value.flatten() if len(shape) == 1 else value).tolist()
    return numbers(place.at(key), value, *shape)


def _row(place: FilePlace, found: dict[str, object], key: str) -> list[float]:
    value = found[key]
    if not isinstance(value, Tensor):
        raise place.at(key).expected("numbers", value)
    row: list[float] = numbers(place.at(key), value.flatten().tolist(), value.numel()).tolist()
    return row


def _recognizes(source: CameraSource) -> bool:
    if source.is_folder or source.path.suffix.lower() != ".mat":
        return False
    with source.path.open("rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return False
    try:
        return bool(_pairs(source) or _single_cameras(source))
    except CameraFileError:
        return True  # a damaged file is reported where it is read


FORMAT = CameraFormat(
    name="matlab-stereo",
    title="MATLAB's stereoParameters as a structure",
    unit="mm",
    recognizes=_recognizes,
    read=read,
)
