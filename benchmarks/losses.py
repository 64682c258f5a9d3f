"""How many frames per second does each of the four losses process, forward and backward?

The batch has the paper's size: 2,048 frames of four views and 17 joints. L_out, which triangulates
the predictions, is measured with our kernel and with an SVD instead.

    python benchmarks/losses.py [--device cpu|cuda] [--threads 2] [--quick]
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from unittest.mock import patch

import torch
from measure import Suite, answer, measure, peak_bytes
from torch import Tensor

from multiview_geom import ring_of_cameras, triangulate_dlt_svd
from selfsup_lifting.training import losses

FRAMES, VIEWS, JOINTS = 2_048, 4, 17
ROOT = (0,)


@dataclass(frozen=True)
class Row:
    """One loss on one batch."""

    loss: str
    frames: int
    views: int
    joints: int
    milliseconds: float
    spread: float
    runs: int
    frames_per_second: float
    peak_megabytes: float


@dataclass(frozen=True)
class Batch:
    """The tensors of one training step: predictions, labels, images, cameras."""

    poses: Tensor
    labels: Tensor
    image: Tensor
    camera_from_root: Tensor

    def each_loss(self) -> dict[str, Callable[[], Tensor]]:
        """Return the four losses as the trainer calls them, with all joints detected."""
        frames, views, joints, _ = self.poses.shape
        seen = torch.ones(frames, views, joints, dtype=torch.bool, device=self.poses.device)
        usable, pairs = seen[..., 0], seen[:, None].expand(-1, views, -1, -1)
        poses, cameras = self.poses, self.camera_from_root
        return {
            "L_in": lambda: losses.input_triangulation_loss(
                poses, losses.rotated_to_views(self.labels, cameras), seen
            ),
            "L_proj": lambda: losses.projection_loss(
                losses.poses_in_views(poses, cameras), self.image, cameras, pairs, root=ROOT
            ),
            "L_con": lambda: losses.consistency_loss(
                poses, losses.poses_in_views(poses, cameras), usable
            ),
            "L_out": lambda: losses.output_triangulation_loss(
                poses, cameras, usable, root=ROOT, detach_targets=False
            ),
        }


def batch(frames: int, device: str) -> Batch:
    """Draw random poses of about half a meter, and project them into a ring of four cameras."""
    seed = torch.Generator().manual_seed(0)
    rig = ring_of_cameras(VIEWS, 4.5, 1.0, dtype=torch.float64).camera_from_world
    labels = 0.5 * torch.randn(frames, JOINTS, 3, generator=seed, dtype=torch.float64)
    labels = labels - labels[:, :1]
    poses = torch.einsum("vij,fnj->fvni", rig[:, :3, :3], labels)
    seen = poses + rig[:, None, :3, 3]
    image = seen[..., :2] / seen[..., 2:]
    image = image - image[:, :, :1]
    guess = poses + 0.05 * torch.randn(poses.shape, generator=seed, dtype=torch.float64)
    cameras = rig.expand(frames, -1, -1, -1)
    parts = [part.float().to(device) for part in (guess, labels, image, cameras)]
    parts[0].requires_grad_()
    return Batch(*parts)


def rows(asked: Suite) -> Iterator[Row]:
    """Measure each loss, and L_out also with the SVD."""
    whole = batch(64 if asked.quick else FRAMES, asked.device)
    each = whole.each_loss()
    for name, loss in each.items():
        yield _row(asked, name, whole, loss)
    with patch.object(losses, "triangulate_dlt", triangulate_dlt_svd):
        yield _row(asked, "L_out by SVD", whole, each["L_out"])


def _row(asked: Suite, name: str, whole: Batch, loss: Callable[[], Tensor]) -> Row:
    call = lambda: torch.autograd.grad(loss(), whole.poses)  # noqa: E731 - a call to time
    peak = peak_bytes(call, asked.device) / 1e6
    taken = measure(call, asked.runs)
    frames, views, joints, _ = whole.poses.shape
    times = 1e3 * taken.median, 1e3 * taken.spread, taken.runs
    return Row(name, frames, views, joints, *times, frames / taken.median, peak)


if __name__ == "__main__":
    answer("losses", rows)
