"""Write files completely or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; when the block ends without an error, it is renamed to the real one.

    Args:
        path: The file to write; an existing file is replaced.

    Yields:
        A temporary path in the same folder, with the same suffix.

    Raises:
        OSError: If the file cannot be written.
    """
    temporary = _temporary_file(path)
    try:
        yield temporary
        _set_default_permissions(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary_file(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix
        )
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}") from error
    os.close(handle)
    return Path(name)


def _set_default_permissions(path: Path) -> None:
    """Set the permissions of a new file: `mkstemp` hides its files from other users."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
