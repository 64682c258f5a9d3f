"""Laws of the equations of bundle adjustment."""

import torch

from multiview_geom.bundle_adjustment.normal_equations import LEFT, conjugate_gradients


def test_equations_that_need_too_many_steps_are_solved_in_part() -> None:
    values = torch.logspace(0, 5, 3_000, dtype=torch.float64)
    found = conjugate_gradients(lambda x: values * x, lambda x: x, torch.ones(1, 3_000).double())
    left = (1 - values * found).norm() / 3_000**0.5
    assert left > LEFT
    error = (values * (found - 1 / values).square()).sum()
    assert error < 0.01 * (1 / values).sum()


def test_right_hand_sides_are_solved_at_once_as_each_alone() -> None:
    draw = torch.Generator().manual_seed(1)
    root = torch.randn(20, 20, generator=draw, dtype=torch.float64)
    matrix = root @ root.mT + torch.eye(20)
    right = torch.randn(3, 20, generator=draw, dtype=torch.float64)
    right[1] = 0.0
    found = conjugate_gradients(lambda x: x @ matrix, lambda x: x, right)
    off = right - found @ matrix
    assert (off.norm(dim=1) <= LEFT * right.norm(dim=1)).all()
    assert not found[1].any()
