"""Laws of the engines that reweight and that select inliers: they agree with tensor operations."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from multiview_geom import (
    RobustPoints,
    project_points,
    ring_of_cameras,
    triangulate_iterative,
    triangulate_robust,
)
from multiview_geom._kernels.triangulation import cuda_launch
from multiview_geom.triangulation import robust
from tests.multiview_geom.kernels.engine_choice import (
    ENGINES,
    computed_by,
    every_engine,
    interpreted,
)
from tests.multiview_geom.strategies import Sightings, sightings
from tests.multiview_geom.tolerances import POINT_ROUND_OFF, assert_close

THRESHOLD = 8.0


@given(scene=sightings, weighted=st.booleans(), steps=st.integers(0, 3))
def test_the_loops_agree_with_tensor_operations(
    scene: Sightings,
    weighted: bool,  # noqa: FBT001 - drawn
    steps: int,
) -> None:
    _require_agreement("numba", scene, weighted=weighted, steps=steps)


@pytest.mark.skipif("triton" not in ENGINES, reason="needs Triton, which is made for Linux")
@interpreted
@given(scene=sightings, weighted=st.booleans(), steps=st.integers(0, 3))
def test_the_kernels_agree_with_tensor_operations(
    scene: Sightings,
    weighted: bool,  # noqa: FBT001 - drawn
    steps: int,
) -> None:
    _require_agreement("triton", scene, weighted=weighted, steps=steps)


@every_engine
@interpreted
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_gradients_through_depths_agree_for_large_residuals(engine: str, steps: int) -> None:
    given = _with_outliers(4, points=300 if engine == "numba" else 100)

    def gradients(engine: str) -> tuple[Tensor, ...]:
        rig, pixels, weights = (each.clone().requires_grad_() for each in given)
        with computed_by(engine):
            points = triangulate_iterative(rig, pixels, weights=weights, steps=steps)
            return torch.autograd.grad(points.nan_to_num().cos().sum(), (rig, pixels, weights))

    for one, other in zip(gradients(engine), gradients("reference"), strict=True):
        assert torch.allclose(one, other, rtol=1e-8, atol=1e-9 * float(other.abs().max()))


@every_engine
@interpreted
def test_single_precision_is_computed_in_double(engine: str) -> None:
    rig, pixels, weights = _with_outliers(5, points=1_000 if engine == "numba" else 60)
    orders = torch.randn(weights.shape, generator=torch.Generator().manual_seed(0)).double()
    given = [each.float() for each in (rig, pixels, weights * 1e4**orders)]

    def solve(dtype: torch.dtype) -> list[Tensor]:
        inputs = [each.to(dtype).requires_grad_() for each in given]
        with computed_by(engine):
            points = triangulate_iterative(inputs[0], inputs[1], weights=inputs[2])
            slopes = torch.autograd.grad(points.nan_to_num().sum(), inputs)
        return [points.detach(), *slopes]

    for single, double in zip(solve(torch.float32), solve(torch.float64), strict=True):
        torch.testing.assert_close(single, double.float(), rtol=1e-6, atol=1e-30, equal_nan=True)


@every_engine
@interpreted
@pytest.mark.parametrize(("views", "max_pairs"), [(2, 1), (3, 128), (6, 128), (8, 16), (20, 40)])
def test_the_same_inliers_are_selected(engine: str, views: int, max_pairs: int) -> None:
    if engine == "triton" and views > 8:
        pytest.skip("the interpreter takes a minute; fewer views choose their partners too")
    rig, pixels, weights = _with_outliers(views, points=300 if engine == "numba" else 100)

    def select(engine: str) -> RobustPoints:
        with computed_by(engine):
            return triangulate_robust(
                rig, pixels, weights=weights, threshold=THRESHOLD, max_pairs=max_pairs
            )

    found, by_tensors = select(engine), select("reference")
    assert by_tensors.inliers.any()
    assert torch.equal(found.inliers, by_tensors.inliers)
    assert_close(found.points, by_tensors.points, atol=POINT_ROUND_OFF)


@every_engine
@pytest.mark.parametrize("frames", [None, 0, 2], ids=["no points", "no frames", "a rig per frame"])
def test_zero_points_have_zero_gradients_and_launch_nothing(
    engine: str, frames: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = _with_outliers(3, points=5 if frames == 0 else 0)
    batch = () if frames is None else (frames,)
    rig, pixels, weights = (each.expand(*batch, *each.shape).requires_grad_() for each in given)
    monkeypatch.setattr(cuda_launch, "launch", None)
    monkeypatch.setattr(cuda_launch, "launch_on_grid", None)
    with computed_by(engine):
        points = triangulate_iterative(rig, pixels, weights=weights)
        gradients = torch.autograd.grad(points.sum(), (rig, pixels, weights))
        inliers = triangulate_robust(rig, pixels, weights=weights, threshold=THRESHOLD).inliers
    assert points.shape == (*batch, given[1].shape[1], 3)
    assert inliers.shape == (*batch, *given[2].shape)
    assert [each.shape for each in gradients] == [each.shape for each in (rig, pixels, weights)]
    assert not gradients[0].any()


@every_engine
@interpreted
def test_the_selection_passes_no_gradient(engine: str) -> None:
    rigs, frames, weights = (each[None].requires_grad_() for each in _with_outliers(3, points=50))
    with computed_by(engine):
        (found,) = robust._inlier_kernel(rigs, frames, weights, THRESHOLD, 1)
        gradients = torch.autograd.grad(found.sum(), (rigs, frames, weights), allow_unused=True)
    assert found.any()
    assert gradients == (None, None, None)


def test_a_gpu_leaves_very_many_views_to_tensor_operations() -> None:
    rig, pixels, weights = _with_outliers(130, points=5)
    rigs, frames, trusts = rig[None], pixels[None], weights[None]
    with computed_by("triton"):
        (found,) = robust._inlier_kernel(rigs, frames, trusts, THRESHOLD, 1)
    assert torch.equal(found, robust._reference(rigs, frames, trusts, THRESHOLD, 1)[0])
    assert found.any()


@every_engine
@interpreted
def test_a_rig_for_each_frame_gives_what_each_alone_gives(engine: str) -> None:
    rig, pixels, weights = _with_outliers(5, points=300 if engine == "numba" else 60)
    rigs = torch.stack([rig, rig * torch.tensor([2.0, -1.0, 1.0, 3.0, 1.0])[:, None, None]])
    with computed_by(engine):
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


def _require_agreement(engine: str, scene: Sightings, *, weighted: bool, steps: int) -> None:
    with computed_by(engine):
        found = _points_and_gradients(scene, weighted=weighted, steps=steps)
    with computed_by("reference"):
        by_tensors = _points_and_gradients(scene, weighted=weighted, steps=steps)
    for one, other in zip(found, by_tensors, strict=True):
        assert_close(one, other, atol=POINT_ROUND_OFF)


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
