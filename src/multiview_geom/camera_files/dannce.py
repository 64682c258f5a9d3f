"""DANNCE's calibrations in MATLAB files, in millimeters.

They are `*_params.mat`, one file per camera, or the cells `params` and `camnames` of `*dannce.mat`,
one file of all cameras. MATLAB multiplies points as rows: x = [X_world 1] [r; t] K, so K and r are
transposed. Its first pixel is (1, 1), here (0, 0): the principal point moves by one pixel. The lens
formula is OpenCV's.
"""

from pathlib import Path

from torch import Tensor

from multiview_geom._view_names import default_names
from multiview_geom.camera_files.folder_files import camera_files
from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.matlab_file import matlab_variables
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.values import coefficients, numbers, table, text
from multiview_geom.lenses.lens import Lens

ENDING, ENDING_OF_ALL = "_params.mat", "dannce.mat"
FIRST_PIXEL = 1.0
CAMERAS, NAMES = "params", "camnames"
KEYS = ("K", "r", "t", "RDistort", "TDistort")


def read(source: CameraSource) -> list[CameraRecord]:
    """Read one camera, all cameras of a folder, named by their files, or those of one file."""
    files = camera_files(source.path, f"*{ENDING}") if source.is_folder else [source.path]
    return [record for file in files for record in _records(file)]


def _records(path: Path) -> list[CameraRecord]:
    place, found = FilePlace(path), matlab_variables(path, *KEYS, CAMERAS, NAMES)
    cameras = found.get(CAMERAS)
    if not isinstance(cameras, list):
        return [_record(place, path.name.removesuffix(ENDING), found)]
    names = found.get(NAMES, [*default_names(len(cameras))])
    if not isinstance(names, list) or len(names) != len(cameras):
        raise place.at(NAMES).expected(f"{len(cameras)} names", names)
    place = place.at(CAMERAS)
    return [
        _record(place.at(at), text(place.at(at), name), camera)
        for at, (name, camera) in enumerate(zip(names, cameras, strict=True))
    ]


def _record(place: FilePlace, name: str, value: object) -> CameraRecord:
    found = table(place, value, *KEYS)
    camera = {key: _tensor(place.at(key), found[key]) for key in KEYS}
    K = _matrix(place, camera, "K", 3, 3).mT.clone()
    K[:2, 2] -= FIRST_PIXEL
    return CameraRecord(
        name=name,
        intrinsics=K,
        rotation=_matrix(place, camera, "r", 3, 3).mT,
        translation=_matrix(place, camera, "t", 3),
        distortion=_coefficients(place, camera),
    )


def _tensor(place: FilePlace, value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise place.expected("a matrix of numbers", value)
    return value


def _coefficients(place: FilePlace, found: dict[str, Tensor]) -> tuple[float, ...]:
    radial, tangential = (found[key].flatten() for key in ("RDistort", "TDistort"))
    k1, k2, *k3 = _matrix(place, found, "RDistort", max(2, len(radial))).tolist()
    p1, p2 = _matrix(place, found, "TDistort", max(2, len(tangential))).tolist()[:2]
    return coefficients(place.at("RDistort"), [k1, k2, p1, p2, *k3], Lens.OPENCV)


def _matrix(place: FilePlace, found: dict[str, Tensor], key: str, *shape: int) -> Tensor:
    values = found[key].flatten() if len(shape) == 1 else found[key]
    return numbers(place.at(key), values.tolist(), *shape)


FORMAT = CameraFormat(
    name="dannce",
    title="DANNCE *_params.mat or *dannce.mat",
    unit="mm",
    recognizes=lambda source: (
        bool(camera_files(source.path, f"*{ENDING}"))
        if source.is_folder
        else source.path.name.endswith((ENDING, ENDING_OF_ALL))
    ),
    read=read,
    files=f"*{ENDING}",
)
