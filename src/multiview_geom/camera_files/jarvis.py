"""JARVIS's YAML, one file per camera: K and R are stored transposed, for points as rows.

x = [X_world 1] [R; T] K with the matrices of the file, so X_camera = R^T X_world + T. Lengths are
those of the board.
"""

from pathlib import Path

from multiview_geom.camera_files.folder_files import camera_files
from multiview_geom.camera_files.format import CameraFormat, CameraSource, read_text
from multiview_geom.camera_files.opencv_nodes import Tree, lens_coefficients, matrix, parse_yaml
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.values import table

K, LENS, KEYS = "intrinsicMatrix", "distortionCoefficients", ("intrinsicMatrix", "R", "T")
PATTERNS = ("*.yaml", "*.yml")


def read(source: CameraSource) -> list[CameraRecord]:
    """Read one camera, or all cameras of a folder, named by their files."""
    if not source.is_folder:
        return [_record(source.path, source.yaml)]
    files = camera_files(source.path, *PATTERNS)
    return [_record(file, parse_yaml(file, read_text(file))) for file in files]


def _record(path: Path, tree: Tree) -> CameraRecord:
    place = FilePlace(path)
    table(place, tree, *KEYS)
    return CameraRecord(
        name=path.stem,
        intrinsics=matrix(place.at(K), tree[K], 3, 3).mT,
        rotation=matrix(place.at("R"), tree["R"], 3, 3).mT,
        translation=matrix(place.at("T"), tree["T"], 3),
        distortion=lens_coefficients(place.at(LENS), tree[LENS]) if LENS in tree else (),
    )


def _recognizes(source: CameraSource) -> bool:
    if not source.is_folder:
        return K in source.yaml
    files = camera_files(source.path, *PATTERNS)
    return bool(files) and K in CameraSource(files[0]).yaml


FORMAT = CameraFormat(
    name="jarvis",
    title="JARVIS YAML",
    unit=None,
    recognizes=_recognizes,
    read=read,
    files="JARVIS's *.yaml",
)
