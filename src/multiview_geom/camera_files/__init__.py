"""Calibration files of other tools, read and written."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path

from multiview_geom.camera_files import (
    aniposelib,
    colmap,
    easymocap,
    filestorage,
    human36m,
    humaneva,
    mpi_inf_3dhp,
    opencv,
    qualisys,
)
from multiview_geom.camera_files.records import (
    CameraFileError as CameraFileError,
)
from multiview_geom.camera_files.records import (
    CameraRecord,
    Place,
    read_text,
    rig_of,
)
from multiview_geom.cameras import Cameras

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class CameraFormat(Enum):
    """A kind of calibration file."""

    TOML = "TOML of aniposelib, Pose2Sim or caliscope"
    OPENCV_YAML = "OpenCV YAML"
    OPENCV_JSON = "OpenCV JSON"
    HUMAN36M_JSON = "Human3.6M camera-parameters.json"
    HUMAN36M_H5 = "Human3.6M cameras.h5"
    HUMAN36M_XML = "Human3.6M metadata.xml"
    HUMANEVA = "HumanEva .cal"
    MPI_INF_3DHP = "MPI-INF-3DHP camera.calibration"
    COLMAP = "COLMAP text"
    EASYMOCAP = "EasyMocap intri.yml and extri.yml"
    QUALISYS = "Qualisys .qca.txt"


@dataclass(frozen=True)
class CameraFile:
    """What was found in a calibration file.

    Attributes:
        cameras: The rig in float64, in the order of the file.
        format: What kind of file it is, by its content.
        unit: The unit of length that the format fixes, "mm"; None where it is the writer's own.
    """

    cameras: Cameras
    format: CameraFormat
    unit: str | None


MILLIMETRES = {
    CameraFormat.HUMAN36M_JSON,
    CameraFormat.HUMAN36M_H5,
    CameraFormat.HUMAN36M_XML,
    CameraFormat.HUMANEVA,
    CameraFormat.MPI_INF_3DHP,
    CameraFormat.QUALISYS,
}
SUFFIXES = {
    ".toml": CameraFormat.TOML,
    ".yml": CameraFormat.OPENCV_YAML,
    ".yaml": CameraFormat.OPENCV_YAML,
    ".json": CameraFormat.OPENCV_JSON,
    ".h5": CameraFormat.HUMAN36M_H5,
    ".calibration": CameraFormat.MPI_INF_3DHP,
}
"""What is written to a path where no format is asked for."""
WRITERS: dict[CameraFormat, Callable[[Path, Cameras], None]] = {
    CameraFormat.TOML: aniposelib.write,
    CameraFormat.OPENCV_YAML: opencv.write_yaml,
    CameraFormat.OPENCV_JSON: opencv.write_json,
    CameraFormat.HUMANEVA: humaneva.write,
    CameraFormat.MPI_INF_3DHP: mpi_inf_3dhp.write,
    CameraFormat.COLMAP: colmap.write,
    CameraFormat.EASYMOCAP: easymocap.write,
}
FOLDERS = {
    CameraFormat.COLMAP: (colmap.CAMERAS, colmap.IMAGES),
    CameraFormat.EASYMOCAP: (easymocap.INTRINSICS, easymocap.EXTRINSICS),
}
"""Formats of two files in one folder."""


def load_cameras(path: str | Path, *, subject: str | None = None) -> Cameras:
    """Read the cameras of a calibration file, in the order of the file.

    Args:
        path: A TOML of aniposelib, Pose2Sim or caliscope; OpenCV's YAML or JSON; Human3.6M's
            `camera-parameters.json`, `cameras.h5` or `metadata.xml`; a HumanEva `.cal` or a
            folder of them; MPI-INF-3DHP's `camera.calibration`; a folder of COLMAP's or
            EasyMocap's two files, or one of the two; Qualisys's `.qca.txt`. The format is
            told by the content, not by the name.
        subject: Whose cameras, such as "S1", where Human3.6M's files hold several.

    Returns:
        The rig in float64, lengths in the unit of the file: `read_camera_file` tells it.

    Raises:
        CameraFileError: If the file is no calibration, saying what is wrong where.
        OSError: If there is no such file.

    Note:
        Coefficient rows of different lengths are filled up with zeros. A rig has one lens
        model: a file that mixes fisheyes with other lenses is refused.
    """
    return read_camera_file(path, subject=subject).cameras


def read_camera_file(path: str | Path, *, subject: str | None = None) -> CameraFile:
    """Read a calibration file, and tell its format and its unit of length.

    Args:
        path: As `load_cameras` takes it.
        subject: As `load_cameras` takes it.

    Returns:
        The cameras, the format, and the unit where the format fixes one.

    Raises:
        CameraFileError: If the file is no calibration, saying what is wrong where.
        OSError: If there is no such file.
    """
    path = Path(path)
    form, records = _found(path, subject)
    unit = "mm" if form in MILLIMETRES else None
    return CameraFile(rig_of(path, records), form, unit)


def save_cameras(
    path: str | Path,
    cameras: Cameras,
    *,
    format: CameraFormat | None = None,
    subject: str = "S1",
) -> None:
    """Write cameras to a calibration file.

    Args:
        path: File to write, or folder for HumanEva, COLMAP and EasyMocap; what exists is
            replaced.
        cameras: The rig, without batch axes. Numbers are written in full.
        format: What to write; by default what the path ends in: `.toml`, `.yml` and
            `.json` (OpenCV), `.h5` (Human3.6M), `.calibration` (MPI-INF-3DHP).
        subject: Whose cameras they are, in Human3.6M's files.

    Raises:
        ValueError: If the format cannot hold the rig, or is not one that is written.
    """
    path = Path(path)
    form = format or SUFFIXES.get(path.suffix.lower())
    if cameras.intrinsics.ndim != 3:  # noqa: PLR2004 - views and K
        shape = tuple(cameras.intrinsics.shape)
        raise ValueError(f"`cameras` must have no batch axes to be written, got K of {shape}")
    writers: dict[CameraFormat, Callable[[Path, Cameras], None]] = {
        **WRITERS,
        CameraFormat.HUMAN36M_JSON: partial(human36m.write_json, subject=subject),
        CameraFormat.HUMAN36M_H5: partial(human36m.write_h5, subject=subject),
    }
    if form is None or form not in writers:
        known = ", ".join(sorted(writable.name for writable in writers))
        told = "none" if form is None else form.name
        raise ValueError(f"`format` must be one of {known} for {path.name!r}, got {told}")
    writers[form](path, _plain(cameras))


def _found(path: Path, subject: str | None) -> tuple[CameraFormat, list[CameraRecord]]:
    folder = _folder_format(path)
    if folder is not None:
        home = path if path.is_dir() else path.parent
        reader = {CameraFormat.COLMAP: colmap, CameraFormat.EASYMOCAP: easymocap}.get(folder)
        return folder, reader.read(home) if reader else humaneva.read(path)
    with path.open("rb") as file:
        if file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:
            return CameraFormat.HUMAN36M_H5, human36m.read_h5(path, subject)
    return _found_in_text(path, read_text(path), subject)


def _folder_format(path: Path) -> CameraFormat | None:
    """Recognise formats that take several files, by the files' names."""
    home, names = (path, None) if path.is_dir() else (path.parent, path.name)
    for form, pair in FOLDERS.items():
        if names in (None, *pair) and all((home / name).is_file() for name in pair):
            return form
    if not path.is_dir():
        return None
    if any(path.glob(f"*{humaneva.SUFFIX}")):
        return CameraFormat.HUMANEVA
    pairs = ", ".join(" and ".join(pair) for pair in FOLDERS.values())
    raise Place(path).expected(f"a folder with {pairs}, or *{humaneva.SUFFIX}", "none of them")


