"""What a calibration format is: how to recognize, read and write its files."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import is_zipfile

from multiview_geom.camera_files.file_kinds import (
    LONGEST_SIGNATURE,
    MATRIX,
    UTF_16,
    ZIP,
    binary_kind,
)
from multiview_geom.camera_files.json_text import parse_json
from multiview_geom.camera_files.matlab_file import SIGNATURE, matlab_variables
from multiview_geom.camera_files.opencv_nodes import parse_yaml
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.toml_text import parse_toml
from multiview_geom.camera_files.values import table
from multiview_geom.cameras import Cameras

UTF_8 = "utf-8-sig"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
YAML_BEGINS = re.compile(r"%YAML|---\s|(#[^\n]*\n|\s)*[A-Za-z_][\w-]*:(\s|$)")
"""The beginning of YAML: OpenCV's first line, or a key with a colon."""
LARGEST_FILE = 4 * 2**20
"""Largest size of a text file [bytes]; a thousand cameras need about half a megabyte."""
METERS_PER_UNIT = {"mm": 0.001, "cm": 0.01, "m": 1.0}
"""The units of length that a format may fix."""
MINUS = "\u2212"
"""The minus of books, which word processors write."""


@dataclass(frozen=True)
class CameraSource:
    """A file or folder that may be a calibration; its content is read once.

    Attributes:
        path: The file or folder.
        subject: The subject whose cameras are wanted, in files that hold several.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "rig.json"
        ...     _ = path.write_text('{"cameras": []}')
        ...     content = CameraSource(path).json
        >>> content
        {'cameras': []}
    """

    path: Path
    subject: str | None = None

    @property
    def place(self) -> FilePlace:
        """The place for errors about the whole file."""
        return FilePlace(self.path)

    @cached_property
    def is_folder(self) -> bool:
        """Whether the source is a folder."""
        return self.path.is_dir()

    @cached_property
    def is_hdf5(self) -> bool:
        """Whether the source is an HDF5 file, by its first bytes."""
        if self.is_folder:
            return False
        with self.path.open("rb") as file:
            return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE

    @cached_property
    def text(self) -> str:
        """The text of the file, without white space before it; empty for folders and HDF5."""
        return "" if self.is_folder or self.is_hdf5 else read_text(self.path).lstrip()

    @cached_property
    def json(self) -> dict[str, object]:
        """The top-level table of a JSON file; empty for other files."""
        if not self.text.startswith("{"):
            return {}
        try:
            value = parse_json(self.text)
        except ValueError as reason:
            raise self.place.expected("a calibration in JSON", str(reason)) from None
        return table(self.place, value)

    @cached_property
    def yaml(self) -> dict[str, object]:
        """The top-level map of a YAML file; empty for other files."""
        return parse_yaml(self.path, self.text) if self.looks_like_yaml else {}

    @cached_property
    def looks_like_yaml(self) -> bool:
        """Whether the text begins as YAML does."""
        return YAML_BEGINS.match(self.text) is not None

    @cached_property
    def toml(self) -> dict[str, object]:
        """The top-level table of a TOML file; empty for other files."""
        try:
            return parse_toml(self.text)
        except ValueError:
            return {}

    @property
    def begins_with_number(self) -> bool:
        """Whether the text begins with a number, and is more than one 3 x 3 matrix."""
        return self.text[:1] in {*"+-.0123456789", MINUS} and MATRIX.fullmatch(self.text) is None

    def folder_with(self, *names: str) -> Path | None:
        """Return the folder with all these files, if the source is the folder or one of them."""
        if not self.is_folder and self.path.name not in names:
            return None
        folder = self.path if self.is_folder else self.path.parent
        return folder if all((folder / name).is_file() for name in names) else None


@dataclass(frozen=True)
class CameraFormat:
    """A kind of calibration file.

    Attributes:
        name: Short name to choose the format by, such as "colmap".
        title: Full name of the format, for messages.
        unit: Unit of length that the format fixes, such as "mm"; None if it fixes none.
        recognizes: Returns whether a source has this format, by its content.
        read: Reads the cameras of a source that the format recognizes.
        write: Writes cameras to a path, as those of a subject; None if the format is only read.
        suffixes: Ends of file names that are written in this format by default.
        files: Names of the files, for error messages; only for a format that is a folder.
        has_subjects: Whether a file may hold the cameras of several subjects.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from multiview_geom import read_camera_file
        >>> def read(source: CameraSource) -> list[CameraRecord]:
        ...     K = torch.tensor([float(number) for number in source.text.split()]).reshape(3, 3)
        ...     return [CameraRecord(source.path.stem, K, torch.eye(3), torch.zeros(3))]
        >>> only_k = CameraFormat("k", "K at the origin", "m", lambda source: True, read)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "left.txt"
        ...     _ = path.write_text("500 0 320  0 500 240  0 0 1")
        ...     file = read_camera_file(path, format=only_k)
        >>> file.cameras.names, file.unit
        (('left',), 'm')
    """

    name: str
    title: str
    unit: str | None
    recognizes: Callable[[CameraSource], bool]
    read: Callable[[CameraSource], list[CameraRecord]]
    write: Callable[[Path, Cameras, str], None] | None = None
    suffixes: tuple[str, ...] = ()
    files: str = ""
    has_subjects: bool = False

    def __post_init__(self) -> None:
        if self.unit is not None and self.unit not in METERS_PER_UNIT:
            known = ", ".join(METERS_PER_UNIT)
            raise ValueError(f"`unit` must be one of {known}, or None, got {self.unit!r}")

    def __repr__(self) -> str:
        return f"CameraFormat({self.name!r})"


def read_text(path: Path) -> str:
    """Read a whole calibration file in UTF-8 or UTF-16, unless it is far larger than any."""
    with path.open("rb") as file:
        start = file.read(LONGEST_SIGNATURE)
    kind, encoding, size = binary_kind(start), _encoding(start), path.stat().st_size
    if kind is not None:
        cut_off = " that is cut off" if start.startswith(ZIP) and not is_zipfile(path) else ""
        if start.startswith(SIGNATURE) and size <= LARGEST_FILE:
            kind += f" with {', '.join(matlab_variables(path)) or 'no variables'}"
        raise FilePlace(path).expected("a calibration", kind + cut_off)
    if size > LARGEST_FILE:
        raise FilePlace(path).expected(f"at most {LARGEST_FILE} bytes", f"{size} bytes")
    try:
        with path.open("rb") as file:  # no more than the size: files of the system may have no end
            return file.read(size).decode(encoding)
    except UnicodeDecodeError as reason:
        got = f"a byte 0x{reason.object[reason.start]:02x} at {reason.start}, as binary files have"
        raise FilePlace(path).expected("text in UTF-8 or UTF-16", got) from None


def _encoding(start: bytes) -> str:
    """Return the encoding of a text: UTF-16 if it has its mark, or begins as XML in UTF-16."""
    if start.startswith(UTF_16):
        return "utf-16"
    return "utf-16-le" if start.startswith(b"<\0") else UTF_8
