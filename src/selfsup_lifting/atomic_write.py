"""Files appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it takes the real place once the block ends well.

    Args:
        path: Where the file shall lie; an older file there is replaced.

    Yields:
        A path in the same folder, with the same suffix.

    Raises:
        OSError: If nothing can be written there.
    """
    temporary = _beside(path)
    try:
        yield temporary
        _share_as_new_files_are(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix
        )
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}") from error
    os.close(handle)
    return Path(name)


def _share_as_new_files_are(path: Path) -> None:
    """Give the permissions any new file has: `mkstemp` hides its files from others."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
