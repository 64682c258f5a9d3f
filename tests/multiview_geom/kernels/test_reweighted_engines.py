"""Laws of the loops that reweight and that select inliers: they agree with tensor operations."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from multiview_geom import (
    project_points,
    ring_of_cameras,
    triangulate_iterative,
    triangulate_robust,
)
from multiview_geom._kernels import engines
from tests.multiview_geom.strategies import Sightings, sightings
from tests.multiview_geom.tolerances import POINT_ROUND_OFF, assert_close

THRESHOLD = 8.0


@given(scene=sightings, weighted=st.booleans(), steps=st.integers(0, 3))
def test_the_loops_agree_with_tensor_operations(
    scene: Sightings,
    weighted: bool,  # noqa: FBT001 - drawn
    steps: int,
) -> None:
    found = _points_and_gradients(scene, weighted=weighted, steps=steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "choose_engine", lambda _: "reference")
        by_tensors = _points_and_gradients(scene, weighted=weighted, steps=steps)
    for one, other in zip(found, by_tensors, strict=True):
        assert_close(one, other, atol=POINT_ROUND_OFF)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_gradients_through_depths_agree_for_large_residuals(steps: int) -> None:
    given = _with_outliers(4)

    def gradients() -> tuple[Tensor, ...]:
        rig, pixels, weights = (each.clone().requires_grad_() for each in given)
        points = triangulate_iterative(rig, pixels, weights=weights, steps=steps)
        return torch.autograd.grad(points.nan_to_num().cos().sum(), (rig, pixels, weights))

    found = gradients()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "choose_engine", lambda _: "reference")
        by_tensors = gradients()
    for one, other in zip(found, by_tensors, strict=True):
        assert torch.allclose(one, other, rtol=1e-8, atol=1e-9 * float(other.abs().max()))


@pytest.mark.parametrize(("views", "max_pairs"), [(2, 1), (3, 128), (6, 128), (8, 16), (20, 40)])
def test_the_loops_select_the_same_inliers(views: int, max_pairs: int) -> None:
    rig, pixels, weights = _with_outliers(views)
    found = triangulate_robust(
        rig, pixels, weights=weights, threshold=THRESHOLD, max_pairs=max_pairs
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "choose_engine", lambda _: "reference")
        by_tensors = triangulate_robust(
            rig, pixels, weights=weights, threshold=THRESHOLD, max_pairs=max_pairs
        )
    assert torch.equal(found.inliers, by_tensors.inliers)
    assert_close(found.points, by_tensors.points, atol=POINT_ROUND_OFF)


def test_a_rig_for_each_frame_gives_what_each_alone_gives() -> None:
    rig, pixels, weights = _with_outliers(5)
    rigs = torch.stack([rig, rig * torch.tensor([2.0, -1.0, 1.0, 3.0, 1.0])[:, None, None]])
    both = triangulate_robust(rigs, pixels, weights=weights, threshold=THRESHOLD)
    alone = triangulate_robust(rig, pixels, weights=weights, threshold=THRESHOLD)
    assert torch.equal(both.inliers[0], alone.inliers)
    assert torch.equal(both.inliers[1], alone.inliers)
    assert_close(both.points[1], alone.points, atol=POINT_ROUND_OFF)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_number_of_threads_changes_no_bit(dtype: torch.dtype) -> None:
    rig, pixels, _ = (each.to(dtype) for each in _with_outliers(4, points=10_000))
    results = []
    for threads in (1, 2, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        inputs = rig.clone().requires_grad_(), pixels.clone().requires_grad_()
        triangulate_iterative(*inputs).sum().backward()
        selected = triangulate_robust(rig, pixels, threshold=THRESHOLD).inliers
        results.append((inputs[0].grad, inputs[1].grad, selected))
        torch.set_num_threads(before)
    for found in results[1:]:
        for one, other in zip(found, results[0], strict=True):
            assert torch.equal(one, other)


def _with_outliers(views: int, points: int = 300) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(views)
    rig = ring_of_cameras(views, radius=4.5, height=1.0).projections.double()
    world = torch.rand(points, 3, generator=draw, dtype=torch.float64) - 0.5
    pixels = project_points(rig, world) + torch.randn(views, points, 2, generator=draw)
    wild = torch.rand(views, points, generator=draw) < 0.3
    anywhere = 1000 * torch.rand(views, points, 2, generator=draw, dtype=torch.float64)
    pixels = torch.where(wild[..., None], anywhere, pixels)
    pixels[1, 10:40] = torch.nan
    weights = torch.rand(views, points, generator=draw, dtype=torch.float64)
    weights[0, :20] = 0.0
    return rig, pixels, weights


def _points_and_gradients(scene: Sightings, *, weighted: bool, steps: int) -> tuple[Tensor, ...]:
    inputs = [
        tensor.requires_grad_()
        for tensor in (scene.projections(), scene.pixels(), scene.trust())[: 2 + weighted]
    ]
    weights = inputs[2] if weighted else None
    points = triangulate_iterative(*inputs[:2], weights=weights, steps=steps)
    upstream = torch.sin(torch.arange(points.numel())).reshape(points.shape).to(points)
    gradients = torch.autograd.grad(points, inputs, torch.where(points.isnan(), 0.0, upstream))
    return (points.detach(), *gradients)
