"""Many points, solved a block at a time."""

import torch
from torch import Tensor


def equal_share(whole: int, most: int) -> int:
    """Tell how many make a block, where all blocks are equal and none has more than the most."""
    blocks = -(-whole // most)
    return -(-whole // blocks)


def in_graph() -> bool:
    """Tell whether what is done now is traced, by a compiler or for a derivative."""
    return torch.compiler.is_compiling() or torch.is_grad_enabled()


def looked_at(values: Tensor) -> bool:
    """Tell whether a look at the values costs nothing: no accelerator waits, no graph is traced."""
    return values.device.type == "cpu" and not in_graph()
