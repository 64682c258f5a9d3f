"""Our own files: the native recordings of `recordings`."""

from pathlib import Path
from zipfile import BadZipFile, ZipFile

from selfsup_lifting.config import ReadSettings
from selfsup_lifting.read_result import ReadResult
from selfsup_lifting.recording import load_recording


def recognises(path: Path) -> bool:
    """Tell a native file, or a folder that holds some, from anything else."""
    if path.is_dir():
        return any(_is_native(file) for file in sorted(path.glob("*.npz")))
    return path.suffix == ".npz" and _is_native(path)


def read(path: Path, _: ReadSettings) -> list[ReadResult]:
    """Read one native file, or every one in a folder."""
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    return [ReadResult(load_recording(file)) for file in files]


def _is_native(path: Path) -> bool:
    try:
        with ZipFile(path) as archive:
            return {"description.npy", "keypoints.npy"} <= set(archive.namelist())
    except (BadZipFile, OSError, NotImplementedError):
        return False
