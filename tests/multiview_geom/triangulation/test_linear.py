"""Laws of linear triangulation."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from multiview_geom import (
    project_points,
    ring_of_cameras,
    triangulate_dlt,
    triangulate_dlt_svd,
)
from tests.multiview_geom.strategies import (
    Cloud,
    Fan,
    Pose,
    Ring,
    Sightings,
    Staircase,
    clouds,
    numbers,
    poses,
    rigs,
    rings,
    sightings,
    weights,
)
from tests.multiview_geom.tolerances import POINT_ROUND_OFF, assert_close

# Noise up to this many pixels still leaves drawn rigs with a unique point.
LARGE_NOISE = st.lists(numbers(-20.0, 20.0), min_size=1, max_size=7).map(tuple)
noisy_rings = st.builds(Sightings, rig=rings, cloud=clouds(), noise=LARGE_NOISE, weights=weights)

# How many focal lengths beside the image a pixel may lie.
FARTHEST_PIXEL = 100.0

# From what one step is enough for, to what only the general path can do.
NOISE_PX = [0.0, 1e-4, 0.01, 0.3, 1.0, 3.0, 10.0]

# The scenes whose single-precision error the library promises to keep below the SVD's.
STUDIO_RIGS = [Ring(radius=4.5), Fan(distance=4.5), Staircase()]


@dataclass(frozen=True)
class Stereo:
    """Two parallel cameras beside the world's origin: PEERS A1, row 1."""

    half_baseline: float = 0.5
    depth: float = 3.0

    def projections(self) -> Tensor:
        left, right = torch.eye(3, 4).double(), torch.eye(3, 4).double()
        left[0, 3], right[0, 3] = self.half_baseline, -self.half_baseline
        left[2, 3] = right[2, 3] = self.depth
        return torch.stack([left, right])


def squared_error(scene: Sightings, points: Tensor) -> Tensor:
    """The objective itself: weighted ‖A X‖² / ‖X‖²."""
    homogeneous = torch.cat([points, torch.ones_like(points[:, :1])], dim=-1)
    rows = torch.einsum("vij,nj->vni", scene.projections(), homogeneous)
    residuals = scene.pixels() * rows[..., 2:] - rows[..., :2]
    squares = (scene.trust()[..., None] * residuals.square()).sum(dim=(0, 2))
    return squares / homogeneous.square().sum(dim=-1)


@given(rigs, clouds())
def test_it_inverts_projection(rig: Ring, cloud: Cloud) -> None:
    projections = rig.cameras().projections
    found = triangulate_dlt(projections, project_points(projections, cloud.points()))
    assert_close(found, cloud.points(), atol=POINT_ROUND_OFF)


@given(sightings)
def test_the_order_of_the_views_does_not_matter(scene: Sightings) -> None:
    found = triangulate_dlt(scene.projections(), scene.pixels(), weights=scene.trust())
    turned = triangulate_dlt(
        scene.projections().flip(0), scene.pixels().flip(0), weights=scene.trust().flip(0)
    )
    assert_close(turned, found, atol=POINT_ROUND_OFF)


@given(sightings, numbers(1e-3, 1e3).filter(bool))
def test_a_common_scale_of_the_projections_does_not_matter(scene: Sightings, scale: float) -> None:
    found = triangulate_dlt(scene.projections(), scene.pixels())
    assert_close(
        triangulate_dlt(-scale * scene.projections(), scene.pixels()), found, atol=POINT_ROUND_OFF
    )


@given(sightings, st.sampled_from([1e-30, 1e-8, 1e8, 1e30]))
def test_a_common_scale_of_the_weights_does_not_matter(scene: Sightings, scale: float) -> None:
    found = triangulate_dlt(scene.projections(), scene.pixels(), weights=scene.trust())
    scaled = triangulate_dlt(scene.projections(), scene.pixels(), weights=scale * scene.trust())
    assert_close(scaled, found, atol=POINT_ROUND_OFF)


@given(rigs, clouds(), poses)
def test_exact_points_move_with_the_world(rig: Ring, cloud: Cloud, pose: Pose) -> None:
    pixels = project_points(rig.cameras().projections, cloud.points())
    found = triangulate_dlt(rig.cameras().projections @ pose.transform(), pixels)
    back = cloud.points() - pose.transform()[:3, 3]
    assert_close(found, back @ pose.transform()[:3, :3], atol=POINT_ROUND_OFF)


