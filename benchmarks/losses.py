"""How many frames per second does each of the four losses process, forward and backward?

The batch has the paper's size: 2,048 frames of four views and 17 joints. L_out, which triangulates
the predictions, is measured with our kernel and with an SVD instead. All four together share what
they have in common; they are measured also compiled, and with a quarter and four times the frames
for the memory. The error is that of the loss of 64 frames, in float32, relative to the slow NumPy
code of the tests in float64.

    python benchmarks/losses.py [--device cpu|cuda] [--threads 2] [--quick]
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import torch
from measure import ROOT as ROOT_FOLDER
from measure import Suite, answer, measure, peak_bytes
from torch import Tensor

sys.path.append(str(ROOT_FOLDER))  # for the slow code of the tests

from multiview_geom import ring_of_cameras, triangulate_dlt_svd
from selfsup_lifting.training import losses
from tests.selfsup_lifting.training import slow_losses

FRAMES, VIEWS, JOINTS = 2_048, 4, 17
ORACLE_FRAMES = 64
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
    error: float | None = None


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

    def all_losses(self) -> Callable[[], Tensor]:
        """Return the sum of the four losses, which share each prediction in every view."""
        frames, views, joints, _ = self.poses.shape
        seen = torch.ones(frames, views, joints, dtype=torch.bool, device=self.poses.device)
        usable, pairs = seen[..., 0], seen[:, None].expand(-1, views, -1, -1)
        poses, cameras = self.poses, self.camera_from_root

        def total() -> Tensor:
            in_views = losses.poses_in_views(poses, cameras)
            return (
                losses.input_triangulation_loss(
                    poses, losses.rotated_to_views(self.labels, cameras), seen
                )
                + losses.projection_loss(in_views, self.image, cameras, pairs, root=ROOT)
                + losses.consistency_loss(poses, in_views, usable)
                + losses.output_triangulation_loss(poses, cameras, usable, root=ROOT)
            )

        return total


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
    """Measure all four losses together, and each alone, L_out also with the SVD."""
    count = 64 if asked.quick else FRAMES
    whole = batch(count, asked.device)
    each, errors = whole.each_loss(), relative_errors(asked.device)
    # First, as after the start of a training: what others leave in the allocator costs time.
    for frames in (count // 4, count, 4 * count):
        some = batch(frames, asked.device)
        yield _row(asked, "all four", some, some.all_losses(), errors["all four"])
    for name, loss in each.items():
        yield _row(asked, name, whole, loss, errors[name])
    with patch.object(losses, "triangulate_dlt", triangulate_dlt_svd):
        yield _row(asked, "L_out by SVD", whole, each["L_out"])
    if not asked.quick:
        yield _row(asked, "all four, compiled", whole, torch.compile(whole.all_losses()))


def relative_errors(device: str) -> dict[str, float]:
    """Return the error of each loss and of their sum, relative to slow code in float64."""
    some = batch(ORACLE_FRAMES, device)
    poses, labels, image, cameras = (
        one.detach().double().cpu().numpy()
        for one in (some.poses, some.labels, some.image, some.camera_from_root)
    )
    mask = np.ones(poses.shape[:2], dtype=bool)
    exact = {
        "L_in": slow_losses.loss_input(poses, labels, cameras, mask, slow_losses.squared_l2),
        "L_proj": slow_losses.loss_projection(poses, image, cameras, mask, *ROOT),
        "L_con": slow_losses.loss_consistency(poses, cameras, mask),
        "L_out": slow_losses.loss_output(poses, cameras, mask, *ROOT, slow_losses.squared_l2),
    }
    exact["all four"] = sum(exact.values())
    found = {**some.each_loss(), "all four": some.all_losses()}
    return {name: abs(float(found[name]().detach()) / exact[name] - 1) for name in exact}


def _row(
    asked: Suite, name: str, whole: Batch, loss: Callable[[], Tensor], error: float | None = None
) -> Row:
    call = lambda: torch.autograd.grad(loss(), whole.poses)  # noqa: E731 - a call to time
    call()  # compile what is compiled
    peak = peak_bytes(call, asked.device) / 1e6
    taken = measure(call, asked.runs)
    frames, views, joints, _ = whole.poses.shape
    times = 1e3 * taken.median, 1e3 * taken.spread, taken.runs
    return Row(name, frames, views, joints, *times, frames / taken.median, peak, error)


if __name__ == "__main__":
    answer("losses", rows)