def _found_in_text(
    path: Path, written: str, subject: str | None
) -> tuple[CameraFormat, list[CameraRecord]]:
    start = written.lstrip()
    if start.startswith(mpi_inf_3dhp.HEADER):
        return CameraFormat.MPI_INF_3DHP, mpi_inf_3dhp.parse(path, start)
    if start.startswith("<"):
        return _found_in_xml(path, start, subject)
    if start.startswith("{"):
        return _found_in_json(path, start, subject)
    if start.startswith("%YAML"):
        tree = filestorage.parse_yaml(path, start)
        return CameraFormat.OPENCV_YAML, opencv.records(path, tree)
    if start[:1] in "+-.0123456789" and start:
        return CameraFormat.HUMANEVA, [humaneva.parse(path, start)]
    return CameraFormat.TOML, aniposelib.parse(path, written)


def _found_in_xml(
    path: Path, written: str, subject: str | None
) -> tuple[CameraFormat, list[CameraRecord]]:
    if "<w0>" in written:
        return CameraFormat.HUMAN36M_XML, human36m.read_xml(path, written, subject)
    return CameraFormat.QUALISYS, qualisys.parse(path, written)


def _found_in_json(
    path: Path, written: str, subject: str | None
) -> tuple[CameraFormat, list[CameraRecord]]:
    tree = filestorage.parse_json(path, written)
    if "extrinsics" in tree:
        return CameraFormat.HUMAN36M_JSON, human36m.read_json(path, tree, subject)
    return CameraFormat.OPENCV_JSON, opencv.records(path, tree)


def _plain(cameras: Cameras) -> Cameras:
    """Bring a rig to float64 on the CPU, without gradients."""
    import torch

    rig = cameras.to(torch.float64).to("cpu")
    return replace(
        rig,
        intrinsics=rig.intrinsics.detach(),
        camera_from_world=rig.camera_from_world.detach(),
        distortion=None if rig.distortion is None else rig.distortion.detach(),
    )
