"""Calibration files of other tools: recognized by content, read and written.

To add a format, write a module with one `FORMAT` object and add it to `CAMERA_FORMATS`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from multiview_geom.camera_files import (
    caliscope,
    colmap,
    colmap_binary,
    dannce,
    dlt,
    easymocap,
    human36m_h5,
    human36m_json,
    human36m_xml,
    humaneva,
    jarvis,
    kalibr,
    matlab_stereo,
    mpi_inf_3dhp,
    nerfstudio,
    opencv_json,
    opencv_yaml,
    optitrack,
    panoptic,
    qualisys,
    ros_camera_info,
    toml,
    vicon,
    voxelpose,
)
from multiview_geom.camera_files.file_kinds import text_kind
from multiview_geom.camera_files.folder_files import MOST_CAMERAS
from multiview_geom.camera_files.format import CameraFormat as CameraFormat
from multiview_geom.camera_files.format import METERS_PER_UNIT as METERS_PER_UNIT
from multiview_geom.camera_files.format import CameraSource as CameraSource
from multiview_geom.camera_files.place import CameraFileError as CameraFileError
from multiview_geom.camera_files.place import FilePlace as FilePlace
from multiview_geom.camera_files.records import CameraRecord as CameraRecord
from multiview_geom.camera_files.records import rig_from_records
from multiview_geom._validation import require_cameras
from multiview_geom.cameras import Cameras
from multiview_geom.rig_checks import last_rows

CAMERA_FORMATS: tuple[CameraFormat, ...] = (
    colmap.FORMAT,
    colmap_binary.FORMAT,
    easymocap.FORMAT,
    dannce.FORMAT,
    matlab_stereo.FORMAT,
    human36m_h5.FORMAT,
    human36m_json.FORMAT,
    human36m_xml.FORMAT,
    dlt.FORMAT,
    humaneva.FORMAT,
    mpi_inf_3dhp.FORMAT,
    panoptic.FORMAT,
    voxelpose.FORMAT,
    nerfstudio.FORMAT,
    opencv_json.FORMAT,
    kalibr.FORMAT,
    jarvis.FORMAT,
    ros_camera_info.FORMAT,
    opencv_yaml.FORMAT,
    optitrack.FORMAT,
    vicon.FORMAT,
    qualisys.FORMAT,
    caliscope.FORMAT,
    toml.FORMAT,
)
"""All formats. The first that recognizes a file reads it: any JSON, YAML and TOML come late."""
DEFAULT_SUBJECT = "S1"
MOST_COEFFICIENTS = 14
"""How many coefficients OpenCV's largest lens model has."""


@dataclass(frozen=True)
class CameraFile:
    """The content of a calibration file.

    Attributes:
        cameras: The rig in float64, in the order of the file, lengths in the unit of the file.
        format: The format of the file.
        notes: What the file says that its numbers do not, each with the cameras that it is about.

    Example:
        >>> import tempfile
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4000.0, height=1000.0)  # millimeters
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_cameras(folder, ring, format="humaneva")
        ...     file = read_camera_file(folder)
        >>> file.unit, file.meters_per_unit
        ('mm', 0.001)
        >>> file.cameras.scaled(file.meters_per_unit).centers[0].round(decimals=3) + 0.0
        tensor([4., 0., 1.], dtype=torch.float64)
    """

    cameras: Cameras
    format: CameraFormat
    notes: tuple[str, ...] = ()

    @property
    def unit(self) -> str | None:
        """The unit of length that the format fixes, such as "mm"; None if it fixes none."""
        return self.format.unit

    @property
    def meters_per_unit(self) -> float | None:
        """The factor for `Cameras.scaled` to meters; None if the format fixes no unit."""
        return None if self.unit is None else METERS_PER_UNIT[self.unit]


def load_cameras(path: str | Path, *, subject: str | None = None) -> Cameras:
    """Read the cameras of a calibration file, in the order of the file.

    Args:
        path: A TOML of aniposelib, Pose2Sim or caliscope; OpenCV's YAML or JSON; the YAML of ROS
            or Kalibr; Human3.6M's `camera-parameters.json`, `cameras.h5` or `metadata.xml`; a
            HumanEva `.cal` or a folder of them; MPI-INF-3DHP's `camera.calibration`; the JSON of
            CMU Panoptic, VoxelPose or nerfstudio; a file, or a folder of files, of JARVIS or
            DANNCE; MATLAB's stereoParameters as a structure; a CSV of DLT coefficients; a folder
            with the two files of COLMAP (text or binary), EasyMocap or OpenCV's stereo pair, or
            one of the two; Qualisys's `.qca.txt`; OptiTrack's `.mcal`; Vicon's `.xcp`.
            The format is recognized by the content, not by the name.
        subject: The subject, such as "S1", in files of Human3.6M with several.

    Returns:
        The rig in float64, lengths in the unit of the file: see `read_camera_file`.

    Raises:
        CameraFileError: If the file is no calibration; the sentence says what is wrong where.
        OSError: If there is no such file.

    Note:
        Lens coefficients of different counts are filled up with zeros. In a file that mixes
        fisheyes with other lenses, every camera keeps its own lens model.

    Example:
        >>> import tempfile
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_cameras(Path(folder) / "rig.toml", ring)
        ...     loaded = load_cameras(Path(folder) / "rig.toml")
        >>> loaded.names
        ('cam_1', 'cam_2')
    """
    return read_camera_file(path, subject=subject).cameras


