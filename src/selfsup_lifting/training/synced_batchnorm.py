"""Batch normalization over the batches of all processes, on any device.

PyTorch's SyncBatchNorm needs GPUs; this one also works on CPUs.
"""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


class SyncedBatchNorm(nn.BatchNorm1d):
    """Normalize features in training by the mean and variance over all processes."""

    def forward(self, features: Float[Tensor, "poses width"]) -> Float[Tensor, "poses width"]:
        """Normalize a batch; in evaluation mode, or in one process, as `BatchNorm1d` does."""
        if not (self.training and dist.is_initialized()):
            return super().forward(features)
        mean, variance, count = _global_moments(features.detach())
        self._update_running_moments(mean, variance * count / (count - 1))
        apply: Any = _Normalize.apply
        normalized: Tensor = apply(features, mean, variance, count, self.eps)
        return normalized * self.weight + self.bias

    @torch.no_grad()
    def _update_running_moments(self, mean: Tensor, variance: Tensor) -> None:
        batches = self.get_buffer("num_batches_tracked").add_(1)
        # Without a momentum, torch averages all batches.
        share = 1 / batches if self.momentum is None else self.momentum
        for name, current in (("running_mean", mean), ("running_var", variance)):
            running = self.get_buffer(name)
            running += share * (current - running)


def with_synced_batchnorm(module: nn.Module) -> None:
    """Replace every batch normalization in a module, keeping parameters and buffers."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d):
            synced = SyncedBatchNorm(child.num_features, child.eps, child.momentum)
            synced.load_state_dict(child.state_dict())
            setattr(module, name, synced.to(child.weight.device))
        else:
            with_synced_batchnorm(child)


def _global_moments(
    features: Float[Tensor, "poses width"],
) -> tuple[Float[Tensor, "width"], Float[Tensor, "width"], Float[Tensor, ""]]:
    """Return mean, variance and number of poses over all processes.

    The moments of the processes are combined as Chan, Golub and LeVeque (1979) do, which loses
    no digits, unlike the mean of squares.
    """
    count = features.new_full((), len(features))
    moments = torch.stack([features.mean(dim=0), features.var(dim=0, correction=0)])
    gathered = [torch.empty_like(moments) for _ in range(dist.get_world_size())]
    counts = [torch.empty_like(count) for _ in gathered]
    dist.all_gather(gathered, moments)
    dist.all_gather(counts, count)
    means, variances = torch.stack(gathered, dim=1)
    weights = (torch.stack(counts) / sum(counts))[:, None]
    mean = (weights * means).sum(dim=0)
    variance = (weights * (variances + (means - mean).square())).sum(dim=0)
    return mean, variance, torch.stack(counts).sum()


class _Normalize(torch.autograd.Function):
    """Subtract the mean and divide by the deviation, both of which depend on all features."""

    @staticmethod
    def forward(
        context: FunctionCtx,
        features: Tensor,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        epsilon: float,
    ) -> Tensor:
        inverse = torch.rsqrt(variance + epsilon)
        normalized = (features - mean) * inverse
        context.save_for_backward(normalized, inverse, count)
        return normalized

    @staticmethod
    def backward(context: FunctionCtx, slope: Tensor) -> tuple[Tensor, None, None, None, None]:
        normalized, inverse, count = context.saved_tensors  # type: ignore[attr-defined]
        sums = torch.stack([slope.sum(dim=0), (slope * normalized).sum(dim=0)])
        dist.all_reduce(sums)
        shift, stretch = sums / count
        return inverse * (slope - shift - normalized * stretch), None, None, None, None