@given(noisy_rings, st.sampled_from(range(3)), st.sampled_from([-1e-4, 1e-4]))
def test_no_small_move_lowers_the_objective(scene: Sightings, axis: int, move: float) -> None:
    found = triangulate_dlt(scene.projections(), scene.pixels(), weights=scene.trust())
    moved = found + move * torch.eye(3, dtype=torch.float64)[axis]
    assert (squared_error(scene, moved) >= squared_error(scene, found) - 1e-6).all()


@given(noisy_rings)
def test_it_agrees_with_singular_values(scene: Sightings) -> None:
    arguments = (scene.projections(), scene.pixels())
    expected = triangulate_dlt_svd(*arguments, weights=scene.trust())
    found = triangulate_dlt(*arguments, weights=scene.trust())
    assert_close(found, expected, atol=POINT_ROUND_OFF)


@given(noisy_rings)
def test_normalised_projections_agree_with_singular_values(scene: Sightings) -> None:
    intrinsics = scene.rig.cameras().intrinsics.inverse()
    pixels = scene.pixels() * intrinsics[:, None, [0, 1], [0, 1]] + intrinsics[:, None, :2, 2]
    projections = intrinsics @ scene.projections()
    expected = triangulate_dlt_svd(projections, pixels)
    assert_close(triangulate_dlt(projections, pixels), expected, atol=POINT_ROUND_OFF)


@given(st.integers(2, 64), clouds())
def test_any_number_of_views_will_do(views: int, cloud: Cloud) -> None:
    rig = Ring(views=views, height=1.5)
    pixels = project_points(rig.cameras().projections, cloud.points()) + 0.5
    expected = triangulate_dlt_svd(rig.cameras().projections, pixels)
    assert_close(triangulate_dlt(rig.cameras().projections, pixels), expected, atol=1e-5)


@given(sightings, numbers(-0.01, 0.01))
def test_a_rig_may_differ_from_frame_to_frame(scene: Sightings, turn: float) -> None:
    moving = torch.stack([scene.projections(), scene.projections() * (1 + turn)])
    pixels = torch.stack([scene.pixels(), scene.pixels() + 1.0])
    found = triangulate_dlt(moving, pixels)
    alone = [triangulate_dlt(moving[frame], pixels[frame]) for frame in (0, 1)]
    assert_close(found, torch.stack(alone), atol=POINT_ROUND_OFF)


@given(sightings, st.sampled_from([torch.nan, torch.inf, -torch.inf]))
def test_a_missing_pixel_is_an_absent_view(scene: Sightings, missing: float) -> None:
    pixels = torch.cat([scene.pixels(), torch.full_like(scene.pixels()[:1], missing)])
    projections = torch.cat([scene.projections(), scene.projections()[:1] + 1.0])
    expected = triangulate_dlt(scene.projections(), scene.pixels())
    assert_close(triangulate_dlt(projections, pixels), expected, atol=POINT_ROUND_OFF)


@given(sightings)
def test_a_view_of_weight_zero_is_an_absent_view(scene: Sightings) -> None:
    projections = torch.cat([scene.projections(), scene.projections()[:1] + 1.0])
    pixels = torch.cat([scene.pixels(), scene.pixels()[:1] + 77.0])
    trust = torch.cat([scene.trust(), torch.zeros_like(scene.trust()[:1])])
    expected = triangulate_dlt(scene.projections(), scene.pixels(), weights=scene.trust())
    assert_close(
        triangulate_dlt(projections, pixels, weights=trust), expected, atol=POINT_ROUND_OFF
    )


@given(sightings)
def test_one_view_alone_gives_nan_and_no_gradient(scene: Sightings) -> None:
    pixels = scene.pixels().index_fill(0, torch.arange(1, scene.pixels().shape[0]), torch.nan)
    pixels.requires_grad_()
    found = triangulate_dlt(scene.projections(), pixels)
    found.sum().backward()
    assert found.isnan().all()
    assert (pixels.grad == 0).all()


