"""Laws of homogeneous coordinates."""

import pytest
import torch
from hypothesis import given

from multiview_geom import from_homogeneous, to_homogeneous
from tests.multiview_geom.strategies import Cloud, clouds, numbers
from tests.multiview_geom.tolerances import ROUND_OFF, assert_close


@given(clouds())
def test_dividing_undoes_appending(cloud: Cloud) -> None:
    points = cloud.points()
    assert torch.equal(from_homogeneous(to_homogeneous(points)), points)


@given(clouds(), numbers(0.1, 10.0))
def test_scale_does_not_matter(cloud: Cloud, scale: float) -> None:
    points = cloud.points()
    assert_close(from_homogeneous(-scale * to_homogeneous(points)), points, atol=ROUND_OFF)


def test_a_point_at_infinity_is_nan_and_passes_no_gradient() -> None:
    points = torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 2.0]], requires_grad=True)
    result = from_homogeneous(points)
    result.nansum().backward()
    assert result.isnan().tolist() == [[True, True], [False, False]]
    assert points.grad is not None
    assert points.grad.tolist() == [[0.0, 0.0, 0.0], [0.5, 0.5, -0.75]]


@pytest.mark.rejects
def test_integers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`points` must have a floating dtype, got torch.int64"):
        to_homogeneous(torch.ones(2, 3, dtype=torch.int64))
