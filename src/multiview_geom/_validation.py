"""Wrong input, said in one sentence."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

HALF_PRECISION = (torch.float16, torch.bfloat16)


def require_trailing_shape(name: str, tensor: Tensor, *trailing: int | str) -> None:
    """Refuse a tensor whose last axes are not as told; a word stands for any size."""
    shape = tuple(tensor.shape)
    last = shape[len(shape) - len(trailing) :]
    fits = len(shape) >= len(trailing) and all(
        isinstance(expected, str) or expected == size
        for expected, size in zip(trailing, last, strict=True)
    )
    if not fits:
        expected = ", ".join(str(size) for size in trailing)
        raise ValueError(f"`{name}` must have shape (..., {expected}), got {_written(shape)}")


def require_same_size(axis: str, **sizes: int) -> None:
    """Refuse arguments that disagree on how long an axis is."""
    (first, expected), *others = sizes.items()
    for name, size in others:
        if size != expected:
            raise ValueError(
                f"`{name}` must have as many {axis} as `{first}` ({expected}), got {size}"
            )


def broadcast_axes(**leading: torch.Size) -> torch.Size:
    """Return the leading axes that arguments share, or refuse those that do not broadcast."""
    try:
        shared: torch.Size = torch.broadcast_shapes(*leading.values())
    except RuntimeError:
        told = ", ".join(f"`{name}` {_written(tuple(axes))}" for name, axes in leading.items())
        raise ValueError(f"leading axes must broadcast, got {told}") from None
    return shared


def require_floating(**tensors: Tensor) -> None:
    """Refuse integers, and floating dtypes that differ between arguments."""
    (first, expected), *others = ((name, tensor.dtype) for name, tensor in tensors.items())
    if not expected.is_floating_point:
        raise ValueError(f"`{first}` must have a floating dtype, got {expected}")
    for name, dtype in others:
        if dtype != expected:
            raise ValueError(f"`{name}` must have the dtype of `{first}` ({expected}), got {dtype}")


def for_computation(tensor: Tensor) -> Tensor:
    """Return the tensor in the dtype to compute in: float32 for half precision, else its own."""
    return tensor.float() if tensor.dtype in HALF_PRECISION else tensor


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """Return a context in which products keep the dtype of their factors under autocast too."""
    device = tensor.device.type
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


def product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply matrices in their own dtype, under autocast too."""
    with full_precision(left):
        return left @ right


def _written(shape: tuple[int, ...]) -> str:
    return f"({', '.join(str(int(size)) for size in shape)})"
