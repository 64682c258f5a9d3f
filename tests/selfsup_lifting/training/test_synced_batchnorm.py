"""Laws of batch normalization over several processes; here there is one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.testing import assert_close

from selfsup_lifting.training.synced_batchnorm import SyncedBatchNorm


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
def test_it_normalizes_and_remembers_as_torch_does(momentum: float | None) -> None:
    ours, theirs = (kind(5, momentum=momentum) for kind in (SyncedBatchNorm, nn.BatchNorm1d))
    draw = torch.Generator().manual_seed(0)
    for _ in range(3):
        features = 3.0 + 2.0 * torch.randn(20, 5, generator=draw)
        leaves = [features.clone().requires_grad_() for _ in range(2)]
        values = [layer(leaf) for layer, leaf in zip((ours, theirs), leaves, strict=True)]
        assert_close(*values)
        for value in values:
            value.cos().sum().backward()
        assert_close(leaves[0].grad, leaves[1].grad)
    assert_close(dict(ours.named_buffers()), dict(theirs.named_buffers()))
