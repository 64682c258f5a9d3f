"""NumPy's files: the arrays of `.npz` archives, even if pickled, and the array of a `.npy`."""

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from lzma import LZMAError
from math import prod
from pathlib import Path
from struct import unpack
from tokenize import TokenError
from typing import Any, TypeAlias, TypeGuard
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multiview_geom.camera_files.file_kinds import ARRAY, LONGEST_SIGNATURE, binary_kind
from selfsup_lifting import mapped
from selfsup_lifting.parse.safe_pickle import unpickle
from selfsup_lifting.parse.unpacking import read_content, require_unpackable
from selfsup_lifting.read_errors import Place, ReadError

# What NumPy raises if an array's header or data are damaged.
DAMAGED_ARRAY = (
    OSError, EOFError, ValueError, TypeError, MemoryError, SyntaxError, TokenError, KeyError,
    RecursionError, OverflowError,
)  # fmt: skip
# Where the header of a zip file's member has the lengths of its name and of its extra field.
LENGTHS = 26
# The shape of an array, whether its order is Fortran's, and its type of numbers.
Header: TypeAlias = tuple[tuple[int, ...], bool, np.dtype[Any]]
# What Python can unpack.
PACKINGS = frozenset({ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA})
# How the end of an archive begins.
ZIP_END = b"PK\x05\x06"
# The flag of an encrypted member.
ENCRYPTED = 1
# How much is read at once to compare a checksum [bytes].
CHECKED_AT_ONCE = 2**20


def array_names(path: Path) -> frozenset[str]:
    """Return the names of the arrays in an `.npz` file; none if the path is no zip archive."""
    if not path.is_file():
        return frozenset()
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
    except (BadZipFile, OSError, NotImplementedError):
        return frozenset()
    return frozenset(name.removesuffix(".npy") for name in names if name.endswith(".npy"))


def load_npz(path: Path, *names: str) -> dict[str, Any]:
    """Read arrays of an `.npz` file; some may be pickled objects.

    Args:
        path: The file.
        names: The arrays to read, those of them that the file has.

    Returns:
        Plain arrays; for a pickled array its only object, or nested lists of its objects.

    Raises:
        ReadError: If it is not an `.npz` file, is damaged, holds a pickle that could run code, or
            unpacks to far more than its size.
    """
    with _archive(path) as archive:
        members = [each for each in archive.infolist() if each.filename in _members(names)]
        require_unpackable(path, sum(each.file_size for each in members), "its arrays")
        return {each.filename.removesuffix(".npy"): _array(path, archive, each) for each in members}


def map_npz(path: Path, *names: str) -> dict[str, Tensor]:
    """Map large arrays of numbers of an `.npz` file into memory, and read the others.

    Args:
        path: The file.
        names: The arrays, those of them that the file has.

    Returns:
        Tensors. Those of arrays that are not compressed and larger than `mapped.IN_MEMORY` stay in
        the file; what is written to them does not reach it.

    Raises:
        ReadError: As `load_npz`; the checksums of mapped arrays are compared too.
    """
    tensors = {}
    with _archive(path) as archive:
        for each in archive.infolist():
            if each.filename in _members(names) and each.file_size > mapped.IN_MEMORY:
                tensor = _mapped(path, archive, each)
                if tensor is not None:
                    tensors[each.filename.removesuffix(".npy")] = tensor
    others = load_npz(path, *(name for name in names if name not in tensors))
    for name, array in others.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiubc":
            kind = array.dtype if isinstance(array, np.ndarray) else "objects"
            raise Place(path, name).error(f"expected an array of numbers, got {kind}")
        tensors[name] = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
    return tensors


def _require_usual_packing(path: Path, archive: ZipFile) -> None:
    """Refuse members that other programs encrypt, or pack in a way that Python cannot unpack."""
    before = min((member.header_offset for member in archive.infolist()), default=0)
    if before and ZIP_END in read_content(path)[:before]:
        raise Place(path).error(
            f"another archive of {before} bytes stands before this one: two files were joined"
        )
    counts = Counter(archive.namelist())
    for member in archive.infolist():
        if counts[member.filename] > 1:
            raise Place(path, member.filename).error("the archive has several members of this name")
        if member.flag_bits & ENCRYPTED:
            raise Place(path, member.filename).error(
                "it is encrypted: unpack it with its password, and pack it without one"
            )
        if member.compress_type not in PACKINGS:
            raise Place(path, member.filename).error(
                f"it is packed by the method {member.compress_type} of ZIP, which is not read: "
                "unpack it, and pack it again by Deflate"
            )