@given(sightings, st.sampled_from([torch.nan, torch.inf]))
def test_the_weight_of_what_was_not_seen_has_no_gradient(scene: Sightings, missing: float) -> None:
    pixels = torch.cat([torch.full_like(scene.pixels()[:1], missing), scene.pixels()])
    projections = torch.cat([scene.projections()[:1] + 1.0, scene.projections()])
    trust = torch.cat([torch.ones_like(scene.trust()[:1]), scene.trust()]).requires_grad_()
    triangulate_dlt(projections, pixels, weights=trust).sum().backward()
    assert (trust.grad[0] == 0).all()


@given(sightings, st.sampled_from([torch.nan, torch.inf, -1.0]))
def test_a_weight_that_is_no_trust_removes_its_sighting(scene: Sightings, weight: float) -> None:
    projections = torch.cat([scene.projections(), scene.projections()[:1] + 1.0]).requires_grad_()
    pixels = torch.cat([scene.pixels(), scene.pixels()[:1] + 77.0])
    trust = torch.cat([scene.trust(), torch.full_like(scene.trust()[:1], weight)])
    found = triangulate_dlt(projections, pixels, weights=trust)
    found.sum().backward()
    expected = triangulate_dlt(scene.projections(), scene.pixels(), weights=scene.trust())
    assert_close(found.detach(), expected, atol=POINT_ROUND_OFF)
    assert projections.grad.isfinite().all()


@given(sightings)
def test_a_view_without_a_calibration_is_absent(scene: Sightings) -> None:
    blind = torch.full_like(scene.projections()[:1], torch.nan)
    projections = torch.cat([scene.projections(), blind]).requires_grad_()
    found = triangulate_dlt(projections, torch.cat([scene.pixels(), scene.pixels()[:1]]))
    found.sum().backward()
    expected = triangulate_dlt(scene.projections(), scene.pixels())
    assert_close(found.detach(), expected, atol=POINT_ROUND_OFF)
    assert projections.grad.isfinite().all()


def test_a_pixel_whose_equations_overflow_is_absent_for_the_reference_too() -> None:
    rig, points = Ring(views=4, height=1.5), Cloud(((0.1, 0.2, 0.3), (-0.4, 0.3, 0.1))).points()
    pixels = project_points(rig.cameras().projections, points)
    pixels[0, 0] = 1e308
    found = triangulate_dlt_svd(rig.cameras().projections, pixels)
    assert_close(found, points, atol=POINT_ROUND_OFF)


@given(sightings)
def test_what_comes_back_for_a_lost_point_reaches_nobody(scene: Sightings) -> None:
    bad = torch.full_like(scene.pixels()[:, :1], torch.nan)
    projections = scene.projections().requires_grad_()
    pixels = torch.cat([bad, scene.pixels()], dim=1).requires_grad_()
    triangulate_dlt(projections, pixels).square().nansum().backward()
    assert projections.grad.isfinite().all()
    assert pixels.grad.isfinite().all()


@given(sightings, st.sampled_from([1e-25, 1e-20, 1e16, 1e20]))
def test_projections_of_any_size_will_do(scene: Sightings, size: float) -> None:
    projections, pixels = scene.projections().float(), scene.pixels().float()
    found = triangulate_dlt(size * projections, pixels)
    assert_close(found, triangulate_dlt(projections, pixels), atol=1e-3)


@pytest.mark.parametrize("shape", [(4, 0, 2), (0, 4, 5, 2), (3, 4, 0, 2)])
def test_nothing_gives_nothing(shape: tuple[int, ...]) -> None:
    projections = ring_of_cameras(4, radius=4.0, height=1.0).projections.requires_grad_()
    pixels = torch.zeros(shape, requires_grad=True)
    found = triangulate_dlt(projections, pixels)
    found.sum().backward()
    assert found.shape == (*shape[:-3], shape[-2], 3)
    assert not projections.grad.any()


@given(sightings)
def test_a_bad_point_leaves_its_neighbours_alone(scene: Sightings) -> None:
    bad = torch.full_like(scene.pixels()[:, :1], torch.nan)
    pixels = torch.cat([bad, scene.pixels()], dim=1).requires_grad_()
    found = triangulate_dlt(scene.projections(), pixels)[1:]
    found.sum().backward()
    assert_close(found, triangulate_dlt(scene.projections(), scene.pixels()), atol=POINT_ROUND_OFF)
    assert pixels.grad.isfinite().all()