def read_camera_file(
    path: str | Path,
    *,
    format: str | CameraFormat | None = None,
    subject: str | None = None,
) -> CameraFile:
    """Read a calibration file: its cameras, its format and its unit of length.

    Args:
        path: As in `load_cameras`.
        format: A format, or its name; by default the first that recognizes the file.
        subject: As in `load_cameras`.

    Returns:
        The cameras and the format, with the unit if the format fixes one.

    Raises:
        CameraFileError: If the file is no calibration; the sentence says what is wrong where.
        OSError: If there is no such file.
        ValueError: If there is no format of this name, what it reads is no list of
            `CameraRecord`, or `subject` is no text.

    Example:
        >>> import tempfile
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_cameras(Path(folder) / "rig.yml", ring)
        ...     file = read_camera_file(Path(folder) / "rig.yml")
        >>> file.format, file.unit
        (CameraFormat('opencv-yaml'), None)
    """
    _require_subject(subject)
    source = CameraSource(_path(path), subject)
    if source.path.exists() and not (source.is_folder or source.path.is_file()):
        raise source.place.expected("a file or a folder", "a pipe or a device")
    chosen = _recognized(source) if format is None else _named(format)
    if subject is not None and not chosen.has_subjects:
        raise source.place.expected(f"a file with subjects, for `subject` {subject}", chosen.title)
    records = chosen.read(source)
    _require_records(chosen, records)
    if len(records) > MOST_CAMERAS:
        raise source.place.expected(f"at most {MOST_CAMERAS} cameras", f"{len(records)}")
    file = CameraFile(rig_from_records(source.place, records), chosen, _notes(source, records))
    if format is None and source.is_folder:
        _require_one_rig(source, file)
    return file


def save_cameras(
    path: str | Path,
    cameras: Cameras,
    *,
    format: str | CameraFormat | None = None,
    subject: str | None = None,
) -> None:
    """Write cameras to a calibration file.

    Args:
        path: File to write, or folder for HumanEva, COLMAP and EasyMocap; an existing file is
            replaced.
        cameras: The rig, without batch axes. Numbers are written with all their digits.
        format: A format, or its name; by default that of the end of the path: `.toml`, `.yml` and
            `.json` (OpenCV), `.h5` (Human3.6M), `.calibration` (MPI-INF-3DHP).
        subject: The subject, in files of Human3.6M; "S1" by default.

    Raises:
        ValueError: If the last row of a pose is not 0, 0, 0, 1, the format cannot represent the rig
            and its names, the written file could not be read, the format cannot be written, or it
            has no subjects and one is given. A file that was there is then not changed.

    Example:
        >>> import tempfile
        >>> from multiview_geom import ring_of_cameras
        >>> ring = ring_of_cameras(2, radius=4.0, height=1.0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_cameras(folder, ring, format="humaneva")
        ...     files = sorted(path.name for path in Path(folder).iterdir())
        >>> files
        ['cam_1.cal', 'cam_2.cal']
    """
    path = _path(path)
    require_cameras("cameras", cameras)
    if cameras.intrinsics.ndim != 3:  # noqa: PLR2004 - views and K
        shape = tuple(cameras.intrinsics.shape)
        raise ValueError(f"`cameras` must have no batch axes to be written, got K of {shape}")
    chosen = format_of_suffix(path) if format is None else _named(format)
    if chosen is None or chosen.write is None:
        known = ", ".join(known.name for known in CAMERA_FORMATS if known.write)
        raise ValueError(f"`format` must be one of {known} to write {path.name!r}, got {format!r}")
    _require_subject(subject)
    if subject is not None and not chosen.has_subjects:
        raise ValueError(f"`subject` must be None, as {chosen.title} has none, got {subject!r}")
    subject = DEFAULT_SUBJECT if subject is None else subject
    if not all(name.strip() for name in cameras.names):
        raise ValueError("`cameras` cannot be read again when they are written: a name is blank")
    rig = tree_map(torch.Tensor.detach, cameras.to("cpu", torch.float64))
    for issue in last_rows(rig):
        raise ValueError(f"`cameras` cannot be written: {issue.message}")
    with TemporaryDirectory() as folder:  # before a sound file is replaced
        trial = Path(folder) / path.name
        chosen.write(trial, rig, subject)
        try:
            read = read_camera_file(
                trial, format=chosen, subject=subject if chosen.has_subjects else None
            ).cameras.names
        except CameraFileError as error:
            told = str(error).replace(f"{folder}{os.sep}", "")
            raise ValueError(
                f"`cameras` cannot be read again when they are written: {told}"
            ) from None
    if lost := [name for name in rig.names if name not in read and not name.isprintable()]:
        raise ValueError(
            "`cameras` cannot be read again when they are written: "
            f"{chosen.title} does not keep the name {lost[0]!r}"
        )
    chosen.write(path, rig, subject)


