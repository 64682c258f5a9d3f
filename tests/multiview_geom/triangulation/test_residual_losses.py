"""Laws of what a residual costs."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from multiview_geom import CauchyLoss, HuberLoss, LinearLoss
from tests.multiview_geom.strategies import numbers
from tests.multiview_geom.tolerances import ROUND_OFF, assert_close

Loss = LinearLoss | HuberLoss | CauchyLoss

lengths = numbers(0.1, 10.0)
losses = (
    st.just(LinearLoss()) | st.builds(HuberLoss, delta=lengths) | st.builds(CauchyLoss, lengths)
)
far = torch.tensor([1e8], dtype=torch.float64)


@given(losses)
def test_a_small_residual_costs_its_square(loss: Loss) -> None:
    squared = torch.tensor([0.0, 1e-12], dtype=torch.float64)
    assert_close(loss(squared), squared, atol=1e-20)


@given(losses, lengths, lengths)
def test_a_larger_residual_costs_more(loss: Loss, one: float, more: float) -> None:
    squared = torch.tensor([one, one + more], dtype=torch.float64)
    assert loss(squared).diff() > 0


@given(losses)
def test_no_residual_costs_more_than_its_square(loss: Loss) -> None:
    assert loss(far) <= far


@given(lengths)
def test_huber_grows_with_the_length_far_out(delta: float) -> None:
    assert_close(HuberLoss(delta)(far), 2 * delta * far.sqrt() - delta**2, atol=ROUND_OFF)


@given(lengths)
def test_huber_bends_without_a_step(delta: float) -> None:
    edge = torch.tensor([delta**2 * (1 - 1e-9), delta**2 * (1 + 1e-9)], dtype=torch.float64)
    assert_close(HuberLoss(delta)(edge).diff(), edge.diff(), atol=1e-9 * delta**2)


@given(lengths)
def test_cauchy_grows_with_the_logarithm_far_out(scale: float) -> None:
    twice = CauchyLoss(scale)(4 * far) - CauchyLoss(scale)(far)
    assert_close(twice / scale**2, torch.tensor([4.0]).double().log(), atol=1e-5)


@given(losses, numbers(0.0, 5.0))
def test_the_gradient_is_the_slope(loss: Loss, length: float) -> None:
    squared = torch.tensor([length**2 + 1e-3], dtype=torch.float64, requires_grad=True)
    assert gradcheck(loss, squared, atol=1e-4)


@given(losses)
def test_the_gradient_at_zero_is_one(loss: Loss) -> None:
    squared = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(squared), squared)
    assert_close(slope, torch.ones_like(slope), atol=ROUND_OFF)


@pytest.mark.rejects
def test_lengths_are_positive() -> None:
    with pytest.raises(ValueError, match=r"`delta` must be positive, got 0\.0"):
        HuberLoss(0.0)
    with pytest.raises(ValueError, match=r"`scale` must be positive, got -1\.0"):
        CauchyLoss(-1.0)