@given(rings, numbers(1.0, 2.3))
def test_a_far_point_keeps_its_direction(ring: Ring, exponent: float) -> None:
    far = torch.tensor([[0.6, 0.8, 0.05]], dtype=torch.float64) * 10**exponent
    projections = ring.cameras().projections
    pixels = project_points(projections, far)
    # In the plane of a camera a pixel is at infinity, and its square drowns the other sightings.
    assume(pixels.abs().max() < FARTHEST_PIXEL * ring.focal_length)
    found = triangulate_dlt(projections, pixels)
    assert_close(found / far.norm(), far / far.norm(), atol=1e-5)


@pytest.mark.parametrize("rig", STUDIO_RIGS, ids=lambda rig: type(rig).__name__)
@pytest.mark.parametrize("noise", NOISE_PX[:-1])
def test_single_precision_errs_no_more_than_singular_values(rig: Ring, noise: float) -> None:
    points = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(1)).double() * 2 - 1
    exact = project_points(rig.cameras().projections, points)
    spread = torch.randn(exact.shape, generator=torch.Generator().manual_seed(2))
    projections, pixels = rig.cameras().projections.float(), exact.float() + noise * spread
    expected = triangulate_dlt_svd(projections.double(), pixels.double())
    allowed = (triangulate_dlt_svd(projections, pixels) - expected).norm(dim=-1).max()
    assert (triangulate_dlt(projections, pixels) - expected).norm(dim=-1).max() <= allowed


def far_sightings(baselines: float) -> tuple[Tensor, Tensor]:
    """Two parallel cameras a metre apart, and what they see of points so many metres away."""
    rig = Stereo(depth=0.0).projections()
    spread = torch.rand(200, 3, generator=torch.Generator().manual_seed(0)).double()
    exact = project_points(rig, spread + baselines * torch.tensor([0.13, 0.07, 1.0]).double())
    noise = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1))
    return rig, exact + 1e-6 * noise


@pytest.mark.parametrize("baselines", [5.0, 20.0, 50.0, 100.0, 200.0])
def test_far_points_err_no_more_than_singular_values(baselines: float) -> None:
    rig, pixels = (tensor.float() for tensor in far_sightings(baselines))
    expected = triangulate_dlt_svd(rig.double(), pixels.double())
    allowed = (triangulate_dlt_svd(rig, pixels) - expected).norm(dim=-1).max()
    assert (triangulate_dlt(rig, pixels) - expected).norm(dim=-1).max() <= allowed


def test_a_point_does_not_hang_on_its_neighbours() -> None:
    rig, pixels = (tensor.float() for tensor in far_sightings(100.0))
    outlier = torch.tensor([[[0.5, 0.7]], [[-0.5, 0.3]]])
    alone, beside = triangulate_dlt(rig, pixels), torch.cat([pixels, outlier], dim=1)
    assert_close(triangulate_dlt(rig, beside)[:-1] / 100, alone / 100, atol=1e-5)


@pytest.mark.parametrize("rig", STUDIO_RIGS, ids=lambda rig: type(rig).__name__)
@pytest.mark.parametrize("noise", NOISE_PX)
def test_double_precision_agrees_whatever_the_noise(rig: Ring, noise: float) -> None:
    points = torch.rand(500, 3, generator=torch.Generator().manual_seed(3)).double() * 2 - 1
    exact = project_points(rig.cameras().projections, points)
    spread = torch.randn(exact.shape, generator=torch.Generator().manual_seed(4))
    pixels = exact + noise * spread
    expected = triangulate_dlt_svd(rig.cameras().projections, pixels)
    found = triangulate_dlt(rig.cameras().projections, pixels)
    assert_close(found, expected, atol=POINT_ROUND_OFF)


@given(sightings)
def test_its_derivatives_are_right(scene: Sightings) -> None:
    inputs = (scene.projections(), scene.pixels(), scene.trust())
    inputs = tuple(tensor.requires_grad_() for tensor in inputs)
    assert gradcheck(_weighted, inputs, fast_mode=True, check_forward_ad=True, atol=1e-4)
    assert gradgradcheck(_weighted, inputs, fast_mode=True, atol=1e-4)


