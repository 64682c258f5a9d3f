"""Checks of arguments: each raises a ValueError with one sentence."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import zip_longest
from numbers import Integral, Real
from types import UnionType

import torch
from torch import SymFloat, SymInt, Tensor

HALF_PRECISION = (torch.float16, torch.bfloat16)
LAST_ROW_TOLERANCE = 1e-4
"""Difference of the last row of a matrix that is round-off, as of an inverse in float32."""


def require_tensor(name: str, value: object) -> None:
    """Refuse NumPy arrays, cameras, sparse and nested tensors, and say what to pass."""
    if isinstance(value, Tensor):
        if value.layout is not torch.strided or value.is_nested:
            got = "a nested one: fill it with NaN by torch.nested.to_padded_tensor"
            if not value.is_nested:
                got = f"one of layout {value.layout}: convert it with .to_dense()"
            raise ValueError(f"`{name}` must be a dense tensor, got {got}")
        return
    got = type(value).__name__
    if hasattr(value, "projections"):
        raise ValueError(f"`{name}` must be a tensor, got {got}: pass its `.projections`")
    if type(value).__module__ == "numpy":
        got = f"numpy.{got}"
    raise ValueError(
        f"`{name}` must be a tensor, got {got}: convert it with torch.from_numpy or torch.tensor"
    )


def require_cameras(name: str, value: object) -> None:
    """Refuse projections and whatever else is not `Cameras`, and say how to build them."""
    if not hasattr(value, "camera_from_world"):
        got = type(value).__name__
        raise ValueError(f"`{name}` must be Cameras, got {got}: Cameras.from_krt builds them")


def require_trailing_shape(name: str, tensor: Tensor, *trailing: int | str) -> None:
    """Refuse a tensor whose last axes do not have these sizes; a word stands for any size."""
    require_tensor(name, tensor)
    last = tensor.shape[-len(trailing) :]
    for expected, size in zip_longest(trailing, last):
        if size is None or not (isinstance(expected, str) or expected == size):
            sizes = ", ".join(str(size) for size in trailing)
            got = _format_shape(tensor.shape)
            raise ValueError(f"`{name}` must have shape (..., {sizes}), got {got}")


def require_same_size(axis: str, **sizes: int) -> None:
    """Refuse arguments that have different sizes along an axis."""
    (first, expected), *others = sizes.items()
    for name, size in others:
        if size != expected:
            raise ValueError(
                f"`{name}` must have as many {axis} as `{first}` ({expected}), got {size}"
            )


def broadcast_axes(**leading: torch.Size) -> tuple[int, ...]:
    """Return the broadcast leading axes of all arguments; refuse axes that do not broadcast.

    `torch.broadcast_shapes` would make `torch.export` take a dynamic size for a constant.
    """
    given = [tuple(axes) for axes in leading.values() if len(axes)]
    if len(given) < 2:  # noqa: PLR2004 - nothing to compare
        return given[0] if given else ()
    count = max(len(axes) for axes in given)
    padded = ((1,) * (count - len(axes)) + axes for axes in given)
    shared = []
    for sizes in zip(*padded, strict=True):
        long = [size for size in sizes if size != 1]
        if any(size != long[0] for size in long[1:]):
            got = ", ".join(f"`{name}` {_format_shape(axes)}" for name, axes in leading.items())
            raise ValueError(f"leading axes must broadcast, got {got}")
        shared.append(long[0] if long else 1)
    return tuple(shared)


def require_floating(**tensors: Tensor) -> None:
    """Refuse integers, and floating dtypes and devices that differ between arguments."""
    for name, tensor in tensors.items():
        require_tensor(name, tensor)
    (first, expected), *others = tensors.items()
    if not expected.is_floating_point():
        raise ValueError(f"`{first}` must have a floating dtype, got {expected.dtype}")
    for name, tensor in others:
        _require_same(name, "dtype", tensor.dtype, first, expected.dtype)
        if tensor.dim() > 0 < expected.dim():  # PyTorch takes one number from any device
            _require_same(name, "device", tensor.device, first, expected.device)


def require_integers(**tensors: Tensor) -> None:
    """Refuse fractions, complex numbers and truth values."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype is torch.bool:
            raise ValueError(f"`{name}` must have an integer dtype, got {tensor.dtype}")


def _require_same(name: str, what: str, found: object, first: str, expected: object) -> None:
    if found != expected:
        raise ValueError(f"`{name}` must have the {what} of `{first}` ({expected}), got {found}")


