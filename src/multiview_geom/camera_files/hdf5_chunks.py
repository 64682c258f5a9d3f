"""The chunks of an HDF5 array: the HDF5 library unpacks a stream to its end, whatever its size."""

import zlib
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import h5py

LARGEST_CHUNK = 64 * 2**20
"""Bytes that any chunk may have once it is unpacked."""
LARGEST_RATIO = 1032
"""No stream of deflate unpacks to more than this many times its size."""
SOUND_CHUNKS = "chunks that are packed once, and unpack to their size"
DEFLATE, CHECKSUM = 1, 3
"""Numbers of filters of HDF5."""


def oversized_chunk(array: "h5py.Dataset") -> str | None:
    """Return what is wrong with the chunks of an array that may unpack to far more than their size.

    Args:
        array: The array, before its values are read.

    Returns:
        What an error got instead of `SOUND_CHUNKS`; None if nothing is wrong.
    """
    packing = array.id.get_create_plist()
    filters = [packing.get_filter(at)[0] for at in range(packing.get_nfilters())]
    if DEFLATE not in filters:
        return None
    at = filters.index(DEFLATE)
    if set(filters[at + 1 :]) - {CHECKSUM}:
        return "some that are packed again"
    most = max(LARGEST_CHUNK, 2 * prod(array.chunks) * array.dtype.itemsize)
    if array.id.get_storage_size() * LARGEST_RATIO <= most:
        return None
    chunks: list[h5py.h5d.StoreInfo] = []
    array.id.chunk_iter(chunks.append)
    for chunk in chunks:
        is_packed = not chunk.filter_mask >> at & 1
        may_be_large = chunk.size * LARGEST_RATIO > most
        if is_packed and may_be_large and _size(array, chunk.chunk_offset, most) > most:
            return f"one that unpacks to more than {most / 1e6:.0f} MB"
    return None


def _size(array: "h5py.Dataset", offset: tuple[int, ...], most: int) -> int:
    """Return how many bytes a chunk unpacks to, counted up to a limit."""
    _, stored = array.id.read_direct_chunk(offset)
    try:
        return len(zlib.decompressobj().decompress(stored, most + 1))
    except zlib.error:
        return 0  # the HDF5 library says what is damaged
