"""HDF5 files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

from multiview_geom.camera_files.hdf5_chunks import SOUND_CHUNKS, oversized_chunk
from selfsup_lifting.parse.hdf5_heaps import require_sound_heaps
from selfsup_lifting.parse.unpacking import require_unpackable
from selfsup_lifting.read_errors import Place, ReadError

SUFFIXES = frozenset({".h5", ".hdf5"})


@contextmanager
def open_hdf5(path: Path, layout: str) -> Iterator[Any]:
    """Open an HDF5 file; an error inside the `with` block is reported as a wrong layout.

    Args:
        path: The file.
        layout: The expected layout, for the message of an error.

    Yields:
        The open file.

    Raises:
        ReadError: If the file is not HDF5, is damaged or has another layout.
    """
    import h5py

    try:
        require_sound_heaps(path)
        with h5py.File(path, "r") as file:
            yield file
    except ReadError:
        raise
    except (
        OSError, KeyError, AttributeError, TypeError, IndexError, ValueError, OverflowError,
        RuntimeError, MemoryError,
    ) as error:  # fmt: skip
        raise Place(path).damaged(f"an HDF5 file in the layout of {layout}", error) from None


def members(group: Any) -> dict[str, Any]:  # noqa: ANN401 - h5py is untyped
    """Return the groups and arrays of a group; links are left out, which can point elsewhere."""
    return {name: group[name] for name in group if _is_own(group, name)}


def array_at(group: Any, name: str) -> Any:  # noqa: ANN401 - h5py is untyped
    """Read an array of a group.

    Raises:
        ReadError: If it is in another file, has complex numbers, or would take far more memory
            than the file.
        KeyError: If the group has no such array.
    """
    place = Place(Path(group.file.filename), name)
    if name in group and not _is_own(group, name):
        raise place.error("expected an array of this file, got a link")
    array = group[name]
    if not hasattr(array, "is_virtual"):
        raise place.error("expected an array, got a group")
    if array.is_virtual or array.external:
        raise place.error("expected an array of this file, got one in another file")
    if array.dtype.kind == "c":
        raise place.error("expected real numbers, got complex ones")
    parts = (array.size, prod(array.chunks or ()))  # a chunk may be larger than what it is part of
    require_unpackable(place.path, max(parts) * array.dtype.itemsize, f"`{name}`")
    if wrong := oversized_chunk(array):
        raise place.error(f"expected {SOUND_CHUNKS}, got {wrong}")
    values = _values(place, array)
    return values.astype(array.dtype.newbyteorder("=")) if array.dtype.kind in "fiu" else values


def _values(place: Place, array: Any) -> Any:  # noqa: ANN401 - h5py is untyped
    """Read an array; name the filter if it is packed by one that is not installed, as Blosc."""
    import h5py

    try:
        return array[()]
    except OSError:
        packing = array.id.get_create_plist()
        for number, *_ in map(packing.get_filter, range(packing.get_nfilters())):
            if not h5py.h5z.filter_avail(number):
                raise place.error(
                    f"packed by the filter {number}, which is not installed: pack it by gzip, such "
                    "as with `h5repack -f GZIP=4`"
                ) from None
        raise


def _is_own(group: Any, name: str) -> bool:  # noqa: ANN401 - h5py is untyped
    import h5py

    return isinstance(group.get(name, getlink=True), h5py.HardLink)


def is_hdf5_with(path: Path, condition: Callable[[Any], bool]) -> bool:
    """Return whether a path is an HDF5 file that meets a condition."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    try:
        with open_hdf5(path, "HDF5") as file:
            return condition(file)
    except ReadError:
        return False


def text_of(value: object) -> str:
    """Return a string that HDF5 stores as bytes or as text."""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
