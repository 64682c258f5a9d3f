"""Laws of the metrics."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from torch import Tensor

from selfsup_lifting.evaluation.metrics import (
    auc,
    ellipsoid_coverage,
    joint_errors,
    mpjpe,
    n_mpjpe,
    p_mpjpe,
    pck,
    velocity_errors,
)
from tests.multiview_geom.strategies import Cloud, Pose, numbers, poses, spread_clouds


def noisy(cloud: Cloud, size: float) -> Tensor:
    points = cloud.points()
    return points + size * torch.sin(37.0 * points.roll(1, dims=-1))


def centered(points: Tensor) -> Tensor:
    return points - points.mean(dim=0)


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
    rotation, _ = orthogonal_procrustes(laid_on, centered(predicted).numpy())
    assume(np.linalg.det(rotation) > 0)
    assert float(p_mpjpe(predicted, truth)) == pytest.approx(expected, abs=1e-6)


@given(spread_clouds(), numbers(0.0, 0.3))
def test_root_relative_error_does_not_know_the_place(cloud: Cloud, size: float) -> None:
    truth, predicted = cloud.points(), noisy(cloud, size)
    shifted = predicted + torch.tensor([1.0, -2.0, 3.0])
    torch.testing.assert_close(mpjpe(shifted, truth, (0,)), mpjpe(predicted, truth, (0,)))


@pytest.mark.parametrize("metric", [mpjpe, p_mpjpe])
def test_unknown_and_exact_joints_pass_a_finite_gradient(metric: Callable[..., Tensor]) -> None:
    truth = torch.arange(15.0).reshape(5, 3).sin()
    predicted = truth.roll(1, dims=-1).requires_grad_()
    unknown = truth.clone()
    unknown[3] = torch.nan
    exact = predicted[:, [1, 2, 0]]
    (metric(predicted, unknown) + metric(exact, truth)).backward()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


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


@given(spread_clouds(), numbers(0.2, 5.0))
def test_the_scaled_error_does_not_know_the_size(cloud: Cloud, size: float) -> None:
    predicted = noisy(cloud, 0.1)
    expected = n_mpjpe(predicted, cloud.points(), (0,))
    torch.testing.assert_close(n_mpjpe(size * predicted, cloud.points(), (0,)), expected)


@given(spread_clouds(), numbers(0.01, 0.3), numbers(0.8, 1.2))
def test_no_other_scale_fits_better(cloud: Cloud, noise: float, other: float) -> None:
    truth, predicted = cloud.points(), noisy(cloud, noise)
    p, t = predicted - predicted[0], truth - truth[0]
    best = (p * t).sum() / (p * p).sum()
    misfit = ((best * other * p - t) ** 2).sum()
    assert misfit >= ((best * p - t) ** 2).sum()
    torch.testing.assert_close(mpjpe(best * p, t, (0,)), n_mpjpe(predicted, truth, (0,)))


@given(spread_clouds(), spread_clouds())
def test_a_constant_offset_has_no_velocity(cloud: Cloud, other: Cloud) -> None:
    joints = min(len(cloud.points()), len(other.points()))
    motion = torch.stack([cloud.points()[:joints], other.points()[:joints]])
    offset = 0.1 * torch.sin(torch.arange(3.0 * joints, dtype=torch.float64)).reshape(joints, 3)
    assert velocity_errors(motion + offset, motion, (0,)).max() < 1e-6


distances_mm = st.lists(
    st.one_of(
        st.integers(0, 200).map(float), st.floats(0, 200), st.sampled_from([150.0, 5.0, 0.0])
    ),
    min_size=1,
    max_size=14,
)


@given(st.lists(distances_mm, min_size=1, max_size=5))
def test_correct_joints_are_counted_as_published(poses: list[list[float]]) -> None:
    for errors in poses:
        curve = [sum(error < 5 * step for error in errors) / len(errors) for step in range(31)]
        ours = torch.tensor(errors, dtype=torch.float64)
        assert float(pck(ours)) == pytest.approx(curve[-1])
        assert float(auc(ours)) == pytest.approx(sum(curve) / 31)


def test_a_joint_at_the_threshold_is_not_correct() -> None:
    truth = torch.zeros(4, 3)
    predicted = torch.tensor([[0, 0, 0], [0.09, 0.12, 0], [0.15, 0, 0], [0.1499, 0, 0]])
    assert joint_errors(predicted, truth)[1:3].tolist() == [150.0, 150.0]
    assert float(pck(joint_errors(predicted, truth))) == 0.5


@given(distances_mm, st.integers(1, 6))
def test_shares_do_not_depend_on_the_unit(errors: list[float], exponent: int) -> None:
    scale, plain = 2.0**-exponent, torch.tensor(errors, dtype=torch.float64)
    assert pck(scale * plain, scale * 150.0) == pck(plain)
    assert auc(scale * plain, scale * 150.0) == auc(plain)


def test_a_perfect_pose_has_an_area_of_thirty_in_thirty_one() -> None:
    assert float(auc(torch.zeros(14))) == pytest.approx(30 / 31)


@given(distances_mm)
def test_unknown_joints_are_neither_correct_nor_wrong(errors: list[float]) -> None:
    known = torch.tensor(errors)
    padded = torch.cat([known, torch.tensor([torch.nan])])
    assert (pck(padded), auc(padded)) == (pck(known), auc(known))


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("predicted", "truth", "sentence"),
    [
        (torch.ones(10, 17, 3), torch.ones(10, 1, 3), "the poses must have one shape"),
        (
            torch.ones(10, 1, 17, 3),
            torch.ones(10, 17, 3),
            r"\(10, 1, 17, 3\), `truth` \(10, 17, 3\)",
        ),
        (torch.ones(10, 51), torch.ones(10, 51), r"of shape \(..., joints, 3\)"),
        (torch.ones(10, 17, 3).numpy(), torch.ones(10, 17, 3), "got ndarray"),
        (torch.ones(10, 17, 3).long(), torch.ones(10, 17, 3), "must be floating"),
    ],
)
def test_poses_of_other_shapes_are_refused(predicted: Tensor, truth: Tensor, sentence: str) -> None:
    for measure in (n_mpjpe, velocity_errors, mpjpe):
        with pytest.raises(ValueError, match=sentence):
            measure(predicted, truth, (0,))
    for compare in (p_mpjpe, joint_errors):
        with pytest.raises(ValueError, match=sentence):
            compare(predicted, truth)


@pytest.mark.rejects
@pytest.mark.parametrize("root", [0, (), (-1,), (17,), (0.0,), "pelvis", ("pelvis",)])
def test_a_root_that_is_no_joint_is_refused(root: Any) -> None:
    pose = torch.ones(10, 17, 3)
    for measure in (mpjpe, n_mpjpe, velocity_errors):
        with pytest.raises(ValueError, match=r"`root` must .*joints.* got "):
            measure(pose, pose, root)


@pytest.mark.rejects
def test_the_velocity_of_one_frame_is_not_that_of_its_joints() -> None:
    assert velocity_errors(torch.ones(1, 17, 3), torch.ones(1, 17, 3), (0,)).shape == (0,)
    with pytest.raises(ValueError, match=r"of shape \(frames, ..., joints, 3\), got \(17, 3\)"):
        velocity_errors(torch.ones(17, 3), torch.ones(17, 3), (0,))


@pytest.mark.rejects
def test_covariances_of_other_poses_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"must have shape \(9, 17, 3, 3\), as `errors`, got \(9, 1"
    ):
        ellipsoid_coverage(torch.ones(9, 17, 3), torch.ones(9, 1, 17, 3, 3))


@pytest.mark.rejects
@pytest.mark.parametrize("largest", [0, -5.0, torch.nan, torch.inf, True, "150", None, [50, 150]])
def test_a_threshold_is_a_positive_number(largest: Any) -> None:
    errors = torch.full((9, 17), 40.0)
    with pytest.raises(ValueError, match="`threshold` must be a number, positive and finite, got"):
        pck(errors, largest)
    with pytest.raises(ValueError, match="`largest` must be a number, positive and finite, got"):
        auc(errors, largest)
    assert pck(errors, np.float32(50)).tolist() == pck(errors, 50).tolist() == [1.0] * 9
