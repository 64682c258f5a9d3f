"""Tensors that lie in files: data larger than the memory stay on the disk until they are used.

A tensor above `IN_MEMORY` bytes is mapped from a file. The system loads the pages that are used,
and takes them back when memory is needed; `release_pages` gives them back at once.
"""

import mmap
import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from math import prod
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

# Smaller tensors are kept in memory [bytes].
IN_MEMORY = 64 * 2**20
# Linux (5.4 and later): give pages back without a loss of what was written to them.
MADV_PAGEOUT = 21

# Every mapping that is in use, and how its pages are given back.
_advice: WeakKeyDictionary[mmap.mmap, int] = WeakKeyDictionary()


def mapped_tensor(path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    """Map an array of a file; what is written to the tensor does not reach the file.

    Args:
        path: The file.
        offset: Where the array begins in the file [bytes].
        shape: The shape of the array.
        dtype: Its type of numbers.

    Returns:
        The tensor. The file may be deleted or replaced, but must not be changed in its place.
    """
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    _advice[content] = MADV_PAGEOUT
    array = np.frombuffer(content, dtype, prod(shape), offset)
    return torch.from_numpy(array).view(shape)


def new_tensor(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return a tensor of any content, in memory or, if it is large, in a temporary file.

    The file is in the folder of temporary files (the variable TMPDIR; if that folder is missing or
    full, Python takes /tmp), and is deleted with the tensor.

    Raises:
        OSError: If the disk has no space for it.
    """
    size = prod(shape) * dtype.itemsize
    if size <= IN_MEMORY:
        return torch.empty(shape, dtype=dtype)
    with tempfile.TemporaryFile() as file:
        _reserve(file.fileno(), size)
        content = mmap.mmap(file.fileno(), size)
    _advice[content] = getattr(mmap, "MADV_DONTNEED", 0)
    return torch.from_numpy(np.frombuffer(content, np.uint8)).view(dtype).view(shape)


def collect(parts: Iterable[tuple[Tensor, ...]], most: int) -> tuple[Tensor, ...]:
    """Join the parts of several tensors along the first axis, and give memory back after each.

    Args:
        parts: The parts, one of each tensor; at least one tuple.
        most: The largest length of all parts together.

    Returns:
        The tensors.
    """
    whole: tuple[Tensor, ...] = ()
    end = 0
    for part in parts:
        if not whole:
            whole = tuple(new_tensor((most, *one.shape[1:]), one.dtype) for one in part)
        first, end = end, end + len(part[0])
        for target, one in zip(whole, part, strict=True):
            target[first:end] = one
        release_pages()
    return tuple(target[:end] for target in whole)


def release_pages() -> None:
    """Give the memory of all mapped tensors back; their content stays in the files."""
    if not sys.platform.startswith("linux"):
        return  # elsewhere the system takes pages back when it needs memory
    for content, advice in tuple(_advice.items()):
        with suppress(OSError):  # a kernel that is older than the advice
            content.madvise(advice)


def _reserve(file: int, size: int) -> None:
    """Reserve the space of a file: writing to a mapping of a full disk would end the process."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, size)
        else:
            os.truncate(file, size)
    except OSError as error:
        raise OSError(
            f"{tempfile.gettempdir()} has no space for {size / 1e6:,.0f} MB of temporary data "
            f"({error.strerror}); the variable TMPDIR names another folder"
        ) from error