def _require_records(format: CameraFormat, records: object) -> None:
    """Refuse what somebody's format returns that is no list of cameras."""
    several = isinstance(records, list | tuple)
    kinds = {type(one) for one in records} if several else {type(records)}  # type: ignore[attr-defined]
    if not several or not kinds <= {CameraRecord}:
        got = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(
            f"`read` of {format} must return a list of CameraRecord, got {got}"
            f"{'' if several else ' alone'}"
        )


def _notes(source: CameraSource, records: Sequence[CameraRecord]) -> tuple[str, ...]:
    """Return each note once, with all cameras that have it."""
    noted: dict[str, list[str]] = {}
    for record in filter(lambda one: one.note, records):
        noted.setdefault(record.note, []).append(record.name)
    return tuple(f"{source.path}: camera {', '.join(noted[one])} {one}" for one in noted)


def _path(path: object) -> Path:
    """Return a path; refuse an open file, a list and what else names no file."""
    if isinstance(path, str | Path):
        return Path(path)
    raise ValueError(f"`path` must be a text or a Path, got {type(path).__name__}")


def _require_subject(subject: object) -> None:
    if subject is None or isinstance(subject, str):
        return
    raise ValueError(f"`subject` must be a text, such as {DEFAULT_SUBJECT!r}, got {subject!r}")


def _recognized(source: CameraSource) -> CameraFormat:
    for format in CAMERA_FORMATS:
        if format.recognizes(source):
            return format
    if not source.is_folder:
        for files in (known.files.split(" and ") for known in CAMERA_FORMATS):
            absent = [one for one in files if not (source.path.parent / one).is_file()]
            if source.path.name in files and absent:
                raise source.place.expected(f"{' and '.join(absent)} beside it", "no such file")
        raise source.place.expected("a calibration", text_kind(source.text))
    folders = [format.files for format in CAMERA_FORMATS if format.files]
    raise source.place.expected(f"a folder with {', or '.join(folders)}", "none of them")


def format_of_suffix(path: Path) -> CameraFormat | None:
    """Return the format that is written to files with the suffix of this one; None if none is."""
    suffix = path.suffix.lower()
    return next((format for format in CAMERA_FORMATS if suffix in format.suffixes), None)


def _require_one_rig(source: CameraSource, file: CameraFile) -> None:
    """Refuse a folder that also has files of another format, which say something else."""
    others = [one for one in CAMERA_FORMATS if one.files and one is not file.format]
    for other in (one for one in others if one.recognizes(source)):
        if not _is_same(file.cameras, rig_from_records(source.place, other.read(source))):
            raise source.place.expected(
                "one calibration, or the name of the file that is meant",
                f"{file.format.title} and {other.title} that differ",
            )


def _is_same(one: Cameras, other: Cameras) -> bool:
    """Return whether two rigs have the same names, intrinsics, poses and lenses, in any order."""
    if sorted(one.names) != sorted(other.names):
        return False
    ordered = other.select(one.names)
    pairs = zip(_compared(one), _compared(ordered), strict=True)
    same = all(torch.allclose(mine, theirs, rtol=1e-6, atol=1e-6) for mine, theirs in pairs)
    return same and one.lenses == ordered.lenses


def _compared(rig: Cameras) -> tuple[Tensor, ...]:
    """Return intrinsics, poses and lens coefficients, with zeros for those that are absent."""
    k = rig.intrinsics.new_zeros(rig.views, 0) if rig.distortion is None else rig.distortion
    padded = torch.nn.functional.pad(k, (0, MOST_COEFFICIENTS - k.shape[-1]))
    return rig.intrinsics, rig.camera_from_world, padded


def _named(format: str | CameraFormat) -> CameraFormat:
    if isinstance(format, CameraFormat):
        return format
    named = {known.name: known for known in CAMERA_FORMATS}
    if not isinstance(format, str) or format not in named:
        raise ValueError(f"`format` must be one of {', '.join(named)}, got {format!r}")
    return named[format]