def require_number(name: str, value: object, kind: type[int] | type[float]) -> None:
    """Refuse a text, True and what else is no number, and a fraction in place of a whole number.

    Numbers of NumPy and symbolic numbers of `torch.export` are numbers, and so is a tensor of one.
    """
    is_number = isinstance(value, (Integral, SymInt) if kind is int else (Real, SymInt, SymFloat))
    if is_number and not isinstance(value, bool):
        return
    if kind is float and isinstance(value, Tensor) and value.dim() == 0 and not value.is_complex():
        return
    word = "a whole number" if kind is int else "a number"
    raise ValueError(f"`{name}` must be {word}, got {value!r}")


def require_positive(name: str, number: float | int | Tensor) -> None:
    """Refuse zero, negative numbers, NaN, and what is no number."""
    require_number(name, number, float)
    if not number > 0:
        raise ValueError(f"`{name}` must be positive, got {number}")


def require_at_least(
    name: str, number: float | int, least: int, kind: type[int] | type[float] = int
) -> None:
    """Refuse a number below the least, NaN, and what is no number of the kind."""
    require_number(name, number, kind)
    if not number >= least:
        raise ValueError(f"`{name}` must be {least} or more, got {number}")


def require_dtype(name: str, dtype: object) -> None:
    """Refuse what is no floating dtype of PyTorch, such as NumPy's; None is the default."""
    is_floating = isinstance(dtype, torch.dtype) and dtype.is_floating_point
    if dtype is not None and not is_floating:
        raise ValueError(f"`{name}` must be a floating dtype as torch.float64, got {dtype!r}")


def as_device(device: torch.device | str | None) -> torch.device | None:
    """Return a device; refuse what is none, such as the name of a dtype or a dtype of NumPy."""
    if device is None or isinstance(device, torch.device):
        return device
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"`device` must be a device, as cuda:0, or a dtype, as torch.float64, got {device!r}"
        ) from error


def require_generator(name: str, generator: object) -> None:
    """Refuse what is no generator of PyTorch on the CPU, such as a seed; None is the default."""
    is_on_cpu = isinstance(generator, torch.Generator) and generator.device.type == "cpu"
    if generator is not None and not is_on_cpu:
        raise ValueError(
            f"`{name}` must be a torch.Generator on the CPU, got {generator!r}: "
            "torch.Generator().manual_seed(0) is one"
        )


def require_items(name: str, values: object, kind: type | UnionType, what: str) -> None:
    """Refuse what is no sequence or set of these; a text is one thing, a class none of its kind."""
    found = isinstance(values, Collection) and not isinstance(values, str | Tensor)
    if not found or not all(
        isinstance(one, kind) and not isinstance(one, type)
        for one in values  # type: ignore[attr-defined]
    ):
        raise ValueError(f"`{name}` must be a sequence of {what}, got {values!r}")


def as_image_size(image_size: Sequence[int]) -> tuple[int, int]:
    """Return a width and a height; refuse a shape of an array, a factor, and a size per view."""
    sides = image_size.tolist() if hasattr(image_size, "tolist") else image_size
    if not isinstance(sides, Sequence) or isinstance(sides, str) or len(sides) != 2:  # noqa: PLR2004
        raise ValueError(f"`image_size` must be a width and a height [px], got {image_size!r}")
    for side in sides:
        require_number("image_size", side, int)
        require_positive("image_size", side)
    return sides[0], sides[1]


def require_last_row(name: str, matrix: Tensor, *row: int) -> None:
    """Refuse matrices with another last row; one that is NaN, of an unknown camera, may be."""
    wrong = ((matrix[..., -1, :] - matrix.new_tensor(row)).abs() > LAST_ROW_TOLERANCE).any(dim=-1)
    if not wrong.any():
        return
    first = matrix[wrong][0]
    turned = (first[:, -1] - first.new_tensor(row)).abs().max() <= LAST_ROW_TOLERANCE
    cause = ": it is transposed, for row vectors; pass its `.mT`" if turned else ""
    expected = ", ".join(map(str, row))
    raise ValueError(
        f"the last row of `{name}` must be {expected}, got {row_text(first[-1])}{cause}"
    )


def row_text(row: Tensor) -> str:
    """Write the numbers of a row for people, without the digits and the sign of round-off."""
    return ", ".join(f"{round(value, 6) + 0.0:g}" for value in row.tolist())


def for_computation(tensor: Tensor) -> Tensor:
    """Return the tensor in the dtype to compute in: float32 for half precision, else its own."""
    return tensor.float() if tensor.dtype in HALF_PRECISION else tensor


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """Return a context in which matrix products keep their dtype, under autocast too."""
    # What is not a tensor is refused by the checks inside the context.
    known = isinstance(tensor, Tensor) and tensor.device.type != "meta"
    if known and torch.is_autocast_enabled(tensor.device.type):
        return torch.autocast(tensor.device.type, enabled=False)
    return nullcontext()


def product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply matrices in their own dtype, under autocast too."""
    with full_precision(left):
        return left @ right


def _format_shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(str(int(size)) for size in shape)})"
