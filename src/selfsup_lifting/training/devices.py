"""Where to train, and how exact the network's matrix products are there."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

AUTO = "auto"


def training_device(name: str) -> str:
    """Return the device of this name; for `auto` a CUDA GPU if there is one, else the CPU.

    Raises:
        ValueError: If this machine does not have the device.

    Example:
        >>> training_device("cpu")
        'cpu'
    """
    kind = torch.accelerator.current_accelerator()
    count = torch.accelerator.device_count()
    accelerators = [kind.type, *(f"{kind.type}:{place}" for place in range(count))] if kind else []
    available = ["cpu", *(accelerators if count else [])]
    if name == AUTO:
        return "cuda" if "cuda" in available else "cpu"
    if name not in available:
        choices = ", ".join([AUTO, *available])
        raise ValueError(f"setting `device` must be one of {choices}, got {name!r}")
    return name


@contextmanager
def tensor_float_32(*, enabled: bool) -> Iterator[None]:
    """Multiply matrices in TF32 on CUDA during the block: inputs are rounded to 10 bits."""
    matmul = torch.backends.cuda.matmul
    name, value = ("fp32_precision", "tf32") if hasattr(matmul, "fp32_precision") else OLD_SWITCH
    before = getattr(matmul, name)
    if enabled:
        setattr(matmul, name, value)
    try:
        yield
    finally:
        setattr(matmul, name, before)


# Before torch 2.9.
OLD_SWITCH = ("allow_tf32", True)
