"""The files of `save_recording`."""

from pathlib import Path

from selfsup_lifting.config import ReadSettings
from selfsup_lifting.parse.npz import array_names
from selfsup_lifting.reader import Reader, ReadResult
from selfsup_lifting.recording import load_recording


def _recognizes(path: Path) -> bool:
    """Recognize a native file, or a folder that contains one."""
    if path.is_dir():
        return any(_is_native(file) for file in path.glob("*.npz"))
    return path.suffix == ".npz" and _is_native(path)


def _read(path: Path, _: ReadSettings) -> list[ReadResult]:
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    return [ReadResult(load_recording(file)) for file in files]


READER = Reader("native", _recognizes, _read)


def _is_native(path: Path) -> bool:
    return {"description", "keypoints"} <= array_names(path)
