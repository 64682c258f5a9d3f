"""DANNCE's `*_params.mat`, one MATLAB file per camera, in millimeters.

MATLAB multiplies points as rows: x = [X_world 1] [r; t] K, so K and r are transposed. Its first
pixel is (1, 1), here (0, 0): the principal point moves by one pixel. The lens formula is OpenCV's.
"""

from pathlib import Path

from torch import Tensor

from multiview_geom.camera_files.folder_files import camera_files
from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.matlab_file import matlab_matrices
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.values import coefficients, numbers, table
from multiview_geom.lenses.lens import Lens

ENDING = "_params.mat"
FIRST_PIXEL = 1.0
KEYS = ("K", "r", "t", "RDistort", "TDistort")


def read(source: CameraSource) -> list[CameraRecord]:
    """Read one camera, or all cameras of a folder, named by their files without `_params`."""
    files = camera_files(source.path, f"*{ENDING}") if source.is_folder else [source.path]
    return [_record(file) for file in files]


def _record(path: Path) -> CameraRecord:
    place, found = FilePlace(path), matlab_matrices(path)
    table(place, {**found}, *KEYS)
    K = _matrix(place, found, "K", 3, 3).mT.clone()
    K[:2, 2] -= FIRST_PIXEL
    return CameraRecord(
        name=path.name.removesuffix(ENDING),
        intrinsics=K,
        rotation=_matrix(place, found, "r", 3, 3).mT,
        translation=_matrix(place, found, "t", 3),
        distortion=_coefficients(place, found),
    )


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
    title="DANNCE *_params.mat",
    unit="mm",
    recognizes=lambda source: (
        bool(camera_files(source.path, f"*{ENDING}"))
        if source.is_folder
        else source.path.name.endswith(ENDING)
    ),
    read=read,
    files=f"*{ENDING}",
)