@given(sightings)
def test_its_derivatives_are_right_with_a_view_missing(scene: Sightings) -> None:
    missing = torch.zeros_like(scene.pixels(), dtype=torch.bool)
    missing[0, 0] = True
    pixels = scene.pixels().requires_grad_()
    double = scene.projections()[:2] + 0.5

    def solve(pixels: Tensor) -> Tensor:
        both = torch.cat([pixels.masked_fill(missing, torch.nan), pixels[:2] + 0.1])
        return triangulate_dlt(torch.cat([scene.projections(), double]), both)

    assert gradcheck(solve, (pixels,), fast_mode=True, atol=1e-4)
    assert gradgradcheck(solve, (pixels,), fast_mode=True, atol=1e-4)


@given(st.builds(Stereo, half_baseline=numbers(0.1, 1.0), depth=numbers(1.0, 5.0)))
def test_equal_irrelevant_singular_values_leave_the_gradient_finite(stereo: Stereo) -> None:
    origin = torch.zeros(1, 3, dtype=torch.float64)
    pixels = project_points(stereo.projections(), origin).requires_grad_()

    def solve(pixels: Tensor) -> Tensor:
        return triangulate_dlt(stereo.projections(), pixels)

    assert_close(solve(pixels), origin, atol=POINT_ROUND_OFF)
    assert gradcheck(solve, (pixels,), atol=1e-4)
    assert gradgradcheck(solve, (pixels,), atol=1e-4)


def test_the_gradient_of_symmetric_stereo_is_the_known_one() -> None:
    pixels = project_points(Stereo().projections(), torch.zeros(1, 3).double()).requires_grad_()
    triangulate_dlt(Stereo().projections(), pixels).sum().backward()
    assert_close(pixels.grad[0, 0].abs(), torch.tensor([7.5, 1.5]).double(), atol=1e-9)


def test_a_point_behind_all_cameras_comes_back_as_the_equations_say() -> None:
    behind = torch.tensor([[-1.0, 0.0, -5.0]], dtype=torch.float64)
    pixels = project_points(Stereo().projections(), behind)
    assert_close(triangulate_dlt(Stereo().projections(), pixels), behind, atol=POINT_ROUND_OFF)


@given(sightings)
def test_half_precision_comes_back_as_given(scene: Sightings) -> None:
    found = triangulate_dlt(scene.projections().bfloat16(), scene.pixels().bfloat16())
    assert found.dtype == torch.bfloat16


def test_many_points_in_blocks_are_the_same_points() -> None:
    rig = ring_of_cameras(3, radius=4.0, height=1.0, dtype=torch.float64)
    few = project_points(rig.projections, torch.eye(3, dtype=torch.float64))
    many = few.repeat(1, 30_000, 1).requires_grad_()
    found = triangulate_dlt(rig.projections, many)
    found.square().sum().backward()
    assert_close(found, torch.eye(3, dtype=torch.float64).repeat(30_000, 1), atol=POINT_ROUND_OFF)
    assert_close(many.grad[:, :3], many.grad[:, -3:], atol=1e-12)


@pytest.mark.rejects
def test_weights_have_the_shape_of_the_pixels() -> None:
    with pytest.raises(ValueError, match=r"`weights` must have shape \(\.\.\., 2, 5\), got \(5\)"):
        triangulate_dlt(torch.ones(2, 3, 4), torch.ones(2, 5, 2), weights=torch.ones(5))


@pytest.mark.rejects
def test_leading_axes_broadcast() -> None:
    with pytest.raises(ValueError, match=r"leading axes must broadcast, got `projections` \(2\)"):
        triangulate_dlt(torch.ones(2, 4, 3, 4), torch.ones(3, 4, 5, 2))


@pytest.mark.rejects
def test_pixels_have_two_coordinates() -> None:
    with pytest.raises(ValueError, match=r"`pixels` must have shape \(\.\.\., .*2\), got"):
        triangulate_dlt(torch.ones(2, 3, 4), torch.ones(2, 5, 3))


def _weighted(projections: Tensor, pixels: Tensor, trust: Tensor) -> Tensor:
    return triangulate_dlt(projections, pixels, weights=trust)
