"""Laws of refined points."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from multiview_geom import (
    Cameras,
    CauchyLoss,
    HuberLoss,
    Lens,
    LinearLoss,
    RefinedPoints,
    invert_transform,
    refine_points,
    transform_points,
    triangulate_iterative,
)
from tests.multiview_geom.strategies import (
    Cloud,
    Pose,
    Ring,
    Sightings,
    clouds,
    noises,
    poses,
    rings,
    triples,
    weights,
)
from tests.multiview_geom.tolerances import assert_close
from tests.profiles import at_most

Loss = LinearLoss | HuberLoss | CauchyLoss

REST = 1e-7
"""Two exact steps leave round-off, which a narrow parallax divides."""

BARREL = torch.tensor([-0.2, 0.05, 0.001, -0.001, 0.0], dtype=torch.float64)
SCENE = Sightings(
    Ring(views=3), Cloud(((0.1, 0.2, 0.3), (-0.4, 0.5, 0.1))), noise=(0.3, -0.7, 0.5, 0.2, -0.1)
)

losses = st.sampled_from([LinearLoss(), HuberLoss(2.0), CauchyLoss(5.0)])
few = at_most(6)
"""Every drawn scene is an optimisation."""

ring_sightings = st.builds(Sightings, rig=rings, cloud=clouds(), noise=noises, weights=weights)


def through_lenses(scene: Sightings) -> tuple[Cameras, Tensor, Tensor]:
    """Film the scene's points through barrel lenses, with the scene's noise."""
    pinholes, points = scene.rig.cameras(), scene.cloud.points()
    cameras = replace(pinholes, distortion=BARREL.expand(pinholes.views, 5))
    noise = scene.pixels() - pinholes.project(points).pixels
    return cameras, points, cameras.project(points).pixels + noise


def refined(scene: Sightings, loss: Loss = LinearLoss()) -> RefinedPoints:  # noqa: B008 - frozen
    cameras, points, pixels = through_lenses(scene)
    return refine_points(cameras, points, pixels, weights=scene.trust(), loss=loss, steps=5)


@few
@given(rings, clouds(), triples(0.1))
def test_it_finds_what_the_lenses_saw(
    rig: Ring, cloud: Cloud, shift: tuple[float, float, float]
) -> None:
    cameras, points, pixels = through_lenses(Sightings(rig, cloud))
    found = refine_points(cameras, points + torch.tensor(shift).double(), pixels)
    assert_close(found.points, points, atol=REST)
    assert found.converged.all()


@few
@given(ring_sightings, poses)
def test_it_moves_with_the_world(scene: Sightings, pose: Pose) -> None:
    cameras, points, pixels = through_lenses(scene)
    moved = pose.transform()
    elsewhere = replace(
        cameras, camera_from_world=cameras.camera_from_world @ invert_transform(moved)
    )
    start = transform_points(moved, points)
    found = refine_points(elsewhere, start, pixels, weights=scene.trust(), steps=5)
    assert_close(found.points, transform_points(moved, refined(scene).points), atol=REST)


@few
@given(ring_sightings)
def test_the_order_of_the_views_does_not_matter(scene: Sightings) -> None:
    cameras, points, pixels = through_lenses(scene)
    order = list(reversed(range(cameras.views)))
    weights = scene.trust().flip(0)
    found = refine_points(cameras.select(order), points, pixels.flip(0), weights=weights, steps=5)
    assert_close(found.points, refined(scene).points, atol=REST)


@few
@given(ring_sightings, triples(0.05))
def test_the_start_does_not_matter(scene: Sightings, shift: tuple[float, float, float]) -> None:
    cameras, points, pixels = through_lenses(scene)
    start = points + torch.tensor(shift, dtype=torch.float64)
    found = refine_points(cameras, start, pixels, weights=scene.trust())
    assert_close(found.points, refined(scene).points, atol=REST)


@few
@given(ring_sightings, losses)
def test_no_small_move_lowers_the_cost(scene: Sightings, loss: Loss) -> None:
    found = refined(scene, loss)
    nearby = found.points + 1e-3 * torch.randn(1000, 1, 3, dtype=torch.float64)
    least = cost(scene, loss, found.points)
    assert ((cost(scene, loss, nearby) >= least * (1 - 1e-12)) | ~found.converged).all()


@few
@given(ring_sightings)
def test_points_that_fit_converge(scene: Sightings) -> None:
    assert refined(scene).converged.all()


@few
@given(ring_sightings)
def test_it_agrees_with_scipy(scene: Sightings) -> None:
    found = refined(scene).points
    for index in range(len(scene.cloud.coordinates)):
        assert_close(found[index], scipy_optimum(scene, index), atol=1e-6)


@few
@given(ring_sightings)
def test_without_lenses_reweighting_comes_close(scene: Sightings) -> None:
    cameras, pixels, trust = scene.rig.cameras(), scene.pixels(), scene.trust()
    start = triangulate_iterative(cameras.projections, pixels, weights=trust)
    found = refine_points(cameras, start, pixels, weights=trust)
    assert_close(found.points, start, atol=1e-3)


def test_a_robust_loss_hardly_feels_an_outlier() -> None:
    cameras, points, pixels = through_lenses(replace(SCENE, rig=Ring(views=6), noise=(0.0,)))
    pixels[0] += 30.0
    linear, huber, cauchy = (
        (refine_points(cameras, points, pixels, loss=loss).points - points).abs().max()
        for loss in (LinearLoss(), HuberLoss(1.0), CauchyLoss(1.0))
    )
    assert cauchy < 0.1 * huber
    assert huber < 0.2 * linear


def test_a_fisheye_is_refined_too() -> None:
    coefficients = torch.tensor([0.05, -0.01, 0.003, -0.001], dtype=torch.float64)
    rig = Ring(views=3, focal_length=300.0).cameras()
    cameras = replace(rig, distortion=coefficients.expand(3, 4), lens=Lens.FISHEYE)
    points = SCENE.cloud.points()
    found = refine_points(cameras, points + 0.1, cameras.project(points).pixels)
    assert_close(found.points, points, atol=REST)


@pytest.mark.parametrize("missing", [torch.nan, torch.inf])
def test_a_pixel_that_is_not_finite_is_an_absent_view(missing: float) -> None:
    cameras, points, pixels = through_lenses(SCENE)
    pixels[0, :, 0] = missing
    expected = refine_points(cameras.select([1, 2]), points, pixels[1:]).points
    assert_close(refine_points(cameras, points, pixels).points, expected, atol=REST)


@pytest.mark.parametrize("loss", [LinearLoss(), HuberLoss(0.5), CauchyLoss(5.0)], ids=str)
def test_the_gradient_is_the_slope_of_the_optimum(loss: Loss) -> None:
    cameras, points, pixels = through_lenses(SCENE)

    def solve(k: Tensor, x: Tensor, w: Tensor) -> Tensor:
        rig = replace(cameras, distortion=k.expand(3, 5))
        return refine_points(rig, points[:1], x, weights=w, loss=loss, steps=5).points

    leaves = BARREL.clone(), pixels[:, :1], SCENE.trust()[:, :1]
    assert gradcheck(solve, [leaf.requires_grad_() for leaf in leaves], atol=1e-5)


def test_the_second_derivative_is_that_of_the_optimum() -> None:
    cameras, points, pixels = through_lenses(SCENE)

    def solve_in_micrometres(x: Tensor) -> Tensor:
        return 1e6 * refine_points(cameras, points[:1], x, steps=5).points

    leaf = pixels[:, :1].requires_grad_()
    assert gradgradcheck(solve_in_micrometres, leaf, eps=1e-3, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("what", ["start", "pixels", "weights"])
def test_what_cannot_be_refined_is_nan_alone(what: str) -> None:
    cameras, points, pixels = through_lenses(SCENE)
    arguments = {"start": points.clone(), "pixels": pixels, "weights": SCENE.trust()}
    spoilt = torch.nan if what != "weights" else 0.0
    arguments[what][..., 0:1, :] = spoilt
    if what == "weights":
        arguments[what] = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0]]).double()
    leaves = {name: tensor.requires_grad_() for name, tensor in arguments.items()}
    intrinsics = cameras.intrinsics.clone().requires_grad_()
    found = refine_points(
        replace(cameras, intrinsics=intrinsics),
        leaves["start"],
        leaves["pixels"],
        weights=leaves["weights"],
    )
    gradients = torch.autograd.grad(found.points.sum(), [intrinsics, leaves["pixels"]])
    assert found.converged.tolist() == [False, True]
    assert found.points.isnan().all(dim=-1).tolist() == [True, False]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_camera_without_calibration_is_an_absent_view() -> None:
    cameras, points, pixels = through_lenses(SCENE)
    broken = cameras.intrinsics.index_fill(0, torch.tensor([0]), torch.nan)
    found = refine_points(replace(cameras, intrinsics=broken), points, pixels)
    expected = refine_points(cameras.select([1, 2]), points, pixels[1:]).points
    assert_close(found.points, expected, atol=REST)


def test_two_views_from_one_place_refine_nothing() -> None:
    cameras, points, pixels = through_lenses(SCENE)
    found = refine_points(cameras.select([0, 0]), points, pixels[:2])
    assert found.points.isnan().all()
    assert not found.converged.any()


def test_a_point_no_view_can_see_has_not_converged() -> None:
    side_by_side = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    side_by_side[1, 0, 3] = -1.0
    cameras = Cameras(torch.eye(3, dtype=torch.float64).repeat(2, 1, 1), side_by_side)
    behind = torch.tensor([[0.1, 0.2, -4.0]], dtype=torch.float64)
    assert not refine_points(cameras, behind, cameras.project(behind).pixels).converged


def test_float32_agrees_with_float64() -> None:
    cameras, points, pixels = through_lenses(SCENE)
    single = refine_points(cameras.to(torch.float32), points.float(), pixels.float())
    double = refine_points(cameras, points, pixels)
    assert_close(single.points.double(), double.points, atol=1e-5)
    assert single.converged.all()


@pytest.mark.rejects
def test_points_are_as_many_as_pixels() -> None:
    cameras, points, pixels = through_lenses(SCENE)
    with pytest.raises(ValueError, match=r"`pixels` must have as many points as `points` \(1\)"):
        refine_points(cameras, points[:1], pixels)


def cost(scene: Sightings, loss: Loss, points: Tensor) -> Tensor:
    cameras, _, pixels = through_lenses(scene)
    squared = (cameras.project(points).pixels - pixels).square().sum(dim=-1)
    return (scene.trust() * loss(squared)).sum(dim=-2)


def scipy_optimum(scene: Sightings, index: int) -> Tensor:
    """Find one point's optimum with SciPy, from the truth."""
    cameras, points, pixels = through_lenses(scene)
    root = scene.trust()[:, index, None].sqrt()

    def residuals(place: np.ndarray) -> np.ndarray:
        off = cameras.project(torch.from_numpy(place)[None]).pixels[:, 0] - pixels[:, index]
        flat: np.ndarray = (root * off).flatten().numpy()
        return flat

    found = scipy.optimize.least_squares(residuals, points[index].numpy(), xtol=1e-14, gtol=1e-14)
    return torch.from_numpy(found.x)


@pytest.mark.slow
def test_several_threads_refine_at_once() -> None:
    cameras, points, pixels = through_lenses(SCENE)
    expected = refine_points(cameras, points, pixels + 1.0).points

    def work(_: int) -> Tensor:
        return refine_points(cameras, points, pixels + 1.0).points

    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(found, expected) for found in pool.map(work, range(40)))


def test_lenses_of_each_frame_refine_as_in_a_loop() -> None:
    cameras, points, pixels = through_lenses(SCENE)
    intrinsics = torch.stack([cameras.intrinsics, cameras.intrinsics + 0.5 * torch.eye(3).double()])
    batched = replace(cameras, intrinsics=intrinsics)
    found = refine_points(batched, points, pixels).points
    for frame in range(2):
        one = replace(cameras, intrinsics=intrinsics[frame])
        assert_close(found[frame], refine_points(one, points, pixels).points, atol=REST)


@pytest.mark.rejects
def test_refinement_needs_cameras() -> None:
    with pytest.raises(ValueError, match="`cameras` must be Cameras, got Tensor"):
        refine_points(torch.zeros(2, 3, 4), torch.zeros(1, 3), torch.zeros(2, 1, 2))
