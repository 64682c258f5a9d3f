"""Laws of the shape that point sets share."""

import pytest
import torch
from hypothesis import given
from torch import Tensor

from multiview_geom import (
    GeneralizedAlignment,
    Similarity,
    align_rigid,
    align_similarity,
    generalized_procrustes,
)
from tests.multiview_geom.strategies import Cloud, Pose, numbers, poses, spread_clouds
from tests.multiview_geom.tolerances import assert_close

SETTLED = 1e-6
"""What ten steps leave of a noise of a twentieth."""

SHAPE = Cloud(((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.8, 0.0), (0.0, 0.0, 0.6), (0.5, 0.4, 0.3)))


def similarity(pose: Pose, scale: float = 1.0) -> Similarity:
    size = torch.tensor(scale, dtype=torch.float64)
    return Similarity(pose.rotation(), torch.tensor(pose.shift, dtype=torch.float64), size)


def noisy_copies(cloud: Cloud = SHAPE, sets: int = 4) -> Tensor:
    """Copy a shape, each time with other noise of about a twentieth."""
    points = cloud.points()
    waves = torch.arange(sets * points.numel(), dtype=torch.float64).mul(2.3).sin()
    return points + 0.05 * waves.reshape(sets, *points.shape)


def relative_distance(found: GeneralizedAlignment) -> Tensor:
    size = (found.points - found.points.mean(dim=0)).square().sum()
    return found.residuals.square().sum() / size


@given(spread_clouds(), poses, poses, numbers(0.2, 5.0))
def test_copies_of_one_shape_are_laid_exactly(
    cloud: Cloud, one: Pose, other: Pose, scale: float
) -> None:
    shape = cloud.points()
    copies = [shape, similarity(one, scale).apply(shape), similarity(other).apply(shape)]
    found = generalized_procrustes(torch.stack(copies))
    assert_close(found.points, shape, atol=SETTLED)
    assert_close(found.residuals, torch.zeros_like(found.residuals), atol=SETTLED)


@given(poses, numbers(0.2, 5.0))
def test_where_another_set_lies_does_not_matter(pose: Pose, scale: float) -> None:
    sets = noisy_copies()
    moved = torch.cat([sets[:3], similarity(pose, scale).apply(sets[3:])])
    expected = generalized_procrustes(sets, steps=60).points
    assert_close(generalized_procrustes(moved, steps=60).points, expected, atol=SETTLED)


@given(poses, numbers(0.2, 5.0))
def test_it_moves_with_the_first_set(pose: Pose, scale: float) -> None:
    sets = noisy_copies()
    moved = similarity(pose, scale)
    found = generalized_procrustes(torch.cat([moved.apply(sets[:1]), sets[1:]]), steps=60)
    expected = moved.apply(generalized_procrustes(sets, steps=60).points)
    assert_close(found.points / scale, expected / scale, atol=SETTLED)


@given(poses)
def test_rigid_sets_keep_their_size(pose: Pose) -> None:
    sets = noisy_copies()
    moved = torch.cat([sets[:3], similarity(pose).apply(sets[3:])])
    found = generalized_procrustes(moved, align=align_rigid, steps=60)
    expected = generalized_procrustes(sets, align=align_rigid, steps=60)
    assert_close(found.points, expected.points, atol=SETTLED)
    assert_close(found.transforms.scale, torch.ones(4, dtype=torch.float64), atol=SETTLED)


def test_more_steps_never_lie_farther() -> None:
    sets = noisy_copies()
    far = [relative_distance(generalized_procrustes(sets, steps=n)) for n in (0, 1, 3, 9)]
    assert far == sorted(far, reverse=True)


def test_it_settles() -> None:
    sets = noisy_copies()
    found = generalized_procrustes(sets)
    assert_close(generalized_procrustes(sets, steps=11).points, found.points, atol=SETTLED)


def test_each_set_is_laid_as_well_as_it_can_be() -> None:
    sets = noisy_copies()
    found = generalized_procrustes(sets)
    best = align_similarity(sets, found.points.expand_as(sets))
    assert_close(found.transforms.apply(sets), best.apply(sets), atol=SETTLED)


def test_the_mean_of_many_is_nearer_the_truth_than_any_one() -> None:
    sets = noisy_copies(sets=30)
    found = generalized_procrustes(sets).points
    assert misfit(found) < 0.5 * min(misfit(one) for one in sets)


@pytest.mark.parametrize("missing", [torch.nan, 0.0])
def test_a_missing_point_is_an_absent_point(missing: float) -> None:
    sets, weights = noisy_copies(), torch.ones(4, 5, dtype=torch.float64)
    weights[1, 4], weights[2, 0] = missing, 0.0
    spoilt = sets.clone()
    spoilt[1, 4] += 7.0
    spoilt[2, 0] = torch.nan
    found = generalized_procrustes(spoilt, weights=weights)
    ones = torch.ones_like(weights)
    ones[1, 4] = ones[2, 0] = 0.0
    assert_close(found.points, generalized_procrustes(sets, weights=ones).points, atol=SETTLED)
    assert found.residuals.isnan().nonzero().tolist() == [[1, 4], [2, 0]]


def test_a_point_that_no_set_has_is_nan_alone() -> None:
    sets = noisy_copies()
    sets[:, 2] = torch.nan
    sets.requires_grad_()
    found = generalized_procrustes(sets)
    (gradient,) = torch.autograd.grad(found.points.nansum(), sets)
    assert found.points.isnan().all(dim=-1).tolist() == [False, False, True, False, False]
    assert gradient.isfinite().all()


@pytest.mark.rejects
def test_weights_belong_to_points() -> None:
    with pytest.raises(ValueError, match=r"`weights` must have shape \(\.\.\., 4, 5\), got \(5\)"):
        generalized_procrustes(noisy_copies(), weights=torch.ones(5, dtype=torch.float64))


def misfit(points: Tensor) -> Tensor:
    shape = SHAPE.points()
    return (align_similarity(points, shape).apply(points) - shape).square().sum()


@pytest.mark.rejects
def test_a_function_that_aligns_returns_a_similarity() -> None:
    with pytest.raises(ValueError, match=r"`align` must return a Similarity, .* got Tensor"):
        generalized_procrustes(torch.rand(2, 4, 3), align=lambda *_, **__: torch.eye(4))
