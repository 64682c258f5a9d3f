"""Laws of accelerators: the same results as on the CPU."""

import pytest
import torch
from torch import Tensor

from tests.multiview_geom.test_contract import CASES, SCENE, Case

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

# Single precision may round in another order there: how many times the error it may have here.
OTHER_ORDER = 8


@pytest.mark.gpu
@on_cuda
@every_case
def test_double_precision_agrees_with_the_processor(case: Case) -> None:
    arguments = tuple(case.arguments(SCENE).values())
    there = case(*(argument.cuda() for argument in arguments))
    for actual, expected in zip(there, case(*arguments), strict=True):
        assert actual.device.type == "cuda"
        torch.testing.assert_close(actual.cpu(), expected, rtol=1e-7, atol=1e-9, equal_nan=True)


@pytest.mark.gpu
@on_cuda
@every_case
def test_single_precision_errs_as_on_the_processor(case: Case) -> None:
    arguments = tuple(case.arguments(SCENE).values())
    here = case(*(argument.float() for argument in arguments))
    there = case(*(argument.float().cuda() for argument in arguments))
    for expected, mine, theirs in zip(case(*arguments), here, there, strict=True):
        if expected.is_floating_point():
            round_off = torch.finfo(torch.float32).eps * (1 + expected.abs().amax())
            allowed = OTHER_ORDER * ((mine - expected).abs().amax() + round_off)
            assert (theirs.cpu() - expected).abs().amax() <= allowed


@pytest.mark.gpu
@on_cuda
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.differentiable], ids=lambda c: c.name
)
def test_gradients_agree_with_the_processor(case: Case) -> None:
    for mine, theirs in zip(_gradients(case, "cpu"), _gradients(case, "cuda"), strict=True):
        torch.testing.assert_close(theirs.cpu(), mine, rtol=1e-6, atol=1e-8, equal_nan=True)


def _gradients(case: Case, device: str) -> tuple[Tensor, ...]:
    leaves = [argument.to(device).requires_grad_() for argument in case.arguments(SCENE).values()]
    floating = [result for result in case(*leaves) if result.is_floating_point()]
    outcome = torch.cat([result.nan_to_num(0.0).flatten() for result in floating])
    return torch.autograd.grad(outcome.cos().sum(), leaves, materialize_grads=True)
