"""Train with several processes, which torchrun starts: each has a share of every batch."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Bool, Int, Shaped
from torch import Tensor, nn

Object = TypeVar("Object")

# The distance between the seeds of two processes; a prime that is no multiple of EPOCH_SEEDS.
PROCESS_SEEDS, ALL_SEEDS = 1_000_000_007, 2**63
# The variables that torchrun sets.
NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
ADDRESS = ("MASTER_ADDR", "MASTER_PORT")

_counts_all = False


def process_count() -> int:
    """Return the number of processes of this training: as torchrun set it, else 1."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def require_torchrun() -> None:
    """Refuse variables of torchrun that are incomplete: the processes would wait for each other.

    Raises:
        ValueError: With the variables, if they are not all set, or RANK is not below WORLD_SIZE.
    """
    found = {name: os.environ.get(name, "") for name in (*NUMBERS, *ADDRESS)}
    if found["WORLD_SIZE"] in {"", "1"} and found["RANK"] in {"", "0"}:
        return
    rank, count, *_ = numbers = [found[name] for name in NUMBERS]
    whole = all(number.isascii() and number.isdigit() for number in numbers)
    if not (whole and all(found.values()) and int(rank) < int(count)):
        values = ", ".join(f"{name}={value}" for name, value in found.items())
        raise ValueError(
            f"torchrun sets RANK below WORLD_SIZE, and all of these variables, got {values}; "
            "likely cause: they are left from another program: unset RANK and WORLD_SIZE"
        )


def is_first() -> bool:
    """Return whether this process writes the run folder and prints."""
    return rank() == 0


def rank() -> int:
    """Return the place of this process among all."""
    return int(os.environ.get("RANK", "0"))


def own_device(device: str) -> str:
    """Return the device of this process: on a machine with several GPUs each has its own."""
    if device == "cuda" and process_count() > 1:
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return device


def launcher() -> str:
    """Return how this program was started, to show how it is started again."""
    if process_count() == 1:
        return "selfsup-lifting"
    count = os.environ["LOCAL_WORLD_SIZE"]
    nodes = process_count() // int(count)
    where = (
        "--standalone"
        if nodes == 1
        else f"--nnodes {nodes} --rdzv-backend c10d --rdzv-endpoint HOST:PORT"
    )
    return f"torchrun {where} --nproc-per-node {count} -m -- selfsup_lifting"


@contextmanager
def joined_processes(device: str) -> Iterator[None]:
    """Connect the processes during the block: by NCCL for GPUs, by gloo for CPUs."""
    if process_count() == 1:
        yield
        return
    on_cuda = device.startswith("cuda")
    if on_cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_cuda else "gloo")
    try:
        yield
        dist.barrier()
    finally:
        dist.destroy_process_group()


def start_alike(module: nn.Module) -> None:
    """Give the network of every process the weights of the first one."""
    if dist.is_initialized():
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, src=0)


def average_gradients(module: nn.Module) -> None:
    """Average the gradients over the processes, all in one message."""
    if not dist.is_initialized():
        return
    slopes = [one.grad for one in module.parameters() if one.grad is not None]
    message = torch.cat([slope.flatten() for slope in slopes])
    dist.all_reduce(message)
    parts = (message / dist.get_world_size()).split([slope.numel() for slope in slopes])
    for slope, part in zip(slopes, parts, strict=True):
        slope.copy_(part.view_as(slope))


def own_share(chosen: Int[Tensor, "chosen"]) -> Int[Tensor, "share"]:
    """Return the frames of a batch that this process computes.

    Raises:
        ValueError: If there are more processes than frames.
    """
    count = process_count()
    if len(chosen) < count:
        raise ValueError(
            f"a batch of {len(chosen)} frames cannot be divided among {count} processes; use "
            "fewer processes or a larger `frames_per_batch`"
        )
    return chosen.tensor_split(count)[rank()]


def own_part(parts: Sequence[Object]) -> Object:
    """Return the part of this process.

    Raises:
        ValueError: If there are not as many parts as processes.
    """
    if len(parts) != process_count():
        raise ValueError(
            f"in the middle of an epoch, a training of {len(parts)} processes continues with as "
            f"many processes, got {process_count()}"
        )
    return parts[rank()]


def own_seed(seed: int) -> int:
    """Return a seed of this process: each draws its own dropout; that of the first is `seed`."""
    return (seed + rank() * PROCESS_SEEDS) % ALL_SEEDS


@contextmanager
def whole_batch() -> Iterator[None]:
    """Make `mean_count` include the elements of all processes, which all must run the block."""
    global _counts_all  # noqa: PLW0603 - a setting of the process, as in torch.distributed
    _counts_all = True
    try:
        yield
    finally:
        _counts_all = False


def mean_count(mask: Bool[Tensor, "..."]) -> Shaped[Tensor, ""]:
    """Count the elements of a mask; in `whole_batch`, return the mean count of the processes."""
    return mean_over_processes(mask.sum()) if _counts_all else mask.sum()


def mean_over_processes(value: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """Average a tensor over the processes, without a gradient."""
    if not dist.is_initialized():
        return value
    total = value.detach().to(torch.get_default_dtype(), copy=True)
    dist.all_reduce(total)
    return total / dist.get_world_size()


def largest(numbers: list[int]) -> list[int]:
    """Return the largest of each number over the processes."""
    if not dist.is_initialized():
        return numbers
    found = torch.tensor(numbers)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return [int(number) for number in found]


def from_first(read: Callable[[], Object]) -> Object:
    """Return what the first process reads; the others receive it."""
    if not dist.is_initialized():
        return read()
    values: list[Any] = [read() if is_first() else None]
    dist.broadcast_object_list(values, device=torch.device("cpu"))
    return values[0]  # type: ignore[no-any-return]


def of_all(value: Object) -> list[Object]:
    """Return the values of all processes, in their order."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
