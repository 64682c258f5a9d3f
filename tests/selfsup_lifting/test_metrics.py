"""Laws of the metrics."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import procrustes
from torch import Tensor

from selfsup_lifting.metrics import mpjpe, p_mpjpe, procrustes_aligned
from tests.multiview_geom.strategies import Cloud, Pose, numbers, poses, spread_clouds


def noisy(cloud: Cloud, size: float) -> Tensor:
    points = cloud.points()
    return points + size * torch.sin(37.0 * points.roll(1, dims=-1))


@given(spread_clouds(), poses, numbers(0.2, 5.0))
def test_aligned_error_knows_neither_place_nor_turn_nor_size(
    cloud: Cloud, pose: Pose, size: float
) -> None:
    moved = size * cloud.points() @ pose.rotation().mT + torch.tensor(pose.shift).double()
    assert p_mpjpe(moved, cloud.points()) < 1e-6


@given(spread_clouds(), numbers(0.01, 0.3))
def test_aligned_error_agrees_with_scipy(cloud: Cloud, size: float) -> None:
    truth, predicted = cloud.points(), noisy(cloud, size)
    standard, laid_on, _ = procrustes(truth.numpy(), predicted.numpy())
    unit = np.linalg.norm(truth.numpy() - truth.numpy().mean(axis=0))
    expected = 1000 * unit * distances(standard, laid_on).mean()
    # SciPy's fit may mirror; where it does not, the fits are one.
    if np.linalg.det(procrustes_aligned(predicted, truth)[:3].numpy()) != 0:
        assert float(p_mpjpe(predicted, truth)) >= expected - 1e-6


@given(spread_clouds(), numbers(0.0, 0.3))
def test_root_relative_error_does_not_know_the_place(cloud: Cloud, size: float) -> None:
    truth, predicted = cloud.points(), noisy(cloud, size)
    shifted = predicted + torch.tensor([1.0, -2.0, 3.0])
    torch.testing.assert_close(mpjpe(shifted, truth, (0,)), mpjpe(predicted, truth, (0,)))


def test_errors_are_millimetres() -> None:
    truth = torch.zeros(2, 3)
    predicted = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.03, 0.04]])
    assert float(mpjpe(predicted, truth, (0,))) == 25.0


@given(spread_clouds(), st.integers(1, 3))
def test_unknown_joints_take_no_part(cloud: Cloud, unknown: int) -> None:
    truth, predicted = cloud.points(), noisy(cloud, 0.1)
    known = torch.arange(len(truth)) != unknown
    spoilt = torch.where(known[:, None], truth, torch.nan)
    torch.testing.assert_close(
        p_mpjpe(predicted, spoilt), p_mpjpe(predicted[known], truth[known]), rtol=0, atol=1e-6
    )


def distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    length: NDArray[np.float64] = np.linalg.norm(one - other, axis=-1)
    return length