@contextmanager
def _archive(path: Path) -> Iterator[ZipFile]:
    """Open an `.npz` file; all errors of damaged files are ReadErrors."""
    try:
        with ZipFile(path) as archive:
            _require_usual_packing(path, archive)
            yield archive
    except (ReadError, FileNotFoundError):
        raise
    except BadZipFile as error:
        cause = f"{error}; likely cause: it was copied as text, or not to its end"
        raise Place(path).damaged("an npz file", ValueError(cause)) from None
    except (zlib.error, LZMAError, NotImplementedError, RuntimeError, *DAMAGED_ARRAY) as error:
        raise Place(path).damaged("an npz file", error) from None


def _members(names: Sequence[str]) -> frozenset[str]:
    return frozenset(f"{name}.npy" for name in names)


def is_poses(value: object, widths: Set[int]) -> TypeGuard[NDArray[Any]]:
    """Return whether a value is an array of numbers: frames x joints x one of the widths."""
    if not isinstance(value, np.ndarray) or value.ndim != 3:  # noqa: PLR2004 - axes
        return False
    return value.dtype.kind in "fiu" and value.shape[-1] in widths


def load_npy(path: Path) -> NDArray[Any]:
    """Read the array of a `.npy` file.

    Raises:
        ReadError: If it is no such file, is damaged, or holds pickled objects.
    """
    try:
        with path.open("rb") as stream:
            shape, _, dtype = _header(stream)
            if dtype.hasobject:
                raise Place(path).error("expected an array of numbers, got pickled objects")
            _require_size(Place(path), path.stat().st_size - stream.tell(), shape, dtype)
            stream.seek(0)
            array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    except (ReadError, FileNotFoundError):
        raise
    except DAMAGED_ARRAY as error:
        is_long = "max_header_size" in str(error)  # NumPy's advice would trust the file
        reason = ValueError("its header is far too long") if is_long else error
        raise Place(path).damaged("a NumPy array", reason) from None
    return array


def _array(path: Path, archive: ZipFile, member: ZipInfo) -> Any:  # noqa: ANN401 - any content
    with archive.open(member) as stream:
        kind = binary_kind(stream.read(LONGEST_SIGNATURE))
    if kind is not None and kind != ARRAY:
        raise Place(path, member.filename).expected(ARRAY, kind)
    with archive.open(member) as stream:
        shape, _, dtype = _header(stream)
        if dtype.hasobject:
            return unpickle(stream.read(), Place(path))
        size = member.file_size - stream.tell()
    _require_size(Place(path, member.filename), size, shape, dtype)
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _mapped(path: Path, archive: ZipFile, member: ZipInfo) -> Tensor | None:
    """Map an array; None if it is compressed, pickled, of Fortran's order or not aligned."""
    if member.compress_type != ZIP_STORED or member.flag_bits & ENCRYPTED:
        return None
    with archive.open(member) as stream:
        shape, fortran_order, dtype = _header(stream)
        if dtype.hasobject or dtype.byteorder == ">" or fortran_order:
            return None
        begin = stream.tell()
        _require_size(Place(path, member.filename), member.file_size - begin, shape, dtype)
        while stream.read(CHECKED_AT_ONCE):
            pass  # the end of the stream compares the checksum
    offset = _data_offset(path, member) + begin
    return None if offset % dtype.itemsize else mapped.mapped_tensor(path, offset, shape, dtype)


def _data_offset(path: Path, member: ZipInfo) -> int:
    """Return where the data of a member begin: after its header, its name and its extra field."""
    with path.open("rb") as file:
        file.seek(member.header_offset + LENGTHS)
        name, extra = unpack("<HH", file.read(4))
    return member.header_offset + LENGTHS + 4 + int(name) + int(extra)


def _header(stream: Any) -> Header:  # noqa: ANN401 - any stream
    version = np.lib.format.read_magic(stream)
    header = "read_array_header_1_0" if version == (1, 0) else "read_array_header_2_0"
    found: Header = getattr(np.lib.format, header)(stream)
    return found


def _require_size(place: Place, size: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    expected = prod(shape) * dtype.itemsize
    if size != expected:
        raise place.error(f"expected {expected} bytes of an array of shape {shape}, got {size}")


def left_joints(metadata: Any) -> frozenset[int] | None:  # noqa: ANN401 - any content of the pickle
    """Return the numbers of the left joints by VideoPose3D's metadata; None if they do not say."""
    try:
        left, _ = metadata["keypoints_symmetry"]
        return frozenset(map(int, left))
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
