"""A place in a calibration file, and the error that names it."""

from dataclasses import dataclass
from pathlib import Path

from torch import is_tensor


class CameraFileError(ValueError):
    """A calibration file that cannot be read: one sentence with file, place and cause.

    Example:
        >>> import tempfile
        >>> from multiview_geom import load_cameras
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "C1.cal"
        ...     _ = path.write_text("1145.0 1143.8 512.5")
        ...     try:
        ...         load_cameras(path)
        ...     except CameraFileError as error:
        ...         message = str(error)
        >>> message.removeprefix(str(path))
        ': expected 22 numbers, got 3 of them'
    """


@dataclass(frozen=True)
class FilePlace:
    """The place of a value in a file: the beginning of every error message about it.

    Attributes:
        path: The file.
        where: The place in it, such as `cam_0.matrix` or `line 5`.

    Example:
        >>> place = FilePlace(Path("rig.toml")).at("cam_0").at("matrix")
        >>> str(place.expected("3 rows of 3 numbers", "2 rows"))
        'rig.toml: `cam_0.matrix`: expected 3 rows of 3 numbers, got 2 rows'
    """

    path: Path
    where: str = ""

    def at(self, key: object) -> "FilePlace":
        """Return the place of a value inside this one."""
        return FilePlace(self.path, f"{self.where}.{key}" if self.where else str(key))

    def expected(self, what: str, got: object) -> CameraFileError:
        """Return an error with this place, the expected value and the value in the file."""
        where = f" `{_shortened(self.where)}`:" if self.where else ""
        text = got if isinstance(got, str) else repr(got.tolist() if is_tensor(got) else got)
        return CameraFileError(f"{self.path}:{where} expected {what}, got {_shortened(text)}")


def _shortened(written: str, width: int = 80) -> str:
    """Return one line of printable characters; others are escaped as in Python."""
    line = " ".join(written.split())
    line = "".join(one if one.isprintable() else repr(one)[1:-1] for one in line)
    return line if len(line) <= width else f"{line[: width - 3]}..."
